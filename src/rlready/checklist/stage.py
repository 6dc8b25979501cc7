"""``rlready checklist``: a form for reviewers or users, filled from the records of runs.

An item is answered Yes only if every fact that it needs stands in a record; NA comes from the answers file alone; what
no record holds is called unknown.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from pathlib import Path

from rlready.checklist.answers import Answer, Answers, read_answers, refuse_unused, skeleton
from rlready.checklist.as_html import html
from rlready.checklist.as_latex import latex
from rlready.checklist.as_markdown import markdown
from rlready.checklist.facts import FACTS
from rlready.checklist.forms import Form, Item, load_form
from rlready.checklist.result import STATUSES, AnsweredItem, ChecklistResult, Fact, Status, text_of
from rlready.checklist.runs import Runs, collect
from rlready.core.config import ChecklistConfig
from rlready.core.errors import UserError
from rlready.runs.files import os_errors_named, write_text

# how each document begins, and the SHA-256 of what it was without this seal: by it, an edit is noticed
SEALED = re.compile(rb"((?:<!-- |% |<!doctype html><!-- )rlready checklist) sha256 ([0-9a-f]{64})")
RENDER = {"md": markdown, "html": html, "tex": latex}


def checklist(config: ChecklistConfig, out: Path | None = None) -> ChecklistResult:
    """The filled form, whose document is also written into the file ``out``.

    UserError for a folder without runs, for answers that the form does not allow, and for a file ``out`` that another
    program or the author has written.
    """
    if not config.runs:
        raise UserError("name the run folders, or a folder that holds them: rlready checklist runs")
    if out:
        _refuse_to_replace(out, config)
    form = load_form(config.form)
    answers = read_answers(Path(config.answers), config.form, form) if config.answers else Answers()
    runs = collect(config.runs, answers.told(config.answers))
    refuse_unused(answers, Path(config.answers), runs)
    given = answers.of(config.form)
    items, section = list[AnsweredItem](), ""
    for item in form.items:
        section = item.section or section
        items.append(_answered(item, section, runs, given.get(item.number, Answer()), bool(form.choices)))
    result = ChecklistResult(
        headline=_headline(form, items),
        next_command="" if config.answers else _to_answer(config, out),
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
        text = _sealed(RENDER[config.format](result, out.parent if out else Path()))
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
    left = sum(len(item.left) for item in items)
    beside = f", and {left} that no answer claims are left for you" if left else ""
    return f"{form.title}, {len(items)} items: {found}. {sum(facts)} of {len(facts)} facts are known{beside}."


def _to_answer(config: ChecklistConfig, out: Path | None) -> str:
    """The command that writes the skeleton of the answers file, or once it is written, the one that reads it."""
    words = ["--format", "toml", "--out", "answers.toml"] if config.format != "toml" else []
    words = ["--answers", str(out)] if config.format == "toml" and out else words
    return shlex.join(["rlready", "checklist", *config.runs, "--form", config.form, *words])


def _sealed(text: str) -> str:
    """A document with its checksum in the first line."""
    seal = f"rlready checklist sha256 {hashlib.sha256(text.encode()).hexdigest()}"
    return text.replace("rlready checklist", seal, 1)


def _is_ours(content: bytes) -> bool:
    """Whether a file is a document of this command that was not edited since."""
    found = SEALED.match(content)
    if not found:
        return False
    return hashlib.sha256(found[1] + content[found.end() :]).hexdigest() == found[2].decode()


def _refuse_to_replace(out: Path, config: ChecklistConfig) -> None:
    """UserError for a folder, a device, a file of answers, and a file that is not as this command has written it."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file in it, such as {out / f'checklist.{config.format}'}")
    if not out.exists():
        return
    if not out.is_file():
        raise UserError(f"--out {out}: not a regular file; choose another name, or leave out --out and redirect")
    if config.answers and Path(config.answers).exists() and out.samefile(config.answers):
        raise UserError(f"--out {out} is the file of answers; choose another name")
    with os_errors_named(out, "read"):
        ours = config.format != "toml" and _is_ours(out.read_bytes())
    if not ours:
        raise UserError(f"--out {out}: there is a file already, and it may hold your text; choose another name")
