"""How good a predictor was, once RL has been run: Spearman, out-of-sample fit, top-1 regret.

The unit is a *run*: a checkpoint that RL started from, whose outcome is the mean over RL seeds.  Runs of one SFT recipe
(its seeds and checkpoints) are dependent, so that recipes, not runs, are resampled, halved and permuted.

- **Spearman** over all runs (``scipy.stats.spearmanr``), nothing fitted: rank of the predictor, signed so that more is
  better, against rank of the outcome.  Interval: the wider of the Bayesian bootstrap over recipes (weighted mid-ranks,
  stretched for small numbers as in ``stats.py``) and ±1.96 √((1 + ρ²/2)/(G - 3)) on Fisher's scale (Bonett & Wright
  2000, Psychometrika 65:23).
  *Gain*: the difference to the baseline (post-SFT pass@1), with a paired bootstrap.
- **p**: share of permutations of recipes (ranks of their means) with |ρ| at least as large, by ``scipy.stats``'s
  ``permutation_test``: of all orders up to 6 recipes, else of random ones.  *p_any* is the same for the largest |ρ| of
  all predictors (Westfall & Young 1993), which corrects for choosing the best of a dozen.
- **R², MAE**: ``fit.py``.  Intervals: the bootstrap, shifted so that its median is the estimate (random weights lower
  R² as fewer recipes would) and stretched; uncentred quantiles cover R² at 65 to 85 %.
- **Regret** (top-1): best outcome minus that of the run that the predictor ranks first.  *In cost*: seconds of RL for
  the runs ranked before the best one.  Interval: bootstrap over recipes, a third as many drawn as there are, because
  the full bootstrap is inconsistent for a maximum (m out of n; Bickel, Götze & van Zwet 1997, Stat. Sinica 7:1).

Simulated coverage of these 95 % intervals, 8 to 24 recipes: Spearman, gains and costs 95 % and more, R² and MAE 91 to
99 %; regret 93 to 99 % from 12 recipes on, 87 % with 8, 75 % with 5, less where it is nearly always 0.

This package defines all of these except Spearman, R² and the halves.  Shapes: M = runs, G = recipes, B = resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from rlready.core.cells import brief_percent, decimal
from rlready.core.records import Estimate
from rlready.core.stats import TAIL, t_quantile
from rlready.predict.fit import Few, Mask, few, halves, split_scores
from rlready.predict.outcomes import Outcome
from rlready.predict.predictors import Predictor
from rlready.readiness.passk import Floats, Ints

ENOUGH = 8  # recipes below which scores are warned about, and fits are not printed
LEAST = 3  # recipes below which there is nothing to score
SIGNIFICANT = 5  # recipes: of fewer, no order has p < 0.05, because it is one of at most 4! = 24 and so is its reverse
SPLITTABLE = 4  # recipes below which halves hold one
FEW = (3, 4)
PERMUTATIONS, WEIGHTINGS, WEIGHTED_SPLITS = 4999, 200, 200


@dataclass(frozen=True)
class Family:
    """Runs that may be compared: one scenario, one RL recipe.  ``place`` (M,) are indices of candidates.

    ``seeds`` (M,) is the number of RL runs that an outcome is the mean of.  ``cost`` is their sum, None if any is
    unknown; ``seed_sd`` is the pooled standard deviation between RL seeds, None if no checkpoint has two.
    """

    name: str
    place: Ints
    outcome: Floats
    cost: Floats | None
    recipe: Ints
    seeds: Ints
    seed_sd: float | None

    @property
    def recipes(self) -> int:
        return int(self.recipe.max()) + 1

    @property
    def bounds(self) -> tuple[float, float] | None:
        """(0, 1) if outcomes look like accuracies, which limits every prediction of them; None if they do not."""
        return (0.0, 1.0) if ((self.outcome >= 0) & (self.outcome <= 1)).all() else None

    def shown(self, i: int) -> str:
        """The outcome of the i-th run as text."""
        return f"{brief_percent(self.estimates()[i])} %" if self.bounds else decimal(self.outcome[i])

    def limited(self, estimate: Estimate) -> Estimate:
        """An estimate of an outcome within what an outcome can be."""
        if self.bounds is None:
            return estimate
        value, low, high = (float(np.clip(x, *self.bounds)) for x in (estimate.value, estimate.low, estimate.high))
        return replace(estimate, value=value, low=low, high=high)

    def estimates(self) -> list[Estimate]:
        """Outcomes with Student's interval over seeds; its ends are nan if no checkpoint has two."""
        free = int((self.seeds - 1).sum())
        half = np.full(len(self.outcome), math.nan)
        if self.seed_sd is not None:
            half = t_quantile(1 - TAIL, free) * self.seed_sd / np.sqrt(self.seeds)
        rows = zip(self.outcome, half, self.seeds, strict=True)
        return [self.limited(Estimate(float(y), float(y - h), float(y + h), int(n), "seeds")) for y, h, n in rows]


