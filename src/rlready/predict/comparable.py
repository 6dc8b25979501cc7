"""Which outcomes may be compared: of runs that have read the same content, evaluated alike, in one unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.core.errors import UserError
from rlready.evaluate.conditions import Conditions, conditions_of, unlike
from rlready.evaluate.result import EvaluateResult
from rlready.predict.meaning import UNSAID
from rlready.predict.outcome import Outcome
from rlready.predict.outcome_table import OWN, TAKEN
from rlready.runs.content import content_digest, same_content
from rlready.runs.record import RunRecord

UNEQUAL = 1.25  # ratio of numbers of values whose best ones are compared
APART = 10  # times 1: smaller outcomes beside 1 may be counts


@dataclass(frozen=True)
class Changed:
    """A name under which runs have read different content, of a model or of data: its SHA-256, by run folder."""

    id: str
    model: bool
    digests: dict[Path, str]


def changed_content(folders: Iterable[Path], *, by_name: bool = False) -> list[Changed]:
    """The models, data of one role, and code, that have changed between two runs without another name.

    ``by_name``: also models of one name in two places, as two projects call theirs alike.
    """
    found: dict[tuple[str, ...], Changed] = {}
    for folder in dict.fromkeys(folders):
        record = RunRecord.load(folder)
        local = [(record.located(folder, each.path).resolve(), each) for each in record.models if each.path]
        noted = [(("place", str(place)), each) for place, each in local]
        noted += [(("name", each.id), each) for _, each in local if by_name]
        for key, each in [*noted, *(((record.verb, each.role, each.id), each) for each in record.data)]:
            if each.sha256:
                found.setdefault(key, Changed(each.id, key[0] in ("place", "name"), {})).digests[folder] = each.sha256
    changed = [(key, each) for key, each in found.items() if len({*each.digests.values()}) > 1]
    kept = [each for key, each in changed if not _is_there(key, each)]
    return list({(each.id, *each.digests): each for each in kept}.values())


def _is_there(key: tuple[str, ...], found: Changed) -> bool:
    """Whether all digests are of the model that is there now, as two versions of rlready have recorded it."""
    return key[0] == "place" and same_content(Path(key[-1]), found.digests.values())


def refuse_unlike_content(folders: Iterable[Path]) -> None:
    """UserError for `changed_content`."""
    for changed in changed_content(folders):
        (there, first), *others = changed.digests.items()
        here = next(folder for folder, digest in others if digest != first)
        raise UserError(
            f"{there} and {here} have read different content under one name, {changed.id}, which was changed between "
            "them, or recorded with its card by an earlier version: run one of them again, or leave it out"
        )


def refuse_unlike_conditions(folders: Iterable[Path]) -> None:
    """UserError for two evaluations whose accuracies are not comparable; run folders of other verbs are left out."""
    first: tuple[Path, EvaluateResult, Conditions] | None = None
    for folder in dict.fromkeys(folders):
        record = RunRecord.load(folder)
        if record.verb != "evaluate":
            continue
        result = EvaluateResult.load(folder)
        here = conditions_of(record, result)
        there, other, before = first = first or (folder, result, here)
        differing = unlike(before, here) or (["problems"] if other.problems != result.problems else [])
        if differing:
            raise UserError(
                f"{there} and {folder} evaluated with different {differing[0]}; evaluate all checkpoints alike, or "
                "name folders that agree"
            )


def refuse_two_units(outcomes: Iterable[Outcome]) -> None:
    """UserError for an outcome in per cent of what its run holds beside the share that another's holds."""
    units: dict[tuple[str, bool], Outcome] = {}
    for outcome in outcomes:
        if outcome.meaning.percent is not None:
            units.setdefault((outcome.family, outcome.meaning.percent), outcome)
    for (family, percent), outcome in units.items():
        share = units.get((family, False))
        if percent and share:
            raise UserError(
                f"{outcome.where}: the outcome, {outcome.value:g}, is in per cent, as its run shows, and that of "
                f"{share.where}, {share.value:g}, is a share: write all outcomes in one unit"
            )


