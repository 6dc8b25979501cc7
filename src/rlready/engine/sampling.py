"""Counter-based randomness and inverse-CDF sampling.

The uniform number of a draw depends on (seed, problem id, sample id, position in the response) alone, never
on the batch, its order, its layout or the budget.  A sample is therefore the same in every batch, and with
a smaller budget it is the beginning of the same trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlready.models.llama.kernels import call, serves
from rlready.models.log_softmax import log_softmax

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def stream_key(seed: int, problem_id: str, sample_id: int) -> int:
    """64-bit key of one sample's stream of random numbers."""
    digest = hashlib.blake2b(f"{seed}\x00{problem_id}\x00{sample_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def uniforms(keys: NDArray[np.uint64], positions: NDArray[np.uint64]) -> NDArray[np.float64]:
    """(B,) numbers in [0, 1) from (B,) keys and positions: SplitMix64 at that counter, its top 53 bits."""
    with np.errstate(over="ignore"):
        z = keys + (positions + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX1
        z = (z ^ (z >> np.uint64(27))) * _MIX2
        z = z ^ (z >> np.uint64(31))
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def draw(
    logits_BV: Tensor,
    temperature: float,
    uniforms_B: NDArray[np.float64],
    banned: Mapping[int, Collection[int]] | None = None,
    bias: tuple[int, NDArray[np.float64]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens and their log-probabilities, both (B,); temperature 0 takes the most likely token.

    ``banned``: by row, tokens that may not be drawn.  ``bias``: a token, and for each row (B,) the nats added to
    its log-odds.  The log-probability is that of the policy without ban and bias, as training computes it.

    Inverse CDF in double precision: the token is the first whose cumulative probability exceeds the uniform
    number, so two computations of one draw differ only if that number lies within their rounding error of a
    boundary.  The log-probability is that of the tempered distribution (at temperature 0, of the plain one).
    """
    if temperature and not banned and not bias and serves(logits_BV):
        tokens_B = torch.empty(len(logits_BV), dtype=torch.long)
        logprobs_B, at_B = logits_BV.new_empty(len(logits_BV)), torch.from_numpy(uniforms_B)
        call("draw", *logits_BV.shape, logits_BV.contiguous(), temperature, at_B, tokens_B, logprobs_B)
        return tokens_B, logprobs_B
    logp_BV = log_softmax(logits_BV.float() / (temperature or 1.0))
    allowed_BV = logp_BV.clone() if banned or bias else logp_BV
    if bias:
        allowed_BV[:, bias[0]] += torch.from_numpy(bias[1]).to(allowed_BV)
    for row, tokens in (banned or {}).items():
        allowed_BV[row, list(tokens)] = float("-inf")
    if temperature == 0:
        tokens_B = allowed_BV.argmax(-1)
    else:
        cdf_BV = allowed_BV.double().exp_().cumsum_(-1)
        u_B1 = torch.from_numpy(uniforms_B).to(cdf_BV.device)[:, None] * cdf_BV[:, -1:]
        tokens_B = torch.searchsorted(cdf_BV, u_B1, right=True)[:, 0].clamp_(max=logp_BV.shape[-1] - 1)
    return tokens_B, logp_BV.gather(-1, tokens_B[:, None])[:, 0]
