"""No near miss of a right answer is right, and the same answers in another notation are."""

import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from rlready.tasks.answers.verify import compare_in_advance, same_answer

UNITS = ("km", "m", "cm", "kg", "g", "s", "min", "h", "feet", "miles", "dollars", "euros", "cents", "m^2", "m/s")
LETTERS = "ABCDEFGHIJ"
COUNT = 5000


def decimal(rng: random.Random) -> tuple[str, str]:
    """A number of up to 18 digits, tiny or huge, and one that differs by a unit of its last place."""
    digits, scale = rng.randint(10 ** rng.randint(0, 8), 10 ** rng.randint(9, 17)), rng.randint(0, 20)
    other = digits + rng.choice((-1, 1))
    return tuple(f"{Decimal(n).scaleb(-scale):f}" for n in (digits, other))  # type: ignore[return-value]


def power(rng: random.Random) -> tuple[str, str]:
    """Scientific notation, with another last digit or another exponent; neither is near zero for being small."""
    lead, exponent = rng.randint(10**4, 10**5 - 2), rng.choice((-1, 1)) * rng.randint(5, 60)
    times = rng.choice((r"{} \times 10^{{{}}}", r"{}\cdot 10^{{{}}}", "{}e{}"))
    if rng.random() < 0.5:
        return times.format(lead / 10**4, exponent), times.format((lead + 1) / 10**4, exponent)
    return times.format(lead / 10**4, exponent), times.format(lead / 10**4, exponent + rng.choice((-1, 1)))


def fraction(rng: random.Random) -> tuple[str, str]:
    """Turned round, with another sign, off by one above or below, as a decimal that is not its rounding, mixed."""
    below = rng.randint(3, 60)
    above = rng.choice([n for n in range(2, 90) if n != below])
    value = Fraction(above, below)
    a, b = value.numerator, value.denominator
    wrong = [
        rf"\frac{{{b}}}{{{a}}}" if a != b else "2",
        rf"-\frac{{{a}}}{{{b}}}",
        f"{a + 1}/{b}",
        rf"\dfrac{{{a}}}{{{b + 1}}}",
        f"{float(value) * (1 + 3e-6):.9f}",
        f"{float(value):.2f}" if b % 7 == 0 or b % 3 == 0 else f"{a}/{b + 1}",
        f"{a // b + 1} {a % b}/{b}" if a % b else f"{a + 1}",
        rf"{a // b + 1}\frac{{{a % b or 1}}}{{{b}}}",
    ]
    return rf"\frac{{{a}}}{{{b}}}", rng.choice(wrong)


def percentage(rng: random.Random) -> tuple[str, str]:
    """n % is n and n / 100 where the other side has no sign, and nothing else; 50 is not 0.5."""
    n = rng.randint(2, 99)
    return rng.choice(
        [
            (f"{n}%", f"{n + 1}%"),
            (f"{n}%", f"{n / 10}"),
            (rf"{n}\%", f"{n * 100}"),
            (f"{n}", f"{n / 100}"),
            (f"{n / 100}", f"{n}"),
            (f"{n / 100}%", f"{n}"),
            (f"{n}%", f"{n / 100}%"),
            (f"{n}%", rf"\frac{{{n}}}{{{1000}}}"),
        ]
    )


def grouped(rng: random.Random) -> tuple[str, str]:
    """Thousands separators: digits swapped, a group too many or too few, groups that are not three digits."""
    n = rng.randint(10**4, 10**9)
    text = f"{n:,}"
    wrong = [
        f"{n * 1000:,}",
        f"{n // 1000:,}",
        f"{n + 1:,}",
        text.replace(",", ", "),
        text[:-1],
        f"{n}".replace("", ","),
    ]
    return str(n), rng.choice(wrong)


def unit(rng: random.Random) -> tuple[str, str]:
    n, (one, other) = rng.randint(2, 500), rng.sample(UNITS, 2)
    return rng.choice([(f"{n} {one}", f"{n} {other}"), (f"{n} {one}", f"{n + 1} {one}"), (f"${n}", f"€{n}")])


def letter(rng: random.Random) -> tuple[str, str]:
    one, other = rng.sample(LETTERS, 2)
    said = ("{}", "({})", "**{}**", "Answer: {}", "The answer is ({}).", "option {}", "<answer>{}</answer>")
    return one, rng.choice(
        [
            rng.choice(said).format(other),
            f"{one} or {other}",
            f"({other}), not ({one})",
            f"I think {one} is bad: {other}",
        ]
    )


