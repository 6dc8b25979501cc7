"""Several runs side by side: what differs in their settings, and paired differences of their accuracy.

Differences are those to the first run that has measured a figure alike, on the same problems.  What was not measured
alike (other problems, verifier or settings of sampling) is marked and not compared, and a note says why.  Of a run of
RL it is the validation accuracy of the best checkpoint, which was chosen on the same problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from rlready.core.cells import fixed
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import Record, Result
from rlready.core.stats import mean_estimate, paired_estimate, simultaneous
from rlready.evaluate.conditions import Conditions, conditions_of, problems_of, unlike, written_by
from rlready.evaluate.result import EvaluateResult
from rlready.predict.candidates import SAME
from rlready.predict.comparable import Changed, changed_content
from rlready.readiness.result import ReadinessResult
from rlready.readiness.sources import is_stored, verdict_of
from rlready.report.folder import RunFolder, read_folder
from rlready.runs.checkpoint_order import labels, listed
from rlready.runs.record import RECORD, RunRecord, is_edited
from rlready.tasks.trained_prompts import VALIDATION
from rlready.train.result import RLResult

CONTENT, WEIGHTS = "content of ", "model "  # begin the name of what differs without a setting
SHOWN = 8  # digits of a SHA-256
VALIDATED = ("temperature", "thinking_budget", "max_answer_tokens", "answer_prefix", "num_waits", "length_prompt")
CHOSEN = "validation accuracy"  # of a checkpoint that was chosen by it
ALONE = "tables of samples, whose problems only problems= identifies"  # a condition


class Scored(Record):
    """The accuracy of a model or checkpoint of a run, and its difference to that of ``base`` in an earlier run.

    ``group`` counts from 0: figures of one group were measured alike.  None and "" if it is comparable with none.
    """

    run: str
    model: str
    what: str  # such as "accuracy at budget 64"
    group: int
    accuracy: Estimate
    difference: Estimate | None
    base: str


class ComparisonResult(Result):
    """Runs side by side: settings that are not the same in all of them, by run, and the scores of each."""

    verb: Literal["report"] = "report"
    runs: list[str]
    settings: dict[str, list[JsonValue]]
    scores: list[Scored]


@dataclass(frozen=True)
class Compared:
    """A run folder with its short name and its record; ``edited``: that was changed by hand."""

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

    def unlike(self, other: Accuracies) -> list[str]:
        """The conditions that forbid a comparison; empty for those that can be compared."""
        found = unlike(other.conditions, self.conditions)
        return found or (["problems"] if self.ids != other.ids else [])


def compared(folders: Sequence[Path]) -> tuple[ComparisonResult, list[Compared]]:
    """The comparison, and the runs.

    UserError for a run that has not finished, cannot be read, or is named twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("rlready report: a run folder is named twice; name every run once")
    names = labels(str(folder) for folder in folders)
    runs = [
        Compared(names[str(folder)], read_folder(folder), RunRecord.load(folder), is_edited(folder))
        for folder in folders
    ]
    changed = changed_content(folders, by_name=True)
    settings = differing(runs) | _contents(changed, folders)
    groups = measured_alike(runs)
    scores = scored(groups)
    result = ComparisonResult(
        headline=_headline(runs, settings, scores),
        notes=[*_copies(runs), *_changed(changed, names), *_not_alike(groups)],
        runs=[run.name for run in runs],
        settings=settings,
        scores=scores,
    )
    return result, runs


def differing(runs: Sequence[Compared]) -> dict[str, list[JsonValue]]:
    """The settings that are not the same in all runs of a verb, with the value in each run; None for other verbs.

    The revision of the code counts as a setting.
    """
    held = [run.record.config | {"code": str(run.record.revision or run.record.software.version)} for run in runs]
    verbs = [run.record.verb for run in runs]
    first = dict(zip(reversed(verbs), reversed(held), strict=True))
    keys = {
        key: None
        for verb, config in zip(verbs, held, strict=True)
        for key in config
        if config[key] != first[verb].get(key)
    }
    return {key: [config.get(key) for config in held] for key in keys}


