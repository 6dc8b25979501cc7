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
- **R², mean error**: of the outcomes of every recipe, predicted by the line through all others (``fit.py``).  Both,
  and the gain in R² over the baseline, are means of one value a recipe, with Student's t interval over recipes; the
  denominator of R² counts as known, and the interval of R² ends at 1.  Beside it stand the mean and standard
  deviation of R² over random halves, as in
  Kang et al., without an interval.
- **Regret** (top-1): best outcome minus that of the run that the predictor ranks first; *by SFT seed*, the same among
  the runs of one seed.  *In cost*: seconds of RL for the runs ranked before the best one.  They are facts about these
  runs and have no interval: the bootstrap of a maximum is inconsistent (Bickel, Götze & van Zwet 1997, Stat. Sinica
  7:1), and three seeds are better printed than averaged.

**Many predictors.**  The one that ranks is the *primary* predictor, which is chosen before outcomes are known.  The
intervals of the gains of all others hold together (Bonferroni), so that the best of a dozen can be looked for.

Simulated coverage of these 95 % intervals, 8 to 24 recipes: Spearman and its gain 95 % and more, R² 89 to 99 %.  Of two
equally good predictors one is found significantly better by R² in 0.3 to 4 % of sets a side.

This package defines all of these except Spearman, R² and the halves.  Shapes: M = runs, G = recipes, B = resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from rlready.core.progress import counted
from rlready.core.records import Estimate
from rlready.core.stats import POWER, TAIL, simultaneous, t_estimate, t_quantile, with_ties
from rlready.predict.family import Family
from rlready.predict.fit import Few, errors_left_out, few, halves, r2_of_halves
from rlready.predict.predictors import Predictor
from rlready.readiness.passk import Floats, Ints

ENOUGH = 8  # recipes below which scores are warned about, and fits are not printed
LEAST = 3  # recipes below which there is nothing to score
SIGNIFICANT = 5  # recipes: of fewer, no order has p < 0.05, because it is one of at most 4! = 24 and so is its reverse
SPLITTABLE = 4  # recipes below which halves hold one
FEW = (3, 4)
PERMUTATIONS = 4999


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
    r2_halves: float | None
    r2_halves_sd: float | None
    mae: Estimate | None
    regret: float
    regret_by_sft_seed: dict[str, float]
    regret_cost: float | None
    few: list[Few]


def more_recipes(spearman: Estimate) -> int | None:
    """How many more recipes the interval of a rank correlation ρ needs to exclude 0, with 80 % power.

    If the true correlation is the measured one: N = 3 + (1 + ρ²/2) ((z_{0.975} + z_{0.8}) / atanh ρ)² in all, from
    the standard error of Bonett & Wright (2000, Psychometrika 65:23) on Fisher's scale.  0 if the interval excludes 0,
    None if ρ is not above 0.  In simulations of ρ = 0.3 to 0.9 with N recipes the intervals of this file exclude 0 in
    73 to 81 % of sets.
    """
    if spearman.low > 0:
        return 0
    if spearman.value <= 0:
        return None
    normal, rho = NormalDist(), min(spearman.value, _largest(spearman.n))
    quantiles = normal.inv_cdf(1 - TAIL) + normal.inv_cdf(POWER)
    needed = 3 + (1 + rho * rho / 2) * (quantiles / math.atanh(rho)) ** 2
    return max(1, math.ceil(min(needed, 1e9)) - spearman.n)


def score(
    found: Sequence[Predictor], family: Family, *, primary: str, splits: int, resamples: int, seed: int
) -> list[Score]:
    """Scores of predictors over the runs of a family, in its order; the first predictor is the baseline.

    ``primary`` names the predictor whose gain needs no correction for the number of predictors.
    """
    rng = np.random.default_rng([seed, 2])
    y, recipe = family.outcome, family.recipe
    recipes = family.recipes
    weights_BM = rng.standard_exponential((resamples, recipes))[:, recipe]
    half_SM = halves(recipe, splits, rng)
    p, p_any = permutation_p(np.array([each.score for each in found]), y, recipe, rng)
    weighted = [weighted_spearman(each.score, y, weights_BM) for each in counted("correlations", found, "predictors")]
    whole = [spearman(each.score, y) for each in found]
    fits = recipes >= SPLITTABLE
    left_out = counted("recipes left out", found if fits else [], "predictors")
    errors = [errors_left_out(each.inputs, y, recipe) for each in left_out]
    no_predictor = errors_left_out(np.empty((len(y), 0)), y, recipe)
    searched = sum(each.name != primary for each in found[1:])

    unit = _over_recipes(no_predictor**2, recipe).value

    def explained(before_M: Floats, after_M: Floats) -> Estimate:
        """How far errors shrink, as a share of those without a predictor."""
        return _over_recipes((before_M**2 - after_M**2) / unit, recipe)

    def at_most_1(r2: Estimate) -> Estimate:
        return replace(r2, high=min(r2.high, 1.0))

    def corrected(gain: Estimate, name: str, span: float) -> Estimate:
        return gain if name == primary else simultaneous(gain, searched, span)

    scores = []
    for i, each in enumerate(found):
        gain = _difference(whole[i] - whole[0], weighted[i] - weighted[0], recipes) if i else None
        r2_gain = explained(errors[0], errors[i]) if fits and i else None
        r2_S = r2_of_halves(each.inputs, y, half_SM) if fits else np.array([math.nan])
        halved = bool(np.isfinite(r2_S).any())
        regret, cost = regrets(each.score, y, family.cost)
        scores.append(
            Score(
                each.name,
                _correlation(whole[i], weighted[i], recipes),
                corrected(gain, each.name, 2.0) if gain else None,
                float(p[i]),
                float(p_any[i]),
                at_most_1(explained(no_predictor, errors[i])) if fits else None,
                corrected(r2_gain, each.name, math.inf) if r2_gain else None,
                float(np.nanmean(r2_S)) if halved else None,
                float(np.nanstd(r2_S)) if halved else None,
                _over_recipes(np.abs(errors[i]), recipe) if fits else None,
                regret,
                _by_seed(each.score, family),
                cost,
                [f for m in FEW if (f := few(each.inputs, y, recipe, m, splits, rng))],
            )
        )
    return scores


