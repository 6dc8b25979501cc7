"""TRL's own trainers on our rollouts: what its optimiser is given at every step.  Needs the extra ``trl``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from rlready.core.records import Group
from rlready.models.checkpoint import load
from trl_case import ANSWER, LR, TEMPERATURE, THOUGHT, Case, Steps

PLAIN: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
    "optim": "sgd",
    "lr_scheduler_type": "constant",
    "learning_rate": LR,
    "max_grad_norm": 0.0,
    "gradient_accumulation_steps": 2,
}


class Watch(TrainerCallback):
    """Copy the gradient as TRL's optimiser gets it."""

    def __init__(self, seen: Steps) -> None:
        self.seen = seen

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.seen.see(model)


def watched(trainer: Any, seen: Steps, dtype: torch.dtype = torch.float32) -> Steps:
    """Train in this precision; the loss of a step is the sum of its accumulation steps' ``training_step``."""
    micro: list[float] = []
    for model in (trainer.model, getattr(trainer, "ref_model", None)):
        if model is not None:
            model.to(dtype)
    inner = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = inner(*args, **kwargs)
        micro.append(loss.item())
        return loss

    trainer.training_step = training_step
    trainer.train()
    parts = trainer.args.gradient_accumulation_steps
    seen.losses = [sum(micro[i : i + parts]) for i in range(0, len(micro), parts)]
    return seen


class Deal:
    """Hands out the samples of each prompt, which is a problem's id, one after another."""

    def __init__(self, groups: list[Group]) -> None:
        self.named = {g.problem.id: g for g in groups}
        self.queues: dict[str, Iterator[int]] = {g.problem.id: iter(range(len(g.samples))) for g in groups}

    def __call__(self, prompts: list[str], _: Any = None) -> dict[str, list[Any]]:
        drawn = [(self.named[p], self.named[p].samples[next(self.queues[p])]) for p in prompts]
        return {
            "prompt_ids": [list(g.prompt_ids) for g, _ in drawn],
            "completion_ids": [s.tokens.tolist() for _, s in drawn],
            "logprobs": [s.logprobs.tolist() for _, s in drawn],
            "env_mask": [s.mask.tolist() for _, s in drawn],
            "paid": [s.reward for _, s in drawn],
        }


def reward(paid: list[float], **_: Any) -> list[float]:
    return paid


def _shape(folder: Path, groups: list[Group], parts: int, updates: int) -> dict[str, Any]:
    size = len(groups[0].samples)
    return {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": size * len(groups) // parts,
        "num_generations": size,
        "num_iterations": updates,
        "max_steps": updates,
        "max_completion_length": THOUGHT + ANSWER,
        "temperature": TEMPERATURE,
        "shuffle_dataset": False,
        "model_init_kwargs": {"dtype": "float32"},
    }


def trl_steps(
    folder: Path, groups: list[Group], case: Case, *, updates: int, kl: float, dtype: torch.dtype = torch.float32
) -> Steps:
    """TRL's own GRPO steps on our rollouts."""
    settings = PLAIN | {"learning_rate": case.lr} | case.theirs
    shape = _shape(folder, groups, settings["gradient_accumulation_steps"], updates)
    # TRL's default weighs the penalty by the ratio; GRPO's paper does not
    args = GRPOConfig(**shape, **settings, beta=kl, use_bias_correction_kl=False)
    seen = Steps()
    trainer = GRPOTrainer(
        str(folder / "start"),
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [g.problem.id for g in groups]}),
        processing_class=load(str(folder / "start")).tokenizer,
        callbacks=[Watch(seen)],
        rollout_func=Deal(case.sampled(groups)),
    )
    if case.noise:  # as with vLLM, which only ``rollout_func`` would call
        trainer.use_vllm, trainer._last_loaded_step = True, 0
    if kl:
        trainer.ref_model.load_state_dict(load(str(folder / "reference")).model.state_dict())
    watched(trainer, seen, dtype)
    seen.advantages = list(trainer._logs["advantages"])
    return seen


def trl_rloo(folder: Path, groups: list[Group], dtype: torch.dtype = torch.float32) -> Steps:
    """TRL's own first RLOO step on our rollouts, which must be without forced tokens: it knows no mask."""
    deal, texts = Deal(groups), {g.problem.id: [s.reward for s in g.samples] for g in groups}

    class Dealt(RLOOTrainer):  # type: ignore[misc]
        def _generate(self, prompts: list[str]) -> Any:
            drawn = deal(prompts)
            return drawn["prompt_ids"], drawn["completion_ids"], [str(paid) for paid in drawn["paid"]]

    def said(completions: list[str], prompts: list[str], **_: Any) -> list[float]:
        assert all(float(c) in texts[p] for c, p in zip(completions, prompts, strict=True))
        return [float(c) for c in completions]

    seen = Steps()
    trainer = Dealt(
        str(folder / "start"),
        reward_funcs=said,
        args=RLOOConfig(**_shape(folder, groups, 2, 1), **PLAIN, beta=0.0),
        train_dataset=Dataset.from_dict({"prompt": [g.problem.id for g in groups]}),
        processing_class=load(str(folder / "start")).tokenizer,
        callbacks=[Watch(seen)],
    )
    watched(trainer, seen, dtype)
    seen.advantages = list(trainer._logs["advantages"])
    return seen
