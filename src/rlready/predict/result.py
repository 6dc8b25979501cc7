"""The result of predict, as it is returned, written as ``result.json`` and read back."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table, TaskRecord
from rlready.predict.predictors import LOSS
from rlready.predict.score import Score
from rlready.readiness.ranking import large
from rlready.readiness.result import DASH, RankedCheckpoint


class RLOutcome(Record):
    """One RL run: ``value`` is its outcome, ``cost`` its GPU or CPU seconds, None if unknown."""

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
    pass_at_k: dict[int, Estimate] = Field(min_length=1)
    values: dict[str, float]
    p_best: float
    outcomes: list[RLOutcome]
    expected: Estimate | None


class PredictorRanking(Record):
    """The order by one predictor, of labels, best first, and the probability of being the best of each checkpoint.

    ``p_better[i][j]``: probability that the i-th is better than the j-th of the predictor's first few, in the order of
    the checkpoints; None except for the main predictors.
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
    checkpoints: list[CheckpointPrediction] = Field(min_length=1)
    predictors: list[PredictorRanking]
    families: list[FamilyResult]

    def tables(self) -> list[Table]:
        """Checkpoints with advice, best first, and for every family the predictors with their scores."""
        families = [family for family in self.families if family.scores]
        return [_checkpoint_table(self.checkpoints, self.ranked_by), *map(_score_table, families)]


def _checkpoint_table(checkpoints: list[CheckpointPrediction], by: str) -> Table:
    """The table of checkpoints; a column is left out if no checkpoint has a value in it."""
    ks = list(dict.fromkeys([1, large(max(checkpoints[0].pass_at_k))]))
    has_loss = any(row.heldout_loss for row in checkpoints)
    has_outcome, has_expected = any(row.outcomes for row in checkpoints), any(row.expected for row in checkpoints)
    columns = ["checkpoint", *(f"pass@{k}" for k in ks), *(["held-out loss"] if has_loss else []), f"best by {by}"]
    columns += [*(["after RL"] if has_outcome else []), *(["expected"] if has_expected else []), "next"]
    rows = []
    for row in sorted(checkpoints, key=lambda row: row.rank):
        cells = [row.label, *(str(row.pass_at_k[k]) for k in ks)]
        cells += [str(row.heldout_loss or DASH)] * has_loss
        cells.append(f"{row.p_best:.0%}")
        cells += [f"{np.mean([o.value for o in row.outcomes]):.3f}" if row.outcomes else DASH] * has_outcome
        cells += [str(row.expected or DASH)] * has_expected
        rows.append([*cells, row.next])
    return Table(columns, rows)


def _score_table(family: FamilyResult) -> Table:
    costs = any(s.regret_cost for s in family.scores)
    columns = ["predictor", "Spearman", "gain over pass@1", "p", "p, best of all", "out-of-sample R²", "mean error"]
    columns += ["top-1 regret", *(["RL seconds before the best"] if costs else [])]
    rows = []
    for s in family.scores:
        r2 = DASH if s.r2 is None else f"{_brief(s.r2)} ± {s.r2_sd:.2f}"
        cells = [f"{s.predictor} (less is better)" if s.predictor == LOSS else s.predictor, _brief(s.spearman)]
        cells += [DASH if s.gain is None else _brief(s.gain), f"{s.p:.2g}", f"{s.p_any:.2g}", r2]
        cells += [str(s.mae or DASH), str(s.regret)]
        cells += [DASH if s.regret_cost is None else f"{s.regret_cost.value:,.0f}"] * costs
        rows.append(cells)
    title = f"Predictors of RL outcomes over {family.runs} runs" + (f", {family.name}" if family.name else "")
    return Table(columns, rows, title)


def _brief(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
