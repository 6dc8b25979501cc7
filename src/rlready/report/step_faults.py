"""The first wrong step in each thought, found while the page is written, where the task can check steps."""

from __future__ import annotations

from rlready.core.errors import UserError
from rlready.core.records import Problem, SampleRow
from rlready.models.chat import CLOSE
from rlready.tasks import TASKS, open_task
from rlready.tasks.protocol import Fault, Task
from rlready.tasks.source import parse_source


def problems_with_steps(source: str) -> dict[str, tuple[Task, Problem]]:
    """The problems of a source by id with their task; none unless it is a built-in task that checks steps.

    A task of the user's own is not opened: to look at a run must not run its code.
    """
    try:
        kind = TASKS.get(parse_source(source).kind)
        if kind is None or kind.first_fault is Task.first_fault:
            return {}
        task = open_task(source)
        return {problem.id: (task, problem) for problem in task.problems()}
    except UserError:  # it is of another version
        return {}


def first_fault(row: SampleRow, known: dict[str, tuple[Task, Problem]], name: str) -> Fault | None:
    """The first wrong step of a sample of the problem ``name``; None without one, or where the thought has no end."""
    task, problem = known.get(name, (None, None))
    thought, close, _ = row["text"].partition(CLOSE)
    if task is None or problem is None or not close or problem.prompt != row.get("prompt"):
        return None
    return task.first_fault(problem, thought)
