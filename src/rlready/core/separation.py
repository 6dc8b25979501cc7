"""How many more problems it would take to separate two paired figures, as it is counted and said."""

from __future__ import annotations

from rlready.core.records import Estimate

MOST_PROBLEMS = 10_000  # a pair that takes more of them is called inseparable


def separable(more: int | None) -> int | None:
    """About how many more problems (`units_to_decide`), to two digits; None if no sensible number would do."""
    return None if more is None or more > MOST_PROBLEMS else int(float(f"{more:.2g}"))


def to_separate(one: str, other: str, lead: Estimate, more: int | None, by: str = "") -> str:
    """The cost of knowing which of two is better, in a sentence; ``lead`` is that of one over the other, in ``by``."""
    count = separable(more)
    if count is None:
        figure = f" by {by}" if by else ""
        return (
            f"{one} and {other} cannot be separated{figure}: it would take over {MOST_PROBLEMS:,} more {lead.varies}."
        )
    return (
        f"To separate {one} from {other}, measure about {count:,} more {lead.varies} (enough in 4 cases of 5, if the "
        "lead is as measured)."
    )
