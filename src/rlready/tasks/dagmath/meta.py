"""A graph as JSON values, so that it can be stored with its problem: in ``Problem.meta`` and in rows of files.

A row of a file may contain anything, so a graph that comes from one is validated before it is used.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, TypeAlias

from rlready.tasks.answers.extract import final_answer
from rlready.tasks.answers.quantity import numbers
from rlready.tasks.dagmath.graph import Dag, Expr, evaluate, references, topological_order
from rlready.tasks.dagmath.render import RENDERINGS, Rendering
from rlready.tasks.dagmath.stepcheck import check_steps
from rlready.tasks.protocol import Fault, Verdict

DagJson: TypeAlias = Mapping[str, Any]  # a graph as `to_meta` writes it

COLUMN = "dag"  # of a row in a file
OPERATORS = ("+", "-", "*")


def to_meta(dag: Dag, letters: Mapping[str, str], rendering: str = "symbols") -> dict[str, object]:
    """A graph, its variable names and the name of its rendering as plain JSON values."""
    return {
        "exprs": dag.exprs,
        "names": dag.names,
        "stated": dag.stated,
        "implied": dag.implied,
        "needed": dag.needed,
        "asked": dag.asked,
        "values": dag.values,
        "modulus": dag.modulus,
        "letters": dict(letters),
        "rendering": rendering,
    }


def from_meta(meta: DagJson) -> tuple[Dag, dict[str, str]]:
    """The graph and the variable names of `to_meta`, also after a round trip through JSON (tuples become lists)."""

    def expr(value: Any) -> Expr:
        if isinstance(value, (list, tuple)):
            op, left, right = value
            return (op, expr(left), expr(right))
        return value  # type: ignore[no-any-return]

    dag = Dag(
        exprs={k: expr(v) for k, v in meta["exprs"].items()},
        names={k: (owner, item) for k, (owner, item) in meta["names"].items()},
        stated=tuple(meta["stated"]),
        implied=tuple(meta["implied"]),
        needed=tuple(meta["needed"]),
        asked=tuple(meta["asked"]),
        values=dict(meta["values"]),
        modulus=meta["modulus"],
    )
    return dag, dict(meta["letters"])


def graph_of(meta: Mapping[str, object]) -> DagJson | None:
    """The graph in a problem's ``meta``, which is the graph or has a column with it; None if there is none."""
    found = meta if "exprs" in meta else meta.get(COLUMN)
    return found if isinstance(found, Mapping) and "exprs" in found else None


def rendering_of(graph: DagJson) -> Rendering:
    return RENDERINGS[graph.get("rendering", "symbols")]


def answer_key(graph: DagJson) -> str:
    """The asked values, without variable names."""
    return " ".join(str(graph["values"][k]) for k in graph["asked"])


def verify_solution(graph: DagJson, thinking: str, answer: str) -> Verdict:
    """Correct if the answer states every asked value and no other; strict if every step of the thought is correct."""
    dag, letters = from_meta(graph)
    rendering = rendering_of(graph)
    if graph.get("rendering", "symbols") == "symbols":
        correct = answer.split() == rendering.answer(dag, letters).split()
    else:
        correct = numbers(final_answer(answer)) == [dag.values[k] for k in dag.asked]
    if not correct:
        return Verdict(False, False, "the answer is incorrect")
    steps = check_steps(thinking, dag, letters, rendering)
    return Verdict(True, steps.valid, steps.error or "")


def first_fault(graph: DagJson, thinking: str) -> Fault | None:
    """The first wrong step of a thought, or what is missing at its end."""
    dag, letters = from_meta(graph)
    found = check_steps(thinking, dag, letters, rendering_of(graph))
    begin = found.end - len(thinking[found.begin : found.end].lstrip())
    return Fault(begin, found.end, found.error, found.kind, found.open) if found.error else None


