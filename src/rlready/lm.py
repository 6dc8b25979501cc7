"""Load and save a causal language model, and know its template: how a prompt opens and closes a thought.

The delimiters are facts of the chat template, so they travel with the checkpoint: if the template (or the
vocabulary) knows a pair of ``KNOWN``, nothing needs to be said; else SFT writes ``<think>`` into the template it
saves, and from then on every stage, and any other program, finds it there.  Delimiters that no template knows can
be given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from rlready.errors import UserError
from rlready.records import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OPEN, CLOSE = "<think>", "</think>"
KNOWN = (  # looked for in this order
    (OPEN, CLOSE),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|im_start|>think", "<|im_start|>answer"),
)
EMBEDDED = "embedded"
ADAPTER = "adapter_config.json"
OPENER = "{% if add_generation_prompt %}{{ '" + OPEN + "' }}{% endif %}"


@dataclass(frozen=True)
class LM:
    """A model with its tokenizer.  ``given`` are thought delimiters that nothing else says it has."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    given: tuple[str, str] | None = None

    @cached_property
    def thinks(self) -> bool:
        """Whether a thought can be delimited at all."""
        return self._thought is not None

    @property
    def open(self) -> str:
        return (self._thought or KNOWN[0])[0]

    @property
    def close(self) -> str:
        return (self._thought or KNOWN[0])[1]

    @cached_property
    def _thought(self) -> tuple[str, str] | None:
        template, added = str(self.tokenizer.chat_template or ""), self.tokenizer.get_added_vocab()
        found = (pair for pair in KNOWN if pair[1] in template or pair[1] in added or pair[0] in template)
        return self.given or next(found, None)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a response: the tokenizer's and the generation config's end of sequence."""
        config = getattr(self.model, "generation_config", None)
        ids = getattr(config, "eos_token_id", None)
        found = {ids} if isinstance(ids, int) else set(ids or ())
        if self.tokenizer.eos_token_id is not None:
            found.add(self.tokenizer.eos_token_id)
        if not found:
            raise UserError(
                f"{self.source}: the tokenizer names no end-of-sequence token; set eos_token and save again"
            )
        return frozenset(found)

    @cached_property
    def context(self) -> int:
        """Most tokens of prompt and response together."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or 1 << 30)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each token adds to the text, spaces included."""
        texts = [self.decode(ids[:i]) for i in range(len(ids) + 1)]
        return [after[len(before) :] for before, after in pairwise(texts)]

    def prompt_ids(self, prompt: str, *, think: bool) -> list[int]:
        """Token ids up to where the response begins; ``think`` makes sure that a thought is open there."""
        if self.tokenizer.chat_template:
            text = str(
                self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
                )
            )
        else:
            text = (self.tokenizer.bos_token or "") + prompt + "\n"
        if think and not text.rstrip().endswith(self.open):
            text += self.open
        return self.encode(text)

    def response_ids(self, row: Row, *, think: bool) -> list[int]:
        """Token ids of a worked response, the end-of-sequence token included."""
        text = f"\n{row.thinking or ''}\n{self.close}\n{row.response}" if think else row.response
        end = self.tokenizer.eos_token_id
        return [*self.encode(text), *([end] if end is not None else [])]

    @cached_property
    def close_ids(self) -> list[int]:
        """The closing delimiter between line breaks, as it is forced when the budget is used up."""
        return self.encode(f"\n{self.close}\n")

    @cached_property
    def close_after_break_ids(self) -> list[int]:
        """The same after a thought that ends in a line break already."""
        return self.encode(f"{self.close}\n")

    def needs_thought(self, why: str) -> None:
        """UserError unless the template can delimit a thought."""
        if not self.thinks:
            raise UserError(
                f"{self.source}: its chat template has no thought delimiters ({OPEN} … {CLOSE}), which {why} needs; "
                "fine-tune it with `rlready sft` on rows that have thinking, give delimiters=OPEN,CLOSE, or use "
                "natural=true"
            )


