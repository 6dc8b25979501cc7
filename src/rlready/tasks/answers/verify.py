"""Compare a final answer with the right one.

``extract`` says what a text gives as its answer, ``notation`` makes one notation of Unicode, Markdown and LaTeX,
``quantity`` compares numbers exactly and has the rule for percentages, ``structure`` takes lists, tuples, intervals and
inequalities apart.  Formulas are left to sympy (``mathpool``), which decides whether they are the same value; decimals
are fractions there, too, so no tolerance is absolute, and none is wider than a decimal's last digit.

Dates, times of day and codes, which are no mathematics, are compared as text (``literal``), words without regard to
case.  Words beside a number, and names before one, must agree where both sides have some.

A letter as the right answer (multiple choice, variables) is met by the letter in this case, alone or as an option is
named: "(B)", "B. Paris", "option B"; never by a word or by two options.

Model text is untrusted: it is searched with linear patterns and computed with in processes that are stopped only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rlready.tasks.answers import extract
from rlready.tasks.answers.extract import final_answer, marked, tidy
from rlready.tasks.answers.literal import moment, same_code
from rlready.tasks.answers.mathpool import POOL, Question, in_parallel
from rlready.tasks.answers.notation import plain, split_top
from rlready.tasks.answers.quantity import INTEGER, LONGEST, exact_number, quantity, rounding, same_quantity
from rlready.tasks.answers.structure import REALS, SUBSCRIPT, same, structure
from rlready.tasks.answers.units import compatible, formula_and_unit

__all__ = ["ballots", "exact_number", "final_answer", "marked", "same_answer", "settle", "voted"]

OPTION = re.compile(
    r"(?:(?:so|thus|hence|therefore),? *)?(?:(?:the )?(?:correct )?(?:option|choice|answer)(?: is)?:? *)?"
    r"(?:[(\[]([A-Z])[)\]]|([A-Z]))"
    r"(?: is (?:the )?(?:correct|right|best)(?: answer| option| choice| one)?|[.:)] *(.*)|(?<=[)\]]) +(.*))?",
    re.IGNORECASE,
)
OTHER_OPTION = re.compile(
    r"[(\[][A-Z][)\]]|(?<![a-zA-Z'])[A-Z][.:)](?!\w)|^(?:or|and)\b|^[A-HJ-UWYZ](?:,|,? (?:and|or)\b|$)"
    r"|^(?:is )?(?:not [(\[]?[A-Z]\b|(?:not )?(?:wrong|correct|incorrect|false)\b)"
)
LETTER = re.compile(r"[(\[]?([A-Za-z])[)\]]?")
YES_NO = re.compile(r"(yes|no|true|false)\b(?! *(?:or|and)\b)[ ,.;:!-]*(.*)", re.IGNORECASE)
FUNCTION = re.compile(
    r"(?<![\\a-zA-Z])(arcsin|arccos|arctan|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|infty)(?![a-zA-Z])"
)
ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
PRIME = re.compile(r"([A-Za-z])('+)")  # the parser of formulas drops it
DERIVATIVE = re.compile(r"\\frac\s*\{\s*(?:d|\\partial)\s*([a-zA-Z]*)\s*\}\s*\{\s*(?:d|\\partial)\s*([a-zA-Z])\s*\}")
MODULUS = re.compile(r"\\p?mod(?![a-z])(.*)")  # the parser of formulas drops it
TOTAL = re.compile(r"[a-z](?: ?\+ ?[a-z])+ ?= ?(?=[\d-])")  # "m+n = 70" where 70 is asked for
COMMAND = re.compile(r"\\(?:begin|end)\{[a-z]*\}|\\[a-zA-Z]+")
WORDY = re.compile(r"[A-Za-z]{4}|[A-Za-z]{2,}[' ]+[A-Za-z]{2,}")
CASED = re.compile(r"(\d\s?)[A-Za-z]{1,2}(?![A-Za-z])|[^\W\d_]+")  # a short word behind a number is a unit
DIGIT = re.compile(r"\d")
LETTERS = re.compile(r"[A-Za-z]{2,}")


def same_answer(gold: str, text: str) -> bool:
    """Whether ``text`` gives the answer ``gold``; what either marks as its answer is compared."""
    target, answer = _target(gold), _given(gold, text)
    if INTEGER.fullmatch(target) and INTEGER.fullmatch(answer) and len(answer) <= LONGEST >= len(target):
        return int(target) == int(answer)
    return _same(target, answer)


def settle(pairs: Iterable[tuple[str, str]]) -> None:
    """Compare the formulas of many (right answer, text) pairs in parallel; ``same_answer`` then knows the verdicts."""
    asked: list[Question] = []
    for target, answer in dict.fromkeys((_target(gold), _given(gold, text)) for gold, text in pairs):
        if target != answer and not (INTEGER.fullmatch(target) and INTEGER.fullmatch(answer)):
            _compare(target, answer, asked)
    in_parallel(asked)


def voted(gold: str, text: str) -> str:
    """The answer of a text in a form in which equal numbers are equal texts; empty if it gives none.

    Of ``gold`` only the form matters: where that is a number, a text without a mark gives its last number.
    """
    answer = _given(gold, text)[:LONGEST]
    number = exact_number(answer)
    if number is not None and "%" not in answer:
        return str(number)
    return plain(answer) if number is not None else " ".join(answer.split())


def ballots(answers: Sequence[str]) -> list[str]:
    """The answers of one problem, each as the first of them that it equals: equal answers are one ballot."""
    settle((one, other) for one in set(answers) for other in set(answers) if one < other and one)
    first: dict[str, str] = {}
    for answer in answers:
        if answer not in first:
            equal = next(
                (kept for kept in dict.fromkeys(first.values()) if answer and same_answer(kept, answer)), answer
            )
            first[answer] = equal
    return [first[answer] for answer in answers]


@lru_cache(1 << 12)
def _target(gold: str) -> str:
    return gold if INTEGER.fullmatch(gold) else final_answer(gold)


@lru_cache(1 << 12)
def _is_number(target: str) -> bool:
    if len(target) > LONGEST or moment(target := plain(target)):
        return False
    return quantity(target, False) is not None


def _given(gold: str, text: str) -> str:
    """The answer that a text gives to a question with this right answer."""
    found = marked(text)
    return tidy(extract.unmarked(text, _is_number(_target(gold)))) if found is None else found


def _same(target: str, answer: str) -> bool:
    return bool(answer) and _compare(target, answer, None)


def _compare(target: str, answer: str, asked: list[Question] | None) -> bool:
    """The verdict; with a list, no process is asked: the questions for it are added to the list."""
    if not answer or len(answer) > LONGEST or len(target) > LONGEST:
        return answer == target != ""
    one, other = plain(target) or target.strip(), plain(answer) or answer.strip()
    if _tight(one) == _tight(other):
        return True
    # "10,12" is a decimal only where the other is no list
    left, right = quantity(one, bool(quantity(other, False))), quantity(other, bool(quantity(one, False)))
    if left and right:
        return same_quantity(left, right)
    if (moments := (moment(one), moment(other))) != (None, None):
        return moments[0] == moments[1]
    if left and (total := TOTAL.match(other)):
        other = other[total.end() :]
    if (verdict := _as_words(one, other)) is not None:
        return verdict
    return same(structure(one), structure(other), lambda kind, a, b: _equal(kind, a, b, asked))


def _as_words(one: str, other: str) -> bool | None:
    """The verdict on letters and words; None where both may be formulas."""
    if REALS.fullmatch(one) or REALS.fullmatch(other):
        return None
    if LETTER.fullmatch(one) or LETTER.fullmatch(other):
        return _same_option(one, other) or _same_option(other, one)
    if yes := YES_NO.fullmatch(one):
        said = YES_NO.fullmatch(other)
        same_word = bool(said and said[1].lower() == yes[1].lower())
        return same_word and (not (yes[2] and said and said[2]) or _folded(one) == _folded(other))
    if not (DIGIT.search(one) and DIGIT.search(other)) and (_wordy(one) or _wordy(other)):
        return _folded(one) == _folded(other)
    return None


def _equal(kind: str, one: str, other: str, asked: list[Question] | None) -> bool:
    """Whether two single values, or two relations, are the same."""
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
            return len(one) > 1 < len(other) and _folded(one) == _folded(other)
    question = (kind, _formula(one), _formula(other), step)
    if asked is None:
        return POOL.equal(question)
    asked.append(question)
    return True


def _as_text(kind: str, one: str, other: str) -> bool | None:
    """The verdict that two single texts have before any formula is compared; None if they have none."""
    if _tight(one) == _tight(other):
        return True
    if kind == "value" and (left := quantity(one)) and (right := quantity(other)):
        return same_quantity(left, right)
    moduli = [m[1].strip("(){} ") if (m := MODULUS.search(text)) else "" for text in (one, other)]
    if moduli[0] != moduli[1] or not compatible(formula_and_unit(one)[1], formula_and_unit(other)[1]):
        return False
    return same_code(_formula(one), _formula(other)) if kind == "value" else None


def _same_option(one: str, other: str) -> bool:
    """Whether ``one`` is a letter, and ``other`` names the option of that letter and no other."""
    letter = LETTER.fullmatch(one)
    named = OPTION.fullmatch(other)
    if not letter or not named:
        return False
    rest = named[3] or named[4] or ""
    return letter[1] == (named[1] or named[2]) and not OTHER_OPTION.search(rest)


def _tight(text: str) -> str:
    """Without spaces that separate nothing."""
    return re.sub(r"(?<![\w.]) +| +(?![\w.\\])", "", text)


def _formula(text: str) -> str:
    text = PRIME.sub(lambda m: f"P_{{{ord(m[1])}9{len(m[2])}}}", DERIVATIVE.sub(r"D_{\1\2}", text))
    text = FUNCTION.sub(r"\\\1", text.replace("**", "^"))
    return ROOT.sub(r"\\sqrt{\1}", text)


def _wordy(text: str) -> bool:
    """Whether ``text`` is words, not a formula, in which letters would be factors."""
    bare = COMMAND.sub(" ", SUBSCRIPT.sub(" ", _formula(text)))
    return bool(WORDY.search(bare) or LETTERS.fullmatch(bare.strip()))


def _folded(text: str) -> str:
    text = CASED.sub(lambda m: m[0] if m[1] else m[0].casefold(), text)
    words = " ".join(re.sub(r"[\"“”.,;:!?()]", " ", text).split())
    return re.sub(r"^(?:the|an?) ", "", words)
