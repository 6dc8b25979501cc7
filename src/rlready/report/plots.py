"""Charts of lines and points as inline SVG: text in, text out, no plotting library and no script.

A chart is an HTML ``figure``: title, legend and one ``svg`` that scales with its column.  Colours are CSS
variables of the page, so the same markup serves light and dark.  No series is distinguished by colour
alone: each ``shape`` has its own dash and marker, and line ends carry their names.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from markupsafe import Markup

from rlready.core.cells import supported
from rlready.core.records import Estimate
from rlready.report.axes import BOTTOM, CHAR_WIDTH, HEIGHT, TOP, WIDTH, Axes
from rlready.report.text import number, safe, unbroken

LABEL_CHARS, LABEL_GAP = 16, 16.0
NEUTRAL = 7  # the colour of baselines; 0..6 are hues
DASHES = ("", "7 4", "2 3.5", "11 3 2 3", "4 2", "14 5", "1.5 5", "5 5")
MARKERS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",  # circle
    "M-3.6-3.6h7.2v7.2h-7.2z",  # square
    "M0-4.6 4.4 3.4h-8.8z",  # triangle
    "M0-5 4.4 0 0 5-4.4 0z",  # diamond
    "M0 4.6 4.4-3.4h-8.8z",  # triangle, point down
    "M-4.4-1.5h2.9v-2.9h3v2.9h2.9v3h-2.9v2.9h-3v-2.9h-2.9z",  # cross
    "M0-4.8 4.6-1.4 2.8 4h-5.6l-1.8-5.4z",  # pentagon
    "M-4.6-1.7h9.2v3.4h-9.2z",  # bar
)


@dataclass(frozen=True)
class Point:
    """A value with its intervals, if it has any: low to high of y, left to right of x.

    ``note`` is the tooltip; ``tick`` names x on its axis, where x only counts; ``label`` stands above the point.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    left: float | None = None
    right: float | None = None
    tick: str = ""
    label: str = ""

    @staticmethod
    def of(x: float, figure: Estimate, note: str, percent: bool = False) -> Point:
        """A figure at ``x``; ``note`` stands before it in the tooltip."""
        return Point(x, figure.value, figure.low, figure.high, f"{note}: {in_brief(figure, percent)}")


@dataclass(frozen=True)
class Series:
    """Points of one kind: ``tone`` picks the colour, ``shape`` the dash and the marker.

    Intervals are drawn as error bars, or as a band where ``band`` is set; a series that is not ``named`` is
    thin background and has neither label nor intervals, one that is not ``joined`` is points without a line.
    """

    name: str
    points: Sequence[Point]
    tone: int = 0
    shape: int = 0
    markers: bool = True
    band: bool = False
    named: bool = True
    joined: bool = True


