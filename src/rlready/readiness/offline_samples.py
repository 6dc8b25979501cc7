"""Samples that lie in a table already, ours or anyone's, in the place of a model that draws them.

``TABLE.parquet``, ``.jsonl`` or ``.json``, with options as in a task source: ``TABLE?problem=id&correct=passed``.
A row is a sample; its columns, unless named otherwise, with dots for one inside another:

    problem_id    the problem: its name, or its prompt, also as a list of turns (then problems= wants ``id=prompt``)
    correct       true or false (1 or 0); where it is missing or null the sample is verified by the task, from
    text          the response, also as a list of turns; a thought at its beginning, between ``<think>`` and
                  ``</think>`` or other delimiters (`chat.KNOWN`, and the model's), is no answer; or from
    tokens        its token ids, read with the tokenizer of ``model=CHECKPOINT``
    sample_id     its number; may be missing
    wave          in which wave it was drawn, for samples that stop at a success (`sequential.py`); may be missing.
                  ``planned`` beside it is the most samples a problem could get, else what the most got is taken

``thinking``, ``truncated`` or ``finish``, ``logprobs`` and ``mask`` are used where they are.  ``model`` also gives the
held-out loss, ``name`` what the table is called, ``cap`` keeps the rows of one thinking budget, ``filter`` those of
one filter, ``n`` the first n problems.  Without ``wave`` the number of samples of a problem must not depend on how
they came out.

lm-eval's ``--log_samples`` has ``doc_id`` and ``resps`` for problem and text, all repeats of a problem in one row, and
that row once for every filter: one filter must be chosen, and where there are repeats, the task verifies them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlready.core.errors import UserError
from rlready.core.options import nearest
from rlready.core.records import Problem
from rlready.engine.rollout import verify_all
from rlready.models.chat import CLOSE, KNOWN, OPEN
from rlready.models.lm import LM
from rlready.tasks import Task
from rlready.tasks.source import TABLES, Source, fill, options_of
from rlready.tasks.table import Table, has, read_table, value_of
from rlready.tasks.turns import read_turns, split_sample

NUMBERS, FINISH, LISTS = ("thinking", "truncated"), ("finish", "finish_reason"), ("tokens", "logprobs", "mask")
COLUMNS = ("problem", "correct", "text", "tokens", "sample", "wave")


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
    filter: str = ""
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

    @property
    def first_unverified(self) -> str:
        """Where the first row without a verdict stands; empty if all have one."""
        bare = (line for line, row in zip(self.lines, self.rows, strict=True) if row["correct"] is None)
        return next(map(self.table.place, bare), "")


def is_table(source: str) -> bool:
    """Whether a checkpoint's name is that of a table of samples."""
    return source.partition("?")[0].endswith(TABLES)


def parse(source: str) -> tuple[str, TableOptions]:
    """Path and options; UserError for an option that is none."""
    path, _, query = source.partition("?")
    return path, fill(Source(source, "samples", path, options_of(source, query)), TableOptions())


def read(source: str) -> Stored:
    """Read a table; UserError with the line for what is no sample, and for a sample that is given twice."""
    path, given = parse(source)
    table = read_table(path)
    options = _columns(table, given)
    lines: list[int] = []
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], int] = {}
    many: dict[str, int] = defaultdict(int)
    for line, row in _kept(table, options):
        problem = _problem(table, line, row, options)
        if options.n is not None and problem not in many and len(many) == options.n:
            continue
        samples = _samples(table, line, row, options)
        number = table.id(line, row, options.sample)
        for at, sample in enumerate(samples):
            name = str(many[problem]) if number is None else number if len(samples) == 1 else f"{number}-{at}"
            if seen.setdefault((problem, name), line) != line:
                both = table.lines([seen[problem, name], line])
                fix = f"; cap={row['cap']} keeps one thinking budget" if row.get("cap") is not None else ""
                raise UserError(f"{path}: sample {name} of problem {problem!r} is given twice ({both}){fix}")
            many[problem] += 1
            lines.append(line)
            rows.append({"problem_id": problem, "sample_id": name} | sample)
    keys = ("correct", "text", "tokens")
    _refuse_bare(table, [n for n, row in zip(lines, rows, strict=True) if all(row[key] is None for key in keys)])
    if not any(has(row, options.sample) for _, row in table.rows):
        _refuse_judged_twice(table, lines, rows)
    return Stored(path, options, table, lines, rows)


