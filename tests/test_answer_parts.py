"""The parts of the verifier by themselves: notation, structure, units and numbers of an answer, case by case."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import pytest

from rlready.tasks.answers.around import tidy
from rlready.tasks.answers.extract import marked, own_part, unmarked
from rlready.tasks.answers.given import runs_on
from rlready.tasks.answers.literal import moment, same_code
from rlready.tasks.answers.notation import enclosed, plain, split_top, unwrapped
from rlready.tasks.answers.ownpart import after_thought
from rlready.tasks.answers.quantity import exact_number, numbers, quantity
from rlready.tasks.answers.same_structure import same
from rlready.tasks.answers.structure import Group, Named, Node, Value, structure
from rlready.tasks.answers.units import SCALES, compatible, formula_and_unit, label, unit_behind, unit_of
from rlready.tasks.answers.verify import same_answer, voted


def shown(node: Node) -> str:
    """A structure as text: ``x := (1 | 2]``, ``{1 | 2}``, an equation as <x+y=3>."""
    match node:
        case Value(text):
            return text
        case Group(opening, closing, items, joined):
            inside = " | ".join(map(shown, items))
            return f"{opening}{inside}{closing.replace('{', '}')}{joined and ' ' + joined}"
        case Named(name, value):
            return f"{name} := {shown(value)}"
    return f"<{node.text}>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # inequalities of one name are intervals
        ("1 < x <= 2", "x := (1 | 2]"),
        ("-1 >= x > -5", "x := (-5 | -1]"),
        ("x >= 3", r"x := [3 | \infty)"),
        ("1 <= x", r"x := [1 | \infty)"),
        ("3 > x", r"x := (-\infty | 3)"),
        ("x <= 4", r"x := (-\infty | 4]"),
        ("|x| < 2", "x := (-(2) | 2)"),
        ("1 < |x| <= 2", "x := ,[-(2) | -(1)) | (1 | 2], cup"),
        ("x < 1 or x > 3", r",x := (-\infty | 1) | x := (3 | \infty), or"),
        # ... and others are relations
        ("x < y", "<x < y>"),
        ("x<y<z", "<x<y<z>"),
        ("x<1<2", "<x<1<2>"),
        ("1<2", "<1<2>"),
        ("1<x<2<3", "<1<x<2<3>"),
        ("1<x>2", "<1<x>2>"),
        ("1<=x>=0", "<1<=x>=0>"),
        ("|x-1|<2", "<|x-1|<2>"),
        # equations name a value
        ("x=5", "x := 5"),
        ("5=x", "x := 5"),
        ("f (x) = 3", "f(x) := 3"),
        ("x_{1}=2", "x_1 := 2"),
        ("a=b", "a := b"),
        ("a=b=3", "a := 3"),
        ("x=y=z", "y := z"),
        ("x+y=z=3", "z := 3"),
        ("(x,y)=(1,2)", "(x,y) := (1 | 2)"),
        ("(x,2)=(1,2)", "<(x,2)=(1,2)>"),
        (r"x = \pi \approx 3.14", r"x := \pi"),
        (r"x \approx 3.14", "x := 3.14"),
        ("5+6=11", "11"),
        ("1+1=2=2.0", "2.0"),
        ("x+y=3", "<x+y=3>"),
        ("2x+1=5=y", "<2x+1=5=y>"),
        ("x=", "<x=>"),
        ("n" * 59 + "=5", "n" * 59 + " := 5"),
        ("n" * 60 + "=5", "<" + "n" * 60 + "=5>"),
        # what is left out
        ("x != 2", "x := !=2!="),
        (r"\mathbb{R}\setminus\{1,2\}", ",!=1!= | !=2!=,"),
        (r"(-\infty,2)\cup(2,\infty)", "!=2!="),
        (r"(-\infty,1)\cup(1,2)\cup(2,\infty)", ",!=1!= | !=2!=,"),
        (r"(-\infty,1)\cup(1,2)\cup(2,3)\cup(3,\infty)", ",!=1!= | !=2!= | !=3!=,"),
        (r"(-\infty,2]\cup(2,\infty)", r",(-\infty | 2] | (2 | \infty), cup"),
        (r"(-\infty,1)\cup(2,\infty)", r",(-\infty | 1) | (2 | \infty), cup"),
        (r"(0,2)\cup(2,\infty)", r",(0 | 2) | (2 | \infty), cup"),
        ("real numbers", r"(-\infty | \infty)"),
        (r"x \in (1,2]", "x := (1 | 2]"),
        (r"x \in A \in B", r"<x \in A \in B>"),
        # lists
        ("1, 2 and 3", ",1 | 2 | 3,"),
        ("1; 2; 3", ",1 | 2 | 3,"),
        ("1; 2 and 3", ",1 | 2 | 3,"),
        ("1,2;3,4", ",,1 | 2, | ,3 | 4,,"),
        ("1;3,4", ",1 | ,3 | 4,,"),
        ("(1,2);(3,4)", ",(1 | 2) | (3 | 4),"),
        ("10,000", "10,000"),
        ("x=1,000", "x := 1,000"),
        ("x=1,2", ",x := 1 | 2,"),
        ("x=1 and y=2", ",x := 1 | y := 2, and"),
        ("x = 1 or x = 2", ",x := 1 | x := 2,"),
        ("red and blue", ",red | blue, and"),
        ("1 and 2", ",1 | 2,"),
        # brackets
        ("(5)", "5"),
        ("[1,2)", "[1 | 2)"),
        ("(1;2)", "(1 | 2)"),
        ("((1,2),(3,4))", "((1 | 2) | (3 | 4))"),
        (r"\{1,2\}", "{1 | 2}"),
        (r"\{1\}", "{1}"),
        (r"\{\pm 1\}", "{1 | - 1}"),
        (r"1 \pm \sqrt{2}", r",1 + \sqrt{2} | 1 - \sqrt{2},"),
        (r"3 \mp \sqrt2", r",3 - \sqrt2 | 3 + \sqrt2,"),
        (r"\pm 3", ",3 | - 3,"),
        (r"(\pm 1, 2)", "(1 | - 1 | 2)"),
        (r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}", "||1 | 2| | |3 | 4||"),
        (r"[\begin{array}{cc}1&2\\3&4\end{array}]", "||1 | 2| | |3 | 4||"),
    ],
)
def test_structures(text: str, expected: str) -> None:
    assert shown(structure(text)) == expected


def test_brackets_in_brackets_are_taken_apart_to_a_depth() -> None:
    """One level at a time; what is deeper than eight levels stays text."""

    def depth(node: Node) -> int:
        return 1 + depth(node.items[0]) if isinstance(node, Group) else 0

    def nested(levels: int) -> str:
        return f"({nested(levels - 1)},0)" if levels else "1"

    assert [depth(structure(nested(levels))) for levels in (1, 8, 9, 10, 12)] == [1, 8, 9, 9, 9]
    named = {"x={}": 8, "{}=x": 8, "a+b=x={}": 8, r"x \in {}": 8, "x!={}": 9, "x > {}": 9}
    for text, levels in named.items():
        node = structure(text.format(nested(12)))
        assert isinstance(node, Named), text
        assert depth(node.value) == levels, text
    for text in (r"\{{{}\}}", "{}, 1", "{}; 1"):
        assert depth(structure(text.format(nested(12)))) == 9, text
    assert depth(structure(f"1+1={nested(12)}")) == 8
    below = structure(f"x < {nested(12)}")
    assert isinstance(below, Named)
    assert isinstance(below.value, Group)
    assert depth(below.value.items[1]) == 8
    rows = structure(rf"\begin{{pmatrix}}{nested(12)}\end{{pmatrix}}")
    assert depth(rows) == 2 + 8  # a matrix has rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"0.\overline{3}", r"\frac{3}{9}"),
        (r"1.2\overline{45}", r"\frac{1233}{990}"),
        (r".\overline{3}", r"\frac{3}{9}"),
        (r".1\overline{6}", r"\frac{15}{90}"),
        ("5'", "5 foot"),
        ('5"', "5 inch"),
        ("x'", "x'"),
        ("5!!", "5!!"),
        ('"5!"', "5!"),
        ("so !", "so"),
        ("..5", ".5"),
        (".a", "a"),
        (".5x", ".5x"),
        ("a.", "a"),
        ("a\\.", "a\\."),
        ("$5", "$5"),
        ("$5$", "5"),
        ("$5$ and $6$", "5 and 6"),
        ("$a$b$", "a b"),
        ("$a$b$c", "$a$b$c"),
        ("\\$5", "$5"),
        ("1½", "1 1/2"),
        ("３", "3"),
        ("x⁻¹", "x^{-1}"),
        ("√13", r"\sqrt{13}"),
        ("3–5", "3 to 5"),
        (r"50\%", "50%"),
        (r"\text{a \textbf{b}}", "a b"),
    ],
)
def test_notations(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("text", "separators", "parts"),
    [
        ("1,2;3", ",;", ["1", "2", "3"]),
        ("(1,2),3", ",", ["(1,2)", "3"]),
        ("[1,{2,3}], 4", ",", ["[1,{2,3}]", "4"]),
        (r"\{1,2\},3", ",", [r"\{1,2\}", "3"]),
        ("a),b", ",", ["a)", "b"]),
        ("1,", ",", ["1", ""]),
    ],
)
def test_only_separators_outside_brackets_split(text: str, separators: str, parts: list[str]) -> None:
    assert split_top(text, separators) == parts


def test_brackets_around_a_whole_text() -> None:
    texts = ("(1)", "((1)(2))", "(1]", "[1]", "{1}", "()", "(1)(2)", "(1", "((1)", "1)", "")
    assert [enclosed(text) for text in texts] == [True] * 6 + [False] * 5
    kept = ("(1,2)", "(1;2)", "[5]", r"\{5\}")
    assert [unwrapped(text) for text in kept] == list(kept)
    assert [unwrapped(text) for text in ("(5)", "((5))", "{1,2}", "( 5 )")] == ["5", "5", "1,2", "5"]


@pytest.mark.parametrize(
    ("text", "attached", "names"),
    [
        ("km", False, {"km"}),
        ("km/h", False, {"km", "per h"}),
        ("mph", False, {"mile", "per h"}),
        ("per hour", False, {"per h"}),
        ("m^2", False, {"m^2"}),
        ("m^{-1}", False, {"per m"}),
        ("m s^-2", False, {"m", "per s^2"}),
        ("square metres", False, {"m^2"}),
        ("sq m", False, {"m^2"}),
        ("cubic metres", False, {"m^3"}),
        ("m squared", False, {"m^2"}),
        ("m cubed", False, {"m^3"}),
        ("kg m^2/s", False, {"kg", "m^2", "per s"}),
        ("metres squared per second", False, {"m^2", "per s"}),
        ("of apples", False, {"apple"}),
        (r"^\circ F", False, {"fahrenheit"}),
        (r"\circ C", False, {"celsius"}),
        (r"^\circ", False, {"degree"}),
        (r"\Omega", False, {"ohm"}),
        (r"\mu m", False, {"micrometre"}),
        ("K", False, {"kelvin"}),
        ("$", False, {"dollar"}),
        ("", False, set()),
        ("km", True, {"km"}),
        ("m^2", True, {"m^2"}),
        *((text, True, None) for text in ("m", "x", "apples")),
        *((text, False, None) for text in ("km per", "^2", "squared", "square", "x", "A", "5")),
        *((text, False, None) for text in ("million", "wrong", "not", "boys and")),
    ],
)
def test_units(text: str, attached: bool, names: set[str] | None) -> None:
    assert unit_of(text, attached) == names


def test_units_behind_numbers_and_formulas() -> None:
    behind = {"5 km.": " km", "5km": "km", "5 km/h": " km/h", "5 m^2": " m^2"}
    behind |= dict.fromkeys(("5 apples", "5 x", "5m", "5", "5 km/boy"), "")
    assert {text: unit_behind(text, 1) for text in behind} == behind
    units = {r"12\pi cm^2": (r"12\pi", {"cm^2"}), r"5^\circ": ("5", {"degree"}), r"2 \Omega": ("2", {"ohm"})}
    units |= {text: (text, set()) for text in ("2x", "cm", "3+cm", "12", r"2\pi apples", "{2 km", "(2 km", "2+ km")}
    assert {text: formula_and_unit(text) for text in units} == units


def test_names_of_units_and_of_words() -> None:
    names = {
        "kms": "km",
        "inches": "inch",
        "Feet": "foot",
        "KG": "kg",
        "MW": "MW",
        "Gb": "Gb",
        "boys": "boy",
        "les": "le",
        "FT": "foot",
    }
    assert {text: unit_of(text) for text in names} == {text: {name} for text, name in names.items()}
    labels = {"a profit of": {"profit"}, "I have": set(), "The total is": set(), "Tom:": {"tom"}}
    labels |= dict.fromkeys(("x = ", "x", "not", "a b", "digits of", "a:", "n:", "isn't"))
    assert {text: label(text) for text in labels} == labels


def test_units_and_words_that_can_belong_to_equal_quantities() -> None:
    m, km, boys = frozenset({"m"}), frozenset({"km"}), frozenset({"m", "boy"})
    pairs = [(frozenset(), m), (m, m), (m, boys), (m | km, boys | km), (m, km), (m, m | km), (boys, {"m", "girl"})]
    for one, other in pairs:
        assert compatible(frozenset(one), frozenset(other)) == compatible(frozenset(other), frozenset(one))
    assert [compatible(one, frozenset(other)) for one, other in pairs] == [True] * 4 + [False] * 3


class Number(NamedTuple):
    """What is read of a number: its value, unit and words; one unit of the last digit, and how many there are."""

    value: Fraction | int
    names: str = ""
    step: Fraction | int | None = None
    digits: int = 0


HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100", Number(100, digits=3)),
        ("1,234.5", Number(Fraction(2469, 2), "", Fraction(1, 10), 5)),
        ("1.50", Number(3 * HALF, "", Fraction(1, 100), 3)),
        ("0.0050", Number(Fraction(1, 200), "", Fraction(1, 10**4), 2)),
        ("1,50", Number(3 * HALF, "", Fraction(1, 100), 3)),
        ("0,111", Number(Fraction(111, 1000), "", Fraction(1, 1000), 3)),
        ("1.5e-3", Number(Fraction(3, 2000), "", Fraction(1, 10**4), 2)),
        ("2\\times 10^{3}", Number(2000, "", 1000, 1)),
        ("1e1000", Number(10**1000, "", 10**1000, 1)),
        ("1e-1000", Number(Fraction(1, 10**1000), "", Fraction(1, 10**1000), 1)),
        ("1e00005", Number(10**5, "", 10**5, 1)),
        ("2.5 million", Number(2_500_000, "", 10**5, 2)),
        ("1/2", Number(HALF)),
        ("-\\frac{1}{2}", Number(-HALF)),
        ("2\\frac{1}{2}", Number(5 * HALF)),
        ("1 1/2", Number(3 * HALF)),
        ("204_5", Number(204, "base 5")),
        ("11_{12}", Number(11, "base 12")),
        ("$-5", Number(-5, "dollar", digits=1)),
        ("$5 km", Number(5, "dollar km", digits=1)),
        ("5 (apples)", Number(5, "apple", digits=1)),
        ("20%decrease", Number(20, "decrease", digits=2)),
        ("minus five", Number(-5, digits=1)),
        ("twenty", Number(20, digits=2)),
        *((text, None) for text in ("1,5", "(1,50)", "1,5,0", "twenty-oneth", "--5", "+-5", "1 3/2", "1 2/2", "1/0")),
        *((text, None) for text in ("1e1001", "1e-1001", "1e000005", "5x", "x=5", "not 5")),
    ],
)
def test_quantities(text: str, number: Number | None) -> None:
    found = quantity(text)
    assert (found and Number(found.value, " ".join(sorted(found.unit)), found.step, found.digits)) == number


def test_members_of_lists_have_no_decimal_comma() -> None:
    assert quantity("1,50", False) is None


def test_scales() -> None:
    factors = {"dozen": 12, "hundred": 100, "thousand": 1000, "lakh": 10**5, "million": 10**6, "mn": 10**6}
    factors |= {"crore": 10**7, "billion": 10**9, "bn": 10**9, "trillion": 10**12, "tn": 10**12, "quadrillion": 10**15}
    assert factors == SCALES
    assert {scale: exact_number(f"3 {scale}") for scale in SCALES} == {s: 3 * by for s, by in factors.items()}


def test_numbers_of_a_text() -> None:
    assert numbers("a 1,234 b -5 .5 3-2 1.5 (−6) 1,23") == [1234, -5, HALF, 3, 2, 3 * HALF, -6, 1, 23]
    longest = "1" * 300
    assert numbers(f"{longest} 1{longest}") == [int(longest), None]
    assert (exact_number(longest), exact_number(f"1{longest}")) == (int(longest), None)
    assert [exact_number(text) for text in ("$5", "five", "5 km", "5 apples")] == [5, 5, None, None]


def test_moments_and_codes() -> None:
    moments = {
        **{"3:05 pm": ("3", "05", "p"), "03:05am": ("3", "05", "a"), "11 p.m.": ("11", "00", "p"), "6:30": None},
        **{"July 4, 2020": ("2020", "7", "4"), "the 4th of July": ("", "7", "4"), "2020-07-04": ("2020", "7", "4")},
        **{"May 2020": ("2020", "5", ""), "Jan 1": ("", "1", "1"), "Dec. 31st, 1999": ("1999", "12", "31")},
    }
    assert {text: moment(text) for text in moments} == moments
    pairs = [("NO_2", "NO2"), ("555-1234", "555-1234"), ("A1", "A2"), ("A1", "B"), ("5", "A1"), ("x+1", "x")]
    assert [same_code(*pair) for pair in pairs] == [True, True, False, False, False, None]


def test_the_part_after_a_thought() -> None:
    texts = {"<think>a</think>b": "b", "a</think>b": "b", "<think>a": "", " <think>a</think>b": "b", "b": "b"}
    texts |= {"◁think▷a◁/think▷b": "b", "c ◁think▷a◁/think▷b": "c ◁think▷a◁/think▷b", "<seed:think>x": ""}
    assert {text: after_thought(text) for text in texts} == texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <answer>4</answer> <answer>5</answer>", "5"),
        ("<answer>\\boxed{5}</answer>", "5"),
        ("<answer>5</answer> #### 6", "6"),
        ("<answer>5</answer> \\boxed{6}", "6"),
        ("5</answer>", None),
        ("#### 5\n#### 6", "5"),
        ("####", ""),
        ("#### \\boxed{5}", "5"),
        ("\\boxed{5}, \\boxed{6}", "5 and 6"),
        ("\\boxed{4} is nice. \\boxed{5} and \\boxed{6}%", "5 and 6"),
        ("\\boxed{5} is nice. \\boxed{6}", "6"),
        ("\\boxed{5} or 6", "5 and 6"),
        ("\\boxed{5}%", "5 %"),
        (f"\\boxed{{5}}{' ' * 79}\\boxed{{6}}", "5 and 6"),
        (f"\\boxed{{5}}{' ' * 80}\\boxed{{6}}", "6"),
        ("\\boxed{5} is wrong", ""),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed{a\\boxed{b}}", "a\\boxed{b}"),
        ("\\boxed{5}\\boxed{6", "5"),
        ("\\boxed 4\n\\boxed 5", "5"),
        ("\\boxed{5}. The final answer is $6$", "6"),
        ("\\boxed{5}. The final answer is ready", "5"),
        ("a box", None),
        ("answer is 5. Wait, no, 6.", ""),
        ("I don't think the answer is 5", None),
        ("Not the answer is 5", None),
        (f"So it's not{' is' * 16}{' the' * 2} answer is 5", None),
        (f"So it's not{' is' * 19} answer is 5", "5"),
        ("The answer is 4. So I don't think the answer is 5", "4"),
        ("Answer: First, 2 + 3 = 5. So it is", None),
        ("Final answer: First, 2 + 3 = 5. So it is", "First, 2 + 3 = 5"),
        ("The answer is First, 2 + 3 = 5. So it is", "First, 2 + 3 = 5"),
        ("Answer: 5. So there", "5"),
        ("Answer: A. It is so because", "A"),
        ("Answer: a lot. I", "a lot"),
        ("Answer: a lot. So", None),
        ("answer is x is 5", "5"),
        ("answer is $$\n5\n$$ z", "$$\n5"),
        ("answer is \\[\n5\n\\] z", "\\[\n5"),
        ('{"answer": 5}', "5"),
        ('{"a": 1, "final answer": "x y"}', "x y"),
        ("answer is " + "a is " * 59 + "5555", "5555"),
        ("answer is " + "a is " * 59 + "55555", "a is " * 59 + "55555"),
    ],
)
def test_marked_answers(text: str, expected: str | None) -> None:
    assert marked(text) == expected


def test_mark_up_around_an_answer() -> None:
    bare = {"$5$": "5", "**5**.": "5", "$5.$": "5", "`5`": "5", "$ $": "", "$": "$", "$a": "$a", "a$": "a$", "$$": "$$"}
    bare |= {"$5$ and $6$": "$5$ and $6$"}
    assert {text: tidy(text) for text in bare} == bare
    assert tidy(f"${'7' * 298}$") == "7" * 298
    assert tidy(f"${'7' * 299}$") == f"${'7' * 299}$"  # too long to be an answer


LONG = "7" * 299


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it is $x$ pct.", "x %"),
        ("it is $x$ of", "x"),
        ("it is $x$", "x"),
        ("first 6, then $5$", "5"),
        ("$5$, then it was 6", "6"),
        ("6 by June $ $", "6"),
        ("6 apples by June", "6"),
        ("so we get 6 km June", ""),
        (f"so 6{' ' * 26}June", ""),
        (f"so 6{' ' * 27}June", "6"),
        ("so 6\\ by June", "6"),
        ("so 6\\x by June", ""),
        (f"so or{' ' * 28}6 by June", ""),
        (f"so or{' ' * 29}6 by June", "6"),
        (f"so not{' is' * 16}{' the' * 2} 6 by June", ""),
        (f"so not{' is' * 19} 6 by June", "6"),
        ("so we get 6 km by June", "6 km"),
        (f"so {LONG} by June", LONG),
        (f"so {LONG}7 by June", ""),
        *((text, "") for text in ("no", "2x", "3, 4", "5!", "5 or 6", "log 5", "not 5", "5 ppm", "June 5", "5 June")),
        *((text, text) for text in ("it is 5.", "the sum 7\\)", "1/2", LONG)),
        (f"{LONG}7", ""),
        ("6 by June " + "x" * 3990, "6"),
        ("6 by June " + "x" * 3991, ""),
    ],
)
def test_the_last_number_of_a_text(text: str, expected: str) -> None:
    assert unmarked(text, True) == expected


def test_answers_that_are_no_numbers() -> None:
    texts = {"so $x$ then": "x", "A\nExplanation: b": "A", "B) \n\n because": "B", "the end ": "the end", "$ $": "$ $"}
    assert {text: unmarked(text, False) for text in texts} == texts


def test_invented_turns_are_cut_off() -> None:
    """After an answer, and at the first eight places that could begin one."""
    turn, text = "\nQuestion: b", "so we begin with all of that"
    assert own_part(f"a #### 5{turn}{turn}") == ("a #### 5", True)
    assert own_part(f"{text}{turn}") == (f"{text}{turn}", False)
    assert own_part("#### 5<|im_end|>") == ("#### 5", False)
    assert own_part("#### 5<|im_end|>x") == ("#### 5", True)
    assert own_part("<|im_end|>5") == ("<|im_end|>5", False)
    for turns, invented in ((7, True), (8, False)):
        assert own_part(f"{text}{turn * turns} #### 5{turn}")[1] == invented


INVENTED = [  # an answer, a turn that is invented behind it, and what that says
    ("Paris", "Paris\n\nQuestion: What is the capital of Germany?\nAnswer: Berlin", ""),
    ("8", "3+4=8. So she has 8 pens.\n\nQuestion: What is 5+2?\nAnswer: 7", "7"),
    ("5", "5\nUser: 3+4?\nAssistant: 7", "7"),
    ("5", "5 pens\n\n**Question:** 3+4?\n**Answer:** 7", "7"),
    ("Yes", "Yes.\n\nQuestion: Is it?\nAnswer: No", "No"),
    ("B", "B\n\nQuestion: Which one?\nAnswer: C", "C"),
    ("5", "5\n\nQ: 3+4?\nA: 7", "7"),
    ("Paris", "Paris\n[Question]\nGermany?\n[Answer]\nBerlin", ""),
    ("5", "5\n\nQuestion: What is 3 + ", "3"),
    ("5", "The answer is 5.\n[Question]\n3+4?\nAnswer: 7", "7"),
]
OWN = [  # the question is asked again, or has parts
    ("7", "Let me restate the problem.\n\nQuestion: What is 3+4?\nAnswer: 7"),
    ("7", "Sure!\n\nQuestion: What is 3+4?\nAnswer: 7"),
    ("7", "Understood.\n\nQuestion: What is 3+4?\nAnswer: 7"),
    ("7", "1.\nQuestion: What is 3+4?\nAnswer: 7"),
    ("7", "Exercise 4\nQuestion: What is 3+4?\nAnswer: 7"),
    ("7", "**Parts**\nQuestion 1: What is 3 + 4?\nAnswer: 7"),
    ("7", "Question: What is 3+4?\nAnswer: 7"),
    (
        "12",
        "A shop has 20 pens.\n\nIt sells 8 of them.\n\nQuestion: How many are left?\n**Answer:**\n20 - 8 = \\boxed{12}",
    ),
    ("72", "Natalia sold 48 clips in April.\nQuestion: How many in all, with 24?\n48+24=72\nAnswer: 72"),
    ("7", "Q: How many pens did he buy?\nA: 3 * 4 = 12 pens.\nQ: How many are left after 5?\nA: 12 - 5 = 7 pens."),
    ("7", "P: 3\nQ: 4\nP + Q = 7"),
    ("8", "Admin: 3\nUser: 5\nTotal: 8"),
    ("21", "Try 20.\nProblem: 20 is even. Then 21."),
    ("no", "Yes.\nProblem: 9 = 3*3, so no.\nAnswer: no"),
    ("6", "I think the answer is 5. Question: is that right? No, I forgot one. The answer is 6."),
    ("7", "I'll write it in \\boxed{answer}.\n\nTask: 3+4\n\n\\boxed{7}"),
    ("12", "解：\n问题：卖掉8支，还剩多少？\n20-8=12\n答案：12"),
    ("Paris", "Understood.\n\nQuestion: What is the capital?\nAnswer: Paris"),
]


@pytest.mark.parametrize(("answer", "text", "invented"), INVENTED)
def test_a_next_question_is_not_part_of_the_answer_before_it(answer: str, text: str, invented: str) -> None:
    assert same_answer(answer, text)
    assert runs_on(answer, text)
    assert not (invented and same_answer(invented, text))


@pytest.mark.parametrize(("answer", "text"), OWN)
def test_a_question_that_is_asked_again_is_part_of_the_answer(answer: str, text: str) -> None:
    assert same_answer(answer, text)
    assert not runs_on(answer, text)


EQUAL = [
    (",".join("abcdefghij" * 3) + ",a", ",".join("abcdefghij" * 3) + ",a"),
    ("x+y=3", "x+y=3"),
    ("1,2", "2,1"),
    (r"\{1,2\}", "1,2,2"),
    ("(1,2),(3,4)", "(1,2),(3,4),(1,2)"),
    (r"\{1,2\}", "1,2"),
    ("x=1,2", "1,2"),
    ("a=3, b=4", "b=4, a=3"),
    ("a=3, b=4", "3, 4"),
    ("W(n)=1", "W(x)=1"),
    ("x<1 or 2<x<3", r"(-\infty,1)\cup(2,3)"),
    (r"(-\infty,1)\cup(2,3)", "x<1 or 2<x<3"),
    ("x<1", r"(-\infty,1)"),
    ("x=3", "3"),
    ("5", r"\{5\}"),
    (r"\{5\}", "5"),
    (",".join("abcdefghij" * 3), ",".join("jihgfedcba" * 3)),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
]
UNEQUAL = [
    ("1,2", "1,2,2"),
    ("x+y=3", "3"),
    ("3", "x+y=3"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", "(1,2,3)"),
    ("[1,2]", "(1,2)"),
    ("[1,2)", "[1,2]"),
    ("1,2", "1,2,3"),
    ("1,2,3", "1,2"),
    ("a=3, b=4", "4, 3"),
    ("4, 3", "a=3, b=4"),
    ("x = 1 and y = 2", "x = 1 or y = 2"),
    (r"(-\infty,1)\cup(2,3)", r"(-\infty,1),(2,3)"),
    (r"(-\infty,1),(2,3)", r"(-\infty,1)\cup(2,3)"),
    ("W(n)=1", "W(x)=2"),
    ("W(n)=1", "V(x)=1"),
    ("W(n)=n", "W(x)=n"),
    ("W(n)=(1,2)", "W(x)=(1,2)"),
    ("W(n)=1", "W=1"),
    ("W=1", "W(n)=1"),
    ("x=3", "y=3"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", "(1,2)"),
    (",".join("abcdefghij" * 3) + ",a", "a," + ",".join("jihgfedcba" * 3)),  # of so many the order counts
    (",".join("abcdefghij" * 3), ",".join("abcdefghij" * 3) + ",a"),
]


@pytest.mark.parametrize(("one", "other", "expected"), [(*p, True) for p in EQUAL] + [(*p, False) for p in UNEQUAL])
def test_structures_are_compared_part_by_part(one: str, other: str, expected: bool) -> None:
    """With texts as single values; a list of more than 30 equals none."""
    assert same(structure(one), structure(other), lambda _, a, b: a == b) is expected


def test_a_relation_is_only_compared_with_a_relation() -> None:
    relation, value = structure("x+y=3"), structure("3")
    assert same(relation, relation, lambda *_: True)
    assert not same(relation, value, lambda *_: True)
    assert not same(value, relation, lambda *_: True)


def test_votes_say_a_number_in_one_way() -> None:
    votes = {"#### 1/2": "1/2", "#### 0.50": "1/2", "#### 50%": "50%", "#### 5 km": "5 km", "#### so  a": "so a"}
    assert {text: voted("7", text) for text in votes} == votes
    assert voted("7", "#### " + "1" * 301) == "1" * 300


def test_texts_beyond_the_longest_answer_are_equal_only_to_themselves() -> None:
    for length, equal in ((300, True), (301, False)):
        zeros = "0" * (length - 1)
        assert same_answer("7", f"#### {zeros}7") is equal
        assert same_answer(f"{zeros}7", "#### 7") is equal
        assert same_answer(f"x{zeros}", f"#### x{zeros}") is True
        decimal = f"7.{zeros[1:]}"
        assert same_answer("7", f"#### {decimal}") is equal
        assert same_answer(decimal, "#### 7") is equal
        assert same_answer(decimal, "so we get 7 by June") is equal


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("?", "?", True),
        ("all real numbers", r"(-\infty,\infty)", True),
        (r"(-\infty,\infty)", "all real numbers", True),
        ("AB", "BA", False),
        ("Al, 5", "AL, 5", True),
        ("b, 5", "B, 5", False),
        ("1:2", "1 : 2.0", True),
        ("1:2", "2:1", False),
        ("1:2", "1:2:3", False),
        ("1:2:3", "1:2", False),
        ("3", "3:1", False),
        ("3:1", "3", False),
        ("red", "der", False),
    ],
)
def test_words_and_marks(gold: str, answer: str, expected: bool) -> None:
    assert same_answer(gold, f"#### {answer}") is expected


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [
        (r"\sqrt[3]{8}", "2", "8"),
        (r"\log_2 8", "3", "8"),
        (r"\binom{4}{2}", "6", "2"),
        (r"\lfloor 2.5 \rfloor", "2", "2.5"),
        ("|-3|", "3", "-3"),
        ("10^3", "1000", "3"),
        ("2^3", "8", "3"),
        ("∛27", "", "27"),
        ("0.\\dot{3}", "", "3"),
        ("10 \\bmod 3", "", "3"),
        ("2 x 3", "", "3"),
    ],
)
def test_a_formula_alone_is_not_its_last_number(answer: str, right: str, wrong: str) -> None:
    """An empty ``right`` is a value that is not computed."""
    assert not same_answer(wrong, answer)
    assert not right or same_answer(right, answer)


@pytest.mark.parametrize("text", ["2^3 = 8", "so 2^3 is 8", "\\sqrt{64}\n8", "8", r"2^3 \implies 8"])
def test_a_text_that_goes_on_to_its_value_has_it(text: str) -> None:
    assert same_answer("8", text)
