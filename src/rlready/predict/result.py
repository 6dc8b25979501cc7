"""The result of predict, as it is returned, written as ``result.json`` and read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from rlready.core.cells import DASH, decimal, percent
from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table, TaskRecord
from rlready.predict.score import ENOUGH, Score
from rlready.readiness.ranking import large
from rlready.readiness.result import RankedCheckpoint

MOST_COLUMNS = 6  # of a narrow table


class RLOutcome(Record):
    """One RL run: ``value`` is its outcome, ``cost`` its GPU or CPU seconds, None if unknown.

    ``curve`` says which value of which learning curve the outcome is, such as "best reward of trainer_state.json",
    and is empty for a number that was given.
    """

    family: str
    seed: str
    value: float
    cost: float | None
    curve: str = ""


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

    def after_rl(self, family: str) -> float | None:
        """The mean outcome over the RL seeds of one family; None if it has none."""
        values = [o.value for o in self.outcomes if o.family == family]
        return float(np.mean(values)) if values else None

    @property
    def next_in_brief(self) -> str:
        return self.next if self.outcomes else super().next_in_brief


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
    """A run of a family: its predictors by name, and its outcome with an interval over RL seeds, or over problems."""

    label: str
    predictors: dict[str, Estimate]
    outcome: Estimate


class FamilyResult(Record):
    """Runs whose outcomes may be compared: ``runs`` checkpoints of ``recipes``, from which ``rl_runs`` were made.

    ``meaning`` says what an outcome is: which accuracy, sampled how, after which RL steps; "" if that is not known.
    ``to_know_more`` says how many more recipes would show whether the predictor that ranks orders outcomes; "" if these
    do.

    ``seed_sd`` is the standard deviation between RL seeds of one checkpoint, None without two of any; ``lines`` has
    both ends, [x, y], of the least-squares line by predictor, None where there is none to draw; ``values`` are those of
    every predictor, in the order of ``points``; ``scores`` are empty with too few runs.
    """

    name: str
    meaning: str = ""
    to_know_more: str = ""
    runs: int
    rl_runs: int
    recipes: int
    seed_sd: float | None
    mean: Estimate
    points: list[Point]
    lines: dict[str, list[list[float]] | None]
    values: dict[str, list[float]]
    scores: list[Score]

    @property
    def title(self) -> str:
        return "Outcome of RL" + (f", {self.name}" if self.name else "")

    @property
    def shares(self) -> bool:
        """Whether outcomes look like shares, so that they are printed in per cent and limited to 0 to 100 %."""
        return all(0 <= p.outcome.value <= 1 for p in self.points)


class PredictResult(Result):
    """Candidates ranked ``ranked_by`` one predictor, best first by ``rank``, and how far predictors can be trusted.

    ``rule`` is the rule of the ranking in words, ``chosen`` the checkpoint that it picks.  ``next_steps`` and ``notes``
    say what to do, of which the first is the headline, and what limits the comparison.  ``untried`` is the label of the
    first of the ranking without an outcome that is not to be dropped, "" if there is none.
    """

    verb: Literal["predict"] = "predict"
    seed: int
    task: TaskRecord
    chance_level: dict[str, float]
    group_size: int
    ranked_by: str
    rule: str
    chosen: str
    untried: str = ""
    next_steps: list[str]
    checkpoints: list[CheckpointPrediction] = Field(min_length=1)
    predictors: list[PredictorRanking]
    families: list[FamilyResult]

    @property
    def picked(self) -> str:
        return self.chosen

    def remarks(self) -> list[str]:
        """What to do besides the headline, what outcomes of RL are, and the rule of the ranking, if it has decided."""
        rule = [f"Rule: {self.rule}"] if any(c.chosen for c in self.checkpoints) else []
        outcomes = [f"{family.title}: {family.meaning}." for family in self.families if family.meaning]
        named = len(self.families) > 1
        more = [
            f"{family.title}: {family.to_know_more}" if named else family.to_know_more
            for family in self.families
            if family.to_know_more
        ]
        return [*self.next_steps[1:], *more, *outcomes, *rule]

    def tables(self) -> list[Table]:
        """Checkpoints with advice, best first, and for every family the predictors with their scores."""
        families = [family for family in self.families if family.scores]
        return [_checkpoint_table(self), *map(_score_table, families)]


def _checkpoint_table(result: PredictResult) -> Table:
    """The table of checkpoints; a column is left out if no checkpoint has a value in it."""
    checkpoints = sorted(result.checkpoints, key=lambda row: row.rank)
    k = large(max(checkpoints[0].pass_at_k))
    families = [family.name for family in result.families]
    reached = {name: f"after RL{_in_unit(result, name)}" + f": {name}" * bool(name) for name in families}
    rows = [_checkpoint_cells(row, k, result.ranked_by, reached) for row in checkpoints]
    columns = [name for name in rows[0] if any(row[name] not in ("", DASH) for row in rows)]
    narrow = ["checkpoint", *dict.fromkeys(("pass@1 (%)", f"pass@{k} (%)")), result.ranked_by, "held-out loss"]
    narrow = [name for name in dict.fromkeys(narrow) if name in columns]
    last = [name for name in (*list(reached.values())[:2], "expected (%)", "expected", "next") if name in columns]
    narrow = [*narrow[: MOST_COLUMNS - len(last)], *last]
    return Table(columns, [[row[name] for name in columns] for row in rows], narrow=narrow)


def _checkpoint_cells(row: CheckpointPrediction, k: int, by: str, reached: Mapping[str, str]) -> dict[str, str]:
    """The cells of a checkpoint by column; ``reached`` names the column of every family's outcomes."""
    loss = row.heldout_loss
    cells = {"checkpoint": row.label}
    cells |= {f"pass@{k} (%)": percent(row.pass_at_k[k]) for k in sorted({1, k})}
    if not by.startswith("pass@"):
        cells[by] = decimal(row.values[by])
    cells |= {"held-out loss": decimal(loss.value if loss else None), f"P(best {by}) (%)": percent(row.p_best)}
    for family, column in reached.items():
        cells[column] = (percent if "%" in column else decimal)(row.after_rl(family))
    unit = " (%)" if any("%" in column for column in reached.values()) else ""
    cells[f"expected{unit}"] = (percent if unit else decimal)(row.expected)
    more = "" if row.more_problems is None else f"{row.more_problems:,}"
    return cells | {"problems to decide": more, "why": row.why, "next": row.next_in_brief}


