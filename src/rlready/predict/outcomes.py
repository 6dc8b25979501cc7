"""The outcomes of RL from checkpoints, read from tables (`outcome_table.py`) or from run folders.

A folder of ``rlready rl`` gives the accuracy of its best checkpoint on the validation problems.  If folders of
``rlready evaluate`` are named too, their accuracy is used instead.  The cost is the run's CPU seconds, or its wall
seconds times the number of GPUs that it used.  The beginning of its log gives predictors, too (`early.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import remark, warn
from rlready.core.missing import did_you_mean
from rlready.core.result import RESULT
from rlready.interchange.trl import STATE, states_in
from rlready.predict.comparable import refuse_unlike_conditions, refuse_unlike_content
from rlready.predict.outcome import Outcome
from rlready.predict.outcome_table import RUNS, read_outcomes
from rlready.predict.run_outcomes import evaluations_of, outcomes_of
from rlready.runs.record import DONE, RECORD, RunRecord, is_edited
from rlready.runs.results import load_result, refuse_damaged, refuse_unfinished
from rlready.tasks.files import TABLES

MEASURE = "rlready readiness CHECKPOINT... problems=FILE --out runs/ready"
FIRST = f"measure checkpoints first, {MEASURE}, then rank them, rlready predict runs/ready"


@dataclass(frozen=True)
class Found:
    """The contents of ``runs=``: run folders of readiness, and outcomes; ``files`` are those read, to be hashed.

    ``unevaluated`` are outcomes of runs that are left out, as others were evaluated, in ``evaluation`` among them.
    """

    readiness: list[Path]
    outcomes: list[Outcome]
    files: list[Path]
    unevaluated: list[Outcome]
    evaluation: Path | None


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
    trained = {folder.resolve(): folder for folder in folders["rl"]}  # as the user calls them
    measured = evaluations_of(folders["rl"], folders["evaluate"])
    left = [run for run in trained if measured and run not in measured]
    outcomes = listed + outcomes_of(list(measured or trained), measured, trained)
    _refuse_unlike_curves(listed)
    _refuse_shared_curves(listed)
    _refuse_shared_runs(listed)
    for family in dict.fromkeys(outcome.family for outcome in listed):
        refuse_unlike_conditions(run for outcome in listed if outcome.family == family for run in outcome.runs)
    curves = list(dict.fromkeys(file for outcome in listed for file in outcome.curve_files))
    files = [*tables, *curves, *(folder / RESULT for folder in runs)]
    evaluation = next((each.folder for each in measured.values()), None)
    return Found(readiness, outcomes, files, outcomes_of(left, {}, trained), evaluation)


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


def _refuse_shared_runs(outcomes: Sequence[Outcome]) -> None:
    """UserError for one run of RL, or one model that was evaluated, which has two outcomes in a family, as if it were
    two seeds or had two starts."""
    first: dict[tuple[str, Path], Outcome] = {}
    models: dict[tuple[str, str], Outcome] = {}
    for outcome in outcomes:
        before = models.setdefault((outcome.family, outcome.evaluated), outcome) if outcome.evaluated else outcome
        if before is not outcome:
            raise UserError(
                f"{outcome.where}: {before.where} gives the accuracy of the same model: name the evaluation of what "
                "RL made of each, or, if RL has kept it twice, both runs of RL in a column run"
            )
        for run in (each for each in outcome.runs if RunRecord.load(each).verb == "rl"):
            if (before := first.setdefault((outcome.family, run.resolve()), outcome)) is not outcome:
                raise UserError(f"{outcome.where}: an outcome of {run}, of which {before.where} has one, too: name one")


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


def _refuse_copies(folders: Iterable[Path]) -> None:
    """UserError for a run folder that is a copy of another, and a warning for a record that was edited by hand."""
    first: dict[str, Path] = {}
    for folder in {folder.resolve(): folder for folder in folders if (folder / RECORD).is_file()}.values():
        for attempt in RunRecord.load(folder).shared_with_copies:
            if (other := first.setdefault(attempt, folder)) != folder:
                raise UserError(f"{folder} is a copy of {other}: leave one of them out")
        if is_edited(folder):
            warn(f"predict: warning: {folder / RECORD} was edited by hand: its checksum does not match")
