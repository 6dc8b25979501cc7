"""Several runs side by side: what differs in their settings, and paired differences of their accuracy.

Differences are those to the best model of the first run that has measured a figure alike, on the same problems
(`accuracies.py`).  What was not measured alike is marked and not compared, and a note says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from rlready.core.cells import fixed
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import Record, Result
from rlready.core.stats import mean_estimate, paired_estimate, simultaneous
from rlready.predict.comparable import Changed, changed_content
from rlready.report.accuracies import Accuracies, Compared, measured_alike
from rlready.report.folder import read_folder
from rlready.runs.checkpoint_order import labels, listed
from rlready.runs.record import BY_HAND, RunRecord, is_edited

CONTENT, WEIGHTS = "content of ", "model "  # begin the name of what differs without a setting
SHOWN = 8  # digits of a SHA-256


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


def compared(folders: Sequence[Path]) -> tuple[ComparisonResult, list[Compared]]:
    """The comparison, and the runs.

    UserError for a run that has not finished, cannot be read, or is named twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("rlready report: a run folder is named twice; name every run once")
    names = labels(str(folder) for folder in folders)
    runs = [
        Compared(folder, names[str(folder)], read_folder(folder), RunRecord.load(folder), is_edited(folder))
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


def scored(groups: Sequence[Sequence[Accuracies]]) -> list[Scored]:
    """The accuracies of all runs, each with its paired difference to the best of the first run of its group, if that is
    another run.

    The intervals of the differences hold for all of them together.
    """
    comparisons = sum(each.run != group[0].run for group in groups for each in group)
    scores = []
    for number, group in enumerate(groups):
        base = max((each for each in group if each.run == group[0].run), key=lambda each: each.mean)
        for each in group:
            difference = None
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
            yield f"{run.name}: {BY_HAND}."
        around = [other.name for other in runs if other.path.resolve() in run.path.resolve().parents]
        if run.record.part_of and around:
            yield f"{run.name} is part of {around[0]}."
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


def _headline(runs: Sequence[Compared], settings: dict[str, list[JsonValue]], scores: Sequence[Scored]) -> str:
    """What stands out in at most 15 words: the best of a run against the best of the first."""
    compared = [s for s in scores if s.difference]
    best: dict[tuple[int, str], Scored] = {}
    for each in sorted(compared, key=lambda s: -s.accuracy.value):
        best.setdefault((each.group, each.run), each)
    apart = [s for s in best.values() if s.difference and s.difference.low * s.difference.high > 0]
    if apart:
        most = max(apart, key=lambda s: abs(s.difference.value) if s.difference else 0.0)
        assert most.difference
        side = "above" if most.difference.value > 0 else "below"
        points = f"{fixed(abs(100 * most.difference.value), 0)} points {side}"
        return f"{most.model} ({most.run}) is {points} {most.base} in {most.what}."
    if compared:
        return f"{len(runs)} runs: no difference in {compared[0].what} is significant."
    verbs = dict.fromkeys(run.record.verb for run in runs)
    if len(verbs) > 1 and not settings:
        return f"{len(runs)} runs of {listed(list(verbs))} have no figure in common."
    names = ", ".join(list(settings)[:3])
    return f"{len(runs)} runs that differ in {names}." if names else f"{len(runs)} runs with the same settings."
