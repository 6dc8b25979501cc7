"""Which models the fast path serves."""

from __future__ import annotations

from typing import Any

import torch

FAMILY = {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"}
STATIC_ROPE = {"default", "linear", "llama3", "yarn"}


def supports(model: Any) -> bool:
    """Whether the fast path computes exactly what this model's own forward does."""
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


def head_width(config: Any) -> int:
    """The width of a query, a key or a value of one head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
