"""Answers that are not mathematics and are compared as text: dates, times of day and codes.

A formula parser would read 2024-01-02 as a difference and NO2 as a product.
"""

from __future__ import annotations

import re

from rlready.tasks.answers.units import MONTHS

MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in MONTHS if month != "may") + "|may"
DATES = [
    re.compile(rf"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? )?(?:{pattern})", re.IGNORECASE)
    for pattern in (
        rf"(?P<m>{MONTH})\.? (?P<d>\d\d?)(?:st|nd|rd|th)?(?:,? (?P<y>\d{{4}}))?",
        rf"(?:the )?(?P<d>\d\d?)(?:st|nd|rd|th)?(?: of)? (?P<m>{MONTH})\.?(?:,? (?P<y>\d{{4}}))?",
        rf"(?P<m>{MONTH})\.?,? (?P<y>\d{{4}})(?P<d>)",
        r"(?P<y>\d{4})[-/](?P<m>\d\d?)[-/](?P<d>\d\d?)",
    )
]
TIME = re.compile(r"(\d\d?)(?::(\d\d))? ?([ap])\.? ?m\.?", re.IGNORECASE)
JOINED = re.compile(r"\(?\d+\)?[ -]?\d+-\d+|\d+(?:-\d+)+|\d+(?:[/.]\d+){2,}")
CODE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+\d|(?<!\w)0[xX][0-9A-Fa-f]+(?!\w)")
COMMAND = re.compile(r"\\[A-Za-z]+")


def moment(text: str) -> tuple[str, ...] | None:
    """The date or time of day in ``text`` (plain notation); None if it is neither."""
    if time := TIME.fullmatch(text):
        return time[1].lstrip("0"), time[2] or "00", time[3].lower()
    for pattern in DATES:
        if date := pattern.fullmatch(text):
            month = date["m"].lower()
            number = month.lstrip("0") if month.isdigit() else str([m[:3] for m in MONTHS].index(month[:3]) + 1)
            return date["y"] or "", number, date["d"].lstrip("0")
    return None


def same_code(one: str, other: str) -> bool | None:
    """Whether two values are the same code, ignoring subscript mark-up; None if neither is a code."""
    if not _is_code(one) and not _is_code(other):
        return None
    return re.sub(r"[\s_{}]", "", one) == re.sub(r"[\s_{}]", "", other)


def _is_code(text: str) -> bool:
    """Whether ``text`` is a code: digits joined by dashes, or digits directly after a letter."""
    return bool(JOINED.fullmatch(text) or CODE.search(COMMAND.sub(" ", text)))
