"""What trackers are told of a run; those that exist are tried in tests/oracle."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.runs.files import plain
from rlready.runs.log import read_log
from rlready.runs.run import Run
from rlready.train import trackers
from rlready.train.log import EvaluationLog, HeldoutLog
from rlready.train.rl import rl
from rlready.train.sft import sft
from rlready.train.trackers import REPORT_TO, StepLog, reported, run_name


class Told:
    """A tracker that keeps what it is told, and breaks at step 3."""

    def __init__(self, run: Run, begun: int) -> None:
        print("hello")
        self.lines: list[tuple[int, dict[str, float]]] = [(begun, {"steps": plain(run.config)["steps"]})]
        self.closed = False
        made.append(self)

    def log(self, values: Mapping[str, float], step: int) -> None:
        if step == 3:
            raise ValueError("full")
        self.lines.append((step, dict(values)))

    def close(self) -> None:
        self.closed = True


made: list[Told] = []
LINE = EvaluationLog(2, 0.5, 0.4, 0.6, 10.0, 12.0, 0.0)


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trackers.TRACKERS, "told", Told)
    monkeypatch.setenv(REPORT_TO, "told")
    made.clear()


def write(out: Path, *lines: EvaluationLog | HeldoutLog) -> None:
    with Run(out, "rl", RLConfig(steps=7)) as run:
        run.claim()
        with StepLog(run, 1) as log:
            for line in lines:
                log.write(line)


def test_a_tracker_gets_the_lines_of_the_log_and_is_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, LINE)
    assert made[0].lines == [(1, {"steps": 7}), (2, reported(read_log(tmp_path / "log.jsonl")[0]))]
    assert made[0].closed
    assert not capsys.readouterr().out


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, LINE, HeldoutLog(3, 0.1, 1.0, 0.9, 1.1, "step-3"), EvaluationLog(4, 0.5, 0.4, 0.6, 10.0, 12.0, 0.0))
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [2, 3, 4]
    assert [step for step, _ in made[0].lines] == [1, 2]
    assert "told gets no more of this run, whose log.jsonl has all: ValueError: full" in capsys.readouterr().err


def test_names_are_those_of_trl_where_it_logs_the_same() -> None:
    line = {"step": 3, "reward": 0.5, "seconds": 0.25, "checkpoint": "step-3", "entropy": None, "loss": float("nan")}
    groups = {"groups_informative": 3, "groups_solved": 1, "groups_unsolved": 2, "groups_equal": 2}
    assert reported(line | groups) == {
        "reward": 0.5,
        "step_time": 0.25,
        "frac_reward_zero_std": 0.625,
        **{name: float(count) for name, count in groups.items()},
    }


def test_none_is_no_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORT_TO, "none")
    write(tmp_path, LINE)
    assert not made


def test_a_tracker_that_cannot_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run, begun: int) -> Told:
        raise RuntimeError("no\nkey")

    monkeypatch.setitem(trackers.TRACKERS, "told", refuse)
    with pytest.raises(UserError, match=r"RLREADY_REPORT_TO=told: cannot be started: no key$"):
        write(tmp_path, LINE)


@pytest.mark.parametrize(
    ("out", "name"), [("runs/rl", "runs/rl"), (".hid/run", ".hid/run"), ("../b", "b-"), (".", "w-")]
)
def test_a_run_is_named_by_its_path_here(out: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").mkdir()
    monkeypatch.chdir(tmp_path / "w")
    assert re.fullmatch(f"{re.escape(name)}([0-9a-f]{{6}})?", run_name(Path(out)))
    assert run_name(Path("../a/rl")) != run_name(Path("../b/rl"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandbb", "no such tracker; did you mean wandb"),
        ("trackio", r"not installed; pip install 'rlready\[trackio\]'"),
    ],
)
def test_a_tracker_that_cannot_be_used(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REPORT_TO, f"told, {name}")
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    with pytest.raises(UserError, match=message):
        write(tmp_path)
    assert all(each.closed for each in made)  # those that were started before


def test_an_unknown_tracker_is_said_before_the_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPORT_TO, "wandbb")
    for verb, config in ((sft, SFTConfig()), (rl, RLConfig())):
        with pytest.raises(UserError, match="RLREADY_REPORT_TO=wandbb: no such tracker"):
            verb(config, tmp_path / "out")
        assert not (tmp_path / "out").exists()
