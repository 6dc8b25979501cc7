"""A word problem as a graph: expressions, their values, the solution's template and its split.

Operations of a parameter = max(1, binary operations in its expression); a constant counts as an operand (iGSM, Ye et
al., arXiv 2407.20311).  A split belongs to a template, the solution without names and numbers, so that no template is
in both; the order of the questions is part of it.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

Expr = int | str | tuple[str, "Expr", "Expr"]
"""A constant, the key of another parameter, or (operator, left, right) with + - *."""

TRAIN_BINS, BINS = 16, 23  # templates hash into 23 bins; the first 16 are training, the rest test


@dataclass(frozen=True)
class Dag:
    """A problem as a graph.

    ``exprs`` maps each parameter's key to its expression and ``names`` to (owner, item) as words; ``stated`` are the
    keys given by a sentence, in the order shown; ``implied`` the abstract ones; ``needed`` the necessary ones in one
    topological order; ``values`` all values.
    """

    exprs: dict[str, Expr]
    names: dict[str, tuple[str, str]]
    stated: tuple[str, ...]
    implied: tuple[str, ...]
    needed: tuple[str, ...]
    asked: tuple[str, ...]
    values: dict[str, int]
    modulus: int | None

    @property
    def ops(self) -> int:
        return sum(operations(self.exprs[key]) for key in self.needed)

    @property
    def redundant(self) -> tuple[str, ...]:
        needed = set(self.needed)
        return tuple(k for k in self.exprs if k not in needed)


def references(expr: Expr) -> tuple[str, ...]:
    """The parameters an expression refers to, left to right."""
    if isinstance(expr, str):
        return (expr,)
    if isinstance(expr, int):
        return ()
    return references(expr[1]) + references(expr[2])


def binary_operations(expr: Expr) -> int:
    return 1 + binary_operations(expr[1]) + binary_operations(expr[2]) if isinstance(expr, tuple) else 0


def operations(expr: Expr) -> int:
    """Operation count of a parameter (iGSM): a bare constant counts as one."""
    return max(1, binary_operations(expr))


def evaluate(expr: Expr, values: dict[str, int], modulus: int | None) -> int:
    """Value of an expression; raises KeyError if it refers to a parameter without a value."""
    if isinstance(expr, int):
        value = expr
    elif isinstance(expr, str):
        value = values[expr]
    else:
        op, left, right = expr
        a, b = evaluate(left, values, modulus), evaluate(right, values, modulus)
        value = a + b if op == "+" else a - b if op == "-" else a * b
    return value % modulus if modulus else value


def template(dag: Dag) -> str:
    """The solution without names and numbers, the same for every topological order of one graph."""
    index: dict[str, int] = {}
    lines: list[str] = []

    def shape(expr: Expr) -> str:
        if isinstance(expr, int):
            return "c"
        if isinstance(expr, str):
            return visit(expr)
        return f"({shape(expr[1])}{expr[0]}{shape(expr[2])})"

    def visit(key: str) -> str:
        if key not in index:
            line = shape(dag.exprs[key])
            index[key] = len(index)
            lines.append(line)
        return f"#{index[key]}"

    asked = ",".join(visit(key) for key in dag.asked)
    return ";".join(lines) + "?" + asked


def split_of(dag: Dag) -> Literal["train", "test"]:
    """The split a graph belongs to: by a hash of its template, so that no template is in both."""
    digest = hashlib.sha256(template(dag).encode()).digest()
    return "train" if int.from_bytes(digest[:8], "big") % BINS < TRAIN_BINS else "test"


def topological_order(dag: Dag, keys: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    """A random order of ``keys`` in which every parameter follows those it refers to."""
    wanted, done, order = set(keys), set[str](), list[str]()
    waiting = {k: {r for r in references(dag.exprs[k]) if r in wanted} for k in keys}
    while waiting:
        ready = [k for k, parents in waiting.items() if parents <= done]
        if not ready:
            raise ValueError("the dependency graph has a cycle")
        key = rng.choice(ready)
        del waiting[key]
        done.add(key)
        order.append(key)
    return tuple(order)
