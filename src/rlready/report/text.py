"""Text and numbers as the page prints them: every character visible, none of them markup."""

from __future__ import annotations

import re
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from rlready.core.text import visible

NAME = re.compile(r"[0-9/]")
FOLDER = re.compile(r"[^/]*/|[^/]+")
SHORT = 16  # characters of a word that is kept whole, for which a phone has room


def environment(package: str) -> Environment:
    """Templates of a package; every value in them passes ``visible`` and is escaped on its way out."""
    folder = files(package)
    found = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["unbroken"] = unbroken
    return found


def safe(text: str) -> Markup:
    """``text`` made visible and escaped, for element content and quoted attributes."""
    return escape(visible(text))


def unbroken(text: str) -> Markup:
    """``text`` without line breaks at the hyphens of short names and before %: names and figures stay whole.

    A path may be broken after each of its folders.  In a sentence a name has a digit or a slash.
    """
    whole, alone = Markup('<span class="whole">{}</span>'), " " not in text
    parts = [
        whole.format(safe(part)) if "-" in part and len(part) <= SHORT and (alone or NAME.search(word)) else safe(part)
        for word in text.replace(" %", "\u00a0%").split(" ")
        for part in [*FOLDER.findall(word), " "]
    ]
    return Markup("").join(parts[:-1])


def number(value: float, percent: bool = False) -> str:
    """A tick or a value in a description, as short as it is exact to six digits."""
    value = 100 * value if percent else value
    text = f"{value:,.6g}" if abs(value) >= 1e4 else f"{value:.6g}"
    return text.replace("-", "−") + ("\u202f%" if percent else "")
