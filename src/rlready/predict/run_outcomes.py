"""The outcomes of run folders of RL: the accuracy of their best checkpoints on the validation problems, or in runs of
evaluate, where any of them was evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from rlready.core.errors import UserError
from rlready.core.messages import note_once, remark, warn
from rlready.core.records import Estimate
from rlready.core.result import RESULT
from rlready.evaluate.result import EvaluateResult
from rlready.predict.comparable import refuse_unlike_conditions
from rlready.predict.early import early
from rlready.predict.meaning import evaluated, validated
from rlready.predict.outcome import Outcome
from rlready.predict.run_cost import cost_of
from rlready.runs.checkpoint_order import step_of
from rlready.runs.checksums import changed, inside
from rlready.runs.content import has_content
from rlready.runs.lineage import run_of
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.results import is_finished, refuse_damaged
from rlready.train.result import RLResult


@dataclass(frozen=True)
class Evaluated:
    """The accuracy at the largest budget of one ``model`` in the ``folder`` of an evaluation."""

    accuracy: Estimate
    folder: Path
    model: str


def evaluations_of(rl: Sequence[Path], evaluate: Sequence[Path]) -> dict[Path, Evaluated]:
    """What RL runs reached by evaluations, by the folder of the run; UserError for one that is evaluated twice, and for
    evaluations that are not comparable."""
    measured: dict[Path, Evaluated] = {}
    for folder in (*rl, *evaluate):
        refuse_damaged(folder, folder / RESULT)
    for folder in evaluate:
        result, record = EvaluateResult.load(folder), RunRecord.load(folder)
        before = len(measured)
        largest = result.budgets[-1]
        for model in result.models:
            checkpoint = record.located(folder, model)
            run = run_of(checkpoint)
            trained = RunRecord.load(run) if run and (run / RECORD).is_file() else None
            if run and trained and trained.verb == "rl":
                if _was_overwritten(checkpoint, record, model, trained):
                    raise UserError(
                        f"{run} was overwritten after {folder} had evaluated it, or is another run now: "
                        f"evaluate {model} again"
                    )
                if run in measured and measured[run].folder == folder:
                    raise UserError(
                        f"{folder} holds two checkpoints of one run of RL, {measured[run].model} and {model}: evaluate "
                        "without the one that is not the outcome of the run, and name that evaluation instead"
                    )
                if run in measured:
                    raise UserError(
                        f"{run} is evaluated twice, in {measured[run].folder} and {folder}: name one of them"
                    )
                measured[run] = Evaluated(largest.scores[model].accuracy, folder, model)
        if len(measured) == before:
            remark(
                f"predict: {folder} is left out: none of its models is a checkpoint of a run of rl that is found here"
            )
    refuse_unlike_conditions(each.folder for each in measured.values())
    for run in rl:
        if measured and run.resolve() not in measured:
            remark(f"predict: {run} is left out: its checkpoint was not evaluated, but those of other runs were")
    return measured


def outcomes_of(runs: Sequence[Path], measured: Mapping[Path, Evaluated], named: Mapping[Path, Path]) -> list[Outcome]:
    """The outcomes of RL runs: the accuracy that was ``measured``, or else that on the validation problems.

    ``named`` is what the user calls a folder.
    """
    records = [RunRecord.load(run) for run in runs]
    settings = [{k: str(v) for k, v in r.config.items() if k not in ("model", "seed")} for r in records]
    varied = [key for key in (settings[0] if settings else ()) if len({s.get(key) for s in settings}) > 1]
    return [
        Outcome(
            str(record.config["model"]),
            accuracy.value,
            cost_of(record),
            str(record.config["seed"]),
            family=", ".join(f"{key}={each[key]}" for key in varied),
            where=str(run),
            predictors=early(run),
            meaning=evaluated(there.folder, step_of(there.model)) if there else validated(run),
            over_problems=accuracy,
            runs=(named.get(run, _from_here(run)), *([there.folder] if there else [])),
        )
        for run, record, each in zip(runs, records, settings, strict=True)
        for there in [measured.get(run)]
        for accuracy in [there.accuracy if there else RLResult.load(run).best.accuracy]
    ]


def _from_here(folder: Path) -> Path:
    """A folder that the user did not name, from the working directory if it is inside."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _intact_since(checkpoint: Path, trained: RunRecord, time: str) -> bool:
    """Whether a checkpoint is what its run has saved, by the record of that, which began before a time."""
    run = checkpoint.parents[1]
    listed = any(inside(name, run, checkpoint) for name in trained.files)
    return listed and trained.start < time and changed(run, checkpoint, trained.files) is None


def _was_overwritten(checkpoint: Path, evaluation: RunRecord, model: str, trained: RunRecord) -> bool:
    """Whether a checkpoint is not the one that was evaluated.

    If it is gone: whether the run has saved none of that name, or began later, by clocks.
    """
    digest = next((each.sha256 for each in evaluation.models if each.id == model), None)
    if digest and checkpoint.is_dir():
        note_once("predict: compares the checkpoints with those that were evaluated")
        return not (has_content(checkpoint, digest) or _intact_since(checkpoint, trained, evaluation.start))
    run = checkpoint.parents[1]
    if PurePath(trained.folder).name not in ("", run.name):
        warn(
            f"predict: warning: {checkpoint} is gone, and {run} was called {trained.folder} when it was trained: it is "
            f"taken for the run of which {model} was evaluated, which nothing shows any more"
        )
    with suppress(UserError):  # a damaged result, which is not the outcome, says nothing against it
        if is_finished(run) and checkpoint.name not in {f"step-{each.step}" for each in RLResult.load(run).evaluations}:
            return True
    return trained.start > (evaluation.end or trained.start)
