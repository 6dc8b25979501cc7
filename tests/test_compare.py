"""Several runs on one page: what differs, on which problems, and paired differences."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlready.cli.main import main
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import Result, TaskRecord
from rlready.core.settings import Config
from rlready.core.stats import paired_estimate
from rlready.evaluate.result import BudgetScores, EvaluateResult, LengthHistogram, Scores
from rlready.readiness.stage import readiness
from rlready.report.compare import compare
from rlready.runs.files import write_json
from rlready.runs.log import append_line
from rlready.runs.record import BY_HAND, DataNote, RunRecord
from rlready.runs.run import Run
from rlready.train.result import BestCheckpoint, Evaluation, RLResult
from test_interchange import lines, verl_rows

IDS = [f"p{n}" for n in range(12)]
BETTER, WORSE = [1.0] * 11 + [0.5], [0.5, 0.0] * 6


def evaluated(values: list[float], ids: list[str]) -> EvaluateResult:
    share = Estimate(0.5, 0.4, 0.6, len(values), "problems")
    scores = Scores.model_construct(
        **dict.fromkeys(Scores.model_fields, share) | {"undecided": 0.0, "gain": None, "change": None}
    )
    return EvaluateResult(
        headline="Accuracy is <b>0.5</b>.",
        seed=0,
        task=TaskRecord(source="s", description="d"),
        chance_level={},
        models=["m"],
        problems=ids,
        per_problem={"m": {"8": values}},
        budgets=[BudgetScores(budget=8, scores={"m": scores})],
        unconstrained={},
        settings=[],
        metrics=[],
        votes=[],
        lengths=LengthHistogram(edges=[0, 1], models={}),
    )


def finished(
    folder: Path, verb: str, config: Config, result: Result, log: list[dict[str, float]] | None = None
) -> Path:
    with Run(folder, verb, config) as run:
        run.claim()
        for line in log or []:
            append_line(folder / "log.jsonl", line)
        run.write_result(result)
    return folder


def evaluation(folder: Path, values: list[float], ids: list[str] = IDS, **settings: object) -> Path:
    source = f"dagmath?seed={ids[0][1:]}"
    config = EvaluateConfig(models=("embedded",), problems=source, **settings)  # type: ignore[arg-type]
    return finished(folder, "evaluate", config, evaluated(values, ids))


def learned(
    folder: Path, rate: float, accuracy: float, values: Sequence[float] = (), **settings: str | int | tuple[int, ...]
) -> Path:
    share = Estimate(accuracy, accuracy - 0.1, accuracy + 0.1, 8, "problems")
    result = RLResult(
        headline="RL is done.",
        seed=0,
        steps=2,
        stopped="",
        drift="",
        best=BestCheckpoint(step=2, path="c", accuracy=share),
        evaluations=[Evaluation(step=2, accuracy=share, thinking_tokens=5.0)],
        problems=IDS,
        per_problem={0: WORSE, 2: list(values)} if values else {},
    )
    log = [{"step": step, "reward": accuracy, "entropy": 0.5, "groups_informative": 2} for step in (1, 2)]
    log[-1] |= {"eval_accuracy": share.value, "eval_low": share.low, "eval_high": share.high}
    return finished(folder, "rl", RLConfig(learning_rate=rate, **settings), result, log)  # type: ignore[arg-type]


def test_differences_are_paired_and_only_on_the_same_problems(tmp_path: Path) -> None:
    folders = [
        evaluation(tmp_path / "a", WORSE),
        evaluation(tmp_path / "b", BETTER, samples=8),
        evaluation(tmp_path / "c", BETTER, [f"p{n}" for n in range(5, 17)]),
    ]
    result, sections = compare(folders)
    assert [(s.difference is None, s.base) for s in result.scores] == [(True, ""), (False, "m (a)"), (True, "")]
    assert result.notes == ["c: not compared with a, as they differ in problems."]
    gain, expected = result.scores[1].difference, paired_estimate(BETTER, WORSE, bounds=(0.0, 1.0))
    assert gain is not None
    assert (gain.value, gain.low, gain.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert result.headline.startswith("m (b) is 71 points above m (a) in accuracy at budget 8")
    assert len(result.headline.split()) <= 15
    assert result.settings == {
        "problems": ["dagmath?seed=0", "dagmath?seed=0", "dagmath?seed=5"],
        "samples": [4, 8, 4],
    }
    assert any("did not measure alike" in part for section in sections for part in section.parts)


@pytest.mark.parametrize(("name", "budget"), [("8~2", 8), ("8+1", 8), ("unconstrained", None)])
def test_runs_without_the_plain_setting_are_compared(name: str, budget: int | None, tmp_path: Path) -> None:
    folders = []
    for run, values in (("a", WORSE), ("b", BETTER)):
        found = evaluated(values, IDS)
        (only,) = found.budgets
        changes = {"per_problem": {"m": {name: values}}, "budgets": [only.model_copy(update={"budget": budget})]}
        config = EvaluateConfig(models=("embedded",), problems="dagmath", end_think_bias=(2.0,))
        folders.append(finished(tmp_path / run, "evaluate", config, found.model_copy(update=changes)))
    result, _ = compare(folders)
    assert result.scores[1].difference
    assert result.scores[1].difference.low > 0


def test_a_copy_of_a_run_is_named(tmp_path: Path) -> None:
    """Two runs with the same figures are no copies."""
    folders = [evaluation(tmp_path / name, BETTER) for name in "ab"]
    assert compare(folders)[0].notes == []
    for seconds, folder in enumerate(folders, start=1):
        record = RunRecord.load(folder)
        attempts = [each.model_copy(update={"seconds": seconds}) for each in record.attempts]
        record.model_copy(update={"seconds": seconds, "attempts": attempts}).save(folder)
    assert "copy" not in "".join(compare(folders)[0].notes)
    shutil.copytree(folders[0], tmp_path / "c")
    assert compare([*folders, tmp_path / "c"])[0].notes == ["c is a copy of a: leave one of them out."]


def test_a_record_that_was_edited_is_named(tmp_path: Path) -> None:
    """Its settings, by which runs are compared, may be others than those of the run."""
    folders = [evaluation(tmp_path / name, BETTER) for name in "ab"]
    record = folders[1] / "record.json"
    record.write_text(record.read_text().replace('"temperature": 1.0', '"temperature": 0.3'))
    assert f"b: {BY_HAND}." in compare(folders)[0].notes


def test_what_was_not_measured_alike_is_not_compared(tmp_path: Path) -> None:
    """Settings of sampling that have an effect, the verifier and the options of the problems; a note says which."""
    settings: list[dict[str, Any]] = [
        {},
        {"temperature": 0.7, "max_answer_tokens": 9},
        {"num_waits": (1,)},
        {"beta": 2.0},
    ]
    settings[-1] |= {"reference": "embedded", "wait_text": "Hm", "num_waits": (0, 1)}
    folders = [evaluation(tmp_path / str(i), [WORSE, BETTER][i % 2], **each) for i, each in enumerate(settings)]
    result, _ = compare(folders)
    assert [s.difference for s in result.scores] == [None] * 4
    assert result.notes == [
        "1: not compared with 0, as they differ in temperature: 1.0 and 0.7; in max_answer_tokens: the default and 9.",
        "2: not compared with 0, as they differ in num_waits: 0 and 1; in wait_text: the default and Wait.",
        "3: not compared with 0, as they differ in reference: none and embedded; in beta: the default and 2.0.",
    ]


def offline(folder: Path, problems: str, tables: Sequence[str]) -> Path:
    readiness(ReadinessConfig(checkpoints=tuple(tables), problems=problems, samples=2, heldout=""), folder)
    return folder


def test_verdicts_of_other_verifiers_or_answers_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the same problems and verifier are, wherever the files are."""
    monkeypatch.chdir(tmp_path)
    verifiers = "def lax(problem, answer):\n    return True\n\n\ndef strict(problem, answer):\n    return False\n"
    Path("v.py").write_text(verifiers)
    problems = "".join(f'{{"id": "{i}", "prompt": "Q{i}", "answer": "{i}", "alt": "{i + 1}"}}\n' for i in range(9))
    samples = "".join(f'{{"problem_id": "{i}", "text": "{i + s}"}}\n' for i in range(9) for s in range(2))
    Path("copy").mkdir()
    for name, text in {"p": problems, "copy/p": problems, "s": samples, "t": samples}.items():
        Path(f"{name}.jsonl").write_text(text)
    queries = ("p.jsonl", "p.jsonl?answer=alt", "p.jsonl?verifier=v.py:lax", "p.jsonl?verifier=v.py:strict")
    folders = [offline(tmp_path / f"r{i}", q, ["s.jsonl", "t.jsonl"]) for i, q in enumerate((*queries, "copy/p.jsonl"))]
    result, _ = compare(folders)
    assert {s.run for s in result.scores if s.difference} == {"r4"}
    said = ["answer: the default and alt", "verifier: the default and lax", "verifier: the default and strict"]
    assert [part in note for part, note in zip(said, result.notes, strict=True)] == [True] * 3


