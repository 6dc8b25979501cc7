"""``rlready import``: the outcome of an exported run as a row of a table that ``rlready predict`` reads.

A row belongs to its export: importing again replaces it, so that an outcome may be brought back while training goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from pathlib import Path

from rlready.core.config import ImportConfig, RLConfig
from rlready.core.errors import UserError
from rlready.core.options import fill_config
from rlready.core.text import in_one_line
from rlready.export import verl
from rlready.export.manifest import SETTINGS
from rlready.export.result import ExportResult, ImportResult
from rlready.predict.cells import is_number
from rlready.predict.curves import STATE, curve_file, outcome_of_curve
from rlready.runs.files import os_errors_named, write_text
from rlready.runs.results import refuse_unfinished
from rlready.tasks.files import TABLES

TABLE, OUTPUTS = "outcomes.jsonl", "outputs"
ACCURACY = "eval_accuracy"  # of validation, as the exported reward logs it
NOT_RECIPE = ("model", "seed", "device", "dtype", "distributed")  # runs that differ in these only may be compared


def import_outcome(config: ImportConfig, out: Path | None = None) -> ImportResult:
    """Add the row of an export to the table ``out``, by default ``outcomes.jsonl`` beside the export.

    UserError for a folder that is no export, an outcome that cannot be read, and a file that is no such table.
    """
    if not config.export:
        raise UserError("name the folder of an export: rlready import runs/export outcome=0.52")
    for name in ("recipe", "metric"):  # predict would refuse the table
        if in_one_line(text := getattr(config, name)) != text:
            raise UserError(f"{name} must be a name of one line without control characters, not {text[:40]!r}")
    folder = Path(config.export)
    refuse_unfinished(folder)
    exported, settings = ExportResult.load(folder), fill_config(RLConfig, folder / SETTINGS, {}).value
    table = out or folder.parent / TABLE
    if not table.name.endswith(".jsonl"):
        raise UserError(f"--out {table}: a table of outcomes ends in .jsonl")
    row: dict[str, object] = {"export": os.path.relpath(folder, table.parent), "checkpoint": exported.model}
    value, meaning, columns = _outcome(config, folder, table)
    row |= columns | {"seed": settings.seed, "family": _family(exported, settings)}
    if config.recipe:
        row["recipe"] = config.recipe
    lines = [line for line, export in _rows(table) if export != row["export"]]
    table.parent.mkdir(parents=True, exist_ok=True)
    write_text(table, "".join(f"{line}\n" for line in [*lines, json.dumps(row, ensure_ascii=False)]))
    return ImportResult(
        headline=f"The outcome {value:.4g} of RL from {exported.model} is in {table}.",
        next_command=shlex.join(["rlready", "predict", "runs/ready", str(table)]),
        text=str(table),
        checkpoint=exported.model,
        outcome=value,
        meaning=meaning,
        seed=settings.seed,
        family=str(row["family"]),
    )


def _outcome(config: ImportConfig, folder: Path, table: Path) -> tuple[float, str, dict[str, object]]:
    """(the outcome, what it is, its columns); a curve is read now, so that one without a value is refused."""
    number = _number(config.outcome)
    if number is not None:
        if config.metric or config.value != "last":
            raise UserError(f"outcome={config.outcome} is a number; value and metric apply to a curve: leave them out")
        return number, "", {"outcome": number}
    path = Path(config.outcome) if config.outcome else folder / OUTPUTS
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name a number or a learning curve with outcome=")
    if (path / verl.LOG).is_file():
        path = _curve_of_verl(path / verl.LOG)
    if not (path.is_dir() or path.name == STATE or path.name.endswith(TABLES)):
        raise UserError(f"{path}: not a learning curve; name an output folder of TRL, {STATE}, a table or a number")
    if path.is_dir() and not any(path.glob(f"**/{STATE}")):
        raise UserError(
            f"{path}: holds no {STATE}, as TRL writes it; name a number, or a table with the columns step and outcome"
        )
    file = curve_file(path, "import")
    if config.metric and file.name != STATE:
        raise UserError(f"metric={config.metric} applies to {STATE}, but the curve is {file}; leave it out")
    metric = config.metric or (ACCURACY if file.name == STATE and f'"{ACCURACY}"' in file.read_text("utf-8") else "")
    value, meaning = outcome_of_curve(file, config.value, metric, "import")
    columns: dict[str, object] = {"curve": os.path.relpath(file, table.parent), "outcome": config.value}
    return value, meaning, columns | ({"metric": metric} if metric else {})


def _curve_of_verl(log: Path) -> Path:
    """The accuracies that verl 0.9.1 has logged in validation, as a table of steps and outcomes beside its log."""
    rows = []
    with os_errors_named(log, "read"):
        lines = log.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            logged = json.loads(line)
            found = [value for name, value in logged["data"].items() if verl.ACCURACY.fullmatch(name)]
            rows += [{"step": logged["step"], "outcome": value} for value in found]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"{log}:{number}: not a line of verl's log; name a number with outcome=") from None
    if not rows:
        raise UserError(f"{log}: no validation was logged (val-core/…/acc/mean@N); name a number with outcome=")
    table = log.with_name("accuracy.jsonl")
    write_text(table, "".join(json.dumps(row) + "\n" for row in rows))
    return table


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not is_number(value):
        raise UserError(f"outcome={text} must be a finite number")
    return value


def _family(exported: ExportResult, settings: RLConfig) -> str:
    """A name that runs have in common if they were exported to one tool with the same settings."""
    same = {key: value for key, value in settings.typed().items() if key not in NOT_RECIPE}
    return f"{exported.tool}-{hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:8]}"


def _rows(table: Path) -> list[tuple[str, object]]:
    """The lines of a table that is there, each with its export; UserError if they are not JSON objects."""
    if not table.exists():
        return []
    with os_errors_named(table, "read"):
        lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append((line, json.loads(line).get("export")))
        except (ValueError, AttributeError, RecursionError):
            raise UserError(f"{table}:{number}: not a row of a table of outcomes; choose another --out") from None
    return found
