"""An export for prime-rl (its configuration of August 2026): ``rl.toml``, and a taskset for verifiers 0.4.

prime-rl's loss is its own (DPPO with a KL term to the policy that sampled), and its rollouts may lag behind the policy:
what belongs to the loss of rlready is named as lacking.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import JsonValue

from rlready.core.config import RLConfig
from rlready.core.options import toml_value
from rlready.export.manifest import LAUNCHER, TOKENIZER, Split
from rlready.export.problems import SPLITS, Asked, Content
from rlready.export.readme import Trainer
from rlready.export.translation import (
    Translation,
    lack_budgets,
    lack_common,
    limit_name,
    put_adapter,
    response_limit,
    warmup_steps,
)
from rlready.models.lm import LM
from rlready.train.schedule import BETAS

RL_TOML = "rl.toml"
TASKSET = "rlready_taskset"
OPTIMISER, SAMPLING, EVALUATION = "trainer.optim.", "orchestrator.train.sampling.", "orchestrator.eval."
LOSS = "the loss is prime-rl's own (DPPO)"
CODE = '''"""The problems of a run of rlready rl for verifiers, with its reward; it needs rlready."""

import asyncio
import json
from pathlib import Path

import verifiers.v1 as vf

from rlready.export.reward import ExportedReward, Response

HERE = Path(__file__).resolve().parent
_REWARD = ExportedReward(HERE)
__all__ = ["RlreadyTaskset"]


class RlreadyConfig(vf.TasksetConfig):
    split: str = "train"


class RlreadyData(vf.TaskData):
    split: str
    problem_id: str
    length_target: int


class RlreadyTask(vf.Task[RlreadyData, vf.State, vf.TaskConfig]):
    @property
    def key(self):
        return f"{self.data.split}/{self.data.problem_id}"

    @vf.reward
    async def reward(self, trace):
        """The reward; the verdict is the metric ``correct``."""
        message = trace.assistant_messages[-1] if trace.assistant_messages else None
        thought = getattr(message, "reasoning_content", None)
        text = trace.last_reply
        text = f"{thought}{_REWARD.manifest.closer}{text}" if thought else text
        response = Response(self.data.split, self.data.problem_id, self.data.length_target, text)
        (scored,) = await asyncio.to_thread(_REWARD.score, [response])
        trace.record_metric("correct", float(scored.correct))
        return scored.reward


class RlreadyTaskset(vf.Taskset[RlreadyTask, RlreadyConfig]):
    def load(self):
        with open(HERE / f"{self.config.split}.jsonl", encoding="utf-8") as lines:
            for line in lines:
                yield RlreadyTask(RlreadyData(**json.loads(line)))
'''
LAUNCH = """#!/bin/sh
# in the environment of prime-rl; further settings may follow, such as --deployment.num-train-gpus 2
cd "$(dirname "$0")" && PYTHONPATH="$PWD:$PYTHONPATH" exec rl @ rl.toml "$@"
"""


def translate(t: Translation, lm: LM) -> None:
    """Put the settings of ``rl.toml``."""
    config = t.config
    cap = response_limit(config)
    t.put("algorithm", {"orchestrator.algo.type": "grpo"})
    t.lack("algorithm", f"the advantage is the reward minus the mean of its group; {LOSS}, and rollouts may lag behind")
    for name in ("epsilon", "epsilon_high", "kl_coef", "importance_correction", "importance_cap"):
        t.lack(name, LOSS)
    t.put("steps", {"max_steps": config.steps})
    t.put("prompts_per_step", {"orchestrator.batch_size": config.prompts_per_step * config.group_size})
    if config.updates_per_batch > 1:
        t.lack("updates_per_batch", "a batch is trained on once")
    t.put("group_size", {"orchestrator.group_size": config.group_size})
    t.put(limit_name(config), {SAMPLING + "max_completion_tokens": cap})
    t.put(limit_name(config), {EVALUATION + "sampling.max_completion_tokens": cap})
    t.put("temperature", {SAMPLING + "temperature": config.temperature})
    t.put("temperature", {EVALUATION + "sampling.temperature": config.temperature})
    _put_optimiser(t)
    t.put("eval_every", {EVALUATION + "interval": config.eval_every, "ckpt.interval": config.eval_every})
    t.put("eval_samples", {EVALUATION + "group_size": config.eval_samples})
    if config.save_total_limit:
        t.put("save_total_limit", {"ckpt.keep_last": config.save_total_limit})
        t.lack("save_total_limit", "the newest checkpoints are kept, and not the best one")
    _put_machine(t)
    lack_budgets(t, lm)
    lack_common(t, lm)


def _put_optimiser(t: Translation) -> None:
    config, warm = t.config, warmup_steps(t.config)
    t.put("learning_rate", {OPTIMISER + "lr": config.learning_rate, OPTIMISER + "betas1": BETAS[0]})
    t.put("learning_rate", {OPTIMISER + "betas2": BETAS[1]})
    if warm:
        t.put("learning_rate", {"trainer.scheduler.type": "linear", "trainer.scheduler.warmup_steps": warm})
        t.put("learning_rate", {"trainer.scheduler.decay_steps": 0})
    t.put("weight_decay", {OPTIMISER + "weight_decay": config.weight_decay})
    t.put("max_grad_norm", {OPTIMISER + "max_norm": config.max_grad_norm})
    adapter = "trainer.model.lora."
    put_adapter(t, adapter + "rank", adapter + "alpha", adapter + "target_modules")


def _put_machine(t: Translation) -> None:
    config = t.config
    t.put("max_tokens_per_microbatch", {"trainer.model.seq_len": t.microbatch})  # packed up to it
    if config.gradient_checkpointing:
        t.put("gradient_checkpointing", {"trainer.model.ac.mode": "full"})
    if config.engine == "torch":
        t.lack("engine", "samples are drawn by vLLM")
    if config.dtype == "float32":
        t.lack("dtype", "arithmetic is bfloat16, with float32 for the weights that are trained")
    if config.device != "auto":
        t.lack("device", "training needs GPUs, which the table deployment counts")
    t.lack("seed", "rollouts are not seeded")


def trainer(config: RLConfig) -> Trainer:
    """prime-rl, as the README of the export names it."""
    return Trainer(
        "prime-rl",
        "git checkout 559b447 && uv sync --all-extras && . .venv/bin/activate  # August 2026; in a clone of prime-rl",
        RL_TOML,
        reward=f"{TASKSET}.py",
        note="By default it needs two GPUs, one to train and one to sample.",
        pip="uv pip",
    )


def files(t: Translation, model: str, lm: LM, asked: Sequence[Asked]) -> dict[str, Content]:
    """The files by name: problems, taskset, settings and launcher; ``model`` is a path or an id."""
    found: dict[str, Content] = {}
    for split in SPLITS:
        rows = (_row(each) for each in asked if each.split == split)
        found[f"{split}.jsonl"] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    values: dict[str, JsonValue] = {
        "model.name": model,
        "tokenizer.name": TOKENIZER,
        "orchestrator.renderer.name": "default",  # by the chat template
        "output_dir": "outputs",
        "orchestrator.seq_len": t.longest_sequence,  # the shared seq_len would be refused beside the trainer's
        "inference.vllm.max_model_len": t.longest_sequence,
        **t.values(),
        "orchestrator.train.source": [_source("train")],
        "orchestrator.eval.source": [_source("validation")],
    }
    settings = "".join(f"{name} = {toml_value(value)}\n" for name, value in values.items())
    return found | {RL_TOML: settings, f"{TASKSET}.py": CODE, LAUNCHER: LAUNCH}


def _source(split: Split) -> JsonValue:
    agent: JsonValue = {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}}
    return {"name": split, "env": {"taskset": {"id": TASKSET, "split": split}, "agent": agent}}


def _row(asked: Asked) -> dict[str, object]:
    return {
        "prompt": asked.messages,
        "split": asked.split,
        "problem_id": asked.problem.id,
        "length_target": asked.target,
    }