def test_a_source_of_several_checkpoints_is_compared_with_one_of_one(tmp_path: Path) -> None:
    """No model has drawn samples here, so that settings of sampling are no conditions."""
    problems = tmp_path / "p.jsonl"
    problems.write_text("".join(f'{{"prompt": "{name}", "answer": "4"}}\n' for name in "abcdefgh"))
    folders = []
    for run, steps in (("one", [1]), ("two", [1, 2])):
        for step in steps:
            lines(tmp_path / run / f"{step}.jsonl", verl_rows(step, dict.fromkeys("abcdefgh", "01")))
        folders.append(offline(tmp_path / f"r-{run}", str(problems), [f"verl:{tmp_path / run}"]))
    result, _ = compare(folders)
    assert [s.difference is None for s in result.scores] == [True, False, False]


def test_a_module_of_the_verifier_that_changed_forbids_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("judge.py").write_text("from judged import RIGHT\n\n\ndef ok(problem, answer):\n    return RIGHT\n")
    Path("p.jsonl").write_text("".join(f'{{"id": "{i}", "prompt": "Q{i}", "answer": "{i}"}}\n' for i in range(9)))
    samples = "".join(f'{{"problem_id": "{i}", "text": "{i + s}"}}\n' for i in range(9) for s in range(2))
    Path("s.jsonl").write_text(samples)
    folders = []
    for right in ("False", "True"):
        Path("judged.py").write_text(f"RIGHT = {right}  # {'x' * len(folders)}\n")
        for module in ("judge", "judged"):
            sys.modules.pop(module, None)
        folders.append(offline(tmp_path / f"r{right}", "p.jsonl?verifier=judge:ok", ["s.jsonl"]))
    result, _ = compare(folders)
    assert [s.difference for s in result.scores] == [None, None]
    assert result.notes == [
        "judge:ok with judged.py had different content when rFalse and rTrue read it.",
        "rTrue: not compared with rFalse, as they differ in code of the verifier.",
    ]


