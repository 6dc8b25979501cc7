"""The same graph as text, in words (for pretrained models) and in symbols (for a model of a million parameters).

Symbols:  ``a: 5 b= a + 3 c= 2 * b ? c`` — one word a token.  ``x:`` states a value, ``x=`` a definition,
and a worked step is ``b= a + 3 = 5 + 3 b: 8``: definition, substitution, value.  Abstract parameters are
written out, because a small model would spend itself on the hierarchy.  Words: sentences after iGSM's
patterns; abstract parameters stay implicit, and "the difference of X and Y" is X - Y as written.

A rendering knows three things: how to pose a problem, how to write one worked step, and how to read steps
back.  ``check`` reads a solution with it and verifies every step; text is parsed, never evaluated.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlready.tasks.dagmath import Dag, Expr, binary_operations, evaluate, references

LETTERS = string.ascii_lowercase
LONGEST_EXPRESSION, LONGEST_LINE = 100, 2000  # tokens, characters: no true step comes near, and reading stays fast


@dataclass(frozen=True)
class Step:
    """One worked step as read back: the parameter, the chain of expressions and the stated value."""

    key: str
    chain: tuple[Expr, ...]
    value: int


@dataclass(frozen=True)
class Check:
    """Verdict on a solution: ``error`` is None when every step holds, else what is wrong with the first bad one."""

    steps: int
    error: str | None

    @property
    def valid(self) -> bool:
        return self.error is None


class Rendering(Protocol):
    """How a graph reads as text; ``letters`` maps parameter keys to the variable names of this problem."""

    def prompt(self, dag: Dag, letters: dict[str, str]) -> str: ...
    def step(self, dag: Dag, key: str, letters: dict[str, str]) -> str: ...
    def join(self, steps: Sequence[str]) -> str: ...
    def answer(self, dag: Dag, letters: dict[str, str]) -> str: ...
    def read(self, text: str, dag: Dag, letters: dict[str, str]) -> Iterator[Step]: ...


def assign_letters(dag: Dag, rng: random.Random, alphabet: str = LETTERS) -> dict[str, str]:
    """A random, distinct variable name for every parameter; ValueError if the alphabet is too small."""
    if len(dag.exprs) > len(alphabet):
        raise ValueError(f"{len(dag.exprs)} parameters but only {len(alphabet)} variable names")
    return dict(zip(dag.exprs, rng.sample(alphabet, len(dag.exprs)), strict=True))


# ---------------------------------------------------------------------------------------- expressions


def show(expr: Expr, names: dict[str, str], nested: bool = False) -> str:
    """An expression with a space between any two tokens, brackets only where they are needed."""
    if isinstance(expr, tuple):
        op, left, right = expr
        product = op == "*"
        text = f"{show(left, names, product)} {op} {show(right, names, True)}"
        return f"( {text} )" if nested and not product else text
    return names[expr] if isinstance(expr, str) else str(expr)


def substitute(expr: Expr, values: dict[str, int]) -> Expr:
    """The expression with every parameter replaced by its value."""
    if isinstance(expr, tuple):
        return (expr[0], substitute(expr[1], values), substitute(expr[2], values))
    return values[expr] if isinstance(expr, str) else expr


def reduce_once(expr: Expr, modulus: int | None) -> Expr:
    """Carry out the first operation whose operands are numbers, brackets and products before sums."""
    if not isinstance(expr, tuple):
        return expr
    op, left, right = expr
    if isinstance(left, int) and isinstance(right, int):
        return evaluate(expr, {}, modulus)
    if isinstance(left, tuple) and not (op in "+-" and left[0] != "*" and isinstance(right, tuple)):
        return (op, reduce_once(left, modulus), right)
    if isinstance(right, tuple):
        return (op, left, reduce_once(right, modulus))
    return (op, reduce_once(left, modulus), right)


def worked_chain(dag: Dag, key: str) -> list[Expr]:
    """definition, substitution, then one reduction at a time down to (not including) the value."""
    expr = dag.exprs[key]
    chain = [expr]
    if references(expr):
        chain.append(substitute(expr, dag.values))
    while binary_operations(chain[-1]) > 1 or (len(chain) == 1 and binary_operations(chain[-1])):
        chain.append(reduce_once(chain[-1], dag.modulus))
    return chain


def parse(tokens: Sequence[str], keys: dict[str, str]) -> Expr:
    """Tokens to an expression, left associative; raises ValueError on anything else."""
    if len(tokens) > LONGEST_EXPRESSION:
        raise ValueError(f"an expression is longer than {LONGEST_EXPRESSION} tokens")
    rest = list(tokens)

    def atom() -> Expr:
        if not rest:
            raise ValueError("an expression ends too early")
        token = rest.pop(0)
        if token == "(":
            inner = sums()
            if not rest or rest.pop(0) != ")":
                raise ValueError("a bracket is not closed")
            return inner
        if token.lstrip("-").isascii() and token.lstrip("-").isdigit() and len(token) < 10:
            return int(token)
        if token in keys:
            return keys[token]
        raise ValueError(f"{token!r} is neither a number nor a known parameter")

    def products() -> Expr:
        expr = atom()
        while rest and rest[0] == "*":
            rest.pop(0)
            expr = ("*", expr, atom())
        return expr

    def sums() -> Expr:
        expr = products()
        while rest and rest[0] in "+-":
            expr = (rest.pop(0), expr, products())
        return expr

    expr = sums()
    if rest:
        raise ValueError(f"unexpected {rest[0]!r}")
    return expr


# -------------------------------------------------------------------------------------------- symbols


class Symbols:
    """Compact rendering, one word a token."""

    def prompt(self, dag: Dag, letters: dict[str, str]) -> str:
        order = list(dag.stated)
        for key in dag.implied:  # a fixed but scattered place, so that position tells nothing
            order.insert(sum(map(ord, letters[key])) % (len(order) + 1), key)
        parts = [self._definition(dag.exprs[k], letters[k], letters) for k in order]
        return " ".join([*parts, "?", *(letters[k] for k in dag.asked)])

    def step(self, dag: Dag, key: str, letters: dict[str, str]) -> str:
        name, chain = letters[key], worked_chain(dag, key)
        if isinstance(chain[0], int):
            return f"{name}: {dag.values[key]}"
        return f"{name}= {' = '.join(show(e, letters) for e in chain)} {name}: {dag.values[key]}"

    def join(self, steps: Sequence[str]) -> str:
        return " ".join(steps)

    def answer(self, dag: Dag, letters: dict[str, str]) -> str:
        return " ".join(f"{letters[k]}: {dag.values[k]}" for k in dag.asked)

    def read(self, text: str, dag: Dag, letters: dict[str, str]) -> Iterator[Step]:
        keys = {v: k for k, v in letters.items()}
        tokens = text.split()
        at = 0
        while at < len(tokens):
            head, mark = tokens[at][:-1], tokens[at][-1]
            if head not in keys or mark not in "=:":
                raise ValueError(f"expected a step, found {tokens[at]!r}")
            chain: list[Expr] = []
            at += 1
            if mark == "=":
                body: list[str] = []
                while at < len(tokens) and tokens[at][-1] != ":":
                    body.append(tokens[at])
                    at += 1
                if at == len(tokens) or tokens[at] != f"{head}:":
                    raise ValueError(f"the step of {head} does not end in its own value")
                chain = [parse(part, keys) for part in _split(body)]
                at += 1
            if at == len(tokens):
                raise ValueError(f"the value of {head} is missing")
            value = parse([tokens[at]], {})
            at += 1
            assert isinstance(value, int)
            yield Step(keys[head], tuple(chain), value)

    def _definition(self, expr: Expr, name: str, letters: dict[str, str]) -> str:
        return f"{name}: {expr}" if isinstance(expr, int) else f"{name}= {show(expr, letters)}"


def _split(tokens: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == "=":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


# ---------------------------------------------------------------------------------------------- words

STEP_IN_WORDS = re.compile(r"Let (\w+) be the number of (.+?)\. (\w+) = (.+)\.")


class Words:
    """English rendering with the hierarchy's names; abstract parameters stay implicit."""

    def prompt(self, dag: Dag, letters: dict[str, str]) -> str:
        sentences = [
            f"The number of {self._name(dag, k)} equals {self._phrase(dag, dag.exprs[k])}." for k in dag.stated
        ]
        if dag.modulus:
            sentences.append(f"All arithmetic is modulo {dag.modulus}.")
        sentences += [f"How many {dag.names[k][1]}s does each {dag.names[k][0]} have?" for k in dag.asked]
        return " ".join(sentences)

    def step(self, dag: Dag, key: str, letters: dict[str, str]) -> str:
        chain = worked_chain(dag, key)
        shown = [show(e, letters) for e in chain]
        if shown[-1] != str(dag.values[key]):
            shown.append(str(dag.values[key]))
        return f"Let {letters[key]} be the number of {self._name(dag, key)}. {letters[key]} = {' = '.join(shown)}."

    def join(self, steps: Sequence[str]) -> str:
        return "\n".join(steps)

    def answer(self, dag: Dag, letters: dict[str, str]) -> str:
        return ", ".join(str(dag.values[k]) for k in dag.asked)

    def read(self, text: str, dag: Dag, letters: dict[str, str]) -> Iterator[Step]:
        named = {self._name(dag, k): k for k in dag.exprs}
        keys: dict[str, str] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            found = STEP_IN_WORDS.fullmatch(line) if len(line) <= LONGEST_LINE else None
            if not found or found[1] != found[3]:
                raise ValueError(f"not a step: {line[:60]!r}")
            if found[2] not in named:
                raise ValueError(f"no parameter is called {found[2]!r}")
            *chain, last = (parse(part, keys) for part in _split(found[4].split()))
            if not isinstance(last, int):
                raise ValueError(f"the step of {found[1]} does not end in a number")
            keys[found[1]] = named[found[2]]
            yield Step(named[found[2]], tuple(chain), last)

    @staticmethod
    def _name(dag: Dag, key: str) -> str:
        owner, item = dag.names[key]
        return f"each {owner}'s {item}"

    def _phrase(self, dag: Dag, expr: Expr) -> str:
        if isinstance(expr, int):
            return str(expr)
        if isinstance(expr, str):
            return f"the number of {self._name(dag, expr)}"
        op, left, right = expr
        if isinstance(left, int):
            return f"{left} {'more than' if op == '+' else 'times'} {self._phrase(dag, right)}"
        terms = [self._phrase(dag, k) for k in references(expr)]
        kind = "difference" if op == "-" else "sum"
        return f"the {kind} of {', '.join(terms[:-1])} and {terms[-1]}"


