"""What a run trains on and what it holds out: named, or split from the training data; overlap is said and recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.records import Problem, Row
from rlready.runs.run import Run
from rlready.tasks import Task, open_task
from rlready.tasks.contamination import DataSet, overlap_of, warn_of_near
from rlready.tasks.overlap import Item, shared_ids, split_off, warn_of_repeats
from rlready.tasks.trained_prompts import VALIDATION, warn_of_trained

ENDS = 2  # evaluations that there always are: before the first step and after the last


@dataclass(frozen=True)
class Data(Generic[Item]):
    """The training items of ``task`` and the held-out ones of ``held_task``, which is the same task after a split.

    ``held_id`` is what the record calls the held-out ones.
    """

    task: Task
    held_task: Task
    training: list[Item]
    held: list[Item]
    held_id: str

    @property
    def held_set(self) -> DataSet:
        return DataSet(self.held_id, self.held_task, self.held)


@dataclass(frozen=True)
class _Names:
    """What the two sets are called: their settings, roles in the record, and items in a sentence."""

    training: str
    held: str
    role: str
    held_role: str
    item: str


def problems_of(config: RLConfig, run: Run) -> Data[Problem]:
    """The training and the validation problems; UserError for too few.

    Where all validation problems are training problems, as all held-out rows of SFT may be training rows, this is
    warned of and not refused: whether a few examples can be learned at all is a common first test.
    """
    names = _Names("problems", "validation", "rl", VALIDATION, "problem")
    data = _data(config.problems, config.validation, names, run, lambda task: task.problems())
    if len(data.training) < config.prompts_per_step:
        after = "" if config.validation else f", without the {len(data.held)} validation problems split from them,"
        raise UserError(
            f"{config.problems}: {len(data.training)} problems{after} are fewer than "
            f"prompts_per_step={config.prompts_per_step}; set prompts_per_step={len(data.training)} or name more "
            "problems"
        )
    _warn_of_overlap(data, names, run)
    warn_of_trained(run, VALIDATION, data.held_set, [config.model])
    _say_validation_cost(config, len(data.held), run)
    return data


def rows_of(config: SFTConfig, run: Run) -> Data[Row]:
    """The training and the held-out rows."""
    names = _Names("rows", "heldout", "sft", "held-out loss", "row")
    data = _data(config.rows, config.heldout, names, run, lambda task: task.rows())
    _warn_of_overlap(data, names, run)
    return data


def _data(source: str, held_source: str, names: _Names, run: Run, items_of: Callable[[Task], list[Item]]) -> Data[Item]:
    """Both sets, noted in the run's record."""
    task = held_task = open_task(source)
    training, held_id = items_of(task), ""
    if held_source:
        held_task = open_task(held_source)
        held, held_id = items_of(held_task), held_task.source
    else:
        whole = len(training)
        training, held = split_off(training, source, names.held)
        held_id = f"{task.source} (split: {len(held)} of {whole})"
        note(
            f"{run.verb}: {names.held} is not set: {len(held)} of the {whole} {names.item}s of {source} are held out, "
            f"the same ones whatever the seed; {len(training)} are left for training"
        )
    for each, id, size, role in (
        (task, task.source, len(training), names.role),
        (held_task, held_id, len(held), names.held_role),
    ):
        run.note_data(id=id, path=each.path, seen=each.seen, licence=each.licence, size=size, role=role)
    return Data(task, held_task, training, held, held_id)


def _warn_of_overlap(data: Data[Item], names: _Names, run: Run) -> None:
    for setting, items in ((names.training, data.training), (names.held, data.held)):
        warn_of_repeats(run, setting, items)
    found = overlap_of(DataSet(data.task.source, data.task, data.training), data.held_set)
    run.note_overlap(found)
    warn_of_near(run, f"{names.held} {names.item}s", found)
    number, shared = found.n, found.exact
    if shared:
        how_many = f"all {number}" if shared == number else f"{shared} of {number}"
        says = "shows no generalisation" if shared == number else "looks better than it is"
        run.warn(
            f"{names.training} and {names.held} overlap: {how_many} {names.held} {names.item}s have the prompt of a "
            f"training {names.item}, so what is measured on them {says}; name others, or leave {names.held} out, which "
            f"splits it from {names.training}"
        )
    if ids := shared_ids(data.training, data.held):
        note(f"{run.verb}: {ids} ids are in {names.training} and in {names.held} with different prompts")


def _say_validation_cost(config: RLConfig, problems: int, run: Run) -> None:
    """Say so if validation samples more responses than training does."""
    evaluations = 1 + -(-config.steps // config.eval_every)
    responses = evaluations * problems * config.eval_samples
    rollouts = config.steps * config.prompts_per_step * config.group_size
    if responses > rollouts:
        fewer = f"raise eval_every={config.eval_every}, " if evaluations > ENDS else ""
        note(
            f"{run.verb}: validation takes {responses:,} responses ({evaluations} evaluations of {problems} problems, "
            f"eval_samples={config.eval_samples}), more than the {rollouts:,} rollouts of training: lower "
            f"eval_samples, {fewer}or validate on fewer problems with ?n="
        )
