"""The program that ``mathpool.py`` runs: it reads a JSON question per line and writes one word per line.

It imports nothing from this package, so that a process loads only sympy.  After its start it writes ``ready``.  The
answer to a question ``[seconds, kind, one, other, step]`` is ``true``, ``false``, ``slow`` if it takes more CPU seconds
or memory than allowed, or ``died`` if the system ended the process for another reason.

A child process answers the questions, because only the end of a process stops a computation such as ``9^{9^{9}}``: a
profiling timer without a handler kills the child, and the parent, which has sympy loaded, forks the next one in
milliseconds.  Memory is limited.

Two values are equal if their difference is exactly zero, if they are irrational and agree in 40 digits, or if they have
variables and agree in 25 digits at every fixed test point where both are defined.
"""

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy, normalize_latex
from sympy import Eq, Ge, Gt, I, Le, Lt, MatrixBase, Ne, Rational
from sympy.core.random import seed

MEMORY = 4 << 30
LETTERS = 12  # maximum number of variables of an answer
POINTS = [  # in (-3, 3), five with both signs and two positive, with digits that no answer has
    *(
        [(0.37, -2.41, 1.13, 2.77, -0.59)[(i + j) % 5] + 0.0123 * i + 0.00457 * j for j in range(LETTERS)]
        for i in range(5)
    ),
    [0.21 + 0.173 * j for j in range(LETTERS)],
    [1.07 + 0.0911 * j for j in range(LETTERS)],
]
DECIMAL = re.compile(r"(?<![\w.])(\d*)\.(\d+)")
UNREAL = re.compile(r"(?<![a-zA-Z\\])i(?![a-zA-Z])|\\(?:imath|mathbb|Re|Im|arg)(?![a-z])")
KEEP = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
)
IRRATIONAL, VARIABLE = Rational(1, 10**40), Rational(1, 10**25)  # relative differences that rounding explains
FLIPPED = {Ge: Le, Gt: Lt}
Step = tuple[int, int] | None  # one unit of the last digit of a decimal that may be rounded, as a fraction


@lru_cache(512)  # the reference answer is the same for all samples of a problem
def expression(text: str) -> Any:
    """The sympy expression of ``text`` in LaTeX, decimals as exact fractions."""
    text = re.sub(rf"\^({DECIMAL.pattern})", r"^{\1}", text)
    text = DECIMAL.sub(lambda m: rf"(\frac{{{int(m[1] + m[2])}}}{{{10 ** len(m[2])}}})", text)
    found = latex2sympy(
        normalize_latex(text, config=KEEP),
        is_real=not UNREAL.search(text),
        normalization_config=None,
        conversion_config=ConversionConfig(lowercase_symbols=False),
    )
    return found.subs(dict.fromkeys(found.free_symbols, I)) if {s.name for s in found.free_symbols} == {"i"} else found


def same_constant(a: Any, b: Any, step: Step) -> bool:
    """Equality of two values without variables."""
    if step is not None:
        a, b = a.evalf(60), b.evalf(60)
        return bool(a.is_real and b.is_real and abs(a - b) <= Rational(*step) / 2)
    if a == b:
        return True
    if a.is_Rational and b.is_Rational:
        return False
    x, y = a.evalf(60), b.evalf(60)
    if not (x.is_finite and y.is_finite):
        return False
    scale = max(abs(x), abs(y))
    if scale < 10**-200:
        return (a - b).equals(0) is True
    return bool(abs(x - y) < scale * IRRATIONAL)


def values(pair: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """The values of two expressions at every point where both are finite."""
    symbols = sorted(pair[0].free_symbols | pair[1].free_symbols, key=str)
    for point in POINTS if len(symbols) <= LETTERS else ():
        at = {s: Rational(str(round(x, 5))) for s, x in zip(symbols, point, strict=False)}
        x, y = (e.subs(at).doit().evalf(40) for e in pair)
        if all(v.is_number and v.is_finite for v in (x, y)):
            yield x, y


def same_value(a: Any, b: Any, step: Step = None) -> bool:
    a, b = a.doit(), b.doit()
    if isinstance(a, MatrixBase) or isinstance(b, MatrixBase):
        if not (isinstance(a, MatrixBase) and isinstance(b, MatrixBase) and a.shape == b.shape):
            return False
        return all(same_value(x, y) for x, y in zip(a.flat(), b.flat(), strict=True))
    if not (a.free_symbols or b.free_symbols):
        return same_constant(a, b, step)
    if a == b:
        return True
    pairs = list(values((a, b)))
    return len(pairs) >= 2 and all(abs(x - y) <= max(abs(x), abs(y)) * VARIABLE for x, y in pairs)


def same_relation(a: Any, b: Any) -> bool:
    """Whether two equations or inequalities differ by a factor only, for inequalities a positive one."""
    if a == b:
        return True
    if not all(isinstance(e, (Eq, Ne, Ge, Gt, Le, Lt)) for e in (a, b)):
        return False
    one, other = (e.args[1] - e.args[0] if e.func in FLIPPED else e.args[0] - e.args[1] for e in (a, b))
    kind, same = (FLIPPED.get(e.func, e.func) for e in (a, b))
    one, other = one.doit(), other.doit()
    if kind is not same or one.free_symbols != other.free_symbols:
        return False
    if one == other:
        return True
    ratios = [x / y for x, y in values((one, other)) if x != 0 and y != 0]
    if len(ratios) < 3 or any(abs(ratio / ratios[0] - 1) > VARIABLE for ratio in ratios):
        return False
    return bool(kind in (Eq, Ne) or (ratios[0].is_real and ratios[0] > 0))


def answer(kind: str, one: str, other: str, step: Step = None) -> bool:
    seed(0)  # of the numbers that sympy tries
    a, b = expression(one), expression(other)
    return same_relation(a, b) if kind == "relation" else same_value(a, b, step)


def serve() -> None:
    """Answer questions until there are no more."""
    sys.set_int_max_str_digits(0)
    for line in iter(sys.stdin.readline, ""):
        seconds, *question = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            equal = answer(*question)
        except MemoryError:
            equal = None
        except Exception:  # sympy raises errors of many types; none of these texts is a correct answer
            equal = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        print("slow" if equal is None else "true" if equal is True else "false", flush=True)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for one, other in ((r"\frac{x^2+1}{2}", r"\sqrt[3]{2}\pi"), (r"(a+b)(a-b)", r"a^{2}-b^{2}"), (r"\sin 2", r"3!")):
        answer("value", one, other)  # the parser builds its tables
    print("ready", flush=True)
    while True:
        if not (child := os.fork()):
            serve()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return
        print("slow" if os.WTERMSIG(status) == signal.SIGPROF else "died", flush=True)


if __name__ == "__main__":
    main()
