"""The tokenizer of a checkpoint, loaded without its weights, and its vocabulary."""

from __future__ import annotations

import hashlib
import json
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from rlready.core.errors import UserError
from rlready.core.messages import warn_once
from rlready.models import adapter
from rlready.models.checkpoint_files import TOKENIZER, check_files, has_vocabulary
from rlready.models.hub import folder_of
from rlready.models.model_config import config_of
from rlready.models.plain_template import passing_through
from rlready.models.transformers_errors import refused
from rlready.models.weights import AGAIN
from rlready.runs.content import ADAPTER, TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPACED = "def f(x):\n    return x + 1"  # a text whose spaces a tokenizer may lose
PROBE = "Subword regularisation draws other tokens for internationalisation, 1234567890 + 987654321. " * 8
READINGS = 4
KEPT = 4  # tokenizers
READ = (".json", ".jinja", ".txt", ".model", ".tiktoken")  # what a tokenizer is made from
LARGE = 1 << 27  # bytes
UNREAD = ("trainer_state.json", "model.safetensors.index.json", "generation_config.json")


def tokenizer_of(source: str, *, apply_chat_template: bool = True) -> PreTrainedTokenizerBase:
    """The tokenizer that `load` takes, refused as there, without reading weights.

    Of an adapter that has none, that of its base.  Without ``apply_chat_template`` its template passes texts through.
    """
    from tokenizers import Tokenizer

    folder = folder_of(source, weights=False)
    check_files(folder, source)
    if (folder / ADAPTER).exists() and not has_vocabulary(folder):
        folder = adapter.base_of(folder, source)
        check_files(folder, str(folder))
    if not has_vocabulary(folder):
        raise UserError(
            f"{source}: the folder has no tokenizer ({TOKENIZER}); save it there with tokenizer.save_pretrained"
        )
    try:
        with refused(source, "its tokenizer cannot be loaded", "save it again with tokenizer.save_pretrained"):
            tokenizer = copy(_read(_Files.of(folder), get_ident()))
    except UserError:  # its message is about the last attempt, not about the cause
        if (folder / TOKENIZER).exists():
            with refused(str(folder / TOKENIZER), "damaged, or not a tokenizer", AGAIN):
                Tokenizer.from_file(str(folder / TOKENIZER))
        if not (folder / ADAPTER).exists():
            config_of(folder)
        raise
    if not vocabulary_size(tokenizer):
        raise UserError(f"{source}: its tokenizer has no tokens")
    tokenizer.name_or_path = str(folder)
    if not _spaces(tokenizer):
        warn_once(
            f"{source}: warning: its tokenizer loses every space, as where Transformers 5 has saved that of another "
            "class as one of Llama: prompts and responses have none; copy the files of the original tokenizer there"
        )
    _switch_off_sampling(tokenizer, source)
    # a prompt that is too long is refused by this package, by its place
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    if not apply_chat_template:
        tokenizer.chat_template = passing_through(tokenizer)
    return tokenizer


@dataclass(frozen=True)
class _Files:
    """The files that a tokenizer is made from; equal if their contents are, in whatever folder."""

    folder: Path = field(compare=False)
    digest: str

    @classmethod
    def of(cls, folder: Path) -> _Files:
        digest = hashlib.sha256()
        for file in sorted((*folder.iterdir(), *folder.glob(f"{TEMPLATES}/*"))):
            if file.suffix in READ and file.name not in UNREAD and file.is_file():
                about = file.stat()
                digest.update(f"{file.relative_to(folder)}\0{about.st_size}\0".encode())
                if about.st_size > LARGE:  # nothing of a tokenizer
                    digest.update(f"{file}\0{about.st_mtime_ns}".encode())
                else:
                    digest.update(file.read_bytes())
        return cls(folder, digest.hexdigest())


@lru_cache(KEPT)
def _read(files: _Files, thread: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, read from tokenizer.json directly if the class it names would lose spaces.

    Checkpoints of one run have equal tokenizers, which take a second each to read; no two threads share one.

    Transformers 5 builds every LlamaTokenizer like that of Llama 2, even if the file (DeepSeek's) is byte-level.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = files.folder
    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    if _spaces(tokenizer) != _spaces(SPACED) and (folder / TOKENIZER).exists():
        plain = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
        tokenizer = plain if _spaces(plain) == _spaces(SPACED) else tokenizer
    return tokenizer


def _spaces(text: str | PreTrainedTokenizerBase) -> list[str]:
    """The blanks of a text, or those that a tokenizer keeps of `SPACED`."""
    if not isinstance(text, str):
        text = str(text.decode(text.encode(SPACED, add_special_tokens=False), clean_up_tokenization_spaces=False))
    return list(filter(str.isspace, text))


def _switch_off_sampling(tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Switch off BPE dropout, with a warning: prompts and losses would be random; UserError for another randomness."""
    model: Any = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    if dropout := getattr(model, "dropout", None):
        warn_once(
            f"{source}: warning: its tokenizer has a dropout of {dropout:.2g}, which makes tokens random: not used"
        )
        model.dropout = None
    read = [tokenizer.encode(PROBE, add_special_tokens=False) for _ in range(READINGS)]
    if any(ids != read[0] for ids in read):
        raise UserError(
            f"{source}: its tokenizer gives one text other tokens each time, as for subword regularisation; switch "
            "that off and save it again"
        )


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the highest token id: a vocabulary may have gaps."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all tokens with their ids: equal for two models that read text as the same tokens."""
    return _digest(getattr(tokenizer, "backend_tokenizer", None) or tokenizer, len(tokenizer))


@lru_cache(KEPT)
def _digest(vocabulary: Any, tokens: int) -> str:
    """That of a vocabulary, kept for as long as it has this number of tokens."""
    return hashlib.sha256(json.dumps(sorted(vocabulary.get_vocab().items())).encode()).hexdigest()
