"""What n samples a problem say about k: pass@k, mixed groups, spread; unbiased, from the counts (n, c) alone.

c of the n samples of a problem were correct.  Samples are independent given the problem, with an unknown chance p.
A group of k drawn from the n without replacement is distributed as k fresh samples, so its hypergeometric
expectation given (n, c) estimates any function of a group without bias, as long as k <= n.  Plugging c/n into
1 - (1 - p)^k instead is biased (Chen et al., arXiv 2107.03374, which gives pass@k below; the others are the same
argument, ours).  Their code multiplies c factors; the k factors of

    F(m, k) = C(m, k) / C(n, k) = Π_{j<k} (m - j) / (n - j)

give the same number, and every smaller k on the way:

    pass@k                                1 - F(n - c, k)
    group of g mixed, 1 - p^g - (1-p)^g   1 - F(c, g) - F(n - c, g)
    p (1 - p)                             c (n - c) / (n (n - 1))
    E sqrt(α (1 - α)), α = correct / g    Σ_j C(c, j) C(n - c, g - j) / C(n, g) · sqrt(j/g (1 - j/g))

The last is the weight of a query's gradient in one RL step (Cen et al., arXiv 2505.18917).  Functions named after a
quantity return one estimate a problem; those that return a `Figure` average them, with an interval over problems.

Shapes: P = problems, K = values of k.  Counts are whole numbers, n (P,) or one for all; ValueError if they are not
0 <= c <= n, UserError where k or g is below 1 or above the least n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlready.errors import UserError
from rlready.records import Figure
from rlready.stats import mean_figure

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Shares(NamedTuple):
    """Shares of problems solved in none, some and all of their n samples.  They depend on n: never is not p = 0."""

    never: Figure
    sometimes: Figure
    always: Figure


def pass_at_k(n: ArrayLike, c: ArrayLike, ks: Sequence[int]) -> Floats:
    """(P, K) unbiased estimates of the chance that at least one of k samples is correct."""
    n_P, c_P = _counts(n, c)
    _refuse(ks, n_P)
    within_PK = _within(n_P - c_P, n_P, max(ks))
    return 1.0 - within_PK[:, np.array(ks) - 1]


def curve(n: ArrayLike, c: ArrayLike, ks: Sequence[int], seed: int = 0) -> dict[int, Figure]:
    """Mean pass@k over problems for each k.  One seed draws the same resamples for all k, so the curves agree."""
    estimates_PK = pass_at_k(n, c, ks)
    return {k: mean_figure(estimates_PK[:, i], bounds=(0.0, 1.0), seed=seed) for i, k in enumerate(ks)}


def success_within(first: ArrayLike, cap: int, ks: Sequence[int]) -> Floats:
    """(P, K) estimates of pass@k when sampling stops early: 1 where the first success came within k draws, else 0.

    ``first`` (P,) is the number, from 1, of the first correct draw, or 0 if none of ``cap`` draws was.  Unbiased for
    every k <= cap under "draw m, then stop at the first success, at most cap": the rule never ends a problem without
    success before draw k, so "within k" is always known.  For k <= m `pass_at_k` of the first m draws varies less.
    Raises UserError for k outside 1..cap, ValueError for ``first`` outside 0..cap.
    """
    first_P = _whole(first, "first")
    if first_P.ndim != 1 or ((first_P < 0) | (first_P > cap)).any():
        raise ValueError(f"first must be (P,) numbers of draws from 0 (never) to the cap of {cap}")
    _refuse(ks, np.array([cap]))
    return ((first_P[:, None] > 0) & (first_P[:, None] <= np.array(ks))).astype(np.float64)


def solved_shares(n: ArrayLike, c: ArrayLike, seed: int = 0) -> Shares:
    """How many problems are never (c = 0), sometimes and always (c = n) solved."""
    n_P, c_P = _counts(n, c)
    never, always = c_P == 0, c_P == n_P
    return Shares(*(mean_figure(each, bounds=(0.0, 1.0), seed=seed) for each in (never, ~never & ~always, always)))


def mixed(n: ArrayLike, c: ArrayLike, group: int) -> Floats:
    """(P,) chance that a group holds both right and wrong: without both, its relative credit is 0."""
    n_P, c_P = _counts(n, c)
    _refuse([group], n_P)
    same_P = _within(c_P, n_P, group)[:, -1] + _within(n_P - c_P, n_P, group)[:, -1]
    return 1.0 - same_P


def mixed_share(n: ArrayLike, c: ArrayLike, group: int, seed: int = 0) -> Figure:
    """Expected share of mixed groups of ``group`` samples over problems."""
    return mean_figure(mixed(n, c, group), bounds=(0.0, 1.0), seed=seed)


def variance(n: ArrayLike, c: ArrayLike) -> Floats:
    """(P,) estimates of p (1 - p), the weight of a query's gradient without division by the standard deviation.

    Needs 2 samples of each problem (UserError).
    """
    n_P, c_P = _counts(n, c)
    _refuse([2], n_P)
    estimates_P: Floats = c_P * (n_P - c_P) / (n_P * (n_P - 1))
    return estimates_P


def variance_figure(n: ArrayLike, c: ArrayLike, seed: int = 0) -> Figure:
    """Mean p (1 - p) over problems.  An estimate may exceed 1/4, as at n = 2, c = 1, where it is 1/2."""
    least = int(np.min(_counts(n, c)[0]))
    most = variance([least], [least // 2])[0]
    return mean_figure(variance(n, c), bounds=(0.0, float(most)), seed=seed)


def spread(n: ArrayLike, c: ArrayLike, group: int) -> Floats:
    """(P,) estimates of E sqrt(α (1 - α)), α = the share correct of a group of ``group`` samples."""
    n_P, c_P = _counts(n, c)
    _refuse([group], n_P)
    log_factorial = np.array([math.lgamma(i + 1.0) for i in range(int(n_P.max()) + 1)])

    def log_choose(top: Ints, bottom: Ints) -> Floats:
        inside = bottom <= top
        safe = np.where(inside, bottom, 0)
        return np.where(inside, log_factorial[top] - log_factorial[safe] - log_factorial[top - safe], -np.inf)

    j, right, total = np.arange(group + 1), c_P[:, None], n_P[:, None]
    log_chance = log_choose(right, j) + log_choose(total - right, group - j) - log_choose(total, np.array([group]))
    return np.exp(log_chance) @ np.sqrt(j / group * (1 - j / group))


def spread_figure(n: ArrayLike, c: ArrayLike, group: int, seed: int = 0) -> Figure:
    """Mean E sqrt(α (1 - α)) over problems; 0 where RL learns nothing, at most 1/2."""
    return mean_figure(spread(n, c, group), bounds=(0.0, 0.5), seed=seed)


def _within(m_P: Ints, n_P: Ints, most: int) -> Floats:
    """(P, most) chances F(m, k), k = 1..most, that all of k drawn from n lie among m.

    Stable: factors in [0, 1], until one is exactly 0 and makes all later products 0.
    """
    j = np.arange(most)
    return np.cumprod((m_P[:, None] - j) / (n_P[:, None] - j), axis=1, dtype=np.float64)


def _whole(values: ArrayLike, name: str) -> Ints:
    array = np.asarray(values)
    if not np.equal(array, np.round(array)).all():
        raise ValueError(f"{name} must be whole numbers")
    return array.astype(np.int64)


def _counts(n: ArrayLike, c: ArrayLike) -> tuple[Ints, Ints]:
    """(P,) samples and correct samples."""
    c_P = _whole(c, "c")
    n_P = _whole(n, "n")
    if c_P.ndim != 1 or n_P.shape not in {(), c_P.shape}:
        raise ValueError(f"n and c must be (P,) counts of the same problems, not {n_P.shape} and {c_P.shape}")
    if not len(c_P):
        raise UserError("no problems: there are no counts to estimate from")
    n_P = np.broadcast_to(n_P, c_P.shape)
    bad = (c_P < 0) | (c_P > n_P) | (n_P < 1)
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"problem {i}: {c_P[i]} correct of {n_P[i]} samples is impossible")
    return n_P, c_P


def _refuse(ks: Sequence[int], n_P: Ints) -> None:
    """UserError unless 1 <= k <= n for each k and every problem: beyond n there is no unbiased estimate."""
    least = int(n_P.min())
    for k in ks:
        if not 1 <= k <= least:
            raise UserError(f"k = {k} needs n >= k samples of every problem and k >= 1; the least n is {least}")
    if not len(ks):
        raise UserError("no k was asked for")
