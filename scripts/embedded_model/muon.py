"""Muon, the optimiser of the embedded model's matrices."""

from __future__ import annotations

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) over equally shaped matrices at once, in fp32.

    torch.optim.Muon orthogonalises one matrix at a time in bfloat16, which on a CPU took three times as
    long as forward and backward of this model together.  Update scaled to AdamW's size, 0.2·sqrt(max(m, n)).
    """

    def __init__(
        self, params: list[torch.nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                shapes.setdefault(p.shape, []).append(p)
            for same in shapes.values():
                updates = []
                for p in same:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    assert p.grad is not None
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                x = torch.stack(updates)
                if flip := x.shape[1] > x.shape[2]:
                    x = x.mT
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                for _ in range(5):
                    gram = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                x = x.mT if flip else x
                scale = 0.2 * max(x.shape[1:]) ** 0.5
                for p, update in zip(same, x, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)
