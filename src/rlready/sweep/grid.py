"""A sweep file: which SFT runs, which of their checkpoints, which RL runs from each.

    checkpoints = "last"              # RL starts from: "last", "all", or places such as [1, -1]; a recipe may differ
    measure = "all"                   # readiness of: "all", or only of those that RL starts from ("starts")

    [sft]                             # settings of every SFT run: keys of `rlready sft --help`
    heldout = "dagmath?ops=4&split=test&n=200&seed=2"
    [[sft.recipes]]                   # each with a name and its own settings; a list multiplies
    name = "few"
    family = "dataset"                # runs to be compared with each other
    rows = "dagmath?ops=4&n=500&seed=1"
    epochs = [2, 4]
    [readiness]                       # settings of the other verbs
    problems = "dagmath?ops=4&n=64&seed=6"
    [rl]
    seed = [0, 1, 2]
    [evaluate]
    samples = 4

``[rl]`` may have ``[[rl.recipes]]`` too.  What differs in the seed alone is one recipe; ``{seed}`` in a text stands for
it, so that the data of a run can follow: ``rows = "dagmath?n=500&seed={seed}"``.  Settings that measuring and
learning must share are taken over where they are not given: readiness and evaluate sample with the temperature, budget,
answer cap and final text of RL, readiness plans with its group, and takes the held-out rows of SFT.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.options import fill_table, nearest

CONFIGS: dict[str, type[Any]] = {
    "sft": SFTConfig,
    "readiness": ReadinessConfig,
    "rl": RLConfig,
    "evaluate": EvaluateConfig,
}
GIVEN = {"sft": (), "readiness": ("checkpoints",), "rl": ("model",), "evaluate": ("models",)}  # by the sweep itself
SHARED = ("temperature", "thinking_budget", "max_answer_tokens", "answer_prefix")
WORDS = {"checkpoints": ("last", "all"), "measure": ("all", "starts")}
PLAIN = re.compile(r"[\w.+=-]{1,24}")  # values short enough to be part of a folder's name


@dataclass(frozen=True)
class Variant:
    """One SFT or RL run to be made; ``recipe`` is its name without the seed."""

    name: str
    recipe: str
    config: Any
    family: str = ""
    checkpoints: str | tuple[int, ...] = "last"
    measure: str = "all"

    @property
    def starts(self) -> tuple[int, ...]:
        """Places from 1 of the checkpoints that RL starts from, of an SFT run."""
        if self.checkpoints == "last":
            return (self.saved,)
        if isinstance(self.checkpoints, str):
            return tuple(range(1, self.saved + 1))
        return tuple(dict.fromkeys(i if i > 0 else self.saved + 1 + i for i in self.checkpoints))

    @property
    def measured(self) -> tuple[int, ...]:
        return tuple(range(1, self.saved + 1)) if self.measure == "all" else self.starts

    @property
    def saved(self) -> int:
        """How many checkpoints the SFT run will keep at most: one every ``save_every`` epochs, and the last."""
        saved: int = math.ceil(self.config.epochs / self.config.save_every - 1e-9)
        return max(1, saved)

    def from_end(self, place: int) -> int:
        """A place as -1 for the last: with few steps an epoch some fall together, never the last."""
        return place - self.saved - 1


@dataclass(frozen=True)
class Grid:
    """Everything that a sweep file asks for."""

    sft: list[Variant]
    rl: list[Variant]
    readiness: dict[str, Any]
    evaluate: EvaluateConfig

    def readiness_for(self, variant: Variant) -> ReadinessConfig:
        """Settings of the readiness of a checkpoint of this SFT run."""
        return ReadinessConfig(**{"heldout": variant.config.heldout} | self.readiness)


def read(file: Path) -> Grid:
    """The grid of a sweep file; UserError with the table and key that does not fit."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file}: cannot be read as TOML: {error}") from None
    raw = _underscored(raw)
    for key in raw:
        if key not in (*CONFIGS, *WORDS):
            raise UserError(f"{file}: unknown key {key!r}; {nearest(key, (*CONFIGS, *WORDS))}")
    tables = {verb: raw.get(verb, {}) for verb in CONFIGS}
    for verb, table in tables.items():
        if not isinstance(table, dict):
            raise UserError(f"{file}: {verb} must be a table, [{verb}]")
        for key in GIVEN[verb]:
            if key in table:
                raise UserError(f"{file} [{verb}]: {key} is what the sweep fills in; leave it out")
    common = {key: raw[key] for key in WORDS if key in raw}
    sft = list(_variants(file, "sft", tables["sft"], common))
    rl = list(_variants(file, "rl", tables["rl"], {}))
    agreed = _agreed([each.config for each in rl])
    readiness = fill_table(ReadinessConfig, f"{file} [readiness]", tables["readiness"])
    given = {key: getattr(readiness, key) for key in tables["readiness"]}
    evaluate = fill_table(EvaluateConfig, f"{file} [evaluate]", tables["evaluate"])
    inherited: dict[str, Any] = {
        key: agreed[key]
        for key in SHARED
        if key != "thinking_budget" and key in agreed and key not in tables["evaluate"]
    }
    if "thinking_budget" in agreed and "thinking_budgets" not in tables["evaluate"]:
        inherited["thinking_budgets"] = (agreed["thinking_budget"],)
    return Grid(sft, rl, agreed | given, replace(evaluate, **inherited))


