"""``rlready predict``: rank checkpoints as starts for RL, and score the ranking where RL has been run.

Reads run folders and tables, trains nothing.  What is whose: Kang et al. (arXiv 2510.01624) for the predictors and the
protocol; the files beside this one say where the paper is silent and the choice ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import PredictConfig
from rlready.core.errors import UserError
from rlready.core.options import nearest
from rlready.core.progress import note
from rlready.core.records import Estimate
from rlready.core.stats import mean_figure
from rlready.predict.advice import calibrate, distributions, trust
from rlready.predict.candidates import Candidate, Candidates, read
from rlready.predict.fit import predict_with_interval
from rlready.predict.outcomes import Outcome, find, matched
from rlready.predict.predictors import BASELINE, COMBINED, LOSS, Predictor, predictors
from rlready.predict.score import ENOUGH, LEAST, Family, Score, families, score
from rlready.predict.tables import checkpoint_table, score_table
from rlready.readiness.overfitting import TurnUp, along_runs
from rlready.readiness.passk import Floats, powers
from rlready.readiness.ranking import Ranking, large, rank
from rlready.runs.checkpoint_order import labels
from rlready.runs.run import Run

UNKNOWN = "unknown"
COMPARED = 12  # checkpoints of which is said who beats whom: a matrix of more nobody reads


def predict(config: PredictConfig, out: Path) -> dict[str, Any]:
    """Rank, score, advise; UserError for outcomes that fit no checkpoint, one checkpoint, or unlike measurements."""
    with Run(out, "predict", config) as run:
        if run.finished:
            return run.result
        if not config.runs:
            raise UserError("name run folders of rlready readiness, and tables or run folders with outcomes of RL")
        found = find(config.runs)
        for file in found.files:
            run.note_data(id=str(file), path=file, role="measurements")
        measured = read(found.readiness)
        return run.write_result(_result(config, measured, matched(found.outcomes, measured.names)))


def _result(config: PredictConfig, measured: Candidates, outcomes: dict[str, list[Outcome]]) -> dict[str, Any]:
    names, notes = measured.names, list[str]()
    short = labels(names)
    shown = [short[name] for name in names]
    whole, why = _predictors(config, measured, measured.all, config.resamples)
    notes += [f"held-out losses are not compared: {why}."] if why else []
    guessed = [c for c in measured.all if c.trained is None]
    if any(p.name == LOSS for p in whole) and len({c.sft for c in measured.all}) > 1 and guessed:
        notes.append(
            f"which rows {len(guessed)} of {len(names)} checkpoints learned from is not known; "
            "their held-out losses are compared as if from one distribution."
        )
    by = _chosen(config.rank_by or f"pass@{large(measured.most)}", whole)
    ranking = rank(by.name, by.values, by.gap, pass_1_C=whole[0].values, turned=_turned(measured.all), sign=by.sign)

    scored: list[tuple[Family, list[Score]]] = []
    for family in families(outcomes, {c.name: c.sft for c in measured.all}):
        mine = [measured.all[i] for i in family.place]
        few, why = _predictors(config, measured, mine, 1)
        name = family.name or "these runs"
        notes += [f"{name}: held-out losses are not compared: {why}."] if why and len(mine) < len(names) else []
        if 0 < len(mine) < ENOUGH:
            notes.append(f"{name}: {len(mine)} runs are fewer than {ENOUGH}; scores of so few mislead.")
        enough = len(mine) >= LEAST and float(np.ptp(family.outcome)) > 0
        settings = {"splits": config.splits, "resamples": config.resamples, "seed": config.seed}
        scored.append((family, score(few, family, **settings) if enough else []))
    expected = _expected(by, scored[0][0]) if len(scored) == 1 else None
    for line in notes:
        note(f"predict: {line}")

    steps = ranking.sentences(shown)
    if not outcomes:
        steps.append(calibrate(ranking, shown))
    trusted = [trust(family, scores, by.name) for family, scores in scored]
    best = by.best()
    rows = [_row(measured, i, shown, whole, float(best[i]), ranking, outcomes, expected) for i in range(len(names))]
    return {
        "verb": "predict",
        "verdict": " ".join([*steps[:2], *trusted[:1]] if scored else steps[:3]),
        "seed": config.seed,
        "task": measured.task,
        "chance": measured.chance,
        "group": measured.group,
        "by": by.name,
        "picked": names[ranking.order[0]],
        "next": [*steps, *trusted],
        "notes": notes,
        "checkpoints": rows,
        "predictors": [_ranking(p, by.name, shown) for p in whole],
        "families": [_family(config, measured, family, scores, by.name, shown) for family, scores in scored],
        "table": checkpoint_table(rows, by.name, measured.most),
        "tables": {_title(family): score_table(family, scores) for family, scores in scored if scores},
    }


def _predictors(
    config: PredictConfig, measured: Candidates, some: Sequence[Candidate], resamples: int
) -> tuple[list[Predictor], str]:
    """Those of some candidates, and why their losses are not compared ("" if they are)."""
    trained = Counter(c.trained or UNKNOWN for c in some)
    losses = [c.loss for c in some if c.loss is not None]
    if len(losses) < len(some):
        why = f"{len(some) - len(losses)} of {len(some)} checkpoints have none"
    elif len({c.heldout for c in some}) > 1 or any(not np.array_equal(x.tokens, losses[0].tokens) for x in losses):
        why = "they were not measured on the same rows with the same tokens"
    else:
        why = distributions(trained) if len(trained) > 1 and not config.force_loss else ""
    settings = {"most": measured.most, "group": measured.group, "resamples": resamples, "seed": config.seed}
    return predictors(some, compare_loss=not why, **settings), why


def _chosen(name: str, found: Sequence[Predictor]) -> Predictor:
    for each in found:
        if each.name == name:
            return each
    raise UserError(f"rank_by={name}: not known of these checkpoints; {nearest(name, [p.name for p in found])}")


def _turned(candidates: Sequence[Candidate]) -> list[TurnUp | None]:
    """The loss of every candidate along its SFT run, among those measured on the same held-out rows."""
    found: dict[str, TurnUp | None] = {}
    for rows in dict.fromkeys(c.heldout for c in candidates):
        names, losses, pass_1 = zip(
            *((c.name, c.loss, c.counts.pass_at_k([1])[:, 0]) for c in candidates if c.heldout == rows), strict=True
        )
        found |= zip(names, along_runs(names, losses, pass_1), strict=True)
    return [found[c.name] for c in candidates]


def _expected(by: Predictor, family: Family) -> list[Estimate] | None:
    """Outcome of RL from every candidate with its 95 % prediction interval; None where runs are too few."""
    x = by.inputs
    runs = len(family.outcome)
    if runs < x.shape[1] + 2:
        return None
    (guess,), (half,) = predict_with_interval(x[family.place][None], family.outcome[None], x)
    if not np.isfinite(guess).all():
        return None
    return [Estimate(float(g), float(g - h), float(g + h), runs, "runs") for g, h in zip(guess, half, strict=True)]


def _row(
    measured: Candidates,
    i: int,
    shown: Sequence[str],
    whole: Sequence[Predictor],
    p_best: float,
    ranking: Ranking,
    outcomes: dict[str, list[Outcome]],
    expected: list[Estimate] | None,
) -> dict[str, Any]:
    candidate = measured.all[i]
    mine = outcomes.get(candidate.name, [])
    values = {p.name: float(p.values[i]) for p in whole}
    return {
        "name": candidate.name,
        "label": shown[i],
        "sft": candidate.sft,
        "step": candidate.step,
        "trained": candidate.trained,
        "heldout_loss": candidate.loss.token_mean if candidate.loss else None,
        "pass": {str(k): f for k, f in candidate.counts.curve(powers(measured.most)).items()},
        "values": values,
        "p_best": p_best,
        "turn_up": ranking.turned[i],
        **ranking.row(i, shown),
        "outcomes": [{"family": o.family, "seed": o.seed, "value": o.value, "cost": o.cost} for o in mine],
        "expected": expected[i] if expected else None,
    }


def _ranking(predictor: Predictor, by: str, shown: Sequence[str]) -> dict[str, Any]:
    """A predictor's order; who beats whom among its first few, in the order of the checkpoints, where a reader asks."""
    order = np.argsort(-predictor.score, kind="stable")
    first = np.sort(order[:COMPARED])
    kept = predictor.name in (BASELINE, LOSS, COMBINED, by)
    return {
        "name": predictor.name,
        "better": "high" if predictor.sign > 0 else "low",
        "order": [shown[i] for i in order],
        "best": np.round(predictor.best(), 4),
        "beats": np.round(replace(predictor, draws=predictor.draws[:, first]).beats(), 4) if kept else None,
    }


