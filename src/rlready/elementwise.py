"""Operations between a backbone's products, with gradients that take few passes over memory and keep little.

The same values as the plain expressions give; what is saved is time and memory of the update.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Gated(torch.autograd.Function):
    """SiLU(gate) * up, for whose gradient nothing is kept but the two: the widest tensors of a layer."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        inner = grad * up
        torch.ops.aten.silu_backward.grad_input(inner, gate, grad_input=inner)
        return inner, F.silu(gate).mul_(grad)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """SiLU(gate) * up."""
    product: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
    return product


class _Norm(torch.autograd.Function):
    """RMS norm in fp32 (fp64 stays) with its gradient in few passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = at_least_float(x)
        scale = torch.rsqrt((wide * wide).mean(-1, keepdim=True) + eps)
        normed = wide * scale
        ctx.save_for_backward(normed, scale, weight)
        return weight * normed.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight = ctx.saved_tensors
        wide, weight = at_least_float(grad), at_least_float(weight)
        product = wide * normed
        dot = (product @ weight)[..., None] / normed.shape[-1]
        inner = (wide * weight).addcmul_(normed, dot, value=-1).mul_(scale)
        return inner.to(grad.dtype), product.flatten(0, -2).sum(0).to(ctx.saved_tensors[2].dtype), None


def at_least_float(x: Tensor) -> Tensor:
    """The tensor in fp32, unless it is more precise already."""
    return x if x.dtype == torch.float64 else x.float()


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last dimension."""
    if not torch.is_grad_enabled():  # one pass over memory where no gradient will ask for the parts
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    normed: Tensor = _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
    return normed


class _Rotate(torch.autograd.Function):
    """Rotary position embedding, the halves convention; the gradient turns back.

    x (N, H, D); cos and sin (N, 1, D), the latter with its first half negated.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return torch.addcmul(x * cos, _swapped(x), sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return torch.addcmul(grad * cos, _swapped(grad), sin, value=-1), None, None


def _swapped(x: Tensor) -> Tensor:
    return torch.cat(x.chunk(2, -1)[::-1], -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding; shapes and signs as in ``_Rotate``."""
    turned: Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return turned
