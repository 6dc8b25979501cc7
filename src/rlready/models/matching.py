"""Whether the weights in a checkpoint's files are those of the model that its configuration describes.

Transformers initialises missing weights randomly and ignores unused ones; here both are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import TypedDict

from rlready.core.errors import UserError
from rlready.models.weights import FLOATS, Held

WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
VALUE_HEADS = re.compile(r"(?:^|\.)(?:score|v_head|value_head|classifier|regression_head|reward_head)\.")
QUANTISED = (
    "its weights are quantised, though config.json does not say how; name the checkpoint it was made from, or "
    "dequantise it and save it in bfloat16"
)
# parts of names of weights in other formats
OTHER = {
    ".qweight.": QUANTISED,
    ".weight_packed.": QUANTISED,
    ".quant_state.": QUANTISED,
    ".SCB.": QUANTISED,
    ".lora_A.": "a LoRA adapter that is not merged; save the model after merge_and_unload(), or the adapter alone",
}


class LoadingInfo(TypedDict):
    """What ``from_pretrained(output_loading_info=True)`` reports of the weights it loaded."""

    missing_keys: set[str]
    unexpected_keys: set[str]
    mismatched_keys: set[tuple[str, tuple[int, ...], tuple[int, ...]]]  # (name, shape in the file, of the model)


Shapes = Mapping[str, tuple[int, ...]]  # of the model's parameters, by name


def refuse_unlike(source: str, held: Mapping[str, Held], wanted: Shapes) -> None:
    """UserError, before anything is allocated, for weights that cannot be the model's."""
    for ending, cause in OTHER.items():
        name = next((name for name in sorted(held.keys() - wanted.keys()) if ending in f"{name}."), None)
        if name:
            raise UserError(f"{source}: {name} in its file of weights: {cause}")
    empty = sorted(name for name, each in held.items() if not each.size and name in wanted and 0 not in wanted[name])
    if empty:
        raise UserError(
            f"{source}: {len(empty)} weights are empty (first: {empty[0]}), as DeepSpeed ZeRO-3 leaves them: save "
            "again with stage3_gather_16bit_weights_on_model_save, or convert its shards with zero_to_fp32.py"
        )
    coded = sorted(name for name in held.keys() & wanted.keys() if held[name].dtype not in FLOATS)
    if coded:
        raise UserError(
            f"{source}: weight {coded[0]} is stored as {held[coded[0]].dtype}: it is quantised or not a weight; name "
            "the checkpoint it was made from, or dequantise it and save it in bfloat16"
        )
    numbers, needed = sum(each.size for each in held.values()), sum(prod(s) for s in wanted.values())
    if needed > 2 * numbers:  # smaller differences are reported after loading, when Transformers' renames are known
        other = {name: (held[name].shape, s) for name, s in wanted.items() if name in held and held[name].shape != s}
        if other:
            raise UserError(_sizes(source, other))
        missing = sorted(wanted.keys() - held.keys())
        raise UserError(_missing(source, missing, held, wanted))


def refuse_differences(source: str, model: str, held: Mapping[str, Held], wanted: Shapes, found: LoadingInfo) -> None:
    """UserError for weights of the model that were not loaded, and for others that were not used."""
    missing = sorted(found["missing_keys"])
    unused = sorted(name for name in found["unexpected_keys"] if not (name in held and _is_mask(name, held[name])))
    head = next(filter(VALUE_HEADS.search, unused), None)
    if head:
        raise UserError(
            f"{source}: {head} is the head of a reward or value model, not of a causal language model; name the model "
            "it was trained from"
        )
    if missing:
        raise UserError(_missing(source, missing, held, wanted))
    if found["mismatched_keys"]:
        raise UserError(_sizes(source, {name: (tuple(a), tuple(b)) for name, a, b in found["mismatched_keys"]}))
    if unused:
        raise UserError(
            f"{source}: {len(unused)} weights of the checkpoint are not part of {model} (first: {unused[0]})"
        )


def _is_mask(name: str, tensor: Held) -> bool:
    """Whether a tensor is a causal mask, which older models (GPT-Neo, GPT-J) stored among their weights."""
    if name.endswith((".attn.bias", ".attention.bias")):
        return len(tensor.shape) == 4 and tensor.shape[:2] == (1, 1)
    return name.endswith((".attn.masked_bias", ".attention.masked_bias")) and tensor.size == 1


def _missing(source: str, names: Sequence[str], held: Mapping[str, Held], wanted: Shapes) -> str:
    said = f"{source}: {len(names)} weights of the model are not in the checkpoint (first: {names[0]})"
    for key in sorted(held.keys() - wanted.keys()):
        rest, wrapper = WRAPPERS.sub("", key), WRAPPERS.search(key)
        if wrapper and rest in wanted:
            return f"{said}; its names contain {wrapper[0]!r}, left by a wrapper: remove it and save again"
        while "." in rest:
            rest = rest.partition(".")[2]
            if rest in wanted:
                prefix = key[: -len(rest)]
                return f"{said}; its names begin with {prefix!r} ({key}): remove it and save again"
    return f"{said}; save the whole model with save_pretrained"


def _sizes(source: str, sizes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> str:
    name = min(sizes)
    return (
        f"{source}: {len(sizes)} weights differ in size from config.json (first: {name}, "
        f"{list(sizes[name][0])} in the file, {list(sizes[name][1])} by config.json)"
    )
