"""The blocks of docs/extending.md do what the page says, end to end on the embedded model."""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.credit.algorithms import ALGORITHMS, algorithm_named
from rlready.runs.log import read_log
from rlready.runs.pace import Pace
from rlready.tasks import Task, open_task, verify_all
from rlready.train.loss import LossInputs, LossSettings, loss_named, policy_loss
from rlready.train.rl import rl
from rlready.train.trainer import Trainer

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's Python blocks as modules of the working directory, named as their first line says."""
    blocks = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for name, code in blocks:
        assert code.count("\n") <= 20
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def config(**changes: object) -> RLConfig:
    source = "dagmath?ops=2&split=all&n=4&seed=1"
    small: dict[str, object] = {"problems": source, "validation": source, "steps": 1, "prompts_per_step": 4}
    small |= {"group_size": 4, "thinking_budget": 8, "max_answer_tokens": 8, "temperature": 2.0, "eval_samples": 1}
    return RLConfig(**(small | {"updates_per_batch": 2} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [{"algorithm": "my_algorithms:MEDIAN"}, {"loss": "my_losses:gspo"}])
def test_the_page_runs(modules: Path, named: dict[str, str]) -> None:
    result = rl(config(**named), modules / "run")
    (line,) = [line for line in read_log(modules / "run" / "log.jsonl") if "grad_norm" in line]
    assert line["groups_informative"] > 0
    assert line["grad_norm"] > 0
    assert result.steps == 1


NOISY = """
import random

import numpy as np
import torch
from rlready.credit.algorithms import ALGORITHMS, Algorithm


def noisy(rewards):
    noise = random.random() + np.random.rand() + torch.rand(()).item()
    return (1 + noise) * ALGORITHMS["dr_grpo"].advantage(rewards)


NOISY = Algorithm("noisy", noisy, ALGORITHMS["dr_grpo"].normaliser)
"""


def test_an_algorithm_that_draws_at_random_gives_the_same_run_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy_algorithms.py").write_text(NOISY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "noisy_algorithms", raising=False)
    settings = config(algorithm="noisy_algorithms:NOISY", steps=3)

    def losses(run: str) -> list[object]:
        lines = read_log(tmp_path / run / "log.jsonl")
        return [line["loss"] for line in lines if "loss" in line]

    rl(settings, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "due", lambda self: True)
        step = Trainer.step

        def interrupted(self: Trainer, task: Task, problems: Any, at: int) -> Any:
            if at == 2:
                raise KeyboardInterrupt
            return step(self, task, problems, at)

        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rl(settings, tmp_path / "broken")
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    rl(settings, tmp_path / "broken")
    assert losses("broken") == losses("whole")
    assert len(set(losses("whole"))) == 3


def test_the_verifier_runs(modules: Path) -> None:
    row = {"id": "r", "prompt": "Pi?", "answer": "3.14", "tolerance": 0.01}
    (modules / "r.jsonl").write_text(json.dumps(row))
    task = open_task("r.jsonl?verifier=my_verifiers:close")
    asked = [(task.problems()[0], ("", text)) for text in ("It is 3.15", "It is 3.2", "no")]
    assert [verdict.correct for verdict in verify_all(task, asked)] == [True, False, False]


def test_the_task_runs(modules: Path) -> None:
    """RL samples its problems and verifies the responses, all of which are incorrect: the model knows no such text."""
    source = "my_tasks:Sums?n=4"
    result = rl(config(model="embedded", problems=source, validation=source), modules / "run")
    assert result.steps == 1


def test_the_task_is_what_the_page_says(modules: Path) -> None:
    task = open_task("my_tasks:Sums?seed=3&largest=9&n=50")
    problems = task.problems()
    assert task.source == "my_tasks:Sums?largest=9&n=50&seed=3"
    assert open_task(task.source, limit=5).problems() == problems[:5]
    assert all(eval(p.prompt[len("What is ") : -1]) == int(p.answer) <= 18 for p in problems)
    assert task.verify(problems[0], "", f"The sum is {problems[0].answer}.").correct
    assert not task.verify(problems[0], "", f"The sum is {int(problems[0].answer) + 1}.").correct
    assert task.compares(problems[0]) == problems[0].answer
    assert 0 < task.chance([1])[1] < task.chance([9])[9] < 1
    assert task.description == "50 problems of my_tasks:Sums?largest=9&n=50&seed=3."
    assert (task.path, task.licence, task.place("sum-7")) == (None, None, f"{task.source} sum-7")
    with pytest.raises(UserError, match="has no worked rows"):
        task.rows()


def test_a_task_with_a_verifier_compares_no_answers(modules: Path) -> None:
    """Final answers must not be compared, or counted as one vote, where the task decides otherwise."""
    (modules / "strict_tasks.py").write_text(
        "from my_tasks import Sums\nfrom rlready.tasks import Verdict\n\n\nclass Exact(Sums):\n"
        "    def verify(self, problem, thinking, answer):\n        return Verdict(answer == problem.answer)\n"
    )
    task = open_task("strict_tasks:Exact?n=1")
    assert task.compares(task.problems()[0]) is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("my_tasks:Sum", "my_tasks has no 'Sum'; the built-in tasks are dagmath, gsm8k, gym, rows"),
        ("gsm8:Sums", "gsm8 cannot be imported.*; the built-in tasks are dagmath, gsm8k, gym, rows"),
        ("my_tasks:SumOptions", "must be a subclass of rlready.tasks.Task"),
        ("my_tasks:Sums?smallest=1", "unknown key 'smallest'; known: .*largest"),
    ],
)
def test_sources_of_no_task_are_refused(modules: Path, source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_task(source)


def test_a_task_without_n_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "defaults", object())
    with pytest.raises(UserError, match="need a field n"):
        open_task("rlready.tasks:Task")


