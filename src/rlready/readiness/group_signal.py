"""Informative groups, which contain both right and wrong answers and so give RL a gradient, and the group signal.

A group of g samples, j of them right, has α = j/g.  In an RL step the gradient of a problem has weight
√(α(1-α)) with the credit of GRPO (Cen et al., arXiv 2505.18917) and α(1-α) without division by the standard deviation
(Dr. GRPO); both are 0 unless the group is informative.  From n samples of a problem, c right, n chosen before drawing:

    informative, 1 - p^g - (1-p)^g        1 - F(c, g) - F(n - c, g)                       F as in passk.py
    group signal, E √(α(1-α))             Σ_j C(c, j) C(n - c, g - j) / C(n, g) · √(j/g (1 - j/g))     hypergeometric
    p (1 - p)                             c (n - c) / (n (n - 1))

All three are unbiased for g <= n, as g of the n without replacement are distributed as g fresh ones (derived here).

**What has no unbiased estimate.**  √(p(1-p)) of the unknown p is not a polynomial, so nothing made of finitely many
draws has it as its expectation.  The second line estimates its Bernstein polynomial of degree g: the mean weight of a
group of g.  By concavity it never exceeds √(p(1-p)), and from g = 8 on it is at most 0.3/√g below (at p near
0.4/g).  The plug-in estimate √(c/n (1 - c/n)) is the case g = n, with the same downward bias.

**Which draws.**  If sampling stopped at successes, only the first draws, which every problem got, are used here
(`Counts.head`): p^g needs further draws of solved problems, which were not made.  (An unbiased estimator of p^g exists
beyond them but is useless: for g = 16 after 8 draws it counts a problem with one success as -429.)

Functions named after a quantity return one estimate per problem; those that return an `Estimate` average them.
Shapes: P = problems.  All raise UserError if g is below 1 or above the smallest n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate
from rlready.readiness.passk import Floats, Ints, counts, refuse, within
from rlready.readiness.result import HistogramBin

FIFTHS = 5


def informative(n: ArrayLike, c: ArrayLike, group: int) -> Floats:
    """(P,) probability that a group contains both right and wrong answers; otherwise its relative credit is 0."""
    n_P, c_P = counts(n, c)
    refuse([group], int(n_P.min()))
    same_P = within(c_P, n_P, group)[:, -1] + within(n_P - c_P, n_P, group)[:, -1]
    return 1.0 - same_P


def informative_share(n: ArrayLike, c: ArrayLike, group: int, seed: int = 0) -> Estimate:
    """Expected share of informative groups of ``group`` samples over problems."""
    return mean_estimate(informative(n, c, group), bounds=(0.0, 1.0), seed=seed)


def group_signal(n: ArrayLike, c: ArrayLike, group: int) -> Floats:
    """(P,) estimates of E √(α(1-α)), α = the share right of a group of ``group`` samples."""
    n_P, c_P = counts(n, c)
    refuse([group], int(n_P.min()))
    distinct, place_P = np.unique(np.stack([n_P, c_P]), axis=1, return_inverse=True)
    j = np.arange(group + 1)
    total, right = distinct[:, :, None]
    log_chance = _log_choose(right, j) + _log_choose(total - right, group - j) - _log_choose(total, np.array([group]))
    estimates: Floats = np.exp(log_chance) @ np.sqrt(j / group * (1 - j / group))
    return estimates[place_P]


def _log_choose(top: Ints, chosen: Ints) -> Floats:
    """Logarithms of binomial coefficients, -inf where more are chosen than there are."""
    from scipy.special import betaln  # not hypergeom: scipy.stats takes 0.6 s to import

    inside = chosen <= top
    rest = np.where(inside, top - chosen, 0)
    found: Floats = np.where(inside, -betaln(rest + 1, chosen + 1) - np.log(top + 1), -np.inf)
    return found


def mean_group_signal(n: ArrayLike, c: ArrayLike, group: int, seed: int = 0) -> Estimate:
    """Mean E √(α(1-α)) over problems; 0 where RL learns nothing, at most 1/2."""
    return mean_estimate(group_signal(n, c, group), bounds=(0.0, 0.5), seed=seed)


def histogram(n: ArrayLike, c: ArrayLike) -> list[HistogramBin]:
    """Shares of problems by the share of their samples that is right: none, fifths (named by their middle), all.

    A fifth includes its lower end.  The width of the histogram depends on n, because c / n scatters about p.
    """
    n_P, c_P = counts(n, c)
    bin_P = np.where(c_P == 0, 0, np.where(c_P == n_P, FIFTHS + 1, 1 + FIFTHS * c_P // n_P))
    middles = [0.0, *((2 * i + 1) / (2 * FIFTHS) for i in range(FIFTHS)), 1.0]
    return [
        HistogramBin(share_right=at, problems=mean_estimate(bin_P == i, bounds=(0.0, 1.0)))
        for i, at in enumerate(middles)
    ]


def variance(n: ArrayLike, c: ArrayLike) -> Floats:
    """(P,) estimates of p (1 - p).  Needs 2 samples of each problem (UserError)."""
    n_P, c_P = counts(n, c)
    refuse([2], int(n_P.min()))
    estimates_P: Floats = c_P * (n_P - c_P) / (n_P * (n_P - 1))
    return estimates_P


def mean_variance(n: ArrayLike, c: ArrayLike, seed: int = 0) -> Estimate:
    """Mean p (1 - p) over problems.  An estimate may exceed 1/4, as at n = 2, c = 1, where it is 1/2."""
    least = int(np.min(counts(n, c)[0]))
    most = variance([least], [least // 2])[0]
    return mean_estimate(variance(n, c), bounds=(0.0, float(most)), seed=seed)
