"""Format, parse and reduce expressions, one operation at a time.  Text is parsed, never evaluated as code."""

from __future__ import annotations

from collections.abc import Sequence

from rlready.tasks.dagmath.graph import Dag, Expr, binary_operations, evaluate, references

LONGEST = 100  # tokens of an expression; correct ones are far shorter, and parsing stays fast


class UnknownQuantity(ValueError):
    """What stands for a parameter that the problem does not have, or that has no name yet."""


def expression_text(expr: Expr, names: dict[str, str], nested: bool = False) -> str:
    """An expression as text: a space between tokens, and only the brackets that are needed."""
    if isinstance(expr, tuple):
        op, left, right = expr
        product = op == "*"
        text = f"{expression_text(left, names, product)} {op} {expression_text(right, names, True)}"
        return f"( {text} )" if nested and not product else text
    return names[expr] if isinstance(expr, str) else str(expr)


def substitute(expr: Expr, values: dict[str, int]) -> Expr:
    """The expression with every parameter replaced by its value."""
    if isinstance(expr, tuple):
        return (expr[0], substitute(expr[1], values), substitute(expr[2], values))
    return values[expr] if isinstance(expr, str) else expr


def reduce_once(expr: Expr, modulus: int | None) -> Expr:
    """Carry out the first operation whose operands are numbers, brackets and products before sums."""
    if not isinstance(expr, tuple):
        return expr
    op, left, right = expr
    if isinstance(left, int) and isinstance(right, int):
        return evaluate(expr, {}, modulus)
    if isinstance(left, tuple) and not (op in "+-" and left[0] != "*" and isinstance(right, tuple)):
        return (op, reduce_once(left, modulus), right)
    if isinstance(right, tuple):
        return (op, left, reduce_once(right, modulus))
    return (op, reduce_once(left, modulus), right)


def worked_chain(dag: Dag, key: str, *, short: bool = False) -> list[Expr]:
    """Definition, substitution, then (unless ``short``) one reduction at a time down to (not including) the value."""
    expr = dag.exprs[key]
    chain = [expr]
    if references(expr):
        chain.append(substitute(expr, dag.values))
    while not short and (binary_operations(chain[-1]) > 1 or (len(chain) == 1 and binary_operations(chain[-1]))):
        chain.append(reduce_once(chain[-1], dag.modulus))
    return chain


def parse_expression(tokens: Sequence[str], keys: dict[str, str]) -> Expr:
    """Parse tokens as an expression, left associative; ValueError if they are not one."""
    if len(tokens) > LONGEST:
        raise ValueError(f"an expression is longer than {LONGEST} tokens")
    rest = list(tokens)

    def atom() -> Expr:
        if not rest:
            raise ValueError("an expression ends too early")
        token = rest.pop(0)
        if token == "(":
            inner = sums()
            if not rest or rest.pop(0) != ")":
                raise ValueError("a bracket is not closed")
            return inner
        if token.lstrip("-").isascii() and token.lstrip("-").isdigit() and len(token) < 10:
            return int(token)
        if token in keys:
            return keys[token]
        raise UnknownQuantity(f"{token!r} is neither a number nor a known parameter")

    def products() -> Expr:
        expr = atom()
        while rest and rest[0] == "*":
            rest.pop(0)
            expr = ("*", expr, atom())
        return expr

    def sums() -> Expr:
        expr = products()
        while rest and rest[0] in "+-":
            expr = (rest.pop(0), expr, products())
        return expr

    expr = sums()
    if rest:
        raise ValueError(f"unexpected {rest[0]!r}")
    return expr


def split_at_equals(tokens: Sequence[str]) -> list[list[str]]:
    """The tokens, split at every equals sign."""
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == "=":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
