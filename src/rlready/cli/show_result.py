"""What ``rlready show`` prints: runs, rows before and after, dense credit, or a chat template."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import JsonValue, SerializeAsAny

from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table
from rlready.inject.diff import RowPair
from rlready.runs.record import RunRecord


class ShowResult(Result):
    """``text`` is printed before the tables."""

    verb: Literal["show"] = "show"
    text: str = ""


class RunStatus(Record):
    """One folder: its verb, status, seconds and record; ``result`` is None without a readable result.

    ``message`` is the headline of the result, or the reason why there is none.
    """

    folder: str
    verb: str
    status: str
    seconds: float | None = None
    message: str = ""
    record: RunRecord | None = None
    result: SerializeAsAny[Result] | None = None


class RunsShown(ShowResult):
    """A line for each run, then the tables of every run."""

    runs: list[RunStatus]

    def tables(self) -> list[Table]:
        lines = [
            [run.folder, run.verb, run.status, "" if run.seconds is None else f"{run.seconds:.0f}", run.message]
            for run in self.runs
        ]
        columns = ["run", "verb", "status", "seconds", "headline"]
        found = [Table(columns, lines, narrow=columns[:4])]
        for run in self.runs:
            for at, table in enumerate(run.result.tables() if run.result else []):
                title = ": ".join(filter(None, [run.folder, "" if at else run.message, table.title]))
                found.append(replace(table, title=title))
        return found

    def remarks(self) -> list[str]:
        """What is known of runs without tables; of those with a result their notes, and what to do next."""
        bare = [f"{run.folder}: {run.message}" for run in self.runs if run.message and not run.result]
        told = [(run.folder, run.result) for run in self.runs if run.result]
        notes = [f"{folder}: {note}" for folder, result in told for note in result.notes]
        return [*bare, *notes, *(f"{folder}: Next: {each.next_action}" for folder, each in told if each.next_action)]


class RowsShown(ShowResult):
    """Rows of a run of ``inject``, before and after."""

    rows: list[RowPair]

    def tables(self) -> list[Table]:
        return [row.table() for row in self.rows]


class TokenCredit(Record):
    """One response; ``dense`` is r̂ in nats of every token, ``pieces`` are their texts."""

    name: str
    prompt: str
    pieces: list[str]
    dense: list[float]
    sum: float


class PlantedErrors(Record):
    """How well r̂ finds the changed number in ``solutions`` correct solutions, and how well log π_SFT alone does
    (``_sft``).

    ``auc``: share of the other tokens with more credit; ``top``: how often none has less; ``ranked``: how often the
    correct solution has a higher sum than the changed one.
    """

    solutions: int
    auc: Estimate
    top: Estimate
    ranked: Estimate
    auc_sft: Estimate
    ranked_sft: Estimate


class CreditShown(ShowResult):
    """The dense reward of every token; ``page`` is the file of the same view as a page, if it was written."""

    responses: list[TokenCredit]
    probe: PlantedErrors | None
    page: str | None = None

    def tables(self) -> list[Table]:
        rows = []
        for r in self.responses:
            lowest = min(range(len(r.dense)), key=r.dense.__getitem__)
            cells = [r.name, f"{r.sum:+.2f}", str(len(r.pieces)), f"{r.dense[lowest]:+.2f}"]
            rows.append([*cells, repr(r.pieces[lowest])])
        found = [Table(["response", "sum of r̂ (nats)", "tokens", "lowest", "lowest at"], rows)]
        if probe := self.probe:
            lines = [
                ["other tokens with more credit (AUC)", str(probe.auc), str(probe.auc_sft)],
                ["lowest of all tokens", str(probe.top), ""],
                ["sum higher for the correct solution", str(probe.ranked), str(probe.ranked_sft)],
            ]
            columns = [f"planted error, {probe.solutions} solutions", "r̂", "log π_SFT"]
            found.append(Table(columns, lines, "Does the lowest credit fall on the changed number?"))
        return found


class TemplateExample(Record):
    """A worked row as tokens, and the text that a response is sampled after."""

    prompt: list[str]
    in_loss: list[str]
    sampled_after: str


class TemplateShown(ShowResult):
    """How a checkpoint's chat template is interpreted; ``template`` has the keys of `ChatFormat.describe`."""

    checkpoint: str
    template: dict[str, JsonValue]
    example: TemplateExample

    def tables(self) -> list[Table]:
        return [Table(["what", "found"], [[k.replace("_", " "), _plain(v)] for k, v in self.template.items()])]


def _plain(value: JsonValue) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return " … ".join(map(repr, value)) if isinstance(value, list) else str(value)
