"""Text and numbers as the page prints them: every character visible, none of them markup."""

from __future__ import annotations

from markupsafe import Markup, escape

from rlready.core.text import visible


def safe(text: str) -> Markup:
    """``text`` made visible and escaped, for element content and quoted attributes."""
    return escape(visible(text))


def number(value: float, percent: bool = False) -> str:
    """A tick or a value in a description, as short as it is exact to six digits."""
    value = 100 * value if percent else value
    text = f"{value:,.6g}" if abs(value) >= 1e4 else f"{value:.6g}"
    return text.replace("-", "−") + ("\u202f%" if percent else "")
