"""The outcome of an export that is part of a sweep: it stands in the export, from where the sweep takes it.

It is kept with how it was read, so that the sweep reads it again: a tool may have trained on since.  If what it was
read from is gone, it stays as it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from rlready.core.config import CurveValue, ImportConfig
from rlready.core.errors import UserError
from rlready.core.result import Record
from rlready.export.outputs import OUTPUTS, Outcome, read_outcome
from rlready.export.result import ExportResult
from rlready.runs.files import write_json
from rlready.runs.lock import replacing_in
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.results import own_command, record_of

NOTED = "outcome.json"
EXPORTS = "export"  # the folder of a sweep's exports


class NotedOutcome(Record):
    """``outcome`` after training, and its ``kind``; only outcomes of one kind are compared.

    ``curve`` is the file or folder that it was read from, by its path from the export, empty for a number that was
    given; ``value`` and ``metric`` are the settings of ``rlready import`` with which it was read.
    """

    outcome: float = Field(allow_inf_nan=False)
    kind: str
    curve: str = ""
    value: CurveValue = "last"
    metric: str = ""


def noted(config: ImportConfig, folder: Path, found: Outcome) -> NotedOutcome:
    """What is kept of the outcome that ``config`` names."""
    curve = path_from(folder, config.outcome or folder / OUTPUTS) if found.path else ""
    return NotedOutcome(outcome=found.value, kind=found.kind, curve=curve, value=config.value, metric=config.metric)


def path_from(folder: Path, target: str | Path) -> str:
    """``target`` by its path from ``folder``, which leads there even if one of both is behind a symbolic link."""
    return os.path.relpath(os.path.realpath(target), os.path.realpath(folder))


def sweep_of(folder: Path) -> Path | None:
    """The folder of the sweep that an export is in; None if it is in none, or was copied out of it."""
    place = folder.resolve()
    if place.parent.name != EXPORTS or not (place.parents[1] / RECORD).is_file():
        return None
    with suppress(UserError):
        if RunRecord.load(folder).part_of == RunRecord.load(place.parents[1]).verb == "sweep":
            return folder.parent.parent if folder.parent.name == EXPORTS else place.parents[1]
    return None


def command_of(sweep: Path) -> str:
    """The command that continues a sweep, as its record has it; empty if that is not one of rlready alone."""
    return own_command(sweep, RunRecord.load(sweep))


def refuse_sweep(folder: Path) -> None:
    """UserError for the folder of a sweep, whose own command reads the outcomes of its exports."""
    if (record := record_of(folder)) and record.verb == "sweep":
        how = f", {command}" if (command := own_command(folder, record)) else ""
        raise UserError(
            f"{folder}: a sweep, which reads what its exports have in {OUTPUTS}/ by its own command{how}; to give the "
            f"outcome of one of them, name that: rlready import {folder / EXPORTS}/NAME outcome=0.52"
        )


def outcome_in(folder: Path, before: NotedOutcome | None) -> tuple[NotedOutcome | None, str]:
    """The outcome of a sweep's export, None while it waits for one, and what there is to say of it.

    ``before`` is what is kept of it.
    """
    if before and not before.curve:
        return before, ""
    if not before and not os.path.lexists(folder / OUTPUTS):
        return None, ""
    config = ImportConfig(export=str(folder))
    if before:
        config = config.replace(outcome=str(folder / before.curve), value=before.value, metric=before.metric)
    try:
        found = read_outcome(config, folder)
    except UserError as error:
        if before:
            return before, f"{error}; its outcome of before, {before.outcome:.4g}, is kept"
        return None, f"{error}; to choose one, or say it by hand: rlready import {folder} metric=NAME, or outcome=0.52"
    exported = ExportResult.load(folder)
    left, more = found.unfinished(exported), "; ".join(filter(None, [found.too_long(exported), found.unit]))
    if not before:
        return (None, left) if left else (noted(config, folder, found), more)
    changed = f"its outcome was {before.outcome:.4g} and is now {found.value:.4g}"
    said = [*([changed] if found.value != before.outcome else []), *filter(None, [left, more])]
    return noted(config, folder, found), "; ".join(said)


def keep(folder: Path, outcome: NotedOutcome, before: NotedOutcome | None) -> None:
    """Keep the outcome of a sweep's export, unless another one was imported since ``before`` was kept."""
    with replacing_in(folder):
        if kept(folder) == before != outcome:
            write_json(folder / NOTED, outcome)


def kept(folder: Path) -> NotedOutcome | None:
    """What is kept of the outcome of a sweep's export; UserError if it is damaged."""
    file = folder / NOTED
    if not os.path.lexists(file):
        return None
    try:
        return NotedOutcome.from_file(file)
    except UserError as error:
        raise UserError(f"{error}; delete that file, and import the outcome again") from None