def settle(stored: Stored, task: Task | None, problems: Sequence[Problem], lm: LM | None) -> None:
    """Fill in the verdicts that are missing, by the task.

    UserError for rows with neither verdict nor text nor tokens, and for counts that stopping at a success has biased.
    """
    if stored.unverified and task:
        _verify(stored, task, {problem.id: problem for problem in problems}, lm)
    _refuse_stopped(stored)


def _verify(stored: Stored, task: Task, by_id: Mapping[str, Problem], lm: LM | None) -> None:
    pairs, close = ([(lm.open, lm.close), *KNOWN], lm.close) if lm else (KNOWN, CLOSE)
    bare, unread, asked = [], [], []
    for line, row in zip(stored.lines, stored.rows, strict=True):
        if row["correct"] is None:
            text = row["text"]
            if text is None and row["tokens"] is not None and lm:
                if strange := [t for t in row["tokens"] if not 0 <= t < lm.vocabulary]:
                    place = stored.table.place(line)
                    raise UserError(f"{place}: token {strange[0]} is none of the {lm.vocabulary} of {lm.source}")
                text = lm.decode(row["tokens"])
            if text is None:
                bare.append(line)
                continue
            for stop in lm.stop_texts if lm else ():
                text = text.removesuffix(stop)
            unread.append(row)
            asked.append((by_id[row["problem_id"]], split_sample(text, close, pairs)))
    _refuse_bare(stored.table, bare)
    for row, verdict in zip(unread, verify_all(task, asked), strict=True):
        row["correct"] = verdict.correct


def _refuse_bare(table: Table, lines: Sequence[int]) -> None:
    fix = "name its column with correct=COLUMN or text=COLUMN; for tokens name model=CHECKPOINT, whose they are"
    table.refuse(lines, "a verdict, and without text to verify", fix)


def _columns(table: Table, options: TableOptions) -> TableOptions:
    """The options with lm-eval's names where the usual are missing; UserError for a column that is not there."""
    usual, first = TableOptions(), table.rows[0][1]
    if options.problem == usual.problem and not has(first, usual.problem) and "doc_id" in first:
        options = replace(options, problem="doc_id")
    if options.text == usual.text and not has(first, usual.text) and "resps" in first:
        options = replace(options, text="resps")
    for key in COLUMNS:
        if key == "problem" or getattr(options, key) != getattr(usual, key):
            table.need(getattr(options, key))
    return options


def _kept(table: Table, options: TableOptions) -> list[tuple[int, dict[str, Any]]]:
    """The rows of one thinking budget and one filter; UserError for several filters, which judge the same samples."""
    rows = [(n, row) for n, row in table.rows if options.cap is None or row.get("cap") == options.cap]
    if not rows:
        raise UserError(f"{table.where}: no row has cap = {options.cap}")
    filters = list(dict.fromkeys(str(row["filter"]) for _, row in rows if row.get("filter") is not None))
    if options.filter:
        table.need("filter")
        if options.filter not in filters:
            raise UserError(f"{table.where}: no row has filter = {options.filter}; {nearest(options.filter, filters)}")
        return [(n, row) for n, row in rows if str(row.get("filter")) == options.filter]
    if len(filters) > 1 and any(value_of(row, options.sample) is None for _, row in rows):
        names = ", ".join(map(repr, filters))[:200]
        raise UserError(
            f"{table.where}: every sample is there once for each filter ({names}) and would be counted as often; keep "
            f"one with filter=NAME, or number the samples in a column {options.sample}"
        )
    return rows


def _problem(table: Table, line: int, row: dict[str, Any], options: TableOptions) -> str:
    name = table.id(line, row, options.problem)
    if name is None:
        null = value_of(row, options.problem)
        raise UserError(f"{table.place(line)}: {options.problem} must be text or a whole number, not {null}")
    return name


