"""Source strings: ``KIND[:PATH][?key=value&key=value]`` to a kind, a path and typed options, and back.

The options of a kind are a dataclass; a default instance of it says which keys exist, of what type.  Values
are taken as they stand (no percent escapes): whole numbers, numbers, ranges such as ``6-8``, 0 or 1, words.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from rlready.core.errors import UserError
from rlready.core.options import nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Options = TypeVar("Options", bound=DataclassInstance)
Item = TypeVar("Item")

TABLES = (".jsonl", ".json", ".parquet")
KINDS = ("dagmath", "gsm8k", "rows")
FORMS: dict[type, tuple[str, str]] = {
    bool: ("[01]", "0 or 1"),
    int: ("[0-9]{1,15}", "a whole number"),
    float: (r"[0-9]{1,15}(\.[0-9]{1,15})?", "a number"),
}


@dataclass(frozen=True)
class Source:
    """A source string taken apart; ``text`` is the string as given, for error lines."""

    text: str
    kind: str
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)
    limit: int | None = None


def parse_source(text: str, limit: int | None = None) -> Source:
    """Take a source string apart; a bare path of a table is of kind ``rows``."""
    head, _, query = text.partition("?")
    kind, _, path = head.partition(":")
    if kind not in KINDS:
        if not (head.endswith(TABLES) or os.path.isfile(head)):
            raise UserError(f"{text!r} is no task source; its kind {kind!r} is unknown, {nearest(kind, KINDS)}")
        kind, path = "rows", head
    if (kind == "dagmath") == bool(path):
        raise UserError(f"{text}: " + ("dagmath takes no path" if path else f"name a file: {kind}:PATH"))
    return Source(text, kind, path, options_of(text, query), limit)


def options_of(text: str, query: str) -> dict[str, str]:
    """``a=1&b=2`` as a mapping; ``text`` is how errors name it."""
    options: dict[str, str] = {}
    for word in filter(None, query.split("&")):
        key, equals, value = word.partition("=")
        if not equals or key in options:
            raise UserError(f"{text}: {word!r} " + ("is given twice" if equals else "is not key=value"))
        options[key] = value
    return options


def fill(source: Source, default: Options) -> Options:
    """``default`` with the options of ``source`` in place; UserError for unknown keys and wrong types.

    Every kind has an option ``n``, the number of problems (None: all), which the source's limit can lower.
    """
    hints = get_type_hints(type(default))
    values: dict[str, Any] = {}
    for key, text in source.options.items():
        if key not in hints:
            raise UserError(f"{source.text}: unknown key {key!r}; {nearest(key, hints)}")
        try:
            values[key] = _convert(text, hints[key])
        except ValueError as error:
            raise UserError(f"{source.text}: {key}={text} is not {error}") from None
    n = values.get("n", getattr(default, "n", None))
    if source.limit is not None:
        n = source.limit if n is None else min(n, source.limit)
    if n is not None and n < 1:
        raise UserError(f"{source.text}: n={n} leaves no problem")
    try:
        return replace(default, **values | {"n": n})
    except ValueError as error:
        raise UserError(f"{source.text}: {error}") from None


def canonical(source: Source, options: DataclassInstance, default: DataclassInstance) -> str:
    """The shortest source string that says the same: keys in the order of the options, defaults left out."""
    given, usual = asdict(options), asdict(default)
    query = "&".join(f"{key}={_show(value)}" for key, value in given.items() if value != usual[key])
    head = f"{source.kind}:{source.path}" if source.path else source.kind
    return f"{head}?{query}" if query else head


def select(items: Sequence[Item], n: int | None, seed: int | None) -> list[Item]:
    """The first ``n`` (None: all), after a shuffle if there is a ``seed``."""
    chosen = list(items)
    if seed is not None:
        random.Random(f"select:{seed}").shuffle(chosen)
    return chosen[:n]


def _convert(text: str, hint: Any) -> Any:
    """``text`` as ``hint``; ValueError with what was expected."""
    choices = get_args(hint)
    value: Any = text
    if type(None) in choices:
        value = None if text == "none" else _convert(text, choices[0])
    elif get_origin(hint) is Literal:
        if text not in choices:
            raise ValueError(f"one of {', '.join(filter(None, choices))}")
    elif get_origin(hint) is tuple:
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
        if not found:
            raise ValueError("a whole number or a range such as 6-8")
        value = int(found[1]), int(found[2] or found[1])
    elif hint is not str:
        pattern, expected = FORMS[hint]
        if not re.fullmatch(pattern, text):
            raise ValueError(expected)
        value = text == "1" if hint is bool else hint(text)
    return value


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, dict.fromkeys(value)))
    if isinstance(value, bool):
        return str(int(value))
    return "none" if value is None else str(value)
