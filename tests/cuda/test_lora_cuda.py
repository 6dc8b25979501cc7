"""LoRA on a CUDA GPU: a base in bfloat16, an adapter in float32, and samples of the model that is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rlready.core.records import Problem
from rlready.engine.protocol import budget_for, forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models.batch import supervised
from rlready.models.checkpoint import load, load_adapted, save
from rlready.models.lora import Lora
from rlready.train.fast_learner import make_learner
from rlready.train.learner import OptimizerSettings
from test_learner import sft_loss
from tiny import tiny_lm

pytest.importorskip("peft")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
ROWS = [supervised([1, 5, 6, 7], [8, 9, 10, 2]), supervised([1, 5, 6], [11, 12, 2])]


@pytest.mark.parametrize("fast", [True, False])
def test_an_adapter_is_trained_and_sampled(fast: bool, tmp_path: Path) -> None:
    save(tiny_lm(), tmp_path, "")
    lm = load_adapted(str(tmp_path), Lora(4), device="cuda", dtype="bfloat16")
    assert {p.dtype for p in lm.model.parameters() if p.requires_grad} == {torch.float32}
    learner = make_learner(lm, OptimizerSettings(1e-2), bfloat16=True)
    first, *_, last = [learner.step(ROWS, sft_loss, rate=1.0).loss for _ in range(20)]
    assert last < first - 0.1
    forcing, budget = forcing_for(lm), budget_for(lm, 8, 4)
    engine = TorchEngine(lm, forcing, fast=fast, bfloat16=True)
    requests = requests_for(lm, [Problem("p", "ab", "1")], 16, budget)
    samples = engine.sample(requests, temperature=1.0, seed=0)
    rows = [supervised(r.prompt_ids, s.tokens.tolist()) for r, s in zip(requests, samples, strict=True)]
    chosen = np.concatenate([s.mask for s in samples]) > 0
    drawn = np.concatenate([s.logprobs for s in samples])[chosen]
    with torch.no_grad():
        trained = learner.logprobs(lm.model, rows, 1.0)[0].float().cpu().numpy()[chosen]
        base = learner.logprobs(load(str(tmp_path), device="cuda").model, rows, 1.0)[0].float().cpu().numpy()[chosen]
    assert np.abs(drawn - trained).mean() < 0.03
    assert np.abs(drawn - base).mean() > 0.1
