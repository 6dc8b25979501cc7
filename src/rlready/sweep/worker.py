"""The process of one job: ``python -m rlready.sweep.worker``, with ``sys.path`` and the job on standard input.

Standard input closes when the sweep ends, even if the sweep is killed; this process and all its children then end too.
Exit codes: 0 done, 1 failed (the last line printed says why), 130 stopped.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

from rlready.core.stopping import exit_stopped, stopped_by_signals
from rlready.sweep.executors import Submission, execute


def main() -> int:
    """Run the job; returns the exit code."""
    sys.path[:] = pickle.load(sys.stdin.buffer)
    job: Submission = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_sweep, daemon=True).start()
    try:
        with stopped_by_signals():
            result = execute(job)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        exit_stopped()
    if result.problem:
        print(result.problem, file=sys.stderr, flush=True)
    return 1 if result.problem else 0


def _end_with_sweep() -> None:
    """Wait for the end of standard input, then kill this process group, of which this process is the leader."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
