"""pass@k and its relatives: against enumeration of every subset, exact expectations and big-integer arithmetic."""

from fractions import Fraction
from functools import partial
from itertools import combinations, permutations
from math import comb, sqrt

import numpy as np
import pytest
from scipy.stats import betabinom

from rlready.core.errors import UserError
from rlready.core.stats import mean_estimate
from rlready.readiness import group_signal as signals
from rlready.readiness import passk
from rlready.readiness.adaptive_sampling import Counts
from rlready.readiness.group_signal import (
    group_signal,
    informative,
    informative_share,
    mean_group_signal,
    mean_variance,
    variance,
)
from rlready.readiness.passk import curve, pass_at_k, pass_at_k_stopped, powers


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_every_subset_agrees(n: int) -> None:
    for c in range(n + 1):
        samples = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            right = np.array([sum(group) for group in combinations(samples, k)])
            assert pass_at_k([n], [c], [k])[0, 0] == pytest.approx(np.mean(right > 0), abs=1e-12)
            assert informative([n], [c], k)[0] == pytest.approx(np.mean((right > 0) & (right < k)), abs=1e-12)
            weight = np.sqrt(right / k * (1 - right / k))
            assert group_signal([n], [c], k)[0] == pytest.approx(weight.mean(), abs=1e-12)
        if n > 1:
            pairs = [a * (1 - b) for a, b in permutations(samples, 2)]
            assert variance([n], [c])[0] == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.03, 0.4, 0.9, 1.0])
def test_exact_expectation_over_all_counts(p: float) -> None:
    """Unbiased means: averaged over the binomial of c, the estimate is the true quantity."""
    n, g = 20, 8
    counts = np.arange(n + 1)
    chance = np.array([comb(n, c) * p**c * (1 - p) ** (n - c) for c in counts])
    for k in (1, 2, 8, 20):
        assert chance @ pass_at_k(n, counts, [k])[:, 0] == pytest.approx(1 - (1 - p) ** k, abs=1e-12)
    assert chance @ variance(n, counts) == pytest.approx(p * (1 - p), abs=1e-12)
    assert chance @ informative(n, counts, g) == pytest.approx(1 - p**g - (1 - p) ** g, abs=1e-12)
    truth = sum(comb(g, j) * p**j * (1 - p) ** (g - j) * sqrt(j / g * (1 - j / g)) for j in range(g + 1))
    assert chance @ group_signal(n, counts, g) == pytest.approx(truth, abs=1e-12)


def test_exact_with_1024_samples() -> None:
    n, c = 1024, np.array([0, 1, 3, 100, 512, 1000, 1023, 1024])
    ks = [1, 2, 64, 500, 1024]
    got = pass_at_k(n, c, ks)
    for i, right in enumerate(c.tolist()):
        exact = [float(1 - Fraction(comb(n - right, k), comb(n, k))) for k in ks]
        assert got[i] == pytest.approx(exact, rel=1e-9)
        for g in (2, 64, 1000):
            same = Fraction(comb(right, g) + comb(n - right, g), comb(n, g))
            assert informative(n, [right], g)[0] == pytest.approx(float(1 - same), rel=1e-9, abs=1e-12)
            terms = ((Fraction(comb(right, j) * comb(n - right, g - j), comb(n, g)), j / g) for j in range(g + 1))
            weight = sum(float(share) * sqrt(alpha * (1 - alpha)) for share, alpha in terms)
            assert group_signal(n, [right], g)[0] == pytest.approx(weight, rel=1e-9, abs=1e-12)


def test_pass_at_k_equals_the_product_of_the_paper() -> None:
    for n, c, k in ((200, 13, 100), (64, 1, 5), (10, 7, 4), (10, 7, 3)):
        paper = 1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))
        assert pass_at_k([n], [c], [k])[0, 0] == pytest.approx(paper, rel=1e-12)


def test_shape_order_and_mixed_numbers_of_samples() -> None:
    n, c = np.array([8, 16, 100]), np.array([2, 0, 37])
    ks = list(range(1, 9))
    table = pass_at_k(n, c, ks)
    assert table.shape == (3, 8)
    assert (np.diff(table[[0, 2]], axis=1) >= 0).all()
    assert table[0, 0] == 0.25
    assert table[0, 7] == 1
    assert (table[1] == 0).all()
    assert (table[:, ::-1] == pass_at_k(n, c, ks[::-1])).all()
    for i in range(3):
        assert (table[i] == pass_at_k([n[i]], [c[i]], ks)[0]).all()
        assert group_signal(n, c, 8)[i] == pytest.approx(group_signal([n[i]], [c[i]], 8)[0], rel=1e-12)


def test_curve_is_the_mean_with_its_interval() -> None:
    n, c = np.full(50, 32), np.random.default_rng(0).binomial(32, 0.2, 50)
    figures = curve(pass_at_k(n, c, [1, 4, 32]), [1, 4, 32])
    assert list(figures) == [1, 4, 32]
    for k, figure in figures.items():
        assert figure.value == pytest.approx(pass_at_k(n, c, [k]).mean())
        assert 0 <= figure.low < figure.value <= figure.high <= 1
        assert (figure.n, figure.varies) == (50, "problems")
    hopeless = curve(pass_at_k(16, np.zeros(100), [16]), [16])[16]
    assert hopeless.low == hopeless.value == 0
    assert 0.01 < hopeless.high < 0.05


