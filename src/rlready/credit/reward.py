"""Rewards of a group: pure functions of which responses are correct and of how long they are.

    correctness    c
    arora_zanette  c · (1 − a · σ((n − mean n_correct) / (std n_correct + 1e-7)))   a = 0.1
    grpo_lambda    arora_zanette in groups at least half correct, else c            a = 0.1
    dapo_overlong  c + a · r,  r = 0 up to N − N/5, falling to −1 at N, −1 beyond   a = 1
    lcpo_exact     c − min(a · |N − n|, 1/2)                                        a = 3e-4
    lcpo_max       c · clip(a · (N − n) + 1/2, 0, 1)                                a = 3e-4

c is 1 for a correct answer and 0 for a wrong one, n is the number of thinking tokens (of response tokens, for a model
that does not think), N the target length.  The value of a is that of the source; a coefficient per token is meant for
thoughts of thousands of tokens.  Sources: ``arora_zanette`` Arora & Zanette (arXiv 2502.04463), statistics over the
group's correct responses; ``grpo_lambda`` GRPO-λ (2505.18086, which says only that groups with "a high correct ratio"
keep the length term: one half is a choice of this package); ``dapo_overlong`` DAPO (2503.14476, eq. 13, its cache a
fifth of N as there); ``lcpo_exact`` and ``lcpo_max`` LCPO (L1, 2503.04697).

No wrong answer gets a higher reward than a correct one of its group.  The penalty of ``lcpo_exact`` is bounded at 1/2
for that reason: without the bound, which the source does not have, a wrong answer on target would beat a correct one
that misses it by 1/a tokens.  A truncated response, which gets 0 in some sources, is verified here.  Left out:
the rewards of Kimi k1.5 and the cosine reward, in which a longer wrong answer can earn more than a shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlready.core.config.rl import Reward, check_reward_coef

Floats = NDArray[np.float64]
COEFFICIENT: dict[Reward, float] = {
    **{"correctness": 0.0, "arora_zanette": 0.1, "grpo_lambda": 0.1},
    **{"dapo_overlong": 1.0, "lcpo_exact": 3e-4, "lcpo_max": 3e-4},
}
SOURCES: dict[Reward, str] = {
    "arora_zanette": "Arora & Zanette, arXiv 2502.04463",
    "grpo_lambda": "GRPO-λ, arXiv 2505.18086",
    "dapo_overlong": "Yu et al., arXiv 2503.14476",
    **{"lcpo_exact": "Aggarwal & Welleck, arXiv 2503.04697", "lcpo_max": "Aggarwal & Welleck, arXiv 2503.04697"},
}
MOSTLY = 0.5  # share of correct answers from which on ``grpo_lambda`` has a length term
CACHE = 0.2  # share of the target over which the penalty of ``dapo_overlong`` grows
LARGEST = 0.5  # penalty of ``lcpo_exact``


def arora_zanette(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float) -> Floats:
    """(G,) rewards; ``correct`` (G,), ``thinking`` (G,) tokens; a = 0 is correctness itself."""
    reward = correct.astype(np.float64)
    if a and correct.any():
        right = thinking[correct].astype(np.float64)
        z = (thinking - right.mean()) / (right.std() + 1e-7)
        # far from the mean the sigmoid is flat; the clip only keeps exp from overflowing
        reward *= 1 - a / (1 + np.exp(-np.clip(z, -50, 50)))
    return reward


def grpo_lambda(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float) -> Floats:
    """(G,) rewards: ``arora_zanette`` where most answers are correct, correctness elsewhere."""
    return arora_zanette(correct, thinking, a if correct.mean() >= MOSTLY else 0.0)


def dapo_overlong(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float, target: int) -> Floats:
    """(G,) rewards; without a penalty up to four fifths of ``target`` tokens."""
    free = (1 - CACHE) * target
    return np.asarray(correct + a * np.clip((free - thinking) / (CACHE * target), -1.0, 0.0))


def lcpo_exact(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float, target: int) -> Floats:
    """(G,) rewards; highest at ``target`` tokens, for correct and for wrong answers."""
    return np.asarray(correct - np.minimum(a * np.abs(target - thinking), LARGEST))


def lcpo_max(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float, target: int) -> Floats:
    """(G,) rewards; a correct answer earns one half at ``target`` tokens, more below, less above."""
    return np.asarray(correct * np.clip(a * (target - thinking) + 0.5, 0.0, 1.0))


@dataclass(frozen=True)
class RewardFn:
    """A reward and its one coefficient; None takes that of the source.

    Raises UserError where the coefficient could let a wrong answer outrank a correct one.
    """

    kind: Reward = "correctness"
    coef: float | None = None

    def __post_init__(self) -> None:
        check_reward_coef(self.kind, self.coef)

    def __call__(self, correct: NDArray[np.bool_], thinking: NDArray[np.int64], target: int) -> Floats:
        """(G,) rewards of one group, from correctness (G,) and lengths (G,)."""
        a = COEFFICIENT[self.kind] if self.coef is None else self.coef
        if self.kind in ("correctness", "arora_zanette"):
            return arora_zanette(correct, thinking, a)
        if self.kind == "grpo_lambda":
            return grpo_lambda(correct, thinking, a)
        by_target = {"dapo_overlong": dapo_overlong, "lcpo_exact": lcpo_exact, "lcpo_max": lcpo_max}[self.kind]
        return by_target(correct, thinking, a, target)
