"""Parse, check and write out GSM8K's calculator annotations, ``<<48/2=24>>`` (Cobbe et al., arXiv 2110.14168).

Exact rational arithmetic; text is parsed, never evaluated.  Unfit for a calculation that is too long to be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from rlready.inject.errors import Unfit

ANNOTATION = re.compile(r"<<([^<>]*)>>")
TOKEN = re.compile(r"\s*([0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+|[-+*/()])")
LONGEST, DIGITS = 200, 6  # characters of an annotation, and decimals of a number worth writing
MOST_TOKENS = 100  # numbers, signs and brackets of a calculation: it is read by recursion

IN_PROSE = "0123456789.,+-*/()xX×÷$€£¢ "  # what a calculation in prose is written with
PLAIN = str.maketrans("xX×÷", "***/", "$€£¢")
EXACT = Fraction(1, 10**12)  # of a number: the annotations were made with floating point

Calc = Fraction | tuple[str, "Calc", "Calc"]


@dataclass(frozen=True)
class Annotation:
    """``tokens`` are those of the left-hand side, as written; ``operands`` its numbers."""

    tokens: tuple[str, ...]
    calc: Calc
    value: Fraction

    @property
    def operands(self) -> tuple[Fraction, ...]:
        return tuple(number(t) for t in self.tokens if t[-1] in "0123456789.")


def read_annotation(text: str) -> Annotation:
    """Parse the text between << and >>; ValueError if it is not a calculation."""
    left, equals, right = text.partition("=")
    if not equals or "=" in right or len(text) > LONGEST:
        raise ValueError("an annotation is not one calculation")
    tokens = _tokens(left)
    value = _parse(_tokens(right))
    if not isinstance(value, Fraction):
        raise ValueError("the result of an annotation is not a number")
    return Annotation(tuple(tokens), _parse(tokens), value)


def arithmetic(text: str) -> Calc:
    """Parse a calculation in prose, ignoring currency signs; ValueError if it contains anything else."""
    return _parse(_tokens(text.translate(PLAIN)))


def number(text: str) -> Fraction:
    return Fraction(text.replace(",", "").rstrip("."))


def evaluate(calc: Calc) -> Fraction:
    """The value; ValueError for a division by zero."""
    if isinstance(calc, Fraction):
        return calc
    op, left, right = calc
    a, b = evaluate(left), evaluate(right)
    if op == "/" and not b:
        raise ValueError("a division by zero")
    return a + b if op == "+" else a - b if op == "-" else a * b if op == "*" else a / b


def states(value: Fraction, text: str) -> bool:
    """Whether the number ``text`` states ``value``: exactly, or rounded or truncated to the decimals that it shows."""
    shown, places = number(text), len(text.rstrip(".").partition(".")[2])
    off, unit = abs(shown - value), Fraction(1, 10**places) if places else Fraction(0)
    truncated = off < unit and shown * value >= 0 and abs(shown) <= abs(value)
    return truncated or off <= max(unit / 2, EXACT * max(Fraction(1), abs(value)))


def reductions(calc: Calc) -> list[Calc]:
    """The intermediate calculations up to the value, each with one more operation carried out."""
    chain: list[Calc] = []
    while _operations(calc) > 1:
        calc = _reduced(calc)
        chain.append(calc)
    return chain


def write_calculation(calc: Calc) -> str:
    """The calculation with a space around every operator; ValueError for a number with too many decimals."""
    if isinstance(calc, Fraction):
        return decimal(calc)
    op, left, right = calc
    parts = [write_calculation(left), write_calculation(right)]
    for i, side in enumerate((left, right)):
        weak = isinstance(side, tuple) and side[0] in "+-"
        tight = op in "*/" or (op == "-" and i == 1)
        product = isinstance(side, tuple) and side[0] in "*/"
        negative = isinstance(side, Fraction) and side < 0
        if (weak and tight) or (product and op == "/" and i == 1) or (negative and i == 1):
            parts[i] = f"({parts[i]})"
    return f"{parts[0]} {op} {parts[1]}"


def decimal(value: Fraction) -> str:
    """The number in full; ValueError if that takes too many decimals."""
    scaled = value * 10**DIGITS
    if scaled.denominator != 1:
        raise ValueError("a number has too many decimals to write")
    whole, rest = divmod(abs(scaled.numerator), 10**DIGITS)
    text = f"{whole}.{rest:0{DIGITS}}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def _tokens(text: str) -> list[str]:
    tokens, at, text = list[str](), 0, text.rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found:
            raise ValueError("an annotation is not plain arithmetic")
        tokens.append(found[1])
        at = found.end()
    return tokens


def _parse(tokens: list[str]) -> Calc:
    """Left associative; a sign is read before a number at the start or after a bracket."""
    if len(tokens) > MOST_TOKENS:
        raise Unfit(f"a calculation has more than {MOST_TOKENS} numbers and signs")
    rest = tokens[::-1]

    def atom() -> Calc:
        token = rest.pop() if rest else ""
        if token == "(":
            inner = sums()
            if not rest or rest.pop() != ")":
                raise ValueError("an annotation has a bracket that is not closed")
            return inner
        if token in ("+", "-") and rest and rest[-1][-1] in "0123456789.":
            return number(rest.pop()) * (-1 if token == "-" else 1)
        if not token or token in "+-*/)":
            raise ValueError("an annotation is not plain arithmetic")
        return number(token)

    def products() -> Calc:
        calc = atom()
        while rest and rest[-1] in "*/":
            calc = (rest.pop(), calc, atom())
        return calc

    def sums() -> Calc:
        calc = products()
        while rest and rest[-1] in "+-":
            calc = (rest.pop(), calc, products())
        return calc

    calc = sums()
    if rest:
        raise ValueError("an annotation is not plain arithmetic")
    return calc


def _operations(calc: Calc) -> int:
    return 1 + _operations(calc[1]) + _operations(calc[2]) if isinstance(calc, tuple) else 0


def _reduced(calc: Calc) -> Calc:
    """The first operation carried out, in the order of reading, brackets and products before sums."""
    if isinstance(calc, Fraction):
        return calc
    op, left, right = calc
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return evaluate(calc)
    if isinstance(left, tuple) and (op in "*/" or _has_priority(left) or isinstance(right, Fraction)):
        return (op, _reduced(left), right)
    return (op, left, _reduced(right))


def _has_priority(calc: Calc) -> bool:
    """Whether a bracket or a product in it comes before its sums."""
    return isinstance(calc, tuple) and (calc[0] in "*/" or isinstance(calc[2], tuple) or _has_priority(calc[1]))
