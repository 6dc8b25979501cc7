r"""The document of a filled form as LaTeX, to be ``\input`` into a paper.  Text of records is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rlready.checklist.as_markdown import MOST
from rlready.checklist.result import LEFT, AnsweredItem, ChecklistResult, Fact
from rlready.core.text import visible

ESCAPES = {
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
}
# as in the style of NeurIPS, which defines the first three itself
HEAD = r"""% rlready checklist: \input this into a paper; it needs the packages xcolor and T1 fonts (fontenc)
\providecommand{\answerYes}[1][]{\textcolor{blue}{[Yes] #1}}
\providecommand{\answerNo}[1][]{\textcolor{orange}{[No] #1}}
\providecommand{\answerNA}[1][]{\textcolor{gray}{[NA] #1}}
\providecommand{\answerTODO}[1][]{\textcolor{red}{\textbf{[TODO] #1}}}
"""


def latex(result: ChecklistResult, folder: Path) -> str:
    """LaTeX: one list of items, and what is wrong with the runs as comments."""
    del folder  # paths are printed, not linked
    lines = [HEAD, rf"\section*{{{_escaped(result.title)}}}"]
    lines += [f"% {_escaped(text)}" for text in (result.headline, *result.notes)]
    for section, items in groupby(result.items, lambda item: item.section):
        lines += [rf"\subsection*{{{_escaped(section)}}}"] if section else []
        lines += [r"\begin{description}", *(line for item in items for line in _item(item)), r"\end{description}"]
    return "\n".join(lines) + "\n"


def _item(item: AnsweredItem) -> Iterator[str]:
    yield rf"\item[{{{item.number}. {_escaped(item.title)}}}] \textit{{{_escaped(item.question)}}}"
    if item.answer in ("Yes", "No", "NA"):
        answer = rf"\answer{item.answer}{{}}"
    else:
        answer = _escaped(item.short_answer) if item.answer else rf"\answerTODO{{}} ({item.status})"
    left = rf" \textcolor{{red}}{{({item.left_count})}}" if item.left else ""
    yield rf"\\ \textbf{{Answer:}} {answer}{left} {_escaped(item.justification)}".rstrip()
    yield from _listed([*map(_fact, item.shown)])
    if item.left:
        yield rf"\textcolor{{red}}{{{LEFT}:}}"
        yield from _listed([_fact(fact) for fact in item.left])


def _listed(lines: Sequence[str]) -> Sequence[str]:
    """The lines as a list, where there are any."""
    return [r"\begin{itemize}", *lines, r"\end{itemize}"] if lines else []


def _fact(fact: Fact) -> str:
    unknown = rf" \textcolor{{red}}{{unknown: {_escaped(fact.missing)}}}" if fact.missing else ""
    single = dict.fromkeys(f"{each.file} {each.key}".strip() for each in fact.evidence if not each.group)
    shown = [rf"\texttt{{{_escaped(place)}}}" for place in [*single][:MOST]]
    more = f" and {len(single) - MOST} more" if len(single) > MOST else ""
    evidence = f" ({', '.join(shown)}{more})" if shown else ""
    for group, places in fact.groups:
        evidence += rf" \texttt{{{_escaped(places[0].file)}}}: {_escaped(group)}." if group else ""
    return rf"\item \textbf{{{_escaped(fact.name)}.}} {_escaped(fact.text)}{evidence}{unknown}"


def _escaped(text: str) -> str:
    """Text in which no character is a command; one that LaTeX's usual fonts lack stands as its number."""
    text = " ".join(visible(text).split())
    return "".join(ESCAPES.get(c) or (c if ord(c) < 0x180 else f"[U+{ord(c):04X}]") for c in text)
