"""The report page: honest numbers, hostile text kept harmless, and no section without its data."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measured import write_record
from rlready.core.cells import brief_percent, decimal, fixed, percent, rough_time
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import TaskRecord
from rlready.core.text import visible
from rlready.core.timing import Watch
from rlready.evaluate.result import (
    BudgetScores,
    Closest,
    CurveMetrics,
    EvaluateResult,
    LengthCounts,
    LengthHistogram,
    Measures,
    Scores,
    SettingScores,
    Votes,
)
from rlready.inject.result import BehaviourCount, InjectResult
from rlready.readiness.result import CheckpointReadiness, Overfitting, ReadinessResult
from rlready.report import page, plots
from rlready.report.axes import nice_ticks
from rlready.report.budget_charts import TONES, styles_of
from rlready.report.claims import Claim
from rlready.report.demo_result import DemoCheckpoint, DemoResult, ModelScores, StageSeconds
from rlready.report.figures import PERCENT, THREE_DIGITS, Unit
from rlready.report.logs import LogLine
from rlready.report.plots import DASHES, Point, Series, line_chart
from rlready.report.text import unbroken
from rlready.runs.files import plain, write_json
from rlready.runs.record import ModelNote, RunRecord
from rlready.sweep.result import StartingCheckpoint, SweepResult
from rlready.train.log import EvaluationLog, HeldoutLog, RLStepLog, RolloutStats, SFTStepLog, UpdateStats
from rlready.train.result import BestCheckpoint, Checkpoint, Evaluation, RLResult, SFTResult

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\x00\x1b\u202e🙂"
FIXED = {"verb", "advice", "unit", "finish", "varies"}  # whose values are of a few
EMPTY_TAGS = {"meta", "img", "br", "link", "input"}
KS = (1, 2, 4, 8, 16, 32, 64)


def fig(value: float, width: float = 0.03, n: int = 200, varies: str = "problems") -> Estimate:
    return Estimate(value, value - width, value + width, n, varies)


def readiness_of(i: int, **more: Any) -> dict[str, Any]:
    """Fields of `CheckpointReadiness` of the i-th of four checkpoints; the third is chosen."""
    alpha = (0.04, 0.16, 0.33, 0.41)[i]
    fields = {
        **{"name": f"runs/sft/step-{43 * (i + 1)}", "chosen": i == 2, "rank": (4, 3, 1, 2)[i]},
        **{"behind": None if i == 2 else fig(0.113), "more_problems": None, "advice": "rl" if i == 2 else "drop"},
        **{"next": "RL first" if i == 2 else "drop", "why": "best pass@64", "overfitting": None},
        "heldout_loss": fig((0.81, 0.62, 0.553, 0.571)[i], 0.02, 200, "rows"),
        **{"heldout_loss_examples": None, "loss_change": None, "variance": None, "influence": None},
        "pass_at_k": {k: fig((1 - (1 - alpha) ** k) * (0.93, 0.94, 0.95, 0.9)[i], 0.03, 64) for k in KS},
        **{
            "counted_samples": 8,
            "unsolved": fig(0.31 - 0.08 * i, 0.05, 64),
            "partially_solved": fig(0.66 - 0.03 * i, 0.05, 64),
        },
        **{"solved": fig(0.03 + 0.11 * i, 0.02, 64), "informative": fig(0.52), "group_signal": fig(0.21)},
        "histogram": [{"share_right": share, "problems": fig(0.2)} for share in (0.0, 0.5, 1.0)],
        **{"samples": 4096, "tokens": None},
    }
    return fields | more


def scores(top: float, scale: float, used: float, cap: int) -> Scores:
    share = 1 - math.exp(-cap / scale)
    return Scores(
        accuracy=fig(top * share),
        thinking_tokens=fig(used * share, 1.1),
        answer_tokens=fig(6.0),
        truncated=fig(0.5 - share / 3),
        unfinished=fig(0.25),
    )


def budget(cap: int) -> BudgetScores:
    each = {"base": scores(0.21, 60, 71, cap), "sft": scores(0.55, 45, 66, cap), "rl": scores(0.86, 24, 48, cap)}
    return BudgetScores(budget=cap, scores=each)


def demo_result() -> DemoResult:
    base, sft, rl = (dict(each) for each in budget(96).scores.values())
    tokens = [fig(70.32, 1.2), fig(65.08, 0.9), fig(47.96, 0.7)]
    return DemoResult(
        headline="RL from step-129 lifts accuracy from 41.3 % to 83.7 % and thinks in 26 % fewer tokens.",
        seed=0,
        task=TaskRecord(source="dagmath?ops=8&asked=3", description="Eight sums over a hidden graph, three answers."),
        rl_minus_sft=fig(0.4241, 0.051),
        greedy_rl_minus_sft=fig(0.2468, 0.071),
        chance_level={"pass@1": 0.00021, "pass@64": 0.0134},
        chosen="step-129",
        rl_step=40,
        checkpoints=[
            DemoCheckpoint(**readiness_of(i, name=f"step-{43 * (i + 1)}"), epoch=0.5 * (i + 1), step=43 * (i + 1))
            for i in range(4)
        ],
        budgets=[budget(cap) for cap in (24, 40, 56, 72, 96)],
        unconstrained=budget(120).scores,
        lengths=LengthHistogram(edges=[0, 40, 80], models={"rl": LengthCounts(right=[9, 2], wrong=[1, 4])}),
        base=ModelScores(**base | {"accuracy": fig(0.1284), "thinking_tokens": tokens[0]}),
        sft=ModelScores(
            **sft | {"accuracy": fig(0.4131), "strict_accuracy": fig(0.3879), "thinking_tokens": tokens[1]},
            greedy_accuracy=fig(0.6093),
        ),
        rl=ModelScores(
            **rl | {"accuracy": fig(0.8372), "strict_accuracy": fig(0.8017), "thinking_tokens": tokens[2]},
            greedy_accuracy=fig(0.8561),
        ),
        stages=[StageSeconds(name="sft", seconds=171.4), StageSeconds(name="rl", seconds=268.9)],
        seconds=543.2,
    )


def readiness_result(**more: Any) -> ReadinessResult:
    fields = {
        **{"headline": "Start RL from step-129.", "seed": 0, "task": TaskRecord(source="t", description="Sums.")},
        **{"chance_level": {}, "group_size": 16, "informative_group_size": 16, "ranked_by": "pass@64"},
        **{"rule": "rank by pass@64.", "reasons": ["Drop step-43: pass@64 is significantly worse."]},
        **{"chosen": "runs/sft/step-129", "problems": [], "per_problem": {}},
        "checkpoints": [CheckpointReadiness(**readiness_of(i)) for i in range(4)],
    }
    return ReadinessResult(**fields | more)


def evaluate_result(**more: Any) -> EvaluateResult:
    fields = {
        **{"headline": "Accuracy.", "seed": 0, "task": TaskRecord(source="t", description="Sums.")},
        **{"chance_level": {"pass@1": 0.1}, "models": ["a/b"], "problems": [], "per_problem": {}},
        **{"budgets": [BudgetScores(budget=24, scores={"a/b": budget(24).scores["sft"]})], "unconstrained": {}},
        **{"settings": [], "metrics": [], "votes": [], "lengths": LengthHistogram(edges=[], models={})},
    }
    return EvaluateResult(**fields | more)


def rl_result() -> RLResult:
    steps = [Evaluation(step=step, accuracy=fig(0.301 + step / 100), thinking_tokens=9.0) for step in (0, 20)]
    best = BestCheckpoint(step=20, path="x", accuracy=steps[1].accuracy)
    return RLResult(headline="RL.", seed=0, steps=20, stopped="", drift="", best=best, evaluations=steps)


def sft_result() -> SFTResult:
    losses = {"heldout_loss": fig(0.5), "heldout_loss_examples": fig(0.5)}
    one = Checkpoint(name="step-9", path="x", step=9, epoch=1.0, samples=1.0, reference=False, **losses)
    return SFTResult(headline="SFT.", seed=0, steps=9, final_loss=0.4, checkpoints=[one])


def sweep_result() -> SweepResult:
    starts = [
        StartingCheckpoint(
            family="b" * (i > 0), checkpoint=f"few-s{i}/step-9", runs=3, outcome=fig(0.4 + i / 10), cost=75
        )
        for i in range(3)
    ]
    return SweepResult(headline="9 RL runs.", plan="x", jobs={"rl": 9}, seconds_of_jobs=75.0, runs=9, starts=starts)


def inject_result() -> InjectResult:
    lengths = {f"length_{name}": fig(30, n=9, varies="rows") for name in ("before", "after", "added")}
    return InjectResult(
        **{"headline": "9 rows.", "rows": "rows.jsonl", "source": "s", "description": "d", "licence": None},
        **{"rows_in": 10, "rows_out": 9, "unfit": {"it has no graph": 1}, "doubtful": ["row 3"]},
        behaviours={"explore": BehaviourCount(times=4, rows=3, share=fig(0.33))},
        **{"failed_attempts": 2, "solved_early": 1, "unit": "words"},
        **lengths,
    )


def test_steps_as_accurate_as_the_best_are_named() -> None:
    result = rl_result()
    later = result.evaluations[1].model_copy(update={"step": 40})
    assert not result.remarks()
    tied = result.model_copy(update={"evaluations": [*result.evaluations, later]})
    assert tied.remarks() == ["As accurate as step 20: step 40; the earliest is taken."]
    start = result.best.model_copy(update={"step": 0})
    assert not tied.model_copy(update={"best": start}).remarks()


RESULTS = {
    **{"demo": demo_result, "readiness": readiness_result, "evaluate": evaluate_result, "rl": rl_result},
    **{"sft": sft_result, "sweep": sweep_result, "inject": inject_result},
}


def logs() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = random.Random(0)
    sft: list[dict[str, Any]] = []
    for step in range(1, 173):
        loss = 0.5 + 1.4 * math.exp(-step / 25) + rng.gauss(0, 0.03)
        sft.append({"step": step, "epoch": step / 86, "loss": loss, "tokens": 8192, "learning_rate": 1e-3})
        if step % 43 == 0:
            held = 0.56 + 0.9 * math.exp(-step / 30)
            interval = {"heldout_low": held - 0.03, "heldout_high": held + 0.03}
            sft.append(
                {"step": step, "epoch": step / 86, "heldout_loss": held, **interval, "checkpoint": f"step-{step}"}
            )
    rl: list[dict[str, Any]] = []
    for step in range(50):
        share = 0.35 + 0.5 * (1 - math.exp(-step / 15)) + rng.gauss(0, 0.02)
        row = {
            "step": step,
            "reward": share - 0.02,
            "accuracy": share,
            "thinking_tokens": 60.0,
            "entropy": 0.6 - step / 110,
        }
        row |= {
            "thinking_tokens_correct": 58 - step / 4,
            "thinking_tokens_wrong": 70 + rng.gauss(0, 2) if step != 7 else None,
        }
        row |= {
            "truncated": 0.3 * math.exp(-step / 20),
            "groups_informative": 12 - step // 8,
            "groups_solved": step // 8,
        }
        rl.append(row | {"groups_unsolved": 4, "loss": 0.01, "grad_norm": 0.4, "seconds": 5.0})
        if step % 10 == 0:
            value = 0.4 + 0.43 * (1 - math.exp(-step / 14))
            band = {"eval_low": value - 0.04, "eval_high": value + 0.04}
            rl.append({"step": step, "eval_accuracy": value, **band, "eval_thinking_tokens": 62 - step / 3.4})
    return sft, rl


def example(i: int) -> dict[str, Any]:
    model, right = ("base", "sft", "rl")[i % 3], i % 3 > 0 and i % 7 != 0
    pieces = [[f"c=4+{i}. ", 1], ["d=c+7", 1], [" so d=1", 1]] + (
        [["\n</think>", 0], ["\nFinal answer: ", 0]] if i % 2 else []
    )
    return {
        **{"model": model, "problem_id": f"dag-{1000 + i}", "prompt": f"b=3. c=4+{i}. d=c+7. What are b, c and d?"},
        **{"answer": "3 11 18", "correct": right, "strict": right and i % 5 > 0, "finish": "stop"},
        **{"truncated": bool(i % 2), "budget": 96, "thinking_tokens": 30 + i, "pieces": [*pieces, ["3 11 18", 1]]},
    }


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def demo_folder(folder: Path) -> Path:
    sft, rl = logs()
    write_jsonl(folder / "sft/log.jsonl", sft)
    write_jsonl(folder / "rl/log.jsonl", rl)
    write_jsonl(folder / "examples.jsonl", [example(i) for i in range(60)])
    write_json(folder / "result.json", demo_result())
    record = {"status": "done", "command": "rlready demo", "revision": "0e5ce1a", "packages": {"torch": "2.9.0"}}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def text_of(folder: Path, result: object) -> str:
    """The text of the page of a result, with single spaces."""
    write_json(folder / "result.json", result)
    return re.sub(r"\s+", " ", Strict(page.render(folder)).text)


class Strict(HTMLParser):
    """Tags must close in the order in which they opened; keeps tags, attributes and visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " " * (tag in ("td", "th"))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def svgs(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.S)]


