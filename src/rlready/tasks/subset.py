"""A task whose problems are some of another's, which verifies them and knows where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.records import Problem
from rlready.tasks.protocol import Asked, Task, Verdict
from rlready.tasks.source import Source


class Subset(Task):
    """Some of the problems of ``pool``; a subclass sets ``source``, and chooses them in ``problems`` and ``rows``.

    Everything that is not a choice is the pool's.  So is the chance level: its larger number of problems gives a better
    estimate.
    """

    def __init__(self, source: Source, pool: Task) -> None:
        self.pool, self.text = pool, source.text
        self.path, self.seen, self.licence = pool.path, pool.seen, pool.licence

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        return self.pool.verify(problem, thinking, answer)

    def verify_batch(self, asked: Asked) -> Sequence[Verdict] | None:
        return self.pool.verify_batch(asked)

    def compares(self, problem: Problem) -> str | None:
        return self.pool.compares(problem)

    def place(self, id: str) -> str:
        return self.pool.place(id)

    def answer_key(self, problem: Problem) -> str:
        return self.pool.answer_key(problem)

    def chance(self, k_values: Sequence[int]) -> dict[int, float]:
        return self.pool.chance(k_values)
