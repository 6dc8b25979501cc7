"""Checkpoint folders and hub ids: load a causal language model from one, and save one.

A folder is a Hugging Face checkpoint of any trainer, or holds a LoRA adapter, which is merged into its base.  It is
verified: a model whose weights are not exactly those that were trained is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch

from rlready.core.errors import UserError
from rlready.core.messages import note, warn
from rlready.core.settings import check_delimiters
from rlready.models import adapter
from rlready.models.checkpoint_files import (
    GENERATION,
    check_config,
    check_files,
    check_layers,
    check_weights_are_there,
)
from rlready.models.checksums import verify_base, verify_checksums, write_base_checksum, write_checksums
from rlready.models.fsdp import is_sharded, reshard, shard_of, shards
from rlready.models.heed_in_layers import heed_in_layers
from rlready.models.hub import folder_of, local_folder
from rlready.models.lm import LM
from rlready.models.lora import (
    BASE,
    START,
    Adapted,
    Lora,
    beside,
    continued_adapter,
    new_adapter,
    require_peft,
    share_a_base,
)
from rlready.models.matching import refuse_differences, refuse_unlike
from rlready.models.model_config import BUILDING, config_of, generation_config_of, plan_of, shapes_of
from rlready.models.tokenizer import tokenizer_of
from rlready.models.transformers_errors import line_of, refused
from rlready.models.weights import AGAIN, held_weights, weight_files
from rlready.runs.checksums import CARD
from rlready.runs.content import ADAPTER, CONFIG
from rlready.runs.files import read_json

SNAPSHOTS = "snapshots"  # the folder of the hub's cache in which models are
LAYER = re.compile(r".*?\.\d+(?=\.)")  # in the name of a weight
LARGEST = 1e12  # no training gives such a weight; a flipped bit of the exponent gives more


def load(
    source: str,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    apply_chat_template: bool = True,
    delimiters: Sequence[str] = (),
    sharded: bool = False,
) -> LM:
    """A model from ``embedded``, a Hugging Face folder or a hub id, ready for evaluation and training.

    A folder that holds a LoRA adapter is its base with the adapter merged into it.
    ``apply_chat_template``: False takes prompts as plain texts.  ``delimiters``: the texts that open and close a
    thought; by default those of the template or the vocabulary.
    ``sharded``: of several processes (torchrun) each reads and holds a shard of the weights (`models/fsdp.py`).
    Raises UserError when there is no such folder or hub id; when a file is missing, damaged or not what its name says;
    when the weights are not exactly those of the configuration, or not finite; when the model needs custom code;
    when the adapter does not fit its base; or when the delimiters are not two different texts or not those of the chat
    template.
    """
    check_delimiters(tuple(delimiters))
    tokenizer = tokenizer_of(source, apply_chat_template=apply_chat_template)
    folder = folder_of(source, weights=True)
    if sharded and (folder / ADAPTER).exists():
        raise UserError(f"{source}: an adapter cannot be merged into shards: merge it and save, or use distributed=ddp")
    model, _ = _base_model(folder, source, dtype, shards(device) if sharded else None)
    if (folder / ADAPTER).exists():
        with refused(source):
            model = adapter.merged(model, folder, source)
    _make_ready(model, source, device, dtype)
    lm = LM(model, tokenizer, source, tuple(delimiters))
    lm.chat  # noqa: B018  # an unusable chat template is refused before anything is measured
    return lm


def load_adapted(
    source: str,
    lora: Lora,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    apply_chat_template: bool = True,
    delimiters: Sequence[str] = (),
) -> Adapted:
    """As `load`, with a LoRA adapter to be trained and all other weights frozen.

    The adapter is new, or that of ``source`` if it has one, which then is not merged.  The base has ``dtype``, the
    adapter is in float32.  Raises UserError as `load` does, without the package peft, and if the settings do not fit
    the model or its adapter.
    """
    require_peft()
    check_delimiters(tuple(delimiters))
    tokenizer = tokenizer_of(source, apply_chat_template=apply_chat_template)
    folder = folder_of(source, weights=True)
    continued = (folder / ADAPTER).exists()
    model, base = _base_model(folder, source, dtype)
    named = str(read_json(folder / ADAPTER)["base_model_name_or_path"]) if continued else source
    stated = named if base.parent.name == SNAPSHOTS else os.path.abspath(base)
    with refused(source):
        if continued:
            wrapped = continued_adapter(model, folder, source, lora, stated)
        else:
            wrapped = new_adapter(model, lora, stated)
    _make_ready(model, source, device, dtype)
    start = START if continued else BASE
    lm = Adapted(model, tokenizer, source, tuple(delimiters), wrapped=wrapped, base=base, start=start)
    lm.chat  # noqa: B018  # as in load
    return lm


def load_two(
    one: str, other: str, *, device: str = "cpu", dtype: str = "float32", first: LM | None = None
) -> tuple[LM, LM]:
    """Two models that are not trained, of which ``first`` is ``one`` if it is loaded already.

    Two adapters of one base are not merged, so that the base is in memory once.  Raises UserError as `load` does.
    """
    folders = [folder_of(source, weights=True) for source in (one, other)]
    for folder, source in zip(folders, (one, other), strict=True):
        check_files(folder, source)
    if first is None and share_a_base(folders, (one, other)):
        model, base = _base_model(folders[0], one, dtype)
        with refused(one):
            wrapped = adapter.attached(model, folders[0], one, name=START)
        _make_ready(model, one, device, dtype)
        first = Adapted(model, tokenizer_of(one), one, wrapped=wrapped, base=base, adapter=START)
    first = first or load(one, device=device, dtype=dtype)
    with refused(other):
        second = beside(first, folders[1], other)
    if second is None:
        return first, load(other, device=device, dtype=dtype)
    return first, replace(second, tokenizer=tokenizer_of(other))


def load_without_weights(source: str, *, apply_chat_template: bool = True, delimiters: Sequence[str] = ()) -> LM:
    """As `load`, with a model that has shapes but no weights: for questions about tokenizer and chat template."""
    tokenizer = tokenizer_of(source, apply_chat_template=apply_chat_template)
    folder = folder_of(source, weights=False)
    base = adapter.base_of(folder, source) if (folder / ADAPTER).exists() else folder
    check_config(base, source)
    if local_folder(source) == base:  # of a model on the hub the weights are not fetched yet
        check_weights_are_there(base, source)
    held = held_weights(base) if weight_files(base) else None
    if held is not None:
        check_layers(base, held)
    model = plan_of(base, config_of(base))
    if held is not None:
        refuse_unlike(source, held, shapes_of(model))
    if base != folder:
        adapter.refuse_other_base(folder, base, shapes_of(model), source)
    model.generation_config = generation_config_of(base) or model.generation_config
    return LM(model, tokenizer, source, tuple(delimiters))


def _base_model(folder: Path, source: str, dtype: str, distributed: Any = None) -> tuple[Any, Path]:
    """The model of a folder, or that of the base of its adapter; and the folder that holds its weights."""
    if not (folder / ADAPTER).exists():
        return _whole_model(folder, source, dtype, distributed), folder
    base = adapter.base_of(folder, source)
    check_files(base, str(base))
    verify_base(folder, base, source)
    return _whole_model(base, str(base), dtype), base


def _whole_model(folder: Path, source: str, dtype: str, distributed: Any = None) -> Any:
    """The model of a folder, whose weights must be exactly those of its configuration; ``distributed``: `shards`."""
    from transformers import AutoModelForCausalLM

    check_weights_are_there(folder, source)
    check_config(folder, source)
    held = held_weights(folder)
    check_layers(folder, held)
    config = config_of(folder)
    generation_config_of(folder)
    wanted = shapes_of(plan_of(folder, config))
    refuse_unlike(source, held, wanted)
    verify_checksums(folder, weights=True)
    with refused(source), BUILDING:
        model, found = cast("Any", AutoModelForCausalLM).from_pretrained(
            str(folder),
            config=config,
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            distributed_config=distributed,
        )
    refuse_differences(source, type(model).__name__, held, wanted, found)
    return model


def _make_ready(model: Any, source: str, device: str, dtype: str) -> None:
    torch.backends.cudnn.deterministic = True  # the convolutions of models with state-space layers
    torch.backends.cudnn.benchmark = False
    _refuse_broken(model, source, dtype)
    _make_savable(model, source)
    if is_sharded(model):
        model.config.distributed_config = None  # with which save_pretrained would gather weights, a tied head twice
    else:
        model.to(device)
    model.eval()
    heed_in_layers(model)


@torch.no_grad()
def _refuse_broken(model: Any, source: str, dtype: str) -> None:
    """UserError for weights or logits that no training leaves, and for a model that is not causal."""
    zeros, whole = list[str](), dict[str, bool]()  # layers, and whether all matrices in them are 0
    for name, weight in model.named_parameters():
        part = shard_of(weight)
        low, high = map(float, part.aminmax()) if part.numel() else (0.0, 1.0)  # one pass; for NaN both are NaN
        if not isfinite(low) or not isfinite(high):
            raise UserError(
                f"{source}: weight {name} is not finite in {dtype} (NaN or infinity); take an earlier checkpoint"
            )
        if max(-low, high) > LARGEST:
            raise UserError(f"{source}: weight {name} has a value of {max(-low, high):.1e}: damaged; {AGAIN}")
        if weight.dim() < 2 or "lora_B" in name:  # with which an adapter begins
            continue
        zeros += [name] * (low == high == 0)
        if layer := LAYER.match(name):
            whole[layer[0]] = whole.get(layer[0], True) and low == high == 0
    if empty := next((layer for layer, zero in whole.items() if zero), ""):
        raise UserError(f"{source}: all weights of {empty} are 0: its file was not copied or fetched whole; {AGAIN}")
    if zeros:
        warn(
            f"{source}: warning: {len(zeros)} matrices of weights are 0 throughout (first: {zeros[0]}); "
            f"if that is not meant, {AGAIN}"
        )
    if any(name.endswith("inv_freq") and not buffer.isfinite().all() for name, buffer in model.named_buffers()):
        raise UserError(
            f"{source}: the frequencies of its rotary positions are not finite; correct rope_theta or its other rope "
            f"settings in {CONFIG}, as in the base model"
        )
    with refused(source):
        last = min(2, len(model.get_input_embeddings().weight) - 1)
        ids = torch.tensor([[0, 0], [0, last]], device=shard_of(model.get_input_embeddings().weight).device)
        logits = model(input_ids=ids, use_cache=False).logits
    reshard(model)
    if not logits.isfinite().all():
        raise UserError(
            f"{source}: its weights are finite in {dtype}, but its logits are not; take an earlier checkpoint"
        )
    if logits.shape[-1] > 1 and bool((logits == logits[..., :1]).all()):  # those of padding alone may be
        raise UserError(f"{source}: all its logits are equal, as of weights that were not copied whole; {AGAIN}")
    first, other = logits[:, 0].float()
    rounding = 1e-3 if dtype == "float32" else 0.02  # a mixture of experts may add in another order
    if (first - other).norm() > rounding * (first - first.mean()).norm():
        raise UserError(f"{source}: not a causal language model: this {type(model).__name__} attends to later tokens")


def _make_savable(model: Any, source: str) -> None:
    """Repair settings that Transformers loads but refuses to save, before training instead of at its first save."""
    model.config.output_attentions = model.config.output_hidden_states = False  # they are only more outputs
    generation = model.generation_config
    try:
        generation.validate(strict=True)
    except ValueError:
        generation.do_sample = True  # sampling settings without it are what it refuses of Llama 2
        said = "sets how to sample, but not do_sample=true, which is added when the model is saved"
        try:
            generation.validate(strict=True)
        except ValueError as error:
            ids = {key: getattr(generation, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
            model.generation_config = type(generation)(**ids)
            said = f"cannot be saved, so only its token ids are kept: {line_of(error)}"
        note(f"{source}: {GENERATION} {said}")
    with refused(source, "its settings could not be saved after training"), TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)


def save(lm: LM, folder: Path, card: str, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write a Hugging Face folder, or that of an adapter in PEFT's format, with its model card and checksums into an
    existing, temporary folder.

    ``weights`` are those of a sharded model, gathered by `whole_weights`.
    """
    if isinstance(lm, Adapted):
        lm.save(folder)
        write_base_checksum(folder, lm.base)
    else:
        lm.model.save_pretrained(folder, state_dict=weights)
    lm.tokenizer.save_pretrained(folder)
    (folder / CARD).write_text(card, encoding="utf-8")
    write_checksums(folder)
