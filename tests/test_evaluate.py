"""What an evaluation makes of samples: settings, metrics, votes, flips; and the budget, kept in 10,000 cases."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from rlready.core.cells import DASH
from rlready.core.config import EvaluateConfig, ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate, Problem, Sample
from rlready.engine.budget import Budget, BudgetState, Forcing
from rlready.engine.decoder import Decoder
from rlready.engine.protocol import Request, forcing_for, requests_for
from rlready.engine.rollout import draw_groups
from rlready.engine.sampling import draw
from rlready.engine.torch import TorchEngine
from rlready.evaluate.budgets_from_trace import Sampling, draw_at_budgets
from rlready.evaluate.decision import EASIER, LONGER, _moved, closest, headline, next_action
from rlready.evaluate.draw import unforced_lengths
from rlready.evaluate.measure import _ballots
from rlready.evaluate.metrics import curve
from rlready.evaluate.result import BudgetScores, Closest, EvaluateResult, Scores
from rlready.evaluate.settings import Setting, settings_of
from rlready.evaluate.stage import evaluate
from rlready.evaluate.vote import Ballot, BlockShares, affordable, shares
from rlready.models.checkpoint import load, save
from rlready.models.lm import LM
from rlready.readiness.stage import readiness
from rlready.runs.files import read_table, write_table
from rlready.tasks import Task, Verdict, open_task
from rlready.tasks.answers.verify import ballots, final_answer, voted
from tiny import tiny_lm, tiny_model

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
    lambda: replace(tiny_lm(one_token=False, template="plain", family="Qwen3"), given=GIVEN),
]


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_the_budget_is_never_exceeded(number: int) -> None:
    """1,000 random cases of budget, answer limit, waits, wait text and bias for each model and template."""
    lm, rng = MODELS[number](), np.random.default_rng(number)
    seen: Counter[str] = Counter()
    for wait_text in ("W", "W\na"):
        by = forcing_for(lm, wait_text, answer_prefix="so:")
        engine = TorchEngine(lm, by)
        requests = []
        for i in range(500):
            bias = float(rng.choice([0.0, 2.0])) if by.delimiter.single is not None else 0.0
            budget = Budget(int(rng.integers(1, 13)), int(rng.integers(1, 5)), int(rng.integers(0, 4)), bias)
            prompt = lm.prompt_ids("ab"[: rng.integers(1, 3)], think=True)
            requests.append(Request(f"p{i}", 0, tuple(prompt), budget))
        for request, sample in zip(requests, engine.sample(requests, temperature=1.2, seed=number), strict=True):
            _within(lm, by, request.budget, sample)
            seen[f"{sample.truncated} {sample.num_waits > 0}"] += 1
            seen[sample.finish] += 1
    assert seen["True False"] > 20, seen
    # a delimiter of several tokens is hardly ever drawn by a random model
    assert seen["True True"] > 0 or by.delimiter.single is None, seen


def _within(lm: LM, by: Forcing, budget: Budget, sample: Sample) -> None:
    """From the tokens alone: what stands before the end of the thought is no more than the budget."""
    assert sample.thinking_tokens <= (budget.thinking_budget or 0)
    assert sample.answer_tokens <= budget.max_answer_tokens
    tokens = sample.tokens.tolist()
    before = next(i for i in range(1, len(tokens) + 1) if by.delimiter.text in lm.decode(tokens[:i]))
    closing = by.delimiter.length(tokens[:before])
    for ids in (by.close_ids, by.close_after_break_ids):  # with what was forced before the delimiter itself
        closing = max([closing, *(n for n in range(1, len(ids) + 1) if tokens[before - n : before] == list(ids[:n]))])
    assert before - closing <= (budget.thinking_budget or 0)
    answer = lm.decode(sample.tokens[len(sample.tokens) - sample.answer_tokens :].tolist())
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


def test_all_budgets_cost_little_more_than_the_largest(embedded: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample for sample the same as separate runs, for at most 1.35 times the decode tokens of the largest budget."""
    monkeypatch.setattr("rlready.engine.torch.workers", lambda model, most: 1)
    task = open_task(TASK)
    budgets = [Budget(b, 8) for b in (16, 28, 40, 52, 64)]
    sampling = Sampling(samples=4, temperature=1.0, seed=0)
    shared, largest = (Counting(embedded, forcing_for(embedded), batch_size=32) for _ in range(2))
    grid = draw_at_budgets(shared, embedded, task, task.problems(), budgets, sampling)
    for budget in budgets:
        engine = largest if budget == budgets[-1] else TorchEngine(embedded, forcing_for(embedded))
        alone = draw_at_budgets(engine, embedded, task, task.problems(), [budget], sampling)
        for group, other in zip(grid[budget], alone[budget], strict=True):
            assert [s.tokens.tolist() for s in group.samples] == [s.tokens.tolist() for s in other.samples]
            assert [s.correct for s in group.samples] == [s.correct for s in other.samples]
    assert any(s.truncated for g in grid[budgets[1]] for s in g.samples)
    assert shared.decoded <= 1.35 * largest.decoded


