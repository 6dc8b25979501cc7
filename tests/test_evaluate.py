"""What an evaluation makes of samples: arms, metrics, votes, flips, and the cap, kept by the engine in 10,000 cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlready.config import EvaluateConfig
from rlready.engine.budget import Budget
from rlready.engine.decoder import Decoder
from rlready.engine.protocol import Request, forcing_for, requests_for
from rlready.engine.sampling import draw
from rlready.engine.torch import TorchEngine
from rlready.errors import UserError
from rlready.evaluate.arms import arms_of
from rlready.evaluate.cut import cut
from rlready.evaluate.evaluate import evaluate
from rlready.evaluate.measure import unforced_lengths
from rlready.evaluate.metrics import curve
from rlready.evaluate.vote import Ballot, affordable, shares
from rlready.lm import LM, load
from rlready.records import Problem, Sample
from rlready.store import read_table
from rlready.tasks import open_task
from rlready.tasks.verify import voted
from tiny import tiny_lm

EASY = "dagmath?ops=3&split=all&n=8&seed=1"
TASK = "dagmath?split=test&n=16&seed=8"

pytestmark = pytest.mark.usefixtures("one_thread")


GIVEN = ("<a", "b>")  # delimiters that no template knows
MODELS: list[Callable[[], LM]] = [
    *(
        lambda o=o, t=t, f=f: tiny_lm(one_token=o, template=t, family=f)
        for o in (True, False)
        for t in ("opens", "knows")
        for f in ("Llama", "GPT2")
    ),
    lambda: replace(tiny_lm(template="plain"), given=GIVEN),
    lambda: replace(tiny_lm(one_token=False, family="Qwen3"), given=GIVEN),
]


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_the_cap_is_never_exceeded(number: int) -> None:
    """1,000 random cases of cap, answer cap, extensions, extension and bias for each model and template."""
    lm, rng = MODELS[number](), np.random.default_rng(number)
    seen: Counter[str] = Counter()
    for extension in ("W", "W\na"):
        by = forcing_for(lm, extension, final="so:")
        engine = TorchEngine(lm, by)
        requests = []
        for i in range(500):
            bias = float(rng.choice([0.0, 2.0])) if by.delimiter.single is not None else 0.0
            budget = Budget(int(rng.integers(1, 13)), int(rng.integers(1, 5)), int(rng.integers(0, 4)), bias)
            prompt = lm.prompt_ids("ab"[: rng.integers(1, 3)], think=True)
            requests.append(Request(f"p{i}", 0, tuple(prompt), budget))
        for request, sample in zip(requests, engine.sample(requests, temperature=1.2, seed=number), strict=True):
            _within(lm, request.budget, sample, by.delimiter.text)
            seen[f"{sample.truncated} {sample.extensions > 0}"] += 1
            seen[sample.finish] += 1
    assert seen["True False"] > 20, seen
    # a delimiter of several tokens is hardly ever drawn by a random model
    assert seen["True True"] > 0 or by.delimiter.single is None, seen


def _within(lm: LM, budget: Budget, sample: Sample, close: str) -> None:
    """From the tokens alone: what stands before the end of the thought is no more than the cap."""
    assert sample.thinking <= (budget.thinking or 0)
    assert sample.answer <= budget.answer
    before = next(i for i in range(1, len(sample.tokens) + 1) if close in lm.decode(sample.tokens[:i].tolist()))
    delimiter = len(sample.tokens) - sample.answer - sample.thinking
    assert before <= sample.thinking + delimiter
    answer = lm.decode(sample.tokens[len(sample.tokens) - sample.answer :].tolist())
    assert (lm.open in answer) == (sample.finish == "reopened")


class Counting(TorchEngine):
    """The engine, counting the tokens it decodes."""

    decoded = 0

    def decoders(self) -> Callable[[int], Decoder]:
        make = super().decoders()

        def counted(rows: int) -> Decoder:
            decoder = make(rows)
            extend = decoder.extend

            def counting(ids_BM: Any, valid_BM: Any) -> Any:
                self.decoded += int(valid_BM.sum()) if ids_BM.shape[1] == 1 else 0
                return extend(ids_BM, valid_BM)

            decoder.extend = counting  # type: ignore[method-assign]
            return decoder

        return counted


@pytest.fixture(scope="module")
def embedded() -> LM:
    return load("embedded")


def test_the_grid_of_budgets_costs_little_more_than_the_largest(embedded: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample for sample the same as separate runs, for at most 1.35 times the decode tokens of the largest budget."""
    monkeypatch.setattr("rlready.engine.torch.workers", lambda model: 1)
    task = open_task(TASK)
    budgets = [Budget(b, 8) for b in (16, 28, 40, 52, 64)]
    named: dict[str, Any] = {"samples": 4, "temperature": 1.0, "seed": 0}
    shared, largest = (Counting(embedded, forcing_for(embedded), rows=32) for _ in range(2))
    grid = cut(shared, embedded, task, task.problems(), budgets, **named)
    for budget in budgets:
        engine = largest if budget == budgets[-1] else TorchEngine(embedded, forcing_for(embedded))
        alone = cut(engine, embedded, task, task.problems(), [budget], **named)
        for group, other in zip(grid[budget], alone[budget], strict=True):
            assert [s.tokens.tolist() for s in group.samples] == [s.tokens.tolist() for s in other.samples]
            assert [s.correct for s in group.samples] == [s.correct for s in other.samples]
    assert any(s.truncated for g in grid[budgets[1]] for s in g.samples)
    assert shared.decoded <= 1.35 * largest.decoded


