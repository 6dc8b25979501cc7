"""Whether the files that are recorded are those that were read: others may have taken their place in between.

A file that is written to has a new time; one that was moved to where another was has not, but it is another one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rlready.core.errors import UserError
from rlready.runs.content import content_files
from rlready.runs.files import os_errors_named

# where it is, without links, then size, and times in nanoseconds; some file systems give a file another inode any time
Identity = tuple[str, int, int, int]


@dataclass(frozen=True)
class Seen:
    """The files at ``path``, or in the folder there, as they were when this was made."""

    path: Path
    files: frozenset[Identity]

    @classmethod
    def at(cls, path: Path) -> Self:
        """What is there now; UserError if it cannot be read."""
        with os_errors_named(path, "read"):
            return cls(path, frozenset(map(_identity, content_files(path))))


def seen_at(path: Path | None) -> Seen | None:
    """What is at ``path``, before it is read; None for none."""
    return Seen.at(path) if path else None


def refuse_others(verb: str, seen: Seen | None, path: Path | None = None, begun: float = 0.0) -> None:
    """UserError if others are there than were ``seen`` when they were read, or one at ``path`` has changed since
    ``begun``, in seconds of `time.time`."""
    new = _changed_since(path, begun) if path else None
    if not new and seen and Seen.at(seen.path) != seen:
        new = seen.path
    if new:
        raise UserError(f"{new} changed while {verb} was reading: start again when it is no longer written to")


def _changed_since(path: Path, begun: float) -> Path | None:
    """A file, or one in a folder; one from the future, as the clock of a file server may give it, does not count."""
    now = time.time()
    with os_errors_named(path, "read"):
        return next((file for file in content_files(path) if begun < file.stat().st_ctime <= now), None)


def _identity(file: Path) -> Identity:
    about = file.stat()
    return str(file.resolve()), about.st_size, about.st_mtime_ns, about.st_ctime_ns
