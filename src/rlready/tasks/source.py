"""Source strings, ``KIND[:PATH][?key=value&key=value]``: a kind, a path and typed options.

The options of a kind are a dataclass; a default instance of it defines which keys exist and their types.  Values are
whole numbers, numbers, ranges such as ``6-8``, 0 or 1, or words, in which %26 stands for & and %25 for %.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import note_once
from rlready.core.missing import did_you_mean
from rlready.tasks.files import TABLES
from rlready.tasks.hub import is_hub_id

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Options = TypeVar("Options", bound=DataclassInstance)
Item = TypeVar("Item")
Value = bool | int | float | str | tuple[int, int] | None  # of an option

KINDS = ("dagmath", "gsm8k", "gym", "rows", "verifiers")
NAMED = {
    "gsm8k": "name a file: gsm8k:PATH",
    "gym": "name a data set: gym:NAME",
    "rows": "name a file: rows:PATH",
    "verifiers": "name a taskset: verifiers:NAME",
}
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
FORMS: dict[type, tuple[str, str]] = {
    bool: ("[01]", "0 or 1"),
    int: ("[0-9]{1,15}", "a whole number"),
    float: (r"[+-]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})([eE][+-]?[0-9]{1,2})?", "a number"),
}


@dataclass(frozen=True)
class Source:
    """The parts of a source string; ``text`` is the string as given, for error lines.

    For a class that is named by import path, ``pkg.module:MyTask``, the kind is the module and the path the class.
    """

    text: str
    kind: str
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)
    limit: int | None = None


def names_code(text: str) -> bool:
    """Whether a source names code: a task by its import path, a package of verifiers, or a verifier in its options."""
    head, _, query = text.partition("?")
    kind = head.partition(":")[0]
    task = kind == "verifiers" or (IMPORT_PATH.fullmatch(head) is not None and kind not in KINDS)
    return task or any(word.startswith("verifier=") for word in query.split("&"))


def parse_source(text: str, limit: int | None = None) -> Source:
    """The parts of a source string; the path of a table alone, or a hub id, is of kind ``rows``."""
    head, _, query = text.partition("?")
    kind, colon, path = head.partition(":")
    if kind not in KINDS:
        if head.endswith(TABLES) or os.path.exists(head) or is_hub_id(head):
            kind, path = "rows", head
        elif not IMPORT_PATH.fullmatch(head):
            if not colon and not get_close_matches(kind, KINDS):
                raise UserError(f"{head}: no such file or folder{did_you_mean(head)}")
            raise UserError(f"{text!r} is not a task source; its kind {kind!r} is unknown, {nearest(kind, KINDS)}")
    path = os.path.expanduser(path)  # a shell leaves ~ as it is after problems=
    if (kind == "dagmath") == bool(path):
        raise UserError(f"{text}: " + ("dagmath takes no path" if path else NAMED[kind]))
    return Source(text, kind, path, options_of(text, query), limit)


def options_of(text: str, query: str) -> dict[str, str]:
    """``a=1&b=2`` as a mapping; ``text`` is how errors name it."""
    options: dict[str, str] = {}
    for word in filter(None, query.split("&")):
        key, equals, value = word.partition("=")
        if not equals or key in options:
            raise UserError(f"{text}: {word!r} " + ("is given twice" if equals else "is not key=value"))
        options[key] = value.replace("%26", "&").replace("%25", "%")
    return options


def options_from(source: Source, default: Options) -> Options:
    """``default`` with the options that ``source`` sets; UserError for unknown keys and wrong types.

    Every kind has an option ``n``, the number of problems (None: all), which the source's limit can lower.
    """
    hints = get_type_hints(type(default))
    values: dict[str, Value] = {}
    for key, text in source.options.items():
        if key not in hints:
            raise UserError(f"{source.text}: unknown key {key!r}; {nearest(key, hints)}")
        if not text and getattr(default, key) == "":  # as from a shell variable that is not set
            raise UserError(f"{source.text}: {key}= is empty; leave it out")
        try:
            values[key] = _convert(text, hints[key])
        except ValueError as error:
            raise UserError(f"{source.text}: {key}={text} is not {error}") from None
    try:
        options = replace(default, **values)
    except ValueError as error:
        raise UserError(f"{source.text}: {error}") from None
    n: int | None = getattr(options, "n", None)
    if source.limit is not None:
        n = source.limit if n is None else min(n, source.limit)
    if n is not None and n < 1:
        raise UserError(f"{source.text}: n={n} leaves no problem")
    return replace(options, n=n)


def canonical(source: Source, options: DataclassInstance, default: DataclassInstance) -> str:
    """The shortest equivalent source string: keys in the order of the options, defaults left out."""
    given, usual = asdict(options), asdict(default)
    set_here = {key: _written(value) for key, value in given.items() if value != usual[key]}
    return source_string(f"{source.kind}:{source.path}" if source.path else source.kind, set_here)


def select(items: Sequence[Item], n: int | None, seed: int | None, where: str) -> list[Item]:
    """The first ``n`` (None: all) of what is in ``where``, after a shuffle if there is a ``seed``; said if there are
    fewer."""
    if n is not None and n > len(items):
        note_once(f"{where}: has {len(items):,} rows, fewer than n={n} asks for")
    chosen = list(items)
    if seed is not None:
        random.Random(f"select:{seed}").shuffle(chosen)
    return chosen[:n]


def _convert(text: str, hint: Any) -> Value:
    """``text`` as a value of the type ``hint``; ValueError with what was expected."""
    choices = get_args(hint)
    value: Value = text
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
        if value[0] > value[1]:
            raise ValueError(f"a range that ascends, as {value[1]}-{value[0]}")
    elif hint is not str:
        pattern, expected = FORMS[hint]
        if not re.fullmatch(pattern, text):
            raise ValueError(expected)
        value = text == "1" if hint is bool else hint(text)
    return value


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, dict.fromkeys(value)))
    if isinstance(value, bool):
        return str(int(value))
    return "none" if value is None else str(value)


def source_string(head: str, options: Mapping[str, str]) -> str:
    """The source string of a kind and a path with options, as `parse_source` reads them."""
    return head + "?" * bool(options) + "&".join(f"{key}={escaped(value)}" for key, value in options.items())


def escaped(value: str) -> str:
    """A value as it is written in a source string; `options_of` undoes this."""
    return value.replace("%", "%25").replace("&", "%26")
