"""Where the time of a step goes, and how close its arithmetic came to the limit of the machine.

``with span("decode"):`` adds to a table that a ``Watch`` reads, once a step.  Threads that run in parallel each
add a share of the wall time, so that the table still sums to about that time.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_table: defaultdict[str, float] = defaultdict(float)
_lock = threading.Lock()
_thread = threading.local()


def part_of(threads: int) -> None:
    """Called in a worker: its seconds are divided by the number of ``threads`` that work in parallel."""
    _thread.share = 1 / threads


@contextmanager
def span(name: str) -> Iterator[None]:
    """Count the seconds of the block under a name, those of a GPU included; spans are not nested."""
    _wait_for_gpu()
    begun = time.perf_counter()
    try:
        yield
    finally:
        _wait_for_gpu()
        spent = (time.perf_counter() - begun) * getattr(_thread, "share", 1.0)
        with _lock:
            _table[name] += spent


class Watch:
    """One step's wall and CPU seconds, by kind of work; made when the step begins."""

    def __init__(self) -> None:
        _take()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def measure(self, weights: int, *, generated: int = 0, fed: int = 0) -> dict[str, float]:
        """For the log: seconds, what they went into, tokens and GFLOP/s while sampling and while updating.

        ``weights`` is the model's ``multiplied``, ``fed`` the tokens of the update's forward pass; a token costs
        2 operations a weight forward and 4 backward.  Attention is not counted; operations that an update skips
        for some tokens are counted for all.
        """
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        parts = _take()
        line = {"seconds": wall, "cpu_seconds": cpu}
        line |= {f"seconds_{name}": spent for name, spent in sorted(parts.items())}
        line["seconds_other"] = wall - sum(parts.values())
        sampling, update = parts.get("prefill", 0.0) + parts.get("decode", 0.0), parts.get("logprobs", 0.0)
        update += parts.get("backward", 0.0)
        if sampling:
            line |= {
                "tokens_per_second": generated / sampling,
                "gflops_sampling": 2e-9 * weights * generated / sampling,
            }
        if update:
            line["gflops_update"] = 6e-9 * weights * fed / update
        return line


def _wait_for_gpu() -> None:
    """A GPU works on while Python goes on: without waiting, its time would be counted where it is waited for."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _take() -> dict[str, float]:
    """Seconds by name since the last call."""
    with _lock:
        found = dict(_table)
        _table.clear()
    return found


def gemm_peak(size: int = 1536, rounds: int = 5, *, device: str = "cpu", bfloat16: bool = False) -> float:
    """GFLOP/s of a square matrix product, on a CPU with torch's threads: the best of some rounds.

    On a GPU ``size`` is multiplied by four, and in fp32 the cores for matrices may not be used, as in training.
    """
    size *= 4 if device != "cpu" else 1
    a = torch.rand(size, size, device=device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    best = float("inf")
    for _ in range(rounds + 1):  # the first round is a warm-up
        begun = time.perf_counter()
        torch.mm(a, a)
        _wait_for_gpu()
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e9


def copy_peak(megabytes: int = 256, rounds: int = 3, *, device: str = "cpu") -> float:
    """GB/s that copying reads and writes in memory: the best of some rounds."""
    a = torch.ones(megabytes << 18, device=device)
    b, best = torch.empty_like(a), float("inf")
    for _ in range(rounds + 1):  # the first round is a warm-up
        begun = time.perf_counter()
        b.copy_(a)
        _wait_for_gpu()
        best = min(best, time.perf_counter() - begun)
    return 2 * a.nbytes / best / 1e9


def multiplied(model: Any) -> int:
    """Parameters that every token is multiplied with: all but the embedding, where it is not the head as well."""
    embedding = model.get_input_embeddings().weight
    tied = model.get_output_embeddings() is not None and model.get_output_embeddings().weight is embedding
    return int(sum(p.numel() for p in model.parameters()) - (0 if tied else embedding.numel()))
