"""The figures of results that have an interval, and its kind: as `core.stats` and `predict` make them."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from pydantic import BaseModel

from rlready.core.records import Estimate
from rlready.core.result import Result
from rlready.predict.result import PredictResult

BOOTSTRAP, STUDENT = "95 % Bayesian bootstrap interval", "95 % Student's t interval"
SIMULTANEOUS = "simultaneous 95 % interval (Bonferroni)"
CORRECTED = ("behind", "loss_rise", "best.gain", "closest.lead")  # keys of figures that are of several comparisons
PREDICTION = "95 % prediction interval (Student's t)"
RANKS = "95 % interval of a rank correlation, the wider of Bayesian bootstrap and Fisher's z"
NORMAL = "95 % normal interval"
EXPECTED = re.compile(r"checkpoints\[\d+\]\.expected")  # in results of predict, as those below
SCORE = re.compile(r"families\[(\d+)\]\.scores\[(\d+)\]\.(\w+)")
SIMULATED = re.compile(r".*\.predictors\.(entropy|distinct_answers)")  # from a standard error
PAIRED = (
    "rl_minus_sft",
    "greedy_rl_minus_sft",
    "gain",
    "gain_over_previous",
    "r2_gain",
    "change",
    "behind",
    "lead",
    "loss_rise",
    "loss_change",
    "pass_1_change",
    "length_added",
)  # differences on the same problems, examples or recipes


def figures(result: BaseModel) -> Iterator[tuple[str, Estimate]]:
    """Every figure of a result that has an interval, with its key; those nearest to the top first."""
    waiting = deque[tuple[str, object]]([("", result)])
    while waiting:
        key, value = waiting.popleft()
        if isinstance(value, Estimate):
            if math.isfinite(value.low) and math.isfinite(value.high):
                yield key, value
        elif isinstance(value, BaseModel):
            waiting += [(f"{key}.{name}".lstrip("."), each) for name, each in value]
        elif is_dataclass(value):
            waiting += [(f"{key}.{each.name}", getattr(value, each.name)) for each in fields(value)]
        elif isinstance(value, dict):
            waiting += [(f"{key}.{name}", each) for name, each in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{key}[{at}]", each) for at, each in enumerate(value)]


def kind_of(result: Result, key: str, figure: Estimate) -> str:
    """The kind of an interval, by the key of its figure in a result and what varies."""
    if isinstance(result, PredictResult):
        if scored := SCORE.fullmatch(key):
            return _of_score(result, int(scored[1]), int(scored[2]), scored[3])
        if EXPECTED.fullmatch(key):
            return PREDICTION
        if SIMULATED.fullmatch(key):
            return NORMAL
    if key.endswith(CORRECTED):
        return SIMULTANEOUS
    return STUDENT if figure.varies == "seeds" else BOOTSTRAP


def _of_score(result: PredictResult, family: int, at: int, name: str) -> str:
    """The kind of an interval in `predict.score`: gains are corrected, but for that of the predictor that ranks."""
    if name == "spearman":
        return RANKS
    if name in ("gain", "r2_gain") and result.families[family].scores[at].predictor != result.ranked_by:
        return SIMULTANEOUS
    return BOOTSTRAP if name == "gain" else STUDENT
