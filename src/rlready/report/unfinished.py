"""What there is of a run that has not finished: how far it is, what looks wrong, and what it has measured so far.

It decides nothing: checkpoints and models that are measured are not ranked before all of them are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup
from pydantic import JsonValue

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import RESULT, Record, Result, TaskRecord, with_warning
from rlready.core.stats import mean_estimate
from rlready.readiness.result import CheckpointReadiness
from rlready.report.checkpoint_charts import measured_parts
from rlready.report.figures import PERCENT
from rlready.report.folder import RunFolder, read_folder
from rlready.report.log_charts import sft_loss
from rlready.report.section import Column, Section, as_printed, bullets, paragraph, side_by_side, table
from rlready.report.snapshot import snapshots
from rlready.report.watch_result import WatchedRun, WatchResult
from rlready.runs.checkpoint_order import in_training_order, labels
from rlready.runs.checksums import refuse_changed
from rlready.runs.provenance import now
from rlready.runs.record import BY_HAND, DONE, RUNNING, RunRecord, is_edited
from rlready.runs.results import AGAIN, own_command

Part = TypeVar("Part", bound=Record)


class ModelAccuracy(Record):
    """The accuracy of a model in every setting that is measured, by the setting's name."""

    model: str
    accuracy: dict[str, Estimate]


class UnfinishedResult(Result):
    """A run as it is now, in ``runs_so_far`` with those inside it; never stored.

    Of readiness and evaluate, ``checkpoints`` and ``models`` are measured, and those in ``left`` are not.
    """

    runs_so_far: Sequence[WatchedRun]
    saved_checkpoints: Sequence[str]
    checkpoints: Sequence[CheckpointReadiness] = ()
    group_size: int | None = None
    models: Sequence[ModelAccuracy] = ()
    left: Sequence[str] = ()


def read_unfinished(folder: Path) -> RunFolder:
    """The content of the folder of a run that has not finished; UserError for a link out of it, and for a record that
    cannot be read."""
    record, left_out = RunRecord.load(folder), list[str]()
    runs = snapshots([folder], {})
    status = f"done, but {RESULT} is missing" if record.status == DONE else runs[0].status
    found = UnfinishedResult(
        verb=record.verb,
        headline="",
        notes=[f"Status at {now()}: {status}. What follows is what is there so far; it is not a result."],
        next_command=own_command(folder, record) if status != RUNNING else "",
        runs_so_far=runs,
        saved_checkpoints=_saved(folder / "checkpoints"),
    )
    if is_edited(folder):
        found = with_warning(found, BY_HAND)
    if record.verb == "readiness":
        found = _with_checkpoints(found, folder, record, left_out)
    elif record.verb == "evaluate":
        found = _with_models(found, folder, record, left_out)
    run = read_folder(folder, found.model_copy(update={"headline": f"Unfinished: {_progress(found, record.config)}."}))
    run.left_out.extend(left_out)
    return run


def unfinished_sections(run: RunFolder, result: UnfinishedResult) -> Iterator[Section]:
    """How far the run is, what looks wrong, and what it has measured; the log of RL is drawn elsewhere."""
    watched = WatchResult.of(result.runs_so_far)
    if alerts := watched.remarks():
        yield Section("What looks wrong", [bullets(alerts, "steps")])
    saved = ", ".join(result.saved_checkpoints)
    said = [f"Checkpoints so far: {saved}."] if saved else []
    said += [f"Not measured yet: {', '.join(result.left)}."] if result.left else []
    yield Section("Progress", [*map(paragraph, said), as_printed(watched.tables()[0], "Progress")])
    if loss := side_by_side([sft_loss(run.sft_log)]):
        yield Section("Supervised fine-tuning", [loss])
    if result.checkpoints:
        parts = measured_parts(result.checkpoints, {}, result.group_size, run.sft_log)
        yield Section("Checkpoints that are measured", parts, ["pass_at_k"])
    if result.models:
        yield Section("Models that are measured", [_accuracies(result.models)])


