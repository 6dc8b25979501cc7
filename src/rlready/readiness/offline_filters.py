"""The filters of a table of samples: a response that was judged in several ways has several rows, of which one counts.

lm-evaluation-harness calls what judged a response its filter; other tools call it a metric, a scorer or a grader.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.readiness.passk import Ints
from rlready.tasks.columns import Batch

FILTERS = ("filter", "metric", "metric_name", "scorer", "scorer_name", "grader")


class Filters:
    """The filters of a table, read batch by batch, in its ``column``: the first of `FILTERS` that it has.

    ``values`` are those of the rows that are read.
    """

    def __init__(self) -> None:
        self.column = FILTERS[0]
        self.values: dict[str, None] = {}
        self._crossing: list[tuple[Ints, Ints]] = []  # problems, and codes of values

    def choose(self, columns: Collection[str]) -> None:
        """Take the column from those that the table has so far."""
        self.column = next((column for column in FILTERS if column in columns), FILTERS[0])

    def kept(self, batch: Batch, keep: NDArray[np.bool_], wanted: str | None) -> NDArray[np.bool_]:
        """(N,) the rows to ``keep`` that are of the filter ``wanted``, if one is; its values are noted."""
        codes, values = batch.distinct(self.column)
        for code in np.flatnonzero(np.bincount(codes[keep], minlength=len(values))):
            if values[code] is not None and (self.column == FILTERS[0] or isinstance(values[code], str)):
                self.values[str(values[code])] = None
        return keep & np.array([str(value) == wanted for value in values])[codes] if wanted else keep

    def note(self, batch: Batch, problem: Ints) -> None:
        """Note which of the problems (N,) of the rows have which value."""
        if self.column != FILTERS[0]:
            known = {name: code for code, name in enumerate(self.values)}
            codes, values = batch.distinct(self.column)
            self._crossing.append((problem, np.array([known.get(str(v), -1) for v in values], dtype=np.int64)[codes]))

    def refuse(self, where: str, wanted: str | None) -> None:
        """UserError if no row is of the filter ``wanted``."""
        if wanted and wanted not in self.values:
            why = nearest(wanted, list(self.values))
            raise UserError(f"{where}: no row has {self.column} = {wanted}; {why}")

    def refuse_crossed(self, where: str, problems: int, column_of_samples: str) -> None:
        """UserError if every sample seems to be there once for each filter."""
        if len(self.values) > 1 and self._crossed(problems):
            names = ", ".join(map(repr, self.values))[:200]
            raise UserError(
                f"{where}: every sample is there once for each {self.column} ({names}) and would be counted as often; "
                f"keep one with filter=NAME, or number the samples in a column {column_of_samples}"
            )

    def _crossed(self, problems: int) -> bool:
        """Whether every problem has each value as often as any other: then the rows may be several scores of one
        response.  Where responses are there they are compared instead."""
        if self.column == FILTERS[0]:
            return True
        if not self._crossing:
            return False
        problem, code = (np.concatenate(arrays) for arrays in zip(*self._crossing, strict=True))
        counts = np.zeros((problems, len(self.values)), dtype=np.int64)
        np.add.at(counts, (problem[code >= 0], code[code >= 0]), 1)
        return bool((counts == counts[:, :1]).all() and (counts > 0).all())
