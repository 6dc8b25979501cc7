"""What a text marks as its answer.

Read is what follows a thought (``</think>``), up to a turn that the text invents after its answer: "Question:",
"Human:" and the like on a line of their own behind a marked answer, or a chat template's token.  In that, in this
order:

1. the first line that ``####`` begins: GSM8K's own extraction, too, takes the first, whatever is said after it;
2. the last closed ``\\boxed{}``, with those that "and", "or" or a comma joins to it;
3. the last ``<answer>…</answer>``;
4. what follows the last "answer is", "Answer:" or "Final answer:".

A text without a mark gives its last number where a number is asked for, else its last formula, else all of it.
"""

from __future__ import annotations

import re

from rlready.tasks.notation import EMPHASIS, plain
from rlready.tasks.quantity import LONGEST, quantity
from rlready.tasks.units import telling

TEMPLATE = re.compile(
    r"<\|(?:im_start|start_header_id)\|>\s*(?:user|system)|<\|(?:user|im_end|eot_id|end|endoftext|end_of_text)\|>"
    r"|</s>|\[INST\]|<start_of_turn>\s*user|<end_of_turn>"
)
TURN = re.compile(
    r"\n[^\S\n]*(?:#{1,4} |\*\*)?(?:(?:next |new )?(?:question|problem|exercise|example)|human|user|instruction|q)"
    r" ?\d{0,4} ?(?:\*\*)?[:.](?!\w)",
    re.IGNORECASE,
)
HASHES = re.compile(r"####(?!#)[^\S\n]*(?:\n[^\S\n]*)?(\S[^\n]*)")
BRACES = re.compile(r"\\boxed\s*\{|\\fbox\s*\{|\\[{}]|[{}]")
BARE_BOX = re.compile(r"\\boxed\s+([^\s${}][^$\n]*)")
JOINED = re.compile(
    r"[\s$.]*(?:\\[()\[\]]|\\quad|\\qquad|\\text|[\s$,;+&{}])*(?:\W[^.\n\\]{0,40}?)?\b(?:and|or)\b[^.\n]{0,20}"
)
LISTED = re.compile(r"(?:\\[()\[\],;]|\\quad|\\qquad|[ $,;+&])*\\?")
PHRASE = re.compile(r"\banswer(?:\*\*|__)?(?: is(?: that)?\b|\s?(?:\*\*|__)?\s?:| = |(?=\*\*\s*\n))", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[\w\s)}\]%$*°])(?:[.!](?=\s+[A-Z\[(])|\.(?=\s*$))|(?<=[\w)}\]%$*])\s+I hope it is correct")
CLAUSE = re.compile(r",?\s(?:because|since|which|where)\s")
COPULA = re.compile(r"\b(?:is|are|was|equals)\b:?")
LATEX = re.compile(
    r"(?<!\\)\$\$(.+?)(?<!\\)\$\$|(?<![\\\d])\$((?:\\\$|[^$\n])+?)(?<!\\)\$|\\\[(.+?)\\\]|\\\(([^\n]+?)\\\)", re.DOTALL
)
SIGNED = r"[+-]?(?:US)?[$€£¥₹]?-?"
LAST_NUMBER = re.compile(
    rf"(?<![\w.,)\]}}]){SIGNED}(?:\\[dt]?frac\s*\{{\d+\}}\s*\{{\d+\}}|\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?:\s?/\s?\d+)?|\.\d+)"
    rf"(?:\s?\\?%|\s?percent|\s?pct)?(?!\d)",
    re.IGNORECASE,
)
# What makes a last number a part of something else: "5 or 6", "1, 2", "log 2", "3 - 2"; "2!", "2 pi", "2x".
BEFORE = re.compile(
    r"([^\W\d_]+)\s*$|\d\s*,\s*$|[+\-*/^×÷·]\s*$|\\(?:log|ln|sqrt|times|cdot|sin|cos|tan|pm|div)\s*\{?$"
)
AFTER = re.compile(r"[.,]\d|\s?(?:[!^²³*/+(\\√π]|pi\b)|(?!m[²³^])[a-zA-Z](?![a-zA-Z])")
DASHES = str.maketrans({"−": "-", "\u00a0": " "})
LETTER = re.compile(r"\(?[A-Z]\)?")
WINDOW = 4000  # characters at the end of a text in which an answer without a mark is looked for


def final_answer(text: str) -> str:
    """What a text marks as its answer, or the whole text if it marks nothing."""
    found = marked(text)
    return text.strip() if found is None else found


def marked(text: str) -> str | None:
    """What a text marks as its answer, without the mark-up around it; None if it marks nothing."""
    found = _marked(own_part(text)[0])
    return None if found is None else tidy(found)


