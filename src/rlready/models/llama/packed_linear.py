"""Linear layers of a decoder with prepacked weights.

A matrix product spends part of its time on packing the weight: most of it for few rows and a weight larger than the
cache, a tenth for hundreds of rows and a small weight.  Here the weight is packed once, before the first token.  The
operations are those that torch's compiler uses on x86 and are not public: if they are missing, and for other devices
and types, the plain product is used.  Tests check that both agree.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rlready.models.llama import fused as elementwise

LAID_OUT = 1 << 13  # elements of a weight from which it is worth laying out
ROWS = 64  # that the layout is made for; it serves any number


class Product:
    """x Wᵀ (+ b) with an (out, in) weight, for use without gradients."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias = bias
        self.laid_out: Any = None
        plain = weight.device.type != "cpu" or weight.dtype != torch.float32 or weight.numel() < LAID_OUT
        if not plain and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            self.laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
            weight = weight.new_empty(0)  # one that was joined or merged needs no memory any more
        self.weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) if self.laid_out is None else self._fused(x, "none")

    def added(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + x Wᵀ (+ b)."""
        if self.laid_out is None:
            return torch.addmm(residual if self.bias is None else residual + self.bias, x, self.weight.t())
        return self._joined(residual, x, "add")

    def gated(self, up: Product, x: Tensor) -> Tensor:
        """SiLU(x Wᵀ (+ b)) times another product of x, elementwise."""
        if self.laid_out is None or up.laid_out is None:
            return elementwise.gated(self(x), up(x))
        return up._joined(self._fused(x, "swish"), x, "mul")

    def _fused(self, x: Tensor, then: str) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.laid_out, self.bias, then, [], "")
        return y

    def _joined(self, other: Tensor, x: Tensor, by: str) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, self.laid_out, self.bias, by)
        return y
