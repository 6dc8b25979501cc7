"""Readiness through engine=vllm against vLLM driven by hand: `python bench/readiness_vllm.py`.

8 prompts x 32 samples of SmolLM2-135M, up to 256 tokens, in float32 on both sides; one side's vLLM is at rest while the
other works.  On rlready's side it is all that `rlready readiness` does with vLLM running: loading the model, comparing
its weights, log-probabilities, verification, statistics and files.  By hand it is `LLM.generate` with the same prompts
and stop tokens, compiled, without log-probabilities, with vLLM's own settings.  One of these decides on a CPU: each
sample computes the last, partial block of its prompt again, and vLLM's blocks have 128 tokens there, rlready's 32.  So
the details hold the ratios to vLLM with blocks of 32 tokens, too.  Run it with a Python that has vLLM, such as
`.venv-vllm/bin/python`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from common import Duel, Goal, Row, main, smollm2, timed
from rlready.core.config import ReadinessConfig
from rlready.engine.budget import Budget
from rlready.engine.completions import BLOCK
from rlready.engine.protocol import requests_for
from rlready.models.checkpoint import load
from rlready.readiness.stage import readiness
from rlready.tasks import open_task
from sampling_vllm import SOURCE, Child, interpreter

GOAL = Goal(
    "readiness by engine=vllm, 8 x 32 of up to 256 tokens, SmolLM2-135M: seconds per token over vLLM's", "<= 1.15"
)


def run(quick: bool) -> list[Row]:
    prompts, samples, response, rounds = (2, 4, 8, 1) if quick else (8, 32, 256, 3)
    model, python = smollm2(), interpreter()
    lm = load(str(model))
    problems = open_task(SOURCE, limit=prompts).problems()
    ids = list(dict.fromkeys(r.prompt_ids for r in requests_for(lm, problems, 1, Budget(None, response))))
    by_hand = {block: Child(python, model, "float32", prompts * samples, block) for block in (0, BLOCK)}
    for child in by_hand.values():
        child.sample(ids, samples, 4)  # warms up
    settings = ReadinessConfig(
        checkpoints=(str(model),),
        problems=f"{SOURCE}&n={prompts}",
        samples=samples,
        sampling="full",
        max_answer_tokens=response,
        device="cpu",
        dtype="float32",
        engine="vllm",
    )
    duels = {block: Duel(warm=1, tolerance=0.1) for block in by_hand}  # lengths vary
    with TemporaryDirectory() as folder:
        for number in range(rounds + 1):

            def measured(out: Path = Path(folder) / str(number), seed: int = number) -> float:
                (found,) = readiness(settings.replace(seed=seed), out).checkpoints
                return float(found.tokens or 0)

            ours = timed(measured)
            for block, child in by_hand.items():
                duels[block].add("ours", ours)
                duels[block].add("theirs", child.sample(ids, samples, response, sorted(lm.stop_ids)))
    for child in by_hand.values():
        child.close()
    ratios, with_blocks = ([1 / ratio for ratio in duel.ratios()] for duel in duels.values())
    return [GOAL.row(ratios, **duels[0].details(), ratios_with_the_same_blocks=with_blocks)]


if __name__ == "__main__":
    main([GOAL], run)