def load(source: str, *, device: str = "cpu", dtype: str = "float32", delimiters: Sequence[str] = ()) -> LM:
    """A model from ``embedded``, a Hugging Face folder or a hub id, ready for evaluation.

    A folder that holds a LoRA adapter is its base with the adapter merged into it.
    ``delimiters``: what opens and what closes a thought; none: what the template or the vocabulary says.
    Raises UserError when the folder is missing, has no weights or no tokenizer, the model's vocabulary is
    smaller than the tokenizer's, or the delimiters are not two different texts or not those of the chat template.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    if delimiters and (len(delimiters) != 2 or not all(delimiters) or delimiters[0] == delimiters[1]):
        raise UserError(f"delimiters are two different texts, OPEN,CLOSE; got {', '.join(map(repr, delimiters))}")
    logging.disable_progress_bar()  # ours says more
    tokenizer = tokenizer_of(source)
    template = str(tokenizer.chat_template or "")
    written = next((pair for pair in KNOWN if any(text in template for text in pair)), None)
    if delimiters and written and not any(text in template for text in delimiters):
        raise UserError(
            f"{source}: its chat template writes thoughts as {written[0]} … {written[1]}, not as "
            f"{delimiters[0]} … {delimiters[1]}; leave delimiters out, or mend the template"
        )
    path = local_folder(source)
    with _refused(source):
        kind = _merged if path and (path / ADAPTER).is_file() else AutoModelForCausalLM.from_pretrained
        model = kind(str(path or source), dtype=getattr(torch, dtype))
    size = int(cast("Any", model.get_input_embeddings()).weight.shape[0])
    if len(tokenizer) > size:
        raise UserError(f"{source}: the tokenizer knows {len(tokenizer)} tokens but the model only {size}")
    model.to(device)  # type: ignore[arg-type]
    model.eval()
    return LM(model, tokenizer, source, (delimiters[0], delimiters[1]) if delimiters else None)


def tokenizer_of(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer that `load` takes, refused as there, without reading weights."""
    from transformers import AutoTokenizer

    path = local_folder(source)
    adapter = bool(path and (path / ADAPTER).is_file())
    if path and not adapter and not (path / "config.json").is_file():
        raise UserError(f"{source}: not a Hugging Face checkpoint folder, config.json is missing")
    if not path and (source.startswith((".", "/", "~")) or source.count("/") > 1):
        raise UserError(f"{source}: no such folder")
    if path and not any((path / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        raise UserError(f"{source}: the folder has no tokenizer; save it there with tokenizer.save_pretrained")
    with _refused(source):
        return AutoTokenizer.from_pretrained(str(path or source))


@contextmanager
def _refused(source: str) -> Iterator[None]:
    """What Transformers cannot load is one line of ours."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(f"{source}: cannot be loaded as a causal language model: {line}") from error


def _merged(folder: str, dtype: torch.dtype) -> Any:
    """The base that an adapter's folder names, with the adapter added to its weights."""
    try:
        from peft import AutoPeftModelForCausalLM
    except ImportError:
        raise UserError(f"{folder}: an adapter; to load it: pip install 'rlready[peft]'") from None
    return AutoPeftModelForCausalLM.from_pretrained(folder, dtype=dtype).merge_and_unload()


def embedded_folder() -> Path:
    """The folder of the model shipped inside the package."""
    return Path(str(files("rlready"))) / "assets" / "embedded"


def local_folder(source: str) -> Path | None:
    """Where a model lies on this machine; None for a hub id."""
    path = embedded_folder() if source == EMBEDDED else Path(source)
    return path if path.exists() else None


def with_thought(lm: LM) -> LM:
    """The same model with a template that opens a thought, for SFT on rows that have one."""
    if not lm.thinks:
        if not lm.tokenizer.chat_template:
            raise UserError(f"{lm.source}: the tokenizer has no chat template to write thought delimiters into")
        lm.tokenizer.chat_template = str(lm.tokenizer.chat_template) + OPENER
    return LM(lm.model, lm.tokenizer, lm.source, lm.given)


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of all tokens with their ids: equal for two models that read text as the same tokens."""
    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()


def save(lm: LM, folder: Path, card: str) -> None:
    """Write a Hugging Face folder with its model card into an existing, temporary folder."""
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")


def head_of(model: Any) -> tuple[Any, Any]:
    """(backbone, head) of a causal LM: hidden states, and the linear map to logits.

    Some models scale or cap their logits after the head; scoring them here would be silently wrong, so the
    two are compared once with the model's own forward, and UserError is raised if they differ.
    """
    backbone, head = model.base_model, model.get_output_embeddings()
    if not getattr(model, "_rlready_head_checked", False):
        with torch.no_grad():
            ids = torch.arange(4, device=head.weight.device)[None]
            ours = head(backbone(input_ids=ids, use_cache=False).last_hidden_state)
            theirs = model(input_ids=ids, use_cache=False).logits
        if not torch.allclose(ours.float(), theirs.float(), atol=1e-3, rtol=1e-3):
            raise UserError(
                f"{type(model).__name__} changes its logits after the head (a cap or a scale), which is not supported"
            )
        model._rlready_head_checked = True
    return backbone, head
