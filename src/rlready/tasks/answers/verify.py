"""Compare a final answer with the reference answer.

``given`` finds the answer of a text, ``notation`` normalises Unicode, Markdown and LaTeX, ``quantity`` compares
numbers exactly and has the rule for percentages, and ``structure`` splits lists, tuples, intervals and inequalities.
Formulas are compared by sympy (``mathpool``), which decides whether they have the same value; decimals are fractions
there too, so no tolerance is absolute, and none is wider than the last digit of a decimal.

Dates, times of day and codes are compared as text (``literal``), words without regard to case.  Units and names beside
a number must agree if both sides have them.

If the reference answer is a letter (multiple choice, variables), a correct answer is the same letter in the same case,
alone or as the name of an option: "(B)", "B. Paris", "option B"; a word or two options are incorrect.

Text from a model is untrusted: it is searched with patterns of linear time and evaluated in processes that are killed
after a limit of CPU time; ``judge`` says if that left an answer undecided.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from rlready.tasks.answers.extract import final_answer, marked
from rlready.tasks.answers.formula import CALL, formula, in_radians, is_no_formula
from rlready.tasks.answers.given import LETTER, YES_NO, folded, given, target_of
from rlready.tasks.answers.literal import moment, same_code
from rlready.tasks.answers.mathpool import POOL, Question, in_parallel
from rlready.tasks.answers.notation import in_one_value, plain, split_top
from rlready.tasks.answers.quantity import (
    INTEGER,
    LONGEST,
    Quantity,
    endless,
    exact_number,
    quantity,
    rounding,
    same_quantity,
)
from rlready.tasks.answers.row import same_row
from rlready.tasks.answers.same_structure import same
from rlready.tasks.answers.structure import REALS, SUBSCRIPT, is_name, structure
from rlready.tasks.answers.units import compatible, formula_and_unit

__all__ = ["ballots", "compare_in_advance", "exact_number", "final_answer", "judge", "marked", "same_answer", "voted"]

OPTION = re.compile(
    r"(?:(?:so|thus|hence|therefore),? *)?"
    r"(?:(?:I(?:['’](?:d|ll))? )?(?:(?:would|will) )?(?:think|believe|guess|say|go with|choose|select|pick) )?"
    r"(?:it(?:['’]s| is) |(?:the )?(?:correct |best |right )?"
    r"(?:option|choice|answer)(?: is| (?:would|must|should) be)?:? *)?"
    r"(?:(?:most )?(?:likely|probably|clearly|definitely|indeed|actually|then) )?(?:[(\[] ?([A-Z]) ?[)\]]|([A-Z]))"
    r"(?: is (?:the )?(?:correct|right|best)(?: answer| option| choice| one)?|[.:)] *(.*)|(?<=[)\]]) +(.*)"
    r"|(?: [-(]|,? because\b) ?(.*))?",
    re.IGNORECASE,
)
OPEN_END = re.compile(r"(,[^,]*),\s*\$?(?:\.{3}|…|\\[lc]?dots)?[\s$.}]*$")  # of a list that goes on
MOST_AHEAD = 8  # formulas of an answer that are compared in advance
MOST_UNDECIDED = 2  # formulas of an answer that may take too long; then it is undecided, whatever else it holds
OTHER_OPTION = re.compile(
    r"[(\[][A-Z][)\]]|(?<![a-zA-Z'])[A-Z][.:)](?!\w)|^(?:or|and)\b|^[A-HJ-UWYZ](?:,|,? (?:and|or)\b|$)"
    r"|^(?:is )?(?:not [(\[]?[A-Z]\b|(?:not )?(?:wrong|correct|incorrect|false)\b)"
)
MODULUS = re.compile(r"\\p?mod(?![a-z])(.*)")  # the parser of formulas drops it
TOTAL = re.compile(r"[a-z](?: ?\+ ?[a-z])+ ?= ?(?=[\d-])")  # "m+n = 70" where 70 is asked for
CALLED = re.compile(rf"{CALL}\s*[({{\d]")  # a function of a number
ABOUT = re.compile(r"\\approx(?![a-z])")
COMMAND = re.compile(r"\\(?:begin|end)\{[a-z]*\}|\\[a-zA-Z]+")
WORDY = re.compile(r"[A-Za-z]{4}|[A-Za-z]{2,}[' ]+[A-Za-z]{2,}")
DIGIT = re.compile(r"\d")
VARIABLE = re.compile(r"[A-DF-HJ-WYZa-df-hj-wyz]")  # not e, i and x
LETTERS = re.compile(r"[A-Za-z]{2,}")
# a product that is a percentage
PERCENT = re.compile(
    r"((?:\d[\d,.]*|\\[dt]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}|\\sqrt\s*(?:\{[^{}]*\}|\w)|\\pi\b|\\cdot\b|[a-z]|\s)+?)"
    r"\s*(?:\{\\?%\}|\\?%|\bpercent|\bpct)"
)


def same_answer(gold: str, text: str) -> bool:
    """Whether the answer of ``text`` equals that of ``gold``; in both, the marked answer counts."""
    target, answer = target_of(gold), given(gold, text)
    if INTEGER.fullmatch(target) and INTEGER.fullmatch(answer) and len(answer) <= LONGEST >= len(target):
        return int(target) == int(answer)
    return _same(target, answer)


def judge(gold: str, text: str) -> bool | None:
    """`same_answer`, or None if a formula could not be compared within the limits and nothing else decided."""
    before = POOL.undecided
    return same_answer(gold, text) or (None if POOL.undecided > before else False)


def compare_in_advance(pairs: Iterable[tuple[str, str]]) -> None:
    """Compare the formulas of (reference answer, text) pairs in parallel; ``same_answer`` then uses the results."""
    asked: list[Question] = []
    for target, answer in dict.fromkeys((target_of(gold), given(gold, text)) for gold, text in pairs):
        if target != answer and not (INTEGER.fullmatch(target) and INTEGER.fullmatch(answer)):
            _compare(target, answer, asked)
    in_parallel(asked)


def voted(gold: str, text: str) -> str:
    """The answer of a text, normalised so that equal numbers are equal texts; empty if there is none.

    ``gold`` only says whether a number is asked for: if so, the answer of a text without a mark is its last number.
    """
    answer = given(gold, text)[:LONGEST]
    number = exact_number(answer)
    if number is not None and "%" not in answer:
        return str(number)
    return plain(answer) if number is not None else " ".join(answer.split())


def ballots(answers: Sequence[str]) -> list[str]:
    """The answers of one problem, each replaced by the first that equals it, so that equal answers are one ballot."""
    compare_in_advance((one, other) for one in set(answers) for other in set(answers) if one < other and one)
    first: dict[str, str] = {}
    for answer in answers:
        if answer not in first:
            equal = next(
                (kept for kept in dict.fromkeys(first.values()) if answer and same_answer(kept, answer)), answer
            )
            first[answer] = equal
    return [first[answer] for answer in answers]


def _same(target: str, answer: str) -> bool:
    return bool(answer) and _compare(target, answer, None)


def _compare(target: str, answer: str, asked: list[Question] | None) -> bool:
    """Whether the answers are equal; with a list ``asked``, questions for sympy are only appended to it."""
    if not answer or len(answer) > LONGEST or len(target) > LONGEST:
        return answer == target != ""
    goes_on = [OPEN_END.search(text) is not None for text in (target, answer)]
    target, answer = (OPEN_END.sub(r"\1", text) for text in (target, answer))
    one, other = (in_radians(plain(text)) or text.strip() for text in (target, answer))
    one, other = in_one_value(one, other)
    row = same_row(target, answer)
    if row is not None or goes_on[0] != goes_on[1] or _tight(one) == _tight(other):
        return row is not False and goes_on[0] == goes_on[1]
    # "10,12" is a decimal only if the other is not a list
    left, right = quantity(one, bool(quantity(other, False))), quantity(other, bool(quantity(one, False)))
    if left and right:
        return same_quantity(left, right)
    if (moments := (moment(one), moment(other))) != (None, None):
        return moments[0] == moments[1]
    if left and (total := TOTAL.match(other)):
        other = other[total.end() :]
    if (verdict := _as_words(one, other)) is not None:
        return verdict
    one, other = _exact(one, right), _exact(other, left)
    begun, undecided = len(asked or ()), POOL.undecided

    def equal(kind: str, a: str, b: str) -> bool:
        if asked is not None and len(asked) - begun >= MOST_AHEAD:
            return True
        return POOL.undecided - undecided < MOST_UNDECIDED and _equal(kind, a, b, asked)

    return same(structure(one), structure(other), equal)


def _exact(text: str, asked: Quantity | None) -> str:
    """A formula without the decimal that it is said to be about; if a number is ``asked`` for, only that fraction."""
    exact, *about = ABOUT.split(text)
    exact = exact.strip()
    rounded = quantity(about[0].strip()) if len(about) == 1 else None
    if not rounded or (is_name(exact) and not CALLED.match(exact)):
        return text
    if not asked:
        return exact
    number = quantity(exact)
    if not number or not endless(number.value) or not same_quantity(asked, number):
        return text
    if not compatible(asked.unit, number.unit | rounded.unit):
        return text
    scale = Fraction(100) ** (rounded.percent - number.percent)
    return exact if abs(number.value * scale - rounded.value) <= (rounded.step or Fraction(1, 2)) else text


def _as_words(one: str, other: str) -> bool | None:
    """Whether letters or words are equal; None if both may be formulas."""
    if REALS.fullmatch(one) or REALS.fullmatch(other):
        return None
    if LETTER.fullmatch(one) or LETTER.fullmatch(other):
        return _same_option(one, other) or _same_option(other, one)
    if yes := YES_NO.fullmatch(one):
        said = YES_NO.fullmatch(other)
        same_word = bool(said and said[1].lower() == yes[1].lower() and not _turned(said))
        explained = all(each and (each[2] or each[3]) for each in (yes, said))
        return same_word and (not explained or folded(one) == folded(other))
    if not (DIGIT.search(one) and DIGIT.search(other)) and (_wordy(one) or _wordy(other)):
        return folded(one) == folded(other)
    return None


def _turned(said: re.Match[str]) -> bool:
    """Whether what follows a word ends in its opposite: "yes, but no"."""
    opposite = {"yes": "no", "no": "yes", "true": "false", "false": "true"}[said[1].lower()]
    return re.search(rf"\b{opposite}\W*$", said[2] or said[3] or "", re.IGNORECASE) is not None


def _equal(kind: str, one: str, other: str, asked: list[Question] | None) -> bool:
    """Whether two single values, or two relations, are the same."""
    if kind == "value" and not (quantity(one) and quantity(other)):
        one, other = _in_hundredths(one, other)
    if (verdict := _as_text(kind, one, other)) is not None:
        return verdict
    step = None
    if kind == "value":
        left, right = quantity(one), quantity(other)
        one, other = formula_and_unit(one)[0], formula_and_unit(other)[0]
        ratio = split_top(one, ":"), split_top(other, ":")
        if len(ratio[0]) > 1 or len(ratio[1]) > 1:
            pairs = list(zip(*ratio, strict=False))
            return len(ratio[0]) == len(ratio[1]) and all(_equal(kind, a, b, asked) for a, b in pairs)
        known = left or right
        step = rounding(known) if known else None
        if (known and (known.unit or known.percent)) or any(_wordy(t) or LETTER.fullmatch(t) for t in (one, other)):
            return len(one) > 1 < len(other) and folded(one) == folded(other)
        if any(INTEGER.fullmatch(a) and _has_variable(b) for a, b in ((one, other), (other, one))):
            return False  # which is sure without sympy, whose start takes seconds
    question = (kind, formula(one), formula(other), step)
    if asked is None:
        return POOL.equal(question)
    asked.append(question)
    return True


def _in_hundredths(one: str, other: str) -> tuple[str, str]:
    """Two values as formulas without a percent sign: both without it, or the one that has it divided by 100."""
    found = [PERCENT.fullmatch(text) for text in (one, other)]
    if found[0] and found[1]:
        return found[0][1], found[1][1]
    a, b = (f"({each[1]})/100" if each else text for each, text in zip(found, (one, other), strict=True))
    return a, b


def _as_text(kind: str, one: str, other: str) -> bool | None:
    """Whether two single texts are equal, if that is known without comparing formulas; else None."""
    if _tight(one) == _tight(other):
        return True
    if kind == "value" and (left := quantity(one)) and (right := quantity(other)):
        return same_quantity(left, right)
    moduli = [m[1].strip("(){} ") if (m := MODULUS.search(text)) else "" for text in (one, other)]
    if moduli[0] != moduli[1] or not compatible(formula_and_unit(one)[1], formula_and_unit(other)[1]):
        return False
    if is_no_formula(one) or is_no_formula(other):
        return False
    return same_code(formula(one), formula(other)) if kind == "value" else None


def _same_option(one: str, other: str) -> bool:
    """Whether ``one`` is a letter and ``other`` names that option and no other."""
    letter = LETTER.fullmatch(one)
    named = OPTION.fullmatch(other)
    if not letter or not named:
        return False
    rest = named[3] or named[4] or named[5] or ""
    return letter[1] == (named[1] or named[2]) and not OTHER_OPTION.search(rest)


def _tight(text: str) -> str:
    """``text`` without spaces that do not separate words or numbers."""
    return re.sub(r"(?<![\w.]) +| +(?![\w.\\])", "", text)


def _wordy(text: str) -> bool:
    """Whether ``text`` consists of words, not of a formula whose letters are factors."""
    bare = COMMAND.sub(" ", SUBSCRIPT.sub(" ", formula(text)))
    return bool(WORDY.search(bare) or LETTERS.fullmatch(bare.strip()))


def _has_variable(text: str) -> bool:
    """Whether a formula without commands has a letter that is neither a constant nor, as x may be, a sign."""
    written = formula(text)
    return "\\" not in written and VARIABLE.search(written) is not None
