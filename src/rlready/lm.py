"""A causal language model with its tokenizer, and its template: how a prompt opens and closes a thought.

The delimiters are facts of the chat template, so they travel with the checkpoint: if the template (or the
vocabulary) knows a pair of ``KNOWN``, nothing needs to be said; else SFT writes ``<think>`` into the template it
saves, and from then on every stage, and any other program, finds it there.  Delimiters that no template knows can
be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

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


def with_thought(lm: LM) -> LM:
    """The same model with a template that opens a thought, for SFT on rows that have one."""
    if not lm.thinks:
        if not lm.tokenizer.chat_template:
            raise UserError(f"{lm.source}: the tokenizer has no chat template to write thought delimiters into")
        lm.tokenizer.chat_template = str(lm.tokenizer.chat_template) + OPENER
    return LM(lm.model, lm.tokenizer, lm.source, lm.given)


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
