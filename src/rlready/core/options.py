"""From a TOML file and ``key=value`` words to a typed configuration, and back.

A later source wins over an earlier one: default, file, command line.  Whatever does not fit is refused in
one line that says where it stood, what it was, what was expected and which key is nearest.
"""

from __future__ import annotations

import json
import math
import textwrap
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from rlready.core.errors import UserError

T = TypeVar("T")

COMMAND_LINE = "command line"
PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
HELP_WIDTH = 110


@dataclass(frozen=True)
class Filled(Generic[T]):
    """A configuration and where each of its values came from: "default", "file" or "command line"."""

    value: T
    origins: dict[str, str]


class _WrongType(Exception):
    """The value does not fit the field's type."""


def fill(cls: type[T], file: Path | None, words: Sequence[str]) -> Filled[T]:
    """Build a ``cls`` from its defaults, then ``file``, then ``words`` (each ``key=value``)."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys((f.name for f in _fields(cls)), "default")
    for where, origin, items in (
        (str(file), "file", _read_toml(file) if file else {}),
        (COMMAND_LINE, COMMAND_LINE, dict(map(_split, words))),
    ):
        given = _take(cls, where, items)
        values |= given
        origins |= dict.fromkeys(given, origin)
    return Filled(cls(**values), origins)


def fill_table(cls: type[T], where: str, items: Mapping[str, Any]) -> T:
    """Build a ``cls`` from its defaults and a table of a TOML file; ``where`` is how errors name it."""
    return cls(**_take(cls, where, items))


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a refusal: the nearest right word, or all of them."""
    known = list(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def to_toml(config: object) -> str:
    """A configuration as TOML; ``fill`` reads it back to an equal object."""
    return "".join(f"{f.name} = {_toml(getattr(config, f.name))}\n" for f in _fields(type(config)))


def help_text(cls: type[Any]) -> str:
    """Keys, types, help and defaults of a configuration, aligned."""
    hints = get_type_hints(cls)
    rows = [(f.name, _type_name(hints[f.name]), f) for f in _fields(cls)]
    wide = max((len(name) for name, _, _ in rows), default=0)
    wide_type = max((len(kind) for _, kind, _ in rows), default=0)
    lines = []
    for name, kind, field in rows:
        head = f"  {name:<{wide}}  {kind:<{wide_type}}  "
        default = field.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else _word(default)
        text = f"{field.metadata.get('help', '')} [{shown}]"
        lines += textwrap.wrap(
            text,
            HELP_WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _take(cls: type[Any], where: str, items: Mapping[str, Any]) -> dict[str, Any]:
    """``items`` as the types of the fields they name; UserError for a key that is none, and for a wrong type."""
    hints = _types(cls)  # type: ignore[arg-type]  # mypy does not see that classes are hashable
    values: dict[str, Any] = {}
    for key, raw in items.items():
        name = key.replace("-", "_")
        if name not in hints:
            raise UserError(f"{where}: unknown key {key!r}; {nearest(name, hints)}")
        try:
            values[name] = _convert(raw, hints[name])
        except _WrongType:
            raise UserError(f"{where}: {name} = {_shown(raw)} is not {_expected(raw, hints[name])}") from None
    return values


@cache
def _types(cls: type[Any]) -> dict[str, Any]:
    """The type of each field: Python compiles every annotation anew when it is asked."""
    return get_type_hints(cls)


def _fields(cls: type[Any]) -> tuple[Field[Any], ...]:
    return fields(cls)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text, so not TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: not TOML: {error}") from None


def _split(word: str) -> tuple[str, str]:
    key, equals, text = word.partition("=")
    if not equals:
        raise UserError(f"{COMMAND_LINE}: {word!r} is not key=value")
    return key, text


def _convert(raw: Any, hint: Any) -> Any:
    """``raw`` as the field's type: text is parsed, anything else (from TOML) must already have the type."""
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        parts = [part.strip() for part in raw.split(",") if part.strip()] if isinstance(raw, str) else raw
        if not isinstance(parts, list):
            raise _WrongType
        return tuple(_convert(part, item) for part in parts)
    if get_origin(hint) is Literal:
        if raw not in get_args(hint):
            raise _WrongType
        return raw
    value = _parse(raw, hint) if isinstance(raw, str) else raw
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)) or (hint is str and not _utf8(value)):
        raise _WrongType
    return value


def _parse(text: str, hint: Any) -> Any:
    if hint is bool:
        return TRUTH.get(text.strip().lower())
    try:
        return hint(text)
    except ValueError:
        return None


def _utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expected(raw: Any, hint: Any) -> str:
    if get_origin(hint) is Literal:
        choices = [str(choice) for choice in get_args(hint)]
        return f"one of {', '.join(choices)}" + (f"; {nearest(raw, choices)}" if isinstance(raw, str) else "")
    if get_origin(hint) is tuple:
        kind = {str: "text", int: "whole numbers", float: "numbers"}[get_args(hint)[0]]
        return f"a list of {kind}, with commas between"
    return "UTF-8 text" if hint is str and isinstance(raw, str) else PLAIN[hint]


def _type_name(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"{_type_name(get_args(hint)[0])},..."
    return str(hint.__name__)


def _shown(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."


def _word(value: Any) -> str:
    """A plain value as it is typed on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, (bool, int, float)):
        return _word(value)
    raise TypeError(f"no TOML for {value!r}")
