"""Words behind an answer that withdraw it, or name a second one beside it."""

from __future__ import annotations

import re

HEDGE = re.compile(
    r"[\s$,.?()\\\]]*(?:\\text\s*\{\s*)?\bor\s*\}?\s*"
    r"(?:(?:maybe|perhaps|possibly|also|even) +)?[$\\(]*(-?[\d.][^\s$)]{0,30}|(?-i:[A-J])(?![a-zA-Z']))",
    re.IGNORECASE,
)
DOUBT = r"(?:(?:no|wait|hmm|oops|sorry|but|hold on|actually|correction)[,.:! ]+)"
RETRACTED = re.compile(
    rf"\W*(?:{DOUBT}+(?:I made (?:a|an) |it(?:['’]s| is| should)|the (?:correct|right|total) )|{DOUBT}*"
    r"(?:(?:(?:that|this|it|which)(?:['’]s| is| was)|is|was|seems)"
    r" (?:not (?:right|correct|the)|wrong|incorrect|false)\b"
    r"|is not\b|was\b|(?:wait,? )?no, (?:it|that|\$?-?\d)|(?:is|was)n['’]t\b|cannot\b|can['’]t\b))",
    re.IGNORECASE,
)
CORRECTED = re.compile(
    r"[.!?]\s+(?:(?:Wait,? no|No(?=, (?:wait|it|that))|Oops|Sorry)\b[,.!]"
    r"|Correction:|(?:No,? |But (?:it|this) (?:could|might|may) (?:also )?be |Or maybe )\$?\(?(?-i:[A-J]\b|-?\d)"
    r"|Wait,? I made\b|(?:Hold on|Actually),? (?:no\b|it (?:should|is)|the (?:correct|right)|that(?:['’]s| is) not)"
    r"|(?:That|This)(?:['’]s| is) (?:not right|not correct|wrong|incorrect)\b)",
    re.IGNORECASE,
)
YES_NO = re.compile(r"[*_$\"(\s:]*(?:\\text(?:bf)?\{)?(yes|no|true|false)\b", re.IGNORECASE)
DEPENDS = re.compile(  # what takes a word before it back, or makes it depend on something
    r"\b(?:but|however|actually|unfortunately|incorrect|untrue|wrong|mistaken|disproved|fails|provided|except|assuming"
    r"|assumption|when|unless|if|only|check|seems?|first|wait)\b",
    re.IGNORECASE,
)
AGAINST = (re.compile(r"\b(?:no|not|false)\b|n't\b", re.IGNORECASE), re.compile(r"\b(?:yes|true)\b", re.IGNORECASE))


def stands(text: str) -> bool:
    """Whether a text begins with yes, no, true or false, and nothing behind that takes it back."""
    word = YES_NO.match(text)
    if not word:
        return False
    against = AGAINST[word[1].lower() in ("no", "false")]
    return not (DEPENDS.search(text, word.end()) or against.search(text, word.end()))