RENDERINGS: dict[str, Rendering] = {"symbols": Symbols(), "words": Words()}


# ---------------------------------------------------------------------------------------------- check


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
    """Whether ``part`` is ``whole`` (numbers only) with some of its operations carried out, and rightly."""
    if isinstance(part, int):
        return evaluate(part, {}, modulus) == evaluate(whole, {}, modulus)
    if isinstance(part, str) or not isinstance(whole, tuple):
        return False
    return part[0] == whole[0] and follows(part[1], whole[1], modulus) and follows(part[2], whole[2], modulus)


def check(text: str, dag: Dag, letters: dict[str, str], rendering: Rendering) -> Check:
    """Verify every step of a solution, and that every asked parameter was solved.

    A step holds if its parameter is in the problem and not solved yet, its first expression is the
    problem's own definition (the order of a sum or product is free), all it refers to was solved before,
    every further expression follows from the values put into the definition, and the value is the true one.
    """
    solved: set[str] = set()
    steps = 0
    try:
        for step in rendering.read(text, dag, letters):
            steps += 1
            if error := _fault(step, dag, letters, solved):
                return Check(steps, error)
            solved.add(step.key)
    except ValueError as error:
        return Check(steps, str(error))
    unsolved = [k for k in dag.asked if k not in solved]
    return Check(steps, f"{letters[unsolved[0]]} was asked for but not solved" if unsolved else None)


def _fault(step: Step, dag: Dag, letters: dict[str, str], solved: set[str]) -> str | None:
    """What is wrong with a step, None if it holds."""
    name, expr = letters[step.key], dag.exprs[step.key]
    stated = step.chain[0] if step.chain else expr
    worked = substitute(stated, dag.values)
    missing = [letters[r] for r in references(expr) if r not in solved]
    faults = (
        (step.key in solved, f"{name} is solved twice"),
        (canonical(stated) != canonical(expr), f"{name} is not defined that way"),
        (not step.chain and not isinstance(expr, int), f"{name} is stated without being worked out"),
        (bool(missing), f"{name} needs {', '.join(missing)}, not solved yet"),
        (not all(follows(p, worked, dag.modulus) for p in step.chain[1:]), f"a calculation of {name} is wrong"),
        (step.value != dag.values[step.key], f"the value of {name} is wrong"),
    )
    return next((message for bad, message in faults if bad), None)