def _family(
    config: PredictConfig,
    measured: Candidates,
    family: Family,
    scores: Sequence[Score],
    by: str,
    shown: Sequence[str],
) -> dict[str, Any]:
    """What the report draws: points of the main predictors with outcomes, a line through them, and every score.

    ``values`` are those of every predictor, in the order of the points.
    """
    mine = [measured.all[i] for i in family.place]
    found = {p.name: p for p in _predictors(config, measured, mine, config.resamples)[0]}
    drawn = [found[name] for name in dict.fromkeys((BASELINE, LOSS, by)) if name in found]
    outcomes = family.figures()
    points = []
    for j, i in enumerate(family.place):
        each = {p.name: _with_interval(p, j) for p in drawn}
        points.append({"label": shown[i], "predictors": each, "outcome": outcomes[j]})
    return {
        "name": family.name,
        "runs": len(family.outcome),
        "trained": int(family.seeds.sum()),
        "recipes": int(family.recipe.max()) + 1,
        "seed_sd": family.seed_sd,
        "mean": mean_figure(family.outcome, cluster=family.recipe, varies="recipes"),
        "points": points,
        "lines": {p.name: _line(p.values, family.outcome) for p in drawn},
        "values": {name: p.values for name, p in found.items()},
        "scores": list(map(_plain, scores)),
    }


def _with_interval(predictor: Predictor, place: int) -> Estimate:
    value, draws = float(predictor.values[place]), predictor.draws[:, place]
    low, high = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value), 0, "problems")


def _line(x: Floats, y: Floats) -> list[list[float]] | None:
    """Both ends, [x, y], of the least-squares line through all runs; None where there is none to draw."""
    if len(x) < LEAST or float(np.ptp(x)) == 0:
        return None
    at = np.array([x.min(), x.max()])
    return np.stack([at, np.polyval(np.polyfit(x, y, 1), at)], axis=1).tolist()  # type: ignore[no-any-return]


def _plain(score: Score) -> dict[str, Any]:
    return {**vars(replace(score, few=[])), "few": [vars(f) for f in score.few]}


def _title(family: Family) -> str:
    return f"Predictors of RL outcomes over {len(family.outcome)} runs" + (f", {family.name}" if family.name else "")
