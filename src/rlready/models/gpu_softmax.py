"""Log-softmax at chosen tokens, entropy and their gradient on a GPU: one pass over the logits each way.

What is kept for the backward pass are the logits as the head gave them, half as large in bfloat16 as the probabilities.
Shapes: N tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlready.core.compiled import compiled


@compiled
def chosen_logprobs(logits_NV: Tensor, targets_N: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """(log-probability, entropy, log of the normaliser), each (N,), in fp32."""
    wide_NV = logits_NV.float() / temperature
    normaliser_N = wide_NV.logsumexp(-1)
    mean_N = ((wide_NV - normaliser_N[:, None]).exp() * wide_NV).sum(-1)
    chosen_N = wide_NV.gather(-1, targets_N[:, None])[:, 0]
    return chosen_N - normaliser_N, normaliser_N - mean_N, normaliser_N


@compiled
def logits_gradient(
    logits_NV: Tensor, targets_N: Tensor, normaliser_N: Tensor, grad_N: Tensor, temperature: float
) -> Tensor:
    """(N, V) gradient of Σ grad · log-probability by the logits: (indicator − probability) · grad / temperature."""
    p_NV = (logits_NV.float() / temperature - normaliser_N[:, None]).exp()
    places_V = torch.arange(logits_NV.shape[-1], device=logits_NV.device)
    indicator_NV = (places_V == targets_N[:, None]).float()
    return ((indicator_NV - p_NV) * (grad_N / temperature)[:, None]).to(logits_NV.dtype)
