"""A folder with an adapter of PEFT: which model it belongs to, and that model with the adapter added to its weights."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rlready.core.errors import UserError
from rlready.core.messages import note, note_once, warn
from rlready.models.checkpoint_files import ADAPTER_WEIGHTS
from rlready.models.checksums import verify_checksums
from rlready.models.hub import cached, fetched, refuse_folder_names
from rlready.models.one_line import one_line
from rlready.models.weights import FLOATS, Held, tensors_of
from rlready.runs.content import ADAPTER, CONFIG
from rlready.runs.files import read_json
from rlready.runs.lineage import bases

PREFIX = "base_model.model."
HEADS = ("lm_head", "embed_out", "embed_tokens", "wte")  # whose size an adapter may change
MOST_REPETITIONS = 8
WITHOUT_PEFT = "to load it: pip install 'rlready[peft]'"
COPY = re.compile(r"\.(modules_to_save|original_module|base_layer)(?=\.)")  # how PEFT names what it has wrapped


def base_of(folder: Path, source: str) -> Path:
    """The folder of an adapter's base model; a note says when it is fetched from the hub.

    Raises UserError when the adapter names no base, or one that cannot be found or is an adapter, too.
    """
    config = read_json(folder / ADAPTER)
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{folder / ADAPTER}: names no base model (base_model_name_or_path)")
    folders = bases(folder, name)
    models = {path.resolve(): path for path in folders if (path / CONFIG).exists() or (path / ADAPTER).exists()}
    found, *others = *models.values(), None
    if found and others[:-1]:
        warn(
            f"{source}: warning: its base {name} may be {found} or {others[0]}: the first is taken; write the path "
            f"of the one that is meant, from /, into {folder / ADAPTER}"
        )
    if not found and folders:
        raise UserError(f"{source}: an adapter whose base model {folders[0]} is a folder without {CONFIG}")
    if not found:
        revision = config.get("revision")
        try:
            refuse_folder_names(name)
            note(
                f"{source}: an adapter; its base {name} is not a local folder and is fetched from the Hugging Face hub"
            )
            found = fetched(name, weights=True, revision=revision if isinstance(revision, str) else None)
        except UserError as error:
            raise UserError(f"{source}: an adapter whose base model is not found: {one_line(error, 300)}") from None
    if os.path.isabs(name) and not os.path.exists(name):
        note_once(f"{source}: its base {name} is not there any more, but is {found} now, with the same content")
    if (found / ADAPTER).exists():
        raise UserError(f"{source}: its base model {found} is an adapter, too; merge that into its base first")
    return found


def base_here(folder: Path) -> Path | None:
    """The folder of an adapter's base model on this machine, or in the cache, without asking the hub; None for none."""
    name = read_json(folder / ADAPTER).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return None
    return next((path for path in bases(folder, name) if (path / CONFIG).exists()), None) or cached(name)


def merged(model: Any, folder: Path, source: str) -> Any:
    """A base model with the adapter of a folder added to its weights, ready to be trained as a whole.

    Raises UserError as `attached` does.
    """
    wrapped = attached(model, folder, source)
    _untie(model)
    whole = wrapped.merge_and_unload()
    if whole.get_input_embeddings().weight is not whole.get_output_embeddings().weight:
        whole.config.get_text_config().tie_word_embeddings = whole.config.tie_word_embeddings = False
    for leftover in ("peft_config", "_hf_peft_config_loaded"):
        if leftover in vars(whole):
            delattr(whole, leftover)
    return whole.requires_grad_(True)


