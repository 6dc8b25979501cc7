"""How close the update and decoding come to the machine's matrix products: `python bench/gflops.py`.

Six million parameters, 16 x 16 responses of 48 tokens to prompts of 64.  The count is of the operations that the
mathematics needs, a multiply-add being two: every token that is fed, shared prompts once, through
all layers, the head where a token is scored or drawn, and attention over the tokens that may be seen; backward counts
twice forward.  What the update leaves out is not counted: the first layer's queries, keys and values of equal tokens,
and what follows the last layer's keys and values where no scored token depends on it.  The time includes everything:
prefill, sampling, the loss, clipping and the optimiser.  The peak is a square fp32 product with all threads, measured
in the same round.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from common import Goal, Row, main
from grpo import Work, six_million, trainer
from rlready.core.timing import gemm_peak, multiplied
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.assign import credit
from rlready.engine.protocol import requests_for
from rlready.engine.rollout import draw_groups
from rlready.engine.torch import TorchEngine

UPDATE = Goal("update, 6 M parameters, share of the matrix-product peak", ">= 0.65")
DECODE = Goal("sampling at batch 256, 6 M parameters, share of the matrix-product peak", ">= 0.45")


def gigaflops(work: Work, model: Any) -> float:
    """Of one forward pass over all prompts and responses; the last token of a response is not fed."""
    prompt, response, rows = (work.prompt_words or 0) + 2, work.response or 0, work.prompts * work.group
    config = model.config
    head = config.vocab_size * config.hidden_size
    fed = work.prompts * prompt + rows * (response - 1)
    seen = work.prompts * prompt * (prompt + 1) / 2 + rows * sum(prompt + t for t in range(1, response))
    attention = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * seen
    return float(2e-9 * ((multiplied(model) - head) * fed + head * rows * response + attention))


def left_out(work: Work, model: Any) -> float:
    """GFLOP that the update's forward pass skips; in the last layer one token of a prompt is a query.

    The few distinct tokens of the first layer are not counted.
    """
    prompt, response, rows = (work.prompt_words or 0) + 2, work.response or 0, work.prompts * work.group
    layer = model.model.layers[0]
    q, k, v, o, mlp = (
        sum(p.numel() for p in part.parameters())
        for part in (*(getattr(layer.self_attn, f"{name}_proj") for name in "qkvo"), layer.mlp)
    )
    fed, unasked = work.prompts * prompt + rows * (response - 1), work.prompts * (prompt - 1)
    return float(2e-9 * (fed * (q + k + v) + unasked * (q + o + mlp)))


def run(quick: bool) -> list[Row]:
    rounds = 1 if quick else 4
    decoded, updated, peaks = list[float](), list[float](), list[float]()
    with TemporaryDirectory() as name:
        work = six_million(Path(name), steps=rounds + 1, quick=quick)
        ours = trainer(work, Path(name))
        forward, less = gigaflops(work, ours.lm.model), left_out(work, ours.lm.model)
        for at in range(rounds + 1):
            problems = work.of_step(at)
            requests = requests_for(ours.lm, problems, work.group, ours.budget)
            peaks.append(gemm_peak(512 if quick else 2048))
            begun = time.perf_counter()
            samples = TorchEngine(ours.lm, ours.forcing).sample(requests, temperature=1.0, seed=at)
            decoded.append(forward / (time.perf_counter() - begun))
            drawn: Any = SimpleNamespace(sample=lambda *_, found=samples, **__: found)
            groups = draw_groups(drawn, ours.lm, work.task, problems, requests, temperature=1.0, seed=at)
            if any(len(s.tokens) != work.response for s in samples):
                raise RuntimeError("a response has another length")
            credited = credit(groups, ALGORITHMS["grpo"], cap=work.cap)
            begun = time.perf_counter()
            ours.update(credited, at)
            updated.append(3 * (forward - less) / (time.perf_counter() - begun))
    rows = []
    for goal, found in ((UPDATE, updated[1:]), (DECODE, decoded[1:])):  # the first round warms up
        shares = [f / peak for f, peak in zip(found, peaks[1:], strict=True)]
        rows.append(goal.row(shares, gflops=max(found), gflops_peak=max(peaks)))
    return rows


if __name__ == "__main__":
    main([UPDATE, DECODE], run)
