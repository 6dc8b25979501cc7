"""Intervals against their formulas, computed separately: other random numbers, many more of them, and tables of t."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.stats import (
    SINGLE,
    mean_estimate,
    paired_estimate,
    ratio_estimate,
    simultaneous,
    t_estimate,
    t_quantile,
    weighted_estimate,
)

T_975 = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582, 6: 2.446912, 7: 2.364624, 19: 2.093024}
Z = 1.959964
MANY = 40_000
VALUES = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 5.3, 5.8])


def quantiles(
    top: np.ndarray, bottom: np.ndarray, ends: float = 0.0, reach: tuple[float, float] = (0, 0)
) -> np.ndarray:
    """2.5 % and 97.5 % of Σ w·top / Σ w·bottom, w ~ Exp(1), with Gamma(1/2) of the mean size at both ends of reach."""
    rng = np.random.default_rng(99)
    w = rng.standard_exponential((MANY, len(top)))
    g = rng.standard_gamma(0.5, (MANY, 2)) * bottom.mean() * ends
    return np.quantile((w @ top + g @ np.array(reach)) / (w @ bottom + g.sum(1)), [0.025, 0.975])


def stretched(value: float, ends: np.ndarray, n: int) -> tuple[float, float]:
    factor = T_975[n - 1] / Z * math.sqrt((n + 1) / (n - 1))
    return value - factor * (value - ends[0]), value + factor * (ends[1] - value)


def close(figure: Estimate, ends: tuple[float, float], share: float = 0.03) -> None:
    """Ends within a few per cent of the width."""
    assert (figure.low, figure.high) == pytest.approx(ends, abs=share * (ends[1] - ends[0]))


def test_a_mean_without_bounds_is_stretched_about_its_value() -> None:
    figure = mean_estimate(VALUES, resamples=MANY)
    assert (figure.value, figure.n, figure.varies) == (pytest.approx(VALUES.mean()), 8, "problems")
    close(figure, stretched(VALUES.mean(), quantiles(VALUES, np.ones(8)), 8))
    pair = mean_estimate([2.0, 5.0], resamples=MANY)  # uniform between the two
    close(pair, stretched(3.5, np.array([2.075, 4.925]), 2))


def test_a_bounded_mean_has_half_a_problem_more_at_either_bound() -> None:
    shares = VALUES / 10
    close(mean_estimate(shares, bounds=(0, 1), resamples=MANY), tuple(quantiles(shares, np.ones(8), 1.0, (0, 1))))
    wide = mean_estimate(VALUES, bounds=(-2, 10), resamples=MANY)
    close(wide, tuple(quantiles(VALUES, np.ones(8), 1.0, (-2, 10))))
    assert wide.low >= -2
    assert wide.high <= 10
    # the default bounds are 0 and 1 where nothing else occurs, and none where anything else does
    assert mean_estimate([0, 1, 1, 0.0]) == mean_estimate([0, 1, 1, 0.0], bounds=(0, 1))
    assert mean_estimate([0.0] * 4).high > 0.2
    assert mean_estimate([2.0] * 4).high == 2


def test_bounds_are_those_of_what_is_possible() -> None:
    """A value at a bound is within it; what rounding adds is let be, a thousandth is not."""
    for values in ([0.0, 1.0, 0.5], [1 + 1e-10, 0.5], [-1e-10, 0.5]):
        assert mean_estimate(values, bounds=(0, 1)).n == len(values)
    for values in ([1.001, 0.5], [-0.001, 0.5]):
        with pytest.raises(ValueError, match="bounds"):
            mean_estimate(values, bounds=(0, 1))


def test_a_ratio_is_that_of_sums() -> None:
    tokens = np.array([10.0, 1, 5, 2, 7, 3, 1, 4])
    figure = ratio_estimate(VALUES, tokens, resamples=MANY)
    value = VALUES.sum() / tokens.sum()
    assert (figure.value, figure.varies) == (pytest.approx(value), "examples")
    close(figure, stretched(value, quantiles(VALUES, tokens), 8))
    pairs = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    four = ratio_estimate(VALUES, tokens, cluster=pairs, resamples=MANY)
    sums = [x.reshape(4, 2).sum(1) for x in (VALUES, tokens)]
    close(four, stretched(value, quantiles(*sums), 4))
    assert ratio_estimate([1.0, 2.0], [1.0, 0.0], cluster=[0, 0]).value == 3  # one of a cluster may have none
    for bad in ([1.0, -1.0, 3.0], [1.0, 0.0, 3.0]):
        with pytest.raises(ValueError, match="denominators must not be negative"):
            ratio_estimate([1.0, 1.0, 1.0], bad)
    with pytest.raises(ValueError, match="denominators must not be negative"):
        ratio_estimate([1.0, 1.0], [3.0, -1.0], cluster=[0, 0])


def test_a_paired_difference_is_the_hull_of_two_intervals() -> None:
    """The stretched one, and the one with half a pair more at plus and minus the largest difference."""
    gone = VALUES - VALUES.mean()
    d = np.array([2.0, 0, 0, 0, 0, 0, 0, 0.5])
    for differences in (d, -d, gone):
        reach = float(np.abs(differences).max())
        one = stretched(differences.mean(), quantiles(differences, np.ones(8)), 8)
        two = quantiles(differences, np.ones(8), 1.0, (-reach, reach))
        close(paired_estimate(VALUES + differences, VALUES, resamples=MANY), (min(one[0], two[0]), max(one[1], two[1])))
    equal = paired_estimate(VALUES, VALUES, bounds=(0, 9), resamples=MANY)  # nothing changed: the bounds' span
    close(equal, tuple(quantiles(np.zeros(8), np.ones(8), 1.0, (-9, 9))))
    still = paired_estimate(VALUES, VALUES)
    assert (still.low, still.value, still.high) == (0, 0, 0)
    clipped = paired_estimate([1.0, 0.9], [0.0, 0.1], bounds=(0, 1))
    assert (clipped.high, clipped.low < clipped.value) == (1, True)
    assert paired_estimate([0.0, 0.1], [1.0, 0.9], bounds=(0, 1)).low == -1
    assert paired_estimate(VALUES, 0 * VALUES).varies == "problems"


def test_together_with_others_an_interval_is_wider_by_the_ratio_of_t() -> None:
    """Of 8 values and 10 comparisons: t_{0.9975, 7} / t_{0.975, 7} = 4.0293 / 2.3646, each end about the value."""
    figure = Estimate(1.0, 0.4, 1.2, 8, "problems")
    wide = simultaneous(figure, 10)
    factor = 4.02934 / 2.364624
    assert (wide.low, wide.high) == pytest.approx((1 - 0.6 * factor, 1 + 0.2 * factor), abs=1e-4)
    assert simultaneous(figure, 1) == simultaneous(figure, 0)
    assert (simultaneous(figure, 1).low, simultaneous(figure, 1).high) == pytest.approx((0.4, 1.2))
    spanned = simultaneous(figure, 10, span=1.05)
    assert (spanned.low, spanned.high) == (pytest.approx(1 - 0.6 * factor, abs=1e-4), 1.05)
    assert simultaneous(Estimate(-1.0, -1.2, -0.4, 8, "x"), 10, span=1.05).low == -1.05
    lone = simultaneous(Estimate(1.0, 0.0, 2.0, 1, "x"), 2)  # as of two
    assert lone.low == pytest.approx(1 - 25.4517 / 12.706205, abs=1e-4)


def test_a_statistic_of_weights_is_resampled_as_a_mean_is() -> None:
    def mean(weights: np.ndarray) -> np.ndarray:
        found: np.ndarray = weights @ VALUES / weights.sum(1)
        return found

    figure = weighted_estimate(mean, 8, resamples=MANY)
    assert (figure.value, figure.n, figure.varies) == (pytest.approx(VALUES.mean()), 8, "problems")
    close(figure, stretched(VALUES.mean(), quantiles(VALUES, np.ones(8)), 8))
    three = weighted_estimate(lambda w: w @ VALUES[:3] / w.sum(1), 3, resamples=MANY)
    close(three, stretched(VALUES[:3].mean(), quantiles(VALUES[:3], np.ones(3)), 3))
    two = weighted_estimate(lambda w: np.full(len(w), -3.0), 2)
    assert (two.value, two.low, two.high, two.n) == pytest.approx((-3, -3 - 9.68 * 3, -3 + 9.68 * 3, 2))


def test_one_value_reaches_beyond_0() -> None:
    """9.68 times its size to either side (Wall, Boen & Tweedie 2001), whatever it is the mean of."""
    assert SINGLE == 9.68
    for figure in (
        mean_estimate([-2.0]),
        t_estimate([-2.0]),
        ratio_estimate([-6.0], [3.0]),
        mean_estimate([-2.0] * 3, cluster=[1] * 3),
    ):
        assert (figure.value, figure.low, figure.high, figure.n) == pytest.approx((-2, -2 - 19.36, -2 + 19.36, 1))
    assert mean_estimate([1.0]).low > 0  # under bounds there is no need


def test_students_interval() -> None:
    for n in (2, 3, 8):
        v = VALUES[:n]
        half = T_975[n - 1] * v.std(ddof=1) / math.sqrt(n)
        figure = t_estimate(v)
        assert (figure.low, figure.high) == pytest.approx((v.mean() - half, v.mean() + half), abs=1e-4)
        assert figure.varies == "seeds"


def test_quantiles_of_t_in_every_column() -> None:
    """2p - 1 = 0 gives 0; odd and even degrees of freedom, one and two."""
    for df, t in T_975.items():
        assert t_quantile(0.975, df) == pytest.approx(t, abs=2e-6)
    for df in range(1, 9):
        assert t_quantile(0.5, df) == pytest.approx(0, abs=1e-12)
    assert t_quantile(0.75, 1) == pytest.approx(1)
    assert t_quantile(0.75, 2) == pytest.approx(math.sqrt(2 / 3))
    assert t_quantile(0.9995, 4) == pytest.approx(8.610302, abs=1e-5)


def test_invalid_values_are_refused() -> None:
    with pytest.raises(UserError, match="no numerators to average"):
        ratio_estimate([], [])
    with pytest.raises(UserError, match="3 and 2 denominators"):
        ratio_estimate([1.0, 2, 3], [1.0, 2])
    with pytest.raises(ValueError, match=r"paired_values\[0\] is not finite"):
        paired_estimate([1.0, 2.0], [math.inf, 2.0])
    with pytest.raises(ValueError, match="2 values need as many cluster ids"):
        mean_estimate([1.0, 2.0], cluster=[1, 2, 3])
