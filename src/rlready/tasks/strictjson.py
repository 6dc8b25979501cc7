"""JSON in which nothing is lost: numbers keep their digits, and what cannot be kept is refused.

``json.loads`` reads 100000000000000000000.5 as another number, keeps the last of two equal keys, and takes half of a
surrogate pair (``\\ud83d``) for a character, which no file in UTF-8 can hold.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, object]  # a row of a table, or an object of JSON: values by name

DEEPEST = 100  # lists and objects inside each other
PLAIN = 100  # digits before or behind the point up to which a number is written without an exponent
ODD = re.compile(r"\\u[dD][89a-fA-F]")


class Refused(ValueError):
    """What is wrong with a value, for a line that says where it stands."""


class Number(float):
    """A float that remembers how it was written, where that is not how Python writes it."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


def loads(text: str) -> Any:
    """The value of a JSON text; JSONDecodeError for what is none, Refused for a key that is given twice.

    Also raises ValueError for a whole number of thousands of digits, and RecursionError.
    """
    return json.loads(text, parse_float=_number, object_pairs_hook=_unique)


def doubtful(text: str) -> bool:
    """Whether the value of a JSON text has to be examined."""
    return text.count("[") + text.count("{") > DEEPEST or ODD.search(text) is not None


def examine(row: Fields) -> None:
    """Refused for a text that UTF-8 cannot hold, and for nesting that no later stage could follow."""
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
                raise Refused(f"{column!r} holds {half}, half of a surrogate pair and no text; remove it") from None
        elif isinstance(value, dict):
            todo += [(column, depth + 1, inner) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            todo += [(column, depth + 1, inner) for inner in value if isinstance(inner, (str, dict, list))]


def digits(number: int | float | Decimal) -> str:
    """A number as a person would write it, 0.00005 and not 5e-05; empty for not-a-number, Refused for infinity."""
    text = number.text if isinstance(number, Number) else str(number)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise Refused(f"the number {text[:40]} is out of reach") from None
    if exact.is_nan():
        return ""
    if exact.is_infinite():
        raise Refused("infinity is no number")
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
