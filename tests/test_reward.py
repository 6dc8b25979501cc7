"""Length-aware rewards: the sources' formulas, and in no group does a wrong answer outrank a correct one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.core.config import Reward, RLConfig
from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.credit.reward import (
    COEFFICIENT,
    MOSTLY,
    RewardFn,
    arora_zanette,
    dapo_overlong,
    grpo_lambda,
    lcpo_exact,
    lcpo_max,
)
from rlready.tasks import length_prompt

GROUPS = st.lists(st.tuples(st.booleans(), st.integers(0, 40_000)), min_size=1, max_size=16)
SHARES: tuple[Reward, ...] = ("arora_zanette", "grpo_lambda", "dapo_overlong")
STRENGTHS = {
    kind: st.none() | st.floats(0, 1 if kind in SHARES else 100, exclude_min=True)
    for kind in COEFFICIENT
    if kind != "correctness"
}
PAYS = st.one_of(
    *(st.builds(RewardFn, st.just(kind), strength) for kind, strength in STRENGTHS.items()), st.just(RewardFn())
)


@settings(max_examples=1500)
@given(GROUPS, PAYS, st.integers(1, 40_000))
def test_no_wrong_answer_outranks_a_correct_one(group: list[tuple[bool, int]], pay: RewardFn, target: int) -> None:
    """Whatever the lengths, the target and the coefficient; with equal lengths, correct clearly beats wrong."""
    correct = np.array([c for c, _ in group])
    thinking = np.array([n for _, n in group])
    reward = pay(correct, thinking, target)
    assert np.isfinite(reward).all()
    assert min(reward[correct], default=1.0) >= max(reward[~correct], default=0.0)
    if not pay.coef:  # the source's coefficient; a right answer to the point is worth more than any wrong one
        pointed = np.full_like(thinking, target // 2)
        reward = pay(correct, pointed, target)
        assert min(reward[correct], default=1.0) > max(reward[~correct], default=0.0)


@settings(max_examples=500)
@given(GROUPS, PAYS)
def test_shorter_correct_answers_earn_at_least_as_much(group: list[tuple[bool, int]], pay: RewardFn) -> None:
    """Beyond the target; ``lcpo_exact`` rewards what comes near it from either side."""
    correct = np.array([c for c, _ in group])
    thinking = np.array([n for _, n in group]) + 50
    reward = pay(correct, thinking, 50)
    by_length = np.argsort(thinking[correct], kind="stable")
    assert (np.diff(reward[correct][by_length]) <= 1e-12).all()


def test_formulas() -> None:
    """Against values worked out by hand."""
    correct, thinking = np.array([True, True, False, True]), np.array([10, 20, 5, 30])
    sigma = 1 / (1 + np.exp(-np.array([-10, 0, 10]) / np.std([10, 20, 30])))
    np.testing.assert_allclose(arora_zanette(correct, thinking, 0.2)[correct], 1 - 0.2 * sigma, rtol=1e-6)
    assert arora_zanette(correct, thinking, 0.2)[2] == 0
    np.testing.assert_allclose(dapo_overlong(correct, thinking, 1.0, 25), [1, 1, 0, 0])
    np.testing.assert_allclose(dapo_overlong(correct, thinking, 1.0, 24), [1, 1 - 0.8 / 4.8, 0, 0])
    np.testing.assert_allclose(lcpo_exact(correct, thinking, 0.01, 20), [0.9, 1, -0.15, 0.9])
    np.testing.assert_allclose(lcpo_max(correct, thinking, 0.02, 20), [0.7, 0.5, 0, 0.3])
    assert (lcpo_max(correct, np.array([0, 999, 0, 20]), 0.1, 20) == [1, 0, 0, 0.5]).all()


def test_grpo_lambda_rewards_length_only_in_mostly_correct_groups() -> None:
    thinking = np.array([10, 20, 30, 40])
    hard, easy = np.array([True, False, False, False]), np.array([True, True, False, False])
    assert hard.mean() < MOSTLY <= easy.mean()
    assert (grpo_lambda(hard, thinking, 0.5) == hard).all()
    assert (grpo_lambda(easy, thinking, 0.5) == arora_zanette(easy, thinking, 0.5)).all()
    assert (RewardFn()(easy, thinking, 5) == easy).all()


@pytest.mark.parametrize(
    ("kind", "strength"),
    [
        ("arora_zanette", 1.5),
        ("grpo_lambda", -0.1),
        ("lcpo_exact", -1.0),
        ("correctness", 0.2),
        ("dapo_overlong", 1.01),
    ],
)
def test_coefficients_that_could_reverse_the_order_are_refused(kind: Reward, strength: float) -> None:
    with pytest.raises(UserError, match="reward_coef"):
        RewardFn(kind, strength)


def test_the_prompt_asks_for_a_length() -> None:
    problem = Problem("p", "1 + 1 =", "2")
    assert length_prompt.with_length_prompt(problem, " Think for at most {N} tokens.", 40).prompt.endswith(
        "= Think for at most 40 tokens."
    )
    assert length_prompt.with_length_prompt(problem, " budget {N/8}", 40).prompt == "1 + 1 = budget 5"
    assert length_prompt.with_length_prompt(problem, "", 40) == problem
    with pytest.raises(UserError, match="states no length"):
        RLConfig(length_prompt=" be brief")
