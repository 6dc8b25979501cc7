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

from rlready.tasks.expression import parse, show, worked_chain
from rlready.tasks.graph import Dag, Expr, references

LETTERS = string.ascii_lowercase
LONGEST_LINE = 2000  # characters: no true step comes near, and reading stays fast


@dataclass(frozen=True)
class Step:
    """One worked step as read back: the parameter, the chain of expressions and the stated value."""

    key: str
    chain: tuple[Expr, ...]
    value: int


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
        sentences += [f"What is the number of {self._name(dag, k)}?" for k in dag.asked]
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
