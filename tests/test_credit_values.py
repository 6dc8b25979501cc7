"""Credit by hand: what each algorithm credits a response and a token, at the edges too."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlready.core.errors import UserError
from rlready.core.records import Group, Problem, Row, Sample
from rlready.credit import dense
from rlready.credit.algorithms import ALGORITHMS, Algorithm
from rlready.credit.assign import credit
from rlready.credit.outcome import centred, has_signal, leave_one_out, per_response_token, standardised
from rlready.credit.probe import plant, planted_error
from rlready.credit.reference import ReferencePair
from rlready.credit.reward import RewardFn
from rlready.credit.token_credit import SHOWN, credit_of_copies, credit_of_inputs
from rlready.engine.rollout import sample_row
from rlready.models.batch import supervised
from test_dense import world

RIGHT = np.array([True, True, False, False])


def test_advantages_by_hand() -> None:
    """Also of groups of two and of one, and of equal rewards."""
    rewards = np.array([1.0, 0.0, 0.0, 1.0, 0.5])
    spread = np.sqrt(1.0 / 4)  # of five values about 0.5, with N - 1
    np.testing.assert_allclose(standardised(rewards), (rewards - 0.5) / (spread + 1e-4), rtol=1e-12)
    np.testing.assert_allclose(centred(rewards), [0.5, -0.5, -0.5, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(leave_one_out(rewards), [0.625, -0.625, -0.625, 0.625, 0], atol=1e-12)
    pair = np.array([1.0, 0.0])
    np.testing.assert_allclose(standardised(pair), np.array([0.5, -0.5]) / (np.sqrt(0.5) + 1e-4), rtol=1e-12)
    np.testing.assert_allclose(leave_one_out(pair), [1, -1])
    np.testing.assert_allclose(centred(pair), [0.5, -0.5])
    for algorithm in ALGORITHMS.values():
        of = algorithm.advantage
        assert of(np.array([0.7])).tolist() == [0]
        assert np.abs(of(np.full(7, 0.95))).max() < 1e-9
    assert centred(np.full(7, 0.95)).tolist() == [0] * 7  # their mean is off by rounding
    assert [has_signal(np.array(r)) for r in ([1.0, 1.0], [1.0, 1.0, 0.9], [0.9, 1.0], [1.0])] == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("grpo", [1 / 12, 1 / 30, 1 / 6]),
        ("dr_grpo", [1 / 60] * 3),
        ("rloo", [1 / 60] * 3),
        ("dapo", [1 / 8] * 3),
    ],
)
def test_a_token_weighs(algorithm: str, expected: list[float]) -> None:
    """Responses of 2, 5 and no chosen tokens (which count as one), of 6 in the batch, at most 10 long."""
    normaliser = ALGORITHMS[algorithm].normaliser
    np.testing.assert_allclose(normaliser(np.array([2, 5, 0]), 6, 10), expected)
    assert len(normaliser(np.array([], dtype=np.int64), 6, 10)) == 0


def test_clip_ranges_are_those_of_the_papers() -> None:
    """0.2 to either side; DAPO's "clip-higher" raises the upper bound alone."""
    ranges = {name: (algorithm.epsilon, algorithm.epsilon_high) for name, algorithm in ALGORITHMS.items()}
    assert ranges.pop("dapo") == (0.2, 0.28)
    assert set(ranges.values()) == {(0.2, 0.2)}
    own = Algorithm("own", centred, per_response_token)
    assert (own.epsilon, own.epsilon_high) == (0.2, 0.2)


def group_of(rewards: list[float], right: list[bool], problem: str = "p") -> Group:
    tokens, mask = np.array([7, 8, 9], dtype=np.int32), np.array([1, 0, 1], dtype=np.uint8)
    logp = np.array([-1, 0, -2], dtype=np.float32)
    samples = [
        replace(Sample(problem, i, tokens, mask, logp, 1, 1), correct=c, reward=r)
        for i, (r, c) in enumerate(zip(rewards, right, strict=True))
    ]
    return Group(Problem(problem, "", ""), [1, 5], samples)


