"""An export for TRL 1.16: ``train.py`` with a GRPOConfig, problems in JSON lines, and a reward function.

The loss is that of `credit.algorithms`, by TRL's names (``tests/oracle`` compares the gradients).  RLOO is Dr. GRPO's
loss with rewards that weigh G/(G − 1): the mean of the other G − 1 responses is subtracted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from rlready.core.config import RLConfig
from rlready.export.manifest import LAUNCHER, is_relative
from rlready.export.problems import SPLITS, Asked, Content, as_text, has_template
from rlready.export.readme import Trainer
from rlready.export.result import Translated
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
from rlready.train.schedule import BETAS, EPSILON

BF16 = "torch.cuda.is_available() and torch.cuda.is_bf16_supported()"
ROWS = "{split}.jsonl"
ADAPTER, ROLLOUT = "LoraConfig.", "BudgetForcedRollout."  # before settings that are not those of GRPOConfig
SCRIPT = "train.py"
LAUNCH = """#!/bin/sh
# on several GPUs: accelerate launch train.py
if [ $# -gt 0 ]; then
    echo "launch.sh takes no arguments: change the settings in train.py" >&2
    exit 2
fi
cd "$(dirname "$0")" && exec python train.py
"""
LOSS: dict[str, tuple[str, str]] = {  # loss_type and scale_rewards
    "grpo": ("grpo", "group"),
    "dr_grpo": ("dr_grpo", "none"),
    "rloo": ("dr_grpo", "none"),
    "dapo": ("dapo", "group"),
}
MODE = {"token": "token_truncate", "sequence": "sequence_truncate"}
REWARD = '''"""The verdict of rlready's verifier on a response, with the length reward of the run; it needs rlready."""

from pathlib import Path

from rlready.export.reward import ExportedReward, Response

_REWARD = ExportedReward(Path(__file__).resolve().parent)


def rlready_reward(
    completion_ids, split, problem_id, length_target, truncated=None, log_extra=None, log_metric=None, **_
):
    """TRL's reward function: one reward for each completion; ``response`` is logged with its special tokens.

    ``truncated`` is a column of budget-forced rollouts.
    """
    columns = zip(split, problem_id, length_target, completion_ids, truncated or [False] * len(split), strict=True)
    scored = _REWARD.score([Response(s, p, n, tokens=ids, truncated=cut) for s, p, n, ids, cut in columns])
    if log_extra:
        log_extra("problem_id", list(problem_id))
        log_extra("response", [each.text for each in scored])
    if log_metric:
        log_metric("accuracy", sum(each.correct for each in scored) / len(scored))
    return [each.reward for each in scored]
'''
HEAD = '''"""GRPO by TRL with the settings of a run of rlready rl; the comments are the names that they have there."""

import json
import os
from pathlib import Path

import torch
from datasets import Dataset
from reward import rlready_reward
from transformers import AutoTokenizer
from transformers.trainer_utils import get_last_checkpoint
from trl import GRPOConfig, GRPOTrainer

HERE = Path(__file__).resolve().parent
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))


def share(prompts):
    """Micro-batches of each process; one is the group of one prompt."""
    if prompts % PROCESSES:
        raise SystemExit(f"{prompts} prompts cannot be divided among {PROCESSES} processes; start a divisor of them")
    return prompts // PROCESSES


def rows(name):
    with open(HERE / name, encoding="utf-8") as lines:
        return Dataset.from_list([json.loads(line) for line in lines])


