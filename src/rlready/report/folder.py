"""What the report reads of a run folder.

``result.json`` must be valid, and exist if the run has finished; the files beside it are optional, and incomplete lines
that a killed run left are counted, not fatal.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from rlready.core.errors import UserError
from rlready.core.messages import warn
from rlready.core.regular import read_whole
from rlready.core.result import Record, Result, first_error, with_warning
from rlready.evaluate.result import Example
from rlready.inject.diff import BEFORE, RowPair, RowText
from rlready.inject.result import InjectResult
from rlready.report.logs import LogLine
from rlready.runs.checksums import changed
from rlready.runs.folders import refuse_links
from rlready.runs.log import EXAMPLES, LOG
from rlready.runs.record import BY_HAND, RECORD, SCHEMA, is_edited
from rlready.runs.results import checksums_of, load_result

REWRITTEN = 3  # rows of an ``inject`` run that are shown
VERBS = ("sft", "rl")  # those that write a log
Line = TypeVar("Line", bound=Record)


@dataclass(frozen=True)
class RunFolder:
    """The content of a run folder; ``left_out`` says in words what could not be read."""

    result: Result
    sft_log: list[LogLine]
    rl_log: list[LogLine]
    examples: list[Example]
    record: dict[str, object]
    rewritten: list[RowPair]
    left_out: list[str]

    @property
    def algorithm(self) -> str:
        """The algorithm of an RL run, "" of any other."""
        config = self.record.get("config")
        return str(config.get("algorithm", "")) if isinstance(config, dict) else ""


def read_folder(folder: Path, unfinished: Result | None = None) -> RunFolder:
    """Read a run folder; UserError for a link out of it, one of a newer version, and if ``result.json`` is no verb's.

    ``unfinished`` stands for the result that a run does not have yet.
    """
    refuse_links(folder)
    result, left_out = unfinished or load_result(folder), list[str]()

    def records(name: str, kind: type[Line]) -> list[Line]:
        return _records(folder, name, kind, left_out)

    sft_log, rl_log = (records(LOG if result.verb == v else f"{v}/{LOG}", LogLine) for v in VERBS)
    rewritten = []
    if isinstance(result, InjectResult):
        rewritten = _rewritten(records(BEFORE, RowText), records(Path(result.rows).name, RowText))
    examples, record = records(EXAMPLES, Example), _record(folder, left_out)
    if record and not unfinished and is_edited(folder):
        result = with_warning(result, BY_HAND)
    for what in left_out:
        warn(f"report: warning: {folder}: left out of the page: {what}")
    return RunFolder(result, sft_log, rl_log, examples, record, rewritten, left_out)


def _records(folder: Path, name: str, kind: type[Line], left_out: list[str]) -> list[Line]:
    """The lines of a JSONL file; none without the file, or if it was changed after the run.

    Lines that cannot be read are counted in ``left_out``.
    """
    path, found, unreadable = folder / name, list[Line](), 0
    unlike = Counter[str]()
    if path.exists() and changed(path.parent, path, checksums_of(path.parent)):
        left_out.append(f"{name}: changed after the run had ended")
        return []
    for line in _content(path, left_out).split(b"\n"):
        try:
            found += [kind.model_validate_json(line, strict=True)] if line.strip() else []
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":
                unreadable += 1
            else:
                unlike[first_error(error)] += 1
    left_out += [f"{name}: {what}" + (f" (in {times} lines)" if times > 1 else "") for what, times in unlike.items()]
    if unreadable:
        left_out.append(f"{name}: {unreadable} unreadable line{'s' * (unreadable > 1)}")
    return found


def _content(path: Path, left_out: list[str]) -> bytes:
    """The content of a file, nothing where there is none, or none that can be read."""
    try:
        return read_whole(path, links=True) if os.path.lexists(path) else b""
    except OSError as error:
        left_out.append(f"{path.name}: {error.strerror}")
        return b""


def _record(folder: Path, left_out: list[str]) -> dict[str, object]:
    """The content of ``record.json``."""
    content = _content(folder / RECORD, left_out)
    if not os.path.lexists(folder / RECORD):
        left_out.append(f"{RECORD}: missing, so that nothing says what ran, nor whether a file was changed since")
        return {}
    try:
        record = json.loads(content.decode(errors="replace")) if content else {}
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        left_out.append(f"{RECORD}: no JSON object")
        return {}
    if isinstance(version := record.get("schema_version"), int) and version > SCHEMA:
        raise UserError(f"{folder / RECORD}: a newer version of rlready wrote this; upgrade")
    return record


def _rewritten(before: Sequence[RowText], after: Sequence[RowText]) -> list[RowPair]:
    """Some of the rows that ``inject`` changed, those first in which the most kinds of change meet."""
    was = {row.id: row for row in before}
    pairs = [RowPair(before=was[row.id], after=row) for row in after if row.id in was]
    shown = [pair for pair in pairs if pair.changed and pair.after.thinking]
    return sorted(shown, key=lambda pair: -len(kinds(pair)))[:REWRITTEN]


def kinds(pair: RowPair) -> list[str]:
    """The kinds of change in a row."""
    return sorted({kind for _, kind in pair.pieces() if kind})
