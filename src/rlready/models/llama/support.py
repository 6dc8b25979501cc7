"""Which models the fast path serves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FAMILY = {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"}
STATIC_ROPE = {"default", "linear", "llama3", "yarn"}


def supports(model: Any) -> bool:
    """Whether the fast path computes exactly what this model's own forward does, also if layers have LoRA adapters."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    sliding = getattr(config, "sliding_window", None) is not None
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    layers = [m for n, m in model.named_modules() if n.endswith(("_proj", "lm_head"))]
    plain = all(type(getattr(m, "base_layer", m)) is torch.nn.Linear for m in layers)
    return (
        type(model).__name__ in FAMILY
        and config.hidden_act == "silu"
        and rope.get("rope_type", "default") in STATIC_ROPE
        and layer_types <= {"full_attention"}
        and not sliding
        and plain
    )


def packs(model: Any) -> bool:
    """Whether the log-probabilities of a model are computed by packed attention: one that the fast path serves, on a
    CPU."""
    return bool(next(model.parameters()).device.type == "cpu" and supports(model))


def weight_of(layer: Any) -> Tensor:
    """The weight of a linear layer with what its LoRA adapter adds: W + (alpha / r) B A, computed in float32."""
    weight: Tensor = layer.weight
    added = [layer.get_delta_weight(name).float() for name in active_adapters(layer)]
    return sum(added, start=weight.float()).to(weight.dtype) if added else weight


def active_adapters(layer: Any) -> list[str]:
    """The names of the adapters that add to the products of a linear layer; none for one without."""
    if not hasattr(layer, "base_layer") or layer.disable_adapters:
        return []
    return [name for name in layer.active_adapters if name in layer.lora_A]


def head_width(config: Any) -> int:
    """The width of a query, a key or a value of one head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
