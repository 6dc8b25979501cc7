"""What ``rlready inject`` returns: how many rows were written, what was added to them and how much longer they are."""

from __future__ import annotations

from typing import Literal

from rlready.core.cells import decimal, percent
from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table
from rlready.inject.splice import Behaviour

NAMES: dict[Behaviour, str] = {"explore": "exploration", "analyse": "analysis", "compute": "sub-goal computation"}


class BehaviourCount(Record):
    """How often a behaviour was added; ``share`` is the share of rows that have it."""

    times: int
    rows: int
    share: Estimate


class InjectResult(Result):
    """The rows written; lengths are those of a row's thought and response, in ``unit``."""

    verb: Literal["inject"] = "inject"
    rows: str  # file of the rows, in the run folder
    source: str
    description: str
    licence: str | None
    rows_in: int
    rows_out: int
    unfit: dict[str, int]  # rows left out, counted by reason
    doubtful: list[str]  # rows left out whose text contradicts an annotation: file, line and step
    behaviours: dict[Behaviour, BehaviourCount]
    failed_attempts: int  # of exploration
    solved_early: int
    unit: Literal["words", "tokens"]
    length_before: Estimate
    length_after: Estimate
    length_added: Estimate

    def tables(self) -> list[Table]:
        """How often each behaviour was added, the mean length of a row before and after, and the rows left out."""
        rows = [[NAMES[b], str(n.times), str(n.rows), percent(n.share)] for b, n in self.behaviours.items()]
        if "explore" in self.behaviours:
            rows.append(["  failed attempts", str(self.failed_attempts), "", ""])
            rows.append(["  solved early", str(self.solved_early), "", ""])
        for when, length in (("before", self.length_before), ("after", self.length_after)):
            rows.append([f"{self.unit} per row, {when}", decimal(length, 1), "", ""])
        left_out = [[reason, str(count)] for reason, count in self.unfit.items()]
        tables = [Table(["added", "times", "rows with it", "share of rows (%)"], rows)]
        return [*tables, Table(["rows left out because", "rows"], left_out)] if left_out else tables
