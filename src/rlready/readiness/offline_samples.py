"""Stored samples instead of a model that draws them: what is kept of a table, and how it is verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.models.chat import CLOSE, KNOWN
from rlready.readiness.sample_stats import Draws
from rlready.tasks import Task, verify_all
from rlready.tasks.table import Origin
from rlready.tasks.turns import split_sample

if TYPE_CHECKING:
    from rlready.models.lm import LM


@dataclass(frozen=True)
class TableOptions:
    """The options of a source string: column names, the rows to keep, the name of the table and its model."""

    problem: str = "problem_id"
    correct: str = "correct"
    text: str = "text"
    tokens: str = "tokens"
    sample: str = "sample_id"
    wave: str = "wave"
    thinking_budget: int | None = None
    filter: str = ""
    n: int | None = None
    name: str = ""
    model: str = ""


@dataclass(frozen=True)
class Pending:
    """A sample that is still to be verified: number ``at`` of the table, from 0."""

    at: int
    line: int
    problem_id: str
    text: str | None
    tokens: list[int] | None


@dataclass(frozen=True)
class Stored:
    """A table of samples; ``draws.correct`` is false for those that are ``pending``.

    ``problem_ids`` are in the order of first appearance, and ``draws.problem`` indexes them; ``total`` counts the rows
    of the file.
    """

    path: str
    options: TableOptions
    origin: Origin
    total: int
    problem_ids: list[str]
    draws: Draws
    pending: list[Pending]

    @property
    def unverified(self) -> bool:
        return bool(self.pending)

    @property
    def first_unverified(self) -> str:
        """The location of the first unverified row; empty if all rows are verified."""
        return self.origin.place(self.pending[0].line) if self.pending else ""


def verify_pending(stored: Stored, task: Task | None, problems: Sequence[Problem], lm: LM | None) -> int:
    """Verify the samples that are not yet marked right or wrong, by the task; returns how many stay undecided.

    Raises UserError for rows without ``correct``, text and tokens, and for counts that are biased by early stopping.
    """
    undecided = 0
    if stored.unverified and task:
        undecided = _verify(stored, task, {problem.id: problem for problem in problems}, lm)
    _refuse_stopped(stored)
    return undecided


def _verify(stored: Stored, task: Task, by_id: Mapping[str, Problem], lm: LM | None) -> int:
    pairs, close = ([(lm.open, lm.close), *KNOWN], lm.close) if lm else (KNOWN, CLOSE)
    bare, unread, asked = [], [], []
    for sample in stored.pending:
        text = sample.text
        if text is None and sample.tokens is not None and lm:
            if strange := [t for t in sample.tokens if not 0 <= t < lm.vocabulary]:
                place = stored.origin.place(sample.line)
                raise UserError(f"{place}: token {strange[0]} is none of the {lm.vocabulary} of {lm.source}")
            text = lm.decode(sample.tokens)
        if text is None:
            bare.append(sample.line)
            continue
        for stop in lm.stop_texts if lm else ():
            text = text.removesuffix(stop)
        unread.append(sample.at)
        asked.append((by_id[sample.problem_id], split_sample(text, close, pairs)))
    refuse_unverifiable(stored.origin, bare, stored.total)
    verdicts = verify_all(task, asked)
    stored.draws.correct[unread] = [verdict.correct for verdict in verdicts]
    return sum(verdict.undecided for verdict in verdicts)


def refuse_unverifiable(origin: Origin, lines: Sequence[int], total: int) -> None:
    """UserError if there are rows without ``correct`` that have no text to verify either."""
    fix = "name its column with correct=COLUMN or text=COLUMN; for tokens name model=CHECKPOINT, whose they are"
    origin.refuse_some(lines, total, "a verdict, and without text to verify", fix)


def _refuse_stopped(stored: Stored) -> None:
    """Raise UserError for stopping at successes without waves: each shorter problem ends in its only success."""
    draws = stored.draws
    drawn_P = np.bincount(draws.problem, minlength=draws.problems)
    right_P = np.bincount(draws.problem[draws.correct], minlength=draws.problems)
    last_P = np.zeros(draws.problems, dtype=np.int64)
    np.maximum.at(last_P, draws.problem, np.arange(len(draws.problem)))
    short = drawn_P < drawn_P.max()
    waved = bool(draws.planned) or bool(draws.wave.any())
    if short.any() and not waved and (draws.correct[last_P] & (right_P == 1))[short].all():
        raise UserError(
            f"{stored.path}: sampling seems to have stopped at the first success ({int(short.sum())} of {len(short)} "
            "problems have fewer samples and end in their only right one), which biases counts; add the column wave, "
            "or draw all"
        )
