"""The lines of ``log.jsonl`` as charts read them, and curves of them.

A log may hold nulls and, after a resume, a step twice: null is left out, the later line wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pydantic import ConfigDict, FiniteFloat

from rlready.core.result import Record
from rlready.report.plots import Point

MOST_LINE_POINTS = 200
Value = Callable[["LogLine"], float | None]


class LogLine(Record):
    """A line of SFT or of RL, of which each has some of these; see ``train/log.py``.  Other keys are not read."""

    model_config = ConfigDict(extra="ignore")

    step: int
    epoch: FiniteFloat | None = None
    seconds: FiniteFloat | None = None
    loss: FiniteFloat | None = None
    tokens: int | None = None
    heldout_loss: FiniteFloat | None = None
    heldout_low: FiniteFloat | None = None
    heldout_high: FiniteFloat | None = None
    reward: FiniteFloat | None = None
    accuracy: FiniteFloat | None = None
    thinking_tokens_correct: FiniteFloat | None = None
    thinking_tokens_wrong: FiniteFloat | None = None
    thinking_tokens: FiniteFloat | None = None
    response_tokens: FiniteFloat | None = None
    generated_tokens: int | None = None
    truncated: FiniteFloat | None = None
    entropy: FiniteFloat | None = None
    mismatch: FiniteFloat | None = None
    groups_informative: int | None = None
    groups_solved: int = 0
    groups_unsolved: int = 0
    groups_equal: int = 0
    eval_accuracy: FiniteFloat | None = None
    eval_low: FiniteFloat | None = None
    eval_high: FiniteFloat | None = None
    eval_thinking_tokens: FiniteFloat | None = None
    eval_response_tokens: FiniteFloat | None = None

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
