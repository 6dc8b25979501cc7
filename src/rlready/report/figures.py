"""Numbers as the page prints them: with their unit, rounded, a dash for one that is missing or not finite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rlready.core.cells import DASH, fixed
from rlready.core.records import Estimate


@dataclass(frozen=True)
class Unit:
    """A value is printed times ``scale``, with so many ``digits``; ``signed`` writes a plus, too."""

    scale: float = 1.0
    digits: int = 0
    suffix: str = ""
    signed: bool = False

    def number(self, value: float | None) -> str:
        """The value without its suffix; one that would be rounded to 0 has a digit more than others."""
        if value is None or not abs(value) < 1e15:  # not-a-number, too
            return DASH
        return self._small(value) or self._rounded(value)

    def show(self, value: float | None) -> str:
        text = self.number(value)
        return text if text == DASH else text + self.suffix

    def interval(self, figure: Estimate) -> str:
        """Both ends, to as many digits as the value."""
        show = self.number if self._small(figure.value) else self._rounded
        low, high = (show(end) if abs(end) < 1e15 else DASH for end in (figure.low, figure.high))
        return f"[{low}, {high}]"

    def _rounded(self, value: float) -> str:
        return fixed(self.scale * value, self.digits, "+," if self.signed else ",").replace("-", "−")

    def _small(self, value: float) -> str:
        """A value that would be rounded to 0, to one significant digit; "" for any other."""
        scaled = self.scale * value
        small = 0 < abs(scaled) < 0.5 * 10**-self.digits
        return f"{scaled:{'+' if self.signed else ''}.1g}".replace("-", "−") if small else ""


class Seconds(Unit):
    """A time, in the units that suit its length."""

    def number(self, value: float | None) -> str:
        if value is None or not 0 <= value < 1e9:
            return DASH
        if value < 59.95:
            return f"{value:.1f} s"
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


PERCENT, WHOLE_PERCENT = Unit(100.0, 1, "\u202f%"), Unit(100.0, 0, "\u202f%")
POINTS, DIFFERENCE = Unit(100.0, 1, " points"), Unit(100.0, 1, " points", signed=True)
COUNT, TOKENS, ONE_DIGIT = Unit(), Unit(digits=1), Unit(digits=1)
TWO_DIGITS, THREE_DIGITS, RHO_GAIN = Unit(digits=2), Unit(digits=3), Unit(digits=2, signed=True)
SECONDS = Seconds()


def independent_units(figures: Iterable[Estimate]) -> str:
    """What intervals run over: "n = 200 rows and n = 48 to 64 problems"."""
    counts: dict[str, list[int]] = {}
    for figure in figures:
        if figure.n:
            counts.setdefault(figure.varies, []).append(figure.n)
    spans = {varies: sorted({min(ns), max(ns)}) for varies, ns in counts.items()}
    return " and ".join(f"n = {' to '.join(f'{n:,}' for n in span)} {varies}" for varies, span in spans.items())
