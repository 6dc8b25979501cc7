"""The model that rollouts are drawn from: the one that learns, or its copy with bfloat16 weights."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from rlready.models.lm import LM
from rlready.models.lora import Adapted


def sampling_model(lm: LM, *, bfloat16: bool) -> LM:
    """``lm`` itself, or a copy with its weights rounded to bfloat16; buffers, such as rotary frequencies, stay fp32.

    A model with an adapter is not copied: its base is in bfloat16 already, and frozen.
    """
    if not bfloat16 or isinstance(lm, Adapted):
        return lm
    model = copy.deepcopy(lm.model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(torch.bfloat16)
    return replace(lm, model=model)


@torch.no_grad()
def copy_weights(source: LM, copied: LM) -> None:
    """Update ``copied`` with the current weights of ``source``, rounded to its type."""
    for old, new in zip(copied.model.parameters(), source.model.parameters(), strict=True):
        old.copy_(new)