def test_full_folder_is_one_whole_page_that_loads_nothing(tmp_path: Path) -> None:
    html = page.write(demo_folder(tmp_path)).read_text()
    parsed = Strict(html)
    plots = [svg for svg in svgs(html) if svg.get("class") == "plot"]
    titles = [svg.findtext("title") for svg in plots]
    assert len(plots) == 8
    assert titles[0] == "Accuracy against thinking tokens"
    assert titles[2:4] == ["SFT loss", "pass@k of each checkpoint"]
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in parsed.tags:
        assert not {"src", "srcset", "data", "action"} & set(attributes), tag
        assert attributes.get("href", "#").lstrip("#") in ["", *ids], tag
        assert tag not in ("link", "iframe", "object", "img", "base")
    assert not re.search(r"https?:|url\(|@import|innerHTML", html)
    assert [a.get("class") for _, a in parsed.tags].count("sample") == 6
    assert parsed.text.count("✗ wrong") == 6


def test_what_the_terminal_remarks_is_on_the_page(tmp_path: Path) -> None:
    """Later steps that equal the best of RL, beside all evaluations, and responses that were not verified."""
    learned = rl_result()
    again = learned.evaluations[1].model_copy(update={"step": 30})
    write_json(tmp_path / "result.json", learned.model_copy(update={"evaluations": [*learned.evaluations, again]}))
    text = re.sub(r"\s+", " ", Strict(page.render(tmp_path)).text)
    assert "As accurate as step 20: step 30; the earliest is taken." in text
    assert "Validation during RL step validation accuracy (%)" in text
    scores = evaluate_result().budgets[0].scores["a/b"].model_copy(update={"undecided": 0.25})
    write_json(tmp_path / "result.json", evaluate_result(budgets=[BudgetScores(budget=24, scores={"a/b": scores})]))
    assert "up to 25.0% of the responses were not verified" in Strict(page.render(tmp_path)).text


