"""Sampling that stops where the answer is known: most of pass@k's cost is drawing again what was right already.

Every problem gets ``first`` draws; then only those without a success get more, in waves, until one comes or the cap is
reached (METHODS section 5; waves and their sizes are ours).  A problem's wave goes on to its end, so that a batch of an
engine is filled by several draws of one prompt.  As the random numbers of a draw depend on (seed, problem, sample)
alone, the draws are a subset of those that a run without stopping makes, the same token for token.

What may be estimated from which draws, because stopping at a success selects:

    pass@k for k up to the cap, unsolved problems      all draws, by ``pass_at_k_stopped``
    informative groups, group signal, p (1 - p),       the first ones, which no outcome decided: ``Counts.head``
      solved problems, entropy, lengths, truncation
    c / n over all draws                               nothing: it is biased

Shapes: P = problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate
from rlready.readiness.passk import Floats, Ints, Shares, curve, pass_at_k_stopped, within

Draw = Callable[[Sequence[int], int, int], NDArray[np.bool_]]
Sampling = Literal["adaptive", "full"]
LEAST_FIRST = 8
# most samples that are all drawn unless min_samples is given: the whole counts are worth more there
WORTH_STOPPING = 32


@dataclass(frozen=True)
class Counts:
    """What was drawn of each problem; all arrays (P,).

    ``since`` draws, all wrong, came before its last wave (0: it had only the first), ``drawn`` include that wave, and
    ``correct`` of them were right.  ``first`` draws every problem got, ``cap`` is the most any could get.
    """

    first: int
    cap: int
    since: Ints
    drawn: Ints
    correct: Ints

    @property
    def head(self) -> tuple[Ints, Ints]:
        """(n, c) of the draws that no outcome decided."""
        went_on = self.since > 0
        return np.where(went_on, self.first, self.drawn), np.where(went_on, 0, self.correct)

    def pass_at_k(self, ks: Sequence[int]) -> Floats:
        """(P, K) unbiased estimates; UserError for k outside 1..cap."""
        return pass_at_k_stopped(self.since, self.drawn, self.correct, self.cap, ks)

    def curve(self, ks: Sequence[int]) -> dict[int, Estimate]:
        """Mean pass@k over problems, with intervals."""
        return curve(self.pass_at_k(ks), ks)

    def shares(self, k: int) -> Shares:
        """Shares of problems unsolved in k draws, partially solved, and solved in k of the first (all, if fewer)."""
        n, c = self.head
        unsolved, solved = 1.0 - self.pass_at_k([k])[:, 0], within(c, n, min(k, int(n.min())))[:, -1]
        parts = (unsolved, 1.0 - unsolved - solved, solved)
        return Shares(*(mean_estimate(each, bounds=(0.0, 1.0)) for each in parts))


def waves(first: int, cap: int) -> list[tuple[int, int]]:
    """The draws (from, to) of each wave: the first, then as many again as there are, up to the cap."""
    ends = [min(first, cap)]
    while ends[-1] < cap:
        ends.append(min(2 * ends[-1], cap))
    return list(zip([0, *ends], ends, strict=False))


def plan(samples: int, group: int, sampling: Sampling, first: int = 0) -> list[tuple[int, int]]:
    """The waves of up to ``samples`` draws: one, where all are drawn.

    ``first`` 0 takes ``group``, for which informative groups and group signal are then unbiased, and at least 8.
    Without ``first``, "adaptive" stops at successes only above 32 samples.
    """
    stops = sampling == "adaptive" and (first > 0 or samples > WORTH_STOPPING)
    return waves(first or max(LEAST_FIRST, group), samples) if stops else [(0, samples)]


def draw_until_right(problems: int, plan: Sequence[tuple[int, int]], draw: Draw) -> Counts:
    """Draw the waves of a plan, each for the problems that are still without success.

    ``draw(which, from, to)`` returns (len(which), to - from): which draws of these problems were right.
    """
    since, drawn, correct = (np.zeros(problems, dtype=np.int64) for _ in range(3))
    for begin, end in plan:
        which = np.flatnonzero(correct == 0)
        if not len(which):
            break
        since[which], drawn[which] = begin, end
        correct[which] = draw(which.tolist(), begin, end).sum(1)
    return Counts(plan[0][1], plan[-1][1], since, drawn, correct)
