"""How a sweep stands: a table of its stages, and the time left from what its jobs have taken so far."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from rlready.core.progress import Progress, note
from rlready.sweep.jobs import VERBS, Job

State = Literal["waiting", "running", "done", "failed", "skipped"]
STATES: tuple[State, ...] = ("done", "running", "waiting", "failed", "skipped")
EVERY = 20.0  # seconds between two tables


class Board:
    """Told of every change; draws a bar whose length is work, and now and then the table."""

    def __init__(self, jobs: Sequence[Job], taken: Mapping[str, float], beside: int) -> None:
        """``taken``: seconds of jobs that an earlier attempt finished; ``beside``: jobs at a time."""
        self.jobs, self.beside = {job.key: job for job in jobs}, max(1, beside)
        self.states: dict[str, State] = {job.key: "done" if job.key in taken else "waiting" for job in jobs}
        self.taken = dict(taken)
        self._shown = time.monotonic()
        done = sum(job.work for job in jobs if job.key in taken)
        self.bar = Progress("sweep", total=sum(job.work for job in jobs), unit="s of work", done=done)

    def change(self, key: str, state: State, seconds: float = 0.0, why: str = "") -> None:
        self.states[key] = state
        if state == "done":
            self.taken[key] = seconds
        if state in ("failed", "skipped"):
            note(f"sweep: {key} {state}: {why}")
        ended = len([s for s in self.states.values() if s not in ("waiting", "running")])
        self.bar.update(0.0 if state == "running" else self.jobs[key].work, jobs=f"{ended}/{len(self.jobs)}")
        if time.monotonic() - self._shown > EVERY:
            self.show()

    def show(self) -> None:
        """The table, on lines of their own."""
        self._shown = time.monotonic()
        note(self.text())

    def text(self) -> str:
        rows = [["stage", *STATES, "seconds each"]]
        for verb in VERBS:
            mine = [key for key, job in self.jobs.items() if job.verb == verb]
            counts = Counter(self.states[key] for key in mine)
            took = [self.taken[key] for key in mine if key in self.taken]
            if mine:
                mean = f"{sum(took) / len(took):.0f}" if took else "?"
                rows.append([verb, *(str(counts[state]) for state in STATES), mean])
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(wide[0]), *(cell.rjust(w) for cell, w in zip(row[1:], wide[1:], strict=True))])
            for row in rows
        ]
        return "\n".join([*lines, f"about {duration(self.left)} left"])

    @property
    def left(self) -> float:
        """Seconds: the work of what is not done, at the speed of what is, on so many workers."""
        return remaining([j for k, j in self.jobs.items() if self.states[k] in ("waiting", "running")],
                         {k: (self.jobs[k], s) for k, s in self.taken.items()}, self.beside)  # fmt: skip


def remaining(jobs: Sequence[Job], taken: Mapping[str, tuple[Job, float]], beside: int) -> float:
    """Seconds for these jobs: their guessed work, scaled for each verb by what it was off so far."""
    guessed, spent = dict.fromkeys(VERBS, 0.0), dict.fromkeys(VERBS, 0.0)
    for job, seconds in taken.values():
        guessed[job.verb] += job.work
        spent[job.verb] += seconds
    whole = sum(guessed.values())
    common = sum(spent.values()) / whole if whole else 1.0
    scale = {verb: spent[verb] / guessed[verb] if guessed[verb] else common for verb in VERBS}
    return sum(job.work * scale[job.verb] for job in jobs) / max(1, beside)


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.5 hours", "2.1 days": as exact as a guess deserves."""
    for size, unit in ((86400.0, "days"), (3600.0, "hours")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
