"""A GSM8K solution as a graph, from its calculator annotations (BRIDGE treats problems with a known DAG only).

A step is a line with annotations and the lines without before it.  An operand was *given* if the question says the
number, in digits or in words, and no step works it out; it comes *from* an earlier step if the number appears for the
first time in the whole text as that step's result.  Any other number (a dozen, 60 minutes, a number that a sentence
introduces, common knowledge) has no origin, and nothing is claimed about it.  "Not worked out yet" is never said of
a number that the question or an earlier line contains.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from rlready.inject.calculator import ANNOTATION, IN_PROSE, Annotation, arithmetic, evaluate, read_annotation, states
from rlready.inject.errors import Doubtful, Unfit
from rlready.inject.quantities import has_stranger
from rlready.tasks.answers.quantity import numbers

LONGEST = 3_000  # characters of a question or a solution, about twice those of GSM8K: some patterns take quadratic time
RESULT = re.compile(r"\s*[$€£¢]?\s*(-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|-?\.[0-9]+)")
GOES_ON = re.compile(r"\s*(?:[-+*/xX×÷(%^0-9]|and |cents?\b)")  # after a number that is not all of a result
UNREAD = re.compile(  # powers, roots, factorials, exponents, fractions that are one sign, digits of other scripts
    r"\*\*|[\^√∛∜½⅓⅔¼¾⅕-⅞⁰¹²³⁴-⁹]|[0-9)] *! *$|[0-9][eE][-+]?[0-9]|(?![0-9])\d|\b(?:sqrt|log|ln|mod)\b *[(0-9]"
)
UNKNOWN = re.compile(r"[xX]\s*(?:[-+)]|$)")  # the x of 4x + 12
PER_CENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:%|per\s?cent)")
WORD = re.compile(r"[a-z]+")
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
PARTS = {  # of n the words that say n or its reciprocal
    2: "half halves twice double doubles doubled pair couple both",
    3: "third thirds triple triples tripled thrice",
    4: "quarter quarters fourth fourths quadruple",
    5: "fifth fifths",
}
SPOKEN: dict[str, tuple[Fraction, ...]] = {
    **{word: (Fraction(n),) for n, word in enumerate(UNITS.split())},
    **{word: (Fraction(n),) for n, word in zip(range(20, 100, 10), TENS.split(), strict=True)},
    **{word: (Fraction(n), Fraction(1, n)) for n, words in PARTS.items() for word in words.split()},
    **{word: (Fraction(n),) for word, n in {"dozen": 12, "dozens": 12, "hundred": 100, "thousand": 1000}.items()},
    "million": (Fraction(10**6),),
}
BROKEN = re.compile(r"\S[ \t]{3,}\S")
SLIP = re.compile(  # "the the", "1, 320", "6 cards - 1 cards", "He need", "will costs", "There a total"
    r"\b(?!that|had)([a-z]+) \1\b|\b[0-9]{1,3}, [0-9]{3}\b|[-+=] 1 (?:people|[a-z]{3,}[a-rt-z]s)\b|`"
    r"|\b(?:He|She) (?:have|need|spend)\b|\b(?:will|would) (?:costs|is)\b|\bThere a\b"
)
ENGLISH = re.compile(  # of which every question of GSM8K has a word
    r"\b(?:the|how|what|many|much|and|each|does|did|were|she|they|with|if|have|has)\b", re.IGNORECASE
)
BECAUSE = re.compile(r"(.*[0-9].*) because [^a-z]*$")
QUOTE = re.compile(r'(?<![0-9])"')  # the other is an inch
PLAIN_EQUATION = "an equation without an annotation does not hold"
UNTOLD = frozenset(map(Fraction, (0, 1, 2, 7, 10, 12, 24, 30, 31, 52, 60, 100, 365, 1000)))
COMMON = UNTOLD | {  # what else a solution may calculate with unsaid: small numbers, shares, units of measure
    *map(Fraction, (3, 4, 5, 6, 8, 14, 15, 16, 20, 28, 32, 36, 50, 90, 128, 180, 360, 2000, 3600, 5280)),
    *map(Fraction, ("0.01", "0.05", "0.1", "0.25", "0.5", "0.75", "1.5")),
}


@dataclass(frozen=True)
class ProseStep:
    """``lines`` ends with the line that calculates; ``origin`` has the step (by number) that an operand comes from,
    or None for one that was given; ``unclear``: some operand is an earlier number, and which one is not certain."""

    lines: tuple[str, ...]
    calcs: tuple[Annotation, ...]
    origin: dict[Fraction, int | None]
    unclear: bool

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def notes(self) -> list[tuple[str, str]]:
        """Each annotation as written, after the line that holds it, in the order of ``calcs``."""
        return [(line, found[0]) for line in self.lines for found in ANNOTATION.finditer(line)]

    @property
    def operands(self) -> int:
        """How many numbers it calculates with, its own results aside; a constant counts, as in METHODS 3.2."""
        results = {c.value for c in self.calcs}
        return sum(value not in results for c in self.calcs for value in c.operands)

    @property
    def parents(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(step for step in self.origin.values() if step is not None))


def said(text: str) -> set[Fraction]:
    """Every number in a text: in digits (a percentage also as a fraction) and in words."""
    found = {n for n in numbers(text) if n is not None}
    found |= {Fraction(m[1]) / 100 for m in PER_CENT.finditer(text)}
    return found | {n for word in WORD.findall(text.lower()) for n in SPOKEN.get(word, ())}


def solution(question: str, thinking: str, answer: Fraction | None) -> list[ProseStep]:
    """The steps of an annotated solution; Unfit says why there are none."""
    if max(len(question), len(thinking)) > LONGEST:
        raise Unfit(f"its question or its solution is longer than {LONGEST:,} characters")
    if not ENGLISH.search(question):
        raise Unfit("its question is not in English, as the sentences are")
    if BROKEN.search(thinking) or len(QUOTE.findall(thinking)) % 2:
        raise Unfit("it has a run of spaces, or a quotation mark without its partner")
    if SLIP.search(ANNOTATION.sub("", thinking)):
        raise Unfit("it has a slip: a word twice, a wrong plural or verb, a stray sign or a space in a number")
    if has_stranger(question, thinking):
        raise Unfit("it names a person whom the question does not name")
    blocks: list[list[str]] = [[]]
    for line in thinking.split("\n"):
        blocks[-1].append(line)
        if ANNOTATION.search(line):
            blocks.append([])
    tail = blocks.pop()
    if not blocks:
        raise Unfit("it has no calculator annotations")
    blocks[-1] += tail
    calcs = [_calculations(block, n) for n, block in enumerate(blocks, start=1)]
    if answer is None or calcs[-1][-1].value != answer:
        raise Unfit("its answer is not the result of the last annotation")

    given, first, known = said(question), dict[Fraction, int | None](), {*said(question)}
    worked_out = Counter(value for inside in calcs for value in {c.value for c in inside})
    steps = []
    for n, (block, inside) in enumerate(zip(blocks, calcs, strict=True)):
        text = " ".join(block)
        results = {c.value for c in inside}
        known |= results | said(" ".join(ANNOTATION.sub("", text).split("=")[1:]))
        operands = dict.fromkeys(v for c in inside for v in c.operands if v not in results)
        if any(_from_nowhere(v, known) for v in operands):
            raise Unfit("it calculates with a number that comes from nowhere")
        # a number that is both in the question and a result, or the result of two steps, is ambiguous
        plain = [v for v in operands if not (v in given and v in worked_out) and worked_out[v] <= 1]
        origin = {v: None if v in given else first[v] for v in plain if v in given or first.get(v) is not None}
        unclear = any(v not in origin and (v in worked_out or v not in UNTOLD) for v in operands)
        steps.append(ProseStep(tuple(block), inside, origin, unclear))
        for value in said(text):
            first.setdefault(value, n if value in results and value not in UNTOLD | given else None)
    return steps


def _from_nowhere(value: Fraction, known: set[Fraction]) -> bool:
    """Whether a number is neither common nor known, and no percentage, remainder or rounding of what is known."""
    near = (value, 100 - value, 1 - value, 100 * value, value / 100, value - 1, value - 100)
    return value not in COMMON and not known.intersection(near) and all(50 * abs(value - k) > abs(k) for k in known)


def _calculations(block: list[str], step: int) -> tuple[Annotation, ...]:
    """The annotations of a step, each checked to be right and to be followed by its result."""
    calcs = []
    for line in block:
        end = 0
        for found in ANNOTATION.finditer(line):
            try:
                calc = read_annotation(found[1])
                value = evaluate(calc.calc)
            except ValueError as error:
                raise Unfit(str(error)) from None
            stated = found[1].partition("=")[2].strip()
            if not states(value, stated):
                raise Doubtful("an annotation is wrong", step)
            before = line[end : found.start()]
            _refuse_unread(before)
            if not _holds(before, value):
                raise Doubtful("an equation before an annotation does not hold", step)
            if _false(before):
                raise Doubtful(PLAIN_EQUATION, step)
            if isinstance(calc.calc, Fraction) and not _calculates(before):
                raise Unfit("an annotation calculates nothing")
            if (claim := BECAUSE.fullmatch(before)) and value not in said(claim[1]):
                raise Doubtful('what stands before "because" is another number', step)
            end = found.end()
            result = RESULT.match(line, found.end())
            if not result:
                raise Unfit("an annotation is not followed by its result")
            if not states(calc.value, result[1]):
                raise Doubtful("an annotation is followed by another number than its result", step)
            calcs.append(calc)
        _refuse_unread(line[end:])
        if _false(line[end:]):
            raise Doubtful(PLAIN_EQUATION, step)
    return tuple(calcs)


def _refuse_unread(text: str) -> None:
    """Raise Unfit if something before an equals sign cannot be checked, as it is not arithmetic that is read here."""
    if any(UNREAD.search(part) for part in text.split("=")[:-1]):
        raise Unfit("an equation has a sign that is not read, such as that of a power or a root")


def _false(text: str) -> bool:
    """Whether a calculation in prose is said to be a number that it is not: "6/3 = .5 hours"."""
    for left, right in pairwise(text.split("=")):
        (_, run), result = _ending(left), RESULT.match(right)
        if not result or GOES_ON.match(right, result.end()) or UNKNOWN.search(run) or run[:1] in {"+", "-"}:
            continue
        try:
            calc = arithmetic(run)
            if isinstance(calc, tuple) and not states(evaluate(calc), result[1]):
                return True
        except ValueError:  # no calculation
            continue
    return False


def _holds(before: str, value: Fraction) -> bool:
    """Whether what stands before the equals signs that lead up to an annotation has its value.

    In "They are 5 + 3*2 = 5 + 6 = <<5+3*2=11>>11" that is 5 + 6, then 5 + 3*2.  A number alone after words, or what
    goes on from words with a sign ("40 marbles - 3"), says too little to be held to it.
    """
    for part in reversed(before.split("=")[:-1]):
        words, run = _ending(part)
        try:
            calc = arithmetic(run)
            vague = words and (isinstance(calc, Fraction) or run[0] in "+-")
            if not vague and evaluate(calc) != value:
                return False
        except ValueError:  # no calculation
            return True
        if words:
            return True
    return True


def _calculates(before: str) -> bool:
    """Whether a calculation stands before the equals sign that leads up to an annotation."""
    try:
        return isinstance(arithmetic(_ending(before.rpartition("=")[0])[1]), tuple)
    except ValueError:
        return False


def _ending(text: str) -> tuple[str, str]:
    """A text's words, and what may be the calculation that it ends in."""
    words = text.rstrip(IN_PROSE)
    return words, text[len(words) :].strip()
