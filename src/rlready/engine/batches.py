"""Rows that the built-in engine decodes together, and which these are."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from rlready.engine.budget import BudgetState
from rlready.engine.protocol import Request

MIN_BATCH_SIZE = 8  # a batch is not split over threads below this


@dataclass(frozen=True)
class Batch:
    """Rows that are decoded together: requests, their budget states, and the keys (B,) of their random numbers.

    ``numbers`` are the rows' places among all requests, of which those that have ended are appended to ``done``.
    """

    requests: list[Request]
    states: list[BudgetState]
    keys: NDArray[np.uint64]
    temperature: float
    numbers: list[int]
    done: deque[int]
    after_step: Callable[[], None]

    @property
    def steered(self) -> bool:
        """Whether a budget has waits or a bias, so that some draws are not from the policy's own distribution."""
        return any(s.budget.num_waits or s.budget.end_think_bias for s in self.states)


def in_batches(
    requests: Sequence[Request], states: Sequence[BudgetState], unfinished: Sequence[int], *, threads: int, most: int
) -> list[list[int]]:
    """The unfinished requests in batches of at most ``most`` rows, by their places among all requests.

    Neighbours in length share one, and samples of one prompt are together.
    """
    todo = sorted(
        unfinished, key=lambda i: (len(requests[i].prompt_ids) + len(states[i].tokens), requests[i].prompt_ids, i)
    )
    size = min(most, max(MIN_BATCH_SIZE, math.ceil(len(todo) / threads)))
    parts = [todo[at : at + size] for at in range(0, len(todo), size)]
    if 1 < len(parts) <= threads:  # long and short prompts for each thread, so that all end at about the same time
        prompts = [list(some) for _, some in groupby(todo, lambda i: requests[i].prompt_ids)]
        dealt = [list(chain(*prompts[at :: len(parts)])) for at in range(len(parts))]
        parts = dealt if all(0 < len(part) <= most for part in dealt) else parts
    return parts
