"""Jobs on a Ray cluster whose nodes share this disk.  No other file imports Ray.

Every job requests its threads as Ray CPUs, and a GPU if it runs on one, so that Ray never overloads a node; nodes that
join during the sweep are used.  The job of a worker that dies (out of memory, node lost) is tried once more and
continues from its run folder.
"""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from typing import Any

from rlready.core.errors import UserError
from rlready.sweep.executors import JobResult, Submission, environment, execute

WAIT = 1.0  # seconds


def refuse_without_ray(address: str) -> None:
    """UserError if Ray is not installed here."""
    if find_spec("ray") is None:
        raise UserError(f"ray={address} needs Ray: pip install 'rlready[ray]'")


class RayCluster:
    """See ``executors.Executor``."""

    def __init__(self, address: str, threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray, self.threads = ray, threads
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"no Ray cluster at {address}: {' '.join(str(error).split())[:200]}") from None
        nodes: Any = ray.nodes
        if threads > max((n["Resources"].get("CPU", 0) for n in nodes() if n["Alive"]), default=0):
            ray.shutdown()
            raise UserError(f"threads={threads}: no node of {address} has as many processors")
        self._resources: Any = ray.cluster_resources
        settings: Any = {"num_cpus": threads, "max_retries": 1, "runtime_env": {"env_vars": environment(threads)}}
        self._execute: Any = ray.remote(**settings)(_execute_quietly)
        self._running: dict[Any, Submission] = {}

    def free_slots(self) -> int:
        return max(0, int(self._resources().get("CPU", 0)) // self.threads - len(self._running))

    def submit(self, job: Submission) -> None:
        gpus = 1 if job.config.device.startswith("cuda") and job.verb != "export" else 0
        if gpus > self._resources().get("GPU", 0):
            raise UserError(f"{job.key} asks for device={job.config.device}, and no node of the cluster has a GPU")
        self._running[self._execute.options(num_gpus=gpus).remote(job)] = job

    def wait(self) -> list[JobResult]:
        if not self._running:  # no node has joined yet
            time.sleep(WAIT)
            return []
        ended, _ = self.ray.wait(list(self._running), num_returns=1, timeout=WAIT)
        return [self._result(each) for each in ended]

    def close(self) -> None:
        self.ray.shutdown()

    def _result(self, ended: Any) -> JobResult:
        job = self._running.pop(ended)
        try:
            result: JobResult = self.ray.get(ended)
        except self.ray.exceptions.RayError as error:
            return JobResult(job.key, f"its worker was lost: {' '.join(str(error).split())[:200]}", 0.0)
        return result


def _execute_quietly(job: Submission) -> JobResult:
    from rlready.core import progress

    progress.SCREEN.quiet = True
    return execute(job)
