"""Code that a TOML file names is run only if the command line or the call from Python says so.

A verifier, task, loss or algorithm of the user's is named by import path.  On the command line and in Python this is a
request to run it; a file may come from anywhere, and with it the module that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rlready.core.config import ExportConfig, SweepConfig
from rlready.core.errors import UserError
from rlready.core.options import TomlTable, TomlValue, read_toml
from rlready.core.settings import Config

CODE = ("algorithm", "loss")  # settings that may be import paths
SOURCES = ("heldout", "problems", "rows", "validation")  # settings that may name a task by import path


def settings_file_of(config: Config) -> str:
    """The TOML file that a configuration names; "" for none."""
    if isinstance(config, ExportConfig) and config.run:
        from rlready.export.settings import settings_file

        return str(settings_file(config.run))
    return config.file if isinstance(config, SweepConfig) else ""


def refuse_code(files: Iterable[str], trust: str = "--trust-code") -> None:
    """UserError if a configuration or a sweep file among the files names code; ``trust`` is what allows it."""
    for file in files:
        if found := next(_code_in(read_toml(Path(file))), ""):
            raise UserError(f"{file} names code to be run, {found}; if you trust the file and that code, add {trust}")


def _code_in(table: TomlTable) -> Iterator[str]:
    """What names code in a table and those in it, as ``key = value``."""
    for key, value in table.items():
        for each in _flat(value):
            if isinstance(each, dict):
                yield from _code_in(each)
            elif isinstance(each, str) and _names_code(key.replace("-", "_"), each):
                yield f"{key} = {each!r}"


def _flat(value: TomlValue) -> Iterator[TomlValue]:
    """The items of a list, and of the lists in it, or the value itself."""
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _names_code(key: str, value: str) -> bool:
    from rlready.tasks.source import names_code

    if key in CODE:
        return ":" in value
    source = key in SOURCES or "?" in value
    return source and any(map(names_code, (value, value.replace("{seed}", "0"))))  # as a sweep fills it in
