"""Storage of the gradients of sets of responses for their inner products: whole, or randomly projected.

A weight W (out, in) meets a token as y = W x, so its gradient is Σ_t δ_t x_tᵀ with δ the gradient of y: two factors per
token.  The row of an embedding is picked by a token, which makes the left factor an indicator.  Biases and norms are
vectors, with one factor.  A parameter that is used twice (a tied head) collects both uses in one place.

- ``Whole`` adds up the products, one row per set: exact, S gradients in memory, of some rows of a weight if need be.
- ``Projected`` keeps A (Σ_t δ_t x_tᵀ) Bᵀ = Σ_t (A δ_t)(B x_t)ᵀ with random signs A (r, out) and B (r, in), divided by
  √r, so that the gradients are never made (LoGra, Choe et al., arXiv 2405.13954, with learned A and B in place of
  the signs).  As E AᵀA = E BᵀB = 1, inner products are unbiased; their error falls as 1/√r for gradients of low rank
  and about as 1/r for those of high rank.  Vectors, and sides no longer than r, are kept whole.  Two independent
  projections are made (a choice of this package): their mean is the estimate, and half their difference is its error,
  measured without the exact gradient.

Shapes: S sets, N tokens, r rank, K numbers kept a set, C copies (2 projections, or 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rlready.models.llama.fused import add_outer, at_least_float

PARTS = 2  # of the sets, so that a quarter of their inner products is not computed twice
COLUMNS = 1 << 16  # of a product summed in the gradients' precision; beyond it in fp64
Runs = Sequence[tuple[int, int, int]]  # (set, from, to): which tokens are of a set


@dataclass
class StoredGradients(ABC):
    """Gradients of S sets of responses: ``table`` (C, S, K) holds C copies of K numbers for each set.

    ``span`` gives each parameter its columns of K.  ``runs`` below are (set, from, to): which of N tokens are of a set.
    """

    table: Tensor
    span: Mapping[Tensor, slice]
    seen: set[Tensor] = field(default_factory=set)  # parameters that received a gradient

    def __contains__(self, parameter: Tensor) -> bool:
        return parameter in self.span

    @abstractmethod
    def outer(self, weight: Tensor, runs: Runs, left_N: Tensor, right_N: Tensor) -> None:
        """Add Σ_t left_t right_tᵀ of every set; factors (N, out) and (N, in)."""

    @abstractmethod
    def picked(self, weight: Tensor, runs: Runs, ids_N: Tensor, right_N: Tensor) -> None:
        """Add Σ_t e_id(t) right_tᵀ of every set, the gradient of an embedding: row ``ids_N[t]`` collects right_t."""

    @abstractmethod
    def whole(self, parameter: Tensor, owner: int, gradient: Tensor) -> None:
        """Add the gradient of one set, of the parameter's shape."""

    def vector(self, vector: Tensor, runs: Runs, values_N: Tensor) -> None:
        """Add Σ_t values_t of every set; values (N, ..., size)."""
        for owner, begin, end in runs:
            self._place(vector, owner).add_(values_N[begin:end].flatten(0, -2).sum(0))

    def grams(self) -> Tensor:
        """(C, S, S) inner products of the sets' gradients, in fp64 on the CPU."""
        sets = self.table.shape[1]
        total = torch.zeros(len(self.table), sets, sets, dtype=torch.float64)
        parts = [slice(at, at + -(-sets // PARTS)) for at in range(0, sets, -(-sets // PARTS))]
        for columns in self.table.split(COLUMNS, dim=-1):
            for i, some in enumerate(parts):
                for others in parts[: i + 1]:
                    total[:, some, others] += (columns[:, some] @ columns[:, others].mT).double().cpu()
        for i, some in enumerate(parts):
            for others in parts[:i]:  # it is symmetric
                total[:, others, some] = total[:, some, others].mT
        return total

    def _place(self, parameter: Tensor, owner: int) -> Tensor:
        """(C, k) numbers of a parameter."""
        self.seen.add(parameter)
        return self.table[:, owner, self.span[parameter]]


@dataclass
class Whole(StoredGradients):
    """Every number of every gradient, in some rows of each parameter."""

    rows: Mapping[Tensor, slice] = field(default_factory=dict)

    @staticmethod
    def of(rows: Mapping[Tensor, slice], sets: int) -> Whole:
        return Whole(*_table([(p, p[some].numel()) for p, some in rows.items()], 1, sets), rows=rows)

    def outer(self, weight: Tensor, runs: Runs, left_N: Tensor, right_N: Tensor) -> None:
        self.seen.add(weight)
        left_N, right_N = at_least_float(left_N[:, self.rows[weight]]), at_least_float(right_N)
        add_outer(self.table[0, :, self.span[weight]], runs, left_N, right_N)

    def picked(self, weight: Tensor, runs: Runs, ids_N: Tensor, right_N: Tensor) -> None:
        right_N, some = at_least_float(right_N), self.rows[weight]
        for owner, begin, end in runs:
            ids, right = ids_N[begin:end], right_N[begin:end]
            here = (ids >= some.start) & (ids < some.stop)
            self._matrix(weight, owner).index_add_(0, ids[here] - some.start, right[here])

    def whole(self, parameter: Tensor, owner: int, gradient: Tensor) -> None:
        self._place(parameter, owner).add_(gradient[self.rows[parameter]].flatten())

    def vector(self, vector: Tensor, runs: Runs, values_N: Tensor) -> None:
        self.seen.add(vector)
        values_N = at_least_float(values_N[..., self.rows[vector]])
        if values_N.dim() > 2:  # once for every head
            values_N = values_N.flatten(1, -2).sum(1)
        add_outer(self.table[0, :, self.span[vector]], runs, values_N.new_ones(len(values_N), 1), values_N)

    def _matrix(self, weight: Tensor, owner: int) -> Tensor:
        return self._place(weight, owner).view(-1, weight.shape[1])


@dataclass
class Projected(StoredGradients):
    """Two independent projections of every matrix; ``sides`` holds (A, B) of each, None for a side kept whole."""

    sides: Mapping[Tensor, Sequence[tuple[Tensor | None, Tensor | None]]] = field(default_factory=dict)

    @staticmethod
    def of(parameters: Sequence[Tensor], sets: int, rank: int, seed: int) -> Projected:
        sizes, sides = [], {}
        for number, p in enumerate(parameters):
            matrix = p.dim() == 2
            sizes.append((p, min(p.shape[0], rank) * min(p.shape[1], rank) if matrix else p.numel()))
            if matrix:
                sides[p] = [
                    (_signs(p, 0, rank, [seed, number, copy, 0]), _signs(p, 1, rank, [seed, number, copy, 1]))
                    for copy in (0, 1)
                ]
        return Projected(*_table(sizes, 2, sets), sides=sides)

    def outer(self, weight: Tensor, runs: Runs, left_N: Tensor, right_N: Tensor) -> None:
        left_N, right_N = at_least_float(left_N), at_least_float(right_N)
        for copy, (a, b) in enumerate(self.sides[weight]):
            left = left_N if a is None else left_N @ a.T
            self._add(weight, copy, runs, left, right_N if b is None else right_N @ b.T)

    def picked(self, weight: Tensor, runs: Runs, ids_N: Tensor, right_N: Tensor) -> None:
        right_N = at_least_float(right_N)
        for copy, (a, b) in enumerate(self.sides[weight]):
            right = right_N if b is None else right_N @ b.T
            if a is not None:
                self._add(weight, copy, runs, a.T[ids_N], right)
                continue
            for owner, begin, end in runs:
                place = self._place(weight, owner)[copy].view(len(weight), -1)
                place.index_add_(0, ids_N[begin:end], right[begin:end])

    def whole(self, parameter: Tensor, owner: int, gradient: Tensor) -> None:
        gradient = at_least_float(gradient)
        for copy, (a, b) in enumerate(self.sides.get(parameter, [(None, None)] * 2)):
            left = gradient if a is None else a @ gradient
            self._place(parameter, owner)[copy].add_((left if b is None else left @ b.T).flatten())

    def _add(self, weight: Tensor, copy: int, runs: Runs, left_N: Tensor, right_N: Tensor) -> None:
        for owner, begin, end in runs:
            place = self._place(weight, owner)[copy].view(left_N.shape[1], right_N.shape[1])
            place.addmm_(left_N[begin:end].T, right_N[begin:end])


def _table(sizes: Sequence[tuple[Tensor, int]], copies: int, sets: int) -> tuple[Tensor, dict[Tensor, slice]]:
    span, at = {}, 0
    for parameter, size in sizes:
        span[parameter] = slice(at, at + size)
        at += size
    like = sizes[0][0]
    dtype = at_least_float(like[:0]).dtype
    if like.device.type == "cpu":  # the system clears memory pages when a thread first uses them
        return torch.from_numpy(np.zeros((copies, sets, at), dtype=str(dtype).removeprefix("torch."))), span
    return torch.zeros(copies, sets, at, dtype=dtype, device=like.device), span


def _signs(weight: Tensor, side: int, rank: int, seed: Sequence[int]) -> Tensor | None:
    """(rank, size of that side) of ±1/√rank; None where the side is no longer than that.

    The same on every device: drawn on the CPU.
    """
    size = weight.shape[side]
    if size <= rank:
        return None
    drawn = np.random.default_rng(seed).integers(0, 2, (rank, size)) * 2.0 - 1.0
    signs = torch.from_numpy(drawn / rank**0.5).to(weight.device)
    return signs.to(at_least_float(weight[:0]).dtype)
