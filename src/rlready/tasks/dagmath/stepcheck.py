"""Check every step of a solution, and every behaviour between the steps, for both renderings.

A rendering parses the passages from text; here each passage is compared with the graph.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlready.tasks.dagmath.expression import UnknownQuantity, substitute
from rlready.tasks.dagmath.graph import Dag, Expr, evaluate, references
from rlready.tasks.dagmath.passage import Analysis, Attempt, Passage, Slip, Step, Unreadable
from rlready.tasks.dagmath.render import Rendering

Found = tuple[str, str]  # the kind of a fault, and what it is
DEFINITION, EARLY, CALCULATION = "another definition", "a value that is not solved yet", "a wrong calculation"
UNWORKED, UNREADABLE, UNSOLVED = "a value without its working", "not a step", "something asked is not solved"
UNKNOWN = "an unknown quantity"
ATTEMPT, RECALL, WITHDRAWN = "a wrong account of what is missing", "a wrong recall", "a correct value withdrawn"


@dataclass(frozen=True)
class StepCheck:
    """The result for a solution: ``error`` is None if it is correct, else the fault of the last of ``steps``, and
    ``kind`` what kind of fault that is.

    Failed attempts count as steps too.  ``begin`` and ``end`` are where the faulty step is in the text, in characters,
    the end of the text both if one is missing; ``open``: the text ends inside of it, or before it.
    """

    steps: int
    error: str | None
    begin: int = 0
    end: int = 0
    open: bool = False
    kind: str = ""

    @property
    def valid(self) -> bool:
        return self.error is None


def canonical(expr: Expr) -> object:
    """The expression with sums and products flattened and sorted: equal for a + b and b + a."""
    if not isinstance(expr, tuple):
        return expr
    op, left, right = expr[0], canonical(expr[1]), canonical(expr[2])
    if op == "-":
        return (op, left, right)
    operands = [
        o for side in (left, right) for o in (side[1:] if isinstance(side, tuple) and side[0] == op else (side,))
    ]
    return (op, *sorted(operands, key=repr))


def follows(part: Expr, whole: Expr, modulus: int | None) -> bool:
    """Whether ``part`` is ``whole`` (numbers only) with some of its operations carried out, and correctly."""
    if isinstance(part, int):
        return evaluate(part, {}, modulus) == evaluate(whole, {}, modulus)
    if isinstance(part, str) or not isinstance(whole, tuple):
        return False
    return part[0] == whole[0] and follows(part[1], whole[1], modulus) and follows(part[2], whole[2], modulus)


def check_steps(text: str, dag: Dag, letters: dict[str, str], rendering: Rendering) -> StepCheck:
    """Verify every step of a solution, and that every asked parameter is known at its end.

    The givens, which the prompt states as plain numbers, are known from the start; every other parameter has to be
    solved, abstract ones included.  A step is correct if its parameter is in the problem, its first expression is the
    definition in the problem (the order of a sum or product does not matter), every parameter it refers to is known,
    every further expression follows from the values substituted into the definition, and the value is correct.
    Repeating a correct step is allowed.  A step may state a given; in words it must do so if a later step uses the
    given, because only such a step assigns it a letter.

    A failed attempt is correct if it names exactly the parents that are unsolved at that point, at least one; an
    analysis, if it restates the definition of its step, or recalls exactly the values that its step depends on, all
    known by then.  A slip, a step withdrawn as wrong, is correct if its value is indeed wrong; it solves nothing.
    """
    known = {k for k in dag.stated if isinstance(dag.exprs[k], int)}
    steps = begin = 0
    try:
        for passage in rendering.read_passages(text, dag, letters):
            steps += not isinstance(passage, Analysis)
            if found := _fault(passage, dag, letters, known):
                kind, error = found
                return StepCheck(steps + isinstance(passage, Analysis), error, begin, passage.end, kind=kind)
            if not isinstance(passage, Analysis):  # which is part of the step that follows
                begin = passage.end
            if isinstance(passage, Step):
                known.add(passage.key)
    except Unreadable as error:
        kind = UNKNOWN if isinstance(error.why, UnknownQuantity) else UNREADABLE
        return StepCheck(steps + 1, str(error), begin, error.end, error.end >= len(text.rstrip()), kind)
    unsolved = [k for k in dag.asked if k not in known]
    missing = f"{letters[unsolved[0]]} was asked for but not solved" if unsolved else None
    return StepCheck(steps, missing, len(text), len(text), bool(missing), UNSOLVED if missing else "")


def _fault(passage: Passage, dag: Dag, letters: dict[str, str], known: set[str]) -> Found | None:
    """The fault of a passage, its kind and what it is, or None if it is correct."""
    if isinstance(passage, Attempt):
        return _attempt_fault(passage, dag, letters, known)
    if isinstance(passage, Analysis):
        return _analysis_fault(passage, dag, letters, known)
    if isinstance(passage, Slip):
        right = passage.step.value == dag.values[passage.step.key]
        said = f"the value of {letters[passage.step.key]} is called wrong but is correct"
        return (WITHDRAWN, said) if right else None
    return _step_fault(passage, dag, letters, known)


def _attempt_fault(attempt: Attempt, dag: Dag, letters: dict[str, str], known: set[str]) -> Found | None:
    name, claimed = letters[attempt.key], attempt.missing
    parents = references(dag.exprs[attempt.key])
    faults = [(k not in parents, f"{name} does not need {letters[k]}") for k in claimed]
    faults += [(k in known, f"{letters[k]} is called unsolved but known by then") for k in claimed]
    faults += [(k not in known and k not in claimed, f"{letters[k]} is missing for {name}, too") for k in parents]
    faults += [(len({*claimed}) < len(claimed), f"something missing for {name} is named twice")]
    return next(((ATTEMPT, said) for bad, said in faults if bad), None)


def _analysis_fault(analysis: Analysis, dag: Dag, letters: dict[str, str], known: set[str]) -> Found | None:
    name, expr, recalled = letters[analysis.key], dag.exprs[analysis.key], analysis.recalled
    if analysis.restated is not None:
        wrong = canonical(analysis.restated) != canonical(expr)
        return (DEFINITION, f"{name} is not defined that way") if wrong else None
    parents = references(expr)
    faults = [(k not in parents, f"{name} does not need {letters[k]}") for k, _ in recalled]
    faults += [(k not in known, f"{letters[k]} is recalled but not solved yet") for k, _ in recalled]
    faults += [(value != dag.values[k], f"the value of {letters[k]} is wrong") for k, value in recalled]
    faults += [(sorted({*parents}) != sorted(k for k, _ in recalled), f"{name} needs other values than are recalled")]
    return next(((RECALL, said) for bad, said in faults if bad), None)


def _step_fault(step: Step, dag: Dag, letters: dict[str, str], known: set[str]) -> Found | None:
    name, expr = letters[step.key], dag.exprs[step.key]
    stated = step.chain[0] if step.chain else expr
    worked = substitute(stated, dag.values)
    missing = [letters[r] for r in references(expr) if r not in known]
    follow = all(follows(p, worked, dag.modulus) for p in step.chain[1:])
    faults = (
        (canonical(stated) != canonical(expr), DEFINITION, f"{name} is not defined that way"),
        (not step.chain and not isinstance(expr, int), UNWORKED, f"{name} is stated without being worked out"),
        (bool(missing), EARLY, f"{name} needs {', '.join(missing)}, not solved yet"),
        (not follow, CALCULATION, f"a calculation of {name} is wrong"),
        (step.value != dag.values[step.key], CALCULATION, f"the value of {name} is wrong"),
    )
    return next(((kind, said) for bad, kind, said in faults if bad), None)
