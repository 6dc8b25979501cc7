"""Extract the answer that a text marks as final.

Only the text after the thought (``</think>``) is searched, up to a turn that the model invents after its answer:
"Question:", "Human:" and the like after an answer that is marked, or after one that stands alone on the only line where
a reply to the question follows; or a token of a chat template.  The answer is, in this order:

1. the last ``<answer>…</answer>`` if no other mark follows it;
2. what follows the first ``####`` that a number or a formula follows, as in the reference extraction of GSM8K, which
   ignores all later text; ``####`` before words is a heading, unless nothing else is marked;
3. the last closed ``\\boxed{}``, with those that "and", "or" or a comma joins to it, and "or 6" after it; none if
   "is wrong" follows, or if no box is closed;
4. the text after the last "answer is", "Answer:", "Final answer:" or "答案是";
5. the answer in a JSON object.

If nothing is marked, the answer is the text if it is a formula alone that its last number is only a part of, such as
``2^3``; else the last number if a number is asked for, else the last formula, else the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice

from rlready.tasks.answers.around import in_fence, tidy, without_bullet, without_marks, without_remark
from rlready.tasks.answers.notation import plain
from rlready.tasks.answers.ownpart import TEMPLATE, TURN, after_thought, asks_next
from rlready.tasks.answers.quantity import LONGEST, quantity
from rlready.tasks.answers.units import BEHIND, MONTHS, SCALES, telling, unit_behind
from rlready.tasks.answers.withdrawn import CORRECTED, HEDGE, RETRACTED, stands

Alone = Callable[[str], bool]
SCALE = "|".join(SCALES)
HASHES = re.compile(r"(?<!#)####(?!#)[^\S\n]*(?:\n[^\S\n]*)?(\S[^\n]*)")
HEADING = re.compile(r"[*_]*(?:\d+[.):]\s+\S|[A-Za-z]{2,})")  # how the words of one begin
BRACES = re.compile(r"\\boxed\s*\{|\\fbox\s*\{|\\[{}]|[{}]")
BARE_BOX = re.compile(r"\\boxed\s+([^\s${}][^$\n]*)")
JOINED = re.compile(
    r"[\s$.]*(?:\\[()\[\]]|\\quad|\\qquad|\\text|[\s$,;+&{}])*(?:\W[^.\n\\]{0,40}?)?\b(?:and|or)\b[^.\n]{0,20}"
)
CONCLUDES = re.compile(r"\b(?:total|sum|result|final|answer|thus|hence|therefore|altogether)\b", re.IGNORECASE)
LISTED = re.compile(r"(?:\\[()\[\],;]|\\quad|\\qquad|[ $,;+&])*\\?")
BESIDE = re.compile(  # a box, what it is only a part of the value with
    r"\s*(?:\\(?:sqrt|pi|frac|times|cdot|div)(?![a-zA-Z])|\^|/\s*\d|\+\s*[\d\\a-z])|[a-zA-Z](?![a-zA-Z])"
    r"|\s*(?:\\text\s*\{)?\s*(?:hundred|thousand|million|billion|trillion)\b"
)
FORMULA_ENDS = re.compile(r"[$\n]|\\[)\]]|[.,;](?=\s|$)")
JSON = re.compile(r'\{[^{}]*"(?:final[ _])?answer"\s*:\s*(?:"([^"\n]*)"|([^",\s{}]+))[^{}"]*\}[\s`]*$')
PHRASE = re.compile(
    r"答案(?:[是为：:]|是[：:])+|#{1,6} ?(?:the )?(?:final )?answer[^\S\n]*(?=\n)"
    r"|\banswer(?:\*\*|__)?"
    r"(?: (?:is|was|(?:should|must|would|will) be)(?: that)?\b|\s?(?:\*\*|__)?\s?:| = |(?=\*\*\s*\n))",
    re.IGNORECASE,
)
SENTENCE = re.compile(
    r"(?<=[\w\s)}\]%$*°])(?:[.!](?=\s+(?!Or\b)[A-Z\[(])|[.。](?=\s*$))|(?<=[\w)}\]%$*])\s+I hope it is correct"
)
CLAUSE = re.compile(r",?\s(?:because|since|which|where)\s")
COPULA = re.compile(r"\b(?:is|are|was|equals)\b:?")
# Two dollar signs of which the second begins a number, or stands behind a space, are money.
LATEX = re.compile(
    r"(?<!\\)\$\$(.+?)(?<!\\)\$\$"
    r"|(?<![\\\d])(?:\$(?=\S)((?:\\\$|[^$\n])+?)(?<![\s\\])|\$(?=\s|\\)((?:\\\$|[^$\n])+?)(?<=\s))\$(?!\d)"
    r"|\\\[(.+?)\\\]|\\\(([^\n]+?)\\\)",
    re.DOTALL,
)
SIGNED = r"[+-]?(?:US)?[$€£¥₹]?-?"
LAST_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_.,)\]}}]){SIGNED}(?:\\[dt]?frac\s*\{{\d+\}}\s*\{{\d+\}}|\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?:\s?/\s?\d+)?|\.\d+)"
    rf"(?:\s?\\?%|\s?percent|\s?pct|[\s-](?:{SCALE})(?![a-z]))?(?!\d)",
    re.IGNORECASE,
)
BOLD = re.compile(r"(?<![\w)*])(\*{1,3})(?=\S)([^*\n]{1,200}?)(?<=\S)\1(?![\w(*])")
# What makes a last number a part of something else: "5 or 6", "1, 2", "log 2", "3 - 2", "> 5"; "2!", "2 pi", "2x".
BEFORE = re.compile(
    r"([^\W\d_]+(?:'[^\W\d_]+)?)\s*$|(?:\d\s*,|\d ?:|[+\-*/^×÷·<≠≤≥√]|!=|<=|(?<![=-])>=?|\^\s*\{|[\w'-]\()\s*$"
    r"|\\(?:log|ln|sqrt|times|cdot|sin|cos|tan|pm|div|neq?|leq?|geq?|lt|gt)\s*\{?$",
)
DENIED = re.compile(
    r"(?:n't|\b(?:not|never|cannot|doubt|hardly|divisible|ending|ends|exceed(?:s|ing)?|without|beyond|other than"
    r"|(?:anything|all) but"
    r"|(?:multiple|digit|divisor|factor|power|half|third|quarter|square|cube|root|reciprocal|log|logarithm|opposite"
    r"|negation|inverse|factorial)s? of)|不是|不等于|并非|或者?|还是|大于|小于|超过)(?: [a-z]+)?"
    r"(?: (?:think|believe|say|mean|sure|that|it|it's|is|was|be|been|equals?|to|the|a|an|final|correct|right|answer"
    r"|result|exactly|necessarily|just))* ?[$\\(]*$",
    re.IGNORECASE,
)
AFTER = re.compile(
    r"[.,]\d|\.\.|\s(?:[B-HJ-Zk]|squared|cubed|factorial|minus|(?:ten|hundred|thousand)ths?"
    r"|(?:or|at) (?:more|less|fewer|least|most))(?![a-zA-Z])|(?:th|rd|nd|st)\s+[a-z]|_|\sparts per"
    r"|\s?(?:per mille|‰|/(?!\s?[A-Za-z]{2})|[!^²³*+(\\√π]|pi\b)|(?!m[²³^])[a-zA-Z](?![a-zA-Z])"
)
PART = re.compile(
    r"[\^|√∛∜]|\d\s?x\s?\d|\\(?:sqrt|log|ln|lg|[dt]?binom|lfloor|lceil|dot|overline|p?mod|bmod|gcd|lcm|exp|sin|cos|tan)(?![a-z])"
)
WORD = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{2,}|[=\n]|\\(?:text|mathrm|approx|implies|Rightarrow)")
DASHES = str.maketrans({"−": "-", "–": "-", "’": "'", "\u00a0": " "})
CHOSEN = re.compile(  # a letter on a line of its own, and no other such line, nor one that is said to be right
    r"[(\[*]*([A-Z])[)\].:*]*[^\S\n]*\n"
    r"(?![\s\S]*(?:^[(\[*]*[A-Z][)\].:*]*[^\S\n]*$|\b[A-J]\)? is (?:right|correct|the)\b|\bis \(?[B-J]\b))",
    re.MULTILINE,
)
LETTER = re.compile(r"\(?[A-Z]\)?")
WHOLE_UNIT = re.compile(r"\d\s*(?:hours?|hrs?|h|minutes?|mins?|feet|foot|ft|pounds?|lbs?|dollars?)\s*$", re.IGNORECASE)
PART_UNIT = re.compile(r"\s*(?:minutes?|mins?|seconds?|secs?|s|inch(?:es)?|in|ounces?|oz|cents?)\b", re.IGNORECASE)
HEADINGS = 100  # that are read
TURNS = 8  # places at which a text may begin to invent a turn
WINDOW = 4000  # characters at the end of a text in which an answer without a mark is looked for


def final_answer(text: str) -> str:
    """The marked answer of a text, or the whole text if it marks none."""
    found = marked(text)
    return text.strip() if found is None else found


def marked(text: str, *, yes_no: bool = False, alone: Alone | None = None) -> str | None:
    """The marked answer of a text, without mark-up around it; None if the text marks none.

    ``yes_no``: yes, no, true or false is asked for, and what follows it belongs to it.
    """
    found = _marked(own_part(text, alone)[0], yes_no=yes_no)
    return None if found is None else tidy(found)


def own_part(text: str, alone: Alone | None = None) -> tuple[str, bool]:
    """(the text after its thought and before an invented turn, whether there is an invented turn).

    ``alone`` says whether a text without a mark is an answer of the kind that is asked for, and nothing else.
    """
    text = after_thought(text)
    if (found := TEMPLATE.search(text)) and text[: found.start()].strip():
        return own_part(text[: found.start()], alone)[0], bool(text[found.end() :].strip())
    for turn in islice(TURN.finditer(text), TURNS):
        before = text[: turn.start()]
        if not before.strip():
            continue
        if _marked(before) is not None or (alone and asks_next(text[turn.start() :]) and alone(before.strip())):
            return before, True
    return text, False


def unmarked(text: str, number: bool, alone: Alone | None = None) -> str:
    """The answer of a text that marks none; ``number``: whether a number is asked for."""
    text = without_marks(own_part(text, alone)[0]).strip()
    if number and len(text) < LONGEST and (quantity(plain(text)) or _is_formula(text)):
        return text
    end = BOLD.sub(r"\2", text[-WINDOW:].translate(DASHES))
    formulas = list(LATEX.finditer(end))
    last = formulas[-1] if formulas else None
    inside = next((group for group in last.groups() if group), "") if last else ""
    if number:
        found = [m for m in LAST_NUMBER.finditer(end) if len(m[0]) < LONGEST]
        if last and (not found or found[-1].start() < last.end()) and inside.strip():
            after = end[last.end() : last.end() + 12].split()
            return inside + " %" if after and after[0].lower().rstrip(".,") in ("%", "percent", "pct") else inside
        if not found:
            return ""
        unit = unit_behind(end, found[-1].end())
        last_number = found[-1][0].rstrip(",") + unit
        return last_number if _alone(end, found[-1].start(), found[-1].end() + len(unit)) else ""
    if chosen := CHOSEN.match(text):
        return chosen[1]
    first = text.partition("\n")[0].strip()
    return inside if inside.strip() else first if first and len(text) > LONGEST else text


def _is_formula(text: str) -> bool:
    """Whether a text has no words, and a sign by which its last number is only a part of its value."""
    return PART.search(text) is not None and not WORD.search(text)


def _alone(text: str, start: int, end: int) -> bool:
    """Whether the number at this position is not part of a longer expression."""
    before = BEFORE.search(text[max(0, start - 30) : start])
    if before and (before[1] is None or telling(before[1])):
        return False
    if DENIED.search(text[max(0, start - 60) : start]) or telling(
        text[end : end + 30].partition(".")[0].strip().partition(" ")[0], BEHIND | {*MONTHS}
    ):
        return False
    if WHOLE_UNIT.search(text[max(0, start - 30) : start]) and PART_UNIT.search(text, start, end + 10):
        return False
    return not AFTER.match(text, end) or text[end : end + 2] in ("\\)", "\\]") or text[end : end + 2].strip() == "\\"


def _marked(text: str, *, yes_no: bool = False) -> str | None:
    text = without_marks(text)
    before, closed, after = text.rpartition("</answer>")
    if closed and "<answer>" in before and "####" not in after and "box" not in after:
        return _unboxed(before.rpartition("<answer>")[2])
    lines = [line[1] for line in islice(HASHES.finditer(text), HEADINGS)] if "####" in text else []
    if (number := next(filter(_is_answer, lines), None)) is not None:
        return _unboxed(number)
    if (inner := _boxed(text)) is not None:
        said = _final_words(text[text.rindex("box") :])
        return said if said and re.search(r"[\d\\$]", said) else inner
    if (said := _after_phrase(text, yes_no=yes_no)) is not None or "####" not in text:
        return said
    return lines[0] if lines else ""  # cut off before the number


def _is_answer(text: str) -> bool:
    """Whether what follows ``####`` is a number or a formula, not the words of a heading."""
    if len(text) > LONGEST:
        return False
    said = tidy(_unboxed(text))
    return not HEADING.match(said) and (quantity(plain(said)) is not None or not WORD.search(said))


