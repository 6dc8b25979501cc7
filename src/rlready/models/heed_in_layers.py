"""Lets a stop end the forward and the backward pass of any model between two of its layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import ModuleList

from rlready.core.stopping import heed_stop


def heed_in_layers(model: Any) -> None:
    """Call ``heed_stop`` after every layer, in both passes; in the main thread, Python then sees Ctrl-C, too."""
    for layers in model.modules():
        if isinstance(layers, ModuleList):
            for layer in layers:
                layer.register_forward_hook(_after_forward)


def _after_forward(layer: Any, inputs: Any, output: Any) -> None:
    heed_stop()
    hidden = output[0] if isinstance(output, tuple) else output
    if isinstance(hidden, Tensor) and hidden.requires_grad:
        hidden.register_hook(_in_backward)


def _in_backward(gradient: Tensor) -> None:
    heed_stop()