@pytest.mark.parametrize("template", ["opens", "knows"])
def test_waits_and_unconstrained_share_traces_without_a_difference(template: str) -> None:
    """Unconstrained, forced and extended in one call equal calls of their own, also where the prompts differ."""
    lm = tiny_lm(template=template)
    problems = [Problem(f"p{i}", "ab" * (i + 1), "a") for i in range(4)]
    plain, extended, biased = Budget(10, 4), Budget(10, 4, 2), Budget(10, 4, end_think_bias=1.0)
    budgets = [Budget(None, 20), plain, Budget(6, 4), extended, Budget(6, 4, 1), biased]

    class Nothing(Task):
        def __init__(self) -> None:
            self.source = "nothing"

        def problems(self) -> list[Problem]:
            return []

        def verify(self, problem: Problem, thinking: str, answer: str) -> Any:
            return Verdict(False)

    def drawn(some: list[Budget]) -> dict[Budget, list[list[int]]]:
        engine = TorchEngine(lm, forcing_for(lm, "W"))
        found = draw_at_budgets(engine, lm, Nothing(), problems, some, Sampling(8, 1.0, 3))
        return {b: [s.tokens.tolist() for g in groups for s in g.samples] for b, groups in found.items()}

    together = drawn(budgets)
    for budget in budgets:
        assert together[budget] == drawn([budget])[budget]
    assert together[plain] != together[extended]
    assert together[plain] != together[biased]


def test_a_bias_shortens_thoughts_and_leaves_log_probabilities(embedded: LM) -> None:
    """More nats, shorter thoughts; the stored log-probabilities remain the policy's own."""
    task = open_task(EASY)
    budgets = [Budget(64, 8, end_think_bias=b) for b in (-3.0, 0.0, 6.0, 60.0)]
    engine = TorchEngine(embedded, forcing_for(embedded))
    found = draw_at_budgets(engine, embedded, task, task.problems(), budgets, Sampling(4, 1.0, 0))
    mean = [np.mean([s.thinking_tokens for g in found[b] for s in g.samples]) for b in budgets]
    assert mean == sorted(mean, reverse=True)
    assert mean[0] > mean[2]
    assert mean[-1] == 0
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    u = np.array([0.999])
    token, logp = draw(logits, 1.0, u, bias=(0, np.array([50.0])))
    assert token.item() == 0
    assert logp.item() == pytest.approx(logits.log_softmax(-1)[0, 0].item())
    assert draw(logits, 0, u, bias=(0, np.array([50.0])))[0].item() == 0


def test_metrics() -> None:
    """By hand: three budgets, two of them with lengths apart."""
    found = curve([10, 20, 30], [8.0, 18.0, 18.5], [[0, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]])
    assert found.control == 1
    assert (found.performance.value, found.best_budget) == (0.75, 30)
    slopes = [(0.5 - 0.25) / 10, (0.75 - 0.25) / 10.5]
    assert found.scaling is not None
    assert found.scaling.value == pytest.approx(1e5 * np.mean(slopes))
    assert curve([10, 20], [12.0, 12.5], [[0, 1], [1, 1]]).scaling is None
    assert curve([10, 20], [12.0, 12.5], [[0, 1], [1, 1]]).control == 0.5


def test_votes() -> None:
    """The most common answer, the first of equals; blocks follow each other; what is left over votes nowhere."""
    right, wrong, none = Ballot("5", True, -1.0), Ballot("7", False, -0.5), Ballot("", False, -9.0)
    assert shares([right, wrong, right], 3) == BlockShares(1.0, 0.0, 1.0)
    assert shares([wrong, right], 2) == BlockShares(0.0, 0.0, 1.0)
    assert shares([right, wrong, none, none, right], 2) == BlockShares(0.5, 0.0, 0.5)
    assert shares([none, right, none, none], 4).majority_vote == 1.0
    assert [affordable(100, 30, 8), affordable(100, 5, 8), affordable(100, 200, 8)] == [3, 8, 1]


