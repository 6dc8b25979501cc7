"""The page of a run that has not finished: what is there, no decision, and nothing that disturbs the run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from rlready.cli.main import main
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.evaluate import stage as evaluate_stage
from rlready.evaluate.stage import evaluate
from rlready.readiness.measure import Measurer
from rlready.readiness.stage import readiness
from rlready.report import page
from rlready.runs import lock
from rlready.runs.files import read_json, write_json, write_text
from rlready.runs.folders import PAGE, nothing_done
from rlready.runs.log import append_line
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from test_report import Strict
from test_tampered_runs import EARLIER, PROBLEMS, Runs, stop_in
from test_watch import line

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text of every page that is written."""
    found, real = list[str](), page.write

    def write(folder: Path) -> Path:
        found.append(text_of(real(folder)))
        return folder / PAGE

    monkeypatch.setattr(page, "write", write)
    return found


def text_of(file: Path) -> str:
    return re.sub(r"\s+", " ", Strict(file.read_text()).text)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != PAGE}


@pytest.mark.parametrize(("verb", "pages"), [("rl", ["step 0", "step 2", "step 4"]), ("sft", ["step 3", "step 6"])])
def test_the_page_is_drawn_at_each_checkpoint_and_gone_when_the_run_is_done(
    runs: Runs, drawn: list[str], tmp_path: Path, verb: str, pages: list[str]
) -> None:
    runs.run(verb, tmp_path / verb)
    assert not (tmp_path / verb / PAGE).exists()
    assert len(drawn) == len(pages)
    assert all("unfinished" in text and ": running." in text and "To continue" not in text for text in drawn)
    assert "no step is done" in drawn[0] if verb == "rl" else "step 3, 50% of the epochs" in drawn[0]
    assert pages[1] in drawn[1]


def test_a_stopped_run_is_shown_as_stopped_and_only_its_page_changes(runs: Runs) -> None:
    out = runs.folder("rl", "stopped")
    assert "Unfinished: step 3 of 4." in text_of(out / PAGE)
    assert ": interrupted." in text_of(out / PAGE)
    (out / PAGE).unlink()
    command = "rlready rl steps=4 --out x"
    RunRecord.load(out).model_copy(update={"command": command}).save(out)
    before = content(out)
    assert main(["report", str(out)]) == 0
    assert content(out) == before
    text = text_of(out / PAGE)
    assert f"To continue: {command}" in text
    assert "Checkpoints so far: step-2." in text
    assert "Accuracy during RL" in text