@pytest.mark.parametrize("template", ["opens", "knows"])
def test_extensions_and_untouched_share_traces_without_a_difference(template: str) -> None:
    """Natural, forced and extended in one call equal calls of their own, also where the prompts differ."""
    lm = tiny_lm(template=template)
    problems = [Problem(f"p{i}", "ab" * (i + 1), "a") for i in range(4)]
    plain, extended, biased = Budget(10, 4), Budget(10, 4, 2), Budget(10, 4, bias=1.0)
    budgets = [Budget(None, 20), plain, Budget(6, 4), extended, Budget(6, 4, 1), biased]

    class Nothing:
        def verify(self, problem: Problem, thinking: str, answer: str) -> Any:
            from rlready.tasks import Verdict

            return Verdict(False)

    def drawn(some: list[Budget]) -> dict[Budget, list[list[int]]]:
        engine = TorchEngine(lm, forcing_for(lm, "W"))
        found = cut(engine, lm, Nothing(), problems, some, samples=8, temperature=1.0, seed=3)  # type: ignore[arg-type]
        return {b: [s.tokens.tolist() for g in groups for s in g.samples] for b, groups in found.items()}

    together = drawn(budgets)
    for budget in budgets:
        assert together[budget] == drawn([budget])[budget]
    assert together[plain] != together[extended]
    assert together[plain] != together[biased]


def test_a_bias_shortens_thoughts_and_leaves_log_probabilities(embedded: LM) -> None:
    """More nats, shorter thoughts; the stored log-probabilities remain the policy's own."""
    task = open_task(EASY)
    budgets = [Budget(64, 8, bias=b) for b in (-3.0, 0.0, 6.0, 60.0)]
    engine = TorchEngine(embedded, forcing_for(embedded))
    found = cut(engine, embedded, task, task.problems(), budgets, samples=4, temperature=1.0, seed=0)
    mean = [np.mean([s.thinking for g in found[b] for s in g.samples]) for b in budgets]
    assert mean == sorted(mean, reverse=True)
    assert mean[0] > mean[2]
    assert mean[-1] == 0
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    u = np.array([0.999])
    token, logp = draw(logits, 1.0, u, nudge=(0, np.array([50.0])))
    assert token.item() == 0
    assert logp.item() == pytest.approx(logits.log_softmax(-1)[0, 0].item())
    assert draw(logits, 0, u, nudge=(0, np.array([50.0])))[0].item() == 0


def test_metrics() -> None:
    """By hand: three budgets, two of them with lengths apart."""
    found = curve([10, 20, 30], [8.0, 18.0, 18.5], [[0, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]])
    assert found.control == 1
    assert (found.performance.value, found.at) == (0.75, 30)
    slopes = [(0.5 - 0.25) / 10, (0.75 - 0.25) / 10.5]
    assert found.scaling is not None
    assert found.scaling.value == pytest.approx(1e5 * np.mean(slopes))
    assert curve([10, 20], [12.0, 12.5], [[0, 1], [1, 1]]).scaling is None
    assert curve([10, 20], [12.0, 12.5], [[0, 1], [1, 1]]).control == 0.5


def test_votes() -> None:
    """The most common answer, the first of equals; blocks follow each other; what is left over votes nowhere."""
    right, wrong, none = Ballot("5", True, -1.0), Ballot("7", False, -0.5), Ballot("", False, -9.0)
    assert shares([right, wrong, right], 3) == {"vote": 1.0, "best": 0.0, "any": 1.0}
    assert shares([wrong, right], 2) == {"vote": 0.0, "best": 0.0, "any": 1.0}
    assert shares([right, wrong, none, none, right], 2) == {"vote": 0.5, "best": 0.0, "any": 0.5}
    assert shares([none, right, none, none], 4)["vote"] == 1.0
    assert [affordable(100, 30, 8), affordable(100, 5, 8), affordable(100, 200, 8)] == [3, 8, 1]


@pytest.mark.parametrize(
    ("gold", "text", "vote"),
    [
        ("a: 5 b: 3", " a: 5  b: 3", "a: 5 b: 3"),
        ("72", "She sold 48 + 24 = 72 clips.", "72"),
        ("72", "#### 72", "72"),
        ("72", "\\boxed{7 2/4}", "4"),
        ("72", "no idea", ""),
        ("x+1", "The answer is  x + 1.", "x + 1"),
    ],
)
def test_answers_as_votes(gold: str, text: str, vote: str) -> None:
    assert voted(gold, text) == vote