@pytest.mark.parametrize(
    ("gold", "text", "vote"),
    [
        ("a: 5 b: 3", " a: 5  b: 3", "a: 5 b: 3"),
        ("72", "She sold 48 + 24 = 72 clips.", "72"),
        ("72", "#### 72", "72"),
        ("72", "\\boxed{7 2/4}", "15/2"),
        ("72", "no idea", ""),
        ("x+1", "The answer is  x + 1.", "x + 1"),
    ],
)
def test_answers_as_votes(gold: str, text: str, vote: str) -> None:
    assert voted(gold, text) == vote


def test_equal_answers_are_one_ballot() -> None:
    """Numbers in whatever form, formulas by asking; what gives no answer equals nothing."""
    said = ["1/2", "0.5", "", "\\sqrt{12}", "2\\sqrt{3}", "\\frac{1}{2}", "2\\sqrt{2}", "Paris", "paris", ""]
    firsts = ["1/2", "1/2", "", "\\sqrt{12}", "\\sqrt{12}", "1/2", "2\\sqrt{2}", "Paris", "Paris", ""]
    assert ballots(said) == firsts


def test_thinking_without_a_budget_is_counted() -> None:
    """In all thoughts of a response together, without the delimiters."""
    lm = tiny_lm()
    by, (begin,), (end,) = forcing_for(lm), lm.encode(lm.open), lm.encode(lm.close)
    assert unforced_lengths([9, 9, end, 9, 2], by, True) == (2, 2)
    assert unforced_lengths([9, 9, 9], by, True) == (3, 0)
    assert unforced_lengths([9, 9, end, 9, 2], by, False) == (0, 5)
    assert unforced_lengths([begin, 9, 9, end, 2], by, False) == (2, 1)
    assert unforced_lengths([9, 9, begin, 9, end, 2], by, False) == (1, 3)
    assert unforced_lengths([9, end, 9, 9, begin, 9, 9, 9, end, 2], by, True) == (4, 3)
    assert unforced_lengths([9, end, 9, 9, begin, 9, 9, 9], by, True) == (4, 2)
    several = tiny_lm(one_token=False)
    said = several.encode("a</think>\nb<think>cd</think>e")
    assert unforced_lengths(said, forcing_for(several), True) == (3, 2)


def words_lm(*more: str) -> LM:
    """A random model whose vocabulary is words and these, without a line break."""
    raw = Tokenizer(WordLevel({w: i for i, w in enumerate(("<unk>", "<eos>", "a", "b", *more))}, "<unk>"))
    raw.pre_tokenizer = Split(" ", "removed")  # type: ignore[assignment]
    raw.add_special_tokens([AddedToken(w, normalized=False) for w in more])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="<eos>")
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    return LM(tiny_model("Llama", vocab_size=len(tokenizer)), tokenizer, "words")


def test_a_model_without_delimiters_is_measured_unconstrained(tmp_path: Path) -> None:
    """Also one whose vocabulary cannot write them; its budgets cap the whole response, and nothing is forced."""
    folder = tmp_path / "words"
    folder.mkdir()
    save(words_lm(), folder, "")
    config = EvaluateConfig(
        models=(str(folder),), problems=EASY, thinking_budgets=(4,), max_answer_tokens=4, samples=2, unconstrained=True
    )
    unconstrained = evaluate(config, tmp_path / "run").unconstrained[str(folder)]
    assert unconstrained.thinking_tokens.value == 0
    assert unconstrained.answer_tokens.value > 0
    short = config.replace(unconstrained=False, thinking_budgets=(1,), max_answer_tokens=1, max_response_tokens=8)
    capped = evaluate(short, tmp_path / "capped").budgets[0].scores[str(folder)]
    assert (capped.thinking_tokens.value, capped.answer_tokens.value <= 2) == (0, True)
    assert capped.truncated.value > 0
    with pytest.raises(UserError, match="answer_prefix needs a model that thinks"):
        evaluate(config.replace(unconstrained=False, answer_prefix="a"), tmp_path / "forced")


def test_no_unknown_token_is_forced() -> None:
    """A vocabulary without line breaks closes a thought without them."""
    lm = replace(words_lm("<think>", "</think>"), given=("<think>", "</think>"))
    assert lm.tokenizer.unk_token_id in lm.close_ids
    by = forcing_for(lm)
    assert by.close_ids == by.close_after_break_ids == tuple(lm.encode("</think>"))


