"""The share of weights that training changed, so that updates without effect do not pass for training."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch

from rlready.core.distributed import gathered
from rlready.models.fsdp import shard_of
from rlready.runs.run import Run
from rlready.train.learner import Learner
from rlready.train.result import RLResult, SFTResult
from rlready.train.schedule import EPSILON

SAMPLED = 1_000_000  # weights that are compared; of a smaller model all
TOO_FEW = 0.01  # share of changed weights below which a run gets a warning
R = TypeVar("R", SFTResult, RLResult)


class WeightSample:
    """A sample of the weights before training, evenly spaced over all trained parameters.

    If the arithmetic is in bfloat16, weights are compared as it rounds them: a smaller change has no effect.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._parameters = [p for p in learner.lm.model.parameters() if p.requires_grad]
        self._total = sum(p.numel() for p in self._parameters)
        self._start = self._sample()

    def changed(self) -> float:
        """The share of the sampled weights that differ from those before training.  Collective."""
        return float(np.mean(gathered(float((self._sample() != self._start).float().mean()))))

    def doubt(self, share: float) -> str:
        """What is wrong if too few weights changed, and what to do; empty if enough did."""
        if share >= TOO_FEW:
            return ""
        settings = self._learner.settings
        precision = " in bfloat16" if self._learner.bfloat16 else ""
        why = f"learning_rate={settings.learning_rate:g} is too low or the steps are too few"
        if settings.max_grad_norm / math.sqrt(self._total) < 10 * EPSILON:
            why = (
                f"max_grad_norm={settings.max_grad_norm:g} scales gradients down to the size of AdamW's epsilon "
                f"({EPSILON:g}): raise it"
            )
        return f"only {share:.3%} of the weights changed{precision}; {why}"

    def _sample(self) -> torch.Tensor:
        spacing = -(-self._total // SAMPLED) | 1  # odd, so that it does not fall on the same columns of every matrix
        dtype = torch.bfloat16 if self._learner.bfloat16 else torch.float32
        return torch.cat(
            [shard_of(p.detach()).flatten()[::spacing].to("cpu", dtype, copy=True) for p in self._parameters]
        )


def with_change(result: R, before: WeightSample, run: Run) -> R:
    """The result with the share of changed weights, and a warning if it is too small for training."""
    share = before.changed()
    notes: list[str] = [*result.notes]
    if isinstance(result, RLResult) and result.groups and not result.groups.informative:
        notes += [] if share else ["The weights are unchanged."]
        run.warn(" ".join([result.headline, *notes]))
    elif doubt := before.doubt(share):
        run.warn(doubt)
        notes.append(f"Warning: {doubt}.")
    return result.model_copy(update={"weights_changed": share, "notes": notes})
