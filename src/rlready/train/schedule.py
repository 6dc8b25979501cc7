"""Learning-rate schedules, as factors of the peak learning rate, and the constants of the optimiser."""

from __future__ import annotations

import math
from typing import Literal

BETAS = (0.9, 0.95)  # of AdamW
EPSILON = 1e-8  # of AdamW
WARMUP_RATIO = 0.05  # share of the steps of RL over which its learning rate rises; it is constant then
Schedule = Literal["constant", "linear", "cosine"]


def warmup(step: int, steps: int, ratio: float) -> float:
    """Linear warm-up over the first ``ratio`` of the steps; step 0 is the first."""
    return min(1.0, (step + 1) / max(1, round(steps * ratio)))


def learning_rate_factor(step: int, steps: int, warmup_ratio: float, schedule: Schedule) -> float:
    """The warm-up factor times the decay, which reaches 0 at ``steps``."""
    share = step / max(steps, 1)
    decay = {"constant": 1.0, "linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share))}[schedule]
    return warmup(step, steps, warmup_ratio) * decay