class Answers(Task):
    """A task that compares all of the answer with the problem's, as tasks in symbols do, or what is marked in it."""

    def __init__(self, marks: bool = False) -> None:
        self.read = final_answer if marks else str.strip
        self.source = "answers"

    def problems(self) -> list[Problem]:
        return []

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        return Verdict(self.read(answer) == problem.answer)


@pytest.mark.parametrize(
    ("answer_prefix", "marks", "said"),
    [
        ("", False, "5<eos>"),
        ("so: ", False, "5<eos>"),
        ("so: ", False, "5<think>"),
        ("", False, "5<think>"),
        ("the answer is ", True, "5\n7<eos>"),
        ("so: ", True, "the answer is 5<think>"),
    ],
)
def test_what_is_judged_is_the_answer(answer_prefix: str, marks: bool, said: str) -> None:
    """Not what elicited it, nor the thought that was begun after it; a mark that the verifier looks for stays."""
    lm = tiny_lm()
    by = forcing_for(lm, answer_prefix=answer_prefix)
    state = BudgetState(Budget(3, 20), by)
    for token in lm.encode("aaa"):
        state.accept(token, -1.0)
    while state.forced() is not None:
        pass
    for token in lm.encode(said):
        state.accept(token, -1.0)
    assert state.done
    sample = state.sample("p", 0, lm.decode(state.tokens))

    class Drawn:
        def sample(self, requests: Any, *, temperature: float, seed: int) -> list[Sample]:
            return [sample]

    problem = Problem("p", "a", "5")
    request = Request("p", 0, (), state.budget)
    (group,) = draw_groups(Drawn(), lm, Answers(marks), [problem], [request], temperature=1.0, seed=0)  # type: ignore[arg-type]
    assert group.samples[0].correct
    assert _ballots(lm, Answers(marks), group)[0].answer == "5"  # type: ignore[arg-type]


def test_one_command_compares_everything(tmp_path: Path) -> None:
    """Budgets, waits, biases, length prompts, votes and the unconstrained model in one result, consistently."""
    config = EvaluateConfig(
        problems=EASY,
        thinking_budgets=(12, 6),
        samples=4,
        num_waits=(0, 1),
        wait_text="wait",
        end_think_bias=(0.0, 1.0),
        length_prompt=" wait {N/4}",
        max_answer_tokens=8,
    )
    result = evaluate(config, tmp_path / "run")
    assert EvaluateResult.load(tmp_path / "run") == result
    assert not result.remarks()
    some = {model: s.model_copy(update={"undecided": 0.25}) for model, s in result.unconstrained.items()}
    said = result.model_copy(update={"unconstrained": some}).remarks()
    assert said == [f"{result.models[0]}: up to 25.0% of the responses were not verified and count as incorrect."]
    assert [row.budget for row in result.budgets] == [6, 12]
    assert {(s.budget, s.num_waits, s.end_think_bias, s.length_prompted) for s in result.settings} == {
        *((b, waits, bias, False) for b in (6, 12) for waits, bias in ((0, 1.0), (1, 0.0), (1, 1.0))),
        *((b, 0, 0.0, True) for b in (6, 12)),
    }
    for setting in result.settings:
        main = next(row.scores["embedded"] for row in result.budgets if row.budget == setting.budget)
        change = setting.accuracy.value - main.accuracy.value
        assert setting.change.value == pytest.approx(change)
        assert setting.wrong_to_right.value - setting.right_to_wrong.value == pytest.approx(change)
        assert (setting.length_error is not None) == setting.length_prompted
        assert setting.length_prompted or setting.thinking_tokens.value <= setting.budget
    assert [m.description for m in result.metrics] == [
        "budget alone",
        "bias 1",
        "1 wait",
        "1 wait, bias 1",
        "length prompt",
    ]
    assert result.votes[-1].samples == 1
    counts = result.lengths.models["embedded"]
    assert sum(counts.right) == round(result.budgets[-1].scores["embedded"].accuracy.value * 8 * 4)
    assert sum(counts.right) + sum(counts.wrong) == 8 * 4
    rows = read_table(tmp_path / "run" / "parts" / "0.parquet")
    assert len(rows) == 8 * 4 * (1 + 8 + 2)
    wrong = [row for row in rows if row["setting"] == "12" and not row["correct"]]
    cut = [row for row in wrong if row["truncated"] or row["finish"] == "length"]
    said = f"Share of wrong responses at budget 12 that reached a limit: {result.short['embedded']}"
    assert result.notes[-1] == f"{said} {100 * len(cut) / len(wrong):.0f} %."
    assert {row["setting"] for row in rows} >= {"unconstrained", "12", "12+1~1", "length prompt 12"}
    assert result.unconstrained["embedded"].thinking_tokens.value > 6
    scores, *others = result.tables()
    assert [row[0] for row in scores.rows] == ["6", "12", "unconstrained"]
    assert [len(table.rows) for table in others] == [8, 5]  # every vote is of one sample
    votes = [result.votes[0].model_copy(update={"samples": 2}), *result.votes[1:]]
    tables = result.model_copy(update={"votes": votes}).tables()
    assert (len(tables[-1].rows), len(result.votes)) == (1, 2)
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)


