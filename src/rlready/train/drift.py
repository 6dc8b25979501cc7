"""Drift: what a reward blind to correctness does to a policy when its leash is too long.

The optimum of dense rewards is π_SFT^{1+1/βσ} / π_ref^{1/βσ}, σ the deviation of r̂ that they are divided by: a small β
collapses entropy, and as E[r̂], the divergence of π_ref from π_SFT, is never negative, length is paid for.  So the first
step's entropy (nats per chosen token) and thinking tokens are kept, and a step far from them is told of.  The bounds
are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WATCHED = ("entropy", "thinking")
COLLAPSE = 0.25  # of the first step's entropy
LENGTHS = (0.6, 1.4)  # times the first step's thinking tokens


def drift(first: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, str]:
    """What has drifted between the first line of the log and this one: which quantity, and how in words."""
    found = {}
    if line["entropy"] < COLLAPSE * first["entropy"]:
        found["entropy"] = f"entropy collapsed from {first['entropy']:.3f} to {line['entropy']:.3f} nats per token"
    low, high = (share * first["thinking"] for share in LENGTHS)
    if not low <= line["thinking"] <= high:
        found["thinking"] = f"thinking went from {first['thinking']:.1f} to {line['thinking']:.1f} tokens"
    return found
