"""Tasks: where problems, worked rows and verdicts come from.  Open one with ``open_task``."""

from __future__ import annotations

from rlready.tasks.dagmath.task import DagTask
from rlready.tasks.gsm8k import Gsm8kTask
from rlready.tasks.protocol import Task, Verdict
from rlready.tasks.rows import RowsTask
from rlready.tasks.select import KEYS, Selected
from rlready.tasks.source import Source, parse_source

__all__ = ["Task", "Verdict", "open_task"]


def open_task(source: str, *, limit: int | None = None) -> Task:
    """The task a source string names, cut to ``limit`` problems; UserError says what is wrong with the string.

    ``dagmath?ops=8&asked=3``, ``gsm8k:PATH?split=test``, ``rows:PATH?verifier=pkg.module:function``, or the bare
    path of a JSONL, JSON or Parquet table; with ``&n=1000&select=shortest&of=4000`` a choice of its rows.
    """
    parsed = parse_source(source, limit)
    return Selected(parsed, _open) if parsed.options.keys() & set(KEYS) else _open(parsed)


def _open(parsed: Source) -> Task:
    if parsed.kind == "dagmath":
        return DagTask(parsed)
    return Gsm8kTask(parsed) if parsed.kind == "gsm8k" else RowsTask(parsed)
