"""What TRL's trainers and ours are compared on: a batch of rollouts, a checkpoint, a reference, and our update."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlready.core.config import RLConfig
from rlready.core.records import Group, Problem, Sample
from rlready.credit.assign import credit
from rlready.models.batch import Example
from rlready.models.checkpoint import load, save
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.train.fast_learner import FastLearner
from rlready.train.learner import OptimizerSettings
from rlready.train.trainer import Trainer
from test_loss import FLAT, MIXED, Gradients
from tiny import tiny_model, tiny_tokenizer

TOLERANCE = 1e-5
TEMPERATURE = 0.8
THOUGHT, ANSWER = 16, 4  # the cap of a response is their sum, TRL's max_completion_length
LR = 0.06


@dataclass
class Steps:
    """What an optimiser saw: each step's loss and gradient.  ``advantages`` are TRL's, in the order of rollouts."""

    losses: list[float] = field(default_factory=list)
    gradients: list[Gradients] = field(default_factory=list)
    advantages: list[float] = field(default_factory=list)

    def see(self, model: Any) -> None:
        self.gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})


@dataclass(frozen=True)
class Case:
    """One algorithm under both names: ``ours`` are settings of RLConfig, ``theirs`` of TRL's GRPOConfig."""

    algorithm: str
    theirs: dict[str, Any]
    ours: dict[str, Any] = field(default_factory=dict)
    rewards: Sequence[Sequence[float]] = (*MIXED, FLAT[1])
    lr: float = LR
    noise: float = 0.0

    def sampled(self, groups: Sequence[Group]) -> list[Group]:
        """The groups as if an engine had sampled them whose log-probabilities are off by up to ``noise`` nats."""
        return [replace(g, samples=[self._sampled(sample) for sample in g.samples]) for g in groups]

    def _sampled(self, sample: Sample) -> Sample:
        wave = self.noise * np.sin(1 + np.arange(len(sample.tokens)) ** 2 + sample.sample_id)
        return replace(sample, logprobs=(sample.logprobs + wave * sample.mask).astype(np.float32))


