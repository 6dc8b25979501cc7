"""Behaviours in a GSM8K solution, spliced in by its graph (``prose.py``), and the checker of what they claim.

    Let me try 48 + ? first. But that needs 48 / 2, not worked out yet, so I step back.
    We need 48 (given) and 24 (from 48 / 2).
    ... 5 + 3 * 2 = 5 + 6 = 11 apples.

No paper has these sentences or this graph of prose.  Steps stay in their order, as a sentence refers to the one before,
so what is tried too early is always locked.  Analysis has the probabilities of ``graph.py`` by the number of operands.
An operation is written out only where a line goes from one calculation of several operations to its result at once.  A
failed attempt shows the numbers known by then and a question mark for every other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate

from rlready.inject.calculator import (
    ANNOTATION,
    Annotation,
    decimal,
    number,
    read_annotation,
    reductions,
    write_calculation,
)
from rlready.inject.errors import Contradiction, Unfit
from rlready.inject.graph import ANALYSIS
from rlready.inject.prose import UNTOLD, ProseStep, solution
from rlready.inject.splice import Behaviour, Insertion, Piece, Splice, Unit, insert
from rlready.inject.walk import Fail, walk

INSERTED = re.compile(r"Let me try .+ first\. But that needs .+, so I step back\.|We need \S+ \((?:given|from ).*\)\.")
BLANK = re.compile(r"[\s$€£¢,]")
CALCULATING = "0123456789.+-*/()"


def splice(
    question: str, thinking: str, answer: Fraction | None, behaviours: Collection[Behaviour], p: float, seed: str
) -> Splice:
    """The annotated solution with behaviours in it, a function of the arguments alone."""
    if any(INSERTED.fullmatch(line) for line in thinking.split("\n")):
        raise Unfit("it shows such behaviours already")
    plain = solution(question, thinking, answer)
    chains: list[list[Insertion]] = [
        [(place, chain, "compute") for place, chain in computations(step.text)] if "compute" in behaviours else []
        for step in plain
    ]
    # what is written out says numbers, too: after it they are known
    full = ["".join(p.text for p in insert(step.text, chain)) for step, chain in zip(plain, chains, strict=True)]
    steps = solution(question, "\n".join(full), answer)
    rng = random.Random(f"{seed}:analyse")
    units, done = [], 0
    events = walk(
        [str(n) for n in range(len(steps))],
        {str(n): tuple(map(str, step.parents)) for n, step in enumerate(steps)},
        random.Random(f"{seed}:explore"),
        p=p if "explore" in behaviours else 0.0,
        movable=False,
    )
    for event in events:
        n = int(event.key)
        if isinstance(event, Fail):
            units.append(Unit((Piece(attempt(steps, n, done), "explore"),)))
            continue
        wanted = rng.random() < ANALYSIS[min(steps[n].operands, len(ANALYSIS) - 1)]
        what = analysis(steps, n) if wanted and "analyse" in behaviours else ""
        before: list[Insertion] = [(0, f"{what}\n", "analyse")] if what else []
        units.append(Unit(insert(plain[n].text, before + chains[n]), n))
        done = n + 1
    return Splice(tuple(units), "\n", failed=len(units) - len(steps))


def check_solution(question: str, text: str, answer: Fraction | None) -> None:
    """Check a solution with behaviours against its question: Contradiction or Unfit says what is wrong.

    The calculations, and what is written out between them, are those ``prose.solution`` checks; a failed attempt must
    name what is missing then and there, an analysis what the step after it rests on and where that comes from.
    """
    lines = text.split("\n")
    steps = solution(question, "\n".join(line for line in lines if not INSERTED.fullmatch(line)), answer)
    ends = list(accumulate(len(step.lines) for step in steps))
    passed = 0
    for line in lines:
        if not INSERTED.fullmatch(line):
            passed += 1
            continue
        done = sum(end <= passed for end in ends)
        locked = [n for n in range(done + 1, len(steps)) if any(m >= done for m in steps[n].parents)]
        true = {attempt(steps, n, done) for n in locked}
        if passed == (ends[done - 1] if done else 0) and done < len(steps):
            true.add(analysis(steps, done))
        if line not in true:
            raise Contradiction(f"before step {done + 1}: {line!r} does not hold")


def attempt(steps: Sequence[ProseStep], n: int, done: int) -> str:
    """A failed attempt at step ``n`` when ``done`` steps are solved and one that it needs is not."""
    needs = {v: m for v, m in steps[n].origin.items() if m is not None and m >= done}
    tried = next(c for c in steps[n].calcs if needs.keys() & {*c.operands})
    sources = [_masked(steps, m, _source(steps, m, v), done) for v, m in needs.items()]
    named = [s for s in dict.fromkeys(sources) if any(map(str.isdigit, s))]
    missing = f"{_listed(named)}, not worked out yet" if named else "what is not worked out yet"
    return f"Let me try {_masked(steps, n, tried, done)} first. But that needs {missing}, so I step back."


def analysis(steps: Sequence[ProseStep], n: int) -> str:
    """What step ``n`` needs and where that comes from; "" where nothing is known of it, or too long to say."""
    try:
        terms = [
            f"{decimal(v)} ({'given' if m is None else f'from {write_calculation(_source(steps, m, v).calc)}'})"
            for v, m in steps[n].origin.items()
        ]
    except ValueError:
        return ""
    return f"We need {_listed(terms)}." if terms else ""


def computations(text: str) -> Iterator[tuple[int, str]]:
    """(place, what) to insert so that every operation is written out."""
    for found in ANNOTATION.finditer(text):
        note = read_annotation(found[1])
        head = text[: found.start()].rstrip(" $€£¢")
        written, calculation = BLANK.sub("", head[:-1]), BLANK.sub("", "".join(note.tokens))
        before = written.removesuffix(calculation)
        if not head.endswith("=") or before == written or (before and before[-1] in CALCULATING):
            continue
        try:
            chain = "".join(f" {write_calculation(calc)} =" for calc in reductions(note.calc))
        except ValueError:  # a number in between has too many decimals
            continue
        if chain:
            yield len(head), chain if text[len(head)] == " " else f"{chain} "


def _source(steps: Sequence[ProseStep], m: int, value: Fraction) -> Annotation:
    """The calculation of step ``m`` that gives ``value``."""
    return next(c for c in steps[m].calcs if c.value == value)


def _masked(steps: Sequence[ProseStep], n: int, calc: Annotation, done: int) -> str:
    """A calculation of step ``n`` as far as its numbers are known after ``done`` steps."""
    results = {c.value for step in steps for c in step.calcs}

    def known(value: Fraction) -> bool:
        if value in steps[n].origin:
            origin = steps[n].origin[value]
            return origin is None or origin < done
        return value in UNTOLD - results

    return " ".join(t if t in "+-*/()" or known(number(t)) else "?" for t in calc.tokens)


def _listed(terms: Sequence[str]) -> str:
    return f"{', '.join(terms[:-1])} and {terms[-1]}" if len(terms) > 1 else "".join(terms)
