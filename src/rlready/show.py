"""``rlready show``: what a run folder holds, on a terminal; for several folders, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.errors import UserError
from rlready.store import RECORD, RESULT, read_json


def show(paths: Sequence[Path]) -> dict[str, Any]:
    """Status, time and main table of every run folder; UserError for a folder that is none."""
    rows: list[list[str]] = [["run", "verb", "status", "seconds", "says"]]
    found: dict[str, Any] = {}
    for path in paths:
        if not (path / RECORD).is_file():
            raise UserError(f"{path}: not a run folder, {RECORD} is missing")
        record = read_json(path / RECORD)
        result = read_json(path / RESULT) if (path / RESULT).is_file() else {}
        found[str(path)] = {"record": record, "result": result}
        says = str(result.get("verdict", ""))
        rows.append([str(path), record["verb"], record["status"], f"{record['seconds']:.0f}", says])
        rows += [["", *map(str, line)] for line in result.get("table", [])]
    return {"verb": "show", "runs": found, "table": rows}
