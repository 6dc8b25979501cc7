"""Checksums of the files that a run reads again: a file that has changed since is refused, not continued from.

They are in ``record.json``, by the path in the run folder.  A file without one, of an earlier version or of a kill
between the file and the record, is taken as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePath

from rlready.core.errors import UserError
from rlready.runs.content import content_files, file_digest, has_content, is_model

# in the folder of a checkpoint: the checksums of its files, its card, and the checksum of an adapter's base
CHECKSUMS, CARD, BASE = "checksums.sha256", "README.md", "base.sha256"
LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/]+)")  # of the first


def checksums(folder: Path, path: Path) -> dict[str, str]:
    """SHA-256 of the file ``path``, or of every file in it, by the path relative to the run's ``folder``."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {file.relative_to(folder).as_posix(): file_digest(file) for file in files if file.is_file()}


def has_listed(folder: Path, digest: str | None) -> bool | None:
    """Whether a checkpoint has the content of ``digest`` by the checksums that were saved with it, without reading its
    weights; None for a folder without them or without weights, which were deleted, and without ``digest``."""
    if digest is None or not (folder / CHECKSUMS).is_file() or not is_model(folder):
        return None
    return has_content(folder, digest, _listed(folder))


def is_intact(model: Path, digest: str | None, since: str) -> bool:
    """Whether a model has weights and is what it was at a time in UTC, as a record has it.

    Only files that were written later are read: they have to make up ``digest``, or without one to be those of the
    checksums that were saved with them.
    """
    if not is_model(model):
        return False
    then = datetime.fromisoformat(since).timestamp()
    later = [file for file in content_files(model) if file.stat().st_mtime > then]
    if later and digest:
        return has_content(model, digest)
    known = _listed(model)
    return all(file_digest(file) == known.get(file.name, file_digest(file)) for file in later)


def _listed(folder: Path) -> dict[str, str]:
    """The checksums that were saved with a checkpoint, by file; none without them."""
    if not (folder / CHECKSUMS).is_file():
        return {}
    lines = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    return {line[2]: line[1] for line in map(LINE.fullmatch, lines) if line}


def inside(name: str, folder: Path, path: Path) -> bool:
    """Whether a checksum, by its ``name``, is that of ``path`` or of a file in it."""
    return PurePath(name).is_relative_to(path.relative_to(folder).as_posix())


def changed(folder: Path, path: Path, known: Mapping[str, str]) -> Path | None:
    """The first file that is missing or not that of its checksum: ``path`` itself, or one in it; None for none.

    Cards do not count, because people edit them.
    """
    if not os.path.lexists(path):
        return path
    files = (folder / name for name in known if inside(name, folder, path) and PurePath(name).name != CARD)
    return next(
        (f for f in files if not f.is_file() or file_digest(f) != known[f.relative_to(folder).as_posix()]), None
    )


def refuse_changed(folder: Path, path: Path, known: Mapping[str, str], advice: str) -> None:
    """UserError with ``advice`` if ``path`` is there and `changed`."""
    file = changed(folder, path, known) if os.path.lexists(path) else None
    if file:
        raise UserError(f"{file}: damaged, or not the file that the run has written: {advice}")
