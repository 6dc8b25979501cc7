"""Hidden states for training: the prompt of a group encoded once, and no padding where it costs.

Rows that share a prompt share its tokens: attention of a response runs over [prompt | own tokens], the gradient of the
prompt's keys and values is the sum over its rows, so losses and gradients are exactly those of repeated prompts.  All
products run over packed tokens; only attention pads.  The last token of a row predicts nothing and is not fed.

For the Llama family only (the decoder's ``supports``); other models go through their own forward, prompts repeated.
Shapes: N packed tokens, P prompts of at most L tokens, B rows of at most T response tokens, K key heads for S query
heads each, D their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from rlready import elementwise
from rlready.batch import Example
from rlready.engine.decoder import head_width
from rlready.engine.llama import supports


@dataclass(frozen=True)
class Packed:
    """Rows laid out for one forward: prompts first, then responses, without padding.

    ``at_prompt`` and ``at_response`` are the places of the packed tokens in their padded (P, L) and (B, T) tables;
    ``prompt_PL`` and ``response_BT`` the packed token of every place, and some token in the padding.
    """

    ids_N: Tensor
    positions_N: Tensor
    at_prompt: Tensor
    at_response: Tensor
    prompt_PL: Tensor
    response_BT: Tensor
    owner_B: Tensor
    prompt_mask_PL: Tensor  # True where a token is
    context_of: Tensor  # the packed token whose hidden state predicts each scored token


def pack(rows: Sequence[Example], device: str | torch.device) -> Packed:
    """Lay out rows; where no prompt is shared, a row is one piece, prompt and response together."""
    own = [tuple(r.prompt_ids) for r in rows]
    shared = len(set(own)) < len(own) and all(own)
    prompts = list(dict.fromkeys(own)) if shared else []
    owner = [prompts.index(p) for p in own] if shared else [0] * len(own)
    before = [len(p) if shared else 0 for p in own]
    pieces = [r.response_ids[:-1] if shared else [*p, *r.response_ids[:-1]] for r, p in zip(rows, own, strict=True)]
    sizes, lengths = [len(p) for p in prompts], [len(p) for p in pieces]
    ends = np.cumsum([*sizes, *lengths])  # of every piece among the packed tokens

    context = []
    for i, row in enumerate(rows):
        # the token before a scored one: in the row's piece, or the last of its prompt
        place = np.flatnonzero(row.mask) + len(own[i]) - before[i] - 1
        begin = ends[len(prompts) + i] - lengths[i]
        context.append(np.where(place < 0, ends[owner[i]] - 1, begin + place))

    def tensor(parts: Sequence[ArrayLike]) -> Tensor:
        return torch.from_numpy(np.concatenate([np.zeros(0), *parts]).astype(np.int64)).to(device)

    def table(lengths: Sequence[int], width: int, first: int) -> tuple[Tensor, Tensor]:
        """Places of packed pieces in their table, and the token of every place; the pieces' tokens begin at one."""
        places = tensor([np.arange(n) + i * width for i, n in enumerate(lengths)])
        tokens = torch.zeros(len(lengths) * width, dtype=torch.long, device=device)
        tokens[places] = torch.arange(first, first + len(places), device=device)
        return places, tokens.view(len(lengths), width)

    longest, widest = max(sizes, default=0), max(1, *lengths)
    at_prompt, prompt_PL = table(sizes, longest, 0)
    at_response, response_BT = table(lengths, widest, sum(sizes))
    return Packed(
        ids_N=tensor([*prompts, *pieces]),
        positions_N=tensor([*map(np.arange, sizes), *(np.arange(n) + b for n, b in zip(lengths, before, strict=True))]),
        at_prompt=at_prompt,
        at_response=at_response,
        prompt_PL=prompt_PL,
        response_BT=response_BT,
        owner_B=tensor([owner]),
        prompt_mask_PL=torch.arange(longest, device=device) < tensor([sizes])[:, None],
        context_of=tensor(context),
    )


class Operations:
    """All that a backbone does with its parameters: where a subclass can stand between them and the tokens."""

    def embed(self, ids_N: Tensor, weight: Tensor) -> Tensor:
        """(N, hidden) rows of the embedding."""
        return F.embedding(ids_N, weight)

    def linear(self, x: Tensor, layer: Any) -> Tensor:
        """(N, out) products with a layer's weight, its bias added."""
        y: Tensor = layer(x)
        return y

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """RMS norm over the last dimension."""
        return elementwise.norm(x, weight, eps)


PLAIN = Operations()