def test_the_unconstrained_setting_is_not_decoded_away_from_a_reference(embedded: LM, tmp_path: Path) -> None:
    other = load("embedded")
    with torch.no_grad():
        other.model.get_output_embeddings().weight.mul_(0.5)
    (tmp_path / "other").mkdir()
    save(other, tmp_path / "other", "")
    config = EvaluateConfig(
        problems=EASY, thinking_budgets=(12,), samples=2, max_answer_tokens=4, max_response_tokens=24
    )
    plain = evaluate(config, tmp_path / "plain")
    away = evaluate(config.replace(reference=str(tmp_path / "other")), tmp_path / "away")
    assert "without" not in away.next_action  # a budget, which are of another policy
    assert "which are of the models alone" in " ".join(away.notes)
    drawn = [
        {
            (r["setting"], r["problem_id"], r["sample_id"]): r["text"]
            for r in read_table(tmp_path / run / "parts/0.parquet")
        }
        for run in ("plain", "away")
    ]
    same = {
        name: [drawn[0][key] == drawn[1][key] for key in drawn[0] if key[0] == name] for name in ("unconstrained", "12")
    }
    assert all(same["unconstrained"])
    assert not all(same["12"])
    assert plain.unconstrained == away.unconstrained


def test_models_of_one_name_are_distinguished_and_compared_with_the_first(tmp_path: Path) -> None:
    """Unfinished responses are counted, and the room after every prompt is checked before anything is drawn."""
    lm, models = load("embedded"), tuple(str(tmp_path / run / "step-1") for run in "ab")
    for number, model in enumerate(models):
        with torch.no_grad():
            lm.model.get_output_embeddings().weight.mul_(1.0 - 0.2 * number)
        Path(model).mkdir(parents=True)
        save(lm, Path(model), "")
    config = EvaluateConfig(
        models=models, problems=EASY, thinking_budgets=(48,), samples=2, max_answer_tokens=1, max_response_tokens=3
    )
    result = evaluate(config, tmp_path / "run")
    (table,) = [t for t in result.tables() if not t.title]
    rows = table.rows
    assert table.columns[-3:] == ["unfinished (%)", "minus a/step-1 (points)", "minus 48 (points)"]
    assert [row[1] for row in rows] == ["a/step-1", "b/step-1"] * 2
    assert [row[-2] == DASH for row in rows] == [True, False] * 2
    assert [row[-1] == DASH for row in rows] == [True, True, False, False]
    assert rows[2][-3] == "100.0"
    gain = result.budgets[-1].scores[models[1]].gain
    assert gain
    assert result.headline.startswith("a/step-1 and b/step-1 are ")
    assert result.headline.partition(" at budget 48")[1]
    assert re.search(r"b/step-1 0 % \(100% unfinished\)\.$", result.notes[1])
    scores, per_problem = result.unconstrained[models[1]], result.per_problem
    assert scores.gain.value == pytest.approx(
        np.subtract(*(per_problem[m]["unconstrained"] for m in models[::-1])).mean()
    )
    assert result.budgets[-1].scores[models[1]].gain_over_previous is None  # with two it is the gain
    three = evaluate(config.replace(models=(*models, "embedded")), tmp_path / "three")
    by_model, found = three.budgets[-1].scores, three.per_problem
    assert [by_model[model].gain_over_previous is None for model in three.models] == [True, False, False]
    assert by_model["embedded"].gain_over_previous.value == pytest.approx(
        np.subtract(*(found[model]["48"] for model in ("embedded", models[1]))).mean()
    )
    of = per_problem[models[1]]
    assert scores.change.value == pytest.approx(np.mean(of["unconstrained"]) - np.mean(of["48"]))
    with pytest.raises(UserError, match="lower the thinking budget or max_answer_tokens"):
        evaluate(config.replace(thinking_budgets=(500,)), tmp_path / "long")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_waits": (1, 1)}, "num_waits contains a value twice"),
        ({"num_waits": ()}, "num_waits is empty"),
        ({"num_waits": (-1,)}, "negative"),
        ({"end_think_bias": (float("inf"),)}, "not a list of numbers"),
        ({"length_prompt": " be brief"}, "states no length"),
        ({"length_prompt": " Use {N} tokens."}, "no words for ' Use 8 tokens.'"),
        ({"reference": "embedded"}, "nothing to decode away from"),
        ({"max_response_tokens": -1}, "max_response_tokens"),
        ({"thinking_budgets": (-4,)}, "at least 1"),
        ({"thinking_budgets": (8, 8)}, "thinking_budgets contains a value twice"),
        ({"samples": 0}, "samples"),
        ({"temperature": -0.5}, "temperature must not be negative"),
        ({"temperature": float("nan")}, "temperature = nan is not a number"),
        ({"unconstrained": True, "reference": "embedded"}, "reference does not apply to unconstrained=true"),
        ({"delimiters": ("<think>",)}, "OPEN,CLOSE"),
        ({"delimiters": ("x", "x")}, "OPEN,CLOSE"),
        ({"delimiters": ("[deep]", "[/deep]")}, "writes thoughts as <think> … </think>, not as"),
        ({"unconstrained": True, "num_waits": (1,)}, "num_waits does not apply to unconstrained=true"),
        (
            {"unconstrained": True, "length_prompt": " budget {N}"},
            "length_prompt does not apply to unconstrained=true",
        ),
        ({"num_waits": (1,), "wait_text": "wait wait wait", "thinking_budgets": (2, 3)}, "no wait would ever fit"),
        ({"num_waits": (1,), "wait_text": "try <eos>"}, "ends the response"),
        ({"num_waits": (1,), "wait_text": "Wait"}, "cannot encode the forced text"),
        ({"num_waits": (1,), "wait_text": "wait </think>"}, "delimiter"),
    ],
)
def test_bad_input_gets_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = EvaluateConfig(problems=EASY, thinking_budgets=(8,), samples=2)
    with pytest.raises(UserError, match=message) as caught:
        evaluate(config.replace(**change), tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_unsorted_budgets_are_sorted_and_everything_is_compared_with_budgets_alone() -> None:
    config = EvaluateConfig(thinking_budgets=(9, 3), num_waits=(2, 0), wait_text="wait", max_answer_tokens=16)
    settings = settings_of(config)
    assert [s.name for s in settings.main] == ["3", "9"]
    assert [s.name for s in settings.others] == ["3+2", "9+2"]
    without = settings_of(config.replace(num_waits=(2, 1)))
    assert [s.name for s in without.main] == ["3+2", "9+2"]
    alone = settings_of(config.replace(num_waits=(0,), wait_text="Wait", unconstrained=True))
    assert alone.all == (settings.unconstrained,)


def test_delimiters_are_detected_or_given(tmp_path: Path) -> None:
    """From what the template writes, not from what it mentions; a model without takes given ones, in its prompt too."""
    assert (tiny_lm().open, tiny_lm().close) == ("<think>", "</think>")
    lm = tiny_lm(template="plain")
    assert not lm.thinks
    lm.tokenizer.chat_template += "{# [THINK] [/THINK] #}"
    assert not LM(lm.model, lm.tokenizer, lm.source).thinks
    opens = tiny_lm(template="plain")
    opens.tokenizer.chat_template += "{{ '[THINK]' if add_generation_prompt }}"
    assert (opens.thinks, opens.open, opens.close) == (True, "[THINK]", "[/THINK]")
    given = replace(lm, given=GIVEN)
    assert lm.decode(given.prompt_ids("a", think=True)).endswith("<a")
    requests = requests_for(given, [Problem("p", "a", "a")], 4, Budget(3, 2))
    samples = TorchEngine(given, forcing_for(given)).sample(requests, temperature=1.0, seed=0)
    assert all("b>" in s.text for s in samples)


def test_votes_of_a_task_with_a_verifier_of_its_own_compare_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Formulas would be compared pair by pair, which cost a quarter of an evaluation's time."""
    monkeypatch.setattr(sys.modules["rlready.evaluate.measure"], "ballots", None)
    result = evaluate(EvaluateConfig(problems=EASY, thinking_budgets=(8,), samples=2), tmp_path / "run")
    assert [v.samples for v in result.votes] == [1]
    assert not any("Many samples" in table.title for table in result.tables())  # a vote of one is none


TEN = np.arange(40) % 10 / 10  # accuracies of problems


@pytest.mark.parametrize(
    ("shifts", "said"),
    [
        ((0.0,), "a solves 45 % of 40 problems at budget 64."),
        ((0.0, 0.0), "a and b are equally accurate at budget 64."),
        ((0.0, 0.1), "b is 10.0 points more accurate than a at budget 64."),
        ((0.1, 0.0), "a is 10.0 points more accurate than b at budget 64."),
        ((0.0, 0.1, 0.05), "b is best of 3 at budget 64, 5.0 points above c."),
        ((0.0, 0.0, 0.0), "All 3 models are equally accurate at budget 64."),
        ((0.0, 0.1, 0.1), "Of 3 models b and c, the best, are equally accurate at budget 64."),
    ],
)
def test_the_headline_compares_the_best_with_its_closest_rival(shifts: tuple[float, ...], said: str) -> None:
    pair = closest({name: TEN + shift for name, shift in zip("abc", shifts, strict=False)})
    one = Estimate(0.45, 0.4, 0.5, 40)
    measures = dict.fromkeys(("thinking_tokens", "answer_tokens", "truncated", "unfinished"), one)
    accuracy = {name: replace(one, value=0.45 + shift) for name, shift in zip("abc", shifts, strict=False)}
    largest = BudgetScores(budget=64, scores={name: Scores(accuracy=a, **measures) for name, a in accuracy.items()})
    names = {name: name for name in "abc"}
    assert headline(Setting(Budget(64, 16)), largest, pair, names) == said


def test_the_closest_pair_is_of_the_two_most_accurate() -> None:
    """Its interval is that of all pairs; of equals the first named is the best; more problems decide only a tie."""
    apart = closest({"a": TEN, "b": TEN + 0.05, "c": TEN + 0.1})
    assert apart
    assert (apart.best, apart.rival, apart.significant, apart.more_problems) == ("c", "b", True, None)
    noisy = (TEN + np.repeat([0.35, -0.3], 20)).clip(0, 1)
    two, three = closest({"a": TEN, "b": noisy}), closest({"a": TEN, "b": noisy, "c": 0 * TEN})
    assert two
    assert three
    assert (two.best, two.rival, two.significant) == ("b", "a", False)
    assert three.lead.low < two.lead.low
    assert three.more_problems > two.more_problems > 0
    thirds = np.array([1, 2, 0, 3, 1, 1, 2, 0]) / 3
    cancelling = closest({"a": thirds, "b": np.array([2, 1, 1, 2, 1, 3, 0, 0]) / 3})
    assert cancelling
    assert (cancelling.lead.value, cancelling.more_problems) == (0, None)  # ten of 24 samples each
    equal = closest({"a": TEN, "b": TEN})
    assert equal
    assert (equal.best, equal.more_problems) == ("a", None)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("ab", "b and a are not significantly different at budget 64 (2 points)."),
        ("abc", "b is highest of 3 at budget 64, but not significantly above a."),
    ],
)
def test_a_lead_within_its_interval_is_not_one(models: str, said: str) -> None:
    """What would separate the two is said, and a smaller budget that does as well."""
    pair = Closest(best="b", rival="a", lead=Estimate(0.02, -0.1, 0.14, 40), more_problems=321)
    ends = Estimate(0.45, 0.4, 0.5, 40)
    measures = dict.fromkeys(("accuracy", "thinking_tokens", "answer_tokens", "truncated", "unfinished"), ends)

    def scores(budget: int, change: Estimate | None) -> BudgetScores:
        return BudgetScores(budget=budget, scores={name: Scores(**measures, change=change) for name in models})

    names, setting = {name: name for name in "abc"}, Setting(Budget(64, 16))
    budgets = [
        scores(16, Estimate(-0.2, -0.3, -0.1, 40)),
        scores(32, Estimate(-0.01, -0.1, 0.08, 40)),
        scores(64, None),
    ]
    assert headline(setting, budgets[-1], pair, names) == said
    more = "To separate b from a, measure about 320 more problems (enough in 4 cases of 5, if the lead is as measured)."
    cut_off = "(45 % of its responses are cut off)"
    cheaper = f"Use b with a budget of 32 tokens, where it is about as accurate as with 64 {cut_off}."
    assert next_action(setting, budgets, pair, names, {}) == f"{cheaper} {more}"
    budgets[1] = budgets[0]
    assert next_action(setting, budgets, pair, names, {}) == f"Use b with a budget of 64 tokens. {more}"
    unknown = [scores(16, Estimate(-1.0, -1.0, 1.0, 1)), budgets[-1]]  # of one problem
    assert next_action(setting, unknown, pair, names, {}) == f"Use b with a budget of 64 tokens. {more}"
    free = {"b": scores(0, Estimate(-0.01, -0.1, 0.08, 40)).scores["b"]}
    also = "Use b with a budget of 64 tokens; it is about as accurate without a budget"
    assert next_action(setting, budgets, pair, names, free) == f"{also}. {more}"
    free = {"b": scores(0, Estimate(0.4, 0.2, 0.6, 40)).scores["b"]}
    better = "Use b without a budget: it is 40 points more accurate than with 64 tokens"
    assert next_action(setting, budgets, pair, names, free) == f"{better}. {more}"
    free["a"] = free["b"].model_copy(update={"accuracy": Estimate(0.9, 0.8, 1.0, 40)})
    other = "Compare a with b without a budget: there a has 90 %, b 45 %, 40 points more than with 64 tokens"
    assert next_action(setting, budgets, pair, names, free) == f"{other}. {more}"
    del free["a"]
    ahead = [scores(16, Estimate(0.4, 0.2, 0.6, 40)), budgets[-1]]
    said = next_action(setting, ahead, pair, names, {})
    assert said.startswith(f"Use b with a budget of 16 tokens, where it is more accurate than with 64 {cut_off}. ")
    worse = {"b": scores(0, Estimate(-0.2, -0.3, -0.1, 40)).scores["b"]}
    assert next_action(setting, budgets, pair, names, worse) == next_action(setting, budgets, pair, names, {})
    limited = replace(setting, limit=64)
    clear = pair.model_copy(update={"lead": Estimate(0.2, 0.1, 0.3, 40)})
    assert next_action(limited, budgets, clear, names, {}) == "Use b with a limit of 64 tokens."
    assert next_action(setting, budgets[-1:], None, names, {}) == ""
    none = {"accuracy": Estimate(0.0, 0.0, 0.1, 40)}
    nothing = [row.model_copy(update={"scores": {n: s.model_copy(update=none) for n, s in row.scores.items()}})
               for row in budgets]  # fmt: skip
    assert next_action(setting, nothing, pair, names, {}) == EASIER
    assert next_action(setting, nothing, pair, names, free) == f"{better}. {more}"
    cut = {"truncated": Estimate(0.6, 0.5, 0.7, 40)}
    short = [row.model_copy(update={"scores": {n: s.model_copy(update=cut) for n, s in row.scores.items()}})
             for row in nothing]  # fmt: skip
    assert next_action(setting, short, pair, names, {}) == LONGER


