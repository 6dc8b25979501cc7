"""A run folder with other runs in it, a demo or a sweep, that is continued under another name.

The runs inside know their checkpoints by paths that begin with the old name: it has moved, or the command was typed in
another directory.  These paths are rewritten in every record, result and part.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePath
from typing import Any

from rlready.core.errors import UserError
from rlready.runs.content import file_digest
from rlready.runs.files import LEFTOVER, read_json, to_json, write_text
from rlready.runs.log import read_log
from rlready.runs.record import DONE, RECORD, sealed

# folders in which no path stands; the last five are those of an export
KEPT = {"checkpoints", "state", "outputs", "data", "code", "tokenizer", "model"}
# folders of the runs of a demo or a sweep
JOBS = {("sft",), ("readiness",), ("rl",), ("export",), ("evaluate",), ("greedy",)}
TEXTS = (".json", ".jsonl")  # files with them


def rename_paths(out: Path, before: str) -> None:
    """In all JSON of ``out``, replace paths in the folder ``before`` by those in ``out``, where these exist or are of a
    job, which may have been deleted to run again.

    The record of each run is first: its checksums of what will change are dropped before that is written, so that a
    kill in between leaves nothing that seems damaged; they are written again last.  UserError, before anything is
    written, for a file that was edited before.
    """
    files: list[Path] = []
    for folder, folders, names in os.walk(out):
        folders[:] = sorted(name for name in {*folders} - KEPT if not LEFTOVER.fullmatch(name))
        ordered = sorted(names, key=lambda name: name != RECORD)
        files += (Path(folder, name) for name in ordered if name.endswith(TEXTS))
    for file in files:
        if file.name == RECORD:
            _refuse_edited(file, out)
    dropped: dict[Path, list[str]] = {}  # names of files by the record that had their checksums
    for file in files:
        lines = read_log(file) if file.suffix == ".jsonl" else [read_json(file)]
        renamed = [_renamed(line, before, out) for line in lines]
        if renamed == lines:
            continue
        if file.name == RECORD:
            files_of = renamed[0].get("files", {})
            renamed[0]["files"] = {name: sha for name, sha in files_of.items() if not _may_change(name)}
            renamed = [sealed(renamed[0])] if lines == [sealed(lines[0])] else renamed
            dropped[file] = [name for name in files_of if _may_change(name)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in renamed)
        write_text(file, text if file.suffix == ".jsonl" else to_json(renamed[0]) + "\n")
    for file, names in dropped.items():
        record = read_json(file)
        known = {name: file_digest(file.parent / name) for name in names if (file.parent / name).is_file()}
        again = record | {"files": record["files"] | known}
        write_text(file, to_json(sealed(again) if record == sealed(record) else again) + "\n")


def _refuse_edited(file: Path, out: Path) -> None:
    """UserError for a file that may be renamed and does not have the checksum in the record of its finished run."""
    again = f"delete {file.parent} to run that part again" if file.parent != out else "delete it to have it made again"
    record = read_json(file)
    for name, sha in record.get("files", {}).items() if record.get("status") == DONE else ():
        path = file.parent / name
        if _may_change(name) and path.is_file() and file_digest(path) != sha:
            raise UserError(f"{path}: damaged, or not the file that the run has written: put it back, or {again}")


def _may_change(name: str) -> bool:
    """Whether a file, by its path in a run folder, may hold paths."""
    return name.endswith(TEXTS) and PurePath(name).parts[0] not in KEPT


def _renamed(value: Any, before: str, out: Path) -> Any:
    """A value of JSON in which every text, also a key, that is a path in ``before`` is one in ``out``."""
    if isinstance(value, dict):
        return {_renamed(key, before, out): _renamed(each, before, out) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, before, out) for each in value]
    if isinstance(value, str) and "\n" not in value:
        return moved_path(value, before, out)
    return value


def moved_path(path: str, before: str, out: Path) -> str:
    """A path in ``before`` as one in ``out``, if it is there or of a job.

    Below the working directory, which is no prefix, only paths of jobs and of checkpoints are known as such.
    """
    here = before == "."
    if not here and not path.startswith(f"{before}/"):
        return path
    inside = PurePath(path if here else path[len(before) + 1 :])
    now = out / inside
    if here:
        ours = inside.parts[:1] in JOBS | {("checkpoints",)}
        return str(now) if ours and len(inside.parts) > 1 else path
    return str(now) if inside.parts[:1] in JOBS or os.path.exists(now) else path