def test_a_run_that_is_stopped_after_its_result_leaves_the_page_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Inside another run it would get a viewer, which an unbroken one has not."""
    drawn = list[Path]()
    monkeypatch.setattr(page, "write", lambda folder: drawn.append(folder) or (folder / PAGE).touch())

    def stopped() -> None:
        with Run(tmp_path / "rl", "rl", RLConfig(steps=40)) as run:
            run.claim()
            run.draw_page()
            (tmp_path / "rl/result.json").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert len(drawn) == 1


def test_a_page_that_cannot_be_drawn_is_a_warning(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path) -> Path:
        raise OSError("no space")

    monkeypatch.setattr(page, "write", broken)
    runs.run("sft", tmp_path / "sft")
    assert "sft: warning: the page of the run so far was not drawn: OSError: no space" in capsys.readouterr().err


def test_a_living_run_is_not_disturbed(tmp_path: Path) -> None:
    """What it is writing stays, its lock is held, its alerts are on the page, and no second process is suggested."""
    with Run(tmp_path / "rl", "rl", RLConfig(steps=40)) as run:
        run.claim()
        (tmp_path / "rl/log.jsonl.tmp-1").touch()
        for step in range(1, 25):
            append_line(tmp_path / "rl/log.jsonl", line(step, groups_informative=0, groups_solved=8))
        assert main(["report", str(tmp_path / "rl")]) == 0
        text = text_of(tmp_path / "rl" / PAGE)
        assert (tmp_path / "rl/log.jsonl.tmp-1").exists()
        assert lock.is_locked(tmp_path / "rl")
    assert "Unfinished: step 24 of 40." in text
    assert "No signal: in 0% of groups" in text
    assert "To continue" not in text


def test_a_run_that_ends_meanwhile_keeps_the_page_of_its_result(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = runs.folder("sft", "done")
    result = read_json(out / "result.json")
    (out / "result.json").unlink()

    def write_and_end(path: Path, text: str) -> None:
        write_text(path, text)
        write_json(out / "result.json", result)

    monkeypatch.setattr(page, "write_text", write_and_end)
    RunRecord.load(out).model_copy(update={"files": {}}).save(out)
    assert "Unfinished" not in text_of(page.write(out))


def test_readiness_shows_what_is_measured_and_chooses_nothing(runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "readiness"
    small = {"samples": 4, "group_size": 2, "thinking_budget": 8, "max_answer_tokens": 3}
    config = ReadinessConfig(checkpoints=(runs.model, "embedded"), problems=PROBLEMS, **small)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, Measurer, "model", 2)
        with pytest.raises(KeyboardInterrupt):
            readiness(config, out)
    before = content(out)
    text = text_of(page.write(out))
    assert content(out) == before
    assert "Unfinished: 1 of 2 checkpoints are measured." in text
    assert "Not measured yet: embedded." in text
    assert "pass@4" in text
    for decision in ("★", "start RL", "Which checkpoint", "chosen", "behind step-"):
        assert decision not in text, decision
    (out / "parts/0.json").write_text("{}")
    text = text_of(page.write(out))
    assert "0 of 2 checkpoints are measured" in text
    assert "0.json: damaged, or not the file that the run has written" in text


def test_evaluate_shows_the_models_that_are_measured(runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "evaluate"
    limits = {"thinking_budgets": (4,), "max_answer_tokens": 3, "max_response_tokens": 12, "samples": 1}
    config = EvaluateConfig(models=("embedded", runs.model), problems=PROBLEMS, **limits)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        stop_in(patch, evaluate_stage, "measure", 2)
        with pytest.raises(KeyboardInterrupt):
            evaluate(config, out)
    text = text_of(page.write(out))
    assert "Unfinished: 1 of 2 models are measured." in text
    assert f"Not measured yet: {runs.model}." in text
    assert "model unconstrained 4 embedded" in text


def test_a_run_with_runs_inside_shows_how_far_they_are(tmp_path: Path) -> None:
    for name, verb in ((".", "sweep"), ("rl/a", "rl"), ("rl/b", "rl")):
        with Run(tmp_path / "sweep" / name, verb, RLConfig(steps=4)) as run:
            run.claim()
    RunRecord.load(tmp_path / "sweep").model_copy(update={"status": "failed: one of 2 jobs"}).save(tmp_path / "sweep")
    text = text_of(page.write(tmp_path / "sweep"))
    assert "Unfinished: 2 runs: 2 done." in text
    assert "failed: one of 2 jobs" in text


@pytest.mark.parametrize("run", sorted(EARLIER.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_records_of_earlier_versions_and_edited_ones_are_drawn(run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run, tmp_path / run.name))
    (out / "result.json").unlink()
    text = text_of(page.write(out))
    assert "done, but result.json is missing" in text
    assert "record.json was edited" not in text
    write_json(out / "record.json", read_json(out / "record.json") | {"sha256": "0"})
    assert "Warning: record.json was edited by hand," in text_of(page.write(out))


def test_what_is_no_run_or_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sft"
    with Run(out, "sft", RLConfig()) as run:
        run.claim()
    RunRecord.load(out).model_copy(update={"status": "interrupted"}).save(out)
    page.write(out)
    assert nothing_done(out)  # the next run takes the folder
    assert main(["report", str(out), str(out)]) == 2
    assert "the run has not finished" in capsys.readouterr().err
    (out / "record.json").write_text("{")
    assert main(["report", str(out)]) == 2
    assert "record.json: the file: invalid JSON" in capsys.readouterr().err
