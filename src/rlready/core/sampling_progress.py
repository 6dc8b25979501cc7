"""How far sampling is, by the tokens that are decoded: many long responses run at once, and end late."""

from __future__ import annotations

from collections import Counter
from threading import get_ident

import numpy as np
from numpy.typing import NDArray

from rlready.core.messages import note
from rlready.core.progress import PAUSE, SCREEN, Progress, Screen


class SamplingProgress(Progress):
    """A bar that an engine fills while it decodes.

    ``each`` is the largest number of tokens of a sample.  The time left follows from the mean rate and the expected
    lengths of what is running and waiting: those of the Kaplan-Meier estimate, for which a sample that is running is
    longer than it is now.  Until a batch has ended, samples are counted as ``each`` tokens, and the time left is an
    upper bound.
    """

    def __init__(self, name: str, total: float, each: float, screen: Screen = SCREEN) -> None:
        super().__init__(name, total, "samples", screen=screen)
        self.each, self.tokens = each, 0
        self.is_upper_bound = True
        self._ended = Counter[int]()  # samples by length
        self._running: dict[int, tuple[int, int]] = {}  # samples and their tokens, by the thread that decodes the batch
        self._first: float | None = None  # when decoding began

    def decoded(self, running: int, ended: int, step: int) -> None:
        """Count one step of this thread's batch: ``running`` samples have got a token, and now have ``step``.

        It was the last one of ``ended`` of them.
        """
        self._first = self._first or self.screen.clock()
        self._running[get_ident()] = max(0, running - ended), step
        if running <= ended:
            del self._running[get_ident()]
            self.is_upper_bound = self.is_upper_bound and not step
        self._ended[step] += ended
        self.tokens += running
        self.update(ended)

    def skip(self, samples: int) -> None:
        """Count samples of an earlier attempt, or a sample that is not needed: no part of this attempt's work."""
        self.start += samples
        self.update(samples)

    @property
    def tokens_left(self) -> float:
        """Expected tokens of the samples that have not ended."""
        waiting = max(0.0, (self.total or 0) - self.done - sum(left for left, _ in self._running.values()))
        if self.is_upper_bound:
            return waiting * self.each + sum(left * (self.each - step) for left, step in self._running.values())
        longer = self._longer()
        running = (left * longer[step:].sum() / longer[step] for left, step in self._running.values())
        return float(waiting * longer.sum() + sum(running))

    def _longer(self) -> NDArray[np.float64]:
        """The share of samples with more than i tokens, for i from 0 to the largest number so far."""
        ended = np.zeros(1 + max([0, *self._ended, *(step for _, step in self._running.values())]))
        for length, samples in self._ended.items():
            ended[length] = samples
        reached = ended.copy()
        for left, step in self._running.values():
            reached[step] += left
        at_risk = np.maximum(1, reached[::-1].cumsum()[::-1])
        shares: NDArray[np.float64] = np.cumprod(1 - ended / at_risk)
        return shares

    @property
    def share(self) -> float:
        left = self.tokens_left
        return self.tokens / (self.tokens + left) if self.tokens else float(self.done >= (self.total or 0))

    @property
    def speed(self) -> float:
        """Tokens per second since decoding began; 0 if that is too short a time."""
        spent = self.screen.clock() - (self._first or self.screen.clock())
        return self.tokens / spent if spent > PAUSE else 0.0

    @property
    def left(self) -> float | None:
        return self.tokens_left / self.speed if self.speed else None

    @property
    def rate(self) -> str:
        return f"{self.speed:,.0f} tokens/s" if self.speed else ""


def decoded(running: int, ended: int, step: int) -> None:
    """Count a step of an engine's thread on the innermost bar for it, if there is one: see `SamplingProgress`."""
    with SCREEN.lock:
        bar = next((bar for bar in reversed(SCREEN.open) if isinstance(bar, SamplingProgress)), None)
        if bar:
            bar.decoded(running, ended, step)


def say_most(verb: str, samples: float, each: float, smaller: str) -> None:
    """Tell how many tokens a run may decode, and which settings make that less."""
    note(f"{verb}: up to {_short(samples * each)} tokens; {smaller} make it less")


def _short(number: float) -> str:
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:,.0f}"