def test_content_that_changed_under_one_name_is_said(tmp_path: Path) -> None:
    """In the settings, the notes, the headline, and beside the curves."""
    folders = []
    for at, text in enumerate(("one", "two")):
        folder = learned(tmp_path / f"run-{at}", 1e-5, 0.3 + at / 2)
        (tmp_path / "held.jsonl").write_text(text)
        record = RunRecord.load(folder)
        digest = sha256(text.encode()).hexdigest()
        note = DataNote(id="held.jsonl", role="validation problems", path="held.jsonl", sha256=digest, size=1)
        write_json(folder / "record.json", record.model_copy(update={"data": [note]}).model_dump(mode="json"))
        folders.append(folder)
    result, sections = compare(folders)
    name, digests = "content of held.jsonl", [sha256(text).hexdigest()[:8] for text in (b"one", b"two")]
    assert result.settings == {name: digests}
    assert result.headline == f"2 runs that differ in {name}."
    assert "held.jsonl had different content when run-0 and run-1 read it." in result.notes
    marks = next(section.parts[1:] for section in sections if section.title == "Curves")
    assert f"differ in {name}" in str(marks)


@pytest.mark.parametrize("changes", [{}, {"response_limits": True}])
def test_samples_that_another_model_has_changed_are_not_compared(changes: dict[str, bool], tmp_path: Path) -> None:
    folders = []
    for run, settings in (("plain", {}), ("contrast", {"reference": "other", "beta": 0.2})):
        config = EvaluateConfig(models=("embedded",), problems="dagmath", **settings)  # type: ignore[arg-type]
        folders.append(finished(tmp_path / run, "evaluate", config, evaluated(WORSE, IDS).model_copy(update=changes)))
    result, _ = compare(folders)
    assert [each.difference for each in result.scores] == [None, None]
    assert "reference" in result.notes[0]


