"""How much of what a model is measured on is in what it was trained on, for the run's record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlready.core.records import Problem, Row
from rlready.runs.record import Overlap
from rlready.runs.run import Run
from rlready.tasks.dagmath.graph import template
from rlready.tasks.dagmath.meta import COLUMN, from_meta, graph_of
from rlready.tasks.dagmath.task import DagTask
from rlready.tasks.ngrams import shared_and_near, word_count
from rlready.tasks.overlap import prompt_of
from rlready.tasks.protocol import Task
from rlready.tasks.rows import RowsTask
from rlready.tasks.subset import Subset

MOST_WORDS = 20_000_000  # of two sets together, which take about 40 seconds and 2 GB


@dataclass(frozen=True)
class DataSet:
    """Items of a task, under the ``id`` that the record has for them."""

    id: str
    task: Task
    items: Sequence[Problem | Row]


def overlap_of(training: DataSet, held: DataSet) -> Overlap:
    """How many held-out items overlap with training ones, by their prompts."""
    prompts, own = ([item.prompt for item in each.items] for each in (training, held))
    known = {prompt_of(item) for item in training.items}
    equal = [prompt_of(item) in known for item in held.items]
    shared = near = None
    if word_count(prompts) + word_count(own) <= MOST_WORDS:
        sharing, similar = shared_and_near(own, prompts)
        shared = sum(same or prompt in sharing for same, prompt in zip(equal, own, strict=True))
        near = sum(same or prompt in similar for same, prompt in zip(equal, own, strict=True))
    return Overlap(
        training=training.id,
        held=held.id,
        n_training=len(training.items),
        n=len(held.items),
        exact=sum(equal),
        shared_ngram=shared,
        near=near,
        same_template=_same_template(training, held),
    )


def warn_of_near(run: Run, what: str, found: Overlap) -> None:
    """Warn of items that are nearly those that were trained on; those of a generator all resemble each other."""
    if found.near and found.near > found.exact and found.same_template is None:
        run.warn(
            f"{found.near - found.exact} of {found.n} {what} are near-duplicates of training prompts "
            f"({found.training}), so what is measured on them looks better than it is"
        )


def apart(training: Task, held: Task) -> bool:
    """Whether both are generated, from the two splits, which have no graph template in common."""
    return {each.options.split for each in (training, held) if isinstance(each, DagTask)} == {"train", "test"}


def _same_template(training: DataSet, held: DataSet) -> int | None:
    """How many held-out problems have the graph template of a training problem; None if they are not generated."""
    if apart(training.task, held.task):
        return 0
    known, own = _templates(training), _templates(held)
    if known is None or own is None:
        return None
    trained = set(known)
    return sum(each in trained for each in own)


def _templates(data: DataSet) -> list[str] | None:
    task = data.task
    while isinstance(task, Subset):
        task = task.pool
    if not (isinstance(task, DagTask) or (isinstance(task, RowsTask) and COLUMN in task.table.rows[0][1])):
        return None
    chosen = {item.id for item in data.items}
    graphs = [graph_of(problem.meta) for problem in data.task.problems() if problem.id in chosen]
    return [template(from_meta(graph)[0]) for graph in graphs if graph]
