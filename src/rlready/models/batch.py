"""Training examples and their division into micro-batches: sorted by length, by prompt, bounded by tokens.

An example is a prompt, a response and, per response token, a mask, an advantage and a weight: the same for SFT
and for RL.  Shapes: T response tokens; N masked-in tokens of a micro-batch, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """One response to learn from.  ``advantage`` and ``weight`` are (T,); ``old`` (T,) log-probs or None."""

    prompt_ids: Sequence[int]
    response_ids: Sequence[int]
    mask: NDArray[np.uint8]
    advantage: NDArray[np.float32]
    weight: NDArray[np.float32]
    old: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)

    @property
    def learned(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True)
class Batch:
    """A micro-batch: its rows, and per chosen token, row by row, what the loss needs, on a device.

    ``sequence_N`` is the place of each token's row among the examples, ``index`` that of every row.
    """

    rows: Sequence[Example]
    advantage_N: Tensor
    weight_N: Tensor
    old_N: Tensor | None
    sequence_N: Tensor
    index: tuple[int, ...]


def supervised(prompt_ids: Sequence[int], response_ids: Sequence[int]) -> Example:
    """An SFT example: advantage 1 on every response token; the weight is set by its batch."""
    ones = np.ones(len(response_ids), dtype=np.float32)
    return Example(prompt_ids, response_ids, ones.astype(np.uint8), ones, ones)


def micro_batches(
    examples: Sequence[Example], most_tokens: int, device: str | torch.device, sharers: int = 1
) -> Iterator[Batch]:
    """Examples sorted by length and divided into equal shares of tokens, none above ``most_tokens`` when padded.

    Only a single row may be longer.  There are as few as can be, but a multiple of ``sharers``, so that workers
    that share them finish at the same time.  The rows of one prompt stay together, sorted by the longest of them, so
    that its encoding can be shared.
    """
    longest: dict[tuple[int, ...], int] = {}
    prompts = [tuple(e.prompt_ids) for e in examples]
    for prompt, example in zip(prompts, examples, strict=True):
        longest[prompt] = max(longest.get(prompt, 0), len(example))
    order = sorted(range(len(examples)), key=lambda i: (-longest[prompts[i]], prompts[i], -len(examples[i]), i))
    widths = np.array([longest[prompts[i]] for i in order])
    for index in _equal_shares(widths, most_tokens, sharers):
        chosen = tuple(order[i] for i in index)
        yield _batch([examples[i] for i in chosen], chosen, device)


def _equal_shares(widths: NDArray[np.int64], most: int, sharers: int) -> list[NDArray[np.int64]]:
    """Consecutive rows of falling width in about equal sums; rows x widest at most ``most``, but for a single row."""
    total, middle = widths.sum(), widths.cumsum() - widths / 2
    count = sharers
    while True:
        starts = np.flatnonzero(np.diff(np.floor(middle * count / total), prepend=-1.0))
        sizes = np.diff(starts, append=len(widths))
        if ((sizes == 1) | (sizes * widths[starts] <= most)).all():
            return np.split(np.arange(len(widths)), starts[1:]) if len(widths) else []
        count += sharers


def _batch(rows: list[Example], index: tuple[int, ...], device: str | torch.device) -> Batch:
    def per_token(values: Sequence[NDArray[np.float32]]) -> Tensor:
        kept = [v[r.mask.astype(bool)] for v, r in zip(values, rows, strict=True)]
        return torch.from_numpy(np.concatenate(kept)).to(device)

    old = [r.old for r in rows if r.old is not None]
    return Batch(
        rows,
        per_token([r.advantage for r in rows]),
        per_token([r.weight for r in rows]),
        per_token(old) if len(old) == len(rows) else None,
        torch.from_numpy(np.repeat(index, [r.learned for r in rows])).to(device),
        index,
    )


def epoch_steps(lengths: Sequence[int], tokens_per_step: int, seed: int, epoch: int) -> list[list[int]]:
    """One epoch's optimiser steps as lists of row numbers: shuffled, then divided at about ``tokens_per_batch``."""
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    steps: list[list[int]] = [[]]
    size = 0
    for row in order.tolist():
        if steps[-1] and size + lengths[row] > tokens_per_step:
            steps.append([])
            size = 0
        steps[-1].append(row)
        size += lengths[row]
    return steps
