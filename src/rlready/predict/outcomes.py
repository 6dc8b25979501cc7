"""The outcomes of RL from checkpoints, read from tables or from run folders.

A table (JSONL, JSON, Parquet) has the columns

    checkpoint   the name in readiness, or enough of the last parts of its path to identify it
    outcome      accuracy after RL, or another number of which more is better
    curve        the learning curve of a run (`curves.py`), from the table's folder; ``outcome`` is then the word last,
                 best or asymptote, by default last; ``metric`` names the number of a trainer's log
    cost         GPU or CPU seconds that RL took; optional
    seed         seed of RL; runs that differ only in the seed are averaged
    recipe       SFT recipe: runs of one recipe are not independent; by default a checkpoint's SFT run
    sft_seed     seed of SFT, for regret by seed; by default that of a checkpoint's SFT run
    family       runs that may be compared: one scenario, one RL recipe; by default all runs are one family
    predictor:…  a predictor of your own under any name, of which more is better; it is scored beside those of rlready

A folder of ``rlready rl`` gives the accuracy of its best checkpoint on the validation problems.  If folders of
``rlready evaluate`` are named too, their accuracy is used instead.  The cost is the run's CPU seconds, or its wall
seconds times the number of GPUs if it used any.  The beginning of its log gives predictors, too (`early.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import misnamed, nearest
from rlready.core.missing import did_you_mean
from rlready.core.progress import note
from rlready.core.result import RESULT
from rlready.core.text import in_one_line
from rlready.evaluate.result import EvaluateResult
from rlready.predict.cells import LARGEST, SMALLEST, is_number, number_of
from rlready.predict.comparable import refuse_unlike_conditions, refuse_unlike_content
from rlready.predict.curves import CHOICES, curve_file, outcome_of_curve
from rlready.predict.early import early
from rlready.predict.meaning import Meaning, evaluated, of_runs, validated
from rlready.runs.checkpoint_order import step_of
from rlready.runs.lineage import run_of
from rlready.runs.record import DONE, RECORD, RunRecord
from rlready.runs.results import refuse_damaged, refuse_unfinished
from rlready.tasks.files import TABLES
from rlready.tasks.table import Table, read_table
from rlready.train.result import RLResult

RUNS = "runs.jsonl"  # a sweep's table
LABELS = ("seed", "recipe", "family", "readiness", "sft_seed")
TAKEN = re.compile(
    r"(pass|cover|reward)@.*|group_signal|informative|entropy|distinct_answers|loss|combined|extrapolated.*"
)  # the names of predictors that rlready has, whether or not they are known of some checkpoints
OWN = "predictor:"  # begins the names of columns that hold predictors of the user's own
KNOWN = ("checkpoint", "outcome", "cost", *LABELS, "run", "evaluate", "curve", "metric")  # columns that are read
MEASURE = "rlready readiness CHECKPOINT... problems=FILE --out runs/ready"
FIRST = f"measure checkpoints first, {MEASURE}, then rank them, rlready predict runs/ready"


@dataclass(frozen=True)
class Outcome:
    """One RL run: its starting checkpoint and its outcome.

    ``readiness`` is the run folder that measured the former, ``runs`` are those of RL and of the evaluation, if known.
    ``curve`` says which value of which curve the outcome is, empty for a number that was given.  ``predictors`` are
    those that are known of the run besides readiness, by name; ``meaning`` says what the outcome is.
    """

    checkpoint: str
    value: float
    cost: float | None = None
    seed: str = ""
    recipe: str = ""
    family: str = ""
    readiness: str = ""
    sft_seed: str = ""
    where: str = ""
    curve: str = ""
    curve_file: Path | None = None
    runs: tuple[Path, ...] = ()
    predictors: Mapping[str, float] = field(default_factory=dict)
    meaning: Meaning = Meaning()


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
            note(f"predict: {path} is left out: {record.verb} has not finished ({record.short_status})")
            unfinished += [path] if record.verb == "readiness" else []
            continue
        refuse_unfinished(path)
        if record.verb == "readiness":
            readiness.append(path)
        elif record.verb in folders:
            folders[record.verb].append(path)
    listed = [outcome for table in tables for outcome in _from_table(table)]
    for outcome in listed:
        folder = Path(outcome.readiness)
        if outcome.readiness and not (folder / RESULT).is_file():
            raise UserError(f"{outcome.where}: no readiness run in {folder}")
        if outcome.readiness and folder not in readiness:
            readiness.append(folder)
    if unfinished and not readiness:
        refuse_unfinished(unfinished[0])
    runs = [*readiness, *folders["rl"], *folders["evaluate"]]
    refuse_unlike_content([*runs, *(run for outcome in listed for run in outcome.runs)])
    outcomes = listed + _from_folders(folders["rl"], folders["evaluate"])
    _refuse_unlike_curves(listed)
    _say_left_out(listed)
    for family in dict.fromkeys(outcome.family for outcome in listed):
        refuse_unlike_conditions(run for outcome in listed if outcome.family == family for run in outcome.runs)
    curves = list(dict.fromkeys(outcome.curve_file for outcome in listed if outcome.curve_file))
    return Found(readiness, outcomes, [*tables, *curves, *(folder / RESULT for folder in runs)])


def _unfold(paths: Iterable[Path]) -> Iterable[Path]:
    """Runs and tables; a sweep is replaced by its table and readiness runs, a composite run by the runs in it."""
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such folder or file; {FIRST}{did_you_mean(str(path))}")
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
                note(f"predict: {path} has not finished ({record.short_status}): only what is done is ranked")
            yield path / RUNS
            yield from sorted(inside.parent for inside in path.glob(f"readiness/*/{RECORD}"))
        elif record.verb == "demo":
            yield from _unfold(sorted(inside.parent for inside in path.glob(f"*/{RECORD}")))
        else:
            yield path


def _from_table(path: Path) -> list[Outcome]:
    table = read_table(str(path))
    first = {tuple(row): line for line, row in reversed(table.rows)}
    for columns, line in reversed(first.items()):
        _refuse_misnamed(columns, table.place(line))
    return [_row(table, line, row, path.parent) for line, row in table.rows]


def _refuse_misnamed(columns: Sequence[str], place: str) -> None:
    """UserError for a column that seems to be meant for one that is read; others may be there."""
    for column in columns:
        if column.strip().lower().startswith("predictor") and not column.startswith(OWN):
            raise UserError(f"{place}: column {column!r} is not read; did you mean {OWN}NAME? Rename or remove it")
    for column, meant in misnamed(columns, KNOWN):
        raise UserError(f"{place}: column {column!r} is not read; did you mean {meant}? Rename or remove it")


def _row(table: Table, line: int, row: dict[str, object], folder: Path) -> Outcome:
    place = table.place(line)
    if "outcome" not in row and not row.get("curve"):
        raise UserError(f"{place}: no column 'outcome'; {nearest('outcome', row)}")
    value, curve, file = _from_curve(row, folder, place) if row.get("curve") else (number_of(row["outcome"]), "", None)
    cost = number_of(row.get("cost"))
    if not is_number(value):
        what = f"outcome must be a finite number, 0 or {SMALLEST:g} to {LARGEST:g} in size"
        raise UserError(f"{place}: {what}, not {repr(value)[:40]}; leave out runs that have none")
    if cost is not None and (not is_number(cost) or cost < 0):
        raise UserError(f"{place}: cost must be seconds, not {repr(cost)[:40]}")
    words = {key: _label(row.get(key), f"{place}: {key}") for key in LABELS}
    if words["readiness"] and (folder / words["readiness"]).is_dir():  # a sweep's table is next to its runs
        words["readiness"] = str(folder / words["readiness"])
    others = [folder / name for key in ("run", "evaluate") if isinstance(name := row.get(key), str)]
    runs = tuple(each for each in others if (each / RECORD).is_file())
    trained = [each for each in runs if RunRecord.load(each).verb == "rl"]
    stated = {name.removeprefix(OWN): _predictor(row[name], f"{place}: {name}") for name in row if name.startswith(OWN)}
    if taken := [name for name in stated if TAKEN.fullmatch(name)]:
        raise UserError(f"{place}: {OWN}{taken[0]} has the name of a predictor of rlready: give yours another")
    return Outcome(
        _label(table.text(line, row, "checkpoint"), f"{place}: checkpoint"),
        float(value),
        cost,
        where=place,
        curve=curve,
        curve_file=file,
        runs=runs,
        predictors={
            **(early(trained[0]) if trained else {}),
            **{name: number for name, number in stated.items() if number is not None},
        },
        meaning=of_runs(runs) if runs else Meaning(curve or f"column outcome of {Path(table.where).name}"),
        **words,
    )


def _from_curve(row: dict[str, object], folder: Path, place: str) -> tuple[object, str, Path]:
    """(the outcome that a learning curve has, which value of it this is, its file)."""
    choice = next((each for each in CHOICES if each == (row.get("outcome") or CHOICES[0])), None)
    if choice is None:
        raise UserError(f"{place}: beside a curve, outcome must be {', '.join(CHOICES)}, not {row['outcome']!r}")
    path = curve_file(folder / _label(row["curve"], f"{place}: curve"), place)
    return *outcome_of_curve(path, choice, _label(row.get("metric"), f"{place}: metric"), place), path


def _say_left_out(outcomes: Sequence[Outcome]) -> None:
    """Name the predictors that only some outcomes of a family come with, and which are not scored therefore."""
    for family in dict.fromkeys(outcome.family for outcome in outcomes):
        mine = [outcome.predictors for outcome in outcomes if outcome.family == family]
        for name in dict.fromkeys(name for each in mine for name in each):
            if without := sum(name not in each for each in mine):
                note(f"predict: the predictor {name} is left out: {without} of {len(mine)} outcomes have none")


def _refuse_unlike_curves(outcomes: Sequence[Outcome]) -> None:
    """UserError for two outcomes of a family that are other values of their curves, as last and best."""
    first: dict[str, Outcome] = {}
    for outcome in outcomes:
        one, other = (each.curve.partition(" of ")[0] for each in (first.setdefault(outcome.family, outcome), outcome))
        if one != other:
            raise UserError(
                f"{outcome.where}: the outcome is {other or 'a number'}, but in {first[outcome.family].where} it is "
                f"{one or 'a number'}; take the same of all, or give them two families"
            )


def _predictor(value: object, what: str) -> float | None:
    """A predictor's value; None for null and not-a-number."""
    number = number_of(value)
    if value is None or value == "" or (isinstance(number, float) and math.isnan(number)):
        return None
    if not is_number(number):
        raise UserError(f"{what} must be a finite number, below {LARGEST:g}, not {repr(value)[:40]}")
    return number


