"""TRL as the oracle: on the same batch our losses, gradients and advantages are those of its own trainers.

Both sides run their whole path.  TRL's ``train()`` is handed our rollouts by its ``rollout_func`` (forced tokens as
``env_mask``), scores them, splits them over two accumulation steps, and takes its optimiser steps, plain SGD; ours is
the update of ``rlready.train``, with micro-batches by length.  The gradients are compared as each optimiser gets them:
at the first update, on the policy's own samples, and at the second, off policy and partly clipped, where the weights
have gone through the first on either side.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("trl")

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from rlready.core.config import RLConfig
from rlready.core.records import Group, Row
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.assign import credit
from rlready.models.checkpoint import load, save
from rlready.models.encode import encode
from rlready.train.fast_learner import FastLearner
from rlready.train.learner import OptimizerSettings
from rlready.train.loss import likelihood_loss
from rlready.train.sft import weighted
from rlready.train.trainer import Trainer
from test_loss import FLAT, MIXED, Gradients, rollouts, symbolic_lm

TOLERANCE = 1e-5
TEMPERATURE = 0.8
THOUGHT, ANSWER = 16, 4  # the cap of a response is their sum, TRL's max_completion_length
LR = 0.06
pytestmark = pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")

# how TRL names the three; the rest are its defaults or set in `trl_grpo`
THEIRS: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo", "scale_rewards": "group"},
    # divided by the cap, its gradient needs a longer step for the second update to clip anything
    "dr_grpo": {"loss_type": "dr_grpo", "scale_rewards": "none", "learning_rate": 5 * LR},
    "dapo": {"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28},
}
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


@dataclass
class Steps:
    """What an optimiser saw: each step's loss and gradient.  ``advantages`` are TRL's, in the order of rollouts."""

    losses: list[float] = field(default_factory=list)
    gradients: list[Gradients] = field(default_factory=list)
    advantages: list[float] = field(default_factory=list)

    def see(self, model: Any) -> None:
        self.gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})


class Watch(TrainerCallback):
    """Copy the gradient as TRL's optimiser gets it."""

    def __init__(self, seen: Steps) -> None:
        self.seen = seen

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.seen.see(model)


def watched(trainer: Any, seen: Steps) -> Steps:
    """Train; the loss of a step is the sum over its accumulation steps of what TRL's ``training_step`` returns."""
    micro: list[float] = []
    inner = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> torch.Tensor:
        loss = inner(*args, **kwargs)
        micro.append(loss.item())
        return loss

    trainer.training_step = training_step
    trainer.train()
    seen.losses = [sum(pair) for pair in zip(micro[::2], micro[1::2], strict=True)]
    return seen


def trl_grpo(folder: Path, groups: list[Group], algorithm: str, *, updates: int, kl: float) -> Steps:
    """TRL's own steps on our rollouts."""
    queues: dict[str, Iterator[int]] = {g.problem.id: iter(range(len(g.samples))) for g in groups}
    named = {g.problem.id: g for g in groups}

    def rollout(prompts: list[str], _: GRPOTrainer) -> dict[str, list[Any]]:
        drawn = [(named[p], named[p].samples[next(queues[p])]) for p in prompts]
        return {
            "prompt_ids": [list(g.prompt_ids) for g, _ in drawn],
            "completion_ids": [s.tokens.tolist() for _, s in drawn],
            "logprobs": [s.logprobs.tolist() for _, s in drawn],
            "env_mask": [s.mask.tolist() for _, s in drawn],
            "paid": [s.reward for _, s in drawn],
        }

    def reward(paid: list[float], **_: Any) -> list[float]:
        return paid

    size = len(groups[0].samples)
    args = GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=size * len(groups) // 2,
        num_generations=size,
        num_iterations=updates,
        max_steps=updates,
        max_completion_length=THOUGHT + ANSWER,
        temperature=TEMPERATURE,
        beta=kl,
        use_bias_correction_kl=False,  # TRL's default weighs the penalty by the ratio; GRPO's paper does not
        shuffle_dataset=False,
        model_init_kwargs={"dtype": "float32"},
        **PLAIN | THEIRS[algorithm],
    )
    seen = Steps()
    trainer = GRPOTrainer(
        str(folder / "start"),
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [g.problem.id for g in groups]}),
        processing_class=load(str(folder / "start")).tokenizer,
        callbacks=[Watch(seen)],
        rollout_func=rollout,
    )
    if kl:
        trainer.ref_model.load_state_dict(load(str(folder / "reference")).model.state_dict())
    watched(trainer, seen)
    seen.advantages = list(trainer._logs["advantages"])
    return seen


def learner(folder: Path, seen: Steps, lr: float = LR) -> FastLearner:
    """Ours, watched, with the same plain optimiser, no gradient clipping and several micro-batches."""
    lm = load(str(folder / "start"))
    found = FastLearner(lm, OptimizerSettings(lr, 0.0, math.inf, 90))
    found.optimizer = torch.optim.SGD(found.parameters, lr=lr)
    found.optimizer.register_step_pre_hook(lambda *_: seen.see(lm.model))
    return found


def our_grpo(folder: Path, groups: list[Group], algorithm: str, *, updates: int, kl: float) -> tuple[Steps, float]:
    """The update of ``rlready rl``; its loss is the last step's.  Also the share of clipped tokens."""
    seen = Steps()
    config = RLConfig(
        algorithm=algorithm,
        steps=1,
        updates_per_batch=updates,
        kl_coef=kl,
        temperature=TEMPERATURE,
        thinking_budget=THOUGHT,
        max_answer_tokens=ANSWER,
    )
    reference = load(str(folder / "reference")) if kl else None
    lr = THEIRS[algorithm].get("learning_rate", LR)
    trainer = Trainer(config, learner(folder, seen, lr), reference, folder)
    credited = credit(groups, trainer.algorithm, cap=trainer.cap, keep_all=kl > 0)
    done = trainer.update(credited, 0)
    assert done.loss is not None
    assert done.clip_ratio is not None
    seen.losses = [done.loss]
    return seen, done.clip_ratio


