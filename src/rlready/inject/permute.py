"""The two augmentations BRIDGE is compared with: the same problem in other words, four times (arXiv 2505.18917).

- *premise permutation* (PP-Aug; ``4Qaug`` in the authors' code): the premises of the question in another order.
- *reasoning chain* (RC-Aug; ``4Aaug``): the steps of the solution in another topological order.

Each of the four differs from the row and from the others as far as there are as many orders.  Left out: the code puts
the asked parameter's step last; here several may be asked, and a row's last step may be any.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from rlready.inject.errors import Unfit
from rlready.inject.graph import steps_of
from rlready.inject.worked import Worked
from rlready.tasks.dagmath.graph import topological_order
from rlready.tasks.dagmath.meta import COLUMN, from_meta, rendering_of, to_meta

COPIES = 4
DRAWS = 20  # of an order that has not been seen


def premises(row: Worked, rng: random.Random) -> Iterator[Worked]:
    """The row with its premises in four other orders."""
    steps_of(row.solution, graph := _graph(row))
    dag, letters = from_meta(graph)
    rendering = rendering_of(graph)
    for stated in _others(dag.stated, lambda: tuple(rng.sample(dag.stated, len(dag.stated)))):
        other = replace(dag, stated=stated)
        meta = to_meta(other, letters, str(graph.get("rendering", "symbols")))
        meta = meta if "exprs" in row.problem.meta else {**row.problem.meta, COLUMN: meta}
        yield replace(row, problem=replace(row.problem, prompt=rendering.prompt(other, letters), meta=meta))


def chains(row: Worked, rng: random.Random) -> Iterator[Worked]:
    """The row with the steps of its solution in four other topological orders."""
    steps = steps_of(row.solution, graph := _graph(row))
    dag, _ = from_meta(graph)
    for order in _others(tuple(steps), lambda: topological_order(dag, tuple(steps), rng)):
        text = rendering_of(graph).join([steps[key] for key in order])
        yield replace(row, thinking=text, solution=text)


def _graph(row: Worked) -> dict[str, object]:
    if row.graph is None:
        raise Unfit("it has no graph whose parts could be put in another order")
    return dict(row.graph)


def _others(first: tuple[str, ...], draw: Callable[[], tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    seen = {first}
    for _ in range(COPIES):
        order = next((o for o in (draw() for _ in range(DRAWS)) if o not in seen), None) or draw()
        seen.add(order)
        yield order
