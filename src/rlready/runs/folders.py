"""Which run folder a command writes without ``--out``: a new numbered one, or with ``--resume`` an unfinished one.

The folders of ``sft`` are ``runs/sft``, ``runs/sft-2``, ``runs/sft-3`` and so on.
"""

from __future__ import annotations

import re
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.settings import Config
from rlready.runs import lock
from rlready.runs.continuing import compare
from rlready.runs.files import LEFTOVER
from rlready.runs.record import CONFIG, DONE, OVERWRITTEN, RECORD, RunRecord

RUNS = Path("runs")
START = {RECORD, CONFIG, lock.NAME}  # what a run writes before it has done any work


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


def new_folder(verb: str, parent: Path = RUNS) -> Path:
    """The folder for a new run: that with the next number; the last one again if nothing was done there."""
    last = max(_numbered(verb, parent), default=1)
    folder = _folder(verb, parent, last)
    return folder if nothing_done(folder) and not lock.is_locked(folder) else _folder(verb, parent, last + 1)


def unfinished_folder(verb: str, config: Config, parent: Path = RUNS) -> Path:
    """The newest folder with an unfinished run of ``verb`` that ``config`` continues; UserError if there is none."""
    found, refused = list[tuple[str, Path]](), list[str]()
    for number in sorted(_numbered(verb, parent)):
        folder = _folder(verb, parent, number)
        if nothing_done(folder) or lock.is_locked(folder) or not (folder / RECORD).is_file():
            continue
        record = RunRecord.load(folder)
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
