"""Refuse rows with columns of other tools that change the meaning of a prompt or response and are not supported."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Literal

from rlready.core.errors import UserError
from rlready.tasks.strictjson import Fields
from rlready.tasks.turns import MESSAGES

UNREAD = {  # column, in whatever case: why it must not be ignored
    "tools": "the chat template writes tools into the prompt",
    **dict.fromkeys(("image", "images", "video", "videos", "audio", "audios"), "only text is read"),
    "history": "earlier turns belong to the prompt; write one row for each question",
    "chat_template_kwargs": "they change how the chat template writes the prompt",
}
WEIGHTS = ("weight", "weights", "sample_weight", "loss_weight")  # of a row in the loss
MASKS = ("loss_mask", "completion_mask", "assistant_mask", "assistant_masks")  # of its tokens
PASSAGE = re.compile(
    r"contexts?|ctx(_[ab])?|passages?|articles?|paragraphs?|documents?|story|premise|instructions?"
    r"|body|(pre|post)_text|facts?|scenario|background|table"
)
CHOICE = re.compile(
    r"(answer_)?(choice|option|alternative)s?|endings?|distractors?|(mc|multiple)_?(choices?|options?)"
    r"|(choice|option|ending|distractor|sol|op|incorrect[_ ]answer)[_ ]?([0-9]{1,2}|[a-j])|answer_?[a-e]"
)
LETTERS = ("A", "B", "C", "D", "E")  # columns of choices, as MMLU names them, if the first two are there
WORDS = 3  # a thought has at least; fewer are a label
THOUGHT = re.compile(  # a column of thoughts under a name that is not read as such
    r"(?:\w+[_ ])?(?:cot|chain[_ ]of[_ ]thoughts?|rationales?|thoughts?|reasoning|thinking)"
    r"(?:[_ ](?:content|trajectory|traces?|process|chain|text))?",
    re.IGNORECASE,
)
MARK = re.compile(r"\s*\(?[A-Za-z0-9]{1,2}[).:]\s+")  # "A) " before a choice
ALPACA = ("instruction", "input")  # together they are the prompt


def refuse_unread(row: Fields, place: str, prompt: str, named: Collection[str]) -> None:
    """UserError for a row with a column that is part of its prompt but is not read.

    ``named``: the columns that are named in options, and therefore read.
    """
    left = [column for column, value in row.items() if column not in named and not is_empty(value)]
    for column in left:
        if why := UNREAD.get(column.lower()):
            raise UserError(f"{place}: the column {column} is not read ({why}); remove it, or these rows")
    for column in left if prompt.lower() in ALPACA else ():
        if column.lower() in ALPACA and column != prompt:
            raise UserError(f"{place}: prompt={prompt} leaves out the column {column}; join the two in one column")


def refuse_weighted(row: Fields, place: str) -> None:
    """UserError for a row that is to be learned with a weight, or with a mask of its own, which are not read."""
    for column, value in row.items():
        name = column.lower()
        if (name in WEIGHTS and type(value) in (bool, int, float) and value != 1) or (
            name in MASKS and isinstance(value, list) and value
        ):
            raise UserError(
                f"{place}: the column {column} is not read: all rows weigh the same, and whole responses are learned; "
                "leave out what is not to be learned, and remove the column"
            )


def refuse_thoughts(row: Fields, place: str, response: str, named: Collection[str]) -> None:
    """UserError for a row to learn from with thoughts in a column that is not read, unless its response has them.

    ``named``: the columns that are read.
    """
    fields = [(column, value) for column, value in row.items() if column not in named]
    inside = [
        (f"{column}.{key}", each) for column, value in fields if isinstance(value, dict) for key, each in value.items()
    ]
    for column, value in (*fields, *inside):
        if not isinstance(value, str) or len(value.split()) < WORDS or not THOUGHT.fullmatch(column.rpartition(".")[2]):
            continue
        if _plain(value) not in _plain(response):
            raise UserError(
                f"{place}: the column {column} seems to hold a thought, which is not read; write thinking={column} "
                "behind the file, or thinking= if no thoughts are to be learned"
            )


def refuse_left_out(row: Fields, place: str, prompt: str, named: Collection[str]) -> None:
    """UserError for a row with choices, or a text that its question is about, which its ``prompt`` does not hold.

    ``named``: the columns that are read.
    """
    letters = LETTERS if {*LETTERS[:2]} <= row.keys() else ()
    for column, value in row.items():
        kind = "choices" if column in letters else _kind(column)
        if kind is None or column in named:
            continue
        there = _plain(prompt)
        if any(_plain(MARK.sub("", text, count=1)) not in there for text in _texts(value)):
            fix = (
                "after the question, as in 'A) ... B) ...', with the letter as answer"
                if kind == "choices"
                else "into the prompt"
            )
            raise UserError(
                f"{place}: the column {column} is left out of the prompt, which cannot be answered without it; write "
                f"it {fix}, or remove the column"
            )


def refuse_index(row: Fields, place: str, answer: str) -> None:
    """UserError for an answer that seems to be the number of one of the row's choices, as MMLU has it."""
    for column, value in row.items() if answer.isdecimal() else ():
        texts = [*_texts(value)] if isinstance(value, list) and _kind(column) == "choices" else []
        if texts and answer not in texts and int(answer) <= len(texts):
            raise UserError(
                f"{place}: the answer {answer} seems to be the number of one of the {column}; write its letter, as it "
                "stands in the prompt, or its text"
            )


@cache
def _kind(column: str) -> Literal["choices", "passage"] | None:
    """What a column of this name holds that belongs to the prompt."""
    name = column.lower()
    return "choices" if CHOICE.fullmatch(name) else "passage" if PASSAGE.fullmatch(name) else None


def refuse_preferences(row: Fields, place: str, response: str) -> None:
    """UserError for a preference row: two responses of which one is preferred, or one with a label."""
    whole = any(row.get(column) is not None for column in (response, "completion", *MESSAGES))
    if {"chosen", "rejected"} <= row.keys() and not whole:
        fix = "response=chosen, or prompt=chosen where that is the whole conversation"
        raise UserError(f"{place}: a preference row (chosen, rejected); say which response is learned: {fix}")
    label, completed = row.get("label"), row.get("completion") is not None
    if row.get(response) is None and (isinstance(label, bool) or (completed and label in (0, 1))):
        fix = "keep the rows with a good one and write response=completion"
        raise UserError(f"{place}: a preference row (label true or false of a completion); {fix}")


def is_empty(value: object) -> bool:
    """Whether a value is empty: null, not-a-number, blank, an empty list, or a list or object of such values."""
    if isinstance(value, dict):
        return all(map(is_empty, value.values()))
    if isinstance(value, list):
        return all(map(is_empty, value))
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}", "null")
    return value is None or (isinstance(value, float) and math.isnan(value))


def _texts(value: object) -> Iterator[str]:
    """The texts and numbers in a value, however deep."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
    elif not isinstance(value, bool) and not is_empty(value):
        yield str(value)


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()
