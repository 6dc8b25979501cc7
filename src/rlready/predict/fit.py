"""Predict outcomes from a predictor by least squares, calibrated on some of the runs and scored on the others.

**Halves.**  After Kang et al. (arXiv 2510.01624): a linear fit calibrated on half of the runs and scored on the rest,
over random splits.  This package splits *recipes*, so that no recipe is on both sides; R² = 1 - SSE/SST on the test
half, with SST about that half's mean.  Halves overlap, so their spread is no interval.

**Leaving one recipe out** (this package): every recipe is predicted by the line through all others, which gives one
squared error a recipe, the mean over its runs.  R² = Σ(b - e)/Σb, with e those errors and b those of the mean outcome
of the other recipes: what a prediction without a predictor gets.

**A few runs** (the paper says 3-4), from as few recipes as possible, tested on the other recipes: ordinary least
squares with prediction intervals
ŷ ± t_{0.975, m-p} · s · √(1 + h),  h = xᵀ(XᵀX)⁻¹x,  m runs, p parameters.  With m = 3 and one predictor t is 12.7.

**All runs** (this package): runs of one recipe err alike, y = xβ + u_recipe + e, and the interval above is too short
for a run of a new recipe.  The variances of u and e are estimated by moments: of the squared residuals of least
squares, and of those about the mean of their recipe.  The degrees of freedom of t are the recipes less p.  With one run
a recipe this is the interval above.

Shapes: M = runs, F = features, S = splits, T = sets of m calibration runs, N = points to predict, G = recipes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlready.core.stats import TAIL, t_quantile
from rlready.readiness.passk import Floats, Ints

Mask = NDArray[np.bool_]
RIDGE = 1e-9  # makes a half with one distinct value solvable: its slope is 0, and its fit its own mean


@dataclass(frozen=True)
class Few:
    """A fit calibrated with ``runs`` random runs and tested on other recipes: errors in units of the outcome.

    ``covered`` is the share of outcomes within the 95 % prediction interval, ``half_width`` its median half-width.
    """

    runs: int
    mae: float
    covered: float
    half_width: float


def least_squares(x_MF: Floats, y_M: Floats, weights_SM: Floats) -> Floats:
    """(S, M) predictions for every run by the weighted fit with each row of ``weights_SM``, to runs with weight."""
    spread = x_MF.std(0)
    unit_MF = (x_MF - x_MF.mean(0)) / np.where(spread > 0, spread, 1.0)
    share_SM = weights_SM / np.maximum(weights_SM.sum(1, keepdims=True), 1e-12)
    x_SF, y_S = share_SM @ unit_MF, share_SM @ (y_M - y_M.mean())  # rounding is least about the mean of all
    away_SMF, rise_SM = unit_MF - x_SF[:, None], y_M - y_M.mean() - y_S[:, None]
    weighted = away_SMF * share_SM[:, :, None]
    left = np.einsum("smf,smg->sfg", weighted, away_SMF) + RIDGE * np.eye(x_MF.shape[1])
    slope = np.linalg.solve(left, np.einsum("smf,sm->sf", weighted, rise_SM)[:, :, None])[:, :, 0]
    predictions: Floats = y_M.mean() + y_S[:, None] + np.einsum("smf,sf->sm", away_SMF, slope)
    return predictions


def halves(recipe_M: Ints, splits: int, rng: np.random.Generator) -> Mask:
    """(S, M): True if a run is in the calibration half, which has about half of the recipes with all their runs."""
    recipes = int(recipe_M.max()) + 1
    order = np.argsort(rng.random((splits, recipes)), axis=1)
    side: Mask = np.argsort(order, axis=1) < recipes // 2
    return side[:, recipe_M]


def r2_of_halves(x_MF: Floats, y_M: Floats, half_SM: Mask) -> Floats:
    """(S,) R² on the test half; nan if all its outcomes are equal."""
    inside, outside = half_SM.astype(np.float64), (~half_SM).astype(np.float64)
    error_SM = y_M - least_squares(x_MF, y_M, inside)
    mean = (outside @ y_M) / outside.sum(1)
    spread = (outside * (y_M - mean[:, None]) ** 2).sum(1)
    r2: Floats = 1 - (outside * error_SM**2).sum(1) / np.where(spread > 1e-15, spread, np.nan)
    return r2


def errors_left_out(x_MF: Floats, y_M: Floats, recipe_M: Ints) -> Floats:
    """(M,) outcome minus the prediction by the fit to the runs of all other recipes; x (M, 0) predicts their mean."""
    recipes = np.arange(int(recipe_M.max()) + 1)
    predictions_GM = least_squares(x_MF, y_M, (recipes[:, None] != recipe_M).astype(np.float64))
    errors: Floats = y_M - predictions_GM[recipe_M, np.arange(len(y_M))]
    return errors


def predict_with_interval(x_TmF: Floats, y_Tm: Floats, x_NF: Floats) -> tuple[Floats, Floats]:
    """(T, N) predictions and half-widths of their 95 % intervals, from T sets of m runs, m above F + 1.

    Both are nan if a set's runs are too close together to fit a line.
    """
    sets, runs, features = x_TmF.shape
    design = np.concatenate([np.ones((sets, runs, 1)), x_TmF], axis=2)
    new = np.column_stack([np.ones(len(x_NF)), x_NF])
    inverse = np.linalg.pinv(design.transpose(0, 2, 1) @ design)
    coefficients = (inverse @ (design.transpose(0, 2, 1) @ y_Tm[:, :, None]))[:, :, 0]
    free = runs - features - 1
    s2_T = ((y_Tm - (design @ coefficients[:, :, None])[:, :, 0]) ** 2).sum(1) / free
    leverage_TN = ((new @ inverse) * new).sum(2)
    good = np.linalg.matrix_rank(design) == features + 1
    guess = np.where(good[:, None], coefficients @ new.T, np.nan)
    return guess, t_quantile(1 - TAIL, free) * np.sqrt(s2_T[:, None] * (1 + leverage_TN))


def predict_new_recipe(x_MF: Floats, y_M: Floats, recipe_M: Ints, x_NF: Floats) -> tuple[Floats, Floats]:
    """(N,) predictions for runs of new recipes and half-widths of their 95 % intervals, from more than F + 1 recipes.

    Both are nan if the runs are too close together to fit a line.
    """
    runs, recipes = len(y_M), int(recipe_M.max()) + 1
    if recipes == runs:
        (guess_N,), (half_N,) = predict_with_interval(x_MF[None], y_M[None], x_NF)
        return guess_N, half_N
    design, new = (np.column_stack([np.ones(len(x)), x]) for x in (x_MF, x_NF))
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return np.full(len(x_NF), np.nan), np.full(len(x_NF), np.nan)
    fit_FM = np.linalg.pinv(design)
    off_MM = np.eye(runs) - design @ fit_FM
    same_MM = (recipe_M[:, None] == recipe_M).astype(np.float64)
    within_MM = np.eye(runs) - same_MM / same_MM.sum(1)
    residual_M = off_MM @ y_M
    forms = [off_MM, off_MM @ within_MM @ off_MM]  # of the errors, whose mean is a trace for each variance
    means = [[np.trace(form), np.trace(form @ same_MM)] for form in forms]
    run, recipe = np.linalg.lstsq(means, [residual_M @ residual_M, residual_M @ within_MM @ residual_M])[0]
    if recipe <= 0:
        run, recipe = residual_M @ residual_M / means[0][0], 0.0
    elif run < 0:
        run, recipe = 0.0, residual_M @ residual_M / means[0][1]
    cov_FF = fit_FM @ (run * np.eye(runs) + recipe * same_MM) @ fit_FM.T
    variance_N = run + recipe + ((new @ cov_FF) * new).sum(1)
    return new @ fit_FM @ y_M, t_quantile(1 - TAIL, recipes - design.shape[1]) * np.sqrt(np.maximum(variance_N, 0.0))


def few(x_MF: Floats, y_M: Floats, recipe_M: Ints, runs: int, trials: int, rng: np.random.Generator) -> Few | None:
    """The accuracy of a calibration with ``runs`` runs; recipes are drawn one by one until they have as many.

    None if there are too few runs to calibrate with or to test on.
    """
    if runs <= x_MF.shape[1] + 1 or len(y_M) - runs < 2:
        return None
    recipes = np.tile(np.arange(int(recipe_M.max()) + 1), (trials, 1))
    turn_TM = rng.permuted(recipes, axis=1)[:, recipe_M]
    known = np.argsort(turn_TM + rng.random(turn_TM.shape), axis=1)[:, :runs]
    guess, half = predict_with_interval(x_MF[known], y_M[known], x_MF)
    last = np.take_along_axis(turn_TM, known, axis=1).max(1, keepdims=True)
    judged = (turn_TM > last) & np.isfinite(guess).all(1, keepdims=True)
    if not judged.any():
        return None
    miss, half = np.abs(y_M - guess)[judged], half[judged]
    return Few(runs, float(miss.mean()), float((miss <= half).mean()), float(np.median(half)))