def _from_folders(rl: Sequence[Path], evaluate: Sequence[Path]) -> list[Outcome]:
    """The outcome of every RL run; if any was evaluated, only of those, because the problems differ otherwise."""
    measured: dict[Path, tuple[float, Path, str]] = {}
    for folder in (*rl, *evaluate):
        refuse_damaged(folder, folder / RESULT)
    for folder in evaluate:
        result, record = EvaluateResult.load(folder), RunRecord.load(folder)
        before = len(measured)
        largest = result.budgets[-1]
        for model in result.models:
            run = run_of(record.located(folder, model))
            trained = RunRecord.load(run) if run and (run / RECORD).is_file() else None
            if run and trained and trained.verb == "rl":
                if trained.start > (record.end or trained.start):
                    raise UserError(f"{run} was overwritten after {folder} had evaluated it: evaluate {model} again")
                if run in measured:
                    raise UserError(f"{run} is evaluated twice, in {measured[run][1]} and {folder}: name one of them")
                measured[run] = (largest.scores[model].accuracy.value, folder, model)
        if len(measured) == before:
            note(f"predict: {folder} is left out: none of its models is a checkpoint of a run of rl that is found here")
    refuse_unlike_conditions(folder for _, folder, _ in measured.values())
    for run in rl:
        if measured and run.resolve() not in measured:
            note(f"predict: {run} is left out: its checkpoint was not evaluated, but those of other runs were")
    runs = list(measured or dict.fromkeys(folder.resolve() for folder in rl))
    records = [RunRecord.load(run) for run in runs]
    settings = [{k: str(v) for k, v in r.config.items() if k not in ("model", "seed")} for r in records]
    varied = [key for key in (settings[0] if settings else ()) if len({s.get(key) for s in settings}) > 1]
    return [
        Outcome(
            str(record.config["model"]),
            measured[run][0] if run in measured else RLResult.load(run).best.accuracy.value,
            cost_of(record),
            str(record.config["seed"]),
            family=", ".join(f"{key}={each[key]}" for key in varied),
            where=str(run),
            predictors=early(run),
            meaning=evaluated(measured[run][1], step_of(measured[run][2])) if run in measured else validated(run),
        )
        for run, record, each in zip(runs, records, settings, strict=True)
    ]


def cost_of(record: RunRecord) -> float:
    """GPU seconds if the run used a GPU, otherwise CPU seconds."""
    gpus = len(record.accelerators)
    return record.seconds * gpus if gpus else record.cpu_seconds


def _label(value: object, what: str) -> str:
    """A name without spaces around it; "" for null and not-a-number, 1 for 1.0, as columns with gaps have it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str | int | float):
        raise UserError(f"{what} must be text or a number, not {str(value)[:40]!r}")
    if in_one_line(str(value)) != str(value):
        raise UserError(f"{what} must be a name of one line without control characters, not {str(value)[:40]!r}")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