def validate(graph: DagJson) -> None:
    """ValueError with the first fault of a graph from a file: its form, cycles, unconnected parts or values."""
    try:
        dag, letters = from_meta(graph)
        for expr in dag.exprs.values():
            _shape(expr)
        listed = {*dag.stated, *dag.implied, *dag.needed, *dag.asked}
        uses = {k: references(e) for k, e in dag.exprs.items()}
        _entries(dag, letters)
    except ValueError as error:
        raise ValueError(f"not a graph: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"not a graph: {type(error).__name__} {error}") from None
    if graph.get("rendering", "symbols") not in [*RENDERINGS]:
        raise ValueError(f"no rendering is called {graph['rendering']!r}")
    undefined = sorted({*listed, *(r for refs in uses.values() for r in refs)} - dag.exprs.keys())
    if undefined:
        raise ValueError(f"{undefined[0]} is referred to but not defined")
    if not dag.asked:
        raise ValueError("nothing is asked")
    for key in topological_order(dag, tuple(dag.exprs), random.Random(0)):
        if evaluate(dag.exprs[key], dag.values, dag.modulus) != dag.values[key]:
            raise ValueError(f"the value of {letters[key]} ({key}) contradicts its definition")
    _writable(dag, letters, rendering_of(graph))
    if loose := {*dag.exprs} - {*dag.stated, *dag.implied}:
        raise ValueError(f"{letters[min(loose)]} ({min(loose)}) is neither stated nor implied")
    ancestors, todo = set[str](), [*dag.asked]
    while todo:
        key = todo.pop()
        if key not in ancestors:
            ancestors.add(key)
            todo += uses[key]
    if odd := sorted(ancestors ^ {*dag.needed}):
        why = (
            "needed, but not listed"
            if odd[0] in ancestors
            else "listed as needed, but no asked parameter depends on it"
        )
        raise ValueError(f"the graph is not connected as it says: {letters[odd[0]]} ({odd[0]}) is {why}")


def _writable(dag: Dag, letters: dict[str, str], rendering: Rendering) -> None:
    """ValueError for a graph whose steps the rendering cannot parse again, because of a name or an expression."""
    givens = {k for k in dag.stated if isinstance(dag.exprs[k], int)}
    parents = {k: dict.fromkeys(references(e)) for k, e in dag.exprs.items()}
    locked = {k: [p for p in keys if p not in givens] for k, keys in parents.items()}
    passages = [rendering.attempt(dag, k, missing, letters) for k, missing in locked.items() if missing]
    for key in topological_order(dag, tuple(dag.exprs), random.Random(0)):
        place, what = rendering.analysis(dag, key, letters)
        step = rendering.step(dag, key, letters)
        passages.append(step[:place] + what + step[place:])
    verdict = check_steps(rendering.join(passages), dag, letters, rendering)
    if verdict.error:
        raise ValueError(f"it cannot be written as steps: {verdict.error}")


def _entries(dag: Dag, letters: Mapping[str, str]) -> None:
    """ValueError, KeyError or TypeError for an invalid modulus, value, name or letter."""
    if dag.modulus is not None and (not isinstance(dag.modulus, int) or dag.modulus < 2):
        raise ValueError(f"the modulus must be null or a whole number from 2, not {dag.modulus!r}")
    whole = all(isinstance(dag.values[k], int) and dag.names[k] for k in dag.exprs)
    text = all(isinstance(letters[k], str) and letters[k] for k in dag.exprs)
    if not (whole and text and all(len({*each.values()}) == len(each) for each in (dag.names, letters))):
        raise ValueError("values must be whole numbers, and names and letters (text) different from each other")


def _shape(expr: object) -> None:
    """ValueError if ``expr`` is not an expression."""
    if isinstance(expr, tuple):
        if len(expr) != 3 or expr[0] not in OPERATORS:
            raise ValueError(f"{expr!r} is not a sum, difference or product of two")
        _shape(expr[1])
        _shape(expr[2])
    elif isinstance(expr, bool) or not isinstance(expr, (int, str)):
        raise ValueError(f"{expr!r} is not an expression")
