"""Rows laid out for one forward pass of training: every prompt once, then the responses, without padding.

Rows that share a prompt share its tokens.  The last token of a row predicts nothing and is left out.  Shapes: N packed
tokens, S segments (the prompts, then the rows), Q queries of the last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rlready.models.batch import Example


@dataclass(frozen=True)
class Packed:
    """Where no prompt is shared, a row is one segment, prompt and response together, and there are no prompts.

    ``prompt_lengths`` and ``row_lengths`` are in tokens, ``prompt_index`` is the prompt of each row.  ``query_index``
    (Q,) are the packed tokens whose final hidden state is needed to score a token: those of a segment from the first
    on that predicts a scored one; ``num_queries`` (S,) is how many they are in each segment.  ``context_index`` are the
    places in ``query_index`` of the tokens that predict each scored one.
    """

    ids_N: Tensor
    positions_N: Tensor
    prompt_lengths: tuple[int, ...]
    row_lengths: tuple[int, ...]
    prompt_index: tuple[int, ...]
    num_queries: NDArray[np.int64]
    query_index: Tensor
    context_index: Tensor

    @cached_property
    def cu_seqlens(self) -> NDArray[np.int64]:
        """(S + 1,) where each segment begins among the packed tokens, and where the last one ends."""
        return _cumulative(np.array([*self.prompt_lengths, *self.row_lengths], dtype=np.int64))

    @cached_property
    def segments(self) -> Tensor:
        """(S, 6) per segment: begin and length, begin and number of its queries, begin and length of its prompt."""
        return self._segments(np.diff(self.cu_seqlens))

    @cached_property
    def query_segments(self) -> Tensor:
        """The same if only the tokens of ``query_index`` are queries."""
        return self._segments(self.num_queries)

    def _segments(self, num_queries: NDArray[np.int64]) -> Tensor:
        begins, lengths, firsts = self.cu_seqlens[:-1], np.diff(self.cu_seqlens), _cumulative(num_queries)[:-1]
        prompts, owner = len(self.prompt_lengths), list(self.prompt_index) if self.prompt_lengths else []
        ahead = np.zeros((len(lengths), 2), dtype=np.int64)
        ahead[prompts : prompts + len(owner)] = np.stack([begins, lengths], 1)[owner]
        return torch.from_numpy(np.column_stack([begins, lengths, firsts, num_queries, ahead]).astype(np.int64))


def pack(rows: Sequence[Example], device: str | torch.device) -> Packed:
    """Lay out rows; rows that share a prompt should be neighbours."""
    own = [tuple(r.prompt_ids) for r in rows]
    shared = len(set(own)) < len(own) and all(own)
    prompts = list(dict.fromkeys(own)) if shared else []
    places = {prompt: i for i, prompt in enumerate(prompts)}
    owner = [places[p] for p in own] if shared else [0] * len(own)
    before = [len(p) if shared else 0 for p in own]
    fed = [r.response_ids[:-1] if shared else [*p, *r.response_ids[:-1]] for r, p in zip(rows, own, strict=True)]
    prompt_lengths, row_lengths = [len(p) for p in prompts], [len(p) for p in fed]
    ends = np.cumsum([*prompt_lengths, *row_lengths])

    contexts, num_queries = [], np.zeros(len(ends), dtype=np.int64)
    for i, row in enumerate(rows):
        # the token before a scored one: in the row's segment, or the last of its prompt
        at, place = len(prompts) + i, np.flatnonzero(row.mask) + len(own[i]) - before[i] - 1
        contexts.append(np.where(place < 0, ends[owner[i]] - 1, ends[at] - row_lengths[i] + place))
        if (place < 0).any():
            num_queries[owner[i]] = 1
        if (place >= 0).any():
            num_queries[at] = row_lengths[i] - place[place >= 0].min()
    query_index = np.concatenate([np.zeros(0), *map(np.arange, ends - num_queries, ends)])

    def tensor(parts: Sequence[ArrayLike]) -> Tensor:
        return torch.from_numpy(np.concatenate([np.zeros(0), *parts]).astype(np.int64)).to(device)

    positions = [np.arange(n) + b for n, b in zip(row_lengths, before, strict=True)]
    return Packed(
        ids_N=tensor([*prompts, *fed]),
        positions_N=tensor([*map(np.arange, prompt_lengths), *positions]),
        prompt_lengths=tuple(prompt_lengths),
        row_lengths=tuple(row_lengths),
        prompt_index=tuple(owner),
        num_queries=num_queries,
        query_index=tensor([query_index]),
        context_index=tensor([np.searchsorted(query_index, np.concatenate([np.zeros(0), *contexts]))]),
    )


def _cumulative(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], lengths.cumsum()])
