"""The parts of a worked solution, as parsed from text: steps and the behaviours between them.

The behaviours are those of BRIDGE (Cen et al., arXiv 2505.18917): a failed ``Attempt`` at a parameter whose parents
are unsolved (exploration), an ``Analysis`` of what a step needs before it is taken, and sub-goal computation, every
arithmetic operation written out, which is a longer chain inside a ``Step``.

``end`` is where a passage ends in the text that it was read from, in characters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rlready.tasks.dagmath.graph import Expr


@dataclass(frozen=True)
class Step:
    """The computation of a parameter: the chain of expressions and the stated value.

    ``name`` is the variable used for it and ``text`` the step as written.
    """

    key: str
    chain: tuple[Expr, ...]
    value: int
    name: str
    text: str
    end: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Attempt:
    """The claim that a parameter cannot be computed yet because the ``missing`` ones are unsolved."""

    key: str
    missing: tuple[str, ...]
    end: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Analysis:
    """What the step that follows needs: its definition ``restated``, or the values it depends on ``recalled``."""

    key: str
    restated: Expr | None = None
    recalled: tuple[tuple[str, int], ...] = ()
    end: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Slip:
    """A step that the solution withdraws as wrong: its parameter does not count as solved."""

    step: Step
    end: int = field(default=0, compare=False)


Passage = Step | Attempt | Analysis | Slip


class Unreadable(ValueError):
    """Text that is no passage, and ``why``; ``end`` is where the next one may begin, in characters."""

    def __init__(self, why: ValueError, end: int) -> None:
        super().__init__(str(why))
        self.why, self.end = why, end
