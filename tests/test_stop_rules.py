"""When a run of RL stops early and why, and which problems, lengths and checkpoint it takes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlready.core.config import EvaluateConfig, RLConfig
from rlready.core.errors import UserError
from rlready.core.options import fill_config
from rlready.core.records import Estimate
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.train.drift import Watched, drift
from rlready.train.log import RLStepLog, RolloutStats, UpdateStats
from rlready.train.result import Evaluation, GroupTotals, RLResult
from rlready.train.rl import rl
from rlready.train.rl_summary import evaluation_command, gain_of, headline, next_action
from rlready.train.trainer import Trainer
from rlready.train.weight_change import WeightSample
from test_loss import symbolic_lm

ROLLOUTS = RolloutStats(0.5, 0.5, 5.0, None, None, truncated=0.25, run_on=0.0, generated_tokens=10)
UPDATE = UpdateStats(loss=0.0, grad_norm=1.0, entropy=1.0, clip_ratio=0.0, trained_tokens=10, forward_tokens=10)


@pytest.fixture
def config(tmp_path: Path) -> RLConfig:
    lm = symbolic_lm()
    lm.model.save_pretrained(tmp_path / "start")
    lm.tokenizer.save_pretrained(tmp_path / "start")
    problems = tmp_path / "problems.jsonl"
    lines = [{"id": f"p{i}", "prompt": f"a = {i} ? a", "answer": str(i)} for i in range(7)]
    problems.write_text("\n".join(map(json.dumps, lines)))
    source = f"rows:{problems}?verifier=verifiers:even"
    return RLConfig(
        model=str(tmp_path / "start"),
        problems=source,
        validation=source,
        prompts_per_step=3,
        group_size=4,
        thinking_budget=6,
        max_answer_tokens=3,
        eval_samples=1,
        eval_every=100,
        steps=12,
        patience=3,
    )


class Script:
    """Steps and evaluations as written, instead of rollouts: ``used`` groups of every step, validation accuracies."""

    def __init__(self, patch: pytest.MonkeyPatch, used: list[int], accuracy: list[float] = [0.5] * 20) -> None:
        self.problems: list[list[str]] = []
        self.used, self.accuracy = iter(used), iter(accuracy)
        patch.setattr(Trainer, "step", lambda trainer, task, problems, at: self.step(problems, at))
        patch.setattr(Trainer, "evaluate", lambda trainer, task, problems, step, before: (self.evaluate(step), []))
        patch.setattr(WeightSample, "changed", lambda sample: float(any(used)))

    def step(self, problems: list[Any], at: int) -> RLStepLog:
        self.problems.append([p.id for p in problems])
        return RLStepLog(at + 1, ROLLOUTS, next(self.used), 2, 1, 0, UPDATE)

    def evaluate(self, step: int) -> Evaluation:
        value = next(self.accuracy)
        accuracy = Estimate(value, value - 0.1, value + 0.1, 7, "problems")
        return Evaluation(step=step, accuracy=accuracy, thinking_tokens=4.0, response_tokens=9.0)


@pytest.mark.parametrize(
    ("used", "steps"),
    [([0, 0, 0, 1], 3), ([0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1], 12), ([1, 0, 2, 0, 0, 0], 6), ([0, 0] + [1] * 10, 12)],
)
def test_patience_counts_steps_in_a_row(
    config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: list[int], steps: int
) -> None:
    """Three steps without a gradient end a run only if they follow on one another."""
    Script(monkeypatch, used)
    result = rl(config, tmp_path / "run")
    assert result.steps == steps
    assert bool(result.stopped) == (steps < 12)
    if steps < 12:
        reason = "no gradient for 3 steps: in the last one every group was all correct, 25% truncated"
        assert result.stopped == reason
        assert result.notes[-1] == f"Stopped early: {reason}."


def test_an_epoch_takes_every_problem_once(config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven problems, three a step: two steps an epoch, each of which leaves one out; epochs differ in order."""
    script = Script(monkeypatch, [1] * 12)
    rl(config, tmp_path / "run")
    assert len(script.problems) == 12
    assert {len(p) for p in script.problems} == {3}
    epochs = [script.problems[i] + script.problems[i + 1] for i in range(0, 12, 2)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6
    with pytest.raises(UserError, match="7 problems are fewer than prompts_per_step=8"):
        rl(config.replace(prompts_per_step=8), tmp_path / "more")
    Script(monkeypatch, [1] * 12)
    rl(config.replace(prompts_per_step=7), tmp_path / "all")


def test_the_command_after_rl_samples_as_it_has_sampled(
    config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings that the user chose, which evaluate accepts; what the preset chose, it chooses again."""
    Script(monkeypatch, [1] * 12, [0.5, 0.6])
    given: dict[str, Any] = {
        "temperature": 0.7,
        "delimiters": ("<think>", "</think>"),
        "answer_prefix": "a",
        "num_waits": 1,
    }
    result = rl(config.replace(**given, wait_text="b"), tmp_path / "run")
    verb, *words = shlex.split(result.next_command)[1:]
    asked = dict(word.split("=", 1) for word in words[2:])
    assert (verb, words[:2]) == ("evaluate", [config.model, result.best.path])
    filled = fill_config(EvaluateConfig, None, asked).value
    sampled = {"thinking_budgets": (6,), "max_answer_tokens": 3, "wait_text": "b"} | given | {"num_waits": (1,)}
    assert {name: getattr(filled, name) for name in sampled} == sampled
    by_preset = {"thinking_budget": "preset", "max_answer_tokens": "preset"}
    record = RunRecord.load(tmp_path / "run")
    record = record.model_copy(update={"origins": record.origins | by_preset})
    command = evaluation_command(config, record, "best", None)
    assert "thinking_budgets" not in command
    assert "max_answer_tokens" not in command
    without_thoughts = evaluation_command(config, record, "best", 9)
    assert without_thoughts.endswith("max_answer_tokens=9")
    assert "num_waits" not in without_thoughts


def test_the_earliest_best_checkpoint_is_chosen(
    config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluated every so many steps, and at the end."""
    Script(monkeypatch, [1] * 12, [0.5, 0.2, 0.6, 0.6000000000000001])  # equal but for the rounding of a sum
    result = rl(config.replace(eval_every=5), tmp_path / "run")
    assert [e.step for e in result.evaluations] == [0, 5, 10, 12]
    assert result.best.step == 10
    assert result.best.path == str(tmp_path / "run" / "checkpoints" / "step-10")
    assert result.headline == "Validation accuracy is highest after RL: 50 % before, 60 % at RL step-10."
    assert result.next_action == (
        "Compare RL step-10 with its start on problems that were not used for validation. There is no sign that more "
        "steps would gain more: the last evaluation was not the highest by more than one standard error."
    )
    assert result.next_command.endswith(" problems=TEST.jsonl thinking_budgets=6 max_answer_tokens=3")
    assert [[row[0] for row in table.rows] for table in result.tables()] == [["0", "5", "10", "12"]]
    assert [line["step"] for line in read_log(tmp_path / "run" / "log.jsonl") if "reward" in line] == list(range(1, 13))


def evaluations(*values: float, low: float | None = None) -> list[Evaluation]:
    """One at every tenth step; gains over the first have this lower end."""
    return [
        Evaluation(
            step=10 * i,
            accuracy=Estimate(value, value - 0.1, value + 0.1, 50),
            gain=Estimate(value - values[0], low, value - values[0] + 0.1, 50) if i and low is not None else None,
            thinking_tokens=4.0,
        )
        for i, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (0.06, "RL raised validation accuracy from 50 % to 70 % at RL step-20."),
        (0.02, "Validation accuracy is not significantly higher after RL: 50 % before, 70 % at RL step-20."),
    ],
)
def test_a_gain_is_significant_for_all_evaluations_together(low: float, said: str) -> None:
    """The best was chosen among them: a lower end of 0.02 alone is not enough."""
    found = evaluations(0.5, 0.6, 0.7, 0.6, low=low)
    gain = gain_of(found[2], found)
    assert gain
    assert gain.low < low
    assert headline(found[2], gain, found, GroupTotals(informative=1)) == said


@pytest.mark.parametrize(
    ("values", "rising"),
    [
        ((0.5, 0.6, 0.7), True),
        ((0.5, 0.4, 0.6, 0.7), True),
        ((0.5, 0.6, 0.5, 0.7), True),
        ((0.5, 0.6, 0.64), False),
        ((0.5, 0.7, 0.6), False),
        ((0.5, 0.6, 0.6), False),
        ((0.5, 0.6), False),
    ],
)
def test_a_curve_that_still_rose_may_rise_further(values: tuple[float, ...], rising: bool) -> None:
    """If the last evaluation was the highest by more than one standard error."""
    found = evaluations(*values)
    best = max(found, key=lambda e: e.accuracy.value)
    assert ("more steps may gain more" in next_action(best, found, GroupTotals(informative=1))) is rising


def test_what_to_do_after_a_run_that_gained_nothing() -> None:
    found = evaluations(0.5, 0.4)
    assert next_action(found[0], found, GroupTotals(informative=1)).startswith("Go on with the starting checkpoint")
    assert next_action(found[0], found, GroupTotals(solved=2, unsolved=1)).startswith("Take harder problems")
    assert next_action(found[0], found, GroupTotals(solved=1, unsolved=2)).startswith("Take easier problems")
    cut = GroupTotals(unsolved=2, responses=8, at_limit=5)
    assert next_action(found[0], found, cut).startswith("Allow longer responses (thinking_budget")
    assert next_action(found[0], found, GroupTotals(solved=1, equal=2)).startswith("Change the reward")


@pytest.mark.parametrize(
    ("accuracy", "other"), [([0.5, 0.2, 0.5, 0.5], "50 % before, 50 %"), ([0.9, 0.2, 0.6, 0.5], "90 % before, 60 %")]
)
def test_the_start_is_chosen_unless_a_later_checkpoint_is_better(
    config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accuracy: list[float], other: str
) -> None:
    Script(monkeypatch, [1] * 12, accuracy)
    result = rl(config.replace(eval_every=5), tmp_path / "run")
    assert (result.best.step, result.best.path) == (0, config.model)
    assert result.headline == f"RL did not raise validation accuracy: {other} at best after it."


def test_a_run_without_any_gradient_says_so(config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with fewer steps than ``patience``: the kinds of groups, the responses at their limit, the weights."""
    Script(monkeypatch, [0, 0])
    result = rl(config.replace(steps=2, eval_every=1), tmp_path / "run")
    assert result.headline == "RL learned nothing: no step had a gradient."
    assert result.notes == [
        "Groups were all wrong (2), all correct (4); 6 of 24 responses reached the thinking budget of 6 tokens or the "
        "limit of 9 tokens.",
        "The weights are unchanged.",
    ]
    assert (result.best.step, result.weights_changed, result.stopped) == (0, 0.0, "")
    assert RunRecord.load(tmp_path / "run").warnings[-1] == " ".join([result.headline, *result.notes])
    assert result.groups == GroupTotals(solved=4, unsolved=2, responses=24, at_limit=6)
    assert RLResult.load(tmp_path / "run") == result


def test_drift_is_reported_beyond_its_bounds_and_not_at_them() -> None:
    """Entropy below a quarter of the first step's, thinking outside 0.6 to 1.4 times the first step's."""
    first = Watched(2.0, 100.0)

    def found(entropy: float, thinking: float) -> set[str]:
        return set(drift(first, Watched(entropy, thinking)))

    assert not found(0.5, 60.0) | found(0.5, 140.0) | found(9.0, 100.0)
    assert found(0.499, 100.0) == {"entropy"}
    assert found(2.0, 59.9) == found(2.0, 140.1) == {"length"}
    assert found(0.1, 200.0) == {"entropy", "length"}


def boundary_settings() -> Iterator[dict[str, Any]]:
    yield {"group_size": 1}
    yield {"kl_coef": -1e-9}
    yield {"length_targets": (0,), "reward": "dapo_overlong"}
    yield {"temperature": 0.0}
    for name in ("steps", "prompts_per_step", "updates_per_batch", "eval_every", "eval_samples", "patience"):
        yield {name: 0}
    for name in ("gamma", "dense_weight", "reference_at"):
        for bad in (-0.01, 1.01):
            yield {name: bad, "algorithm": "dense"}
    yield {"beta": -0.01, "algorithm": "dense"}
    yield {"reward_clip": -0.01, "algorithm": "dense"}
    yield {"kl_coef": 0.1, "algorithm": "dense"}
    yield {"return_type": "full_return", "gamma": 0.0, "algorithm": "dense"}


@pytest.mark.parametrize("changes", boundary_settings())
def test_settings_beyond_their_bounds_are_refused(config: RLConfig, changes: dict[str, Any]) -> None:
    """By the name of the setting."""
    with pytest.raises(UserError, match=next(iter(changes))):
        config.replace(**changes)


def test_settings_at_their_bounds_are_taken(config: RLConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("steps", "prompts_per_step", "updates_per_batch", "eval_every", "eval_samples", "patience")
    smallest: dict[str, Any] = dict.fromkeys(names, 1)
    Script(monkeypatch, [1])
    rl(config.replace(group_size=2, length_targets=(1,), reward="dapo_overlong", **smallest), tmp_path / "run")
    for edge in (0.0, 1.0):
        config.replace(algorithm="dense", gamma=edge, dense_weight=edge, reference_at=edge, beta=0.0, reward_clip=0.0)
