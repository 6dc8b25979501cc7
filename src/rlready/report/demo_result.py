"""The result of ``rlready demo``: base, SFT and RL compared, and the readiness that chose where RL started."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rlready.core.cells import decimal, percent
from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table, TaskRecord
from rlready.evaluate.result import BudgetScores, LengthHistogram, Scores
from rlready.readiness.result import CheckpointReadiness


class DemoCheckpoint(CheckpointReadiness):
    """Readiness of a checkpoint of the SFT run, and where in that run it was saved."""

    epoch: float
    step: int


class ModelScores(Scores):
    """Scores at the largest budget; ``greedy_accuracy`` and ``greedy_strict_accuracy`` are those of greedy decoding.

    Both are None for the base model and where they are not known.
    """

    greedy_accuracy: Estimate | None = None
    greedy_strict_accuracy: Estimate | None = None


class StageSeconds(Record):
    """How long one stage took in all its attempts."""

    name: str
    seconds: float


class DemoResult(Result):
    """The SFT→RL pipeline; models are called "base", "sft" and "rl".

    ``recipe`` says what was run, and why the base model scores as it does where that is known, in sentences;
    ``rl_minus_sft`` is the difference of accuracies at the largest budget, paired over problems, and
    ``greedy_rl_minus_sft`` that of greedy accuracies; ``chosen`` is the name of the checkpoint that RL started from,
    ``rl_step`` the step of the RL checkpoint with the best validation accuracy.
    """

    verb: Literal["demo"] = "demo"
    seed: int
    task: TaskRecord
    recipe: list[str] = Field(default_factory=list)
    rl_minus_sft: Estimate
    greedy_rl_minus_sft: Estimate | None = None  # None in results of earlier versions
    chance_level: dict[str, float]
    chosen: str
    rl_step: int
    group_size: int | None = None  # of the groups in readiness; None in results of earlier versions
    checkpoints: list[DemoCheckpoint] = Field(min_length=1)
    budgets: list[BudgetScores] = Field(min_length=1)
    unconstrained: dict[str, Scores]
    lengths: LengthHistogram
    base: ModelScores
    sft: ModelScores
    rl: ModelScores
    stages: list[StageSeconds]
    seconds: float

    @property
    def short(self) -> dict[str, str]:
        """What models are called."""
        return {"base": "Base", "sft": f"SFT {self.chosen}", "rl": f"RL step-{self.rl_step}"}

    def tables(self) -> list[Table]:
        """The three models at the largest budget, and the difference of the last two."""
        columns = ["model", "accuracy (%)", "every step correct (%)", "thinking tokens", "greedy (%)"]
        rows = [
            [
                name,
                percent(m.accuracy),
                percent(m.strict_accuracy),
                decimal(m.thinking_tokens, 1),
                percent(m.greedy_accuracy),
            ]
            for name, m in zip(self.short.values(), (self.base, self.sft, self.rl), strict=True)
        ]
        greedy = percent(self.greedy_rl_minus_sft) if self.greedy_rl_minus_sft else ""
        return [Table(columns, [*rows, ["rl − sft (points)", percent(self.rl_minus_sft), "", "", greedy]])]
