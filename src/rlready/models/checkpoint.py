"""Checkpoint folders and hub ids: load a causal language model from one, and save one.

A folder is a Hugging Face checkpoint of any trainer, or holds a LoRA adapter, which is merged into its base.  It is
verified: a model whose weights are not exactly those that were trained is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from logging import CRITICAL, WARNING, Handler, LogRecord, getLogger
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import torch

from rlready.core.errors import UserError
from rlready.core.progress import note, warn, warn_once
from rlready.core.settings import check_delimiters
from rlready.models import adapter
from rlready.models.checkpoint_files import (
    ADAPTER,
    CONFIG,
    EMBEDDED_FOLDER,
    GENERATION,
    TOKENIZER,
    check_config,
    check_files,
    check_heads,
    check_layers,
    check_weights_are_there,
    has_vocabulary,
)
from rlready.models.checksums import CARD, verify_checksums, write_checksums
from rlready.models.fsdp import is_sharded, reshard, shard_of, shards
from rlready.models.heed_in_layers import heed_in_layers
from rlready.models.hub import fetched
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
from rlready.models.one_line import one_line
from rlready.models.tokenizer_file import switch_off_sampling
from rlready.models.weights import AGAIN, held_weights, weight_files
from rlready.runs.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EMBEDDED = "embedded"
SNAPSHOTS = "snapshots"  # the folder of the hub's cache in which models are
LARGEST = 1e12  # no training gives such a weight; a flipped bit of the exponent gives more
SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")
ADVICE = re.compile(r"\b\w+ ?= ?(True|False|None)\b")  # of a library, on arguments that no command has
SPACED = "def f(x):\n    return x + 1"  # a text whose spaces a tokenizer may lose


def load(
    source: str, *, device: str = "cpu", dtype: str = "float32", delimiters: Sequence[str] = (), sharded: bool = False
) -> LM:
    """A model from ``embedded``, a Hugging Face folder or a hub id, ready for evaluation and training.

    A folder that holds a LoRA adapter is its base with the adapter merged into it.
    ``delimiters``: the texts that open and close a thought; by default those of the template or the vocabulary.
    ``sharded``: of several processes (torchrun) each reads and holds a shard of the weights (`models/fsdp.py`).
    Raises UserError when there is no such folder or hub id; when a file is missing, damaged or not what its name says;
    when the weights are not exactly those of the configuration, or not finite; when the model needs custom code;
    when the adapter does not fit its base; or when the delimiters are not two different texts or not those of the chat
    template.
    """
    check_delimiters(tuple(delimiters))
    tokenizer = tokenizer_of(source)
    folder = local_folder(source) or fetched(source, weights=True)
    if sharded and (folder / ADAPTER).exists():
        raise UserError(f"{source}: an adapter cannot be merged into shards: merge it and save, or use distributed=ddp")
    model, _ = _base_model(folder, source, dtype, shards(device) if sharded else None)
    if (folder / ADAPTER).exists():
        with _refused(source):
            model = adapter.merged(model, folder, source)
    _make_ready(model, source, device, dtype)
    lm = LM(model, tokenizer, source, (delimiters[0], delimiters[1]) if delimiters else None)
    lm.chat  # noqa: B018  # an unusable chat template is refused before anything is measured
    return lm


def load_adapted(
    source: str, lora: Lora, *, device: str = "cpu", dtype: str = "float32", delimiters: Sequence[str] = ()
) -> Adapted:
    """As `load`, with a LoRA adapter to be trained and all other weights frozen.

    The adapter is new, or that of ``source`` if it has one, which then is not merged.  The base has ``dtype``, the
    adapter is in float32.  Raises UserError as `load` does, without the package peft, and if the settings do not fit
    the model or its adapter.
    """
    require_peft()
    check_delimiters(tuple(delimiters))
    tokenizer = tokenizer_of(source)
    folder = local_folder(source) or fetched(source, weights=True)
    continued = (folder / ADAPTER).exists()
    model, base = _base_model(folder, source, dtype)
    named = str(read_json(folder / ADAPTER)["base_model_name_or_path"]) if continued else source
    stated = named if base.parent.name == SNAPSHOTS else os.path.abspath(base)
    with _refused(source):
        if continued:
            wrapped = continued_adapter(model, folder, source, lora, stated)
        else:
            wrapped = new_adapter(model, lora, stated)
    _make_ready(model, source, device, dtype)
    given = (delimiters[0], delimiters[1]) if delimiters else None
    lm = Adapted(model, tokenizer, source, given, wrapped=wrapped, base=base, start=START if continued else BASE)
    lm.chat  # noqa: B018  # as in load
    return lm


def load_two(
    one: str, other: str, *, device: str = "cpu", dtype: str = "float32", first: LM | None = None
) -> tuple[LM, LM]:
    """Two models that are not trained, of which ``first`` is ``one`` if it is loaded already.

    Two adapters of one base are not merged, so that the base is in memory once.  Raises UserError as `load` does.
    """
    folders = [local_folder(source) or fetched(source, weights=True) for source in (one, other)]
    for folder, source in zip(folders, (one, other), strict=True):
        check_files(folder, source)
    if first is None and share_a_base(folders, (one, other)):
        model, base = _base_model(folders[0], one, dtype)
        with _refused(one):
            wrapped = adapter.attached(model, folders[0], one, name=START)
        _make_ready(model, one, device, dtype)
        first = Adapted(model, tokenizer_of(one), one, wrapped=wrapped, base=base, adapter=START)
    first = first or load(one, device=device, dtype=dtype)
    with _refused(other):
        second = beside(first, folders[1], other)
    if second is None:
        return first, load(other, device=device, dtype=dtype)
    return first, replace(second, tokenizer=tokenizer_of(other))


def _base_model(folder: Path, source: str, dtype: str, distributed: Any = None) -> tuple[Any, Path]:
    """The model of a folder, or that of the base of its adapter; and the folder that holds its weights."""
    if not (folder / ADAPTER).exists():
        return _whole_model(folder, source, dtype, distributed), folder
    base = adapter.base_of(folder, source)
    check_files(base, str(base))
    return _whole_model(base, str(base), dtype), base


def _make_ready(model: Any, source: str, device: str, dtype: str) -> None:
    _refuse_broken(model, source, dtype)
    _make_savable(model, source)
    if is_sharded(model):
        model.config.distributed_config = None  # with which save_pretrained would gather weights, a tied head twice
    else:
        model.to(device)
    model.eval()
    heed_in_layers(model)


def load_without_weights(source: str, *, delimiters: Sequence[str] = ()) -> LM:
    """As `load`, with a model that has shapes but no weights: for questions about tokenizer and chat template."""
    tokenizer = tokenizer_of(source)
    folder = local_folder(source) or fetched(source, weights=False)
    base = adapter.base_of(folder, source) if (folder / ADAPTER).exists() else folder
    check_config(base, source)
    held = held_weights(base) if weight_files(base) else {}  # of a model on the hub they are not fetched yet
    check_layers(base, held)
    model = _plan(base, _config(base))
    if held:
        refuse_unlike(source, held, _shapes(model))
    model.generation_config = _generation_config(base) or model.generation_config
    return LM(model, tokenizer, source, (delimiters[0], delimiters[1]) if delimiters else None)


def tokenizer_of(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer that `load` takes, refused as there, without reading weights.

    Of an adapter that has none, that of its base.
    """
    from tokenizers import Tokenizer

    folder = local_folder(source) or fetched(source, weights=False)
    check_files(folder, source)
    if (folder / ADAPTER).exists() and not has_vocabulary(folder):
        folder = adapter.base_of(folder, source)
        check_files(folder, str(folder))
    if not has_vocabulary(folder):
        raise UserError(
            f"{source}: the folder has no tokenizer ({TOKENIZER}); save it there with tokenizer.save_pretrained"
        )
    try:
        with _refused(source, "its tokenizer cannot be loaded", "save it again with tokenizer.save_pretrained"):
            tokenizer = _tokenizer(folder)
    except UserError:  # its message is about the last attempt, not about the cause
        if (folder / TOKENIZER).exists():
            with _refused(str(folder / TOKENIZER), "damaged, or not a tokenizer", AGAIN):
                Tokenizer.from_file(str(folder / TOKENIZER))
        if not (folder / ADAPTER).exists():
            _config(folder)
        raise
    if not vocabulary_size(tokenizer):
        raise UserError(f"{source}: its tokenizer has no tokens")
    switch_off_sampling(tokenizer, source)
    return tokenizer


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, read from tokenizer.json directly if the class it names would lose spaces.

    Transformers 5 builds every LlamaTokenizer like that of Llama 2, even if the file (DeepSeek's) is byte-level.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    def keeps_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
        ids = tokenizer.encode(SPACED, add_special_tokens=False)
        text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        return list(filter(str.isspace, text)) == list(filter(str.isspace, SPACED))

    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    if not keeps_spaces(tokenizer) and (folder / TOKENIZER).exists():
        plain = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
        return plain if keeps_spaces(plain) else tokenizer
    return tokenizer


def _whole_model(folder: Path, source: str, dtype: str, distributed: Any = None) -> Any:
    """The model of a folder, whose weights must be exactly those of its configuration; ``distributed``: `shards`."""
    from transformers import AutoModelForCausalLM

    check_weights_are_there(folder, source)
    check_config(folder, source)
    held = held_weights(folder)
    check_layers(folder, held)
    config = _config(folder)
    _generation_config(folder)
    wanted = _shapes(_plan(folder, config))
    refuse_unlike(source, held, wanted)
    verify_checksums(folder, weights=True)
    with _refused(source):
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


def _plan(folder: Path, config: Any) -> Any:
    """The model that a configuration describes, with shapes but no weights."""
    from transformers import AutoModelForCausalLM

    with _refused(str(folder / CONFIG), "describes no causal language model", AGAIN), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def _generation_config(folder: Path) -> Any:
    """The settings of sampling that stand beside a model; None where it has none."""
    from transformers import GenerationConfig

    if not (folder / GENERATION).exists():
        return None
    with _refused(str(folder / GENERATION), "cannot be used", "correct or delete it"):
        return GenerationConfig.from_pretrained(str(folder), local_files_only=True)


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    with _refused(str(folder / CONFIG), "describes no model", AGAIN), _warnings_noted(folder / CONFIG):
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    check_heads(folder, config)
    config.return_dict = True  # settings of the trainer's call, not of the model
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    config._attn_implementation = "eager" if capped else None  # the default attention would leave out the cap
    return config


@torch.no_grad()
def _refuse_broken(model: Any, source: str, dtype: str) -> None:
    """UserError for weights or logits that no training leaves, and for a model that is not causal."""
    zeros = list[str]()
    for name, weight in model.named_parameters():
        part = shard_of(weight)
        low, high = map(float, part.aminmax()) if part.numel() else (0.0, 1.0)  # one pass; for NaN both are NaN
        if not isfinite(low) or not isfinite(high):
            raise UserError(
                f"{source}: weight {name} is not finite in {dtype} (NaN or infinity); take an earlier checkpoint"
            )
        if max(-low, high) > LARGEST:
            raise UserError(f"{source}: weight {name} has a value of {max(-low, high):.1e}: damaged; {AGAIN}")
        if low == high == 0 and weight.dim() > 1 and "lora_B" not in name:  # with which an adapter begins
            zeros.append(name)
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
    with _refused(source):
        last = min(2, len(model.get_input_embeddings().weight) - 1)
        ids = torch.tensor([[0, 0], [0, last]], device=shard_of(model.get_input_embeddings().weight).device)
        logits = model(input_ids=ids, use_cache=False).logits
    reshard(model)
    if not logits.isfinite().all():
        raise UserError(
            f"{source}: its weights are finite in {dtype}, but its logits are not; take an earlier checkpoint"
        )
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
            said = f"cannot be saved, so only its token ids are kept: {_line(error)}"
        note(f"{source}: {GENERATION} {said}")
    with _refused(source, "its settings could not be saved after training"), TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)


