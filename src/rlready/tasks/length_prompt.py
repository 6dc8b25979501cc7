"""A length stated in the prompt: "Think for at most {N} tokens.", for thoughts whose length can be asked for.

After L1 (Aggarwal & Welleck, arXiv 2503.04697) and s1's token-conditional control.  ``{N}`` stands for the tokens,
``{N/8}`` for eighths of them rounded to the nearest, for vocabularies that count no further.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rlready.core.errors import UserError
from rlready.core.records import Problem
from rlready.models.lm import LM

PLACE = re.compile(r"\{N(?:/([1-9][0-9]{0,5}))?\}")


def check(stating: str) -> None:
    """UserError if the text states nothing."""
    if stating and not PLACE.search(stating):
        raise UserError(f"length_prompt={stating!r} states no length; write {{N}} where the tokens belong, or {{N/8}}")


def state(problem: Problem, stating: str, tokens: int) -> Problem:
    """The problem with its length at the end of the prompt; as it is if there is nothing to state."""
    return replace(problem, prompt=problem.prompt + stated(stating, tokens)) if stating else problem


def stated(stating: str, tokens: int) -> str:
    return PLACE.sub(lambda m: str(round(tokens / int(m[1] or 1))), stating)


def check_words(stating: str, lengths: Sequence[int], lm: LM) -> None:
    """UserError if the model's vocabulary has no words for one of the texts: it could not read what is asked."""
    for text in (stated(stating, n) for n in lengths):
        if lm.tokenizer.unk_token_id in lm.encode(text):
            raise UserError(
                f"{lm.source}: its vocabulary has no words for {text!r}; {{N/8}} states eighths of a length"
            )
