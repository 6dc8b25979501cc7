"""DAG maths: word problems whose dependency graph, length and answer are known exactly.

After iGSM (Ye et al., arXiv 2407.20311).  A hierarchy of items (layers) has *instance parameters*, "the
number of each A's B", each given by a sentence, and *abstract parameters*, "the number of each A's
<category>", which are sums over sub-items and follow from the hierarchy.  Every parameter the questions
need is necessary, the needed operations add up to an exact number, and redundant premises are mixed in.

Choices of this package, where the paper differs or is silent: the graph is grown forwards, and every new parameter
prefers operands that are not used yet, so that the parameters left unused at the end are exactly the ones asked for;
several parameters may be asked at once (a larger answer space, so that the chance level is low); a definition that
only repeats another parameter is left out, because it has no arithmetic.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlready.tasks.dagmath.graph import Dag, Expr, binary_operations, evaluate, operations, references, split_of
from rlready.tasks.dagmath.hierarchy import THEMES, abstract_parameters, hierarchy

PATIENCE = 5000  # unsuccessful draws after which a configuration counts as impossible


@dataclass(frozen=True)
class DagConfig:
    """Settings of the generator; all ranges are inclusive."""

    ops: tuple[int, int] = (6, 8)
    asked: int = 1
    modulus: int | None = 13
    max_terms: int = 2
    constants: tuple[int, int] = (0, 12)
    redundant: tuple[int, int] = (1, 4)
    abstract: float = 0.5
    keep_zero: float = 0.4
    max_value: int = 1000
    forced_max: bool = False

    def __post_init__(self) -> None:
        lo, hi = self.ops
        if not 1 <= lo <= hi:
            raise ValueError(f"ops must satisfy 1 <= low <= high, got {self.ops}")
        if self.max_terms < 2:
            raise ValueError(f"max_terms must be at least 2, got {self.max_terms}")
        if not 1 <= self.asked <= lo:
            raise ValueError(f"asked must lie between 1 and the fewest operations {lo}, got {self.asked}")
        if not 0 <= self.redundant[0] <= self.redundant[1]:
            raise ValueError(f"redundant must satisfy 0 <= low <= high, got {self.redundant}")
        if hi + self.redundant[1] > 40:
            raise ValueError("operations plus redundant premises must stay within 40 parameters")
        if self.constants[1] < max(self.constants[0], 1):
            raise ValueError(f"constants must satisfy low <= high and 1 <= high, got {self.constants}")
        if self.modulus is not None and self.modulus < 2:
            raise ValueError(f"modulus must be at least 2, got {self.modulus}")
        if not (0 <= self.abstract <= 1 and 0 <= self.keep_zero <= 1):
            raise ValueError(f"abstract and keep_zero are probabilities, got {self.abstract} and {self.keep_zero}")


class _Retry(Exception):
    """This draw cannot be completed; draw again."""


def generate(config: DagConfig, rng: random.Random) -> Dag:
    """One problem; draws until the graph fits the configuration, ValueError if it never does."""
    for _ in range(PATIENCE):
        try:
            return _draw(config, rng)
        except _Retry:
            continue
    raise ValueError(f"no problem fits these settings in {PATIENCE} draws")


def _draw(config: DagConfig, rng: random.Random) -> Dag:
    lo, hi = config.ops
    target = hi if config.forced_max else min(rng.randint(lo, hi), rng.randint(lo, hi))
    redundant = rng.randint(*config.redundant)
    children = hierarchy(target + redundant, rng)
    edges = [f"{a}/{b}" for a, items in children.items() for b in items]
    rng.shuffle(edges)
    sums = {k: e for k, e in abstract_parameters(children).items() if binary_operations(e) < config.max_terms}

    budget = _choose(config, target, edges, sums, rng)
    exprs, asked = _wire(config, budget, sums, rng)
    needed = tuple(exprs)
    _add_redundant(config, redundant, [e for e in edges if e not in exprs], exprs, rng)
    implied = [k for k in exprs if k in sums]
    if sums and rng.random() < config.abstract:  # an abstract parameter that no question needs
        spare = [k for k, e in sums.items() if k not in exprs and all(r in exprs for r in references(e))]
        if spare:
            key = rng.choice(spare)
            exprs[key] = sums[key]
            implied.append(key)

    values: dict[str, int] = {}
    for key, expr in exprs.items():
        values[key] = evaluate(expr, values, config.modulus)
        if config.modulus is None and abs(values[key]) >= config.max_value:
            raise _Retry
    if any(values[k] == 0 for k in asked) and rng.random() > config.keep_zero:
        raise _Retry
    stated = [k for k in exprs if k not in sums]
    rng.shuffle(stated)
    rng.shuffle(asked)
    theme = rng.choice(THEMES)
    pick = {layer: rng.sample(theme[layer][1], 4) for layer in range(4)}

    def item(key: str) -> str:
        layer, _, index = key.partition(".")
        return pick[int(layer)][int(index)] if index else theme[int(layer)][0]

    names = {k: (item(k.split("/")[0]), item(k.split("/")[1])) for k in exprs}
    return Dag(exprs, names, tuple(stated), tuple(implied), needed, tuple(asked), values, config.modulus)


def _choose(
    config: DagConfig, target: int, edges: list[str], sums: dict[str, Expr], rng: random.Random
) -> dict[str, int]:
    """Which parameters are needed and how many operations each takes; the total is ``target`` exactly."""
    budget: dict[str, int] = {}
    if sums and rng.random() < config.abstract:
        closure: list[str] = []

        def add(key: str) -> None:
            for parent in references(sums[key]) if key in sums else ():
                add(parent)
            if key not in closure:
                closure.append(key)

        add(rng.choice(list(sums)))
        cost = {k: operations(sums[k]) if k in sums else 1 for k in closure}
        if sum(cost.values()) <= target:
            budget.update(cost)
    total = sum(budget.values())
    free = [e for e in edges if e not in budget]
    while total < target:
        raisable = [k for k, n in budget.items() if k not in sums and 1 + n < config.max_terms]
        if raisable and (not free or rng.random() < 0.5):
            budget[rng.choice(raisable)] += 1
        elif free:
            budget[free.pop()] = 1
        else:
            raise _Retry
        total += 1
    return budget


def _wire(
    config: DagConfig, budget: dict[str, int], sums: dict[str, Expr], rng: random.Random
) -> tuple[dict[str, Expr], list[str]]:
    """(expressions in order, asked parameters): operands for every needed parameter, so that each of them is used."""
    waiting = {k: set(references(sums[k])) if k in sums else set[str]() for k in budget}
    reserved = {r for k in budget if k in sums for r in references(sums[k])}
    exprs: dict[str, Expr] = {}
    unused: list[str] = []
    while waiting:
        key = rng.choice([k for k, parents in waiting.items() if all(p in exprs for p in parents)])
        del waiting[key]
        if key in sums:
            exprs[key] = sums[key]
            unused = [u for u in unused if u not in references(sums[key])]
        else:
            surplus = len(unused) - config.asked
            must_merge = surplus >= len(waiting)
            terms = budget[key] + 1
            if budget[key] == 1 and not must_merge and (not exprs or rng.random() < 0.3):
                exprs[key] = rng.randint(*config.constants)
            else:
                exprs[key], taken = _combine(config, terms, list(exprs), unused, merge=must_merge, rng=rng)
                unused = [u for u in unused if u not in taken]
        if not (key in reserved and any(key in references(sums[k]) for k in waiting if k in sums)):
            unused.append(key)
    if len(unused) > config.asked:
        raise _Retry
    others = [k for k in exprs if k not in unused]
    extra = config.asked - len(unused)
    if extra > len(others):
        raise _Retry
    return exprs, unused + rng.sample(others, extra)


def _combine(
    config: DagConfig, terms: int, known: list[str], unused: list[str], *, merge: bool, rng: random.Random
) -> tuple[Expr, list[str]]:
    """An expression over ``terms`` operands: [c more than | c times] a parameter, a sum or a difference."""
    constant = rng.random() < 0.5 and not (merge and terms == 2)
    count = terms - constant
    if count > len(known):
        constant, count = True, terms - 1
    if count > len(known) or count < 1:
        raise _Retry
    taken: list[str] = []
    for _ in range(count):
        idle = [u for u in unused if u not in taken]
        pool = idle if idle and (merge or rng.random() < 0.7) else [k for k in known if k not in taken]
        taken.append(rng.choice(pool))
    expr: Expr = taken[0]
    if count == 2:
        expr = (rng.choice("+-"), expr, taken[1])
    else:
        for key in taken[1:]:
            expr = ("+", expr, key)
    if constant:
        lo, hi = config.constants
        expr = ("+", rng.randint(lo, hi), expr) if rng.random() < 0.5 else ("*", rng.randint(max(lo, 1), hi), expr)
    return expr, taken


def _add_redundant(config: DagConfig, count: int, free: list[str], exprs: dict[str, Expr], rng: random.Random) -> None:
    """Add premises that no question needs; about half of them depend only on each other."""
    own: list[str] = []
    for key in free[:count]:
        pool = own if rng.random() < 0.5 else list(exprs)
        terms = 1
        while terms < config.max_terms and rng.random() < 0.5:
            terms += 1
        if terms == 1 or not pool:
            exprs[key] = rng.randint(*config.constants)
        else:
            exprs[key], _ = _combine(config, min(terms, len(pool) + 1), pool, [], merge=False, rng=rng)
        own.append(key)


def stream(config: DagConfig, seed: int, split: Literal["train", "test"] | None = None) -> Iterator[Dag]:
    """Endless problems of one split, the same for the same seed; ValueError if the split never comes up."""
    vain = 0
    for index in itertools.count():
        dag = generate(config, random.Random(f"dag:{seed}:{index}"))
        if split is None or split_of(dag) == split:
            vain = 0
            yield dag
        elif (vain := vain + 1) == PATIENCE:
            raise ValueError(
                f"none of {PATIENCE} problems is in the {split} split: too few templates, ask for more operations"
            )
