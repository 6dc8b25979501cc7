"""s1's three metrics at the boundary: a run that thinks exactly as long as its cap is within it."""

import pytest

from rlready.core.stats import paired_estimate
from rlready.evaluate.metrics import curve


def test_a_run_at_its_cap_is_in_control() -> None:
    """Two at the cap, one a hundredth of a token above."""
    found = curve([10, 20, 30], [10.0, 20.0, 30.01], [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    assert found.control == 2 / 3
    assert (found.best_budget, found.performance.value) == (20, 1.0)


def test_scaling_is_the_mean_slope_in_points_per_thousand_tokens() -> None:
    """(0.75 - 0.25) / 10, (1 - 0.25) / 30 and (1 - 0.75) / 20 per token; a pair exactly a token apart counts."""
    right = [[0, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]]
    scaling = curve([10, 20, 40], [10.0, 20.0, 40.0], right).scaling
    assert scaling is not None
    assert abs(scaling.value - 100_000 * (0.05 + 0.025 + 0.0125) / 3) < 1e-9
    least = curve([10, 11], [10.0, 11.0], [[0, 1], [1, 1]]).scaling
    assert least is not None
    assert abs(least.value - 50_000) < 1e-6
    assert curve([10, 11], [10.0, 10.99], [[0, 1], [1, 1]]).scaling is None


@pytest.mark.parametrize("accuracy", [0.0, 1.0, 0.3])
def test_scaling_where_no_accuracy_moves_has_an_interval_to_both_sides(accuracy: float) -> None:
    """That of a paired difference of accuracies over the same tokens: no change of ten problems is no proof of 0."""
    same = [[accuracy] * 10] * 2
    scaling = curve([10, 16], [10.0, 16.0], same).scaling
    change = paired_estimate(*same, bounds=(0.0, 1.0))
    assert scaling is not None
    assert scaling.value == 0
    assert (scaling.low, scaling.high) == pytest.approx((change.low * 1e5 / 6, change.high * 1e5 / 6))
    assert scaling.low < -1000
    assert scaling.high > 1000
    many = curve([10, 16, 23, 31], [9.7, 15.9, 22.1, 30.3], [[accuracy] * 10] * 4).scaling
    assert many is not None
    assert (many.value, many.low < -1000, many.high > 1000) == (0, True, True)