@dataclass(frozen=True)
class Score:
    """The quality of a predictor in one family; fields are None if runs are too few or costs unknown."""

    predictor: str
    spearman: Estimate
    gain: Estimate | None
    p: float
    p_any: float
    r2: Estimate | None
    r2_gain: Estimate | None
    r2_sd: float | None
    r2_median: float | None
    mae: Estimate | None
    regret: Estimate
    regret_cost: Estimate | None
    few: list[Few]


def families(outcomes: Mapping[str, Sequence[Outcome]], sft: Mapping[str, str | None]) -> list[Family]:
    """Runs by family, in the order of their first outcome; checkpoints in the order of ``sft``, which gives their runs.

    A checkpoint's recipe is the one that its outcomes name, else its SFT run, else the checkpoint itself.
    """
    names = list(sft)
    order = dict.fromkeys(o.family for name in names for o in outcomes.get(name, ()))
    found = []
    for family in order:
        mine = [(i, [o for o in outcomes.get(n, ()) if o.family == family]) for i, n in enumerate(names)]
        runs = [(i, some) for i, some in mine if some]
        _, recipe = np.unique([some[0].recipe or sft[names[i]] or names[i] for i, some in runs], return_inverse=True)
        costs = [[o.cost for o in some] for _, some in runs]
        values = [np.array([o.value for o in some]) for _, some in runs]
        free = sum(len(v) - 1 for v in values)
        within = sum(float(((v - v.mean()) ** 2).sum()) for v in values)
        found.append(
            Family(
                family,
                np.array([i for i, _ in runs]),
                np.array([v.mean() for v in values]),
                None
                if any(c is None for some in costs for c in some)
                else np.array([sum(map(float, c)) for c in costs]),  # type: ignore[arg-type]
                recipe,
                np.array([len(v) for v in values]),
                math.sqrt(within / free) if free else None,
            )
        )
    return found


def score(found: Sequence[Predictor], family: Family, *, splits: int, resamples: int, seed: int) -> list[Score]:
    """Scores of predictors over the runs of a family, in its order; the first predictor is the baseline."""
    rng = np.random.default_rng([seed, 2])
    y, recipe = family.outcome, family.recipe
    recipes = family.recipes
    weights_BM = rng.standard_exponential((resamples, recipes))[:, recipe]
    drawn_BM = _fewer(recipes, resamples, rng)[:, recipe]
    half_SM = halves(recipe, splits, rng)
    p, p_any = permutation_p(np.array([each.score for each in found]), y, recipe, rng)
    weighted = [weighted_spearman(each.score, y, weights_BM) for each in found]
    whole = [spearman(each.score, y) for each in found]
    fitted = [_fit(each, y, half_SM, weights_BM[:WEIGHTINGS], recipes) for each in found]
    scores = []
    for i, (each, fit) in enumerate(zip(found, fitted, strict=True)):
        r2 = r2_gain = mae = None
        if fit:
            r2 = _centred(fit.r2, fit.r2_B, recipes, most=1.0)
            mae = _centred(fit.mae, fit.mae_B, recipes, least=0.0)
        if fit and i and (base := fitted[0]):
            r2_gain = _centred(fit.r2 - base.r2, fit.r2_B - base.r2_B, recipes)
        regret, costs = regrets(each.score, y, family.cost, np.vstack([np.ones_like(drawn_BM[:1]), drawn_BM]))
        scores.append(
            Score(
                each.name,
                _correlation(whole[i], weighted[i], recipes),
                _difference(whole[i] - whole[0], weighted[i] - weighted[0], recipes) if i else None,
                float(p[i]),
                float(p_any[i]),
                r2,
                r2_gain,
                fit.r2_sd if fit else None,
                fit.r2_median if fit else None,
                mae,
                _percentiles(regret[0], regret[1:], recipes),
                None if costs is None else _percentiles(costs[0], costs[1:], recipes),
                [f for m in FEW if (f := few(each.inputs, y, recipe, m, splits, rng))],
            )
        )
    return scores


