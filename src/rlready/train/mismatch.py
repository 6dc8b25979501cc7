"""How far the log-probabilities of the engine that sampled are from those of the learner, and the correction for it.

They are those of one model, so only rounding may differ.  Rounding of another engine or precision biases the gradient
by the ratio w = π_old / π_sampler of the learner's probabilities before the update to the sampler's, so the policy
gradient of a token, or of a response, is multiplied by min(w, cap), as a constant (Yao et al. 2025, "Your efficient RL
framework secretly brings you off-policy RL training").  A larger difference means other weights, another temperature
or another prompt in one of the two: training would go on without an error, in a wrong direction, so it is refused.
Shapes: N tokens that the policy chose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rlready.core.config import ImportanceCorrection
from rlready.core.errors import UserError

ENOUGH = 256  # tokens of a micro-batch whose mean says enough to stop before the optimiser's step
LIMIT = 0.1  # nats; engines in bfloat16 stay below 0.03


@dataclass(frozen=True)
class Mismatch:
    """Over ``tokens`` tokens, with d = log π_learner − log π_sampler: sums of |d|, w = exp(d) and w², and max |d|.

    ``truncated`` counts the tokens whose importance weight was above the cap.
    """

    tokens: int = 0
    absolute: float = 0.0
    largest: float = 0.0
    weight: float = 0.0
    square: float = 0.0
    truncated: int = 0

    @classmethod
    def between(cls, learner_N: Tensor, sampler_N: Tensor) -> Mismatch:
        """The mismatch of N tokens that the policy chose."""
        d_N = (learner_N.detach() - sampler_N).cpu().double()  # some GPUs have no fp64
        w_N = d_N.exp()
        sums = torch.stack([d_N.abs().sum(), d_N.abs().max(), w_N.sum(), (w_N**2).sum()]).tolist()
        return cls(len(d_N), *sums)

    def refuse_large(self, *, least: int = 1) -> None:
        """UserError if the mean over at least ``least`` tokens is above `LIMIT`."""
        if self.tokens >= least and self.mean > LIMIT:  # not for NaN, which the learner names
            raise UserError(
                "the engine and the learner give the same tokens different log-probabilities, by "
                f"{self.mean:.3g} nats on average (rounding stays below {LIMIT}), so one of them has other weights, "
                "another precision or another prompt; the last checkpoint is intact: try dtype=float32"
            )

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
            sum(m.truncated for m in found),
        )

    @property
    def mean(self) -> float:
        """Mean |d| in nats."""
        return self.absolute / max(1, self.tokens)

    @property
    def effective(self) -> float:
        """The effective sample size as a share of the tokens: (Σ w)² / (N Σ w²), 1 if nothing differs."""
        return self.weight**2 / (self.tokens * self.square) if self.tokens else 1.0

    @property
    def truncated_ratio(self) -> float:
        """The share of tokens whose importance weight was truncated."""
        return self.truncated / max(1, self.tokens)


@dataclass(frozen=True)
class OldPolicy:
    """The policy before the first update, on the tokens of a micro-batch, without gradient.

    ``logprobs`` (N,) are the learner's, in nats; ``weights`` (N,) the truncated importance weights min(w, cap).
    """

    logprobs: Tensor
    weights: Tensor
    mismatch: Mismatch

    @classmethod
    def of(
        cls, learner_N: Tensor, sampler_N: Tensor, sequence_N: Tensor, level: ImportanceCorrection, cap: float
    ) -> OldPolicy:
        """Weights at ``level``: every token's own w, the product over its response, or 1 (none).

        ``sequence_N`` gives the response of each token.  Raises UserError for a large mismatch of many tokens.
        """
        old_N = learner_N.detach()
        mismatch = Mismatch.between(old_N, sampler_N)
        mismatch.refuse_large(least=ENOUGH)
        log_w_N = (old_N - sampler_N).double() if old_N.device.type != "mps" else old_N - sampler_N
        if level == "sequence":
            _, row_N = sequence_N.unique(return_inverse=True)
            log_w_N = log_w_N.new_zeros(len(log_w_N)).index_add(0, row_N, log_w_N)[row_N]
        w_N = log_w_N.exp() if level != "none" else torch.ones_like(log_w_N)
        truncated = int((w_N > cap).sum())
        return cls(old_N, w_N.clamp(max=cap).to(old_N.dtype), replace(mismatch, truncated=truncated))
