"""Causal attention in training: rows attend to their shared prompt and to themselves, rotary positions included.

It is one kernel over packed tokens if ``kernels.serves``, else torch's attention over padded tables of prompts and of
rows.  Shapes: N packed tokens, Q of them queries, P prompts of at most L tokens, B rows of at most T response tokens, K
key heads for H query heads, D their width.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.models.llama.fused import gather, rotate
from rlready.models.llama.kernels import call, serves
from rlready.models.llama.packing import Packed


class Attention:
    """Attention of all layers in one forward pass; cos and sin (N, D/2), contiguous."""

    def __init__(self, packed: Packed, cos_ND: Tensor, sin_ND: Tensor) -> None:
        self.packed, self.cos_ND, self.sin_ND = packed, cos_ND, sin_ND

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, query_index: Tensor | None = None) -> Tensor:
        """(Q, H, D), (N, K, D), (N, K, D) to (Q, H * D).

        ``query_index`` (Q,) gives the packed tokens of the queries, as `Packed.query_index`; None means all N tokens.
        """
        if serves(q, q.shape[-1]):
            mixed: Tensor = _Kernel.apply(q, k, v, self, query_index is not None)  # type: ignore[no-untyped-call]
            return mixed.flatten(1)
        if query_index is None:
            return self._tables(q, k, v)
        q_N = q.new_zeros(len(k), *q.shape[1:]).index_copy(0, query_index, q)
        return self._tables(q_N, k, v).index_select(0, query_index)

    @cached_property
    def _tables(self) -> _Tables:
        return _Tables(self.packed, self.cos_ND, self.sin_ND)


class _Kernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, attention: Attention, some: bool) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        mixed, sums = torch.empty_like(q), q.new_empty(q.shape[:2])
        ctx.save_for_backward(q, k, v, mixed, sums)
        ctx.attention, ctx.some = attention, some
        call("attention_forward", *_Kernel._tokens(ctx, q, k, v), mixed, sums)
        return mixed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, mixed, sums = ctx.saved_tensors
        to_q, to_k, to_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        tokens = _Kernel._tokens(ctx, q, k, v)
        call("attention_backward", *tokens, mixed, sums, grad.contiguous(), to_q, to_k, to_v)
        return to_q, to_k, to_v, None, None

    @staticmethod
    def _tokens(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor | float, ...]:
        """The first arguments of the forward and the backward kernel."""
        attention, width = ctx.attention, q.shape[-1]
        segments = attention.packed.query_segments if ctx.some else attention.packed.segments
        sizes = (len(segments), segments, q.shape[1], k.shape[1], width)
        return *sizes, q, k, v, attention.cos_ND, attention.sin_ND, width**-0.5


class _Tables:
    """The same by torch's attention.  ``prompt_PL`` and ``seen_BS`` give the packed token of every place (an arbitrary
    one in the padding), ``at_prompt`` and ``at_response`` the places of the packed tokens in (P, L) and (B, T)."""

    def __init__(self, packed: Packed, cos_ND: Tensor, sin_ND: Tensor) -> None:
        device = cos_ND.device
        self.cos = torch.cat([cos_ND, cos_ND], -1)[:, None]
        self.sin = torch.cat([-sin_ND, sin_ND], -1)[:, None]
        self.at_prompt, self.prompt_PL = _table(packed.prompt_lengths, 0, device)
        self.at_response, response_BT = _table(packed.row_lengths, sum(packed.prompt_lengths), device)
        self.width, self.seen_BS, self.mask = response_BT.shape[1], response_BT, None
        self.owner_B = torch.tensor(packed.prompt_index, device=device)
        if packed.prompt_lengths:
            self.seen_BS = torch.cat([self.prompt_PL[self.owner_B], response_BT], dim=1)
            causal = torch.ones(self.width, self.width, dtype=torch.bool, device=device).tril()
            sizes = torch.tensor(packed.prompt_lengths, device=device)[:, None]
            prompt_mask_PL = torch.arange(self.prompt_PL.shape[1], device=device) < sizes
            prompt = prompt_mask_PL[self.owner_B][:, None].expand(-1, self.width, -1)
            allowed = torch.cat([prompt, causal.expand(len(response_BT), -1, -1)], dim=-1)
            mask = torch.zeros(allowed.shape, dtype=cos_ND.dtype, device=device)
            self.mask = mask.masked_fill_(~allowed, float("-inf"))[:, None]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        gqa, alone = q.shape[1] != k.shape[1], self.mask is None
        (q_P, q_B), (k_P, k_B), (v_P, v_B) = (self._spread(t, own=t is q) for t in (q, k, v))
        mask = None if self.mask is None else self.mask.to(q.dtype)
        mixed = F.scaled_dot_product_attention(q_B, k_B, v_B, mask, is_causal=alone, enable_gqa=gqa)
        rows = _untable(mixed, self.at_response)
        if alone:
            return rows
        prompts = F.scaled_dot_product_attention(q_P, k_P, v_P, is_causal=True, enable_gqa=gqa)
        return torch.cat([_untable(prompts, self.at_prompt), rows])

    def _spread(self, x: Tensor, *, own: bool) -> tuple[Tensor, Tensor]:
        """(N, H, D) packed tokens as (P, H, L, D) and (B, H, T, D), or (B, H, S, D) with the prompt's in front."""
        prompts, rows = _Spread.apply(x, self, own)  # type: ignore[no-untyped-call]
        return prompts.transpose(1, 2), rows.transpose(1, 2)


class _Spread(torch.autograd.Function):
    """Packed tokens (N, ...) in tables of prompts (P, L, ...) and of rows (B, T or S, ...).

    Padding gets no gradient; a prompt token gets the sum over all of its places.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, tables: _Tables, own: bool) -> tuple[Tensor, Tensor]:
        ctx.tables = tables
        seen_BS = tables.seen_BS[:, -tables.width :] if own else tables.seen_BS
        prompts, rows = (
            x.index_select(0, t.flatten()).view(*t.shape, *x.shape[1:]) for t in (tables.prompt_PL, seen_BS)
        )
        return prompts, rows

    @staticmethod
    def backward(ctx: Any, prompts: Tensor, rows: Tensor) -> tuple[Tensor, None, None]:
        t: _Tables = ctx.tables
        ahead = rows.shape[1] - t.width
        own = rows[:, ahead:].flatten(0, 1).index_select(0, t.at_response)
        if ahead:  # the sum over a prompt's rows, as a product, is several times as fast as index_add
            owns_PB = F.one_hot(t.owner_B, len(prompts)).t().to(rows)
            prompts = torch.addmm(prompts.flatten(1), owns_PB, rows[:, :ahead].flatten(1)).view_as(prompts)
        if len(prompts):
            own = torch.cat([prompts.flatten(0, 1).index_select(0, t.at_prompt), own])
        return own, None, None


def _untable(x: Tensor, places: Tensor) -> Tensor:
    """(rows, H, columns, D) back to packed (n, H * D)."""
    return gather(x.transpose(1, 2).flatten(0, 1).flatten(1), places)


def _table(lengths: tuple[int, ...], first: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Places of packed segments in their table, and the token of every place; their tokens begin at ``first``."""
    width = max((1, *lengths))  # attention over no columns at all fails
    sizes = torch.tensor(lengths, dtype=torch.long, device=device)
    places = torch.nonzero((torch.arange(width, device=device) < sizes[:, None]).flatten())[:, 0]
    tokens = torch.zeros(len(lengths) * width, dtype=torch.long, device=device)
    tokens[places] = torch.arange(first, first + len(places), device=device)
    return places, tokens.view(len(lengths), width)
