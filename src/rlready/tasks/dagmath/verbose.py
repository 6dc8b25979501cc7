"""Worked solutions that cannot leave it at that: every step may be checked again, and some are taken back.

What fine-tuning on long reasoning traces does to a small model (Tarunokusumo & Cunha, arXiv 2510.21398: wordy, and no
better for it) needs such traces; these are ours, in words that the embedded model's vocabulary has spare.  They stay
right by the step checker: a step that is checked again is idle, and a slip is called wrong at once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlready.tasks.dagmath.graph import Dag
from rlready.tasks.dagmath.symbols import Symbols

SLIPS = 0.1  # of the share of re-checks: computed steps that are first taken wrongly
MOST = 4  # re-checks after one step


def wordy(
    dag: Dag, order: Sequence[str], letters: dict[str, str], rendering: Symbols, share: float, rng: random.Random
) -> list[str]:
    """The steps in their order; after each, with chance ``share``, one of those so far again, and so on."""
    parts: list[str] = []
    for at, key in enumerate(order):
        if not isinstance(dag.exprs[key], int) and rng.random() < SLIPS * share:
            wrong = (dag.values[key] + rng.randrange(1, dag.modulus or 10)) % (dag.modulus or 23)
            if wrong != dag.values[key]:
                parts.append(rendering.slip(dag, key, letters, wrong))
        parts.append(rendering.step(dag, key, letters))
        for _ in range(MOST):
            if rng.random() >= share:
                break
            parts.append(rendering.recheck(dag, rng.choice(order[: at + 1]), letters))
    return parts