def test_the_algorithm_is_what_the_page_says(modules: Path) -> None:
    algorithm = algorithm_named("my_algorithms:MEDIAN")
    np.testing.assert_array_equal(algorithm.advantage(np.array([0.0, 0.0, 1.0])), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(algorithm.normaliser(np.array([3, 1]), 4, 10), [0.25, 0.25])
    assert (algorithm.epsilon, algorithm.epsilon_high) == (0.1, 0.3)


@pytest.mark.parametrize("returned", [None, 0.5, [1.0], np.zeros((2, 1)), np.array([1j, 0]), np.array([np.nan, 0.0])])
def test_what_an_algorithm_returns_is_checked(returned: Any) -> None:
    rewards, lengths = np.array([0.0, 1.0]), np.array([3, 4])
    plain = ALGORITHMS["dr_grpo"]
    advantage, normaliser = replace(plain, advantage=lambda r: returned), replace(plain, normaliser=lambda *_: returned)
    with pytest.raises(UserError, match="algorithm dr_grpo: its advantage must return 2 finite numbers"):
        advantage.advantages(rewards)
    with pytest.raises(UserError, match="algorithm dr_grpo: its normaliser must return 2 finite numbers"):
        normaliser.weights(lengths, 2, 8)


@pytest.mark.parametrize("returned", ["None", "LossOutput(inputs.policy_logprobs)", "LossOutput(torch.zeros(()))"])
def test_what_a_loss_returns_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: str) -> None:
    code = "import torch\nfrom rlready.train.loss import LossOutput\n\n\ndef odd(inputs, settings):\n    return "
    (tmp_path / "odd_losses.py").write_text(code + returned)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "odd_losses", raising=False)
    ones = torch.ones(2)
    inputs = LossInputs(ones.clone().requires_grad_(), ones, None, ones, ones, torch.tensor([0, 1]))
    with pytest.raises(UserError, match="loss=odd_losses:odd: must return an rlready"):
        loss_named("odd_losses:odd")(inputs, LossSettings())


def test_the_loss_is_what_the_page_says(modules: Path) -> None:
    """With responses of one token it is the built-in loss; else a response's tokens share one ratio."""
    rng = torch.Generator().manual_seed(0)
    policy, sampler, advantages = (torch.randn(6, generator=rng) for _ in range(3))
    settings, gspo = LossSettings(0.2, 0.28), loss_named("my_losses:gspo")

    def loss(ids: list[int], function: object, shift: float = 0.0) -> float:
        moved = sampler + torch.tensor([shift, -shift, 0, 0, 0, 0])
        inputs = LossInputs(policy, moved, None, advantages, torch.ones(6), torch.tensor(ids))
        return float(function(inputs, settings).loss)  # type: ignore[operator]

    alone = [5, 9, 2, 4, 1, 3]
    assert loss(alone, gspo) == pytest.approx(loss(alone, policy_loss))
    together = [5, 5, 2, 4, 1, 3]
    assert loss(together, gspo) == pytest.approx(loss(together, gspo, shift=0.7))
    assert loss(together, policy_loss) != pytest.approx(loss(together, policy_loss, shift=0.7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "dr_grop"}, "algorithm=dr_grop is not one of .*did you mean dr_grpo?"),
        (
            {"algorithm": "my_algorithms:against_median"},
            "is a function, but must be an rlready.credit.algorithms.Algorithm",
        ),
        ({"algorithm": "nowhere:MEDIAN"}, "nowhere cannot be imported"),
        ({"loss": "my_losses:gsop"}, "my_losses has no 'gsop'"),
        ({"loss": "gspo"}, "loss=gspo: write it as pkg.module:name"),
        ({"loss": "my_algorithms:against_median"}, "must be a function of two arguments"),
    ],
)
def test_names_that_do_not_fit_are_refused(modules: Path, changes: dict[str, str], message: str) -> None:
    """Before anything is loaded, in one line."""
    with pytest.raises(UserError, match=message):
        rl(config(**changes), modules / "run")


def test_an_algorithm_brings_its_clip_range() -> None:
    """DAPO's upper bound is its own, and the entries differ in more than their names."""
    assert ALGORITHMS["dapo"].epsilon_high == 0.28
    assert all(a.epsilon_high == 0.2 for name, a in ALGORITHMS.items() if name != "dapo")
    assert all(a.epsilon == 0.2 and name == a.name for name, a in ALGORITHMS.items())
    rewards, lengths = np.array([0.0, 1.0, 1.0]), np.array([2, 4, 6])
    weights = {name: algorithm.normaliser(lengths, 4, 10).tolist() for name, algorithm in ALGORITHMS.items()}
    assert weights["grpo"] == [1 / 8, 1 / 16, 1 / 24]
    assert weights["dapo"] == [1 / 12] * 3
    assert weights["dr_grpo"] == weights["rloo"] == weights["dense"] == [1 / 40] * 3
    advantages = {name: algorithm.advantage(rewards) for name, algorithm in ALGORITHMS.items()}
    np.testing.assert_allclose(advantages["dr_grpo"], [-2 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(advantages["rloo"], [-1, 0.5, 0.5])
    np.testing.assert_allclose(advantages["grpo"], advantages["dr_grpo"] / (rewards.std(ddof=1) + 1e-4))
