"""Folders of runs: which one a command writes without ``--out``, and what one may hold.

Without ``--out`` it is a new numbered one (``runs/sft``, ``runs/sft-2``, ...), or with ``--resume`` an unfinished one.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import warn_once
from rlready.core.missing import did_you_mean
from rlready.core.result import RESULT
from rlready.core.settings import Config
from rlready.runs import lock
from rlready.runs.content import MODEL
from rlready.runs.continuing import compare
from rlready.runs.files import LEFTOVER, os_errors_named
from rlready.runs.log import LOG
from rlready.runs.record import CONFIG, DONE, OVERWRITTEN, RECORD, RUNNING, RunRecord

RUNS = Path("runs")
TRIES = 100  # to reserve a folder, while other commands come and go
MOST = 20_000  # folders in which runs are looked for
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # or a byte that is not UTF-8
WITHOUT_RUNS = ("checkpoints", "state")  # folders of a run in which no run is
PAGE = "report.html"
HELD = {RESULT, LOG, "parts", "checkpoints"}  # what a run leaves beside its settings
START = {RECORD, CONFIG, lock.NAME, PAGE}  # what may be there before a run has done any work


def nothing_done(folder: Path) -> bool:
    """Whether a folder is missing, empty, or holds only a run that ended before it had done any work."""
    if not folder.is_dir():
        return not folder.exists()
    names = {path.name for path in folder.iterdir() if not LEFTOVER.fullmatch(path.name)}
    if RECORD not in names:
        return names <= {lock.NAME}
    try:
        status = RunRecord.load(folder).status
    except UserError:
        return False
    return status == OVERWRITTEN or (status != DONE and names <= START)


def status_of(folder: Path, record: RunRecord) -> str:
    """The status of a run now: "killed" where the process of one that its record calls running has ended."""
    return "killed" if record.status == RUNNING and not lock.is_locked(folder) else record.status


def folders_of_runs(path: Path, left_out: Callable[[str], None] = warn_once) -> list[Path]:
    """The run folders that are ``path`` or in it, at any depth; UserError if there is none, or nothing there.

    Folders that cannot be listed, which may hold runs, and those of runs without a record are left out; ``left_out`` is
    told of each.
    """
    if not path.exists():
        raise UserError(f"{path}: no such folder{did_you_mean(str(path))}")
    inside, walked = list[Path](), set[Path]()

    def unlisted(error: OSError) -> None:
        if Path(error.filename) == path:
            raise UserError(
                f"{path}: cannot be listed ({error.strerror}); name a folder of a run, or one that holds runs"
            )
        left_out(f"{error.filename}: cannot be listed: {error.strerror}; runs in it are left out")

    for visited, (root, folders, names) in enumerate(os.walk(path, onerror=unlisted, followlinks=True), start=1):
        if visited > MOST:
            raise UserError(f"{path} holds more than {MOST:,} folders; name the run folders, or the one they are in")
        real, here = Path(root).resolve(), Path(root)
        if real in walked:  # a link to what was walked already, perhaps to a folder around it
            folders.clear()
            continue
        walked.add(real)
        folders[:] = sorted(name for name in folders if _may_hold_runs(here, name, run=RECORD in names))
        if RECORD in names:
            inside.append(here)
        elif CONFIG in names and HELD & {*names, *folders}:
            left_out(f"{here}: {RECORD} is missing, though a run has been there; it is left out")
    if not inside:
        raise UserError(f"{path}: not a run folder, and there is none in it: {RECORD} is missing")
    return inside


def _may_hold_runs(parent: Path, name: str, *, run: bool) -> bool:
    """Whether to look for runs in a folder; links of a run are not followed, only those beside runs."""
    if LEFTOVER.fullmatch(name) or (run and (parent / name).is_symlink()):
        return False
    return not (name == ".git" or (run and name in WITHOUT_RUNS)) or os.path.exists(parent / name / RECORD)


def new_folder(verb: str, parent: Path = RUNS) -> Path:
    """The folder for a new run: that with the next number; the last one again if nothing was done there."""
    last = max(_numbered(verb, parent), default=1)
    folder = _folder(verb, parent, last)
    return folder if nothing_done(folder) and not lock.is_locked(folder) else _folder(verb, parent, last + 1)


@contextmanager
def reserved_folder(verb: str) -> Iterator[Path]:
    """A new folder that no other command gets, though the run may only begin seconds later."""
    for _ in range(TRIES):
        with os_errors_named(RUNS), suppress(FileNotFoundError, FileExistsError):  # as others remove their folders
            if _is_reserved(folder := new_folder(verb)):
                break
    else:
        raise UserError(f"{RUNS}: no new folder can be made there; name one with --out")
    try:
        yield folder
    finally:
        lock.give_back(folder)


def _is_reserved(folder: Path) -> bool:
    """Reserve a new folder; False if another process was faster."""
    try:
        refuse_foreign_files(folder)
        lock.reserve(folder)
    except lock.InUse:
        return False
    if not nothing_done(folder):
        lock.give_back(folder)
        return False
    return True


def unfinished_folder(verb: str, config: Config, parent: Path = RUNS) -> Path:
    """The newest folder with an unfinished run of ``verb`` that ``config`` continues; UserError if there is none."""
    found, refused = list[tuple[str, Path]](), list[str]()
    for number in sorted(_numbered(verb, parent)):
        folder = _folder(verb, parent, number)
        if nothing_done(folder) or lock.is_locked(folder) or not (folder / RECORD).is_file():
            continue
        try:
            record = RunRecord.load(folder)
        except UserError as error:
            refused.append(str(error))
            continue
        if record.status == DONE:
            continue
        refusal = compare(record, verb, config).refusal
        if refusal:
            refused.append(f"{folder} holds {refusal}")
        else:
            found.append((record.attempts[-1].start, folder))
    if not found:
        why = f": {'; '.join(refused)}" if refused else ""
        raise UserError(
            f"no unfinished run of {verb} in {parent} has these settings{why}; leave out --resume to start one"
        )
    return max(found)[1]


def _folder(verb: str, parent: Path, number: int) -> Path:
    return parent / (verb if number == 1 else f"{verb}-{number}")


def _numbered(verb: str, parent: Path) -> list[int]:
    """The numbers of the folders of ``verb``, with those of files of such a name."""
    names = [re.fullmatch(rf"{verb}(?:-([1-9][0-9]{{0,8}}))?", path.name) for path in parent.glob(f"{verb}*")]
    return [int(name[1] or 1) for name in names if name]


def refuse_foreign_files(out: Path) -> None:
    """UserError for a folder that holds files but no record of a run, or is inside a model or what a run deletes.

    UserError, too, for a name with a control character, such as a line break, which no list of paths can hold.
    """
    if CONTROL.search(str(out)):
        raise UserError(f"--out: {str(out)!r} holds a control character or is not UTF-8: choose another --out")
    if out.is_symlink() and not out.exists():
        raise UserError(
            f"--out {out} is a symbolic link to {os.readlink(out)}, which is not there: choose another --out"
        )
    try:
        inner = out.resolve()
    except (RuntimeError, OSError) as error:  # Python before 3.13 raises RuntimeError for links in a circle
        raise UserError(f"--out {out} cannot be followed ({error}): choose another --out") from None
    for folder in inner.parents:
        if any((folder / name).exists() for name in MODEL) and any(folder.glob("*.safetensors")):
            raise UserError(f"{out} is inside the model {folder}, which it would change: choose another --out")
        if folder.name in WITHOUT_RUNS and (folder.parent / RECORD).exists():
            raise UserError(f"{out} is inside the {folder.name} of a run, which may delete it: choose another --out")
    if out.is_dir() and not (out / RECORD).exists():
        ours = os.path.lexists(out / lock.NAME)  # which a run makes before any temporary file
        foreign = [p.name for p in out.iterdir() if p.name != lock.NAME and not (ours and LEFTOVER.fullmatch(p.name))]
        if foreign:
            raise UserError(f"{out} is not empty ({min(foreign)}) and not a run folder: choose another --out")


def read_record(out: Path) -> RunRecord | None:
    """The record in a folder, or None; UserError if the file is not a record."""
    if not (out / RECORD).exists():
        return None
    try:
        return RunRecord.load(out)
    except UserError as error:
        raise UserError(f"{error}; it is not the record of a run: choose another --out") from None


def own_entries(out: Path) -> list[Path]:
    """Everything in a run folder, but not what is inside the folders of other runs in it, which may be running."""
    found: list[Path] = []
    for root, folders, files in os.walk(out):
        found += (Path(root, name) for name in (*folders, *files))
        folders[:] = [name for name in folders if not os.path.lexists(Path(root, name, lock.NAME))]
    return found


def refuse_links(folder: Path) -> None:
    """UserError for a symbolic link out of a run folder, also in the runs inside: it would be written to, or shown.

    UserError, too, for a folder that cannot be listed, whose content would be missing without a word.
    """

    def unlisted(error: OSError) -> None:
        if error.errno != errno.ENOENT:  # a living run's temporary folder
            raise UserError(f"{error.filename}: cannot be listed: {error.strerror}; give this user access to it")

    for root, folders, files in os.walk(folder, onerror=unlisted):
        for path in (Path(root, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise UserError(
                    f"{path} is a symbolic link out of the run folder: put what it points to in its place, or choose "
                    "another folder"
                )
