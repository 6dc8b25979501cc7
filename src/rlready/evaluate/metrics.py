"""A curve of accuracy over budgets in three numbers, after s1 (Muennighoff et al., arXiv 2501.19393, eqs. 1-3).

    Control      mean over budgets of 1[a <= cap],  a = mean thinking tokens of the run at that budget
    Scaling      mean over pairs of budgets of (f(b) - f(a)) / (b - a), in points per 1,000 thinking tokens
    Performance  max f,  f = accuracy of the run

The paper leaves the unit of Scaling open.  Different from it, pairs of budgets whose runs are less than a token apart
are left out, as their slope is noise.  The interval of Scaling holds the lengths fixed, that of Performance the budget.
Scaling is a difference of accuracies on the same problems, with the interval of one: proper if no accuracy moves, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate, paired_estimate, with_ties

Floats = NDArray[np.float64]
APART = 1.0  # tokens
PER = 1000  # tokens to which Scaling refers
UNIT = 100 * PER  # accuracy per token to points


@dataclass(frozen=True)
class Curve:
    """S1's three metrics; ``best_budget`` has the highest accuracy.  Scaling is None without two different lengths."""

    control: float
    scaling: Estimate | None
    performance: Estimate
    best_budget: int


def curve(caps: Sequence[int], tokens: Sequence[float], accuracy: Sequence[Sequence[float]]) -> Curve:
    """The metrics of budgets (B,), mean thinking tokens (B,) and accuracies (B, N) of N problems, in one order."""
    right_BN, spent_B = np.asarray(accuracy, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    best = int(with_ties(right_BN.mean(1)).argmax())
    weights_B = _slope(spent_B)
    scaling = None if weights_B is None else _scaling(UNIT * weights_B, right_BN)
    performance = mean_estimate(right_BN[best], bounds=(0.0, 1.0))
    return Curve(float(np.mean(spent_B <= np.asarray(caps))), scaling, performance, caps[best])


def _scaling(weights_B: Floats, right_BN: Floats) -> Estimate:
    """The mean of Σ w f: what counts for the slope minus what counts against it, each at most the sum of its weights.

    As Σ w = 0, the first accuracy may be taken from all: a problem that does not move has a slope of 0 to the last bit.
    """
    up_B = weights_B.clip(min=0)
    gained_N = up_B @ right_BN
    lost_N = gained_N - weights_B @ (right_BN - right_BN[0])
    return paired_estimate(gained_N, lost_N, bounds=(0.0, float(up_B.sum())))


def _slope(spent_B: Floats) -> Floats | None:
    """(B,) weights w such that Scaling = Σ w f."""
    weights_B, pairs = np.zeros(len(spent_B)), 0
    for i, j in combinations(range(len(spent_B)), 2):
        apart = spent_B[j] - spent_B[i]
        if abs(apart) >= APART:
            weights_B[j] += 1 / apart
            weights_B[i] -= 1 / apart
            pairs += 1
    return weights_B / pairs if pairs else None
