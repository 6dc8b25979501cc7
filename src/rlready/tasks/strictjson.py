"""Parse JSON without loss: numbers keep their digits, and values that cannot be represented are refused.

``json.loads`` rounds 100000000000000000000.5, keeps only the last of two equal keys, and accepts half of a surrogate
pair (``\\ud83d``) as a character, though no UTF-8 file can contain it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, object]  # a row of a table, or an object of JSON: values by name

DEEPEST = 100  # levels of nested lists and objects
PLAIN = 100  # numbers with at most so many digits before or after the point are written without an exponent
ODD = re.compile(r"\\u[dD][89a-fA-F]")


class Refused(ValueError):
    """A value is refused; the message says why, and the caller adds where the value is."""


class Number(float):
    """A float that keeps the text it was parsed from, if Python would write it differently."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


def loads(text: str) -> Any:
    """The value of a JSON text; JSONDecodeError if it is not JSON, Refused for a key that is given twice.

    Also raises ValueError for a whole number of thousands of digits, and RecursionError.
    """
    return json.loads(text, parse_float=_number, object_pairs_hook=_unique)


def may_be_unkeepable(text: str) -> bool:
    """Whether `refuse_unkeepable` has to be called for the value of a JSON text."""
    return text.count("[") + text.count("{") > DEEPEST or ODD.search(text) is not None


def refuse_unkeepable(row: Fields) -> None:
    """Raise Refused for a text that UTF-8 cannot represent and for nesting beyond `DEEPEST` levels."""
    todo: list[tuple[str, int, object]] = [(column, 0, {column: inner}) for column, inner in row.items()]
    while todo:
        column, depth, value = todo.pop()
        if depth > DEEPEST:
            raise Refused(f"{column!r} is nested more than {DEEPEST} deep")
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                half = ascii(value[error.start])[1:-1]
                raise Refused(
                    f"{column!r} holds {half}, half of a surrogate pair, which is not text; remove it"
                ) from None
        elif isinstance(value, dict):
            todo += [(column, depth + 1, inner) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            todo += [(column, depth + 1, inner) for inner in value if isinstance(inner, (str, dict, list))]


def digits(number: int | float | Decimal) -> str:
    """A number in plain decimal notation, 0.00005 and not 5e-05; empty for not-a-number, Refused for infinity."""
    text = number.text if isinstance(number, Number) else str(number)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise Refused(f"the number {text[:40]} is too large") from None
    if exact.is_nan():
        return ""
    if exact.is_infinite():
        raise Refused("infinity is not a number")
    return format(exact, "f") if abs(exact.adjusted()) < PLAIN else text


def _number(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else Number(text)


def _unique(pairs: list[tuple[str, object]]) -> Fields:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Refused(f"the key {twice!a} is given twice in one object; remove one of them")
    return found
