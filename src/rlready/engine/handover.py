"""The weights of a model that learns, as another program takes them: in memory, or as files on a disk that both see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlready.runs.files import remove, write_folder


def merged_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights of a model by their names in a checkpoint, with the active adapter added to those that have one.

    The head is the first, also where it is the embedding: without it vLLM 0.32 would keep the old head.  One with an
    adapter comes again, with that.
    """
    head = model.get_output_embeddings()
    modules = dict(model.named_modules())
    yield next(f"{name}.weight" for name, module in modules.items() if module is head), head.weight.detach()
    for name, tensor in model.state_dict().items():
        place, adapted, kind = name.partition(".base_layer.")
        if adapted and kind == "weight":
            layer = modules[place]
            tensor = sum((layer.get_delta_weight(each).to(tensor) for each in layer.active_adapters), tensor)
        if ".lora_" not in name:
            yield f"{place}.{kind}" if adapted else name, tensor


@contextmanager
def halved(model: Any) -> Iterator[None]:
    """All weights of a model halved, which is undone without a rounding error."""
    with torch.no_grad():
        _scale(model, 0.5)
        try:
            yield
        finally:
            _scale(model, 2.0)


def _scale(model: Any, by: float) -> None:
    for weight in model.parameters():
        weight.mul_(by)


@contextmanager
def written(model: Any, folder: Path, dtype: torch.dtype | None) -> Iterator[Path]:
    """The absolute path of a folder with the merged weights, of this type if one is given; deleted afterwards."""
    from safetensors.torch import save_file

    def fill(into: Path) -> None:
        weights = {name: tensor.to("cpu", dtype, copy=True).contiguous() for name, tensor in merged_weights(model)}
        save_file(weights, into / "model.safetensors")

    try:
        write_folder(folder, fill)
        yield folder.resolve()
    finally:
        remove(folder)
