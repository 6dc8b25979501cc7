"""What stands around an answer: mark-up, notes of a calculator, remarks behind a value."""

from __future__ import annotations

import re

from rlready.tasks.answers.notation import EMPHASIS, plain
from rlready.tasks.answers.quantity import LONGEST, quantity

ANNOTATION = re.compile(r"<<[^<>\n]*>>")  # of GSM8K's calculator
REMARK = re.compile(  # behind a value
    r"(?:[,;]|\s[-–—])?\s*(?:\bas (?:required|desired|expected|needed|claimed|wanted|shown|stated)(?: above)?"
    r"|\b(?:and )?(?:so )?we(?:['’]re| are) done|(?<=[,;–—-] )done|\bQ\.?E\.?D\b|\\(?:blacksquare|square|qed)\b|[∎□■]"
    r"|(?<=\s)\((?:(?:see|as|from|by)(?: \w+)? (?:above|below|shown|computed|found)|as (?:required|desired|expected)"
    r"|(?:because|since) (?!.*\b(?:not?|wrong|incorrect|actually|should)\b)[^()\d\n]*)\))[.!]?\s*$",
    re.IGNORECASE,
)
TAGGED = re.compile(r"<(b|strong|u|em|mark|i)>([^<\n]{0,100}\d[^<\n]{0,100})</\1>", re.IGNORECASE)  # a bold number
BULLET = re.compile(r"[ \t:*_]{0,20}\n\s{0,20}[-*•][ \t]{1,9}(?=\*\*|\$|\\\()")
BULLETS = re.compile(r"\n\s{0,20}[-*•][ \t]")
FENCE = re.compile(r"```\w*[ \t]*\n([^\n`]+)\n```\s*")


def without_marks(text: str) -> str:
    """A text without the notes of GSM8K's calculator and without HTML around numbers."""
    return TAGGED.sub(r"\2", ANNOTATION.sub("", text))


def without_bullet(text: str, window: int) -> str:
    """The text behind "answer is" without the bullet of its first line, if no other follows within ``window``."""
    bullet = BULLET.match(text)
    return text[bullet.end() :] if bullet and not BULLETS.search(text, bullet.end(), bullet.end() + window) else text


def in_fence(text: str) -> str | None:
    """The one line of a block of code, if the text is nothing else."""
    fenced = FENCE.fullmatch(text) if len(text) < LONGEST else None
    return fenced[1] if fenced else None


def without_remark(line: str) -> str:
    """A line without a remark behind its value, such as "as required"."""
    if len(line) >= LONGEST or not (remark := REMARK.search(line)):
        return line
    value = line[: remark.start()]
    return value if quantity(plain(tidy(value))) or value.rstrip()[-1:] in ("$", "}") else line


def tidy(answer: str) -> str:
    """The answer without emphasis, dollar signs on both sides and the full stop of a sentence."""
    while len(answer) <= LONGEST and answer != (answer := _tidier(answer)):
        pass
    return answer.strip()


def _tidier(answer: str) -> str:
    answer = re.sub(r"\\?\.$", "", answer.strip().replace("\\*\\*", "**"))
    answer = re.sub(r"^(\*\*\d{2,}\*\*)!$", r"\1", answer)  # no factorial
    answer = EMPHASIS.sub(r"\2", re.sub(r"^==([^=\n]+)==$", r"\1", answer)).strip("*_`").strip()
    if len(answer) > 2 and answer[0] == answer[-1] == "$" and "$" not in answer[1:-1]:
        return answer[1:-1].strip()
    return answer
