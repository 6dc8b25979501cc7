"""A worked solution with inserted passages, which gives both the text before and the text after.

A solution is a sequence of units, joined by a separator: its steps, and whole passages between them.  Inside a step,
pieces may have been inserted too.  Whatever is inserted names the behaviour it shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, get_args

Behaviour = Literal["explore", "analyse", "compute"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
Insertion = tuple[int, str, Behaviour]  # (place, what, kind)
MOVED = "moved"  # a step of the solution taken before its turn


@dataclass(frozen=True)
class Piece:
    """``kind`` is None for text that was there before."""

    text: str
    kind: Behaviour | None = None


@dataclass(frozen=True)
class Unit:
    """A step with its ``place`` in the original order, or an inserted passage (None)."""

    pieces: tuple[Piece, ...]
    place: int | None = None
    moved: bool = False

    @property
    def text(self) -> str:
        return "".join(p.text for p in self.pieces)

    @property
    def before(self) -> str:
        return "".join(p.text for p in self.pieces if p.kind is None)


@dataclass(frozen=True)
class Splice:
    """``failed`` counts failed attempts, ``solved_early`` redundant parameters and steps solved before their turn."""

    units: tuple[Unit, ...]
    separator: str
    failed: int = 0
    solved_early: int = 0

    @property
    def text(self) -> str:
        return self.separator.join(u.text for u in self.units)

    @property
    def before(self) -> str:
        """The solution without what was inserted, every step in its old place."""
        steps = sorted((u.place, u.before) for u in self.units if u.place is not None)
        return self.separator.join(text for _, text in steps)

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        """(start, end, kind) of what was inserted or moved, in characters of ``text``."""
        found: list[tuple[int, int, str]] = []
        ends = accumulate((len(u.text) + len(self.separator) for u in self.units), initial=0)
        for start, unit in zip(ends, self.units, strict=False):
            if unit.moved:
                found.append((start, start + len(unit.text), MOVED))
            for piece in unit.pieces:
                if piece.kind:
                    found.append((start, start + len(piece.text), piece.kind))
                start += len(piece.text)
        return found

    @property
    def counts(self) -> Counter[str]:
        """How often each behaviour was written in; ``explore`` counts all attempts."""
        inside = Counter[str](p.kind for u in self.units for p in u.pieces if p.kind in ("analyse", "compute"))
        return inside + Counter({"explore": self.failed + self.solved_early})

    def mapped(self, change: Callable[[str], str]) -> Splice:
        """With ``change`` made to every piece of text."""
        units = (replace(u, pieces=tuple(replace(p, text=change(p.text)) for p in u.pieces)) for u in self.units)
        return replace(self, units=tuple(units))


def insert(text: str, insertions: Sequence[Insertion]) -> tuple[Piece, ...]:
    """``text`` with each of them inserted; what is empty is left out."""

    def pieces() -> Iterator[Piece]:
        at = 0
        for place, what, kind in sorted(i for i in insertions if i[1]):
            yield Piece(text[at:place])
            yield Piece(what, kind)
            at = place
        yield Piece(text[at:])

    return tuple(p for p in pieces() if p.text)


def grown(short: str, full: str) -> tuple[int, str]:
    """(place, what) to insert into ``short`` so that it becomes ``full``; ValueError if it takes more than that."""
    same = next((i for i, (a, b) in enumerate(zip(short, full, strict=False)) if a != b), len(short))
    what = full[same : len(full) - (len(short) - same)]
    if short[:same] + what + short[same:] != full:
        raise ValueError(f"{full!r} is not {short!r} with something inserted")
    return same, what
