"""Token log-probabilities: the only place where they are computed for training and scoring.

Log-softmax in fp32 (fp64 for a model in it) over the full vocabulary at the sampling temperature; the head runs only
on the positions asked for, in chunks.  Where all chunks are too much to keep, the backward pass computes them again, so
that memory does not grow with the vocabulary.  Shapes: B rows, L columns, N scored tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlready.core.threads import READ, beside, split_tokens, workers
from rlready.core.timing import span
from rlready.models.batch import Batch, Example, micro_batches
from rlready.models.llama.forward import hidden_states
from rlready.models.llama.fused import at_least_float
from rlready.models.llama.packing import pack
from rlready.models.llama.support import supports
from rlready.models.lm import head_of

CHUNK_ELEMENTS = 1 << 24  # logits of a chunk: 64 MiB in fp32
KEPT_ELEMENTS = 1 << 28  # probabilities kept for the backward pass: 1 GiB


def token_logprobs(model: Any, rows: Sequence[Example], temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy, both (N,) in nats, of the chosen tokens of the rows, row by row.

    Raises ValueError for a chosen token without context (a row without prompt).  The entropy carries no gradient.
    """
    backbone, head = head_of(model)
    targets_N = chosen_ids(rows, head.weight.device)
    if supports(model):
        packed = pack(rows, head.weight.device)
        hidden_ND = hidden_states(model, packed)[packed.context_of]
    else:
        ids_BL, scored_BL = padded(rows, head.weight.device)
        hidden_ND = backbone(input_ids=ids_BL, use_cache=False).last_hidden_state[:, :-1][scored_BL[:, 1:]]
    return score(head, hidden_ND, targets_N, temperature, head.weight.shape[0])


def frozen_logprobs(
    models: Sequence[Any], rows: Sequence[Example], *, micro_tokens: int, temperature: float = 1.0
) -> list[list[NDArray[np.float32]]]:
    """Each model's log-probabilities of every row's response tokens, (T,), 0 where forced: no gradient, prompts shared.

    The models are on one device.
    """
    threads = min(workers(model, READ) if supports(model) else 1 for model in models)
    most = split_tokens(micro_tokens, threads)
    batches = list(micro_batches(rows, most, next(models[0].parameters()).device, threads))
    found = [[np.zeros(len(row.response_ids), dtype=np.float32) for row in rows] for _ in models]
    pairs = [(model, into, batch) for batch in batches for model, into in zip(models, found, strict=True)]
    beside([partial(_fill, into, model, batch, temperature) for model, into, batch in pairs], threads)
    return found


@torch.no_grad()  # of this thread alone, so it stands here
def _fill(found: list[NDArray[np.float32]], model: Any, batch: Batch, temperature: float) -> None:
    with span("frozen"):
        logp_N, _ = token_logprobs(model, batch.rows, temperature)
    parts = logp_N.float().cpu().split([row.learned for row in batch.rows])
    for i, row, part in zip(batch.index, batch.rows, parts, strict=True):
        found[i][row.mask.astype(bool)] = part.numpy()


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
    size = max(1, CHUNK_ELEMENTS // vocabulary)
    again = len(targets_N) * vocabulary > KEPT_ELEMENTS
    parts = [
        _chunk(head, hidden, targets, temperature, again)
        for hidden, targets in zip(hidden_ND.split(size), targets_N.split(size), strict=True)
    ]
    if not parts:
        return hidden_ND.new_zeros(0), hidden_ND.new_zeros(0)
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def padded(rows: Sequence[Example], device: str | torch.device) -> tuple[Tensor, Tensor]:
    """(B, L) ids of prompts and responses and which of them are chosen.

    Padded on the right: causal attention then needs no mask, and what stands in the padding reaches no scored token.
    """
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    scored = np.zeros(ids.shape, dtype=bool)
    for i, row in enumerate(rows):
        begin = len(row.prompt_ids)
        ids[i, :begin], ids[i, begin : len(row)] = row.prompt_ids, row.response_ids
        scored[i, begin : len(row)] = row.mask
    return torch.from_numpy(ids).to(device), torch.from_numpy(scored).to(device)


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
        wide_NV = at_least_float(logits_NV)
        logp_NV = torch.log_softmax(wide_NV if temperature == 1 else wide_NV / temperature, dim=-1)
        p_NV = logp_NV.exp()
        ctx.save_for_backward(p_NV, targets_N)
        ctx.temperature, ctx.dtype = temperature, logits_NV.dtype
        entropy_N = -torch.linalg.vecdot(p_NV, logp_NV)
        ctx.mark_non_differentiable(entropy_N)
        return logp_NV.gather(-1, targets_N[:, None])[:, 0], entropy_N

    @staticmethod
    def backward(ctx: Any, grad_N: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        p_NV, targets_N = ctx.saved_tensors
        scaled_N1 = (grad_N / ctx.temperature)[:, None]
        grad_NV = (p_NV * -scaled_N1).scatter_add_(1, targets_N[:, None], scaled_N1)
        return grad_NV.to(ctx.dtype), None, None
