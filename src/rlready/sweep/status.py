"""The status of a sweep: a table of its stages, and the time left, estimated from the finished jobs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rlready.core.messages import note
from rlready.core.progress import Progress
from rlready.sweep.grid import VERBS, Verb
from rlready.sweep.jobs import Job

State = Literal["waiting", "running", "done", "failed", "skipped"]
STATES: tuple[State, ...] = ("done", "running", "waiting", "failed", "skipped")
EVERY = 20.0  # seconds between two tables


class Status:
    """The state of every job; draws a progress bar in units of work, and from time to time the table."""

    def __init__(self, jobs: Sequence[Job], seconds: Mapping[str, float], workers: int) -> None:
        """``seconds`` are those of the jobs already finished; ``workers`` is the number of concurrent jobs."""
        self.jobs, self.workers = {job.key: job for job in jobs}, workers
        self.states: dict[str, State] = {job.key: "done" if job.key in seconds else "waiting" for job in jobs}
        self.seconds = dict(seconds)
        self._ended = len(seconds)
        self._shown = time.monotonic()
        done = sum(job.work for job in jobs if job.key in seconds)
        self.bar = Progress("sweep", total=sum(job.work for job in jobs), unit="s of work", done=done)

    def change(self, key: str, state: State, seconds: float = 0.0, why: str = "") -> None:
        """Record that a job has begun (running) or ended (done, failed, skipped)."""
        self.states[key] = state
        if state == "running":
            return
        self._ended += 1
        if state == "done":
            self.seconds[key] = seconds
        else:
            note(f"sweep: {key} {state}: {why}")
        self.bar.update(self.jobs[key].work, jobs=f"{self._ended}/{len(self.jobs)}")
        if time.monotonic() - self._shown > EVERY:
            self.print_table()

    def print_table(self) -> None:
        """Print the table."""
        self._shown = time.monotonic()
        for line in self.text().splitlines():
            note(line)

    def text(self) -> str:
        """Jobs of each stage by state and their mean seconds, and the time left."""
        rows = [["stage", *STATES, "seconds each"]]
        for verb in VERBS:
            keys = [key for key, job in self.jobs.items() if job.verb == verb]
            counts = Counter(self.states[key] for key in keys)
            took = [self.seconds[key] for key in keys if key in self.seconds]
            if keys:
                mean = f"{sum(took) / len(took):.0f}" if took else "?"
                rows.append([verb, *(str(counts[state]) for state in STATES), mean])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        ]
        return "\n".join([*lines, f"about {duration(self.left)} left"])

    @property
    def left(self) -> float:
        """Estimated seconds left: the work that is not done, at the speed of the finished jobs."""
        left = [job for key, job in self.jobs.items() if self.states[key] in ("waiting", "running")]
        return remaining(left, [(self.jobs[key], seconds) for key, seconds in self.seconds.items()], self.workers)


def remaining(jobs: Iterable[Job], done: Iterable[tuple[Job, float]], workers: int) -> float:
    """Seconds for these jobs: their estimated work, scaled for each verb by actual over estimated seconds so far.

    ``done`` are finished jobs with the seconds that each took; ``workers`` is the number of concurrent jobs, 0 for one.
    """
    guessed: dict[Verb, float] = dict.fromkeys(VERBS, 0.0)
    spent: dict[Verb, float] = dict.fromkeys(VERBS, 0.0)
    for job, seconds in done:
        guessed[job.verb] += job.work
        spent[job.verb] += seconds
    total = sum(guessed.values())
    common = sum(spent.values()) / total if total else 1.0
    scale = {verb: spent[verb] / guessed[verb] if guessed[verb] else common for verb in VERBS}
    return sum(job.work * scale[job.verb] for job in jobs) / max(1, workers)


def duration(seconds: float) -> str:
    """Seconds in rounded units: "40 s", "12 min", "3.5 hours", "2.1 days"."""
    for size, unit in ((86400.0, "days"), (3600.0, "hours")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
