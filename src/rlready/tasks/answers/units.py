"""What stands beside a number: units and currencies by one name each, and other words as they are.

They are only compared where both sides have some in the same place: ``12`` equals ``12 km``, but ``12 km`` is not
``12 m``, and a loss of 5 no profit of 5.  Nothing is converted: ``60 min`` is not ``1 h``.
"""

from __future__ import annotations

import re

CURRENCIES = {
    "$": "dollar", "usd": "dollar", "us$": "dollar", "€": "euro", "eur": "euro", "£": "pound sterling",
    "gbp": "pound sterling", "¥": "yen", "jpy": "yen", "₹": "rupee", "inr": "rupee", "₽": "ruble", "¢": "cent",
    "₩": "won", "₪": "shekel",
}  # fmt: skip
ALIASES = {
    "mm": "millimetre millimeter", "cm": "centimetre centimeter", "m": "metre meter", "km": "kilometre kilometer",
    "inch": "in inches", "foot": "ft feet", "yard": "yd", "mile": "mi", "mg": "milligram", "g": "gram gramme",
    "kg": "kilogram kilogramme kilo", "tonne": "ton", "ounce": "oz", "lb": "pound", "ms": "millisecond",
    "s": "second sec", "min": "minute", "h": "hour hr", "day": "", "week": "wk", "month": "", "year": "yr",
    "ml": "millilitre milliliter", "l": "litre liter", "gallon": "gal", "degree": r"deg \circ ^\circ", "radian": "rad",
    "celsius": "centigrade", "fahrenheit": "", "kelvin": "K", "hz": "hertz", "khz": "kilohertz", "mhz": "megahertz",
    "newton": "N", "joule": "J", "kj": "kilojoule", "watt": "W", "kw": "kilowatt", "kwh": "", "volt": "V",
    "pascal": "Pa", "kpa": "", "mol": "mole", "cent": "", "dollar": "buck", "euro": "",
    "yen": "", "rupee": "", "yuan": "rmb",
    "ohm": r"Ω \Omega", "micrometre": r"micrometer μm \mum", "acre": "", "hectare": "ha", "byte": "", "bit": "",
    "unit": "",
}  # fmt: skip
SPEEDS = {"mph": "mile/h", "kph": "km/h", "kmh": "km/h"}
UNITS = {alias: unit for unit, aliases in ALIASES.items() for alias in (unit, *aliases.split())}
KNOWN = {*UNITS.values(), *CURRENCIES.values()}
SCALES = {
    "dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "lakh": 10**5, "crore": 10**7, "mn": 10**6, "bn": 10**9, "tn": 10**12, "quadrillion": 10**15,
}  # fmt: skip
MONTHS = """
    january february march april may june july august september october november december
""".split()  # noqa: SIM905
# Words that say something of the number: with one of them it is another number, or none.
TELLING = frozenset(
    """
    and or not no nor isn never neither either minus negative plus times less fewer more than least most over under
    above below between to from up divided multiplied half halves third thirds quarter quarters fifth fifths tenth
    tenths hundredth hundredths thousandth thousandths percent root square cube squared cubed factorial pi infinity mod
    modulo log ln sin cos tan sec csc cot
    exp sqrt max min gcd lcm arcsin arccos arctan sinh cosh tanh lim det sgn deg dim ker inf sup inverse reciprocal
    twice double triple thousands millions billions hundreds dozens if unless except cannot almost nearly exceed exceeds
    exceeding
    """.split()  # noqa: SIM905 (a list of 80 strings is no easier to read)
) | {*MONTHS}
AHEAD = frozenset(  # "a multiple of 5"
    """
    multiple multiples digit digits divisor divisors factor factors power powers opposite negation without beyond other
    but anything hardly divisible ending
    """.split()  # noqa: SIM905
)
BEHIND = frozenset(  # "5 ppm"
    """
    basis mil ppm ppb mille gross score doubled tripled wrong incorrect false lakhs crores millions billions trillions
    """.split()  # noqa: SIM905
)
FILLING = frozenset(
    """
    the a an of by at i is are was were be it there so has have total answer final result value only just exactly about
    approximately roughly altogether
    """.split()  # noqa: SIM905
)
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
TOKEN = re.compile(
    rf"{WORD.pattern}|\^\s*(?:\{{\s*-?\d\s*\}}|-?\d)|\^?\\circ(?:\s*[CF](?![a-zA-Z]))?|\\Omega(?![a-z])|\\mu\s*[a-zA-Z]+|/|[$€£¥₹¢]"
)
NEXT = re.compile(r" ?([A-Za-z][A-Za-z/]*(?:\^\d)?)(?![\w'^²³])")
BEHIND_FORMULA = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]|\^?\\circ|\\Omega|\\mu(?![a-z])")
PRODUCT = re.compile(r"(?<=[\w}])\s*(?:\\cdot(?![a-z])|\*)\s*(?=[A-Za-z\\])")  # of units: m \cdot s^{-1}
POWERS = {"square": 2, "sq": 2, "cubic": 3, "squared": 2, "cubed": 3}


