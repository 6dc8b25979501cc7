"""Rewards of a group: pure functions of which responses are right and how long they thought.

    verdict    c
    brief      c · (1 − a · σ((n − mean n_correct) / (std n_correct + 1e-7)))       a = 0.1
    selective  brief in groups at least half right, else c                          a = 0.1
    overlong   c + a · r,  r = 0 up to N − N/5, falling to −1 at N, −1 beyond       a = 1
    exact      c − min(a · |N − n|, 1/2)                                            a = 3e-4
    at_most    c · clip(a · (N − n) + 1/2, 0, 1)                                    a = 3e-4

c is 1 for a right answer and 0 for a wrong one, n thinking tokens, N the target length; the a beside each is its
source's, for thoughts of thousands of tokens where it is per token.  Sources: ``brief`` Arora & Zanette (arXiv
2502.04463), statistics over the group's correct responses; ``selective`` GRPO-λ (2505.18086; of which groups
keep the length term only "a high correct ratio" was at hand: the half is ours); ``overlong`` DAPO (2503.14476, eq. 13,
its cache a fifth of N as there); ``exact`` and ``at_most`` LCPO (L1, 2503.04697).

In none does a wrong answer outrank a right one of its group.  For that ``exact`` is bounded at 1/2, which is ours:
unbounded, a wrong answer on target would beat a right one 1/a tokens off it.  Where the source gives 0 to a response
without an end, here the verifier's word stands.  Left out: Kimi k1.5's and the cosine reward, where a longer wrong
answer can gain on a shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlready.core.config import Reward
from rlready.core.errors import UserError

Floats = NDArray[np.float64]
STRENGTH: dict[Reward, float] = {
    **{"verdict": 0.0, "brief": 0.1, "selective": 0.1},
    **{"overlong": 1.0, "exact": 3e-4, "at_most": 3e-4},
}
MOSTLY = 0.5  # share of right answers from which on ``selective`` cares for length
CACHE = 0.2  # of the target: where ``overlong`` begins before it
LARGEST = 0.5  # what ``exact`` takes at most


def brief(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float) -> Floats:
    """(G,) rewards; ``correct`` (G,), ``thinking`` (G,) tokens; a = 0 is the verdict itself."""
    reward = correct.astype(np.float64)
    if a and correct.any():
        right = thinking[correct].astype(np.float64)
        z = (thinking - right.mean()) / (right.std() + 1e-7)
        # far from the mean the sigmoid is flat; the clip only keeps exp from overflowing
        reward *= 1 - a / (1 + np.exp(-np.clip(z, -50, 50)))
    return reward


def selective(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float) -> Floats:
    """(G,) rewards: ``brief`` where most answers are right already, the verdict elsewhere."""
    return brief(correct, thinking, a if correct.mean() >= MOSTLY else 0.0)


def overlong(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float, target: int) -> Floats:
    """(G,) rewards; free up to four fifths of ``target`` tokens."""
    free = (1 - CACHE) * target
    return np.asarray(correct + a * np.clip((free - thinking) / (CACHE * target), -1.0, 0.0))


def exact(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float, target: int) -> Floats:
    """(G,) rewards; best at ``target`` tokens, for right and for wrong answers."""
    return np.asarray(correct - np.minimum(a * np.abs(target - thinking), LARGEST))


def at_most(correct: NDArray[np.bool_], thinking: NDArray[np.int64], a: float, target: int) -> Floats:
    """(G,) rewards; a right answer is worth half at ``target`` tokens, more below, less above."""
    return np.asarray(correct * np.clip(a * (target - thinking) + 0.5, 0.0, 1.0))


@dataclass(frozen=True)
class Pay:
    """A reward and its one coefficient; 0 takes the source's own.

    Raises UserError where the coefficient could let a wrong answer outrank a right one.
    """

    kind: Reward = "verdict"
    strength: float = 0.0

    def __post_init__(self) -> None:
        shares = ("brief", "selective", "overlong")
        if self.strength < 0 or (self.kind in shares and self.strength > 1):
            raise UserError(
                f"strength of reward={self.kind} must lie in [0, 1], so that no wrong answer outranks a right one, "
                f"got {self.strength}"
                if self.kind in shares
                else f"strength must not be negative, got {self.strength}"
            )
        if self.kind == "verdict" and self.strength:
            raise UserError(f"strength={self.strength} has no meaning for reward=verdict; choose reward=brief, say")

    def __call__(self, correct: NDArray[np.bool_], thinking: NDArray[np.int64], target: int) -> Floats:
        """(G,) rewards of one group, from verdicts (G,) and thinking tokens (G,)."""
        a = self.strength or STRENGTH[self.kind]
        if self.kind in ("verdict", "brief"):
            return brief(correct, thinking, a)
        if self.kind == "selective":
            return selective(correct, thinking, a)
        by_target = {"overlong": overlong, "exact": exact, "at_most": at_most}[self.kind]
        return by_target(correct, thinking, a, target)
