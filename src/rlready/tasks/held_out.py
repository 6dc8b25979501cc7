"""What sft or rl holds out of a source where no other rows or problems are named: ``rows.jsonl?held_out=1``.

The choice is that of `split_off`, which depends on the prompts alone: another stage can measure on the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.tasks.overlap import split_off
from rlready.tasks.protocol import Task
from rlready.tasks.source import Source
from rlready.tasks.subset import Subset

HELD_OUT = "held_out"


def held_out_of(source: str) -> str:
    """The source of what is held out of another one."""
    return f"{source}{'&' if '?' in source else '?'}{HELD_OUT}=1"


class HeldOut(Subset):
    """A task reduced to what is held out of it."""

    def __init__(self, source: Source, open_source: Callable[[Source], Task]) -> None:
        if source.options[HELD_OUT] != "1":
            raise UserError(f"{source.text}: {HELD_OUT}={source.options[HELD_OUT]} is not 1; leave it out for all rows")
        rest = {key: value for key, value in source.options.items() if key != HELD_OUT}
        super().__init__(source, open_source(replace(source, options=rest)))
        self.source = held_out_of(self.pool.source)

    @property
    def description(self) -> str:
        return f"{self.pool.description} Those that are held out."

    def problems(self) -> list[Problem]:
        return split_off(self.pool.problems(), self.text, "validation")[1]

    def rows(self) -> list[Row]:
        return split_off(self.pool.rows(), self.text, "heldout")[1]
