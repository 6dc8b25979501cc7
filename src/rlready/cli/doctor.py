"""``rlready doctor``: what this machine can run, with which memory and speed, and what is missing.

No weights are loaded: shapes come from the configuration and the headers of the weight files, speeds from a short
measurement of this machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rlready.cli.doctor_checks import machine_checks, model_checks
from rlready.core.compiled import can_compile
from rlready.core.config import DoctorConfig
from rlready.core.memory_plan import Machine, Recipe, Shape, Work, memory_of, step_seconds
from rlready.core.presets import ModelTraits, preset
from rlready.core.timing import copy_peak, gemm_peak
from rlready.models.checkpoint import load_without_weights
from rlready.models.llama.support import head_width, supports
from rlready.models.lm import LM
from rlready.models.preset import best_device, model_traits
from rlready.report.doctor_result import GIB, Check, DoctorResult, JobPlan, Speed
from rlready.runs.provenance import accelerators, host, threads
from rlready.runs.run import Run


def doctor(config: DoctorConfig, out: Path | None = None) -> DoctorResult:
    """Examine this machine and, if one is named, a checkpoint; with ``out`` the result is written into a run folder.

    Raises UserError for a checkpoint that no command could load, as that command would.
    """
    if out is None:
        return _examined(config)
    with Run(out, "doctor", config) as run:
        if run.finished:
            return run.stored(DoctorResult)
        result = _examined(config)
        run.claim()
        run.write_result(result)
        return result


def shape_of(lm: LM) -> Shape:
    """The shape of a model, whose weights are not needed; of a mixture of experts, the MLP that a token passes."""
    config = lm.model.config.get_text_config()
    width = head_width(config)
    mlp = getattr(config, "moe_intermediate_size", None) or getattr(config, "intermediate_size", 4 * config.hidden_size)
    return Shape(
        parameters=sum(p.numel() for p in lm.model.parameters()),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        query=config.num_attention_heads * width,
        key=(getattr(config, "num_key_value_heads", None) or config.num_attention_heads) * width,
        mlp=mlp * (getattr(config, "num_experts_per_tok", None) or 1),
        vocabulary=lm.vocabulary,
    )


def _examined(config: DoctorConfig) -> DoctorResult:
    lm = load_without_weights(config.model) if config.model else None
    traits = model_traits(config.model) if lm else ModelTraits(0, 0, thinks=False)
    device = config.device if config.device != "auto" else "cpu" if traits.embedded else best_device()
    speed = _speed(device, str(preset("sft", traits, device)["dtype"]))
    machine = list(machine_checks(device))
    if lm is None:
        headline = f"{_place(speed)}{_lacking(machine)}."
        return DoctorResult(headline=headline, machine=machine, checkpoint=[], speed=speed, work="", plans=[])
    response = config.response_tokens or sum(
        _number(each, traits, device) for each in ("thinking_budget", "max_answer_tokens")
    )
    work = Work(config.prompts_per_step, config.prompts_per_step * config.group_size, config.prompt_tokens, response)
    length = work.prompt_tokens + response
    batch = max(1, _number("tokens_per_batch", traits, device) // length)
    checkpoint = list(model_checks(lm, device, length))
    plans = list(_plans(config, lm, work, batch, speed))
    fitting = [plan.job for plan in plans if plan.fits]
    fit = f"memory is enough for {', '.join(fitting) if fitting else 'nothing'} (estimated)"
    if length > lm.context:
        fit = f"no sequence of {length:,} tokens fits its context of {lm.context:,}"
    return DoctorResult(
        headline=f"{config.model} on {_place(speed)}: {fit}{_lacking([*machine, *checkpoint])}.",
        next_command=shlex.join(["rlready", "readiness", config.model, "problems=problems.jsonl"]),
        machine=machine,
        checkpoint=checkpoint,
        speed=speed,
        work=f"{work.prompts} prompts x {config.group_size} samples, {work.prompt_tokens:,} + {response:,} tokens; "
        f"SFT with {batch} examples of as many",
        plans=plans,
    )


def _number(setting: str, traits: ModelTraits, device: str) -> int:
    """What the preset of a model has for a setting of RL or SFT; 0 if it has nothing."""
    found = (preset("sft", traits, device) | preset("rl", traits, device)).get(setting, 0)
    return found if isinstance(found, int) else 0


def _speed(device: str, dtype: str) -> Speed:
    """Measured in about a second."""
    kind, gpus = device.partition(":")[0], accelerators()
    index = int(device.partition(":")[2] or 0)
    return Speed(
        gpu=kind == "cuda",
        device=gpus[index].model if kind == "cuda" else host().cpu,
        dtype=dtype,
        memory_bytes=gpus[index].memory_bytes if kind == "cuda" else host().memory_bytes,
        gflops=gemm_peak(device=device, bfloat16=dtype == "bfloat16"),
        copied=copy_peak(device=device),
    )


def _plans(config: DoctorConfig, lm: LM, work: Work, batch: int, speed: Speed) -> Iterator[JobPlan]:
    """Sampling, then SFT and RL with all weights and with a LoRA adapter."""
    bfloat16, gpu, fast = speed.dtype == "bfloat16", speed.gpu, supports(lm.model)
    machine = Machine(speed.memory_bytes, 1e9 * speed.gflops, 1e9 * speed.copied, gpu, can_compile(), threads() or 1)
    engine = "fast decoder" if fast else "forward pass"
    learner = "fast learner" if fast and not gpu else "plain learner"
    shape, examples = shape_of(lm), Work(batch, batch, work.prompt_tokens, work.response_tokens)
    plain = Recipe("sampling", bfloat16, fast=fast, microbatch=config.max_tokens_per_microbatch)
    yield _plan(engine, shape, work, plain, machine)
    for rank in dict.fromkeys([0, config.lora_r]):
        yield _plan(learner, shape, examples, replace(plain, job="sft", lora_r=rank), machine)
        yield _plan(f"{engine}, {learner}", shape, work, replace(plain, job="rl", lora_r=rank), machine)


def _plan(by: str, shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> JobPlan:
    needed, seconds = memory_of(shape, work, recipe, machine).peak, step_seconds(shape, work, recipe, machine)
    tokens = work.tokens if recipe.job == "sft" else work.samples * work.response_tokens
    fits = needed <= machine.memory
    return JobPlan(
        job=recipe.job + (f" lora_r={recipe.lora_r}" if recipe.lora_r else ""),
        by=by,
        bytes=needed,
        fits=fits,
        change="" if fits else _change(shape, work, recipe, machine),
        tokens_per_second=tokens / seconds,
        seconds_per_step=seconds,
    )


def _change(shape: Shape, work: Work, recipe: Recipe, machine: Machine) -> str:
    """The settings with which a job that trains fits, those that change least first; "" if it does not with any."""
    if recipe.job == "sampling":
        return ""
    micro = max(work.prompt_tokens + work.response_tokens, recipe.microbatch // 4)
    less = replace(recipe, microbatch=micro)
    least = replace(less, gradient_checkpointing=True)
    ways = {
        f"max_tokens_per_microbatch={micro}": less,
        "gradient_checkpointing=true": replace(recipe, gradient_checkpointing=True),
        f"gradient_checkpointing=true max_tokens_per_microbatch={micro}": least,
    }
    if machine.gpu and not recipe.lora_r:
        ways |= {
            f"gradient_checkpointing=true distributed=fsdp on {n} GPUs": replace(least, shards=n) for n in (2, 4, 8)
        }
    fitting = (way for way, other in ways.items() if memory_of(shape, work, other, machine).peak <= machine.memory)
    return next(fitting, "")


def _place(speed: Speed) -> str:
    return f"{speed.device}, {speed.memory_bytes / GIB:.3g} GiB"


def _lacking(checks: Sequence[Check]) -> str:
    names = [check.name for check in checks if check.status == "missing"]
    return f"; missing or too small: {', '.join(names)}" if names else "; nothing is missing"
