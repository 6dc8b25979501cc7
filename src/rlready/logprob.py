"""Token log-probabilities: the only place where they are computed for training and scoring.

fp32 log-softmax over the full vocabulary at the sampling temperature; the head runs only on the positions
asked for, in chunks that are recomputed in the backward pass, so that memory does not grow with the
vocabulary.  Shapes: B rows, L columns, N scored tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlready.lm import head_of

CHUNK_ELEMENTS = 1 << 24  # logits held at once: 64 MiB in fp32


def token_logprobs(model: Any, ids_BL: Tensor, scored_BL: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy, both (N,) in nats, of the tokens at ``scored_BL``, row by row.

    Rows are padded on the right; causal attention then needs no mask, and what stands in the padding cannot
    reach a scored token.  A token in column 0 has no context and must not be scored (ValueError).  The
    entropy carries no gradient.
    """
    if bool(scored_BL[:, 0].any()):
        raise ValueError("the first token of a row cannot be scored")
    at_BL = scored_BL[:, 1:]
    backbone, head = head_of(model)
    hidden_ND = backbone(input_ids=ids_BL, use_cache=False).last_hidden_state[:, :-1][at_BL]
    targets_N = ids_BL[:, 1:][at_BL]
    size = max(1, CHUNK_ELEMENTS // head.weight.shape[0])
    parts = [
        _score(head, hidden, targets, temperature, len(targets_N) > size)
        for hidden, targets in zip(hidden_ND.split(size), targets_N.split(size), strict=True)
    ]
    if not parts:
        return hidden_ND.new_zeros(0), hidden_ND.new_zeros(0)
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _score(head: Any, hidden_ND: Tensor, targets_N: Tensor, temperature: float, again: bool) -> tuple[Tensor, Tensor]:
    def chunk(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logp_NV = torch.log_softmax(head(hidden).float() / temperature, dim=-1)
        with torch.no_grad():
            entropy_N = -(logp_NV.exp() * logp_NV).sum(-1)
        return logp_NV.gather(-1, targets[:, None])[:, 0], entropy_N

    if again and torch.is_grad_enabled():
        return cast("tuple[Tensor, Tensor]", checkpoint(chunk, hidden_ND, targets_N, use_reentrant=False))
    return chunk(hidden_ND, targets_N)
