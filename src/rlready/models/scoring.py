"""Log-softmax at the chosen tokens, and the entropy: fp32 (fp64 for a model in it), over the full vocabulary.

The head runs only on the positions asked for, in chunks.  Where the probabilities of all chunks are too many to keep,
the backward pass computes them again, so that memory does not grow with the vocabulary.  ``gpu_softmax.py`` has the
arithmetic for a GPU.  Shapes: N scored tokens, D
hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlready.core.stopping import heed_stop
from rlready.models.batch import Example
from rlready.models.gpu_softmax import chosen_logprobs, logits_gradient
from rlready.models.llama.fused import at_least_float
from rlready.models.log_softmax import log_softmax

CHUNK_ELEMENTS = 1 << 24  # logits of a chunk: 64 MiB in fp32
KEPT_ELEMENTS = 1 << 28  # probabilities kept for the backward pass: 1 GiB
GPU_CHUNKS, GPU_KEPT = 128, 16  # a GPU's chunk and what it keeps may have these parts of its memory, in bytes


def chosen_ids(rows: Sequence[Example], device: str | torch.device) -> Tensor:
    """(N,) ids of the chosen tokens, row by row; ValueError for one without context."""
    if any(not r.prompt_ids and r.mask[:1].any() for r in rows):
        raise ValueError("the first token of a row cannot be scored")
    chosen = np.concatenate([np.asarray(r.response_ids)[r.mask.astype(bool)] for r in rows]).astype(np.int64)
    return torch.from_numpy(chosen).to(device)


def score(
    head: Callable[[Tensor], Tensor], hidden_ND: Tensor, targets_N: Tensor, temperature: float, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """Log-probability of the targets and entropy, both (N,), after hidden states; ``head`` gives (n, V) logits."""
    chunk, kept = _elements(hidden_ND)
    size = max(1, chunk // vocabulary)
    again = len(targets_N) * vocabulary > kept
    parts = [
        _chunk(head, hidden, targets, temperature, again)
        for hidden, targets in zip(hidden_ND.split(size), targets_N.split(size), strict=True)
    ]
    if not parts:
        return hidden_ND.new_zeros(0), hidden_ND.new_zeros(0)
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _elements(hidden_ND: Tensor) -> tuple[int, int]:
    """How many logits a chunk may have, and how many probabilities are kept."""
    if not hidden_ND.is_cuda:
        return CHUNK_ELEMENTS, KEPT_ELEMENTS
    memory = torch.cuda.get_device_properties(hidden_ND.device).total_memory
    return memory // GPU_CHUNKS // 4, memory // GPU_KEPT // 2


def _chunk(
    head: Callable[[Tensor], Tensor], hidden_ND: Tensor, targets_N: Tensor, temperature: float, again: bool
) -> tuple[Tensor, Tensor]:
    def chunk(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return cast(
            "tuple[Tensor, Tensor]",
            _Chosen.apply(head(hidden), targets, temperature),  # type: ignore[no-untyped-call]
        )

    if again and torch.is_grad_enabled():
        return cast("tuple[Tensor, Tensor]", checkpoint(chunk, hidden_ND, targets_N, use_reentrant=False))
    return chunk(hidden_ND, targets_N)


class _Chosen(torch.autograd.Function):
    """Log-softmax at the chosen tokens, and the entropy, with few passes over the vocabulary.

    The gradient of a chosen token's log-probability is (its indicator − the probabilities) / temperature.
    """

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, targets_N: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        heed_stop()
        ctx.temperature, ctx.dtype = temperature, logits_NV.dtype
        if logits_NV.is_cuda:
            chosen_N, entropy_N, normaliser_N = chosen_logprobs(logits_NV, targets_N, temperature)
            ctx.save_for_backward(logits_NV, targets_N, normaliser_N)
            ctx.mark_non_differentiable(entropy_N)
            return chosen_N, entropy_N
        wide_NV = at_least_float(logits_NV)
        logp_NV = log_softmax(wide_NV if temperature == 1 else wide_NV / temperature)
        p_NV = logp_NV.exp()
        ctx.save_for_backward(p_NV, targets_N)
        entropy_N = -torch.linalg.vecdot(p_NV, logp_NV)
        ctx.mark_non_differentiable(entropy_N)
        return logp_NV.gather(-1, targets_N[:, None])[:, 0], entropy_N

    @staticmethod
    def backward(ctx: Any, grad_N: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        if grad_N.is_cuda:
            logits_NV, targets_N, normaliser_N = ctx.saved_tensors
            return logits_gradient(logits_NV, targets_N, normaliser_N, grad_N, ctx.temperature), None, None
        p_NV, targets_N = ctx.saved_tensors
        scaled_N1 = (grad_N / ctx.temperature)[:, None]
        grad_NV = (p_NV * -scaled_N1).scatter_add_(1, targets_N[:, None], scaled_N1)
        return grad_NV.to(ctx.dtype), None, None
