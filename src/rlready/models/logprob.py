"""Token log-probabilities by the forward pass of the module, which works for every model.

``models/llama/logprob.py`` computes the same faster for models of the Llama family.  Log-probabilities are those at the
sampling temperature.  Shapes: B rows, L columns, N scored tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlready.models.batch import Example
from rlready.models.lm import head_of
from rlready.models.scoring import chosen_ids, score


def token_logprobs(model: Any, rows: Sequence[Example], temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy, both (N,) in nats, of the chosen tokens of the rows, row by row.

    Raises ValueError for a chosen token without context (a row without prompt).  The entropy carries no gradient.
    """
    backbone, head = head_of(model)
    ids_BL, chosen_BL = padded(rows, head.weight.device)
    hidden_BLD = backbone(input_ids=ids_BL, use_cache=False).last_hidden_state
    hidden_ND = hidden_BLD[:, :-1][chosen_BL[:, 1:]]  # the state at t predicts the token at t + 1
    return score(head, hidden_ND, chosen_ids(rows, head.weight.device), temperature, head.weight.shape[0])


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
