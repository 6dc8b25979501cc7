"""A forest plot: one row for each checkpoint, with its value, and how far it lies from a reference as a bar.

It is a table whose bars are placed in per cent of their cell, so that its text keeps its size on a phone, where the bar
stands below the name.  What a row means is written in it: no row is known by its colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from rlready.report.axes import nice_ticks
from rlready.report.text import number, safe, unbroken

Kind = Literal["chosen", "tie", "drop"]
MOST_ROWS = 10
TICKS = 5  # about as many
MOST_DROPPED = 4  # rows below which one that is to be dropped is not shown


@dataclass(frozen=True)
class ForestRow:
    """``value`` is printed; ``at``, ``low`` and ``high`` are places on the axis; ``said`` is what the row means,
    ``why`` the reason, and ``gap`` its distance to the reference, both printed."""

    name: str
    value: str
    at: float
    low: float
    high: float
    kind: Kind
    said: str = ""
    why: str = ""
    gap: str | None = None


def forest(
    rows: Sequence[ForestRow],
    *,
    title: str,
    columns: Sequence[str],
    scale: float,
    unit: str,
    note: str,
    line: float | None = None,
) -> Markup:
    """The first rows and the chosen one, with a vertical line at ``line``; empty if no place is finite.

    ``columns`` name the values and, where rows have any, their gaps; the axis has places times ``scale``, in ``unit``.
    Of many rows ten are shown, and a row to be
    dropped only if it is among the first four, since it decides nothing.
    """
    most = {"chosen": len(rows), "tie": MOST_ROWS, "drop": MOST_DROPPED}
    shown = [row for i, row in enumerate(rows) if i < most[row.kind]]
    places = [x for row in shown for x in (row.at, row.low, row.high) if math.isfinite(x)]
    if not places:
        return Markup("")
    left, right = min(places), max(places)
    room = 0.04 * (right - left) or 1.0

    def place(x: float) -> float:
        return round(100 * (x - left + room) / (right - left + 2 * room), 2)

    body = Markup("\n").join(_row(row, place(row.at), place(row.low), place(row.high)) for row in shown)
    kind, style = ("", "") if line is None else ("lined", f"--line: {place(line)}%")
    heads = Markup("").join(Markup('<th scope="col">{}</th>').format(unbroken(name)) for name in columns)
    cut = [row for row in rows if row not in shown]
    why = ", all to be dropped," if all(row.kind == "drop" for row in cut) else ""
    more = f"{len(cut)} more{why} {'is' if len(cut) == 1 else 'are'} in the table further down. " if cut else ""
    ticks = Markup("").join(
        Markup('<i style="left: {}%">{}</i>').format(place(tick / scale), number(tick) + unit)
        for tick in nice_ticks(scale * left, scale * right, TICKS)
        if left <= tick / scale <= right
    )
    return Markup(
        '<figure class="forest"><table class="{}" style="{}"><caption>{}</caption>\n'
        '<thead><tr><th scope="col">checkpoint</th>{}<td></td></tr></thead>\n'
        '<tbody>\n{}\n</tbody>\n<tfoot aria-hidden="true"><tr class="scale"><td colspan="{}"></td><td class="bars">'
        '<span class="track">{}</span></td></tr></tfoot></table><p class="note">{}</p></figure>'
    ).format(kind, style, safe(title), heads, body, 1 + len(columns), ticks, unbroken(more + note))


def _row(row: ForestRow, at: float, low: float, high: float) -> Markup:
    bar = Markup("")
    if math.isfinite(low) and math.isfinite(high) and low < high:
        bar = Markup('<i class="whisker" style="left: {}%; width: {}%"></i>').format(low, round(high - low, 2))
    dot = Markup('<i class="dot" style="left: {}%"></i>').format(at) if math.isfinite(at) else Markup("")
    gap = "" if row.gap is None else Markup('<td class="gap">{}</td>').format(safe(row.gap))
    lines = (("said", row.said), ("said why", row.why))
    said = Markup(" ").join(
        Markup('<span class="{}">{}</span>').format(kind, unbroken(text)) for kind, text in lines if text
    )
    return Markup(
        '<tr class="{}"><th scope="row">{} {}</th><td class="value">{}</td>{}'
        '<td class="bars"><span class="track" aria-hidden="true">{}{}</span></td></tr>'
    ).format(row.kind, unbroken(row.name), said, safe(row.value), gap, bar, dot)
