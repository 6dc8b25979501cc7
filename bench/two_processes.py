"""SFT of SmolLM2-135M in two processes against one, on two cores: `python bench/two_processes.py`.

The same optimiser steps of about 2,048 tokens: one process with one thread, one with two, and two processes of torchrun
with one thread each (``distributed=ddp``), which add up their gradients through gloo.  The claim compares the first and
the last.  One process with two threads divides the micro-batches between them, as the two processes do, but neither
keeps the weights twice nor sends 0.5 GB of gradients; its ratio is in the details.  Loading and one step of warm-up are
not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from common import Goal, Row, main, smollm2
from rlready.core.timing import multiplied
from rlready.models.checkpoint import load_without_weights

GOAL = Goal("SFT step, SmolLM2-135M: two processes over one process with one thread, on two cores", ">= 1.6")
CHILD = Path(__file__).with_name("two_processes_child.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
CONFIGURATIONS = {  # what starts each, and the threads of a process
    "one_thread": ((sys.executable,), 1),
    "two_threads": ((sys.executable,), 2),
    "two_processes": (TORCHRUN, 1),
}


def seconds_of(name: str, model: Path, tokens: int, steps: int) -> float:
    """Seconds of a step; RuntimeError with the output of a child that failed."""
    start, threads = CONFIGURATIONS[name]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    words = [*start, str(CHILD), str(model), str(tokens), str(steps)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: float = json.loads(done.stdout.splitlines()[-1])
    print(f"  {name:13} {found:8.2f} s", file=sys.stderr)
    return found


def run(quick: bool) -> list[Row]:
    model = smollm2()
    tokens, steps, rounds = (256, 1, 1) if quick else (2048, 2, 3)
    seconds: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
    for _ in range(rounds):
        for name, found in seconds.items():
            found.append(seconds_of(name, model, tokens, steps))
    one, threads, two = seconds.values()
    ratios = [a / b for a, b in zip(one, two, strict=True)]
    weights = multiplied(load_without_weights(str(model)).model)
    details = {f"{name}_seconds": median(found) for name, found in seconds.items()}
    return [
        GOAL.row(
            ratios,
            **details,
            two_threads_over_one=median(a / b for a, b in zip(one, threads, strict=True)),
            two_processes_gflops=6e-9 * weights * tokens / median(two),
        )
    ]


if __name__ == "__main__":
    main([GOAL], run)
