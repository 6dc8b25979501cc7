"""Answers as models word them: a fraction and its decimal, a word and its reason, roots by number, units by powers."""

from __future__ import annotations

import pytest

from rlready.tasks.answers.verify import same_answer


@pytest.mark.parametrize(
    ("gold", "text", "expected"),
    [
        ("5/13", r"\boxed{\frac{5}{13} \approx 0.385}", True),
        ("1/3", "The answer is 1/3 ≈ 0.333.", True),
        ("7/3", r"\boxed{7/3 \approx 2.33}", True),
        ("0.385", r"\boxed{\frac{5}{13} \approx 0.385}", True),
        ("0.4", r"\boxed{\frac{5}{13} \approx 0.385}", False),
        (r"\sqrt2", r"\boxed{\sqrt2 \approx 1.41}", True),
        ("6.28", r"\boxed{2\pi \approx 6.28}", True),
        ("5/13", r"\boxed{\frac{4}{13} \approx 0.385}", False),
        ("Yes", "Answer: Yes, because 3 divides 9.", True),
        ("No", "Answer: Yes, because 3 divides 9.", False),
        ("Yes", "Answer: Yes, 3 divides 9.", True),
        ("Yes", "The answer is Yes, 91 is composite.", True),
        ("No", "the answer is No, it is not possible.", True),
        ("5", "The answer is yes, it is 5", True),
        ("composite", "The answer is composite", True),
        ("Yes", "The answer is yes, but it is no.", False),
        ("3 hours 20 minutes", r"\boxed{3 hours and 20 minutes}", True),
        ("3 hours and 20 minutes", "#### 3 hours 20 minutes", True),
        ("3 hours and 20 minutes", "#### 3 hours 25 minutes", False),
        ("5 feet 3 inches", "#### 5 feet and 3 inches", True),
        (r"\sqrt[3]{2}", r"\boxed{\sqrt[3]2}", True),
        (r"\sqrt[3]{2}", r"\boxed{\sqrt[3]3}", False),
        (r"\binom{n}{2}", r"\boxed{{n \choose 2}}", True),
        (r"\binom{5}{2}", r"\boxed{{5 \choose 2}}", True),
        ("10", r"\boxed{{5 \choose 2}}", True),
        (r"\ln 2", r"\boxed{\log_e 2}", True),
        (r"\ln 2", r"\boxed{\log_e(2)}", True),
        (r"\ln 2", r"\boxed{\log_{e} 2}", True),
        (r"\ln 2", r"\boxed{\log_2 2}", False),
        ("x=2 or x=3", r"\boxed{x_1=2, x_2=3}", True),
        ("x=2 or x=3", r"\boxed{x_1=2, x_2=4}", False),
        ("2, 3", r"\boxed{x_1=2, x_2=3}", True),
        ("x_1=2, x_2=3", r"\boxed{x_1=3, x_2=2}", False),
        ("x=2 or x=3", r"\boxed{y_1=2, y_2=3}", False),
        ("x_1=3, x_2=2", r"\boxed{x = 2, x=3}", True),
        ("x>2", r"\boxed{\{x\mid x>2\}}", True),
        (r"(2,\infty)", r"\boxed{\{x\mid x>2\}}", True),
        (r"(2,\infty)", r"\boxed{\{x \in \mathbb{R} : x>2\}}", True),
        (r"(2,\infty)", r"\boxed{\{x\mid x\ge 2\}}", False),
        ("[2,3)", r"\boxed{\{x\mid 2\le x<3\}}", True),
        ("[2,3)", r"\boxed{\{y\mid 2\le x<3\}}", False),
        ("10 m/s", r"\boxed{10\ \mathrm{m\,s^{-1}}}", True),
        ("10 m/s", r"\boxed{10\ \mathrm{m\,s^{-2}}}", False),
        ("9.8 m/s^2", r"\boxed{9.8\ \mathrm{m\,s^{-2}}}", True),
        ("10 m/s", r"\boxed{10\ \mathrm{m\,s}}", False),
        ("10 m/s", "10 m s^-1", True),
        ("5 kg m^2 s^-2", r"\boxed{5\ \mathrm{kg\,m^2\,s^{-2}}}", True),
        ("1,3,5", r"\boxed{1\text{, }3\text{, }5}", True),
        ("12:30", r"\boxed{12{:}30}", True),
        ("12:30", r"\boxed{12{:}31}", False),
        ("2", r"\boxed{2 \approx 2.3}", False),
    ],
)
def test_wordings(gold: str, text: str, expected: bool) -> None:
    assert same_answer(gold, text) is expected
