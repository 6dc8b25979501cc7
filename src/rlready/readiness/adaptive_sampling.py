"""Adaptive sampling: a problem gets no more samples once one is right, since most of pass@k's cost is such samples.

Every problem gets ``first`` draws; then only problems without a success get more, in waves, until one is right or the
cap is reached (METHODS section 5; the waves and their sizes are a choice of this package).  A wave is always completed,
so that several draws of one prompt fill an engine's batch.  As the random numbers of a draw depend on (seed, problem,
sample) alone, the draws are a subset of those of a run without stopping, token for token.

Stopping at a success biases estimates, so each quantity uses only the draws that are valid for it:

    pass@k for k up to the cap                         all draws, by ``pass_at_k_stopped``
    informative groups, group signal, p (1 - p),       the first draws, whose number is fixed: ``Counts.head``
      unsolved and solved problems, entropy,
      lengths, truncation
    c / n over all draws                               never used: it is biased

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
# up to this many samples all are drawn unless min_samples is given: complete counts are worth more there
WORTH_STOPPING = 32


@dataclass(frozen=True)
class Counts:
    """The draws of each problem; all arrays are (P,).

    ``since`` is the number of draws before the problem's last wave, all of them wrong (0 if it had one wave), ``drawn``
    the number including that wave, and ``correct`` how many of these were right.  Every problem got ``first`` draws
    and could get at most ``cap``.
    """

    first: int
    cap: int
    since: Ints
    drawn: Ints
    correct: Ints

    @property
    def head(self) -> tuple[Ints, Ints]:
        """(n, c), both (P,), of the first draws, whose number does not depend on any outcome."""
        went_on = self.since > 0
        return np.where(went_on, self.first, self.drawn), np.where(went_on, 0, self.correct)

    def pass_at_k(self, ks: Sequence[int]) -> Floats:
        """(P, K) unbiased estimates; UserError for k outside 1..cap."""
        return pass_at_k_stopped(self.since, self.drawn, self.correct, self.cap, ks)

    def curve(self, ks: Sequence[int]) -> dict[int, Estimate]:
        """Mean pass@k over problems, with intervals."""
        return curve(self.pass_at_k(ks), ks)

    def shares(self, k: int) -> Shares:
        """Shares of problems unsolved, partially solved and solved in k of the first draws; each has at least k."""
        n, c = self.head
        unsolved, solved = (within(same, n, k)[:, -1] for same in (n - c, c))
        parts = (unsolved, 1.0 - unsolved - solved, solved)
        return Shares(*(mean_estimate(each, bounds=(0.0, 1.0)) for each in parts))


def waves(first: int, cap: int) -> list[tuple[int, int]]:
    """The draws (from, to) of each wave: every wave doubles the number of draws, up to the cap."""
    ends = [min(first, cap)]
    while ends[-1] < cap:
        ends.append(min(2 * ends[-1], cap))
    return list(zip([0, *ends], ends, strict=False))


def plan(samples: int, group: int, sampling: Sampling, first: int = 0) -> list[tuple[int, int]]:
    """The waves of up to ``samples`` draws; there is one wave if all are drawn.

    With ``first`` = 0 the first wave has ``group`` draws, at least 8, so that informative groups and group signal are
    unbiased; "adaptive" then stops at successes only above 32 samples.
    """
    stops = sampling == "adaptive" and (first > 0 or samples > WORTH_STOPPING)
    return waves(first or max(LEAST_FIRST, group), samples) if stops else [(0, samples)]


def draw_until_right(problems: int, plan: Sequence[tuple[int, int]], draw: Draw) -> Counts:
    """Draw the waves of a plan, each for the problems that do not yet have a success.

    ``draw(which, from, to)`` returns booleans (len(which), to - from): which draws of these problems were right.
    """
    since, drawn, correct = (np.zeros(problems, dtype=np.int64) for _ in range(3))
    for begin, end in plan:
        which = np.flatnonzero(correct == 0)
        if not len(which):
            break
        since[which], drawn[which] = begin, end
        correct[which] = draw(which.tolist(), begin, end).sum(1)
    return Counts(plan[0][1], plan[-1][1], since, drawn, correct)