def apart(ours: Gradients, theirs: Gradients) -> float:
    """Largest difference of any parameter's gradient, absolute or relative to its largest value, whichever is worse."""
    assert ours.keys() == theirs.keys()
    sizes = {k: theirs[k].abs().max().item() for k in theirs}
    assert min(sizes.values()) > 1e-4, "gradients too small to tell anything"
    return max((ours[k] - theirs[k]).abs().max().item() / min(1.0, sizes[k]) for k in ours)


def with_one_forced_token_learned(groups: list[Group]) -> list[Group]:
    """The first sample that has a forced token, with that token taken for the policy's choice."""
    group = groups[0]
    at, sample = next((i, s) for i, s in enumerate(group.samples) if not s.mask.all())
    mask = sample.mask.copy()
    mask[np.flatnonzero(mask == 0)[0]] = 1
    samples = [*group.samples[:at], replace(sample, mask=mask), *group.samples[at + 1 :]]
    return [replace(group, samples=samples), *groups[1:]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the checkpoint to start from and another as the reference."""
    first, other = symbolic_lm(0), symbolic_lm(1)
    with torch.no_grad():
        for p, q in zip(other.model.parameters(), first.model.parameters(), strict=True):
            p.lerp_(q, 0.8)  # a starting policy far from its reference would only measure overflow
    for name, lm in (("start", first), ("reference", other)):
        (tmp_path / name).mkdir()
        save(lm, tmp_path / name, "")
    return tmp_path


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "dapo"])
def test_policy_gradients_are_trls(folder: Path, algorithm: str, kl: float, updates: int) -> None:
    """GRPO, Dr. GRPO and DAPO, on and off policy, with and without a KL penalty; a wrong mask is seen.

    A group without signal is among them, which we drop and TRL does not; not for DAPO without KL, where we differ
    on purpose, as the algorithm samples such groups away.
    """
    rewards = [*MIXED, [0.2, 0.9, 0.5, 0.0] if algorithm == "dapo" and not kl else FLAT[1]]
    groups = rollouts(load(str(folder / "start")), rewards, temperature=TEMPERATURE)
    theirs = trl_grpo(folder, groups, algorithm, updates=updates, kl=kl)
    ours, clipped = our_grpo(folder, groups, algorithm, updates=updates, kl=kl)

    advantages = np.concatenate([ALGORITHMS[algorithm].advantage(g.rewards) for g in groups])
    np.testing.assert_allclose(advantages, theirs.advantages, atol=TOLERANCE)
    assert len(ours.gradients) == len(theirs.gradients) == updates
    worst = [apart(a, b) for a, b in zip(ours.gradients, theirs.gradients, strict=True)]
    assert max(worst) <= TOLERANCE
    assert abs(ours.losses[-1] - theirs.losses[-1]) <= TOLERANCE
    assert (clipped > 0) == (updates > 1)

    wrong, _ = our_grpo(folder, with_one_forced_token_learned(groups), algorithm, updates=1, kl=kl)
    assert apart(wrong.gradients[0], theirs.gradients[0]) > 100 * TOLERANCE


def test_sft_gradient_is_trls(folder: Path) -> None:
    """From text to gradient, our rows and TRL's prompt and completion messages; a wrong mask is seen."""
    rows = [
        Row("a", "a = 3 + 4 ? a", "a = 7", "a = 3 + 4 = 7"),
        Row("b", "b = 2 c = b * 5 ? c", "c = 10", "b = 2 so c = 2 * 5 = 10"),
        Row("c", "d = 9 ? d", "d = 9", "d = 9"),
        Row("d", "e = 6 - 1 f = e - 4 g = f + e ? g", "g = 6", "e = 5 f = 5 - 4 = 1 g = 1 + 5 = 6"),
    ]
    data = {
        "prompt": [[{"role": "user", "content": r.prompt}] for r in rows],
        "completion": [[{"role": "assistant", "content": f"{r.thinking} </think> {r.response}"}] for r in rows],
    }
    args = SFTConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=2,
        max_steps=1,
        completion_only_loss=True,
        model_init_kwargs={"dtype": "float32"},
        **PLAIN,
    )
    theirs = Steps()
    tokenizer = load(str(folder / "start")).tokenizer
    trainer = SFTTrainer(
        str(folder / "start"),
        args=args,
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
        callbacks=[Watch(theirs)],
    )
    watched(trainer, theirs)

    def ours(weighed: Any) -> tuple[float, Gradients]:
        seen = Steps()
        done = learner(folder, seen).step(
            weighed, lambda b, logp: (likelihood_loss(logp, b.advantage_N, b.weight_N), 0.0), rate=1.0
        )
        return done.loss, seen.gradients[0]

    examples = encode(load(str(folder / "start")), rows, "rows")
    loss, gradient = ours(weighted(examples))
    assert apart(gradient, theirs.gradients[0]) <= TOLERANCE
    assert abs(loss - theirs.losses[0]) <= TOLERANCE
    without_end = [replace(e, mask=np.append(e.mask[:-1], np.uint8(0))) for e in examples]
    assert apart(ours(weighted(without_end))[1], theirs.gradients[0]) > 100 * TOLERANCE
