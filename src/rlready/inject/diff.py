"""A row before and after, as lines for a terminal: what was written in is marked, and what moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlready.core.errors import UserError
from rlready.core.options import nearest
from rlready.runs.run import RESULT, read_json
from rlready.tasks.table import read_table

BEFORE = "before.jsonl"  # beside the rows: id, prompt and thinking before, and the spans of what was inserted
MOVED = "moved"
WIDE = 110


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[list[str]]:
    """(mark, text) lines: the prompt, the thought as it was, and as it is now."""
    lines = [["", "row " + _safe(after["id"])]]
    if before["prompt"] != after["prompt"]:
        lines += _lines("- prompt", before["prompt"]) + _lines("+ prompt", after["prompt"])
    else:
        lines += _lines("prompt", after["prompt"])
    lines += _lines("before", before["thinking"])
    if before["thinking"] != after["thinking"]:
        lines.append(["after", ""])
        for text, kind in pieces(before, after):
            lines += _lines(f"{'>' if kind == MOVED else '+'} {kind}" if kind else "", text)
    return [*lines, *_lines("response", after["response"])]


def pieces(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The thought as it is now, in (text, kind): the kind of what was inserted or "moved", "" where nothing was."""
    text, at, found = after["thinking"], 0, []
    for start, end, kind in _flat(before["inserted"]):
        found += [(text[at:start], ""), (text[start:end], kind)]
        at = end
    return [piece for piece in [*found, (text[at:], "")] if piece[0]]


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return any(after[key] != before[key] for key in ("prompt", "thinking"))


def show(run: Path, ids: Sequence[str]) -> dict[str, Any]:
    """The rows of these ids, or the first that was changed, before and after; UserError if this is no such run."""
    if not (run / BEFORE).is_file():
        raise UserError(f"{run}: not a run of rlready inject, {BEFORE} is missing")
    before = {row["id"]: row for row in _read(run / BEFORE)}
    after = {row["id"]: row for row in _read(run / read_json(run / RESULT)["rows"])}
    for id in ids:
        if id not in after:
            raise UserError(f"{run}: no row has the id {id!r}; {nearest(id, after)[:200]}")
    shown = ids or [next((i for i, row in after.items() if i in before and changed(before[i], row)), next(iter(after)))]
    if added := [id for id in shown if id not in before]:
        raise UserError(f"{run}: row {added[0]!r} was not made by this run, nobody knows what it was before")
    rows = [{"before": before[id], "after": after[id]} for id in shown]
    lines = [line for row in rows for line in diff(row["before"], row["after"])]
    return {"verb": "show", "rows": rows, "table": lines}


def _read(file: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_table(str(file)).rows]


def _flat(spans: Sequence[Sequence[Any]]) -> list[tuple[int, int, str]]:
    """Spans that do not overlap: of a moved step only what no inserted piece inside it covers."""
    flat: list[tuple[int, int, str]] = []
    inner = sorted((s, e, k) for s, e, k in spans if k != MOVED)
    for start, end, kind in spans:
        if kind == MOVED:
            for s, e, _ in [i for i in inner if start <= i[0] < end] + [(end, end, "")]:
                if start < s:
                    flat.append((start, s, kind))
                start = e
    return sorted(flat + inner)


def _lines(mark: str, text: str) -> list[list[str]]:
    """The text in lines no wider than a terminal, the mark before the first."""
    lines = []
    for line in text.strip().split("\n"):
        line = _safe(line.rstrip())
        while len(line) > WIDE:
            cut = line.rfind(" ", 1, WIDE)
            cut = WIDE if cut < 0 else cut
            lines.append(line[:cut])
            line = line[cut:].lstrip()
        lines.append(line)
    return [[mark if n == 0 else "", line] for n, line in enumerate(lines) if line or n == 0] if text.strip() else []


def _safe(text: str) -> str:
    """Rows are untrusted: what could steer a terminal is shown, not sent."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