def test_pages_of_related_runs_beside_it_are_linked(tmp_path: Path) -> None:
    """That of the run it started from, while it is there, and that of the run around it; none of another folder."""
    folders = [tmp_path / name for name in ("runs/sft #1", "elsewhere", "runs", "runs/rl")]
    for folder in folders:
        write_record(folder, "rl")
        (folder / "report.html").touch()
    rl = folders[-1]
    record = RunRecord.load(rl)
    notes = [
        ModelNote(id="start", role="start", path=str(run / "checkpoints/step-2"), sha256=None, chat=None, learner=None)
        for run in folders[:2]
    ]
    write_json(rl / "record.json", record.model_copy(update={"models": notes}))
    write_json(rl / "result.json", rl_result())
    around, start = '<a href="../report.html">runs</a>', '<a href="../sft%20%231/report.html">sft #1</a>'
    assert f" · Related runs: {around}, {start}</p>" in page.write(rl).read_text()
    (folders[0] / "report.html").unlink()
    assert f" · Related runs: {around}</p>" in page.write(rl).read_text()
    write_json(tmp_path / "runs/result.json", rl_result())
    assert ' · Related runs: <a href="rl/report.html">rl</a></p>' in page.write(tmp_path / "runs").read_text()


def test_a_ranking_has_one_sign_and_charts_name_their_budgets(tmp_path: Path) -> None:
    assert text_of(tmp_path / "ready", readiness_result()).count("11.3 [8.3, 14.3]") == 3
    assert text_of(tmp_path / "ready", readiness_result()).count("−11.3 [−14.3, −8.3]") == 3  # as it is drawn
    demo = text_of(tmp_path / "demo", demo_result())
    assert "One point per budget (24, 40, 56, 72 and 96, written at the points of RL step-40). Bands" in demo
    one = text_of(tmp_path / "one", evaluate_result())
    assert re.search(r"One point per budget \(written at the points of [^)]+\)\. Bars", one)
    assert 'class="bar' in page.render(tmp_path / "one").partition("</figure>")[0]  # of a single budget
    chart = next(svg for svg in svgs(page.render(tmp_path / "demo")) if svg.get("class") == "plot")
    written = [t.text for t in chart.iter("text") if t.get("class", "").startswith("name t1")]
    assert written[:4] == ["24", "40", "56", "72"]


