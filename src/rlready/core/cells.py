"""Cells of the tables on a terminal: shares in per cent with one decimal, a dash for what is unknown.

The unit stands in the header of the column: ``accuracy (%)``.
"""

from __future__ import annotations

import math

from rlready.core.records import Estimate

DASH = "–"


def fixed(value: float, digits: int, options: str = "") -> str:
    """A number with so many decimals; halves are rounded away from 0, as readers expect, not to the even digit.

    ``options`` are those of a format: ``+`` for a sign of positive numbers, too, ``,`` between thousands.
    """
    away = min(abs(value) * 1e-9, 10.0 ** -(digits + 3))
    return f"{value + 0.0 + math.copysign(away, value):{options}.{digits}f}"  # -0.0 + 0.0 is 0.0


def counted(n: int, noun: str) -> str:
    """``1 run``, ``2,000 runs``."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def rough_time(seconds: float) -> str:
    """A time that is only estimated: ``40 s``, ``12 min``, ``2.5 h``."""
    for unit, size in (("s", 1), ("min", 60)):
        if seconds < 90 * size:
            return f"{max(1, round(seconds / size))} {unit}"
    return f"{seconds / 3600:.2g} h" if seconds < 90 * 3600 else f"{seconds / 86400:,.0f} days"


def percent(value: float | Estimate | None) -> str:
    """A share in per cent, without its unit; an estimate with its interval."""
    return _cell(value, 100.0, 1)


def decimal(value: float | Estimate | None, digits: int = 3) -> str:
    """A number with so many decimals; an estimate with its interval."""
    return _cell(value, 1.0, digits)


def decimals(estimate: Estimate, scale: float = 1.0) -> int:
    """How many digits behind the point of an estimate times ``scale`` its interval supports, at most 3.

    The half-width keeps two significant digits if they are 10 to 35, else one: the rule of the Particle Data Group for
    errors (Review of Particle Physics, Introduction, section 5.3).  One digit without a finite interval.
    """
    half = scale * (estimate.high - estimate.low) / 2
    if not 0 < half < math.inf:
        return 1
    exponent = math.floor(math.log10(half))
    return min(3, max(0, int(half < 3.55 * 10.0**exponent) - exponent))


def supported(estimate: Estimate | None, scale: float = 1.0) -> str:
    """An estimate times ``scale`` with its interval, to as many digits as that supports."""
    return DASH if estimate is None else _cell(estimate, scale, decimals(estimate, scale))


def brief_percent(share: Estimate, *beside: Estimate) -> str:
    """A share in per cent, without its unit, to as many digits as its interval and those ``beside`` it support."""
    return fixed(100 * share.value, min(decimals(each, 100) for each in (share, *beside)))


def _cell(value: float | Estimate | None, scale: float, digits: int) -> str:
    if isinstance(value, Estimate):
        low, high = (_cell(end, scale, digits) for end in (value.low, value.high))
        return f"{_cell(value.value, scale, digits)} [{low}, {high}]"
    return DASH if value is None or math.isnan(value) else fixed(scale * value, digits)
