"""What ``rlready checklist`` returns: every item of a form, its facts, and the places in files that prove them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from rlready.core.cells import counted
from rlready.core.result import Record, Result, Table

Status = Literal["answered from records", "drafted, to be confirmed", "unknown", "answered by you", "for you to answer"]
STATUSES: tuple[Status, ...] = get_args(Status)


class Evidence(Record):
    """Where a fact stands: ``key`` in ``file`` has ``value``; a file without a key is the fact itself.

    Figures with the same kind of interval are of one ``group``, and are shown together.
    """

    file: str
    key: str
    value: str
    group: str = ""

    @property
    def name(self) -> str:
        """What ``key`` is called: ``pass_at_k`` of ``checkpoints[2].pass_at_k.64``."""
        parts = re.sub(r"\[\d+\]", "", self.key).split(".")
        return next((part for part in reversed(parts) if not part.isdecimal()), self.key)


class Fact(Record):
    """One fact: ``text`` says it, with its evidence; ``missing`` is what is not known of it, "" for nothing.

    The answer of an item does not need facts with ``extra``, and does not claim them.
    """

    name: str
    text: str
    evidence: list[Evidence]
    missing: str = ""
    extra: bool = False

    @property
    def groups(self) -> list[tuple[str, list[Evidence]]]:
        """The evidence by group, each with how many figures it has, the kind of their interval, and their names."""
        found = dict[str, list[Evidence]]()
        for each in self.evidence:
            found.setdefault(each.group, []).append(each)
        return [(_told(group, places) if group else "", places) for group, places in found.items()]

    @property
    def known(self) -> bool:
        """Whether nothing of it is missing."""
        return not self.missing


def _told(group: str, places: Sequence[Evidence]) -> str:
    names = dict.fromkeys(place.name for place in places)
    return f"{counted(len(places), 'figure')} with a {group}: {', '.join(names)}"


def text_of(facts: Sequence[Fact]) -> str:
    """What facts say together."""
    return " ".join(fact.text for fact in facts)


LEFT = "Left for you, as no record holds it, and not claimed by this answer"


class AnsweredItem(Record):
    """An item of the form: its ``number``, ``section`` ("" for none), ``title`` and ``question``.

    ``status`` says where the answer comes from; ``answer`` is empty until the records or the answers file give one, and
    ``justification`` is that of the answers file.
    """

    number: str
    section: str
    title: str
    question: str
    status: Status
    answer: str
    justification: str
    facts: list[Fact]

    @property
    def left(self) -> list[Fact]:
        """What the answer does not claim and no record holds, so that the author has to say it."""
        mine = self.status == "answered by you"
        return [] if mine else [fact for fact in self.facts if fact.extra and fact.missing]

    @property
    def left_count(self) -> str:
        """How many facts the author has to add, in words."""
        return f"to be completed by you with {counted(len(self.left), 'fact')}, below"

    @property
    def shown(self) -> list[Fact]:
        """The facts that are not left for the author."""
        return [fact for fact in self.facts if not (fact.extra and fact.missing)]

    @property
    def short_answer(self) -> str:
        """The answer, but "" where it is the text of the facts."""
        return "" if self.answer == text_of(self.facts) else self.answer

    @property
    def marked_answer(self) -> str:
        """The answer as a conference's form has it, [TODO] without one; "" where it is the text of the facts."""
        if not self.answer:
            return "[TODO]"
        return f"[{self.answer}]" if self.answer in ("Yes", "No", "NA") else self.short_answer


class ChecklistResult(Result):
    """A filled form: ``form`` and its ``title``, the ``folders`` of the runs, and the document, ``text``.

    ``notes`` are what the reader has to know of the runs, in sentences.
    """

    verb: Literal["checklist"] = "checklist"
    form: str
    title: str
    folders: list[str]
    notes: list[str]
    items: list[AnsweredItem]
    text: str

    def share_known(self, number: str) -> float:
        """The share of an item's facts of which nothing is missing."""
        facts = next(item.facts for item in self.items if item.number == number)
        return sum(fact.known for fact in facts) / len(facts)

    def tables(self) -> list[Table]:
        """The items with their status."""
        rows = [[item.number, item.title, item.status, item.answer] for item in self.items]
        return [Table(["item", "title", "status", "answer"], rows)]