def test_thinking_without_a_budget_is_counted() -> None:
    by = forcing_for(tiny_lm())
    end = by.delimiter.single
    assert end is not None
    assert unforced_lengths([9, 9, end, 9, 2], by.delimiter, True) == (2, 2)
    assert unforced_lengths([9, 9, 9], by.delimiter, True) == (3, 0)
    assert unforced_lengths([9, 9, end, 9, 2], by.delimiter, False) == (0, 5)


def test_one_command_compares_everything(tmp_path: Path) -> None:
    """Budgets, extensions, biases, stated budgets, votes and the untouched model in one result, consistently."""
    config = EvaluateConfig(
        problems=EASY,
        budgets=(12, 6),
        samples=4,
        extensions=(0, 1),
        extension="wait",
        biases=(0.0, 1.0),
        stating=" budget {N/4}",
        answer_cap=8,
    )
    result = evaluate(config, tmp_path / "run")
    assert [row["budget"] for row in result["budgets"]] == [6, 12]
    assert {(a["budget"], a["extensions"], a["bias"], a["stated"]) for a in result["arms"]} == {
        *((b, e, bias, False) for b in (6, 12) for e, bias in ((0, 1.0), (1, 0.0), (1, 1.0))),
        *((b, 0, 0.0, True) for b in (6, 12)),
    }
    for arm in result["arms"]:
        beside = next(r["embedded"] for r in result["budgets"] if r["budget"] == arm["budget"])
        change = arm["accuracy"]["value"] - beside["accuracy"]["value"]
        assert arm["change"]["value"] == pytest.approx(change)
        assert arm["mended"]["value"] - arm["broken"]["value"] == pytest.approx(change)
        assert (arm["off"] is not None) == arm["stated"]
        assert arm["stated"] or arm["thinking_tokens"]["value"] <= arm["budget"]
    assert len(result["metrics"]) == 5
    assert [v["n"] for v in result["votes"]][-1] == 1
    largest = result["budgets"][-1]["embedded"]["accuracy"]["value"]
    counts = result["lengths"]["models"]["embedded"]
    assert sum(counts["right"]) == round(largest * 8 * 4)
    assert sum(counts["right"]) + sum(counts["wrong"]) == 8 * 4
    rows = read_table(tmp_path / "run" / "parts" / "0.parquet")
    assert len(rows) == 8 * 4 * (1 + 8 + 2)
    untouched = result["untouched"]["embedded"]
    assert untouched["thinking_tokens"]["value"] > 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extensions": (1, 1)}, "extensions repeat"),
        ({"extensions": ()}, "no extensions"),
        ({"extensions": (-1,)}, "negative"),
        ({"biases": (float("inf"),)}, "finite"),
        ({"stating": " be brief"}, "states no length"),
        ({"longest": -1}, "longest"),
        ({"budgets": (-4,)}, "at least 1"),
        ({"budgets": (8, 8)}, "budgets repeat"),
        ({"samples": 0}, "samples"),
        ({"delimiters": ("<think>",)}, "OPEN,CLOSE"),
        ({"delimiters": ("x", "x")}, "OPEN,CLOSE"),
        ({"delimiters": ("[deep]", "[/deep]")}, "no words for the forced text '\\[/deep\\]'"),
        ({"extensions": (1,), "extension": "try <eos>"}, "ends the response"),
        ({"extensions": (1,), "extension": "Wait"}, "no words"),
        ({"extensions": (1,), "extension": "wait </think>"}, "delimiter"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = replace(EvaluateConfig(problems=EASY, budgets=(8,), samples=2), **change)
    with pytest.raises(UserError, match=message) as caught:
        evaluate(config, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_unsorted_budgets_are_sorted_and_the_first_setting_is_the_main_one() -> None:
    arms = arms_of(EvaluateConfig(budgets=(9, 3), extensions=(2, 0), extension="wait"))
    assert [arm.name for arm in arms.main] == ["3+2", "9+2"]
    assert [arm.name for arm in arms.others] == ["3", "9"]
    assert arms_of(EvaluateConfig(natural=True)).all == (arms_of(EvaluateConfig()).untouched,)


def test_delimiters_are_detected_or_given(tmp_path: Path) -> None:
    """From the template or the vocabulary; a model without any takes given ones, in its prompt too."""
    assert (tiny_lm().open, tiny_lm().close) == ("<think>", "</think>")
    lm = tiny_lm(template="plain")
    assert not lm.thinks
    lm.tokenizer.chat_template += "{# [THINK] [/THINK] #}"
    other = LM(lm.model, lm.tokenizer, lm.source)
    assert (other.thinks, other.open, other.close) == (True, "[THINK]", "[/THINK]")
    given = replace(lm, given=GIVEN)
    assert lm.decode(given.prompt_ids("a", think=True)).endswith("<a")
    requests = requests_for(given, [Problem("p", "a", "a")], 4, Budget(3, 2))
    samples = TorchEngine(given, forcing_for(given)).sample(requests, temperature=1.0, seed=0)
    assert all("b>" in s.text for s in samples)