def own_part(text: str) -> tuple[str, bool]:
    """(the text after its thought and before a turn that it invents, whether there is such a turn)."""
    text = text.rpartition("</think>")[2]
    if (found := TEMPLATE.search(text)) and text[: found.start()].strip():
        return own_part(text[: found.start()])[0], bool(text[found.end() :].strip())
    for turn in TURN.finditer(text):
        if text[: turn.start()].strip() and _marked(text[: turn.start()]) is not None:
            return text[: turn.start()], True
        break
    return text, False


def unmarked(text: str, number: bool) -> str:
    """The answer of a text that marks none; ``number``: a number is asked for."""
    text = own_part(text)[0].strip()
    if number and len(text) < LONGEST and quantity(plain(text)):
        return text
    end = text[-WINDOW:]
    formulas = list(LATEX.finditer(end))
    last = formulas[-1] if formulas else None
    inside = next((group for group in last.groups() if group), "") if last else ""
    if number:
        found = [m for m in LAST_NUMBER.finditer(end.translate(DASHES)) if len(m[0]) < LONGEST]
        if last and (not found or found[-1].start() < last.end()) and inside.strip():
            after = end[last.end() : last.end() + 12].split()
            return inside + " %" if after and after[0].lower().rstrip(".,") in ("%", "percent", "pct") else inside
        return found[-1][0].rstrip(",") if found and _alone(end, *found[-1].span()) else ""
    return inside if inside.strip() else text


def _alone(text: str, start: int, end: int) -> bool:
    """Whether the number at this place is no part of a longer expression."""
    before = BEFORE.search(text[max(0, start - 30) : start])
    if before and (before[1] is None or telling(before[1])):
        return False
    return not AFTER.match(text, end) or text[end : end + 2] in ("\\)", "\\]") or text[end : end + 2].strip() == "\\"


def _marked(text: str) -> str | None:
    if "####" in text:
        line = HASHES.search(text)
        return (_boxed(line[1]) or line[1]) if line else ""  # cut off before the number
    if (inner := _boxed(text)) is not None:
        said = _final_words(text[text.rindex("box") :])
        return said if said and re.search(r"[\d\\$]", said) else inner
    before, closed, _ = text.rpartition("</answer>")
    if closed and "<answer>" in before:
        return before.rpartition("<answer>")[2]
    phrases = list(PHRASE.finditer(text))
    if not phrases:
        return None
    after = text[phrases[-1].end() :]
    answer = _sentence(after)
    final = "is" in phrases[-1][0] or text[: phrases[-1].start()].rstrip()[-5:].lower() == "final"
    more = len(after.strip(" *_:\n\t").partition("\n")[0]) > len(answer) + 3
    if more and not final and not quantity(plain(answer)) and not LETTER.fullmatch(answer.strip(" *")):
        return None  # "Answer: First, 2 + 3 = 5. So ...": the reasoning begins
    return answer


def _final_words(text: str) -> str | None:
    """What stands behind the last "final answer is"."""
    after = re.split(r"final answer is:?", text, flags=re.IGNORECASE)
    return _sentence(after[-1]) if len(after) > 1 else None


def _sentence(text: str) -> str:
    """The answer in the words behind "answer is": up to the end of the sentence, after "is" where it says so."""
    text = re.sub(r"^[\s:]*(?:(?:\*\*|__)(?=\s)[\s:]*)?", "", text)
    line = text.partition("\n")[0]
    if line.strip() in ("\\[", "$$"):  # a formula on lines of its own
        return text[:LONGEST].split("\\]" if line.strip() == "\\[" else "\n$$")[0]
    line = SENTENCE.split(line, maxsplit=1)[0]
    line = CLAUSE.split(line, maxsplit=1)[0]
    return COPULA.split(line)[-1] if len(line) < LONGEST else line


def _boxed(text: str) -> str | None:
    """The inside of the last box that is closed, and of those that are joined to it, as a list."""
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
    if not spans:
        bare = BARE_BOX.findall(text)
        return str(bare[-1]) if bare else None
    first = len(spans) - 1
    while first and _joins(text[spans[first - 1][2] : spans[first][0]]):
        first -= 1
    found = [text[inside : end - 1].strip() for _, inside, end in spans[first:]]
    after = text[spans[-1][2] : spans[-1][2] + 12].strip(" $\\").lower()
    unit = " %" if after.startswith(("%", "percent", "pct")) and len(found) == 1 else ""
    return " and ".join(found) + unit


def _joins(between: str) -> bool:
    return len(between) < 80 and bool(LISTED.fullmatch(between) or JOINED.fullmatch(between))


def tidy(answer: str) -> str:
    """Without the mark-up around it: emphasis, dollar signs on both sides, the full stop of a sentence."""
    while len(answer) <= LONGEST and answer != (answer := _tidier(answer)):
        pass
    return answer.strip()


def _tidier(answer: str) -> str:
    answer = EMPHASIS.sub(r"\2", answer.strip()).strip("*_`").strip().removesuffix(".")
    if len(answer) > 2 and answer[0] == answer[-1] == "$" and "$" not in answer[1:-1]:
        return answer[1:-1].strip()
    return answer
