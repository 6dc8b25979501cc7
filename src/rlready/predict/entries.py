"""The parts of the result of ``predict``: checkpoints, predictors and families, from what was computed of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate
from rlready.predict.candidates import Candidates
from rlready.predict.family import Family
from rlready.predict.outcome import Outcome
from rlready.predict.predictors import BASELINE, COMBINED, LOSS, Predictor
from rlready.predict.result import CheckpointPrediction, FamilyResult, Point, PredictorRanking, RLOutcome
from rlready.predict.score import Score
from rlready.readiness.passk import Floats, powers
from rlready.readiness.ranking import Ranking
from rlready.readiness.ranking_words import ranked_checkpoint

DONE = "RL done"
COMPARED = 12  # checkpoints that are compared pair by pair: a larger matrix is hard to read


def checkpoint_predictions(
    measured: Candidates,
    whole: Sequence[Predictor],
    by: Predictor,
    ranking: Ranking,
    outcomes: dict[str, list[Outcome]],
    expected: Sequence[Estimate] | None,
) -> list[CheckpointPrediction]:
    best = by.best()
    return [
        CheckpointPrediction(
            **dict(ranked_checkpoint(ranking, i, candidate.name))
            | ({"next": DONE} if candidate.name in outcomes else {}),
            label=ranking.labels[i],
            sft=candidate.sft,
            step=candidate.step,
            trained=candidate.trained,
            heldout_loss=candidate.loss.token_mean if candidate.loss else None,
            pass_at_k=candidate.counts.curve(powers(measured.most)),
            values={p.name: float(p.values[i]) for p in whole},
            p_best=float(best[i]),
            outcomes=[
                RLOutcome(family=o.family, seed=o.seed, value=o.value, cost=o.cost, curve=o.curve)
                for o in outcomes.get(candidate.name, [])
            ],
            expected=expected[i] if expected else None,
        )
        for i, candidate in enumerate(measured.all)
    ]


def predictor_ranking(predictor: Predictor, by: str, shown: Sequence[str]) -> PredictorRanking:
    """A predictor's order and, for the main predictors, pairwise probabilities among its first few checkpoints."""
    order = np.argsort(-predictor.score, kind="stable")
    first = np.sort(order[:COMPARED])
    kept = predictor.name in (BASELINE, LOSS, COMBINED, by)
    return PredictorRanking(
        name=predictor.name,
        better="high" if predictor.sign > 0 else "low",
        order=[shown[i] for i in order],
        p_best=np.round(predictor.best(), 4).tolist(),
        p_better=np.round(replace(predictor, draws=predictor.draws[:, first]).p_better(), 4).tolist() if kept else None,
    )


def family_result(
    family: Family, mine: Sequence[Predictor], scores: list[Score], by: str, shown: Sequence[str], more: str
) -> FamilyResult:
    """Points of the main predictors with outcomes, a line through them, and every score; ``mine`` are the predictors of
    the family's checkpoints, ``more`` says what it takes to know more."""
    found = {p.name: p for p in mine}
    every = {**{name: p.values for name, p in found.items()}, **family.stated}
    drawn = [found[name] for name in dict.fromkeys((BASELINE, LOSS, by)) if name in found]
    outcomes = family.estimates()
    return FamilyResult(
        name=family.name,
        meaning=family.meaning,
        to_know_more=more,
        runs=len(family.outcome),
        rl_runs=int(family.seeds.sum()),
        recipes=family.recipes,
        seed_sd=family.seed_sd,
        mean=mean_estimate(family.outcome, cluster=family.recipe, bounds=family.bounds, varies="recipes"),
        points=[
            Point(label=shown[i], predictors={p.name: _with_interval(p, j) for p in drawn}, outcome=outcomes[j])
            for j, i in enumerate(family.place)
        ],
        lines={p.name: _line(p.values, family.outcome) if scores else None for p in drawn},
        values={name: values.tolist() for name, values in every.items()},
        scores=scores,
    )


def _with_interval(predictor: Predictor, place: int) -> Estimate:
    value, draws = float(predictor.values[place]), predictor.draws[:, place]
    low, high = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
    none = predictor.gap(place, place)  # which knows how many problems, or rows, there are
    return Estimate(value, min(low, value), max(high, value), none.n, none.varies)


def _line(x: Floats, y: Floats) -> list[list[float]] | None:
    """Both ends, [x, y], of the least-squares line through all runs; None if no line can be fitted."""
    if float(np.ptp(x)) == 0:
        return None
    at = np.array([x.min(), x.max()])
    line: list[list[float]] = np.stack([at, np.polyval(np.polyfit(x, y, 1), at)], axis=1).tolist()
    return line
