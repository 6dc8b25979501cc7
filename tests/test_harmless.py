"""Formulas that a library may evaluate."""

from __future__ import annotations

import pytest

from rlready.tasks.harmless import harmless


@pytest.mark.parametrize(
    "text",
    [
        "9*(68 - 2 + 78 + 52)/14",
        "-x**2/2 + C",
        "2*x*sin(3*x) - log(x)",
        " 1.5e3*y ",
        "x**(1/2)",
        "x**-2",
        "2**64",
        "5 // 2 % 3",
        "exp(x)*x**3/6 - 2**x",
        "(x**2 + 1)*(x - 3)*(y + 2)",
    ],
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
        "66+98 # 34 54 6",  # a scorer that looks for numbers in the text would find them
        "66+98\\\n",
        "(66+\n98)",
        "1; 2",
        "9**9**9",
        "(9**999)**999",
        "2**10001",
        "9**Abs(10**9)",
        "9**sqrt(10**18)",
        "9**(x-x+10**9)",
        "9**(1//1e-9)",
        "1e300*1e300**30",
        "(x + 1)**999",
        "(((x+y+z+a)**62)**62)**62",
        "x**(9**9)",
        "((((9**99)**99)**99)**99)",
        "(" * 500 + "1" + ")" * 499,
        "1+" * 600 + "1",
        "1" * 5000,
        "1e400",
        "\0",
        "",
        "1 2",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert not harmless(text)
