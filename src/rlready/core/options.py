"""From a TOML file and settings of the command line to a configuration, and back.

A later source wins over an earlier one: default, file, command line.  What does not fit is refused in one line,
which says where it is, what it is, what was expected, and which setting has the nearest name.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from pydantic import TypeAdapter, ValidationError

from rlready.core.errors import UserError
from rlready.core.explain import as_typed, describe, help_of, nearest
from rlready.core.settings import Config

C = TypeVar("C", bound=Config)

COMMAND_LINE = "command line"
DEFAULT = "default"  # the origin of a setting that was not given
DEEP = re.compile(  # a key, of which tomllib keeps every part of every length in memory; or a text or comment
    r"""(?P<deep>(?<![^\s=,\[\]{])(?:(?:"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|[\w-]++)[ \t]*+\.[ \t]*+){100})"""
    r"""|\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|\#[^\n]*+"""
)
TomlValue: TypeAlias = "str | int | float | bool | list[TomlValue] | dict[str, TomlValue]"
TomlTable = dict[str, TomlValue]


@dataclass(frozen=True)
class Filled(Generic[C]):
    """A configuration and where each of its values came from: "default", "file" or "command line"."""

    value: C
    origins: dict[str, str]


def fill_config(cls: type[C], file: Path | None, settings: Mapping[str, str]) -> Filled[C]:
    """Build a ``cls`` from its defaults, then ``file``, then ``settings``, texts as on the command line."""
    values: dict[str, object] = {}
    origins = dict.fromkeys(cls.model_fields, DEFAULT)
    for where, origin, items in (
        (str(file), "file", read_toml(file) if file else {}),
        (COMMAND_LINE, COMMAND_LINE, settings),
    ):
        taken = _take(cls, where, items, text=origin == COMMAND_LINE)
        values |= taken
        origins |= dict.fromkeys(taken, origin)
    return Filled(cls(**values), origins)


def fill_table(cls: type[C], where: str, items: Mapping[str, object]) -> C:
    """Build a ``cls`` from its defaults and a table of a TOML file; ``where`` is how errors name it."""
    return cls(**_take(cls, where, items, text=False))


def to_toml(config: object) -> str:
    """A configuration as TOML, without what is not set; ``fill_config`` reads it back to an equal one."""
    return "".join(f"{name} = {toml_value(value)}\n" for name, value in vars(config).items() if value is not None)


def shown_default(default: object) -> str:
    """A default as a user would type it; empty if the description of the setting says what the default does."""
    return "" if default == "auto" else as_typed(default)


def _take(cls: type[Config], where: str, items: Mapping[str, object], *, text: bool) -> dict[str, object]:
    """``items`` converted to the types of their fields; UserError for an unknown key or an invalid value.

    ``text``: values are texts that are parsed, as those of the command line are.
    """
    values: dict[str, object] = {}
    for key, raw in items.items():
        name = key.replace("-", "_")
        if name not in cls.model_fields:
            if isinstance(raw, dict):
                raise UserError(
                    f"{where}: settings of --config stand at the top level, without [{key}]; tables belong in a file "
                    "for rlready sweep"
                )
            raise UserError(f"{where}: unknown key {key!r}; {nearest(name, cls.model_fields, help_of(cls))}")
        if name in values:
            raise UserError(f"{where}: {name} is given twice, once as {key!r}")
        try:
            if isinstance(raw, str):
                raw.encode()
            values[name] = _adapter(cls, name).validate_python(raw, strict=not text)
        except UnicodeEncodeError:
            raise UserError(f"{where}: {name} = {raw!r} is not UTF-8 text") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise UserError(f"{where}: {describe(first, name, cls.model_fields[name].annotation, raw)}") from None
    return values


@cache
def _adapter(cls: type[Config], name: str) -> TypeAdapter[Any]:
    field = cls.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation, config={"strict": True, "allow_inf_nan": False})


def read_toml(file: Path) -> TomlTable:
    """The content of a TOML file; UserError for a file that is missing or not TOML."""
    try:
        if file.exists() and not file.is_file():
            raise UserError(f"{file}: not a file")
        text = file.read_text(encoding="utf-8")
        if any(found["deep"] for found in DEEP.finditer(text)):
            raise UserError(f"{file}: nested too deeply to be read")
        return tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text, so not TOML") from None
    except ValueError as error:  # tomllib's own, or that of a number with thousands of digits
        raise UserError(f"{file}: not TOML: {str(error)[:200]}") from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply to be read") from None


def toml_value(value: Any) -> str:
    """A text, number, truth value, or list or mapping of them, as TOML."""
    if isinstance(value, str):  # JSON's escapes are those of TOML, except for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml_value(each)}' for key, each in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else str(value)
