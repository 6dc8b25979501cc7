"""The outcome of an RL run from its learning curve: its last value, its best, or where it levels off.

A curve is TRL's or Transformers' ``trainer_state.json``, a log of verl or a folder of them (`verl_log.py`), a log of
prime-rl (`prime_rl_log.py`), or a table (`curve_table.py`).  Of the numbers that TRL logs, the outcome is
``eval_accuracy``, else ``eval_reward``, else ``reward``, that of training, unless ``metric`` names another.

- *last*: the value at the last step.
- *best*: the largest value after step 0, the evaluation before training, which is no outcome of RL.  As a maximum over
  noisy values, it is too large, and more so in a longer run.
- *asymptote*: A of the sigmoid of ScaleRL (arXiv 2510.13786) over steps t instead of compute,

      R(t) = R_0 + (A - R_0) / (1 + (t_mid / t)^B)

  by least squares over R_0, A, B and t_mid, with A from 0 to 1 for values from 0 to 1, from the values after step 0.
  The curve may fall.  The asymptote is refused where the curve does not determine it: before three quarters of its
  rise, or with a standard error of A above a tenth of the rise; and where its last quarter is not on the sigmoid.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from rlready.core.config import CurveValue
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import note, warn_once
from rlready.interchange.trl import STATE, states_in
from rlready.predict import curve_table, prime_rl_log, verl_log
from rlready.predict.cells import LESS, OUTCOMES, is_number, number_of
from rlready.predict.verl_log import LOGS
from rlready.readiness.passk import Floats

CHOICES: tuple[CurveValue, ...] = get_args(CurveValue)
USUAL = ("eval_accuracy", "eval_reward", "reward")  # the first as the rewards that rlready exports log it
SEVERAL = re.compile(r"eval_[^/]+_reward")  # of a trainer that has several data sets for evaluation
NO_METRICS = ("step", "epoch")
LEAST = 8  # points of a curve that is fitted
SHOWN = 4  # metrics in a warning
RISEN = 0.75  # share of the rise that a curve must show
LOOSE = 0.1  # standard error of the asymptote as a share of the rise, above which it is not determined
OFF = 3.0  # standard errors by which the mean of the last quarter may differ from the sigmoid
NEAR = 0.01  # or the share of the rise, if that is more


def curve_files(path: Path, place: str) -> list[Path]:
    """The file of a curve, or all logs of verl; UserError, which begins with ``place``, for none and for several runs.

    Of TRL's output folder it is the log that goes furthest, of the folder itself or of a checkpoint.
    """
    if path.is_dir():
        state = _newest_state(path, place)
        logs = verl_log.logs_in(path)
        of_verl = next(filter(verl_log.is_log, logs), None)
        runs = [file for file in (state, of_verl, *prime_rl_log.logs_in(path)) if file]
        if len(runs) > 1:
            names = " and ".join(str(file.relative_to(path)) for file in runs)
            raise UserError(f"{place}: {path} has the curves of several runs, {names}: name one of them")
        if not (runs or logs):
            raise UserError(
                f"{place}: {path} holds no {STATE}, which TRL and Transformers write there or in a checkpoint-*, no "
                f"{LOGS} of verl and no {prime_rl_log.LOG} of prime-rl; name one, a table with the columns step and "
                "outcome, or a number"
            )
        return logs if not runs or runs[0] in logs else runs
    if not path.is_file():
        raise UserError(f"{place}: no such file: {path}")
    return [path]


def _newest_state(output: Path, place: str) -> Path | None:
    """The log of the largest step in an output folder; UserError, which begins with ``place``, if others contradict it.

    A run that goes on from a checkpoint leaves an older log in the folder itself; another run leaves other values.
    """
    files = states_in(output)
    if len(files) < 2:
        return next(iter(files), None)
    logs = {file: _history(file) for file in files}
    newest = max(files, key=lambda file: logs[file][0])
    for other, (_, values) in logs.items():
        mine = logs[newest][1]
        unlike = [key for key, value in values.items() if mine.get(key, value) != value]
        if unlike:
            (step, name), names = min(unlike), " and ".join(str(file.relative_to(output)) for file in (newest, other))
            raise UserError(
                f"{place}: {output} has the logs of two runs, {names}: at step {step:g} {name} is "
                f"{mine[min(unlike)]:g} and {values[min(unlike)]:g}; name one of the files"
            )
    return newest


def _history(file: Path) -> tuple[float, dict[tuple[float, str], float]]:
    """(the last step, the numbers by step and name) of a trainer's log; (-1, {}) for one that cannot be read."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        values = {
            (float(line["step"]), name): value
            for line in state["log_history"]
            for name, text in line.items()
            if name not in NO_METRICS and is_number(value := number_of(text))
        }
        done = number_of(state.get("global_step"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return -1, {}
    return done if is_number(done) else max((step for step, _ in values), default=-1), values


@dataclass(frozen=True)
class Curve:
    """The values of ``metric`` in a file or folder, in ascending order of their steps; shapes [points].

    ``files`` are those that were read; ``planned`` are the steps that a run was to take, if it has stopped before.
    """

    path: Path
    files: tuple[Path, ...]
    metric: str
    steps: Floats
    values: Floats
    planned: float | None = None

    def outcome(self, choice: CurveValue, place: str) -> float:
        """The value that ``choice`` names.

        UserError, which begins with ``place``, for a curve without a value after step 0 or a determined asymptote.
        """
        steps, values = (each[self.steps > 0] for each in (self.steps, self.values))
        if not len(steps):
            raise UserError(f"{place}: {self.path} has only the evaluation before training, at step 0; train first")
        if choice == "asymptote":
            return asymptote(steps, values, f"{place}: {self.path}")
        return float(values[-1] if choice == "last" else values.max())

    def meaning(self, choice: CurveValue) -> str:
        """What the outcome is."""
        return f"{choice} {self.metric} of {self.path}"


def read_curve(path: Path, metric: str, place: str) -> Curve:
    """The learning curve in a file or folder; UserError, which begins with ``place``, for one without values.

    Of the metrics of `STATE` or a tracker the first of `USUAL` that is there counts, unless ``metric`` names one.
    """
    files = curve_files(path, place)
    planned = None
    if files[0].name == STATE:
        path = files[0]
        metric, points, planned = _logged(path, metric)
    elif prime_rl_log.is_log(files[0]):
        path = files[0]
        metric, points = prime_rl_log.curve(path, metric)
    elif path.is_dir() or verl_log.is_log(path):
        metric, points = verl_log.curve(files, metric)
    elif verl_log.is_printed(path):
        raise UserError(
            f"{place}: {path} is what verl prints; name the file that it writes with trainer.logger='[console,file]', "
            "a table with the columns step and outcome, or a number"
        )
    else:
        metric, points = curve_table.read(path, metric, USUAL)
    if not points:
        raise UserError(f"{place}: {path} has no values of {metric}")
    if LESS.search(metric.lower()):
        raise UserError(f"{place}: of {metric} of {path} less is better: name a metric of which more is, or a number")
    steps = sorted(points)
    values = np.array([points[step] for step in steps])
    return Curve(path, tuple(files), metric, np.array(steps, dtype=float), values, planned)


def saturating(t: Floats, first: float, last: float, power: float, half: float) -> Floats:
    """The sigmoid R(t) with R_0 ``first``, A ``last``, B ``power`` and t_mid ``half``; t is above 0."""
    return first + (last - first) / (1 + (half / t) ** power)


def asymptote(t: Floats, y: Floats, where: str) -> float:
    """The value at which a curve levels off, t above 0; UserError, which begins with ``where``, if not determined."""
    from scipy.optimize import OptimizeWarning, curve_fit

    fix = "take its last or best value as outcome"
    if len(t) < LEAST:
        raise UserError(f"{where}: {len(t)} points after step 0, fewer than {LEAST}, show no asymptote; {fix}")
    if np.ptp(y) == 0:
        return float(y[0])

    low, high, quarter = float(y.min()), float(y.max()), max(3, len(t) // 4)
    bottom, top = (0.0, 1.0) if low >= 0 and high <= 1 else (2 * low - high, 2 * high - low)
    bounds = ([2 * low - high, bottom, 0.1, t[0] / 2], [2 * high - low, top, 10.0, 2 * t[-1]])
    ends = (low, high) if y[-quarter:].mean() >= y[:quarter].mean() else (high, low)
    guess = (*ends, 1.0, float(np.median(t)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            (first, last, power, half), spread = curve_fit(saturating, t, y, guess, bounds=bounds, maxfev=20_000)
        except RuntimeError:
            raise UserError(f"{where}: no sigmoid fits this curve; {fix}") from None
    error = math.sqrt(spread[1, 1]) if np.isfinite(spread[1, 1]) else math.inf
    risen = saturating(t[-1], 0.0, 1.0, power, half)
    if risen < RISEN or error > LOOSE * abs(last - first):
        raise UserError(f"{where}: does not level off, so its asymptote is not determined; {fix}")
    residuals = y - saturating(t, first, last, power, half)
    noise = math.sqrt(np.square(residuals).sum() / (len(t) - len(guess)) / quarter)
    if abs(residuals[-quarter:].mean()) > max(OFF * noise, NEAR * abs(last - first)):
        raise UserError(f"{where}: its last values are not on the sigmoid that fits the others; {fix}")
    return float(last)


def _logged(path: Path, metric: str) -> tuple[str, dict[float, float], float | None]:
    """(the metric's name, its values by step, the steps of `Curve.planned`), from the history of a trainer."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        lines = [line for line in state["log_history"] if is_number(number_of(line["step"]))]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a {STATE} with a log_history ({str(error)[:80]})") from None
    logged = [(name, value) for line in lines for name, value in line.items() if name not in NO_METRICS]
    names = list(dict.fromkeys(name for name, value in logged if is_number(number_of(value))))
    if metric and metric not in names:
        raise UserError(f"{path}: no metric {metric!r} was logged; {nearest(metric, names)}")
    metric = metric or _usual(path, names, lines)
    found: dict[float, float] = {}
    twice, absent = 0, dict[float, str]()
    for line in lines:
        if line.get(metric) is not None:
            value, step = number_of(line[metric]), float(line["step"])
            if is_number(value):
                twice += found.get(step, value) != value
                found[step] = value
            else:
                absent[step] = str(line[metric])[:40]
    if absent and max(absent) > max(found, default=0.0):
        raise UserError(
            f"{path}: {metric} at step {max(absent):g}, the last, is {absent[max(absent)]!r}, no finite number; name "
            "another metric, or state the outcome as a number"
        )
    if absent:
        note(f"{path}: {metric} is no finite number at {len(absent)} of its steps, which are left out")
    if twice:
        steps = f"{twice} of its {len(found)} steps"
        note(f"{path}: {metric} was logged again at {steps} with another value: the last counts")
    done, planned = (number_of(state.get(name)) for name in ("global_step", "max_steps"))
    return metric, found, planned if is_number(done) and is_number(planned) and done < planned else None


def _usual(path: Path, names: Sequence[str], lines: Sequence[dict[str, object]]) -> str:
    """The metric that counts where none is named; UserError where it would have to be guessed."""
    several = [name for name in names if SEVERAL.fullmatch(name)]
    if several and not any(name in names for name in USUAL if name.startswith("eval_")):
        raise UserError(f"{path}: has {', '.join(several)} of several evaluations; name one as the metric")
    there = [name for name in USUAL if name in names]
    if not there:
        raise UserError(f"{path}: none of {', '.join(USUAL)} was logged; name another as the metric")
    _refuse_start(path, there, lines)
    curve_table.refuse_sum(str(path), there[0], names)
    evaluated = [name for name in names if name.startswith("eval_") and OUTCOMES.search(name)]
    if evaluated and not there[0].startswith("eval_"):
        warn_once(
            f"{path}: warning: the outcome is {there[0]}, of the problems that RL trained on, though the log has "
            f"{', '.join(evaluated[:SHOWN])} of others: name one as the metric"
        )
    return there[0]


def _refuse_start(path: Path, usual: Sequence[str], lines: Sequence[dict[str, object]]) -> None:
    """UserError if the first of the usual metrics was logged before training alone, and another one later."""
    later = [name for name in usual if any(name in line and number_of(line["step"]) for line in lines)]
    if later and later[0] != usual[0]:
        raise UserError(
            f"{path}: has only the evaluation before training, at step 0, of {usual[0]}; take what was logged later "
            f"with metric={later[0]}, in all curves that are compared"
        )
