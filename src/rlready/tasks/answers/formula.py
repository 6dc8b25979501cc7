"""How a formula is written for the parser of LaTeX, so that it reads what was meant.

The argument of a function without brackets ends before a sign, where all mathematicians end it: ``\\ln 2/2`` is half of
``\\ln 2``, and ``\\sin x/\\cos x`` is the tangent.  The parser goes on to the end of the term.  What is written both
ways, as ``\\cos 2\\pi/3`` and ``\\ln x/2``, is left to it.
"""

from __future__ import annotations

import re

FUNCTION = re.compile(
    r"(?<![\\a-zA-Z])(arcsin|arccos|arctan|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|infty)(?![a-zA-Z])"
)
ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
PRIME = re.compile(r"([A-Za-z])('+)")  # the parser drops it
DERIVATIVE = re.compile(r"\\frac\s*\{\s*(?:d|\\partial)\s*([a-zA-Z]*)\s*\}\s*\{\s*(?:d|\\partial)\s*([a-zA-Z])\s*\}")
NEGATIVE = re.compile(r"\^\s*(-\s*(?:\d+|[a-zA-Z]))")  # an exponent, which the parser wants in braces
ANGLE, POWER = "(?:sin|cos|tan|cot|sec|csc)", r"(?:\^(?:\{\w+\}|\w))?"
LOG = r"\\(?:ln|lg|log(?:_(?:\{[^{}]*\}|\w))?)(?![a-zA-Z])"
CALL = rf"(?:\\(?:arc)?{ANGLE}(?![a-zA-Z]){POWER}|{LOG}{POWER})"
PRODUCT = r"\s*(?:\*|\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z]))\s*"
SIGN = rf"(?:\s*/\s*|{PRODUCT})"
APPLIED = [
    re.compile(rf"({CALL}\s*(?:\{{[^{{}}]*\}}|\d+|[a-zA-Z]|\\[a-z]+))(?={SIGN}\d*\s*{CALL})"),  # f a/f b
    re.compile(rf"({LOG}{POWER}\s*(?:\{{\d+\}}|\d+(?![\d.])))(?={SIGN})"),  # ln 2/k
    re.compile(rf"({CALL}\s*([a-zA-Z]))(?=\s*/\s*\2(?!\w))"),  # sin x/x
    re.compile(rf"({CALL}\s*[a-zA-Z])(?={PRODUCT})"),  # sin x \cdot x
]
FACTORS = [  # side by side, of which the parser adds numbers, as those of 2 1/2
    re.compile(r"(?<=\))\s*(?=\(|\d|\\[dt]?frac)"),
    re.compile(r"((?<![_^\w.\\}])\d+(?:\.\d+)?|\\pi)\s*(?=\()"),
]
ANGLED = re.compile(rf"(?<![a-zA-Z]){ANGLE}(?![a-zA-Z])")
SIDE_BY_SIDE = re.compile(
    r"(?<![\w.^_\\{}])(?:\{\d+\}\s*\{\d+\}|\d+(?:\.\d+)?(?:\s+|\s*\\[lc]?dots\s*)\{?\d+(?:\.\d+)?(?![\w./]|\s*[\\/]))"
)
DEGREES = re.compile(r"(?:\{\s*(\d+(?:\.\d+)?)\s*\}|(\d+(?:\.\d+)?))\s*(?:\^\\circ(?![a-zA-Z])|degrees?(?![a-zA-Z]))")


def is_no_formula(text: str) -> bool:
    """Whether numbers stand side by side, with no sign between them, so that it is not known what is meant."""
    return SIDE_BY_SIDE.search(text) is not None


def in_radians(text: str) -> str:
    """A formula with a function of an angle, with all its degrees as multiples of pi."""
    return DEGREES.sub(lambda m: rf"(\frac{{{m[1] or m[2]}\pi}}{{180}})", text) if ANGLED.search(text) else text


def formula(text: str) -> str:
    """A formula for the parser."""
    text = PRIME.sub(lambda m: f"P_{{{ord(m[1])}9{len(m[2])}}}", DERIVATIVE.sub(r"D_{\1\2}", text))
    text = NEGATIVE.sub(r"^{\1}", FUNCTION.sub(r"\\\1", text.replace("**", "^")))
    for applied in APPLIED:
        text = applied.sub(r"(\1)", text)
    text = FACTORS[1].sub(r"\1\\cdot ", FACTORS[0].sub(r"\\cdot ", text))
    return ROOT.sub(r"\\sqrt{\1}", text)
