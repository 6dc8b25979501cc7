"""Rows of a file, of a folder of shards or of a data set on the hub, with a verifier named by import path.

``PATH?verifier=pkg.module:function&prompt=question``, or ``owner/name?config=main&split=test&revision=v1``.  The
columns are prompt, response, thinking, answer and id unless options give other names.  A dot leads to a field inside a
column, as in ``answer=reward_model.ground_truth``.  Where a column is missing and no option names it, another usual
name is tried (`guess.py`), which is said; such a column also stays in ``problem.meta``.  An answer that ends in a line
``#### 42``, as those of GSM8K do, is what stands there.  Prompt and response are texts or lists of turns
(`turns.py`).  The columns ``completion``, ``messages``, ``conversations``, ``system`` and ``system_prompt`` are read
too, and ``reasoning_content`` and ``reasoning`` for the thought; a text that is given in two columns must be the same
in both.  An option replaces these defaults: with ``thinking=COLUMN`` no other column is read for the thought
(``thinking=``: none at all), and with ``prompt=COLUMN`` no messages are read.

Texts are kept character for character, and a row for which that is impossible is refused with its line number.  A
response that begins with a thought (``<think>…</think>``) is split, and kept whole in ``Row.turn``.  Conversations of
several questions are not supported, nor rows whose prompt is more than its text (`unread.py`).

The verifier is called as ``function(problem, answer)``, with all other columns of the row in ``problem.meta``, or as
TRL or verl call theirs (`verifier.py`), in a separate process (`verifier_process.py`).  If it returns scores,
``threshold=`` is the lowest that is correct.  Without a verifier the answer column is compared by
``verify.same_answer``; and if a ``dag`` column holds the graph of a DAG maths problem, as ``rlready inject`` writes it,
every step is checked too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import note_once
from rlready.core.records import Problem, Row
from rlready.runs.seen import seen_at
from rlready.tasks.answer_column import FINAL, answer_of
from rlready.tasks.conversation import chats_of
from rlready.tasks.dagmath import meta as dagmeta
from rlready.tasks.dagmath.meta import graph_of, validate, verify_solution
from rlready.tasks.files import local_data, stem_of
from rlready.tasks.guess import describe_columns, guess_columns, no_columns
from rlready.tasks.hub import hub_licence
from rlready.tasks.protocol import Asked, Task, Verdict
from rlready.tasks.source import Source, select
from rlready.tasks.strictjson import Fields
from rlready.tasks.table import column_names, has_column, read_table, value_of
from rlready.tasks.turns import MESSAGES, merge, split_thought
from rlready.tasks.unread import refuse_index, refuse_left_out, refuse_thoughts, refuse_weighted
from rlready.tasks.verifier import Columns, Named
from rlready.tasks.verifier_process import load_verifier


@dataclass(frozen=True)
class RowsOptions:
    """Options of a source string: the verifier, columns, ``split`` of a folder or hub id, and two more for a hub id."""

    verifier: str = ""
    threshold: float | None = None  # the lowest score of the verifier that is correct
    prompt: str = "prompt"
    response: str = "response"
    thinking: str = "thinking"
    answer: str = "answer"
    id: str = "id"
    config: str = ""
    split: str = ""
    revision: str = ""
    n: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not (self.verifier and self.threshold > 0):
            raise ValueError("threshold= is the lowest score of a verifier= that is correct, and above 0")


@dataclass(frozen=True)
class _Item:
    line: int
    id: str
    prompt: str
    response: str
    thinking: str | None
    answer: str
    meta: Columns
    system: str
    turn: str


class RowsTask(Task):
    """Problems and worked rows from a table; see the module docstring."""

    defaults = RowsOptions()
    options: RowsOptions
    _tried = False
    _beside = ""  # what is read with the prompts: "answer", "response" or nothing

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.given, self.name = source.text, Path(source.path)
        self.path = local_data(source.path, self.options.split)
        self.seen = seen_at(self.path)
        unread = {"config", "revision"} if self.name.is_dir() else {"config", "revision", "split"}
        for key in sorted(source.options.keys() & unread if self.path else ()):
            what = "a folder" if self.name.is_dir() else "a file"
            raise UserError(f"{source.text}: {key}= is for a data set on the hub, but {self.name} is {what}")
        o = self.options
        if not o.prompt:  # other columns may be missing
            raise UserError(f"{source.text}: prompt= is empty; leave it out")
        self.table = read_table(source.path, config=o.config, split=o.split, revision=o.revision)
        self.licence = None if self.path else hub_licence(source.path, o.revision)
        given = {key: getattr(o, key) for key in ("prompt", "response", "thinking", "answer", "id")}
        self.named = {key for key, column in given.items() if column != getattr(self.defaults, key)}
        for key, column in given.items():
            if key in self.named and column:  # an empty name means that there is no such column
                self.table.need(column)
        self.guessed = guess_columns(self.table, self.named)
        self.columns = given | self.guessed
        prompt, answer = self.columns["prompt"], None
        if "answer" in self.named | self.guessed.keys():
            answer = self.columns["answer"]
        self.verifier = load_verifier(Named(o.verifier, o.threshold, prompt, answer)) if o.verifier else None
        self._needs = self.verifier.needs if self.verifier else frozenset[str]()
        for column in sorted(self._needs):
            if not any(column in row for _, row in self.table.rows):
                known = ", ".join(self.table.rows[0][1])
                raise UserError(
                    f"verifier={o.verifier}: needs the argument {column!r}, but {self.table.where} has no such column; "
                    f"known: {known}"
                )

    @property
    def description(self) -> str:
        how = f"verified by {self.options.verifier}" if self.verifier else "verified by equality of the final answer"
        guessed = describe_columns(self.table, self.guessed, ("prompt", "answer"))
        return f"{len(self._items)} rows of {self.name.name}{', ' if guessed else ''}{guessed}, {how}."

    def problems(self) -> list[Problem]:
        self._say("prompt", "answer", "id")
        self._beside = "" if self.verifier else "answer"
        if self.verifier is None:
            bare = [i.line for i in self._items if not i.answer]
            if not self._has("answer"):
                raise self._no_columns("answer")
            fix = "add it, name its column with answer=COLUMN, or name a verifier=pkg.module:function"
            self.table.refuse(bare, "an answer to verify against", fix)
        elif self.verifier.kind == "verl":
            bare = [i.line for i in self._items if self.verifier.named.ground_truth(i.meta.row) is None]
            self.table.refuse(bare, "a ground truth for the verifier", "add it, or name its column with answer=COLUMN")
        found = [Problem(i.id, i.prompt, i.answer, i.meta, i.system) for i in self._items]
        self._try(found[0])
        return found

    def rows(self) -> list[Row]:
        self._say("prompt", "response", "id")
        self._beside = "response"
        empty = [i.line for i in self._items if not i.response.strip()]
        fix = "add it, name its column with response=COLUMN, or remove these rows"
        if len(empty) == len(self._items) and FINAL.search(
            str(value_of(self.table.rows[0][1], self.columns["answer"])).rstrip()
        ):
            fix = f"for the solutions of GSM8K, write gsm8k:{self.name}"
        self.table.refuse(empty, "a response", fix)
        bare = "thinking" not in self.named and all(item.thinking is None for item in self._items)
        for item in self._items:
            row, place = item.meta.row, self.table.place(item.line)
            refuse_weighted(row, place)
            if bare:
                refuse_thoughts(row, place, item.response, {*self.columns.values()})
        return [Row(i.id, i.prompt, i.response, i.thinking, i.system, i.turn) for i in self._items]

    def _say(self, *keys: str) -> None:
        """Say once from which columns something is read, if they are not the usual ones."""
        if self.guessed.keys() & set(keys):
            note_once(f"{self.table.where}: reading {describe_columns(self.table, self.columns, keys)}")

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """By the verifier that the source names."""
        if self.verifier is None:
            graph = graph_of(problem.meta)
            if graph is not None:
                return verify_solution(graph, thinking, answer)
            return super().verify(problem, thinking, answer)
        return self.verifier(problem, thinking, answer)

    def verify_batch(self, asked: Asked) -> Sequence[Verdict] | None:
        return self.verifier.verify_batch(asked) if self.verifier else None

    def _try(self, problem: Problem) -> None:
        """Ask the verifier about two texts, so that no hours of sampling come before a value that is no verdict."""
        for answer in (problem.answer, "") if self.verifier and not self._tried else ():
            try:
                self.verify(problem, "", answer)
            except UserError:
                raise
            except (Exception, SystemExit):
                pass  # it may be this text only; `verify_all` counts those of the responses
        self._tried = True

    def compares(self, problem: Problem) -> str | None:
        return problem.answer if self.verifier is None and graph_of(problem.meta) is None else None

    def place(self, id: str) -> str:
        return next(self.table.place(item.line) for item in self._items if item.id == id)

    def answer_key(self, problem: Problem) -> str:
        if (graph := graph_of(problem.meta)) is not None:
            return dagmeta.answer_key(graph)
        return super().answer_key(problem)

    @cached_property
    def _items(self) -> list[_Item]:
        items = [self._item(line, row) for line, row in self.table.rows]
        first: dict[str, int] = {}
        for item in items:
            if first.setdefault(item.id, item.line) != item.line:
                both = self.table.lines([first[item.id], item.line])
                raise UserError(f"{self.table.where}: the id {item.id!r} is given twice ({both}); ids must differ")
        return select(items, self.options.n, self.options.seed, self.table.where)

    def _item(self, line: int, row: Fields) -> _Item:
        columns, place = self.columns, self.table.place(line)
        chats = chats_of(self.table, line, row, columns, self.named)
        chat = merge(chats, place)
        if not (chat.prompt or "").strip():
            self._no_prompt(line, row)
        read = {*chats, *(column.partition(".")[0] for column in columns.values())}
        refuse_left_out(row, place, f"{chat.system or ''} {chat.prompt}", read | self._needs)
        thinking, response, turn = chat.thinking, chat.response or "", ""
        try:
            inline = split_thought(response)
        except ValueError as error:
            raise UserError(f"{place}: the response {error}; a thought must come first") from None
        if inline is not None:
            if thinking is not None and thinking.strip() != inline[0]:
                raise UserError(
                    f"{place}: the response begins with a thought that differs from the given one; remove one"
                )
            turn, (thinking, response) = response, inline
        name = self.table.id(line, row, columns["id"])
        used = {*chats, *columns.values(), *MESSAGES} - {*self.guessed.values()}
        meta = Columns({k: v for k, v in row.items() if k not in used})
        meta.row = row
        if (graph := graph_of(meta)) is not None:
            try:
                validate(graph)
            except ValueError as error:
                raise UserError(f"{place}: {error}") from None
        as_it_is = self.verifier is not None and self.verifier.kind != "problem"
        answer = answer_of(row, columns["answer"], place, as_it_is=as_it_is)
        if self.verifier is None:
            refuse_index(row, place, answer)
        return _Item(
            line,
            f"{stem_of(self.name.name)}-{line:06d}" if name is None else name,
            chat.prompt or "",
            response,
            thinking,
            answer,
            meta,
            chat.system or "",
            turn,
        )

    def _no_prompt(self, line: int, row: Fields) -> NoReturn:
        """Raise UserError with the most likely reason for the missing prompt."""
        column = self.columns["prompt"]
        if has_column(row, column) or any(name in row for name in MESSAGES):
            raise UserError(f"{self.table.place(line)}: the prompt is empty")
        if not self._has("prompt"):
            beside = [self._beside] if self._beside and not self._has(self._beside) else []
            raise self._no_columns("prompt", *beside)
        raise UserError(f"{self.table.place(line)}: no column {column!r}; {nearest(column, column_names(row))}")

    def _has(self, key: str) -> bool:
        """Whether any row has the column of a kind, or one that is read in its place."""
        others = {"prompt": MESSAGES, "response": (*MESSAGES, "completion")}.get(key, ())
        return any(has_column(row, name) for _, row in self.table.rows for name in (self.columns[key], *others))

    def _no_columns(self, *keys: str) -> UserError:
        fix = ", or a verifier=pkg.module:function in place of answer=" if "answer" in keys else ""
        return no_columns(self.table, self.given, keys, self.columns.values(), fix)
