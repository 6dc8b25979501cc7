"""What ``rlready inject`` returns: how many rows were written, what was added to them and how much longer they are."""

from __future__ import annotations

from typing import Literal

from rlready.core.records import Estimate
from rlready.core.result import Record, Result
from rlready.inject.splice import Behaviour


class BehaviourCount(Record):
    """How often a behaviour was added; ``share`` is the share of rows that have it."""

    times: int
    rows: int
    share: Estimate


class InjectResult(Result):
    """Facts of the rows written; lengths are a row's thought and response, in ``unit``."""

    verb: Literal["inject"] = "inject"
    rows: str  # file of the rows, in the run folder
    source: str
    description: str
    licence: str
    rows_in: int
    rows_out: int
    unfit: dict[str, int]  # rows left as they are, counted by reason
    doubtful: list[str]  # where the text of a solution contradicts its annotation
    behaviours: dict[Behaviour, BehaviourCount]
    failed_attempts: int  # of exploration
    solved_early: int
    unit: Literal["words", "tokens"]
    length_before: Estimate
    length_after: Estimate
    length_added: Estimate
