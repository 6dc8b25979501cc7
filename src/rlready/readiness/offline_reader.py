"""Reads tables of stored samples, written by this package or any other tool.

``TABLE.parquet``, ``.jsonl``, ``.json`` or ``.csv``, with options as in a task source, such as
``TABLE?problem=id&correct=passed``.
A row is a sample.  Its columns, unless options name others (with dots for nested columns), are:

    problem_id    the problem: its id or its prompt, also as a list of turns (then problems= needs ``id=prompt``)
    correct       true or false (1 or 0); if it is missing or null, the task verifies the sample from
    text          the response, also as a list of turns; a leading thought between ``<think>`` and ``</think>`` or
                  other delimiters (`chat.KNOWN`, and the model's) is not part of the answer; or from
    tokens        its token ids, read with the tokenizer of ``model=CHECKPOINT``
    sample_id     its number; optional
    wave          the wave it was drawn in, for samples that stop at a success (`adaptive_sampling.py`); optional;
                  ``planned`` is then the maximum number of samples of a problem, by default the largest number seen

``thinking`` (the thought, if ``text`` has none), ``thinking_tokens``, ``truncated`` or ``finish``, ``logprobs`` and
``mask`` are used if present.  The option ``model`` also gives the held-out loss, ``name`` names the table,
``thinking_budget`` keeps the rows of one budget, ``filter`` those of one filter, ``n`` the first n problems.  Without
``wave`` the number of samples of a problem must not depend on their outcomes.

lm-eval's ``--log_samples`` names problem and text ``doc_id`` and ``resps``.  It writes all repeats of a problem in one
row, once for every filter: one filter must be chosen, and if there are repeats, the task verifies them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.explain import misnamed, nearest
from rlready.core.progress import warn_once
from rlready.core.records import SampleRow
from rlready.models.chat import CLOSE, OPEN
from rlready.readiness.conditions import COLUMNS, plain
from rlready.readiness.offline_samples import Pending, Stored, TableOptions, refuse_unverifiable
from rlready.readiness.passk import Ints
from rlready.readiness.sample_stats import FACTS, Draws
from rlready.tasks.columns import Batch, read_batches
from rlready.tasks.files import TABLES
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.source import Source, options_from, options_of
from rlready.tasks.strictjson import Refused
from rlready.tasks.table import id_of
from rlready.tasks.turns import read_turns, split_sample

# columns that say how and from what samples were drawn: those of different ones have no common pass@k
DRAWN_WITH = (*(column for column in COLUMNS if column != "filter"), "model", "checkpoint", "step")
FEW = 256  # rows of which responses are compared at once
NAMES = ("problem", "correct", "text", "tokens", "sample", "wave")  # options that name a column


def is_table(source: str) -> bool:
    """Whether a checkpoint's name is that of a table of samples."""
    return source.partition("?")[0].endswith(TABLES)


def parse_table_source(source: str) -> tuple[str, TableOptions]:
    """Path and options; UserError for an unknown option."""
    path, _, query = source.partition("?")
    return path, options_from(Source(source, "samples", path, options_of(source, query)), TableOptions())


def read_samples(source: str) -> Stored:
    """Read a table; UserError names the line of a row that is not a sample or that repeats one."""
    path, given = parse_table_source(source)
    unread = given.text if _texts_unneeded(path, given) else ""
    reader = _read(path, given, unread)
    stored = reader.finish()
    drawn, right = (np.bincount(stored.draws.problem, w, len(reader.problems)) for w in (None, stored.draws.correct))
    if unread and not reader.varied and not stored.copied and ((right == 0) | (right == drawn)).all():
        return _read(path, given, "").finish()  # are all responses of each problem the same?
    return stored