def interval(rng: random.Random) -> tuple[str, str]:
    """Other brackets, swapped or moved ends, flipped or loosened inequalities."""
    low = rng.randint(-50, 50)
    high = low + rng.randint(2, 60)
    left, right = rng.choice("(["), rng.choice(")]")
    less = {"(": "<", "[": "\\le", ")": "<", "]": "\\le"}
    as_chain = f"{low} {less[left]} x {less[right]} {high}"
    gold = rng.choice([f"{left}{low},{high}{right}", as_chain, rf"x \in {left}{low}, {high}{right}"])
    flip = {"(": "[", "[": "(", ")": "]", "]": ")"}
    wrong = [
        f"{flip[left]}{low},{high}{right}",
        f"{left}{low},{high}{flip[right]}",
        f"{left}{high},{low}{right}",
        f"{left}{low},{high + 1}{right}",
        f"{left}{low},\\infty)",
        f"{low} {less[flip[left]]} x {less[right]} {high}",
        f"{low} {less[left]} x {less[flip[right]]} {high}",
        f"{high} {less[left]} x {less[right]} {low}",
        f"x {less[right]} {high}",
        f"{low}, {high}, {high + 1}",
    ]
    return gold, rng.choice(wrong)


def inequality(rng: random.Random) -> tuple[str, str]:
    n, (one, other) = rng.randint(-40, 40), rng.sample(["<", ">", r"\le", r"\ge", "="], 2)
    return f"x {one} {n}", rng.choice([f"x {other} {n}", f"x {one} {n + 1}", f"y {one} {n}", f"-x {one} {n or 1}"])


def several(rng: random.Random) -> tuple[str, str]:
    """Tuples with members swapped, changed or missing; sets with a member changed or missing."""
    members = rng.sample(range(-30, 60), rng.randint(2, 5))
    swapped = members[1:] + members[:1]
    changed = [*members[:-1], members[-1] + 100]
    text = [", ".join(map(str, m)) for m in (members, swapped, changed, members[:-1], [*members, 99])]
    if rng.random() < 0.5:
        return f"({text[0]})", rng.choice([f"({t})" for t in text[1:]] + [f"[{text[0]}]"])
    return rf"\{{{text[0]}\}}", rng.choice([rf"\{{{t}\}}" for t in text[2:]])


def formula(rng: random.Random) -> tuple[str, str]:
    """Radicals, multiples of pi, powers, logarithms, terms in x: one number changed, or a decimal that is near."""
    a, b, c = rng.randint(2, 30), rng.choice((2, 3, 5, 6, 7, 10, 11)), rng.randint(2, 9)
    forms = (
        r"{a}\sqrt{{{b}}}",
        r"\frac{{{a}\sqrt{{{b}}}}}{{{c}}}",
        r"\frac{{{a}\pi}}{{{b}}}",
        r"{a}+{c}\sqrt{{{b}}}",
        r"{a}x^{c}-{b}",
        r"\frac{{x+{a}}}{{{b}}}",
        r"{a}\sin({b}x)",
        r"2^{{-{a}{b}}}",
        r"\frac{{1}}{{{a}{b}!}}",
        r"e^{{{a}}}-{b}",
        r"\log_{{{b}}} {a}1",
        r"({a},\sqrt{{{b}}})",
        r"{a}-{b}i",
    )
    form = rng.choice(forms)
    key = rng.choice([k for k in "abc" if f"{{{k}}}" in form])
    if rng.random() < 0.15:
        return rf"{a}\sqrt{{{b}}}", f"{a * b**0.5 * (1 + 2e-5):.6f}"
    other = {"a": a, "b": b, "c": c}
    other[key] += 1 if key != "b" or b != 6 else 5
    return form.format(a=a, b=b, c=c), form.format(**other)


def sign(rng: random.Random) -> tuple[str, str]:
    n = rng.randint(1, 10**6)
    minus = rng.choice("-−–")
    return rng.choice(
        [(f"-{n}", f"{n}"), (f"{n}", f"{minus}{n}"), (f"{n}", f"- {n}"), (f"{n}", rf"-\frac{{{2 * n}}}{{2}}")]
    )


def word(rng: random.Random) -> tuple[str, str]:
    """Words and signs that make it another number, or none."""
    n = rng.randint(3, 99)
    pairs = [
        ("yes", "no"), ("true", "false"), ("even", "odd"), ("Paris", "Pairs"), ("yes", "yes or no"),
        (f"{n}", f"not {n}"), (f"{n}", f"at least {n}"), (f"{n}", f"{n} or {n + 1}"), (f"{n}", f"{n} million"),
        (f"{n}", f"{n}x"), (f"{n}", rf"{n}\pi"), (f"{n}", f"{n}^2"), (f"{n}", f"{n}²"), (f"{n}", f"{n}!"),
        (f"{n}", rf"\log {n}"), (f"{n}", f"1/{n}"), (f"{n}", f"{n},5{n}7,1"), (f"1.{n}4", f"1.{n}.4"),
        (f"{n}.5", f"{n}.5.1"),
        (f"1{n}234.5", f"1{n}.234,5"), (f"{n}_8", f"{n}_9"), (f"x={n}", f"y={n}"), (f"{n}:3", f"3:{n + 1}"),
        (f"{n}", f"{n} hundred"),
    ]  # fmt: skip
    return rng.choice(pairs)


