"""The protocol of job executors, and how a job runs inside a process: one verb in one run folder.

``InProcess`` runs the jobs one after another in this process, ``processes.LocalProcesses`` starts a process on this
machine for each job, and ``cluster.RayCluster`` sends jobs to the nodes of a Ray cluster.
"""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from rlready.core.errors import UserError
from rlready.models.weights import ALLOW_PICKLE
from rlready.runs.invocation import invocation
from rlready.sweep.grid import Config, Verb


@dataclass(frozen=True)
class Submission:
    """A job as an executor receives it; relative paths in ``config`` are relative to ``cwd``."""

    key: str
    verb: Verb
    config: Config
    out: Path
    threads: int
    cwd: Path


@dataclass(frozen=True)
class JobResult:
    """How a job ended: ``problem`` is one line, empty if the job is done; ``seconds`` is wall time."""

    key: str
    problem: str
    seconds: float


class Executor(Protocol):
    """Where jobs run."""

    def free_slots(self) -> int:
        """How many more jobs can be submitted now."""
        ...

    def submit(self, job: Submission) -> None:
        """Start a job; call this only if there is a free slot."""
        ...

    def wait(self) -> list[JobResult]:
        """Jobs that have ended since the last call; returns an empty list after about a second if none has."""
        ...

    def close(self) -> None:
        """Stop every job that is still running."""
        ...


class InProcess:
    """One job after another in this process.

    ``submit`` only keeps the job; ``wait`` runs it, blocks until it ends and returns its result, or returns an empty
    list at once if there is none; ``close`` drops a job that has not begun.
    """

    def __init__(self) -> None:
        self._next: Submission | None = None

    def free_slots(self) -> int:
        return 0 if self._next else 1

    def submit(self, job: Submission) -> None:
        self._next = job

    def wait(self) -> list[JobResult]:
        job, self._next = self._next, None
        return [execute(job)] if job else []

    def close(self) -> None:
        self._next = None


def environment(threads: int) -> dict[str, str]:
    """Environment variables that a job's process needs before it loads numerical libraries."""
    kept = {ALLOW_PICKLE: os.environ[ALLOW_PICKLE]} if ALLOW_PICKLE in os.environ else {}
    return kept | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


def execute(job: Submission) -> JobResult:
    """Run a job in this process; any error except an interrupt becomes the result's ``problem``."""
    began = time.monotonic()
    problem = ""
    try:
        run_verb(job)
    except UserError as error:
        problem = str(error)
    except Exception as error:  # the other jobs continue
        traceback.print_exc()
        problem = f"{type(error).__name__}: {error}"
    return JobResult(job.key, " ".join(problem.split()), time.monotonic() - began)


def run_verb(job: Submission) -> None:
    """Call the job's verb with the job's number of threads."""
    import torch

    from rlready.core.verbs import function

    before, token = torch.get_num_threads(), invocation.set(replace(invocation.get(), part_of="sweep"))
    try:
        torch.set_num_threads(job.threads)
        if Path.cwd() != job.cwd:
            os.chdir(job.cwd)
        function(job.verb)(job.config, job.out)
    finally:
        invocation.reset(token)
        torch.set_num_threads(before)
