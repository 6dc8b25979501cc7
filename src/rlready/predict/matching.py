"""Which measured checkpoint each outcome is of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.predict.candidates import Candidate
from rlready.predict.outcome import Outcome
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


def other_starts(outcomes: Mapping[str, Sequence[Outcome]], candidates: Sequence[Candidate]) -> Iterator[str]:
    """A warning for each run of RL that began from other files than the measured checkpoint of its name, or from an
    adapter of another base."""
    measured = {each.name: each for each in candidates}
    for name, mine in outcomes.items():
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
            elif start and content and start.sha256 != content:
                yield (
                    f"{outcome.where}: RL began from {start.id}, whose files are not those of {name} as it was "
                    "measured: unless only its card or the optimiser's state differs, it is another model"
                )


def _match(outcome: Outcome, candidates: Sequence[Candidate]) -> str:
    names = [each.name for each in candidates]
    if outcome.checkpoint in names:
        return outcome.checkpoint
    parts, path = [part for part in outcome.checkpoint.split("/") if part], Path(outcome.checkpoint).resolve()
    fits = [name for name in names if parts and name.split("/")[-len(parts) :] == parts]
    fits = fits or [name for name in names if Path(name).resolve() == path]
    if not fits:
        there, same = _places(outcome), _contents(outcome)
        fits = [each.name for each in candidates if each.place and each.place in there]
        fits = fits or [each.name for each in candidates if each.content and each.content in same]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise UserError(f"{outcome.where}: {outcome.checkpoint!r} may be any of {len(fits)} checkpoints, as {fits[0]}")
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
