"""What a table of samples says was asked: the prompt of each problem, and which ids stand beside several."""

from __future__ import annotations

import numpy as np

from rlready.interchange.rollouts import asked, context
from rlready.readiness.offline_samples import Asked, as_compared, digest
from rlready.readiness.passk import Ints
from rlready.tasks.columns import Batch

PROMPTS = ("prompt", "question")  # the first that a table has holds what was asked


def column_of_prompts(batch: Batch, problem: str) -> str:
    """The column of what was asked; ``problem``, that of the problems, where there is no other."""
    return next((column for column in PROMPTS if column in batch.columns), problem)


class Prompts:
    """The prompts of a table, read batch by batch: ``asked`` has that of each problem's first sample by id."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}
        self._several: dict[str, str] = {}  # ids with several prompts, and where another one is

    def note(self, batch: Batch, problem: Ints, ids: list[str], column_of_problems: str) -> None:
        """Read the prompts of a batch; ``problem`` (N,) are the problems of its rows, as indices of ``ids``."""
        column = column_of_prompts(batch, column_of_problems)
        if column == column_of_problems:
            return
        code = batch.distinct(column)[0]
        _, rows = np.unique(np.stack([problem, code]), axis=1, return_index=True)
        rows.sort()
        for row, prompt in zip(rows.tolist(), batch.values(column, rows), strict=True):
            if question := asked(prompt):
                name, place = ids[problem[row]], batch.origin.place(int(batch.lines[row]))
                first = self.asked.setdefault(name, Asked(question, place, context=digest(context(prompt, question))))
                if as_compared(first.text) != as_compared(question):
                    self._several.setdefault(name, place)

    def doubt(self, problems: int) -> str:
        """A doubt if one id stands beside several prompts; else ""."""
        if not self._several:
            return ""
        name, place = next(iter(self._several.items()))
        return (
            f"{len(self._several)} of {problems} ids stand beside several prompts (first {name[:80]!r}, in "
            f"{self.asked[name].place} and {place}): if these are several problems, their samples are mixed"
        )