def spearman(score_M: Floats, y_M: Floats) -> float:
    """Rank correlation with mid-ranks; 0 if either side is constant, for which it is not defined."""
    from scipy.stats import spearmanr

    return float(spearmanr(score_M, y_M).statistic) if np.ptp(score_M) and np.ptp(y_M) else 0.0


def weighted_spearman(score_M: Floats, y_M: Floats, weights_BM: Floats) -> Floats:
    """(B,) correlations of weighted mid-ranks, which scipy lacks; 0 if either side is constant."""
    ranks = []
    for values in (score_M, y_M):
        below = (values[:, None] > values).astype(np.float64) + 0.5 * (values[:, None] == values)
        ranks.append(weights_BM @ below.T)  # (B, M): the weight below each run, plus half that of its equals
    share = weights_BM / weights_BM.sum(1, keepdims=True)
    a, b = (r - (share * r).sum(1, keepdims=True) for r in ranks)
    norm = np.sqrt((share * a * a).sum(1) * (share * b * b).sum(1))
    rho: Floats = np.where(norm > 1e-12, (share * a * b).sum(1) / np.maximum(norm, 1e-12), 0.0)
    return rho.clip(-1.0, 1.0)


def permutation_p(score_KM: Floats, y_M: Floats, recipe_M: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(K,) two-sided p of every predictor, and (K,) p against the largest |ρ| of all; whole recipes are permuted."""
    from scipy.stats import permutation_test, rankdata

    sizes = np.bincount(recipe_M)
    if len(sizes) == 1:  # one order only
        return np.ones(len(score_KM)), np.ones(len(score_KM))
    ranks = rankdata([np.bincount(recipe_M, values) / sizes for values in (*score_KM, y_M)], axis=1)
    centred = ranks - ranks.mean(1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    *x_KG, y_G = centred / np.where(norm > 0, norm, 1.0)

    def size_of_rho(y_KG: Floats, axis: int) -> Floats:
        """|ρ|, rounded so that equal ones tie."""
        rho: Floats = np.abs((x_KG * y_KG).sum(axis)).round(12)
        return rho

    found = permutation_test(
        (np.tile(y_G, (len(x_KG), 1)),),
        size_of_rho,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        alternative="greater",
        axis=-1,
        rng=rng,
    )
    largest_N1 = found.null_distribution.max(1, keepdims=True)
    seen = int(len(largest_N1) == PERMUTATIONS)  # random orders: the observed one counts as one more, as in scipy
    return found.pvalue, (seen + (largest_N1 >= found.statistic).sum(0)) / (seen + len(largest_N1))


def regrets(score_M: Floats, y_M: Floats, cost_M: Floats | None, present_BM: Floats) -> tuple[Floats, Floats | None]:
    """(B,) regret, and cost before the best run, among the runs present; a tie for first counts as its mean.

    ``present_BM`` is the multiplicity of each run, which multiplies its cost.
    """
    here = present_BM > 0
    best = np.where(here, y_M, -np.inf).max(1)
    first = np.where(here, score_M, -np.inf) == np.where(here, score_M, -np.inf).max(1, keepdims=True)
    regret = best - (first * y_M).sum(1) / first.sum(1)
    if cost_M is None:
        return regret, None
    best_score = np.where(here & (y_M >= best[:, None]), score_M, -np.inf).max(1)
    return regret, (present_BM * (score_M > best_score[:, None])) @ cost_M


@dataclass(frozen=True)
class _Fit:
    """Means over halves, deviation and median of R² over them; and the means under weights on recipes (B,)."""

    r2: float
    mae: float
    r2_sd: float
    r2_median: float
    r2_B: Floats
    mae_B: Floats


def _fit(each: Predictor, y: Floats, half_SM: Mask, weights_BM: Floats, recipes: int) -> _Fit | None:
    """The fit of one predictor; None if there are too few recipes to halve, or no half has outcomes that differ."""
    if recipes < SPLITTABLE:
        return None
    r2, mae = split_scores(each.inputs, y, np.ones_like(y), half_SM)
    if not np.isfinite(r2).any():
        return None
    drawn = [split_scores(each.inputs, y, w, half_SM[:WEIGHTED_SPLITS]) for w in weights_BM]
    r2_B, mae_B = np.array([[np.nanmean(a), np.mean(b)] for a, b in drawn]).T
    return _Fit(float(np.nanmean(r2)), float(mae.mean()), float(np.nanstd(r2)), float(np.nanmedian(r2)), r2_B, mae_B)


def _correlation(value: float, draws: Floats, n: int) -> Estimate:
    """The hull of both intervals on Fisher's scale, because the bootstrap of a perfect order has no width."""
    most = 1 - 6 / (n * (n * n - 1)) if n > 1 else 0.5  # between perfect and one swap of neighbours
    centre = math.atanh(max(-most, min(most, value)))
    low, high = _stretched(centre, np.arctanh(np.clip(draws, -most, most)), n)
    half = NormalDist().inv_cdf(1 - TAIL) * math.sqrt((1 + value * value / 2) / max(0.5, n - 3))
    low, high = min(low, centre - half), max(high, centre + half)
    return Estimate(value, min(value, math.tanh(low)), max(value, math.tanh(high)), n, "recipes")


def _difference(value: float, draws: Floats, n: int) -> Estimate:
    low, high = _stretched(value, draws, n)
    return Estimate(value, max(-2.0, low), min(2.0, high), n, "recipes")


def _percentiles(value: float, draws: Floats, n: int) -> Estimate:
    low, high = (float(q) for q in np.quantile(draws, [TAIL, 1 - TAIL]))
    return Estimate(float(value), min(low, float(value)), max(high, float(value)), n, "recipes")


def _centred(value: float, draws: Floats, n: int, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Draws shifted so that their median is the value: random weights lower R², as a fit from fewer recipes does."""
    draws = draws[np.isfinite(draws)]
    low, high = _stretched(value, draws - np.median(draws) + value, n)
    return Estimate(value, max(least, low), min(most, high), n, "recipes")


def _stretched(value: float, draws: Floats, n: int) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(draws, [TAIL, 1 - TAIL]))
    stretch = t_quantile(1 - TAIL, max(1, n - 2)) / NormalDist().inv_cdf(1 - TAIL) * math.sqrt((n + 1) / max(1, n - 1))
    return value - stretch * max(0.0, value - low), value + stretch * max(0.0, high - value)


def _fewer(recipes: int, resamples: int, rng: np.random.Generator) -> Floats:
    """(B, G) counts of recipes, a third as many drawn with replacement as there are, scaled to sum to G."""
    size = max(2, math.ceil(recipes / 3))
    picks = rng.integers(0, recipes, (resamples, recipes))[:, :size]
    return np.array([np.bincount(row, minlength=recipes) for row in picks]) * (recipes / size)
