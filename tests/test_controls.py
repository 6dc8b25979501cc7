"""The controls of ``evidence/budgets-controls`` and ``evidence/dense-controls``: how they credit tokens."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rlready.core.records import Group, Problem, Sample
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.reference import ReferencePair
from rlready.models.batch import Example, supervised
from rlready.models.checkpoint import load
from rlready.models.lm import LM

EVIDENCE = Path(__file__).parents[1] / "evidence"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module_name = f"controls_{name}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(module_name, EVIDENCE / name / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("budgets-controls", monkeypatch)


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("dense-controls", monkeypatch)


@pytest.fixture(scope="module")
def lm() -> LM:
    return load("embedded")


def sample(thought: int, answer: int, *, cut: bool, reward: float) -> Sample:
    """A thought, one token that ends it, forced if the thought was cut, and an answer."""
    length = thought + 1 + answer
    mask = np.ones(length, np.uint8)
    mask[thought] = not cut
    tokens = np.arange(length, dtype=np.int32)
    zeros = np.zeros(length, np.float32)
    return Sample("p", 0, tokens, mask, zeros, thought, answer, truncated=cut, reward=reward)


def test_a_token_has_the_advantages_of_the_answers_after_it(
    budgets: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "BUDGETS", (2, 4, 6))
    problem = Problem("p", "", "")
    short = [sample(1, 1, cut=False, reward=0.0)] * 3  # ends before every budget
    long = [  # of five tokens: cut at 2 and at 4, whole under 6
        sample(2, 1, cut=True, reward=0.0),
        sample(4, 1, cut=True, reward=1.0),
        sample(5, 1, cut=False, reward=1.0),
    ]
    groups = [Group(problem, (7, 8), [a, b]) for a, b in zip(short, long, strict=True)]
    first, *cuts, whole = budgets.credited(groups, 0.25)
    half = 1 / 2 / 3  # a right answer of two is half above their mean; there are three budgets
    assert first.advantage == pytest.approx([-2 * half] * 3)  # its wrong answer is that of all budgets; once there is 0
    assert whole.advantage == pytest.approx([2 * half] * 4 + [half] * 3)
    (answered,) = cuts  # at 2 both are wrong, which is no signal
    assert answered.mask.tolist() == [0, 0, 0, 0, 0, 1]
    assert answered.advantage[-1] == pytest.approx(half)
    assert {float(w) for each in (first, answered, whole) for w in each.weight} == {0.25}


def test_a_thought_that_is_cut_at_the_largest_budget_has_its_answer_once(
    budgets: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "BUDGETS", (2, 4))
    pairs = [([2, 2], [0.0, 0.0]), ([4, 4], [1.0, 0.0])]  # thoughts and rewards at each budget
    groups = [
        Group(Problem("p", "", ""), (7,), [sample(t, 1, cut=True, reward=r) for t, r in zip(*pair, strict=True)])
        for pair in pairs
    ]
    right, wrong = budgets.credited(groups, 1.0)
    assert right.advantage == pytest.approx([0.25] * 6)  # half above the mean, of two budgets
    assert wrong.advantage == pytest.approx([-0.25] * 6)
    assert right.mask.tolist() == [1, 1, 1, 1, 0, 1]


def test_advantages_of_truncation_have_the_spread_of_the_batch(budgets: ModuleType) -> None:
    trainer = object.__new__(budgets.Truncating)
    trainer.algorithm, trainer.cap = ALGORITHMS["dr_grpo"], 8
    rewards = ([1.0, 0.0], [1.0, 0.0, 0.0, 0.0])
    groups = [
        Group(Problem(str(i), "", ""), (1,), [sample(1, 1, cut=False, reward=r) for r in each])
        for i, each in enumerate(rewards)
    ]
    centred = np.array([0.5, -0.5, 0.75, -0.25, -0.25, -0.25])
    found = [example.advantage[0] for example in trainer.credit(groups).examples]
    assert found == pytest.approx(centred / centred.std())
    assert trainer.credit([]).examples == []


def test_truncation_keeps_groups_with_a_signal_only(budgets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "PROMPTS", 2)
    trainer = object.__new__(budgets.Truncating)
    kinds = {"mixed": (False, True), "none": (True, True)}  # whether the thought of each sample was cut

    def drawn(self: Any, task: Any, problems: Any, at: int) -> list[Group]:
        marked = [
            [replace(sample(1, 1, cut=cut, reward=0.0), correct=True) for cut in kinds[p.prompt]] for p in problems
        ]
        return [Group(p, (1,), samples) for p, samples in zip(problems, marked, strict=True)]

    monkeypatch.setattr(budgets.Trainer, "sample", drawn)
    problems = [Problem(str(i), prompt, "") for i, prompt in enumerate(("none", "mixed", "mixed", "none", "mixed"))]
    kept = trainer.sample(None, problems, 0)
    assert [group.problem.id for group in kept] == ["1", "2"]
    assert kept[0].rewards.tolist() == [1.0, 0.0]  # a right answer to a thought that was cut is wrong
    assert trainer.drawn == 8


def rows(lm: LM, count: int) -> list[Example]:
    found = []
    for i in range(count):
        row = supervised(lm.prompt_ids(f"a : {i} a ?", think=True), lm.encode(f"a: {i} </think> {i}"))
        mask = row.mask.copy()
        mask[1] = 0
        found.append(replace(row, mask=mask))
    return found


SETTINGS = {"max_tokens_per_microbatch": 4096}


def test_permuted_rewards_are_those_of_the_batch(dense: ModuleType, lm: LM) -> None:
    examples = rows(lm, 6)
    rewards, start = ReferencePair(lm, None).score(examples, **SETTINGS)
    mixed, same = dense.Permuted(lm, None).score(examples, **SETTINGS)
    assert np.sort(np.concatenate(mixed)) == pytest.approx(np.sort(np.concatenate(rewards)))
    assert any(not np.allclose(a, b) for a, b in zip(mixed, rewards, strict=True))
    assert all(reward[1] == 0 for reward in mixed)  # forced
    assert np.concatenate(same) == pytest.approx(np.concatenate(start))


def test_what_does_not_depend_on_the_problem_is_subtracted(
    dense: ModuleType, lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "GROUP", 2)
    one, *_, other = rows(lm, 3)
    swapped = replace(one, prompt_ids=other.prompt_ids)
    (reward, *_), _ = ReferencePair(lm, None).score([one], **SETTINGS)
    (elsewhere, *_), _ = ReferencePair(lm, None).score([swapped], **SETTINGS)
    found, start = dense.MinusAnotherPrompt(lm, None).score([one, one, other, other], **SETTINGS)
    assert found[0] == pytest.approx(reward - elsewhere, abs=1e-4)
    assert start[0] == pytest.approx(reward, abs=1e-4)
    alike, _ = dense.MinusAnotherPrompt(lm, None).score([one] * 4, **SETTINGS)
    assert np.abs(np.concatenate(alike)).max() < 1e-4


def test_a_teacher_rewards_and_the_student_stays_the_anchor(dense: ModuleType, lm: LM) -> None:
    examples = rows(lm, 2)
    (plain, _), (start, _) = (ReferencePair(lm, None).score(examples, **SETTINGS) for _ in range(2))
    rewards, anchor = dense.FromTeacher(lm, lm, teacher=lm).score(examples, **SETTINGS)
    assert np.abs(np.concatenate(rewards)).max() < 1e-5  # a teacher that equals its base
    assert np.concatenate(anchor) == pytest.approx(np.concatenate(start))
    rewards, _ = dense.FromTeacher(lm, None, teacher=lm).score(examples, **SETTINGS)
    assert np.concatenate(rewards) == pytest.approx(np.concatenate(plain))


def test_only_the_beginning_of_a_response_is_learned_from(dense: ModuleType) -> None:
    assert dense.beginning(sample(8, 1, cut=False, reward=0.0)).mask.tolist() == [1, 1, 1] + [0] * 7
    assert dense.beginning(sample(1, 1, cut=True, reward=0.0)).mask.tolist() == [1, 0, 0]
