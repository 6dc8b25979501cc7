"""64 problems x 64 samples of the embedded model against Hugging Face `generate`: `python bench/sampling_hf.py`.

Neither side forces anything: a response ends where the model ends it, or after 80 tokens.  `generate` gets prompts
sorted by length, in batches of 256 or 512 rows, whichever is faster; unlike rlready it returns no log-probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from common import Duel, Goal, Row, at_peak, main, timed
from rlready.core.presets import DEMO_TASK
from rlready.core.timing import multiplied
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models.checkpoint import load
from rlready.models.lm import LM
from rlready.tasks import open_task

GOAL = Goal("sampling 64 x 64, embedded model: Hugging Face generate's seconds per token over rlready's", ">= 6")
RESPONSE = 80


def generate(lm: LM, prompts: Sequence[list[int]], rows: int, most: int) -> int:
    """Sample once for every prompt; the number of tokens up to and with the end of each response."""
    import torch
    from transformers import GenerationConfig

    stops = sorted(lm.stop_ids)
    config = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=most, eos_token_id=stops, pad_token_id=0
    )
    ordered, tokens = sorted(prompts, key=len), 0
    for at in range(0, len(ordered), rows):
        batch = ordered[at : at + rows]
        padded: Any = lm.tokenizer.pad({"input_ids": batch}, padding_side="left", return_tensors="pt")
        out = lm.model.generate(**padded, generation_config=config)[:, padded["input_ids"].shape[1] :]
        ended = torch.isin(out, torch.tensor(stops)).long().cumsum(1)
        tokens += int((ended == 0).sum() + (ended.max(1).values > 0).sum())
    return tokens


def run(quick: bool) -> list[Row]:
    problems, samples, rounds = (4, 8, 1) if quick else (64, 64, 3)
    lm = load("embedded")
    task = open_task(f"{DEMO_TASK}&split=test&seed=7", limit=problems)
    requests = requests_for(lm, task.problems(), samples, Budget(None, RESPONSE))
    prompts = [list(r.prompt_ids) for r in requests]
    engine = TorchEngine(lm, forcing_for(lm))

    def ours() -> float:
        return float(sum(len(s.tokens) for s in engine.sample(requests, temperature=1.0, seed=0)))

    def trial(rows: int) -> float:
        lap = timed(lambda: generate(lm, prompts[: rows if quick else 512], rows, RESPONSE))
        return lap.seconds / lap.work

    rows = min((16, 32) if quick else (256, 512), key=trial)
    duel = Duel(warm=0, tolerance=0.5 if quick else 0.02)
    engine.sample(requests[:32], temperature=1.0, seed=0)  # warms up
    for _ in range(rounds):
        duel.run("ours", ours)
        duel.run("theirs", lambda: generate(lm, prompts, rows, RESPONSE))
    ratios, found = duel.ratios(), duel.details()
    bound = at_peak(median(ratios), found["ours_seconds"], 2e-9 * multiplied(lm.model) * found["ours_tokens"])
    return [GOAL.row(ratios, **found, generate_rows=rows, at_peak=bound)]


if __name__ == "__main__":
    main([GOAL], run)
