"""Which texts a library may evaluate as a formula: some scorers call ``eval`` or ``sympy.parse_expr`` on an answer.

A formula is harmless if, read as Python, it is arithmetic of numbers, names of one letter, pi and a few functions of
one argument, with powers whose exponents are numbers and that cannot become large.  Nothing is evaluated to decide
that.  Comments and line breaks, which Python drops, are refused: a scorer may read the text itself, too.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass

LONGEST = 1000  # characters
OTHER = re.compile(r"[#\\\n\r;]")
MOST_BITS = 10_000.0  # of a number that powers make
LARGEST_DEGREE = 64.0  # of a formula with variables, which sympy may multiply out
FUNCTIONS = {"sqrt", "exp", "log", "ln", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "Abs"}
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)


@dataclass(frozen=True)
class Size:
    """Bounds on a formula: the bits of its numbers, numerators and denominators, and its degree in its variables.

    ``plain`` is the value if the formula is a number with a sign, which an exponent has to be.
    """

    bits: float
    degree: float = 0.0
    plain: float | None = None


def harmless(text: str) -> bool:
    """Whether a text is a formula of bounded size that names nothing but variables and known functions."""
    text = text.strip()
    if len(text) > LONGEST or OTHER.search(text):
        return False
    try:
        size = _size(ast.parse(text, mode="eval").body)
    except (ValueError, SyntaxError, MemoryError, RecursionError, OverflowError):
        return False
    return size.bits <= MOST_BITS and size.degree <= LARGEST_DEGREE


def _size(node: ast.expr) -> Size:
    """ValueError for what is no arithmetic, or too large."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            top, bottom = value.as_integer_ratio()
            return Size(top.bit_length() + bottom.bit_length(), plain=float(value))
        case ast.Name(id=name) if (len(name) == 1 and name.isascii()) or name == "pi":
            return Size(1.0, 1.0)
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            size = _size(operand)
            negative = isinstance(sign, ast.USub) and size.plain is not None
            return Size(size.bits, size.degree, -size.plain if negative and size.plain is not None else size.plain)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            size = _size(argument)
            return Size(size.bits, size.degree + 1.0)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_size(left), _exponent(right))
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, OPERATORS):
            one, other = _size(left), _size(right)
            sums = isinstance(operator, ast.Add | ast.Sub)
            degree = max(one.degree, other.degree) if sums else one.degree + other.degree
            return Size(one.bits + other.bits, degree)
    raise ValueError("not arithmetic")


def _exponent(node: ast.expr) -> float:
    """The size of an exponent: a number, or the quotient of two, or a variable, which counts as 1."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        parts = [_size(part).plain for part in (node.left, node.right)]
        if None not in parts and parts[1]:
            return max(abs(part) for part in parts if part is not None)
    size = _size(node)
    if size.plain is not None:
        return abs(size.plain)
    if isinstance(node, ast.Name) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name)):
        return 1.0
    raise ValueError("an exponent that is no number")


def _power(base: Size, exponent: float) -> Size:
    size = Size(base.bits * max(1.0, exponent), base.degree * max(1.0, exponent))
    if size.bits > MOST_BITS or size.degree > LARGEST_DEGREE or not math.isfinite(size.bits):
        raise ValueError("too large")
    return size
