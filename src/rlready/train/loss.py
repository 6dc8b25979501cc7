"""The loss: token-weighted log-likelihood, with a clipped importance ratio for off-policy data.

    L = − Σ w_t · min(ρ_t A_t, clip(ρ_t, 1−ε, 1+ε_high) A_t) + β Σ w_t · k3_t

with ρ = π_θ/π_old.  SFT is A = 1 with the plain log-likelihood in place of ρ A, which has the same gradient.  A loss is
a function of one record, `LossInputs`, and the run's `LossSettings`; ``loss=pkg.module:function`` names another one.
All tensors are (N,), one value per token that the policy chose: forced tokens are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.import_path import load_object


@dataclass(frozen=True)
class LossInputs:
    """The chosen tokens of a micro-batch, each tensor (N,); log-probabilities in nats at the sampling temperature.

    Only ``policy_logprobs`` carries a gradient.  ``old_logprobs`` are the learner's before the first update after a
    rollout; in that update they are ``policy_logprobs``, detached.  ``reference_logprobs`` is None without a KL
    penalty.  ``advantages`` include the importance weights of ``importance_correction`` (`mismatch.OldPolicy`), which
    scale the policy gradient and not the KL penalty.  ``weights`` include the normaliser: the loss is a sum over tokens
    and over micro-batches.  ``sequence_ids`` gives the response of each token; all tokens of a response are in one
    micro-batch.
    """

    policy_logprobs: Tensor
    old_logprobs: Tensor
    reference_logprobs: Tensor | None
    advantages: Tensor
    weights: Tensor
    sequence_ids: Tensor


@dataclass(frozen=True)
class LossSettings:
    """The settings of the loss: the ratio is clipped to [1 − ``epsilon``, 1 + ``epsilon_high``]."""

    epsilon: float = 0.2
    epsilon_high: float = 0.2
    kl_coef: float = 0.0


@dataclass(frozen=True)
class LossOutput:
    """A scalar loss with its gradient, and the share of tokens whose ratio was clipped, for the log."""

    loss: Tensor
    clip_ratio: float = 0.0


Loss = Callable[[LossInputs, LossSettings], LossOutput]


def likelihood_loss(policy_logprobs: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
    """− Σ w A log π, which is the SFT loss if A = 1."""
    return -(weights * advantages * policy_logprobs).sum()


def policy_loss(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """PPO's clipped surrogate, plus the KL penalty if there is a reference: GRPO, Dr. GRPO, RLOO and DAPO."""
    ratio_N = torch.exp(inputs.policy_logprobs - inputs.old_logprobs)
    clipped_N = ratio_N.clamp(1 - settings.epsilon, 1 + settings.epsilon_high)
    plain_N, bounded_N = ratio_N * inputs.advantages, clipped_N * inputs.advantages
    loss = -(inputs.weights * torch.minimum(plain_N, bounded_N)).sum()
    if inputs.reference_logprobs is not None:
        penalty = kl_penalty(inputs.policy_logprobs, inputs.reference_logprobs, inputs.weights)
        loss = loss + settings.kl_coef * penalty
    clipped = (bounded_N < plain_N).sum() / max(1, len(ratio_N))
    return LossOutput(loss, float(clipped))


def kl_penalty(policy_logprobs: Tensor, reference_logprobs: Tensor, weights: Tensor) -> Tensor:
    """Σ w (exp(d) − 1 − d) with d = log π_ref − log π: Schulman's k3 estimate of KL(π ‖ π_ref), as in GRPO.

    The value estimates that divergence; its gradient on the policy's own samples is that of KL(π_ref ‖ π) instead.
    Left out: weighting it by the ratio, which some trainers do to correct the gradient.
    """
    d_N = reference_logprobs - policy_logprobs
    return (weights * (torch.exp(d_N) - 1 - d_N)).sum()


def loss_named(path: str) -> Loss:
    """`policy_loss` for the empty string, else the function at an import path; UserError if it is not a loss, and later
    if it returns none."""
    if not path:
        return policy_loss
    found = load_object("loss", path)
    try:
        inspect.signature(cast("Loss", found)).bind(None, None)
    except (TypeError, ValueError):
        raise UserError(f"loss={path}: must be a function of two arguments, (inputs, settings)") from None
    loss = cast("Loss", found)

    def checked(inputs: LossInputs, settings: LossSettings) -> LossOutput:
        output = loss(inputs, settings)
        value = output.loss if isinstance(output, LossOutput) else None
        learns = inputs.policy_logprobs.requires_grad
        if not (isinstance(value, Tensor) and value.ndim == 0 and value.requires_grad == learns):
            raise UserError(
                f"loss={path}: must return an rlready.train.loss.LossOutput whose loss is a tensor of one number, "
                "with a gradient"
            )
        return output

    return checked
