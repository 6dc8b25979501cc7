"""Hidden states for training: the prompt of a group is encoded once, and nothing is padded.

Rows that share a prompt share its tokens: attention of a response runs over [prompt | own tokens], the gradient of the
prompt's keys and values is the sum over its rows, so losses and gradients are exactly those of repeated prompts.  What
follows the last layer's attention is computed only for tokens that a scored one depends on.

For models that ``support.supports``; other models use their module's forward pass, with prompts repeated.
Shapes: N packed tokens, M of them after the last attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.models.llama import fused as elementwise
from rlready.models.llama.attention import Attention
from rlready.models.llama.mlp import mlp
from rlready.models.llama.packing import Packed
from rlready.models.llama.support import active_adapters, head_width


class Operations:
    """Every operation of a backbone that uses its parameters; a subclass can observe or replace them."""

    def distinct(self, ids_N: Tensor) -> tuple[Tensor, Tensor | None]:
        """The ids to embed, and every token's index among them; None if the ids are those of all tokens, in order."""
        ids, places_N = ids_N.unique(return_inverse=True)
        return (ids, places_N) if 2 * len(ids) <= len(ids_N) else (ids_N, None)

    def embed(self, ids_N: Tensor, weight: Tensor) -> Tensor:
        """(N, hidden) rows of the embedding."""
        return F.embedding(ids_N, weight)

    def linear(self, x: Tensor, layer: Any) -> Tensor:
        """(N, out) products with a layer's weight, its bias added."""
        return self.linears(x, [layer])[0]

    def linears(self, x: Tensor, layers: Sequence[Any]) -> tuple[Tensor, ...]:
        """The products of several layers with the same input."""
        products = elementwise.linears(x, [layer.weight for layer in layers], [layer.bias for layer in layers])
        return tuple(_adapted(y, x, layer) for y, layer in zip(products, layers, strict=True))

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """RMS norm over the last dimension."""
        return elementwise.norm(x, weight, eps)

    def added(self, x: Tensor, more: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """A sum and its norm."""
        return elementwise.added_norm(x, more, weight, eps)

    def mlp(self, x: Tensor, layers: Any) -> Tensor:
        """A layer's gated MLP."""
        if any(map(active_adapters, (layers.gate_proj, layers.up_proj, layers.down_proj))):
            opened = elementwise.gated(*self.linears(x, [layers.gate_proj, layers.up_proj]))
            return self.linear(opened, layers.down_proj)
        return mlp(x, layers.gate_proj, layers.up_proj, layers.down_proj)

    def narrowed(self, tokens: Tensor) -> Operations:
        """The operations for the remaining ``tokens``."""
        return self


PLAIN = Operations()


def _adapted(y: Tensor, x: Tensor, layer: Any) -> Tensor:
    """The product y of a layer with x, and what LoRA adds to it: y + (alpha / r) x Aᵀ Bᵀ."""
    for name in active_adapters(layer):
        a, b = (matrices[name].weight.to(x.dtype) for matrices in (layer.lora_A, layer.lora_B))
        y = torch.addmm(y, F.linear(x, a), b.t(), alpha=layer.scaling[name])
    return y


def hidden_states(model: Any, packed: Packed, operations: Operations = PLAIN) -> Tensor:
    """(M, hidden) of the tokens ``packed.query_index`` after the last norm, with gradients to the parameters."""
    backbone, config = model.model, model.config
    width, eps = head_width(config), config.rms_norm_eps
    # the first layer's queries, keys and values, before rotation, depend on a token's id only
    ids, places_N = operations.distinct(packed.ids_N) if len(backbone.layers) > 1 else (packed.ids_N, None)
    x = operations.embed(ids, backbone.embed_tokens.weight)
    cos, sin = (t[0, :, : width // 2].contiguous() for t in backbone.rotary_emb(x, packed.positions_N[None]))
    attend = Attention(packed, cos, sin)
    normed = operations.norm(x, backbone.layers[0].input_layernorm.weight, eps)
    norms = [layer.input_layernorm for layer in backbone.layers[1:]] + [backbone.norm]
    for layer, following in zip(backbone.layers, norms, strict=True):
        attention = layer.self_attn
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        of_all, query_index = operations, None
        if following is backbone.norm and len(packed.query_index) < len(x):
            query_index = packed.query_index
            k, v = operations.linears(normed, projections[1:])
            operations, x = operations.narrowed(query_index), elementwise.gather(x, query_index)
            q = operations.linear(elementwise.gather(normed, query_index), attention.q_proj)
        else:
            q, k, v = operations.linears(normed, projections)
        if places_N is not None:
            x, q, k, v = (F.embedding(places_N, t) for t in (x, q, k, v))
            places_N = None
        q, k, v = (t.view(len(t), -1, width) for t in (q, k, v))
        if hasattr(attention, "q_norm"):
            q = operations.norm(q, attention.q_norm.weight, eps)
            k = of_all.norm(k, attention.k_norm.weight, eps)
        mixed = attend(q, k, v, query_index)
        more = operations.linear(mixed, attention.o_proj)
        x, normed = operations.added(x, more, layer.post_attention_layernorm.weight, eps)
        x, normed = operations.added(x, operations.mlp(normed, layer.mlp), following.weight, eps)
    return normed
