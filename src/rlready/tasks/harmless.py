"""Which texts a library may evaluate as a formula: some scorers call ``eval`` or ``sympy.parse_expr`` on an answer.

A formula is harmless if, read as Python, it is arithmetic of numbers, names of one letter, pi and a few functions of
one argument, with powers that cannot become large.  Nothing is evaluated to decide that.
"""

from __future__ import annotations

import ast
import math

LONGEST = 1000  # characters
MOST_BITS = 10_000.0  # of a power of numbers
LARGEST_POWER = 64.0  # of what is no number, which sympy may multiply out
FUNCTIONS = {"sqrt", "exp", "log", "ln", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "Abs"}
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.FloorDiv, ast.Mod)


def harmless(text: str) -> bool:
    """Whether a text is a formula of bounded size that names nothing but variables and known functions."""
    if len(text) > LONGEST:
        return False
    try:
        _bits(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, MemoryError, RecursionError, OverflowError):
        return False
    return True


def _bits(node: ast.expr) -> float | None:
    """At most so many bits before the point has the value of a formula, None with variables; ValueError if harmful."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return math.log2(abs(value) + 2)
        case ast.Name(id=name) if (len(name) == 1 and name.isascii()) or name == "pi":
            return None
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            return _bits(operand)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            _bits(argument)
            return None
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_bits(left), _bits(right))
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, OPERATORS):
            one, other = _bits(left), _bits(right)
            return None if one is None or other is None else one + other
    raise ValueError("not arithmetic")


def _power(base: float | None, exponent: float | None) -> float | None:
    if exponent is None:
        return None
    if base is None:
        if 2**exponent > LARGEST_POWER:
            raise ValueError("too high a power")
        return None
    if base * 2**exponent > MOST_BITS:
        raise ValueError("too large a number")
    return base * 2**exponent
