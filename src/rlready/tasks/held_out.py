"""What sft or rl holds out of a source where no other rows or problems are named: ``rows.jsonl?held_out=1``.

The choice is that of `split_off`, which depends on the prompts alone: another stage can measure on the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.tasks.overlap import split_off
from rlready.tasks.protocol import Task, Verdict
from rlready.tasks.source import Source

HELD_OUT = "held_out"


def held_out_of(source: str) -> str:
    """The source of what is held out of another one."""
    return f"{source}{'&' if '?' in source else '?'}{HELD_OUT}=1"


class HeldOut(Task):
    """A task reduced to what is held out of it."""

    def __init__(self, source: Source, open_source: Callable[[Source], Task]) -> None:
        if source.options[HELD_OUT] != "1":
            raise UserError(f"{source.text}: {HELD_OUT}={source.options[HELD_OUT]} is not 1; leave it out for all rows")
        rest = {key: value for key, value in source.options.items() if key != HELD_OUT}
        self.pool = open_source(replace(source, options=rest))
        self.text, self.path, self.licence = source.text, self.pool.path, self.pool.licence
        self.source = held_out_of(self.pool.source)

    @property
    def description(self) -> str:
        return f"{self.pool.description} Those that are held out."

    def problems(self) -> list[Problem]:
        return split_off(self.pool.problems(), self.text, HELD_OUT)[1]

    def rows(self) -> list[Row]:
        return split_off(self.pool.rows(), self.text, HELD_OUT)[1]

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        return self.pool.verify(problem, thinking, answer)

    def compares(self, problem: Problem) -> str | None:
        return self.pool.compares(problem)

    def place(self, id: str) -> str:
        return self.pool.place(id)

    def answer_key(self, problem: Problem) -> str:
        return self.pool.answer_key(problem)

    def chance(self, k_values: Sequence[int]) -> dict[int, float]:
        return self.pool.chance(k_values)
