"""Checkpoints by their paths: of which SFT run, at which step, and what to call them.

``RUN/checkpoints/step-40`` is ours, ``RUN/checkpoint-40`` is what the Trainer of Transformers writes, and TRL's with
it.  A shell lists step-100 before step-40, so that order on the command line is no order of training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

STEP = re.compile(r"(?:step|checkpoint)-(\d+)")


def step_of(name: str) -> int | None:
    """The SFT step in a checkpoint's name; None where it has none."""
    found = STEP.fullmatch(PurePath(name).name)
    return int(found[1]) if found else None


def run_of(name: str) -> str | None:
    """The folder that holds the checkpoints of its SFT run; None for a name without a step."""
    return None if step_of(name) is None else str(PurePath(name).parent)


def in_training_order(names: Sequence[str]) -> list[str]:
    """Names in their places, but those of one run by step."""
    siblings: dict[str | None, list[str]] = {}
    for name in names:
        siblings.setdefault(run_of(name), []).append(name)
    queues = {run: iter(mine if run is None else sorted(mine, key=lambda n: step_of(n) or 0))
              for run, mine in siblings.items()}  # fmt: skip
    return [next(queues[run_of(name)]) for name in names]


def labels(names: Iterable[str]) -> dict[str, str]:
    """Checkpoints by as many last parts of their paths as tell them apart; the folder "checkpoints" says nothing."""
    paths = {name: [p for p in name.rstrip("/").split("/") if p != "checkpoints"] or [name] for name in names}
    for size in range(1, 1 + max(map(len, paths.values()), default=0)):
        short = {name: "/".join(parts[-size:]) for name, parts in paths.items()}
        if len(set(short.values())) == len(short):
            return short
    return {name: name for name in paths}
