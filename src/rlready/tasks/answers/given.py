"""The answer that a text gives to a question whose reference answer is known.

What kind of answer is asked for decides what counts where a text marks none, and whether an answer stands alone before
a turn that the text invents.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial

from rlready.tasks.answers.around import tidy
from rlready.tasks.answers.extract import final_answer, marked, own_part, unmarked
from rlready.tasks.answers.literal import moment
from rlready.tasks.answers.notation import plain
from rlready.tasks.answers.quantity import INTEGER, LONGEST, quantity

LETTER = re.compile(r"[(\[]?([A-Za-z])[)\]]?")
# The word, then nothing, or what explains it: not "No idea", "No, yes" or "True only if"
YES_NO = re.compile(
    r"(yes|no|true|false)(?: *[,.;:!-][ ,.;:!-]*+(?!(?:yes|no|true|false|or|and|only|if|unless)\b)(.*)"
    r"| +((?:because|since|as|it|this|that|they|there|the|we|he|she|you)\b.*)|)",
    re.IGNORECASE,
)
CASED = re.compile(r"(\d\s?)[A-Za-z]{1,2}(?![A-Za-z])|[^\W\d_]+")  # a short word behind a number is a unit
VALUE = re.compile(r"[*_(\[$€£+\-\\]*(?:\d|[dt]?frac|sqrt|pi\b)\S*(?: [^\W\d_]+)?[.*_]*$")  # and a unit
NUMBERING = re.compile(r"\(?\d{1,2}[.):]")
CONCLUSION = re.compile(r"(?:^|[.!;,] )(?:So|so|Thus|Therefore|Hence)\b[^.=\n]*\d[^.=\n]*\.?$")


@lru_cache(1 << 12)
def target_of(gold: str) -> str:
    """The final answer in a reference answer."""
    return gold if INTEGER.fullmatch(gold) else final_answer(gold)


@lru_cache(1 << 12)
def is_number(target: str) -> bool:
    """Whether a number is asked for."""
    if len(target) > LONGEST or moment(target := plain(target)):
        return False
    return quantity(target, False) is not None


def given(gold: str, text: str) -> str:
    """The answer of a text to a question whose reference answer is ``gold``."""
    target = target_of(gold)
    alone = partial(_stands_alone, target)
    found = marked(text, yes_no=_is_yes_no(target), alone=alone)
    return tidy(unmarked(text, is_number(target), alone)) if found is None else found


def runs_on(gold: str, text: str) -> bool:
    """Whether a text goes on into a turn that it invents, behind its answer."""
    return own_part(text, partial(_stands_alone, target_of(gold)))[1]


def _is_yes_no(target: str) -> bool:
    return YES_NO.fullmatch(plain(target[:LONGEST]).strip('"()')) is not None


def _stands_alone(target: str, said: str) -> bool:
    """Whether a text is an answer of the kind of ``target`` and nothing else; a word or name only if it is that."""
    if "\n" in said or len(said) > LONGEST or len(target) > LONGEST or NUMBERING.fullmatch(said):
        return False
    if _is_yes_no(target):
        return re.fullmatch(r"(?:yes|no|true|false)[.!]?", said, re.IGNORECASE) is not None
    if LETTER.fullmatch(target):
        return LETTER.fullmatch(said.rstrip(".):")) is not None
    if is_number(target):
        bare = VALUE.match(said) is not None and quantity(plain(tidy(said))) is not None
        return bare or (CONCLUSION.search(said) is not None and "=" in said)
    return folded(plain(said)) == folded(plain(target))


def folded(text: str) -> str:
    """Words without case, punctuation and an article before them."""
    text = CASED.sub(lambda m: m[0] if m[1] else m[0].casefold(), text)
    words = " ".join(re.sub(r"[\"“”.,;:!?()]", " ", text).split())
    return re.sub(r"^(?:the|an?) ", "", words)
