"""Prompts whose keys and values are shared by all rows that continue them.

Attention of a row's new token over its prompt is then one product for all rows of the prompt.  Shapes: B rows, P
prompts of at most L tokens, K key heads for S query heads each, D their width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlready.models.llama.kernels import MULTIPLE


class Prompts:
    """Keys and values of the prompts, and the prompt of each row."""

    def __init__(self, keys: list[Tensor], values: list[Tensor], valid_PL: Tensor, owner_B: Tensor) -> None:
        """Keys and values per layer (P, K, L, D)."""
        self.length = valid_PL.shape[1]
        self.columns = [self._columns(k) for k in keys]  # keys as (P, K, D, L and zeros)
        self.values, self.valid_PL, self.owner_B = values, valid_PL, owner_B
        self._index()

    @staticmethod
    def _columns(keys: Tensor) -> Tensor:
        prompts, heads, length, width = keys.shape
        columns = keys.new_zeros(prompts, heads, width, -(-length // MULTIPLE) * MULTIPLE)
        columns[..., :length] = keys.transpose(2, 3)
        return columns

    def keys(self, layer: int) -> Tensor:
        """(P, K, D, L)."""
        return self.columns[layer][..., : self.length]

    def select(self, rows: Tensor) -> None:
        self.owner_B = self.owner_B[rows]
        present, owner_B = self.owner_B.unique(return_inverse=True)
        if len(present) < len(self.valid_PL):
            self.columns, self.values = ([t.index_select(0, present) for t in ts] for ts in (self.columns, self.values))
            self.valid_PL, self.owner_B = self.valid_PL[present], owner_B
        self._index()

    def _index(self) -> None:
        """Give each row a slot in a table (prompt, place among its rows): the rows of a prompt are one product."""
        rows, prompts = len(self.owner_B), len(self.valid_PL)
        order = self.owner_B.argsort(stable=True)
        counts = self.owner_B.bincount(minlength=prompts)
        first = counts.cumsum(0) - counts
        place = torch.empty_like(order)
        place[order] = torch.arange(rows, device=order.device) - first[self.owner_B[order]]
        self.most = int(counts.max())
        slot_B = self.owner_B * self.most + place
        straight = rows == prompts * self.most and bool((slot_B == torch.arange(rows, device=slot_B.device)).all())
        self.slot_B = None if straight else slot_B

    def spread(self, x: Tensor) -> Tensor:
        """(B, K, S, D) as (P, K, most * S, D); slots without a row are zero."""
        prompts, (_, heads, shared, width) = len(self.valid_PL), x.shape
        if self.slot_B is not None:
            x = x.new_zeros(prompts * self.most, *x.shape[1:]).index_copy_(0, self.slot_B, x)
        x = x.view(prompts, self.most, heads, shared, width).transpose(1, 2)
        return x.reshape(prompts, heads, self.most * shared, width)

    def gather(self, x: Tensor, shared: int) -> Tensor:
        """The inverse of `spread`: (P, K, most * S, W) as (B, K, S, W)."""
        prompts, heads, _, width = x.shape
        x = x.view(prompts, heads, self.most, shared, width).transpose(1, 2)
        x = x.reshape(prompts * self.most, heads, shared, width)
        return x if self.slot_B is None else x.index_select(0, self.slot_B)
