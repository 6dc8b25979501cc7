"""Values of predictors as they are printed: shares of problems or groups in per cent, their differences in points."""

from __future__ import annotations

import math

from rlready.core.cells import decimal, percent
from rlready.core.records import Estimate
from rlready.core.stats import limited


def in_units(by: str, value: float) -> str:
    """A value of a predictor as it is printed: shares in per cent."""
    return f"{percent(value)} %" if is_share(by) else decimal(value)


def lead_in_units(by: str, lead: float | Estimate) -> str:
    """A difference of two values of a predictor as it is printed, its interval `limited`: those of shares in points."""
    lead = limited(lead, span_of(by)) if isinstance(lead, Estimate) else lead
    return f"{percent(lead)} points" if is_share(by) else decimal(lead)


def span_of(by: str) -> float:
    """The largest difference that two values of a predictor can have."""
    if is_share(by) or by.startswith("cover@"):
        return 1.0
    return 0.5 if by == "group_signal" else math.inf


def meaning_of(by: str) -> str:
    """What pass@k at large k is, in words; "" for another predictor."""
    k = by.removeprefix("pass@")
    return f"problems of which at least one of {k} samples is correct" if k not in (by, "1") else ""


def is_share(by: str) -> bool:
    """Whether a predictor is a share of problems or groups."""
    return by.startswith("pass@") or by == "informative"
