"""``rlready predict``: rank checkpoints as starts for RL, and score the ranking where RL has been run.

It reads run folders and tables and trains nothing.  Predictors and protocol follow Kang et al. (arXiv 2510.01624); the
other files of this package name the choices that the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path

import numpy as np

from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.core.messages import note_once
from rlready.core.result import with_warning
from rlready.models.hub import local_folder
from rlready.predict.advice import (
    against,
    calibrate,
    correlations,
    reached,
    separating,
    to_know_more,
    trust,
    untried,
)
from rlready.predict.candidates import Candidate, Candidates, read_candidates
from rlready.predict.comparable import doubts, refuse_two_units
from rlready.predict.entries import checkpoint_predictions, family_result, predictor_ranking
from rlready.predict.family import Family, families
from rlready.predict.matching import match_outcomes, other_starts, unevaluated
from rlready.predict.outcome import Outcome
from rlready.predict.outcomes import find_runs
from rlready.predict.predictors import LOSS, Predictor
from rlready.predict.repeat import evaluation_of, repeated
from rlready.predict.result import PredictResult
from rlready.predict.run_cost import run_cost
from rlready.predict.score import Score
from rlready.predict.scored import expected, named, of_family, overfitting_of, predictors_of, scores_of
from rlready.readiness.next_step import explained, next_action
from rlready.readiness.ranking import Ranking, large, rank
from rlready.readiness.ranking_words import drops, headline, no_onset, rule
from rlready.runs.checkpoint_order import listed
from rlready.runs.checksums import has_listed
from rlready.runs.content import has_content, is_model
from rlready.runs.run import Run


def predict(config: PredictConfig, out: Path) -> PredictResult:
    """Rank the candidates, score the predictors and advise.

    Raises UserError for an outcome without a checkpoint, a single checkpoint, or measurements that cannot be compared.
    """
    with Run(out, "predict", config) as run:
        if run.finished:
            return run.stored(PredictResult)
        if not config.runs:
            raise UserError("name run folders of rlready readiness, and tables or run folders with outcomes of RL")
        found = find_runs(config.runs)
        for file in found.files:
            run.note_data(id=str(file), path=file, role="measurements")
        measured = read_candidates(found.readiness)
        outcomes = match_outcomes(found.outcomes, measured.all)
        refuse_two_units(found.outcomes)
        result = _result(config, measured, outcomes, unevaluated(found.unevaluated, measured.all), found.evaluation)
        starts = other_starts(outcomes, measured.all)
        runs_of_sft = {c.name: c.run for c in measured.all if Path(c.name).name != c.name}  # a bare name tells none
        for doubt in chain(starts, doubts(found.outcomes, outcomes, runs_of_sft), measured.doubts):
            run.warn(doubt)
            result = with_warning(result, doubt)
        run.claim()
        run.write_result(result)
        return result


def _result(
    config: PredictConfig,
    measured: Candidates,
    outcomes: dict[str, list[Outcome]],
    left_out: Mapping[str, Outcome],
    evaluation: Path | None,
) -> PredictResult:
    names = measured.names
    whole, why = predictors_of(config, measured, measured.all, config.resamples)
    notes = _notes(measured, whole, why)
    by = named(config.rank_by or f"pass@{large(measured.most)}", whole)
    ranking = rank(
        names,
        by.name,
        by.values,
        by.gap,
        pass_1_CP=np.array([c.counts.pass_at_k([1])[:, 0] for c in measured.all]),
        pass_1_step=1 / min(c.counts.cap for c in measured.all),
        overfitting=overfitting_of(measured.all),
        sign=by.sign,
        runs={c.name: c.trajectory for c in measured.all},
    )
    shown = ranking.labels
    scored: list[tuple[Family, list[Score]]] = []
    for family in families(outcomes, measured.all):
        scores, more = scores_of(config, measured, family, by.name)
        scored.append((family, scores))
        notes += [text for text in more if not (why and text.endswith(f": {why}."))]
    earlier = [outcome for some in outcomes.values() for outcome in some]
    notes += _left_out(earlier)
    unknown = [names[i] for i in ranking.order if names[i] not in outcomes]
    waiting = next((left_out[name] for name in unknown if name in left_out), None)
    following, gone = _following(
        ranking, [family for family, _ in scored], measured.all, {names.index(name) for name in left_out}
    )
    notes += [*gone, *_changed(measured.all, gone)]
    cost = run_cost(earlier)
    action, command, does = _next_action(ranking, scored, following, cost), "", ""
    lost = following is not None and not ranking.no_signal and bool(_gone(measured.all[following]))
    if waiting and evaluation:
        action, command = evaluation_of(waiting, evaluation)
    elif lost and following is not None:
        action = f"{shown[following]} is not there as it was measured: get it back, or measure again what is there."
    elif following is not None and not ranking.no_signal:
        command, does = repeated(earlier, measured.all[following].model)
        command = command or ("" if does else measured.commands[names[following]])
    steps = _next_steps(measured, ranking, scored, following, cost)
    return PredictResult(
        headline=steps[0],
        next_action=action if waiting else f"{action} {does}" if does else explained(action, command),
        next_command=command,
        seed=config.seed,
        task=measured.task,
        chance_level=measured.chance_level,
        group_size=measured.group_size,
        ranked_by=by.name,
        rule=rule(ranking),
        chosen=names[ranking.pick],
        untried="" if following is None else shown[following],
        next_steps=steps,
        notes=notes,
        checkpoints=checkpoint_predictions(
            measured, whole, by, ranking, outcomes, expected(by, *scored[0]) if len(scored) == 1 else None
        ),
        predictors=[predictor_ranking(p, by.name, shown) for p in whole],
        families=[
            family_result(
                family,
                of_family(config, measured, family, config.resamples)[0],
                scores,
                by.name,
                shown,
                to_know_more(family.recipes, scores, by.name, cost if following is None else ""),
            )
            for family, scores in scored
        ],
    )


def _next_steps(
    measured: Candidates,
    ranking: Ranking,
    scored: Sequence[tuple[Family, Sequence[Score]]],
    left: int | None,
    cost: str,
) -> list[str]:
    """The headline, then what else to do; what RL reached counts for more than the ranking."""
    apart = " ".join(separating(ranking, [measured.efforts[name] for name in measured.names], cost))
    if not scored:
        recipes = {c.run or c.name for c in measured.all}
        steps = [
            *drops(ranking),
            *no_onset(ranking),
            apart,
            "" if ranking.no_signal else calibrate(ranking, len(recipes) == 1),
        ]
        return [headline(ranking), *filter(None, steps)]
    families = [family for family, _ in scored]
    trusted = [
        (f"{family.name or 'unnamed'}: " if len(scored) > 1 else "") + trust(family, scores, ranking.by)
        for family, scores in scored
    ]
    details = [correlations(family, scores, ranking.by) for family, scores in scored]
    tried = {int(i) for family in families for i in family.place}
    following = "" if left is None else f"First by {ranking.by} of those without an outcome: {ranking.labels[left]}."
    apart = apart if left is not None else ""  # else RL has told
    others = [*trusted, following, apart, *drops(ranking, tried), *against(ranking, families), *details]
    return [reached(ranking, families, left), *filter(None, others)]


def _next_action(ranking: Ranking, scored: Sequence[object], left: int | None, cost: str) -> str:
    """Which checkpoint to run RL from, and why; where RL has been run, that is the first without an outcome, and
    ``cost`` is what a run has taken ("" if unknown)."""
    if not scored:
        return next_action(ranking)
    if ranking.no_signal:
        return "Measure other problems: these do not tell the checkpoints apart, as none is solved, or all are."
    if left is None:
        return "Every checkpoint worth a try has an outcome: keep the model that RL made best."
    taken = f"; an earlier run took {cost}" if cost else ""
    first = f"the first by {ranking.by} that has no outcome yet"
    return f"To look for a better start of RL, run it from {ranking.labels[left]}, {first}{taken}."


def _notes(measured: Candidates, whole: Sequence[Predictor], why: str) -> list[str]:
    """What limits the comparison of all candidates; ``why`` says why losses are not compared ("" if they are)."""
    notes = [f"Held-out losses are not compared: {why}."] if why else []
    if large(measured.samples) > large(measured.most):
        notes.append(f"Only pass@k up to k = {measured.most} is known of all checkpoints; larger k are left out.")
    guessed = [c for c in measured.all if c.trained is None]
    if any(p.name == LOSS for p in whole) and len({c.run for c in measured.all}) > 1 and guessed:
        notes.append(
            f"It is not known which rows {len(guessed)} of {len(measured.all)} checkpoints learned from; "
            "their held-out losses are compared as if the rows were of one distribution."
        )
    return notes


def _following(
    ranking: Ranking, families: Sequence[Family], candidates: Sequence[Candidate], besides: Set[int]
) -> tuple[int | None, list[str]]:
    """Which checkpoint to run RL from next, None for none, and what is said of those that are gone.

    Where RL has been run, it is the first untried one that is still there; else the pick of the ranking in any case.
    """
    first = untried(ranking, families, besides)
    gone = _gone(candidates[ranking.pick if first is None else first])
    following, skipped = first, set(besides)
    while families and following is not None and (said := _gone(candidates[following])):
        gone += [text for text in said if text not in gone]
        skipped.add(following)
        following = untried(ranking, families, skipped)
    return (first if following is None else following), gone


def _gone(start: Candidate) -> list[str]:
    """Say it if the checkpoint to start from is not in its folder any more, as trainers delete all but the last, or is
    another one now."""
    model, path = start.model, Path(start.model)
    if not start.content and (path.parent == Path() or not path.parent.is_dir()):  # it may be a name of the hub
        return []
    if local_folder(model) is None:
        return [
            f"Warning: {model} is not there any more, so that RL cannot start from it: take another, or train again."
        ]
    if not start.content or not path.is_dir():
        return []
    if not is_model(path):
        return [f"Warning: {model} has no weights any more, so that RL cannot start from it: take another."]
    listed = has_listed(path, start.content)
    if listed is None:  # of another trainer
        note_once("predict: compares the checkpoint to start from with the one that was measured")
    if listed is False or (listed is None and not has_content(path, start.content)):
        return [f"Warning: {model} has changed since it was measured: measure it again."]
    return []


def _changed(candidates: Sequence[Candidate], said: Sequence[str]) -> list[str]:
    """Name the checkpoints that are others now than those that were measured, as far as their checksums tell, without
    those of which it is ``said``."""
    there = [c for c in candidates if c.content and Path(c.model).is_dir() and is_model(Path(c.model))]
    found = [c.model for c in there if has_listed(Path(c.model), c.content) is False]
    found = [model for model in found if not any(f" {model} " in each for each in said)]
    has = "has" if len(found) == 1 else "have"
    return (
        [f"Warning: {listed(found)} {has} changed since the measurement, on which the ranking rests."] if found else []
    )


def _left_out(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Name the predictors that only some outcomes of a family come with, and which are not scored therefore."""
    for family in dict.fromkeys(outcome.family for outcome in outcomes):
        mine = [outcome.predictors for outcome in outcomes if outcome.family == family]
        for name in dict.fromkeys(name for each in mine for name in each):
            if without := sum(name not in each for each in mine):
                yield f"The predictor {name} is left out: {without} of {len(mine)} outcomes have none."
