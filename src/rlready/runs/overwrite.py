"""What ``--overwrite`` deletes: all that the run in a folder has written, and nothing else."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from rlready.core.errors import UserError
from rlready.core.result import RESULT
from rlready.core.settings import Config
from rlready.runs import lock
from rlready.runs.files import LEFTOVER, plain, remove, write_json
from rlready.runs.folders import START, read_record
from rlready.runs.lineage import models_behind, models_of_runs
from rlready.runs.log import DRAWN, LOG
from rlready.runs.record import OVERWRITTEN, RECORD, Note, RunRecord

# what the run of a verb writes into its folder, besides what every run does and what its record has checksums of
WRITES = {
    "demo": {"sft", "readiness", "rl", "evaluate", "greedy", *DRAWN},
    "evaluate": {"parts", "state", *DRAWN},
    "inject": {"README.md"},
    "readiness": {"parts", "state", "heldout.parquet"},
    "rl": {"checkpoints", "samples", "state", LOG},
    "sft": {"checkpoints", "heldout.parquet", "state", LOG},
    "sweep": {"sft", "readiness", "rl", "evaluate", "logs", "runs.jsonl", LOG},
}
EVERY = START | {RESULT, "report.html"}
CHECKPOINT = re.compile(rf"step-\d+|{LEFTOVER.pattern}")


def empty_folder(out: Path, configs: Sequence[Config], command: str = "", noted: Sequence[Note] = ()) -> None:
    """Delete what is in a folder, all of it of a run that is overwritten or has done nothing.

    The record says so first and is deleted last, so that a kill in between leaves no run that seems whole.  UserError
    if an input that ``configs``, ``command`` or ``noted`` name would be deleted, a model that it was made from or that
    a run named there has read, or anything else that the run in the folder has not written.
    """
    held = next(
        (file.parent for file in out.rglob(lock.NAME) if file.parent != out and lock.is_locked(file.parent)), None
    )
    if held:
        raise UserError(f"{held} is in use: wait for it, or choose another --out")
    named = list(_paths_in([plain(list(configs)), [each.path for each in noted]]))
    inputs = [(f"an input of this run, {path}", path.resolve()) for path in named]
    inputs += [
        (f"{place}, from which an input of this run was made, {path}", place)
        for path in named
        for start in (path, *models_of_runs(path))
        for place in models_behind(start)
    ]
    inputs += [  # one of the words is --out
        (f"an input of this run, {path}", path.resolve().parent) for path in _paths_in(shlex.split(command))
    ]
    for what, place in inputs:
        if out.resolve() in (place, *place.parents):
            raise UserError(f"{out} cannot be overwritten: it holds {what}")
    old = read_record(out)
    if old:
        others = sorted(map(str, foreign_entries(out, old)))
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            raise UserError(
                f"{out} cannot be overwritten: it also holds {', '.join(others[:3])}{more}, not written by its run of "
                f"{old.verb}: move that elsewhere, or choose another --out"
            )
        old.status = OVERWRITTEN
        write_json(out / RECORD, old)
    for path in out.iterdir():
        if path.name not in (lock.NAME, RECORD):
            remove(path)


def foreign_entries(folder: Path, record: RunRecord) -> Iterator[Path]:
    """What is in a run folder and was not written by its run: other files, and runs that are part of no other.

    Only names are compared, so what is inside a checkpoint or the folder of a job is not looked at, but for runs.
    """
    own = EVERY | WRITES.get(record.verb, set()) | {PurePath(name).parts[0] for name in record.files}
    for path in folder.iterdir():
        if path.name not in own and not LEFTOVER.fullmatch(path.name):
            yield path
        elif path.name == "checkpoints" and not path.is_symlink():
            yield from (each for each in path.iterdir() if not CHECKPOINT.fullmatch(each.name))
    for file in folder.glob(f"*/**/{RECORD}"):
        with suppress(UserError):  # a job whose record is damaged
            inner = RunRecord.load(file.parent)
            if inner.command and inner.part_of is None:
                yield file.parent


def _paths_in(value: object) -> Iterator[Path]:
    """The existing files and folders that settings or the words of a command name, also in task sources."""
    for word in dict.fromkeys(_texts_in(value)):
        for text in (word, word.partition("=")[2]):
            path, _, query = text.partition("?")
            code = query.partition("verifier=")[2].partition("&")[0].rpartition(":")[0]
            named = (path, path.partition(":")[2], code, f"{code.replace('.', '/')}.py")
            yield from (Path(each) for each in named if each and os.path.exists(each))


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts_in(each)
    elif isinstance(value, str):
        yield value
