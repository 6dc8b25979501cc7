"""The nearest existing name of a path that does not exist, for errors."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path


def did_you_mean(path: str) -> str:
    """ "; did you mean data/dev.jsonl?": the nearest existing path, or the first part of the path that is missing.

    Empty if nothing near exists.
    """
    at = Path(path)
    while not os.path.lexists(at.parent):
        at = at.parent
    try:
        names = sorted(
            name for name in os.listdir(at.parent) if name.isprintable() and os.path.exists(at.parent / name)
        )
    except OSError:
        return ""
    by_stem = {name.partition(".")[0]: name for name in names} | {name: name for name in names}
    if close := get_close_matches(at.name, by_stem, n=1, cutoff=0.7):
        near = at.parent / by_stem[close[0]]
        whole = near / Path(path).relative_to(at)
        return f"; did you mean {whole if whole.exists() else near}?"
    return f"; there is no {at}" if at != Path(path) else ""
