"""Kinds of answers that are easily confused, and ways of saying an answer that are easily missed."""

import pytest

from rlready.tasks.verify import same_answer

DIFFERENT = {
    "dates, scores and telephone numbers are no differences": [
        ("2024-01-02", "The answer is 2024-02-01."), ("2023-12-01", "\\boxed{2023-01-12}"),
        ("2024-01-02", "\\boxed{2021}"), ("3-1", "2-0"), ("555-1234", "-679"), ("1/2/2024", "2/1/2024"),
    ],
    "unequal is not equal": [
        ("x \\neq 2", "\\boxed{x = 2}"), ("x\\ne 3", "\\boxed{3}"), ("2", "\\boxed{x\\neq 2}"),
        ("x \\neq \\pm 1", "\\boxed{\\pm 1}"), ("x \\ne 2", "x > 2"),
    ],
    "a name belongs to its value": [
        ("a = 3, b = -1", "\\boxed{a = -1, b = 3}"), ("m=1,n=2", "\\boxed{m=2,n=1}"), ("a=3", "\\boxed{b=3}"),
        ("I=5", "\\boxed{V=5}"), ("\\text{Tom: }3, \\text{Jim: }5", "\\boxed{\\text{Tom: }5, \\text{Jim: }3}"),
        ("Tom has 3 and Jim has 5", "\\boxed{Tom has 5 and Jim has 3}"), ("Tom: 3, Jim: 5", "\\boxed{5, 3}"),
    ],
    "words around a number": [
        ("decrease of 20%", "increase of 20%"), ("20% decrease", "20% increase"), ("a profit of 5", "a loss of 5"),
        ("5 km east", "5 km west"), ("90^\\circ clockwise", "90^\\circ counterclockwise"), ("Henry 8", "George 8"),
        ("5 boys", "5 girls"), ("decrease by 20%", "\\boxed{\\text{increase by }20\\%}"),
    ],
    "months": [
        ("July 4, 2020", "August 4, 2020"), ("June 20", "July 20"), ("20", "June 20"), ("June 20", "\\boxed{20}"),
        ("20 June", "20 July"), ("May 2020", "June 2020"), ("4 July 2020", "2020"),
    ],
    "codes and chemical formulas": [
        ("NO2", "N2O"), ("Fe2O3", "Fe3O2"), ("CO2", "C2O"), ("A1", "1A"), ("K4", "4K"), ("0x10", "0x20"),
        ("0b101", "0b110"), ("0x1F", "\\boxed{0}"), ("0xAB", "0xBA"), ("\\text{NO}_2", "\\text{N}_2\\text{O}"),
    ],
    "derivatives": [
        ("f'(x)", "f(x)"), ("f''(x)", "f'(x)"), ("y''", "y'"), ("\\frac{dy}{dx}", "\\frac{dx}{dy}"),
        ("f'(2)+f(3)", "f(2)+f'(3)"), ("5'", '5"'),
    ],
    "the root of the whole number": [
        ("\\sqrt{13}", "√1 \\cdot 3"), ("\\sqrt{1}\\cdot 3", "√13"), ("3", "\\boxed{√13}"), ("3", "\\sqrt 13"),
    ],
    "thoughts are not answers": [
        ("42", "<reasoning>so \\boxed{42}, or #### 42</reasoning><answer>41</answer>"),
        ("42", "So \\boxed{42}? <answer>41</answer>"), ("42", "<think>it is \\boxed{42}"),
        ("42", "<|channel|>analysis<|message|>\\boxed{42}"), ("42", "<seed:think>\\boxed{42}</seed:think>\\boxed{41}"),
        ("42", "<|channel|>analysis<|message|>\\boxed{42}<|end|><|start|>assistant<|channel|>final<|message|>41"),
        ("42", "◁think▷\\boxed{42}◁/think▷ 41"), ("42", "[THINK]\\boxed{42}[/THINK]It is 41."),
    ],
    "hedges": [
        ("5", "\\boxed{5} or 6"), ("5", "$\\boxed{5}$ or $6$"), ("5", "The answer is 5\nor 6"),
        ("5", "\\boxed{5} is wrong, actually 6"), ("5", "\\boxed{5} is not correct."), ("5", "\\boxed{5}, or maybe 6"),
        ("6", "\\boxed{5} or 6"), ("5", "#### 5 or 6"),
    ],
    "denials and words that tell": [
        ("5", "It isn't 5."), ("5", "It can't be 5"), ("5", "I don't think it's 5"), ("5", "\\boxed{\\text{cannot be }5}"),
        ("5", "\\boxed{\\text{a multiple of }5}"), ("5", "a multiple of 5"), ("5", "the sum of digits of 5"),
        ("5", "The answer exceeds 5"), ("5", "almost 5"), ("5", "It exceeds 5."), ("5", "I don't think the answer is 5."),
        ("5", "We find x \\ne 5"), ("5", "so we know x > 5"), ("5", "so we know that x<=5"), ("5", "we get -(5)"),
        ("5", "we look at f(5)"), ("30", "it is 30^{30}"), ("5", "The answer isn’t 5"),
    ],
    "scales and the case of units": [
        ("5", "5 lakh"), ("5", "5 crore"), ("5", "$5 bn"), ("5", "5 mil"), ("5", "5 ppm"), ("5", "5 per mille"),
        ("5", "5 gross"), ("5", "5 score"), ("5", "5 doubled"), ("5", "5‰"), ("5 m", "5 M"), ("5 MW", "5 mW"),
        ("5 mg", "5 Mg"), ("5 G", "5 g"),
    ],
    "or is not and": [
        ("x<1 or x>3", "x<1 and x>3"), ("x > 1 \\text{ and } x < 3", "x > 1 \\text{ or } x < 3"),
        ("(-\\infty,1)\\cup(3,\\infty)", "x<1 and x>3"),
    ],
    "a second option": [
        ("A", "(A) or (B)"), ("A", "A. cats, B. dogs"), ("A", "(A) cats (B) dogs"), ("A", "A and B"), ("B", "[A]"),
        ("A", "Option A is wrong."), ("A", "A\n\nB is right"), ("A", "A) and B) both"), ("A", "So A is incorrect."),
        ("A", "Answer: (A) or B"),
    ],
    "the other things of the same form": [
        ("10,12", "\\boxed{10,13}"), ("x = 1,200", "\\boxed{1,2000}"), ("x = 1,200", "\\boxed{1, 200}"),
        ("12\\pi", "12\\pi\\text{ cm}^2 or 3"), ("12\\pi \\text{ cm}", "12\\pi\\text{ km}"), ("12\\pi", "12\\pi h"),
        ("\\mathbb{R}", "(-\\infty, 0)"), ("(-\\infty,2)\\cup(3,\\infty)", "x \\ne 2"), ("\\emptyset", "\\{0\\}"),
        ("0.3", "0.\\overline{3}"), ("3:30 PM", "3:30 AM"), ("June 20, 2024", "20 June 2025"), ("70", "m+n=71"),
        ("m+n=70", "70+1"), ("5", "negative 5"), ("5", "six"), ("A", '{"answer": "B"}'), ("x+y=5", "5"),
    ],
}  # fmt: skip
SAME = {
    "run-ons": [
        ("5", "\\boxed{5}" + after)
        for after in (
            "\nuser\nWhat is 3+4?\nassistant\n\\boxed{7}", "<｜end▁of▁sentence｜><｜User｜>3+4? \\boxed{7}",
            "<|return|> \\boxed{7}", "<|eom_id|> \\boxed{7}", "\n\n**Problem 2**\n3+4?\n\\boxed{7}",
            "\n\n## Problem 2\n3+4?\n\\boxed{7}", "\n\nExercise 3\n3+4 = \\boxed{7}", "\n问题：3+4? \\boxed{7}",
            "\n题目：3+4? \\boxed{7}",
        )
    ],
    "roots": [("5", "\\boxed{√25}"), ("3\\sqrt{13}", "3√13"), ("\\sqrt{13}", "√13"), ("\\sqrt{13}", "\\sqrt 13")],
    "derivatives": [
        ("f'(x)", "f'(x)"), ("f'(x)+g'(x)", "g'(x)+f'(x)"), ("\\frac{dy}{dx}", "\\dfrac{dy}{dx}"), ("5", '"5"'),
        ("f'(x) = 2x", "2x"),
    ],
    "codes and dates": [
        ("Fe2O3", "Fe₂O₃"), ("\\text{Fe}_2\\text{O}_3", "Fe2O3"), ("2024-01-02", "The date is: \\boxed{2024-01-02}"),
        ("June 20, 2024", "20 June 2024"), ("June 20, 2024", "June 20th, 2024"), ("2024-06-20", "June 20, 2024"),
        ("3:30 PM", "3:30PM"), ("3:30 PM", "3:30 p.m."), ("3 PM", "3:00 pm"), ("June 20", "20th of June"),
    ],
    "thoughts": [
        ("41", "<reasoning>\\boxed{42}</reasoning><answer>41</answer>"), ("41", "◁think▷\\boxed{42}◁/think▷ It is 41."),
        ("41", "<|channel|>analysis<|message|>42<|end|><|start|>assistant<|channel|>final<|message|>It is 41."),
        ("41", "42, no.</thought> 41"), ("41", "<answer>41</answer><reasoning>6*7-1</reasoning>"),
    ],
    "bold in a sentence": [
        ("18", text)
        for text in (
            "Therefore, Janet makes **$18** every day.", "They have **18 apples**.", "9 × 2 = **18**",
            "**18**\n\nHope this helps!", "**Total: 18**", "She makes 9 * $2 = $18 every day.", "It costs $3 + $15 = $18.",
        )
    ],
    "lists of two": [
        ("10,12", "\\boxed{12,10}"), ("10 and 12", "\\boxed{10,12}"), ("-3,12", "\\boxed{12,-3}"), ("10,12", "(10, 12)"),
    ],
    "thousands behind a sign of equality": [
        ("1200", "x = 1,200"), ("x = 1,200", "\\boxed{1200}"), ("1200", "x = \\$1,200"), ("1200", "#### 800 + 400 = 1,200"),
    ],
    "multiple choice": [
        ("A", "Answer: (A) cats and dogs"), ("B", "(B) I and II only."), ("B", "B) I, II, and III"),
        ("B", "\\boxed{\\text{B. World War I}}"), ("C", "C) Vitamin C"), ("A", "Option A is the correct answer."),
        ("A", "So A is correct."), ("A", "A\n\nExplanation: B is wrong"), ("A", "[A]"), ("A", '{"answer": "A"}'),
    ],
    "units of what is no fraction": [
        ("12\\pi", "12\\pi\\text{ cm}^2"), ("3\\sqrt{2}\\text{ cm}", "\\sqrt{18}"), ("\\frac{\\pi}{3}", "\\frac{\\pi}{3}\\text{ radians}"),
        ("5\\ \\Omega", "5 ohms"), ("5", "5\\,\\mu\\text{m}"), ("12\\pi \\text{ cm}^2", "12\\pi square centimeters"),
    ],
    "Chinese": [("18", "共有18个。"), ("18", "答案是18"), ("18", "所以答案为：18个。"), ("18", "答案：18。")],
    "sets and intervals": [
        ("\\mathbb{R}", "(-\\infty,\\infty)"), ("(-\\infty,2)\\cup(2,\\infty)", "x\\neq 2"), ("\\emptyset", "\\varnothing"),
        ("\\emptyset", "\\{\\}"), ("\\langle 3,4\\rangle", "\\langle 3, 4 \\rangle"), ("x \\neq 2", "x \\ne 2"),
        ("x \\ne 1, x \\ne 2", "(-\\infty,1)\\cup(1,2)\\cup(2,\\infty)"), ("x<1 or x>3", "x>3 or x<1"),
    ],
    "numbers": [
        ("1/3", "0.\\overline{3}"), ("-\\frac34", "\\frac{3}{-4}"), ("5", "five"), ("-5", "negative 5"), ("70", "m+n=70"),
        ("5", "\\approx 5"), ("500000", "5 lakh"), ("5 mg", "5 mg"), ("18 apples", "18 red apples"), ("a profit of 5", "5"),
    ],
}  # fmt: skip
CASES = [
    pytest.param(gold, text, same, id=f"{kind}: {gold} / {text}")
    for table, same in ((DIFFERENT, False), (SAME, True))
    for kind, pairs in table.items()
    for gold, text in pairs
]


@pytest.mark.parametrize(("gold", "text", "same"), CASES)
def test_kinds_of_answers(gold: str, text: str, same: bool) -> None:
    assert same_answer(gold, text) is same