def line_chart(
    series: Iterable[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    percent_x: bool = False,
    log2_x: bool = False,
    note: str = "",
) -> Markup:
    """A ``figure`` with the series as lines, or the empty string if no point is finite.

    ``percent`` and ``percent_x`` write y and x as 100·y % and 100·x %; ``log2_x`` spaces x by doublings (and leaves out
    x <= 0).  The y axis starts at 0 unless all values lie in the upper half of such an axis.
    """
    shown = [s for s in (_finite(s, log2_x) for s in series) if s.points]
    if not shown:
        return Markup("")
    named = [s for s in shown if s.named]
    ends = named if len(named) > 1 and all(s.joined for s in named) else []  # among points names lead nowhere
    points = [p for s in shown for p in s.points]
    axes = Axes.fit(
        [v for p in points for v in (p.x, p.left, p.right) if v is not None],
        [v for p in points for v in (p.y, p.low, p.high) if v is not None],
        margin=max((len(_short(s.name)) for s in ends), default=0),
        percent=percent,
        percent_x=percent_x,
        log2=log2_x,
        names={p.x: _short(p.tick) for p in points if p.tick},
    )
    described = "; ".join(_in_words(s, x_label, percent) for s in shown)
    body = [
        *opening(shown, title, f"{y_label} against {x_label}. {described}."),
        *axes.frame(x_label, y_label),
        *(part for s in named for part in _intervals(s, axes)),
        *(part for s in shown for part in _line(s, axes)),
        *(part for s in shown for part in _labels(s, axes)),
        *_names(ends, axes),
        "</svg>",
    ]
    entries = {s.name: s for s in reversed(named)}  # of series of one name the first, in no colour if they have several
    tones = {(s.name, s.tone) for s in named}
    entries = {n: replace(s, tone=NEUTRAL) if sum(n == o for o, _ in tones) > 1 else s for n, s in entries.items()}
    legend = [_legend_entry(s) for s in reversed(entries.values())] if len(entries) > 1 else []
    return figure(title, legend, body, note)


def opening(content: object, title: str, described: str) -> Iterable[str]:
    """The beginning of a drawing: its title and its description, under ids that no other ``content`` has."""
    slug = f"c{zlib.crc32(repr((title, content)).encode('utf-8', 'replace')):08x}"
    yield f'<svg class="plot" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-labelledby="{slug}t {slug}d">'
    yield f'<title id="{slug}t">{safe(title)}</title>'
    yield f'<desc id="{slug}d">{safe(described)}</desc>'


def figure(title: str, legend: Sequence[str], body: Iterable[str], note: str, kind: str = "chart") -> Markup:
    """A ``figure`` of safe markup: a title, the entries of a legend, what is drawn, and how to read it."""
    return Markup(
        f'<figure class="{kind}"><figcaption>{safe(title)}</figcaption>'
        + (f'<ul class="legend">{"".join(legend)}</ul>' if legend else "")
        + "".join(body)
        + (f'<p class="note">{unbroken(note)}</p>' if note else "")
        + "</figure>"
    )


def standalone(chart: Markup) -> str:
    """A chart as a standalone SVG file, light or dark like its viewer."""
    _, _, rest = str(chart).partition('<svg class="plot"')
    body, _, _ = rest.partition("</svg>")
    style = (files("rlready.report") / "page.css").read_text(encoding="utf-8")
    style += "svg { font-family: sans-serif; background: var(--page); }"
    head, _, tail = body.partition(">")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot"{head}><style><![CDATA[{style}]]></style>{tail}</svg>\n'
    )


def in_brief(figure: Estimate, percent: bool = False) -> str:
    """A value with its interval, to as many digits as that supports; three without one."""
    if not math.isfinite(figure.low + figure.high):
        return number(float(f"{figure.value:.3g}"), percent)
    scale = 100.0 if percent else 1.0
    return supported(figure, scale).replace("-", "\N{MINUS SIGN}") + "\u202f%" * percent


def _finite(series: Series, log2: bool) -> Series:
    """The series less what cannot be drawn; an interval needs both its ends."""

    def good(value: float | None) -> bool:
        return value is not None and abs(value) < 1e100  # false for NaN too

    kept = [p for p in series.points if good(p.x) and good(p.y) and (p.x > 0 or not log2)]
    kept = [p if good(p.low) and good(p.high) else replace(p, low=None, high=None) for p in kept]
    kept = [p if good(p.left) and good(p.right) else replace(p, left=None, right=None) for p in kept]
    return replace(series, points=kept)


def _intervals(series: Series, axes: Axes) -> Iterable[str]:
    spans = [
        (axes.x(p.x), axes.y(p.low), axes.y(p.high)) for p in series.points if p.low is not None and p.high is not None
    ]
    if series.band and len(spans) > 1:
        edge = [f"{x:g} {high:g}" for x, _, high in spans] + [f"{x:g} {low:g}" for x, low, _ in reversed(spans)]
        yield f'<path class="band t{series.tone}" d="M{"L".join(edge)}z"/>'
    else:  # of a band of one point, too
        bars = "".join(f"M{x - 3:g} {low:g}h6m-3 0V{high:g}m-3 0h6" for x, low, high in spans)
        bars += "".join(
            f"M{axes.x(p.left):g} {axes.y(p.y) - 3:g}v6m0-3H{axes.x(p.right):g}m0-3v6"
            for p in series.points
            if p.left is not None and p.right is not None
        )
        yield f'<path class="bar t{series.tone}" d="{bars}"/>' if bars else ""