def test_credit_goes_to_every_token_and_is_counted() -> None:
    groups = [
        group_of([1.0, 0.0], [True, False]),
        group_of([1.0, 1.0], [True, True]),
        group_of([0.0, 0.0], [False, False]),
        group_of([0.3, 0.3], [True, False]),
    ]
    found = credit(groups, ALGORITHMS["dr_grpo"], cap=4)
    assert (found.informative, found.solved, found.unsolved, found.equal) == (1, 1, 1, 1)
    assert [e.advantage.tolist() for e in found.examples] == [[0.5] * 3, [-0.5] * 3]
    for example in found.examples:
        np.testing.assert_allclose(example.weight, 1 / (8 * 4))
        assert (example.prompt_ids, example.response_ids) == ([1, 5], [7, 8, 9])
        assert example.old is not None
        assert example.mask.tolist() == [1, 0, 1]
        assert example.old.tolist() == [-1, 0, -2]
    assert len(credit(groups, ALGORITHMS["dr_grpo"], cap=4, keep_all=True).examples) == 8
    np.testing.assert_allclose(credit(groups, ALGORITHMS["grpo"], cap=4).examples[0].weight, 1 / (2 * 8))
    np.testing.assert_allclose(credit(groups, ALGORITHMS["dapo"], cap=4).examples[0].weight, 1 / 4)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # sigma of (8 - 9) / 1 and (10 - 9) / 1
        ("arora_zanette", [1 - 0.1 / (1 + np.exp(1)), 1 - 0.1 / (1 + np.exp(-1)), 0, 0]),
        ("grpo_lambda", [1 - 0.1 / (1 + np.exp(1)), 1 - 0.1 / (1 + np.exp(-1)), 0, 0]),
        ("correctness", [1, 1, 0, 0]),
        ("dapo_overlong", [1, 0.0, -0.5, -1]),
        ("lcpo_exact", [1 - 2 * 3e-4, 1, -3e-4, -90 * 3e-4]),
        ("lcpo_max", [0.5 + 2 * 3e-4, 0.5, 0, 0]),
    ],
)
def test_rewards_with_their_sources_own_coefficients(kind: Any, expected: list[float]) -> None:
    """Lengths 8, 10, 9 and 100, target 10; ``dapo_overlong`` is free up to 8 and full at 10."""
    thinking = np.array([8, 10, 9, 100])
    np.testing.assert_allclose(RewardFn(kind)(RIGHT, thinking, 10), expected, atol=1e-6)


def test_only_lengths_of_correct_answers_count() -> None:
    """No correct answer, or all of one length: no division by zero."""
    thinking = np.array([8, 10, 9, 1000])
    none = RewardFn("arora_zanette")(np.zeros(4, dtype=bool), thinking, 10)
    assert none.tolist() == [0] * 4
    alike = RewardFn("arora_zanette", 0.5)(RIGHT, np.array([9, 9, 1, 5]), 10)
    assert alike.tolist() == [0.75, 0.75, 0, 0]
    assert RewardFn("arora_zanette", 1.0)(RIGHT, np.array([1, 10**6, 1, 1]), 10)[0] > 0.7  # far out, and no overflow
    assert RewardFn("lcpo_exact", 100.0)(RIGHT, thinking, 10).tolist() == [0.5, 1.0, -0.5, -0.5]


@pytest.mark.parametrize("kind", ["arora_zanette", "grpo_lambda", "dapo_overlong"])
def test_shares_may_be_all_of_it(kind: Any) -> None:
    assert RewardFn(kind, 1.0).coef == 1
    with pytest.raises(UserError, match=f"reward_coef of reward={kind} must be at most 1"):
        RewardFn(kind, 1.0001)


def test_coefficients_per_token_have_no_upper_bound() -> None:
    assert RewardFn("lcpo_exact", 7.0).coef == RewardFn("lcpo_max", 7.0).coef == 7
    with pytest.raises(UserError, match="reward_coef must be above 0"):
        RewardFn("lcpo_exact", -0.1)


# --- dense --------------------------------------------------------------------------------------------------------