def unit_of(text: str, attached: bool = False) -> frozenset[str] | None:
    """The names of the unit or words in ``text``; None if it is neither.  ``attached``: written onto the number."""
    text = PRODUCT.sub(" ", SPEEDS.get(text.strip().lower(), text))
    names: list[str] = []
    at, per, power = 0, "", 1
    while (at := at + len(text[at:]) - len(text[at:].lstrip())) < len(text):
        if not (found := TOKEN.match(text, at)):
            return None
        token, at = found[0], found.end()
        lower = token.lower()
        exponent = token.strip("^{ }") if token[0] == "^" and "circ" not in token else str(POWERS.get(lower, ""))
        if exponent and (token[0] == "^" or lower.endswith("ed")):
            if not names or (raised := _raised(names[-1], exponent)) is None:
                return None
            names[-1] = raised
        elif exponent:
            power = POWERS[lower]
        elif lower in ("/", "per"):
            per = "per "
        else:
            name = _name(token)
            alone = len(token) == 1 and token.isalpha() and token.isascii()
            if name not in KNOWN and (alone or lower in BEHIND or lower in SCALES or telling(token)):
                return None
            if (
                attached
                and not names
                and token.isascii()
                and (name not in KNOWN or (alone and text[at : at + 1] != "^"))
            ):
                return None  # 2x, 2m
            if per or lower not in FILLING:
                names.append(per + name + (f"^{power}" if power > 1 else ""))
            per, power = "", 1
    twice = any(name.startswith("per ") and names.count(name) > 1 for name in names)  # s^{-1} s^{-1}
    if {"celsius", "fahrenheit"} & {*names}:
        names = [name for name in names if name != "degree"]
    return frozenset(names) if not per and power == 1 and not twice else None


def _raised(name: str, exponent: str) -> str | None:
    """A unit to a power, "per s" for s^{-1}; None for m/s^{-1}, which is no unit."""
    below, size = exponent[0] == "-", exponent.lstrip("-")
    if below and name.startswith("per "):
        return None
    return "per " * below + name + (f"^{size}" if size != "1" else "")


def telling(words: str, of: frozenset[str] = TELLING) -> bool:
    """Whether words before a number make it another number, or none: "not 5", "at least 5", "isn't 5"."""
    return any(word.endswith("n't") or word in of for word in WORD.findall(words.lower()))


def label(text: str) -> frozenset[str] | None:
    """The names in the words before a number, "a profit of 5"; None if they make it another number, or none."""
    words = WORD.findall(text)
    if "=" in text or telling(text, TELLING | AHEAD) or any(len(w) == 1 and w not in "aI" for w in words):
        return None
    if ":" in text and words and len(words[-1]) == 1:
        return None
    return frozenset(_name(word) for word in words if word.lower() not in FILLING)


def compatible(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two units or words can be of equal quantities: one is not given, both are one, or one says more words."""
    if not one or not other or one == other:
        return True
    more = one ^ other
    return (one < other or other < one) and not all(_base(name) in KNOWN for name in more)


def unit_behind(text: str, at: int) -> str:
    """The known unit in the word behind a number in a text, with the space before it; empty if there is none."""
    word = NEXT.match(text, at)
    unit = unit_of(word[1].rstrip("."), word[0][0] != " ") if word else None
    return word[0].rstrip(".") if word and unit and all(_base(name) in KNOWN for name in unit) else ""


def formula_and_unit(text: str) -> tuple[str, frozenset[str]]:
    """A formula without letters and the unit behind it, ``12\\pi cm^2``; a letter alone may be a factor."""
    found = BEHIND_FORMULA.search(text)
    head, tail = (text[: found.start()].rstrip(), text[found.start() :]) if found else (text, "")
    unit = unit_of(tail) or frozenset()
    whole = head.count("{") == head.count("}") and head.count("(") == head.count(")") and head[-1:] not in "+-*/^_="
    if not head or not whole or re.match(r"[a-zA-Z](?![a-zA-Z])", tail) or not all(_base(n) in KNOWN for n in unit):
        return text, frozenset()
    return (head, unit) if unit else (text, unit)


def _base(name: str) -> str:
    return name.removeprefix("per ").partition("^")[0]


def _name(token: str) -> str:
    """A unit's one name; the singular of other words."""
    token = re.sub(r"\s", "", token)
    if token in UNITS:
        return UNITS[token]
    lower = token.lower()
    if len(token) < 3 and token != lower and (lower not in UNITS or len(token) == 1 or token[0] == "M"):
        return token  # M, G, MW, Gb: a capital is another prefix or unit
    if "circ" in lower:
        return {"c": "celsius", "f": "fahrenheit"}.get(lower[-1] if lower[-2:] != "rc" else "", "degree")
    if lower in CURRENCIES:
        return CURRENCIES[lower]
    for form in (lower, lower.removesuffix("s"), lower.removesuffix("es")):
        if form in UNITS and len(form) > 1:
            return UNITS[form]
    return lower.removesuffix("s")
