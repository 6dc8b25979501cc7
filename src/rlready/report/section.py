"""The pieces that a page is made of: sections of charts and tables, with notes on how to read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.core.result import Table
from rlready.report.figures import COUNT, Unit, independent_units
from rlready.report.text import safe, unbroken

MOST_ON_ONE_LINE = 7  # columns; in wider tables intervals are below their values
Row = TypeVar("Row")
Cell = Estimate | float | str | None  # text may be Markup


@dataclass(frozen=True)
class Section:
    """``notes`` name lines of ``notes.html``, which say how to read it."""

    title: str
    parts: Sequence[Markup]
    notes: Sequence[str] = ()

    @property
    def slug(self) -> str:
        """Where the section is on its page."""
        return "s-" + re.sub(r"\W+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """``of`` gives the cell of a row.  ``heads``: the cell says what the row is about; ``wide``: it is a sentence."""

    title: str
    of: Callable[[Row], Cell]
    unit: Unit = COUNT
    heads: bool = False
    wide: bool = False

    @property
    def head(self) -> str:
        """The title, with the unit if it is a word, instead of in every cell."""
        return f"{self.title},{self.unit.suffix}" if self.unit.suffix.startswith(" ") else self.title


def table(
    name: str,
    bodies: Sequence[Sequence[Row]],
    columns: Sequence[Column[Row]],
    chosen: Callable[[Row], bool] | None = None,
) -> Markup:
    """Bodies of rows, a line after each, ``chosen`` rows marked; a column without a value in any row is left out."""
    cells = [[[column.of(row) for column in columns] for row in body] for body in bodies]
    lines = [line for body in cells for line in body]
    kept = [i for i in range(len(columns)) if any(line[i] is not None for line in lines)]
    tall = ' class="tall"' if len(kept) > MOST_ON_ONE_LINE else ""
    html = [
        f"<table{tall}>\n<thead><tr>",
        *(f'<th scope="col">{unbroken(columns[i].head)}</th>' for i in kept),
        "</tr></thead>\n",
    ]
    for body, body_cells in zip(bodies, cells, strict=True):
        html.append("<tbody>\n")
        for row, line in zip(body, body_cells, strict=True):
            mark = ' class="chosen"' if chosen and chosen(row) else ""
            html += [f"<tr{mark}>", *(_cell(columns[i], line[i]) for i in kept), "</tr>\n"]
        html.append("</tbody>\n")
    figures = [cell for line in lines for cell in line if isinstance(cell, Estimate)]
    n = independent_units(figures)
    note = Markup("In brackets: 95&nbsp;% intervals") + (f", {n}." if n else ".")
    return scrolling(name, Markup("".join(html) + "</table>")) + (small(note) if figures else "")


def scrolling(name: str, content: Markup) -> Markup:
    """A scrollable frame for content wider than the page."""
    return Markup('<div class="scroll" tabindex="0" role="region" aria-label="{}">\n{}\n</div>\n').format(
        safe(name), content
    )


def small(note: str) -> Markup:
    return Markup('<p class="note">{}</p>\n').format(unbroken(note) if not isinstance(note, Markup) else note)


def titled_table(
    title: str, rows: Sequence[Row], columns: Sequence[Column[Row]], chosen: Callable[[Row], bool] | None = None
) -> Markup:
    """A table with a heading; empty without rows."""
    heading = Markup("<h3>{}</h3>\n").format(safe(title))
    return heading + table(title, [rows], columns, chosen) if rows else Markup("")


def as_printed(printed: Table, name: str) -> Markup:
    """A table of text, as the command line prints it."""
    columns = [Column[list[str]](title, itemgetter(at), heads=at == 0) for at, title in enumerate(printed.columns)]
    return table(name, [printed.rows], columns)


def paragraph(text: str) -> Markup:
    return Markup("<p>{}</p>\n").format(unbroken(text))


def bullets(lines: Sequence[str], kind: str) -> Markup:
    items = Markup("").join(Markup("<li>{}</li>\n").format(unbroken(line)) for line in lines)
    return Markup('<ul class="{}">\n{}</ul>\n').format(kind, items)


def side_by_side(charts: Iterable[Markup]) -> Markup:
    """The charts that are not empty in as many columns as there is room for."""
    shown = [chart for chart in charts if chart]
    return Markup('<div class="charts">\n{}\n</div>\n').format(Markup("\n").join(shown)) if shown else Markup("")


def badges(name: str, *marks: str) -> Markup:
    """A name and what is special about it."""
    badge = Markup(' <span class="badge">{}</span>')
    return unbroken(name) + Markup("").join(badge.format(mark) for mark in marks if mark)


def _cell(column: Column[Row], cell: Cell) -> str:
    if isinstance(cell, Estimate):
        return f"<td><b>{_number(column, cell.value)}</b> <small>{column.unit.interval(cell)}</small></td>"
    text = cell if isinstance(cell, Markup) else unbroken(cell) if isinstance(cell, str) else _number(column, cell)
    if column.heads:
        return f'<th scope="row">{text}</th>'
    kind = ' class="wide"' if column.wide else ' class="text"' if isinstance(cell, str) else ""
    return f"<td{kind}>{text}</td>"


def _number(column: Column[Row], value: float | None) -> str:
    return column.unit.number(value) if column.head != column.title else column.unit.show(value)
