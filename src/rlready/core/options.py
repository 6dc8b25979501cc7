"""From a TOML file and settings of the command line to a configuration, and back.

A later source wins over an earlier one: default, file, command line.  What does not fit is refused in one line,
which says where it is, what it is, what was expected, and which setting has the nearest name.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rlready.core.config import Config
from rlready.core.errors import UserError

C = TypeVar("C", bound=Config)

COMMAND_LINE = "command line"
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
PLURALS = {str: "text", int: "whole numbers", float: "numbers"}


@dataclass(frozen=True)
class Filled(Generic[C]):
    """A configuration and where each of its values came from: "default", "file" or "command line"."""

    value: C
    origins: dict[str, str]


def fill_config(cls: type[C], file: Path | None, settings: Mapping[str, str]) -> Filled[C]:
    """Build a ``cls`` from its defaults, then ``file``, then ``settings``, texts as on the command line."""
    values: dict[str, object] = {}
    origins = dict.fromkeys(cls.model_fields, "default")
    for where, origin, items in (
        (str(file), "file", _read_toml(file) if file else {}),
        (COMMAND_LINE, COMMAND_LINE, settings),
    ):
        taken = _take(cls, where, items, text=origin == COMMAND_LINE)
        values |= taken
        origins |= dict.fromkeys(taken, origin)
    return Filled(cls(**values), origins)


def fill_table(cls: type[C], where: str, items: Mapping[str, object]) -> C:
    """Build a ``cls`` from its defaults and a table of a TOML file; ``where`` is how errors name it."""
    return cls(**_take(cls, where, items, text=False))


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error message: the known word that is nearest, or all known words."""
    known = list(known)
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def to_toml(config: object) -> str:
    """A configuration as TOML, without what is not set; ``fill_config`` reads it back to an equal one."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in vars(config).items() if value is not None)


def type_name(annotation: Any) -> str:
    """The type of a setting as help shows it: text, int, float, bool, a list or the choices."""
    annotation = plain_type(annotation)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"{type_name(get_args(annotation)[0])},..."
    return "text" if annotation is str else str(annotation.__name__)


def shown_default(default: object) -> str:
    """A default as a user would type it; empty if the description of the setting says what the default does."""
    if default is None or default in ("", (), "auto"):
        return ""
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return shown.lower() if isinstance(default, bool) else shown


def explain(error: ValidationError, cls: type[Config]) -> str:
    """The first setting that does not fit a ``cls``, in one line."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r} of {cls.__name__}; {nearest(name, cls.model_fields)}"
    return _describe(first, name, cls.model_fields[name].annotation, first["input"])


def _take(cls: type[Config], where: str, items: Mapping[str, object], *, text: bool) -> dict[str, object]:
    """``items`` converted to the types of their fields; UserError for an unknown key or an invalid value.

    ``text``: values are texts that are parsed, as those of the command line are.
    """
    values: dict[str, object] = {}
    for key, raw in items.items():
        name = key.replace("-", "_")
        if name not in cls.model_fields:
            raise UserError(f"{where}: unknown key {key!r}; {nearest(name, cls.model_fields)}")
        try:
            if isinstance(raw, str):
                raw.encode()
            values[name] = _adapter(cls, name).validate_python(raw, strict=not text)
        except UnicodeEncodeError:
            raise UserError(f"{where}: {name} = {raw!r} is not UTF-8 text") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UserError(f"{where}: {_describe(first, name, cls.model_fields[name].annotation, raw)}") from None
    return values


@cache
def _adapter(cls: type[Config], name: str) -> TypeAdapter[Any]:
    field = cls.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation, config={"strict": True, "allow_inf_nan": False})


def _read_toml(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text, so not TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: not TOML: {error}") from None


def _describe(error: ErrorDetails, name: str, annotation: Any, raw: object) -> str:
    """What is wrong with ``raw``, the value of a setting, and what would be right."""
    annotation, bounds = plain_type(annotation), error.get("ctx", {})
    found = error["input"]
    number = float in (annotation, *map(plain_type, get_args(annotation)))
    if error["type"] == "too_short":
        return f"{name} is empty; give at least one value"
    for bound, relation in (("gt", "above"), ("ge", "at least"), ("le", "at most"), ("lt", "below")):
        if bound in bounds:
            limit = bounds[bound]
            if bound == "gt" and not number:
                relation, limit = "at least", limit + 1
            wanted = f"must be {relation} {limit:g}" if (bound, limit) != ("ge", 0) else "must not be negative"
            return f"{name} {wanted}, got {found:g}" if isinstance(found, float) else f"{name} {wanted}, got {found}"
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        hint = f"; {nearest(raw, choices)}" if isinstance(raw, str) else ""
        expected = f"one of {', '.join(choices)}{hint}"
    elif get_origin(annotation) is tuple:
        expected = f"a list of {PLURALS[plain_type(get_args(annotation)[0])]}, separated by commas"
    else:
        expected = KINDS[annotation]
    shown = repr(raw)
    return f"{name} = {shown if len(shown) <= 60 else shown[:57] + '...'} is not {expected}"


def plain_type(annotation: Any) -> Any:
    """An annotation without None and metadata."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) is Union or "|" in type(annotation).__name__ or type(annotation).__name__ == "UnionType":
        return plain_type(next(each for each in get_args(annotation) if each is not type(None)))
    return annotation


def _toml(value: Any) -> str:
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
