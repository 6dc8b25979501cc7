"""Choose from a pool of worked rows: the shortest, the longest, random ones, or half shortest and half longest.

``…&n=1000&select=shortest&of=4000`` keeps 1,000 of the first 4,000 rows of any source: ``dagmath``, ``gsm8k`` and
``rows`` alike.  The kinds are the *instance-level* choices of Kang et al. (arXiv 2510.01624), who vary which data an
SFT run sees at a fixed recipe.  A choice of this package: the length of a row is that of its thought and response in
characters (no tokenizer is known here), and ties keep their order.

Rows come in the order in which they were chosen (``halves``: shortest, longest, second shortest, ...), so that a
smaller ``n`` is a prefix of a larger one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.tasks.protocol import Task
from rlready.tasks.source import Source, options_from, parse_source, source_string
from rlready.tasks.subset import Subset

Kind = Literal["shortest", "longest", "random", "halves"]
KEYS = ("select", "of")
WORDS = {
    "shortest": "the shortest",
    "longest": "the longest",
    "random": "at random",
    "halves": "half of them the shortest and half the longest",
}


@dataclass(frozen=True)
class Choice:
    """Options of a source string: keep ``n`` of the first ``of`` rows (None: of all)."""

    select: Kind
    of: int | None = None
    n: int | None = None


class Selected(Subset):
    """A task reduced to chosen rows; see the module docstring."""

    def __init__(self, source: Source, open_source: Callable[[Source], Task]) -> None:
        given = {key: value for key, value in source.options.items() if key in (*KEYS, "n")}
        if "select" not in given:
            raise UserError(f"{source.text}: of= says how many rows select= chooses from; add select=random or another")
        self.choice = options_from(replace(source, options=given), Choice("random"))
        if self.choice.n is None:
            raise UserError(f"{source.text}: select= needs n=, the number of rows to keep")
        if self.choice.of is None and source.kind == "dagmath":
            raise UserError(f"{source.text}: dagmath is endless; say how many rows to choose from with of=")
        rest = {key: value for key, value in source.options.items() if key not in given}
        pool = rest if self.choice.of is None else rest | {"n": str(self.choice.of)}
        super().__init__(source, open_source(Source(source.text, source.kind, source.path, pool)))
        self.source = self._source()

    def _source(self) -> str:
        pool = parse_source(self.pool.source)
        options = {key: value for key, value in pool.options.items() if key != "n"}
        options |= {"n": str(self.choice.n), "select": self.choice.select}
        options |= {} if self.choice.of is None else {"of": str(self.choice.of)}
        return source_string(f"{pool.kind}{':' * bool(pool.path)}{pool.path}", options)

    @property
    def description(self) -> str:
        of = f"the first {self.choice.of}" if self.choice.of else "all"
        return f"{self.pool.description} {self.choice.n} of {of} rows, {WORDS[self.choice.select]}."

    def problems(self) -> list[Problem]:
        pool = self.pool.problems()
        return [pool[i] for i in self._chosen]

    def rows(self) -> list[Row]:
        return [self._rows[i] for i in self._chosen]

    @cached_property
    def _rows(self) -> list[Row]:
        return self.pool.rows()

    @cached_property
    def _chosen(self) -> list[int]:
        """Indices of the chosen rows in the pool."""
        n, rows = self.choice.n or 0, self._rows
        if n > len(rows):
            raise UserError(f"{self.text}: n={n} is more than the {len(rows)} rows to choose from")
        places = list(range(len(rows)))
        if self.choice.select == "random":
            seed = parse_source(self.pool.source).options.get("seed", "")  # of the canonical source, without defaults
            random.Random(f"choose:{seed}").shuffle(places)
            return places[:n]
        lengths = [len(row.thinking or "") + len(row.response) for row in rows]
        shortest, longest = (sorted(places, key=lambda i: sign * lengths[i]) for sign in (1, -1))
        if self.choice.select == "shortest":
            return shortest[:n]
        if self.choice.select == "longest":
            return longest[:n]
        ends = dict.fromkeys(
            i for pair in zip(shortest, longest, strict=True) for i in pair
        )  # a row may be in both lists
        return list(ends)[:n]
