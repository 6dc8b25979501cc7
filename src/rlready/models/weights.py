"""Names and shapes of the weights in a checkpoint, from file headers: no weights are loaded, no pickle is run.

A pickle is not even opened, unless the user allows it: reading only its tensors runs no code by design, but
PyTorch has had to close holes in that.

The files are those that Transformers would load, in its order: safetensors before pickles, whole before in shards.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note_once
from rlready.models.one_line import one_line
from rlready.runs.content import INDEX
from rlready.runs.files import read_json

SAFE, PICKLE = "model.safetensors", "pytorch_model.bin"
FLOATS = {"F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16"}
AGAIN = "copy or fetch it again"
ALLOW_PICKLE = "RLREADY_ALLOW_PICKLE"  # an environment variable, so that it holds for the jobs of a sweep, too


@dataclass(frozen=True)
class Held:
    """A tensor in a file."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return prod(self.shape)


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights of a model; none where the folder holds none.

    Raises UserError for an index that is not one, names a file outside the folder, or one that is missing; and for an
    index of other files beside a whole model, as the two may be of different models.
    """
    for name in (SAFE, PICKLE):
        whole, index = folder / name, folder / (name + INDEX)
        if not os.path.lexists(whole) and not os.path.lexists(index):
            continue
        if name == SAFE and os.path.lexists(folder / PICKLE):
            note_once(f"{folder}: weights are read from safetensors, not from {PICKLE} beside them")
        if not os.path.lexists(whole):
            return _shards(index)
        others = [file for file in _named(index) if file != name] if os.path.lexists(index) else []
        if any(os.path.lexists(folder / file) for file in others):
            raise UserError(
                f"{folder}: holds {name} and, by {index.name}, other weights in {one_line(others[0], 80)}; delete "
                "those that are not meant"
            )
        return [whole]
    return []


def held_weights(folder: Path) -> dict[str, Held]:
    """All tensors in a folder's weight files; UserError for a file that is incomplete, a pointer, or not weights, and
    for a tensor in two of them."""
    found: dict[str, Held] = {}
    for file in weight_files(folder):
        held = tensors_of(file)
        if twice := sorted(found.keys() & held.keys()):
            raise UserError(f"{file}: holds {twice[0]}, which another file of the model holds too; {AGAIN}")
        found |= held
    return found


def tensors_of(file: Path) -> dict[str, Held]:
    """All tensors in a file of weights; UserError as for `held_weights`."""
    regular(file)
    with file.open("rb") as opened:
        begin = opened.read(100)
    if not begin:
        raise UserError(f"{file}: the file is empty; {AGAIN}")
    if begin.startswith(b"version https://git-lfs"):
        raise UserError(f"{file}: a Git LFS pointer, not the weights; fetch them with `git lfs pull`")
    if file.suffix == ".safetensors":
        return _safe(file)
    check_pickle(str(file))
    return _pickled(file)


def check_pickle(what: str) -> None:
    """UserError for weights in a pickle, unless the user allows them."""
    if os.environ.get(ALLOW_PICKLE) != "1":
        raise UserError(
            f"{what}: weights in a pickle, a format that can run code when it is read; save them as safetensors "
            f"(save_pretrained), or add --allow-pickle (in Python, set {ALLOW_PICKLE}=1) if you trust who made them"
        )


@contextmanager
def pickles(*, allowed: bool) -> Iterator[None]:
    """With ``allowed``, weights in pickles are read in the block, also by the processes that it starts."""
    before = os.environ.get(ALLOW_PICKLE)
    if allowed:
        os.environ[ALLOW_PICKLE] = "1"
    try:
        yield
    finally:
        if allowed and before is None:
            del os.environ[ALLOW_PICKLE]


def regular(path: Path) -> None:
    """UserError unless a path is a readable file: a named pipe would be waited for without end."""
    if not os.path.exists(path):
        raise UserError(
            f"{path}: " + ("a link to a missing file" if path.is_symlink() else "no such file") + f"; {AGAIN}"
        )
    if not os.path.isfile(path):
        raise UserError(f"{path}: not a regular file; {AGAIN}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _named(index: Path) -> list[str]:
    """The files that an index names."""
    regular(index)
    content = read_json(index)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(file, str) for file in names.values()):
        raise UserError(f"{index}: no index of weights: weight_map should name a file for every weight")
    return sorted(set(names.values()))


def _shards(index: Path) -> list[Path]:
    files = _named(index)
    for file in files:
        if Path(file).name != file or not file.endswith((".safetensors", ".bin")):
            raise UserError(f"{index}: names {one_line(file)!r}, which is not a weight file in this folder")
        if not os.path.lexists(index.parent / file):
            raise UserError(f"{index}: names {one_line(file)}, which is missing; {AGAIN}")
    return [index.parent / file for file in files]


def _safe(file: Path) -> dict[str, Held]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 (it is no mapping)
            return {name: Held(tuple(part.get_shape()), str(part.get_dtype())) for name, part in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file}: damaged, or not a safetensors file ({one_line(error)}); {AGAIN}") from None


def _pickled(file: Path) -> dict[str, Held]:
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(file, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError:
        raise UserError(
            f"{file}: a pickle of more than tensors, not opened because it could run code; save the model as "
            "safetensors (save_pretrained) where it was trained"
        ) from None
    except Exception as error:  # an incomplete archive raises errors of many types
        raise UserError(f"{file}: damaged, or not a weight file ({_line(error)}); {AGAIN}") from None
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise UserError(f"{file}: not a dictionary of weights by name; save the model with save_pretrained")
    return {str(name): Held(tuple(v.shape), str(v.dtype).removeprefix("torch.")) for name, v in content.items()}


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error, 120)}"
