"""``rlready import``: the outcome of an exported run as a row of a table that ``rlready predict`` reads.

A row belongs to its export: importing again replaces it, so that an outcome may be brought back while training goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.core.config import ImportConfig, RLConfig, Tool
from rlready.core.errors import UserError
from rlready.core.options import fill_config
from rlready.core.result import with_warning
from rlready.core.text import in_one_line
from rlready.export import verl
from rlready.export.manifest import CODE, MANIFEST, SETTINGS, Manifest, Split
from rlready.export.result import ExportResult, ImportResult
from rlready.predict.cells import is_number
from rlready.predict.curves import STATE, curve_file, read_curve
from rlready.runs.files import os_errors_named, write_text
from rlready.runs.record import RunRecord
from rlready.runs.results import refuse_unfinished
from rlready.tasks.files import TABLES
from rlready.tasks.source import parse_source

NUMERAL = re.compile(r"-?[\d.,]+\s*%?")  # what is meant as a number, such as 0,58 and 58 %
TABLE, OUTPUTS = "outcomes.jsonl", "outputs"
SOURCES: dict[str, Split] = {"problems": "train", "validation": "validation"}  # settings that name them
ACCURACY = "eval_accuracy"  # of validation, as the exported reward logs it
# runs that differ in these only may be compared: the model, the seed, the machine, and what saves memory or disk there
MACHINE = ("device", "dtype", "distributed", "max_tokens_per_microbatch", "gradient_checkpointing", "save_total_limit")
NOT_RECIPE = ("model", "seed", *MACHINE)


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
    found = _outcome(config, folder, table)
    row |= found.columns | {"seed": settings.seed, "family": _family(folder, exported.tool, settings, found)}
    if config.recipe:
        row["recipe"] = config.recipe
    lines = [line for line, export in _rows(table) if export != row["export"]]
    table.parent.mkdir(parents=True, exist_ok=True)
    write_text(table, "".join(f"{line}\n" for line in [*lines, json.dumps(row, ensure_ascii=False)]))
    result = ImportResult(
        headline=f"The outcome {found.value:.4g} of RL from {exported.model} is in {table}.",
        next_command=shlex.join(["rlready", "predict", "runs/ready", str(table)]),
        text=str(table),
        checkpoint=exported.model,
        outcome=found.value,
        meaning=found.meaning,
        seed=settings.seed,
        family=str(row["family"]),
    )
    return with_warning(result, _unfinished(exported, found))


@dataclass(frozen=True)
class _Outcome:
    """The outcome, and its ``columns`` in the table; of a curve, what it is, and the last step."""

    value: float
    columns: dict[str, object]
    meaning: str = ""
    last_step: float = math.inf


def _unfinished(exported: ExportResult, found: _Outcome) -> str:
    """A warning of a curve that ends before the exported run does; empty for none."""
    steps = next((each.value for each in exported.translated if each.setting == "steps"), 0)
    if not isinstance(steps, int) or found.last_step >= steps:
        return ""
    return f"the curve ends at step {found.last_step:g} of {steps}: import it again when training has ended"


def _outcome(config: ImportConfig, folder: Path, table: Path) -> _Outcome:
    """The outcome; a curve is read now, so that one without a value after training is refused."""
    number = _number(config.outcome)
    if number is not None:
        if config.metric or config.value != "last":
            raise UserError(f"outcome={config.outcome} is a number; value and metric apply to a curve: leave them out")
        return _Outcome(number, {"outcome": number})
    path = Path(config.outcome) if config.outcome else folder / OUTPUTS
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name a number or a learning curve with outcome=")
    if logs := sorted(path.glob(verl.LOGS)):
        path = _curve_of_verl(logs)
    if not (path.is_dir() or path.name == STATE or path.name.endswith(TABLES)):
        raise UserError(f"{path}: not a learning curve; name an output folder of TRL, {STATE}, a table or a number")
    file = curve_file(path, "import")
    if config.metric and file.name != STATE:
        raise UserError(f"metric={config.metric} applies to {STATE}, but the curve is {file}; leave it out")
    metric = config.metric or (ACCURACY if file.name == STATE and f'"{ACCURACY}"' in file.read_text("utf-8") else "")
    curve = read_curve(file, metric, "import")
    last_step = float(curve.steps[-1])
    if last_step <= 0:
        raise UserError(f"{file}: has only the evaluation before training, at step {last_step:g}; train first")
    columns: dict[str, object] = {"curve": os.path.relpath(file, table.parent), "outcome": config.value}
    columns |= {"metric": metric} if metric else {}
    return _Outcome(curve.outcome(config.value, "import"), columns, curve.meaning(config.value), last_step)


def _curve_of_verl(logs: Sequence[Path]) -> Path:
    """The accuracies that verl 0.9.1 has logged in validation, as a table of steps and outcomes beside its logs.

    There is one log for each attempt; of a step that several have logged, the last counts.
    """
    points = {step: value for log in logs for step, value in _validations(log)}
    if not points:
        raise UserError(f"{logs[0]}: no validation was logged (val-core/…/acc/mean@N); name a number with outcome=")
    table = logs[0].with_name("accuracy.jsonl")
    rows = ({"step": step, "outcome": value} for step, value in points.items())
    write_text(table, "".join(json.dumps(row) + "\n" for row in rows))
    return table


def _validations(log: Path) -> Iterator[tuple[int, object]]:
    """(step, accuracy) of each validation in a log of verl."""
    with os_errors_named(log, "read"):
        lines = log.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            logged = json.loads(line)
            found = [(int(logged["step"]), v) for name, v in logged["data"].items() if verl.ACCURACY.fullmatch(name)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"{log}:{number}: not a line of verl's log; name a number with outcome=") from None
        if len(found) > 1:
            raise UserError(f"{log}:{number}: has {len(found)} validation accuracies; name a number with outcome=")
        yield from found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        if not NUMERAL.fullmatch(text) or Path(text).exists():
            return None
        value = math.nan
    if not (is_number(value) and 0 <= value <= 1):
        raise UserError(f"outcome={text}: a number must be a share, from 0 to 1: 58 % is 0.58")
    return value


def _family(folder: Path, tool: Tool, settings: RLConfig, found: _Outcome) -> str:
    """A name that outcomes have in common if they may be compared.

    They are of runs that were exported to one tool with the same settings, problems and verifiers, wherever these were
    read from, and all numbers or the same value of curves.
    """
    same: dict[str, object] = {key: value for key, value in settings.typed().items() if key not in NOT_RECIPE}
    manifest = Manifest.from_file(folder / MANIFEST)
    for name, split in SOURCES.items():
        if same[name]:
            source = parse_source(manifest.sources[split])
            same[name] = [source.kind, source.options, manifest.problems[split]]
    code = {name: digest for name, digest in RunRecord.load(folder).files.items() if name.startswith(f"{CODE}/")}
    digest = hashlib.sha256(json.dumps([same, code], sort_keys=True).encode()).hexdigest()[:8]
    return f"{tool}-{digest} {found.meaning.partition(' of ')[0] or 'number'}"


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
