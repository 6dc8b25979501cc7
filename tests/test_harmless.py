"""Formulas that a library may evaluate."""

from __future__ import annotations

import pytest

from rlready.tasks.harmless import harmless


@pytest.mark.parametrize(
    "text",
    ["9*(68 - 2 + 78 + 52)/14", "-x**2/2 + C", "2*x*sin(3*x) - log(x)", " 1.5e3*y ", "x**(1/2)", "2**64", "5 // 2 % 3"],
)
def test_arithmetic_is_harmless(text: str) -> None:
    assert harmless(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "().__class__",
        "x.real",
        "x[0]",
        "lambda: 1",
        "[1 for x in y]",
        "'a'",
        "print(1)",
        "sin(x, y)",
        "sin(x, evaluate=1)",
        "exit()",
        "eval(x)",
        "True",
        "1j",
        "x := 1",
        "x if y else 1",
        "9**9**9",
        "(9**999)**999",
        "2**10001",
        "(x + 1)**999",
        "x**(9**9)",
        "((((9**99)**99)**99)**99)",
        "(" * 500 + "1" + ")" * 499,
        "1+" * 600 + "1",
        "1" * 5000,
        "\0",
        "",
        "1 2",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert not harmless(text)
