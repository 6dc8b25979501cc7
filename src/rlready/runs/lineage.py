"""What a model was made from, by the records of runs and the configuration of its adapter; nothing is fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from rlready.core.errors import UserError
from rlready.runs.checksums import changed
from rlready.runs.content import ADAPTER, CONFIG, has_content
from rlready.runs.files import read_json
from rlready.runs.record import RECORD, RunRecord

STEP = re.compile(r"step-\d+")
STAGES = {"sft": "SFT", "rl": "RL"}


def run_of(checkpoint: Path) -> Path | None:
    """The folder of the run that has saved a checkpoint, RUN of RUN/checkpoints/step-N, through links; else None."""
    path = checkpoint.resolve()
    return path.parent.parent if path.parent.name == "checkpoints" and STEP.fullmatch(path.name) else None


def stage_of(checkpoint: Path) -> str:
    """ "SFT" or "RL" if a run of that kind has saved a checkpoint, by its record; else ""."""
    run = run_of(checkpoint)
    with suppress(UserError):
        return STAGES.get(RunRecord.load(run).verb, "") if run else ""
    return ""


def stages_of(models: Iterable[str]) -> dict[str, str]:
    """The stage of each model by `stage_of`; "Base" for one from which the run of another of them has started."""
    stages = {model: stage_of(Path(model)) for model in models}
    starts = {start for model, stage in stages.items() if stage for start in _starts(Path(model))}
    own = {
        model: stage or "Base" * bool({model, str(Path(model).resolve())} & starts) for model, stage in stages.items()
    }
    return own


def _starts(checkpoint: Path) -> Iterator[str]:
    """What the run that has saved a checkpoint has started from: its name and its folder."""
    if run := run_of(checkpoint):
        record = RunRecord.load(run)
        name = str(record.config.get("model"))
        yield from (name, str(record.located(run, name).resolve()))


def bases(adapter: Path, name: str) -> list[Path]:
    """The folders that the name of an adapter's base may mean: a relative path is tried from the working directory,
    from the adapter's folder and from its parent.

    An absolute path of a project that was moved is followed: it is where the run that has saved the adapter, or an
    adapter before it, has its start now, if that has the content that this run recorded.
    """
    found = [path for at in (Path(), adapter, adapter.parent) if os.path.isdir(path := at / name)]
    moved = _moved_base(adapter) if not found and os.path.isabs(name) else None
    return [moved] if moved else found


def _moved_base(adapter: Path) -> Path | None:
    """The base of an adapter where the runs that led to it have their starts now; None if it is not that any more."""
    path, seen = adapter.resolve(), set[Path]()
    while path not in seen:
        seen.add(path)
        start = _start_of(path)
        if start is None:
            return None
        run, path = start[0], start[1].resolve()
        if (path / CONFIG).exists():
            read = (note.sha256 for note in RunRecord.load(run).models)
            return path if any(has_content(path, digest) for digest in read if digest) else None
    return None


def base_folder(folder: Path) -> Path | None:
    """The folder of an adapter's base on this machine; None for a folder without an adapter, and for a base of the
    hub."""
    with suppress(UserError):
        stated = read_json(folder / ADAPTER) if (folder / ADAPTER).is_file() else None
        name = stated.get("base_model_name_or_path") if isinstance(stated, dict) else None
        if isinstance(name, str) and name:
            return next((path for path in bases(folder, name) if (path / CONFIG).exists()), None)
    return None


def models_behind(model: Path) -> Iterator[Path]:
    """The folder of a model, and of each that it was made from: bases of adapters, and starts of the runs that have
    trained it.  Paths are absolute; a checkpoint may have been deleted since, while its run is still there."""
    waiting, seen = [model], set[Path]()
    while waiting:
        path = waiting.pop(0).resolve()
        if path in seen:
            continue
        seen.add(path)
        yield path
        if (start := _start_of(path)) and not _overwritten_since(*start):
            waiting.append(start[1])
        if base := base_folder(path):
            waiting.append(base)


def replaced(checkpoint: Path) -> Path | None:
    """The run in whose folder a checkpoint is, if that has saved another one under this name."""
    run = run_of(checkpoint)
    with suppress(UserError):  # a record that cannot be read
        if run and changed(run.resolve(), checkpoint.resolve(), RunRecord.load(run).files):
            return run
    return None


def lost_starts(model: Path) -> Iterator[tuple[Path, Path]]:
    """(a run that led to a model, the run that it started from) where the latter was moved, deleted or overwritten."""
    for path in models_behind(model):
        start = _start_of(path)
        before = run_of(start[1]) if start else None
        gone = start is not None and not start[1].exists() and not (before and (before / RECORD).is_file())
        if start and before and (gone or _overwritten_since(*start)):
            yield start[0], before


def _start_of(checkpoint: Path) -> tuple[Path, Path] | None:
    """The run that has saved a checkpoint, and the model that it started from; None where no run did."""
    run = run_of(checkpoint)
    with suppress(UserError):  # a record that cannot be read
        if run:
            record = RunRecord.load(run)
            return run, record.located(run, str(record.config.get("model")))
    return None


def _overwritten_since(run: Path, start: Path) -> bool:
    """Whether the run that has saved ``start`` began after ``run`` did, and ``start`` is not what that has read."""
    before = run_of(start)
    with suppress(UserError):
        record = RunRecord.load(run)
        if before is not None and RunRecord.load(before).start > record.start:
            read = {
                note.sha256 for note in record.models if note.path and record.located(run, note.path).resolve() == start
            }
            return not start.exists() or not any(has_content(start, digest) for digest in read)
    return False


def models_of_runs(path: Path) -> Iterator[Path]:
    """The models that the runs in a folder have read, or those in the folder of a file, such as a result or a table."""
    folder = path if path.is_dir() else path.parent
    for file in [folder / RECORD, *folder.glob(f"*/**/{RECORD}")] if (folder / RECORD).is_file() else ():
        with suppress(UserError):  # a record that cannot be read
            record = RunRecord.load(file.parent)
            yield from (record.located(file.parent, each.path) for each in record.models if each.path)
