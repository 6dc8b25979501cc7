"""Words: sentences after iGSM's patterns, for pretrained models.

Abstract parameters stay implicit, and "the difference of X and Y" is X - Y as written.  The behaviours (after
BRIDGE's code, in other sentences; it also restates only conditions of the question, not of abstract parameters):

    Let d be the number of each A's B. But the number of each C's D is not known yet, so d cannot be found now. ...
    Let d be the number of each A's B. It equals the sum of the number of ... and the number of .... d = a + b = 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rlready.tasks.dagmath.expression import (
    UnknownQuantity,
    expression_text,
    parse_expression,
    split_at_equals,
    worked_chain,
)
from rlready.tasks.dagmath.graph import Dag, Expr, references
from rlready.tasks.dagmath.passage import Analysis, Attempt, Passage, Step, Unreadable

LONGEST_LINE = 2000  # characters; correct steps are far shorter, and parsing stays fast
LINE = re.compile(r"Let (\w+) be the number of ([^.]+)\. (?:It equals ([^.]+)\. )?(.+)")
VALUE = re.compile(r"(\w+) = (.+)\.")
LOCKED = re.compile(r"But ([^.]+) (is|are) not known yet, so (\w+) cannot be found now\. I go back\.")
AND = re.compile(r", | and ")
COUNT = "the number of "
SCALED = re.compile(r"([0-9]{1,9}) (more than|times) (.+)")
COMBINED = re.compile(r"the (sum|difference) of (.+)")


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

    def step(self, dag: Dag, key: str, letters: dict[str, str], *, short: bool = False) -> str:
        chain = worked_chain(dag, key, short=short)
        shown = [expression_text(e, letters) for e in chain]
        if shown[-1] != str(dag.values[key]):
            shown.append(str(dag.values[key]))
        return f"{self._opening(dag, key, letters)} {letters[key]} = {' = '.join(shown)}."

    def attempt(self, dag: Dag, key: str, missing: Sequence[str], letters: dict[str, str]) -> str:
        terms = [f"{COUNT}{self._name(dag, k)}" for k in missing]
        what = f"{_listed(terms)} {'is' if len(terms) == 1 else 'are'}"
        locked = f"But {what} not known yet, so {letters[key]} cannot be found now. I go back."
        return f"{self._opening(dag, key, letters)} {locked}"

    def analysis(self, dag: Dag, key: str, letters: dict[str, str]) -> tuple[int, str]:
        if key in dag.implied or isinstance(dag.exprs[key], int):
            return 0, ""
        return len(self._opening(dag, key, letters)), f" It equals {self._phrase(dag, dag.exprs[key])}."

    def join(self, steps: Sequence[str]) -> str:
        return "\n".join(steps)

    def answer(self, dag: Dag, letters: dict[str, str]) -> str:
        return ", ".join(str(dag.values[k]) for k in dag.asked)

    def read_passages(self, text: str, dag: Dag, letters: dict[str, str]) -> Iterator[Passage]:
        named = {self._name(dag, k): k for k in dag.exprs}
        keys: dict[str, str] = {}
        end = 0
        for written in text.splitlines(keepends=True):
            line, end = written.strip(), end + len(written)
            if not line:
                continue
            try:
                yield from _passages(line, named, keys, end)
            except ValueError as error:
                raise Unreadable(error, end) from None

    def _opening(self, dag: Dag, key: str, letters: dict[str, str]) -> str:
        return f"Let {letters[key]} be the number of {self._name(dag, key)}."

    @staticmethod
    def _name(dag: Dag, key: str) -> str:
        owner, item = dag.names[key]
        return f"each {owner}'s {item}"

    def _phrase(self, dag: Dag, expr: Expr) -> str:
        if isinstance(expr, int):
            return str(expr)
        if isinstance(expr, str):
            return f"{COUNT}{self._name(dag, expr)}"
        op, left, right = expr
        if isinstance(left, int):
            return f"{left} {'more than' if op == '+' else 'times'} {self._phrase(dag, right)}"
        terms = [self._phrase(dag, k) for k in references(expr)]
        return f"the {'difference' if op == '-' else 'sum'} of {_listed(terms)}"


def _listed(terms: Sequence[str]) -> str:
    return f"{', '.join(terms[:-1])} and {terms[-1]}" if len(terms) > 1 else terms[0]


def _passages(line: str, named: Mapping[str, str], keys: dict[str, str], end: int) -> Iterator[Passage]:
    """The passages of one line, which ends at ``end``; its letter is added to ``keys``.  ValueError if it is none."""
    found = LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if not found:
        raise ValueError(f"not a step: {line[:60]!r}")
    letter, name, restated, rest = found.groups()
    key = keys[letter] = _named(name, named)
    if restated:
        yield Analysis(key, restated=_condition(restated, named), end=end)
    if (locked := LOCKED.fullmatch(rest)) and locked[3] == letter and not restated:
        yield Attempt(key, tuple(_term(term, named) for term in AND.split(locked[1])), end)
    elif (value := VALUE.fullmatch(rest)) and value[1] == letter:
        *chain, last = (parse_expression(part, keys) for part in split_at_equals(value[2].split()))
        if not isinstance(last, int):
            raise ValueError(f"the step of {letter} does not end in a number")
        yield Step(key, tuple(chain), last, letter, line, end)
    else:
        raise ValueError(f"not a step: {line[:60]!r}")


def _named(name: str, named: Mapping[str, str]) -> str:
    if name not in named:
        raise UnknownQuantity(f"no parameter is called {name[:60]!r}")
    return named[name]


def _term(text: str, named: Mapping[str, str]) -> str:
    """The parameter of "the number of each A's B"."""
    return _named(text.removeprefix(COUNT) if text.startswith(COUNT) else "", named)


def _condition(text: str, named: Mapping[str, str]) -> Expr:
    """A condition of the question back to an expression: the inverse of ``Words._phrase``."""
    if found := SCALED.fullmatch(text):
        return ("+" if found[2] == "more than" else "*", int(found[1]), _condition(found[3], named))
    if found := COMBINED.fullmatch(text):
        terms: list[Expr] = [_term(term, named) for term in AND.split(found[2])]
        if len(terms) < 2 or (found[1] == "difference" and len(terms) > 2):
            raise ValueError(f"a {found[1]} of {len(terms)} terms")
        expr = terms[0]
        for term in terms[1:]:
            expr = ("-" if found[1] == "difference" else "+", expr, term)
        return expr
    return _term(text, named)
