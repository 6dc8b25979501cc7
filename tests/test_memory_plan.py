"""The formulas of memory and time, and the page that quotes them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlready.core import memory_plan as plan
from rlready.core import threads
from rlready.core.memory_plan import KEPT, Machine, Recipe, Shape, Work, memory_of, sampling_seconds, update_seconds
from rlready.engine import torch as torch_engine
from rlready.models import scoring
from rlready.models.batch import supervised
from rlready.models.llama.logprob import packed_logprobs
from tiny import tiny_model

ROOT = Path(__file__).parents[1]
QWEN = Shape(596_049_920, 28, 1024, 2048, 1024, 3072, 151_936)  # Qwen3-0.6B
SMOL = Shape(134_515_008, 30, 576, 576, 192, 1536, 49_152)  # SmolLM2-135M
H200 = Machine(141 * 10**9, 0.75 * 989e12, 0.85 * 4.8e12, gpu=True)
CPU = Machine(24 << 30, 194.5e9, 20e9, gpu=False, threads=2)
STEP, SMALL, SHORT = Work(16, 256, 256, 1024), Work(4, 32, 75, 128), Work(4, 32, 92, 64)
RECIPE, LITTLE = Recipe("rl", bfloat16=True, microbatch=20_480), Recipe("rl", bfloat16=False, microbatch=1024)


def test_the_constants_of_the_formulas_are_those_of_the_code() -> None:
    """The formulas do without torch, which the places that they describe import."""
    rows, of_gpu, of_cpu = torch_engine.BATCH_SIZE, torch_engine.CACHE_SHARE, torch_engine.CACHE_BYTES
    assert (rows, of_gpu, of_cpu) == (plan.ROWS, plan.CACHE_SHARE, plan.CPU_CACHE)
    assert (plan.GPU_LOGITS, plan.CPU_LOGITS) == (scoring.GPU_KEPT, 4 * scoring.KEPT_ELEMENTS)
    assert (plan.GPU_CHUNK, plan.CPU_CHUNK) == (scoring.GPU_CHUNKS, 4 * scoring.CHUNK_ELEMENTS)
    assert (plan.THREAD_GRADIENTS, plan.THREAD_TOKENS) == (threads.GRADIENTS, threads.SPLIT_TOKENS)


def test_the_page_has_the_table_of_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_scale

    text = make_scale.PAGE.read_text(encoding="utf-8")
    assert make_scale.table() in text, f"run {make_scale.__file__}"


def test_the_page_says_how_far_off_the_formulas_were() -> None:
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| ([\d.]+) \| ([\d.]+) \| ([+-]\d+) % \|$", text, re.MULTILINE)
    computed = [
        memory_of(QWEN, STEP, RECIPE, H200).peak / 2**30,
        sampling_seconds(QWEN, STEP, RECIPE, H200),
        update_seconds(QWEN, STEP, RECIPE, H200),
        memory_of(SMOL, SHORT, LITTLE, CPU).peak / 2**30,
        memory_of(SMOL, SHORT, replace(LITTLE, lora_r=16), CPU).peak / 2**30,
        sampling_seconds(SMOL, SMALL, LITTLE, CPU),
        update_seconds(SMOL, SMALL, LITTLE, CPU),
        sampling_seconds(SMOL, Work(2, 16, 64, 64), LITTLE, replace(CPU, flops=100.5e9, bandwidth=8.04e9)),
    ]
    assert [float(row[1]) for row in rows] == pytest.approx(computed, rel=0.005)
    assert [int(row[2]) for row in rows] == [round(100 * (float(b) / float(a) - 1)) for a, b, _ in rows]


def kept(family: str, kind: str, layers: int, tokens: int, **sizes: int) -> int:
    """Bytes that the forward pass of a tiny model keeps for its backward pass, weights left out."""
    model = tiny_model(family, vocab_size=64, num_hidden_layers=layers, **sizes)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, torch.Tensor] = {}

    def pack(saved: torch.Tensor) -> torch.Tensor:
        if saved.untyped_storage().data_ptr() not in weights:
            found[saved.untyped_storage().data_ptr()] = saved
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        if kind == "fast":
            packed_logprobs(model, [supervised([1] * 4, [2] * (tokens - 4))], 1.0)
        else:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bfloat16"):
                model.model(input_ids=torch.ones(1, tokens, dtype=torch.long), use_cache=False)
    return sum(saved.untyped_storage().nbytes() for saved in found.values())


@pytest.mark.usefixtures("one_thread")  # as the fast learner runs, whose kernels keep less
@pytest.mark.parametrize("kind", ["fast", "float32", "bfloat16"])
def test_activations_are_those_that_a_pass_keeps(kind: str) -> None:
    """Of Qwen3, whose queries and keys have norms; Llama keeps less of them."""
    sizes = {"hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4, "num_key_value_heads": 2}

    def of_layer_and_token(family: str) -> float:
        def grows(layers: int) -> int:
            more, less = (kept(family, kind, layers, tokens, head_dim=16, **sizes) for tokens in (128, 64))
            return more - less

        return (grows(3) - grows(2)) / 64

    numbers = (64, 64, 32, 192)
    formula = sum(each * count for each, count in zip(KEPT[kind], numbers, strict=True))
    assert of_layer_and_token("Qwen3") == pytest.approx(formula, rel=0.05)
    assert 0.7 * formula < of_layer_and_token("Llama") < formula


def test_memory_follows_the_settings() -> None:
    whole = memory_of(QWEN, STEP, RECIPE, H200)
    held = whole.weights + whole.gradients + whole.moments
    assert held == 16 * QWEN.parameters
    sharded = memory_of(QWEN, STEP, replace(RECIPE, shards=8), H200)
    assert sharded.weights + sharded.gradients + sharded.moments == held / 8
    assert sharded.copy == whole.copy == 2 * QWEN.parameters
    lora = memory_of(QWEN, STEP, replace(RECIPE, lora_r=16), H200)
    assert lora.weights + lora.gradients + lora.moments < 0.2 * held
    checkpointed = memory_of(QWEN, STEP, replace(RECIPE, gradient_checkpointing=True), H200)
    assert checkpointed.activations < 0.25 * whole.activations
    tokens = STEP.samples * STEP.response_tokens + STEP.prompts * STEP.prompt_tokens
    assert whole.cache == tokens * 2 * 28 * 1024 * 2  # keys and values, bfloat16; a prompt counts once
    crowded = memory_of(QWEN, STEP, RECIPE, replace(H200, memory=24 * 10**9))
    assert crowded.cache < (24 * 10**9 - crowded.weights - crowded.moments) / 2
    few = replace(RECIPE, microbatch=64)  # sequences are longer and never divided
    one = replace(RECIPE, microbatch=STEP.prompt_tokens + STEP.response_tokens)
    assert memory_of(QWEN, STEP, few, H200) == memory_of(QWEN, STEP, one, H200)
