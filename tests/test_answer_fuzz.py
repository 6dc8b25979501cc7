"""Answers that models and attackers write: none stops or stalls the comparison, and none is right by accident.

``python tests/test_answer_fuzz.py 20000 [SEED]`` tries more of them and prints the dearest.
"""

from __future__ import annotations

import random
import sys
import time

from rlready.tasks.answers.verify import judge, voted

# no generated answer has their value; each kind of reference answer is there
GOLDS = (
    "7919",
    "-7919.25",
    "\\frac{7919}{104729}",
    "\\sqrt{7919}",
    "7919\\%",
    "7919 km",
    "x^{7919}+5x",
    "x=7919y+1",
    "(7919, 7927)",
    "[7919, 7927)",
    "\\{7919, 7927\\}",
    "x > 7919",
    "\\begin{pmatrix} 7919 & 1 \\\\ 2 & 3 \\end{pmatrix}",
    "Reykjavik",
    "K",
    "7919 : 7927",
    "17:19 PM",
    "Yes, 7919",
)
ATOMS = ("0", "1", "2", "5", "9", "10", "0.1", "1e9", "x", "y", "n", "i", "e", "\\pi", "\\infty", "-1", "\\theta")
UNARY = (
    "\\sqrt{%s}",
    "(%s)!",
    "%s!!",
    "\\sin(%s)",
    "\\ln(%s)",
    "e^{%s}",
    "-%s",
    "\\left(%s\\right)",
    "|%s|",
    "\\text{%s}",
    "\\frac{1}{%s}",
    "\\lfloor %s \\rfloor",
    "\\sum_{n=1}^{%s} n",
    "\\prod_{n=1}^{%s} n",
    "\\int_0^{%s} e^{x^2} dx",
    "\\lim_{x\\to %s} x^x",
    "%s'",
    "\\overline{%s}",
    "{%s}",
    "%s\\%%",
    "%s^\\circ",
    "\\binom{%s}{2}",
    "$%s$",
)
BINARY = (
    "%s+%s",
    "%s-%s",
    "%s*%s",
    "%s/%s",
    "%s^{%s}",
    "%s^%s",
    "\\frac{%s}{%s}",
    "%s \\cdot %s",
    "%s=%s",
    "%s<%s",
    "(%s,%s)",
    "[%s,%s]",
    "%s \\pm %s",
    "%s \\cup %s",
    "%s or %s",
    "%s:%s",
    "%s_{%s}",
    "\\log_{%s} %s",
    "\\sqrt[%s]{%s}",
    "%s \\pmod{%s}",
    "%s,%s",
    "%s%s",
)
JUNK = (
    *"{}()[]\\^_$&%#~|<>=+-*/!?.,;:'\"@`",
    "\\frac",
    "\\sqrt",
    "\\left(",
    "\\right)",
    "\\begin{matrix}",
    "\\end{matrix}",
    "\\text{",
    "\\boxed{",
    "####",
    "</think>",
    "<answer>",
    "\u0000",
    "\u001b[2J",
    "\u202e",
    "\ud800",
    "\u200b",
    "٣",
    "²",
    "½",
    "∞",
    "√",
    "−",
    "×",
    "答案是",
    "😀",
    "ﷺ",
    "e\u0301" * 30,
    "\n",
    "\r",
    "\u2028",
    " ",
)
TALL = (  # what costs most: towers, factorials, long and deep texts
    lambda r: "^{".join(["9"] * r.randint(2, 40)) + "}" * 40,
    lambda r: "^".join(["9"] * r.randint(2, 40)),
    lambda r: f"(10^{{{r.randint(3, 12)}}})" + "!" * r.randint(1, 9),
    lambda r: r.choice("123456789") * 10 ** r.randint(2, 6),
    lambda r: "0." + r.choice("1234567") * 10 ** r.randint(2, 6),
    lambda r: f"1e{r.randint(300, 10**9)}",
    lambda r: "\\frac{1}{" * (n := r.randint(10, 3000)) + "x" + "}" * n,
    lambda r: "\\sqrt{" * (n := r.randint(10, 3000)) + "2" + "}" * n,
    lambda r: "(" * (n := r.randint(10, 30000)) + "1,2" + ")" * n,
    lambda r: "x" + "+x" * r.randint(100, 30000),
    lambda r: "x" + "^x" * r.randint(10, 300),
    lambda r: f"(x+y)^{{{r.randint(100, 10**6)}}}(x-y)^{{{r.randint(100, 10**6)}}}",
    lambda r: f"\\binom{{10^{r.randint(2, 9)}}}{{10^{r.randint(2, 8)}}}",
    lambda r: f"\\sum_{{n=1}}^{{10^{{{r.randint(2, 12)}}}}} \\frac{{1}}{{n^n}}",
    lambda r: f"\\int_0^1 \\sin(x^{{{r.randint(2, 99)}}})^{{{r.randint(2, 99)}}} dx",
    lambda r: "\\begin{pmatrix}" + "1&" * r.randint(1, 500) + "\\end{pmatrix}",
    lambda r: "{" * r.randint(1, 5000) + "1" + "}" * r.randint(1, 5000),
    lambda r: ",".join(map(str, range(r.randint(10, 20000)))),
    lambda r: " or ".join(f"x={n}" for n in range(r.randint(10, 3000))),
    lambda r: "\\boxed{" * r.randint(1, 3000) + "3",
)
MARKS = ("%s", "\\boxed{%s}", "#### %s", "The answer is %s.", "<answer>%s</answer>", "**Answer:** %s", "$$%s$$")
COST = 0.5  # seconds of CPU time of this process; that of the process that compares formulas is limited to one second


def expression(random: random.Random, depth: int) -> str:
    """A formula, mostly well formed."""
    if depth == 0 or random.random() < 0.2:
        return random.choice(ATOMS)
    if random.random() < 0.5:
        return random.choice(UNARY) % expression(random, depth - 1)
    return random.choice(BINARY) % (expression(random, depth - 1), expression(random, depth - 1))


def generated(random: random.Random) -> str:
    """An answer: a formula, one that was damaged, junk, or something tall."""
    kind = random.random()
    if kind < 0.05:
        text = random.choice(TALL)(random)
    elif kind < 0.15:
        text = "".join(random.choice(JUNK + ATOMS) for _ in range(random.randint(0, 30)))
    else:
        text = expression(random, random.randint(0, 5))
    if 0.15 < kind < 0.4:
        for _ in range(random.randint(1, 3)):
            at = random.randint(0, len(text))
            text = text[:at] + random.choice(JUNK) + text[at + random.randint(0, 2) :]
    return random.choice(MARKS) % text


def tried(count: int, seed: int) -> list[tuple[float, str, str]]:
    """(seconds of this process, reference answer, answer) of ``count`` answers, the dearest first; none is right."""
    source, found = random.Random(seed), []
    for _ in range(count):
        gold, text = source.choice(GOLDS), generated(source)
        began = time.process_time()
        verdict = judge(gold, text)
        voted(gold, text)
        found.append((time.process_time() - began, gold, text))
        assert verdict is not True, (gold, text[:500])
    return sorted(found, reverse=True)


def test_no_answer_is_right_by_accident_or_costs_more_than_its_limit() -> None:
    assert tried(60, seed=0)[0][0] < COST


if __name__ == "__main__":
    for seconds, gold, text in tried(int(sys.argv[1]), int((sys.argv[2:] or ["1"])[0]))[:15]:
        print(f"{seconds:.2f} s  {gold!r}  {text[:150]!r}")