def attached(model: Any, folder: Path, source: str, *, name: str = "default", wrapped: Any = None) -> Any:
    """PEFT's wrapper of a base model that has the adapter of a folder, frozen, beside its weights.

    The adapter gets a ``name`` in ``wrapped``, if the model has a wrapper already.  Raises UserError without the
    package peft, for a kind of adapter that is not added to weights, and for one whose weights do not all find their
    place in the base.
    """
    try:
        from peft import PeftModelForCausalLM, get_peft_model_state_dict
        from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
    except ImportError:
        raise UserError(f"{source}: an adapter; {WITHOUT_PEFT}") from None
    held = weights_of(folder, source)
    verify_checksums(folder, weights=True)
    config = _settings(folder, source, held)
    config.inference_mode = True
    if wrapped is None:
        _resize(model, held, source)
        wrapped = PeftModelForCausalLM(model, config, adapter_name=name)
    else:
        wrapped.add_adapter(name, config)
    wanted = set(get_peft_model_state_dict(wrapped, adapter_name=name, save_embedding_layers=False))
    try:
        found = wrapped.load_adapter(str(folder), name, torch_device=str(model.device))
    except RuntimeError as error:  # a list of all the sizes that do not match
        first = next((line for line in str(error).splitlines() if "size mismatch" in line), str(error))
        raise UserError(
            f"{source}: the adapter does not fit its base {model.name_or_path}: {one_line(first, 180)}"
        ) from None
    unfit = [key for key in found.unexpected_keys if COPY.sub("", key) not in held.keys() - {key}]
    if unfit:
        raise UserError(
            f"{source}: {len(unfit)} of the adapter's {len(held)} weights match no part of its base "
            f"{model.name_or_path} (first: {min(unfit)})"
        )
    # PEFT follows Transformers' renames; it then reports only missing weights of the adapter's kind
    kind_of_weight = PEFT_TYPE_TO_PREFIX_MAPPING[config.peft_type]
    missing = {*found.missing_keys, *(key for key in wanted - held.keys() if kind_of_weight not in key)}
    if missing:
        raise UserError(f"{source}: {len(missing)} weights of the adapter are not in its file (first: {min(missing)})")
    trained = get_peft_model_state_dict(wrapped, adapter_name=name, save_embedding_layers=False)
    if all("lora_A" in key or ("lora_B" in key and not weight.any()) for key, weight in trained.items()):
        warn(f"{source}: warning: the adapter changes nothing: all its lora_B weights are 0, as before training")
    return wrapped


def refuse_other_base(folder: Path, base: Path, shapes: Mapping[str, tuple[int, ...]], source: str) -> None:
    """UserError for an adapter whose matrices belong to larger or smaller weights than those of its base.

    ``shapes`` are those of the base's weights by their names.  A base of the same shapes with other weights cannot be
    told, unless the adapter was saved by this package; an adapter on the hub is not fetched for this.
    """
    if not any((folder / name).exists() for name in ADAPTER_WEIGHTS):
        return
    held = weights_of(folder, source)
    for name in sorted(held):
        layer, _, rest = name.removeprefix(PREFIX).partition(".lora_A.")
        wide, tall = (held.get(f"{PREFIX}{layer}.lora_{part}.{rest}") for part in "AB")
        there = shapes.get(f"{layer}.weight")
        if (
            not (rest and wide and tall and there)
            or layer.endswith(HEADS)
            or not len(wide.shape) == len(tall.shape) == 2
        ):
            continue
        here = (tall.shape[0], wide.shape[1])
        if sorted(here) != sorted(there):  # some models store weights transposed
            raise UserError(
                f"{source}: an adapter of another base: its {layer} is for a weight of {here[0]} x {here[1]}, that of "
                f"{base} has {there[0]} x {there[1]}: set base_model_name_or_path in {folder / ADAPTER}"
            )


