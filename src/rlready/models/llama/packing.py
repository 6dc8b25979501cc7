"""Rows laid out for one forward of training: every prompt once, then the responses, without padding.

Rows that share a prompt share its tokens.  The last token of a row predicts nothing and is not fed.  Shapes: N packed
tokens, R pieces (prompts, then rows).
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
    """Where no prompt is shared, a row is one piece, prompt and response together, and there are no prompts.

    ``sizes`` are the tokens of each prompt, ``lengths`` those of each row, ``owner`` the prompt of each row.  ``last``
    are the packed tokens that a last layer must go on with: those of a piece from the first on whose hidden state
    predicts a scored token; ``asked`` how many they are in each piece.  ``context_of`` are the places among ``last`` of
    the tokens that predict each scored one.
    """

    ids_N: Tensor
    positions_N: Tensor
    sizes: tuple[int, ...]
    lengths: tuple[int, ...]
    owner: tuple[int, ...]
    asked: NDArray[np.int64]
    last: Tensor
    context_of: Tensor

    @cached_property
    def pieces(self) -> Tensor:
        """(R, 6) of each piece its begin and length, the begin and number of its queries, and those of its prompt."""
        return self._pieces(np.array([*self.sizes, *self.lengths]))

    @cached_property
    def asking_pieces(self) -> Tensor:
        """The same where only ``last`` ask."""
        return self._pieces(self.asked)

    def _pieces(self, asked: NDArray[np.int64]) -> Tensor:
        lengths = np.array([*self.sizes, *self.lengths])
        begins, firsts = lengths.cumsum() - lengths, asked.cumsum() - asked
        prompts, owner = len(self.sizes), list(self.owner) if self.sizes else []
        ahead = np.zeros((len(lengths), 2), dtype=np.int64)
        ahead[prompts : prompts + len(owner)] = np.stack([begins, lengths], 1)[owner]
        return torch.from_numpy(np.column_stack([begins, lengths, firsts, asked, ahead]).astype(np.int64))


def pack(rows: Sequence[Example], device: str | torch.device) -> Packed:
    """Lay out rows; the rows of one prompt are best neighbours."""
    own = [tuple(r.prompt_ids) for r in rows]
    shared = len(set(own)) < len(own) and all(own)
    prompts = list(dict.fromkeys(own)) if shared else []
    places = {prompt: i for i, prompt in enumerate(prompts)}
    owner = [places[p] for p in own] if shared else [0] * len(own)
    before = [len(p) if shared else 0 for p in own]
    pieces = [r.response_ids[:-1] if shared else [*p, *r.response_ids[:-1]] for r, p in zip(rows, own, strict=True)]
    sizes, lengths = [len(p) for p in prompts], [len(p) for p in pieces]
    ends = np.cumsum([*sizes, *lengths])  # of every piece among the packed tokens

    context, asked = [], np.zeros(len(ends), dtype=np.int64)
    for i, row in enumerate(rows):
        # the token before a scored one: in the row's piece, or the last of its prompt
        at, place = len(prompts) + i, np.flatnonzero(row.mask) + len(own[i]) - before[i] - 1
        context.append(np.where(place < 0, ends[owner[i]] - 1, ends[at] - lengths[i] + place))
        if (place < 0).any():
            asked[owner[i]] = 1
        if (place >= 0).any():
            asked[at] = lengths[i] - place[place >= 0].min()
    last = np.concatenate([np.zeros(0), *map(np.arange, ends - asked, ends)])

    def tensor(parts: Sequence[ArrayLike]) -> Tensor:
        return torch.from_numpy(np.concatenate([np.zeros(0), *parts]).astype(np.int64)).to(device)

    return Packed(
        ids_N=tensor([*prompts, *pieces]),
        positions_N=tensor([*map(np.arange, sizes), *(np.arange(n) + b for n, b in zip(lengths, before, strict=True))]),
        sizes=tuple(sizes),
        lengths=tuple(lengths),
        owner=tuple(owner),
        asked=asked,
        last=tensor([last]),
        context_of=tensor([np.searchsorted(last, np.concatenate([np.zeros(0), *context]))]),
    )