def test_numbers_are_those_of_the_result(tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", Strict(page.render(demo_folder(tmp_path))).text)
    for expected in (
        "Gain of RL step-40 over SFT step-129 at a budget of 96 thinking tokens +42 points",
        "Greedy gain of RL step-40 over SFT step-129 +25 points 95 % interval +18 to +32, n = 200 problems",
        "Answer and every step correct, RL step-40 80.2 %",
        *(
            "SFT step-129 ★ chosen 1.5 129 0.553 [0.533, 0.573]",
            "SFT step-43 0.5 43",
            "95 % intervals, n = 200 rows and n = 64 to 200 problems",
        ),
    ):
        assert expected in text, expected
    curve = line_chart(
        [Series("a", [Point(0, 0.2), Point(10, 0.9)])], title="t", x_label="x", y_label="y", percent=True
    )
    ticks = {t.text: float(t.get("y", "")) for t in svgs(curve)[0].iter("text") if t.text and t.text.endswith("%")}
    path = next(p.get("d", "") for p in svgs(curve)[0].iter("path") if p.get("class", "").startswith("line"))
    end = float(path.split()[-1])
    assert end == pytest.approx(0.9 * ticks["100\u202f%"] + 0.1 * ticks["0\u202f%"] - 4, abs=0.05)


def poison(value: Any) -> Any:
    """Hostile text in place of every text, but for names of verbs and of fixed choices."""
    if isinstance(value, dict):
        return {k: v if k in FIXED else poison(v) for k, v in value.items()}
    if isinstance(value, list):
        return [poison(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


@pytest.mark.parametrize("verb", RESULTS)
def test_hostile_text_in_every_field_stays_text(tmp_path: Path, verb: str) -> None:
    result = poison(plain(RESULTS[verb]()))
    if verb == "evaluate":
        result["budgets"][0]["scores"][HOSTILE] = result["budgets"][0]["scores"]["a/b"]
        result["chance_level"][HOSTILE] = 0.5
    (tmp_path / "result.json").write_text(json.dumps(result))
    write_jsonl(tmp_path / "examples.jsonl", [poison(example(3 * i)) | {"correct": False} for i in range(4)])
    (tmp_path / "record.json").write_text(json.dumps({HOSTILE: HOSTILE + "\ud800", "nested": {HOSTILE: [HOSTILE]}}))
    for name in ("log.jsonl", "sft/log.jsonl", "rl/log.jsonl"):
        write_jsonl(tmp_path / name, [poison(row) | {"checkpoint": HOSTILE} for log in logs() for row in log])
    html = page.write(tmp_path).read_text(encoding="utf-8")
    parsed = Strict(html)
    assert "script" not in [tag for tag, _ in parsed.tags]
    assert not [tag for tag, a in parsed.tags if tag == "img" or any(name.startswith("on") for name in a)]
    assert parsed.text.count("alert(1)</script>") > 20
    assert "{{ 7*7 }}⟨U+0000⟩⟨U+001B⟩⟨U+202E⟩🙂⟨U+D800⟩" in parsed.text
    assert not re.search("[\x00\x1b\u202e]", html)
    assert len(svgs(html)) > 3


@pytest.mark.parametrize("verb", RESULTS)
def test_a_broken_result_is_one_clear_line_or_a_page(tmp_path: Path, verb: str) -> None:
    """Every value in turn is missing, empty, of another type or not a number."""
    whole = plain(RESULTS[verb]())
    refused = 0
    for broken in mutations(whole):
        (tmp_path / "result.json").write_text(json.dumps(broken))
        html, error = rendered(tmp_path)
        if error:
            assert "result.json: " in error, broken
            assert "\n" not in error
            refused += 1
        else:
            assert not re.search(r">[^<]*\b(nan|inf|None)\b", re.sub(r"(?s)<(style|script)>.*?</\1>", "", html)), broken
    assert refused > 20


def rendered(folder: Path) -> tuple[str, str]:
    """The page, or why there is none."""
    try:
        return page.render(folder), ""
    except UserError as error:
        return "", str(error)


def mutations(value: Any) -> Iterator[Any]:
    """The value with one of its parts replaced, or left out; of a list only the first and the whole."""
    yield from ("x", 3, -1.5, None, [], {}, [[]])
    if isinstance(value, dict):
        figure = {"value", "low", "high"} <= value.keys()  # of an estimate one part stands for all
        for key, part in [("low", value["low"])] if figure else value.items():
            yield {k: v for k, v in value.items() if k != key}
            for other in mutations(part):
                yield value | {key: other}
    elif isinstance(value, list) and value:
        for other in mutations(value[0]):
            yield [other, *value[1:]]


def test_what_single_verbs_add(tmp_path: Path) -> None:
    ready = text_of(tmp_path, readiness_result())
    assert "pass@1 pass@16 pass@64 behind step-129, points" in ready
    assert "checkpoint informative groups unsolved in 8 partially solved solved in 8" in ready
    assert "Behind is how much lower than the first of the ranking a checkpoint is" in ready
    assert "11.3 [8.3, 14.3]" in ready
    assert "pass@64 of step-129 95.0 % 95 % interval 92.0 to 98.0, n = 64 problems" in ready
    assert "Held-out loss" in ready
    few = {"pass_at_k": {k: fig(0.5) for k in (1, 8)}}
    eight = [CheckpointReadiness(**readiness_of(i, **few)) for i in range(4)]
    guessed = {"pass@1": 0.02, "pass@8": 0.32, "pass@64": 0.6}
    text_of(tmp_path, readiness_result(checkpoints=eight, chance_level=guessed))
    assert "chance level: 2\u202f% at samples per problem, k 1, 32\u202f% at 8" in page.render(tmp_path)
    assert '">past overfitting onset<' not in page.render(tmp_path)
    onset = Overfitting(minimum=2, loss_rise=fig(0.1), pass_1_change=fig(0.0), onset=True)
    more = {key: fig(0.21) for key in ("entropy", "length_right", "length_wrong", "truncated")}
    points = [CheckpointReadiness(**readiness_of(i, **more, overfitting=onset if i == 3 else None)) for i in range(4)]
    full = text_of(tmp_path, readiness_result(checkpoints=points))
    assert "entropy, nats per token response tokens, correct response tokens, wrong truncated" in full
    assert page.render(tmp_path).count(">past overfitting onset<") == 1
    rl = text_of(tmp_path, rl_result())
    assert "Validation accuracy, RL step-20 50.1 % 95 % interval 47.1 to 53.1, n = 200 problems before RL: 30.1 %" in rl
    assert "Gain on the validation problems" not in rl  # of an older version
    gained = rl_result().best.model_copy(update={"gain": fig(0.2)})
    rl = text_of(tmp_path, rl_result().model_copy(update={"best": gained}))
    assert "Gain on the validation problems +20.0 points 95 % interval +17.0 to +23.0, n = 200 problems" in rl
    sweep = text_of(tmp_path, sweep_result())
    assert "60.0 % [57.0, 63.0] 1 min 15 s" in sweep
    assert "exploration 4 3 33.0 % [30.0, 36.0]" in text_of(tmp_path, inject_result())


def test_what_to_do_next_stands_below_the_title(tmp_path: Path) -> None:
    """Before notes, picture and numbers; the command before the words, on a line of its own."""
    told = {"headline": "Start.", "next_action": "Do it now.", "next_command": "rlready rl", "notes": ["Few problems."]}
    assert "Start. Next: rlready rl Do it now. Few problems." in text_of(tmp_path, readiness_result(**told))
    assert "Start. Next: rlready rl Few" in text_of(tmp_path, readiness_result(**told | {"next_action": ""}))
    write_record(tmp_path, "readiness")
    RunRecord.load(tmp_path).model_copy(update={"part_of": "demo"}).save(tmp_path)
    said = "Start. This run is part of a demo, which goes on from here by itself. Few problems."
    assert said in text_of(tmp_path, readiness_result(**told))


def test_checkpoints_to_be_dropped_are_cut_from_a_long_picture(tmp_path: Path) -> None:
    """A line says how many and where they are; what is not significantly different stays."""

    def rows(advice: str) -> list[CheckpointReadiness]:
        places = [(i, {"chosen": i == 0, "rank": i + 1, "advice": "rl" if i == 0 else advice}) for i in range(9)]
        return [CheckpointReadiness(**readiness_of(i % 4, name=f"step-{i}", **place)) for i, place in places]

    dropped = text_of(tmp_path, readiness_result(checkpoints=rows("drop")))
    assert "5 more, all to be dropped, are in the table further down. Dots: distance to step-0" in dropped
    assert page.render(tmp_path).count('class="dot"') == 4
    text_of(tmp_path, readiness_result(checkpoints=rows("tie")))
    assert page.render(tmp_path).count('class="dot"') == 9


@pytest.mark.parametrize("counts", [{"generated": 9}, {}])
def test_more_measuring_costs_as_much_time_as_it_did(tmp_path: Path, counts: dict[str, int]) -> None:
    """By the run's record, if the run has drawn the samples; of its four checkpoints two are measured on."""
    write_json(tmp_path / "record.json", {"status": "done", "seconds": 120.0, "counts": counts})
    tied = [CheckpointReadiness(**readiness_of(i)) for i in range(4)]
    tied[3] = tied[3].model_copy(update={"advice": "tie", "more_problems": 123})
    shown = text_of(tmp_path, readiness_result(checkpoints=tied, problems=[f"p{i}" for i in range(24)]))
    said = "More problems to separate the two 120 enough in 4 cases of 5, if the lead is as measured"
    assert said in shown
    assert (f"{said}; about 5 min for these two at the pace of this run" in shown) is bool(counts)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (4e5, "5 days")],
)
def test_a_rough_time_has_one_unit(seconds: float, said: str) -> None:
    assert rough_time(seconds) == said


def test_a_page_of_unsolved_problems_recommends_nothing(tmp_path: Path) -> None:
    nothing = {"chosen": False, "advice": "unsolved", "pass_at_k": dict.fromkeys(KS, Estimate(0.0, 0.0, 0.03, 64))}
    rows = [CheckpointReadiness(**readiness_of(i, **nothing)) for i in range(4)]
    page = text_of(
        tmp_path, readiness_result(headline="Do not start RL: no checkpoint solved any problem.", checkpoints=rows)
    )
    assert "pass@64 of every checkpoint 0.0 % 95 % interval 0.0 to 3.0, n = 64" in page
    assert "Samples of each problem, all wrong 64" in page
    for recommended in ("start RL here", "★ chosen", "Lead of", "Rule:"):
        assert recommended not in page


def test_an_axis_of_checkpoints_has_their_names(tmp_path: Path) -> None:
    """As many as fit."""

    def axis(names: list[str]) -> tuple[list[str | None], str]:
        rows = [CheckpointReadiness(**readiness_of(i % 4, name=name)) for i, name in enumerate(names)]
        text_of(tmp_path, readiness_result(checkpoints=rows))
        losses = next(svg for svg in svgs(page.render(tmp_path)) if svg.findtext("title") == "Held-out loss")
        return [t.text for t in losses.iter("text") if t.get("text-anchor") == "middle"], losses.findtext("desc") or ""

    ticks, said = axis(names := ["step-43", "step-86", "step-129", "step-172"])
    assert ticks == [*names, "checkpoint, in order of training"]
    assert "0.81 at checkpoint, in order of training step-43, 0.571 at step-172" in said
    ticks, _ = axis([f"checkpoint-{1000 + i}" for i in range(20)])
    assert ticks[:-1] == ["checkpoint-1000", "checkpoint-1006", "checkpoint-1012", "checkpoint-1018"]


def test_losses_of_several_runs_are_a_line_each(tmp_path: Path) -> None:
    """Over their steps, if all have any; what is in no run has a point, and no line leads to it."""

    def drawn(*names: str) -> tuple[int, str, list[str | None]]:
        rows = [CheckpointReadiness(**readiness_of(i % 4, name=name)) for i, name in enumerate(names)]
        text_of(tmp_path, readiness_result(checkpoints=rows))
        losses = next(svg for svg in svgs(page.render(tmp_path)) if svg.findtext("title") == "Held-out loss")
        lines = [p for p in losses.iter("path") if p.get("class", "").startswith("line")]
        called = [t.text for t in losses.iter("text") if t.get("class", "").startswith("name")]
        return len(lines), losses.findtext("desc") or "", called

    lines, said, called = drawn("x/long/step-20", "x/long/step-80", "x/short/step-10", "x/short/step-40")
    assert (lines, sorted(map(str, called))) == (2, ["long", "short"])
    assert "long: 0.81 at SFT step 20, 0.62 at 80, 2 points; short: 0.553 at SFT step 10, 0.571 at 40" in said
    lines, said, _ = drawn("x/long/step-20", "x/long/step-80", "base", "other")
    assert lines == 1
    assert "0.553 at checkpoint base, 0.571 at other, 2 points" in said


def test_names_are_broken_at_folders_and_not_at_hyphens() -> None:
    whole = '<span class="whole">{}</span>'.format
    assert unbroken("of sft-a/step-75 5 %") == f"of {whole('sft-a/')}{whole('step-75')} 5\u00a0%"
    assert unbroken("a/b <i> x-y/") == f"a/b &lt;i&gt; {whole('x-y/')}"
    assert str(unbroken("/a//b  c/ ")) == "/a//b  c/ "


def test_sft_compares_checkpoints_on_the_same_examples(tmp_path: Path) -> None:
    """The closest is named; the loss of the last batch is no number of the first screen, and no bar is promised."""
    one = sft_result().checkpoints[0]
    more = [one, *(one.model_copy(update={"name": f"step-{i}", "behind": fig(i / 100, 0.004)}) for i in (5, 3))]
    more = [c.model_copy(update={"heldout_loss": fig(0.5 + (c.behind.value if c.behind else 0), 0.2)}) for c in more]
    write_jsonl(tmp_path / "log.jsonl", logs()[0])
    shown = text_of(tmp_path, sft_result().model_copy(update={"checkpoints": more}))
    said = f"Loss of step-3 minus that of {one.name} 0.030 95 % interval 0.026 to 0.034, n = 200 problems"
    assert f"{said} on the same examples" in shown
    assert "Last checkpoint, step-3" in shown
    assert "Training loss, last step" not in shown
    assert "Held-out: a point per checkpoint." in shown
    assert 'class="bar' not in page.render(tmp_path)


def test_slopes_have_as_many_digits_as_they_are_known_to_and_single_samples_no_vote(tmp_path: Path) -> None:
    """1,327.248 points per 1,000 tokens, of thoughts of at most 64: more digits, and more tokens, than there are."""
    slope = {"control": 1.0, "scaling": fig(1327.248, 202), "performance": fig(0.5), "best_budget": 64}
    variant = {"model": "a/b", "end_think_bias": 0.0, "length_prompted": False, "num_waits": 0}
    vote = {"model": "a/b", "tokens": 47.2, **{k: fig(0.4) for k in ("majority_vote", "most_likely", "any_right")}}
    votes = [Votes(**vote, budget=64 // n, samples=n) for n in (1, 2)]
    measured = [(cap, BudgetScores(budget=cap, scores={"a/b": budget(cap).scores["sft"]})) for cap in (64, 4096)]
    for (cap, scores), per, said in zip(measured, (10, 1000), ("13.3 [11.3, 15.3]", "1327 [1125, 1529]"), strict=True):
        metrics = [CurveMetrics(**variant, **slope)]
        result = evaluate_result(budgets=[scores], metrics=metrics, votes=votes)
        shown = text_of(tmp_path, result)
        assert f"scaling, points per {per:,} tokens" in shown
        assert f"+{said.replace('[', '[+').replace(', ', ', +')}" in shown.replace("1,", "1"), cap
        (_, curves, several) = result.tables()
        assert said in curves.rows[0]
        assert f"(points per {per:,} tokens)" in curves.title
        assert [row[2] for row in several.rows] == ["2"]
        assert "Many samples at equal total tokens" in shown
    single = evaluate_result(budgets=[measured[0][1]], metrics=metrics, votes=votes[:1])
    assert "Many samples" not in text_of(tmp_path, single)
    assert len(single.tables()) == 2


def test_how_a_sample_ended_is_said_in_words(tmp_path: Path) -> None:
    wrong = [example(0) | {"finish": finish, "correct": False} for finish in ("stop", "length", "reopened")]
    write_jsonl(tmp_path / "examples.jsonl", wrong)
    shown = text_of(tmp_path, demo_result())
    assert "Endedby itself." in shown
    assert "Endedat its limit of tokens." in shown
    assert "Endedwhen its answer began another thought." in shown


def test_evaluations_of_every_kind(tmp_path: Path) -> None:
    free = BudgetScores(budget=None, scores={"a/b": budget(96).scores["sft"]})
    unconstrained = text_of(tmp_path, evaluate_result(budgets=[free]))
    assert "Accuracy of b 48.5 % 95 % interval 45.5 to 51.5, n = 200 problems" in unconstrained
    assert "none b 48.5 %" in unconstrained
    fallen = budget(24).scores["sft"].model_copy(update={"change": fig(-0.1)})
    beside = text_of(tmp_path, evaluate_result(budgets=[BudgetScores(budget=24, scores={"a/b": fallen})]))
    assert "truncated unfinished minus the largest budget, points" in beside
    assert "minus the first model" not in beside
    assert "−10.0 [−13.0, −7.0]" in beside
    shares = {key: fig(0.1) for key in ("change", "wrong_to_right", "right_to_wrong", "extended")}
    variant = {"model": "a/b", "end_think_bias": 0.0, "length_prompted": False}
    measured = {key: getattr(fallen, key) for key in Measures.model_fields}
    settings = [
        SettingScores(**measured, **variant, **shares, num_waits=n, setting="s", budget=24, length_error=None)
        for n in (1, 2)
    ]
    line = {**variant, "control": 1.0, "scaling": None, "performance": fig(0.5), "best_budget": 24}
    alone = text_of(tmp_path, evaluate_result(settings=settings, metrics=[CurveMetrics(**line, num_waits=0)]))
    assert "Compared with budget alone at the same budget" in alone
    assert "tokensbudget alone1 wait2 waits" in alone
    extended = text_of(tmp_path, evaluate_result(settings=settings[:1], metrics=[CurveMetrics(**line, num_waits=2)]))
    assert "Compared with 2 waits at the same budget" in extended
    assert "tokens2 waits1 wait" in extended
    two = {"runs/a/step-1": budget(24).scores["sft"], "runs/b/step-1": budget(24).scores["rl"]}
    both = evaluate_result(models=[*two], budgets=[BudgetScores(budget=24, scores=two)])
    assert "24 a/step-1 " in (apart := text_of(tmp_path, both))
    assert " b/step-1 " in apart
    pair = Closest(best="runs/b/step-1", rival="runs/a/step-1", lead=fig(0.11), more_problems=None)
    verdict = text_of(tmp_path, both.model_copy(update={"closest": pair}))
    assert "Accuracy of b/step-1 at a budget of 24 thinking tokens 54.4 %" in verdict
    named = dict(zip(two, ("SFT step-1", "RL step-1"), strict=True))
    staged = text_of(tmp_path, both.model_copy(update={"closest": pair, "names": named}))
    assert "Lead of RL step-1 over SFT step-1" in staged
    assert "24 SFT step-1 " in staged
    assert "Lead of b/step-1 over a/step-1 11.0 points 95 % interval 8.0 to 14.0, n = 200 problems" in verdict
    assert "More problems" not in verdict
    assert "Thinking tokens of b/step-1 30.3 95 % interval 29.2 to 31.4, n = 200 problems a/step-1: 27.3" in verdict
    tied = pair.model_copy(update={"lead": fig(0.01), "more_problems": 321})
    shown = text_of(tmp_path, both.model_copy(update={"closest": tied}))
    assert "More problems to separate the two 320 enough in 4 cases of 5" in shown


def test_forced_tokens_are_marked_and_chosen_ones_are_not(tmp_path: Path) -> None:
    html = page.render(demo_folder(tmp_path))
    marked = re.findall(r'<mark class="forced">(.*?)</mark>', html, re.S)
    assert marked == ["like this"] + 3 * ["\n&lt;/think&gt;\nFinal answer: "]
    assert "c=4+35. d=c+7 so d=1<mark" in html
    broken = [{"pieces": [["a", "b"]]}, {"pieces": "text"}, {"correct": "yes"}, {"pieces": [["b" * 9, 1]]}]
    write_jsonl(tmp_path / "examples.jsonl", [example(0) | row for row in broken])
    text = Strict(page.render(tmp_path)).text
    assert text.count("examples.jsonl: ") == 3
    assert "b" * 9 in text


def test_wrong_samples_are_those_of_the_largest_budget_that_another_model_has_solved(tmp_path: Path) -> None:
    """Before the others of that budget, and of no smaller one, which a budget alone makes wrong."""
    write_json(tmp_path / "result.json", demo_result())

    def shown(*rows: tuple[str, int, bool]) -> list[str]:
        examples = [
            example(i) | {"model": model, "problem_id": f"p{i // 2}", "budget": budget, "correct": right}
            for i, (model, budget, right) in enumerate(rows)
        ]
        write_jsonl(tmp_path / "examples.jsonl", examples)
        return re.findall(r'<bdi class="id">(p\d+)</bdi>', page.render(tmp_path))

    small, unsolved, solved = (
        [("sft", 24, False)] * 20,
        [("sft", 96, False)] * 20,
        [("sft", 96, False), ("rl", 96, True)],
    )
    assert shown(*small, *unsolved, *solved)[0] == "p20"
    assert len(shown(*small, *unsolved, *solved)) == 6
    assert shown(*small, *solved) == ["p10"]
    assert shown(*small, *solved * 6) == [f"p{i}" for i in range(10, 16)]
    lost = (
        ("base", 96, False),
        ("rl", 96, True),
        ("sft", 96, True),
        ("sft", 96, False),
        ("sft", 96, False),
        ("rl", 96, True),
    )
    assert shown(*lost) == ["p1", "p2", "p0"]  # that of a model that solves nothing is behind those of others


def test_logs_of_a_resumed_run_with_an_incomplete_line(tmp_path: Path) -> None:
    sft, rl = logs()
    for verb, log, title in (("sft", sft, "SFT loss"), ("rl", rl, "Groups during RL")):
        folder = tmp_path / verb
        write_jsonl(folder / "log.jsonl", log)
        write_json(folder / "result.json", RESULTS[verb]())
        once = page.render(folder)
        assert title in once
        write_jsonl(folder / "log.jsonl", [*log, *log[-5:]])
        assert page.render(folder) == once
        with (folder / "log.jsonl").open("a") as file:
            file.write('{"step": 9')
        assert "log.jsonl: 1 unreadable line" in page.render(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *[("{", "not JSON"), ("[1]", "not the result of a verb"), ('{"verb": "dance"}', "its verb is 'dance'")],
        *[
            ("[" * 99_999, "result.json: "),
            ('{"verb": "rl", "headline": 3}', "headline: input should be a valid string"),
        ],
    ],
)
def test_an_invalid_result_is_one_clear_line(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(UserError, match=r"not a run folder, record\.json is missing"):
        page.write(tmp_path)
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UserError) as error:
        page.write(tmp_path)
    assert "\n" not in str(error.value)
    assert said in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_numbers_that_are_not_finite_are_left_out_not_drawn(tmp_path: Path) -> None:
    nan, inf = math.nan, math.inf
    assert line_chart([Series("a", [Point(1, nan), Point(inf, 2)])], title="t", x_label="x", y_label="y") == ""
    assert line_chart([], title="t", x_label="x", y_label="y") == ""
    points = [Point(0, 1.0), Point(1, nan), Point(2, 3.0, nan, 4.0), Point(3, 2.0, 1.5, 2.5), Point(4, -inf)]
    drawn = str(line_chart([Series("a", points)], title="t", x_label="x", y_label="y"))
    assert drawn.count('class="mark') == 3
    assert not re.search(r"\b(nan|inf)\b", drawn)
    demo = demo_result()
    unknown = demo.model_copy(update={"greedy_rl_minus_sft": Estimate(nan, nan, inf, 0)})
    assert "Greedy gain of RL step-40 over SFT step-129 – " in text_of(tmp_path, unknown)


def test_labels_of_points_do_not_cover_each_other() -> None:
    """One for which there is no room above its point stands below it; none reaches out of the drawing."""
    points = [Point(0, 1.0, label="16"), Point(1, 1.0, label="17"), Point(2, 1.0, label="18"), Point(40, 1.0)]
    points += [Point(80, 1.0, label=f"<{'long ' * 8}>")]
    drawn = svgs(line_chart([Series("a", points)], title="t", x_label="x", y_label="y"))[0]
    labels = [t for t in drawn.iter("text") if t.get("class", "").startswith("name")]
    assert [t.text for t in labels] == ["16", "17", points[-1].label]
    heights = [float(t.get("y", "nan")) for t in labels]
    assert heights[1] > heights[0] == heights[2]
    right = float(labels[-1].get("x", "nan")) + 0.5 * plots.CHAR_WIDTH * len(points[-1].label)
    assert right <= plots.WIDTH + 1e-6


def test_charts_say_what_the_logs_say(tmp_path: Path) -> None:
    folder = demo_folder(tmp_path)
    described = {
        svg.findtext("title"): svg.findtext("desc") or "" for svg in svgs(page.render(folder)) if svg.get("role")
    }
    assert "share of groups; truncated: of rollouts" in page.render(demo_folder(tmp_path))
    assert "informative: 75\u202f% at RL step 0, 37.5\u202f% at 49, 50 points" in described["Groups during RL"]
    assert "wrong: " in described["Thinking length during RL"]
    assert ", 49 points" in described["Thinking length during RL"]  # one of the fifty is null
    assert "RL step-40: 54.36\u202f% at mean" in described["Accuracy against thinking tokens"]
    assert "step-129 ★: " in described["pass@k of each checkpoint"]
    assert (
        "chance level: 0.021\u202f% at samples per problem, k 1, 1.34\u202f% at 64"
        in described["pass@k of each checkpoint"]
    )
    write_jsonl(folder / "sft/log.jsonl", [{"step": i, "loss": float(i)} for i in range(401)])
    html = page.render(folder)
    assert "training: 1 at step 1, 399.5 at 400, 134 points" in html
    assert "Training: means over 3 steps." in html


def test_no_script_of_the_page_may_run(tmp_path: Path) -> None:
    html = page.render(demo_folder(tmp_path))
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)
    assert policy
    assert policy[1] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "<script" not in html


@given(st.floats(-1e60, 1e60), st.floats(-1e60, 1e60), st.booleans())
def test_ticks_are_few_even_round_and_enclose(a: float, b: float, whole: bool) -> None:
    low, high = min(a, b), max(a, b)
    ticks = nice_ticks(low, high, whole=whole)
    slack = 1e-6 * (high - low) + 1e-6 * (ticks[-1] - ticks[0])
    assert 2 <= len(ticks) <= 9
    assert ticks[0] - slack <= low <= high <= ticks[-1] + slack
    steps = [y - x for x, y in pairwise(ticks)]
    assert min(steps) > 0
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    assert not whole or all(t == round(t) for t in ticks)


def test_ticks_of_common_axes() -> None:
    assert nice_ticks(0, 0.97) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert nice_ticks(1, 3, whole=True) == [1, 2, 3]
    assert nice_ticks(5, 5) == pytest.approx([4.4, 4.6, 4.8, 5.0, 5.2, 5.4, 5.6])


def test_a_number_reads_the_same_wherever_it_stands() -> None:
    """In the headline, in the tables of the terminal and on the page: halves are rounded away from 0 in each."""
    half = Estimate(0.565, 0.535, 0.625, 200)
    assert [brief_percent(half), fixed(-2.5, 0), fixed(2.5, 0, "+"), fixed(-0.0, 1)] == ["57", "-3", "+3", "0.0"]
    assert [Unit(100).number(0.565), Unit(100, signed=True).number(-0.025)] == ["57", "−3"]
    assert [decimal(0.0625), percent(0.00125), PERCENT.number(0.00125)] == ["0.063", "0.1", "0.1"]
    assert [decimal(1.0005), THREE_DIGITS.number(1.0005)] == ["1.001", "1.001"]


def test_the_ends_of_an_interval_have_the_digits_of_its_value() -> None:
    """Only where the value itself would be rounded to 0 they have as many as it needs."""
    slope = Unit(100, 1, signed=True)
    assert slope.interval(Estimate(0.0, 0.0, 1e-6, 9)) == "[+0.0, +0.0]"
    assert PERCENT.interval(Estimate(0.001, 0.0002, 0.013, 9)) == "[0.0, 1.3]"
    assert PERCENT.interval(Estimate(0.0002, 0.0001, 0.013, 9)) == "[0.01, 1.3]"
    assert PERCENT.interval(Estimate(0.5, math.nan, math.inf, 9)) == "[–, –]"


def test_readiness_gives_distinct_answers_to_three_digits_at_most(tmp_path: Path) -> None:
    rows = [CheckpointReadiness(**readiness_of(i) | {"distinct_answers": fig(11.044, 0.8)}) for i in range(2)]
    text = text_of(tmp_path, readiness_result(checkpoints=rows))
    assert "11.0 [10.2, 11.8]" in text
    assert "11.044" not in text


def test_text_keeps_its_lines_and_letters() -> None:
    assert visible("a\r\nb\tc é 漢字 👩‍🚀 שלום") == "a\nb\tc é 漢字 👩‍🚀 שלום"
    assert visible("a\rb\u2066\x7f") == "a⟨U+000D⟩b⟨U+2066⟩⟨U+007F⟩"


@pytest.mark.parametrize(
    ("target", "verdict"),
    [("> 0", "met by the point only"), (">= 2", "missed"), ("> -2", "met"), ("< 3", "met by the point only")],
)
def test_a_claim_is_met_by_its_whole_interval(target: str, verdict: str) -> None:
    claim = Claim("a gain", 1.0, -1.0, 3.0, 5, "seeds", target)
    assert claim.verdict == verdict
    assert claim.stored()["met"] is (verdict == "met")


def test_a_claim_without_an_interval_says_so() -> None:
    """Three seeds that all agree are not an interval, nor is a number that was counted."""
    agree, differ = (Claim.of_each("a lead", values, "seeds", "> 0") for values in ((0.5, 0.25), (0.5, -0.25)))
    assert (agree.verdict, agree.stored()["met"]) == ("met in each, without an interval", False)
    assert (agree.value, agree.interval) == (0.375, "none; each 0.5, 0.25")
    assert differ.verdict == "met by the point only"
    assert Claim.of_each("a lead", (-0.5, 0.25), "seeds", "> 0").verdict == "missed"
    counted = Claim.exact("runs", 9117, "runs", ">= 1000", n=9117)
    assert (counted.verdict, counted.interval) == ("met", "–")
    assert "each" not in counted.stored()


def test_every_field_that_charts_read_is_one_that_a_log_has() -> None:
    written = {field.name for kind in (SFTStepLog, HeldoutLog, EvaluationLog, RLStepLog) for field in fields(kind)}
    written |= {field.name for kind in (RolloutStats, UpdateStats) for field in fields(kind)}
    assert LogLine.model_fields.keys() <= written | Watch().measure(1).keys()


def test_stages_look_the_same_on_every_page() -> None:
    """SFT and RL have the colours that they have in the demo; what is no stage gets others."""
    of_demo = styles_of(["Base", "SFT step-123", "RL step-48"])
    assert of_demo == list(TONES.values())
    base, chance = (float(DASHES[shape].split()[0]) for shape in (TONES["base"][1], 6))
    assert base > 4 > chance  # dashes and dots, as both are grey
    other, *stages = styles_of(["embedded", "SFT step-123", "RL step-48"])
    assert stages == of_demo[1:]
    assert not {*other} & {part for style in stages for part in style}
    several = styles_of(["SFT step-1", "SFT step-2", "RL a", *(f"m{i}" for i in range(12))])
    assert several[2] == TONES["rl"]
    assert several[0] != several[1]


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlready.report.page.os.access", lambda *_: False)
    with pytest.raises(UserError, match=r"its page belongs there, but it cannot be written: copy the folder, and name"):
        page.write(tmp_path)
