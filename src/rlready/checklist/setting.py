"""Facts on what was run: data splits, settings and how they were chosen, optimiser and seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from rlready.checklist.result import Evidence, Fact
from rlready.checklist.runs import UNITS, Entry, Runs
from rlready.core.options import COMMAND_LINE
from rlready.predict.result import PredictResult
from rlready.readiness.result import ReadinessResult
from rlready.runs.record import DEFAULT, PRESET, RECORD
from rlready.train.result import RLResult
from rlready.train.schedule import BETAS, EPSILON, WARMUP_RATIO

TRAINING = ("sft", "rl")
MOST = 12  # runs of which a text speaks one by one
# what a reader wants to see of a run; the others are in its config.toml
SHOWN = (
    *("model", "learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm", "epochs"),
    *("tokens_per_batch", "steps", "algorithm", "reward", "prompts_per_step", "group_size", "kl_coef", "lora_r"),
    *("samples", "temperature", "thinking_budget", "thinking_budgets", "max_answer_tokens", "dtype", "seed"),
)
ORIGINS = {
    DEFAULT: "defaults",
    PRESET: "chosen for the model by a preset",
    COMMAND_LINE: "given on the command line",
    "file": "given in a configuration file",
    "caller": "given by the program that called it",
}
GIVEN = (COMMAND_LINE, "file", "caller")
REASONED = [name for name in SHOWN if name not in ("model", "dtype", "seed")]  # settings for which papers give reasons
OPTIMISER = ("learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm")


def splits(runs: Runs) -> list[Fact]:
    """The data sets by role, with their sizes."""
    parts, evidence, missing = list[str](), list[Evidence](), list[str]()
    for entry, key, note in runs.data():
        size = f"{note.size:,} {UNITS.get(note.role, 'problems')}" if note.size else "size unknown"
        parts.append(f"{note.role}: {note.id}{runs.readers(note)} ({size})")
        evidence.append(entry.of_record(f"{key}.size", note.size))
        missing += [] if note.size else [f"the size of {note.id}"]
    unknown = "no run has read a data set" if not parts else "; ".join(missing)
    return [Fact(name="Data splits", text="; ".join(parts), evidence=evidence, missing=unknown)]


def overlap(runs: Runs) -> list[Fact]:
    """How training data overlap with what models are measured on, as far as it was counted."""
    found = [(entry, at, each) for entry in runs.entries for at, each in enumerate(entry.record.overlaps)]
    parts = [f"{each.held} and {each.training}: {each.exact} of {each.n} prompts are equal" for _, _, each in found]
    evidence = [
        entry.of_record(f"overlaps[{at}].{name}", value)
        for entry, at, each in found
        for name in ("exact", "shared_ngram", "near", "same_template")
        if (value := getattr(each, name)) is not None
    ]
    pairs = {(each.held, each.training): each.near is not None for _, _, each in found}
    near = f"Near-duplicates were looked for in {sum(pairs.values())} of {len(pairs)} pairs."
    text = f"{'; '.join(first(list(dict.fromkeys(parts))))}. {near}" if found else ""
    missing = "" if found else "not counted by any of these runs"
    return [Fact(name="Overlap with training data", text=text, evidence=evidence, missing=missing)]


def first(parts: list[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = [f"and {len(parts) - MOST} more"] if len(parts) > MOST else []
    return [*parts[:MOST], *more]


def configuration(runs: Runs) -> list[Fact]:
    """The settings of every run."""
    parts, evidence = list[str](), list[Evidence]()
    for entry in runs.entries:
        shown = [f"{name}={_typed(value)}" for name in SHOWN if (value := entry.setting(name)) not in (None, [], "")]
        parts.append(f"{entry.folder} ({entry.record.verb}): {', '.join(shown) or 'no such settings'}")
        evidence.append(entry.of_record("config", f"{len(entry.record.config)} settings"))
    text = f"Every setting of every run is in its {RECORD}. The main ones: {'; '.join(first(parts))}."
    return [Fact(name="Settings", text=text, evidence=evidence)]


def chosen(runs: Runs) -> list[Fact]:
    """Where the values came from, which differ between these runs, and what was selected by which figure."""
    parts, evidence = list[str](), list[Evidence]()
    for verb, entries in _by_verb(runs).items():
        alike = defaultdict[str, list[Entry]](list)
        for entry in entries:
            alike[_origins(entry)].append(entry)
            evidence.append(entry.of_record("origins", f"{len(entry.record.origins)} settings"))
        for text, same in alike.items():
            of = "" if len(alike) == 1 else f" ({', '.join(first([str(entry.folder) for entry in same]))})"
            parts.append(f"{verb}{of}: {text}")
    tried = list(_tried(runs))
    differ = f"Values that differ between these runs: {'; '.join(tried)}"
    parts.append(differ if tried else "Each setting has one value in all of these runs")
    for entry in runs.entries:
        for text, key, value in _selected(entry):
            parts.append(text)
            evidence.append(entry.of_result(key, value))
    return [Fact(name="How values were set and selected", text=f"{'. '.join(parts)}.", evidence=evidence)]


def _origins(entry: Entry) -> str:
    """Where the values of a run's settings came from; those that were given by name."""
    names = defaultdict[str, list[str]](list)
    for name, origin in entry.record.origins.items():
        names[origin].append(name)
    ways = ORIGINS | ({"caller": f"given by the {entry.record.part_of}"} if entry.record.part_of else {})
    return ", ".join(
        f"{len(found)} {ways.get(origin, origin)}" + f" ({', '.join(first(found))})" * (origin in GIVEN)
        for origin, found in names.items()
    )


