"""The pages of predictions and sweeps: every piece may be missing or hostile, and what is drawn is what was found."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from measured import checkpoint, write_readiness, write_record
from rlready.cli.show import show_runs
from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.predict.result import PredictResult
from rlready.predict.stage import predict
from rlready.report import page
from rlready.report.plots import Point, Series, line_chart
from rlready.report.predict_charts import trajectories
from test_report import HOSTILE, Strict, mutations, poison, rendered, svgs, sweep_result, text_of

RUNS = 8


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prediction from two SFT runs of four checkpoints; the loss of the second rises at its end."""
    folder = tmp_path_factory.mktemp("predicted")
    found, rows = [], []
    for i in range(RUNS):
        run, j = divmod(i, 4)
        up = 0.2 if (run, j) == (1, 3) else 0.0
        name = str(folder / f"sft-{run}/checkpoints/step-{10 * (j + 1)}")
        found.append(checkpoint(name, reach=0.4 + 0.06 * i, skill=0.3 + 0.05 * j, seed=i, loss=0.9 - 0.1 * j + up))
        for seed in (0, 1, 2):
            value = 0.1 + 0.8 * found[-1].pass_64 + 0.01 * (seed - 1)
            rows.append({"checkpoint": name, "outcome": value, "seed": seed, "cost": 60, "recipe": f"r{i}"})
    outcomes = folder / "rl.jsonl"
    outcomes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ready = write_readiness(folder / "ready", found)
    predict(PredictConfig(runs=(str(ready), str(outcomes)), splits=50, resamples=200), folder / "out")
    return folder / "out"


def test_page_says_what_the_prediction_found(predicted: Path, tmp_path: Path) -> None:
    result = PredictResult.load(predicted)
    text = text_of(tmp_path, result)
    headings = ("What to do", "The ranking, by pass@64", "Which is better", "Along SFT", "Calibrated with a few runs")
    for heading in headings:
        assert heading in text
    for step in result.next_steps:
        assert step in text
    chosen = next(c for c in result.checkpoints if c.chosen)
    assert f"{chosen.label} ★ chosen RL done" in text
    assert sum(c.past_onset for c in result.checkpoints) == 1
    assert page.render(tmp_path).count('<span class="badge">past overfitting onset</span>') == 1
    scores = {s.predictor: s for s in result.families[0].scores}
    rho = scores["pass@64"].spearman
    assert f"Rank correlation of pass@64 with outcomes {rho.value:.2f} 95 % interval {rho.low:.2f} to " in text
    assert "24 RL runs from 8 checkpoints of 8 SFT recipes" in text
    assert "cost before the best" in text


def test_charts_hold_every_run_with_both_intervals(predicted: Path) -> None:
    family = PredictResult.load(predicted).families[0]
    assert all(each.n > 0 for point in family.points for each in point.predictors.values())
    html = page.render(predicted)
    plots = {svg.findtext("title"): svg for svg in svgs(html) if svg.get("class") == "plot"}
    assert {f"Outcome of RL against {name}" for name in ("pass@1", "loss", "pass@64")} < plots.keys()
    panel = plots["Outcome of RL against pass@64"]
    marks = [p for p in panel.iter("path") if (p.get("class") or "").startswith("mark")]
    bars = "".join(p.get("d") or "" for p in panel.iter("path") if (p.get("class") or "").startswith("bar"))
    assert len(marks) == RUNS
    assert (bars.count("V"), bars.count("H")) == (RUNS, RUNS)
    lines = [p for p in panel.iter("path") if (p.get("class") or "").startswith("line")]
    assert len(lines) == 1  # the fit; runs are not joined
    line = family.lines["pass@64"]
    assert line is not None
    (x0, y0), (x1, y1) = line
    xs = [p.predictors["pass@64"].value for p in family.points]
    lengths = zip(family.points, xs, strict=True)
    residuals = [p.outcome.value - y0 - (y1 - y0) / (x1 - x0) * (x - x0) for p, x in lengths]
    assert sum(residuals) == pytest.approx(0, abs=1e-9)
    assert sum(r * x for r, x in zip(residuals, xs, strict=True)) == pytest.approx(0, abs=1e-9)
    one = family.points[0].outcome  # three seeds each, 0.01 apart: t of 16 degrees of freedom
    assert one.high - one.value == pytest.approx(2.1199 * 0.01 / math.sqrt(3), rel=1e-3)


def test_hostile_text_and_missing_parts(predicted: Path, tmp_path: Path) -> None:
    whole = json.loads((predicted / "result.json").read_text())
    kept = {"ranked_by": whole["ranked_by"], "predictors": whole["predictors"]}
    (tmp_path / "result.json").write_text(json.dumps(poison(whole) | kept))
    html = page.write(tmp_path).read_text()
    parsed = Strict(html)
    assert [tag for tag, _ in parsed.tags].count("script") == 0
    assert not [tag for tag, a in parsed.tags if tag == "img" or any(name.startswith("on") for name in a)]
    assert not re.search("[\x00\x1b\u202e]", html)
    assert parsed.text.count("alert(1)</script>") > 20
    assert svgs(html)
    refused = 0
    for broken in mutations(whole):
        (tmp_path / "result.json").write_text(json.dumps(broken))
        html, error = rendered(tmp_path)
        refused += bool(error)
        assert html or ("result.json: " in error and "\n" not in error), broken
    assert refused > 100
    ranking = [p | {"p_better": p["p_better"] and p["p_better"][:-1]} for p in whole["predictors"]]
    assert "Which is better" not in text_of(tmp_path, whole | {"predictors": ranking})


