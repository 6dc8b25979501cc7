"""Line charts as inline SVG: text in, text out, no plotting library and no script.

A chart is an HTML ``figure``: title, legend and one ``svg`` that scales with its column.  Colours are CSS
variables of the page, so the same markup serves light and dark.  No series is told from another by colour
alone: each ``shape`` has its own dash and marker, and line ends carry their names.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480.0, 300.0
LEFT, TOP, BOTTOM = 52.0, 30.0, 46.0
LABEL_CHARS, CHAR_WIDTH, LABEL_GAP = 16, 7.4, 16.0
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
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class Point:
    """One value with its interval, if it has one; ``note`` is what a pointer resting on it is told."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one kind: ``tone`` picks the colour, ``shape`` the dash and the marker.

    Intervals are drawn as error bars, or as a band where ``band`` is set; a series that is not ``named`` is
    thin background and has neither label nor intervals.
    """

    name: str
    points: Sequence[Point]
    tone: int = 0
    shape: int = 0
    markers: bool = True
    band: bool = False
    named: bool = True


def visible(text: str) -> str:
    """Text whose every character can be seen: controls, bidi overrides and lone surrogates by name.

    What a model writes may hide or reorder what stands beside it; newline and tab stay as they are.
    """
    return _UNSEEN.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", text.replace("\r\n", "\n"))


def safe(text: str) -> Markup:
    """``text`` made visible and escaped, for element content and quoted attributes."""
    return escape(visible(text))


def nice_ticks(low: float, high: float, target: int = 5, whole: bool = False) -> list[float]:
    """Evenly spaced round numbers (1, 2, 2.5 or 5 times a power of ten) that enclose [low, high]."""
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-100):
        pad = 0.1 * abs(low) or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / target
    power = 10.0 ** math.floor(math.log10(raw))
    if whole:
        power = max(power, 1.0)
    factors = (1.0, 2.0, 5.0, 10.0) if whole else (1.0, 2.0, 2.5, 5.0, 10.0)
    step = power * next(f for f in factors if f * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [i * step for i in range(first, last + 1)]


def number(value: float, percent: bool = False) -> str:
    """A tick or a value in a description, as short as it is exact to six digits."""
    value = 100 * value if percent else value
    text = f"{value:,.6g}" if abs(value) >= 1e4 else f"{value:.6g}"
    return text.replace("-", "−") + ("\u202f%" if percent else "")


def line_chart(
    series: Iterable[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    log2_x: bool = False,
    note: str = "",
) -> Markup:
    """A ``figure`` with the series as lines, or the empty string if no point is finite.

    ``percent`` writes the y axis as 100·y %; ``log2_x`` spaces x by doublings (and leaves out x <= 0).
    The y axis starts at 0 unless all values lie in the upper half of such an axis.
    """
    shown = [s for s in (_finite(s, log2_x) for s in series) if s.points]
    if not shown:
        return Markup("")
    axes = _Axes.fit(shown, percent, log2_x)
    slug = f"c{zlib.crc32(repr((title, shown)).encode('utf-8', 'replace')):08x}"
    described = "; ".join(_in_words(s, x_label, percent) for s in shown)
    body = [
        f'<svg class="plot" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-labelledby="{slug}t {slug}d">',
        f'<title id="{slug}t">{safe(title)}</title>',
        f'<desc id="{slug}d">{safe(f"{y_label} against {x_label}. {described}.")}</desc>',
        *axes.frame(x_label, y_label),
        *(part for s in shown if s.named for part in _intervals(s, axes)),
        *(part for s in shown for part in _line(s, axes)),
        *_names([s for s in shown if s.named], axes),
        "</svg>",
    ]
    named = [s for s in shown if s.named]
    legend = "".join(_legend_entry(s) for s in named) if len(named) > 1 else ""
    return Markup(
        f'<figure class="chart"><figcaption>{safe(title)}</figcaption>'
        + (f'<ul class="legend">{legend}</ul>' if legend else "")
        + "".join(body)
        + (f'<p class="note">{safe(note)}</p>' if note else "")
        + "</figure>"
    )


def standalone(chart: Markup) -> str:
    """A chart as an SVG file of its own, light or dark as its viewer is."""
    _, _, rest = str(chart).partition('<svg class="plot"')
    body, _, _ = rest.partition("</svg>")
    style = (files("rlready.report") / "page.css").read_text(encoding="utf-8")
    style += "svg { font-family: sans-serif; background: var(--page); }"
    head, _, tail = body.partition(">")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot"{head}><style><![CDATA[{style}]]></style>{tail}</svg>\n'
    )


@dataclass(frozen=True)
class _Axes:
    """The map from data to the drawing, and the drawing of its ticks."""

    x0: float
    x1: float
    y_ticks: Sequence[float]
    x_ticks: Sequence[float]
    right: float
    percent: bool
    log2: bool

    @staticmethod
    def fit(shown: Sequence[Series], percent: bool, log2: bool) -> _Axes:
        points = [p for s in shown for p in s.points]
        ys = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
        low, high = min(ys), max(ys)
        y_ticks = nice_ticks(0.0 if 0 < low <= 0.5 * high else low, high)
        xs = [math.log2(p.x) if log2 else p.x for p in points]
        whole = log2 or all(float(x).is_integer() for x in xs)
        span = max(xs) - min(xs)
        room = 0.03 * span if span else max(0.5, 0.2 * abs(xs[0]))
        x0, x1 = min(xs) - room, max(xs) + room
        ticks = nice_ticks(min(xs), max(xs), 6, whole) if span else xs[:1]
        right = WIDTH - 18 - CHAR_WIDTH * max((len(_short(s.name)) for s in shown if s.named), default=0)
        return _Axes(x0, x1, y_ticks, [t for t in ticks if x0 <= t <= x1], right, percent, log2)

    def x(self, value: float) -> float:
        value = math.log2(value) if self.log2 else value
        return round(LEFT + (self.right - LEFT) * (value - self.x0) / (self.x1 - self.x0), 2)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low), 2)

    def frame(self, x_label: str, y_label: str) -> Iterable[str]:
        floor = HEIGHT - BOTTOM
        for tick in self.y_ticks:
            y, kind = self.y(tick), "grid zero" if tick == self.y_ticks[0] else "grid"
            yield f'<path class="{kind}" d="M{LEFT:g} {y:g}H{self.right:g}"/>'
            yield f'<text class="tick" x="{LEFT - 7:g}" y="{y + 4:g}" text-anchor="end">'
            yield f"{number(tick, self.percent)}</text>"
        for tick in self.x_ticks:
            shown = 2.0**tick if self.log2 else tick
            yield f'<path class="grid zero" d="M{self.x(shown):g} {floor:g}v4"/>'
            yield f'<text class="tick" x="{self.x(shown):g}" y="{floor + 18:g}" text-anchor="middle">'
            yield f"{number(shown)}</text>"
        yield f'<text class="axis" x="2" y="13">{safe(y_label)}</text>'
        yield f'<text class="axis" x="{(LEFT + self.right) / 2:g}" y="{HEIGHT - 7:g}" text-anchor="middle">'
        yield f"{safe(x_label)}</text>"


def _finite(series: Series, log2: bool) -> Series:
    """The series less what cannot be drawn; an interval needs both its ends."""

    def good(value: float | None) -> bool:
        return value is not None and abs(value) < 1e100  # false for NaN too

    kept = [p for p in series.points if good(p.x) and good(p.y) and (p.x > 0 or not log2)]
    kept = [p if good(p.low) and good(p.high) else replace(p, low=None, high=None) for p in kept]
    return replace(series, points=kept)


def _intervals(series: Series, axes: _Axes) -> Iterable[str]:
    spans = [
        (axes.x(p.x), axes.y(p.low), axes.y(p.high)) for p in series.points if p.low is not None and p.high is not None
    ]
    if series.band and len(spans) > 1:
        edge = [f"{x:g} {high:g}" for x, _, high in spans] + [f"{x:g} {low:g}" for x, low, _ in reversed(spans)]
        yield f'<path class="band t{series.tone}" d="M{"L".join(edge)}z"/>'
    elif not series.band:
        bars = "".join(f"M{x - 3:g} {low:g}h6m-3 0V{high:g}m-3 0h6" for x, low, high in spans)
        yield f'<path class="bar t{series.tone}" d="{bars}"/>' if bars else ""


def _line(series: Series, axes: _Axes) -> Iterable[str]:
    places = [(axes.x(p.x), axes.y(p.y)) for p in series.points]
    dash = f' stroke-dasharray="{DASHES[series.shape]}"' if DASHES[series.shape] else ""
    if len(places) > 1:
        path = "L".join(f"{x:g} {y:g}" for x, y in places)
        yield f'<path class="line t{series.tone}{"" if series.named else " behind"}"{dash} d="M{path}"/>'
    if series.markers or len(places) == 1:
        for (x, y), point in zip(places, series.points, strict=True):
            yield f'<path class="mark t{series.tone}" transform="translate({x:g} {y:g})" d="{MARKERS[series.shape]}">'
            yield f"<title>{safe(point.note or series.name)}</title></path>"


def _names(shown: Sequence[Series], axes: _Axes) -> Iterable[str]:
    """Each series' name in the right margin at the height of its last point, pushed apart where they meet."""
    ends = sorted((axes.y(s.points[-1].y), i) for i, s in enumerate(shown))
    room = HEIGHT - BOTTOM - TOP
    if len(ends) * LABEL_GAP > room + LABEL_GAP:
        return  # too many to tell apart: the legend has them
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
    return (
        '<li><svg class="key" viewBox="0 0 30 12" aria-hidden="true">'
        f'<path class="line t{series.tone}"{dash} d="M1 6H29"/>{marker if series.markers else ""}</svg>'
        f"{safe(series.name)}</li>"
    )


def _in_words(series: Series, x_label: str, percent: bool) -> str:
    """The first and the last value, to four digits, for who cannot see the curve."""
    first, last = series.points[0], series.points[-1]
    start, end = (number(float(f"{p.y:.4g}"), percent) for p in (first, last))
    count = f"{len(series.points)} points"
    return f"{series.name}: {start} at {x_label} {number(first.x)}, {end} at {number(last.x)}, {count}"


def _short(name: str) -> str:
    """A name short enough for the margin; the end of a path tells more than its start."""
    if len(name) <= LABEL_CHARS:
        return name
    last = "…/" + name.rstrip("/").rsplit("/", 1)[-1]
    return last if "/" in name and len(last) <= LABEL_CHARS else "…" + name[1 - LABEL_CHARS :]
