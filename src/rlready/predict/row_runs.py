"""The run folders that a row of a table of outcomes names, and whether its outcome is what they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.result import RESULT
from rlready.evaluate.result import EvaluateResult
from rlready.predict.cells import shown
from rlready.runs.lineage import run_of
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.results import is_finished
from rlready.train.result import RLResult

VERBS = {"run": ("rl", "export"), "evaluate": ("evaluate",)}  # a run that another tool trained is an export
ROUNDED = 0.0051  # tables have shares with two digits, or whole per cent


@dataclass(frozen=True)
class RowRuns:
    """The folders of the columns ``run`` and ``evaluate``, None where a row names none or it is not there; ``gone`` is
    an evaluation that is named, but not there."""

    run: Path | None
    evaluate: Path | None
    gone: str

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(folder for folder in (self.run, self.evaluate) if folder)

    @property
    def rl(self) -> Path | None:
        """The folder of ``rlready rl``."""
        return self.run if self.run and RunRecord.load(self.run).verb == "rl" else None

    @staticmethod
    def of(row: dict[str, object], folder: Path, place: str) -> RowRuns:
        """Those of a row of a table in ``folder``; UserError for a folder of another verb, and for what is no text."""
        found: dict[str, Path | None] = {}
        gone = dict.fromkeys(VERBS, "")
        for key, verbs in VERBS.items():
            name, found[key] = row.get(key), None
            if name in (None, "") or (isinstance(name, float) and math.isnan(name)):  # of a column with gaps
                continue
            if not isinstance(name, str):
                raise UserError(f"{place}: {key} must be the path of a run folder, not {shown(name)}")
            if not (folder / name / RECORD).is_file():
                gone[key] = name
                continue
            found[key] = folder / name
            verb = RunRecord.load(folder / name).verb
            if verb not in verbs:
                raise UserError(f"{place}: {key} is {name}, a run of {verb}, not of {verbs[0]}")
        if gone["evaluate"]:
            note(
                f"predict: {place}: {gone['evaluate']} is not there, so that what was evaluated is not compared with "
                "other runs"
            )
        elif gone["run"]:
            note(f"predict: {place}: {gone['run']} is not there, so that nothing is known of that run")
        return RowRuns(found["run"], found["evaluate"], gone["evaluate"])

    def agree(self, outcome: float, place: str) -> bool:
        """Whether an outcome is what the folders hold, as a share or in per cent; False if that is not known.

        UserError for an evaluation that holds another accuracy, or has evaluated other runs only.
        """
        if self.evaluate and is_finished(self.evaluate):
            known = dict(self._evaluated(self.evaluate, place))
            if not any(_equal(outcome, accuracy) for accuracy in known.values()):
                held = ", ".join(f"{accuracy:.4g} for {model}" for model, accuracy in known.items())
                raise UserError(
                    f"{place}: the outcome is {shown(outcome)}, but {self.evaluate} has {held}: correct one of them, "
                    "or say in a column meaning what the outcome is"
                )
            return True
        if self.rl and not self.gone and (self.rl / RESULT).is_file():
            return _equal(outcome, RLResult.load(self.rl).best.accuracy.value)
        return False

    def _evaluated(self, folder: Path, place: str) -> Iterator[tuple[str, float]]:
        """The models of an evaluation, those of the row's run if it is known which they are, and their accuracies."""
        result, record = EvaluateResult.load(folder), RunRecord.load(folder)
        runs = {model: _rl(run_of(record.located(folder, model))) for model in result.models}
        own = set(RunRecord.load(self.rl).shared_with_copies) if self.rl else set()
        mine = [model for model, run in runs.items() if run and own.intersection(run.shared_with_copies)]
        if own and not mine and all(runs.values()):
            raise UserError(f"{place}: {folder} has evaluated {result.models[0]}, and nothing of {self.rl}")
        for model in mine or result.models:
            yield model, result.budgets[-1].scores[model].accuracy.value


def _rl(run: Path | None) -> RunRecord | None:
    """The record of a run of RL; None for another."""
    record = RunRecord.load(run) if run and (run / RECORD).is_file() else None
    return record if record and record.verb == "rl" else None


def _equal(outcome: float, accuracy: float) -> bool:
    return min(abs(outcome - accuracy), abs(outcome / 100 - accuracy)) <= ROUNDED