def test_the_headline_is_of_two_runs(tmp_path: Path) -> None:
    """Two models of the first run, or of another, are no difference between runs."""
    for name, right in (("low", 0), ("high", 1)):
        rows = [f'{{"problem_id": "{i}", "sample_id": {s}, "correct": {right}}}\n' for i in range(9) for s in range(2)]
        (tmp_path / f"{name}.jsonl").write_text("".join(rows))
    tables = [str(tmp_path / f"{name}.jsonl") for name in ("low", "high")]
    folder = tmp_path / "two"
    readiness(ReadinessConfig(checkpoints=tuple(tables), samples=2), folder)
    result, _ = compare([folder, learned(tmp_path / "rl", 1e-5, 0.3)])
    assert [s.difference for s in result.scores] == [None, None]
    assert "above" not in result.headline


def several(folder: Path, models: dict[str, list[float]]) -> Path:
    """An evaluation of several models."""
    found = evaluated([], IDS)
    share, names = found.budgets[0].scores["m"], [*models]
    changes = {"models": names, "per_problem": {name: {"8": values} for name, values in models.items()}}
    changes |= {"budgets": [BudgetScores(budget=8, scores=dict.fromkeys(names, share))]}
    config = EvaluateConfig(models=tuple(names), problems="dagmath")
    return finished(folder, "evaluate", config, found.model_copy(update=changes))


def test_the_best_of_a_run_is_compared_with_the_best_of_another_in_either_order(tmp_path: Path) -> None:
    """Else a weak model that comes first in one run would make the other run look better than it is."""
    one = several(tmp_path / "one", {"weak": [0.0] * 12, "strong": BETTER})
    two = several(tmp_path / "two", {"fair": WORSE})
    for order, sign, lead in (([one, two], -1, "below"), ([two, one], 1, "above")):
        result, _ = compare(order)
        of = {s.model: s.difference for s in result.scores}
        found = of["fair"] if sign < 0 else of["strong"]
        assert found is not None
        assert found.value == pytest.approx(sign * (np.mean(BETTER) - np.mean(WORSE)))
        assert f"71 points {lead} " in result.headline
        assert "weak" not in result.headline


def test_runs_of_different_commands_are_not_said_to_have_the_same_settings(tmp_path: Path) -> None:
    result, _ = compare([learned(tmp_path / "rl", 1e-5, 0.3), evaluation(tmp_path / "eval", WORSE)])
    assert result.headline == "2 runs of rl and evaluate have no figure in common."


def test_a_part_of_a_run_is_called_that(tmp_path: Path) -> None:
    whole, part = evaluation(tmp_path / "a", BETTER), evaluation(tmp_path / "a" / "part", BETTER)
    RunRecord.load(part).model_copy(update={"part_of": "evaluate"}).save(part)
    assert "part is part of a." in compare([whole, part])[0].notes


