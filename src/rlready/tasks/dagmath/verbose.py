"""Verbose worked solutions: every step may be checked again, and some steps are withdrawn and repeated.

They serve to study what fine-tuning on long reasoning traces does to a small model (Tarunokusumo & Cunha, arXiv
2510.21398: longer and no better thoughts).  The rows are a choice of this package, in words that the embedded model's
vocabulary reserves.  The step checker accepts them: repeating a step is allowed, and a slip is withdrawn at once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from rlready.tasks.dagmath.graph import Dag
from rlready.tasks.dagmath.symbols import Symbols

SLIPS = 0.1  # of the share of re-checks: computed steps that are first written with a wrong value
MOST = 4  # re-checks after one step


def verbose_steps(
    dag: Dag, order: Sequence[str], letters: dict[str, str], rendering: Symbols, share: float, rng: random.Random
) -> list[str]:
    """The steps in order; after each, up to `MOST` earlier steps are repeated, each with probability ``share``."""
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
