"""The map from data to the drawing, and its ticks: round numbers, few, that enclose the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlready.report.text import number, safe

WIDTH, HEIGHT = 480.0, 300.0
LEFT, TOP, BOTTOM = 52.0, 30.0, 46.0
CHAR_WIDTH = 7.4


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


@dataclass(frozen=True)
class Axes:
    """The map from data to the drawing, and the drawing of its ticks."""

    x0: float
    x1: float
    y_ticks: Sequence[float]
    x_ticks: Sequence[float]
    right: float
    percent: bool
    percent_x: bool
    log2: bool
    names: Mapping[float, str]

    @staticmethod
    def fit(
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        margin: int,
        percent: bool,
        percent_x: bool,
        log2: bool,
        names: Mapping[float, str],
    ) -> Axes:
        """Axes that hold all of ``xs`` and ``ys``, with room for ``margin`` characters on the right.

        Where x has ``names``, its ticks are as many of these as fit beside each other.
        """
        low, high = min(ys), max(ys) if any(ys) else 1.0
        y_ticks = nice_ticks(0.0 if 0 < low <= 0.5 * high else low, high)
        xs = [math.log2(x) for x in xs] if log2 else xs
        whole = log2 or all(float(x).is_integer() for x in xs)
        span = max(xs) - min(xs)
        room = 0.5 if names else 0.03 * span if span else max(0.5, 0.2 * abs(xs[0]))
        x0, x1 = min(xs) - room, max(xs) + room
        ticks = nice_ticks(min(xs), max(xs), 6, whole) if span else xs[:1]
        right = WIDTH - 18 - CHAR_WIDTH * margin
        if names:
            needed = CHAR_WIDTH * (1 + max(map(len, names.values()))) * (x1 - x0) / (right - LEFT)
            ticks = sorted(names)[:: math.ceil(needed)]
        ticks = [t for t in ticks if x0 <= t <= x1]
        return Axes(x0, x1, y_ticks, ticks, right, percent, percent_x, log2, names)

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
            yield f"{safe(self.names.get(tick) or number(shown, self.percent_x))}</text>"
        yield f'<text class="axis" x="2" y="13">{safe(y_label)}</text>'
        yield f'<text class="axis" x="{(LEFT + self.right) / 2:g}" y="{HEIGHT - 7:g}" text-anchor="middle">'
        yield f"{safe(x_label)}</text>"
