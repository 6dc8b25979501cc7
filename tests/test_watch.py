"""``rlready watch``: what it reads of runs that are still running, and what it warns of."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest

from measured import write_record
from rlready.cli.main import main
from rlready.cli.watch import watch
from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.core.tables import tables_as_text
from rlready.report.alerts import alerts
from rlready.report.logs import LogLine
from rlready.report.snapshot import Tail, snapshot
from rlready.report.watch_result import drawn
from rlready.runs.files import read_json, write_json
from rlready.runs.log import append_line, read_log
from rlready.runs.run import Run


def line(step: int, **values: float) -> dict[str, float]:
    common = {"step": step, "seconds": 2.0, "generated_tokens": 100, "thinking_tokens": 40.0, "entropy": 0.5}
    groups = {"groups_informative": 6, "groups_solved": 1, "groups_unsolved": 1, "groups_equal": 0}
    return common | groups | {"reward": 0.3, "accuracy": 0.3, "truncated": 0.0} | values


def log_of(last: dict[str, float], first: dict[str, float] | None = None) -> list[LogLine]:
    """Twelve steps as usual, or with ``first``, then twelve with ``last``."""
    lines = [line(step, **(first or {})) for step in range(1, 13)] + [line(step, **last) for step in range(13, 25)]
    return [LogLine(**each) for each in lines]


def test_a_log_as_it_should_be_gives_no_alert() -> None:
    assert alerts(log_of({})) == []
    assert alerts([]) == []


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"groups_informative": 0, "groups_solved": 8}, "No signal: in 0% of groups"),
        ({"entropy": 0.1}, "Entropy collapsed from 0.500 to 0.100"),
        ({"thinking_tokens": 60.0}, "Length went from 40.0 to 60.0 tokens"),
        ({"thinking_tokens": 0.0, "response_tokens": 40.0}, "Length went from 40.0 to 0.0 tokens"),
        ({"truncated": 0.5}, "50% of rollouts reach a limit"),
        ({"mismatch": 0.06}, "differ by 0.06 nats"),
        ({"loss": 2e5}, "The loss is 2e+05 in size"),
    ],
)
def test_each_alert_needs_its_cause(last: dict[str, float], words: str) -> None:
    assert [words in alert for alert in alerts(log_of(last))] == [True]


def test_few_steps_are_no_reason_for_an_alert() -> None:
    assert alerts(log_of({"groups_informative": 0, "groups_solved": 8})[12:20]) == []


def test_a_log_is_read_on_and_again_where_it_was_cut(tmp_path: Path) -> None:
    """A line that is being written waits until it is whole; one that is no line of a log is left out."""
    path = tmp_path / "log.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    append_line(path, line(1))
    with path.open("a") as file:
        file.write('not JSON\n{"step": 2')
    assert [each.step for each in tail.read()] == [1]
    with path.open("a") as file:
        file.write("}\n" + json.dumps({"step": 3}) + "\n")
    assert [each.step for each in tail.read()] == [1, 2, 3]
    assert tail.unread == 1
    path.write_text(json.dumps({"step": 1}) + "\n")
    assert [each.step for each in tail.read()] == [1]
    assert tail.unread == 0


def test_a_damaged_log_is_said_and_a_huge_one_not_read(tmp_path: Path) -> None:
    write_record(tmp_path, "rl", "running")
    append_line(tmp_path / "log.jsonl", line(1))
    assert snapshot(tmp_path, {}).alerts == []
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": "two"}\n')
    said = "log.jsonl is damaged: lines that cannot be read are left out (1)"
    assert snapshot(tmp_path, {}).alerts == [said]
    os.truncate(tmp_path / "log.jsonl", 1 << 29)  # takes no room
    found = snapshot(tmp_path, {})
    assert (found.step, found.alerts) == (None, [said])
    write_record(tmp_path / "sweep", "sweep", "running")
    append_line(tmp_path / "sweep" / "log.jsonl", {"key": "sft/one", "problem": "", "seconds": 1.0})
    assert snapshot(tmp_path / "sweep", {}).alerts == []  # its log has no steps


def test_a_run_that_is_running_and_one_that_was_killed(tmp_path: Path) -> None:
    """Progress and time left of the first; with its lock gone, the same folder is that of a killed run."""
    folder = tmp_path / "rl"
    with Run(folder, "rl", RLConfig(steps=40)) as run:
        run.claim()
        for step in range(1, 11):
            append_line(folder / "log.jsonl", line(step, reward=step / 10))
        found = snapshot(folder, {})
        assert (found.status, found.step, found.done) == ("running", 10, 0.25)
        assert found.seconds_left == pytest.approx(60.0)
        assert found.tokens_per_second == pytest.approx(50.0)
        reward = next(curve for curve in found.curves if curve.name == "reward")
        assert (reward.drawing[0], reward.drawing[-1]) == ("▁", "█")
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(record | {"status": "running"}))
    killed = snapshot(folder, {})
    assert (killed.status, killed.seconds_left) == ("killed", None)


def test_a_folder_stands_for_the_runs_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        with Run(tmp_path / name, "rl", RLConfig()) as run:
            run.claim()
            append_line(tmp_path / name / "log.jsonl", line(1))
    (tmp_path / "b").rename(tmp_path / "b\x1b[2J")
    (tmp_path / "a/record.json").write_text("{")
    found = watch([tmp_path, tmp_path / "a"])
    assert [run.status for run in found.runs].count("not readable") == 1
    assert len(found.runs) == 2
    assert main(["watch", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "2 runs" in shown
    assert "\x1b" not in shown
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="not a run folder"):
        watch([empty])
    with pytest.raises(UserError, match="no such folder"):
        watch([tmp_path / "none"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_watches_until_the_last_run_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[int]()
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)

    with Run(tmp_path / "rl", "rl", RLConfig(steps=4)) as run:
        run.claim()

        def later(seconds: float) -> None:
            looks.append(len(looks) + 1)
            append_line(tmp_path / "rl/log.jsonl", line(looks[-1], reward=0.123))
            if len(looks) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(time, "sleep", later)
        found = watch([tmp_path / "rl"])
    assert looks == [1, 2, 3]
    assert found.runs[0].step == 2
    assert "0.123" in screen.getvalue()
    assert watch([tmp_path / "rl"]).runs[0].status != "running"


def test_drawings() -> None:
    assert drawn([1.0, 1.0]) == "▁▁"
    assert drawn([0.0, 0.5, 1.0]) in ("▁▄█", "▁▅█")
    assert len(drawn([float(n) for n in range(1000)])) <= 24


@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
def test_a_log_that_is_no_regular_file_is_not_read(tmp_path: Path, kind: str) -> None:
    log, elsewhere = tmp_path / "log.jsonl", tmp_path / "elsewhere"
    elsewhere.write_text(json.dumps(line(1)) + "\n")
    if kind == "pipe":
        os.mkfifo(log)
    else:
        log.symlink_to("/dev/zero" if kind == "device" else elsewhere)
    assert Tail(log).read() == []
    with pytest.raises(UserError, match=r"log\.jsonl"):
        read_log(log)


def test_a_record_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "record.json")
    (run,) = watch([tmp_path]).runs
    assert "not a regular file" in run.alerts[0]


@pytest.mark.parametrize(
    "values",
    [
        {"reward": 1e308, "seconds": 1e308},
        {"seconds": 5e-324},
        {"generated_tokens": 10**400},
        {"step": 10**400},
        {"epoch": 1.0},
    ],
)
def test_numbers_of_any_size_are_shown(tmp_path: Path, values: dict[str, float]) -> None:
    """With settings that are as large."""
    with Run(tmp_path, "rl", RLConfig(steps=4)) as run:
        run.claim()
        record = read_json(run.out / "record.json")
        write_json(run.out / "record.json", record | {"config": record["config"] | {"epochs": 10**400}})
        for step in range(1, 15):
            append_line(run.out / "log.jsonl", line(step) | values)
        (found,) = watch([tmp_path]).runs
        assert found.verb == "rl"
        assert tables_as_text(watch([tmp_path]).tables())
