"""Check the files of a checkpoint folder before any library reads them, so that errors name the file.

Contents are untrusted: sizes are compared with the weights before anything is allocated, and code in the folder is
never run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.result import RESULT
from rlready.models.checksums import verify_checksums
from rlready.models.one_line import one_line
from rlready.models.tokenizer_file import check_tokenizer_file
from rlready.models.weights import AGAIN, PICKLE, SAFE, Held, regular, weight_files
from rlready.runs.checkpoint_names import numbered
from rlready.runs.content import ADAPTER, CONFIG, INDEX
from rlready.runs.files import read_json
from rlready.runs.record import RECORD
from rlready.runs.results import load_result

GENERATION = "generation_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
WEIGHTS = (f"{SAFE}*", f"{PICKLE}*", *ADAPTER_WEIGHTS)  # with the names of their indices
EMBEDDED_FOLDER = Path(__file__).parents[1] / "assets" / "embedded"  # the model shipped inside the package
TOKENIZER = "tokenizer.json"
VOCABULARIES = (TOKENIZER, "vocab*", "*.tiktoken", "tekken.json")  # a tokenizer needs one of them
OBJECTS = (CONFIG, ADAPTER, GENERATION, "tokenizer_config.json")
READ = (".json", ".jinja", ".txt", ".model", ".safetensors", ".bin")
COUNTS = re.compile(r"(num|n)_(\w+_)?(layers?|heads?|experts?|labels)")
MOST = 4096  # of what a configuration counts: twice what any model has, and little enough to be built
LAYERS = re.compile(r"(num|n)_(hidden_|decoder_)?layers?")
NUM_HEADS = re.compile(r"(\w+_)?(num|n)_(\w+_)?heads?|\w*attention_heads")
HEADS = re.compile(r"For(Sequence|Token)Classification|ForQuestionAnswering|RewardModel|ValueHead|ForMaskedLM")
EOS = "eos_token_id"
# where trainers, and the cache of the hub, have checkpoints in a folder
CHECKPOINTS_IN = ("*/", "checkpoints/*/", "weights/*/", "snapshots/*/", "*/huggingface/", "*/actor/huggingface/")
NAMED = 4  # checkpoints of a folder that are listed in an error
VERL = "verl's shards: python -m verl.model_merger merge --local_dir {parent} --target_dir OUT --backend"
FSDP = "FSDP's shards: accelerate merge-weights"
DEEPSPEED = "DeepSpeed's shards: python zero_to_fp32.py"
# what other trainers leave in place of a model's weights, and the program that makes a checkpoint of it
FOREIGN = {
    "model_world_size_*_rank_*.pt": f"{VERL} fsdp",
    "actor/model_world_size_*_rank_*.pt": f"{VERL} fsdp",
    "dist_ckpt": f"{VERL} megatron",
    "actor/dist_ckpt": f"{VERL} megatron",
    "pytorch_model_fsdp_*": f"{FSDP} {{match}} OUT",
    "*.distcp": "torch's shards: accelerate merge-weights {parent} OUT if FSDP's, else what their trainer exports",
    "global_step*/*mp_rank_*": f"{DEEPSPEED} {{folder}} OUT",
    "zero_to_fp32.py": f"{DEEPSPEED} {{folder}} OUT",
    "mp_rank_*_model_states.pt": f"{DEEPSPEED} {{folder}}/.. OUT",
    "mp_rank_*": "Megatron's shards: convert them to a Hugging Face checkpoint with Megatron Bridge",
    "model-*-of-*.safetensors": f"weights in several files without their index: copy {{folder}}/{SAFE}{INDEX}, too",
    "ft-model-*": "torchtune's weights: rename {match} to model.safetensors, or several to the names in their index",
    "hf_model_*.pt": "torchtune's weights in a pickle: set safe_serialization in its checkpointer, and save again",
    "consolidated*": "weights in the format of Meta or Mistral: name the checkpoint in that of Hugging Face",
    "*.gguf": "GGUF, a format for inference: name the checkpoint that it was made from",
}


def check_files(folder: Path, source: str) -> None:
    """UserError unless a folder holds a model or an adapter with a tokenizer, in files that can be read."""
    if not folder.is_dir():
        raise UserError(f"{source}: a file, not a checkpoint folder")
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None
    for name in names:
        if name.endswith(READ):
            regular(folder / name)
    _refuse_two_models(folder)
    if not (folder / ADAPTER).exists() and not (folder / CONFIG).exists():
        raise UserError(f"{source}: not a Hugging Face checkpoint folder, {CONFIG} is missing{_instead(folder)}")
    for name in OBJECTS:
        if (folder / name).exists():
            _check_object(folder / name)
    if not (folder / ADAPTER).exists() and not isinstance(read_json(folder / CONFIG).get("model_type"), str):
        raise UserError(f"{folder / CONFIG}: no model_type, so the kind of model is not known; {AGAIN}")
    if (folder / CONFIG).exists():
        _check_counts(folder / CONFIG)
    for path in folder.glob("*.jinja"):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8 text; {AGAIN}") from None
    check_tokenizer_file(folder / TOKENIZER)
    verify_checksums(folder, weights=False)


def _refuse_two_models(folder: Path) -> None:
    """UserError for a folder with a model and an adapter, one of which would be left out."""
    adapter = next((name for name in (ADAPTER, *ADAPTER_WEIGHTS) if (folder / name).exists()), None)
    whole = weight_files(folder) if adapter else []
    if whole:
        raise UserError(
            f"{folder}: holds both a model ({whole[0].name}) and an adapter ({adapter}); move the adapter into a "
            "folder of its own, or delete the one that is not meant"
        )


def _check_object(path: Path) -> None:
    try:
        content = read_json(path)
    except UserError as error:
        raise UserError(f"{error}; {AGAIN}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must be a JSON object; {AGAIN}")


def _check_counts(path: Path) -> None:
    """UserError for more layers, heads, experts or labels than can be built: each is an object even without weights."""
    config = read_json(path)
    if config.get("configuration_files"):
        raise UserError(f"{path}: configuration_files names other files to be read in its place; remove that key")
    for part in (config, *(inner for inner in config.values() if isinstance(inner, dict))):
        for key, value in part.items():
            if COUNTS.fullmatch(key) and isinstance(value, int | float) and value > MOST:
                raise UserError(f"{path}: {key} is {value}, more than the {MOST} that any model has; correct it")


def has_vocabulary(folder: Path) -> bool:
    """Whether a folder holds the vocabulary of a tokenizer, not only its settings."""
    return any(True for pattern in VOCABULARIES for _ in folder.glob(pattern))


def check_config(folder: Path, source: str) -> None:
    """UserError unless the configuration is that of a causal language model in floating-point weights."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    place, config = folder / CONFIG, read_json(folder / CONFIG)
    kind = one_line(config["model_type"])
    if kind not in CONFIG_MAPPING:
        if config.get("auto_map"):
            raise UserError(f"{place}: model_type {kind!r} needs custom code (auto_map), which is never run")
        raise UserError(f"{place}: model_type {kind!r} is not known to this version of Transformers; upgrade it")
    architectures = config.get("architectures")
    head = next((a for a in architectures if HEADS.search(str(a))), None) if isinstance(architectures, list) else None
    if head:
        raise UserError(f"{source}: a {one_line(head)}, not a causal language model; name the one it was trained from")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(f"{source}: Transformers has no causal language model of model_type {kind!r}")
    quantised = config.get("quantization_config") or config.get("compression_config")
    if quantised:
        method = one_line(quantised.get("quant_method", "method unknown")) if isinstance(quantised, dict) else "?"
        raise UserError(
            f"{source}: its weights are quantised ({method}); name the checkpoint they were made from, or dequantise "
            "it and save it in bfloat16"
        )
    for path in (place, folder / GENERATION):
        ends = read_json(path).get(EOS) if path.exists() else None
        if not all(type(end) is int for end in (ends if isinstance(ends, list) else [] if ends is None else [ends])):
            raise UserError(f"{path}: {EOS} must be a token id or a list of them, not {str(ends)[:40]!r}")


