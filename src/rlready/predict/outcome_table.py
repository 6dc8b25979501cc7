"""Outcomes of RL from a table.

A table (JSONL, JSON, Parquet) has the columns

    checkpoint   the name in readiness, or enough of the last parts of its path to identify it
    outcome      accuracy after RL, or another number of which more is better
    curve        the learning curve of a run (`curves.py`), from the table's folder; ``outcome`` is then the word last,
                 best or asymptote, by default last; ``metric`` names the number of a trainer's log
    cost         GPU or CPU seconds that RL took; optional
    seed         seed of RL; runs that differ only in the seed are averaged
    run          the folder of ``rlready rl``, from the table's folder; its log gives predictors; optional
    evaluate     the folder of ``rlready evaluate`` that holds the outcome, from the table's folder; optional
    recipe       SFT recipe: runs of one recipe are not independent; by default a checkpoint's SFT run
    sft_seed     seed of SFT, for regret by seed; by default that of a checkpoint's SFT run
    meaning      what the outcome is, in words; optional
    family       runs that may be compared: one scenario, one RL recipe; by default all runs are one family
    predictor:…  a predictor of your own under any name, of which more is better; it is scored beside those of rlready;
                 of several values of one checkpoint, the mean is used, with a warning
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from rlready.core.config import CurveValue
from rlready.core.errors import UserError
from rlready.core.explain import misnamed, nearest
from rlready.core.messages import note, warn_once
from rlready.core.text import in_one_line
from rlready.predict.cells import LARGEST, LESS, SMALLEST, is_number, number_of, shown
from rlready.predict.curves import CHOICES, Curve, read_curve
from rlready.predict.early import early
from rlready.predict.meaning import UNSAID, VALIDATION, Meaning
from rlready.predict.outcome import Outcome
from rlready.predict.row_runs import Held, RowRuns
from rlready.tasks.table import Table, read_table

LABELS = ("seed", "recipe", "family", "readiness", "sft_seed")
SEEDS = ("seed", "sft_seed")  # of which 1 and 1.0 are one, as CSV has them of a column with gaps
COMPARED = ("family", "recipe")  # in which a letter with an accent may be written in two ways
TAKEN = re.compile(
    r"(pass|cover|reward)@.*|group_signal|informative|entropy|distinct_answers|loss|combined|extrapolated.*"
)  # the names of predictors that rlready has, whether or not they are known of some checkpoints
RUNS = "runs.jsonl"  # a sweep's table
OWN = "predictor:"  # begins the names of columns that hold predictors of the user's own
KNOWN = (
    "checkpoint",
    "outcome",
    "cost",
    *LABELS,
    "run",
    "evaluate",
    "curve",
    "metric",
    "meaning",
)  # columns that are read
OF_SWEEPS = ("low", "high", "n", "varies", "sft", "rl")  # columns of a sweep's table that are for people
TURNED = re.compile(r"[-−]|neg|minus|free|without|less")  # said of a number of which more is better


def read_outcomes(path: Path) -> list[Outcome]:
    table = read_table(str(path))
    first = {tuple(row): line for line, row in reversed(table.rows)}
    for columns, line in reversed(first.items()):
        _refuse_misnamed(columns, table.place(line))
    outcomes = [_row(table, line, row, path.parent) for line, row in table.rows]
    unsaid = next((each.meaning for each in outcomes if each.meaning.what.startswith(UNSAID)), None)
    if unsaid:  # a column is one thing: where one row is no validation accuracy, equal ones are so by chance
        outcomes = [
            replace(each, meaning=unsaid)
            if each.meaning.what.startswith(VALIDATION) and not row.get("meaning")
            else each
            for each, (_, row) in zip(outcomes, table.rows, strict=True)
        ]
    for column in dict.fromkeys(name for columns in first for name in columns if name.startswith(OWN)):
        if all(column.removeprefix(OWN) not in outcome.predictors for outcome in outcomes):
            note(f"predict: {path}: the predictor {column.removeprefix(OWN)} is left out: no outcome has one")
        elif LESS.search(column.lower()):
            note(f"predict: {path}: of {column} more is taken for better; if less is, write its negative")
    if path.name != RUNS:
        for column in dict.fromkeys(name for columns in first for name in columns if name not in KNOWN):
            if (
                column not in OF_SWEEPS
                and not column.startswith(OWN)
                and any(is_number(number_of(row.get(column))) for _, row in table.rows)
            ):
                note(f"predict: {path}: column {column} is not read; named {OWN}{column} it would be scored")
    return outcomes


def _refuse_misnamed(columns: Sequence[str], place: str) -> None:
    """UserError for a column that seems to be meant for one that is read; others may be there."""
    for column in columns:
        if column.strip().lower().startswith("predictor") and not column.startswith(OWN):
            raise UserError(f"{place}: column {column!r} is not read; did you mean {OWN}NAME? Rename or remove it")
        if column.startswith(OWN) and (not column[len(OWN) :] or column != f"{OWN}{column[len(OWN) :].strip()}"):
            raise UserError(f"{place}: column {column!r}: give the predictor a name without spaces around it")
    for column, meant in misnamed(columns, KNOWN):
        raise UserError(f"{place}: column {column!r} is not read; did you mean {meant}? Rename or remove it")


def _row(table: Table, line: int, row: dict[str, object], folder: Path) -> Outcome:
    place = table.place(line)
    if "outcome" not in row and not row.get("curve"):
        known = nearest("outcome", row)
        raise UserError(f"{place}: no column 'outcome', nor 'curve'; {known}; rename that of what RL reached")
    curve: Curve | None = None
    value, choice = number_of(row.get("outcome")), CHOICES[0]
    if row.get("curve"):
        curve, choice = _curve(row, folder, place)
        value = curve.outcome(choice, place)
    cost = number_of(row.get("cost"))
    if not is_number(value):
        what = f"outcome must be a finite number, 0 or {SMALLEST:g} to {LARGEST:g} in size"
        raise UserError(f"{place}: {what}, not {shown(value)}; leave out runs that have none")
    if cost is not None and (not is_number(cost) or cost < 0):
        raise UserError(f"{place}: cost must be seconds, not {shown(cost)}")
    words = {key: _label(row.get(key), f"{place}: {key}") for key in LABELS}
    words |= {key: _label(number_of(words[key]), key) for key in SEEDS}
    words |= {key: normalize("NFC", words[key]) for key in COMPARED}
    if words["readiness"] and (folder / words["readiness"]).is_dir():  # a sweep's table is next to its runs
        words["readiness"] = str(folder / words["readiness"])
    runs = RowRuns.of(row, folder, place)
    held = Held(run=runs.rl) if curve else _held(row, runs, float(value), place)
    stated = {name.removeprefix(OWN): _predictor(row[name], f"{place}: {name}") for name in row if name.startswith(OWN)}
    if taken := [name for name in stated if TAKEN.fullmatch(name)]:
        raise UserError(f"{place}: {OWN}{taken[0]} has the name of a predictor of rlready: give yours another")
    return Outcome(
        _label(table.text(line, row, "checkpoint"), f"{place}: checkpoint"),
        float(value),
        cost,
        where=place,
        curve=curve.meaning(choice) if curve else "",
        curve_files=curve.files if curve else (),
        curve_metric=_label(row.get("metric"), f"{place}: metric"),
        last_step=float(curve.steps[-1]) if curve else None,
        best_of=int((curve.steps > 0).sum()) if curve and choice == "best" else None,
        planned_steps=curve.planned if curve else None,
        runs=tuple(dict.fromkeys([*([held.run] if held.run else []), *runs.folders])),
        evaluated=held.evaluated,
        predictors={
            **(early(held.run) if held.run else {}),
            **{name: number for name, number in stated.items() if number is not None},
        },
        meaning=_meaning(row, curve, choice, held.meaning, table, place),
        over_problems=None,  # a table has values alone
        **words,
    )


def _held(row: dict[str, object], runs: RowRuns, value: float, place: str) -> Held:
    """`RowRuns.held`; where the row says what its outcome is, what contradicts its runs is only warned of."""
    stated = _label(row.get("meaning"), f"{place}: meaning")
    try:
        held = runs.held(value, place)
    except UserError as error:
        if not stated:
            raise
        warn_once(f"predict: warning: {str(error).partition(': correct')[0]}; by its column meaning it is {stated!r}")
        return Held(run=runs.rl)
    if stated.startswith(VALIDATION) and runs.rl and not runs.evaluate and held.meaning is None:
        warn_once(f"predict: warning: {place}: the outcome is not the validation accuracy of {runs.rl}")
    return held


def _meaning(
    row: dict[str, object], curve: Curve | None, choice: str, held: Meaning | None, table: Table, place: str
) -> Meaning:
    """What the row says that its outcome is, or by what its runs have ``held``."""
    stated = _label(row.get("meaning"), f"{place}: meaning")
    if curve and not stated:
        return Meaning(f"{choice} {curve.metric} of learning curves", int(curve.steps[-1]))
    if LESS.search(stated.lower()) and not TURNED.search(stated.lower()):
        warn_once(
            f"{table.where}: warning: of {stated!r} less is better, but outcomes are ranked by more: give the negative"
        )
    if stated or held is None:
        return Meaning(stated or f"{UNSAID}{Path(table.where).name}", percent=held.percent if held else None)
    return held


def _curve(row: dict[str, object], folder: Path, place: str) -> tuple[Curve, CurveValue]:
    """A learning curve, and which value of it is the outcome."""
    choice = next((each for each in CHOICES if each == (row.get("outcome") or CHOICES[0])), None)
    if choice is None:
        raise UserError(f"{place}: beside a curve, outcome must be {', '.join(CHOICES)}, not {row['outcome']!r}")
    path = folder / _label(row["curve"], f"{place}: curve")
    return read_curve(path, _label(row.get("metric"), f"{place}: metric"), place), choice


def _predictor(value: object, what: str) -> float | None:
    """A predictor's value; None for null and not-a-number."""
    number = number_of(value)
    if value is None or value == "" or (isinstance(number, float) and math.isnan(number)):
        return None
    if not is_number(number):
        raise UserError(
            f"{what} must be a finite number, below {LARGEST:g}, not {shown(value)}; leave the cell empty where it "
            "is not known"
        )
    return number


def _label(value: object, what: str) -> str:
    """A name without spaces around it; "" for null and not-a-number, 1 for 1.0, as columns with gaps have it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str | int | float):
        raise UserError(f"{what} must be text or a number, not {str(value)[:40]!r}")
    if in_one_line(str(value)) != str(value):
        raise UserError(f"{what} must be a name of one line without control characters, not {str(value)[:40]!r}")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
