"""``rlready checklist``: a form for reviewers or users, filled from the records of runs.

An item is answered Yes only if every fact that it needs stands in a record; NA comes from the answers file alone; what
no record holds is called unknown.
"""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

from rlready.checklist.answers import Answer, Answers, read_answers, skeleton
from rlready.checklist.as_html import html
from rlready.checklist.as_latex import latex
from rlready.checklist.as_markdown import markdown
from rlready.checklist.facts import FACTS
from rlready.checklist.forms import Form, Item, load_form
from rlready.checklist.result import STATUSES, AnsweredItem, ChecklistResult, Fact, Status, text_of
from rlready.checklist.runs import Runs, collect
from rlready.core.config import ChecklistConfig
from rlready.core.errors import UserError
from rlready.runs.files import write_text

MARK = b"rlready checklist"  # in the first line of each document
RENDER = {"md": markdown, "html": html, "tex": latex}


def checklist(config: ChecklistConfig, out: Path | None = None) -> ChecklistResult:
    """The filled form, whose document is also written into the file ``out``.

    UserError for a folder without runs, for answers that the form does not allow, and for a file ``out`` that another
    program or the author has written.
    """
    if not config.runs:
        raise UserError("name the run folders, or a folder that holds them: rlready checklist runs")
    if out:
        _refuse_to_replace(out, config.format)
    form = load_form(config.form)
    answers = read_answers(Path(config.answers), config.form, form) if config.answers else Answers()
    runs = collect(config.runs, answers.told(config.answers))
    given = answers.of(config.form)
    items, section = list[AnsweredItem](), ""
    for item in form.items:
        section = item.section or section
        items.append(_answered(item, section, runs, given.get(item.number, Answer()), bool(form.choices)))
    result = ChecklistResult(
        headline=_headline(form, items),
        next_command="" if config.answers else _to_answer(config),
        form=config.form,
        title=form.title,
        folders=[str(entry.folder) for entry in runs.entries],
        notes=runs.notes,
        items=items,
        text="",
    )
    if config.format == "toml":
        text = skeleton(config.form, form, items, runs, answers)
    else:
        text = RENDER[config.format](result, out.parent if out else Path())
    if out:
        write_text(out, text)
    return result.model_copy(update={"text": text})


def _answered(item: Item, section: str, runs: Runs, given: Answer, choices: bool) -> AnsweredItem:
    """An item with its facts and what follows from them."""
    facts = [fact for name in item.facts for fact in FACTS[name](runs)]
    facts += [fact.model_copy(update={"extra": True}) for name in item.also for fact in FACTS[name](runs)]
    status = "answered by you" if given.answer else _status(item, facts, runs.edited)
    answer = given.answer
    if status == "answered from records":
        answer = "Yes" if choices else text_of(facts)
    return AnsweredItem(
        number=item.number,
        section=section,
        title=item.title,
        question=item.question,
        status=status,
        answer=answer,
        justification=given.justification if given.answer else "",
        facts=facts,
    )


def _status(item: Item, facts: list[Fact], edited: bool) -> Status:
    """What the records say to an item; nothing is answered from records if one was edited."""
    needed = [fact.known for fact in facts if not fact.extra]
    if item.by == "author":
        return "for you to answer"
    if not any(needed) or (item.by == "records" and not all(needed)):
        return "unknown"
    return "answered from records" if item.by == "records" and not edited else "drafted, to be confirmed"


def _headline(form: Form, items: list[AnsweredItem]) -> str:
    counts = Counter(item.status for item in items)
    facts = [fact.known for item in items for fact in item.facts]
    found = "; ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    return f"{form.title}, {len(items)} items: {found}. {sum(facts)} of {len(facts)} facts are known."


def _to_answer(config: ChecklistConfig) -> str:
    """The command that writes the skeleton of the answers file."""
    words = ["--form", config.form, "--format", "toml", "--out", "answers.toml"]
    return shlex.join(["rlready", "checklist", *config.runs, *words])


def _refuse_to_replace(out: Path, kind: str) -> None:
    """UserError for a folder, for a file of answers, and for a file that this command has not written."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file in it, such as {out / f'checklist.{kind}'}")
    if out.exists() and (kind == "toml" or MARK not in out.read_bytes()[:200]):
        raise UserError(f"--out {out}: there is a file already, and it may hold your text; choose another name")
