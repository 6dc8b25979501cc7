"""The base class of tasks: problems, worked rows, a verifier, and the chance level of guessing.

The verifier is not the reward: a reward may depend on length or be dense, while checkpoints are always chosen by the
verifier.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.runs.seen import Seen
from rlready.tasks.answers.extract import final_answer
from rlready.tasks.answers.given import runs_on
from rlready.tasks.answers.verify import exact_number, judge
from rlready.tasks.guess_baseline import two_fold
from rlready.tasks.source import Source, canonical, options_from

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Verdict:
    """The verifier's judgement of a response.

    ``strict``: every step is correct too (None where the task cannot tell).  ``reason``: why the response is incorrect,
    if that is known.  ``run_on``: the text continues with an invented turn, such as a next question, which was not
    verified.  ``undecided``: the verifier raised or ran out of time; the response counts as incorrect.  ``traceback``:
    where it raised.
    """

    correct: bool
    strict: bool | None = None
    reason: str = ""
    run_on: bool = False
    undecided: bool = False
    traceback: str = ""


@dataclass(frozen=True)
class Fault:
    """A wrong step: where it begins and ends in a thought, in characters, and why it is wrong.

    ``kind`` is what kind of fault it is, in a few words that are the same for all of its kind, "" if there are none.
    ``open``: the thought ends inside of it, or before what it is missing, for which begin and end are its own end.
    """

    begin: int
    end: int
    reason: str
    kind: str = ""
    open: bool = False


@dataclass
class Tally:
    """The responses verified by a task so far, and how many its verifier left undecided."""

    asked: int = 0
    undecided: int = 0


Asked = Sequence[tuple[Problem, tuple[str, str]]]  # responses to be verified, as (thinking, answer)


@dataclass(frozen=True)
class TaskOptions:
    """Options of a task that declares none: how many problems (None: all), and the seed of a shuffle."""

    n: int | None = None
    seed: int | None = None


class Task(ABC):
    """A source of problems, opened with ``open_task``; a subclass defines ``problems`` and overrides what differs.

    ``defaults`` is a dataclass instance: its fields, ``n`` among them, are the options that a source string can set,
    and ``options`` are their values.  ``source`` is the source string in its shortest form, so that equal tasks have
    equal sources.  ``path`` is the local file that holds the data, None if there is none, and ``seen`` what was there
    before it was read.  ``licence`` is the licence
    of the data, as an id of the Hugging Face hub; None: it is the one stated beside ``path``, if any.
    """

    defaults: ClassVar[DataclassInstance] = TaskOptions()
    path: Path | None = None
    seen: Seen | None = None
    licence: str | None = None

    def __init__(self, source: Source, defaults: DataclassInstance | None = None) -> None:
        """``defaults`` in place of those of the class, where they depend on the source."""
        usual = self.defaults if defaults is None else defaults
        self.options = options_from(source, usual)
        self.source = canonical(source, self.options, usual)

    @cached_property
    def tally(self) -> Tally:
        return Tally()

    @property
    def description(self) -> str:
        """One plain sentence."""
        return f"{len(self.problems())} problems of {self.source}."

    @abstractmethod
    def problems(self) -> list[Problem]:
        """The same list at every call; a smaller ``n`` gives a prefix of it."""

    def rows(self) -> list[Row]:
        """Worked rows for SFT with the ids, and in the order, of the problems; UserError if there are none."""
        raise UserError(f"{self.source}: this task has no worked rows; name another source of rows")

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """Whether a response is correct, in bounded time and for any text; by default, by equality of final answers."""
        correct = judge(problem.answer, answer)
        reason = {None: "comparing its formula took too long", True: "", False: "the answer is incorrect"}[correct]
        return Verdict(bool(correct), None, reason, runs_on(problem.answer, answer), undecided=correct is None)

    def first_fault(self, problem: Problem, thinking: str) -> Fault | None:
        """The first wrong step of a thought, to be marked in it; None without one, or if the task checks no steps."""
        return None

    def verify_batch(self, asked: Asked) -> Sequence[Verdict] | None:
        """The verdicts on many responses, if that is faster than one at a time; None to call ``verify`` for each."""
        return None

    def compares(self, problem: Problem) -> str | None:
        """The reference answer if ``verify`` decides by ``same_answer``, so that texts can be compared in parallel.

        None if this problem is verified in another way.
        """
        return problem.answer if type(self).verify is Task.verify else None

    def place(self, id: str) -> str:
        """Where the problem of this id is, for error lines: a file and line where there is one."""
        return f"{self.source} {id}"

    def answer_key(self, problem: Problem) -> str:
        """The answer as it could be guessed without reading the prompt: values, no variable names."""
        answer = final_answer(problem.answer)
        number = exact_number(answer)
        return " ".join(answer.split()) if number is None else str(number)

    def chance(self, k_values: Sequence[int]) -> dict[int, float]:
        """pass@k of guessing the k most common answers without reading the prompt, for every k.

        A problem without an answer counts as never guessed.
        """
        return two_fold([self.answer_key(p) or f"unknown answer of {p.id}" for p in self.problems()], k_values)
