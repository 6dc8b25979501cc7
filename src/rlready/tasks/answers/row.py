"""Answers whose values stand side by side, as those of sorting, grids and moves: ``1 2 3``, ``N E S W``.

To sympy they would be a product, whose order does not matter.  Here the order and, where both have several lines, the
lines count; the other answer may have commas and brackets: ``[1, 2, 3]``.
"""

from __future__ import annotations

import re

from rlready.tasks.answers.quantity import quantity, same_quantity

VALUE = r"(?:[+-]?(?:\d+(?:\.\d+)?|\.\d+)|[A-Z])"
ROW = re.compile(rf"{VALUE}(?:\s+{VALUE})+")
MIXED = re.compile(r"[A-Z].*\d|\d.*[A-Z]", re.DOTALL)  # "5 C" is a number with a unit
GROUPED = re.compile(r"[+-]?\d{1,3}(?:\s\d{3})+(?:\.\d+)?")  # 10 000
BETWEEN = re.compile(r"[\s,;]+")


def same_row(one: str, other: str) -> bool | None:
    """Whether two answers are the same row of values; None if neither is such a row."""
    one, other = one.strip(" $"), other.strip(" $")
    if not (_is_row(one) or _is_row(other)):
        return None
    rows = [_lines(text) for text in (one, other)]
    if len(rows[0]) > 1 < len(rows[1]) and [*map(len, rows[0])] != [*map(len, rows[1])]:
        return False
    values = [[value for row in lines for value in row] for lines in rows]
    return len(values[0]) == len(values[1]) and all(map(_equal, *values))


def _is_row(text: str) -> bool:
    return bool(ROW.fullmatch(text)) and not GROUPED.fullmatch(text) and not MIXED.search(text)


def _lines(text: str) -> list[list[str]]:
    bare = re.sub(r"[\[\](){}]|\\[{}]", " ", text)
    return [BETWEEN.split(line.strip(" ,;")) for line in bare.splitlines() if line.strip(" ,;")]


def _equal(one: str, other: str) -> bool:
    left, right = quantity(one), quantity(other)
    return same_quantity(left, right) if left and right else one == other
