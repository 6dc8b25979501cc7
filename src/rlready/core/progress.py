"""How far a run is, how fast, and how long it still takes; on standard error.

A terminal shows a bar for every open ``Progress``; a file or a pipe gets a line at its start and then one every two
seconds at most.  A ``Plan`` adds the time left for several stages together: their expected seconds, scaled by the ratio
of actual to expected seconds so far.  Text may come from a model or a file name: see `core.terminal`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self, TextIO, TypeVar

from rlready.core.terminal import neutral

if TYPE_CHECKING:
    from rlready.core.bars import Bars

T = TypeVar("T")
PAUSE = 2.0  # seconds between lines in a file
PAUSE_ON_TERMINAL = 0.1
REUSED = 0.05  # a stage that took less than this share of its expected time had been finished before


class Screen:
    """The stream that progress goes to, and the bars that are open on it."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self.clock = stream, clock
        self.lock = threading.RLock()  # engines count from their threads
        self.quiet = False  # only warnings are shown
        self.mute = False  # nothing is shown: another process of the run shows it
        self.open: list[Progress] = []
        self.plan: Plan | None = None
        self.shown = ""  # the progress that was printed last: name and count of its bar
        self.silent = True  # nothing has been shown yet
        self._last = -PAUSE
        self._bars: Bars | None = None

    @property
    def stream(self) -> TextIO:
        return neutral(self._stream or sys.stderr, heedless=True)

    def draw(self) -> None:
        """Show the open bars, unless they were shown a moment ago."""
        # hours of work must not stop because a stream cannot be written to
        with self.lock, suppress(OSError, ValueError):
            terminal, now = self.stream.isatty() and os.environ.get("TERM") != "dumb", self.clock()
            if self.mute or self.quiet or now - self._last < (PAUSE_ON_TERMINAL if terminal else PAUSE):
                return
            self._last, self.silent = now, False
            if terminal:
                from rlready.core.bars import Bars

                self._bars = self._bars or Bars(self.stream)
                self._bars.draw(self.open)
            else:
                # a bar that has just opened within another one hides the other's numbers only if it stays
                *outer, inner = [bar for at, bar in enumerate(self.open) if not at or bar.elapsed >= PAUSE]
                self.shown = f"{inner.name} {inner.count}"
                self.print("  ".join([*(f"{bar.name} {bar.count}" for bar in outer), str(inner)]))

    def print(self, text: str, *, warning: bool = False) -> None:
        """Print a line, above the bars if there are any."""
        with self.lock, suppress(OSError, ValueError):
            self.silent = False
            if self.mute:
                return
            if self._bars:
                self._bars.print(text)
            elif warning or not self.quiet:
                self.stream.write(text + "\n")
                self.stream.flush()

    def clear(self) -> None:
        """Remove the bars from the terminal."""
        bars, self._bars = self._bars, None
        if bars:
            with suppress(OSError, ValueError):
                bars.stop()


SCREEN = Screen()


@contextmanager
def only_warnings(on: bool = True) -> Iterator[None]:
    """Print no progress meanwhile, only warnings; with ``on=False`` as usual."""
    before, SCREEN.quiet = SCREEN.quiet, on
    try:
        yield
    finally:
        SCREEN.quiet = before