def check_layers(folder: Path, held: dict[str, Held]) -> None:
    """UserError if the configuration has more layers than the files have weights, before they are built."""
    config = read_json(folder / CONFIG)
    for part in (config, config.get("text_config")):
        for key, value in part.items() if isinstance(part, dict) else ():
            if LAYERS.fullmatch(key) and isinstance(value, int | float) and not 0 <= value <= len(held):
                raise UserError(f"{folder / CONFIG}: {key} is {value}, but its files hold {len(held)} weights")


def check_heads(folder: Path, config: object) -> None:
    """UserError if a number of attention heads was left to its default: no shape of a weight shows that it is wrong."""
    stated = any(NUM_HEADS.fullmatch(key) and "key_value" not in key for key in read_json(folder / CONFIG))
    if hasattr(config, "num_attention_heads") and not getattr(config, "sub_configs", None) and not stated:
        raise UserError(f"{folder / CONFIG}: num_attention_heads is missing; take the file from the base model")


def check_weights_are_there(folder: Path, source: str) -> None:
    """UserError for a folder without weights, naming what it holds instead."""
    if not weight_files(folder):
        raise UserError(f"{source}: the folder has no weights (model.safetensors){_instead(folder)}")


def _instead(folder: Path) -> str:
    """The end of an error line: what to do with folders and files of other formats."""
    for inner in ("huggingface", "actor/huggingface", "hf", "policy/weights", "lora_adapter", "actor/lora_adapter"):
        if (
            weight_files(folder / inner)
            if (folder / inner / CONFIG).is_file()
            else (folder / inner / ADAPTER).is_file()
        ):
            return f"; name {folder / inner}"
    for at in (folder, folder.parent) if folder.name == "huggingface" else (folder,):
        for pattern, what in FOREIGN.items():
            match = next(at.glob(pattern), None)
            if match:
                return f"; it holds {what.format(match=match, parent=match.parent, folder=at)}"
    places = [at + name for at in CHECKPOINTS_IN for name in (CONFIG, ADAPTER)]
    inside = [at for at in {path.parent for place in places for path in folder.glob(place)} if _holds_weights(at)]
    inside = inside or [
        at for at in folder.glob("*/") if numbered(at.name)
    ]  # of another format, with a line of its own
    inside.sort(key=lambda path: (found.number if (found := numbered(str(path))) else -1, path))
    named = ", ".join(map(str, inside)) if len(inside) <= NAMED else f"{inside[0]} to {inside[-1]}"
    holds = f"; it holds {len(inside)} checkpoint{'s' * (len(inside) > 1)}: {named}" if inside else ""
    picked = load_result(folder).picked if (folder / RESULT).is_file() and (folder / RECORD).is_file() else ""
    return f"{holds}; the result of this run picks {picked}" if picked else holds


def _holds_weights(folder: Path) -> bool:
    """Whether a folder has weights of any format; one with a tokenizer may have a configuration, too."""
    return any(True for pattern in (*WEIGHTS, *FOREIGN) for _ in folder.glob(pattern))
