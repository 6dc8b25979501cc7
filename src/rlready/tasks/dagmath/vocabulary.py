"""The word-level tokenizer of the symbolic rendering, one token a word, in Hugging Face format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.tasks.dagmath.render import LETTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<think>", "</think>", "<unk>")
NUMBERS = tuple(str(i) for i in range(23))
SIGNS = ("=", "+", "-", "*", "(", ")", "?")
# words that no problem uses: for behaviours in solutions and for thinking budgets in prompts
WORDS = ("wait", "try", "needs", "locked", "back", "check", "given", "so", "right", "wrong", "again", "budget")

# The prompt opens the thought; the model generates everything after it.
TEMPLATE = (
    "{{ '<bos>' }}"
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ ' ' + m['content'] }}"
    "{% else %}{{ ' <think> ' + m['content'] + ' <eos>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <think>' }}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """About 130 tokens: numbers, signs, and for every letter ``x``, ``x=`` and ``x:``."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *NUMBERS, *SIGNS, *WORDS]
    words += [letter + mark for mark in ("", "=", ":") for letter in LETTERS]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        extra_special_tokens=["<think>", "</think>"],
        model_max_length=512,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
