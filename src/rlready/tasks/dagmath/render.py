"""The same graph as text, in words (for pretrained models) and in symbols (for a model of a million parameters).

A rendering writes a problem, a worked step and the behaviours around it, and parses all of them.  ``check_steps`` uses
it to verify every step of a solution; text is parsed, never evaluated as code.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from typing import Protocol

from rlready.tasks.dagmath.graph import Dag
from rlready.tasks.dagmath.passage import Passage
from rlready.tasks.dagmath.symbols import Symbols
from rlready.tasks.dagmath.words import Words

LETTERS = string.ascii_lowercase


class Rendering(Protocol):
    """How a graph is written as text; ``letters`` maps parameter keys to the variable names of this problem."""

    def prompt(self, dag: Dag, letters: dict[str, str]) -> str: ...

    def step(self, dag: Dag, key: str, letters: dict[str, str], *, short: bool = False) -> str:
        """A worked step with every operation written out, or, if ``short``, only the values and the result."""
        ...

    def attempt(self, dag: Dag, key: str, missing: Sequence[str], letters: dict[str, str]) -> str:
        """A failed attempt at a parameter whose ``missing`` parents are unsolved."""
        ...

    def analysis(self, dag: Dag, key: str, letters: dict[str, str]) -> tuple[int, str]:
        """(index, text): the text to insert into a step at this character to state what it needs; may be empty."""
        ...

    def join(self, steps: Sequence[str]) -> str: ...
    def answer(self, dag: Dag, letters: dict[str, str]) -> str: ...

    def read_passages(self, text: str, dag: Dag, letters: dict[str, str]) -> Iterator[Passage]:
        """The passages of a solution; ValueError at text that is not a passage."""
        ...


RENDERINGS: dict[str, Rendering] = {"symbols": Symbols(), "words": Words()}


def assign_letters(dag: Dag, rng: random.Random, alphabet: str = LETTERS) -> dict[str, str]:
    """A random, distinct variable name for every parameter; ValueError if the alphabet is too small."""
    if len(dag.exprs) > len(alphabet):
        raise ValueError(f"{len(dag.exprs)} parameters but only {len(alphabet)} variable names")
    return dict(zip(dag.exprs, rng.sample(alphabet, len(dag.exprs)), strict=True))
