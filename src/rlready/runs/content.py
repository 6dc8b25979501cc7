"""The content of files and folders, by which a run knows again what it has read.

The content of a model is what a program that loads it reads: weights, configuration, tokenizer, chat template, code.
Its card, its licence, the state of the trainer that saved it and the checkpoints below it may change, or go, while the
model stays what it is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from stat import S_ISREG

from rlready.core.errors import UserError
from rlready.runs.files import LEFTOVER, os_errors_named

LARGE = 1 << 20  # bytes: a weight file that is verified, then recorded
MODEL = ("config.json", "adapter_config.json")  # one of these is in the folder of every model
OF_MODELS = (".safetensors", ".bin", ".json", ".jinja", ".txt", ".model", ".tiktoken", ".py")
# of Transformers' Trainer, TRL and Accelerate, which save it beside the model
OF_TRAINERS = {"trainer_state.json", "training_args.bin", "optimizer.bin", "scheduler.bin"}
RESULTS = "_results.json"  # the end of the names of their metrics


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
    return sorted(_of_model(path) if _is_model(path) else _files(path))


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in MODEL)


def _of_model(folder: Path) -> Iterator[Path]:
    for file in _files(folder, models=False):
        if file.suffix in OF_MODELS and file.name not in OF_TRAINERS and not file.name.endswith(RESULTS):
            yield file


def _files(folder: Path, *, models: bool = True) -> Iterator[Path]:
    """All files in a folder, except hidden ones and leftovers; without ``models``, none of a model in a folder below
    it, as a trainer keeps its checkpoints there."""

    def kept(name: str) -> bool:
        return not name.startswith(".") and not LEFTOVER.fullmatch(name)

    for at, below, names in os.walk(folder):
        below[:] = [name for name in below if kept(name) and (models or not _is_model(Path(at, name)))]
        yield from (file for name in names if kept(name) and (file := Path(at, name)).is_file())


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
    return _is_model(path) and digest == _listed(path, sorted(_files(path)), known)


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
