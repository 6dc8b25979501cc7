"""The document of a filled form as Markdown.  Text of records is escaped: others wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rlready.checklist.result import LEFT, AnsweredItem, ChecklistResult, Evidence, Fact
from rlready.checklist.runs import link_to
from rlready.core.text import as_code, in_markdown

MOST = 6  # pieces of evidence of a fact that are in no group; the page and --json have all


def markdown(result: ChecklistResult, folder: Path) -> str:
    """Markdown whose links start in ``folder``."""
    lines = [
        f"<!-- rlready checklist, form {result.form} -->",
        f"# {result.title}",
        "",
        in_markdown(result.headline),
        "",
    ]
    if result.notes:
        lines += [
            "What the reader has to know of the runs:",
            "",
            *(f"- {in_markdown(note)}" for note in result.notes),
            "",
        ]
    for section, items in groupby(result.items, lambda item: item.section):
        lines += [f"## {section}", ""] if section else []
        for item in items:
            lines += [*_item(item, folder), ""]
    return "\n".join(lines).rstrip() + "\n"


def _item(item: AnsweredItem, folder: Path) -> Iterator[str]:
    yield f"{'###' if item.section else '##'} {item.number}. {item.title}"
    yield f"\n*{item.question}*\n"
    status = _red("unknown") if item.status == "unknown" else item.status
    answer = f"**Answer: {in_markdown(item.marked_answer)}** · " if item.marked_answer else ""
    left = f" · {_red(item.left_count)}" if item.left else ""
    yield f"{answer}{status}{left} {in_markdown(item.justification)}".rstrip()
    yield ""
    for fact in item.shown:
        yield from _fact(fact, folder)
    if item.left:
        yield f"\n{_red(f'{LEFT}:')}\n"
        for fact in item.left:
            known = f" {in_markdown(fact.text)}" if fact.text else ""
            yield f"- **{in_markdown(fact.name)}:**{known} {_red(in_markdown(fact.missing))}"


def _fact(fact: Fact, folder: Path) -> Iterator[str]:
    unknown = f" {_red(f'unknown: {in_markdown(fact.missing)}')}" if fact.missing else ""
    yield f"- **{in_markdown(fact.name)}.** {in_markdown(fact.text)}".rstrip() + unknown
    for group, places in fact.groups:
        if group:
            file = f"[{in_markdown(places[0].file)}]({link_to(places[0].file, folder)})"
            yield f"  - {file}: {in_markdown(group)}"
            continue
        yield from (f"  - {_evidence(each, folder)}" for each in places[:MOST])
        if len(places) > MOST:
            yield f"  - and {len(places) - MOST} more, which --format html and --json show"


def _evidence(each: Evidence, folder: Path) -> str:
    key = f" {as_code(each.key)}" if each.key else ""
    value = f": {in_markdown(each.value)}" if each.value else ""
    return f"[{in_markdown(each.file)}]({link_to(each.file, folder)}){key}{value}"


def _red(text: str) -> str:
    return f'<span style="color:#b00020">{text}</span>'
