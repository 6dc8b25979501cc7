"""Numbers in the cells of a table of outcomes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeGuard

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")  # float() would take 1_0 for 10
COMMA = re.compile(r"\s*[+-]?[0-9]+,[0-9]+\s*")
NEARLY = re.compile(rf"{COMMA.pattern}|\s*[+-]?[0-9.]+\s*%\s*")  # numbers of spreadsheets
GROUPED = re.compile(r"\s*[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\s*")  # by thousands, or with a decimal comma
DECIMAL = re.compile(r"\s*[+-]?0,[0-9]+\s*")  # a number with a decimal comma, whatever else it looks like
THOUSANDS = re.compile(r"\s*[0-9]{1,3}(?:\.[0-9]{3})+\s*")
# in the names of numbers of which less is better, and of those that trainers log beside outcomes
LESS = re.compile(r"(?<![a-z])(?:loss|nll|perplexity|ppl|error|kl(?![a-z]))")
BESIDE = re.compile(
    r"(?<![a-z])(?:std|lengths?|tokens|entropy|clip(?:ped)?_(?:ratio|frac)|grad_norm|learning_rate|lr|time)(?![a-z])"
)
OUTCOMES = re.compile(r"(?:acc|pass@|correct|match|score|reward)(?!.*(?:std|lengths?|entropy)$)")  # also at a time
LARGEST = 1e12  # of outcomes and seconds: squares and sums of them are exact enough
SMALLEST = 1e-12  # of those that are not 0


def number_of(value: object) -> object:
    """A whole number, a decimal as in Parquet, or a text that is a number as in CSV, as a float; others as they are."""
    if isinstance(value, bool) or (isinstance(value, str) and not NUMBER.fullmatch(value.strip())):
        return value
    try:
        return float(value) if isinstance(value, str | int | Decimal) else value
    except OverflowError:
        return value


def shown(value: object) -> str:
    """A value that is no number, for an error line, with its number if it has a decimal comma or is in per cent."""
    text = f"{value!r:.40}"
    if isinstance(value, str) and GROUPED.fullmatch(value) and not DECIMAL.fullmatch(value):
        text += f" (write {value.strip().replace(',', '')} if the comma groups thousands)"
    elif isinstance(value, str) and COMMA.fullmatch(value):
        text += f" (write {value.strip().replace(',', '.')})"
    if isinstance(value, str) and value.strip().endswith("%") and is_number(share := number_of(value.strip()[:-1])):
        text += f" (write {share / 100:g})"
    return text


def step_of(value: object) -> object:
    """A step as a number, as `number_of`; a text such as 1.000, which may be a thousand, as it is."""
    return value if isinstance(value, str) and THOUSANDS.fullmatch(value) else number_of(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number whose square is neither too large nor too small to be one."""
    return isinstance(value, float) and (value == 0 or SMALLEST < abs(value) < LARGEST)
