"""The DAG maths task: problems from the generator, worked rows, and a verifier of answers and of every step.

``dagmath?ops=8&asked=3&rendering=symbols&split=test&n=200&seed=5``; the keys are the fields of ``DagOptions``.
In symbols the defaults are those that the embedded model was trained on; in words they are those of BRIDGE's code
(Cen et al., arXiv 2505.18917: no modulus, constants 0-9; it uses 15-20 operations).  Worked rows write out every
operation; with ``working=short``, as in BRIDGE's vanilla rows, they go from the values to the result in one step; with
``verbose=0.6`` they check and correct steps repeatedly (symbols only).  Problems are generated, not stored: each
depends only on the configuration, the split, the seed and its index, so ``n=100`` is a prefix of ``n=200``.
iGSM's prompts that state the hierarchy are not supported.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

from rlready.core.errors import UserError
from rlready.core.progress import counted
from rlready.core.records import Problem, Row
from rlready.tasks.dagmath.generator import PATIENCE, DagConfig, stream
from rlready.tasks.dagmath.graph import Dag, references, topological_order
from rlready.tasks.dagmath.meta import answer_key, first_fault, to_meta, verify_solution
from rlready.tasks.dagmath.render import LETTERS, RENDERINGS, assign_letters
from rlready.tasks.dagmath.symbols import Symbols
from rlready.tasks.dagmath.verbose import verbose_steps
from rlready.tasks.guess_baseline import guess_pass_at_k
from rlready.tasks.protocol import Fault, Task, Verdict
from rlready.tasks.source import Source, canonical, options_from

ALPHABETS = {"symbols": LETTERS, "words": string.ascii_letters}
# Problems from which the chance level is learned, and as many to score it on; no source can have this seed.
REFERENCE, REFERENCE_SEED = 2000, -1
T = TypeVar("T")
MOST = 100_000  # problems, which take about half a minute


@dataclass(frozen=True)
class DagOptions(DagConfig):
    """Options of a source string: those of the generator, and how problems and worked rows are written."""

    rendering: Literal["symbols", "words"] = "symbols"
    strict: bool = False
    detours: float = 0.0
    verbose: float = 0.0
    working: Literal["full", "short"] = "full"
    split: Literal["train", "test", "all"] = "train"
    n: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.detours <= 1:
            raise ValueError(f"detours is a probability, got {self.detours}")
        if not 0 <= self.verbose <= 1:
            raise ValueError(f"verbose is a probability, got {self.verbose}")
        if self.verbose and (self.rendering != "symbols" or self.working == "short"):
            raise ValueError("verbose rows exist in symbols with full working only")
        if self.n and self.n > MOST:
            raise ValueError(f"n={self.n:,} is more than the {MOST:,} problems that a source can generate")
        most, alphabet = self.ops[1] + self.redundant[1] + 1, ALPHABETS[self.rendering]
        if most > len(alphabet):
            raise ValueError(f"up to {most} parameters, but {self.rendering} has only {len(alphabet)} variable names")


PRESETS = {
    "symbols": DagOptions(),
    "words": DagOptions(rendering="words", modulus=None, constants=(0, 9), max_terms=4),
}


class DagTask(Task):
    """Generated problems; see the module docstring."""

    options: DagOptions
    licence = "Apache-2.0"  # made by this package

    def __init__(self, source: Source) -> None:
        preset = PRESETS.get(source.options.get("rendering", "symbols"), PRESETS["symbols"])
        self.options = options_from(source, preset)
        self.source = canonical(source, self.options, replace(preset, rendering="symbols"))
        self.rendering = RENDERINGS[self.options.rendering]

    @property
    def description(self) -> str:
        o = self.options
        low, high = o.ops
        return (
            f"Generated arithmetic over a dependency graph (after iGSM), in {o.rendering}: "
            f"{low if low == high else f'{low} to {high}'} operations, "
            f"{o.asked} question{'s' if o.asked > 1 else ''} each, "
            f"{f'modulo {o.modulus}' if o.modulus else 'no modulus'}, {o.split} split."
        )

    def problems(self) -> list[Problem]:
        return [problem for problem, _ in self._made]

    def rows(self) -> list[Row]:
        return [row for _, row in self._made]

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        """Correct if the answer states every asked value and no other; strict if every step of the thought is correct.

        With ``strict=1`` in the source, only a strict solution is correct.
        """
        verdict = verify_solution(problem.meta, thinking, answer)
        return replace(verdict, correct=bool(verdict.strict)) if self.options.strict else verdict

    def first_fault(self, problem: Problem, thinking: str) -> Fault | None:
        return first_fault(problem.meta, thinking)

    def answer_key(self, problem: Problem) -> str:
        return answer_key(problem.meta)

    def chance(self, k_values: Sequence[int]) -> dict[int, float]:
        """The most common answers of 2,000 generated problems are scored on 2,000 more with the same settings.

        The problems of this source are not used, because the chance level is a property of the settings.
        """
        return {k: guess_pass_at_k(self._reference[:REFERENCE], self._reference[REFERENCE:], k) for k in k_values}

    @cached_property
    def _reference(self) -> list[str]:
        return [
            answer_key({"values": d.values, "asked": d.asked})
            for d in _first(2 * REFERENCE, stream(self.options, REFERENCE_SEED))
        ]

    @cached_property
    def _made(self) -> list[tuple[Problem, Row]]:
        try:
            return _first(self.options.n, self._make())
        except ValueError as error:
            raise UserError(f"{self.source}: {error}") from None

    def _make(self) -> Iterator[tuple[Problem, Row]]:
        """Endless distinct problems with their worked rows."""
        o = self.options
        seen: set[str] = set()
        vain = 0
        for dag in stream(o, o.seed, None if o.split == "all" else o.split):
            rng = random.Random(f"dag-render:{o.seed}:{len(seen)}")
            letters = assign_letters(dag, rng, ALPHABETS[o.rendering])
            prompt = self.rendering.prompt(dag, letters)
            if prompt in seen:
                vain += 1
                if vain == PATIENCE:
                    raise ValueError(f"these settings give hardly more than {len(seen)} different problems")
                continue
            vain = 0
            name = f"dag-{o.split}-{o.seed}-{len(seen):06d}"
            seen.add(prompt)
            answer = self.rendering.answer(dag, letters)
            order = topological_order(dag, (*dag.needed, *_detours(dag, o.detours, rng)), rng)
            short = o.working == "short"
            steps = [self.rendering.step(dag, k, letters, short=short) for k in order]
            if o.verbose and isinstance(self.rendering, Symbols):
                steps = verbose_steps(dag, order, letters, self.rendering, o.verbose, rng)
            meta = to_meta(dag, letters, o.rendering)
            yield Problem(name, prompt, answer, meta), Row(name, prompt, answer, self.rendering.join(steps))


def _first(n: int, problems: Iterator[T]) -> list[T]:
    """The first ``n`` of endless problems, with a bar if they take long."""
    return [each for _, each in zip(counted("generating", range(n), "problems"), problems, strict=False)]


def _detours(dag: Dag, share: float, rng: random.Random) -> tuple[str, ...]:
    """Redundant parameters that are computed too, each with probability ``share``, and those they depend on."""
    chosen: dict[str, None] = {}
    for key in dag.redundant if share else ():
        if rng.random() < share:
            todo = [key]
            while todo:
                at = todo.pop()
                if at not in dag.needed and at not in chosen:
                    chosen[at] = None
                    todo += references(dag.exprs[at])
    return tuple(chosen)
