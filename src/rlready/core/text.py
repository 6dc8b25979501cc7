"""Text as it is shown: nothing in it is hidden, and nothing in it controls the terminal."""

from __future__ import annotations

import re

# soft hyphens, joiners, marks of direction: characters of Unicode's category Cf, and U+034F
INVISIBLE = re.compile(
    "[\\u00ad\\u034f\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u206f\\ufeff]"
)
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")  # in Markdown


def visible(text: str) -> str:
    """Text whose every character can be seen: controls, bidi overrides and lone surrogates by name.

    The output of a model may contain characters that hide or reorder other text; newline and tab stay as they are.
    """
    return UNSEEN.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", text.replace("\r\n", "\n"))


def in_one_line(text: str) -> str:
    """As `visible`, with line breaks as spaces: what stands in one line or cell cannot add lines of its own."""
    return visible(text).replace("\n", " ")


def in_markdown(text: str) -> str:
    """Text that stays text in Markdown, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(visible(text).split()))


def as_code(text: str) -> str:
    """Text as code in Markdown, within more backticks than it has in a row."""
    text = " ".join(visible(text).split())
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"


def with_system(prompt: str, system: str | None) -> str:
    """A prompt below its system turn, if it has one, as one text."""
    return f"{system}\n\n{prompt}" if system else prompt