def test_without_outcomes_there_is_a_ranking_and_no_score(predicted: Path, tmp_path: Path) -> None:
    whole = PredictResult.load(predicted)
    rows = [c.model_copy(update={"outcomes": [], "expected": None}) for c in whole.checkpoints]
    text = text_of(
        tmp_path, whole.model_copy(update={"families": [], "checkpoints": rows, "headline": "", "next_steps": []})
    )
    assert "The ranking, by pass@64" in text
    assert "P(best) is how often a checkpoint is the best when problems are resampled; a lead is significant" in text
    assert "Predictors against" not in text
    assert "Spearman" not in text
    assert "after RL" not in text


def test_without_outcomes_one_sft_run_has_only_what_readiness_has_not(tmp_path: Path) -> None:
    """Three pages of loss and pass@k were those of readiness again."""
    found = [
        checkpoint(str(tmp_path / f"sft/checkpoints/step-{i}"), reach=reach, skill=0.3, seed=i, loss=0.9)
        for i, reach in enumerate((0.5, 0.7, 0.76))
    ]
    result = predict(PredictConfig(runs=(str(write_readiness(tmp_path / "ready", found)),)), tmp_path / "out")
    assert result.next_steps[-1].startswith("Only the certainty of the order is new here, beside readiness: no outcome")
    assert result.next_steps[-1].endswith("to score predictors, name RL runs from at least 3 SFT recipes.")
    text = text_of(tmp_path, result)
    for heading in ("What to do", "How certain the order is", "Which is better, by pass@64"):
        assert heading in text
    assert "probability of being the best" in text
    assert "The probability is how often a checkpoint is the best when problems are resampled" in text
    for heading in ("The ranking", "Along SFT", "pass@k of each checkpoint"):
        assert heading not in text
    two = [c.model_copy(update={"sft": str(i)}) for i, c in enumerate(result.checkpoints)]
    assert "Along SFT" in text_of(tmp_path, result.model_copy(update={"checkpoints": two}))


def test_many_sft_runs_are_thin_lines(predicted: Path) -> None:
    first = PredictResult.load(predicted).checkpoints[0].model_copy(update={"heldout_loss": None, "pass_at_k": {}})
    rows = [
        first.model_copy(update={"label": f"{run}/{step}", "sft": run, "step": step})
        for run in "abcdefgh"
        for step in (1, 2)
    ]
    assert not any(trajectories(rows))
    drawn = [row.model_copy(update={"heldout_loss": Estimate(0.5, 0.4, 0.6, 9)}) for row in rows]
    chart, _ = trajectories(drawn)
    assert str(chart).count("behind") == 8
    assert "No checkpoint is past overfitting onset" in str(chart)


def test_page_of_a_sweep(tmp_path: Path) -> None:
    starts = [each.model_copy(update={"family": HOSTILE if i else ""}) for i, each in enumerate(sweep_result().starts)]
    text = text_of(tmp_path, sweep_result().model_copy(update={"starts": starts}))
    assert "few-s2/step-9" in text
    assert "60.0 % [57.0, 63.0] 1 min 15 s" in text
    counts = [text.count(f"few-s{i}/step-9") for i in range(3)]
    assert counts == [3, 1, 2]  # families are not compared: each has its best, and the picture is of the first


def test_points_that_are_not_joined_have_no_line() -> None:
    points = [Point(1, 0.5, left=0.9, right=1.1), Point(2, 0.7, left=math.nan, right=2.1)]
    chart = str(line_chart([Series("runs", points, joined=False)], title="t", x_label="x", y_label="y"))
    assert 'class="line' not in chart
    assert chart.count('class="mark') == 2
    assert chart.count("m0-3H") == 1


def test_show_prints_tables_and_marks_killed_runs(predicted: Path, tmp_path: Path) -> None:
    shown = show_runs([predicted])
    assert [t.title for t in shown.tables() if "Predictors of RL outcomes" in t.title]
    assert f"{predicted}: Next: {PredictResult.load(predicted).next_action}" in shown.remarks()
    write_record(tmp_path, "rl", "running")
    with_one_that_is_gone = show_runs([predicted, tmp_path / "gone"])
    assert [run.status for run in with_one_that_is_gone.runs][1] == "not there"
    with pytest.raises(UserError, match="gone: no such folder"):
        show_runs([tmp_path / "gone"])
    assert "killed" in show_runs([tmp_path]).tables()[0].rows[0][2]
    from rlready.runs import lock

    lock.lock_folder(tmp_path)
    assert show_runs([tmp_path]).tables()[0].rows[0][2] == "running"
