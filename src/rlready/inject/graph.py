"""Behaviours in a worked solution of DAG maths, in either rendering, each one a function.

- *exploration*: a walk over the graph (``walk.py``) with failed attempts, each naming the parents that are missing.
- *analysis*: a sentence before a step that names what the step needs.  From BRIDGE's code: only at steps with parents,
  with a probability by the number of operands, constants included: 0, .1, .4, .8, then 1 ("level 2", which the paper's
  data used).  The code also restates the condition of a locked parameter; the paper's text and this file do so only for
  unlocked ones.
- *sub-goal computation*: every operation is written out where the solution went from values to result in one step.

Every failed attempt is genuine: its step is locked at that moment, which the step checker (``stepcheck.py``) verifies.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import replace

from rlready.inject.errors import Contradiction, Unfit
from rlready.inject.splice import Behaviour, Piece, Splice, Unit, grown, insert
from rlready.inject.walk import Fail, Solve, walk
from rlready.tasks.dagmath.graph import Dag, binary_operations, references
from rlready.tasks.dagmath.meta import from_meta, rendering_of
from rlready.tasks.dagmath.passage import Step
from rlready.tasks.dagmath.render import Rendering
from rlready.tasks.dagmath.stepcheck import check_steps

ANALYSIS = (0.0, 0.1, 0.4, 0.8, 1.0)  # BRIDGE's code, level 2: by the number of operands; the last for all above


def steps_of(thinking: str, graph: Mapping[str, object]) -> dict[str, str]:
    """The text of every step by its parameter, in order; Unfit or Contradiction says why not."""
    dag, letters = from_meta(graph)
    rendering = rendering_of(graph)
    checked = check_steps(thinking, dag, letters, rendering)
    if checked.error:
        raise Contradiction(f"step {checked.steps}: {checked.error}")
    passages = list(rendering.read_passages(thinking, dag, letters))
    steps = {p.key: p for p in passages if isinstance(p, Step)}
    if len(steps) < len(passages):
        raise Unfit("it shows such behaviours, or states a step twice, already")
    if any(step.name != letters[key] for key, step in steps.items()):
        raise Unfit("its variable names are not those of its graph")
    texts = {key: step.text for key, step in steps.items()}
    if rendering.join([*texts.values()]) != thinking:
        raise Unfit("its white space is not that of its rendering")
    return texts


def splice(
    thinking: str, graph: Mapping[str, object], behaviours: Collection[Behaviour], p: float, seed: str
) -> Splice:
    """The solution with behaviours in it, a function of the arguments alone."""
    steps = steps_of(thinking, graph)
    dag, letters = from_meta(graph)
    writer = _Writer(dag, letters, rendering_of(graph), steps, behaviours, random.Random(f"{seed}:analyse"))
    givens = {k for k in dag.stated if isinstance(dag.exprs[k], int)}
    events = walk(
        list(steps),
        {k: tuple(dict.fromkeys(references(e))) for k, e in dag.exprs.items()},
        random.Random(f"{seed}:explore"),
        p=p if "explore" in behaviours else 0.0,
        givens=givens,
        redundant=[k for k in dag.redundant if k not in steps and k not in givens],
    )
    units, failed, early = [], 0, 0
    for event in events:
        units.append(writer.unit(event))
        failed += isinstance(event, Fail)
        early += isinstance(event, Solve) and event.early and event.key not in givens
    return Splice(tuple(units), writer.separator, failed, early)


class _Writer:
    """Writes the events of a walk as text."""

    def __init__(
        self,
        dag: Dag,
        letters: dict[str, str],
        rendering: Rendering,
        steps: dict[str, str],
        behaviours: Collection[Behaviour],
        rng: random.Random,
    ) -> None:
        self.dag, self.letters, self.rendering, self.steps = dag, letters, rendering, steps
        self.behaviours, self.rng = behaviours, rng
        self.places = {key: place for place, key in enumerate(steps)}
        self.short = all(text == self._step(key, short=True) for key, text in steps.items())
        self.separator = rendering.join(["", ""])

    def unit(self, event: Solve | Fail) -> Unit:
        if isinstance(event, Fail):
            text = self.rendering.attempt(self.dag, event.key, event.missing, self.letters)
            return Unit((Piece(text, "explore"),))
        if event.key in self.steps:
            return Unit(self.step(event.key, self.steps[event.key]), self.places[event.key], event.early)
        step = self.step(event.key, self._step(event.key, short=self.short))
        return Unit(tuple(replace(piece, kind=piece.kind or "explore") for piece in step))

    def step(self, key: str, text: str) -> tuple[Piece, ...]:
        return insert(text, [self.analysis(key), self.computation(key, text)])

    def analysis(self, key: str) -> tuple[int, str, Behaviour]:
        """What the step needs, with the probability that BRIDGE's code gives it."""
        expr = self.dag.exprs[key]
        operands = binary_operations(expr) + 1 if references(expr) else 0
        place, what = self.rendering.analysis(self.dag, key, self.letters)
        wanted = self.rng.random() < ANALYSIS[min(operands, len(ANALYSIS) - 1)] and "analyse" in self.behaviours
        return place, what if wanted else "", "analyse"

    def computation(self, key: str, text: str) -> tuple[int, str, Behaviour]:
        """The operations that the step skips, if it skips any."""
        if "compute" not in self.behaviours or text != self._step(key, short=True):
            return 0, "", "compute"
        return *grown(text, self._step(key, short=False)), "compute"

    def _step(self, key: str, *, short: bool) -> str:
        return self.rendering.step(self.dag, key, self.letters, short=short)
