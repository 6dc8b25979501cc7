"""The items of a form, which are data: NAME.toml beside this file; neurips.toml says what its keys mean."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Literal

from pydantic import Field

from rlready.core.result import Record


class Item(Record):
    """One question of a form; without ``section`` it is in that of the item before it."""

    number: str
    title: str
    question: str
    by: Literal["records", "draft", "author"]
    section: str = ""
    facts: list[str] = Field(default_factory=list)
    also: list[str] = Field(default_factory=list)


class Form(Record):
    """A form; without ``choices`` its answers are free texts."""

    title: str
    choices: list[str]
    items: list[Item]


def load_form(name: str) -> Form:
    """The form of that name."""
    return Form.model_validate(tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")))