def _saved(folder: Path) -> list[str]:
    """The names of the checkpoints in a folder, by step."""
    steps = [int(found[1]) for path in folder.glob("step-*") if (found := re.fullmatch(r"step-(\d+)", path.name))]
    return [f"step-{step}" for step in sorted(steps)]


def _progress(found: UnfinishedResult, config: dict[str, JsonValue]) -> str:
    """How far the run is, in words."""
    (run, *inside), done = found.runs_so_far, len(found.checkpoints or found.models)
    if found.verb in ("readiness", "evaluate"):
        what = "checkpoints" if found.verb == "readiness" else "models"
        return f"{done} of {done + len(found.left)} {what} are measured"
    if inside:
        return WatchResult.of(inside).headline.rstrip(".")
    if run.step is None:
        return "no step is done" if found.verb in ("sft", "rl") else "there is no result yet"
    if run.done is not None and found.verb == "sft":
        return f"step {run.step:,}, {run.done:.0%} of the epochs"
    return f"step {run.step:,} of {config['steps']}" if run.done is not None else f"step {run.step:,}"


def _with_checkpoints(
    found: UnfinishedResult, folder: Path, record: RunRecord, left_out: list[str]
) -> UnfinishedResult:
    """The result with the checkpoints that are measured, without rank, and what is left."""
    from rlready.readiness.comparison import compare  # imports torch
    from rlready.readiness.part import Part as CheckpointPart

    config = ReadinessConfig().replace(
        **{key: record.config[key] for key in ("checkpoints", "samples", "group_size") if key in record.config}
    )
    parts, left = _parts(folder, record, CheckpointPart, in_training_order(config.checkpoints), left_out)
    if not parts:
        return found.model_copy(update={"left": left})
    compared = compare(config, parts, TaskRecord(source="", description=""), {})
    unranked = {"chosen": False, "behind": None, "overfitting": None}
    rows = [each.model_copy(update=unranked) for each in compared.checkpoints]
    return found.model_copy(update={"checkpoints": rows, "left": left, "group_size": compared.group_size})


def _with_models(found: UnfinishedResult, folder: Path, record: RunRecord, left_out: list[str]) -> UnfinishedResult:
    """The result with the accuracies of the models that are measured, and what is left."""
    from rlready.evaluate.measure import ModelMeasurements  # imports torch

    sources = record.config.get("models")
    names = [str(each) for each in sources] if isinstance(sources, list) else []
    parts, left = _parts(folder, record, ModelMeasurements, names, left_out)
    models = [
        ModelAccuracy(
            model=part.model,
            accuracy={name: mean_estimate(each.accuracy, bounds=(0.0, 1.0)) for name, each in part.vectors.items()},
        )
        for part in parts
    ]
    return found.model_copy(update={"models": models, "left": left})


def _parts(
    folder: Path, record: RunRecord, kind: type[Part], sources: Sequence[str], left_out: list[str]
) -> tuple[list[Part], list[str]]:
    """What is measured of ``sources``, and those of which nothing is, or nothing that can be read."""
    found, left = list[Part](), list[str]()
    for number, source in enumerate(sources):
        file = folder / "parts" / f"{number}.json"
        try:
            refuse_changed(folder, file, record.files, AGAIN)
            found += [kind.from_file(file)] if file.exists() else []
            left += [] if file.exists() else [source]
        except UserError as error:
            left_out.append(str(error))
            left.append(source)
    return found, left


def _accuracies(models: Sequence[ModelAccuracy]) -> Markup:
    short = labels(each.model for each in models)
    column = Column[ModelAccuracy]
    columns = [column("model", lambda each: short[each.model], heads=True)]
    columns += [column(name, partial(_accuracy, name), PERCENT) for name in models[0].accuracy]
    return table("Accuracy by thinking budget", [models], columns)


def _accuracy(setting: str, each: ModelAccuracy) -> Estimate | None:
    return each.accuracy.get(setting)
