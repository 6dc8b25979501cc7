"""pass@k: the probability that at least one of k samples of a problem is right, estimated without bias.

c of n samples were right.  Given the problem's unknown solve rate p the samples are independent, so k of the n drawn
without replacement are distributed as k fresh ones, and

    pass@k = 1 - F(n - c, k),    F(m, k) = C(m, k) / C(n, k) = Π_{j<k} (m - j) / (n - j)

has the expectation 1 - (1 - p)^k for every k <= n (Chen et al., arXiv 2107.03374, whose code multiplies the c factors
of the same number).  Plugging c/n into 1 - (1 - p)^k instead is biased.

**If sampling stopped at a success** (`adaptive_sampling.py`), c/n is biased upward.  The indicator "a success within
the first k draws" is unbiased and known for every k up to the cap, because a problem without success is drawn up to the
cap.  The draws of a wave are made together, so only the number of successes matters, not their order, and the indicator
is replaced by its mean over all orders (Rao and Blackwell; the
plan is closed and the counts are sufficient, Girshick, Mosteller & Savage 1946, Ann. Math. Stat. 17:13).  With
``since`` draws before the last wave, all wrong, and c of the last b = drawn - since right, this is

    0 for k <= since,    1 - C(b - c, k - since) / C(b, k - since) up to drawn,    then 1 if c > 0

which is the first formula if since = 0.  METHODS covers pass@k from sequential draws; the mean over orders is new here.

Shapes: P = problems, K = values of k.  Counts are whole numbers, n (P,) or one for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Shares(NamedTuple):
    """Shares of problems with none, some and all of k samples right.  They depend on k: unsolved is not p = 0."""

    unsolved: Estimate
    partially_solved: Estimate
    solved: Estimate


def pass_at_k(n: ArrayLike, c: ArrayLike, ks: Sequence[int]) -> Floats:
    """(P, K) unbiased estimates of pass@k if n was chosen before drawing.

    Raises UserError for a k below 1 or above the smallest n, and ValueError for impossible counts.
    """
    n_P, c_P = counts(n, c)
    refuse(ks, int(n_P.min()))
    return _estimates(np.zeros_like(n_P), n_P, c_P, ks)


def pass_at_k_stopped(since: ArrayLike, drawn: ArrayLike, correct: ArrayLike, cap: int, ks: Sequence[int]) -> Floats:
    """(P, K) unbiased estimates of pass@k where a problem was drawn in waves and stopped after one with a success.

    ``since`` (P,) counts the draws before a problem's last wave, all wrong; ``drawn`` (P,) includes that wave, in which
    ``correct`` (P,) draws were right.  Raises ValueError for impossible counts and for a problem without success that
    has fewer than ``cap`` draws, as later outcomes are unknown; UserError for k outside 1..cap.
    """
    drawn_P, correct_P = counts(drawn, correct)
    since_P, wave_P = counts(drawn_P, since)[1], drawn_P - whole(since, "since")
    if ((correct_P > wave_P) | ((correct_P == 0) & (drawn_P < cap))).any():
        raise ValueError("more successes than draws in a last wave, or a problem given up before success and cap")
    refuse(ks, cap)
    return _estimates(since_P, drawn_P, correct_P, ks)


def curve(estimates_PK: Floats, ks: Sequence[int], seed: int = 0) -> dict[int, Estimate]:
    """Mean pass@k over problems for each k.  The seed gives the same resamples for all k, so the curves agree."""
    return {k: mean_estimate(estimates_PK[:, i], bounds=(0.0, 1.0), seed=seed) for i, k in enumerate(ks)}


def powers(most: int) -> list[int]:
    """1, 2, 4, … up to and including ``most``."""
    ks = [1]
    while ks[-1] * 2 <= most:
        ks.append(ks[-1] * 2)
    return ks if ks[-1] == most else [*ks, most]


def within(m_P: Ints, n_P: Ints, most: int) -> Floats:
    """(P, most + 1) probabilities that k of n samples, k = 0..most, without replacement, are all among a certain m.

    That is C(m, k)/C(n, k) for k up to n, beyond which the numbers mean nothing; pass@k is 1 minus it with m the number
    of wrong samples.  It is a product of factors in [0, 1], so nothing overflows.
    """
    j = np.arange(most)
    factors = np.maximum(m_P[:, None] - j, 0) / np.maximum(n_P[:, None] - j, 1)
    return np.concatenate([np.ones((len(m_P), 1)), np.cumprod(factors, axis=1, dtype=np.float64)], axis=1)


def _estimates(since_P: Ints, drawn_P: Ints, correct_P: Ints, ks: Sequence[int]) -> Floats:
    wave_P = drawn_P - since_P
    inside_PK = np.clip(np.array(ks) - since_P[:, None], 0, wave_P[:, None])
    return 1.0 - np.take_along_axis(within(wave_P - correct_P, wave_P, int(inside_PK.max())), inside_PK, axis=1)


def whole(values: ArrayLike, name: str) -> Ints:
    array = np.asarray(values)
    if not np.equal(array, np.round(array)).all():
        raise ValueError(f"{name} must be whole numbers")
    return array.astype(np.int64)


def counts(n: ArrayLike, c: ArrayLike) -> tuple[Ints, Ints]:
    """(P,) samples and correct samples; ValueError unless they are whole, 0 <= c <= n and n >= 1."""
    c_P = whole(c, "c")
    n_P = whole(n, "n")
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


def refuse(ks: Sequence[int], least: int) -> None:
    """Raise UserError unless 1 <= k <= ``least`` for each k: above the smallest n there is no unbiased estimate."""
    for k in ks:
        if not 1 <= k <= least:
            raise UserError(f"k = {k} needs n >= k samples of every problem and k >= 1; the least n is {least}")
    if not len(ks):
        raise UserError("no k was asked for")
