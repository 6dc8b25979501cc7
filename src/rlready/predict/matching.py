"""Which measured checkpoint each outcome is of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.predict.candidates import Candidate
from rlready.predict.meaning import UNSAID
from rlready.predict.outcome import Outcome
from rlready.runs.content import same_content
from rlready.runs.record import RunRecord
from rlready.runs.recorder import BASE


def match_outcomes(outcomes: Sequence[Outcome], candidates: Sequence[Candidate]) -> dict[str, list[Outcome]]:
    """Outcomes by the full name of their checkpoint; a recipe that one of them names is that of all.

    UserError for an outcome without readiness, for a duplicate, and for a checkpoint of two recipes or SFT seeds.
    """
    found: dict[str, list[Outcome]] = {}
    seen: dict[tuple[str, str, str], str] = {}
    recipes: dict[str, Outcome] = {}
    for outcome in outcomes:
        name = _match(outcome, candidates)
        key = (name, outcome.family, outcome.seed)
        if key in seen:
            what = f"{outcome.checkpoint}, seed {outcome.seed}" if outcome.seed else outcome.checkpoint
            raise UserError(f"{outcome.where}: an outcome of {what} is given twice, before in {seen[key]}")
        seen[key] = outcome.where
        _refuse_other_start(outcome, name, candidates)
        _refuse_unlike_outcome(outcome, found.get(name, []))
        found.setdefault(name, []).append(outcome)
        first = recipes.setdefault(name, outcome) if outcome.recipe else outcome
        if first.recipe != outcome.recipe:
            raise UserError(
                f"{outcome.where}: {outcome.checkpoint} is of the SFT recipe {outcome.recipe!r}, but in {first.where} "
                f"of {first.recipe!r}; a checkpoint has one, so correct one of them"
            )
    for some in found.values():
        first = next((outcome for outcome in some if outcome.sft_seed), some[0])
        for outcome in some:
            if outcome.sft_seed not in ("", first.sft_seed):
                raise UserError(
                    f"{outcome.where}: {outcome.checkpoint} has the SFT seed {outcome.sft_seed!r}, but in "
                    f"{first.where} {first.sft_seed!r}; a checkpoint has one, so correct one of them"
                )
    return {
        name: [replace(each, recipe=recipes[name].recipe) for each in some] if name in recipes else some
        for name, some in found.items()
    }


def _refuse_unlike_outcome(outcome: Outcome, others: Sequence[Outcome]) -> None:
    """UserError for an outcome that is another thing than one of the same checkpoint and family: their mean would be
    taken, as of seeds."""
    for other in (each for each in others if each.family == outcome.family):
        one, two = (UNSAID if each.meaning.what.startswith(UNSAID) else each.meaning.what for each in (other, outcome))
        if one != two:
            raise UserError(
                f"{outcome.where}: the outcome of {outcome.checkpoint} is {outcome.meaning.what}, but in {other.where} "
                f"{other.meaning.what}: their mean would be of unlike things; leave one out, give each a "
                "family, or say in a column meaning what they are"
            )


def _refuse_other_start(outcome: Outcome, name: str, candidates: Sequence[Candidate]) -> None:
    """UserError for an outcome whose evaluation is that of another checkpoint that was measured, before RL."""
    of = [each.name for each in candidates if each.content and each.content == outcome.evaluated]
    if of and name not in of:
        raise UserError(
            f"{outcome.where}: {outcome.runs[-1]} has evaluated {of[0]} as it was before RL, and not what RL made of "
            f"{name}: name the evaluation of that"
        )


def unevaluated(outcomes: Sequence[Outcome], candidates: Sequence[Candidate]) -> dict[str, Outcome]:
    """Outcomes that are not compared, because those of others were evaluated, by the full name of their checkpoint;
    without those whose checkpoint is not known."""
    found: dict[str, Outcome] = {}
    for outcome in outcomes:
        with suppress(UserError):
            found.setdefault(_match(outcome, candidates), outcome)
    return found


def other_starts(outcomes: Mapping[str, Sequence[Outcome]], candidates: Sequence[Candidate]) -> Iterator[str]:
    """A warning for each run of RL that began from other files than the measured checkpoint of its name, or from an
    adapter of another base, and for each outcome that is the accuracy of its start."""
    measured = {each.name: each for each in candidates}
    for name, mine in outcomes.items():
        for outcome in (each for each in mine if each.evaluated and each.evaluated == measured[name].content):
            yield (
                f"{outcome.where}: {outcome.runs[-1]} has evaluated {name} as it was before RL: if RL has not kept it, "
                "name the evaluation of what RL made of it"
            )
        for outcome, run in ((each, run) for each in mine for run in each.runs):
            models = RunRecord.load(run).models
            start = next((each for each in models if each.role == "start" and each.sha256), None)
            base = next((each for each in models if each.role == BASE and each.sha256), None)
            content, bases = measured[name].content, measured[name].bases
            if start and base and bases and base.sha256 not in bases:
                yield (
                    f"{outcome.where}: RL began from {start.id} with the base {base.id}, whose files are not those of "
                    f"the base with which {name} was measured: it is another model"
                )
            elif start and content and not same_content(Path(measured[name].place), (start.sha256, content)):
                yield (
                    f"{outcome.where}: RL began from {start.id}, whose files are not those of {name} as it was "
                    "measured: it is another model"
                )


def _match(outcome: Outcome, candidates: Sequence[Candidate]) -> str:
    """The checkpoint that an outcome is of: by what its run has read if one alone has that content, else by its name,
    by its place, and by content again, as one of several copies."""
    names, same = [each.name for each in candidates], _contents(outcome)
    equal = [each.name for each in candidates if each.content and each.content in same]
    if len(equal) == 1:
        return equal[0]
    if outcome.checkpoint in names:
        return outcome.checkpoint
    parts, path = [part for part in outcome.checkpoint.split("/") if part], Path(outcome.checkpoint).resolve()
    fits = [name for name in names if parts and name.split("/")[-len(parts) :] == parts]
    fits = fits or [name for name in names if Path(name).resolve() == path]
    if len(fits) != 1:
        there = _places(outcome)
        placed = [each.name for each in candidates if each.place and each.place in there]
        fits = placed or fits or equal
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UserError(
            f"{outcome.where}: {outcome.checkpoint!r} may be any of {len(fits)} checkpoints, as {fits[0]}: name "
            "the one that is meant in a table of outcomes, with the columns checkpoint and run"
        )
    raise UserError(
        f"{outcome.where}: an outcome of {outcome.checkpoint!r}, whose readiness was not measured; "
        + nearest(outcome.checkpoint, names)
    )


def _contents(outcome: Outcome) -> set[str | None]:
    """The SHA-256 of what the runs of an outcome started from under its name: it may be a copy of what was measured."""
    models = (each for run in outcome.runs for each in RunRecord.load(run).models if each.role == "start")
    return {each.sha256 for each in models if each.id == outcome.checkpoint}


def _places(outcome: Outcome) -> set[str]:
    """Where the checkpoint may be that the runs of an outcome name, from the directories in which they were started."""
    return {os.path.realpath(RunRecord.load(run).located(run, outcome.checkpoint)) for run in outcome.runs}
