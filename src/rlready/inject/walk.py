"""Exploration as a walk over a solution's graph: what to try too early, and when (BRIDGE, arXiv 2505.18917).

A step is *locked* while a parent is unsolved.  The walk takes the steps of a solution in their order, and now and then
tries another one first.  From the authors' code (METHODS 3.2): with probability ``p``, only right after a success,
never before the first or the last step, it jumps to a redundant parameter with probability 0.3 (if there is one), else
to a later step, uniformly.  If that is locked, the attempt fails and the step that was due follows, so that two
failures never follow each other; if it can be solved already, it is solved there and stays solved.

Different from that code: the givens of a question, known from the start, are not tried; a step that is solved early is
preceded by the givens it uses, as far as they have not been stated; the code draws again when it hits a solved
parameter, here those are not drawn; and with ``can_try`` (for prose, whose sentences refer to the ones before) only
locked steps are drawn of which the attempt can be written.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

REDUNDANT = 0.3  # BRIDGE's code: share of the jumps that go to a redundant parameter


@dataclass(frozen=True)
class Solve:
    """``early``: the step is solved before its turn, or it is redundant and has no turn."""

    key: str
    early: bool = False


@dataclass(frozen=True)
class Fail:
    """An attempt at ``key`` that ends in stepping back, as its parents ``missing`` are unsolved."""

    key: str
    missing: tuple[str, ...]


def walk(
    order: Sequence[str],
    parents: Mapping[str, Collection[str]],
    rng: random.Random,
    *,
    p: float,
    givens: Collection[str] = (),
    redundant: Sequence[str] = (),
    can_try: Callable[[str, str], bool] | None = None,
) -> Iterator[Solve | Fail]:
    """Events in the order written; every step of ``order`` is solved exactly once, its parents before it.

    ``parents`` are those of each step and each redundant parameter; ``givens`` need not be solved to be used.
    ``can_try`` is asked of a step and the step that is due.
    """
    due, solved, stated = list(order), set(givens), set[str]()
    settled = False

    def missing(key: str) -> tuple[str, ...]:
        return tuple(k for k in parents[key] if k not in solved)

    def draw() -> str | None:
        idle = [k for k in redundant if k not in solved]
        later = [k for k in due[1:] if k not in solved and (not can_try or (missing(k) and can_try(k, due[0])))]
        if idle and rng.random() < REDUNDANT:
            return rng.choice(idle)
        return rng.choice(later) if later else None

    def solve(key: str, early: bool = False) -> Solve:
        if key in due:
            due.remove(key)
        solved.add(key)
        stated.add(key)
        return Solve(key, early)

    while due:
        tried = draw() if settled and len(due) > 1 and rng.random() < p else None
        if tried is None:
            yield solve(due[0])
            settled = True
        elif lacking := missing(tried):
            yield Fail(tried, lacking)
            settled = False
        else:
            for given in [k for k in parents[tried] if k not in stated and k in givens]:
                yield solve(given, early=True)
            yield solve(tried, early=True)