def test_dense_rewards_are_scaled_over_chosen_tokens() -> None:
    """Deviation without N - 1; equal rewards are not divided by 0; 0 clips nothing."""
    reward = np.array([[1.0, 3.0, 99.0], [5.0, 99.0, 99.0]])
    mask = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    deviation = np.sqrt(8 / 3)
    scaled, scale = dense.scaled(reward, mask, "std")
    assert scale == pytest.approx(deviation)
    np.testing.assert_allclose(scaled, np.array([[1, 3, 0], [5, 0, 0]]) / deviation)
    np.testing.assert_allclose(dense.scaled(reward, mask, "zscore")[0], np.array([[-2, 0, 0], [2, 0, 0]]) / deviation)
    assert dense.scaled(reward, mask, "none") == (pytest.approx(np.array([[1, 3, 0], [5, 0, 0]])), 1.0)
    flat, none = dense.scaled(np.full((2, 3), 4.0), mask, "std")
    assert none == 0
    assert flat.tolist() == [[4, 4, 0], [4, 0, 0]]
    np.testing.assert_allclose(dense.scaled(reward, mask, "none", 2.0)[0], [[1, 2, 0], [2, 0, 0]])
    np.testing.assert_allclose(dense.scaled(-reward, mask, "none", 2.0)[0], [[-1, -2, 0], [-2, 0, 0]])


def test_uniform_returns_distribute_the_total_evenly() -> None:
    reward = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    mask = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
    assert dense.uniform(reward, mask).tolist() == [[2, 2, 0], [0, 0, 0]]


def test_differences_at_the_size_of_rounding_are_none() -> None:
    """1e-5 of the largest return of a group, of its own and not of the batch."""
    mask = np.ones((4, 1), dtype=bool)
    for apart, seen in ((0.9e-5, False), (1.1e-5, True)):
        value = np.array([[100.0], [100.0 * (1 - apart)], [1.0], [2.0]])
        found = dense.group_advantages(value, mask, [2, 2])
        assert found[:2].any() == seen
        assert found[2:].tolist() == [[-1], [1]]


def test_dense_and_outcome_credit_are_mixed_at_one_size() -> None:
    """Mean squares of 1 over chosen tokens; no dense credit at all leaves the outcome."""
    mask = np.array([[1, 1], [1, 0]], dtype=bool)
    outcome = np.array([1.0, -1.0])
    advantage = np.array([[2.0, -2.0], [2.0, 0.0]])
    found = dense.mix_advantages(advantage, outcome, mask, 0.25)
    np.testing.assert_allclose(found, 0.25 * np.array([[1, -1], [1, 0]]) + 0.75 * np.array([[1, 1], [-1, 0]]))
    np.testing.assert_allclose(
        dense.mix_advantages(0 * advantage, outcome, mask, 0.25), 0.75 * np.array([[1, 1], [-1, 0]])
    )


# --- the probe ----------------------------------------------------------------------------------------------------


def scored(monkeypatch: pytest.MonkeyPatch, dense_of: list[list[float]], sft_of: list[list[float]]) -> None:
    found = [[np.array(s, dtype=np.float32) for s in side] for side in (dense_of, sft_of)]
    monkeypatch.setattr(ReferencePair, "score", lambda self, rows, **_: tuple(found))