def spearman(score_M: Floats, y_M: Floats) -> float:
    """Rank correlation with mid-ranks; 0 if either side is constant, for which it is not defined."""
    from scipy.stats import spearmanr

    score_M, y_M = with_ties(score_M), with_ties(y_M)
    return float(spearmanr(score_M, y_M).statistic) if np.ptp(score_M) and np.ptp(y_M) else 0.0


def weighted_spearman(score_M: Floats, y_M: Floats, weights_BM: Floats) -> Floats:
    """(B,) correlations of weighted mid-ranks, which scipy lacks; 0 if either side is constant."""
    ranks = []
    for values in map(with_ties, (score_M, y_M)):
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
    ranks = rankdata([with_ties(np.bincount(recipe_M, values) / sizes) for values in (*score_KM, y_M)], axis=1)
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


def regrets(score_M: Floats, y_M: Floats, cost_M: Floats | None) -> tuple[float, float | None]:
    """Regret, and cost before the best run, None without costs.

    A tie for first counts as its mean, and of runs that are tied with the best one half come before it.
    """
    score_M, y_M = with_ties(score_M), with_ties(y_M)
    regret = y_M.max() - y_M[score_M == score_M.max()].mean()
    if cost_M is None:
        return float(regret), None
    best = y_M >= y_M.max()
    first = score_M[best].max()
    tied = (score_M == first) & ~best
    others = 1 + int((best & (score_M == first)).sum())  # a tied run comes before all of these with 1 in that number
    return float(regret), float(cost_M[score_M > first].sum() + cost_M[tied].sum() / others)


def _by_seed(score_M: Floats, family: Family) -> dict[str, float]:
    """Regret among the runs of each SFT seed; empty unless there are two seeds of two runs or more."""
    seeds = np.array(family.sft_seed)
    found = {str(s): seeds == s for s in sorted(set(family.sft_seed)) if s}
    found = {s: mine for s, mine in found.items() if mine.sum() > 1}
    return {s: regrets(score_M[m], family.outcome[m], None)[0] for s, m in found.items()} if len(found) > 1 else {}


def _over_recipes(values_M: Floats, recipe_M: Ints) -> Estimate:
    """The mean over recipes of their runs' mean, with Student's t interval over recipes."""
    return t_estimate(np.bincount(recipe_M, values_M) / np.bincount(recipe_M), varies="recipes")


def _largest(n: int) -> float:
    """The largest rank correlation that Fisher's scale is used for: between perfect and one swap of neighbours."""
    return 1 - 6 / (n * (n * n - 1)) if n > 1 else 0.5


def _correlation(value: float, draws: Floats, n: int) -> Estimate:
    """The hull of both intervals on Fisher's scale, because the bootstrap of a perfect order has no width."""
    most = _largest(n)
    centre = math.atanh(max(-most, min(most, value)))
    low, high = _stretched(centre, np.arctanh(np.clip(draws, -most, most)), n)
    half = NormalDist().inv_cdf(1 - TAIL) * math.sqrt((1 + value * value / 2) / max(0.5, n - 3))
    low, high = min(low, centre - half), max(high, centre + half)
    return Estimate(value, min(value, math.tanh(low)), max(value, math.tanh(high)), n, "recipes")


def _difference(value: float, draws: Floats, n: int) -> Estimate:
    low, high = _stretched(value, draws, n)
    return Estimate(value, max(-2.0, low), min(2.0, high), n, "recipes")


def _stretched(value: float, draws: Floats, n: int) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(draws, [TAIL, 1 - TAIL]))
    stretch = t_quantile(1 - TAIL, max(1, n - 2)) / NormalDist().inv_cdf(1 - TAIL) * math.sqrt((n + 1) / max(1, n - 1))
    return value - stretch * max(0.0, value - low), value + stretch * max(0.0, high - value)