def test_no_change_is_certain_where_its_interval_is_cut_at_what_is_possible() -> None:
    """As of three problems, whose standard error such an interval does not tell."""
    moved = [_moved(Estimate(0.3, low, high, 3)) for low, high in ((-1.0, 1.0), (-0.1, 0.7), (0.1, 1.0))]
    assert moved == [None, 1, 1]
    assert _moved(Estimate(0.0, -1.0, 1.0, 1)) == 0
    assert [_moved(Estimate(-0.3, low, high, 3)) for low, high in ((-1.0, 1.0), (-0.7, 0.1))] == [None, -1]


def test_tables_of_evaluations_with_other_settings_are_not_ranked(tmp_path: Path) -> None:
    """By the record beside them, as the tables have no columns for these."""
    problems = "dagmath?ops=2&split=all&n=3&seed=1"
    plain = {"problems": problems, "thinking_budgets": (8,), "samples": 2, "device": "cpu"}
    tables = []
    for name, changes in (("warm", {}), ("cold", {"temperature": 0.5}), ("again", {"seed": 5})):
        evaluate(EvaluateConfig(models=("embedded",), **plain | changes), tmp_path / name)
        tables.append(f"{tmp_path / name}/parts/0.parquet?setting=8&name={name}")
    with pytest.raises(UserError, match=r"hold samples of different temperature, 1 and 0\.5"):
        readiness(ReadinessConfig(checkpoints=tuple(tables[:2])), tmp_path / "refused")
    found = readiness(ReadinessConfig(checkpoints=(tables[0], tables[2])), tmp_path / "alike")
    assert found.conditions["temperature"] == "1"
    edited = tmp_path / "warm/parts/0.parquet"
    write_table(edited, [row | {"correct": True} for row in read_table(edited)])
    with pytest.raises(UserError, match=r"0\.parquet: damaged, .*restore it, or name a copy outside of the run"):
        readiness(ReadinessConfig(checkpoints=(tables[0],)), tmp_path / "edited")
