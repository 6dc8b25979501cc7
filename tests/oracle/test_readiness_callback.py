"""Readiness at every save of TRL's trainer: run folders that predict ranks, and the same training as without."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from trained_with_readiness import SMALL, STEPS, Careless, train

import rlready
from rlready import ReadinessCallback, ReadinessResult, UserError
from rlready.runs.files import read_table
from rlready.runs.record import RunRecord

CARELESS = "trained_with_readiness:Careless"


def folders(output: Path) -> list[Path]:
    return [output / "readiness" / f"step-{step}" for step in range(1, STEPS + 1)]


def test_training_is_the_same_and_every_checkpoint_is_ranked(tmp_path: Path) -> None:
    """Also the checkpoints that ``save_total_limit`` has deleted."""
    plain, following = train(tmp_path / "a"), (random.random(), np.random.rand())
    measured = train(tmp_path / "b", ReadinessCallback(CARELESS, **SMALL))
    assert (random.random(), np.random.rand()) == following
    for one, other in zip(plain.model.parameters(), measured.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not (tmp_path / "a" / "readiness").exists()
    assert sorted((tmp_path / "b" / "readiness").iterdir()) == folders(tmp_path / "b")
    assert all((folder / "report.html").is_file() for folder in folders(tmp_path / "b"))

    ranked = rlready.predict(runs=folders(tmp_path / "b"), out=tmp_path / "predict", splits=10, resamples=50)
    assert {Path(each.name).name for each in ranked.checkpoints} == {f"checkpoint-{n + 1}" for n in range(STEPS)}

    last = tmp_path / "b" / f"checkpoint-{STEPS}"
    rlready.readiness(checkpoints=[last], problems=CARELESS, out=tmp_path / "r", **SMALL)
    drawn = [read_table(each / "parts" / "0.parquet") for each in (tmp_path / "r", *folders(tmp_path / "b")[1:])]
    by_command, second, third = ([row["tokens"] for row in rows] for rows in drawn)
    assert by_command == third != second  # the samples of the weights that were saved


def test_training_that_is_resumed_goes_on_with_its_measurements(tmp_path: Path) -> None:
    """And another training in the same folder is refused before its first step."""
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps({"prompt": "1+1?", "answer": "2"}))
    train(tmp_path, ReadinessCallback(path, **SMALL), keep=None)
    first = [ReadinessResult.load(folder) for folder in folders(tmp_path)]
    with pytest.raises(UserError, match="readiness holds measurements of an earlier training"):
        train(tmp_path, ReadinessCallback(path, **SMALL))
    train(tmp_path, ReadinessCallback(path, **SMALL), keep=None, resume=tmp_path / "checkpoint-1")
    assert [bool(RunRecord.load(folder).overwritten) for folder in folders(tmp_path)] == [False, True, True]
    assert [ReadinessResult.load(folder) for folder in folders(tmp_path)] == first
    broken_off = folders(tmp_path)[0]
    (broken_off / "result.json").unlink()  # as if the process was killed while it measured
    train(tmp_path, ReadinessCallback(path, **SMALL), keep=None, resume=tmp_path / "checkpoint-1")
    assert ReadinessResult.load(broken_off) == first[0]


def test_a_measurement_that_fails_does_not_end_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps({"prompt": "1+1?", "answer": "2"}))
    callback = ReadinessCallback(path, **SMALL)
    path.unlink()
    assert train(tmp_path / "gone", callback).state.global_step == STEPS
    said = [line for line in capsys.readouterr().err.splitlines() if "training goes on" in line]
    assert len(said) == STEPS
    assert f"checkpoint-1 was not measured, and training goes on: {path}: " in said[0]

    callback = ReadinessCallback(CARELESS, **SMALL)
    monkeypatch.setattr(Careless, "problems", lambda self: 1 / 0)
    assert train(tmp_path / "defect", callback).state.global_step == STEPS
    said = capsys.readouterr().err.splitlines()
    assert said.count("ZeroDivisionError: division by zero") == STEPS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems": "missing.jsonl"}, "missing.jsonl"),
        ({"problems": CARELESS, "heldout": "missing.jsonl"}, "missing.jsonl"),
        ({"problems": CARELESS, "sampels": 3}, "did you mean samples"),
        ({"problems": CARELESS, "checkpoints": ["a"]}, "leave out checkpoints"),
        ({"problems": None}, "needs problems to measure"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReadinessCallback(**settings)  # type: ignore[arg-type]


def test_one_of_two_processes_measures(tmp_path: Path) -> None:
    words = ["--standalone", "--nproc-per-node", "2", str(Path(__file__).with_name("trained_with_readiness.py"))]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("readiness: up to") == STEPS
    assert "training goes on" not in done.stderr
    for folder in folders(tmp_path):
        assert len(ReadinessResult.load(folder).checkpoints) == 1
        assert len(RunRecord.load(folder).all_attempts) == 1
        assert RunRecord.load(folder).processes == 1


def test_measurements_of_two_callbacks_or_of_another_training_do_not_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps({"prompt": "1+1?", "answer": "2"}))
    train(tmp_path / "a", ReadinessCallback(path, **SMALL), ReadinessCallback(CARELESS, **SMALL), keep=None)
    said = [line for line in capsys.readouterr().err.splitlines() if "by another ReadinessCallback: use one" in line]
    assert len(said) == STEPS
    for folder in folders(tmp_path / "a"):
        assert RunRecord.load(folder).config["problems"] == str(path)
        assert not RunRecord.load(folder).overwritten
    state = tmp_path / "a" / "checkpoint-1" / "trainer_state.json"
    other = tmp_path / "other"
    shutil.copytree(state.parent, other)
    logged = json.loads(state.read_text())
    logged["log_history"] = [{"step": 1, "loss": 9.0}]
    (other / "trainer_state.json").write_text(json.dumps(logged))
    with pytest.raises(UserError, match="checkpoint-1 is of another training than the one that is resumed"):
        train(tmp_path / "a", ReadinessCallback(path, **SMALL), keep=None, resume=other)
