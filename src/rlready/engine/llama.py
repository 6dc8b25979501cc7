"""The fast decoder for the Llama family (Llama, Qwen2, Qwen2.5, Qwen3, Mistral, SmolLM).

The same arithmetic as the Hugging Face forward, without its module calls: query, key and value in one product, a
preallocated cache, grouped attention without repeating keys, the head on the last column only.  The rows of one prompt
share its keys and values: attention runs over [shared prompt | own response].  The tests
compare it with the model's forward.

Rotary positions are complex numbers here: the query and key weights are stored with the two halves of a head
interleaved, so that rotating a pair is one multiplication.  A permutation common to both does not change their
products.

Left out, and left to the Hugging Face decoder: sliding windows, rotary scalings that depend on the
length, tensor-parallel or quantised weights.  Shapes: B rows, M new columns, T own columns, P prompts of L
columns; K key heads, each for S query heads of width D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.core.stopping import heed_stop
from rlready.engine.decoder import Columns
from rlready.models.llama.fused import norm
from rlready.models.llama.kernels import call, serves
from rlready.models.llama.packed_linear import Product
from rlready.models.llama.shared_prefix import Prompts
from rlready.models.llama.support import head_width, weight_of

COLUMNS = 128  # initial columns of the cache, which then doubles up to what can be needed
Attend = Callable[[int, Tensor], Tensor]  # a layer's number and its q, k, v (B, M, H + 2K, D) to (B * M, H * D)
PREFILL_TOKENS = 16384  # largest number of tokens fed at a time; limits the memory of masks and activations


class _Layer:
    """One layer's weights, fused; those of queries and keys with interleaved halves."""

    def __init__(self, layer: Any, width: int) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        normed = hasattr(attention, "q_norm")
        scale = _folded_scale(q.weight, width)  # into the queries, after their norm if there is one
        first = 1.0 if normed else scale
        qkv_bias = None if q.bias is None else self._joined(q.bias, k.bias, v.bias, width, first)
        self.qkv = Product(self._joined(weight_of(q), weight_of(k), weight_of(v), width, first), qkv_bias)
        self.out, self.gate, self.up, self.down = (
            Product(weight_of(m), m.bias) for m in (attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        )
        self.norm_in, self.norm_mid = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        self.norm_q = _interleave(attention.q_norm.weight, width) * scale if normed else None
        self.norm_k = _interleave(attention.k_norm.weight, width) if normed else None

    @staticmethod
    def _joined(q: Tensor, k: Tensor, v: Tensor, width: int, scale: float) -> Tensor:
        return torch.cat([_interleave(q, width) * scale, _interleave(k, width), v])


class LlamaWeights:
    """The weights of a model in the layout of the decoder: copies, to be made again when the model has changed.

    Those of an adapter are added to those of its base.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.width = head_width(config)
        self.layers = [_Layer(layer, self.width) for layer in model.model.layers]
        self.embedding = model.model.embed_tokens.weight
        self.head = Product(weight_of(model.lm_head))
        self.norm = model.model.norm.weight
        self.eps = config.rms_norm_eps
        self.rotary = model.model.rotary_emb
        self.scale = self.width**-0.5 / _folded_scale(self.embedding, self.width)  # that is left to multiply with

    def turns(self, columns: int) -> Tensor:
        """(columns, D/2) unit complex numbers, one per position and pair (scaled where the model scales them)."""
        positions = torch.arange(columns, device=self.embedding.device)[None]
        cos, sin = self.rotary(self.embedding.float(), positions)
        half = self.width // 2
        return torch.complex(cos[0, :, :half].float(), sin[0, :, :half].float())


class LlamaDecoder:
    """Decoder over ``LlamaWeights``."""

    def __init__(self, weights: LlamaWeights, rows: int) -> None:
        self.w = weights
        self.columns = Columns(rows, weights.embedding.device)
        self.keys: list[Tensor] = []  # per layer (B, K, T, D)
        self.values: list[Tensor] = []
        self.prompts: Prompts | None = None
        self.by_column = serves(weights.embedding, weights.width)  # the layout of the cache that the kernel reads
        self.room = 0  # largest number of columns that are expected to follow the prompts
        self.turns = torch.zeros(0, device=weights.embedding.device)

    def extend(self, ids_BM: Tensor, valid_BM: Tensor) -> Tensor:
        rows, new = ids_BM.shape
        begin = self.columns.valid_BT.shape[1]
        positions_BM = self.columns.extend(valid_BM)
        self._reserve(rows, begin + new)
        most = int(positions_BM.max()) + 1
        if most > len(self.turns):
            self.turns = self.w.turns(max(2 * most, 256))
        size = rows if new == 1 else max(1, PREFILL_TOKENS // new)
        parts = [slice(at, min(at + size, rows)) for at in range(0, rows, size)]
        logits = [self._forward(part, ids_BM[part], positions_BM[part], begin) for part in parts]
        return torch.cat(logits) if len(logits) > 1 else logits[0]

    def _forward(self, part: slice, ids_BM: Tensor, positions_BM: Tensor, begin: int) -> Tensor:
        """The new columns of some rows through all layers; (B, V) logits after the last."""
        w, (rows, new) = self.w, ids_BM.shape
        x = F.embedding(ids_BM.reshape(-1), w.embedding)  # (B * M, hidden)
        turn = self.turns[positions_BM]
        attend = self._attention(part, turn, begin)
        for i, layer in enumerate(w.layers):
            heed_stop()
            qkv = layer.qkv(norm(x, layer.norm_in, w.eps)).view(rows, new, -1, w.width)
            if layer.norm_q is not None and layer.norm_k is not None:
                q, k, v = qkv.split([w.heads, w.kv_heads, w.kv_heads], dim=2)
                qkv = torch.cat([norm(q, layer.norm_q, w.eps), norm(k, layer.norm_k, w.eps), v], dim=2)
            x = layer.out.added(x, attend(i, qkv))
            x = layer.down.added(x, layer.gate.gated(layer.up, norm(x, layer.norm_mid, w.eps)))
        return w.head(norm(x.view(rows, new, -1)[:, -1], w.norm, w.eps))

    def _attention(self, part: slice, turn: Tensor, begin: int) -> Attend:
        return self._one(turn, begin) if turn.shape[1] == 1 and self.by_column else self._many(part, turn, begin)

    def _one(self, turn: Tensor, begin: int) -> Attend:
        """Attention of one new column of all rows, by the kernel: it rotates, writes the cache and attends."""
        w, rows, valid, shared = self.w, len(turn), self.columns.valid_BT, self.prompts
        turns = torch.view_as_real(turn).reshape(rows, w.width)

        def attend(i: int, qkv: Tensor) -> Tensor:
            cache = [store[i].permute(2, 0, 1, 3) for store in (self.keys, self.values)]
            prompts: tuple[Tensor | int | None, ...] = (None, None, None, None, 0, 0)
            if shared is not None:
                columns = shared.columns[i]
                prompts = (columns, shared.values[i], shared.valid_PL, shared.owner_B, shared.length, columns.shape[-1])
            attended = qkv.new_empty(rows, w.heads * w.width)
            call(
                "decode_attention",
                rows,
                w.heads,
                w.kv_heads,
                w.width,
                qkv,
                turns,
                *cache,
                begin,
                valid,
                *prompts,
                attended,
            )
            return attended

        return attend

    def _many(self, part: slice, turn: Tensor, begin: int) -> Attend:
        """Attention of any number of new columns of some rows, by operations of torch."""
        w, (rows, new) = self.w, turn.shape[:2]
        end = begin + new
        turns, mask = self._turns(turn), self._mask(part, new)

        def attend(i: int, qkv: Tensor) -> Tensor:
            q, k, v = turned(qkv, turns).split([w.heads, w.kv_heads, w.kv_heads], dim=2)
            keys, values = self.keys[i][part], self.values[i][part]
            keys[:, :, begin:end] = k.transpose(1, 2)
            values[:, :, begin:end] = v.transpose(1, 2)
            # the query heads of one key head become extra query columns: no key is repeated
            q = q.view(rows, new, w.kv_heads, -1, w.width).permute(0, 2, 3, 1, 4)
            q = q.reshape(rows, w.kv_heads, -1, w.width)
            if new == 1 and self.prompts is not None:
                attended = self._attend(self.prompts, i, q, keys[:, :, :end], values[:, :, :end], mask)
            else:
                k_all, v_all = self._whole(part, i, keys[:, :, :end], values[:, :, :end])
                attended = F.scaled_dot_product_attention(q, k_all, v_all, attn_mask=mask, scale=1.0)
            attended = attended.view(rows, w.kv_heads, -1, new, w.width).permute(0, 3, 1, 2, 4)
            return attended.reshape(rows * new, -1)

        return attend

    def _turns(self, turn: Tensor) -> Tensor:
        """(B, M, H + 2K, D/2): queries and keys are rotated, values are not, by one product for all."""
        still = turn.new_ones(*turn.shape[:2], self.w.kv_heads, turn.shape[-1])
        queries = (turn * self.w.scale)[:, :, None].expand(-1, -1, self.w.heads, -1)
        return torch.cat([queries, turn[:, :, None].expand(-1, -1, self.w.kv_heads, -1), still], dim=2)

    def branch(self, rows: Tensor, room: int) -> None:
        """Make what was fed so far the prompts that rows share."""
        if self.prompts is not None or not self.keys:
            raise ValueError("only prompts can branch, and only once")
        used = self.columns.valid_BT.shape[1]
        keys, values = ([c[:, :, :used].contiguous() for c in store] for store in (self.keys, self.values))
        self.prompts = Prompts(keys, values, self.columns.valid_BT, rows)
        self.keys, self.values, self.room = [], [], room
        self.columns.branch(rows)

    def select(self, rows: Tensor) -> None:
        used = self.columns.valid_BT.shape[1]
        self.columns.select(rows)
        if self.prompts is not None:
            self.prompts.select(rows)
        for store in (self.keys, self.values):
            for i, cache in enumerate(store):
                store[i] = self._empty(len(rows), cache.shape[2])
                if self.by_column:
                    torch.index_select(
                        cache.permute(2, 0, 1, 3)[:used], 1, rows, out=store[i].permute(2, 0, 1, 3)[:used]
                    )
                else:
                    torch.index_select(cache[:, :, :used], 0, rows, out=store[i][:, :, :used])

    def forget(self, row: int, count: int) -> None:
        self.columns.forget(row, count)

    def _attend(
        self, prompts: Prompts, i: int, q_BKSD: Tensor, keys_BKTD: Tensor, values_BKTD: Tensor, mask: Tensor
    ) -> Tensor:
        """One new column over [shared prompt | own response]: two products, one softmax."""
        rows, heads, shared, width = q_BKSD.shape
        own, length = keys_BKTD.shape[2], prompts.length
        over_prompt = torch.matmul(prompts.spread(q_BKSD), prompts.keys(i))
        over_own = torch.bmm(q_BKSD.reshape(-1, shared, width), keys_BKTD.flatten(0, 1).transpose(1, 2))
        scores = torch.cat([prompts.gather(over_prompt, shared), over_own.view(rows, heads, shared, own)], -1)
        weights = torch.softmax(scores.add_(mask), -1, dtype=torch.float32).to(q_BKSD.dtype)
        from_own = torch.bmm(weights[..., length:].reshape(-1, shared, own), values_BKTD.flatten(0, 1))
        from_prompt = torch.matmul(prompts.spread(weights[..., :length]), prompts.values[i])
        return from_own.view(rows, heads, shared, width).add_(prompts.gather(from_prompt, shared))

    def _whole(self, part: slice, i: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values with the prompt's in front, copied to every row: for many new columns at once."""
        if self.prompts is None:
            return keys, values
        owner = self.prompts.owner_B[part]
        return (
            torch.cat([self.prompts.keys(i)[owner].transpose(2, 3), keys], dim=2),
            torch.cat([self.prompts.values[i][owner], values], dim=2),
        )

    def _mask(self, part: slice, new: int) -> Tensor:
        """(B, 1, S * M, L + T) additive mask of the new columns, once per query head of a key head."""
        mask = self.columns.mask(new, self.w.embedding.dtype, rows=part)
        if self.prompts is not None:
            valid = self.prompts.valid_PL[self.prompts.owner_B[part]][:, None].expand(-1, new, -1)
            mask = torch.cat([mask.new_zeros(valid.shape).masked_fill_(~valid, float("-inf")), mask], dim=-1)
        return mask[:, None] if new == 1 else mask.repeat(1, self.w.heads // self.w.kv_heads, 1)[:, None]

    def _reserve(self, rows: int, columns: int) -> None:
        """Make room for so many columns in the cache."""
        have = self.keys[0].shape[2] if self.keys else 0
        if columns <= have:
            return
        most = self.room if columns <= self.room else 2 * columns  # more if tokens were removed
        room = columns if self.prompts is None else min(most, max(columns, COLUMNS, 2 * have))
        for store in (self.keys, self.values):
            old = list(store)
            store.clear()
            for i in range(len(self.w.layers)):
                fresh = self._empty(rows, room)
                if old:
                    fresh[:, :, :have] = old[i]
                store.append(fresh)

    def _empty(self, rows: int, room: int) -> Tensor:
        """(B, K, T, D); for the kernel one column after another in memory, so that it reads contiguous memory."""
        like: Tensor = self.w.embedding
        if self.by_column:
            return like.new_empty(room, rows, self.w.kv_heads, self.w.width).permute(1, 2, 0, 3)
        return like.new_empty(rows, self.w.kv_heads, room, self.w.width)


def _folded_scale(weight: Tensor, width: int) -> float:
    """The factor of the scores that is multiplied into the weights of the queries; rounded weights are left alone."""
    return width**-0.5 if weight.dtype == torch.float32 else 1.0


def _interleave(rows: Tensor, width: int) -> Tensor:
    """(H * D, ...) with the two halves of every head's D interleaved: 0, D/2, 1, D/2 + 1, ..."""
    return rows.view(-1, 2, width // 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary position embedding of interleaved pairs; x (B, M, H, D), turn (B, M, H, D/2) complex."""
    pairs = torch.view_as_complex(x.float().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)