def _samples(table: Table, line: int, row: dict[str, Any], options: TableOptions) -> list[dict[str, Any]]:
    """The samples of a row, each as a row of samples.parquet."""
    place, correct = table.place(line), _verdict(table, line, value_of(row, options.correct))
    texts = _texts(row, options, f"{place}: {options.text}", needed=correct is None)
    if len(texts) > 1 and correct is not None:
        raise UserError(
            f"{place}: {len(texts)} responses, but {options.correct} is one verdict; leave correct= out, and name the "
            "problems that verify them with problems="
        )
    facts = {"correct": correct, "tokens": value_of(row, options.tokens)}
    facts |= {"wave": _whole(table, line, "wave", value_of(row, options.wave))}
    facts |= {"planned": _whole(table, line, "planned", row.get("planned"))}
    facts |= {key: row[key] for key in (*NUMBERS, *FINISH, *LISTS[1:]) if row.get(key) is not None}
    if isinstance(facts.get("thinking"), str):  # the thought itself, where we have its length
        thought = facts.pop("thinking")
        has_none = [text is not None and split_sample(text) == ("", text) for text in texts]
        texts = [f"{OPEN}{thought}{CLOSE}{t}" if bare else t for t, bare in zip(texts, has_none, strict=True)]
    for key in NUMBERS:
        if not isinstance(facts.get(key), int | float | None):
            raise UserError(f"{place}: {key} must be a number, not {str(facts[key])[:40]!r}")
    for key in LISTS:
        value, kind = facts.get(key), int | float if key == "logprobs" else int
        if value is not None and not (isinstance(value, list) and all(isinstance(item, kind) for item in value)):
            what = "numbers" if key == "logprobs" else "whole numbers"
            raise UserError(f"{place}: {key} must be a list of {what}, not {str(value)[:40]!r}")
    return [facts | {"text": text} for text in texts]


def _texts(row: dict[str, Any], options: TableOptions, where: str, *, needed: bool) -> list[str | None]:
    """The responses of a row: one text or list of turns, or lm-eval's [[r1, r2, ...]]; [None] for none."""
    value = value_of(row, options.text)
    match value:
        case None | str():
            return [value]
        case [[str(), *_] as several] | ([str(), *_] as several) if all(isinstance(text, str) for text in several):
            return list(several)
        case [dict(), *_]:
            chat = read_turns(value, where)
            thought = f"{OPEN}{chat.thinking}{CLOSE}" if chat.thinking else ""
            return [thought + (chat.response or "")]
    if needed:
        raise UserError(f"{where} must be text, a list of turns or a list of responses, not {str(value)[:40]!r}")
    return [None]


def _verdict(table: Table, line: int, value: Any) -> bool | None:
    if value is None or (isinstance(value, bool | int | float) and value in (0, 1)):
        return None if value is None else bool(value)
    place, known = table.place(line), "correct must be true or false, 1 or 0"
    if isinstance(value, float) and math.isnan(value):
        raise UserError(f"{place}: {known}, not NaN, which was not scored; make it null to have the text verified")
    fix = "; write a column that says from which score on a sample is right" if isinstance(value, int | float) else ""
    raise UserError(f"{place}: {known}, not {str(value)[:40]!r}{fix}")


def _whole(table: Table, line: int, name: str, value: Any) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**6:
        raise UserError(f"{table.place(line)}: {name} must be a whole number from 0, not {str(value)[:40]!r}")
    return value


def _refuse_judged_twice(table: Table, lines: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
    """UserError where one response is both right and wrong: the rows are then verdicts, several of each sample."""
    first: dict[tuple[str, str], tuple[int, bool]] = {}
    for line, row in zip(lines, rows, strict=True):
        if row["text"] is not None and row["correct"] is not None:
            before, correct = first.setdefault((row["problem_id"], row["text"]), (line, row["correct"]))
            if correct != row["correct"]:
                both = table.lines([before, line])
                raise UserError(
                    f"{table.where}: one response is both right and wrong ({both}): these seem to be several verdicts "
                    "of each sample; keep one of each, or number the samples in a column sample_id"
                )


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
