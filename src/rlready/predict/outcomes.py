"""The outcomes of RL from checkpoints, read from tables (`outcome_table.py`) or from run folders.

A folder of ``rlready rl`` gives the accuracy of its best checkpoint on the validation problems.  If folders of
``rlready evaluate`` are named too, their accuracy is used instead.  The cost is the run's CPU seconds, or its wall
seconds times the number of GPUs that it used.  The beginning of its log gives predictors, too (`early.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from rlready.core.errors import UserError
from rlready.core.messages import note_once, remark, warn
from rlready.core.missing import did_you_mean
from rlready.core.records import Estimate
from rlready.core.result import RESULT
from rlready.evaluate.result import EvaluateResult
from rlready.interchange.trl import STATE, states_in
from rlready.predict.comparable import refuse_unlike_conditions, refuse_unlike_content
from rlready.predict.early import early
from rlready.predict.meaning import evaluated, validated
from rlready.predict.outcome import Outcome
from rlready.predict.outcome_table import RUNS, read_outcomes
from rlready.predict.run_cost import cost_of
from rlready.runs.checkpoint_order import step_of
from rlready.runs.content import has_content
from rlready.runs.lineage import run_of
from rlready.runs.record import DONE, RECORD, RunRecord, is_edited
from rlready.runs.results import is_finished, load_result, refuse_damaged, refuse_unfinished
from rlready.tasks.files import TABLES
from rlready.train.result import RLResult

MEASURE = "rlready readiness CHECKPOINT... problems=FILE --out runs/ready"
FIRST = f"measure checkpoints first, {MEASURE}, then rank them, rlready predict runs/ready"


@dataclass(frozen=True)
class Found:
    """The contents of ``runs=``: run folders of readiness, and outcomes; ``files`` are those read, to be hashed."""

    readiness: list[Path]
    outcomes: list[Outcome]
    files: list[Path]


def find_runs(words: Sequence[str]) -> Found:
    """Sort run folders and tables by their contents; UserError for a path that is neither, and for runs that have read
    different content under one name.

    An unfinished run is left out, with a note; UserError if it is the only one of readiness.
    """
    readiness: list[Path] = []
    unfinished: list[Path] = []
    tables: list[Path] = []
    folders: dict[str, list[Path]] = {"rl": [], "evaluate": []}
    for path in _unfold(map(Path, words)):
        if not path.is_dir():
            tables.append(path)
            continue
        record = RunRecord.load(path)
        if record.status != DONE:
            remark(f"predict: {path} is left out: {record.verb} has not finished ({record.short_status})")
            unfinished += [path] if record.verb == "readiness" else []
            continue
        refuse_unfinished(path)
        if record.verb == "readiness":
            readiness.append(path)
        elif record.verb in folders:
            folders[record.verb].append(path)
    listed = [outcome for table in tables for outcome in read_outcomes(table)]
    for outcome in listed:
        folder = Path(outcome.readiness)
        if outcome.readiness and not (folder / RESULT).is_file():
            raise UserError(f"{outcome.where}: no readiness run in {folder}")
        if outcome.readiness and folder not in readiness:
            readiness.append(folder)
    if unfinished and not readiness:
        refuse_unfinished(unfinished[0])
    runs = [*readiness, *folders["rl"], *folders["evaluate"]]
    listed_runs = [run for outcome in listed for run in outcome.runs]
    _refuse_copies([*runs, *listed_runs])
    refuse_unlike_content([*runs, *listed_runs])
    outcomes = listed + _from_folders(folders["rl"], folders["evaluate"])
    _refuse_unlike_curves(listed)
    _refuse_shared_curves(listed)
    for family in dict.fromkeys(outcome.family for outcome in listed):
        refuse_unlike_conditions(run for outcome in listed if outcome.family == family for run in outcome.runs)
    curves = list(dict.fromkeys(file for outcome in listed for file in outcome.curve_files))
    return Found(readiness, outcomes, [*tables, *curves, *(folder / RESULT for folder in runs)])


def _unfold(paths: Iterable[Path]) -> Iterable[Path]:
    """Runs and tables; a sweep is replaced by its table and readiness runs, a composite run by the runs in it."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such folder or file; {FIRST}{did_you_mean(str(path))}")
        _refuse_bare_curve(path)
        if path.is_file():
            if not path.name.endswith(TABLES):
                raise UserError(f"{path}: a table of outcomes ends in {', '.join(TABLES)}")
            yield path
            continue
        if not (path / RECORD).is_file():
            raise UserError(f"{path}: not a run folder, {RECORD} is missing; {FIRST}")
        record = RunRecord.load(path)
        if record.verb == "sweep":
            if not (path / RUNS).is_file():
                raise UserError(f"{path}: this sweep has no {RUNS} yet; run it to its end")
            refuse_damaged(path, path / RUNS)
            if record.status != DONE:
                remark(f"predict: {path} has not finished ({record.short_status}): only what is done is ranked")
            if (path / RUNS).stat().st_size:
                yield path / RUNS
            else:
                remark(f"predict: {path} has no outcome of RL yet: its checkpoints are ranked by readiness alone")
            yield from _readiness_of(path, record)
        elif record.verb == "demo":
            inside = sorted(file.parent for file in path.glob(f"*/{RECORD}"))
            # the greedy responses of the same models are no second outcome
            yield from _unfold(run for run in inside if RunRecord.load(run).config.get("temperature") != 0)
        else:
            yield path


def _refuse_bare_curve(path: Path) -> None:
    """UserError for what a trainer has logged, which belongs into a table of outcomes."""
    if path.name == STATE or (path.is_dir() and not (path / RECORD).is_file() and states_in(path)):
        row = json.dumps({"checkpoint": "runs/sft/checkpoints/step-100", "curve": str(path)}, ensure_ascii=False)
        raise UserError(
            f"{path}: the learning curve of a run, which does not say where it started: name a table, such as "
            f"outcomes.jsonl, with a line for each run: {row}"
        )