def _read(path: str, given: TableOptions, unread: str) -> _Reader:
    """A reader that has read the whole table without its column ``unread``."""
    usual, found = TableOptions(), None
    names = {
        *(getattr(options, key) for options in (given, usual) for key in NAMES),
        "doc_id",
        "resps",
        "thinking",
        "filter",
        *DRAWN_WITH,
    }
    for batch in read_batches(path, sorted({*names, *FACTS} - {unread})):
        if found is None:
            found = _Reader(path, _with_lm_eval_names(given, batch), {unread})
            _warn_of_misnamed(batch, {*names, *FACTS, *SampleRow.__annotations__})
        found.add(batch)
    assert found  # an empty table is refused
    return found


def _warn_of_misnamed(batch: Batch, known: set[str]) -> None:
    """Say which columns seem to be meant for one that is read; a tool's own may be called alike."""
    for column, meant in misnamed(batch.named, sorted(known)):
        warn_once(f"warning: {batch.origin.where}: column {column!r} is not read; if it is {meant}, rename it")


def _texts_unneeded(path: str, options: TableOptions) -> bool:
    """Whether a file's statistics show that every sample is verified and numbered, so that no response is needed."""
    if not path.endswith(".parquet") or not Path(path).is_file():
        return False
    table = ParquetTable(Path(path))
    return table.has_texts(options.text) and table.complete(options.correct) and table.find(options.sample) is not None


def _with_lm_eval_names(options: TableOptions, batch: Batch) -> TableOptions:
    """The options with lm-eval's column names if the usual columns are missing."""
    usual = TableOptions()
    if options.problem == usual.problem and usual.problem not in batch.columns and "doc_id" in batch.columns:
        options = replace(options, problem="doc_id")
    if options.text == usual.text and usual.text not in batch.columns and "resps" in batch.columns:
        options = replace(options, text="resps")
    return options


