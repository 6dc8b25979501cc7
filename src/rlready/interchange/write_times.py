"""Files of an earlier run in the same folder, which the times tell at which files were written.

A run that began again leaves one place where files get older from a step to the next, however soon it began.  A copy
may leave such places, too: many where it took the files in any order, or one where it took 10 before 2, in the order
of their names.  The rules are a choice of this package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from rlready.core.messages import warn

HOUR = 3600.0  # seconds, which a copy seldom takes
MOMENT = 30.0  # those of a few files, among which chance may leave a single place
RESTARTS = 6  # files for each place beyond the first, of a folder that is no copy


def say_older(where: str, files: Sequence[Path]) -> None:
    """Warn of files, in the order of their steps, of which a later one is older."""
    for series in _series(files):
        times = [file.stat().st_mtime for file in series]
        newest, least = 0, HOUR if _may_be_copied(series, times) else MOMENT
        for at, time in enumerate(times):
            if time < times[newest] - least:
                inside = os.path.commonpath(series)
                later, before = (series[each].relative_to(inside) for each in (at, newest))
                warn(
                    f"{where}: warning: {later} is of a later step than {before}, but was written before it: if it is "
                    "of an earlier run in the same folder, remove it"
                )
                return
            newest = at if time > times[newest] else newest


def _may_be_copied(files: Sequence[Path], times: Sequence[float]) -> bool:
    """Whether a copy may have set the times: in the order of names, or in none."""
    older = sum(later < time for time, later in pairwise(times))
    named = [time for _, time in sorted(zip(files, times, strict=True))]
    return named == sorted(times) or older > max(1, len(files) // RESTARTS)


def _series(files: Iterable[Path]) -> Iterable[Sequence[Path]]:
    """Files whose paths differ in numbers alone: evaluations may end after later steps of training."""
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(re.sub("[0-9]+", "", str(file)), []).append(file)
    return found.values()
