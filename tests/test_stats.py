"""Interval estimates: known quantiles, simulated coverage, and what happens with few values."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta, bootstrap, ttest_1samp

from rlready.core import stats
from rlready.core.cells import decimals
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.stats import (
    mean_estimate,
    paired_estimate,
    ratio_estimate,
    simultaneous,
    t_estimate,
    t_quantile,
    weighted_estimate,
)
from rlready.readiness.passk import pass_at_k

PROBLEM = np.repeat(np.arange(30), 8)
Case = Callable[[np.random.Generator], tuple[Estimate, float]]


def same(a: Estimate, b: Estimate) -> bool:
    return a.n == b.n and (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-12)


def test_t_quantiles_of_the_tables() -> None:
    assert (t_quantile(0.975, 4), t_quantile(0.995, 10)) == pytest.approx((2.776445, 3.169273), abs=1e-6)


def test_t_interval_of_five_seeds() -> None:
    values = [0.3, 0.4, 0.5, 0.6, 0.9]
    assert (t_estimate(values).low, t_estimate(values).high) == pytest.approx(
        ttest_1samp(values, 0).confidence_interval()
    )
    assert (t_estimate(values).value, t_estimate(values).n) == pytest.approx((0.54, 5))


@pytest.mark.parametrize(("c", "n"), [(0, 100), (1, 50), (15, 30), (30, 30), (0, 1), (1, 2)])
def test_shares_get_jeffreys_interval(c: int, n: int) -> None:
    figure = mean_estimate([1] * c + [0] * (n - c), resamples=60_000)
    low, high = beta.ppf([0.025, 0.975], c + 0.5, n - c + 0.5)
    assert figure.low == pytest.approx(0 if c == 0 else low, abs=0.004)
    assert figure.high == pytest.approx(1 if c == n else high, abs=0.004)
    assert figure.low <= figure.value == c / n <= figure.high


# --- coverage: each draws one data set and gives its figure and the truth; 600 resamples are enough for it

R = 600


def clustered(rng: np.random.Generator, cluster: object = PROBLEM) -> tuple[Estimate, float]:
    return mean_estimate(rng.random(240) < np.repeat(rng.beta(0.4, 0.6, 30), 8), cluster=cluster, resamples=R), 0.4


def unequal_clusters(rng: np.random.Generator) -> tuple[Estimate, float]:
    sizes = rng.integers(1, 9, 40)
    effect = np.repeat(rng.normal(5, 1, 40), sizes)
    values = effect + rng.normal(0, 1, len(effect))
    return mean_estimate(values, cluster=np.repeat(np.arange(40), sizes), resamples=R), 5.0


def loss(rng: np.random.Generator) -> tuple[Estimate, float]:
    tokens = rng.integers(10, 200, 50)
    return ratio_estimate(tokens * rng.gamma(4, 0.2, 50), tokens, resamples=R), 0.8


def paired_shares(rng: np.random.Generator) -> tuple[Estimate, float]:
    change = rng.random(64)  # 8 % become right, 3 % become wrong
    b = np.where(change < 0.08, 0, np.where(change > 0.97, 1, rng.random(64) < 0.5))
    a = np.where(change < 0.08, 1, np.where(change > 0.97, 0, b))
    return paired_estimate(a, b, resamples=R), 0.05


def pass_of_unequal_samples(rng: np.random.Generator, k: int = 8, few: int = 12) -> tuple[Estimate, float]:
    """pass@k of one policy from 64 samples of a problem, and from few."""
    one, other = (pass_at_k(np.full(40, n), rng.binomial(n, 0.6, 40), [k])[:, 0] for n in (64, few))
    return paired_estimate(one, other, bounds=(0, 1), step=k / few, resamples=R), 0.0


def paired_lengths(rng: np.random.Generator) -> tuple[Estimate, float]:
    problem = rng.normal(100, 30, 5)
    return paired_estimate(problem + rng.normal(20, 5, 5), problem + rng.normal(0, 5, 5), resamples=R), 20.0


def products_of_pairs(rng: np.random.Generator) -> tuple[Estimate, float]:
    x = rng.normal(1, 1, 60)

    def mean_product(w: np.ndarray) -> np.ndarray:
        product: np.ndarray = ((w @ x) ** 2 - w**2 @ x**2) / (w.sum(1) ** 2 - (w**2).sum(1))
        return product

    return weighted_estimate(mean_product, 60, resamples=R), 1.0


CASES: dict[str, Case] = {
    "rare share": lambda rng: (mean_estimate(rng.random(40) < 0.1, resamples=R), 0.1),
    "bounded values": lambda rng: (mean_estimate(rng.beta(0.3, 0.6, 24), bounds=(0, 1), resamples=R), 1 / 3),
    "five values": lambda rng: (mean_estimate(rng.normal(3, 2, 5), resamples=R), 3.0),
    "five seeds": lambda rng: (t_estimate(rng.normal(0.6, 0.05, 5)), 0.6),
    "clustered shares": clustered,
    "unequal clusters": unequal_clusters,
    "token-mean loss": loss,
    "paired shares": paired_shares,
    "five paired lengths": paired_lengths,
    "products of pairs": products_of_pairs,
}


def covered(draw: Case, sets: int = 1000) -> float:
    cases = (draw(np.random.default_rng([7, i])) for i in range(sets))
    return float(np.mean([figure.low <= truth <= figure.high for figure, truth in cases]))


@pytest.mark.parametrize("case", CASES)
def test_intervals_have_their_nominal_coverage(case: str) -> None:
    """Of 1,000 sets an interval that covers 90 %, or 99.5 %, is found out with a chance above 99 %."""
    assert 0.925 <= covered(CASES[case]) <= 0.985


@pytest.mark.parametrize(("k", "few"), [(4, 4), (8, 12), (16, 20)])
def test_few_samples_are_no_proof_against_many(k: int, few: int) -> None:
    """Where all differences are tiny and of one sign; with a pseudo-cluster at the largest of them it was half."""
    assert covered(lambda rng: pass_of_unequal_samples(rng, k, few)) >= 0.925


def test_samples_of_one_problem_are_not_independent() -> None:
    """Why clusters are resampled, and proof that the test above can fail."""
    assert covered(lambda rng: clustered(rng, cluster=None), sets=100) < 0.8


def test_the_percentile_bootstrap_fails_with_few_correct() -> None:
    """Why shares have an estimator of this package rather than ``scipy.stats.bootstrap``."""
    right = (np.random.default_rng(0).random((400, 20)) < 0.02).astype(float)
    usual = bootstrap((right,), np.mean, axis=-1, method="percentile", n_resamples=R, rng=1).confidence_interval
    assert np.mean((usual.low <= 0.02) & (usual.high >= 0.02)) < 0.4
    figures = [mean_estimate(values, resamples=R) for values in right]
    assert np.mean([f.low <= 0.02 <= f.high for f in figures]) >= 0.925


def test_simultaneous_intervals_all_cover() -> None:
    """Among four equal models some pair differs by plain intervals in over 13 % of sets, by these in about 5 %."""
    plain, together = [], []
    for i in range(1000):
        losses = np.random.default_rng([8, i]).normal(size=(4, 20))
        pairs = [ratio_estimate(a - b, np.ones(20), resamples=R) for a, b in combinations(losses, 2)]
        plain.append(all(f.low <= 0 <= f.high for f in pairs))
        together.append(all(f.low <= 0 <= f.high for f in (simultaneous(f, len(pairs)) for f in pairs)))
    assert np.mean(plain) < 0.87
    assert 0.925 <= np.mean(together) <= 0.985


def test_one_value_still_covers_a_normal_mean() -> None:
    draws = np.random.default_rng(0).normal(1, 1, 4000)  # mean = standard deviation is the worst case
    figures = [mean_estimate([x]) for x in draws]
    assert 0.94 <= np.mean([f.low <= 1 <= f.high for f in figures]) <= 0.96
    assert all(math.isfinite(f.low) and f.low <= 0 <= f.high and f.n == 1 for f in figures)
    assert t_estimate([0.4]).low < 0 < t_estimate([0.4]).high < math.inf


# --- clusters, ratios, pairs


def test_copies_within_a_problem_add_no_information() -> None:
    values = np.random.default_rng(3).normal(size=20)
    ids = [f"problem-{i:02d}" for i in range(20)]
    order = np.random.default_rng(4).permutation(100)
    for bounds in (None, (-5.0, 5.0)):
        once = mean_estimate(values, bounds=bounds)
        assert once.n == 20
        assert same(once, mean_estimate(values, cluster=ids, bounds=bounds))
        copies, of = np.repeat(values, 5)[order], np.repeat(ids, 5)[order]
        assert same(once, mean_estimate(copies, cluster=of, bounds=bounds))
    assert same(paired_estimate(values, values**2), paired_estimate(copies, copies**2, cluster=of))


def test_ratio_weighs_examples_by_their_tokens() -> None:
    nll, tokens = np.array([10.0, 1.0, 3.0]), np.array([100, 1, 10])
    figure = ratio_estimate(nll, tokens)
    assert figure.value == pytest.approx(14 / 111)
    assert same(ratio_estimate(nll, [2, 2, 2]), mean_estimate(nll / 2))
    halves = ratio_estimate(np.repeat(nll / 2, 2), np.repeat(tokens / 2, 2), cluster=[0, 0, 1, 1, 2, 2])
    assert same(figure, halves)


def test_pairing_removes_what_the_problems_share() -> None:
    rng = np.random.default_rng(5)
    problem = rng.normal(0, 10, 50)
    a, b = problem + rng.normal(0.5, 0.5, 50), problem + rng.normal(0, 0.5, 50)
    difference = paired_estimate(a, b)
    assert difference.value == pytest.approx(a.mean() - b.mean())
    assert difference.low > 0
    assert difference.high - difference.low < (mean_estimate(a).high - mean_estimate(a).low) / 5


@pytest.mark.parametrize(("changed", "significant"), [(1, False), (2, False), (3, False), (12, True)])
def test_a_few_changed_problems_prove_nothing(changed: int, significant: bool) -> None:
    a, b = [1] * changed + [0] * (100 - changed), [0] * 100
    for seed in range(5):
        assert (paired_estimate(a, b, seed=seed).low > 0) is significant
        assert (paired_estimate(b, a, seed=seed).high < 0) is significant


def test_no_change_is_not_proof_of_no_difference() -> None:
    figure = paired_estimate([0, 1] * 50, [0, 1] * 50)
    assert -0.05 < figure.low < -0.01 < 0.01 < figure.high < 0.05
    assert same(figure, paired_estimate([0.2, 0.7] * 50, [0.2, 0.7] * 50, bounds=(0, 1)))
    assert paired_estimate([1, 1, 0], [0, 0, 0]).high == 1  # clipped: no share can rise by more
    assert paired_estimate([0, 0, 0], [1, 1, 0]).low == -1


def test_equal_values() -> None:
    figure = mean_estimate([96.0] * 10)
    assert (figure.low, figure.value, figure.high) == pytest.approx((96, 96, 96))
    assert mean_estimate([0.5] * 20, bounds=(0, 1)).low < 0.5 < mean_estimate([0.5] * 20, bounds=(0, 1)).high


def test_errors_name_the_cause() -> None:
    for figure in (mean_estimate, t_estimate):
        with pytest.raises(UserError, match="nothing was measured"):
            figure([])
        with pytest.raises(ValueError, match=r"values\[2\] is not finite"):
            figure([1.0, 0.0, math.nan, math.nan])
    for unequal in (paired_estimate, ratio_estimate):
        with pytest.raises(UserError, match="3 and 2"):
            unequal([1, 2, 3], [1, 2])
    for call, fault in (
        (lambda: mean_estimate([0.2, 1.2], bounds=(0, 1)), "bounds"),
        (lambda: mean_estimate([-0.1, 0.5], bounds=(0, 1)), "bounds"),
        (lambda: paired_estimate([0.2, 0.3], [0.2, 1.3], bounds=(0, 1)), "bounds"),
        (lambda: mean_estimate([1.0, 2.0], cluster=[1]), "cluster"),
        (lambda: mean_estimate([[1.0, 2.0]]), "one dimension"),
        (lambda: ratio_estimate([1.0, 2.0, 3.0], [1, 0, 1]), "positive"),
    ):
        with pytest.raises(ValueError, match=fault):
            call()


def test_the_seed_decides_and_memory_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).gamma(2, size=30)
    figure, other = mean_estimate(values, seed=1), mean_estimate(values, seed=2)
    assert figure == mean_estimate(values, seed=1)
    assert other.low != figure.low
    assert other.low == pytest.approx(figure.low, abs=0.1)
    monkeypatch.setattr(stats, "CHUNK", 100)
    assert same(figure, mean_estimate(values, seed=1))


@pytest.mark.parametrize(
    ("half", "scale", "digits"),
    [(0.053, 100, 0), (0.034, 100, 1), (0.12, 100, 0), (0.0036, 100, 1), (0.02, 1, 3), (0.04, 1, 2), (0.0, 1, 1)],
)
def test_numbers_have_as_many_digits_as_their_interval_supports(half: float, scale: float, digits: int) -> None:
    """Two significant ones of its half-width from 10 to 35, else one."""
    assert decimals(Estimate(0.5, 0.5 - half, 0.5 + half, 9), scale) == digits
    assert decimals(Estimate(0.5, math.nan, math.nan, 9), scale) == 1
