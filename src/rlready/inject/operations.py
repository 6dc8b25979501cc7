"""Sub-goal computation in prose: "5+3*2 = 11" becomes "5+3*2 = 5+6 = 11", as the line writes its numbers and signs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from rlready.inject.calculator import (
    ANNOTATION,
    Calc,
    arithmetic,
    number,
    read_annotation,
    reductions,
    write_calculation,
)

WRITTEN = re.compile(r"[-–+*/xX×÷$€£0-9.,() ]+$")
NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
SPELLED = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+")
DECIMALS = 4  # of a number worth writing
LONGEST = 4  # operations written out, the last aside: each repeats all that follow


def computations(text: str) -> Iterator[tuple[int, str]]:
    """(place, what) to insert into the text of a step so that every operation is written out."""
    for found in ANNOTATION.finditer(text):
        head = text[: found.start()].rstrip(" $€£")
        written = WRITTEN.search(head[:-1])
        if not head.endswith("=") or not written:
            continue
        note, line = read_annotation(found[1]), written[0].lstrip(" .,").rstrip()
        try:
            if arithmetic(line.replace("–", "-")) != note.calc:
                continue
            chain = [_styled(calc, line) for calc in reductions(note.calc)]
        except ValueError:  # not all of the calculation is written, or a number in between has too many decimals
            continue
        if len(chain) > 1 and re.search(r"[0-9]/[0-9]", line):  # "1/2 + 1 + 1/2" would mix 0.5 and 1/2
            continue
        before = " " if head.endswith(" =") else ""
        after = " " if before or text[len(head) :].startswith(" ") else ""
        if 0 < len(chain) <= LONGEST and all(chain):
            yield len(head), "".join(f"{after}{calc}{before}=" for calc in chain)


def _styled(calc: Calc, line: str) -> str:
    """The calculation with the signs, spaces, commas and currency of ``line``; "" where it would read oddly."""
    text = write_calculation(calc)
    numbers, signs = NUMBER.findall(text), [s for s in "$€£" if s in line]
    if any(len(n.partition(".")[2]) > DECIMALS for n in numbers) or _negative(calc):
        return ""
    sign = ""
    if signs:  # a sum of amounts; in a product some numbers are none
        sign, amounts = signs[0], len(NUMBER.findall(line.replace(",", "")))
        if len(signs) > 1 or line.count(sign) != amounts or re.search(r"[*/xX×÷]", line):
            return ""
    comma = "," if re.search(r"[0-9],[0-9]{3}", line) else ""
    spelled: dict[Fraction, str] = {number(found): found for found in SPELLED.findall(line)}
    cents = re.search(r"\.[0-9]{2}(?![0-9])", line)
    whole_cents = sign and all(re.fullmatch(r".*\.[0-9]{2}", n) for n in SPELLED.findall(line))  # "$16.00", not "$16"

    def written(found: re.Match[str]) -> str:
        whole, point, rest = found[0].partition(".")
        if whole_cents or (point and cents):
            point, rest = ".", f"{rest:0<2}"
        return sign + spelled.get(number(found[0]), f"{int(whole):{comma}}{point}{rest}")

    text = NUMBER.sub(written, text)
    for plain, alike in (("*", "xX×"), ("/", "÷"), ("-", "–")):
        used = next((c for c in alike if c in line), plain)
        text = text.replace(f" {plain} ", f" {used} ")
    return text if re.search(r" [-–+*/xX×÷] |^[^ ]+ [-–+*/xX×÷]", line) else text.replace(" ", "")


def _negative(calc: Calc) -> bool:
    return calc < 0 if isinstance(calc, Fraction) else _negative(calc[1]) or _negative(calc[2])
