"""The result of predict, as it is returned, written as ``result.json`` and read back."""

from __future__ import annotations

from typing import Literal

from rlready.core.records import Estimate
from rlready.core.result import Record, Result, TaskRecord
from rlready.predict.score import Score
from rlready.readiness.result import RankedCheckpoint


class RLOutcome(Record):
    """One RL run: ``value`` is what it reached, ``cost`` seconds of GPU or CPU, None where unknown."""

    family: str
    seed: str
    value: float
    cost: float | None


class CheckpointPrediction(RankedCheckpoint):
    """One candidate: ``sft`` is the folder of its run and ``trained`` its source of rows, None where unknown.

    ``values`` are those of all predictors by name, ``p_best`` is the probability of being the best of all by the
    predictor that ranks, ``expected`` the outcome of RL with its 95 % prediction interval.
    """

    label: str
    sft: str | None
    step: int | None
    trained: str | None
    heldout_loss: Estimate | None
    pass_at_k: dict[int, Estimate]
    values: dict[str, float]
    p_best: float
    outcomes: list[RLOutcome]
    expected: Estimate | None


class PredictorRanking(Record):
    """The order by one predictor, of labels, best first, and the probability of being the best of each checkpoint.

    ``p_better[i][j]``: probability that the i-th is better than the j-th of the predictor's first few, in the order of
    the checkpoints; None for a predictor of minor interest.
    """

    name: str
    better: Literal["high", "low"]
    order: list[str]
    p_best: list[float]
    p_better: list[list[float]] | None


class Point(Record):
    """A run of a family: its predictors by name, and its outcome with an interval over RL seeds."""

    label: str
    predictors: dict[str, Estimate]
    outcome: Estimate


class FamilyResult(Record):
    """Runs whose outcomes may be compared: ``runs`` checkpoints of ``recipes``, from which ``rl_runs`` were made.

    ``seed_sd`` is the standard deviation between RL seeds of one checkpoint, None without two of any; ``lines`` has
    both ends, [x, y], of the least-squares line by predictor, None where there is none to draw; ``values`` are those of
    every predictor, in the order of ``points``; ``scores`` are empty with too few runs.
    """

    name: str
    runs: int
    rl_runs: int
    recipes: int
    seed_sd: float | None
    mean: Estimate
    points: list[Point]
    lines: dict[str, list[list[float]] | None]
    values: dict[str, list[float]]
    scores: list[Score]


class PredictResult(Result):
    """Candidates ranked ``ranked_by`` one predictor, best first by ``rank``, and how far predictors can be trusted.

    ``next_steps`` and ``notes`` are sentences: what to do, and what limits the comparison.
    """

    verb: Literal["predict"] = "predict"
    seed: int
    task: TaskRecord
    chance_level: dict[str, float]
    group_size: int
    ranked_by: str
    chosen: str
    next_steps: list[str]
    notes: list[str]
    checkpoints: list[CheckpointPrediction]
    predictors: list[PredictorRanking]
    families: list[FamilyResult]