def _score_table(family: FamilyResult) -> Table:
    """Scores of the predictors; with few recipes only rank correlation and regret, which need no fit."""
    unit, cell = (" (points)", percent) if family.shares else ("", decimal)
    rows = []
    for s in family.scores:
        cells = {"predictor": s.predictor, "Spearman": decimal(s.spearman, 2)}
        if family.recipes >= ENOUGH:
            cells |= {"minus pass@1's": decimal(s.gain, 2), "p, corrected": f"{s.p_any:.2g}", "p": f"{s.p:.2g}"}
            cells |= {
                "held-out R²": decimal(s.r2.value if s.r2 else None, 2),
                "R² and 95 %": decimal(s.r2, 2),
                f"mean error{unit}": cell(s.mae),
            }
        else:
            cells["p, corrected"] = f"{s.p_any:.2g}"
        cells[f"regret{unit}"] = cell(s.regret)
        if s.regret_by_sft_seed:
            cells["regret by SFT seed"] = ", ".join(cell(regret) for regret in s.regret_by_sft_seed.values())
        if s.regret_cost is not None:
            cells["RL seconds before the best"] = f"{s.regret_cost:,.0f}"
        rows.append(cells)
    wide = ("p", "R² and 95 %", f"mean error{unit}", "regret by SFT seed", "RL seconds before the best")
    title = f"Predictors of RL outcomes over {family.runs} checkpoints of {family.recipes} SFT recipes"
    title += f", {family.name}" if family.name else ""
    narrow = [name for name in rows[0] if name not in wide]
    return Table(list(rows[0]), [list(row.values()) for row in rows], title, narrow)


def _in_unit(result: PredictResult, name: str) -> str:
    """The unit of a family's outcomes, behind the name of a column."""
    return " (%)" if next(family for family in result.families if family.name == name).shares else ""
