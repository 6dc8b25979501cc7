"""How far the log-probabilities of the engine that sampled are from those of the learner that trains on its samples.

They are those of one model, so only rounding may differ.  A larger difference means other weights, another precision,
another temperature or another prompt in one of the two: training then goes on without an error, in a wrong direction
(Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlready.core.errors import UserError

LIMIT = 0.1  # nats; engines in bfloat16 stay below 0.03


@dataclass(frozen=True)
class Mismatch:
    """Over ``tokens`` tokens, with d = log π_learner − log π_sampler: sums of |d|, w = exp(d) and w², and max |d|."""

    tokens: int = 0
    absolute: float = 0.0
    largest: float = 0.0
    weight: float = 0.0
    square: float = 0.0

    @classmethod
    def between(cls, learner_N: Tensor, sampler_N: Tensor) -> Mismatch:
        """The mismatch of N tokens that the policy chose; raises UserError if its mean is above `LIMIT`."""
        d_N = (learner_N.detach() - sampler_N).double()
        w_N = d_N.exp()
        sums = torch.stack([d_N.abs().sum(), d_N.abs().max(), w_N.sum(), (w_N**2).sum()]).tolist()
        found = cls(len(d_N), *sums)
        if found.mean > LIMIT:  # not for NaN, which the learner names
            raise UserError(
                "the engine and the learner give the same tokens different log-probabilities, by "
                f"{found.mean:.3g} nats on average (rounding stays below {LIMIT}), so one of them has other weights, "
                "another precision or another prompt; the last checkpoint is intact: try dtype=float32"
            )
        return found

    @classmethod
    def total(cls, parts: Iterable[Mismatch]) -> Mismatch:
        """The mismatch over all tokens of all parts."""
        found = [*parts]
        return cls(
            sum(m.tokens for m in found),
            sum(m.absolute for m in found),
            max((m.largest for m in found), default=0.0),
            sum(m.weight for m in found),
            sum(m.square for m in found),
        )

    @property
    def mean(self) -> float:
        """Mean |d| in nats."""
        return self.absolute / max(1, self.tokens)

    @property
    def effective(self) -> float:
        """The effective sample size as a share of the tokens: (Σ w)² / (N Σ w²), 1 if nothing differs."""
        return self.weight**2 / (self.tokens * self.square) if self.tokens else 1.0
