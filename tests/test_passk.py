"""pass@k and its relatives: against enumeration of every subset, exact expectations and big-integer arithmetic."""

from fractions import Fraction
from itertools import combinations, permutations
from math import comb, sqrt

import numpy as np
import pytest

from rlready.errors import UserError
from rlready.readiness.passk import (
    curve,
    mixed,
    mixed_share,
    pass_at_k,
    solved_shares,
    spread,
    spread_figure,
    success_within,
    variance,
    variance_figure,
)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_every_subset_agrees(n: int) -> None:
    for c in range(n + 1):
        samples = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            right = np.array([sum(group) for group in combinations(samples, k)])
            assert pass_at_k([n], [c], [k])[0, 0] == pytest.approx(np.mean(right > 0), abs=1e-12)
            assert mixed([n], [c], k)[0] == pytest.approx(np.mean((right > 0) & (right < k)), abs=1e-12)
            weight = np.sqrt(right / k * (1 - right / k))
            assert spread([n], [c], k)[0] == pytest.approx(weight.mean(), abs=1e-12)
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
    assert chance @ mixed(n, counts, g) == pytest.approx(1 - p**g - (1 - p) ** g, abs=1e-12)
    truth = sum(comb(g, j) * p**j * (1 - p) ** (g - j) * sqrt(j / g * (1 - j / g)) for j in range(g + 1))
    assert chance @ spread(n, counts, g) == pytest.approx(truth, abs=1e-12)


def test_exact_with_1024_samples() -> None:
    n, c = 1024, np.array([0, 1, 3, 100, 512, 1000, 1023, 1024])
    ks = [1, 2, 64, 500, 1024]
    got = pass_at_k(n, c, ks)
    for i, right in enumerate(c.tolist()):
        exact = [float(1 - Fraction(comb(n - right, k), comb(n, k))) for k in ks]
        assert got[i] == pytest.approx(exact, rel=1e-9)
        for g in (2, 64, 1000):
            same = Fraction(comb(right, g) + comb(n - right, g), comb(n, g))
            assert mixed(n, [right], g)[0] == pytest.approx(float(1 - same), rel=1e-9, abs=1e-12)
            terms = ((Fraction(comb(right, j) * comb(n - right, g - j), comb(n, g)), j / g) for j in range(g + 1))
            weight = sum(float(share) * sqrt(alpha * (1 - alpha)) for share, alpha in terms)
            assert spread(n, [right], g)[0] == pytest.approx(weight, rel=1e-9, abs=1e-12)


def test_the_product_of_the_paper() -> None:
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
        assert spread(n, c, 8)[i] == pytest.approx(spread([n[i]], [c[i]], 8)[0], rel=1e-12)


def test_curve_is_the_mean_with_its_interval() -> None:
    n, c = np.full(50, 32), np.random.default_rng(0).binomial(32, 0.2, 50)
    figures = curve(n, c, [1, 4, 32])
    assert list(figures) == [1, 4, 32]
    for k, figure in figures.items():
        assert figure.value == pytest.approx(pass_at_k(n, c, [k]).mean())
        assert 0 <= figure.low < figure.value <= figure.high <= 1
        assert (figure.n, figure.varies) == (50, "problems")
    hopeless = curve(16, np.zeros(100), [16])[16]
    assert hopeless.low == hopeless.value == 0
    assert 0.01 < hopeless.high < 0.05


def test_curve_intervals_cover() -> None:
    """Over sets of problems with p ~ Beta(0.3, 1.2): E pass@8 = 1 - E (1 - p)^8."""
    truth = {k: 1 - float(np.prod([(1.2 + i) / (1.5 + i) for i in range(k)])) for k in (1, 8)}
    hits = {1: 0, 8: 0}
    for i in range(400):
        rng = np.random.default_rng([1, i])
        figures = curve(16, rng.binomial(16, rng.beta(0.3, 1.2, 40)), [1, 8])
        for k, figure in figures.items():
            hits[k] += figure.low <= truth[k] <= figure.high
    assert all(0.91 <= count / 400 <= 0.99 for count in hits.values())


def test_shares_and_figures() -> None:
    n, c = np.array([4, 4, 6, 6, 8]), np.array([0, 4, 6, 3, 1])
    shares = solved_shares(n, c)
    assert [f.value for f in shares] == pytest.approx([0.2, 0.4, 0.4])
    assert shares.never.low < 0.2 < shares.never.high
    assert mixed_share(n, c, 4).value == pytest.approx(mixed(n, c, 4).mean())
    assert variance_figure(n, c).value == pytest.approx(variance(n, c).mean())
    figure = spread_figure(n, c, 4)
    assert figure.value == pytest.approx(spread(n, c, 4).mean())
    assert 0 <= figure.low < figure.value < figure.high <= 0.5
    assert variance_figure([2, 2], [1, 1]).value == 0.5  # beyond 1/4, as an unbiased estimate may be
    assert mixed_share(4, [1, 2, 3], 1).value == 0  # a group of one is never mixed
    dead = spread_figure(16, [0] * 50 + [16] * 50, 8)
    assert dead.low == dead.value == 0 < dead.high


def test_success_within_under_sequential_stopping() -> None:
    """The rule itself, simulated: 4 draws for each problem, then stop at the first success, at most 16."""
    rng = np.random.default_rng(2)
    p = rng.beta(0.3, 1.2, 20_000)
    right = rng.random((20_000, 16)) < p[:, None]
    first = np.zeros(20_000, dtype=int)
    drawn = 0
    for i, row in enumerate(right):
        stop = 4
        while stop < 16 and not row[:stop].any():
            stop += 1
        drawn += stop
        first[i] = row[:stop].argmax() + 1 if row[:stop].any() else 0
    assert drawn < 0.75 * right.size
    ks = [1, 3, 4, 5, 16]
    table = success_within(first, 16, ks)
    truth = 1 - (1 - p[:, None]) ** np.array(ks)
    error = np.abs((table - truth).mean(0))
    assert (error < 4 * np.sqrt((truth * (1 - truth)).mean(0) / 20_000)).all()
    assert success_within([0, 1, 3], 4, [1, 2, 3, 4]).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]]


def test_refusals_name_n_and_k() -> None:
    for call in (
        lambda: pass_at_k([8, 4], [1, 1], [1, 5]),
        lambda: curve([8, 4], [1, 1], [5]),
        lambda: mixed([8, 4], [1, 1], 5),
        lambda: spread([8, 4], [1, 1], 5),
        lambda: success_within([1, 0], 4, [5]),
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
    for first in ([5], [-1], [[1]], [0.5]):
        with pytest.raises(ValueError, match="first"):
            success_within(first, 4, [1])
