"""Operations of a backbone whose gradients need few passes over memory and keep few tensors.

The values are those of the plain expressions, computed by a kernel in one pass where ``kernels.serves``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.core.stopping import heed_stop
from rlready.models.llama.kernels import call, serves


class _Linears(torch.autograd.Function):
    """Several products with one input, whose gradients are summed without a separate pass over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: int, *parameters: Tensor | None) -> tuple[Tensor, ...]:
        heed_stop()
        weights: Sequence[Tensor] = parameters[:count]  # type: ignore[assignment]
        biases = parameters[count:]
        ctx.kernel = serves(x, *(size for w in weights for size in w.shape))
        if ctx.kernel:
            x = x.contiguous()
            products = tuple(_multiplied(x, w.t(), x.new_empty(len(x), len(w))) for w in weights)
            for product, bias in zip(products, biases, strict=True):
                if bias is not None:
                    product.add_(bias)
        else:
            products = tuple(F.linear(x, w, b) for w, b in zip(weights, biases, strict=True))
        ctx.save_for_backward(x, *weights)
        return products

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        heed_stop()
        x, *weights = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        to_x, to_weights = None, list[Tensor | None]()
        if ctx.kernel:
            grads = tuple(g.contiguous() for g in grads)
            for grad, weight, need in zip(grads, weights, needed, strict=False):
                if ctx.needs_input_grad[0]:
                    to_x = _multiplied(
                        grad, weight, torch.empty_like(x) if to_x is None else to_x, add=to_x is not None
                    )
                to_weights.append(_multiplied(grad.t(), x, torch.empty_like(weight)) if need else None)
        else:
            if ctx.needs_input_grad[0]:
                to_x = grads[0] @ weights[0]
                for grad, weight in zip(grads[1:], weights[1:], strict=True):
                    to_x.addmm_(grad, weight)
            to_weights += [g.t() @ x if need else None for g, need in zip(grads, needed, strict=False)]
        to_biases = [g.sum(0) if need else None for g, need in zip(grads, needed[len(weights) :], strict=True)]
        return to_x, None, *to_weights, *to_biases


def _multiplied(a: Tensor, b: Tensor, into: Tensor, *, add: bool = False) -> Tensor:
    """``into`` = or += a b, by the kernel; a and b are contiguous or the transposes of contiguous ones."""
    (m, depth), n = a.shape, b.shape[1]
    call("multiply", m, n, depth, a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), into, n, add)
    return into


def add_outer(into_Sk: Tensor, runs: Sequence[tuple[int, int, int]], left_N: Tensor, right_N: Tensor) -> None:
    """For every run (set, begin, end) of tokens, add Σ_t left_t right_tᵀ to that set's row of ``into``.

    The factors are (N, out) and (N, in); the rows of ``into`` are (out * in,) and contiguous.
    """
    right_N, (high, wide) = right_N.contiguous(), (left_N.shape[1], right_N.shape[1])
    if not serves(into_Sk, wide) or left_N.stride(1) != 1:
        for row, begin, end in runs:
            into_Sk[row].view(high, wide).addmm_(left_N[begin:end].T, right_N[begin:end])
        return
    bytes_of = into_Sk.element_size()
    rows, lefts, rights = (t.data_ptr() for t in (into_Sk, left_N, right_N))
    row_step, left_step, right_step = (bytes_of * t.stride(0) for t in (into_Sk, left_N, right_N))
    for row, begin, end in runs:
        left, right = lefts + begin * left_step, rights + begin * right_step
        sizes = (high, wide, end - begin)
        call("multiply", *sizes, left, 1, left_N.stride(0), right, wide, 1, rows + row * row_step, wide, 1)


