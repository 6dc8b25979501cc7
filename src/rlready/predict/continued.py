"""The values of a run that went on from an earlier step: they replace what had followed that step."""

from __future__ import annotations

import math
from collections.abc import Iterable


def continued(points: Iterable[tuple[float, float | None]]) -> tuple[dict[float, float], int]:
    """(values by step, how many were replaced) of (step, value) in the order in which they were logged.

    A step below the one before is that of a run that went on from there, even if it has no value (None); one that
    comes again has its last value.
    """
    found: dict[float, float] = {}
    last, replaced = -math.inf, 0
    for at, value in points:
        if at < last:
            before, found = len(found), {step: old for step, old in found.items() if step < at}
            replaced += before - len(found)
        if value is not None:
            replaced += at in found
            found[at] = value
        last = at
    return found, replaced
