"""How far a run is, how fast, and how long it still takes; on standard error.

On a terminal the innermost ``Progress`` rewrites one line; elsewhere it prints a line at its start and then
one every two seconds at most.  A ``Plan`` adds the time left for all of several stages: their expected
seconds, scaled by how long the stages so far took compared with theirs.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

EVERY = 2.0  # seconds between lines in a file
EVERY_TTY = 0.1
SKIPPED = 0.05  # a stage that took less than this share of its expected time was not run but reused


class Screen:
    """Where progress goes, and what is being shown there."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self.clock = clock
        self.quiet = False  # only warnings are shown
        self.gone = False  # nobody reads any more
        self.bars: list[Progress] = []
        self.plan: Plan | None = None
        self._last = -EVERY
        self._line_open = False

    @property
    def stream(self) -> TextIO:
        return self._stream or sys.stderr

    @property
    def tty(self) -> bool:
        return not self.stream.closed and self.stream.isatty()

    def draw(self, text: str) -> None:
        """Show the state of a bar, unless one was shown a moment ago."""
        tty, at = self.tty, self.clock()
        if at - self._last < (EVERY_TTY if tty else EVERY):
            return
        self._last = at
        if tty:
            wide = shutil.get_terminal_size().columns
            self._write(f"\r{text[: wide - 1]}\x1b[K")
            self._line_open = True
        else:
            self._write(text + "\n")

    def print(self, text: str, *, warning: bool = False) -> None:
        """A line of its own; a bar is drawn again below it."""
        self._write(("\r\x1b[K" if self._line_open else "") + text + "\n", warning)
        self._line_open = False

    def clear(self) -> None:
        if self._line_open:
            self._write("\r\x1b[K")
            self._line_open = False

    def _write(self, text: str, warning: bool = False) -> None:
        if not self.gone and (warning or not self.quiet):
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):  # no reason to stop hours of work
                self.gone = True


SCREEN = Screen()


def note(text: str) -> None:
    """Print a line for a person without breaking the bar."""
    SCREEN.print(text)


def warn(text: str) -> None:
    """A line that is printed with ``--quiet``, too."""
    SCREEN.print(text, warning=True)


class Progress:
    """``with Progress("sampling", total=5000, unit="tokens") as p: p.update(64, loss=1.2)``.

    ``done`` is what an earlier attempt had already done: it counts, but not for the rate.
    """

    def __init__(
        self, name: str, total: float | None = None, unit: str = "", done: float = 0, screen: Screen = SCREEN
    ) -> None:
        self.name, self.total, self.unit, self.screen = name, total, unit, screen
        self.start = self.done = done
        self.facts: dict[str, object] = {}
        self.began = screen.clock()

    def __enter__(self) -> Progress:
        self.began = self.screen.clock()
        self.screen.bars.append(self)
        self._draw()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.screen.bars.remove(self)
        self.screen.clear()
        if self.elapsed >= EVERY:
            self.screen.print(str(self))

    def update(self, n: float = 1, **facts: object) -> None:
        """Count ``n`` more as done; ``facts`` are shown behind the time left."""
        self.done += n
        self.facts.update(facts)
        self._draw()

    @property
    def elapsed(self) -> float:
        return self.screen.clock() - self.began

    @property
    def share(self) -> float:
        """How much of this attempt's work is done, 0 to 1."""
        work = (self.total or 0) - self.start
        return min(1.0, (self.done - self.start) / work) if work > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left at the rate so far."""
        return self.elapsed * (1 / self.share - 1) if self.share > 0 else None

    def __str__(self) -> str:
        parts = [self.name, " ".join(filter(None, [self._count(), self.unit]))]
        if self.elapsed > 0 and self.done > self.start:
            parts.append(f"{_number((self.done - self.start) / self.elapsed)} {self.unit or 'steps'}/s")
        if self.left is not None:
            parts.append(f"{_clock(self.left)} left" if self.share < 1 else f"{_clock(self.elapsed)} in all")
        if self.screen.plan:
            parts.append(f"whole run: {_clock(self.screen.plan.left)} left")
        parts += [f"{name} {_number(fact)}" for name, fact in self.facts.items()]
        return "  ".join(parts)

    def _draw(self) -> None:
        outer = [f"{bar.name} {bar._count()}" for bar in self.screen.bars if bar is not self]
        self.screen.draw("  ".join([*outer, str(self)]))

    def _count(self) -> str:
        return _number(self.done) + (f"/{_number(self.total)}" if self.total else "")


class Plan:
    """Expected seconds of each stage of a composite run, in order.

    Inside ``with plan.stage(name)`` every bar shows the time left for the whole run.
    """

    def __init__(self, stages: Sequence[tuple[str, float]], screen: Screen = SCREEN) -> None:
        self.expected = dict(stages)
        self.screen = screen
        self._waiting = list(self.expected)
        self._planned = self._taken = 0.0  # seconds of the stages that have run
        self._current: tuple[str, float] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run a stage; those before it in the plan that have not run are taken as skipped."""
        before, self.screen.plan = self.screen.plan, self
        self._waiting = self._waiting[self._waiting.index(name) + 1 :]
        began = self.screen.clock()
        self._current = (name, began)
        try:
            yield
        finally:
            taken = self.screen.clock() - began
            if taken >= SKIPPED * self.expected[name]:
                self._planned += self.expected[name]
                self._taken += taken
            self._current = None
            self.screen.plan = before

    @property
    def left(self) -> float:
        """Seconds left of this stage and those that wait."""
        planned, taken = self._planned, self._taken
        here = 0.0
        if self._current:
            name, began = self._current
            elapsed = self.screen.clock() - began
            speed = taken / planned if planned else 1.0
            here = self._left_here(max(0.0, self.expected[name] * speed - elapsed))
            planned, taken = planned + self.expected[name], taken + elapsed + here
        speed = taken / planned if planned else 1.0
        return here + speed * sum(self.expected[name] for name in self._waiting)

    def _left_here(self, by_plan: float) -> float:
        """From plan to measurement as the stage's outermost bar fills: a stage may hold several bars."""
        bar = self.screen.bars[0] if self.screen.bars else None
        if bar is None or bar.left is None:
            return by_plan
        return bar.share * bar.left + (1 - bar.share) * max(by_plan, bar.left)


def _number(value: object) -> str:
    if isinstance(value, int) or (isinstance(value, float) and value >= 1000):
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