def _settings(folder: Path, source: str, held: dict[str, Held]) -> Any:
    """The configuration of an adapter that can be merged, and always gives the same model."""
    from peft import PeftConfig, PeftType

    place, stated = folder / ADAPTER, read_json(folder / ADAPTER)
    kind = stated.get("peft_type")
    if kind not in [str(known.value) for known in PeftType]:
        raise UserError(f"{place}: peft_type {one_line(kind)!r} is not known to this version of PEFT; upgrade it")
    if kind == "LORA" and (type(stated.get("lora_alpha")) not in (int, float) or not stated["lora_alpha"]):
        raise UserError(f"{place}: lora_alpha must be a number other than 0; it scales the whole adapter")
    _refuse_endless(place, stated)
    if stated.get("megatron_config"):  # with which older versions of PEFT import the module that megatron_core names
        raise UserError(
            f"{place}: megatron_config is for layers of Megatron, which are not read; export the adapter without"
        )
    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise UserError(f"{source}: an adapter of type {kind} has no weights that could be merged into its base")
    if str(getattr(config, "init_lora_weights", "")).startswith("pissa_niter"):
        raise UserError(
            f"{source}: a PiSSA adapter whose base is changed by a randomised SVD (init_lora_weights), so its weights "
            "differ at every load; save it again with path_initial_model_for_weight_conversion, as a plain LoRA"
        )
    if config.task_type not in (None, "CAUSAL_LM"):
        raise UserError(f"{source}: an adapter for {config.task_type}, not for a causal language model")
    ranks = (getattr(config, "r", 0), *(getattr(config, "rank_pattern", None) or {}).values())
    widest = max((size for each in held.values() for size in each.shape), default=0)
    if held and not widest:
        raise UserError(
            f"{source}: all weights of the adapter are empty, as DeepSpeed ZeRO-3 leaves them: save "
            "again with stage3_gather_16bit_weights_on_model_save"
        )
    if any(type(rank) is int and rank > widest for rank in ranks):
        raise UserError(f"{place}: has the rank {max(ranks)}, but no weight of the adapter is that large")
    return config


def _refuse_endless(place: Path, stated: dict[str, Any]) -> None:
    """UserError for a pattern of module names that can take for ever to match; PEFT matches them without a limit."""
    named = [value for name, value in stated.items() if "modules" in name or "pattern" in name]
    for pattern in (each for value in named for each in (value if isinstance(value, list | dict) else [value])):
        if isinstance(pattern, str) and (_nested(pattern) or len(re.findall("[*+{]", pattern)) > MOST_REPETITIONS):
            raise UserError(
                f"{place}: the pattern {one_line(pattern, 100)!r} can take for ever to match; list the modules"
            )


def _nested(pattern: str) -> bool:
    """Whether a group with a repetition or a choice in it is itself repeated."""
    groups = [False]  # whether the open groups have one so far
    for c, following in zip(pattern, f"{pattern[1:]} ", strict=True):
        if c == "(":
            groups.append(False)
        elif c == ")" and len(groups) > 1:
            inner = groups.pop()
            if inner and following in "*+{":
                return True
            groups[-1] |= inner
        elif c in "*+{|":
            groups[-1] = True
    return False


def weights_of(folder: Path, source: str) -> dict[str, Held]:
    file = next((folder / name for name in ADAPTER_WEIGHTS if (folder / name).exists()), None)
    if file is None:
        raise UserError(f"{source}: the adapter has no weights ({ADAPTER_WEIGHTS[0]})")
    held = tensors_of(file)
    if not held:
        raise UserError(f"{file}: holds no weights")
    coded = next((name for name in sorted(held) if held[name].dtype not in FLOATS), None)
    if coded:
        raise UserError(
            f"{file}: weight {coded} is stored as {held[coded].dtype}, not in floating point; save it again"
        )
    return held


def _resize(model: Any, held: dict[str, Held], source: str) -> None:
    """Give the vocabulary the size that the adapter was trained with, if its file holds the embedding."""
    names = {id(module): name for name, module in model.named_modules()}
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    kept = {COPY.sub("", key): each.shape[0] for key, each in held.items() if each.shape}
    sizes = [kept.get(f"{PREFIX}{names[id(layer)]}.weight") for layer in layers]
    size, old, tied = sizes[0] or sizes[1], len(layers[0].weight), layers[0].weight is layers[1].weight
    if size is None or size == old:
        return
    if size > old and not tied and None in sizes:
        raise UserError(
            f"{source}: the adapter was trained with {size - old} more tokens than its base, but its file holds only "
            "the embedding or only the head; save it with save_embedding_layers=True"
        )
    model.resize_token_embeddings(size, mean_resizing=False)


def _untie(model: Any) -> None:
    """Untie embedding and head if the adapter changes only one of them."""
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    inner = [getattr(layer, "base_layer", layer) for layer in layers]
    if inner != layers and inner[0].weight is inner[1].weight:
        inner[1].weight = torch.nn.Parameter(inner[1].weight.detach().clone())
