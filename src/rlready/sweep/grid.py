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

``[rl]`` may have ``[[rl.recipes]]`` too.  Runs that differ only in the seed are one recipe; ``{seed}`` in a string is
replaced by the seed, so that the data can depend on it: ``rows = "dagmath?n=500&seed={seed}"``.  Settings that several
verbs must share are copied unless given: readiness and evaluate sample with RL's temperature, thinking budget, answer
cap, answer prefix and delimiters; readiness uses RL's group size and the held-out rows of SFT.

With ``backend = "export:trl"`` (or verl, prime-rl) in ``[rl]`` that tool trains: the sweep exports each RL run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig, SFTConfig, Tool
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.options import TomlTable, fill_table, read_toml
from rlready.core.presets import foreign_data, own_data, refuse_forgotten_model
from rlready.export.settings import ElsewhereConfig
from rlready.models.preset import is_open
from rlready.sweep.backend import take_tool
from rlready.sweep.recipes import MOST, WORDS, Recipe, combinations, recipes_of, refuse_placeholders, underscored
from rlready.tasks.held_out import held_out_of

Verb = Literal["sft", "readiness", "rl", "export", "evaluate"]  # of jobs
Config = SFTConfig | ReadinessConfig | RLConfig | ElsewhereConfig | EvaluateConfig

VERBS: tuple[Verb, ...] = get_args(Verb)
TABLES: tuple[Verb, ...] = ("sft", "readiness", "rl", "evaluate")
# set by the sweep
FILLED: dict[Verb, str] = {"readiness": "checkpoints", "rl": "model", "export": "model", "evaluate": "models"}
SHARED = ("temperature", "thinking_budget", "max_answer_tokens", "answer_prefix", "apply_chat_template", "delimiters")


@dataclass(frozen=True)
class SFTVariant:
    """A planned SFT run; ``recipe`` is its name without the seed, ``checkpoints`` are those that RL starts from."""

    name: str
    recipe: str
    config: SFTConfig
    family: str
    checkpoints: str | tuple[int, ...]
    measure: str

    @property
    def starts(self) -> tuple[int, ...]:
        """Places, counted from 1, of the checkpoints that RL starts from."""
        if self.checkpoints == "last":
            return (self.saved,)
        if isinstance(self.checkpoints, str):
            return tuple(range(1, self.saved + 1))
        return tuple(dict.fromkeys(i if i > 0 else self.saved + 1 + i for i in self.checkpoints))

    @property
    def measured(self) -> tuple[int, ...]:
        """Places, counted from 1, of the checkpoints whose readiness is measured."""
        return tuple(range(1, self.saved + 1)) if self.measure == "all" else self.starts

    @property
    def saved(self) -> int:
        """The maximum number of checkpoints of the SFT run: one every ``save_every`` epochs, and the last."""
        return max(1, math.ceil(self.config.epochs / self.config.save_every - 1e-9))

    def from_end(self, place: int) -> int:
        """A place counted from the end, -1 for the last: with few steps an epoch, earlier saves may coincide."""
        return place - self.saved - 1


@dataclass(frozen=True)
class RLVariant:
    """An RL run that is planned from each of the checkpoints; ``recipe`` is its name without the seed."""

    name: str
    recipe: str
    config: RLConfig


@dataclass(frozen=True)
class Grid:
    """The contents of a sweep file; with ``heldout_of_sft``, readiness uses the held-out rows of the SFT run.

    ``tool`` trains by RL in place of rlready; nothing is evaluated then.
    """

    sft: list[SFTVariant]
    rl: list[RLVariant]
    readiness: ReadinessConfig
    heldout_of_sft: bool
    evaluate: EvaluateConfig
    tool: Tool | None = None

    def readiness_for(self, variant: SFTVariant) -> ReadinessConfig:
        """The readiness settings for the checkpoints of this SFT run: its held-out rows, also if it splits them off."""
        sft = variant.config
        if not self.heldout_of_sft or (is_open(sft, "heldout") and not own_data(sft)):
            return self.readiness
        return self.readiness.replace(heldout=sft.heldout or (held_out_of(sft.rows) if sft.rows else ""))


