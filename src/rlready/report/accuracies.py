"""The accuracies of runs, problem by problem, and the conditions under which they were measured.

Those of other problems, verifiers or settings of sampling cannot be compared.  Of a run of RL it is the validation
accuracy of the best checkpoint, which was chosen on the same problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.result import RESULT
from rlready.evaluate.conditions import Conditions, conditions_of, problems_of, unlike, written_by
from rlready.evaluate.result import EvaluateResult
from rlready.predict.candidates import SAME
from rlready.readiness.result import ReadinessResult
from rlready.readiness.sources import is_stored, verdict_of
from rlready.report.folder import RunFolder
from rlready.runs.checkpoint_order import labels
from rlready.runs.record import RunRecord
from rlready.tasks.trained_prompts import VALIDATION
from rlready.train.result import RLResult

VALIDATED = ("temperature", "thinking_budget", "max_answer_tokens", "answer_prefix", "num_waits", "length_prompt")
CHOSEN = "validation accuracy"  # of a checkpoint that was chosen by it
ALONE = "tables of samples, whose problems only problems= identifies"  # a condition


@dataclass(frozen=True)
class Compared:
    """A run folder with its short name and its record; ``edited``: that was changed by hand."""

    path: Path
    name: str
    folder: RunFolder
    record: RunRecord
    edited: bool


@dataclass(frozen=True)
class Accuracies:
    """Accuracy of every problem (P,) of one model of a run, and the conditions under which it was measured."""

    run: str
    verb: str
    model: str
    what: str
    conditions: Conditions
    ids: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean over problems, to digits in which equal ones agree."""
        return round(float(self.values.mean()), 12)

    def unlike(self, other: Accuracies) -> list[str]:
        """The conditions that forbid a comparison; empty for those that can be compared."""
        found = unlike(other.conditions, self.conditions)
        return found or (["problems"] if self.ids != other.ids else [])


def measured_alike(runs: Sequence[Compared]) -> list[list[Accuracies]]:
    """The accuracies of all runs in groups that can be compared, in the order of the runs."""
    groups: list[list[Accuracies]] = []
    for each in (each for run in runs for each in _checked(run)):
        group = next((group for group in groups if group[0].verb == each.verb and not each.unlike(group[0])), None)
        if group is None:
            groups.append(group := [])
        group.append(each)
    return groups


def _checked(run: Compared) -> list[Accuracies]:
    """The accuracies of a run; UserError for what is none, as in a result that was edited."""
    try:
        found = [*_accuracies(run)]
        whole = all(
            len(each.values) == len(each.ids) and ((each.values >= 0) & (each.values <= 1)).all() for each in found
        )
    except (ValueError, LookupError):
        whole = False
    if not whole:
        raise UserError(
            f"{run.path / RESULT}: per_problem is not as rlready writes it: restore it, or leave the run out"
        )
    return found


def _accuracies(run: Compared) -> Iterator[Accuracies]:
    match result := run.folder.result:
        case EvaluateResult():
            names, ids = result.short, tuple(result.problems)
            conditions = conditions_of(run.record, result)
            budget = result.budgets[-1].budget
            for model, settings in result.per_problem.items():
                what = "accuracy" if budget is None else f"accuracy at {result.limit} {budget}"
                if values := _main_setting(settings, "unconstrained" if budget is None else str(budget)):
                    yield Accuracies(run.name, result.verb, names[model], what, conditions, ids, np.array(values))
        case ReadinessResult():
            names, ids = labels(result.per_problem), tuple(result.problems)
            conditions = _conditions(run.record, result)
            for name, counts in result.per_problem.items():
                shares = counts.counts.pass_at_k([1])[:, 0]
                yield Accuracies(run.name, result.verb, names[name], "pass@1", conditions, ids, shares)
        case RLResult() if values := result.per_problem.get(result.best.step):
            best, ids = result.best.step, tuple(result.problems)
            model, conditions = f"step-{best}" if best else "start", _validated(run.record)
            yield Accuracies(run.name, result.verb, model, CHOSEN, conditions, ids, np.array(values))


def _main_setting(settings: Mapping[str, list[float]], name: str) -> list[float] | None:
    """The values of the setting that a result's budget stands for: the plain one, or with waits or a bias the first."""
    return settings.get(name) or next((v for key, v in settings.items() if re.split("[+~]", key)[0] == name), None)


def _conditions(record: RunRecord, result: ReadinessResult) -> Conditions:
    """The conditions of pass@1: the settings for models that drew samples, what tables of samples say of theirs."""
    named = record.config.get("checkpoints")
    sources = list(map(str, named)) if isinstance(named, list) else []
    tables = list(filter(is_stored, sources))  # each may stand for several checkpoints
    found = problems_of(record, "readiness") or {ALONE: problems_of(record, "samples").get("problems")}
    found |= {"correct": verdict_of(tables[0])} if tables else {}
    found |= result.conditions
    if not tables or len(tables) < len(sources):
        found |= {key: record.config.get(key) for key in SAME if key != "problems"}
        found |= written_by(record.config)
    return found


def _validated(record: RunRecord) -> Conditions:
    """The conditions of the validation accuracy of RL."""
    config = record.config
    names = [*VALIDATED, *(["wait_text"] if config.get("num_waits") else [])]
    names += ["length_targets"] if config.get("length_prompt") else []
    found = problems_of(record, VALIDATION) | written_by(config)
    return found | {name: config.get(name) for name in names}