def _weights(mode: str, cap: float) -> dict[str, Any]:
    return {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_max": cap}


# TRL does not sample dynamically as DAPO does, which drops groups without signal: none is among its rewards
SIGNAL = (*MIXED, [0.2, 0.9, 0.5, 0.0])
CASES = {
    "grpo": Case("grpo", {"loss_type": "grpo", "scale_rewards": "group"}),
    # divided by the cap, its gradient needs a longer step for the second update to clip anything
    "dr_grpo": Case("dr_grpo", {"loss_type": "dr_grpo", "scale_rewards": "none"}, lr=5 * LR),
    "dapo": Case("dapo", {"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28}, rewards=SIGNAL),
    # batch-normalised: DAPO's normaliser with GRPO's clip range
    "bnpo": Case(
        "dapo",
        {"loss_type": "bnpo", "scale_rewards": "group", "gradient_accumulation_steps": 1},
        {"epsilon_high": 0.2},
        rewards=SIGNAL,
    ),
    "clip": Case(
        "grpo",
        {"loss_type": "grpo", "scale_rewards": "group", "epsilon": 0.05, "epsilon_high": 0.4},
        {"epsilon": 0.05, "epsilon_high": 0.4},
    ),
    "token weights": Case(
        "grpo",
        {"loss_type": "grpo", "scale_rewards": "group"} | _weights("token_truncate", 1.1),
        {"importance_correction": "token", "importance_cap": 1.1},
        noise=0.12,
    ),
    "sequence weights": Case(
        "dapo",
        {"loss_type": "dapo", "scale_rewards": "group", "epsilon_high": 0.28} | _weights("sequence_truncate", 1.2),
        {"importance_correction": "sequence", "importance_cap": 1.2},
        rewards=SIGNAL,
        noise=0.12,
    ),
}


def save_pair(folder: Path, start: LM, reference: LM) -> None:
    """Checkpoints ``start`` and ``reference`` in a folder, the second drawn towards the first.

    A starting policy far from its reference would only measure overflow.
    """
    with torch.no_grad():
        for p, q in zip(reference.model.parameters(), start.model.parameters(), strict=True):
            p.lerp_(q, 0.8)
    for name, lm in (("start", start), ("reference", reference)):
        (folder / name).mkdir()
        save(lm, folder / name, "")


def written_lm(phase: float) -> LM:
    """A model whose weights are a formula, so that they are the same wherever and whenever it is made."""
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 8, "head_dim": 4, "intermediate_size": 12, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    model = tiny_model("Llama", vocab_size=len(tokenizer), **sizes, **heads)
    with torch.no_grad():
        for at, weight in enumerate(model.parameters()):
            wave = torch.sin(torch.arange(weight.numel(), dtype=torch.float64) * 1.7 + 2.3 * at + phase)
            weight.copy_((wave.reshape(weight.shape) * 0.5 + (weight.dim() == 1)).float())
    return LM(model, tokenizer, "written")


def written_rollouts(lm: LM, rewards: Sequence[Sequence[float]], *, forced: bool = True) -> list[Group]:
    """Groups whose tokens and forced places are a formula, with the model's own log-probabilities.

    Those are computed in float64, so that they do not depend on how one processor rounds.
    """
    model = copy.deepcopy(lm.model).double()
    groups = []
    for at, row_rewards in enumerate(rewards):
        prompt = [1, *(3 + (7 * at + 5 * i) % 40 for i in range(3 + at))]
        samples = []
        for i, reward in enumerate(row_rewards):
            size = 5 + (3 * at + 4 * i) % 14
            tokens = np.array([3 + (11 * at + 17 * i + 13 * t * (i + 2)) % 40 for t in range(size)], dtype=np.int32)
            mask = np.array([not forced or (t + at + i) % 5 > 0 for t in range(size - 1)] + [True]).astype(np.uint8)
            old = np.zeros(size, dtype=np.float32)
            with torch.no_grad():
                row = Example(prompt, tokens.tolist(), mask, old, old)
                old[mask.astype(bool)] = token_logprobs(model, [row], TEMPERATURE)[0].numpy()
            samples.append(Sample(f"p{at}", i, tokens, mask, old, 0, 0, correct=reward > 0, reward=reward))
        groups.append(Group(Problem(f"p{at}", "", ""), prompt, samples))
    return groups


def learner(folder: Path, seen: Steps, lr: float = LR) -> FastLearner:
    """Ours, watched, with the same plain optimiser, no gradient clipping and several micro-batches."""
    lm = load(str(folder / "start"))
    found = FastLearner(lm, OptimizerSettings(lr, 0.0, math.inf, 90))
    found.optimizer = torch.optim.SGD(found.parameters, lr=lr)
    found.optimizer.register_step_pre_hook(lambda *_: seen.see(lm.model))
    return found


def our_steps(folder: Path, groups: list[Group], case: Case, *, updates: int, kl: float) -> tuple[Steps, float]:
    """The update of ``rlready rl``; its loss is the last step's.  Also the share of clipped tokens.

    Of the importance weights of a case with noise, some are truncated.
    """
    seen = Steps()
    config = RLConfig(algorithm=case.algorithm, steps=1, updates_per_batch=updates, kl_coef=kl, temperature=TEMPERATURE)
    config = config.replace(thinking_budget=THOUGHT, max_answer_tokens=ANSWER, **case.ours)
    reference = load(str(folder / "reference")) if kl else None
    trainer = Trainer(config, learner(folder, seen, case.lr), reference, folder)
    done = trainer.update(credit(case.sampled(groups), trainer.algorithm, cap=trainer.cap, keep_all=kl > 0), 0)
    assert done.loss is not None
    assert done.clip_ratio is not None
    assert done.importance_truncated is not None
    assert (0 < done.importance_truncated < 1) == (case.noise > 0)
    seen.losses = [done.loss]
    return seen, done.clip_ratio


def apart(ours: Gradients, theirs: Gradients) -> float:
    """Largest difference of any parameter's gradient, absolute or relative to its largest value, whichever is worse."""
    assert ours.keys() == theirs.keys()
    sizes = {k: theirs[k].abs().max().item() for k in theirs}
    assert min(sizes.values()) > 1e-4, "gradients too small to compare"
    return max((ours[k] - theirs[k]).abs().max().item() / min(1.0, sizes[k]) for k in ours)
