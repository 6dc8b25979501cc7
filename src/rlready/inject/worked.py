"""A worked row: read from a task, and written as a line of the output file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.inject.calculator import ANNOTATION
from rlready.tasks.dagmath.meta import COLUMN, graph_of
from rlready.tasks.gsm8k import Gsm8kTask
from rlready.tasks.protocol import Task
from rlready.tasks.source import Source, parse_source
from rlready.tasks.verdicts import verify_all

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Worked:
    """``problem.meta`` holds the other columns.

    ``solution`` is the thought with the calculator annotations that ``thinking`` may have lost.
    """

    problem: Problem
    thinking: str
    response: str
    solution: str

    @property
    def graph(self) -> Mapping[str, object] | None:
        return graph_of(self.problem.meta)

    @property
    def annotated(self) -> bool:
        """Whether the row keeps its annotations."""
        return self.thinking == self.solution

    def shown(self, text: str) -> str:
        """A piece of an annotated solution as the row shows it."""
        return text if self.annotated else ANNOTATION.sub("", text)

    def columns(self) -> dict[str, object]:
        """A line of the file, as ``rows:PATH`` reads it."""
        p = self.problem
        others: dict[str, object] = {COLUMN: dict(p.meta)} if "exprs" in p.meta else dict(p.meta)
        columns = {"id": p.id, "prompt": p.prompt, "thinking": self.thinking, "response": self.response}
        columns |= {"system": p.system} if p.system else {}
        return others | columns | {"answer": p.answer}


def worked(task: Task, source: str) -> list[Worked]:
    """The rows of a task; UserError names the first whose response is not the right answer."""
    rows, solutions = task.rows(), _annotated(source)
    try:
        problems = task.problems()
    except UserError:
        problems = []
        if any(ANNOTATION.search(row.thinking or "") for row in rows):
            raise
    if not any(row.thinking for row in rows) or not problems:
        raise UserError(
            f"{source}: inject needs a dag column or GSM8K calculator annotations (<<48/2=24>>), and a thought and an "
            "answer"
        )
    found = []
    verdicts = verify_all(task, [(p, (r.thinking or "", r.response)) for p, r in zip(problems, rows, strict=True)])
    for problem, row, verdict in zip(problems, rows, verdicts, strict=True):
        thinking = row.thinking or ""
        if not verdict.correct:
            why = f"could not be verified ({verdict.reason})" if verdict.undecided else "is not the right answer"
            raise UserError(f"{task.place(row.id)}: the response {why}; fix the row or remove it")
        found.append(Worked(problem, thinking, row.response, solutions.get(row.id, thinking)))
    return found


def _annotated(source: str) -> dict[str, str]:
    """The thoughts of a GSM8K source by id, with the annotations that it leaves out by default."""
    parsed = parse_source(source)
    if parsed.kind != "gsm8k":
        return {}
    options = {"calculator": "keep"} | {k: v for k, v in parsed.options.items() if k == "split"}
    rows = Gsm8kTask(Source(parsed.text, parsed.kind, parsed.path, options)).rows()
    return {row.id: row.thinking or "" for row in rows}


def lengths(rows: Sequence[Worked], tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """Tokens of thought and response, row by row; words between spaces without a tokenizer."""
    texts = [f"{row.thinking}\n{row.response}" for row in rows]
    if tokenizer is None:
        return [len(text.split()) for text in texts]
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