def test_the_probe_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two solutions of five tokens, changed at the third; originals first, then copies; ties count half."""
    lm = world(0)
    rows = [Row("a", "a: 5 ? a", "a: 5"), Row("b", "a: 7 ? a", "a: 7")]
    assert [len(lm.worked_ids(row, think=False)[1]) for row in rows] == [3, 3]
    originals = [[0.0, 0.0, 0.0], [0.0, -9.0, 0.0]]
    copies = [[0.5, -1.0, -1.0], [0.5, -2.0, -3.0]]
    scored(monkeypatch, [*originals, *copies], [*copies, *originals])
    probe = planted_error(ReferencePair(lm, None), rows)
    assert probe.planted_at == [1, 1]
    # of the two other tokens, above the second one: (1 + 0.5) / 2 and 1 / 2
    assert probe.auc.value == pytest.approx((0.75 + 0.5) / 2)
    assert probe.top.value == 0.5  # none is below it in the first copy
    assert probe.ranked.value == 0.5  # sums 0 and -9 against -1.5 and -4.5
    assert probe.auc_sft.value == pytest.approx((0.5 + 1) / 2)  # both tie in the first; both above in the second
    assert probe.ranked_sft.value == 0.5
    for figure in (probe.auc, probe.top, probe.ranked, probe.auc_sft, probe.ranked_sft):
        assert 0 <= figure.low < figure.high <= 1
    scored(monkeypatch, [*originals, *originals], [*copies, *copies])
    assert planted_error(ReferencePair(lm, None), rows).ranked.value == 0  # equal sums are not above


def test_a_planted_number_is_another_of_the_pool() -> None:
    """Any number of the text, any other of the pool, in the thought where there is one."""
    row = Row("x", "?", "1 2 3", None)
    found = {plant(row, ["1", "2", "9"], random.Random(i)) for i in range(200)}
    changed = {copy.response for copy in found if copy}
    assert changed == {"2 2 3", "9 2 3", "1 1 3", "1 9 3", "1 2 1", "1 2 2", "1 2 9"}
    assert plant(Row("x", "?", "5"), ["5"], random.Random(0)) is None
    thought = plant(Row("x", "?", "5", "4"), ["4", "6"], random.Random(0))
    assert thought is not None
    assert (thought.thinking, thought.response) == ("6", "5")


def test_the_first_twenty_are_shown(tmp_path: Any) -> None:
    """Rows of a table, and copies of the probe, which say where they were changed, counted from 1."""
    lm = world(0)
    pair = ReferencePair(lm, world(1))
    table = tmp_path / "rows.jsonl"
    table.write_text(
        "\n".join(json.dumps({"id": f"r{i}", "prompt": "a: 5 ? a", "response": "a: 5"}) for i in range(25))
    )
    shown = credit_of_inputs(pair, [str(table)])
    assert SHOWN == 20
    assert [r.name for r in shown] == [f"r{i}" for i in range(20)]
    example = supervised(*lm.worked_ids(Row("r", "a: 5 ? a", "a: 5"), think=False))
    dense_of, _ = pair.score([example], max_tokens_per_microbatch=1000)
    np.testing.assert_allclose(shown[0].dense, dense_of[0], atol=1e-5)
    assert shown[0].total == pytest.approx(float(dense_of[0].sum()), abs=1e-5)
    assert "".join(shown[0].pieces).startswith("a")
    probe = planted_error(pair, [Row(f"s{i}", "a: 5 ? a", f"a: {i}") for i in range(2, 9)])
    copies = credit_of_copies(pair, probe)
    assert [c.name for c in copies] == [f"s{i}, changed at token 2" for i in range(2, 9)]


def test_a_stored_response_is_scored_after_the_system_turn_of_its_prompt(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As tokens, pieces and text; a table of an earlier version lacks the column, which is said."""
    lm, problem = world(0), Problem("p", "a: 5 ? a", "5", system="b: 7")
    pair, ids = ReferencePair(lm, world(1)), lm.encode("a: 5")
    ones = np.ones(len(ids))
    sample = Sample("p", 0, np.array(ids), ones.astype(np.uint8), ones, 0, 2, text="a: 5", correct=True, reward=1.0)
    row: dict[str, Any] = dict(sample_row(sample, problem))
    asked = {"prompt": problem.prompt, "system": problem.system}
    pieces = asked | {"pieces": [[text, 1] for text in lm.pieces(ids)]}

    def shown(row: dict[str, Any]) -> Any:
        table = tmp_path / "rows.jsonl"
        table.write_text(json.dumps(row))
        return credit_of_inputs(pair, [str(table)])[0]

    def expected(system: str) -> Any:
        example = supervised(lm.prompt_ids(problem.prompt, system, think=False), ids)
        return pair.score([example], max_tokens_per_microbatch=1000)[0][0]

    for each in (row, pieces):
        np.testing.assert_allclose(shown(each).dense, expected("b: 7"), atol=1e-5)
    worked = supervised(*lm.worked_ids(Row("p", problem.prompt, "a: 5", system="b: 7"), think=False))
    dense_of, _ = pair.score([worked], max_tokens_per_microbatch=1000)
    for name in ("system", "system_prompt"):
        each = {"prompt": problem.prompt, name: "b: 7", "response": "a: 5"}
        np.testing.assert_allclose(shown(each).dense, dense_of[0], atol=1e-5)
    assert shown(row).prompt == "b: 7\n\na: 5 ? a"
    assert capsys.readouterr().err == ""
    old = shown({key: value for key, value in row.items() if key != "system"})
    np.testing.assert_allclose(old.dense, expected(""), atol=1e-5)
    assert np.abs(old.dense - expected("b: 7")).max() > 1e-3
    assert "some rows do not say whether their prompt has a system turn" in capsys.readouterr().err
    with pytest.raises(UserError, match="the system turn must be text"):
        shown(row | {"system": 5})
