"""TRL's trainers as fast as they go on a CPU: fp32, no gradient checkpointing, nothing saved or logged.

Imported only where TRL is installed.  ``before`` and ``after`` are called around every optimiser step, on TRL's own
thread, so that the other side can run between two steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from common import LR

TUNED: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
    "shuffle_dataset": False,
    "lr_scheduler_type": "constant",
    "learning_rate": LR,
    "optim": "adamw_torch_fused",
    "adam_beta2": 0.95,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "model_init_kwargs": {"dtype": "float32"},
}


class _Between(TrainerCallback):
    """Calls ``before`` a step with its number and ``after`` it with its seconds."""

    def __init__(self, before: Callable[[int], None], after: Callable[[float], None]) -> None:
        self.before, self.after = before, after

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.before(state.global_step)
        self.begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.after(time.perf_counter() - self.begun)


def prompt_ids(tokenizer: Any, prompt: Sequence[Mapping[str, str]]) -> list[int]:
    """A conversation as TRL reads it."""
    return list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False))


def grpo(
    start: str,
    rows: Mapping[str, Sequence[Any]],
    reward: Callable[..., list[float]],
    *,
    folder: Path,
    micro: int,
    batch: int,
    group: int,
    cap: int,
    fixed: bool,
    steps: int,
    before: Callable[[int], None],
    after: Callable[[float], None],
) -> None:
    """GRPO steps of ``batch`` completions, ``micro`` a forward pass; ``fixed``: none of them ends before its cap."""
    args = GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch // micro,
        num_generations=group,
        max_steps=steps,
        max_completion_length=cap,
        temperature=1.0,
        beta=0.0,
        loss_type="grpo",
        generation_kwargs={"eos_token_id": None} if fixed else None,
        **TUNED,
    )
    trainer = GRPOTrainer(
        start,
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_dict(dict(rows)),
        processing_class=AutoTokenizer.from_pretrained(start),
        callbacks=[_Between(before, after)],
    )
    if fixed:
        trainer.eos_token_ids = [-1]  # otherwise tokens after a sampled end of sequence are removed
    trainer.train()


def sft(
    start: str,
    rows: Mapping[str, Sequence[Any]],
    *,
    folder: Path,
    batch: int,
    padding_free: bool,
    steps: int,
    before: Callable[[int], None],
    after: Callable[[float], None],
) -> None:
    """SFT steps of ``batch`` rows, which are given as ``input_ids`` and ``labels``, in their order."""
    args = SFTConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=batch,
        max_steps=steps,
        train_sampling_strategy="sequential",
        padding_free=padding_free,
        max_length=None,
        **TUNED,
    )
    trainer = SFTTrainer(
        start,
        args=args,
        train_dataset=Dataset.from_dict(dict(rows)),
        processing_class=AutoTokenizer.from_pretrained(start),
        callbacks=[_Between(before, after)],
    )
    trainer.train()