class _Reader:
    """Reads a table batch by batch; `finish` makes the checks that need the whole table."""

    def __init__(self, path: str, options: TableOptions, seen: set[str]) -> None:
        self.path, self.options = path, options
        self.seen = seen  # columns
        self.total = self.count = 0  # rows of the file, and samples kept
        self.problems: dict[str, int] = {}
        self.numbers: dict[str, int] = {}  # a code for each sample_id
        self.filters: dict[str, None] = {}
        self.drawn_with: dict[str, dict[str, None]] = {column: {} for column in DRAWN_WITH}
        self.parts: list[tuple[Draws, Ints, Ints]] = []  # with lines, and codes of sample_ids or -1
        self.texts: list[tuple[Ints, Ints, Ints]] = []  # digests of (problem, text), correctness, lines
        self.pending: list[Pending] = []
        self.responses: dict[int, int] = {}  # a digest of the first response of each problem
        self.varied = False  # whether another response of a problem differs from the first
        self.comparable = True  # whether every sample has a text or tokens
        self.kept = self.unnumbered = False  # whether a row has the thinking budget, and whether one has no sample_id

    def add(self, batch: Batch) -> None:
        o = self.options
        self.origin, self.named = batch.origin, batch.named
        self.total += len(batch)
        self.seen |= batch.columns.keys()
        if o.problem not in self.seen:
            raise self.origin.no_column(o.problem, self.named)
        batch = self._filtered(batch)
        problem = batch.map(o.problem, self._problem, np.int64)
        batch, problem = batch.take(np.flatnonzero(problem >= 0)), problem[problem >= 0]
        verdict = batch.map(o.correct, _verdict, np.int8)
        number = batch.map(o.sample, self._number, np.int64)
        self.unnumbered |= bool((number < 0).any())
        if not batch.has_texts(o.text):
            batch, index, number = self._responses(batch, verdict, number)
            problem, verdict = problem[index], verdict[index]
        own = {"wave": o.wave, "tokens": o.tokens}
        facts = {name: batch.columns[c] for name in FACTS if (c := own.get(name, name)) in batch.columns}
        draws = Draws.of_batch(replace(batch, columns=facts), 0, problem, verdict == 1)
        self.parts.append((draws, batch.lines, number))
        self._keep_texts(batch, problem, verdict)
        self._compare_responses(batch, problem)
        self.count += len(batch)

    def finish(self) -> Stored:
        self._refuse_columns()
        problem, lines, number = (
            np.concatenate(arrays)
            for arrays in zip(*((draws.problem, lines, number) for draws, lines, number in self.parts), strict=True)
        )
        ids, number = list(self.problems), self._numbered(problem, number)
        self._refuse_twice(ids, problem, lines, number)
        self._refuse_mixed()
        bare = [sample.line for sample in self.pending if sample.text is None and sample.tokens is None]
        refuse_unverifiable(self.origin, bare, self.total)
        if self.options.sample not in self.seen:
            self._refuse_judged_twice()
        draws = Draws.joined([draws for draws, _, _ in self.parts], len(ids))
        return Stored(
            path=self.path,
            options=self.options,
            origin=self.origin,
            total=self.total,
            problem_ids=ids,
            draws=draws,
            order=self._order(number),
            pending=self.pending,
            conditions=self._conditions(),
            copied=self.comparable and not self.varied and len(number) > len(ids),
            responses=next((column for column in (self.options.text, self.options.tokens) if column in self.seen), ""),
        )

    def _conditions(self) -> dict[str, str]:
        """What the columns say that was the same for all samples; without those that the table has not got."""
        chosen = [self.options.filter] if self.options.filter else list(self.filters)
        values = {**self.drawn_with, "filter": dict.fromkeys(chosen)}
        return {
            column: ", ".join(sorted(values[column])) for column in COLUMNS if column in self.seen and values[column]
        }

    def _filtered(self, batch: Batch) -> Batch:
        """The rows of one thinking budget and one filter."""
        o = self.options
        keep = np.ones(len(batch), dtype=bool)
        if o.thinking_budget is not None:
            keep = batch.map("thinking_budget", lambda value: plain(value) == str(o.thinking_budget), bool)
        self.kept |= bool(keep.any())
        codes, values = batch.distinct("filter")
        for code in np.flatnonzero(np.bincount(codes[keep], minlength=len(values))):
            if values[code] is not None:
                self.filters[str(values[code])] = None
        if o.filter:
            keep &= np.array([str(value) == o.filter for value in values])[codes]
        for column, found in self.drawn_with.items() if keep.any() else ():
            codes, values = batch.distinct(column)
            several = [values[code] for code in np.unique(codes[keep])]
            if all(isinstance(value, str | int | float | None) for value in several):
                found |= {plain(value): None for value in several if value is not None or column == "thinking_budget"}
        return batch if keep.all() else batch.take(np.flatnonzero(keep))

    def _problem(self, value: Any) -> int:
        """The index of a problem; -1 after the first n problems."""
        name = id_of(value, self.options.problem)
        if name is None:
            raise Refused(f"{self.options.problem} must be text or a whole number, not {value}")
        if self.options.n is not None and len(self.problems) == self.options.n and name not in self.problems:
            return -1
        return self.problems.setdefault(name, len(self.problems))

    def _number(self, value: Any) -> int:
        name = id_of(value, self.options.sample)
        return -1 if name is None else self.numbers.setdefault(name, len(self.numbers))

    def _responses(self, batch: Batch, verdict: NDArray[np.int8], number: Ints) -> tuple[Batch, Ints, Ints]:
        """(batch, index, number) with one text per row; ``index`` is the row of the given batch that it came from."""
        o, names = self.options, list(self.numbers)
        values = batch.values(o.text, np.arange(len(batch)))
        texts: list[str | None] = []
        index, numbers = [], []
        for row, (line, value) in enumerate(zip(batch.lines.tolist(), values, strict=True)):
            place = self.origin.place(line)
            several = _texts(value, f"{place}: {o.text}", needed=bool(verdict[row] < 0))
            if len(several) > 1 and verdict[row] >= 0:
                raise UserError(
                    f"{place}: {len(several)} responses, but {o.correct} is one verdict; leave correct= out, and name "
                    "the problems that verify them with problems="
                )
            texts += several
            index += [row] * len(several)
            code = int(number[row])
            many = code >= 0 and len(several) > 1
            numbers += [self._number(f"{names[code]}-{at}") if many else code for at in range(len(several))]
        taken = np.array(index, dtype=np.int64)
        batch = batch.take(taken)
        return replace(batch, columns={**batch.columns, o.text: texts}), taken, np.array(numbers, dtype=np.int64)

    def _keep_texts(self, batch: Batch, problem: Ints, verdict: NDArray[np.int8]) -> None:
        """Keep unverified texts, and digests of verified ones if samples have no number."""
        o, ids = self.options, list(self.problems)
        bare = np.flatnonzero(verdict < 0)
        texts, tokens = _with_thoughts(batch, o.text, bare), batch.values(o.tokens, bare)
        for at, text, ids_of_text in zip(bare.tolist(), texts, tokens, strict=True):
            where = self.count + at, int(batch.lines[at]), ids[problem[at]]
            self.pending.append(Pending(*where, text, ids_of_text if text is None else None))
        if o.sample not in self.seen and o.text in batch.columns:
            judged = np.flatnonzero(verdict >= 0)
            texts = _with_thoughts(batch, o.text, judged)
            digests = [hash(pair) for pair in zip(problem[judged].tolist(), texts, strict=True)]
            there = np.array([text is not None for text in texts], dtype=bool)
            columns = np.array(digests, dtype=np.int64), verdict[judged].astype(np.int64), batch.lines[judged]
            self.texts.append((columns[0][there], columns[1][there], columns[2][there]))

    def _compare_responses(self, batch: Batch, problem: Ints) -> None:
        """Look for a problem with two different responses; once one is found, there is nothing more to look for."""
        for begin in range(0, len(batch), FEW):
            if self.varied or not self.comparable:
                return
            rows = np.arange(begin, min(begin + FEW, len(batch)))
            columns = (batch.values(name, rows) for name in (self.options.text, "thinking", self.options.tokens))
            for at, text, thinking, tokens in zip(problem[rows].tolist(), *columns, strict=True):
                self.comparable &= text is not None or isinstance(tokens, list)
                response = hash((str(thinking), str(tokens) if text is None else text))
                self.varied |= self.responses.setdefault(at, response) != response

    def _numbered(self, problem: Ints, number: Ints) -> Ints:
        """The codes of all samples; a sample without a number gets its position within its problem."""
        bare = np.flatnonzero(number < 0)
        if not len(bare):
            return number
        order = np.argsort(problem, kind="stable")
        first = np.searchsorted(problem[order], problem[order])
        rank = np.empty(len(problem), dtype=np.int64)
        rank[order] = np.arange(len(problem)) - first
        if len(bare) == len(number):
            self.numbers = {str(i): i for i in range(int(rank.max()) + 1)}
            return rank
        number[bare] = [self._number(str(i)) for i in rank[bare].tolist()]
        return number

    def _refuse_columns(self) -> None:
        """Raise UserError if requested columns or rows are missing, or if there are several filters."""
        o, usual, where = self.options, TableOptions(), self.origin.where
        wanted = [getattr(o, key) for key in NAMES if getattr(o, key) != getattr(usual, key)]
        for column in [*wanted, *(["filter"] if o.filter else [])]:
            if column not in self.seen:
                raise self.origin.no_column(column, self.named)
        if not self.kept:
            raise UserError(f"{where}: no row has thinking_budget = {o.thinking_budget}")
        if o.filter and o.filter not in self.filters:
            raise UserError(f"{where}: no row has filter = {o.filter}; {nearest(o.filter, list(self.filters))}")
        if not o.filter and len(self.filters) > 1 and self.unnumbered:
            names = ", ".join(map(repr, self.filters))[:200]
            raise UserError(
                f"{where}: every sample is there once for each filter ({names}) and would be counted as often; keep "
                f"one with filter=NAME, or number the samples in a column {o.sample}"
            )

    def _refuse_twice(self, ids: Sequence[str], problem: Ints, lines: Ints, number: Ints) -> None:
        """Raise UserError if two rows have the same sample of the same problem."""
        key = problem * len(self.numbers) + number
        if np.diff(np.sort(key)).all():
            return
        before, line, at = _first_unequal(key, lines, lines)
        if at < 0:  # responses of the same row
            return
        budget = _budget_at(self.path, line) if "thinking_budget" in self.seen else None
        fix = f"; thinking_budget={budget} keeps the rows of one budget" if budget is not None else ""
        name, both = list(self.numbers)[number[at]], self.origin.lines([before, line])
        raise UserError(f"{self.path}: sample {name} of problem {ids[problem[at]]!r} is given twice ({both}){fix}")

    def _refuse_mixed(self) -> None:
        """Raise UserError if samples were drawn in different ways, which would be counted as those of one."""
        for column, found in self.drawn_with.items():
            if len(found) > 1:
                names = ", ".join(map(repr, found))[:200]
                way = "with thinking_budget=N, or " if column == "thinking_budget" else ""
                raise UserError(
                    f"{self.origin.where}: samples of different {column} ({names}) would be counted as samples of one; "
                    f"keep the rows of one {way}in a table of its own"
                )

    def _order(self, number: Ints) -> Ints:
        """(N,) ascending in the order of drawing: by sample_id if all are digits, otherwise in that of the rows."""
        if all(name.isdecimal() and len(name) < 19 for name in self.numbers):
            return np.array([int(name) for name in self.numbers], dtype=np.int64)[number]
        return np.arange(len(number))

    def _refuse_judged_twice(self) -> None:
        """Raise UserError if a response is both right and wrong: the table then has several scores per sample."""
        if not self.texts:
            return
        digest, verdict, lines = (np.concatenate(arrays) for arrays in zip(*self.texts, strict=True))
        before, line, at = _first_unequal(digest, verdict, lines)
        if at >= 0:
            raise UserError(
                f"{self.origin.where}: one response is both right and wrong ({self.origin.lines([before, line])}): "
                "these seem to be several verdicts of each sample; keep one of each, or number the samples in a column "
                "sample_id"
            )


