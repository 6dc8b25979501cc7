"""Tasks: problems, worked rows and verifiers.  Open one with ``open_task``."""

from __future__ import annotations

from rlready.core.errors import UserError
from rlready.core.import_path import load_object
from rlready.tasks.dagmath.task import DagTask
from rlready.tasks.gsm8k import Gsm8kTask
from rlready.tasks.gym import GymTask
from rlready.tasks.held_out import HELD_OUT, HeldOut
from rlready.tasks.protocol import Task, TaskOptions, Verdict
from rlready.tasks.rows import RowsTask
from rlready.tasks.select import KEYS, Selected
from rlready.tasks.source import Source, parse_source
from rlready.tasks.tasksets import TasksetTask
from rlready.tasks.verdicts import verify_all

__all__ = ["Task", "TaskOptions", "Verdict", "open_task", "verify_all"]

TASKS: dict[str, type[Task]] = {
    "dagmath": DagTask,
    "gsm8k": Gsm8kTask,
    "gym": GymTask,
    "rows": RowsTask,
    "verifiers": TasksetTask,
}


def open_task(source: str, *, limit: int | None = None) -> Task:
    """The task that a source string names, with at most ``limit`` problems.

    Sources are ``dagmath?ops=8&asked=3``, ``gsm8k:PATH?split=test``, ``gym:chain_sum?n=100``, ``verifiers:NAME``, the
    path of a table or a folder of shards, a hub id such as ``openai/gsm8k?config=main``, both with
    ``?verifier=pkg.module:function``, or ``pkg.module:MyTask?key=value`` for a subclass of `Task`; with
    ``&n=1000&select=shortest&of=4000`` a choice of its rows, and with ``&held_out=1`` what training holds out of it.
    Raises UserError for a string that is none of these.
    """
    parsed = parse_source(source, limit)
    return HeldOut(parsed, _open) if HELD_OUT in parsed.options else _open(parsed)


def _open(source: Source) -> Task:
    return Selected(source, _open_all) if source.options.keys() & set(KEYS) else _open_all(source)


def _open_all(source: Source) -> Task:
    return (TASKS.get(source.kind) or _task_class(source))(source)


def _task_class(source: Source) -> type[Task]:
    """The class that a source names by import path."""
    name = f"{source.kind}:{source.path}"
    try:
        found = load_object("task", name)
    except UserError as error:
        raise UserError(f"{error}; the built-in tasks are {', '.join(TASKS)}") from None
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise UserError(f"task={name}: must be a subclass of rlready.tasks.Task")
    if not hasattr(found.defaults, "n"):
        raise UserError(f"task={name}: its defaults need a field n, the number of problems (None: all)")
    return found
