"""When to save again: so rarely that saving takes about 3 % of a run's time, whatever the size of its state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

FLOOR = 10.0  # seconds from one save to the next, at least
WAITS = 30  # from one save to the next, in multiples of what the last save took
BYTES_PER_SECOND = 3e8  # of a disk whose speed has not been measured yet


class Pace:
    """The pace of one kind of saves; ``size`` is how many bytes the first is expected to write."""

    def __init__(self, size: int = 0) -> None:
        self._saved, self._took = time.monotonic(), size / BYTES_PER_SECOND

    def due(self) -> bool:
        """Whether enough time has passed since the last save, or since the start."""
        return time.monotonic() - self._saved >= max(FLOOR, WAITS * self._took)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure a save."""
        began = time.monotonic()
        yield
        self._saved = time.monotonic()
        self._took = self._saved - began
