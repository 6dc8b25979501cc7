"""``rlready import``: the outcome of an exported run as a row of a table that ``rlready predict`` reads.

A row belongs to its export: importing again replaces it, so that an outcome may be brought back while training goes on.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from rlready.core.config import ImportConfig, RLConfig, Tool
from rlready.core.errors import UserError
from rlready.core.options import fill_config
from rlready.core.result import with_warning
from rlready.core.text import in_one_line
from rlready.export.manifest import CODE, MANIFEST, README, SETTINGS, Manifest, Split
from rlready.export.noted import NOTED, command_of, noted, path_from, refuse_sweep, sweep_of
from rlready.export.outputs import OUTPUTS, Outcome, read_outcome
from rlready.export.result import ExportResult, ImportResult
from rlready.runs.content import file_digest
from rlready.runs.files import text_of, write_json, write_text
from rlready.runs.lock import replacing_in
from rlready.runs.record import RunRecord
from rlready.runs.results import refuse_unfinished
from rlready.tasks.source import parse_source

TABLE = "outcomes.jsonl"
SOURCES: dict[str, Split] = {"problems": "train", "validation": "validation"}  # settings that name them
# runs that differ in these only may be compared: the model, the seed, the machine, and what saves memory or disk there
MACHINE = (
    *("device", "dtype", "distributed", "max_tokens_per_microbatch", "gradient_checkpointing"),
    *("save_total_limit", "keep_samples"),
)
NOT_RECIPE = ("model", "seed", *MACHINE)


def import_outcome(config: ImportConfig, out: Path | None = None) -> ImportResult:
    """Add the row of an export to the table ``out``, by default ``outcomes.jsonl`` beside the export.

    In the export of a sweep the outcome is noted for that, unless ``out`` names a table.  UserError for a folder that
    is no export, an outcome that cannot be read, and a file that is no such table.
    """
    if not config.export:
        raise UserError("name the folder of an export: rlready import runs/export outcome=0.52")
    for name in ("recipe", "metric"):  # predict would refuse the table
        if in_one_line(text := getattr(config, name)) != text:
            raise UserError(f"{name} must be a name of one line without control characters, not {text[:40]!r}")
    folder = Path(config.export)
    refuse_sweep(folder)
    refuse_unfinished(folder)
    if (verb := RunRecord.load(folder).verb) != "export":
        raise UserError(f"{folder}: a run of {verb}, not an export; name the folder that rlready export wrote")
    exported, settings = ExportResult.load(folder), fill_config(RLConfig, folder / SETTINGS, {}).value
    sweep = sweep_of(folder) if out is None else None
    place = folder / NOTED if sweep else out or folder.parent / TABLE
    if place.is_symlink():
        raise UserError(f"{place} is a symbolic link, which the table would replace: name what it points to")
    if sweep and config.recipe:
        raise UserError(f"recipe={config.recipe}: the sweep knows the recipes of its exports; leave it out")
    if not (sweep or place.name.endswith(".jsonl")):
        raise UserError(f"--out {place}: a table of outcomes ends in .jsonl")
    found = read_outcome(config, folder)
    edited = _edited(folder)
    family = _family(folder, exported.tool, settings, found, edited)
    if sweep:
        with replacing_in(folder):
            write_json(place, noted(config, folder, found))
        next_command = command_of(sweep)
    else:
        row: dict[str, object] = {"export": path_from(place.parent, folder), "checkpoint": exported.model}
        row |= _columns(config, found, place) | {"seed": settings.seed, "family": family}
        _add_row(place, row | ({"recipe": config.recipe} if config.recipe else {}))
        next_command = shlex.join(["rlready", "predict", "runs/ready", str(place)])
    kind = f" ({found.kind})" if found.path else ""
    result = ImportResult(
        headline=f"The outcome {found.value:.4g}{kind} of RL from {exported.model} is in {place}.",
        next_command=next_command,
        text=str(place),
        checkpoint=exported.model,
        outcome=found.value,
        meaning=found.meaning,
        seed=settings.seed,
        family=family,
    )
    left = found.unfinished(exported)
    result = with_warning(result, f"{left}: import it again when training has ended" if left else "")
    result = with_warning(result, found.too_long(exported))
    result = with_warning(result, found.unit)
    return with_warning(result, _said_of(folder, edited, "" if sweep else family))


def _edited(folder: Path) -> dict[str, str]:
    """The digests of the files that are not as they were exported, but for the README, which trains nothing."""
    files = ((name, folder / name, digest) for name, digest in RunRecord.load(folder).files.items() if name != README)
    there = ((name, file_digest(file), digest) for name, file, digest in files if file.is_file())
    return {name: now for name, now, digest in there if now != digest}


def _said_of(folder: Path, edited: Mapping[str, str], family: str) -> str:
    """What a changed export means for the comparison with others; in a sweep, ``family`` is empty."""
    if not edited:
        return ""
    then = (
        f"its outcome has a family of its own, {family}; to compare several such runs, export with the new settings"
        if family
        else "the sweep compares it with those of unchanged exports all the same"
    )
    return f"{folder}: {', '.join(sorted(edited))} changed since the export: {then}"


def _columns(config: ImportConfig, found: Outcome, table: Path) -> dict[str, object]:
    """The columns of a table that hold the outcome: a number, or the curve, which predict reads again."""
    if not found.path:
        return {"outcome": found.value}
    curve = config.outcome or Path(config.export) / OUTPUTS  # a folder stays one, as training may go on in it
    columns: dict[str, object] = {"curve": path_from(table.parent, curve), "outcome": config.value}
    return columns | ({"metric": found.metric} if found.metric else {})


def _add_row(table: Path, row: Mapping[str, object]) -> None:
    """Write a row in place of the one of the same export, if there is one."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with replacing_in(table.parent):
        lines = [line for line, export in _rows(table) if export != row["export"]]
        write_text(table, "".join(f"{line}\n" for line in [*lines, json.dumps(row, ensure_ascii=False)]))


def _family(folder: Path, tool: Tool, settings: RLConfig, found: Outcome, edited: Mapping[str, str]) -> str:
    """A name that outcomes have in common if they may be compared.

    They are of runs that were exported to one tool with the same settings, problems and verifiers, wherever these were
    read from, with the same files if they were ``edited`` since, and all numbers or the same value of curves.
    """
    same: dict[str, object] = {key: value for key, value in settings.typed().items() if key not in NOT_RECIPE}
    manifest = Manifest.from_file(folder / MANIFEST)
    for name, split in SOURCES.items():
        if same[name]:
            source = parse_source(manifest.sources[split])
            same[name] = [source.kind, source.options, manifest.problems[split]]
    code = {name: digest for name, digest in RunRecord.load(folder).files.items() if name.startswith(f"{CODE}/")}
    parts = [same, code, edited] if edited else [same, code]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{tool}-{digest} {found.meaning.partition(' of ')[0] or 'number'}"


def _rows(table: Path) -> list[tuple[str, object]]:
    """The lines of a table that is there, each with its export; UserError if they have no checkpoint and outcome."""
    if not table.exists():
        return []
    lines = [line for line in text_of(table, "strict").removeprefix("\ufeff").split("\n") if line.strip()]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not {"checkpoint", "outcome"} <= row.keys():
                raise ValueError
            found.append((line, row.get("export")))
        except (ValueError, AttributeError, RecursionError):
            raise UserError(f"{table}:{number}: not a row of a table of outcomes; choose another --out") from None
    return found