def _first_unequal(key: Ints, value: Ints, lines: Ints) -> tuple[int, int, int]:
    """The first row whose value differs from that of the first row with the same key; all arrays are (N,).

    Returns the lines of the two rows and the index of the differing one, which is -1 if there is none.
    """
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    other = value != value[first][group]
    if not other.any():
        return -1, -1, -1
    at = int(np.argmax(other))
    return int(lines[first[group[at]]]), int(lines[at]), at


def _budget_at(path: str, line: int) -> Any:
    """The thinking budget of one row, looked up for an error."""
    batch = next(batch for batch in read_batches(path, ["thinking_budget"]) if line <= batch.lines[-1])
    return batch.values("thinking_budget", np.flatnonzero(batch.lines == line))[0]


def _with_thoughts(batch: Batch, column: str, index: Ints) -> list[str | None]:
    """The texts of some rows; a thought from the column ``thinking`` is put before a text that has none."""
    texts: list[str | None] = batch.values(column, index)
    thoughts = batch.values("thinking", index)
    for at, thought in enumerate(thoughts):
        text = texts[at]
        if isinstance(thought, str) and text is not None and split_sample(text) == ("", text):
            texts[at] = f"{OPEN}{thought}{CLOSE}{text}"
    return texts


def _texts(value: Any, where: str, *, needed: bool) -> list[str | None]:
    """The responses of a row: one text or list of turns, or lm-eval's [[r1, r2, ...]]; [None] for none."""
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


def _verdict(value: Any) -> int:
    """1 for right, 0 for wrong, -1 if the sample is still to be verified."""
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": 1, "0": 0}.get(value.lower(), value)  # cells of CSV are texts
    if value is None or (isinstance(value, bool | int | float) and value in (0, 1)):
        return -1 if value is None else int(value)
    known = "correct must be true or false, 1 or 0"
    if isinstance(value, float) and math.isnan(value):
        raise Refused(f"{known}, not NaN, which was not scored; make it null to have the text verified")
    fix = "; write a column that says from which score on a sample is right" if isinstance(value, int | float) else ""
    raise Refused(f"{known}, not {str(value)[:40]!r}{fix}")
