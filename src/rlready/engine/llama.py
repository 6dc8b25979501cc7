"""The fast decoder for the Llama family (Llama, Qwen2, Qwen2.5, Qwen3, Mistral, SmolLM).

The same arithmetic as the Hugging Face forward, without its module calls: query, key and value in one
product, gate and up in another, a preallocated cache that grows by doubling, grouped attention without
repeating keys, the head on the last column only.  Proven equal to the model's forward in the tests.

Left out, and sent to the Hugging Face decoder instead: sliding windows, rotary scalings that depend on the
length, tensor-parallel or quantised weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.engine.decoder import Columns

FAMILY = {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"}
STATIC_ROPE = {"default", "linear", "llama3", "yarn"}


def supports(model: Any) -> bool:
    """Whether the fast decoder computes exactly what this model's forward does."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    sliding = getattr(config, "sliding_window", None) is not None
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    plain = all(type(m) is torch.nn.Linear for n, m in model.named_modules() if n.endswith(("_proj", "lm_head")))
    return (
        type(model).__name__ in FAMILY
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") in STATIC_ROPE
        and layer_types <= {"full_attention"}
        and not sliding
        and plain
    )


class _Layer:
    """One layer's weights, fused."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.qkv = torch.cat([p.weight for p in projections])
        biased = projections[0].bias is not None
        self.qkv_bias = torch.cat([p.bias for p in projections]) if biased else None
        self.out, self.out_bias = attention.o_proj.weight, attention.o_proj.bias
        self.gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        self.gate_up_bias = None if mlp.gate_proj.bias is None else torch.cat([mlp.gate_proj.bias, mlp.up_proj.bias])
        self.down, self.down_bias = mlp.down_proj.weight, mlp.down_proj.bias
        self.norm_in, self.norm_mid = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
        self.norm_q = attention.q_norm.weight if hasattr(attention, "q_norm") else None
        self.norm_k = attention.k_norm.weight if hasattr(attention, "k_norm") else None


class LlamaDecoder:
    """Decoder with fused weights; they are copied when it is made, so make one per set of weights."""

    def __init__(self, model: Any, rows: int) -> None:
        config = model.config
        self.layers = [_Layer(layer) for layer in model.model.layers]
        self.embedding = model.model.embed_tokens.weight
        self.head = model.lm_head.weight
        self.norm = model.model.norm.weight
        self.eps = config.rms_norm_eps
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.rotary = model.model.rotary_emb
        self.columns = Columns(rows, self.embedding.device)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.cos = self.sin = self.embedding.new_zeros(0)

    def extend(self, ids_BM: Tensor, valid_BM: Tensor) -> Tensor:
        rows, new = ids_BM.shape
        begin = self.columns.valid_BT.shape[1]
        positions_BM = self.columns.extend(valid_BM)
        end = begin + new
        self._reserve(rows, end)
        cos, sin = (t[positions_BM][:, :, None] for t in (self.cos, self.sin))  # (B, M, 1, D)
        mask = self._mask(new)
        x = F.embedding(ids_BM, self.embedding)
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            qkv = F.linear(_norm(x, layer.norm_in, self.eps), layer.qkv, layer.qkv_bias)
            qkv = qkv.view(rows, new, self.heads + 2 * self.kv_heads, self.width)
            q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=2)
            if layer.norm_q is not None and layer.norm_k is not None:
                q, k = _norm(q, layer.norm_q, self.eps), _norm(k, layer.norm_k, self.eps)
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            keys[:, :, begin:end] = k.transpose(1, 2)
            values[:, :, begin:end] = v.transpose(1, 2)
            mixed = self._attend(q, keys[:, :, :end], values[:, :, :end], mask)
            x = x + F.linear(mixed, layer.out, layer.out_bias)
            gate, up = F.linear(_norm(x, layer.norm_mid, self.eps), layer.gate_up, layer.gate_up_bias).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down, layer.down_bias)
        return F.linear(_norm(x[:, -1], self.norm, self.eps), self.head)

    def select(self, rows: Tensor) -> None:
        used = self.columns.valid_BT.shape[1]
        self.columns.select(rows)
        for store in (self.keys, self.values):
            for i, cache in enumerate(store):
                fresh = cache.new_empty(len(rows), *cache.shape[1:])
                fresh[:, :, :used] = cache[rows, :, :used]
                store[i] = fresh

    def forget(self, row: int, count: int) -> None:
        self.columns.forget(row, count)

    def _attend(self, q_BMHD: Tensor, keys_BKTD: Tensor, values_BKTD: Tensor, mask: Tensor) -> Tensor:
        rows, new = q_BMHD.shape[:2]
        shared = self.heads // self.kv_heads
        # the query heads of one key head become extra query columns: no key is repeated
        q = q_BMHD.view(rows, new, self.kv_heads, shared, self.width).permute(0, 2, 3, 1, 4)
        q = q.reshape(rows, self.kv_heads, shared * new, self.width)
        out = F.scaled_dot_product_attention(q, keys_BKTD, values_BKTD, attn_mask=mask)
        out = out.view(rows, self.kv_heads, shared, new, self.width).permute(0, 3, 1, 2, 4)
        return out.reshape(rows, new, self.heads * self.width)

    def _mask(self, new: int) -> Tensor:
        """(B, 1, shared * M, T): the mask of the new columns, once per query head of a key head."""
        mask = self.columns.mask(new, self.embedding.dtype)
        return mask.repeat(1, self.heads // self.kv_heads, 1)[:, None]

    def _reserve(self, rows: int, columns: int) -> None:
        """Room in the cache and in the table of rotary angles."""
        have = self.keys[0].shape[2] if self.keys else 0
        if columns > have:
            room = max(columns + 32, 2 * have)
            for store in (self.keys, self.values):
                old = list(store)
                store.clear()
                for i in range(len(self.layers)):
                    fresh = self.embedding.new_empty(rows, self.kv_heads, room, self.width)
                    if old:
                        fresh[:, :, :have] = old[i]
                    store.append(fresh)
        if columns > len(self.cos):
            positions = torch.arange(max(2 * columns, 256), device=self.embedding.device)[None]
            cos, sin = self.rotary(self.embedding, positions)
            self.cos, self.sin = cos[0], sin[0]


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if x.dtype == torch.float32:
        return F.rms_norm(x, weight.shape, weight, eps)
    return weight * F.rms_norm(x.float(), weight.shape, None, eps).to(x.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, the halves convention; x (B, M, H, D), cos and sin (B, M, 1, D)."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin
