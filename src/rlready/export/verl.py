"""An export for verl 0.9.1: ``launch.sh`` with overrides of its ``ppo_trainer`` configuration, Parquet, and a reward.

Advantages and normalisers are those of `credit.algorithms`: ``seq-mean-token-mean`` is GRPO's, ``token-mean`` DAPO's,
and ``seq-mean-token-sum-norm`` with the limit of a response as scale Dr. GRPO's.  verl's second clip of negative
advantages (``clip_ratio_c``) is set where it never acts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from pydantic import JsonValue

from rlready.core.config import RLConfig
from rlready.export.manifest import LAUNCHER, TOKENIZER, is_relative
from rlready.export.problems import SPLITS, Asked, Content
from rlready.export.readme import Trainer
from rlready.export.translation import (
    Translation,
    clip_range,
    lack_budgets,
    lack_common,
    limit_name,
    put_adapter,
    response_limit,
    warmup_steps,
)
from rlready.models.lm import LM
from rlready.train.schedule import BETAS

ACTOR, ROLLOUT = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
LOSS: dict[str, tuple[str, bool, str]] = {  # estimator, division by the standard deviation, normaliser
    "grpo": ("grpo", True, "seq-mean-token-mean"),
    "dr_grpo": ("grpo", False, "seq-mean-token-sum-norm"),
    "rloo": ("rloo", False, "seq-mean-token-sum-norm"),
    "dapo": ("grpo", True, "token-mean"),
}
PLAIN = re.compile(r"[\w./:@+-]+")  # values that Hydra reads without quotes
ESCAPING = re.compile(r"(\\+)(?='|\$\{|$)")
NEVER = 1e6  # a bound that no ratio reaches
REWARD = '''"""The verdict of rlready's verifier on a response, with the length reward of the run; it needs rlready."""

from pathlib import Path

from rlready.export.reward import ExportedReward, Response

_REWARD = ExportedReward(Path(__file__).resolve().parent)


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """verl's reward function; ``acc`` is the verdict."""
    info = extra_info or {}
    response = Response(info["split"], info["problem_id"], info["length_target"], solution_str)
    (scored,) = _REWARD.score([response])
    return {"score": scored.reward, "acc": float(scored.correct)}