def _unboxed(text: str) -> str:
    inner = _boxed(text)
    return text if inner is None else inner


def _after_phrase(text: str, *, yes_no: bool) -> str | None:
    """What stands behind the last "answer is" that is not denied, or in a JSON object."""
    phrases = [m for m in PHRASE.finditer(text) if not DENIED.search(text[max(0, m.start() - 60) : m.start()])]
    if not phrases:
        found = JSON.search(text[-WINDOW:])
        return (found[1] or found[2]) if found else None
    after = text[phrases[-1].end() :]
    if CORRECTED.search(after[:WINDOW]):
        return ""
    answer = _sentence(after, yes_no=yes_no)
    final = (
        any(word in phrases[-1][0] for word in ("is", "was", " be", "#"))
        or text[: phrases[-1].start()].rstrip()[-5:].lower() == "final"
    )
    more = len(after.strip(" *_:\n\t").partition("\n")[0]) > len(answer) + 3
    word = LETTER.fullmatch(answer.strip(" *")) or (yes_no and stands(after))
    if more and not final and not quantity(plain(answer)) and not word:
        return None  # "Answer: First, 2 + 3 = 5. So ...": the reasoning begins
    return answer


def _final_words(text: str) -> str | None:
    """The text after the last "final answer is"; None if there is none."""
    after = re.split(r"final answer is:?", text, flags=re.IGNORECASE)
    return _sentence(after[-1]) if len(after) > 1 else None