def linears(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """x Wᵀ (+ b) for every (out, in) weight; x (N, in)."""
    products: tuple[Tensor, ...] = _Linears.apply(x, len(weights), *weights, *biases)  # type: ignore[no-untyped-call]
    return products


class _Gated(torch.autograd.Function):
    """SiLU(gate) * up, which keeps only the two inputs for backward: the widest tensors of a layer."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        if not serves(gate):
            return F.silu(gate).mul_(up)
        product = torch.empty_like(gate)
        call("gated_forward", gate.numel(), gate, up, product)
        return product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        if serves(grad):
            to_gate, to_up = torch.empty_like(gate), torch.empty_like(up)
            call("gated_backward", gate.numel(), gate, up, grad.contiguous(), to_gate, to_up)
            return to_gate, to_up
        inner = grad * up
        torch.ops.aten.silu_backward.grad_input(inner, gate, grad_input=inner)
        return inner, F.silu(gate).mul_(grad)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """SiLU(gate) * up, both contiguous."""
    product: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
    return product


class _AddedNorm(torch.autograd.Function):
    """x + more (if given) and its RMS norm, in fp32 or, for fp64 inputs, in fp64."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, more: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        ctx.added = more is not None
        ctx.set_materialize_grads(False)  # an output that was not used has no gradient to add
        if serves(x, x.shape[-1]):
            x = x.contiguous()
            summed = x if more is None else torch.empty_like(x)
            normed, scale = torch.empty_like(x), x.new_empty(x.shape[:-1])
            more = None if more is None else more.contiguous()
            call("norm_forward", scale.numel(), x.shape[-1], x, more, weight, eps, summed, normed, scale)
            ctx.save_for_backward(summed, scale, weight)
        else:
            summed = x if more is None else x + more
            wide = at_least_float(summed)
            scale = torch.rsqrt((wide * wide).mean(-1, keepdim=True) + eps)
            ctx.save_for_backward(summed, scale, weight)
            normed = weight * (wide * scale).to(x.dtype)
        if more is None:
            ctx.mark_non_differentiable(summed := summed.detach())
        return summed, normed

    @staticmethod
    def backward(ctx: Any, beside: Tensor | None, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor, None]:
        summed, scale, weight = ctx.saved_tensors
        if scale.dim() < summed.dim():
            to_x, to_weight = torch.empty_like(summed), torch.zeros_like(weight)
            sizes = (scale.numel(), len(weight))
            past = None if beside is None else beside.contiguous()
            call("norm_backward", *sizes, summed, weight, scale, grad.contiguous(), past, to_x, to_weight)
        else:
            wide, wide_weight = at_least_float(grad), at_least_float(weight)
            normed = at_least_float(summed) * scale
            product = wide * normed
            dot = (product @ wide_weight)[..., None] / len(weight)
            to_x = (wide * wide_weight).addcmul_(normed, dot, value=-1).mul_(scale).to(grad.dtype)
            to_weight = product.flatten(0, -2).sum(0).to(weight.dtype)
            if beside is not None:
                to_x.add_(beside)
        return to_x, to_x if ctx.added else None, to_weight, None


def at_least_float(x: Tensor) -> Tensor:
    """The tensor in fp32, unless it is more precise already."""
    return x if x.dtype == torch.float64 else x.float()


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last dimension."""
    if not torch.is_grad_enabled() and not serves(x, x.shape[-1]):  # one pass if no gradient needs the parts
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    _, normed = _AddedNorm.apply(x, None, weight, eps)  # type: ignore[no-untyped-call]
    return normed  # type: ignore[no-any-return]


def added_norm(x: Tensor, more: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x + more, and its RMS norm over the last dimension."""
    summed, normed = _AddedNorm.apply(x, more, weight, eps)  # type: ignore[no-untyped-call]
    return summed, normed


class _Gather(torch.autograd.Function):
    """Rows from their distinct places; the gradient goes back without atomics."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(table)
        return table.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        table = grad.new_zeros(ctx.size, *grad.shape[1:])
        return table.index_copy_(0, ctx.saved_tensors[0], grad), None


def gather(table: Tensor, places: Tensor) -> Tensor:
    """The rows at these places, no place twice."""
    found: Tensor = _Gather.apply(table, places)  # type: ignore[no-untyped-call]
    return found


class _Rotate(torch.autograd.Function):
    """Rotary position embedding in the halves convention; backward rotates by the negative angle.

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