'''
LAUNCH = r"""#!/bin/sh
# GPUS is the number of GPUs; further overrides may follow the command, such as trainer.nnodes=2
HERE=$(cd "$(dirname "$0")" && pwd)
# the folder in Hydra's quotes, as it may have a sign that Hydra reads, such as "="
QUOTED=$(printf %s "$HERE" | sed -e "s/\(\\\\*\)'/\1\1\\\\'/g" -e 's/\(\\*\)\${{/\1\1\\${{/g')
export VERL_FILE_LOGGER_PATH="$HERE/outputs/log-$(date -u +%Y%m%d-%H%M%S).jsonl"
mkdir -p "$HERE/outputs"
exec python -m verl.trainer.main_ppo \
{overrides}
    "$@"
"""
PLACES = {  # of files in the export
    "data.train_files": "train.parquet",
    "data.val_files": "validation.parquet",
    "actor_rollout_ref.model.tokenizer_path": TOKENIZER,
    "reward.custom_reward_function.path": "reward.py",
    "trainer.default_local_dir": "outputs",
    "trainer.rollout_data_dir": "outputs/rollouts",
    "trainer.validation_data_dir": "outputs/validation",
}
OWN: dict[str, JsonValue] = {  # what is the same in every export
    "reward.custom_reward_function.name": "compute_score",
    "trainer.logger": ["console", "file"],
    "trainer.project_name": "rlready",
    "trainer.experiment_name": "export",
    ROLLOUT + "tensor_model_parallel_size": 1,
}


def translate(t: Translation, lm: LM) -> None:
    """Put the overrides."""
    config = t.config
    estimator, by_deviation, normaliser = LOSS[config.algorithm]
    clip, cap = clip_range(config), response_limit(config)
    t.put("algorithm", {"algorithm.adv_estimator": estimator, "algorithm.norm_adv_by_std_in_grpo": by_deviation})
    t.put("algorithm", {ACTOR + "loss_agg_mode": normaliser})
    if normaliser == "seq-mean-token-sum-norm":
        t.put("algorithm", {ACTOR + "loss_scale_factor": cap})
    t.put("epsilon", {ACTOR + "clip_ratio_low": clip.low})
    t.put("epsilon_high", {ACTOR + "clip_ratio_high": clip.high, ACTOR + "clip_ratio_c": NEVER})
    t.put("kl_coef", {ACTOR + "use_kl_loss": config.kl_coef > 0})
    if config.kl_coef:
        t.put("kl_coef", {ACTOR + "kl_loss_coef": config.kl_coef, ACTOR + "kl_loss_type": "low_var_kl"})
    # an epoch has at least one step
    t.put("steps", {"trainer.total_training_steps": config.steps, "trainer.total_epochs": config.steps})
    batch = config.prompts_per_step
    t.put("prompts_per_step", {"data.train_batch_size": batch, ACTOR + "ppo_mini_batch_size": batch})
    t.put("updates_per_batch", {ACTOR + "ppo_epochs": config.updates_per_batch})
    t.put("group_size", {ROLLOUT + "n": config.group_size})
    t.put(limit_name(config), {"data.max_response_length": cap})
    t.put("temperature", {ROLLOUT + "temperature": config.temperature, ROLLOUT + "top_p": 1.0, ROLLOUT + "top_k": -1})
    t.put("seed", {"data.seed": config.seed, ROLLOUT + "seed": config.seed})
    _put_optimiser(t)
    _put_evaluation(t)
    _put_machine(t)
    lack_budgets(t, lm)
    lack_common(t, lm)


def _put_optimiser(t: Translation) -> None:
    config, optimiser = t.config, ACTOR + "optim."
    t.put("learning_rate", {optimiser + "lr": config.learning_rate, optimiser + "lr_scheduler_type": "constant"})
    t.put("learning_rate", {optimiser + "lr_warmup_steps": warmup_steps(config), optimiser + "betas": list(BETAS)})
    t.put("weight_decay", {optimiser + "weight_decay": config.weight_decay})
    t.put("max_grad_norm", {ACTOR + "grad_clip": config.max_grad_norm, optimiser + "clip_grad": config.max_grad_norm})
    model = "actor_rollout_ref.model."
    put_adapter(t, model + "lora_rank", model + "lora_alpha", model + "target_modules")


def _put_evaluation(t: Translation) -> None:
    config, validation = t.config, ROLLOUT + "val_kwargs."
    t.put("eval_every", {"trainer.test_freq": config.eval_every, "trainer.save_freq": config.eval_every})
    t.put("eval_samples", {validation + "n": config.eval_samples, validation + "do_sample": True})
    t.put("temperature", {validation + "temperature": config.temperature})
    if config.save_total_limit:
        t.put("save_total_limit", {"trainer.max_actor_ckpt_to_keep": config.save_total_limit})
        t.lack("save_total_limit", "the newest checkpoints are kept, and not the best one")


def _put_machine(t: Translation) -> None:
    config = t.config
    corrected = None if config.importance_correction == "none" else config.importance_correction
    t.put("importance_correction", {"algorithm.rollout_correction.rollout_is": corrected})
    if corrected:
        t.put("importance_cap", {"algorithm.rollout_correction.rollout_is_threshold": config.importance_cap})
    t.put(
        "max_tokens_per_microbatch",
        {ACTOR + "use_dynamic_bsz": True, ACTOR + "ppo_max_token_len_per_gpu": t.microbatch},
    )
    recompute = config.gradient_checkpointing
    t.put("gradient_checkpointing", {"actor_rollout_ref.model.enable_gradient_checkpointing": recompute})
    t.put("engine", {ROLLOUT + "name": "vllm"})
    if config.engine == "torch":
        t.lack("engine", "samples are drawn by vLLM")
    if config.dtype == "float32":
        t.lack("dtype", "arithmetic is bfloat16, with float32 for the weights that are trained")
    if config.device != "auto":
        t.lack("device", "training needs GPUs, which trainer.n_gpus_per_node and CUDA_VISIBLE_DEVICES choose")


def trainer(config: RLConfig) -> Trainer:
    """verl, as the README of the export names it."""
    note = "It takes one GPU, or as many as `GPUS` says: `GPUS=8 sh launch.sh`."
    return Trainer("verl 0.9.1", "pip install 'verl[vllm]==0.9.1'", LAUNCHER, note=note)


def files(t: Translation, model: str, lm: LM, asked: Sequence[Asked]) -> dict[str, Content]:
    """The files by name: problems, reward and launcher; ``model`` is an id or a path, also one from the export's folder
    (`is_relative`)."""
    found: dict[str, Content] = {}
    for split in SPLITS:
        mine = [each for each in asked if each.split == split]
        found[f"{split}.parquet"] = [_row(index, each, t.config) for index, each in enumerate(mine)]
    values: dict[str, JsonValue] = {"actor_rollout_ref.model.path": model}
    values["data.max_prompt_length"] = t.longest_prompt
    values |= OWN | t.values()
    lines = [f"    {name}={_written(value)}" for name, value in values.items() if name not in PLACES]
    lines += [f"    {name}={_inside(file)}" for name, file in PLACES.items()]
    if is_relative(model):
        lines[0] = f"    actor_rollout_ref.model.path={_inside(model)}"
    lines += ['    trainer.n_gpus_per_node="${GPUS:-1}"']
    launch = LAUNCH.format(overrides="\n".join(f"{line} \\" for line in lines))
    return found | {"reward.py": REWARD, LAUNCHER: launch}


def _row(index: int, asked: Asked, config: RLConfig) -> dict[str, object]:
    source = config.validation if asked.split == "validation" and config.validation else config.problems
    return {
        "data_source": source,
        "prompt": asked.messages,
        "ability": "reasoning",
        "reward_model": {"style": "rule", "ground_truth": asked.problem.answer},
        "extra_info": {
            "split": asked.split,
            "index": index,
            "problem_id": asked.problem.id,
            "length_target": asked.target,
        },
    }


def _inside(file: str) -> str:
    """A path from the export's folder as Hydra reads it, for the shell of `LAUNCH`."""
    return '"\'$QUOTED"' + shlex.quote(f"/{_escaped(file)}'")


def _written(value: JsonValue) -> str:
    """A value as Hydra reads it, quoted for the shell."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return shlex.quote(f"[{','.join(map(_hydra, value))}]")
    return shlex.quote(_hydra(value))


def _hydra(value: JsonValue) -> str:
    """A value in Hydra's quotes, in which a backslash counts before a quote, an interpolation and the end alone."""
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        return f"'{_escaped(value)}'"
    return str(value)


def _escaped(value: str) -> str:
    return ESCAPING.sub(r"\1\1", value).replace("'", r"\'").replace("${", r"\${")
