"""The run folders that a row of a table of outcomes names, and whether its outcome is what they hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.result import RESULT
from rlready.evaluate.result import EvaluateResult
from rlready.predict.cells import shown
from rlready.predict.meaning import Meaning, evaluated, validated
from rlready.runs.checkpoint_order import step_of
from rlready.runs.checksums import has_listed
from rlready.runs.lineage import run_of
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.results import is_finished, refuse_damaged
from rlready.train.result import RLResult

VERBS = {"run": ("rl", "export"), "evaluate": ("evaluate",)}  # a run that another tool trained is an export
ROUNDED = 0.0051  # tables have shares with two digits, or whole per cent


@dataclass(frozen=True)
class Tried:
    """A model of an evaluation: its SHA-256 and accuracy, and the run of RL that it is of with the step, None if not
    known."""

    model: str
    sha256: str | None
    accuracy: float
    run: Path | None
    step: int | None


@dataclass(frozen=True)
class Held:
    """What the folders of a row show of its outcome: what it is, the run of RL that it is of, and, if that is not
    known, the model that was ``evaluated``; None and "" for what they do not show."""

    meaning: Meaning | None = None
    run: Path | None = None
    evaluated: str = ""


@dataclass(frozen=True)
class RowRuns:
    """The folders of the columns ``run`` and ``evaluate``, None where a row names none or it is not there; ``gone``
    names what is not."""

    run: Path | None
    evaluate: Path | None
    gone: frozenset[str] = frozenset()

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(folder for folder in (self.run, self.evaluate) if folder)

    @property
    def rl(self) -> Path | None:
        """The folder of ``rlready rl``."""
        return self.run if self.run and RunRecord.load(self.run).verb == "rl" else None

    @staticmethod
    def of(row: dict[str, object], folder: Path, place: str) -> RowRuns:
        """Those of a row of a table in ``folder``; UserError for a folder of another verb, for a damaged result, and
        for what is no text."""
        found: dict[str, Path | None] = {}
        gone = set[str]()
        for key, verbs in VERBS.items():
            name, found[key] = row.get(key), None
            if name in (None, "") or (isinstance(name, float) and math.isnan(name)):  # of a column with gaps
                continue
            if not isinstance(name, str):
                raise UserError(f"{place}: {key} must be the path of a run folder, not {shown(name)}")
            if not (folder / name / RECORD).is_file():
                known = "what was evaluated is not compared with other runs" if key == "evaluate" else "nothing is read"
                note(f"predict: {place}: {name} is not there, so that {known}")
                gone.add(key)
                continue
            found[key] = folder / name
            verb = RunRecord.load(folder / name).verb
            if verb not in verbs:
                raise UserError(f"{place}: {key} is {name}, a run of {verb}, not of {verbs[0]}")
            if (folder / name / RESULT).is_file():
                refuse_damaged(folder / name, folder / name / RESULT)
        return RowRuns(found["run"], found["evaluate"], frozenset(gone))

    def held(self, outcome: float, place: str) -> Held:
        """What the folders show of an outcome, which is a share or in per cent.

        UserError for an evaluation that has another accuracy, or that of a model which no run of RL has made.
        """
        if self.evaluate and is_finished(self.evaluate):
            return self._evaluated(self.evaluate, outcome, place)
        if "evaluate" in self.gone or not self.rl or not (self.rl / RESULT).is_file():
            return Held(run=self.rl)
        best = RLResult.load(self.rl).best.accuracy.value
        own = replace(validated(self.rl), percent=_percent(outcome, best)) if _equal(outcome, best) else None
        return Held(own, self.rl)

    def _evaluated(self, folder: Path, outcome: float, place: str) -> Held:
        tried = [*self._tried(folder)]
        mine = [each for each in tried if each.run and (not self.rl or each.run == self.rl)]
        if self.rl and not mine:
            if all(each.run for each in tried):
                raise UserError(f"{place}: {folder} has evaluated {tried[0].model}, and nothing of {self.rl}")
            return Held(run=self.rl)  # nothing shows whose numbers they are
        same = [each for each in mine or tried if _equal(outcome, each.accuracy)]
        if not same:
            result = EvaluateResult.load(folder)
            at = "" if len(result.budgets) == 1 else f" at {result.limit} {result.budgets[-1].budget}"
            known = ", ".join(f"{each.accuracy:.4g} for {each.model}" for each in mine or tried)
            raise UserError(
                f"{place}: the outcome is {shown(outcome)}, but {folder} has {known}{at}: correct one of them, or say "
                "in a column meaning what the outcome is"
            )
        if len({each.run for each in same}) > 1:
            return Held()  # of several runs of RL
        first, models = same[0], {each.sha256 or each.model for each in same}
        meaning = replace(evaluated(folder, first.step), percent=_percent(outcome, first.accuracy))
        return Held(meaning, first.run, "" if first.run or len(models) > 1 else models.pop())

    def _tried(self, folder: Path) -> Iterator[Tried]:
        """The models of an evaluation.  The run of RL of one is that in whose folder it is, or the row's own if that
        has kept its start, or saved it, by content."""
        result, record = EvaluateResult.load(folder), RunRecord.load(folder)
        for model in result.models:
            accuracy = result.budgets[-1].scores[model].accuracy.value
            digest = next((each.sha256 for each in record.models if each.id == model), None)
            run, step = run_of(record.located(folder, model)), step_of(model)
            if self.rl and _same(run, self.rl):
                run = self.rl
            elif self.rl and _has_kept(self.rl, digest):
                run, step = self.rl, 0
            elif self.rl and (saved := _saved(self.rl, digest)):
                run, step = self.rl, step_of(saved.name)
            elif run and not ((run / RECORD).is_file() and RunRecord.load(run).verb == "rl"):
                run = None
            yield Tried(model, digest, accuracy, run, step if run else None)


def _same(run: Path | None, rl: Path) -> bool:
    """Whether a run is that of RL, or a copy of it."""
    if run is None or not (run / RECORD).is_file():
        return False
    own = RunRecord.load(rl).shared_with_copies
    return run.resolve() == rl.resolve() or bool({*own}.intersection(RunRecord.load(run).shared_with_copies))


def _saved(rl: Path, digest: str | None) -> Path | None:
    """The checkpoint of a run of RL that has the content of a digest."""
    return next((each for each in sorted((rl / "checkpoints").glob("step-*")) if has_listed(each, digest)), None)


def _has_kept(rl: Path, digest: str | None) -> bool:
    """Whether a run of RL has found nothing better than its start, which is what the digest is of."""
    starts = {each.sha256 for each in RunRecord.load(rl).models if each.role == "start" and each.sha256}
    return digest in starts and (rl / RESULT).is_file() and RLResult.load(rl).best.step == 0


def _equal(outcome: float, accuracy: float) -> bool:
    return _is_share(outcome, accuracy) or _is_percent(outcome, accuracy)


def _percent(outcome: float, accuracy: float) -> bool | None:
    """Whether an outcome is the accuracy in per cent, not the share; None where it may be either, as 0 may."""
    share, percent = _is_share(outcome, accuracy), _is_percent(outcome, accuracy)
    return None if share and percent else percent


def _is_share(outcome: float, accuracy: float) -> bool:
    return abs(outcome - accuracy) <= ROUNDED


def _is_percent(outcome: float, accuracy: float) -> bool:
    """Up to 1 an outcome is a share, unless it is the accuracy in per cent to one digit."""
    return abs(outcome / 100 - accuracy) <= (ROUNDED if outcome > 1 else 5e-4)
