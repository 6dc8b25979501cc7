"""Anyone's rows: a JSONL, JSON or Parquet file or a data set on the hub, with a verifier named by import path.

``rows:PATH?verifier=pkg.module:function&prompt=question``.  Columns are prompt, response, thinking, answer
and id unless named otherwise; without a prompt column, ``messages`` in chat format is read: one question,
whose last assistant turn is the response.  A response that begins with a thought (``<think>…</think>``) is
taken apart.  The verifier is called as ``function(problem, answer) -> bool``, with all other columns of the
row in ``problem.meta``; without one the answer column is compared by ``verify.same_answer``, and where a ``dag``
column holds the graph of DAG maths, as ``rlready inject`` writes it, every step is checked too.  Left out:
conversations of several turns.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlready.errors import UserError
from rlready.records import Problem, Row
from rlready.tasks import dagmeta
from rlready.tasks.baseline import two_fold
from rlready.tasks.dagmeta import graph_of, judge, validate
from rlready.tasks.protocol import Verdict
from rlready.tasks.source import Source, canonical, fill, select
from rlready.tasks.table import Table, licence_beside, read_table
from rlready.tasks.verify import exact_number, final_answer, same_answer

Verifier = Callable[[Problem, str], bool]
THOUGHT = re.compile(r"\s*(?:<think>)?(.*?)</think>(.*)", re.DOTALL)


@dataclass(frozen=True)
class RowsOptions:
    """What a source string can set; the names of columns, and for a hub id its configuration and split."""

    verifier: str = ""
    prompt: str = "prompt"
    response: str = "response"
    thinking: str = "thinking"
    answer: str = "answer"
    id: str = "id"
    name: str = ""
    split: str = "train"
    n: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class _Item:
    line: int
    id: str
    prompt: str
    response: str
    thinking: str | None
    answer: str
    meta: dict[str, Any]


class RowsTask:
    """Rows from a table; see the module."""

    def __init__(self, source: Source) -> None:
        self.options = fill(source, RowsOptions())
        self.source = canonical(source, self.options, RowsOptions())
        self.name = Path(source.path)
        self.path = self.name if self.name.exists() else None
        if self.path and source.options.keys() & {"name", "split"}:
            raise UserError(f"{source.text}: name= and split= are for a data set on the hub, but {self.path} is a file")
        self.verifier = load_verifier(self.options.verifier) if self.options.verifier else None
        self.table = read_table(source.path, name=self.options.name or None, split=self.options.split)

    @property
    def description(self) -> str:
        judge = f"judged by {self.options.verifier}" if self.verifier else "judged by equality of the final answer"
        return f"{len(self._items)} rows of {self.name.name}, {judge}."

    @property
    def licence(self) -> str | None:
        return licence_beside(self.path) if self.path else None

    def problems(self) -> list[Problem]:
        if self.verifier is None:
            bare = [i.line for i in self._items if not i.answer]
            mend = "add it, name its column with answer=COLUMN, or name a verifier=pkg.module:function"
            self.table.refuse(bare, "an answer to verify against", mend)
        return [Problem(i.id, i.prompt, i.answer, i.meta) for i in self._items]

    def rows(self) -> list[Row]:
        bare = [i.line for i in self._items if not i.response]
        self.table.refuse(bare, "a response", "add it, name its column with response=COLUMN, or remove these rows")
        return [Row(i.id, i.prompt, i.response, i.thinking) for i in self._items]

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """The named verifier's word; one that raises is warned about once a message, and its verdict is wrong."""
        if self.verifier is None:
            if (graph := graph_of(problem.meta)) is not None:
                return judge(graph, thinking, answer)
            right = same_answer(problem.answer, answer)
        else:
            try:
                right = bool(self.verifier(problem, answer))
            except Exception as error:
                reason = f"{self.options.verifier} raised {type(error).__name__}: {error}"
                warnings.warn(reason, RuntimeWarning, stacklevel=2)
                return Verdict(False, None, reason)
        return Verdict(right, None, "" if right else "the answer is wrong")

    def place(self, id: str) -> str:
        return next(self.table.place(item.line) for item in self._items if item.id == id)

    def answer_key(self, problem: Problem) -> str:
        if (graph := graph_of(problem.meta)) is not None:
            return dagmeta.answer_key(graph)
        answer = final_answer(problem.answer)
        number = exact_number(answer)
        return " ".join(answer.split()) if number is None else str(number)

    def chance(self, k_values: Sequence[int]) -> dict[int, float]:
        """Rows without answers count as never guessed."""
        keys = [self.answer_key(p) or f"unknown answer of {p.id}" for p in self.problems()]
        return two_fold(keys, k_values)

    @cached_property
    def _items(self) -> list[_Item]:
        items = [self._item(line, row) for line, row in self.table.rows]
        first: dict[str, int] = {}
        for item in items:
            if first.setdefault(item.id, item.line) != item.line:
                both = self.table.lines([first[item.id], item.line])
                raise UserError(f"{self.table.where}: the id {item.id!r} is given twice ({both}); ids must differ")
        return select(items, self.options.n, self.options.seed)

    def _item(self, line: int, row: dict[str, Any]) -> _Item:
        o = self.options
        used = {o.prompt, o.response, o.thinking, o.answer, o.id, "messages"}
        if o.prompt not in row and "messages" in row:
            prompt, response = _conversation(self.table, line, row["messages"])
        elif o.prompt not in row and {"question", "answer"} <= row.keys() and "####" in str(row["answer"]):
            raise UserError(f"{self.table.place(line)}: columns of GSM8K; write gsm8k:{self.table.where}")
        else:
            prompt = self.table.text(line, row, o.prompt)
            response = self._optional(line, row, o.response)
        if not prompt.strip():
            raise UserError(f"{self.table.place(line)}: the prompt is empty")
        thinking = self._optional(line, row, o.thinking) or None
        if thinking is None and (found := THOUGHT.fullmatch(response)):
            thinking, response = found[1].strip(), found[2].strip()
        elif response.lstrip().startswith("<think>"):
            response = ""  # a thought that never ends: cut off before there was a response
        answer = row.get(o.answer)
        if isinstance(answer, (int, float)) and not isinstance(answer, bool):
            answer = str(answer)
        elif answer is not None:
            answer = self.table.text(line, row, o.answer)
        name = row.get(o.id)
        meta = {k: v for k, v in row.items() if k not in used}
        if (graph := graph_of(meta)) is not None:
            try:
                validate(graph)
            except ValueError as error:
                raise UserError(f"{self.table.place(line)}: {error}") from None
        return _Item(
            line,
            f"{self.name.stem}-{line:06d}" if name is None else str(name),
            prompt,
            response,
            thinking,
            answer or "",
            meta,
        )

    def _optional(self, line: int, row: dict[str, Any], column: str) -> str:
        return "" if row.get(column) is None else self.table.text(line, row, column)


