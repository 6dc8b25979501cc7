"""Which files of a folder are read: the only one, or those of the tasks that ``task=`` chooses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.interchange.rollouts import Request
from rlready.tasks.columns import Batch
from rlready.tasks.files import stem_of
from rlready.tasks.source import escaped

DATE = r"\d{4}-\d\d-\d\dT[^_]*"
DATED = re.compile(rf"{DATE}_(.+)_[^_]+|(.+)_{DATE}")  # Inspect's DATE_TASK_ID, or TASK_DATE, in the name of a file
PREFIX = re.compile(r"(samples|details)_")  # of lm-eval and lighteval
NAMED = 8  # tasks in an error line


def only_file(request: Request, files: Sequence[Path], what: str) -> Path:
    """The file; UserError if there are several, which hold ``what``, with the command for files of one task."""
    if len(files) > 1:
        dated = all(DATED.fullmatch(stem_of(file.name)) for file in files)
        alike = dated and len(set(map(task_of, files))) == 1
        fix = f"or each that is of a checkpoint: {request.each(files)}" if alike else f"as in {request.each(files[:1])}"
        raise UserError(f"{request.text}: holds {what}; name one of the files, {fix}")
    return files[0]


def task_of(file: Path) -> str:
    """The task in the name of a file."""
    dated = DATED.fullmatch(stem_of(file.name))
    return PREFIX.sub("", (dated[1] or dated[2]) if dated else stem_of(file.name), count=1)


def is_chosen(task: str, wanted: str) -> bool:
    """Whether a task is the one that is named, or one of a pattern."""
    return task == wanted or fnmatchcase(task, wanted)


def read_tasks(
    request: Request, files: Sequence[Path], read: Callable[[Request, Path, str], Iterator[Batch]]
) -> Iterator[Batch]:
    """What ``read`` reads from the file of each task; UserError if tasks are judged by different metrics."""
    verdict = ""
    for task, file in _of_tasks(request, files).items():
        for batch in read(request, file, task):
            metric = batch.named[0]
            if verdict and metric != verdict and not request.verified:
                raise UserError(
                    f"{file}: its metric is {metric}, and {verdict} that of the task before: choose tasks of one "
                    "metric with ?task=, or name problems= to have the texts verified"
                )
            verdict = metric
            yield batch


def _of_tasks(request: Request, files: Sequence[Path]) -> dict[str, Path]:
    """The file of each task that is read: of the only one, or of those whose names match ``task=``.

    UserError for several tasks of which none is chosen, and for several files of one task.
    """
    of_task = defaultdict[str, list[Path]](list)
    for file in files:
        of_task[task_of(file)].append(file)
    wanted = request.options.task
    chosen = [task for task in sorted(of_task) if not wanted or is_chosen(task, wanted)]
    if not chosen:
        raise UserError(f"{request.text}: no task {wanted}; {nearest(wanted, sorted(of_task))}")
    if len(chosen) > 1 and not wanted:
        names = ", ".join(chosen[:NAMED]) + (f" and {len(chosen) - NAMED} more" if len(chosen) > NAMED else "")
        raise UserError(
            f"{request.text}: holds the samples of several tasks ({names}); choose one, as in "
            f"?task={escaped(chosen[0])}, or a group of them that is read as one set of problems, as in ?task=math_*"
        )
    return {task: only_file(request, of_task[task], f"several files of {task}") for task in chosen}