def _readiness_of(sweep: Path, record: RunRecord) -> list[Path]:
    """The readiness runs of a sweep; of a finished one those that its file has still, by its result."""
    found = sorted(inside.parent for inside in sweep.glob(f"readiness/*/{RECORD}"))
    result = load_result(sweep) if record.status == DONE and (sweep / RESULT).is_file() else None
    named: Sequence[str] = getattr(result, "readiness", ())
    kept = [run for run in found if str(run.relative_to(sweep)) in named] if named else found
    if left := [run for run in found if run not in kept]:
        others = f" and {len(left) - 1} other runs are" if left[1:] else " is"
        remark(f"predict: {left[0]}{others} left out, which the file of {sweep} has no more")
    return kept


def _refuse_unlike_curves(outcomes: Sequence[Outcome]) -> None:
    """UserError for two outcomes of a family that are other values of their curves, as last and best."""
    first: dict[str, Outcome] = {}
    for outcome in outcomes:
        one, other = (each.curve.partition(" of ")[0] for each in (first.setdefault(outcome.family, outcome), outcome))
        if one != other:
            raise UserError(
                f"{outcome.where}: the outcome is {other or 'a number'}, but in {first[outcome.family].where} it is "
                f"{one or 'a number'}; take the same of all, name a table's column alike, or give them two families"
            )


def _refuse_shared_curves(outcomes: Sequence[Outcome]) -> None:
    """UserError for one curve, of one metric of a file, that is the outcome of two checkpoints of a family."""
    first: dict[tuple[str, str, tuple[Path, ...]], Outcome] = {}
    for outcome in (each for each in outcomes if each.curve_files):
        files = tuple(file.resolve() for file in outcome.curve_files)
        before = first.setdefault((outcome.family, outcome.curve_metric, files), outcome)
        if before.checkpoint != outcome.checkpoint:
            raise UserError(
                f"{outcome.where}: {outcome.checkpoint} has the curve {files[0]}, which is that of {before.checkpoint} "
                f"in {before.where}: name the curve of the run that started from it"
            )


def _from_folders(rl: Sequence[Path], evaluate: Sequence[Path]) -> list[Outcome]:
    """The outcome of every RL run; if any was evaluated, only of those, because the problems differ otherwise."""
    measured: dict[Path, tuple[Estimate, Path, str]] = {}
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
                if run in measured and measured[run][1] == folder:
                    raise UserError(
                        f"{folder} holds two checkpoints of one run of RL, {measured[run][2]} and {model}: evaluate "
                        "without the one that is not the outcome of the run, and name that evaluation instead"
                    )
                if run in measured:
                    raise UserError(f"{run} is evaluated twice, in {measured[run][1]} and {folder}: name one of them")
                measured[run] = (largest.scores[model].accuracy, folder, model)
        if len(measured) == before:
            remark(
                f"predict: {folder} is left out: none of its models is a checkpoint of a run of rl that is found here"
            )
    refuse_unlike_conditions(folder for _, folder, _ in measured.values())
    for run in rl:
        if measured and run.resolve() not in measured:
            remark(f"predict: {run} is left out: its checkpoint was not evaluated, but those of other runs were")
    runs = list(measured or dict.fromkeys(folder.resolve() for folder in rl))
    named = {folder.resolve(): folder for folder in (*rl, *evaluate)}  # as the user calls them
    records = [RunRecord.load(run) for run in runs]
    settings = [{k: str(v) for k, v in r.config.items() if k not in ("model", "seed")} for r in records]
    varied = [key for key in (settings[0] if settings else ()) if len({s.get(key) for s in settings}) > 1]
    accuracies = [measured[run][0] if run in measured else RLResult.load(run).best.accuracy for run in runs]
    return [
        Outcome(
            str(record.config["model"]),
            accuracy.value,
            cost_of(record),
            str(record.config["seed"]),
            family=", ".join(f"{key}={each[key]}" for key in varied),
            where=str(run),
            predictors=early(run),
            meaning=evaluated(measured[run][1], step_of(measured[run][2])) if run in measured else validated(run),
            over_problems=accuracy,
            runs=(named.get(run, _from_here(run)), *([measured[run][1]] if run in measured else [])),
        )
        for run, record, each, accuracy in zip(runs, records, settings, accuracies, strict=True)
    ]


def _from_here(folder: Path) -> Path:
    """A folder that the user did not name, from the working directory if it is inside."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _was_overwritten(checkpoint: Path, evaluation: RunRecord, model: str, trained: RunRecord) -> bool:
    """Whether a checkpoint is not the one that was evaluated.

    If it is gone: whether the run has saved none of that name, or began later, by clocks.
    """
    digest = next((each.sha256 for each in evaluation.models if each.id == model), None)
    if digest and checkpoint.is_dir():
        note_once("predict: compares the checkpoints with those that were evaluated")
        return not has_content(checkpoint, digest)
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


def _refuse_copies(folders: Iterable[Path]) -> None:
    """UserError for a run folder that is a copy of another, and a warning for a record that was edited by hand."""
    first: dict[str, Path] = {}
    for folder in {folder.resolve(): folder for folder in folders if (folder / RECORD).is_file()}.values():
        for attempt in RunRecord.load(folder).shared_with_copies:
            if (other := first.setdefault(attempt, folder)) != folder:
                raise UserError(f"{folder} is a copy of {other}: leave one of them out")
        if is_edited(folder):
            warn(f"predict: warning: {folder / RECORD} was edited by hand: its checksum does not match")
