"""Samples that lie in a table already, ours or anyone's, in the place of a model that draws them.

``TABLE.parquet``, ``.jsonl`` or ``.json``, with options as in a task source: ``TABLE?problem=id&correct=passed``.
A row is a sample; its columns, unless named otherwise:

    problem_id    the problem
    correct       true or false (1 or 0); where it is missing or null the sample is verified by the task, from
    text          the response, with its thought before </think> if it has one, or from
    tokens        its token ids, read with the tokenizer of ``model=CHECKPOINT``
    sample_id     its number; may be missing
    wave          in which wave it was drawn, for samples that stop at a success (`sequential.py`); may be missing.
                  ``planned`` beside it is the most samples a problem could get, else what the most got is taken

``thinking``, ``truncated`` or ``finish``, ``logprobs`` and ``mask`` are used where they are.  ``model`` also gives the
held-out loss, ``name`` what the table is called, ``cap`` keeps the rows of one thinking budget, ``n`` the first n
problems.  Without ``wave`` the number of samples of a problem must not depend on how they came out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlready.errors import UserError
from rlready.lm import LM
from rlready.options import nearest
from rlready.records import Problem
from rlready.rollout import split_text
from rlready.tasks import Task
from rlready.tasks.source import TABLES, Source, fill, options_of
from rlready.tasks.table import Table, read_table

KEPT = ("thinking", "truncated", "finish", "finish_reason", "logprobs", "mask")


@dataclass(frozen=True)
class TableOptions:
    """What a source string can set: names of columns, then which rows, what they are called and whose they are."""

    problem: str = "problem_id"
    correct: str = "correct"
    text: str = "text"
    tokens: str = "tokens"
    sample: str = "sample_id"
    wave: str = "wave"
    cap: int | None = None
    n: int | None = None
    name: str = ""
    model: str = ""


@dataclass(frozen=True)
class Stored:
    """A table of samples.  ``rows`` are as in samples.parquet, ``correct`` None where it is still to be verified."""

    path: str
    options: TableOptions
    table: Table
    lines: list[int]
    rows: list[dict[str, Any]]

    @property
    def problem_ids(self) -> list[str]:
        """In the order of their first appearance."""
        return list(dict.fromkeys(row["problem_id"] for row in self.rows))

    @property
    def unverified(self) -> bool:
        return any(row["correct"] is None for row in self.rows)


def is_table(source: str) -> bool:
    """Whether a checkpoint's name is that of a table of samples."""
    return source.partition("?")[0].endswith(TABLES)


def parse(source: str) -> tuple[str, TableOptions]:
    """Path and options; UserError for an option that is none."""
    path, _, query = source.partition("?")
    return path, fill(Source(source, "samples", path, options_of(source, query)), TableOptions())


def read(source: str) -> Stored:
    """Read a table; UserError with the line for what is no sample, and for a sample that is given twice."""
    path, options = parse(source)
    table = read_table(path)
    if options.problem not in table.rows[0][1]:
        raise UserError(f"{path}: no column {options.problem!r}; {nearest(options.problem, table.rows[0][1])}")
    lines: list[int] = []
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], int] = {}
    many: dict[str, int] = defaultdict(int)
    for line, row in table.rows:
        if options.cap is not None and row.get("cap") != options.cap:
            continue
        problem = _problem(table, line, row, options)
        if options.n is not None and problem not in many and len(many) == options.n:
            continue
        number = row.get(options.sample)
        key = (problem, str(many[problem] if number is None else number))
        if seen.setdefault(key, line) != line:
            raise UserError(
                f"{path}: sample {key[1]} of problem {problem!r} is given twice ({table.lines([seen[key], line])})"
                + (f"; cap={row['cap']} keeps one thinking budget" if row.get("cap") is not None else "")
            )
        many[problem] += 1
        lines.append(line)
        rows.append(
            {"problem_id": problem, "sample_id": key[1], "correct": _verdict(table, line, row.get(options.correct))}
            | {"wave": _whole(table, line, "wave", row.get(options.wave))}
            | {"planned": _whole(table, line, "planned", row.get("planned"))}
            | {"text": row.get(options.text), "tokens": row.get(options.tokens)}
            | {key: row[key] for key in KEPT if row.get(key) is not None}
        )
    if not rows:
        raise UserError(f"{path}: no row has cap = {options.cap}")
    return Stored(path, options, table, lines, rows)


def settle(stored: Stored, task: Task | None, problems: Sequence[Problem], lm: LM | None) -> None:
    """Fill in the verdicts that are missing, by the task.

    UserError for rows with neither verdict nor text nor tokens, and for counts that stopping at a success has biased.
    """
    if stored.unverified and task:
        _verify(stored, task, {problem.id: problem for problem in problems}, lm)
    _refuse_stopped(stored)


def _verify(stored: Stored, task: Task, by_id: Mapping[str, Problem], lm: LM | None) -> None:
    stops = [lm.decode([i]) for i in sorted(lm.stop_ids)] if lm else []
    bare = []
    for line, row in zip(stored.lines, stored.rows, strict=True):
        if row["correct"] is None:
            text = row["text"]
            if text is None and row["tokens"] is not None and lm:
                text = lm.decode(row["tokens"])
            if not isinstance(text, str):
                bare.append(line)
                continue
            for stop in stops:
                text = text.removesuffix(stop)
            row["correct"] = task.verify(by_id[row["problem_id"]], *split_text(text)).correct
    mend = "name its column with correct=COLUMN or text=COLUMN; for tokens name model=CHECKPOINT, whose they are"
    stored.table.refuse(bare, "a verdict, and without text to verify", mend)


def _problem(table: Table, line: int, row: Mapping[str, Any], options: TableOptions) -> str:
    value = row.get(options.problem)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UserError(f"{table.place(line)}: {options.problem} must be text or a whole number, not {value!r}")
    return str(value)


def _verdict(table: Table, line: int, value: Any) -> bool | None:
    if value is None or (isinstance(value, bool | int | float) and value in (0, 1)):
        return None if value is None else bool(value)
    raise UserError(f"{table.place(line)}: correct must be true or false, 1 or 0, not {str(value)[:40]!r}")


def _whole(table: Table, line: int, name: str, value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**6:
        raise UserError(f"{table.place(line)}: {name} must be a whole number from 0, not {str(value)[:40]!r}")
    return value


def _refuse_stopped(stored: Stored) -> None:
    """UserError where, without waves, every problem with fewer samples than the most ends in its only success."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for row in stored.rows:
        outcomes[row["problem_id"]].append(row["correct"])
    most = max(map(len, outcomes.values()))
    short = [each for each in outcomes.values() if len(each) < most]
    waved = any(row["wave"] or row["planned"] for row in stored.rows)
    if short and not waved and all(each[-1] and sum(each) == 1 for each in short):
        raise UserError(
            f"{stored.path}: sampling seems to have stopped at the first success ({len(short)} of {len(outcomes)} "
            "problems have fewer samples and end in their only right one), which biases counts; add the column wave, "
            "or draw all"
        )
