"""The recipes of a sweep file: their names, the settings that they list, and what is refused before any job runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_origin

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.explain import plain_type
from rlready.core.options import TomlTable

WORDS = {"checkpoints": ("last", "all"), "measure": ("all", "starts")}
MOST = 20_000  # SFT runs of a recipe, and RL runs of a file
LONGEST = 100  # characters of the name of a run, which a folder has together with the names of other runs
SOURCES = ("model", "rows", "heldout", "problems", "validation", "reference")
PLAIN = re.compile(r"[\w.+=-]{1,24}")  # values short enough to be part of a folder's name


@dataclass(frozen=True)
class Recipe:
    """One recipe of a verb's table, including the shared settings; ``where`` is its name in errors."""

    where: str
    settings: TomlTable
    default_name: str

    def take_text(self, key: str, default: str = "") -> str:
        """Remove and return a setting that is not a key of the verb."""
        value = self.settings.pop(key, default)
        if not isinstance(value, str):
            raise UserError(f"{self.where}: {key} must be text, not {value!r}")
        return value

    def take_places(self, key: str) -> str | tuple[int, ...]:
        """Remove and return ``checkpoints`` or ``measure``."""
        value = self.settings.pop(key, WORDS[key][0])
        if isinstance(value, str) and value in WORDS[key]:
            return value
        places = [i for i in value if type(i) is int and i != 0] if isinstance(value, list) else []
        if key == "checkpoints" and places and places == value:
            return tuple(places)
        also = " or places such as [1, -1]" if key == "checkpoints" else ""
        raise UserError(f"{self.where}: {key} = {value!r} is not {' or '.join(WORDS[key])}{also}")


def recipes_of(file: Path, verb: str, table: TomlTable, common: TomlTable) -> Iterator[Recipe]:
    """The recipes of a verb; a verb without a table of recipes has one."""
    shared = common | {key: value for key, value in table.items() if key != "recipes"}
    recipes = table.get("recipes", [{}])
    if not isinstance(recipes, list) or not recipes:
        raise UserError(f"{file} [{verb}]: recipes are tables, [[{verb}.recipes]]")
    for number, recipe in enumerate(recipes, start=1):
        if not isinstance(recipe, dict):
            raise UserError(f"{file} [{verb}]: recipes are tables, [[{verb}.recipes]]")
        where = f"{file} [[{verb}.recipes]] {number}" if "recipes" in table else f"{file} [{verb}]"
        yield Recipe(where, shared | underscored(recipe), f"{verb}{number}" if len(recipes) > 1 else verb)


def combinations(
    cls: type[SFTConfig | RLConfig], base: str, recipe: Recipe, seen: set[str]
) -> Iterator[tuple[str, str, TomlTable]]:
    """(name without the seed, name, settings) of every combination of listed values; ``seen`` are names in use.

    Raises UserError for a name that is used twice.
    """
    tuples = {name for name, field in cls.model_fields.items() if get_origin(plain_type(field.annotation)) is tuple}
    lists = {key: value for key, value in recipe.settings.items() if isinstance(value, list) and key not in tuples}
    for key, choices in lists.items():
        if not choices:
            raise UserError(f"{recipe.where}: {key} = []: an empty list leaves nothing to run")
        twice = [value for at, value in enumerate(choices) if value in choices[:at]]
        if twice:
            raise UserError(f"{recipe.where}: {key} has {twice[0]} twice: each of its values is one run")
    if (runs := math.prod(map(len, lists.values()))) > MOST:
        raise UserError(f"{recipe.where}: its lists multiply to {runs:,} runs, more than {MOST:,}; shorten them")
    for picks in product(*(enumerate(values, start=1) for values in lists.values())):
        chosen = {key: value for key, (_, value) in zip(lists, picks, strict=True)}
        suffix = [
            f"{key}={value}" if PLAIN.fullmatch(str(value)) else f"{key}{place}"
            for key, (place, value) in zip(lists, picks, strict=True)
            if key != "seed" and len(lists[key]) > 1
        ]
        name = re.sub(r"[^\w.+=-]", "_", "-".join([base, *suffix]))
        full = f"{name}-s{chosen['seed']}" if "seed" in chosen else name
        if name.startswith(".") or len(full) > LONGEST:
            raise UserError(
                f"{recipe.where}: name = {base[:40]!r} cannot be the name of a folder: use up to {LONGEST} letters, "
                "digits, hyphens and underscores, with those of the listed values, and no dot at its begin"
            )
        if full in seen:
            raise UserError(f"{recipe.where}: two runs would have the name {full}; give recipes different names")
        seen.add(full)
        settings = recipe.settings | chosen
        seed = str(settings.get("seed", 0))
        settings = {k: v.replace("{seed}", seed) if isinstance(v, str) else v for k, v in settings.items()}
        refuse_placeholders(recipe.where, settings)
        yield name, full, settings


def underscored(table: TomlTable) -> TomlTable:
    """``eval-every`` may stand for ``eval_every``, as on the command line."""
    return {key.replace("-", "_"): value for key, value in table.items()}


def refuse_placeholders(where: str, settings: TomlTable) -> None:
    """UserError for a {name} in a source that is left: {seed} is replaced in the tables of verbs with a seed."""
    for key in SOURCES:
        if found := re.search(r"\{\w+\}", str(settings.get(key, ""))):
            what = "{seed} in [sft] and [rl], by the seed of the run"
            raise UserError(f"{where}: {key} has {found[0]}, which is not replaced; what is: {what}")
