"""Fill the settings that a configuration leaves to the model, from files of the model and without its weights."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rlready.core.config.format import Format, format_of
from rlready.core.device import check_device
from rlready.core.errors import UserError
from rlready.core.messages import note, warn
from rlready.core.presets import (
    DATA,
    TOO_FAST,
    UNNAMED,
    ModelTraits,
    Setting,
    own_data,
    preset,
    refuse_forgotten_model,
)
from rlready.core.settings import Config
from rlready.models.checkpoint_files import EMBEDDED_FOLDER, check_files
from rlready.models.hub import folder_of, local_folder, refuse_folder_names
from rlready.runs.content import ADAPTER, CONFIG
from rlready.runs.files import read_json
from rlready.runs.lineage import run_of
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.run import Run

if TYPE_CHECKING:
    from rlready.models.chat import ChatFormat

C = TypeVar("C", bound=Config)

# keys that identify a checkpoint of the embedded model: training does not change them
SHAPE = ("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
CONTEXT = 2048  # tokens, of a model that names no limit


def resolve(config: C, sources: Sequence[str], run: Run, leave: Collection[str] = ()) -> C:
    """The configuration with the settings of `preset_values`, which are recorded by ``run``."""
    check_device(config)
    return run.resolve(config, preset_values(run.verb, config, sources, leave))


def preset_values(verb: str, config: Config, sources: Sequence[str], leave: Collection[str] = ()) -> dict[str, Setting]:
    """The settings of ``verb`` that depend on the model and are still open, which are printed.

    ``sources`` are the models, of which the first that is not the embedded one decides, and whether any of them thinks;
    ``leave`` names settings that stay open, as a thinking budget does if no model thinks.  The embedded model, and what
    was trained from it on DAG maths, have default data, unless other data is named.  Raises UserError where worked
    examples or problems are missing, or the model for them, and for what is wrong with the model's files.
    """
    refuse_forgotten_model(verb, config)
    open_settings = [name for name in type(config).model_fields if is_open(config, name) and name not in leave]
    _refuse_in_advance(verb, open_settings, sources)
    source, traits = _deciding(sources, format_of(config))
    traits = replace(traits, lora=getattr(config, "lora_r", 0) > 0)
    device = getattr(config, "device", "auto")
    place = device if device != "auto" or traits.embedded else best_device()
    budgeted = getattr(config, "thinking_budget", None) is not None
    chosen = preset(verb, traits, place, budgeted=budgeted)
    if traits.embedded and (own_data(config) or not all(map(_knows_only_dagmath, sources))):
        chosen = {key: value for key, value in chosen.items() if key not in DATA} | UNNAMED.get(verb, {})
    _warn_of_rate(config, chosen, verb)
    values = {name: chosen[name] for name in open_settings if name in chosen}
    _refuse_missing_data(verb, [name for name in open_settings if name not in values], source)
    if any(value != "" for value in values.values()):
        size = "the embedded model" if traits.embedded else f"a model of {_count(traits.parameters)} parameters"
        size += " and a LoRA adapter" if traits.lora else ""
        plain = "" if traits.thinks or budgeted else " (of the whole response, as the model does not think)"
        after = {"max_answer_tokens": plain}
        listed = ", ".join(f"{n}={_shown(value)}{after.get(n, '')}" for n, value in values.items() if value != "")
        note(f"{verb}: preset for {size}: {listed}")
    return values


def _refuse_in_advance(verb: str, open_settings: Sequence[str], sources: Sequence[str]) -> None:
    """UserError for a folder that is not there or holds no model, and for data that is missing, as far as that is known
    without torch, whose import takes seconds."""
    for source in sources:
        if source != "embedded" and os.path.exists(source):
            check_files(Path(source), source)
        elif source != "embedded":
            refuse_folder_names(source)
        elif os.path.isdir(source):
            note("embedded is the model inside the package; write ./embedded for the folder of that name")
    other = next((each for each in sources if (Path(each) / CONFIG).is_file() and not _has_embedded_shape(each)), "")
    if other:
        _refuse_missing_data(verb, [name for name in open_settings if name not in UNNAMED.get(verb, {})], other)


def _refuse_missing_data(verb: str, missing: Sequence[str], source: str) -> None:
    for name in missing:
        if name in DATA:
            raise UserError(
                f"{verb}: {name} is missing: name the {DATA[name]} for {source}, as {name}=FILE.jsonl or a task; "
                "only the embedded model on its own task has defaults"
            )


def _has_embedded_shape(folder: Path | str) -> bool:
    config, embedded = (_text_config(path / CONFIG) for path in (Path(folder), EMBEDDED_FOLDER))
    return all(config.get(key) == embedded[key] for key in SHAPE)


def _deciding(sources: Sequence[str], form: Format) -> tuple[str, ModelTraits]:
    """The first model that is not the embedded one, with its traits; it thinks if any of the models does."""
    for source in sources:
        traits = model_traits(source, **form)
        if not traits.embedded:
            break
    others = () if traits.embedded or traits.thinks else [each for each in sources if each != source]
    thinks = traits.thinks or any(_chat(each, **form).thinks for each in others)
    return source, replace(traits, thinks=thinks)


def is_open(config: Config, name: str) -> bool:
    """Whether a setting is left to the model."""
    value: object = getattr(config, name)
    return value == ("auto" if name == "device" else None)


def model_traits(source: str, *, apply_chat_template: bool = True, delimiters: Sequence[str] = ()) -> ModelTraits:
    """Size, context and whether it thinks, from configuration, headers of the weights and chat template.

    An adapter has the traits of its base.
    """
    from rlready.models import adapter
    from rlready.models.weights import held_weights

    chat = _chat(source, apply_chat_template=apply_chat_template, delimiters=delimiters)
    folder = folder_of(source, weights=True)
    base = adapter.base_of(folder, source) if (folder / ADAPTER).exists() else folder
    config = _text_config(base / CONFIG)
    return ModelTraits(
        parameters=sum(held.size for held in held_weights(base).values()),
        context=_context(config),
        thinks=chat.thinks,
        embedded=_has_embedded_shape(base),
    )


def _chat(source: str, *, apply_chat_template: bool, delimiters: Sequence[str]) -> ChatFormat:
    """The conversation format of a checkpoint."""
    from rlready.models.chat_template import learn_format
    from rlready.models.tokenizer import tokenizer_of

    return learn_format(tokenizer_of(source, apply_chat_template=apply_chat_template), source, delimiters)


def _knows_only_dagmath(source: str, through: tuple[Path, ...] = ()) -> bool:
    """Whether a model is the embedded one, or was trained from it on DAG maths alone, by the records of runs."""
    if source == "embedded":
        return True
    folder = local_folder(source)
    run = run_of(folder) if folder else None
    if run is None or run in through or not (run / RECORD).is_file():
        return False
    record = RunRecord.load(run)
    trained = [each.id for each in record.data if each.role in ("sft", "rl")]
    start = str(record.config.get("model"))
    start = start if start == "embedded" else str(record.located(run, start))
    return all(id.startswith("dagmath") for id in trained) and _knows_only_dagmath(start, (*through, run))


def best_device() -> str:
    """``cuda`` if there is a CUDA GPU, else ``mps`` on a Mac that has one, else ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _text_config(path: Path) -> Mapping[str, object]:
    """The configuration of the language model, also where it is part of a larger one."""
    config = read_json(path)
    return {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else config


def _context(config: Mapping[str, object]) -> int:
    named = [config.get(key) for key in ("max_position_embeddings", "n_positions", "max_seq_len")]
    return next((n for n in named if type(n) is int and n > 0), CONTEXT)


def _warn_of_rate(config: Config, chosen: dict[str, Setting], verb: str) -> None:
    rate, usual = getattr(config, "learning_rate", None), chosen.get("learning_rate")
    if rate and isinstance(usual, float) and rate > TOO_FAST * usual:
        warn(
            f"{verb}: warning: learning_rate={rate:g} is {rate / usual:.0f} times the preset for a model of this size, "
            f"{usual:g}; training may diverge"
        )


def _count(parameters: int) -> str:
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{name}"
    return str(parameters)


def _shown(value: Setting) -> str:
    return (
        ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if type(value) is float else str(value)
    )
