"""Cells of the tables on a terminal: shares in per cent with one decimal, a dash for what is unknown.

The unit stands in the header of the column: ``accuracy (%)``.
"""

from __future__ import annotations

import math

from rlready.core.records import Estimate

DASH = "–"


def percent(value: float | Estimate | None) -> str:
    """A share in per cent, without its unit; an estimate with its interval."""
    return _cell(value, 100.0, 1)


def decimal(value: float | Estimate | None, digits: int = 3) -> str:
    """A number with so many decimals; an estimate with its interval."""
    return _cell(value, 1.0, digits)


def _cell(value: float | Estimate | None, scale: float, digits: int) -> str:
    if isinstance(value, Estimate):
        low, high = (_cell(end, scale, digits) for end in (value.low, value.high))
        return f"{_cell(value.value, scale, digits)} [{low}, {high}]"
    return DASH if value is None or math.isnan(value) else f"{scale * value:.{digits}f}"
