"""Final answers are read and compared rightly, and no text can stop or stall a verifier."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.core.records import Problem
from rlready.tasks import Task, child, open_task
from rlready.tasks.answers import mathpool
from rlready.tasks.answers.verify import compare_in_advance, judge, same_answer

SAME = [
    ("42", "The answer is 42, since 6*7 = 42."),
    ("3", "The answer is 3 (three)."),
    ("A, C", "C and A"),
    ("60 miles per hour", "60 mph"),
    ("no solution", "\\text{No solution}."),
    ("\\sqrt{-4}", "2i"),
    ("10\\sqrt{2}", "14.1421"),
    ("72", "#### $72.00\n#### 71"),
    ("72", "#### 72 clips\nand so on"),
    ("72", "**The answer is: 72.**"),
    ("72", "\\boxed{71}, no, \\boxed{72}"),
    ("72", "70 + 2 = 72"),
    ("2280", "#### 2,280"),
    ("1000", "\\boxed{1{,}000\\text{ dollars}}"),
    ("-3", "#### −3"),
    ("\\frac{1}{2}", "\\boxed{0.5}"),
    ("73", "So the answer is **73** residents."),
    ("73", "The answer is **73**."),
    ("73", "**Answer:** 73"),
    ("73", "**Final Answer**\n73"),
    ("73", "<answer>73</answer>"),
    ("73", "<answer> \\boxed{73} </answer>"),
    ("B", "B"),
    ("B", "(B)"),
    ("B", "B."),
    ("B", "**B**"),
    ("B", "Answer: B"),
    ("B", "The answer is (B)"),
    ("B", "option B"),
    ("B", "The correct answer is **B**."),
    ("B", "Answer: B) Paris"),
    ("B", "(B) Paris"),
    ("(B)", "B"),
    ("B", "\\boxed{\\text{B}}"),
    ("B", "<answer>B</answer>"),
    ("B", "Answer: (B)."),
    ("B", "The answer is option B."),
    ("2\\sqrt{3}", "\\boxed{2\\sqrt{3} \\approx 3.46}"),
    ("2\\sqrt{3}", "\\boxed{\\sqrt{12}≈3.46}"),
    ("2\\sqrt{3} \\approx 3.46", "\\boxed{3.46}"),
    ("\\frac{x}{2}", "\\boxed{f^{-1}(x) = x/2}"),
    ("5", "\\boxed{f^{-1}(3)=5}"),
    ("\\frac{\\pi}{6}", "\\boxed{x=\\frac{\\pi}{6}=\\sin^{-1}(1/2)}"),
    ("\\arctan 2", "\\boxed{\\arctan(2) \\approx 1.107}"),
    ("\\begin{cases} x>1 \\\\ x<3 \\end{cases}", "\\boxed{\\begin{cases} x>1 \\\\ x<3 \\end{cases}}"),
    ("x = 1, y = 2", "\\boxed{\\begin{cases} x = 1 \\\\ y = 2 \\end{cases}}"),
    ("1, 2\\sqrt{3}", "\\boxed{1, 2\\sqrt{3} \\approx 3.46}"),
    ("70", "\\boxed{72 \\approx 70}"),
    ("B", "So it's B."),
    ("B", "\\boxed{I think it is (B)}"),
    ("B", "#### I’d go with B, because x > 0"),
    ("B", "The correct option would be B"),
    ("12", "12 km"),
    ("12 km", "12"),
    ("5 feet", "5 ft"),
    ("2500000", "2.5 million"),
    ("2.5 million", "#### 2,500,000"),
    ("1234.5", "$1,234.50"),
    ("\\$1,234.50", "1234.5"),
    ("-3", "–3"),
    ("3/2", "1 1/2"),
    ("1\\frac{1}{2}", "3/2"),
    ("5e-05", "5 \\times 10^{-5}"),
    ("0.00005", "5·10^-5"),
    ("(1,2]", "1 < x <= 2"),
    ("1 < x \\le 2", "(1,2]"),
    ("(1,2]", "x \\in (1,2]"),
    ("x>1", "(1,\\infty)"),
    ("(-\\infty,1)\\cup(3,\\infty)", "x<1 or x>3"),
    ("x<1 or x>3", "(-\\infty,1)\\cup(3,\\infty)"),
    ("[1, \\infty)", "x \\geq 1"),
    ("yes", "Yes."),
    ("yes", "Yes, because it is."),
    ("yes", "Yes it is"),
    ("no", "No - there are two."),
    ("No one", "no one"),
    ("true", "The answer is True"),
    ("Paris", "**Paris**"),
    ("\\text{Paris}", "paris"),
    ("50", "50%"),
    ("0.5", "50%"),
    ("50%", "0.5"),
    ("50%", "1/2"),
    ("1/2", "50\\%"),
    ("50\\%", "\\frac12"),
    ("72", "#### 72\n#### 71"),
    ("5", "#### 5\n\nQuestion: x?\n#### 7"),
    ("3, 3, 5", "\\boxed{5, 3, 3}"),
    ("3,4", "\\boxed{3} and \\boxed{4}"),
    ("5", "\\boxed{5} and \\boxed{5}"),
    ("\\{1,2\\}", "\\{2,1,1\\}"),
    ("7", "Let me see, \\boxed{12}, and the total is \\boxed{7}"),
    ("\\frac{\\ln 2}{2}", "\\ln 2/2"),
    ("\\frac{\\ln 3}{\\ln 2}", "ln 3/ln 2"),
    ("\\frac{\\ln 2}{k}", "\\ln 2/k"),
    ("3\\ln 2", "\\ln 2\\cdot 3"),
    ("1", "\\log_2 8/3"),
    ("\\tan x", "\\sin x/\\cos x"),
    ("\\frac{\\sin x}{x}", "\\sin x / x"),
    ("-\\frac{1}{2}", "\\cos 2\\pi/3"),
    ("\\frac{\\sqrt{3}}{2}", "\\sin 60^\\circ"),
    ("1/2", "\\boxed{\\sin(30°)}"),
    ("0.001", "10^-3"),
    ("\\frac{1}{x^2}", "x^-2"),
    ("100°C", "100\\text{ degrees Celsius}"),
    ("21", "The answer is twenty-one."),
    ("45", "forty five"),
    ("1152", "\\boxed{(48)(24)}"),
    ("\\frac{12}{5}", "\\boxed{\\frac{(3)(4)}{5}}"),
    ("1", "\\boxed{2\\left(\\frac12\\right)}"),
    ("\\frac{15}{2}", "\\boxed{5\\left(\\frac32\\right)}"),
    ("36\\pi", "\\boxed{\\pi(4)(9)}"),
    ("\\frac52", "\\boxed{2\\frac12}"),
    ("3", "\\boxed{\\log_2(8)}"),
    ("[2,3]", "\\boxed{2\\le x\\le 3}"),
    ("(1,2)", "\\boxed{(1,2)}"),
    ("1,2", "\\boxed{[1,2]}"),
    ("(0,1]", "\\boxed{0<x\\le 1}"),
    ("18", "#### <<9*2=18>>18"),
    ("18", "The answer is 9*2=<<9*2=18>>18."),
    ("\\frac{\\pi}{2}", "\\boxed{\\frac\\pi2}"),
    ("\\frac{\\pi}{6}", "\\boxed{\\frac\\pi{6}}"),
    ("72", "\\boxed{\\boldsymbol{72}}"),
    ("72", "\\boxed{\\color{red}{72}}"),
    ("72", "\\boxed{\\textcolor{blue}{72}}"),
    ("72", "\\boxed{\\underline{72}}"),
    ("-5", "So x = –5."),
    ("10000", "\\boxed{10 000}"),
    ("1 2 3", "\\boxed{1 2 3}"),
    ("f(2)", "\\boxed{f(2)}"),
    ("2(x+1)", "\\boxed{2x+2}"),
    ("6 or 7", "6, 7"),
    ("x=2 or x=3", "2, 3"),
    ("(2,\\infty)", "x>2"),
    ("\\frac{3}{4}", "\\frac34"),
    ("\\frac{1}{2}", "\\frac12"),
    ("2\\sqrt{3}", "2\\sqrt3"),
    ("(1,2) or (3,4)", "(1,2), (3,4)"),
    ("2", "\\boxed{2}!"),
    ("2", "$\\boxed{2}$ - this is it"),
    ("2", "**\\boxed{2}**"),
    ("2", "\\boxed{2} cm"),
    ("B", "\\boxed{B} I think"),
    ("2", "The answer is $\\boxed{2}$."),
    ("2", "\\[\\boxed{2}\\]"),
    ("2 million", "\\boxed{2} million"),
    ("5 km/h", "\\boxed{5} km/h"),
    ("18", "The answer should be 18."),
    ("B", "The answer must be B."),
    ("18", "The answer is 17. Actually no, the answer should be 18."),
    ("17", "\\boxed{17}\n\nThis can be verified."),
    ("17", "The answer is 17. Actually, we can check this."),
    ("17", "\\boxed{17} It is the sum of all"),
    ("17", "Thus \\boxed{17}. The correct choice"),
    ("2", "\\boxed{2} and so on"),
    ("3/4", "\\boxed{\\frac{3}{4}} of the cake"),
    ("10", "\\boxed{10} a day"),
    ("17", "\\boxed{17}, the total number"),
    ("72", "The answer is 48 + 24 = 72 clips."),
    ("18", "#### 9*2=18 dollars"),
    ("12\\pi", "\\boxed{12\\pi\\text{ units}}"),
    ("yes", "Yes, because there is no remainder"),
    ("yes", "Yes."),
    ("B", "B\n\nParis is the capital."),
    ("72", "The answer is 72 ✅"),
    ("72", "\\boxed{72} \\blacksquare"),
    ("12", "After 3 days 12 apples are left"),
    ("1,2,3,...", "1, 2, 3, \\ldots"),
    ("C", "C\nExplanation: because A is wrong"),
    ("B", f"B. Paris\n\n{'And so on. ' * 40}"),
    ("yes", f"Yes.\n\n{'And so on. ' * 40}"),
    ("Paris", f"Paris\n\n{'And so on. ' * 40}"),
    ("-5", "The temperature is –5 degrees."),
    ("\\frac{3}{4}", "The answer is 3/4, or 75%."),
    ("\\frac{3}{4}", "The answer is \\(\\boxed{\\frac{3}{4}}\\) or 75%."),
    ("B", "\\boxed{(\\text{B})}"),
    ("B", "The answer is likely B."),
    ("B", "The answer is B (Paris)."),
    ("B", "The answer is B - Paris"),
    ("B", "B because Paris is the capital."),
    ("B", "B, because Paris is the capital."),
    ("B", "I choose B."),
    ("72", "\\boxed{\\large 72}"),
    ("72", "\\boxed{\\bf 72}"),
    ("72", "The answer is 72 🎉"),
    ("\\begin{pmatrix}1&0\\\\0&1\\end{pmatrix}", "\\boxed{\\begin{pmatrix}1&0\\\\[2pt]0&1\\end{pmatrix}}"),
    ("1,2", "1 and 2"),
    ("2,3", "3, 2"),
    ("5", "\\boxed{5}"),
    ("4 pt", "4 pt"),
    ("200", "two hundred"),
    ("5", "five months"),
    ("-\\frac{1}{2}", "\\sin(-30^\\circ)"),
    ("\\cos\\frac{\\pi}{8}", "\\cos 22.5^\\circ"),
    ("\\frac12", "\\sin{30}^\\circ"),
    ("x\\sin x", "\\sin x\\cdot x"),
    ("\\frac{\\sin x}{x^2}", "\\sin x/x^2"),
    ("50%, 50", "\\boxed{50, 0.5}"),
    ("50%, 50", "\\boxed{0.5, 50}"),
    ("5", "I put it in \\boxed{ as asked.\n\nThe final answer is 5."),
    ("5", "\\boxed{5}\n\nQuestion: x? \\boxed{7}"),
    ("5", "The answer is 5.\n\nHuman: what about 3+4?\nThe answer is 7."),
    ("5", "\\boxed{5}<|im_end|>\n<|im_start|>user\nx?<|im_end|> \\boxed{7}"),
    ("2\\sqrt{3}", "2*sqrt(3)"),
    ("2\\sqrt{3}", "\\sqrt{12}"),
    ("\\pi/2", "pi/2"),
    ("\\frac{\\pi}{2}", "1.570796327"),
    ("1/3", "0.333333"),
    ("x^2+1", "1+x^2"),
    ("2,3", "3,2"),
    ("2,3", "x=2 or x=3"),
    ("\\{2,3\\}", "3, 2"),
    ("(2,3)", "(2, 3)"),
    ("5", "x=5"),
    ("x=5", "5"),
    ("12 m^2", "12 square meters"),
    ("10^{3}", "1000"),
    ("2^{10}", "1024"),
    ("1,000", "1 000"),
    ("1000", "1000"),
    ("1000", "1 000"),
    ("90", "90^\\circ"),
    ("25", "25°C"),
    ("-1/2", "-\\frac{1}{2}"),
    ("-1/2", "\\frac{-1}{2}"),
    ("\\frac{1}{-2}", "-\\frac12"),
    ("0.1", "1/10"),
    ("3+4i", "4i+3"),
    ("7", "It is 7"),
    ("5", "Answer: First, 2+3=5. So 5."),
    ("5", "Answer: 5\nExplanation: 2+3"),
    ("18", "She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18"),
    ("\\left(3,\\frac{\\pi}{2}\\right)", "(3, \\pi/2)"),
    ("10", "10 dollars per hour"),
    ("12.5", "€12.50"),
    ("3.5", "3½"),
    ("1:2", "1 : 2"),
    ("12", "twelve? 12"),
    ("\\frac{5}{3}", "1\\frac{2}{3}"),
    ("\\text{(C)}", "C"),
    ("C", "$\\textbf{(C)}\\ 5$"),
    ("3 \\pm \\sqrt{2}", "3+\\sqrt2, 3-\\sqrt2"),
    ("k \\ge 2", "k>=2"),
    ("10,000", "10000"),
    ("5 hours", "5"),
    ("8", "8 hours and nothing else"),
    ("16", "Thus, the answer is $16$ dollars."),
    ("5", "\\[ \\boxed{5} \\]"),
    ("5", "$$x = 5$$"),
    ("x \\ne 3", "x != 3"),
    ("(-\\infty, 3)", "x<3"),
    ("0.5", "½"),
    ("4", "\\boxed{\\$4}"),
    ("6", "The final answer is $\\boxed{6}$. I hope it is correct."),
    ("6", "$6"),
    ("yes", "\\text{Yes}"),
    ("2024", "year 2024"),
    ("13", "13th"),
    ("\\sin(x)", "sin(x)"),
    ("e^{x}", "\\exp(x)"),
]
DIFFERENT = [
    ("3 km", "3%"),
    ("(0,1)", "\\{0,1\\}"),
    ("1", "\\pm 1"),
    ("2\\sqrt{3}", "3\\sqrt{2}"),
    ("72", "#### 71\n#### 72"),
    ("72", "72 ####"),
    ("72", ""),
    ("3", "#### -3"),
    ("12", "#### 1 2"),
    ("12345", "#### 1,2345"),
    ("5", "#### 1,2,3,4,5"),
    ("5", "#### 4 or 5"),
    ("Paris", "Rome"),
    ("B", "A or B"),
    ("B", "A"),
    ("B", "A B"),
    ("B", "He said B was the best."),
    ("A", "A man walks"),
    ("B", "(A) or (B)"),
    ("12 km", "12 m"),
    ("$5", "€5"),
    ("5 dollars", "5 cents"),
    ("1.2345", "1.234,5"),
    ("50", "0.5"),
    ("0.5%", "50"),
    ("2", "\\boxed{2x}"),
    ("12", "So it is \\boxed{12"),
    ("3, 3, 5", "\\boxed{3, 5, 5}"),
    ("3, 3, 5", "\\boxed{3, 5}"),
    ("5", "\\boxed{5, 5}"),
    ("2, 2, 3", "2 and 3"),
    ("0", "\\boxed{\\ln 2/2}"),
    ("\\ln 2/2", "0"),
    ("\\ln 6", "\\ln 2\\cdot 3"),
    ("7", "\\boxed{3} and \\boxed{4}"),
    ("20", "twenty-five"),
    ("72", "\\boxed{48\\quad 24}"),
    ("2\\sqrt{3}", "\\boxed{3\\sqrt{2} \\approx 3.46}"),
    ("2\\sqrt{3}", "\\boxed{2\\sqrt{3} \\approx 3.46, 5}"),
    ("72", "\\boxed{72 \\approx 70}"),
    ("x = 1, y = 2", "\\boxed{\\begin{cases} x = 2 \\\\ y = 1 \\end{cases}}"),
    ("1, 2", "\\boxed{\\begin{cases} 1 & x \\\\ 2 & y \\end{cases}}"),
    ("\\frac{x}{2}", "\\boxed{f^{-1}(x) = 2x}"),
    ("3", "\\boxed{x^{-1}(y+1)=3}"),
    ("\\begin{cases} x>1 \\\\ x<3 \\end{cases}", "\\boxed{(-\\infty,3)\\cup(1,\\infty)}"),
    ("(-\\infty,1)\\cup(3,\\infty)", "\\boxed{\\begin{cases} x<1 \\\\ x>3 \\end{cases}}"),
    (
        "\\begin{cases} x^2, x>0 \\\\ -x, x<0 \\end{cases}",
        "\\boxed{\\begin{cases} x^2, x<0 \\\\ -x, x>0 \\end{cases}}",
    ),
    ("1, 2", "\\boxed{\\begin{cases} y=1 \\text{ if } x \\\\ y=2 \\text{ if } z \\end{cases}}"),
    ("f^{-1}(x) = 2x", "\\boxed{f(x) = 2x}"),
    ("B", "It's not B."),
    ("B", "I think it's B or C"),
    ("B", "I would say it is b"),
    ("72", "\\boxed{48 \\; 24}"),
    ("72", "\\boxed{48~24}"),
    ("72", "\\boxed{{48}{24}}"),
    ("72", "\\boxed{(48)(24)}"),
    ("72", "\\boxed{48(24)}"),
    ("72", "\\boxed{48\\ldots 24}"),
    ("72", "The answer is $48 \\quad 24$."),
    ("6", "\\boxed{1\\quad 2\\quad 3}"),
    ("\\frac75", "\\boxed{\\frac{(3)(4)}{5}}"),
    ("\\frac52", "\\boxed{2\\left(\\frac12\\right)}"),
    ("35", "\\boxed{3(32)}"),
    ("[2,\\infty)", "\\boxed{2,\\infty}"),
    ("x>2", "\\boxed{2,\\infty}"),
    ("[0,1)", "\\boxed{0,1}"),
    ("(0,1]", "\\boxed{x=0 \\text{ or } 1}"),
    ("-2\\le x\\le 7", "\\boxed{x=-2 \\text{ or } x=7}"),
    ("2,3", "\\boxed{2\\le x\\le 3}"),
    ("x=2,3", "\\boxed{2<x<3}"),
    ("(1,2)", "\\boxed{x=1 \\text{ or } x=2}"),
    ("5", "So x = –5."),
    ("2", "\\boxed{2}\\sqrt{3}"),
    ("2", "\\boxed{2}\\pi"),
    ("2", "\\boxed{2}x"),
    ("2", "\\boxed{2}^3"),
    ("2", "\\boxed{2}/3"),
    ("2", "\\boxed{2} + 3"),
    ("2", "\\boxed{2} \\times 10^3"),
    ("2", "\\boxed{2} million"),
    ("2", "\\boxed{2}\\frac{1}{2}"),
    ("B", "\\boxed{B} or C"),
    ("17", "The answer is 17. Actually, it should be 18."),
    ("17", "The answer is 17. Actually no, the answer should be 18."),
    ("17", "The answer is 17. Correction: 18."),
    ("17", "The answer is 17.\nThat is incorrect. The correct value is 18."),
    ("17", "The answer is 17.\n\nHold on, that's not right. It should be 18."),
    ("17", "\\boxed{17}. Wait, it's 18."),
    ("17", "\\boxed{17}\n\nWait, I made a mistake. The total should be 18."),
    ("yes", "yes, but no"),
    ("yes", "Yes, I think no"),
    ("yes", "Yes, it's either yes or no."),
    ("1,2,3", "1,2,3,..."),
    ("1,2,3", "\\boxed{1,2,3,\\ldots}"),
    ("30", "It takes 2 hours 30 minutes."),
    ("6", "He is 5 feet 6 inches tall."),
    ("A", "A\nB\nC"),
    ("A", "A man walks"),
    ("72", "\\boxed{48 {24}}"),
    ("B", "The answer is B. No, C."),
    ("B", "The answer is B. But it could also be C."),
    ("18", "The answer is 18. But it might be 19."),
    ("17", "The answer is 17.\n\nWait, I made an error: it is 18."),
    ("[-2,7]", "\\boxed{x = -2, 7}"),
    ("18", "\\boxed{18}\\text{ thousand}"),
    ("5", "\\boxed{5,5}"),
    ("B", "A because B"),
    ("3/4", "3/4 or 0.8"),
    ("B", "B or C"),
    ("B", "B - C"),
    ("200", "two hundred fifty"),
    ("5", "five sixths"),
    ("5", "five point two"),
    ("3", "three in four"),
    ("99", "ninety-nine point five"),
    ("\\cos 22.5", "\\cos 22.5^\\circ"),
    ("\\cos(-60)", "\\cos(-60^\\circ)"),
    ("\\cos 30", "\\cos 30 \\text{ degrees}"),
    ("\\sin(x^2)", "\\sin x\\cdot x"),
    ("\\ln(2x)", "\\ln x \\times 2"),
    ("\\sin(1/x)", "\\sin x/x^2"),
    ("12", "The final answer is $\\boxed{12"),
    ("1/2", "\\boxed{\\frac{1}{2}"),
    ("5", "not 5"),
    ("5", "- 5"),
    ("5", "minus 5"),
    ("(1,2]", "[1,2)"),
    ("(1,2)", "[1,2]"),
    ("(1,2]", "1<=x<2"),
    ("(2,3)", "(3,2)"),
    ("x<5", "x>5"),
    ("x<5", "x<=5"),
    ("1/2", "1-1/2"),
    ("3/2", "1-1/2"),
    ("\\sqrt{2}", "1.41"),
    ("\\pi", "22/7"),
    ("\\pi", "3.14"),
    ("1/3", "0.3"),
    ("1/3", "0.333334"),
    ("yes", "no"),
    ("yes", "yes or no"),
    ("yes", "Yes, no"),
    ("yes", "Yes, if x > 0"),
    ("no", "No one knows"),
    ("no", "No idea"),
    ("no", "No and yes"),
    ("true", "True only if x > 0"),
    ("No one", "no"),
    ("5", "5 or 6"),
    ("6", "5 or 6"),
    ("6", "The answer is 5 or 6"),
    ("12", "1 2"),
    ("R", "r"),
    ("odd", "even"),
    ("x=5", "y=5"),
    ("hello world", "world hello"),
    ("204_5", "204_6"),
    ("1/2", "2/1"),
    ("123", "(1,23)"),
    ("2,3", "2,4"),
    ("2", "2 pi"),
    ("2", "log 2"),
    ("2", "\\log 2"),
    ("2", "2!"),
    ("6", "3!!"),
    ("x>5", "(5,6)"),
    ("x", "y"),
    ("AB", "CD"),
    ("5", "15"),
    ("1e-60x", "2e-60x"),
    ("3-5", "2"),
    ("-2", "3–5"),
    ("0", "0.0000001"),
    ("1", "0.9999999"),
    ("1", "1.0000000000000000000001"),
    ("10^{30}", "10^{30}+1"),
    ("\\sqrt{2}+10^{-30}", "\\sqrt{2}"),
    ("x+10^{-12}", "x"),
    ("100", "1,00"),
    ("5", "5 million"),
    ("5", "5 dozen"),
    ("5", "5^2"),
    ("5", "5²"),
    ("5", "5/1/2"),
]


@pytest.mark.parametrize(
    ("gold", "text", "same"),
    [
        ("5", "#### Step 1: Add\n2+3=5\n\nThe answer is \\boxed{5}.", True),
        ("5", "#### Solution\nWe add.\n\n**Answer: 5**", True),
        ("5", "#### Final Answer\n5", True),
        ("5", "#### Step 1\nWe add.\n\n#### 5", True),
        ("1", "#### 1. Add\n2+3=5\n\nThe answer is \\boxed{5}.", False),
        ("5", "##### 4\nIt is \\boxed{5}.", True),
        ("5", "so\n#### 5\n#### 6", True),
        ("#### Step 1\nAdd.\n#### Step 2\nSo \\boxed{5}.", "5", True),
        ("Paris", "It is\n#### Paris", True),
    ],
)
def test_headings_are_no_answers(gold: str, text: str, same: bool) -> None:
    """`####` marks the answer of GSM8K, and begins a heading in Markdown."""
    assert judge(gold, text) is same


@pytest.mark.parametrize(
    ("gold", "text", "same"),
    [
        ("1 2 3", "1 2 3", True),
        ("1 2 3", "[1, 2, 3]", True),
        ("1 2 3", "3 2 1", False),
        ("1 2 3", "6", False),
        ("6", "1 2 3", False),
        ("0 1 1 0", "0 0 0 0", False),
        ("N E S W", "W S E N", False),
        ("3 -4", "-1", False),
        ("1 2\n3 4", "<answer>1 2\n3 4</answer>", True),
        ("1 2\n3 4", "<answer>1 2 3\n4</answer>", False),
        ("1 2\n3 4", "<answer>4 3\n2 1</answer>", False),
        ("10 000", "10000", True),
        ("1 1/2", "1.5", True),
        ("a b", "b a", True),
    ],
)
def test_values_side_by_side_are_no_product(gold: str, text: str, same: bool) -> None:
    assert judge(gold, text) is same


@pytest.mark.parametrize("before", ["", "<|im_start|>assistant\n", "<s>", "<｜Assistant｜>", "Assistant: ", "Sure. "])
def test_a_thought_that_is_not_closed_is_no_answer(before: str) -> None:
    assert not judge("3", f"{before}<think>\nhm \\boxed{{3}}")
    assert judge("3", f"{before}<think>\nhm\n</think>\n\\boxed{{3}}")


@pytest.mark.parametrize(("gold", "text", "same"), [(*p, True) for p in SAME] + [(*p, False) for p in DIFFERENT])
def test_final_answers(gold: str, text: str, same: bool) -> None:
    assert same_answer(gold, text) is same


def test_a_slow_answer_costs_a_second_of_cpu_also_in_a_thread() -> None:
    """And is undecided, which is not remembered; what does not depend on it is decided."""
    same_answer("\\sqrt{3}", "\\sqrt{2}")  # starts a process
    found: list[bool | None] = []
    thread = threading.Thread(target=lambda: found.append(judge("3", "\\boxed{9^{9^{9}}}")))
    thread.start()
    thread.join(60)
    assert found == [None]
    assert ("value", "3", "9^{9^{9}}", None) not in mathpool.POOL.cache
    assert judge("\\sqrt{12}", "2\\sqrt{3}") is True
    assert judge("\\sqrt{12}", "2\\sqrt{5}") is False


def test_a_slow_answer_is_asked_about_once_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many samples give it; the next batch asks again, and may be luckier."""
    words, asked = ["slow"] * 4 + ["true"] * 2, list[str]()

    def answer(worker: mathpool.Worker, seconds: float, question: mathpool.Question) -> str:
        asked.append(question[2])
        return words[len(asked) - 1]

    monkeypatch.setattr(mathpool.Worker, "compare", answer)
    pairs = [("\\sqrt{77}", "\\boxed{\\sqrt{7}\\sqrt{11}}")] * 5
    for verdict in (None, None, True):
        compare_in_advance(pairs)
        assert [judge(*pair) for pair in pairs] == [verdict] * 5
    assert len(asked) == 5


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_lost_process_changes_no_judgement(
    times: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed once, the question is asked again; killed twice, it is undecided with a warning, but not for good."""
    pool, kills = mathpool.Pool(), [None] * times
    compare = mathpool.Worker.compare

    def killed(worker: mathpool.Worker, seconds: float, question: mathpool.Question) -> str:
        if kills:
            kills.pop()
            os.killpg(worker.process.pid, signal.SIGKILL)
        return compare(worker, seconds, question)

    monkeypatch.setattr(mathpool.Worker, "compare", killed)
    question = ("value", "\\sqrt{12}", "2\\sqrt{3}", None)
    assert pool.equal(question) is (times < 2)
    assert ("counts as incorrect this time" in capsys.readouterr().err) is (times > 1)
    kills.clear()
    assert pool.equal(question)
    pool.close()


def test_a_lost_process_is_replaced_by_a_new_one() -> None:
    """Where all that wait have died, too: the machine ran out of memory."""
    pool = mathpool.Pool()
    pool.idle = [mathpool.Worker() for _ in range(2)]
    for worker in pool.idle:
        os.killpg(worker.process.pid, signal.SIGKILL)
    assert pool.equal(("value", "\\sqrt{12}", "2\\sqrt{3}", None))
    pool.close()


def test_few_formulas_are_settled_on_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take a second."""
    meeting = threading.Barrier(2)
    monkeypatch.setattr(mathpool, "CORES", 2)
    monkeypatch.setattr(mathpool.Pool, "equal", lambda pool, question: meeting.wait(20) >= 0)
    mathpool.in_parallel([("value", "few", str(n), None) for n in range(2)])


def test_a_long_wait_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also a stopped process, which costs no CPU time, ends."""
    pool = mathpool.Pool()
    pool.equal(("value", "x+1", "x+2", None))
    monkeypatch.setattr(child, "QUIET", 0.05)
    monkeypatch.setattr(mathpool, "PATIENCE", 0.1)
    os.killpg(pool.idle[0].process.pid, signal.SIGSTOP)
    pool.equal(("value", "x+1", "1+x", None))
    assert "still comparing" in capsys.readouterr().err
    pool.close()


def test_many_formulas_are_settled_at_once() -> None:
    """After that, the verdicts are known without a process."""
    pairs = [(f"\\sqrt{{{4 * n}}}", f"#### 2\\sqrt{{{n + n % 2}}}") for n in range(2, 60)]
    compare_in_advance(pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mathpool.Pool, "_ask", None)
        assert [same_answer(*pair) for pair in pairs] == [n % 2 == 0 for n in range(2, 60)]


@pytest.fixture(scope="module")
def verifiers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Task, Problem]]:
    folder = tmp_path_factory.mktemp("data")
    for name, row in {
        "train": {"question": "1+1?", "answer": "1+1=<<1+1=2>>2\n#### 2"},
        "rows": {"prompt": "?", "answer": "x"},
    }.items():
        Path(folder / f"{name}.jsonl").write_text(json.dumps(row))
    dag = "dagmath?ops=8&asked=3&n=1"
    sources = (dag, f"{dag}&rendering=words", f"gsm8k:{folder}", f"rows:{folder / 'rows.jsonl'}")
    tasks = [open_task(source) for source in sources]
    return [(task, task.problems()[0]) for task in tasks]


NASTY = (
    "(" * 50_000,
    "a= " + "( " * 50_000,
    "a= " + " + ".join(["1"] * 50_000) + " a: 1",
    "9" * 50_000,
    "Let x be the number of each A's B. x = " + "1 * " * 20_000 + "1.",
    "Let x be the number of " + "a. b = " * 20_000,
    "\\boxed{" * 5_000 + "1" + "}" * 5_000,
    "#### " * 20_000,
    "answer is \n" * 20_000,
    "1,111" * 20_000,
    "<answer>" * 10_000,
    "####" + " " * 50_000,
    "5\n" + "\n" * 50_000 + "Question",
    "#### " + "_a " * 20_000,
    "the answer is " + "* a" * 20_000,
    "answer: " + ". " * 20_000,
    "\\boxed{5}" * 8_000,
    "$" * 20_000 + "\\[" * 10_000,
    "<|im_end|>" * 5_000,
    "\\frac{" * 40 + "9^" * 20 + "9",
    "1" + "0" * 280,
    "\\sqrt{" * 45 + "2" + "}" * 45,
    "(" * 140 + "1,2" + ")" * 140,
    "\ud800\x00\u2028 ²³ ٣",
)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_adversarial_text_is_judged_quickly(text: str, verifiers: list[tuple[Task, Problem]]) -> None:
    for task, problem in verifiers:
        began = time.perf_counter()
        assert not task.verify(problem, text, text).correct
        task.verify(problem, text, problem.answer)
        assert time.perf_counter() - began < 3


@settings(max_examples=40)
@given(st.text(), st.lists(st.sampled_from(["a:", "b=", "a", "=", "+", "(", ")", "-", "5", "Let", ".", "\n"])))
def test_any_text_is_judged(verifiers: list[tuple[Task, Problem]], text: str, words: list[str]) -> None:
    for task, problem in verifiers:
        assert task.verify(problem, " ".join(words), text).correct in (True, False)
        assert task.verify(problem, text, " ".join(words)).correct in (True, False)


def test_no_sympy_where_a_whole_number_meets_a_number_or_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[mathpool.Question] = []
    monkeypatch.setattr(mathpool.POOL, "equal", lambda question: bool(asked.append(question)))
    for answer in ("8", "-7", "3.5", "1/3", "50%", "1,000", "12 km", "0a", "4us", "Not V", "C(5,2)"):
        assert not same_answer("7", f"#### {answer}"), answer
    assert asked == []
    for answer in ("2+5", "sqrt(49)", "7e^0", "7 x 1"):
        same_answer("7", f"#### {answer}")
    assert [other for _, _, other, _ in asked] == ["2+5", r"\sqrt{49}", "7e^0", "7 x 1"]
