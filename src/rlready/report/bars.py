"""Bars: a histogram in two layers, and rows of shares that add up to all.  No part is known by its colour alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.report.axes import Axes
from rlready.report.plots import figure, in_brief, opening
from rlready.report.text import number, safe

LEAST_WRITTEN = 0.06  # a smaller part of a row has no room for its value


@dataclass(frozen=True)
class Layer:
    """Counts of one kind, (B,) for B bins; ``tone`` picks the colour, ``fill`` is solid or hollow."""

    name: str
    counts: Sequence[int]
    tone: int
    fill: str


def histogram(
    edges: Sequence[int], layers: Sequence[Layer], *, top: float, title: str, x_label: str, y_label: str, note: str
) -> Markup:
    """A ``figure`` with a column for each bin of whole numbers, from one of the (B + 1,) edges to below the next:
    shares of all counts, a layer on the one before, on an axis that has room for ``top``.  Empty without counts."""
    total = sum(sum(layer.counts) for layer in layers)
    if not total or len(edges) < 2:
        return Markup("")
    heights = [sum(counts) / total for counts in zip(*(layer.counts for layer in layers), strict=False)]
    axes = Axes.fit(
        [float(edge) for edge in edges],
        [0.0, top, *heights],
        margin=0,
        percent=True,
        percent_x=False,
        log2=False,
        names={},
    )
    below, columns = [0.0] * len(heights), list[str]()
    for layer in layers:
        for i, ((low, high), _, count) in enumerate(zip(pairwise(edges), heights, layer.counts, strict=False)):
            if count:
                top = below[i] + count / total
                columns.append(_column(axes, (low, high), (below[i], top), layer, count / total))
                below[i] = top
    shares = "; ".join(f"{layer.name}: {number(round(sum(layer.counts) / total, 3), True)}" for layer in layers)
    body = [
        *opening((edges, layers), title, f"Histogram of {x_label}. {shares}."),
        *axes.frame(x_label, y_label),
        *columns,
        "</svg>",
    ]
    return figure(title, [_key(f"{each.fill} t{each.tone}", each.name) for each in layers], body, note)


def _column(axes: Axes, span: tuple[int, int], ends: tuple[float, float], layer: Layer, share: float) -> str:
    low, last = span[0], span[1] - 1
    left, right = axes.x(low - 0.5) + 0.75, axes.x(last + 0.5) - 0.75
    said = f"{layer.name}, {low:,}{f' to {last:,}' * (low < last)}: {number(round(share, 4), True)}"
    return (
        f'<path class="{layer.fill} t{layer.tone}" '
        f'd="M{left:g} {axes.y(ends[0]):g}V{axes.y(ends[1]):g}H{right:g}V{axes.y(ends[0]):g}z">'
        f"<title>{safe(said)}</title></path>"
    )


@dataclass(frozen=True)
class Shares:
    """A row of parts by kind, which add up to 1."""

    name: str
    parts: Mapping[str, Estimate]


def rows_of_shares(rows: Iterable[Shares], kinds: Sequence[str], *, title: str, of: str, note: str) -> Markup:
    """A ``figure`` with a bar for each row, whose parts are of the ``kinds``, in this order, from pale to dark.

    It is a table, so that its text keeps its size on a phone.  A part has its value where there is room; all have it,
    with the interval, in their tooltips.
    """
    body = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th><td><span class="parts">{}</span></td></tr>').format(
            safe(row.name),
            Markup("").join(_part(i, kind, row.parts[kind]) for i, kind in enumerate(kinds) if kind in row.parts),
        )
        for row in rows
    )
    table = Markup('<table aria-label="{}">\n<tbody>\n{}\n</tbody></table>').format(safe(f"{title}: {of}"), body)
    legend = [_key(f"p{i}", kind) for i, kind in enumerate(kinds)]
    return figure(title, legend, [str(table)], note, kind="chart shares") if body else Markup("")


def _part(i: int, kind: str, part: Estimate) -> Markup:
    shown = number(round(part.value, 2), True) if part.value >= LEAST_WRITTEN else ""
    return Markup('<i class="p{}" style="width: {}%" title="{}">{}</i>').format(
        i, round(100 * part.value, 2), safe(f"{kind}: {in_brief(part, True)}"), shown.replace("\u202f%", "")
    )


def _key(fill: str, name: str) -> str:
    return f'<li><i class="swatch {fill}" aria-hidden="true"></i>{safe(name)}</li>'
