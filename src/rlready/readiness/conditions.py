"""Under which conditions samples were drawn, as far as their tables say: only alike ones are ranked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from rlready.core.cells import counted
from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.runs.checksums import refuse_changed
from rlready.runs.record import RECORD, RunRecord

if TYPE_CHECKING:
    from rlready.readiness.offline_samples import Stored

# columns that say how the samples of a problem were drawn or, filter, what of them was verified; not num_waits, which
# counts the waits that a sample used
LENGTHS = ("thinking_budget", "max_answer_tokens", "max_tokens", "max_new_tokens")
COLUMNS = (*LENGTHS, "temperature", "top_p", "top_k", "min_p", "end_think_bias", "setting", "filter")
ABSENT = {"None", "none"}  # values by which a condition was not used
JUDGED = "correct"  # by which score a sample is correct
VERIFIED = "the verifier of problems="
CHOSEN = ("thinking_budget", "setting", "filter")  # options of a table that keep some of its rows
OF_MODELS = ("temperature", "thinking_budget")  # settings that a table may state of its samples too
RESPONSE = ("max_tokens", "max_new_tokens")  # names of one limit
# settings by which a run of this package has drawn the samples in its parts, which have no columns for them
OF_RUNS = ("temperature", "max_answer_tokens", "answer_prefix", "reference", "apply_chat_template", "delimiters")
PARTS = "parts"  # the folder of these
UNLIMITED = "None"  # a null thinking budget: of samples without one, or of a model that does not think


def plain(value: str | int | float | None) -> str:
    """A cell as text: numbers that are equal, such as 1, 1.0 and the text 1.0 of CSV, are the same."""
    with suppress(ValueError):
        number = float(str(value))
        return str(int(number)) if math.isfinite(number) and number.is_integer() else str(number)
    return str(value)


def of_own_run(path: Path, setting: str) -> dict[str, str]:
    """The settings of the run in whose parts a table is; of waits and references what they have, if they are used.

    Empty for any other table.  UserError for one that is not what the run has written.
    """
    run = path.parent.parent
    if path.parent.name != PARTS or not (run / RECORD).is_file():
        return {}
    try:
        record = RunRecord.load(run)
    except UserError:
        return {}
    refuse_changed(run, path, record.files, "restore it, or name a copy outside of the run, which is read as it is")
    config = record.config
    names = [*OF_RUNS, *["beta"] * bool(config.get("reference")), *["wait_text"] * ("+" in setting)]
    return {name: _as_text(config[name]) for name in names if name in config}


def _as_text(value: JsonValue) -> str:
    """A setting as a condition; what is empty was not used."""
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return "none" if value in (None, "") else str(value) if isinstance(value, bool) else plain(str(value))


def drawn_alike(config: ReadinessConfig, models: Sequence[str], tables: Mapping[str, Stored]) -> dict[str, str]:
    """The conditions of all samples by column; UserError for two checkpoints that state different ones.

    What a table does not state is not known, and not refused: see `unstated`.
    """
    _refuse_same_samples(tables)
    found = {key: (model, value) for model in models[:1] for key, value in _of_models(config).items()}
    if models and any(JUDGED in table.conditions for table in tables.values()):
        found[JUDGED] = models[0], VERIFIED
    for name, table in tables.items():
        for column, value in table.conditions.items():
            first, there = found.setdefault(column, (name, value))
            if there != value and (value != UNLIMITED or first in tables):
                raise UserError(
                    f"{first} and {name} hold samples {difference(column, there, value)}, and cannot be ranked against "
                    f"each other; {_fix(column)}"
                )
    return {column: value for column, (_, value) in found.items()}


def unstated(stated: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What some do not say of their samples, though others do, by the first that does not; ``stated`` are the
    conditions by name."""
    first: dict[str, str] = {}
    for name, own in stated.items():
        for column, value in own.items():
            if value not in ABSENT:
                first.setdefault(column, name)
    said = {column: f"{column} ({stated[name][column]} in {name})" for column, name in first.items()}
    found: dict[str, list[str]] = {}
    for name, own in stated.items():
        known = {*own, JUDGED, *(RESPONSE if any(each in own for each in RESPONSE) else ())}
        if missing := ", ".join(said[column] for column in first if column not in known):
            found.setdefault(missing, []).append(name)
    return {
        name: f"it does not say {missing}, so its samples may have been drawn otherwise"
        + (f", nor {'does' if len(others) == 1 else 'do'} {counted(len(others), 'other checkpoint')}" if others else "")
        for missing, (name, *others) in found.items()
    }


def with_doubts(config: ReadinessConfig, names: Iterable[str], tables: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tables, each with a doubt of what it does not say of its samples and other checkpoints of ``names`` do."""
    models = _of_models(config)
    drawn = {name: models for name in names if name not in tables}
    doubts = unstated({name: table.conditions for name, table in tables.items()} | drawn)
    return {
        name: replace(table, otherwise="; ".join(filter(None, [table.otherwise, doubts.get(name, "")])))
        for name, table in tables.items()
    }


def _of_models(config: ReadinessConfig) -> dict[str, str]:
    """The conditions of the samples that this package draws."""
    return {key: plain(getattr(config, key)) for key in OF_MODELS}


def difference(column: str, one: str, other: str) -> str:
    """In what samples of two values of a condition differ."""
    return f"judged by {one} and by {other}" if column == JUDGED else f"of different {column}, {one} and {other}"


def _fix(column: str) -> str:
    if column == JUDGED:
        return "choose the same score= and threshold= for all, or name problems= alone, which verifies all texts"
    return f"keep alike ones with {column}= behind each table" if column in CHOSEN else "draw alike ones"


def _refuse_same_samples(tables: Mapping[str, Stored]) -> None:
    """UserError for the same responses under two names, even by two judges; of verdicts alone columns may differ."""
    seen = dict[tuple[object, ...], str]()
    for name, table in tables.items():
        chosen = [getattr(table.options, key) for key in (*CHOSEN, "n")]
        key = (Path(table.path).resolve(), table.responses or replace(table.options, name=""), *chosen)
        if key in seen:
            raise UserError(
                f"{seen[key]} and {name} are the same samples of {table.path}, and no two checkpoints; rank verdicts "
                "from two columns in a run each"
            )
        seen[key] = name
