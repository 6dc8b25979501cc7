"""Problems of a taskset of verifiers 0.4 (Prime Intellect): ``verifiers:NAME?n=500``.

NAME is an installed package that exports a ``Taskset``, as the Environments Hub has them, and the other options are the
settings of its config that are single numbers or words, such as ``split=test``.  A problem is a task: one question,
with a system prompt if it has one.  A response is correct if the task's rewards, by their weights, add up to
``threshold`` (1) or more; they see the text after the thought.

Only tasksets whose rewards need nothing but that text are problems here.  What needs more is refused: tools, a judge
model, files or commands in a runtime, or an environment or a harness of the package's own.

The package is code that the source names: it is imported here for the problems, and scores responses in a process of
its own, which bounds it (`verifier_process.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.models.one_line import one_line
from rlready.tasks.protocol import Asked, Task, Verdict
from rlready.tasks.source import Source
from rlready.tasks.verifier import Named
from rlready.tasks.verifier_process import load_verifier

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OWN = ("n", "threshold")  # options that are not settings of the taskset


class TasksetTask(Task):
    """Problems of a taskset of verifiers; see the module docstring."""

    def __init__(self, source: Source) -> None:
        self.name, self._library = source.path, _library(source.text)
        super().__init__(source, _options(self._library.simple_settings(source.text, source.path)))
        self._settings = dataclasses.asdict(self.options)
        self._n, threshold = (self._settings.pop(name) for name in OWN)
        self._verifier = load_verifier(Named(self._library.SCORER, threshold, "prompt", None))

    @property
    def description(self) -> str:
        return f"{len(self._problems)} tasks of the verifiers taskset {self.name}, scored by its rewards."

    def problems(self) -> list[Problem]:
        return list(self._problems)

    @cached_property
    def _problems(self) -> list[Problem]:
        found: list[Problem] = self._library.problems_of(self.source, self.name, self._settings, self._n)
        self._refuse_judge(found[0])
        return found

    def _refuse_judge(self, problem: Problem) -> None:
        """UserError if a reward asks a judge model for the reference answer: else it would be found after sampling.

        Whatever else goes wrong here is for responses to show.
        """
        try:
            self._verifier(problem, "", problem.answer or "0")
        except UserError as error:
            if self._library.JUDGE in str(error):
                raise UserError(f"{self.source}: {error}") from None

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """By the task's rewards."""
        return self._verifier(problem, thinking, answer)

    def verify_batch(self, asked: Asked) -> Sequence[Verdict] | None:
        return self._verifier.verify_batch(asked)


def _library(where: str) -> ModuleType:
    """`verifiers_library.py`; UserError without verifiers."""
    try:
        from rlready.tasks import verifiers_library
    except ImportError as error:
        why = one_line(str(error))
        raise UserError(f"{where}: verifiers 0.4 is missing ({why}); pip install 'rlready[verifiers]'") from None
    return verifiers_library


def _options(settings: dict[str, bool | int | float | str]) -> DataclassInstance:
    """The options of a taskset, as a dataclass: n, threshold, and ``settings`` with their defaults."""
    fields: list[Any] = [("n", int | None, dataclasses.field(default=None))]
    fields.append(("threshold", float, dataclasses.field(default=1.0)))
    fields += [(k, type(v), dataclasses.field(default=v)) for k, v in settings.items() if k not in OWN]
    options: DataclassInstance = dataclasses.make_dataclass("TasksetOptions", fields, frozen=True)()
    return options