@contextmanager
def _refused(source: str, what: str = "cannot be loaded as a causal language model", to_do: str = "") -> Iterator[None]:
    """Turn errors of Transformers into a UserError of one line, and silence its warnings and progress bars."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()  # the progress lines of this package say more
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except UserError:
        raise
    except BaseException as error:  # any: a file's content decides what goes wrong where
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # one of Rust, in tokenizers
            raise
        if "trust_remote_code" in str(error):
            to_do = ""
        raise UserError(f"{source}: {what}: {_line(error)}" + (f"; {to_do}" if to_do else "")) from error
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def _warnings_noted(file: Path) -> Iterator[None]:
    """Pass on what Transformers warns of in a file, such as settings of rotary positions that it does not use."""

    class Note(Handler):
        def emit(self, record: LogRecord) -> None:
            warn_once(f"{file}: warning: {one_line(record.getMessage())}")

    logger = getLogger("transformers")
    handlers, level = logger.handlers, logger.level
    logger.handlers = [Note()]
    logger.setLevel(WARNING)
    try:
        yield
    finally:
        logger.handlers = handlers
        logger.setLevel(level)


def _line(error: BaseException) -> str:
    if "trust_remote_code" in str(error):
        return "it needs custom code (auto_map), which is never run"
    said = SENTENCE.split(" ".join(str(error)[:4000].split()))
    text = one_line(" ".join(each for each in said if not ADVICE.search(each)), 300) or "no reason given"
    return text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"


def local_folder(source: str) -> Path | None:
    """The local folder of a model; None for a hub id."""
    path = EMBEDDED_FOLDER if source == EMBEDDED else Path(source)
    return path if os.path.exists(path) else None


def vocabulary_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the highest token id: a vocabulary may have gaps."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all tokens with their ids: equal for two models that read text as the same tokens."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def save(lm: LM, folder: Path, card: str, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write a Hugging Face folder, or that of an adapter in PEFT's format, with its model card and checksums into an
    existing, temporary folder.

    ``weights`` are those of a sharded model, gathered by `whole_weights`.
    """
    if isinstance(lm, Adapted):
        lm.save(folder)
    else:
        lm.model.save_pretrained(folder, state_dict=weights)
    lm.tokenizer.save_pretrained(folder)
    (folder / CARD).write_text(card, encoding="utf-8")
    write_checksums(folder)
