"""Symbols: ``a: 5 b= a + 3 c= 2 * b ? c`` — one word a token, for a model of a million parameters.

``x:`` states a value, ``x=`` a definition, and a worked step is ``b= a + 3 = 5 + 3 b: 8``: definition,
substitution, value.  Abstract parameters are written out, because inferring the hierarchy is too hard for a small
model.  The behaviours use words that the embedded model's vocabulary reserves for them (a choice of this package):

    try c needs b locked back        a failed attempt at c: b, its only unsolved parent, comes first
    given b: 8 so c= 2 * b = ...     analysis: the values that c depends on, before the step
    wait check a: 5 right            re-checking: a step is repeated without need
    b= ... b: 9 wrong again b= ...   self-correction: a wrong step, withdrawn
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rlready.tasks.dagmath.expression import (
    UnknownQuantity,
    expression_text,
    parse_expression,
    split_at_equals,
    worked_chain,
)
from rlready.tasks.dagmath.graph import Dag, Expr, references
from rlready.tasks.dagmath.passage import Analysis, Attempt, Passage, Slip, Step, Unreadable


class Symbols:
    """Compact rendering, one word a token."""

    def prompt(self, dag: Dag, letters: dict[str, str]) -> str:
        order = list(dag.stated)
        for key in dag.implied:  # at a fixed pseudo-random index, so that the position carries no information
            order.insert(sum(map(ord, letters[key])) % (len(order) + 1), key)
        parts = [self._definition(dag.exprs[k], letters[k], letters) for k in order]
        return " ".join([*parts, "?", *(letters[k] for k in dag.asked)])

    def step(self, dag: Dag, key: str, letters: dict[str, str], *, short: bool = False) -> str:
        name, chain = letters[key], worked_chain(dag, key, short=short)
        if isinstance(chain[0], int):
            return f"{name}: {dag.values[key]}"
        return f"{name}= {' = '.join(expression_text(e, letters) for e in chain)} {name}: {dag.values[key]}"

    def attempt(self, dag: Dag, key: str, missing: Sequence[str], letters: dict[str, str]) -> str:
        return f"try {letters[key]} needs {' '.join(letters[k] for k in missing)} locked back"

    def analysis(self, dag: Dag, key: str, letters: dict[str, str]) -> tuple[int, str]:
        parents = dict.fromkeys(references(dag.exprs[key]))
        recalled = " ".join(f"{letters[k]}: {dag.values[k]}" for k in parents)
        return 0, f"given {recalled} so " if parents else ""

    def recheck(self, dag: Dag, key: str, letters: dict[str, str]) -> str:
        return f"wait check {self.step(dag, key, letters)} right"

    def slip(self, dag: Dag, key: str, letters: dict[str, str], value: int) -> str:
        """The step of ``key`` with another value, and its withdrawal."""
        return f"{self.step(dag, key, letters).rpartition(' ')[0]} {value} wrong again"

    def join(self, steps: Sequence[str]) -> str:
        return " ".join(steps)

    def answer(self, dag: Dag, letters: dict[str, str]) -> str:
        return " ".join(f"{letters[k]}: {dag.values[k]}" for k in dag.asked)

    def read_passages(self, text: str, dag: Dag, letters: dict[str, str]) -> Iterator[Passage]:
        return _Reader(text, {v: k for k, v in letters.items()}).passages()

    def _definition(self, expr: Expr, name: str, letters: dict[str, str]) -> str:
        return f"{name}: {expr}" if isinstance(expr, int) else f"{name}= {expression_text(expr, letters)}"


class _Reader:
    """Parses the passages of a text token by token; Unreadable at a token that fits none."""

    def __init__(self, text: str, keys: dict[str, str]) -> None:
        found = [*re.finditer(r"\S+", text)]
        self.tokens, self.ends = [each[0] for each in found], [each.end() for each in found]
        self.keys, self.at = keys, 0

    def passages(self) -> Iterator[Passage]:
        try:
            yield from self._passages()
        except ValueError as error:
            raise Unreadable(error, self._resumes()) from None

    def _passages(self) -> Iterator[Passage]:
        while self.at < len(self.tokens):
            if self._next("try"):
                yield self._attempt()
                continue
            if self._next("wait"):
                self._expect("check")
                yield self._step()
                self._expect("right")
                continue
            recalled = self._recalled() if self._next("given") else ()
            step = self._step()
            if recalled:
                yield Analysis(step.key, recalled=recalled, end=step.end)
            slipped = self._next("wrong")
            if slipped:
                self._expect("again")
            yield Slip(step, self.ends[self.at - 1]) if slipped else step

    def _attempt(self) -> Attempt:
        key = self._parameter("try")
        self._expect("needs")
        missing = [self._parameter("needs")]
        while not self._next("locked"):
            missing.append(self._parameter("needs"))
        self._expect("back")
        return Attempt(key, tuple(missing), self.ends[self.at - 1])

    def _recalled(self) -> tuple[tuple[str, int], ...]:
        recalled = []
        while not self._next("so"):
            recalled.append((self._head(":"), self._number()))
        if not recalled:
            raise ValueError("there is no value between given and so")
        return tuple(recalled)

    def _step(self) -> Step:
        start = self.at
        key = self._head("=:")
        name, mark = self.tokens[start][:-1], self.tokens[start][-1]
        chain: list[Expr] = []
        if mark == "=":
            body: list[str] = []
            while self.at < len(self.tokens) and self.tokens[self.at][-1] != ":":
                body.append(self.tokens[self.at])
                self.at += 1
            if not self._next(f"{name}:"):
                raise ValueError(f"the step of {name} does not end in its own value")
            chain = [parse_expression(part, self.keys) for part in split_at_equals(body)]
        value = self._number()
        return Step(key, tuple(chain), value, name, " ".join(self.tokens[start : self.at]), self.ends[self.at - 1])

    def _resumes(self) -> int:
        """Where the next passage may begin behind what cannot be read: the end of the text before it."""
        begins = (i for i in range(max(self.at, 1), len(self.tokens)) if self._may_begin(self.tokens[i]))
        return self.ends[next(begins, len(self.tokens)) - 1] if self.tokens else 0

    def _may_begin(self, token: str) -> bool:
        return token in ("try", "wait", "given") or (token[-1] in "=:" and token[:-1] in self.keys)

    def _next(self, token: str) -> bool:
        """Whether the next token is ``token``; if so, it is consumed."""
        found = self.at < len(self.tokens) and self.tokens[self.at] == token
        self.at += found
        return found

    def _expect(self, token: str) -> None:
        if not self._next(token):
            raise ValueError(f"expected {token!r} {self._found()}")

    def _head(self, marks: str) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else " "
        if re.fullmatch(r"\w+[=:]", token) and token[:-1] not in self.keys:
            raise UnknownQuantity(f"{token[:-1]!r} is not in the problem")
        if token[:-1] not in self.keys or token[-1] not in marks:
            raise ValueError(f"expected a step {self._found()}")
        self.at += 1
        return self.keys[token[:-1]]

    def _parameter(self, after: str) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        if token not in self.keys:
            raise ValueError(f"expected a parameter after {after} {self._found()}")
        self.at += 1
        return self.keys[token]

    def _number(self) -> int:
        if self.at == len(self.tokens):
            raise ValueError(f"a value is missing after {self.tokens[-1]!r}")
        value = parse_expression([self.tokens[self.at]], {})
        self.at += 1
        assert isinstance(value, int)
        return value

    def _found(self) -> str:
        return f"but found {self.tokens[self.at]!r}" if self.at < len(self.tokens) else "but the text ends"
