"""Refuse rows with columns of other tools that change the meaning of a prompt or response and are not supported."""

from __future__ import annotations

import math
from collections.abc import Collection

from rlready.core.errors import UserError
from rlready.tasks.strictjson import Fields
from rlready.tasks.turns import MESSAGES

UNREAD = {  # column: why it must not be ignored
    "tools": "the chat template writes tools into the prompt",
    "images": "only text is read",
    "videos": "only text is read",
    "history": "earlier turns belong to the prompt; write one row for each question",
    "chat_template_kwargs": "they change how the chat template writes the prompt",
}
ALPACA = ("instruction", "input")  # together they are the prompt


def refuse_unread(row: Fields, place: str, prompt: str, named: Collection[str]) -> None:
    """UserError for a row with a column that is part of its prompt but is not read.

    ``named``: the columns that are named in options, and therefore read.
    """
    for column, why in UNREAD.items():
        if column not in named and not is_empty(row.get(column)):
            raise UserError(f"{place}: the column {column} is not read ({why}); remove it, or these rows")
    if prompt in ALPACA:
        other = ALPACA[1 - ALPACA.index(prompt)]
        if other not in named and not is_empty(row.get(other)):
            raise UserError(f"{place}: prompt={prompt} leaves out the column {other}; join the two in one column")


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
