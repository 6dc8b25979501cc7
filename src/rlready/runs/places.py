"""Where a run was started from, and where the paths that it has named are, though its folder was moved since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath


def directory_of(out: Path) -> str:
    """The working directory, from a run folder above which it is, or from the user's home; "" elsewhere.

    So the record holds no name that is not inside the folder that both are in.
    """
    here, home = Path.cwd(), Path(os.path.realpath(os.path.expanduser("~")))
    if Path(os.path.abspath(out)).is_relative_to(here):
        return os.path.relpath(here, out)
    return str(PurePath("~", here.relative_to(home))) if here.is_relative_to(home) else ""


def located(name: str, *, was: str, directory: str, now: Path) -> Path:
    """The path that a run has called ``name``, which called its folder ``was`` and is in the folder ``now``.

    It is one in the ``directory`` in which the run was started (`directory_of`), as far as that is known, if there is
    such a path, or none in the working directory; of a folder with several runs that was renamed, the path in it.
    """
    found = [Path(os.path.normpath(start / name)) for start in _starts(was, directory, now)]
    found += _renamed(PurePath(os.path.normpath(name)), was, now)
    return next((path for path in [*found, Path(name)] if path.exists()), [*found, Path(name)][0])


def _renamed(name: PurePath, was: str, now: Path) -> Iterator[Path]:
    """Where a path is now that was in a folder with the run, as a sweep has several, which has another name."""
    before, parts = PurePath(os.path.normpath(was)).parts, Path(os.path.abspath(now)).parts
    for outer in range(len(before) - 1, 0, -1):
        inner = before[outer:]
        if parts[len(parts) - len(inner) :] == inner and name.parts[:outer] == before[:outer]:
            yield Path(*parts[: len(parts) - len(inner)], *name.parts[outer:])


def _starts(was: str, directory: str, now: Path) -> Iterator[Path]:
    """The directories in which the run may have been started, by where it is now."""
    parts = PurePath(os.path.normpath(was)).parts
    up = parts.count("..")  # that many last folders of the directory are not known
    inner = parts[up:]
    for place in (Path(os.path.abspath(now)), now.resolve()):
        if os.path.isabs(was) and directory:
            yield place / os.path.expanduser(directory)
        elif was and place.parts[len(place.parts) - len(inner) :] == inner:
            yield Path(*place.parts[: len(place.parts) - len(inner)], *["?"] * up)
