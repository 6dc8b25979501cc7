"""One job, wherever it runs: a verb in its run folder, with its number of processor threads."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rlready.core.errors import UserError

# read by numerical libraries when they are first loaded; see also ``set_num_threads`` below
POLICY = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Order:
    """A job on its way to a worker, which may be another process on another machine that shares the disk."""

    key: str
    verb: str
    config: Any
    out: str
    threads: int
    home: str


@dataclass(frozen=True)
class Report:
    """How a job ended; ``problem`` is "" where it was done."""

    key: str
    problem: str
    seconds: float


class Executor(Protocol):
    """Where orders are carried out."""

    def room(self) -> int:
        """How many more orders can be taken on now."""
        ...

    def begin(self, order: Order) -> None:
        """Take on an order."""
        ...

    def wait(self) -> list[Report]:
        """Orders that have ended since; returns after a moment also where none has."""
        ...

    def close(self) -> None:
        """Stop whatever still runs."""
        ...


def perform(order: Order) -> Report:
    """Carry an order out in this process; whatever goes wrong is in the report, but for an interrupt."""
    begun = time.monotonic()
    try:
        _run(order)
        problem = ""
    except UserError as error:
        problem = str(error)
    except Exception as error:  # one job's fault is not the others'
        problem = f"{type(error).__name__}: {error}"
    return Report(order.key, " ".join(problem.split()), time.monotonic() - begun)


def _run(order: Order) -> None:
    import torch

    import rlready

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(order.threads)
        if os.getcwd() != order.home:
            os.chdir(order.home)
        getattr(rlready, order.verb)(order.config, Path(order.out))
    finally:
        torch.set_num_threads(before)


class Here:
    """One job after another in this process."""

    def __init__(self) -> None:
        self._next: Order | None = None

    def room(self) -> int:
        return 0 if self._next else 1

    def begin(self, order: Order) -> None:
        self._next = order

    def wait(self) -> list[Report]:
        order, self._next = self._next, None
        return [perform(order)] if order else []

    def close(self) -> None:
        self._next = None
