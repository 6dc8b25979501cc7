"""The predictors of candidates, how they score in a family of RL runs, and what they expect of RL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.records import Estimate
from rlready.predict.advice import distributions
from rlready.predict.candidates import Candidate, Candidates, trained_on
from rlready.predict.family import Family
from rlready.predict.fit import predict_new_recipe
from rlready.predict.predictors import BASELINE, Predictor, predictors, stated
from rlready.predict.score import ENOUGH, LEAST, SPLITTABLE, Score, score
from rlready.readiness.overfitting import along_runs
from rlready.readiness.result import Overfitting
from rlready.runs.checkpoint_order import listed


def scores_of(
    config: PredictConfig, measured: Candidates, family: Family, primary: str
) -> tuple[list[Score], list[str]]:
    """Scores of every predictor (empty with too few runs or equal outcomes), and what limits them."""
    few, why = of_family(config, measured, family, 1)
    few += [stated(*each) for each in family.stated.items()]
    name = family.name or "These runs"
    notes = []
    if why and len(family.place) < len(measured.all):
        notes.append(f"{name}: held-out losses are not compared: {why}.")
    if family.recipes < LEAST or float(np.ptp(family.outcome)) == 0:
        return [], notes
    if family.recipes < ENOUGH:
        notes.append(f"{name}: {family.recipes} SFT recipes are fewer than {ENOUGH}; scores of so few can mislead.")
    if family.alone > 1:
        notes.append(
            f"{name}: the SFT run of {family.alone} checkpoints is not known, and each is taken for a recipe of its "
            "own: if some are of one run, say so in a column recipe of the outcomes."
        )
    constant = sorted(each.name for each in few if float(np.ptp(each.score)) == 0)
    if constant:
        are = "is" if len(constant) == 1 else "are"
        notes.append(
            f"{name}: {listed(constant)} {are} the same for all runs, so that there is no rank correlation with the "
            "outcome: shown as 0, or left out."
        )
    few = [each for each in few if each.name not in constant or each.name in (BASELINE, primary)]
    sizes = {"splits": config.splits, "resamples": config.resamples, "seed": config.seed}
    return score(few, family, primary=primary, **sizes), notes


def of_family(
    config: PredictConfig, measured: Candidates, family: Family, resamples: int
) -> tuple[list[Predictor], str]:
    """`predictors_of` of the checkpoints that a family's runs began with."""
    return predictors_of(config, measured, [measured.all[i] for i in family.place], resamples)


def predictors_of(
    config: PredictConfig, measured: Candidates, some: Sequence[Candidate], resamples: int
) -> tuple[list[Predictor], str]:
    """The predictors of some candidates, and why their losses are not compared ("" if they are)."""
    trained = trained_on(some)
    losses = [c.loss for c in some if c.loss is not None]
    if len(losses) < len(some):
        why = f"{len(some) - len(losses)} of {len(some)} checkpoints have none"
    elif len({c.heldout for c in some}) > 1 or any(not np.array_equal(x.tokens, losses[0].tokens) for x in losses):
        why = "they were not measured on the same rows with the same tokens"
    else:
        why = distributions(trained) if len(trained) > 1 and not config.force_loss else ""
    found = predictors(
        some,
        most=measured.most,
        group=measured.group_size,
        compare_loss=not why,
        resamples=resamples,
        seed=config.seed,
    )
    return found, why


def named(name: str, found: Sequence[Predictor]) -> Predictor:
    for each in found:
        if each.name == name:
            return each
    raise UserError(f"rank_by={name}: not known of these checkpoints; {nearest(name, [p.name for p in found])}")


def overfitting_of(candidates: Sequence[Candidate]) -> list[Overfitting | None]:
    """Overfitting of every candidate within its SFT run, among those measured on the same held-out rows."""
    found: dict[str, Overfitting | None] = {}
    runs = {c.name: c.trajectory for c in candidates}
    for rows in dict.fromkeys(c.heldout for c in candidates):
        names, losses, pass_1 = zip(
            *((c.name, c.loss, c.counts.pass_at_k([1])[:, 0]) for c in candidates if c.heldout == rows), strict=True
        )
        found |= zip(names, along_runs(names, losses, pass_1, runs), strict=True)
    return [found[c.name] for c in candidates]


def expected(by: Predictor, family: Family, scores: Sequence[Score]) -> list[Estimate] | None:
    """Outcome of RL from every candidate with its 95 % prediction interval; None if there are too few recipes."""
    x = by.inputs
    if not scores or family.recipes < max(SPLITTABLE, x.shape[1] + 2):
        return None
    guess, half = predict_new_recipe(x[family.place], family.outcome, family.recipe, x)
    if not np.isfinite(guess).all():
        return None
    pairs = zip(guess, half, strict=True)
    found = (Estimate(float(g), float(g - h), float(g + h), family.recipes, "recipes") for g, h in pairs)
    return [family.limited(each) for each in found]
