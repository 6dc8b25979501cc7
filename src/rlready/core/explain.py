"""What is wrong with the value of a setting, in one line, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
PLURALS = {str: "text", int: "whole numbers", float: "numbers"}
SIMILAR = 0.75  # of difflib's ratio: below, unrelated words are suggested (rows for lr); above, typos are missed
BATCH = ("tokens_per_batch", "prompts_per_step")
RESPONSE = ("thinking_budget", "thinking_budgets", "max_answer_tokens")
ELSEWHERE: dict[str, Sequence[str]] = {  # names of TRL, verl and Transformers, and the settings that they mean
    "batch_size": BATCH,
    "bf16": ("dtype",),
    "beta": ("kl_coef",),
    "clip": ("epsilon",),
    "clip_ratio": ("epsilon",),
    "clip_ratio_high": ("epsilon_high",),
    "clip_ratio_low": ("epsilon",),
    "dataset": ("rows", "problems"),
    "dataset_name": ("rows", "problems"),
    "eval_dataset": ("heldout", "validation"),
    "eval_steps": ("eval_every",),
    "gradient_accumulation_steps": BATCH,
    "kl_loss_coef": ("kl_coef",),
    "loss_type": ("algorithm",),
    "lr": ("learning_rate",),
    "max_completion_length": RESPONSE,
    "max_new_tokens": RESPONSE,
    "max_steps": ("steps", "epochs"),
    "max_tokens": RESPONSE,
    "model_name_or_path": ("model", "models", "checkpoints"),
    "num_epochs": ("epochs", "steps"),
    "num_generations": ("group_size",),
    "num_iterations": ("updates_per_batch",),
    "num_train_epochs": ("epochs", "steps"),
    "output_dir": ("out",),
    "peft_config": ("lora_r",),
    "per_device_train_batch_size": BATCH,
    "reward_funcs": ("problems",),
    "scale_rewards": ("algorithm",),
    "save_steps": ("save_every", "eval_every"),
    "rollout_is": ("importance_correction",),
    "rollout_is_threshold": ("importance_cap",),
    "train_batch_size": BATCH,
    "train_dataset": ("rows", "problems"),
    "use_vllm": ("engine",),
    "vllm_importance_sampling_cap": ("importance_cap",),
    "vllm_importance_sampling_clip_max": ("importance_cap",),
    "vllm_importance_sampling_correction": ("importance_correction",),
    "vllm_importance_sampling_mode": ("importance_correction",),
    "warmup_steps": ("warmup_ratio",),
}


def nearest(word: str, known: Collection[str], otherwise: str = "") -> str:
    """The end of an error message: the known word that is meant, else ``otherwise``, by default all known words."""
    return similar(word, known) or otherwise or f"known: {', '.join(known)}"


def similar(word: str, known: Collection[str]) -> str:
    """A question for the known word that other trainers call so, that is nearest, or that alone has this part.

    Empty if there is none.
    """
    plain = {name.removeprefix("--").replace("-", "_"): name for name in known}
    key = word.removeprefix("--").replace("-", "_")
    close = [plain[name] for name in ELSEWHERE.get(key, ()) if name in plain]
    close = close or get_close_matches(word, [*known], n=1, cutoff=SIMILAR)
    parts = [name for whole, name in plain.items() if f"_{key}_" in f"_{whole}_"]
    close = close or (parts if len(parts) == 1 else [])
    return f"did you mean {' and '.join(close)}?" if close else ""


def misnamed(
    names: Collection[str], known: Collection[str], synonyms: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[str, str]]:
    """Names that are not known and seem to be meant for a known one, which is not there, each with the known one.

    ``synonyms`` are unlike names and what they mean.
    """
    for name in names:
        plain = re.sub(r"[\s-]+", "_", name.strip().lower())
        close = get_close_matches(plain, () if name in known else known, n=1, cutoff=SIMILAR)
        meant = synonyms.get(plain) or next(iter(close), "")
        if meant and name not in known and (plain == meant or meant not in names):
            yield name, meant


def help_of(cls: type[BaseModel]) -> str:
    """Where the settings of a configuration are listed."""
    verb = cls.__name__.removesuffix("Config").lower()
    return f"see rlready {'show' if verb in ('credit', 'template') else verb} --help"


def explain(error: ValidationError, cls: type[BaseModel]) -> str:
    """The first setting that does not fit a ``cls``, in one line."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r} of {cls.__name__}; {nearest(name, cls.model_fields, help_of(cls))}"
    return describe(first, name, cls.model_fields[name].annotation, first["input"])


def describe(error: ErrorDetails, name: str, annotation: Any, raw: object) -> str:
    """What is wrong with ``raw``, the value of a setting, and what would be right."""
    annotation, bounds = plain_type(annotation), error.get("ctx", {})
    found = error["input"]
    number = float in (annotation, *map(plain_type, get_args(annotation)))
    if error["type"] == "too_short":
        return f"{name} is empty; give at least one value"
    if error["type"] == "string_too_short":
        model = name in ("model", "models", "checkpoints")
        return f"{name} is empty; " + ("name a checkpoint folder, a hub id or embedded" if model else "leave it out")
    for bound, relation in (("gt", "above"), ("ge", "at least"), ("le", "at most"), ("lt", "below")):
        if bound in bounds:
            limit = bounds[bound]
            if bound == "ge" and 0 < limit < 1 and isinstance(found, int | float) and found <= 0:
                relation, limit = "above", 0
            elif bound == "gt" and not number:
                relation, limit = "at least", limit + 1
            shown = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
            wanted = f"must be {relation} {shown}" if (relation, limit) != ("at least", 0) else "must not be negative"
            return f"{name} {wanted}, got {f'{found:g}' if isinstance(found, float) else _shown(found, str)}"
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        hint = similar(raw, choices) if isinstance(raw, str) else ""
        expected = f"one of {', '.join(choices)}{'; ' if hint else ''}{hint}"
    elif get_origin(annotation) is tuple:
        expected = f"a list of {PLURALS[plain_type(get_args(annotation)[0])]}, separated by commas"
    else:
        expected = KINDS[annotation]
    return f"{name} = {_shown(raw)} is not {expected}"


def _shown(value: object, written: Callable[[object], str] = repr) -> str:
    """A value in at most 60 characters."""
    try:
        shown = written(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return shown if len(shown) <= 60 else shown[:57] + "..."


def as_typed(value: object) -> str:
    """A value as a user would type it; empty for None."""
    if isinstance(value, tuple):
        return ",".join(map(as_typed, value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def type_name(annotation: Any) -> str:
    """The type of a setting as help shows it: text, int, float, bool, a list or the choices."""
    annotation = plain_type(annotation)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return f"{type_name(get_args(annotation)[0])},..."
    return "text" if annotation is str else str(annotation.__name__)


def plain_type(annotation: Any) -> Any:
    """An annotation without None and metadata."""
    if get_origin(annotation) is Annotated:
        return plain_type(get_args(annotation)[0])
    if get_origin(annotation) is Union or "|" in type(annotation).__name__ or type(annotation).__name__ == "UnionType":
        return plain_type(next(each for each in get_args(annotation) if each is not type(None)))
    return annotation