class Progress:
    """``with Progress("sampling", total=5000, unit="tokens") as p: p.update(64, loss=1.2)``.

    ``done`` is what an earlier attempt had done: it counts as progress, but not for the rate.  ``is_upper_bound`` says
    whether the time left is an upper bound rather than an estimate.
    """

    is_upper_bound = False

    def __init__(
        self, name: str, total: float | None = None, unit: str = "", done: float = 0, screen: Screen = SCREEN
    ) -> None:
        self.name, self.total, self.unit, self.screen = name, total, unit, screen
        self.start = self.done = done
        self.metrics: dict[str, object] = {}

    def __enter__(self) -> Self:
        self.began = self.screen.clock()
        self.screen.open.append(self)
        self.screen.draw()
        return self

    def __exit__(self, *_: object) -> None:
        self.screen.open.remove(self)
        if not self.screen.open:
            self.screen.clear()
        if self.elapsed >= PAUSE and self.screen.shown != f"{self.name} {self.count}":
            self.screen.print(str(self))

    def update(self, n: float = 1, **metrics: object) -> None:
        """Count ``n`` more as done; ``metrics`` are shown behind the time left."""
        self.done += n
        self.metrics.update(metrics)
        self.screen.draw()

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

    @property
    def rate(self) -> str:
        """How much is done in a second; empty if nothing is."""
        if self.elapsed > 0 and self.done > self.start:
            return f"{_number((self.done - self.start) / self.elapsed)} {self.unit or 'steps'}/s"
        return ""

    @property
    def count(self) -> str:
        return _number(self.done) + (f"/{_number(self.total)}" if self.total else "")

    @property
    def status(self) -> str:
        """What is done, the rate, the time left, and the metrics."""
        parts = [f"{self.count} {self.unit}".rstrip(), *filter(None, [self.rate])]
        if self.left is not None:
            left = f"{'up to ' * self.is_upper_bound}{_clock(self.left)} left"
            parts.append(left if self.share < 1 else f"{_clock(self.elapsed)} in all")
        if self.screen.plan:
            parts.append(f"whole run: {_clock(self.screen.plan.left)} left")
        return "  ".join([*parts, *(f"{name} {_number(value)}" for name, value in self.metrics.items())])

    def __str__(self) -> str:
        return f"{self.name}  {self.status}"


def counted(name: str, items: Sequence[T], unit: str, screen: Screen = SCREEN) -> Iterator[T]:
    """The items one by one, with a bar from the second on in which they have taken longer than one."""
    began = screen.clock()
    with ExitStack() as stack:
        bar: Progress | None = None
        for at, item in enumerate(items):
            if bar:
                bar.update()
            elif screen.clock() - began > PAUSE / 2:
                bar = stack.enter_context(Progress(name, len(items), unit, done=at, screen=screen))
            yield item
        if bar:
            bar.update()


class Plan:
    """Expected seconds of each stage of a composite run, in order.

    Inside ``with plan.stage(name)`` every bar shows the time left for the whole run.
    """

    def __init__(self, stages: Sequence[tuple[str, float]], screen: Screen = SCREEN) -> None:
        self.expected, self.screen = dict(stages), screen
        self._waiting = list(self.expected)
        self._planned = self._taken = 0.0  # seconds of the stages that have run
        self._current: tuple[str, float] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run a stage; earlier stages of the plan that have not run count as skipped."""
        before, self.screen.plan = self.screen.plan, self
        self._waiting = self._waiting[self._waiting.index(name) + 1 :]
        began = self.screen.clock()
        self._current = (name, began)
        try:
            yield
        finally:
            taken = self.screen.clock() - began
            if taken >= REUSED * self.expected[name]:
                self._planned += self.expected[name]
                self._taken += taken
            self._current = None
            self.screen.plan = before

    @property
    def left(self) -> float:
        """Seconds left for this stage and the waiting ones."""
        planned, taken = self._planned, self._taken
        current = 0.0
        if self._current:
            name, began = self._current
            elapsed = self.screen.clock() - began
            speed = taken / planned if planned else 1.0
            current = self._left_of_stage(max(0.0, self.expected[name] * speed - elapsed))
            planned, taken = planned + self.expected[name], taken + elapsed + current
        speed = taken / planned if planned else 1.0
        return current + speed * sum(self.expected[name] for name in self._waiting)

    def _left_of_stage(self, by_plan: float) -> float:
        """Seconds left of the current stage: from the plan at first, from the outermost bar as it fills."""
        for bar in self.screen.open[:1]:
            if bar.left is not None:
                return bar.share * bar.left + (1 - bar.share) * max(by_plan, bar.left)
        return by_plan


def _number(value: object) -> str:
    if isinstance(value, int) or (isinstance(value, float) and value >= 1000):
        return f"{value:,.0f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
