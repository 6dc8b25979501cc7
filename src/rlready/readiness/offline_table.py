"""One table of stored samples, read batch by batch; the checks that need the whole table come last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.interchange.formats import format_of
from rlready.readiness.conditions import COLUMNS, of_own_run, plain
from rlready.readiness.offline_cells import texts_of, verdict_of, with_thoughts, with_thoughts_opened
from rlready.readiness.offline_checks import APART, refuse_judged_twice, refuse_mixed, refuse_twice, say_repeated
from rlready.readiness.offline_filters import Filters
from rlready.readiness.offline_prompts import Prompts, column_of_prompts
from rlready.readiness.offline_samples import (
    Pending,
    Stored,
    TableOptions,
    refuse_unverifiable,
)
from rlready.readiness.passk import Ints
from rlready.readiness.sample_stats import FACTS, Draws
from rlready.tasks.columns import Batch
from rlready.tasks.strictjson import Refused
from rlready.tasks.table import id_of

# columns that say how and from what samples were drawn: those of different ones have no common pass@k
POLICIES = (  # columns that name the checkpoint whose samples they are
    *("model", "model_name", "model_id", "model_path", "checkpoint", "ckpt", "checkpoint_path", "policy", "revision"),
    *("run", "run_name", "run_id", "step", "global_step", "sft_step", "train_step", "training_step"),
)
DRAWN_WITH = (*(column for column in COLUMNS if column != "filter"), *POLICIES)
FEW = 256  # rows of which responses are compared at once
NAMES = ("problem", "correct", "text", "tokens", "sample", "wave")  # options that name a column


class TableReader:
    """Reads a table batch by batch; `finish` makes the checks that need the whole table."""

    def __init__(self, path: str, options: TableOptions, seen: set[str]) -> None:
        self.path, self.options = path, options
        self.seen = seen  # columns
        self.total = self.count = 0  # rows of the file, and samples kept
        self.problems: dict[str, int] = {}
        self.numbers: dict[str, int] = {}  # a code for each sample_id
        self.filters = Filters()
        self.drawn_with: dict[str, dict[str, None]] = {column: {} for column in DRAWN_WITH}
        self.parts: list[tuple[Draws, Ints, Ints]] = []  # with lines, and codes of sample_ids or -1
        self.texts: list[tuple[Ints, Ints, Ints]] = []  # digests of (problem, text), correctness, lines
        self.pending: list[Pending] = []
        self.prompts = Prompts()
        self.responses: dict[int, int] = {}  # a digest of the first response of each problem
        self.varied = False  # whether another response of a problem differs from the first
        self.comparable = True  # whether every sample has a text or tokens
        self.kept = self.unnumbered = False  # whether a row has budget and setting, and whether one has no sample_id

    def add(self, batch: Batch) -> None:
        o = self.options
        self.origin, self.named = batch.origin, batch.named
        self.total += len(batch)
        self.seen |= batch.columns.keys()
        self.filters.choose(self.seen)
        if o.problem not in self.seen:
            raise self._no_problems()
        batch = self._filtered(batch)
        problem = batch.map(o.problem, self._problem, np.int64)
        batch, problem = batch.take(np.flatnonzero(problem >= 0)), problem[problem >= 0]
        if not {o.text, o.tokens} & self.seen:
            self.filters.note(batch, problem)
        self.prompts.note(batch, problem, list(self.problems), o.problem)
        verdict = batch.map(o.correct, verdict_of, np.int8)
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

    def _no_problems(self) -> UserError:
        """The error for a table without ids of problems, which says the tool that wrote it, if it is a known one."""
        if self.options.problem != TableOptions().problem:
            return self.origin.no_column(self.options.problem, self.named)
        if known := format_of(self.named):
            return UserError(f"{self.path}: these are samples of {known.tool}; read them with {known.kind}:{self.path}")
        return UserError(
            f"{self.origin.where}: no column 'problem_id', so it is not known which samples are of one problem; "
            f"name it with ?problem=COLUMN (problem=prompt: the prompt itself); {nearest('problem_id', self.named)}"
        )

    def finish(self) -> Stored:
        self._refuse_columns()
        problem, lines, number = (
            np.concatenate(arrays)
            for arrays in zip(*((draws.problem, lines, number) for draws, lines, number in self.parts), strict=True)
        )
        ids, number = list(self.problems), self._numbered(problem, number)
        samples, apart = (problem, lines, number), next((column for column in APART if column in self.seen), "")
        refuse_mixed(self.origin, {column: self.drawn_with[column] for column in POLICIES})  # each may number its own
        refuse_twice(self.origin, self.path, ids, list(self.numbers), samples, apart=apart)
        refuse_mixed(self.origin, self.drawn_with)
        bare = [sample.line for sample in self.pending if sample.text is None and sample.tokens is None]
        refuse_unverifiable(self.origin, bare, self.total)
        if self.options.sample not in self.seen:
            refuse_judged_twice(self.origin, self.texts)
            say_repeated(self.origin.where, self._responses_seen(), len(ids))
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
            asked=self.prompts.asked,
            otherwise=self.prompts.doubt(len(self.problems)),
        )

    def _responses_seen(self) -> Ints:
        """(N,) digests of (problem, text) of all samples that have a text."""
        bare = [hash((self.problems[s.problem_id], s.text)) for s in self.pending if s.text is not None]
        return np.concatenate([*(digest for digest, _, _ in self.texts), np.array(bare, dtype=np.int64)])

    def _conditions(self) -> dict[str, str]:
        """What the columns say that was the same for all samples; without those that the table has not got."""
        chosen = [self.options.filter] if self.options.filter else list(self.filters.values)
        values = {**self.drawn_with, "filter": dict.fromkeys(chosen)}
        return of_own_run(Path(self.path), self.options.setting) | {
            column: ", ".join(sorted(values[column]))
            for column in COLUMNS
            if (self.filters.column if column == "filter" else column) in self.seen and values[column]
        }

    def _filtered(self, batch: Batch) -> Batch:
        """The rows of one thinking budget, one setting and one filter."""
        o = self.options
        keep = np.ones(len(batch), dtype=bool)
        if o.thinking_budget is not None:
            keep = batch.map("thinking_budget", lambda value: plain(value) == str(o.thinking_budget), bool)
        if o.setting:
            keep &= batch.map("setting", lambda value: plain(value) == plain(o.setting), bool)
        self.kept |= bool(keep.any())
        keep = self.filters.kept(batch, keep, o.filter)
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
            several = texts_of(value, f"{place}: {o.text}", needed=bool(verdict[row] < 0))
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
        unjudged = batch.take(bare)
        texts = with_thoughts(unjudged, o.text, o.tokens, np.arange(len(bare)))
        texts = with_thoughts_opened(unjudged, dict.fromkeys((o.problem, column_of_prompts(batch, o.problem))), texts)
        tokens = batch.values(o.tokens, bare)
        for at, text, ids_of_text in zip(bare.tolist(), texts, tokens, strict=True):
            where = self.count + at, int(batch.lines[at]), ids[problem[at]]
            self.pending.append(Pending(*where, text, ids_of_text if text is None else None))
        if o.sample not in self.seen and o.text in batch.columns:
            judged = np.flatnonzero(verdict >= 0)
            texts = with_thoughts(batch, o.text, o.tokens, judged)
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
        rows = {"setting": o.setting, self.filters.column: o.filter}  # that are kept
        for column in [*wanted, *(column for column, value in rows.items() if value)]:
            if column not in self.seen:
                raise self.origin.no_column(column, self.named)
        if not self.kept:
            asked = {"thinking_budget": o.thinking_budget, "setting": o.setting}
            said = " and ".join(f"{key} = {value}" for key, value in asked.items() if value)
            raise UserError(f"{where}: no row has {said}")
        self.filters.refuse(where, o.filter)
        if not o.filter and self.unnumbered:
            self.filters.refuse_crossed(where, len(self.problems), o.sample)

    def _order(self, number: Ints) -> Ints:
        """(N,) ascending in the order of drawing: by sample_id if all are digits, otherwise in that of the rows."""
        if all(name.isdecimal() and len(name) < 19 for name in self.numbers):
            return np.array([int(name) for name in self.numbers], dtype=np.int64)[number]
        return np.arange(len(number))