def beside(rng: random.Random) -> tuple[str, str]:
    """Other words before or behind the same number."""
    n = rng.randint(2, 99)
    places = (
        ("a profit of {}", "a loss of {}"), ("{}% increase", "{}% decrease"), ("{} km north", "{} km south"),
        ("{} degrees clockwise", "{} degrees counterclockwise"), ("{} boys", "{} girls"), ("King {}", "Queen {}"),
        ("May {}", "June {}"), ("{}", "March {}"), ("{} MW", "{} mW"), ("{} Mg", "{} mg"), ("{}", "{} lakh"),
        ("{}", "{} ppm"), ("{}", "a multiple of {}"), ("{}", "It isn't {}"), ("{}", "we can't have {}"),
        ("{}", "\\boxed{{{}}} or 101"), ("{}", "\\boxed{{{}}} is wrong"), ("{}", "the sum of the digits of {}"),
        ("{}", "so x > {}"), ("{}", "f({})"), ("3:{:02d} PM", "3:{:02d} AM"),
    )  # fmt: skip
    gold, wrong = rng.choice(places)
    return gold.format(n), wrong.format(n)


def names(rng: random.Random) -> tuple[str, str]:
    """Values swapped between names, another name, unequal for equal, a derivative for the function."""
    a, b = rng.sample(range(-20, 20), 2)
    x, y = rng.sample("abcfgImnpqtxyz", 2)
    return rng.choice(
        [
            (f"{x} = {a}, {y} = {b}", f"{x} = {b}, {y} = {a}"),
            (f"{x} = {a}", f"{y} = {a}"),
            (rf"{x} \neq {a}", f"{x} = {a}"),
            (f"{a}", rf"{x} \ne {a}"),
            (rf"{x} \ne \pm {abs(a) + 1}", rf"\pm {abs(a) + 1}"),
            (f"Ann: {a}, Ben: {b}", f"Ann: {b}, Ben: {a}"),
            (f"{x}'({y})", f"{x}({y})"),
            (f"{x}''", f"{x}'"),
            (rf"\frac{{d{x}}}{{d{y}}}", rf"\frac{{d{y}}}{{d{x}}}"),
            (f"{x} < {min(a, b)} or {x} > {max(a, b)}", f"{x} < {min(a, b)} and {x} > {max(a, b)}"),
        ]
    )


def code(rng: random.Random) -> tuple[str, str]:
    """Dates, scores, codes, chemical formulas: what is no mathematics, with digits or letters swapped."""
    a, b = rng.sample(range(2, 10), 2)
    day, month = rng.sample(range(10, 13), 2)
    return rng.choice(
        [
            (f"2024-{month}-{day}", f"2024-{day}-{month}"),
            (f"{day}/{month}/2024", f"{month}/{day}/2024"),
            (f"{a + 1}-{a}", f"{b + 1}-{b}"),
            (f"{a}-{b}", f"{a - b}"),
            (f"N{a}O{b}", f"N{b}O{a}"),
            (f"C{a}H{b}", f"C{a}H{b}O"),
            (f"A{a}", f"{a}A"),
            (f"0x{a}F", f"0x{b}F"),
            (f"0x{a}F", "0"),
            (f"July {day}, 2024", f"August {day}, 2024"),
            (f"July {day}, 2024", f"July {month}, 2024"),
            (rf"\sqrt{{{a}{b}}}", rf"\sqrt{{{a}}} \cdot {b}"),
        ]
    )


KINDS = (
    decimal,
    power,
    fraction,
    percentage,
    grouped,
    unit,
    letter,
    interval,
    inequality,
    several,
    formula,
    sign,
    word,
    beside,
    names,
    code,
)
MARKS = ("#### {}", "\\boxed{{{}}}", "The answer is {}.", "**Final Answer:** {}", "<answer>{}</answer>")


def near_misses() -> Iterator[tuple[str, str]]:
    rng = random.Random(0)
    for i in range(COUNT):
        gold, wrong = KINDS[i % len(KINDS)](rng)
        yield (
            gold,
            wrong if "nswer" in wrong or "box" in wrong or rng.random() < 0.3 else rng.choice(MARKS).format(wrong),
        )


def test_no_near_miss_is_correct() -> None:
    pairs = list(near_misses())
    compare_in_advance(pairs)
    assert len(pairs) == COUNT
    assert [pair for pair in pairs if same_answer(*pair)] == []


def test_the_original_answers_are_correct() -> None:
    """Each in every mark: a verifier that finds all wrong would pass the other test."""
    rng = random.Random(1)
    pairs = [(gold, rng.choice(MARKS).format(gold)) for gold, _ in near_misses()]
    compare_in_advance(pairs)
    assert [pair for pair in pairs if not same_answer(*pair)] == []
