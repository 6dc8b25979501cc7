"""Exact numbers in answers, as fractions of integers, with the units and words around them.

A number may have thousands separators (commas or spaces in groups of three, LaTeX's ``{,}``), a currency, a scale word
("2.5 million"), a power of ten (``5e-05``, ``5\\times 10^{-5}``), a whole part before a fraction (``1 1/2``), a base
(``204_5``), a unit, and words on both sides.  A comma is a decimal point only in a number
alone with two digits behind it, or after a lone zero (``1000,99``, ``0,111``); ``1.234,5`` is refused.

One rule for percentages, whichever side has the sign: ``n%`` equals ``n%``, its value ``n/100`` and the bare digits
``n``; so 50% is 50, 0.5 and 1/2, though 50 is not 0.5.  (GSM8K writes 50 where a response writes 50%.)

Numbers are equal only if they are exactly equal, with one exception: a decimal with at least five significant digits
equals a number without a finite decimal expansion, such as 1/3 or the root of 2, that rounds to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from rlready.tasks.answers.notation import plain, unwrapped
from rlready.tasks.answers.units import CURRENCIES, SCALES, compatible, label, unit_of

LONGEST = 300  # characters of an answer worth comparing
DIGITS = 5  # significant digits of a decimal that may stand for 1/3
TEN_TO = 1000  # the largest power of ten that is written out

NUMBER = re.compile(r"(?:(?<![\w.,)])-)?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9])-?\.[0-9]+")
SIGNS = str.maketrans({"−": "-", "–": "-", "\u00a0": " "})
GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9])"
PLAIN = rf"(?:{GROUPED}|[0-9]+)(?:\.[0-9]+)?\.?(?![0-9])|\.[0-9]+"
INTEGER = re.compile(r"-?[0-9]+")
DECIMAL_COMMA = re.compile(r"(?<![\d.,])(?:([0-9]+),([0-9]{2})|(0),([0-9]+))(?![\d,]|\.\d)")
MONEY = "[$€£¥₹₽₩₪¢]"
WHOLE = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<money>(?:US)?{MONEY})?\s*(?P<minus>-?)\s*(?:"
    rf"(?:(?P<whole>[0-9]+)\s*)?\\frac\s*(?:\{{\s*(?P<over>-?(?:{PLAIN}))\s*\}}|(?P<over1>[0-9]))\s*"
    rf"(?:\{{\s*(?P<under>-?(?:{PLAIN}))\s*\}}|(?P<under1>[0-9]))"
    rf"|(?:(?P<whole2>[0-9]+) +)?(?P<over2>{PLAIN})\s*/\s*(?P<under2>{PLAIN})"
    rf"|(?P<digits>[0-9]+)_(?:\{{\s*(?P<base>[0-9]{{1,2}})\s*\}}|(?P<base1>[0-9]{{1,2}}))"
    rf"|(?P<number>{PLAIN})(?:[eE](?P<e>[+-]?[0-9]+)"
    rf"|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*(?:\{{\s*(?P<ten>[+-]?[0-9]+)\s*\}}|(?P<ten1>[+-]?[0-9]+)))?"
    rf")"
)
PERCENT = re.compile(r"\s*(?:%|percent(?:age)?(?![a-z])|per cent(?![a-z])|pct(?![a-z]))(?: points?)?", re.IGNORECASE)
SCALE = re.compile(rf"[\s-]*({'|'.join(SCALES)})(?![a-z])", re.IGNORECASE)
REMARK = re.compile(r"\s+\(((?:[^\W\d_]{3,}[\s-]?)+)\)$")
SMALL = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
""".split()  # noqa: SIM905
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SPELLED = {word: n for n, word in enumerate(SMALL)} | {
    ten + (dash + SMALL[n] if n else ""): 10 * tens + n
    for tens, ten in enumerate(TENS, start=2)
    for n in range(10)
    for dash in ("-", " ")
}
PARTS = [
    *("half", "third", "quarter", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    *("twelfth", "sixteenth", "twentieth", "hundredth", "thousandth", "halve"),
]
MORE = {*SPELLED, *SCALES, *PARTS, *(f"{part}s" for part in PARTS), "point"}
WORD = re.compile(r"[a-z]+|[0-9]+")
FIRST = re.compile(
    rf"(?:(negative|minus) +)?(?:({'|'.join(sorted(SPELLED, key=len, reverse=True))})(?![\w-])|(?=[\d.$\\]))",
    re.IGNORECASE,
)
PREFIX = re.compile(r"(?:[^\W\d_](?:-(?=[^\W\d_]))?|[\s:'=])*?(?:(?<=\s)|(?<=[:=]))(?=[+-]?[\d.$€£¥₹\\])")


@dataclass(frozen=True)
class Quantity:
    """A number as written; ``step``: one unit of its last digit if it is a decimal with ``digits`` of them."""

    value: Fraction
    percent: bool = False
    unit: frozenset[str] = frozenset()
    label: frozenset[str] = frozenset()
    step: Fraction | None = None
    digits: int = 0


def exact_number(text: str) -> Fraction | None:
    """The exact value of a single number, which may have a currency or percent sign but no words; else None."""
    if INTEGER.fullmatch(text) and len(text) <= LONGEST:
        return Fraction(int(text))
    found = quantity(plain(text)) if len(text) <= LONGEST else None
    if found is None or not found.unit <= set(CURRENCIES.values()):
        return None
    return found.value


def numbers(text: str) -> list[Fraction | None]:
    """All plain numbers in a text, left to right; None for one of more than `LONGEST` characters."""
    found = [m[0] for m in NUMBER.finditer(text.translate(SIGNS))]
    return [Fraction(n.replace(",", "")) if len(n) <= LONGEST else None for n in found]


@lru_cache(1 << 14)
def quantity(text: str, alone: bool = True) -> Quantity | None:
    """The number in ``text`` (plain notation); None if there is none, or more than one.

    ``alone``: it is a whole answer, not a member of a list: a comma may be a decimal point.
    """
    text = unwrapped(text)
    if alone and text.count(",") == 1 and "(" not in text and (found := DECIMAL_COMMA.search(text)):
        text = f"{text[: found.start()]}{found[1] or found[3]}.{found[2] or found[4]}{text[found.end() :]}"
    if (first := FIRST.match(text)) and first[0]:
        if first[2] and _goes_on(text[first.end() :]):
            return None  # five sixths, two hundred fifty, three in four
        digits = str(SPELLED[first[2].lower()]) if first[2] else ""
        text = ("-" if first[1] else "") + digits + text[first.end() :]
    before = PREFIX.match(text)
    names = label(before[0]) if before else frozenset()
    text = REMARK.sub(r" \1", text[before.end() :] if before else text)
    m = WHOLE.match(text)
    return _quantity(m, text[m.end() :], names) if m and names is not None else None


def _goes_on(rest: str) -> bool:
    """Whether words behind a spelled number make it another one; one scale may follow, as in "two hundred"."""
    words = WORD.findall(rest.lower())
    words = words[1:] if words[:1] and words[0] in SCALES else words
    return any(word in MORE or word.isdigit() for word in words)


def _quantity(m: re.Match[str], rest: str, names: frozenset[str]) -> Quantity | None:
    value, step, digits = _value(m)
    if value is None:
        return None
    if m["sign"] and m["minus"]:
        return None
    if m["sign"] == "-" or m["minus"]:
        value = -value
    if scale := SCALE.match(rest):
        factor = SCALES[scale[1].lower()]
        value, step, rest = value * factor, step and step * factor, rest[scale.end() :]
    percent = PERCENT.match(rest)
    if percent:
        rest = rest[percent.end() :]
    attached = bool(rest) and not rest[0].isspace() and not percent
    unit = unit_of(rest, attached)
    if unit is None:
        return None
    if m["money"]:
        unit |= {CURRENCIES[m["money"].lower()]}
    if m["digits"]:
        unit |= {"base " + (m["base"] or m["base1"])}
    return Quantity(value, bool(percent), unit, names, step, digits)


def _value(m: re.Match[str]) -> tuple[Fraction | None, Fraction | None, int]:
    """(value, one unit of the last digit of a decimal, its significant digits)."""
    if m["digits"]:
        return Fraction(int(m["digits"])), None, 0
    if over := m["over"] or m["over1"] or m["over2"]:
        under = Fraction(_bare(m["under"] or m["under1"] or m["under2"]))
        if not under:
            return None, None, 0
        value = Fraction(_bare(over)) / under
        if whole := m["whole"] or m["whole2"]:
            return (int(whole) + value, None, 0) if 0 < value < 1 else (None, None, 0)
        return value, None, 0
    bare = _bare(m["number"])
    value, step = Fraction(bare), Fraction(1, 10 ** len(bare.partition(".")[2]))
    if power := m["e"] or m["ten"] or m["ten1"]:
        if len(power) > 5 or abs(int(power)) > TEN_TO:
            return None, None, 0
        value, step = value * Fraction(10) ** int(power), step * Fraction(10) ** int(power)
    decimal = "." in bare or bool(power)
    return value, step if decimal else None, len(bare.replace(".", "").lstrip("0"))


def _bare(number: str) -> str:
    bare = number.replace(",", "").replace(" ", "").removesuffix(".")
    return "0" + bare if bare.startswith(".") else bare


def same_quantity(one: Quantity, other: Quantity) -> bool:
    """Equality by the rules of this module; symmetric."""
    if not compatible(one.unit, other.unit) or not compatible(one.label, other.label):
        return False
    if one.percent == other.percent:
        return _same_value(one, other)
    sign, bare = (one, other) if one.percent else (other, one)
    if bare.unit:  # 3 % is not 3 km
        return False
    hundredth = Quantity(sign.value / 100, step=sign.step and sign.step / 100, digits=sign.digits)
    return _same_value(sign, bare) or _same_value(hundredth, bare)


def _same_value(one: Quantity, other: Quantity) -> bool:
    if one.value == other.value:
        return True
    if endless(one.value) == endless(other.value):
        return False
    rounded, exact = (other, one) if endless(one.value) else (one, other)
    step = rounding(rounded)
    return step is not None and abs(rounded.value - exact.value) <= step / 2


def rounding(number: Quantity) -> Fraction | None:
    """One unit of the last digit of a decimal that may equal a number without a finite expansion; else None."""
    return number.step if number.digits >= DIGITS else None


def endless(value: Fraction) -> bool:
    """Whether the value has no finite decimal expansion."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1
