"""Whether the files that are recorded are those that were read: others may have taken their place in between.

A file that is written to has a new time; one that was moved to where another was has not, but it is another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rlready.runs.files import os_errors_named
from rlready.runs.provenance import content_files

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

    @property
    def changed(self) -> Path | None:
        """The path if other files are there now, else None."""
        return None if Seen.at(self.path) == self else self.path


def _identity(file: Path) -> Identity:
    about = file.stat()
    return str(file.resolve()), about.st_size, about.st_mtime_ns, about.st_ctime_ns
