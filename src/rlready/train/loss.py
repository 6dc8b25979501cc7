"""The one loss: token-weighted log-likelihood, with a clipped ratio where the data are not the policy's own.

    L = − Σ w_t · min(ρ_t A_t, clip(ρ_t, 1−ε_low, 1+ε_high) A_t) + β Σ w_t · k3_t

with ρ = π_θ/π_old.  SFT is A = 1 and the plain log-likelihood in place of ρ A, which has the same gradient.  On
the first update after a rollout ρ ≡ 1: π_old is then the detached log-prob itself and no second forward pass
is needed.  Forced tokens never reach this function.  All arguments are (N,), one value per chosen token.
"""

from __future__ import annotations

import torch
from torch import Tensor


def likelihood_loss(logp_N: Tensor, advantage_N: Tensor, weight_N: Tensor) -> Tensor:
    """− Σ w A log π: SFT where A = 1."""
    return -(weight_N * advantage_N * logp_N).sum()


def policy_loss(
    logp_N: Tensor,
    advantage_N: Tensor,
    weight_N: Tensor,
    old_N: Tensor | None = None,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> tuple[Tensor, Tensor]:
    """(loss, share of tokens whose ratio was clipped)."""
    ratio_N = torch.exp(logp_N - (logp_N.detach() if old_N is None else old_N))
    clipped_N = ratio_N.clamp(1 - clip_low, 1 + clip_high)
    plain, bounded = ratio_N * advantage_N, clipped_N * advantage_N
    share = (bounded < plain).sum() / max(1, len(logp_N))
    return -(weight_N * torch.minimum(plain, bounded)).sum(), share.detach()


def kl_penalty(logp_N: Tensor, reference_N: Tensor, weight_N: Tensor) -> Tensor:
    """Σ w (exp(d) − 1 − d) with d = log π_ref − log π: Schulman's k3 estimate of KL(π ‖ π_ref), as in GRPO.

    The estimate holds for the value; its gradient on the policy's own samples is that of KL(π_ref ‖ π), a leash of
    another shape.  Left out: weighting it by the ratio, which some trainers do to correct the gradient.
    """
    d_N = reference_N - logp_N
    return (weight_N * (torch.exp(d_N) - 1 - d_N)).sum()
