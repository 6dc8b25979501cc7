"""One optimiser step in several processes, each with a share of the examples: the same step as in one process.

The weights of the examples include the normaliser of the whole step, so losses and gradients are summed, not averaged.
Under DDP every process has all weights and the gradients are summed once, after the last backward pass; under FSDP
(`models/fsdp.py`) the backward pass of each micro-batch sums them, so that all processes need as many micro-batches.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlready.core.distributed import gathered, rank, world_size
from rlready.models.batch import Example
from rlready.models.fsdp import is_sharded


def examples_of_process(examples: Sequence[Example]) -> Sequence[Example]:
    """This process's share: the examples are dealt by falling length, each to the process with the fewest tokens."""
    if world_size() == 1:
        return examples
    loads, mine = [(0, each) for each in range(world_size())], list[int]()
    for at in sorted(range(len(examples)), key=lambda i: (-len(examples[i]), i)):
        tokens, to = heapq.heappop(loads)
        heapq.heappush(loads, (tokens + len(examples[at]), to))
        if to == rank():
            mine.append(at)
    return [examples[at] for at in sorted(mine)]


def sum_over_processes(model: Any, parameters: Iterable[Tensor], sums: Sequence[float]) -> list[float]:
    """The ``sums`` of all processes together; gradients are summed too, unless FSDP has.  Collective."""
    if world_size() == 1:
        return list(sums)
    if not is_sharded(model):
        import torch.distributed as dist

        waiting = []
        for parameter in parameters:
            if parameter.grad is None:  # a process without examples has none
                parameter.grad = torch.zeros_like(parameter)
            waiting.append(dist.all_reduce(parameter.grad, async_op=True))
        for each in waiting:
            each.wait()
    return [float(total) for total in np.sum(gathered(list(sums)), axis=0)]
