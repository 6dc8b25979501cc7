"""A row before and after, as lines for a terminal: what was added is marked, and what was moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, NonNegativeInt, ValidationError

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.result import Record, Table, first_error
from rlready.core.text import visible
from rlready.inject.result import InjectResult
from rlready.tasks.table import read_table

BEFORE = "before.jsonl"  # beside the rows: id, prompt and thinking before, and the spans of what was inserted
MOVED = "moved"
WIDE = 110


class RowText(Record):
    """The texts of a row; its other columns are not read.

    ``inserted`` are the (start, end, kind) of what was added, in characters of the thought after.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    prompt: str
    thinking: str
    response: str = ""
    inserted: list[tuple[NonNegativeInt, NonNegativeInt, str]] = Field(default_factory=list)

    @classmethod
    def of(cls, columns: Mapping[str, object], where: str) -> Self:
        """From the columns of a file; UserError says what is missing or wrong."""
        try:
            return cls.model_validate(columns)
        except ValidationError as error:
            raise UserError(f"{where}: {first_error(error)}") from None


class RowPair(Record):
    """A row before and after."""

    before: RowText
    after: RowText

    @property
    def changed(self) -> bool:
        return (self.before.prompt, self.before.thinking) != (self.after.prompt, self.after.thinking)

    def pieces(self) -> list[tuple[str, str]]:
        """The thought as it is now, in (text, kind): the kind of what was inserted or "moved", "" for the rest."""
        text, at, found = self.after.thinking, 0, []
        for start, end, kind in _flat(self.before.inserted):
            found += [(text[at:start], ""), (text[start:end], kind)]
            at = end
        return [piece for piece in [*found, (text[at:], "")] if piece[0]]

    def table(self) -> Table:
        """(mark, text) lines: the prompt, the thought as it was, and as it is now."""
        before, after = self.before, self.after
        if before.prompt != after.prompt:
            lines = _lines("- prompt", before.prompt) + _lines("+ prompt", after.prompt)
        else:
            lines = _lines("prompt", after.prompt)
        lines += _lines("before", before.thinking)
        if before.thinking != after.thinking:
            lines.append(["after", ""])
            for text, kind in self.pieces():
                lines += _lines(f"{'>' if kind == MOVED else '+'} {kind}" if kind else "", text)
        return Table(["", f"row {after.id}"], [*lines, *_lines("response", after.response)])


def row_pairs(run: Path, ids: Sequence[str]) -> list[RowPair]:
    """The rows of these ids, or the first that was changed, before and after; UserError if this is no such run."""
    if not (run / BEFORE).is_file():
        raise UserError(f"{run}: not a run of rlready inject, {BEFORE} is missing")
    before, after = _read(run / BEFORE), _read(run / InjectResult.load(run).rows)
    for id in ids:
        if id not in after:
            raise UserError(f"{run}: no row has the id {id!r}; {nearest(id, after)[:200]}")
    pairs = {id: RowPair(before=before[id], after=row) for id, row in after.items() if id in before}
    shown = ids or [next((id for id, pair in pairs.items() if pair.changed), next(iter(after)))]
    if added := [id for id in shown if id not in pairs]:
        raise UserError(f"{run}: row {added[0]!r} was not made by this run, so what it was before is unknown")
    return [pairs[id] for id in shown]


def _read(file: Path) -> dict[str, RowText]:
    table = read_table(str(file))
    rows = (RowText.of(row, table.place(line)) for line, row in table.rows)
    return {row.id: row for row in rows}


def _flat(spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
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
        line = visible(line.rstrip())
        while len(line) > WIDE:
            end = line.rfind(" ", 1, WIDE)
            end = WIDE if end < 0 else end
            lines.append(line[:end])
            line = line[end:].lstrip()
        lines.append(line)
    return [[mark if n == 0 else "", line] for n, line in enumerate(lines) if line or n == 0] if text.strip() else []
