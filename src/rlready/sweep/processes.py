"""Jobs on this machine, each in a separate process, so that a crash or a lack of memory ends one job only.

A job's process reads the job from its standard input, which stays open as long as the sweep lives, and writes its
output to ``logs/KEY.log`` in the sweep's folder.  ``worker.py`` is the code that runs in it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlready.sweep.executors import JobResult, Submission, environment

POLL, WAIT = 0.05, 1.0  # seconds between two polls of the processes, and the longest that ``wait`` takes
GRACE = 20.0  # seconds for a job to end after SIGTERM, before SIGKILL
TAIL = 4096  # bytes at the end of a log that are searched for its last line


@dataclass(frozen=True)
class _Running:
    job: Submission
    process: subprocess.Popen[bytes]
    log: Path
    gpu: str
    began: float


class LocalProcesses:
    """See ``executors.Executor``.  If ``gpus`` are given, each job has exclusive use of one of them."""

    def __init__(self, workers: int, logs: Path, gpus: Sequence[str] = ()) -> None:
        self.logs = logs
        self._slots = min(workers, len(gpus)) if gpus else workers
        self._gpus = list(gpus)
        self._running: list[_Running] = []

    def free_slots(self) -> int:
        return self._slots - len(self._running)

    def submit(self, job: Submission) -> None:
        log = self.logs / f"{job.key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        env = os.environ | environment(job.threads)
        gpu = self._gpus.pop() if self._gpus else ""
        if gpu:
            env["CUDA_VISIBLE_DEVICES"] = gpu
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rlready.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its jobs
            )
        self._running.append(_Running(job, process, log, gpu, time.monotonic()))
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # the process ended at once: ``wait`` reports why
            pickle.dump(sys.path, process.stdin)  # a user's loss or task may be next to the script
            pickle.dump(job, process.stdin)
            process.stdin.flush()

    def wait(self) -> list[JobResult]:
        until = time.monotonic() + WAIT
        while not (ended := [each for each in self._running if each.process.poll() is not None]):
            if time.monotonic() > until:
                return []
            time.sleep(POLL)
        return [self._finish(each) for each in ended]

    def close(self) -> None:
        """Send SIGTERM, after which a run can be continued from its folder, then SIGKILL to what has not ended."""
        running, self._running = self._running, []
        try:
            for each in running:
                each.process.terminate()
            until = time.monotonic() + GRACE
            for each in running:
                with suppress(subprocess.TimeoutExpired):
                    each.process.wait(max(0.0, until - time.monotonic()))
        finally:
            for each in running:
                _kill_group(each.process)
                each.process.wait()

    def _finish(self, ended: _Running) -> JobResult:
        self._running.remove(ended)
        if ended.gpu:
            self._gpus.append(ended.gpu)
        _kill_group(ended.process)
        return JobResult(ended.job.key, _problem(ended), time.monotonic() - ended.began)


def visible_gpus() -> list[str]:
    """The GPUs of this machine, named as in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def _problem(ended: _Running) -> str:
    """Why a process failed, in one line; empty if it succeeded."""
    code = ended.process.returncode
    if code == 0:
        return ""
    last = _last_line(ended.log)
    if code == 1 and last:
        return last
    how = f"its process ended with exit code {code}"
    if code < 0:
        how = f"its process was killed by {signal.Signals(-code).name}"
        how += " (out of memory?)" if code == -signal.SIGKILL else ""
    return f"{how}; the last line of {ended.log} is {last!r}" if last else f"{how}; {ended.log} is empty"


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((" ".join(line.split()) for line in reversed(lines) if line.strip()), "")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the job's process and every process that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()
