"""Peak memory of an RL step that trains a LoRA adapter over one that trains all weights: `python bench/lora.py`.

SmolLM2-135M in fp32 on the CPU, 4 x 8 responses of exactly 64 tokens, rewards of 1 and 0 in turn, two steps, so that
the second has the optimiser's state; the rank is 16.  Each side is a process, and its peak is the largest resident set
of its life, the interpreter, libraries and loading of the model included.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from common import Goal, Row, main, needs, smollm2

GOAL = Goal("RL step, SmolLM2-135M, 4 x 8: peak memory with a LoRA adapter over that with all weights", "<= 0.55")
RANK, MICROBATCH = 16, 1024
UNIT = 1 if sys.platform == "darwin" else 1 << 10  # bytes


def side(rank: int, response: int) -> None:
    """Two steps in this process; prints its peak memory and the seconds of the second step as JSON."""
    from grpo import Work, trainer

    sizes = {"prompts": 4, "group": 8, "response": response, "max_tokens_per_microbatch": MICROBATCH}
    work = Work(str(smollm2()), "dagmath?ops=2&split=train&seed=1", 2, prompt_words=40, **sizes)
    with TemporaryDirectory() as folder:
        steps = trainer(work, Path(folder), rank=rank)
        for at in range(2):
            line = steps.step(work.task, work.of_step(at), at)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    found = {"bytes": peak, "seconds": line.timing["seconds"], "tokens": line.update.trained_tokens}
    print(json.dumps(found | {"learner": steps.learner.name}))


def measured(rank: int, response: int) -> dict[str, float]:
    words = [sys.executable, __file__, "--side", str(rank), str(response)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  rank {rank}: {found}", file=sys.stderr)
    return found


def run(quick: bool) -> list[Row]:
    needs("peft")
    smollm2()
    response = 4 if quick else 64
    whole, adapter = measured(0, response), measured(RANK, response)
    if whole["tokens"] != adapter["tokens"]:
        raise RuntimeError(f"not the same work: {whole['tokens']} and {adapter['tokens']} tokens")
    ratio = adapter["bytes"] / whole["bytes"]
    return [GOAL.row([ratio], varies="run", rank=RANK, all_weights=whole, adapter=adapter)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side(*map(int, sys.argv[2:]))
    else:
        main([GOAL], run)