def _sentence(text: str, *, yes_no: bool = False) -> str:
    """The answer in the text after "answer is": up to the end of the sentence, and after a further "is"."""
    text = without_bullet(text, WINDOW)
    text = re.sub(r"^[\s:]*(?:(?:\*\*|__)(?=\s)[\s:]*)?", "", text)
    line = re.split(r"\n(?!\s*or\b)", text, maxsplit=1)[0]
    if (line_of_code := in_fence(text)) is not None:
        return line_of_code
    if line.strip() in ("\\[", "$$"):  # a formula on lines of its own
        return text[:LONGEST].split("\\]" if line.strip() == "\\[" else "\n$$")[0]
    line = SENTENCE.split(line, maxsplit=1)[0]
    line = without_remark(CLAUSE.split(line, maxsplit=1)[0])
    if len(line) >= LONGEST or (yes_no and stands(line)):  # "Yes, 91 is composite"
        return line
    return COPULA.split(line)[-1]


def _boxed(text: str) -> str | None:
    """The contents of the last closed box and of those joined to it, as a list."""
    spans: list[tuple[int, int, int]] = []  # start, start of the inside, end
    opened: list[re.Match[str]] = []
    if "box" not in text:
        return None
    for brace in BRACES.finditer(text):
        if brace[0][:2] in ("\\{", "\\}"):
            continue
        if brace[0] != "}":
            opened.append(brace)
        elif opened and (start := opened.pop())[0] != "{":
            while spans and spans[-1][0] > start.start():
                spans.pop()
            spans.append((start.start(), start.end(), brace.end()))
    if any(brace[0] != "{" for brace in opened) and not spans:
        return ""  # cut off inside
    if not spans:
        bare = BARE_BOX.findall(text)
        return str(bare[-1]) if bare else None
    first = len(spans) - 1
    while first and _joins(text[spans[first - 1][2] : spans[first][0]]):
        first -= 1
    found = [text[inside : end - 1].strip() for _, inside, end in spans[first:]]
    found = found[:1] if len({*found}) == 1 else found  # said again
    behind = text[spans[-1][2] : spans[-1][2] + 80]
    if RETRACTED.match(behind):
        return ""
    if hedge := HEDGE.match(behind):
        found.append(hedge[1])
    elif len(found) == 1 and BESIDE.match(behind):
        return found[0] + FORMULA_ENDS.split(behind, maxsplit=1)[0]
    after = behind[:12].strip(" $\\").lower()
    unit = " %" if after.startswith(("%", "percent", "pct")) and len(found) == 1 else ""
    return " and ".join(found) + unit


def _joins(between: str) -> bool:
    if len(between) >= 80 or CONCLUDES.search(between):
        return False
    return bool(LISTED.fullmatch(between) or JOINED.fullmatch(between))
