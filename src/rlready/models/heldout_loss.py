"""Held-out loss: the SFT loss of a checkpoint on worked rows that it was not trained on.

This is the generalisation loss of Kang et al. (arXiv 2510.01624).  Choices of this package, where the paper is silent:
only response tokens count; the main figure is the mean over tokens, and the mean over examples is given too; the loss
of every example is kept for paired comparisons.  Losses are comparable within one distribution of SFT data only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlready.core.distributed import share, united
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate, ratio_estimate

if TYPE_CHECKING:
    from rlready.models.batch import Example
    from rlready.models.lm import LM


@dataclass(frozen=True)
class HeldOut:
    """Summed negative log-likelihood in nats and response tokens, both (E,), one per example."""

    nll: NDArray[np.float64]
    tokens: NDArray[np.int64]

    @property
    def token_mean(self) -> Estimate:
        """Nats per token: sum over all tokens, the interval over examples."""
        return ratio_estimate(self.nll, self.tokens.astype(np.float64), varies="examples")

    @property
    def example_mean(self) -> Estimate:
        """Mean over examples of their nats per token."""
        return mean_estimate(self.nll / self.tokens, varies="examples")

    def minus(self, other: HeldOut) -> Estimate:
        """This checkpoint's loss minus another's on the same examples, nats per token, paired.

        UserError unless every response has the same number of tokens for both: nats per token depend on the tokens.
        """
        if not np.array_equal(self.tokens, other.tokens):
            raise UserError(
                "the held-out rows have different numbers of tokens for two checkpoints, so their losses cannot be "
                "compared; compare checkpoints with the same tokenizer and chat template"
            )
        return ratio_estimate(self.nll - other.nll, self.tokens.astype(np.float64), varies="examples")


def heldout_loss(
    lm: LM,
    examples: Sequence[Example],
    max_tokens_per_microbatch: int,
    fix: str = "its weights are damaged: use another checkpoint",
) -> HeldOut:
    """The loss of every example, without gradients; UserError, which ends in ``fix``, if one is not finite.

    Several processes (torchrun) compute a share each.
    """
    from rlready.models.frozen import frozen_logprobs  # imports torch, which tables of samples do not need

    mine = share(examples)
    logprobs = frozen_logprobs([lm.model], mine, max_tokens_per_microbatch=max_tokens_per_microbatch)[0]
    nll = np.array(united([-float(part.sum(dtype=np.float64)) for part in logprobs]))
    tokens = np.array([e.learned for e in examples], dtype=np.int64)
    if not np.isfinite(nll).all():
        raise UserError(f"{lm.source}: the held-out loss is not finite; {fix}")
    return HeldOut(nll, tokens)
