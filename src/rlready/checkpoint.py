"""Checkpoint folders and hub ids: load a causal language model from one, and save one.

A folder is a Hugging Face checkpoint of any trainer, or holds a LoRA adapter, which is merged into its base.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from rlready.errors import UserError
from rlready.lm import LM

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EMBEDDED = "embedded"
ADAPTER = "adapter_config.json"


def load(source: str, *, device: str = "cpu", dtype: str = "float32", delimiters: Sequence[str] = ()) -> LM:
    """A model from ``embedded``, a Hugging Face folder or a hub id, ready for evaluation.

    A folder that holds a LoRA adapter is its base with the adapter merged into it.
    ``delimiters``: what opens and what closes a thought; none: what the template or the vocabulary says.
    Raises UserError when the folder is missing, has no weights or no tokenizer, the model's vocabulary is
    smaller than the tokenizer's, or the delimiters are not two different texts or not those of the chat template.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    if delimiters and (len(delimiters) != 2 or not all(delimiters) or delimiters[0] == delimiters[1]):
        raise UserError(f"delimiters are two different texts, OPEN,CLOSE; got {', '.join(map(repr, delimiters))}")
    logging.disable_progress_bar()  # ours says more
    tokenizer = tokenizer_of(source)
    path = local_folder(source)
    with _refused(source):
        kind = _merged if path and (path / ADAPTER).is_file() else AutoModelForCausalLM.from_pretrained
        model = kind(str(path or source), dtype=getattr(torch, dtype))
    size = int(cast("Any", model.get_input_embeddings()).weight.shape[0])
    if len(tokenizer) > size:
        raise UserError(f"{source}: the tokenizer knows {len(tokenizer)} tokens but the model only {size}")
    model.to(device)  # type: ignore[arg-type]
    model.eval()
    lm = LM(model, tokenizer, source, (delimiters[0], delimiters[1]) if delimiters else None)
    lm.chat  # noqa: B018  # learned, and refused, before anything is measured
    return lm


def load_without_weights(source: str, *, delimiters: Sequence[str] = ()) -> LM:
    """The same with a model that has shapes only: for questions about its tokenizer and chat template."""
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    tokenizer, path = tokenizer_of(source), local_folder(source)
    with _refused(source), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(path or source)))
    with suppress(OSError):  # it need not have one
        model.generation_config = GenerationConfig.from_pretrained(str(path or source))
    return LM(model, tokenizer, source, (delimiters[0], delimiters[1]) if delimiters else None)


def tokenizer_of(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer that `load` takes, refused as there, without reading weights."""
    from transformers import AutoTokenizer

    path = local_folder(source)
    adapter = bool(path and (path / ADAPTER).is_file())
    if path and not adapter and not (path / "config.json").is_file():
        raise UserError(f"{source}: not a Hugging Face checkpoint folder, config.json is missing")
    if not path and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise UserError(f"{source}: no such folder")
    if path and not any((path / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        raise UserError(f"{source}: the folder has no tokenizer; save it there with tokenizer.save_pretrained")
    with _refused(source):
        return AutoTokenizer.from_pretrained(str(path or source))


@contextmanager
def _refused(source: str) -> Iterator[None]:
    """What Transformers cannot load is one line of ours."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"{source}: cannot be loaded as a causal language model: {line}") from error


def _merged(folder: str, dtype: torch.dtype) -> Any:
    """The base that an adapter's folder names, with the adapter added to its weights."""
    try:
        from peft import AutoPeftModelForCausalLM
    except ImportError:
        raise UserError(f"{folder}: an adapter; to load it: pip install 'rlready[peft]'") from None
    return AutoPeftModelForCausalLM.from_pretrained(folder, dtype=dtype).merge_and_unload()


def embedded_folder() -> Path:
    """The folder of the model shipped inside the package."""
    return Path(str(files("rlready"))) / "assets" / "embedded"


def local_folder(source: str) -> Path | None:
    """Where a model lies on this machine; None for a hub id."""
    path = embedded_folder() if source == EMBEDDED else Path(source)
    return path if path.exists() else None


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all tokens with their ids: equal for two models that read text as the same tokens."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def save(lm: LM, folder: Path, card: str) -> None:
    """Write a Hugging Face folder with its model card into an existing, temporary folder."""
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
