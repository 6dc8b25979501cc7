"""The document of a filled form as Markdown.  Text of records is escaped: others wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rlready.checklist.result import LEFT, AnsweredItem, ChecklistResult, Evidence, Fact
from rlready.checklist.runs import link_to
from rlready.core.text import visible

MOST = 6  # pieces of evidence of a fact that are in no group; the page and --json have all
SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")


def markdown(result: ChecklistResult, folder: Path) -> str:
    """Markdown whose links start in ``folder``."""
    lines = [f"<!-- rlready checklist, form {result.form} -->", f"# {result.title}", "", _escaped(result.headline), ""]
    if result.notes:
        lines += ["What the reader has to know of the runs:", "", *(f"- {_escaped(note)}" for note in result.notes), ""]
    for section, items in groupby(result.items, lambda item: item.section):
        lines += [f"## {section}", ""] if section else []
        for item in items:
            lines += [*_item(item, folder), ""]
    return "\n".join(lines).rstrip() + "\n"


def _item(item: AnsweredItem, folder: Path) -> Iterator[str]:
    yield f"{'###' if item.section else '##'} {item.number}. {item.title}"
    yield f"\n*{item.question}*\n"
    status = _red("unknown") if item.status == "unknown" else item.status
    answer = f"**{_escaped(item.short_answer)}** · " if item.short_answer else ""
    left = f" · {_red(item.left_count)}" if item.left else ""
    yield f"{answer}{status}{left} {_escaped(item.justification)}".rstrip()
    yield ""
    for fact in item.shown:
        yield from _fact(fact, folder)
    if item.left:
        yield f"\n{_red(f'{LEFT}:')}\n"
        for fact in item.left:
            known = f" {_escaped(fact.text)}" if fact.text else ""
            yield f"- **{_escaped(fact.name)}:**{known} {_red(_escaped(fact.missing))}"


def _fact(fact: Fact, folder: Path) -> Iterator[str]:
    unknown = f" {_red(f'unknown: {_escaped(fact.missing)}')}" if fact.missing else ""
    yield f"- **{_escaped(fact.name)}.** {_escaped(fact.text)}".rstrip() + unknown
    for group, places in fact.groups:
        if group:
            file = f"[{_escaped(places[0].file)}]({link_to(places[0].file, folder)})"
            yield f"  - {file}: {_escaped(group)}"
            continue
        yield from (f"  - {_evidence(each, folder)}" for each in places[:MOST])
        if len(places) > MOST:
            yield f"  - and {len(places) - MOST} more, which --format html and --json show"


def _evidence(each: Evidence, folder: Path) -> str:
    key = f" {_code(each.key)}" if each.key else ""
    return (
        f"[{_escaped(each.file)}]({link_to(each.file, folder)}){key}{f': {_escaped(each.value)}' if each.value else ''}"
    )


def _red(text: str) -> str:
    return f'<span style="color:#b00020">{text}</span>'


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(visible(text).split()))


def _code(text: str) -> str:
    """Text as code, within more backticks than it has in a row."""
    text = " ".join(visible(text).split())
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"
