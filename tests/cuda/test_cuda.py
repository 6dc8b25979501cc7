"""A CUDA GPU gives what a CPU does, up to rounding: `pytest tests/cuda` where there is one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlready.core.config import RLConfig
from rlready.core.device import out_of_memory
from rlready.engine.graph import GraphDecoder
from rlready.engine.llama import LlamaWeights
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models import scoring
from rlready.models.batch import supervised
from rlready.models.checkpoint import load
from rlready.models.logprob import token_logprobs
from rlready.runs.log import read_log
from rlready.train.learner import PlainLearner
from rlready.train.mismatch import Mismatch
from test_engine import FAST, largest_difference
from test_engine_contract import BUDGETS, problems, tokens
from test_learner import SETTINGS, sft_loss, weighted, worked
from tiny import tiny_lm, tiny_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


@pytest.mark.parametrize("name", FAST)
def test_graphs_equal_the_model(name: str) -> None:
    family, changes = FAST[name]
    model = tiny_model(family, 1, **changes).cuda()
    with torch.no_grad():
        assert largest_difference(GraphDecoder(LlamaWeights(model), 3), model) <= 1e-4


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_samples_are_those_of_a_cpu(budget: object, fast: bool) -> None:
    found = []
    for device in ("cpu", "cuda"):
        lm = tiny_lm()
        lm.model.to(device)
        forcing = forcing_for(lm, "Wait" if budget.num_waits else "")  # type: ignore[attr-defined]
        requests = requests_for(lm, problems(8), 8, budget)  # type: ignore[arg-type]
        with TorchEngine(lm, forcing, fast=fast) as engine:
            found.append(engine.sample(requests, temperature=1.1, seed=0))
    assert tokens([(None, s) for s in found[0]]) == tokens([(None, s) for s in found[1]])  # type: ignore[list-item]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("kept", [1 << 20, 0])
def test_logprobs_and_gradients_are_those_of_a_cpu(
    temperature: float, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the probabilities are computed again, and in chunks."""
    monkeypatch.setattr(scoring, "_elements", lambda hidden: (3 * 138, kept))
    found = []
    for device in ("cpu", "cuda"):
        lm = load("embedded", device=device)
        logprobs_N, entropy_N = token_logprobs(lm.model, worked(lm, 4), temperature)
        (logprobs_N.exp() * torch.linspace(1, 2, len(logprobs_N), device=device)).sum().backward()
        gradients = [p.grad.cpu() for p in lm.model.parameters() if p.grad is not None]
        found.append([logprobs_N.detach().cpu(), entropy_N.detach().cpu(), *gradients])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_layers_in_bfloat16_learn_as_float32_does(recompute: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlready.core.compiled.WORTH", 0)
    gradients = []
    for bfloat16 in (False, True):
        lm = load("embedded", device="cuda")
        settings = replace(SETTINGS, gradient_checkpointing=recompute)
        learner = PlainLearner(lm, settings, bfloat16=bfloat16)
        learner.backward(weighted(worked(lm, 24)), sft_loss, 1.0)
        gradients.append(torch.cat([p.grad.flatten() for p in learner.parameters if p.grad is not None]))
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert cosine > 0.995
    assert not torch.equal(*gradients)


def test_the_engine_in_bfloat16_is_close_to_the_learner() -> None:
    lm = load("embedded", device="cuda")
    learner = PlainLearner(lm, SETTINGS, bfloat16=True)
    forcing = forcing_for(lm)
    requests = requests_for(lm, problems(8), 8, BUDGETS[0])
    with TorchEngine(lm, forcing, bfloat16=True) as engine:
        samples = engine.sample(requests, temperature=1.0, seed=0)
    rows = [
        replace(supervised(r.prompt_ids, s.tokens.tolist()), mask=s.mask)
        for r, s in zip(requests, samples, strict=True)
    ]
    with torch.no_grad():
        ours, _ = learner.logprobs(lm.model, rows, 1.0)
    theirs = np.concatenate([s.logprobs[s.mask.astype(bool)] for s in samples])
    assert Mismatch.between(ours, torch.from_numpy(theirs).cuda()).mean < 0.03


def test_sft_and_rl_run_on_the_gpu(tmp_path: Path) -> None:
    """By the command line, with the settings that a GPU has by default, and the time of the GPU in the log."""
    shared = ["device=cuda", "dtype=bfloat16"]
    task = "dagmath?ops=5&asked=3"
    runs = {
        "sft": [f"rows={task}&split=train&n=64&seed=1", f"heldout={task}&split=test&n=16&seed=2", "epochs=1"],
        "rl": [
            "model=" + str(tmp_path / "sft" / "checkpoints" / "last"),
            f"problems={task}&split=train&n=64&seed=3",
            f"validation={task}&split=test&n=16&seed=4",
            "steps=3",
            "eval_every=3",
            "prompts_per_step=4",
            "gradient_checkpointing=true",
        ],
    }
    for verb, words in runs.items():
        if verb == "rl":
            (last,) = sorted((tmp_path / "sft" / "checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))[-1:]
            words[0] = f"model={last}"
        argv = [sys.executable, "-m", "rlready", verb, *words, *shared, "--out", str(tmp_path / verb)]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        lines = [line for line in read_log(tmp_path / verb / "log.jsonl") if "seconds" in line]
        spent = {"sft": "seconds_backward", "rl": "seconds_decode"}[verb]  # RL may find no informative group
        assert all(line[spent] > 0 and line["gflops_peak"] > 1000 for line in lines)


def test_a_full_gpu_is_one_line() -> None:
    with pytest.raises(torch.OutOfMemoryError) as error:
        torch.empty(1 << 50, device="cuda")
    assert out_of_memory(error.value, RLConfig()).startswith("GPU memory is full: lower max_tokens_per_microbatch from")
