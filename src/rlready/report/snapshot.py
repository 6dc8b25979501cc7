"""Runs as they are now, finished or not: how far, how fast, their curves, and what looks wrong; they are only read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue, ValidationError

from rlready.core.cells import DASH
from rlready.core.errors import UserError
from rlready.core.regular import opened
from rlready.core.result import RESULT
from rlready.report.alerts import STEPS, alerts
from rlready.report.logs import LARGEST, LogLine, Value, along
from rlready.report.watch_result import Curve, WatchedRun, drawn
from rlready.runs.folders import folders_of_runs, status_of
from rlready.runs.log import LARGEST as LARGEST_LOG
from rlready.runs.log import LOG
from rlready.runs.record import DONE, RUNNING, RunRecord

CURVES: dict[str, tuple[str, Value]] = {
    "training loss": ("", lambda line: line.loss if line.informative is None else None),
    "held-out loss": ("", lambda line: line.heldout_loss),
    "reward": ("", lambda line: line.reward),
    "accuracy of rollouts": ("%", lambda line: line.accuracy),
    "validation accuracy": ("%", lambda line: line.eval_accuracy),
    "thinking tokens": ("", lambda line: line.thinking_tokens),
    "response tokens": ("", lambda line: line.response_tokens),
    "truncated": ("%", lambda line: line.truncated),
    "informative groups": ("%", lambda line: line.informative),
    "entropy": ("", lambda line: line.entropy),
    "mismatch": ("", lambda line: line.mismatch),
}

TRAINING = ("sft", "rl")  # verbs whose logs have steps


@dataclass
class Tail:
    """A log that is read on as it grows, and again from its start where a continued run has cut it."""

    path: Path
    lines: list[LogLine] = field(default_factory=list)
    at: int = 0
    unread: int = 0

    def read(self) -> list[LogLine]:
        """All whole lines so far; lines that cannot be read are counted, and a log that is no regular file is left out.

        So is one that is larger than those that are read elsewhere, which no run writes.
        """
        with suppress(OSError), opened(self.path) as file:
            size = file.seek(0, 2)
            if size < self.at:
                self.lines, self.at, self.unread = [], 0, 0
            if size > LARGEST_LOG:
                self.lines, self.unread = [], 1
                return []
            file.seek(self.at)
            *whole, _ = file.read().split(b"\n")
            self.at += sum(len(line) + 1 for line in whole)
            for line in whole:
                try:
                    self.lines.append(LogLine.model_validate_json(line, strict=True))
                except ValidationError:
                    self.unread += 1
        return self.lines


def snapshots(paths: Sequence[Path], tails: dict[Path, Tail]) -> list[WatchedRun]:
    """The runs in ``paths`` and within them, each once; UserError for a folder that holds no run."""
    folders = dict.fromkeys(folder for path in paths for folder in folders_of_runs(path))
    return [snapshot(folder, tails) for folder in folders]


def snapshot(folder: Path, tails: dict[Path, Tail]) -> WatchedRun:
    """A run as it is now."""
    try:
        record = RunRecord.load(folder)
    except UserError as error:
        return WatchedRun(folder=str(folder), verb=DASH, status="not readable", alerts=[str(error)])
    tail = tails.setdefault(folder, Tail(folder / LOG))
    log = tail.read()
    unread = tail.unread if record.verb in TRAINING else 0  # the log of a sweep has no steps
    damaged = [f"{LOG} is damaged: lines that cannot be read are left out ({unread})"] if unread else []
    status = status_of(folder, record)
    lost = [f"{RESULT} is missing"] if status == DONE and not (folder / RESULT).is_file() else []
    steps = [line for line in log if line.seconds is not None]
    done = _share_done(record.config, steps[-1]) if steps else None
    spent = math.fsum(line.seconds or 0.0 for line in steps[-STEPS:])
    tokens = sum(line.generated_tokens or line.tokens or 0 for line in steps[-STEPS:])
    pace = spent / len(steps[-STEPS:]) if steps else None
    return WatchedRun(
        folder=str(folder),
        verb=record.verb,
        status=status,
        step=steps[-1].step if steps else None,
        done=done,
        seconds_left=_finite(pace * steps[-1].step * (1 - done) / done)
        if status == RUNNING and pace and done
        else None,
        tokens_per_second=_finite(tokens / spent) if spent else None,
        curves=list(_curves(log)),
        alerts=[*damaged, *lost, *alerts(log)],
    )


def _share_done(config: dict[str, JsonValue], last: LogLine) -> float | None:
    """The share of the steps of RL, or of the epochs of SFT."""
    now, whole = (last.step, config.get("steps")) if last.epoch is None else (last.epoch, config.get("epochs"))
    return min(1.0, now / whole) if isinstance(whole, int | float) and 0 < whole < LARGEST else None


def _finite(value: float) -> float | None:
    """The value, or None where the numbers in a log lead to none."""
    return value if abs(value) < LARGEST else None


def _curves(log: list[LogLine]) -> Iterator[Curve]:
    for name, (unit, value) in CURVES.items():
        values = [known for _, known in along(log, value)]
        if values and any(values):
            some = min(STEPS, max(1, len(values) // 2))  # none is among the first and the last
            ends = (values[:some], values[-some:])
            first, last = (math.fsum(end) / len(end) for end in ends)
            yield Curve(name=name, unit=unit, first=first, last=last, drawing=drawn(values))