def _line(series: Series, axes: Axes) -> Iterable[str]:
    places = [(axes.x(p.x), axes.y(p.y)) for p in series.points]
    dash = f' stroke-dasharray="{DASHES[series.shape]}"' if DASHES[series.shape] else ""
    if len(places) > 1 and series.joined:
        path = "L".join(f"{x:g} {y:g}" for x, y in places)
        yield f'<path class="line t{series.tone}{"" if series.named else " behind"}"{dash} d="M{path}"/>'
    if series.markers or len(places) == 1:
        for (x, y), point in zip(places, series.points, strict=True):
            yield f'<path class="mark t{series.tone}" transform="translate({x:g} {y:g})" d="{MARKERS[series.shape]}">'
            yield f"<title>{safe(point.note or series.name)}</title></path>"


def _labels(series: Series, axes: Axes) -> Iterable[str]:
    """The labels of points, above them or, where one would cover another, below; none where neither place is free."""
    free = {-8.0: -math.inf, 18.0: -math.inf}  # from which x on, by the distance to the point
    for point in series.points:
        half = 0.5 * CHAR_WIDTH * len(point.label)
        x = max(half, min(axes.x(point.x), WIDTH - half))
        for away, begin in free.items() if point.label else ():
            if x - half > begin:
                y = axes.y(point.y) + away
                yield f'<text class="name t{series.tone}" x="{x:g}" y="{y:g}" text-anchor="middle">'
                yield f"{safe(point.label)}</text>"
                free[away] = x + half
                break


def _names(shown: Sequence[Series], axes: Axes) -> Iterable[str]:
    """Each series' name in the right margin at the height of its last point, pushed apart where they meet."""
    ends = sorted((axes.y(s.points[-1].y), i) for i, s in enumerate(shown))
    room = HEIGHT - BOTTOM - TOP
    if len(ends) * LABEL_GAP > room + LABEL_GAP:
        return  # too many for the margin: the legend has them
    ys: list[float] = []
    for y, _ in ends:
        ys.append(max(y, ys[-1] + LABEL_GAP) if ys else y)
    limit = HEIGHT - BOTTOM
    for i in reversed(range(len(ys))):
        ys[i] = limit = min(ys[i], limit)
        limit -= LABEL_GAP
    for y, (end, i) in zip(ys, ends, strict=True):
        name, tone, last = safe(_short(shown[i].name)), shown[i].tone, axes.x(shown[i].points[-1].x)
        yield f'<path class="lead" d="M{last + 6:g} {end:g}L{axes.right + 5:g} {y:g}"/>'
        yield f'<text class="name t{tone}" x="{axes.right + 8:g}" y="{y + 4:g}">{name}</text>'


def _legend_entry(series: Series) -> str:
    dash = f' stroke-dasharray="{DASHES[series.shape]}"' if DASHES[series.shape] else ""
    marker = f'<path class="mark t{series.tone}" transform="translate(15 6)" d="{MARKERS[series.shape]}"/>'
    line = f'<path class="line t{series.tone}"{dash} d="M1 6H29"/>' if series.joined else ""
    return (
        '<li><svg class="key" viewBox="0 0 30 12" aria-hidden="true">'
        f"{line}{marker if series.markers else ''}</svg>"
        f"{safe(series.name)}</li>"
    )


def _in_words(series: Series, x_label: str, percent: bool) -> str:
    """The first and the last value, to four digits, for screen readers."""
    first, last = series.points[0], series.points[-1]
    start, end = (number(float(f"{p.y:.4g}"), percent) for p in (first, last))
    count = f"{len(series.points)} points"
    here, there = (p.tick or number(p.x if p.x == int(p.x) else float(f"{p.x:.3g}")) for p in (first, last))
    return f"{series.name}: {start} at {x_label} {here}, {end} at {there}, {count}"


def _short(name: str) -> str:
    """A name short enough for the margin; the end of a path identifies it better than its start."""
    if len(name) <= LABEL_CHARS:
        return name
    last = "…/" + name.rstrip("/").rsplit("/", 1)[-1]
    return last if "/" in name and len(last) <= LABEL_CHARS else "…" + name[1 - LABEL_CHARS :]
