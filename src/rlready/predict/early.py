"""Predictors from the beginning of an RL run: its first rewards, and where its learning curve would end.

RL itself has to begin before they are known, so that they choose which runs to go on with rather than where to start.

- *reward@5*, *reward@10*: mean reward of the first 5 or 10 steps (50 steps are the probe of arXiv 2604.23747; Aphale &
  Liu, 2606.18487, look at the first steps, too).
- *extrapolated*: the reward at the last step by a saturating curve through the first fifth of all steps,

      R(t) = R_0 + (A - R_0) / (1 + h/t),        A up to 1 for rewards up to 1

  the sigmoid of ScaleRL (2510.13786) over steps (`curves.py`), with its exponent fixed at 1: a fifth of a run does
  not determine it.  Least squares over R_0, A and h by scipy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rlready.predict.curves import saturating
from rlready.readiness.passk import Floats
from rlready.runs.log import LOG, read_log
from rlready.runs.results import refuse_damaged

FIRST = (5, 10)  # steps
SHARE = 0.2  # of the steps
LEAST = 10  # steps of that share, below which no curve is fitted


def early(run: Path) -> dict[str, float]:
    """The predictors by name, from the log of a run folder of rl; those that it is too short for are left out.

    UserError for a log that was changed after the run had ended, or that holds no lines of JSON.
    """
    refuse_damaged(run, run / LOG)
    logged = {line["step"]: line["reward"] for line in read_log(run / LOG) if _has_reward(line)}
    rewards = [float(logged[step]) for step in sorted(logged)]
    found = {f"reward@{n}": float(np.mean(rewards[:n])) for n in FIRST if n < len(rewards)}
    begin = rewards[: int(SHARE * len(rewards))]
    if len(begin) < LEAST:
        return found
    return found | {"extrapolated": extrapolated(range(1, len(begin) + 1), begin, len(rewards))}


def extrapolated(steps: Sequence[float], rewards: Sequence[float], step: float) -> float:
    """The reward at a later step by the curve through those of the first ``steps``, which ascend from above 0."""
    from scipy.optimize import curve_fit

    def curve(t: Floats, first: float, last: float, half: float) -> Floats:
        return saturating(t, first, last, 1.0, half)

    y, t = np.array(rewards), np.array(steps, dtype=np.float64)
    low, high = min(0.0, float(y.min())), max(1.0, float(y.max()))
    bounds = ([low, low, float(t[0])], [high, high, float(step)])
    found, _ = curve_fit(curve, t, y, (float(y[0]), float(y[-1]), float(t[0] + step) / 2), bounds=bounds)
    return float(curve(np.array([float(step)]), *found)[0])


def _has_reward(line: Mapping[str, object]) -> bool:
    reward = line.get("reward")
    return isinstance(line.get("step"), int) and isinstance(reward, int | float) and bool(np.isfinite(reward))
