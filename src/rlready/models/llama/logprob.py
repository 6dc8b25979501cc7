"""Token log-probabilities over packed rows: every prompt once, no padding; equal to `models.logprob.token_logprobs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rlready.models.batch import Example
from rlready.models.llama.forward import hidden_states
from rlready.models.llama.packing import pack
from rlready.models.lm import head_of
from rlready.models.scoring import chosen_ids, score


def packed_logprobs(model: Any, rows: Sequence[Example], temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy, both (N,) in nats, of the chosen tokens of the rows, row by row.

    For models that ``support.supports``.  Raises ValueError for a chosen token without context (a row without prompt).
    The entropy carries no gradient.
    """
    _, head = head_of(model)
    targets_N = chosen_ids(rows, head.weight.device)
    packed = pack(rows, head.weight.device)
    # as indexing would, but with a backward pass that adds in one order, whatever the number of threads
    hidden_ND = hidden_states(model, packed).index_select(0, packed.context_index)
    return score(head, hidden_ND, targets_N, temperature, head.weight.shape[0])
