"""What the outcome of an RL run is, in words: which accuracy, sampled how, and after which step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rlready.evaluate.result import EvaluateResult
from rlready.runs.record import RunRecord
from rlready.train.result import RLResult

UNSAID = "column outcome of "  # a table, which does not say what it holds
VALIDATION = "validation accuracy"


@dataclass(frozen=True)
class Meaning:
    """``what`` was measured, "" if that is not known, and the RL ``step`` of the checkpoint, if it is known.

    ``percent``: whether the number is in per cent of what its run holds, or the share itself; None if it is not known.
    """

    what: str = ""
    step: int | None = None
    percent: bool | None = None


def evaluated(folder: Path, step: int | None) -> Meaning:
    """An accuracy at the largest budget of a run of evaluate."""
    result, record = EvaluateResult.load(folder), RunRecord.load(folder)
    largest = result.budgets[-1]
    n = next(iter(largest.scores.values())).accuracy.n
    where = "without a budget" if largest.budget is None else f"at {result.limit} {largest.budget:,}"
    return Meaning(f"accuracy on {n:,} problems {where}, {_sampled(record)}", step, percent=False)


def validated(folder: Path) -> Meaning:
    """The validation accuracy of the best checkpoint of a run of RL."""
    step = RLResult.load(folder).best.step
    return Meaning(f"{VALIDATION}, {_sampled(RunRecord.load(folder))}", step, percent=False)


def of_all(meanings: Iterable[Meaning]) -> str:
    """The meanings of outcomes that are compared, with the range of their steps."""
    found = list(meanings)
    steps = sorted({each.step for each in found if each.step is not None})
    said = " or ".join(dict.fromkeys(each.what for each in found if each.what))
    if steps:
        said += f", after RL step{'s' * (len(steps) > 1)} {' to '.join(map(str, dict.fromkeys((steps[0], steps[-1]))))}"
    if kept := sum(each.step == 0 for each in found):
        said += f"; {kept} of {len(found)} RL runs raised no validation accuracy, so that their outcome is the start's"
    return said


def _sampled(record: RunRecord) -> str:
    temperature = record.config.get("temperature")
    return f"sampled at temperature {temperature:g}" if isinstance(temperature, float | int) else "sampled"