def hidden_states(model: Any, packed: Packed, operations: Operations = PLAIN) -> Tensor:
    """(N, hidden) after the last norm, with gradients to the model's parameters."""
    embed, linear, norm = operations.embed, operations.linear, operations.norm
    backbone, config = model.model, model.config
    width = head_width(config)
    x = embed(packed.ids_N, backbone.embed_tokens.weight)
    cos, sin = (t[0][:, None] for t in backbone.rotary_emb(x, packed.positions_N[None]))
    sin = torch.cat([-sin[..., : width // 2], sin[..., width // 2 :]], -1)
    attend = _Attention(packed, x)
    for layer in backbone.layers:
        attention, mlp = layer.self_attn, layer.mlp
        normed = norm(x, layer.input_layernorm.weight, config.rms_norm_eps)
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        q, k, v = (linear(normed, p).view(len(x), -1, width) for p in projections)
        if hasattr(attention, "q_norm"):
            q = norm(q, attention.q_norm.weight, config.rms_norm_eps)
            k = norm(k, attention.k_norm.weight, config.rms_norm_eps)
        mixed = attend(elementwise.rotate(q, cos, sin), elementwise.rotate(k, cos, sin), v)
        x = x + linear(mixed, attention.o_proj)
        normed = norm(x, layer.post_attention_layernorm.weight, config.rms_norm_eps)
        opened = elementwise.gated(linear(normed, mlp.gate_proj), linear(normed, mlp.up_proj))
        x = x + linear(opened, mlp.down_proj)
    return norm(x, backbone.norm.weight, config.rms_norm_eps)


class _Attention:
    """Causal attention over packed tokens, rows behind their shared prompts."""

    def __init__(self, packed: Packed, like: Tensor) -> None:
        self.packed, self.seen_BS = packed, packed.response_BT  # S columns: a row's own tokens, its prompt's in front
        self.mask: Tensor | None = None
        if len(packed.prompt_PL):
            rows, width = packed.response_BT.shape
            self.seen_BS = torch.cat([packed.prompt_PL[packed.owner_B], packed.response_BT], dim=1)
            causal = torch.ones(width, width, dtype=torch.bool, device=like.device).tril()
            prompt = packed.prompt_mask_PL[packed.owner_B][:, None].expand(-1, width, -1)
            allowed = torch.cat([prompt, causal.expand(rows, -1, -1)], dim=-1)
            self.mask = torch.zeros(allowed.shape, dtype=like.dtype, device=like.device)
            self.mask = self.mask.masked_fill_(~allowed, float("-inf"))[:, None]

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(N, heads, D), (N, K, D), (N, K, D) to (N, heads * D)."""
        p = self.packed
        gqa, alone = q.shape[1] != k.shape[1], self.mask is None
        (q_P, q_B), (k_P, k_B), (v_P, v_B) = (
            _tables(t, p, p.response_BT if t is q else self.seen_BS) for t in (q, k, v)
        )
        mixed = F.scaled_dot_product_attention(q_B, k_B, v_B, self.mask, is_causal=alone, enable_gqa=gqa)
        rows = _untable(mixed, p.at_response)
        if alone:
            return rows
        prompts = F.scaled_dot_product_attention(q_P, k_P, v_P, is_causal=True, enable_gqa=gqa)
        return torch.cat([_untable(prompts, p.at_prompt), rows])


class _Tables(torch.autograd.Function):
    """Packed tokens (N, ...) in tables of prompts (P, L, ...) and of rows (B, T or S, ...).

    What padding stands for gets no gradient, a prompt's token the sum of what it gets in all places.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Packed, table_BS: Tensor) -> tuple[Tensor, Tensor]:
        ctx.packed = packed
        prompts, rows = (
            x.index_select(0, t.flatten()).view(*t.shape, *x.shape[1:]) for t in (packed.prompt_PL, table_BS)
        )
        return prompts, rows

    @staticmethod
    def backward(ctx: Any, prompts: Tensor, rows: Tensor) -> tuple[Tensor, None, None]:
        p: Packed = ctx.packed
        ahead = rows.shape[1] - p.response_BT.shape[1]
        own = rows[:, ahead:].flatten(0, 1).index_select(0, p.at_response)
        if ahead:  # the sum over a prompt's rows, as a product, is several times as fast as index_add
            owns_PB = F.one_hot(p.owner_B, len(prompts)).t().to(rows)
            prompts = torch.addmm(prompts.flatten(1), owns_PB, rows[:, :ahead].flatten(1)).view_as(prompts)
        if len(prompts):
            own = torch.cat([prompts.flatten(0, 1).index_select(0, p.at_prompt), own])
        return own, None, None


def _tables(x: Tensor, packed: Packed, table_BS: Tensor) -> tuple[Tensor, Tensor]:
    """(N, H, D) packed tokens as (P, H, L, D) and (B, H, S, D)."""
    prompts, rows = _Tables.apply(x, packed, table_BS)  # type: ignore[no-untyped-call]
    return prompts.transpose(1, 2), rows.transpose(1, 2)


def _untable(x: Tensor, places: Tensor) -> Tensor:
    """(rows, H, columns, D) back to packed (n, H * D)."""
    found: Tensor = _Gather.apply(x.transpose(1, 2).flatten(0, 1).flatten(1), places)  # type: ignore[no-untyped-call]
    return found


class _Gather(torch.autograd.Function):
    """Packed tokens from their distinct places in a table; the gradient goes back without atomics."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(table)
        return table.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        table = grad.new_zeros(ctx.size, *grad.shape[1:])
        return table.index_copy_(0, ctx.saved_tensors[0], grad), None


__all__ = ["Operations", "Packed", "hidden_states", "pack", "supports"]
