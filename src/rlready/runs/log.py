"""``log.jsonl``: one line of JSON per step, appended during the run and truncated when the run resumes.

A kill can leave an incomplete last line; readers ignore it and the next append removes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from io import FileIO
from pathlib import Path
from typing import Any

from rlready.core.distributed import rank
from rlready.core.errors import UserError
from rlready.core.regular import opened
from rlready.runs.content import file_digest
from rlready.runs.files import os_errors_named, plain, sync, write_text
from rlready.runs.lock import refuse_moved

LOG = "log.jsonl"
EXAMPLES = "examples.jsonl"  # samples to read, of an evaluation
DRAWN = (LOG, EXAMPLES)  # what a page shows beside the result
BLOCK = 1 << 16
LARGEST = 1 << 28  # bytes; a step has about a thousand


def append_line(path: Path, content: object) -> None:
    """Append a line, on rank 0; on a full disk the log stays as it was."""
    if rank():
        return
    line = _line(plain(content)).encode()
    refuse_moved(path)
    with os_errors_named(path), FileIO(path, "a+", opener=_opener) as file:
        end = _end_of_whole_lines(file)
        file.truncate(end)
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(end)
            raise


def read_log(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log; empty if there is no log yet."""
    if not path.exists():
        return []
    try:
        with os_errors_named(path, "read"), opened(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise UserError(f"{path}: too large for a log of a run ({LARGEST >> 20} MiB); remove it")
            lines = [json.loads(line) for line in file.read().split(b"\n")[:-1]]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a log of JSON lines: {error}") from None
    if not all(isinstance(line, dict) for line in lines):
        raise UserError(f"{path}: not a log of JSON lines: a line is not an object")
    return lines


def sync_log(path: Path) -> None:
    """Have the lines that are there survive a power cut."""
    if path.exists():
        with os_errors_named(path):
            sync(path)


def log_digest(path: Path) -> str:
    """SHA-256 of a log's content; that of no bytes if there is none."""
    return file_digest(path) if path.exists() else hashlib.sha256().hexdigest()


def truncate_log(path: Path, last_step: int, pending: str = "", digest: str | None = None) -> None:
    """Remove all lines from the first whose ``step`` is beyond ``last_step``: those steps will run again.

    So will what a line of the last step with the key ``pending`` tells of, if one is given.
    UserError if it is damaged, if lines up to that step are missing, or if those that are left do not have the
    `log_digest` of the time at which the state was saved.
    """
    kept: list[str] = []
    steps = set[int]()
    advice = f"put the log back, or delete it and {path.parent / 'state'} to begin the run again"
    try:
        lines = read_log(path)
    except UserError as error:
        raise UserError(f"{error}; {advice}") from None
    for line in lines:
        step = line.get("step")
        if not isinstance(step, int) or step > last_step or (step == last_step and pending in line):
            break
        if kept and _line(line) == kept[-1]:
            raise UserError(f"{path}: has a line of step {step} twice; {advice}")
        kept.append(_line(line))
        steps.add(step)
    if missing := {*range(1, last_step + 1)} - steps:
        raise UserError(f"{path}: lacks step {min(missing)}, but the state is that of step {last_step}; {advice}")
    if digest not in (None, hashlib.sha256("".join(kept).encode()).hexdigest()):
        raise UserError(f"{path}: edited since the state of step {last_step} was saved; {advice}")
    if path.exists():
        write_text(path, "".join(kept))


def _opener(path: str, flags: int) -> int:
    """Open a log, but no symbolic link to a file elsewhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _line(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def _end_of_whole_lines(file: FileIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
