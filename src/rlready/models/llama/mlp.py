"""The gated MLP of a layer: down(SiLU(gate(x)) * up(x)), with a gradient that keeps gate(x) and up(x) only.

Where ``kernels.serves`` and there is no bias, one kernel forward and one backward work on blocks of rows, so that what
is between the products stays in the cache; elsewhere the operations run one after another.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlready.models.llama.fused import gated, linears
from rlready.models.llama.kernels import call, serves


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        x = x.contiguous()
        gates, ups = (x.new_empty(len(x), len(gate)) for _ in range(2))
        y = torch.empty_like(x)
        call("mlp_forward", len(x), *gate.t().shape, x, gate, up, down, gates, ups, y)
        ctx.save_for_backward(x, gate, up, down, gates, ups)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, up, down, gates, ups = ctx.saved_tensors
        to_x, *to_weights = torch.empty_like(x), *map(torch.zeros_like, (gate, up, down))
        sizes = (len(x), *gate.t().shape)
        call("mlp_backward", *sizes, x, gate, up, down, gates, ups, grad.contiguous(), to_x, *to_weights)
        return to_x, *to_weights


def mlp(x: Tensor, gate: Any, up: Any, down: Any) -> Tensor:
    """(N, width) from x (N, width) and three linear layers."""
    layers = (gate, up, down)
    if serves(x, *gate.weight.shape) and all(layer.bias is None for layer in layers):
        y: Tensor = _MLP.apply(x, *(layer.weight for layer in layers))  # type: ignore[no-untyped-call]
        return y
    opened = gated(*linears(x, [gate.weight, up.weight], [gate.bias, up.bias]))
    return linears(opened, [down.weight], [down.bias])[0]
