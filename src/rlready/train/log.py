"""The lines of ``log.jsonl`` that SFT and RL write: one for every step, one for every evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from rlready.core.records import Group
from rlready.credit.assign import DenseStats


@dataclass(frozen=True)
class SFTStepLog:
    """``loss`` is in nats per token, the mean over ``tokens`` response tokens; ``timing`` is from `Watch.measure`."""

    step: int
    epoch: float
    loss: float
    grad_norm: float
    tokens: int
    learning_rate: float
    timing: Mapping[str, float]


@dataclass(frozen=True)
class HeldoutLog:
    """Loss of a checkpoint on the held-out rows, in nats per token, with its 95 % interval."""

    step: int
    epoch: float
    heldout_loss: float
    heldout_low: float
    heldout_high: float
    checkpoint: str


@dataclass(frozen=True)
class RolloutStats:
    """Means over the rollouts of a step.

    ``truncated`` is the share of responses whose thought reached its budget, or that reached their limit (TRL's
    ``clipped_ratio``); ``run_on`` the share of those that continue into an invented turn,
    ``undecided`` of those that could not be verified.
    """

    reward: float
    accuracy: float
    thinking_tokens: float
    thinking_tokens_correct: float | None  # None where no rollout is correct
    thinking_tokens_wrong: float | None
    truncated: float
    run_on: float
    generated_tokens: int
    undecided: float = 0.0
    response_tokens: float = 0.0

    @classmethod
    def of(cls, groups: Sequence[Group]) -> RolloutStats:
        samples = [s for g in groups for s in g.samples]
        correct, wrong = ([s.thinking_tokens for s in samples if bool(s.correct) is kind] for kind in (True, False))
        return cls(
            reward=_mean([s.reward or 0.0 for s in samples]),
            accuracy=_mean([bool(s.correct) for s in samples]),
            thinking_tokens=_mean([s.thinking_tokens for s in samples]),
            thinking_tokens_correct=_mean(correct) if correct else None,
            thinking_tokens_wrong=_mean(wrong) if wrong else None,
            truncated=_mean([s.reached_limit for s in samples]),
            run_on=_mean([s.run_on for s in samples]),
            generated_tokens=sum(len(s.tokens) for s in samples),
            undecided=_mean([s.undecided for s in samples]),
            response_tokens=_mean([len(s.tokens) for s in samples]),
        )


@dataclass(frozen=True)
class UpdateStats:
    """The optimiser steps on one rollout batch; values are None if no group was informative.

    ``loss``, ``grad_norm`` and ``entropy`` (nats per chosen token) are those of the last step; ``clip_ratio`` is the
    mean share of clipped tokens.  Over all steps, ``trained_tokens`` counts the tokens of the examples, and
    ``forward_tokens`` those that went through the model, where a shared prompt counts once.  ``mismatch`` and
    ``mismatch_max`` are the mean and the largest |Δ log p| in nats between engine and learner before the first step,
    and ``effective_samples`` the effective sample size of the weights exp(Δ log p), as a share of the tokens.
    ``importance_truncated`` is the share of tokens whose importance weight was above ``importance_cap``.
    """

    loss: float | None = None
    grad_norm: float | None = None
    entropy: float | None = None
    clip_ratio: float | None = None
    trained_tokens: int = 0
    forward_tokens: int = 0
    mismatch: float | None = None
    mismatch_max: float | None = None
    effective_samples: float | None = None
    importance_truncated: float | None = None


@dataclass(frozen=True)
class RLStepLog:
    """One RL step: its rollouts, how many groups were of each kind, the update, and where the time went."""

    step: int
    rollouts: RolloutStats
    groups_informative: int
    groups_solved: int
    groups_unsolved: int
    groups_equal: int
    update: UpdateStats
    dense: DenseStats | None = None
    timing: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationLog:
    """Accuracy on the validation problems with its 95 % interval, mean tokens of thoughts and of responses, and the
    share of responses that could not be verified."""

    step: int
    eval_accuracy: float
    eval_low: float
    eval_high: float
    eval_thinking_tokens: float
    eval_response_tokens: float
    eval_undecided: float


def log_line(log: SFTStepLog | HeldoutLog | RLStepLog | EvaluationLog) -> dict[str, object]:
    """The line as it is written: flat, with the fields of nested records at the top level."""
    line: dict[str, object] = {}
    for key, value in asdict(log).items():
        if isinstance(value, Mapping):
            line |= value
        elif key != "dense":  # other algorithms have no dense rewards
            line[key] = value
    return line


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
