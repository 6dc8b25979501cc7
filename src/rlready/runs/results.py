"""Loading the result of a run without knowing its verb."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePath
from typing import TypeVar

from rlready.core.errors import UserError
from rlready.core.lazy import lazy
from rlready.core.missing import did_you_mean
from rlready.core.result import RESULT, Result, with_warning
from rlready.runs.checksums import changed, is_intact, refuse_changed
from rlready.runs.content import is_model
from rlready.runs.files import read_json
from rlready.runs.moved import moved_path
from rlready.runs.record import DONE, RECORD, RunRecord

R = TypeVar("R", bound=Result)
AGAIN = "delete it, and the command of the run makes it again"
TRAINED = ("sft", "rl")  # whose results are not made again without training
# where each verb's result is defined; imported when one is read
RESULTS = {
    "checklist": "rlready.checklist.result:ChecklistResult",
    "demo": "rlready.report.demo_result:DemoResult",
    "doctor": "rlready.report.doctor_result:DoctorResult",
    "evaluate": "rlready.evaluate.result:EvaluateResult",
    "export": "rlready.export.result:ExportResult",
    "import": "rlready.export.result:ImportResult",
    "inject": "rlready.inject.result:InjectResult",
    "predict": "rlready.predict.result:PredictResult",
    "readiness": "rlready.readiness.result:ReadinessResult",
    "rl": "rlready.train.result:RLResult",
    "sft": "rlready.train.result:SFTResult",
    "sweep": "rlready.sweep.result:SweepResult",
}


def result_type(verb: str) -> type[Result]:
    """The class of a verb's result."""
    module, _, name = RESULTS[verb].partition(":")
    found: type[Result] = getattr(importlib.import_module(module), name)
    return found


__getattr__ = lazy(__name__, {name: module for module, _, name in (where.partition(":") for where in RESULTS.values())})


def is_finished(folder: Path) -> bool:
    """Whether a run folder holds a result; UserError for a path that is not a run folder."""
    if not folder.exists():
        raise UserError(f"{folder}: no such folder{did_you_mean(str(folder))}")
    if (folder / RESULT).is_file():
        return True
    if os.path.lexists(folder / RESULT):
        raise UserError(f"{folder / RESULT}: not a file; {way_back(folder, folder / RESULT)}")
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: not a run folder, {RECORD} is missing")
    return False


def refuse_unfinished(folder: Path) -> None:
    """UserError for a path that is not the folder of a finished run."""
    if is_finished(folder):
        return
    command = own_command(folder, RunRecord.load(folder))
    how = f": {command}" if command else ""
    raise UserError(f"{folder}: the run has not finished; continue it with its own command{how}")


def own_command(folder: Path, record: RunRecord) -> str:
    """The command of a run, which is in ``folder`` now; "" if it is not one of rlready alone.

    Of a copy, or a run that has moved or was started in another directory, it names that folder: under its own name
    another run would go on, or begin.  The command of a part of a sweep or a demo is that of the whole.
    """
    if not is_own(record.command) or not record.folder or Path(record.folder).resolve() == folder.resolve():
        return record.command if is_own(record.command) else ""
    words = shlex.split(record.command)
    for at, word in enumerate(words):
        head, given = ("", word) if words[at - 1 : at] == ["--out"] else ("--out=", word.removeprefix("--out="))
        if head == "" or given != word:
            whole = _whole(Path(given), record, folder)
            return shlex.join([*words[:at], f"{head}{whole}", *words[at + 1 :]]) if whole else ""
    return "" if record.part_of else shlex.join([*words, "--out", str(folder)])


def is_at(name: str, folder: Path) -> bool:
    """Whether a folder is where its run has called it, from the directory in which that was; not another run here."""
    here, before = Path(name).resolve(), PurePath(os.path.normpath(name))
    if before.is_absolute() or here.exists():
        return here == folder.resolve()
    named = [part for part in before.parts if part != os.pardir]
    return [*folder.resolve().parts[-len(named) :]] == named


def _whole(given: Path, record: RunRecord, folder: Path) -> Path | None:
    """Where the run is now that was called ``given``: the one in ``folder``, or that of which it is a part."""
    before = PurePath(os.path.normpath(record.folder))
    if not before.is_relative_to(os.path.normpath(given)):
        return None
    parts = before.relative_to(os.path.normpath(given)).parts
    place = folder
    for part in reversed(parts):
        if place.name != part:
            return None
        place = place.parent
    return place


