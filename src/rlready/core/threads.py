"""Two ways to use the cores: inside each operation (torch's own threads), or operations in parallel (this file).

One thread per core, each with separate rows and single-threaded operations, is up to twice as fast for a model of a few
million parameters, whose operations are too small to be worth splitting, and still 1.2 to 1.4 times as fast with a
hundred million.  Torch releases the GIL during an operation, so ordinary threads are enough.  The model size is limited
because every thread reads all weights and, in an update, has gradients of the same size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, TypeVar

import torch

from rlready.core.stopping import in_threads, nothing
from rlready.core.timing import part_of

T = TypeVar("T")
SMALL = 1 << 24  # parameters
READ = 1 << 28  # the same, if threads need no gradients
GRADIENTS = 1 << 29  # parameters times threads, if they do: 2 GiB in fp32
HANDOVER = 1e-5  # seconds until a waiting thread gets the GIL; Python's default, 5 ms, is as long as many operations
SPLIT_TOKENS = 4096  # of a thread's micro-batch, at most


def small(model: Any, most: int = SMALL) -> bool:
    """Whether a model is on the CPU and has at most ``most`` parameters."""
    parameters = list(model.parameters())
    return bool(sum(p.numel() for p in parameters) <= most and parameters[0].device.type == "cpu")


def workers(model: Any, most: int = SMALL) -> int:
    """How many threads to run in parallel: one above ``most`` parameters, where torch's threads are faster."""
    return torch.get_num_threads() if small(model, most) else 1


def learners(model: Any) -> int:
    """How many threads to compute gradients with in parallel: one if their gradients would not fit in memory."""
    return workers(model, max(SMALL, GRADIENTS // torch.get_num_threads()))


def split_tokens(most: int, workers: int) -> int:
    """Tokens of a micro-batch, so that those of all threads together have at most ``most``."""
    return most if workers == 1 else min(max(1, most // workers), SPLIT_TOKENS)


def run_parallel(calls: Sequence[Callable[[], T]], workers: int, meanwhile: Callable[[], None] = nothing) -> list[T]:
    """The results of the calls in their order, computed by ``workers`` threads of single-threaded operations.

    Returns when all have ended, and raises the error of a call that failed; see ``in_threads``.
    """
    if workers == 1 or len(calls) == 1:
        return [call() for call in calls]
    share = min(workers, len(calls))

    def work(call: Callable[[], T]) -> T:
        torch.set_num_threads(1)
        part_of(share)
        return call()

    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    torch.set_num_threads(1)  # the numerical library's own count is shared by all threads
    sys.setswitchinterval(HANDOVER)
    try:
        return in_threads(_pool(workers), [partial(work, call) for call in calls], meanwhile)
    finally:
        sys.setswitchinterval(interval)
        torch.set_num_threads(threads)


@contextmanager
def single_threaded(model: Any) -> Iterator[None]:
    """Run the operations of a small model in this thread: waking others takes longer than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if small(model) else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """A pool that is kept: a new thread would have to allocate its memory again."""
    return ThreadPoolExecutor(workers, "rlready")
