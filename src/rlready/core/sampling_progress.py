"""How far sampling is, by the tokens that are decoded: many long responses run at once, and end late."""

from __future__ import annotations

from rlready.core.progress import PAUSE, SCREEN, Progress, Screen, note

WINDOW = 30.0  # seconds over which the rate is taken, up to twice as many


class SamplingProgress(Progress):
    """A bar that an engine fills while it decodes.

    ``each`` is the largest number of tokens of a sample.  The time left follows from the mean length of a sample: all
    tokens by the number of ended samples, at most ``each``.  That is the maximum-likelihood estimate if every token is
    equally likely to be the last one, also while samples are running.  It is called an upper bound while the batches
    are ``small``, and will be faster, and until a sample has ended.
    """

    def __init__(self, name: str, total: float, each: float, screen: Screen = SCREEN) -> None:
        super().__init__(name, total, "samples", screen=screen)
        self.each, self.small = each, False
        self.tokens = 0
        self._marks: list[tuple[float, int]] = []  # (time, tokens), at most two, the older one at least WINDOW ago

    def decoded(self, tokens: int, ended: int) -> None:
        """Count new tokens, and samples that have ended."""
        now = self.screen.clock()
        if not self._marks or now - self._marks[-1][0] > WINDOW:
            self._marks = [*self._marks[-1:], (now, self.tokens)]
        self.tokens += tokens
        self.update(ended)

    def skip(self, samples: int) -> None:
        """Count samples of an earlier attempt, or a sample that is not needed: no part of this attempt's work."""
        self.start += samples
        self.update(samples)

    @property
    def mean(self) -> float:
        """Expected tokens of a sample."""
        ended = self.done - self.start
        return min(self.each, self.tokens / ended) if ended > 0 else self.each

    @property
    def is_upper_bound(self) -> bool:
        return self.small or self.mean == self.each

    @property
    def share(self) -> float:
        samples = (self.total or 0) - self.start
        return min(1.0, self.tokens / (self.mean * samples)) if self.mean and samples > 0 else 0.0

    @property
    def speed(self) -> float:
        """Tokens per second lately; 0 if there were none, or too short a time."""
        (begin, tokens), *_ = self._marks or [(0.0, self.tokens)]
        spent = self.screen.clock() - begin
        return (self.tokens - tokens) / spent if spent > PAUSE else 0.0

    @property
    def left(self) -> float | None:
        return self.tokens * (1 / self.share - 1) / self.speed if self.share and self.speed else None

    @property
    def rate(self) -> str:
        return f"{self.speed:,.0f} tokens/s" if self.speed else ""


def decoded(tokens: int, ended: int) -> None:
    """Count what the threads of an engine have decoded on the innermost bar for it, if there is one."""
    with SCREEN.lock:
        bar = next((bar for bar in reversed(SCREEN.open) if isinstance(bar, SamplingProgress)), None)
        if bar:
            bar.decoded(tokens, ended)


def say_most(verb: str, samples: float, each: float, smaller: str) -> None:
    """Tell how many tokens a run may decode, and which settings make that less."""
    note(f"{verb}: up to {_short(samples * each)} tokens; {smaller} make it less")


def _short(number: float) -> str:
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:,.0f}"
