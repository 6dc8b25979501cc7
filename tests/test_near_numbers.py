"""Numbers near the right one are wrong, by however little; and what stands in the answer's place is not guessed at."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.tasks.answers.quantity import Quantity, endless, exact_number, quantity, rounding, same_quantity
from rlready.tasks.answers.verify import ballots, compare_in_advance, same_answer, voted


@pytest.mark.parametrize("text", ["{}", "#### {}", "\\boxed{{{}}}", "The answer is {}."])
@pytest.mark.parametrize("by", [-10, -1, 1, 2, 100])
def test_a_whole_number_that_is_off_is_wrong(text: str, by: int) -> None:
    for gold in (0, 7, 72, 10**6):
        assert same_answer(str(gold), text.format(gold))
        assert not same_answer(str(gold), text.format(gold + by))


@settings(max_examples=200)
@given(st.fractions(-1000, 1000, max_denominator=50), st.fractions(-1, 1, max_denominator=1000))
def test_fractions_are_equal_only_to_themselves(value: Fraction, by: Fraction) -> None:
    """Given as fractions, exactly."""
    assert same_answer(str(value), str(value))
    assert same_answer(str(value), str(value + by)) == (by == 0)


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        *[("1/3", "0." + "3" * n, n >= 5) for n in range(1, 8)],
        *[("2/3", f"0.{'6' * n}7", n >= 4) for n in range(1, 8)],
        ("2/3", "0.666666", False),
        ("2/3", "0.666668", False),
        ("1/3", "0.333334", False),
        ("1/8", "0.125", True),
        ("1/8", "0.13", False),
        ("1/8", "0.1250001", False),
        ("0.125", "0.13", False),
        ("0.5", "0.6", False),
        ("0.5", "1.5", False),
        ("72", "71.5", False),
        ("72", "72.0001", False),
        ("72", "72.0", True),
        ("50%", "0.5", True),
        ("50%", "50", True),
        ("50%", "51%", False),
        ("50%", "0.51", False),
        ("50%", "5", False),
        ("1/3", "33.3333%", True),
        ("1/3", "33%", False),
        ("3%", "3 km", False),
        ("2.5 million", "2500000", True),
        ("2.5 million", "2500001", False),
        ("5 \\times 10^{3}", "5000", True),
        ("5 \\times 10^{3}", "5001", False),
        ("1 1/2", "1.5", True),
        ("1 1/2", "1.6", False),
        ("-3", "3", False),
    ],
)
def test_near_numbers(gold: str, answer: str, same: bool) -> None:
    """A decimal may stand for a fraction that no decimal gives, rounded in its last digit; nothing else is near."""
    assert same_answer(gold, answer) is same
    assert same_answer(answer, gold) is same


def test_numbers_without_a_finite_decimal() -> None:
    assert [endless(Fraction(1, n)) for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 40)] == [
        *(False, False, True, False, False, True, True, False, False, True, False)
    ]


def test_half_a_unit_of_the_last_digit_is_the_bound() -> None:
    """Of a decimal with five digits or more, for what no decimal gives; a value that one gives must be met exactly."""
    decimal = quantity("0.33333")
    assert decimal is not None
    step = Fraction(1, 10**5)
    assert rounding(decimal) == step
    assert rounding(Quantity(Fraction(1, 3), step=step, digits=4)) is None
    hair = Fraction(1, 7 * 10**9)
    for sign in (1, -1):
        assert same_quantity(decimal, Quantity(decimal.value + sign * (step / 2 - hair)))
        assert not same_quantity(decimal, Quantity(decimal.value + sign * (step / 2 + hair)))
        assert not same_quantity(decimal, Quantity(decimal.value + sign * step / 2))


def test_exact_numbers_are_read_exactly() -> None:
    assert [exact_number(t) for t in ("1,234.50", "-3/4", "2.5 million", "x", "")] == [
        *(Fraction(2469, 2), Fraction(-3, 4), Fraction(2_500_000), None, None)
    ]


def test_votes_are_by_value() -> None:
    """Equal answers are one ballot, under the first of them; no answer is none."""
    assert ballots(["0.5", "1/2", "2", "", "50/100", "2.0"]) == ["0.5", "0.5", "2", "", "0.5", "2"]
    assert voted("7", "it is 1,000.0") == voted("7", "#### 1000") == "1000"
    assert voted("7", "nothing") == ""
    assert voted("7", "#### 50%") != voted("7", "#### 0.5")
    compare_in_advance([("1/2", "0.5"), ("x+1", "1+x"), ("7", "7")])
    assert same_answer("x+1", "1+x")
