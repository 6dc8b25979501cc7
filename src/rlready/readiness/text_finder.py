"""Which of many texts a longer one holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

PIECE = 16  # characters of a text by which it is looked up
PIECES = 8  # of a text, about, that may be the one
WORD = re.compile(r"[A-Za-z0-9]{2}")


class Finder:
    """Finds which of many texts, none of them empty, a longer one holds; it reads that once for all but short ones.

    A text is looked up by that of some pieces of it that the fewest texts have.  Inside a word or a number no text is
    found: 3+2= is not in 13+2=.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        some = list(texts)
        self._short = [text for text in some if len(text) < PIECE]
        begins = {text: _begins(text) for text in some if len(text) >= PIECE}
        times = Counter(text[at : at + PIECE] for text, places in begins.items() for at in places)
        self._by_piece: dict[str, list[tuple[int, str]]] = {}  # where the piece begins, and the text
        for text, places in begins.items():
            begin = min(places, key=lambda at: times[text[at : at + PIECE]])
            self._by_piece.setdefault(text[begin : begin + PIECE], []).append((begin, text))

    def inside(self, whole: str) -> dict[str, int]:
        """The texts that ``whole`` holds, each with the end of its last occurrence."""
        found = {
            text: at - begin + len(text)
            for at in (range(len(whole) - PIECE + 1) if self._by_piece else ())
            for begin, text in self._by_piece.get(whole[at : at + PIECE], ())
            if at >= begin and whole.startswith(text, at - begin) and apart(whole, at - begin, len(text))
        }
        for text in self._short:
            ends = (at for at in places(text, whole) if apart(whole, at, len(text)))
            if (at := max(ends, default=-1)) >= 0:
                found[text] = at + len(text)
        return found


def _begins(text: str) -> range:
    """Where some pieces of a text begin."""
    last = len(text) - PIECE
    return range(0, last + 1, max(1, last // PIECES))


def places(text: str, whole: str) -> Iterator[int]:
    """Where a text occurs."""
    at = whole.find(text)
    while at >= 0:
        yield at
        at = whole.find(text, at + 1)


def apart(whole: str, begin: int, length: int) -> bool:
    """Whether what stands there neither begins nor ends within a word or a number."""
    return not any(WORD.fullmatch(whole[max(0, at - 1) : at + 1]) for at in (begin, begin + length))
