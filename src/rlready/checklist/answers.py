"""The answers file: what only the author knows, in TOML.  Its skeleton is written by ``format=toml``.

``[FORM.NUMBER]`` answers an item; ``[facts]`` and ``[licences]`` give facts that no record holds.  An empty text is no
answer.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError

from rlready.checklist.forms import Form
from rlready.checklist.result import AnsweredItem
from rlready.checklist.runs import Runs, Told
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.missing import did_you_mean
from rlready.core.options import read_toml
from rlready.core.result import Record, first_error
from rlready.core.text import in_one_line
from rlready.runs.licences import UNKNOWN

HEAD = (
    "# rlready checklist: your answers; an empty text is no answer.",
    "# They are used by: rlready checklist {runs} --form {form} --answers FILE",
)


class Answer(Record):
    """The answer of an item and why."""

    answer: str = ""
    justification: str = ""


class AuthorFacts(Record):
    """Facts that records do not hold."""

    address: str = Field(default="", description="the public address of data and code")
    provider: str = Field(default="", description="whose machines were used: an internal cluster, or which cloud")
    other_runs: str = Field(
        default="", description="what runs outside of these folders took, also preliminary and deleted ones"
    )
    why_chosen: str = Field(default="", description="why the values that were given by hand were chosen")
    code_from: str = Field(default="", description="whose method your own algorithm or loss is, if it is not yours")


class Answers(Record):
    """The whole file: answers by form and number; ``licences`` by the id of the data set or model."""

    facts: AuthorFacts = AuthorFacts()
    licences: dict[str, str] = Field(default_factory=dict)
    neurips: dict[str, Answer] = Field(default_factory=dict)
    datasheet: dict[str, Answer] = Field(default_factory=dict)
    acl: dict[str, Answer] = Field(default_factory=dict)

    def of(self, form: str) -> dict[str, Answer]:
        """The answers to one form."""
        return {"neurips": self.neurips, "datasheet": self.datasheet, "acl": self.acl}[form]

    def told(self, file: str) -> Told:
        """The facts in it."""
        facts = {name: text for name, text in self.facts if _says(text)}
        return Told(file, facts, {name: text for name, text in self.licences.items() if _says(text)})


def _says(text: str) -> bool:
    """Whether a text has a character that can be seen."""
    return any(c.isprintable() and not c.isspace() for c in text)


def read_answers(path: Path, name: str, form: Form) -> Answers:
    """The file; UserError for one that is not there or not TOML, and for an answer that the form does not allow."""
    if not path.exists():
        how = "to write its skeleton, add --format toml --out FILE and leave --answers out"
        raise UserError(f"answers = {path}: no such file{did_you_mean(str(path))}; {how}")
    try:
        answers = Answers.model_validate(read_toml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_error(error)}") from None
    numbers = [item.number for item in form.items]
    for number, given in answers.of(name).items():
        where = f"{path}: [{name}.{number}]"
        if number not in numbers:
            raise UserError(f"{where}: this form has no item {number!r}; its items are {', '.join(numbers)}")
        if given.answer and form.choices and given.answer not in form.choices:
            raise UserError(f"{where}: answer = {given.answer!r}; choose one of {', '.join(form.choices)}")
        if given.answer and form.choices and not _says(given.justification):
            raise UserError(f"{where}: answer = {given.answer!r} needs a justification of a sentence or two")
        if _says(given.justification) and not _says(given.answer):
            choices = f"; choose one of {', '.join(form.choices)}" if form.choices else ""
            raise UserError(f"{where}: has a justification and no answer{choices}")
    return answers


def refuse_unused(answers: Answers, path: Path, runs: Runs) -> None:
    """UserError for a licence of what no run has read, or of what states its licence itself."""
    notes = {note.id: note.licence for _, _, note in (*runs.data(), *runs.models())}
    for name, text in answers.licences.items():
        where = f"{path}: [licences] {_quoted(name)}"
        if name not in notes:
            raise UserError(f"{where}: no run here has read such data or model; {nearest(name, list(notes))}")
        if notes[name] not in (UNKNOWN, text) and _says(text):
            raise UserError(f"{where} = {_quoted(text)}, but its own files state {notes[name]}: leave one of them out")


def skeleton(name: str, form: Form, items: list[AnsweredItem], runs: Runs, answers: Answers) -> str:
    """The file with every question that the records leave open, and the answers that were given."""
    folders = " ".join(str(entry.folder) for entry in runs.outermost[:1])
    lines = [*(line.format(runs=folders, form=name) for line in HEAD), "", "[facts]"]
    for key, text in answers.facts:
        lines += [f"# {AuthorFacts.model_fields[key].description}", f"{key} = {_quoted(text)}"]
    unknown = {note.id: answers.licences.get(note.id, "") for _, _, note in (*runs.data(), *runs.models())}
    known = {note.id for _, _, note in (*runs.data(), *runs.models()) if note.licence != UNKNOWN}
    lines += ["", "[licences]", *(f"{_quoted(k)} = {_quoted(text)}" for k, text in unknown.items() if k not in known)]
    for item in items:
        if item.status == "answered from records":
            continue
        given = answers.of(name).get(item.number, Answer())
        choices = f" ({', '.join(form.choices)})" if form.choices else ""
        lines += ["", f"[{name}.{item.number}]", f"# {item.title}: {item.question}{choices}"]
        for fact in item.facts:
            lines += [f"# {fact.name}: {'unknown: ' + fact.missing if fact.missing else fact.text}"[:400]]
        lines += [f"answer = {_quoted(given.answer)}"]
        lines += [f"justification = {_quoted(given.justification)}"] if form.choices else []
    return "".join(f"{in_one_line(line)}\n".replace("\r", " ") for line in lines)  # none may add lines of its own


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=True)