def is_own(command: str) -> bool:
    """Whether a recorded command is one of rlready alone: the record of another's run may hold anything."""
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return words[:1] == ["rlready"] and shlex.join(words) == command


def refuse_damaged(folder: Path, path: Path) -> None:
    """UserError if a file of a run, or one in a folder of it, is not what the run has written, by its record."""
    refuse_changed(folder, path, checksums_of(folder), way_back(folder, path))


def way_back(folder: Path, path: Path) -> str:
    """How to get back a file of a run that is damaged or gone."""
    record, place = record_of(folder), path.relative_to(folder)
    if record is None or record.status != DONE or record.verb == "sweep":
        return AGAIN
    if place == PurePath(RESULT) and record.verb not in TRAINED:
        return AGAIN
    if place.parts[0] == "parts":
        return f"put it back, or delete it and {folder / RESULT}, and the command of the run makes both again"
    return "put it back: nothing makes it again but the command of the run with --overwrite, and all else with it"


def checksums_of(folder: Path) -> Mapping[str, str]:
    """The checksums in the record of a run; none without a record."""
    record = record_of(folder)
    return record.files if record else {}


def record_of(folder: Path) -> RunRecord | None:
    """The record of a run; None if there is none that can be read, since a result alone can be shown."""
    try:
        return RunRecord.load(folder)
    except UserError:
        return None


def checked(result: R, folder: Path, record: RunRecord | None) -> R:
    """A result whose notes say which of its checkpoints are not what the run in ``folder`` has saved.

    The next command leaves them out, and is empty if none is left, or if it is not one of rlready, as in the result of
    another's run.  It names the paths of today if the run has moved:
    at the old ones may be another run.
    """
    commands = _own_commands(result.next_command, record.folder if record and record.folder else str(folder))
    if record and record.folder not in ("", str(folder)):
        commands = [[moved_path(word, record.folder, folder) for word in words] for words in commands]
        commands = [[str(folder) if word == record.folder else word for word in words] for words in commands]
    result = result.model_copy(update={"next_command": _joined(commands)})
    known: Mapping[str, str] = record.files if record else {}
    named = {path: folder / "checkpoints" / Path(path).name for path in result.saved}
    gone = {path: place for path, place in named.items() if changed(folder, place, known) or not is_model(place)}
    if record and (place := named.get(result.picked)) and not is_intact(place, None, record.end or record.start):
        gone[result.picked] = place
    if not gone:
        return _picked_anew(result, folder, record)
    names = ", ".join(map(str, gone.values()))
    left = [[word for word in words if word not in gone] for words in commands] if len(gone) < len(named) else []
    told = with_warning(result, f"deleted or replaced since the run has ended: {names}")
    return told.model_copy(update={"next_command": _joined(left)})


def _picked_anew(result: R, folder: Path, record: RunRecord | None) -> R:
    """A result that picks a model which was only read, with a warning and no next command if that is another now.

    Where the folder that it was in is not here, nothing is known of it.
    """
    models = record.models if record and result.picked else []
    read = next((each for each in models if each.id == result.picked == each.path and each.sha256), None)
    place = record.located(folder, read.id) if record and read else None
    if not (record and read and place and place.parent.is_dir()) or is_intact(place, read.sha256, record.start):
        return result
    told = with_warning(result, f"{result.picked} is gone or has changed since this run read it: run it again")
    return told.model_copy(update={"next_command": "", "next_action": ""})


def _own_commands(command: str, place: str) -> list[list[str]]:
    """The words of the commands that ``&&`` joins; none unless all are of rlready, or start what is in ``place``."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    commands = [[*group] for last, group in groupby(words, lambda word: word == "&&") if not last]
    ours = (["cd", place], ["sh", "launch.sh"], ["sh", f"{place}/train.sh"])
    return commands if _joined(commands) == command and all(c in ours or c[0] == "rlready" for c in commands) else []


def _joined(commands: Sequence[Sequence[str]]) -> str:
    return " && ".join(map(shlex.join, commands))


def load_result(folder: Path) -> Result:
    """The result of a finished run; UserError if there is none, or if its verb is unknown."""
    refuse_unfinished(folder)
    refuse_damaged(folder, folder / RESULT)
    content = read_json(folder / RESULT)
    verb = content.get("verb") if isinstance(content, dict) else None
    if not isinstance(verb, str) or verb not in RESULTS:
        raise UserError(f"{folder / RESULT}: not the result of a verb of rlready (its verb is {verb!r})")
    return checked(result_type(verb).load(folder), folder, record_of(folder))
