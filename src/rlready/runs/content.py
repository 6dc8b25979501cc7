"""The content of files and folders, by which a run knows again what it has read.

The content of a model is what is loaded of it: weights, configuration, tokenizer and chat templates.  Its card, its
licence, the state and logs of the trainer that saved it and the checkpoints below it may change, or go, while the model
stays what it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath
from stat import S_ISREG

from rlready.core.errors import UserError
from rlready.runs.files import LEFTOVER, os_errors_named

LARGE = 1 << 20  # bytes: a weight file that is verified, then recorded
CONFIG, ADAPTER = "config.json", "adapter_config.json"
MODEL = (CONFIG, ADAPTER)  # one of these is in the folder of every model, beside weights
WEIGHTS = re.compile(r"(adapter_|pytorch_)?model.*\.(safetensors|bin)(\.index\.json)?")
INDEX = ".index.json"  # the end of the name of a file that names the files with weights
LOADED = re.compile(
    r"((adapter_|generation_|(pre)?processor_|tokenizer_)?config|special_tokens_map|added_tokens|chat_template"
    r"|tokenizer.*|vocab.*|tekken)\.json|.*\.(jinja|model|tiktoken|spm|codes|bpe|vocab)|(vocab|merges).*\.txt"
)
TEMPLATES = "additional_chat_templates"  # the folder of chat templates that have names


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content; a large file is read once in a process, unless its size or time changes.

    UserError if it cannot be read.
    """
    with os_errors_named(path, "read"):
        about = path.stat()
        if not S_ISREG(about.st_mode):  # a named pipe would be waited for without end
            raise UserError(f"{path}: not a regular file")
        read = _digest if about.st_size > LARGE else _digest.__wrapped__
        return read(path.resolve(), about.st_size, about.st_mtime_ns)


@cache
def _digest(path: Path, _size: int, _modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_files(path: Path) -> list[Path]:
    """The file at ``path``, or the files of the folder there, sorted, of a model those that are its content.

    Hidden files are left out, and leftovers of writing: Git and the Hugging Face hub keep hidden ones there (``.git``,
    ``.cache``), which change although the content does not.
    """
    if not path.is_dir():
        return [path]
    return _of_model(path) if is_model(path) else _all(path)


def is_model(folder: Path) -> bool:
    """Whether a folder has a model's configuration, and weights: a folder of data may have a ``config.json``, too."""
    names = os.listdir(folder) if folder.is_dir() else []
    return any(name in names for name in MODEL) and any(map(WEIGHTS.fullmatch, names))


def _of_model(folder: Path) -> list[Path]:
    """What is loaded: of the folder itself, the templates that have names, and what an index of weights names."""
    found = {folder / name for name in os.listdir(folder) if LOADED.fullmatch(name) or WEIGHTS.fullmatch(name)}
    found |= {*folder.glob(f"{TEMPLATES}/*.jinja")}
    for index in [file for file in found if file.name.endswith(INDEX) and file.is_file()]:
        found |= {folder / name for name in _named(index)}
    return sorted(file for file in found if file.is_file())


def _named(index: Path) -> set[str]:
    """The files in its folder that an index of weights names; none if it cannot be read, which is said where they are
    loaded."""
    weights: object = None
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(index.read_bytes())
        weights = content.get("weight_map") if isinstance(content, dict) else None
    names = [name for name in weights.values() if isinstance(name, str)] if isinstance(weights, dict) else []
    return {name for name in names if "\0" not in name and not {"..", "/"} & {*PurePath(name).parts}}


def _all(folder: Path) -> list[Path]:
    def kept(file: Path) -> bool:
        return not any(part.startswith(".") or LEFTOVER.fullmatch(part) for part in file.relative_to(folder).parts)

    return [file for file in sorted(folder.rglob("*")) if file.is_file() and kept(file)]


def content_digest(path: Path) -> str:
    """SHA-256 in hex of a file, or over the relative names and contents of the `content_files` of a folder."""
    return _listed(path, content_files(path)) if path.is_dir() else file_digest(path)


def has_content(path: Path, digest: str | None, known: Mapping[str, str] | None = None) -> bool:
    """Whether ``digest`` is that of the content of ``path``.

    Earlier versions recorded that of all files of a model, which is taken, too.  ``known`` are checksums, by the name
    in a folder, of files that need not be read again.
    """
    if not path.is_dir():
        return digest == file_digest(path)
    if digest == _listed(path, content_files(path), known):
        return True
    return is_model(path) and digest == _listed(path, _all(path), known)


def same_content(path: Path, digests: Iterable[str | None]) -> bool:
    """Whether ``digests`` are equal, or all of what is at ``path`` now, as two versions have recorded it."""
    known = set(digests)
    return len(known) < 2 or (path.exists() and all(has_content(path, digest) for digest in known))


def _listed(folder: Path, files: Iterable[Path], known: Mapping[str, str] | None = None) -> str:
    """SHA-256 over the names of files and the digests of their content."""
    known = known or {}
    names = {file.relative_to(folder).as_posix(): file for file in files}
    lines = (f"{name}\0{known.get(name) or file_digest(file)}\n" for name, file in names.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