@pytest.mark.parametrize("values", [[1e9] * 12, [-5.0] * 12, [0.5] * 5])
def test_accuracies_that_are_none_are_one_line(values: list[float], tmp_path: Path) -> None:
    folders = [evaluation(tmp_path / "a", WORSE), evaluation(tmp_path / "b", values)]
    with pytest.raises(UserError, match=r"b/result\.json: per_problem is not as rlready writes it: restore it"):
        compare(folders)


def test_a_difference_that_may_be_chance_is_called_that(tmp_path: Path) -> None:
    result, _ = compare([evaluation(tmp_path / "a", WORSE), evaluation(tmp_path / "b", [0.0, 0.5] * 6)])
    assert "no difference in accuracy at budget 8 is significant" in result.headline


def test_runs_of_rl_give_curves_and_their_settings(tmp_path: Path) -> None:
    """A setting that the other verb has not got makes no difference."""
    folders = [
        learned(tmp_path / "a", 1e-5, 0.3),
        learned(tmp_path / "b", 1e-4, 0.5),
        evaluation(tmp_path / "c", WORSE),
    ]
    result, sections = compare(folders)
    assert result.settings == {"learning_rate": [1e-5, 1e-4, None]}
    curves = next(str(section.parts[0]) for section in sections if section.title == "Curves")
    assert [title in curves for title in ("Reward", "Entropy", "Held-out loss")] == [True, True, False]
    accuracy = next(chart for chart in curves.split("<figure")[1:] if "Validation accuracy" in chart)
    assert accuracy.count('class="bar') == 2  # a run each
    assert "Bars are 95\u00a0% intervals over problems." in accuracy


def test_runs_of_rl_are_compared_by_the_validation_problems_of_their_best_checkpoints(tmp_path: Path) -> None:
    """Not with another budget, nor with a run that kept no accuracy of single problems."""
    folders = [
        learned(tmp_path / "a", 1e-5, 0.3, WORSE),
        learned(tmp_path / "b", 1e-4, 0.5, BETTER, length_targets=(9,), reward="lcpo_max"),
        learned(tmp_path / "c", 1e-4, 0.5, BETTER, thinking_budget=32),
        learned(tmp_path / "old", 1e-4, 0.5),
    ]
    result, sections = compare(folders)
    assert [(s.run, s.model, s.what) for s in result.scores] == [(r, "step-2", "validation accuracy") for r in "abc"]
    expected = paired_estimate(BETTER, WORSE, bounds=(0.0, 1.0))
    assert [s.difference for s in result.scores] == [None, expected, None]
    assert result.headline == "step-2 (b) is 71 points above step-2 (a) in validation accuracy."
    assert result.notes == ["c: not compared with a, as they differ in thinking_budget: the default and 32."]
    assert "chosen on these problems" in next(str(s.parts) for s in sections if s.title == "Accuracy")


def test_curves_on_other_data_are_marked(tmp_path: Path) -> None:
    one, two = learned(tmp_path / "a", 1e-5, 0.3), learned(tmp_path / "b", 1e-5, 0.5, validation="dagmath?seed=3")
    _, sections = compare([one, two])
    marks = next(section.parts[1:] for section in sections if section.title == "Curves")
    assert "differ in validation" in str(marks)


def test_the_page_and_what_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = evaluation(tmp_path / "a", WORSE), evaluation(tmp_path / "b", BETTER)
    monkeypatch.chdir(tmp_path)
    assert main(["report", "a", "b"]) == 0
    page = (tmp_path / "runs/report/report.html").read_text()
    assert "&lt;b&gt;0.5&lt;/b&gt;" in page
    assert main(["report", "a", "b"]) == 0
    assert (tmp_path / "runs/report-2/report.html").exists()
    with pytest.raises(UserError, match="named twice"):
        compare([a, b, tmp_path / "b/../a"])
    capsys.readouterr()
    assert main(["report", "a", "none"]) == 2
    assert "no such folder" in capsys.readouterr().err
