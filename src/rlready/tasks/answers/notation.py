"""The plain notation: answers in Unicode, Markdown and LaTeX become the same short text.

``plain("**\\(\\dfrac{1}{2}\\)**.")`` is ``\\frac{1}{2}``.  Nothing is computed, and everything
that carries meaning is kept: brackets, signs and words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rlready.core.text import INVISIBLE

SYMBOLS = {
    "−": "-", "‐": "-", "‑": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "÷": "/", "⁄": "/", "∕": "/", "≤": "<=", "⩽": "<=", "≥": ">=", "⩾": ">=", "≠": "!=", "≈": r"\approx ",
    "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap ", "∞": r"\infty ", "π": r"\pi ", "√": r"\sqrt ", "±": r"\pm ",
    "∓": r"\mp ", "°": r"^\circ ", "º": r"^\circ ", "′": "'", "’": "'", "∅": r"\emptyset ", "“": '"', "”": '"',
    "ℝ": r"\mathbb{R}", "Ω": r"\Omega ", "。": ". ",
}  # fmt: skip
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
RANGE = re.compile(r"(?<=\d)[–—](?=\d)")  # "3–5" is a range, not a difference
ROOT = re.compile(r"(?:√|\\sqrt(?![a-zA-Z]))\s*(\d+(?:\.\d+)?)")  # the root of 13, not of 1, times 3
REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s*\{\s*(\d+)\s*\}")
LENGTH = re.compile(r"([^'\"]*\d)(['\"])")
FACTORIAL = re.compile(r"[^\W_]!{1,2}$")
PRIMED = re.compile(r"[^'\"]*[A-Za-z]'+")  # a derivative
RAISED = re.compile(f"[{''.join(SUPERSCRIPTS)}]+")
GREEK = r"\\(?:pi|alpha|beta|theta)"  # that stand in fractions without braces
REWRITES = [
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\begin\{(?:aligned|align|equation|gather)\*?\}|\\end\{(?:aligned|align|equation|gather)\*?\}", " "),
        (r"\\\\(?=(?:left|right|[dtc]?frac|sqrt|text|pi|infty|leq?|geq?|in|cup|cdot|times|boxed)(?![a-z]))", r"\\"),
        (r"\\(?:text\w*|mbox|mathrm)\s*\{\s*,\s*\}|,\\!\s*| ?\{ ?, ?\} ?", ","),
        (r"\\(?:left|right|[bB]igg?[lrm]?)(?![a-zA-Z])\.?|\\displaystyle|\\limits|\\!", ""),
        (r"(?<!\\)\\(?:[,;: ]|qquad|quad|(?:thinspace|space|nobreakspace)(?![a-zA-Z]))|(?<!\\)~", " "),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (rf"\\frac\s*({GREEK}|[a-zA-Z])(?![a-zA-Z])\s*(\{{|\\[a-z]+|[0-9a-zA-Z])", r"\\frac{\1}\2"),
        (r"(\\sqrt\s*\[\s*\w+\s*\])\s*(\d+(?:\.\d+)?|[a-zA-Z](?![a-zA-Z]))", r"\1{\2}"),
        (r"(?<!\\)\{((?:(?!\\choose(?![a-zA-Z]))[^{}])*+)\\choose(?![a-zA-Z])([^{}]*+)(?<!\\)\}", r"{\\binom{\1}{\2}}"),
        (r"\\log\s*_\s*(?:\{\s*e\s*\}|e(?![a-zA-Z]))", r"\\ln "),
        (r"\{\s*:\s*\}", ":"),
        (rf"(\\frac\s*\{{[^{{}}]*\}})\s*({GREEK}(?![a-zA-Z])|[0-9a-zA-Z](?!\w))", r"\1{\2}"),
        (r"\\(?:blacksquare|square|qed|Box)(?![a-zA-Z])|[✅✔✓☑■□∎🎉]\ufe0f?", " "),
        (r"\\(?:large|Large|LARGE|huge|small|bf|it|rm)(?![a-zA-Z])(?!\s*\{)", " "),
        (r"\\\\\[-?[\d.]+(?:pt|em|ex|mm)\]|\\cr(?![a-zA-Z])", r"\\\\"),
        (r"\\(?:text)?color\s*\{[a-zA-Z]+\}", ""),
        (r"\\(?:varnothing|emptyset)(?![a-zA-Z])|\\\{\s*\\\}", r"\\emptyset "),
        (r"\\langle(?![a-zA-Z])(.*?)\\rangle(?![a-zA-Z])", r"(\1)"),
        (r"\\(?:leqslant|leq|le)(?![a-zA-Z])", "<="),
        (r"\\(?:geqslant|geq|ge)(?![a-zA-Z])", ">="),
        (r"\\(?:neq|ne)(?![a-zA-Z])", "!="),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\(?:lbrace|\{)", r"\\{"),
        (r"\\(?:rbrace|\})", r"\\}"),
        (r"\\(?:degree|deg)(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}|\^\s*\\circ", r"^\\circ "),
        (r"\\colon(?![a-zA-Z])", ":"),
        (r"(?<![a-zA-Z\\])infinity(?![a-zA-Z])", r"\\infty"),
        (r"\\(?:\(|\)|\[|\])|\$\$", " "),
    )
]
WORDS = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|tt|sf)?|mbox|mathrm|mathbf|mathit|boldsymbol|bm|underline|rm|bf|operatorname)"
    r"\s*\{((?:[^{}]|\^\s*\{\s*-?\d\s*\})*)\}"
)
PARTS = (  # of a value in two units: the larger one, and those of its parts
    ("weeks?", "days?"),
    ("days?", "hours?|hrs?|minutes?|mins?"),
    ("years?", "months?|weeks?|days?"),
    ("hours?|hrs?", "minutes?|mins?|seconds?|secs?"),
    ("minutes?|mins?", "seconds?|secs?"),
    ("feet|foot|ft", "inch(?:es)?|in"),
    ("pounds?|lbs?", "ounces?|oz"),
    ("dollars?", "cents?"),
    ("kg", "g"),
    ("km", "met(?:er|re)s?|m"),
    ("met(?:er|re)s?|m", "centimet(?:er|re)s?|cm"),
)
COMPOUND, BESIDE = (  # "3 hours and 20 minutes" or a list of two values; "3 hours 20 minutes", which is one
    re.compile(
        "|".join(rf"(?<=\d) ?(?:{whole}){between}(?=\d+ ?(?:{part})(?![a-zA-Z]))" for whole, part in PARTS),
        re.IGNORECASE,
    )
    for between in ("(?:,? and |, )", " ")
)
EMPHASIS = re.compile(r"(?<![\w)*])(\*{1,3}|_{1,3}|`)(?=\S)([^*`]+?)(?<=\S)\1(?![\w(*])")
EDGES = " \t\r\n.,;:!?\"'*`"


@lru_cache(1 << 14)
def plain(text: str) -> str:
    """``text`` in the plain notation.  Nested mark-up takes more than linear time, so texts must be short."""
    text = RANGE.sub(" to ", INVISIBLE.sub("", text))
    text = ROOT.sub(r"\\sqrt{\1}", text)
    text = RAISED.sub(lambda m: "^{" + "".join(SUPERSCRIPTS[c] for c in m[0]) + "}", text)
    text = "".join(map(_character, text))
    text = text.replace("\\$", "\0").replace("\\%", "%")
    for pattern, by in REWRITES[:4]:
        text = pattern.sub(by, text)
    if text.count("$") % 2 == 0 or (text[:1] == text[-1:] == "$"):  # delimiters of LaTeX; one alone is a currency
        text = text.replace("$", " ")
    for pattern, by in REWRITES[4:]:
        text = pattern.sub(by, text)
    text = text.replace("\0", "$")
    while text != (text := WORDS.sub(r" \1 ", text)):
        pass
    while text != (text := EMPHASIS.sub(r"\2", text)):
        pass
    text = REPEATING.sub(_repeating, " ".join(text.split()))
    if length := LENGTH.fullmatch(text):  # feet and inches; elsewhere these are quotation marks
        text = length[1] + (" foot" if length[2] == "'" else " inch")
    return _without_edges(text)


def in_one_value(one: str, other: str) -> tuple[str, str]:
    """Two answers, in which what may be one value in two units is one if it stands so in one of them."""
    if bool(BESIDE.search(one)) == bool(BESIDE.search(other)):
        return one, other
    joined = (
        COMPOUND.sub(lambda m: re.sub(r"(?:,? and|,) $", " ", m[0], flags=re.IGNORECASE), text) for text in (one, other)
    )
    return next(joined), next(joined)


def _repeating(m: re.Match[str]) -> str:
    """A repeating decimal as a fraction."""
    below = (10 ** len(m[3]) - 1) * 10 ** len(m[2])
    above = int((m[1] or "0") + m[2] + m[3]) - int((m[1] or "0") + m[2])
    return rf"\frac{{{above}}}{{{below}}}"


def _character(c: str) -> str:
    if c.isascii():
        return c
    if c in SYMBOLS:
        return SYMBOLS[c]
    if (digit := unicodedata.decimal(c, None)) is not None:
        return str(digit)
    plainer = unicodedata.normalize("NFKC", c)
    if "⁄" in plainer:  # ½, also in 1½
        return " " + plainer.replace("⁄", "/")
    return plainer


def _without_edges(text: str) -> str:
    """``text`` without surrounding quotation marks and a final full stop; a leading decimal point and ``n!`` stay."""
    text = text.strip()
    if PRIMED.fullmatch(text):
        return text
    while text and (text[-1] in EDGES and not FACTORIAL.search(text, len(text) - 3) and text[-2:-1] != "\\"):
        text = text[:-1]
    while text and text[0] in EDGES and not (text[0] == "." and text[1:2].isdigit()):
        text = text[1:]
    return text.strip()


def split_top(text: str, separators: str) -> list[str]:
    """The parts of ``text``, split at the characters of ``separators`` that are outside brackets."""
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        c = text[at]
        if c == "\\" and text[at + 1 : at + 2] in ("{", "}"):
            at += 1
            depth += 1 if text[at] == "{" else -1
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c in separators and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [part.strip() for part in (*parts, text[start:])]


def enclosed(text: str) -> bool:
    """Whether the first character of ``text`` is a bracket that its last character closes."""
    if text[:1] not in ("(", "[", "{") or text[-1:] not in (")", "]", "}"):
        return False
    depth = 0
    for at, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if depth == 0:
            return at == len(text) - 1
    return False


def unwrapped(text: str) -> str:
    """``text`` without brackets that only group: ``(5)`` and ``{1,2}``, but not ``(1,2)``, ``[5]`` or ``\\{5\\}``."""
    while enclosed(text):
        inner = text[1:-1].strip()
        groups = text[0] + text[-1] == "{}" and not inner.endswith("\\")
        if groups or (text[0] + text[-1] == "()" and len(split_top(inner, ",;")) == 1):
            text = inner
        else:
            break
    return text