def read_sweep_file(file: Path) -> Grid:
    """The grid of a sweep file; UserError names a table and key that are invalid."""
    raw = read_toml(file)
    tables: dict[Verb, TomlTable] = {verb: {} for verb in TABLES}
    common: TomlTable = {}
    for key, value in raw.items():
        if key in WORDS:
            common[key] = value
        elif key not in TABLES:
            raise UserError(f"{file}: unknown key {key!r}; {nearest(key, (*TABLES, *WORDS))}")
        elif not isinstance(value, dict):
            raise UserError(f"{file}: {key} must be a table, [{key}]")
        else:
            tables[key] = underscored(value)
    for verb, key in FILLED.items():
        if key in tables.get(verb, {}):
            raise UserError(f"{file} [{verb}]: {key} is what the sweep fills in; leave it out")
    for verb in ("readiness", "evaluate"):
        refuse_placeholders(f"{file} [{verb}]", tables[verb])
    tool = take_tool(file, tables["rl"])
    sft = list(_sft_variants(recipes_of(file, "sft", tables["sft"], common)))
    rl = list(_rl_variants(recipes_of(file, "rl", tables["rl"], {})))
    agreed = _agreed([each.config for each in rl])
    sampling = {key: value for key, value in agreed.items() if key not in ("thinking_budget", "group_size")}
    budgets: TomlTable = {"thinking_budgets": [agreed["thinking_budget"]]} if "thinking_budget" in agreed else {}
    readiness = fill_table(ReadinessConfig, f"{file} [readiness]", agreed | tables["readiness"])
    evaluate = fill_table(EvaluateConfig, f"{file} [evaluate]", sampling | budgets | tables["evaluate"])
    if (runs := sum(len(each.starts) for each in sft) * len(rl)) > MOST:
        raise UserError(f"{file}: makes {runs:,} runs of RL, more than {MOST:,}; shorten its lists")
    grid = Grid(sft, rl, readiness, "heldout" not in tables["readiness"], evaluate, tool)
    _refuse_missing_data(file, grid)
    return grid


def _refuse_missing_data(file: Path, grid: Grid) -> None:
    """UserError for data that is missing where it has no default, so that no job runs before it is found."""
    for variant in grid.sft:
        config = variant.config
        foreign = [config.model] if config.model != "embedded" else foreign_data(config)
        if not foreign:
            continue
        if not config.rows:
            raise UserError(f"{file} [sft]: rows is missing: name the worked examples to train {foreign[0]} on")
        later: list[tuple[Verb, RLConfig | ReadinessConfig | EvaluateConfig]] = [
            ("rl", each.config) for each in grid.rl
        ]
        for verb, settings in (*later, ("readiness", grid.readiness), ("evaluate", grid.evaluate)):
            if not (settings.problems or (verb == "evaluate" and grid.tool)):
                raise UserError(
                    f"{file} [{verb}]: problems is missing: only the embedded model on its own task has defaults, and "
                    f"{variant.name} uses {foreign[0]}"
                )


def size_of(source: str | None, default: int) -> int:
    """The number of rows or problems that a source string asks for."""
    found = re.search(r"[?&]n=(\d+)", source or "")
    return int(found[1]) if found else default


def _agreed(configs: Sequence[RLConfig]) -> TomlTable:
    """The sampling settings that all RL runs have in common."""
    first = {key: getattr(configs[0], key) for key in (*SHARED, "group_size")}
    alike = {key: value for key, value in first.items() if all(getattr(c, key) == value for c in configs)}
    return {key: value for key, value in alike.items() if value is not None and value != ()}


def _sft_variants(recipes: Iterator[Recipe]) -> Iterator[SFTVariant]:
    seen: set[str] = set()
    known: dict[str, str] = {}
    for recipe in recipes:
        base, family = recipe.take_text("name", recipe.default_name), recipe.take_text("family")
        checkpoints, measure = recipe.take_places("checkpoints"), str(recipe.take_places("measure"))
        for name, full, settings in combinations(SFTConfig, base, recipe, seen):
            config = fill_table(SFTConfig, recipe.where, settings)
            refuse_forgotten_model(recipe.where, config)
            variant = SFTVariant(full, name, config, family, checkpoints, measure)
            _check_places(recipe.where, variant)
            _refuse_copy(recipe.where, full, f"{family} {sorted(variant.starts)} {config.model_dump_json()}", known)
            yield variant


def _rl_variants(recipes: Iterator[Recipe]) -> Iterator[RLVariant]:
    seen: set[str] = set()
    known: dict[str, str] = {}
    for recipe in recipes:
        base = recipe.take_text("name", recipe.default_name)
        for name, full, settings in combinations(RLConfig, base, recipe, seen):
            config = fill_table(RLConfig, recipe.where, settings)
            _refuse_copy(recipe.where, full, config.model_dump_json(), known)
            yield RLVariant(full, name, config)


def _refuse_copy(where: str, name: str, settings: str, known: dict[str, str]) -> None:
    """UserError for settings that another recipe has: copies would count as recipes of their own."""
    if (other := known.setdefault(settings, name)) != name:
        raise UserError(f"{where}: {name} has the settings of {other}, so that both would be one run: leave one out")


def _check_places(where: str, variant: SFTVariant) -> None:
    for i in variant.starts:
        if not 1 <= i <= variant.saved:
            raise UserError(
                f"{where}: checkpoints = {list(variant.checkpoints)}, but {variant.name} keeps {variant.saved}: "
                "one every save_every epochs, and the last"
            )
