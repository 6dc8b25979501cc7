"""Which job runs next: one whose predecessor is done, later stages first so that whole chains finish early."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rlready.core.errors import UserError
from rlready.runs.log import append_line, read_log
from rlready.sweep.executors import Executor, JobResult, Submission
from rlready.sweep.grid import VERBS, Config
from rlready.sweep.jobs import Job, checkpoints_of
from rlready.sweep.status import Status

LOG = "log.jsonl"


def complete_log(out: Path, seconds: Mapping[str, float]) -> None:
    """Add the lines of jobs that had ended, but were not logged yet, when the sweep was killed."""
    logged = {line.get("key") for line in read_log(out / LOG) if not line.get("problem")}
    for key in (key for key in seconds if key not in logged):
        append_line(out / LOG, asdict(JobResult(key, "", seconds[key])))


class Scheduler:
    """Runs the waiting jobs of a sweep on an executor; handling one job costs O(log jobs), however many there are."""

    def __init__(self, out: Path, jobs: Sequence[Job], status: Status, threads: int) -> None:
        self.out, self.status, self.threads, self.cwd = out, status, threads, Path.cwd()
        self.problems: dict[str, str] = {}  # by key, why a job failed
        self._started_by: dict[str, list[Job]] = {}
        self._places = {job.key: place for place, job in enumerate(jobs)}
        self._ready: list[tuple[int, int, Job, Config]] = []  # a heap; the second, a job's place, is unique
        self._running = 0
        for job in jobs:
            if status.states[job.key] == "waiting":
                self._started_by.setdefault(job.start, []).append(job)
        for job in self._started_by.get("", []):
            self._push(job, job.config)
        for key in [key for key, state in status.states.items() if state == "done"]:
            self._release(key)

    def run(self, executor: Executor, meanwhile: Callable[[], None]) -> None:
        """Run until no job is waiting or running; each job that ends adds a line to ``log.jsonl``.

        ``meanwhile`` is called about every second.
        """
        while self._ready or self._running:
            while self._ready and executor.free_slots():
                _, _, job, config = heapq.heappop(self._ready)
                self.status.change(job.key, "running")
                self._running += 1
                executor.submit(Submission(job.key, job.verb, config, self.out / job.key, self.threads, self.cwd))
            ended = executor.wait()
            meanwhile()
            for result in ended:
                self._running -= 1
                append_line(self.out / LOG, asdict(result))
                self._end(result)

    def _end(self, result: JobResult) -> None:
        if result.problem:
            self._fail(result.key, result.problem)
        else:
            self.status.change(result.key, "done", result.seconds)
            self._release(result.key)

    def _release(self, key: str) -> None:
        """Make the jobs ready that start from a job that is done."""
        waiting = self._started_by.get(key, [])
        checkpoints = checkpoints_of(self.out / key) if waiting else []
        for job in waiting:
            try:
                self._push(job, job.config_from(checkpoints))
            except UserError as error:
                self._fail(job.key, str(error))

    def _push(self, job: Job, config: Config) -> None:
        heapq.heappush(self._ready, (-VERBS.index(job.verb), self._places[job.key], job, config))

    def _fail(self, key: str, problem: str) -> None:
        """Record the failure, and skip every job that depends on it."""
        self.problems[key] = problem
        self.status.change(key, "failed", why=problem)
        skipped = [key]
        for start in skipped:
            for job in self._started_by.get(start, []):
                self.status.change(job.key, "skipped", why=f"it starts from {start}")
                skipped.append(job.key)