def test_intervals_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over sets of problems with p ~ Beta(0.3, 1.2), of which every truth is known; so too from stopped draws."""
    for module in (passk, signals):
        monkeypatch.setattr(
            module, "mean_estimate", partial(mean_estimate, resamples=400)
        )  # enough, and five times faster
    j = np.arange(9)
    right_of_8 = betabinom.pmf(j, 8, 0.3, 1.2)
    truth = {f"pass@{k}": 1 - betabinom.pmf(0, k, 0.3, 1.2) for k in (1, 8)}
    truth |= {"stopped": truth["pass@8"], "informative": 1 - right_of_8[0] - right_of_8[8]}
    truth |= {"signal": right_of_8 @ np.sqrt(j / 8 * (1 - j / 8)), "variance": right_of_8 @ (j * (8 - j) / 56)}
    hits = dict.fromkeys(truth, 0)
    for i in range(600):
        rng = np.random.default_rng([1, i])
        right = rng.random((40, 16)) < rng.beta(0.3, 1.2, 40)[:, None]
        n, c, some = np.full(40, 16), right.sum(1), right[:, :4].any(1)
        figures = {f"pass@{k}": f for k, f in curve(pass_at_k(n, c, [1, 8]), [1, 8]).items()}
        since, drawn = np.where(some, 0, 4), np.where(some, 4, 16)
        stopped = pass_at_k_stopped(since, drawn, np.where(some, right[:, :4].sum(1), c), 16, [8])
        figures |= {"stopped": curve(stopped, [8])[8], "informative": informative_share(n, c, 8)}
        figures |= {"signal": mean_group_signal(n, c, 8), "variance": mean_variance(n, c)}
        for name, figure in figures.items():
            hits[name] += figure.low <= truth[name] <= figure.high
    assert all(0.925 <= count / 600 <= 0.985 for count in hits.values()), hits


def test_figures() -> None:
    n, c = np.array([4, 4, 6, 6, 8]), np.array([0, 4, 6, 3, 1])
    whole = Counts(4, 4, np.zeros(5, dtype=int), n, c)
    shares = whole.shares(4)
    assert shares.unsolved.value == pytest.approx(1 - pass_at_k(n, c, [4]).mean())
    went_on = Counts(4, 8, np.array([0, 4]), np.array([4, 8]), np.array([4, 2]))  # the second stopped in its next wave
    assert [share.value for share in went_on.shares(4)] == [0.5, 0.0, 0.5]  # of 4 each, not of 4 and 8
    assert shares.solved.value == pytest.approx(0.4)
    assert sum(share.value for share in shares) == pytest.approx(1)
    assert shares.unsolved.low < 0.2 < shares.unsolved.high
    more = Counts(8, 8, np.zeros(2, dtype=int), np.array([8, 8]), np.array([6, 2])).shares(4)  # than was asked for
    assert [share.value for share in more] == pytest.approx([15 / 140, 110 / 140, 15 / 140])  # of 4 out of the 8
    assert informative_share(n, c, 4).value == pytest.approx(informative(n, c, 4).mean())
    assert mean_variance(n, c).value == pytest.approx(variance(n, c).mean())
    figure = mean_group_signal(n, c, 4)
    assert figure.value == pytest.approx(group_signal(n, c, 4).mean())
    assert 0 <= figure.low < figure.value < figure.high <= 0.5
    assert mean_variance([2, 2], [1, 1]).value == 0.5  # beyond 1/4, as an unbiased estimate may be
    assert informative_share(4, [1, 2, 3], 1).value == 0  # a group of one is never informative
    dead = mean_group_signal(16, [0] * 50 + [16] * 50, 8)
    assert dead.low == dead.value == 0 < dead.high


def test_group_signal_is_below_the_standard_deviation_of_p_by_at_most_the_bound() -> None:
    """The Bernstein polynomial of √(p(1-p)): from below, at most 0.3/√g short."""
    p = np.linspace(0, 1, 4001)
    for g in (8, 16, 64):
        counts = np.arange(g + 1)
        chance = np.array([comb(g, c) for c in counts]) * p[:, None] ** counts * (1 - p[:, None]) ** (g - counts)
        short = np.sqrt(p * (1 - p)) - chance @ group_signal(g, counts, g)
        assert short.min() > -1e-12
        assert 0.25 < short.max() * sqrt(g) < 0.3


def test_powers() -> None:
    """Doublings, and the last k whatever it is."""
    assert powers(8) == [1, 2, 4, 8]
    assert powers(12) == [1, 2, 4, 8, 12]
    assert powers(1) == [1]


def test_errors_name_n_and_k() -> None:
    for call in (
        lambda: pass_at_k([8, 4], [1, 1], [1, 5]),
        lambda: informative([8, 4], [1, 1], 5),
        lambda: group_signal([8, 4], [1, 1], 5),
        lambda: pass_at_k_stopped([0, 0], [4, 4], [1, 0], 4, [5]),
    ):
        with pytest.raises(UserError, match=r"k = 5 .* n is 4"):
            call()
    with pytest.raises(UserError, match="k = 0"):
        pass_at_k(4, [1], [0])
    with pytest.raises(UserError, match="k = 2"):
        variance(1, [1])
    with pytest.raises(UserError, match="no k"):
        pass_at_k(4, [1], [])
    with pytest.raises(UserError, match="no problems"):
        pass_at_k(4, [], [1])
    for n, c in (([4, 4], [1, 5]), ([4, 4], [1, -1]), ([4], [1, 1]), ([4, 4.5], [1, 1])):
        with pytest.raises(ValueError, match=r"impossible|same problems|whole"):
            pass_at_k(n, c, [1])
    for since, drawn, correct in (
        ([4], [4], [1]),
        ([0], [3], [0]),
        ([2], [4], [3]),
        ([-1], [4], [1]),
        ([0.5], [4], [1]),
    ):
        with pytest.raises(ValueError, match=r"last wave|impossible|whole"):
            pass_at_k_stopped(since, drawn, correct, 4, [1])
