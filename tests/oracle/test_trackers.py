"""Two runs with the real trackers, read back by their own readers."""

from __future__ import annotations

import inspect
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from trackio.sqlite_storage import SQLiteStorage
from trl import GRPOTrainer
from wandb.proto.wandb_internal_pb2 import Record

from rlready.core.config import RLConfig
from rlready.runs.log import read_log
from rlready.runs.run import Run
from rlready.train.log import EvaluationLog
from rlready.train.trackers import REPORT_TO, TRL_NAMES, StepLog, reported

COMMAND = [
    *("rl", "embedded", "problems=dagmath?ops=2&n=8&seed=1", "validation=dagmath?ops=2&n=2&seed=2", "steps=2"),
    *("eval_every=2", "prompts_per_step=2", "group_size=2", "eval_samples=1", "max_answer_tokens=6", "--out", "rl"),
]


def test_a_run_of_rl_is_in_all_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORT_TO, "tensorboard,trackio,wandb")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # which is read at the import
    command = [sys.executable, "-m", "rlready", *COMMAND]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rackio" not in done.stdout
    logged = [reported(line) for line in read_log(tmp_path / "rl" / "log.jsonl") if "reward" in line]
    rewards = [line["reward"] for line in logged]
    assert len(rewards) == 2

    events = EventAccumulator(str(tmp_path / "tensorboard" / "rl")).Reload()
    assert [event.value for event in events.Scalars("reward")] == pytest.approx(rewards)
    assert [event.step for event in events.Scalars("step_time")] == [1, 2]

    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    history = [item for record in records(file.read_bytes()) for item in record.history.item]
    assert [float(i.value_json) for i in history if "reward" in (i.key, *i.nested_key)] == pytest.approx(rewards)

    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    logs = SQLiteStorage.get_logs("rlready", "rl")
    assert [line["reward"] for line in logs if "reward" in line] == pytest.approx(rewards)


def test_a_writer_of_tensorboard_that_fails_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes in a thread of its own, whose traceback would stand between the lines of the run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(REPORT_TO, "tensorboard")
    hook = threading.excepthook
    with Run(tmp_path / "rl", "rl", RLConfig()) as run:
        run.claim()
        with StepLog(run, 0) as log:
            monkeypatch.setattr(RecordWriter, "write", lambda writer, data: 1 / 0)
            for step in range(1, 200):
                log.write(EvaluationLog(step, 0.5, 0.4, 0.6, 10.0, 12.0, 0.0))
                time.sleep(0.01)
    said = [line for line in capsys.readouterr().err.splitlines() if "tensorboard" in line or "Traceback" in line]
    assert len(said) == 1
    assert "tensorboard gets no more of this run, whose log.jsonl has all: ZeroDivisionError" in said[0]
    assert threading.excepthook is hook


def records(data: bytes) -> Iterator[Record]:
    """The records of a small file of wandb's: a header of 7 bytes, then CRC, length and kind before each."""
    at = 7
    while at < len(data):
        length, kind = struct.unpack("<xxxxHB", data[at : at + 7])
        assert kind == 1  # a whole record, as those of small files are
        yield Record.FromString(data[at + 7 : at + 7 + length])
        at += 7 + length


def test_names_that_are_said_to_be_those_of_trl() -> None:
    source = inspect.getsource(GRPOTrainer)
    for name in {*TRL_NAMES.values(), "entropy", "frac_reward_zero_std", "reward"} - {"eval_loss"}:
        assert f'"{name}"' in source, name