def _underscored(value: Any) -> Any:
    """``eval-every`` may stand for ``eval_every`` in every table, as on the command line."""
    if isinstance(value, dict):
        return {key.replace("-", "_"): _underscored(inside) for key, inside in value.items()}
    return [_underscored(inside) for inside in value] if isinstance(value, list) else value


def _agreed(configs: Sequence[Any]) -> dict[str, Any]:
    """What all RL runs sample with alike."""
    first = {key: getattr(configs[0], key) for key in (*SHARED, "group_size")}
    return {key: value for key, value in first.items() if all(getattr(c, key) == value for c in configs)}


def _variants(file: Path, verb: str, table: Mapping[str, Any], common: Mapping[str, Any]) -> Iterator[Variant]:
    """Every combination of every recipe of one verb."""
    shared = {key: value for key, value in table.items() if key != "recipes"}
    recipes = table.get("recipes", [{}])
    if not isinstance(recipes, list) or not all(isinstance(each, dict) for each in recipes) or not recipes:
        raise UserError(f"{file} [{verb}]: recipes are tables, [[{verb}.recipes]]")
    seen: set[str] = set()
    for number, recipe in enumerate(recipes, start=1):
        where = f"{file} [[{verb}.recipes]] {number}" if "recipes" in table else f"{file} [{verb}]"
        named = common | recipe
        own = {key: _text(where, named, key) for key in ("name", "family") if key in named and verb == "sft"}
        if verb == "rl" and "name" in named:
            own["name"] = _text(where, named, "name")
        chosen = {key: _word(where, key, named[key]) for key in WORDS if key in named and verb == "sft"}
        settings = {k: v for k, v in (shared | recipe).items() if k not in own and k not in chosen}
        base = own.pop("name", f"{verb}{number}" if len(recipes) > 1 else verb)
        for suffix, seed, values in _combinations(verb, settings):
            name = re.sub(r"[^\w.+=-]", "_", "-".join([base, *suffix]))
            full = f"{name}-s{seed}" if seed is not None else name
            if full in seen:
                raise UserError(f"{where}: there are two runs of the name {full}; give recipes different names")
            seen.add(full)
            made = Variant(full, name, fill_table(CONFIGS[verb], where, values), **own, **chosen)
            if verb == "sft":
                _check_places(where, made)
            yield made


def _check_places(where: str, variant: Variant) -> None:
    for key in ("epochs", "save_every"):
        if getattr(variant.config, key) <= 0:
            raise UserError(f"{where}: {key} must be above 0, got {getattr(variant.config, key)}")
    for i in variant.starts:
        if not 1 <= i <= variant.saved:
            raise UserError(
                f"{where}: checkpoints = {list(variant.checkpoints)}, but {variant.name} keeps {variant.saved}: "
                "one every save_every epochs, and the last"
            )


def _combinations(verb: str, settings: Mapping[str, Any]) -> Iterator[tuple[list[str], Any, dict[str, Any]]]:
    """(words for the name, the seed if it varies, settings) of every combination of listed values."""
    hints = get_type_hints(CONFIGS[verb])
    lists = {k: v for k, v in settings.items() if isinstance(v, list) and get_origin(hints.get(k)) is not tuple}
    for key, choices in lists.items():
        if not choices:
            raise UserError(f"[{verb}] {key} = []: a list of nothing leaves nothing to run")
    for picks in product(*(enumerate(values, start=1) for values in lists.values())):
        values = {key: value for key, (_, value) in zip(lists, picks, strict=True)}
        suffix = [
            f"{key}={value}" if PLAIN.fullmatch(str(value)) else f"{key}{place}"
            for key, (place, value) in zip(lists, picks, strict=True)
            if key != "seed" and len(lists[key]) > 1
        ]
        chosen = dict(settings) | values
        seed = str(chosen.get("seed", 0))
        filled = {k: v.replace("{seed}", seed) if isinstance(v, str) else v for k, v in chosen.items()}
        yield suffix, values.get("seed"), filled


def _text(where: str, table: Mapping[str, Any], key: str) -> str:
    if not isinstance(table[key], str):
        raise UserError(f"{where}: {key} must be text, not {table[key]!r}")
    return str(table[key])


def _word(where: str, key: str, value: Any) -> Any:
    """``checkpoints`` or ``measure`` of a recipe."""
    if value in WORDS[key]:
        return value
    places = isinstance(value, list) and value and all(type(i) is int and i != 0 for i in value)
    if key == "checkpoints" and places:
        return tuple(value)
    also = " or places such as [1, -1]" if key == "checkpoints" else ""
    raise UserError(f"{where}: {key} = {value!r} is not {' or '.join(WORDS[key])}{also}")


def size_of(source: str, default: int) -> int:
    """The number of rows or problems that a source string asks for."""
    found = re.search(r"[?&]n=(\d+)", source)
    return int(found[1]) if found else default
