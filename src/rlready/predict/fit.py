"""From a predictor to an outcome in numbers: least squares, on halves of the runs and on three or four of them.

After Kang et al. (arXiv 2510.01624): a linear fit calibrated on some runs and scored on the rest, over random splits.
Ours: 50/50 halves of *recipes*, so that no recipe is on both sides; R² = 1 - SSE/SST on the held half, SST about its
own mean; intervals by weights on recipes (Bayesian bootstrap) carried through fit and score.

**A few runs** (the paper says 3-4): ordinary least squares with prediction intervals
ŷ ± t_{0.975, m-p} · s · √(1 + h),  h = xᵀ(XᵀX)⁻¹x,  m runs, p parameters.  With m = 3 and one predictor t is 12.7.

Shapes: M = runs, F = features, S = splits, B = resamples, m = runs to calibrate with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlready.readiness.passk import Floats, Ints
from rlready.stats import TAIL, t_quantile

Mask = NDArray[np.bool_]
RIDGE = 1e-9  # keeps a half with one distinct value solvable: its fit is the mean


@dataclass(frozen=True)
class Few:
    """Calibrated with ``runs`` random runs, judged on the others: errors in units of the outcome.

    ``covered``: share of outcomes within the 95 % prediction interval; ``half_width``: the median of its halves.
    """

    runs: int
    mae: float
    covered: float
    half_width: float


def least_squares(x_MF: Floats, y_M: Floats, weights_SM: Floats) -> Floats:
    """(S, M) predictions of every run by the fits that each row of weights makes."""
    spread = x_MF.std(0)
    design = np.column_stack([np.ones(len(x_MF)), (x_MF - x_MF.mean(0)) / np.where(spread > 0, spread, 1.0)])
    size = design.shape[1]
    outer = (design[:, :, None] * design[:, None, :]).reshape(len(x_MF), -1)
    left = (weights_SM @ outer).reshape(-1, size, size)
    ridge = np.eye(size) * (RIDGE * np.maximum(weights_SM.sum(1), 1e-12))[:, None, None]
    right = weights_SM @ (design * y_M[:, None])
    coefficients: Floats = np.linalg.solve(left + ridge, right[:, :, None])[:, :, 0]
    predictions: Floats = coefficients @ design.T
    return predictions


def halves(recipe_M: Ints, splits: int, rng: np.random.Generator) -> Mask:
    """(S, M): True where a run is on the calibrating side; about half of the recipes are, with all their runs."""
    recipes = int(recipe_M.max()) + 1
    order = np.argsort(rng.random((splits, recipes)), axis=1)
    side: Mask = np.argsort(order, axis=1) < recipes // 2
    return side[:, recipe_M]


def split_scores(x_MF: Floats, y_M: Floats, weights_M: Floats, half_SM: Mask) -> tuple[Floats, Floats]:
    """(S,) R² and mean absolute error on the held side; R² is nan where all its outcomes are equal."""
    inside, outside = weights_M * half_SM, weights_M * ~half_SM
    error_SM = y_M - least_squares(x_MF, y_M, inside)
    total = outside.sum(1)
    mean = (outside @ y_M) / total
    spread = (outside * (y_M - mean[:, None]) ** 2).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1 - (outside * error_SM**2).sum(1) / np.where(spread > 1e-15, spread, np.nan)
    return r2, (outside * np.abs(error_SM)).sum(1) / total


def predict_with_interval(x_mF: Floats, y_m: Floats, x_NF: Floats) -> tuple[Floats, Floats]:
    """(N,) predictions and half-widths of their 95 % intervals from m runs; needs more runs than parameters."""
    design, new = (np.column_stack([np.ones(len(x)), x]) for x in (x_mF, x_NF))
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ design.T @ y_m
    free = len(y_m) - design.shape[1]
    s2 = float(((y_m - design @ coefficients) ** 2).sum()) / free
    leverage = (new @ inverse * new).sum(1)
    return new @ coefficients, t_quantile(1 - TAIL, free) * np.sqrt(s2 * (1 + leverage))


def few(x_MF: Floats, y_M: Floats, runs: int, trials: int, rng: np.random.Generator) -> Few | None:
    """What a calibration with so many random runs is worth; None where runs or the others are too few."""
    if runs <= x_MF.shape[1] + 1 or len(y_M) - runs < 2:
        return None
    trials = min(trials, math.comb(len(y_M), runs))
    errors, inside, widths = [], [], []
    for _ in range(trials):
        chosen = rng.permutation(len(y_M))
        known, rest = chosen[:runs], chosen[runs:]
        if len(np.unique(x_MF[known], axis=0)) <= x_MF.shape[1]:
            continue  # too few different values to draw a line through
        guess, half = predict_with_interval(x_MF[known], y_M[known], x_MF[rest])
        miss = np.abs(y_M[rest] - guess)
        errors.append(miss.mean())
        inside.append((miss <= half).mean())
        widths.append(np.median(half))
    if not errors:
        return None
    return Few(runs, float(np.mean(errors)), float(np.mean(inside)), float(np.median(widths)))