def load_verifier(name: str) -> Verifier:
    """The function named ``pkg.module:function``; modules in the working directory are found too."""
    module_name, colon, function_name = name.partition(":")
    if not (colon and module_name and function_name):
        raise UserError(f"verifier={name}: write it as pkg.module:function")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise UserError(f"verifier={name}: {module_name} cannot be imported: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"verifier={name}: {module_name} has no function {function_name!r}")
    try:
        inspect.signature(function).bind(None, "")
    except TypeError:
        raise UserError(f"verifier={name}: must take two arguments, (problem, answer)") from None
    except ValueError:  # a builtin without a signature
        pass
    return function  # type: ignore[no-any-return]


def _conversation(table: Table, line: int, messages: Any) -> tuple[str, str]:
    """(question, response or "") of a chat; a system turn goes before the question."""
    place = f"{table.place(line)}: messages"
    if not isinstance(messages, list) or not all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str) for m in messages
    ):
        raise UserError(f"{place} must be a list of {{role, content}}, both text")
    roles = [m["role"] for m in messages]
    texts = [m["content"] for m in messages]
    start = 1 if roles[:1] == ["system"] else 0
    if roles[start:] not in (["user"], ["user", "assistant"]):
        raise UserError(f"{place} must be [system,] user[, assistant], not {', '.join(roles)[:80] or 'empty'}")
    return "\n\n".join(texts[: start + 1]), texts[start + 1] if len(texts) > start + 1 else ""
