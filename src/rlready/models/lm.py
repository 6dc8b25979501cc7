"""A causal language model with its tokenizer: prompts, worked rows and forced texts as tokens.

The chat template defines the text of prompts and worked rows (``chat.py``, ``chat_template.py``); this module converts
it to tokens.  A text that continues another is tokenised after it, not alone, because a tokenizer may add a space to
the beginning of a text.  If the two would share a token, the prompt keeps the tokens that it has when a response is
sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.records import Row
from rlready.models import chat_template
from rlready.models.chat import ChatFormat

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_MEASURING = Lock()
L = TypeVar("L", bound="LM")
ANCHORS = ("a", "\n", ".", ")")  # texts to tokenise a continuation after, until one keeps its tokens


@dataclass(frozen=True)
class LM:
    """A model with its tokenizer.  ``given`` are the thought delimiters that the user set, two texts or none."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    given: tuple[str, ...] = ()

    def active(self) -> AbstractContextManager[None]:
        """A context in which ``model`` is this one, also where several share their weights (`lora.Adapted`)."""
        return nullcontext()

    @cached_property
    def chat(self) -> ChatFormat:
        """The conversation format of the chat template; UserError as `chat_template.learn_format` raises."""
        return chat_template.learn_format(self.tokenizer, self.source, self.given)

    @property
    def thinks(self) -> bool:
        """Whether responses are to begin with a thought."""
        return self.chat.thinks

    @property
    def open(self) -> str:
        return self.chat.thought.opener

    @property
    def close(self) -> str:
        return self.chat.thought.closer

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a response: the end of a turn, and the end of sequence of tokenizer and generation config."""
        config = getattr(self.model, "generation_config", None)
        ids = getattr(config, "eos_token_id", None)
        found = {ids} if isinstance(ids, int) else set(ids or ())
        if self.tokenizer.eos_token_id is not None:
            found.add(self.tokenizer.eos_token_id)
        found = {i for i in found if 0 <= i < self.vocabulary}  # other tokens cannot be sampled
        end = self.chat.end
        if not found:
            hint = f"; its chat template ends a turn in {end}" if end else ""
            raise UserError(
                f"{self.source}: the tokenizer names no end-of-sequence token{hint}; set eos_token and save again"
            )
        ids_of_end = self.encode(end) if end else []
        found |= set(ids_of_end) if len(ids_of_end) == 1 else set()
        return frozenset(found - set(self.encode(self.close)))  # some formats end a thought as they end a turn

    @cached_property
    def stop_texts(self) -> list[str]:
        """What ends a response: the texts of tokens, and the one by which the chat template ends a turn without one."""
        text = self.chat.end_text
        texts = dict.fromkeys(filter(None, (text, text.rstrip())))  # some tools store responses without white space
        return [*(self.decode([stop]) for stop in sorted(self.stop_ids)), *texts]

    def without_end(self, text: str) -> str:
        """A response without what ends it, and without what the last token of an end in a text holds behind that."""
        for stop in self.stop_texts:
            text = text.removesuffix(stop)
        return text.partition(self.chat.end_text)[0] if self.chat.end_text else text

    @cached_property
    def context(self) -> int:
        """Largest number of tokens of prompt and response together.

        With longrope positions (Phi-3), the original length: beyond it all positions of a batch change, so that the
        results of a row would depend on the other rows.
        """
        config = self.model.config.get_text_config()
        most = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)
        rope = getattr(config, "rope_parameters", None) or {}
        for each in (rope, *(part for part in rope.values() if isinstance(part, dict))):  # by type of layer, or one
            if each.get("rope_type") in ("longrope", "su"):
                original = each.get("original_max_position_embeddings")
                most = min(most, original or getattr(config, "original_max_position_embeddings", None) or most)
        return most

    @cached_property
    def vocabulary(self) -> int:
        """How many tokens have a logit, those included that the tokenizer does not know (the vocabulary's padding)."""
        head = self.model.get_output_embeddings() or self.model.get_input_embeddings()
        return int(cast("Any", head).weight.shape[0])

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; UserError if it is not Unicode, or has a token that the model does not have."""
        if lone := next((c for c in text if "\ud800" <= c <= "\udfff"), None) if not text.isascii() else None:
            raise UserError(
                f"{self.source}: the text {text[:80]!r} contains U+{ord(lone):04X}, half of a surrogate pair, which no "
                "tokenizer can read; remove it from the data or the chat template"
            )
        ids: list[int] = list(self.tokenizer.encode(text, add_special_tokens=False))
        if self._more_tokens and (beyond := [i for i in ids if i >= self.vocabulary]):
            token = self.tokenizer.convert_ids_to_tokens(beyond[0])
            raise UserError(
                f"{self.source}: the text {text[:80]!r} has the token {token!r} ({beyond[0]}), but the model has "
                f"{self.vocabulary} tokens; leave it out, or resize the model's embeddings and train it"
            )
        return ids

    def encode_behind(self, before: str, text: str) -> list[int]:
        """The tokens of ``text`` where it continues ``before``."""
        for anchor in (before, *ANCHORS):
            head, whole = self.encode(anchor), self.encode(anchor + text)
            if whole[: len(head)] == head:
                return whole[len(head) :]
        return self.encode(text)

    @cached_property
    def _more_tokens(self) -> bool:
        """Whether the tokenizer knows tokens beyond the model's embedding, as Gemma 3's without images does."""
        return max(self._known, default=0) >= self.vocabulary

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(self.tokenizer.get_vocab().values())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens; one in the vocabulary's padding has none, where some tokenizers would fail."""
        known = [i for i in ids if i in self._known]
        return str(self.tokenizer.decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each token adds to the text, spaces included."""
        texts = [self.decode(ids[:i]) for i in range(len(ids) + 1)]
        return [after[len(before) :] for before, after in pairwise(texts)]

    def prompt_ids(self, prompt: str, system: str = "", *, think: bool) -> list[int]:
        """Token ids before the response; with ``think``, they end inside an open thought."""
        return self._begun(self.chat.prompt(prompt, system, think=think))

    def worked_ids(self, row: Row, *, think: bool, stops: bool = False) -> tuple[list[int], list[int]]:
        """(prompt, response) of a worked row as token ids, as the chat template writes it.

        ``stops``: with the end of sequence behind it, unless a token ends it: who learns from it learns to stop.
        UserError as `ChatFormat.worked` raises it, and if no token of the vocabulary can end a response that stops.
        """
        prompt, response = self.chat.worked(row, think=think)
        ids = self.encode_behind(self._unbegun(prompt), response)
        if stops and not self.stop_ids & set(ids[-1:]):
            if self.tokenizer.eos_token_id not in self.stop_ids:
                raise UserError(
                    f"{self.source}: the response of row {row.id} does not end in a token that ends a response; set "
                    "eos_token to a single token of the vocabulary and save again"
                )
            ids.append(cast("int", self.tokenizer.eos_token_id))
        return self._begun(prompt), ids

    def _begun(self, prompt: str) -> list[int]:
        """The tokens of a prompt; a plain text has those of the text alone behind the first token, which some
        tokenizers (Llama 2's) do not give to a text behind a token."""
        text = self._unbegun(prompt)
        first = [] if text == prompt else [cast("int", self.tokenizer.bos_token_id)]
        return [*first, *self.encode(text)]

    def _unbegun(self, prompt: str) -> str:
        """A prompt, of a plain text without the token that begins texts."""
        return prompt.removeprefix(str(self.tokenizer.bos_token)) if self.chat.plain else prompt

    def closing(self, *, broken: bool) -> str:
        """The forced closing delimiter with the line breaks around it; ``broken``: the thought ends in a line break."""
        thought = self.chat.thought
        before = thought.before_close.replace("\n", "", 1) if broken else thought.before_close
        return before + thought.closer + thought.after_close

    @cached_property
    def close_ids(self) -> list[int]:
        """The closing delimiter with the breaks around it, as it is forced when the budget is used up."""
        return self.encode_behind("a", self.closing(broken=False))

    @cached_property
    def close_after_break_ids(self) -> list[int]:
        """The same after a thought that ends in a line break already."""
        return self.encode_behind("a\n", self.closing(broken=True))

    def needs_thought(self, why: str) -> None:
        """UserError unless responses begin with a thought."""
        if not self.thinks:
            raise UserError(
                f"{self.source}: its chat template opens no thought ({self.open} … {self.close}), which {why} needs; "
                "fine-tune it with `rlready sft` on rows that have thinking, or give delimiters=OPEN,CLOSE"
            )


def with_thought(lm: L) -> L:
    """The same model with a template that opens a thought, for SFT on rows that have one."""
    chat_template.with_thought(lm.chat)
    return replace(lm)


@dataclass(frozen=True)
class CappedHead:
    """A head whose logits the model multiplies by ``scale`` and then caps: logits z become cap · tanh(scale z / cap).

    So Gemma (cap), Cohere and Granite (scale) do after the linear layer.
    """

    layer: Any
    scale: float
    cap: float | None

    @property
    def weight(self) -> Tensor:
        """(V, D) weights of the linear layer."""
        return cast("Tensor", self.layer.weight)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., D) final hidden states to (..., V) logits."""
        return self.after(self.layer(hidden))

    def after(self, logits: Tensor) -> Tensor:
        """What the model makes of the linear layer's output."""
        logits = logits if self.scale == 1 else logits * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


def head_of(model: Any) -> tuple[Any, Any]:
    """(backbone, head) of a causal LM: hidden states, and the map from them to logits, which has a ``weight`` (V, D).

    The head is the model's linear layer, or a `CappedHead` around it if the model scales or caps its logits.  Which of
    them is measured once; UserError if neither gives the model's own logits.
    """
    backbone, layer = model.base_model, model.get_output_embeddings()
    if backbone is model or layer is None:
        raise UserError(_inseparable(model))
    with _MEASURING:  # one thread, as the hook of another would change logits that this one computes
        if "_rlready_head" not in vars(model):
            model._rlready_head = _measured_head(model, backbone, layer)
    scale, cap = model._rlready_head
    return backbone, layer if scale == 1 and cap is None else CappedHead(layer, scale, cap)


@torch.no_grad()
def _measured_head(model: Any, backbone: Any, layer: Any) -> tuple[float, float | None]:
    """Scale and cap of a model's logits, from what it makes of given values in place of its linear layer's output.

    At the size of random logits a cap changes nothing that rounding does not, so the model's logits cannot show it.
    """
    ids = torch.arange(4, device=layer.weight.device)[None]
    probe = torch.linspace(-200, 200, layer.weight.shape[0], device=ids.device)
    probe[0], probe[1] = 2.0**-10, 2.0**20  # the slope and the limit
    given: list[Tensor] = []

    def replace(_: Any, __: Any, output: Tensor) -> Tensor:
        given.append(output)
        return probe.expand(output.shape)

    hook = layer.register_forward_hook(replace)
    try:
        found = model(input_ids=ids, use_cache=False).logits[0, -1].float()
    finally:
        hook.remove()
    if given and not given[0].isfinite().all():
        raise UserError(f"{type(model).__name__}: its logits are not finite: a weight is NaN or infinite, or too large")
    own = layer(backbone(input_ids=ids, use_cache=False).last_hidden_state)
    if not given or not torch.allclose(own.float(), given[0].float(), atol=1e-3, rtol=1e-3):
        raise UserError(_inseparable(model))
    slope, limit = float(found[0] / probe[0]), float(found[1])
    capped = limit < 0.5 * slope * float(probe[1])
    scale = 1.0 if abs(slope - 1) < 1e-5 else slope
    head = CappedHead(layer, scale, limit if capped else None)
    if not torch.allclose(head.after(probe), found, atol=1e-4, rtol=1e-4):
        raise UserError(f"{type(model).__name__} changes its logits in a way that is neither a scale nor a cap")
    return head.scale, head.cap


def _inseparable(model: Any) -> str:
    return f"{type(model).__name__}: its backbone cannot be separated from its head, so scoring it is not supported"