'''
TRAINER = """trainer = GRPOTrainer(
    model={model},
    reward_funcs=rlready_reward,
    args=args,
    train_dataset=rows("train.jsonl"),
    eval_dataset=rows("validation.jsonl"),
    processing_class=AutoTokenizer.from_pretrained(HERE / "tokenizer"),{more}
)

if __name__ == "__main__":
    os.makedirs(args.output_dir, exist_ok=True)
    last = get_last_checkpoint(args.output_dir)
    if last and int(last.rpartition("-")[2]) >= args.max_steps:
        raise SystemExit(f"{{last}}: training has ended; to train again, move outputs/ away")
    trainer.train(resume_from_checkpoint=last)
    trainer.save_state()
    trainer.save_model()
"""


def translate(t: Translation, lm: LM) -> None:
    """Put the settings of GRPOConfig, of `BudgetForcedRollout` and, for an adapter, of PEFT's LoraConfig."""
    config = t.config
    updates, clip = config.updates_per_batch, clip_range(config)
    loss_type, scale = LOSS[config.algorithm]
    t.put("algorithm", {"loss_type": loss_type, "scale_rewards": scale})
    if config.algorithm == "rloo":
        t.put("algorithm", {"reward_weights": [config.group_size / (config.group_size - 1)]})
    t.put("epsilon", {"epsilon": clip.low})
    t.put("epsilon_high", {"epsilon_high": clip.high})
    t.put("kl_coef", {"beta": config.kl_coef, "use_bias_correction_kl": False})
    t.put("steps", {"max_steps": config.steps * updates})
    t.put("updates_per_batch", {"num_iterations": updates})
    t.put("group_size", {"num_generations": config.group_size, "per_device_train_batch_size": config.group_size})
    t.put("prompts_per_step", {"gradient_accumulation_steps": config.prompts_per_step})
    t.put(limit_name(config), {"max_completion_length": response_limit(config)})
    t.put("temperature", {"temperature": config.temperature, "top_p": 1.0, "top_k": 0})
    t.put("seed", {"seed": config.seed})
    _put_optimiser(t)
    _put_evaluation(t)
    _put_machine(t)
    if config.thinking_budget is None or config.engine != "torch":
        lack_budgets(t, lm)
    else:
        _put_rollout(t)
    lack_common(t, lm)


def _put_rollout(t: Translation) -> None:
    """Budget forcing by rlready's engine, where TRL does not sample by vLLM."""
    config = t.config
    t.put("thinking_budget", {ROLLOUT + "thinking_budget": config.thinking_budget})
    t.put("max_answer_tokens", {ROLLOUT + "max_answer_tokens": config.max_answer_tokens})
    if config.num_waits:
        t.put("num_waits", {ROLLOUT + "num_waits": config.num_waits})
        t.put("wait_text", {ROLLOUT + "wait_text": config.wait_text})
    if config.answer_prefix:
        t.put("answer_prefix", {ROLLOUT + "answer_prefix": config.answer_prefix})
    if config.delimiters:
        t.put("delimiters", {ROLLOUT + "delimiters": list(config.delimiters)})


def _put_optimiser(t: Translation) -> None:
    """AdamW with a warm-up."""
    config = t.config
    warm = warmup_steps(config) * config.updates_per_batch
    t.put("learning_rate", {"learning_rate": config.learning_rate, "lr_scheduler_type": "constant_with_warmup"})
    t.put("learning_rate", {"warmup_steps": warm, "adam_beta1": BETAS[0], "adam_beta2": BETAS[1]})
    t.put("learning_rate", {"adam_epsilon": EPSILON})
    t.put("weight_decay", {"weight_decay": config.weight_decay})
    t.put("max_grad_norm", {"max_grad_norm": config.max_grad_norm})
    put_adapter(t, ADAPTER + "r", ADAPTER + "lora_alpha", ADAPTER + "target_modules")


def _put_evaluation(t: Translation) -> None:
    config = t.config
    every = config.eval_every * config.updates_per_batch
    whole = config.eval_samples * max(1, config.group_size // config.eval_samples)
    t.put("eval_every", {"eval_strategy": "steps", "eval_steps": every, "eval_on_start": True})
    t.put("eval_every", {"save_strategy": "steps", "save_steps": every})
    t.put("eval_samples", {"num_generations_eval": config.eval_samples, "per_device_eval_batch_size": whole})
    if config.save_total_limit:
        t.put("save_total_limit", {"save_total_limit": config.save_total_limit})
        t.lack("save_total_limit", "the newest checkpoints are kept, and not the best one")


def _put_machine(t: Translation) -> None:
    config = t.config
    t.put("gradient_checkpointing", {"gradient_checkpointing": config.gradient_checkpointing})
    t.put("dtype", {"bf16": BF16 if config.dtype is None else config.dtype == "bfloat16"})
    t.put("dtype", {"model_init_kwargs": {"dtype": "float32"}})
    if config.device == "cpu":
        t.put("device", {"use_cpu": True})
    elif config.device != "auto":
        t.lack("device", "the GPUs are those that CUDA_VISIBLE_DEVICES and accelerate choose")
    if config.engine != "torch":
        mode = MODE.get(config.importance_correction, "token_truncate")
        t.put("engine", {"use_vllm": True, "vllm_mode": "colocate"})
        t.put("importance_correction", {"vllm_importance_sampling_correction": config.importance_correction != "none"})
        t.put("importance_correction", {"vllm_importance_sampling_mode": mode})
        t.put("importance_cap", {"vllm_importance_sampling_clip_max": config.importance_cap})
    else:
        t.put("engine", {"use_vllm": False})
    t.lack("max_tokens_per_microbatch", "micro-batches are one group each (per_device_train_batch_size)")
    if config.distributed == "fsdp":
        t.lack("distributed", "accelerate launch chooses between DDP, FSDP and DeepSpeed")


def trainer(config: RLConfig) -> Trainer:
    """TRL, as the README of the export names it."""
    extras = [name for name, used in (("peft", config.lora_r), ("vllm", config.engine != "torch")) if used]
    return Trainer("TRL 1.16", f"pip install 'trl[{','.join(extras)}]==1.16.*'".replace("[]", ""), SCRIPT)


def files(t: Translation, model: str, lm: LM, asked: Sequence[Asked]) -> dict[str, Content]:
    """The files by name: problems, reward, script and launcher; ``model`` is an id or a path, also one from the
    export's folder (`is_relative`)."""
    found: dict[str, Content] = {
        ROWS.format(split=split): "".join(
            json.dumps(_row(each, lm), ensure_ascii=False) + "\n" for each in asked if each.split == split
        )
        for split in SPLITS
    }
    script = HEAD + _config(t) + "\n\n" + _trainer(t, model)
    return found | {"reward.py": REWARD, SCRIPT: script, LAUNCHER: LAUNCH}


def _row(asked: Asked, lm: LM) -> dict[str, object]:
    prompt = asked.messages if has_template(lm) and not lm.chat.plain else as_text(asked, lm)
    return {
        "prompt": prompt,
        "answer": asked.problem.answer,
        "split": asked.split,
        "problem_id": asked.problem.id,
        "length_target": asked.target,
    }


def _config(t: Translation) -> str:
    """The lines of GRPOConfig, each with the name of the setting in rlready."""
    lines = [
        f"    {e.counterpart}={_written(e)},  # {e.setting}"
        for e in t.translated
        if not e.counterpart.startswith((ADAPTER, ROLLOUT))
    ]
    own = ['output_dir=str(HERE / "outputs")', "logging_steps=1", 'report_to=os.environ.get("REPORT_TO", "none")']
    own += ["log_completions=True", "num_completions_to_print=4"]
    return "\n".join(["args = GRPOConfig(", *(f"    {line}," for line in own), *lines, ")"])


def _written(each: Translated) -> str:
    if each.counterpart == "gradient_accumulation_steps":
        return f"share({each.value})"
    return BF16 if each.value == BF16 else repr(each.value)


def _trainer(t: Translation, model: str) -> str:
    name = f"str(HERE / {model!r})" if is_relative(model) else repr(model)
    more, imports = "", ""
    if options := _options(t, ADAPTER):
        more += f'\n    peft_config=LoraConfig({options}, task_type="CAUSAL_LM"),'
        imports = "from peft import LoraConfig\n\n"
    if options := _options(t, ROLLOUT):
        more += f"\n    rollout_func=BudgetForcedRollout({options}),"
        imports += "from rlready import BudgetForcedRollout\n\n"
    return imports + TRAINER.format(model=name, more=more)


def _options(t: Translation, prefix: str) -> str:
    """The arguments of a call with the settings whose names begin with ``prefix``."""
    mine = [e for e in t.translated if e.counterpart.startswith(prefix)]
    return ", ".join(f"{e.counterpart.removeprefix(prefix)}={e.value!r}" for e in mine)
