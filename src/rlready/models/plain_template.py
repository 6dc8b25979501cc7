"""The chat template that passes texts through, for checkpoints that were trained on prompts without a template."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = (  # as TRL writes rows whose prompt and completion are texts
    "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}"
    "{% elif m.role == 'system' %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
)


def passing_through(tokenizer: PreTrainedTokenizerBase) -> str:
    """A template that writes texts as they are, behind the first token that the tokenizer gives every text, if any."""
    return "{{ bos_token }}" + PLAIN if begins_texts(tokenizer) else PLAIN


def begins_texts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer begins every text with its token for that, as Llama's do."""
    return tokenizer.bos_token_id is not None and list(tokenizer.encode("a"))[:1] == [tokenizer.bos_token_id]