def measured_alike(runs: Sequence[Compared]) -> list[list[Accuracies]]:
    """The accuracies of all runs in groups that can be compared, in the order of the runs."""
    groups: list[list[Accuracies]] = []
    for each in (each for run in runs for each in _accuracies(run)):
        group = next((group for group in groups if group[0].verb == each.verb and not each.unlike(group[0])), None)
        if group is None:
            groups.append(group := [])
        group.append(each)
    return groups


def scored(groups: Sequence[Sequence[Accuracies]]) -> list[Scored]:
    """The accuracies of all runs, each with its paired difference to the first of its group if that is another run's.

    The intervals of the differences hold for all of them together.
    """
    comparisons = sum(each.run != group[0].run for group in groups for each in group)
    scores = []
    for number, group in enumerate(groups):
        for each in group:
            base, difference = group[0], None
            if each.run != base.run:
                paired = paired_estimate(each.values, base.values, bounds=(0.0, 1.0))
                difference = simultaneous(paired, comparisons, 1.0)
            scores.append(
                Scored(
                    run=each.run,
                    model=each.model,
                    what=each.what,
                    group=number,
                    accuracy=mean_estimate(each.values, bounds=(0.0, 1.0)),
                    difference=difference,
                    base=f"{base.model} ({base.run})" if difference else "",
                )
            )
    return scores


def _copies(runs: Sequence[Compared]) -> Iterator[str]:
    """That a folder is a copy of another, whose figures differ from it in nothing, or its record was edited by hand."""
    first: dict[str, str] = {}
    for run in runs:
        if run.edited:
            yield f"{run.name}: its {RECORD} was edited by hand, as its checksum says."
        known = [first.setdefault(attempt, run.name) for attempt in run.record.shared_with_copies]
        if other := next((name for name in known if name != run.name), ""):
            yield f"{run.name} is a copy of {other}: leave one of them out."


def _contents(changed: Sequence[Changed], folders: Sequence[Path]) -> dict[str, list[JsonValue]]:
    """The beginning of each digest by run, as of a setting; data and code apart from models."""
    return {
        f"{WEIGHTS if each.model else CONTENT}{each.id}": [each.digests.get(at, "")[:SHOWN] or None for at in folders]
        for each in changed
    }


def _changed(changed: Sequence[Changed], names: Mapping[str, str]) -> Iterator[str]:
    """That runs have read different content under one name."""
    for each in changed:
        runs = listed([names[str(folder)] for folder in each.digests])
        yield f"{each.id} had different content when {runs} read it."


def _not_alike(groups: Sequence[Sequence[Accuracies]]) -> Iterator[str]:
    """Why groups are not compared with the first of their verb."""
    first: dict[str, Accuracies] = {}
    for group in groups:
        base = first.setdefault(group[0].verb, group[0])
        if reasons := group[0].unlike(base):
            names = " and ".join(dict.fromkeys(each.run for each in group))
            yield f"{names}: not compared with {base.run}, as they differ in {'; in '.join(reasons)}."


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


def _headline(runs: Sequence[Compared], settings: dict[str, list[JsonValue]], scores: Sequence[Scored]) -> str:
    """What stands out in at most 15 words."""
    apart = [s for s in scores if s.difference and s.difference.low * s.difference.high > 0]
    compared = [s for s in scores if s.difference]
    if apart:
        most = max(apart, key=lambda s: abs(s.difference.value) if s.difference else 0.0)
        assert most.difference
        side = "above" if most.difference.value > 0 else "below"
        points = f"{fixed(abs(100 * most.difference.value), 0)} points {side}"
        return f"{most.model} ({most.run}) is {points} {most.base} in {most.what}."
    if compared:
        return f"{len(runs)} runs: no difference in {compared[0].what} is significant."
    names = ", ".join(list(settings)[:3])
    return f"{len(runs)} runs that differ in {names}." if names else f"{len(runs)} runs with the same settings."
