"""Drift: a reward that ignores correctness can collapse a policy whose KL penalty is too weak.

The optimum of dense rewards is π_SFT^{1+1/βσ} / π_ref^{1/βσ}, where r̂ is divided by its standard deviation σ.  A small
β therefore collapses the entropy, and because E[r̂], the divergence of π_ref from π_SFT, is never negative, longer
responses earn more.  A step whose entropy or length is far from those of the first step is reported.  The
bounds are a choice of this package.
"""

from __future__ import annotations

from dataclasses import dataclass

COLLAPSE = 0.25  # of the first step's entropy
LENGTHS = (0.6, 1.4)  # times the first step's length


@dataclass(frozen=True)
class Watched:
    """The watched quantities of a step: entropy in nats per chosen token, and mean length in tokens."""

    entropy: float
    length: float


def drift(first: Watched, now: Watched) -> dict[str, str]:
    """The quantities that have drifted since the first step, each with a description in words."""
    found = {}
    if now.entropy < COLLAPSE * first.entropy:
        found["entropy"] = f"entropy collapsed from {first.entropy:.3f} to {now.entropy:.3f} nats per token"
    low, high = (share * first.length for share in LENGTHS)
    if not low <= now.length <= high:
        found["length"] = f"length went from {first.length:.1f} to {now.length:.1f} tokens"
    return found
