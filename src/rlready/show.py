"""``rlready show``: what run folders hold, on a terminal: a line for each run, then every run's own tables.

With ``--diff``: rows of a run of ``inject``, before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready import lock
from rlready.errors import UserError
from rlready.inject import diff as rows
from rlready.store import RECORD, RESULT, read_json


def show(paths: Sequence[Path], *, diff: Sequence[str] | None = None) -> dict[str, Any]:
    """Status, time, verdict and tables of every run; one whose process is gone is not running, whatever it wrote.

    With ``diff``, ids of rows of the one run, an ``inject``: those rows before and after, instead; without an id the
    first row that was changed.

    What is no run is passed over with a line that says so, as it may be in ``runs/*``; UserError where there is no
    run at all, and for what does not exist.
    """
    if diff is not None:
        return rows.show(paths[0], diff)
    lines: list[list[str]] = [["run", "verb", "status", "seconds", "says"]]
    found: dict[str, Any] = {}
    tables: dict[str, list[list[str]]] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such folder")
        if not (path / RECORD).is_file():
            lines.append([str(path), "–", "not a run", "", f"{RECORD} is missing"])
            continue
        record = read_json(path / RECORD)
        result = read_json(path / RESULT) if (path / RESULT).is_file() else {}
        found[str(path)] = {"record": record, "result": result}
        killed = record["status"] == "running" and not lock.held(path)
        status = "killed; the same command continues" if killed else record["status"]
        facts = (record["verb"], status, f"{record['seconds']:.0f}", result.get("verdict", ""))
        lines.append([str(path), *facts])
        if result.get("table"):
            tables[str(path)] = result["table"]
        tables |= {f"{path}: {title}": table for title, table in result.get("tables", {}).items()}
    if not found:
        raise UserError(f"{paths[0]}: not a run folder, {RECORD} is missing")
    return {"verb": "show", "runs": found, "table": lines, "tables": tables}
