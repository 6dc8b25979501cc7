"""The answer in a column of a table: a text or a number, or the last line of one of GSM8K's solutions."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from rlready.core.errors import UserError
from rlready.tasks.strictjson import Fields, Refused, digits
from rlready.tasks.table import value_of

FINAL = re.compile(r"(?:^|\n)####[ \t]*(\S[^\n]*)\Z")  # the last line of an answer of GSM8K, which ends in no space
UNANSWERED = re.compile(r"(?:^|\n)####\s*\Z")  # its mark with nothing behind it


def answer_of(row: Fields, column: str, place: str, *, as_it_is: bool) -> str:
    """The answer as text; empty if the column is missing, null or without a sign that is seen, and for an object or a
    list that a verifier takes ``as_it_is`` in the row.

    UserError, which begins with ``place``, for another object or list, and for a number that has no exact text.
    """
    value, place = value_of(row, column), f"{place}: {column}"
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Decimal)):
        try:
            return digits(value)
        except Refused as error:
            raise UserError(f"{place}: {error}") from None
    if value is not None and not isinstance(value, str):
        if as_it_is:
            return ""
        fix = f"name what is in it, answer={column}.KEY" if isinstance(value, dict) else "write it as one text"
        raise UserError(
            f"{place} must be one text or number, not {type(value).__name__}; {fix}, or leave it to a verifier, "
            "which reads it in problem.meta, with answer= (none)"
        )
    if value and (final := FINAL.search(value.rstrip())):
        return final[1]
    if not value or UNANSWERED.search(value):
        return ""
    return value if any(not (sign.isspace() or unicodedata.category(sign) == "Cf") for sign in value) else ""
