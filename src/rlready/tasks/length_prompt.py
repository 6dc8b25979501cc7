"""A thinking length that the prompt asks for, as in "Think for at most {N} tokens."

After L1 (Aggarwal & Welleck, arXiv 2503.04697) and s1's token-conditional control.  ``{N}`` is replaced by the
number of tokens and ``{N/8}`` by an eighth of it, rounded, for vocabularies with few numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rlready.core.config.checks import LENGTH_PLACE
from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.models.lm import LM


def with_length_prompt(problem: Problem, length_prompt: str, tokens: int) -> Problem:
    """The problem with the length at the end of its prompt; unchanged if ``length_prompt`` is empty."""
    return replace(problem, prompt=problem.prompt + length_text(length_prompt, tokens)) if length_prompt else problem


def length_text(length_prompt: str, tokens: int) -> str:
    """The text with ``{N}`` replaced by the number of tokens."""
    return LENGTH_PLACE.sub(lambda m: str(round(tokens / int(m[1] or 1))), length_prompt)


def refuse_unknown_words(length_prompt: str, lengths: Sequence[int], lm: LM) -> None:
    """UserError if a text for one of the lengths has a token that is unknown to the model."""
    for text in (length_text(length_prompt, n) for n in lengths):
        if lm.tokenizer.unk_token_id in lm.encode(text):
            raise UserError(
                f"{lm.source}: its vocabulary has no words for {text!r} (length_prompt); choose other words, or "
                "{N/8} for the length in eighths"
            )
