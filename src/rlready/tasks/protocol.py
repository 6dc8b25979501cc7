"""What every task offers: problems, worked rows, a verifier and the luck to be subtracted.

The verifier is not the reward: a reward may add terms for length or be dense, while checkpoints are always
chosen by the verifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from rlready.core.records import Problem, Row


@dataclass(frozen=True)
class Verdict:
    """``strict``: also every step is right (None where the task cannot tell); ``reason``: why not, if known.

    ``run_on``: the text goes on with a turn that it invents, such as a next question, which was not judged.
    """

    correct: bool
    strict: bool | None = None
    reason: str = ""
    run_on: bool = False


@runtime_checkable
class ComparesAnswers(Protocol):
    """A task that judges by ``verify.same_answer``: many texts can be compared beforehand, in parallel."""

    def compares(self, problem: Problem) -> str | None:
        """The right answer that a text is compared with; None if this problem is judged otherwise."""
        ...


class Task(Protocol):
    """A source of problems, opened with ``open_task``."""

    @property
    def source(self) -> str:
        """The source string in its shortest form, keys in a fixed order: equal tasks have equal sources."""
        ...

    @property
    def path(self) -> Path | None:
        """The local file that holds the data; None where it is generated or on the hub."""
        ...

    @property
    def description(self) -> str:
        """One plain sentence."""
        ...

    @property
    def licence(self) -> str | None:
        """The licence of the data where it is stated, else None."""
        ...

    def problems(self) -> list[Problem]:
        """The same list at every call; a smaller ``n`` gives a prefix of it."""
        ...

    def rows(self) -> list[Row]:
        """Worked rows for SFT with the ids, and in the order, of the problems; UserError if there are none."""
        ...

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """Judge a model's text in bounded time; any text gets a verdict."""
        ...

    def place(self, id: str) -> str:
        """Where the problem of this id stands, for error lines: a file and line where there is one."""
        ...

    def answer_key(self, problem: Problem) -> str:
        """The answer as a guesser who has not read the prompt could say it: values, no variable names."""
        ...

    def chance(self, k_values: Sequence[int]) -> dict[int, float]:
        """pass@k of guessing the k most common answers without reading the prompt, for every k."""
        ...
