"""Two ways to use the cores: inside each operation (torch's own threads) or beside each other (these).

A model of a few million parameters spends its time in operations too small to be worth splitting; there, one thread a
core, each over its own rows with single-threaded operations, is up to twice as fast.  Torch lets go of the
interpreter during an operation, so ordinary threads do.  A large model is bound by reading its weights, which every
thread would repeat, and every thread would hold gradients as large; it is left to torch, but sampling, where many rows
share a reading, gains up to a larger size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

import torch

from rlready.timing import part_of

T = TypeVar("T")
SMALL = 1 << 24  # parameters
SAMPLED = 1 << 28  # the same, for a sampler's threads of some dozen rows each
HANDOVER = 1e-4  # seconds until a waiting thread gets the interpreter; Python waits 5 ms, as long as many operations
SPLIT_TOKENS = 8192  # of a micro-batch where threads work beside each other: its activations stay in cache


def small(model: Any, most: int = SMALL) -> bool:
    """Whether a model is on the processor and has at most so many parameters."""
    parameters = list(model.parameters())
    return bool(sum(p.numel() for p in parameters) <= most and parameters[0].device.type == "cpu")


def workers(model: Any, most: int = SMALL) -> int:
    """How many threads to work beside each other with: one above ``most`` parameters, where torch's own do better."""
    return torch.get_num_threads() if small(model, most) else 1


def split_tokens(most: int, workers: int) -> int:
    """Tokens of a micro-batch, at most ``most``."""
    return most if workers == 1 else min(most, SPLIT_TOKENS)


def beside(calls: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """The calls' results in their order, computed by that many threads of single-threaded operations.

    Returns, or raises the first call's error, when all have ended.
    """
    if workers == 1 or len(calls) == 1:
        return [call() for call in calls]
    share = min(workers, len(calls))

    def alone(call: Callable[[], T]) -> T:
        torch.set_num_threads(1)
        part_of(share)
        return call()

    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    torch.set_num_threads(1)  # the numerical library's own count is shared by all threads
    sys.setswitchinterval(HANDOVER)
    futures = [_pool(workers).submit(alone, call) for call in calls]
    try:
        wait(futures)
        return [future.result() for future in futures]
    finally:
        wait(futures)  # also where Ctrl-C ended the first wait
        sys.setswitchinterval(interval)
        torch.set_num_threads(threads)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that stay, and with them the memory they have: a new thread begins with none and faults it in."""
    return ThreadPoolExecutor(workers, "rlready")