def doubts(
    outcomes: Sequence[Outcome], by_checkpoint: Mapping[str, Sequence[Outcome]], runs: Mapping[str, str | None]
) -> Iterator[str]:
    """Warnings for what may forbid a comparison, but is not known to; ``runs`` are the SFT runs of the checkpoints."""
    yield from _mixed_units(outcomes)
    yield from _mixed_meanings(outcomes)
    yield from _unequal_ends(outcomes)
    yield from _copied_curves(outcomes)
    yield from _doubtful_labels(by_checkpoint)
    yield from _divided_runs(by_checkpoint, runs)
    yield from _unequal_seeds(by_checkpoint)
    yield from _doubtful_predictors(by_checkpoint)


def _mixed_units(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A warning for each family whose outcomes look like fractions and per cent together.

    A value of exactly 1 is taken for a fraction only if it lies apart: without 0, and far below all others.
    """
    families: dict[str, list[float]] = {}
    for outcome in outcomes:
        families.setdefault(outcome.family, []).append(outcome.value)
    for family, values in families.items():
        fractions, others = [v for v in values if 0 < v <= 1], [v for v in values if v > 1]
        apart = min(fractions, default=1.0) < 1 or (0 not in values and min(others, default=0.0) >= APART)
        if fractions and others and apart and min(values) >= 0 and max(values) <= 100:
            some = "1 outcome" if len(fractions) == 1 else f"{len(fractions)} outcomes"
            are = "is" if len(fractions) == 1 else "are"
            yield (
                f"{some}{f' of {family}' if family else ''} {are} between 0 and 1 and {len(others)} above 1, up "
                f"to {max(values):g}: if some are fractions and some per cent, they cannot be compared"
            )


def _doubtful_predictors(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterable[str]:
    """Warnings for the user's own predictors: several values of one checkpoint, and values that look like fractions
    and per cent together.

    ``outcomes`` are those of every checkpoint, in one family or several.  Values above 1 are per cent only if they lie
    apart from those up to 1, as an unbounded predictor may have values on both sides of 1.
    """
    found: dict[tuple[str, str], dict[str, dict[float, Outcome]]] = {}
    for name, mine in outcomes.items():
        for outcome in mine:
            for predictor, value in outcome.predictors.items():
                if not TAKEN.fullmatch(predictor):  # those of rlready come from the beginning of every run of RL
                    of_all = found.setdefault((outcome.family, predictor), {})
                    of_all.setdefault(name, {}).setdefault(value, outcome)
    for (family, predictor), checkpoints in found.items():
        said = f"{OWN}{predictor}{f' of {family}' if family else ''}"
        if several := [(name, values) for name, values in checkpoints.items() if len(values) > 1]:
            name, values = several[0]
            (one, first), (two, second) = list(values.items())[:2]
            yield (
                f"{said} has several values for {len(several)} of {len(checkpoints)} checkpoints, whose mean is used: "
                f"{name} has {one:g} in {first.where} and {two:g} in {second.where}. If it is known before RL, a "
                "checkpoint has one value: correct the table"
            )
        numbers = [value for values in checkpoints.values() for value in values]
        fractions, others = [v for v in numbers if 0 < v <= 1], [v for v in numbers if v > 1]
        if fractions and others and min(numbers) >= 0 and APART * max(fractions) <= min(others) <= max(others) <= 100:
            yield (
                f"{said} has {len(fractions)} values between 0 and 1 and {len(others)} above 1, up "
                f"to {max(others):g}: if some are fractions and some per cent, they cannot be compared"
            )


def _mixed_meanings(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A warning for each family whose outcomes are said to be different things, or are said of some only."""
    families: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        if outcome.meaning.what:
            families.setdefault(outcome.family, {})[outcome.meaning.what] = None
    for family, meanings in families.items():
        if len(meanings) > 1 and not all(each.startswith(UNSAID) for each in meanings):
            yield (
                f"the outcomes{f' of {family}' if family else ''} are different things ({'; '.join(meanings)}), which "
                "are compared as if they were one: measure all alike, or give each a family"
            )


def _doubtful_labels(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """A warning for recipes or families whose names differ in upper and lower case alone, and for a checkpoint of which
    some outcomes of a family have a seed and others none.

    ``outcomes`` are those of every checkpoint.
    """
    alike: dict[tuple[str, str], dict[str, Outcome]] = {}
    for mine in outcomes.values():
        for outcome in mine:
            for key, label in (("recipe", outcome.recipe), ("family", outcome.family)):
                alike.setdefault((key, label.casefold()), {}).setdefault(label, outcome)
    for (key, _), labels in alike.items():
        if len(labels) > 1:
            (one, first), (two, second) = list(labels.items())[:2]
            yield (
                f"the {key} is {one} in {first.where} and {two} in {second.where}, which count as two: if they are "
                "one, write them alike"
            )
    for name, mine in outcomes.items():
        unseeded = {outcome.family: outcome for outcome in mine if not outcome.seed}
        if seeded := [each for each in mine if each.seed and each.family in unseeded]:
            yield (
                f"{name} has an outcome with the seed {seeded[0].seed} in {seeded[0].where} and one without in "
                f"{unseeded[seeded[0].family].where}, which count as two runs: if they are one, remove one of them"
            )


def _divided_runs(outcomes: Mapping[str, Sequence[Outcome]], runs: Mapping[str, str | None]) -> Iterator[str]:
    """A warning for each SFT run whose checkpoints are said to be of several recipes."""
    recipes: dict[str, dict[str, str]] = {}
    for name, mine in outcomes.items():
        if (run := runs.get(name)) and mine[0].recipe:
            recipes.setdefault(run, {}).setdefault(mine[0].recipe, name)
    for found in recipes.values():
        if len(found) > 1:
            (one, first), (two, second) = list(found.items())[:2]
            yield (
                f"{first} and {second} are of one SFT run, and not independent, but have the recipes {one} and {two}, "
                "which count as independent: give them one recipe, or leave the column out"
            )


def _unequal_seeds(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """A warning for each family in which checkpoints have outcomes of other RL seeds, whose means are compared."""
    seeds: dict[str, dict[tuple[str, ...], str]] = {}
    for name, mine in outcomes.items():
        for family in dict.fromkeys(outcome.family for outcome in mine):
            of = tuple(sorted(outcome.seed for outcome in mine if outcome.family == family))
            seeds.setdefault(family, {}).setdefault(of, name)
    for family, found in seeds.items():
        if len(found) > 1 and any(map(any, found)):
            (one, first), (two, second) = list(found.items())[:2]
            yield (
                f"the outcomes{f' of {family}' if family else ''} are of unlike RL seeds: {first} has {_seeds(one)}, "
                f"{second} {_seeds(two)}; a mean over some seeds is compared with one over others"
            )


def _seeds(some: Sequence[str]) -> str:
    """The seeds in words."""
    return f"seed{'s' * (len(some) > 1)} {', '.join(seed or 'none' for seed in some)}" if any(some) else "no seed"


def _copied_curves(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """A warning for each checkpoint whose learning curve is that of another one, in a copy."""
    first: dict[tuple[str, ...], Outcome] = {}
    for outcome in outcomes:
        digests = tuple(content_digest(file) for file in outcome.curve_files)
        before = first.setdefault((outcome.family, outcome.curve_metric, *digests), outcome) if digests else outcome
        if before.checkpoint != outcome.checkpoint:
            yield (
                f"{outcome.checkpoint} ({outcome.where}) has the learning curve of {before.checkpoint} "
                f"({before.where}), to the byte: if it was copied by mistake, name that of its own run"
            )


def _unequal_ends(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Warnings for each family whose learning curves end at unequal steps, or before their runs were to end, or whose
    outcomes are the best of unequal numbers of values."""
    families: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.last_step is not None:
            families.setdefault(outcome.family, []).append(outcome)
    for family, mine in families.items():
        steps = [each.last_step or 0 for each in mine]
        if min(steps) < max(steps):
            shortest = mine[steps.index(min(steps))]
            yield (
                f"learning curves{f' of {family}' if family else ''} end at steps {min(steps):g} to {max(steps):g}, "
                f"that of {shortest.checkpoint} first ({shortest.where}): outcomes after unequal training are no fair "
                "comparison; leave out runs that have not ended"
            )
        elif stopped := [each for each in mine if each.planned_steps]:
            one = stopped[0]
            yield (
                f"{len(stopped)} of {len(mine)} learning curves{f' of {family}' if family else ''} end before their "
                f"runs were to end: that of {one.checkpoint} at step {one.last_step:g} of {one.planned_steps:g} "
                f"({one.where}); if these runs go on, the outcomes will change"
            )
        counts = [each.best_of for each in mine if each.best_of]
        if counts and max(counts) > UNEQUAL * min(counts):
            yield (
                f"outcomes{f' of {family}' if family else ''} are the best of {min(counts)} to {max(counts)} values of "
                "a learning curve, and the best of more values is higher by chance: evaluate all runs at the same "
                "steps, or take their last values"
            )
