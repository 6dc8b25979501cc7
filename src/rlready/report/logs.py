"""The lines of ``log.jsonl`` as charts read them, and curves of them.

A log may hold nulls and, after a resume, a step twice: null is left out, the later line wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import ConfigDict, Field

from rlready.core.result import Record
from rlready.report.plots import Point

MOST_LINE_POINTS = 200
LARGEST = 1e100  # so that sums and shares of values are finite; no run has any as large
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Value = Callable[["LogLine"], float | None]


class LogLine(Record):
    """A line of SFT or of RL, of which each has some of these; see ``train/log.py``.  Other keys are not read."""

    model_config = ConfigDict(extra="ignore")

    step: Count
    epoch: Number | None = None
    seconds: Number | None = None
    loss: Number | None = None
    tokens: Count | None = None
    heldout_loss: Number | None = None
    heldout_low: Number | None = None
    heldout_high: Number | None = None
    reward: Number | None = None
    accuracy: Number | None = None
    thinking_tokens_correct: Number | None = None
    thinking_tokens_wrong: Number | None = None
    thinking_tokens: Number | None = None
    response_tokens: Number | None = None
    generated_tokens: Count | None = None
    truncated: Number | None = None
    entropy: Number | None = None
    mismatch: Number | None = None
    groups_informative: Count | None = None
    groups_solved: Count = 0
    groups_unsolved: Count = 0
    groups_equal: Count = 0
    eval_accuracy: Number | None = None
    eval_low: Number | None = None
    eval_high: Number | None = None
    eval_thinking_tokens: Number | None = None
    eval_response_tokens: Number | None = None

    @property
    def informative(self) -> float | None:
        """The share of informative groups among all groups of the step; None for a line without groups."""
        return self.share(self.groups_informative)

    def share(self, groups: int | None) -> float | None:
        """Of all groups of the step; None for a line without groups."""
        total = (self.groups_informative or 0) + self.groups_solved + self.groups_unsolved + self.groups_equal
        return None if self.groups_informative is None or groups is None or total <= 0 else groups / total


Log = Sequence[LogLine]


def along(log: Log, value: Value) -> list[tuple[LogLine, float]]:
    """The lines that have this value, with it, by step."""
    found = {line.step: (line, known) for line in log if (known := value(line)) is not None}
    return [found[step] for step in sorted(found)]


def smooth(log: Log, value: Value) -> list[Point]:
    """A curve of at most 200 points, each the mean of ``averaged`` neighbouring lines."""
    raw, every = along(log, value), averaged(log, value)
    bins = [raw[i : i + every] for i in range(0, len(raw), every)]
    return [Point(b[len(b) // 2][0].step, math.fsum(v for _, v in b) / len(b)) for b in bins]


def averaged(log: Log, value: Value) -> int:
    """Over how many lines a point of `smooth` is a mean."""
    return max(1, math.ceil(len(along(log, value)) / MOST_LINE_POINTS))