def why_chosen(runs: Runs) -> list[Fact]:
    """Why settings that were given have their values, which only the author knows; nothing where none was given."""
    named = [name for name in REASONED if any(e.record.origins.get(name) in GIVEN for e in runs.entries)]
    missing = (
        f"why the values given for {', '.join(named)} were chosen: by a search elsewhere, from a paper, or how else"
    )
    return [runs.told.fact("why_chosen", "Reasons for values", missing)] if named else []


def optimiser(runs: Runs) -> list[Fact]:
    """The optimiser of the training runs."""
    parts, evidence = list[str](), list[Evidence]()
    for entry in runs.entries:
        if entry.record.verb not in TRAINING:
            continue
        named = {name: value for name in OPTIMISER if (value := entry.setting(name)) is not None}
        parts.append(f"{entry.folder}: {', '.join(f'{name}={_typed(value)}' for name, value in named.items())}")
        evidence += [entry.of_record(f"config.{name}", value) for name, value in named.items()]
    constants = f"Betas {BETAS[0]} and {BETAS[1]} and epsilon {EPSILON:g} are constants of this version, not settings"
    if any(entry.record.verb == "rl" for entry in runs.entries):
        constants += f". The learning rate of RL rises over {WARMUP_RATIO:.0%} of its steps and is constant then"
    text = f"AdamW. {'; '.join(first(parts))}. {constants}."
    return [Fact(name="Optimiser", text=text, evidence=evidence)] if parts else []


def seeds(runs: Runs) -> list[Fact]:
    """The seeds of the runs, and over how many seeds a training recipe was repeated."""
    found = [entry for entry in runs.entries if entry.record.seeds]
    numbers = sorted({_typed(value) for entry in found for value in entry.record.seeds.values()})
    evidence = [entry.of_record("seeds", _typed(entry.record.seeds)) for entry in found]
    missing = "" if found else "no run has a seed"
    return [
        Fact(name="Seeds", text=f"Seeds: {', '.join(numbers)}." if found else "", evidence=evidence, missing=missing)
    ]


def repetitions(runs: Runs) -> dict[str, int]:
    """For each training recipe, over how many seeds it was run to its end.

    That is the verb, the settings without seeds, and the content of the data, models and code that the run has read.
    """
    recipes = defaultdict[str, set[str]](set)
    for entry in runs.entries:
        if entry.record.verb in TRAINING and entry.result:
            own = {k: v for k, v in entry.record.config.items() if k not in entry.record.seeds}
            content = sorted((each.role, each.sha256 or "") for each in entry.record.notes)
            recipes[f"{entry.record.verb} {_typed(own)} {_typed(content)}"].add(_typed(entry.record.seeds))
    return {recipe: len(found) for recipe, found in recipes.items()}


def _tried(runs: Runs) -> Iterator[str]:
    for verb, entries in _by_verb(runs).items():
        for name in SHOWN:
            values = dict.fromkeys(_typed(value) for e in entries if (value := e.setting(name)) not in (None, []))
            if len(values) > 1:
                yield f"{verb} {name}: {', '.join(values)}"


def _selected(entry: Entry) -> Iterator[tuple[str, str, object]]:
    """What a run has selected and by which figure, with the place in its result."""
    match entry.result:
        case RLResult() as result:
            yield f"{entry.folder}: {result.best.path} has the best validation accuracy", "best.path", result.best.path
        case ReadinessResult() | PredictResult() as result if result.picked:
            yield (
                f"{entry.folder}: {result.picked} is the start of RL",
                "headline",
                result.headline,
            )


def _by_verb(runs: Runs) -> dict[str, list[Entry]]:
    verbs = defaultdict[str, list[Entry]](list)
    for entry in runs.entries:
        verbs[entry.record.verb].append(entry)
    return verbs


def _typed(value: object) -> str:
    """A value of JSON in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
