"""What an evaluation returns: scores of every model under every setting, with intervals over problems."""

from __future__ import annotations

from typing import Literal

from rlready.core.records import Estimate
from rlready.core.result import Record, Result


class TaskFacts(Record):
    """The task that the problems are of."""

    source: str
    description: str


class Measures(Record):
    """One model under one setting.

    ``truncated``: share of thoughts that were closed at the budget; ``unfinished``: share of responses that were cut
    off before they ended.  ``strict_accuracy``: share of responses with every step right, where the task can tell.
    """

    accuracy: Estimate
    thinking_tokens: Estimate
    answer_tokens: Estimate
    truncated: Estimate
    unfinished: Estimate
    strict_accuracy: Estimate | None = None


class Scores(Measures):
    """One model at one budget, or without any."""

    gain: Estimate | None = None  # accuracy minus the first model's, paired over problems; None for the first model
    change: Estimate | None = None  # accuracy minus the model's own at the largest budget; None at that budget


class BudgetScores(Record):
    """Scores of every model at one thinking budget; ``budget`` is None in an unconstrained run."""

    budget: int | None
    scores: dict[str, Scores]


class Variant(Record):
    """How a model was made to spend its tokens, besides the budget."""

    model: str
    num_waits: int
    end_think_bias: float
    length_prompted: bool  # the budget is asked for in the prompt, and nothing is forced

    @property
    def description(self) -> str:
        """The variant in words: "2 waits, bias 1", "length prompt" or "budget alone"."""
        if self.length_prompted:
            return "length prompt"
        words = [f"{self.num_waits} waits" if self.num_waits else ""]
        words.append(f"bias {self.end_think_bias:g}" if self.end_think_bias else "")
        return ", ".join(filter(None, words)) or "budget alone"


class SettingScores(Measures, Variant):
    """One model under another setting than a budget alone, compared with the main setting of the same budget."""

    setting: str
    budget: int
    change: Estimate  # accuracy minus that of the main setting, paired over problems
    wrong_to_right: Estimate  # share of samples that are correct here and were not there
    right_to_wrong: Estimate
    extended: Estimate  # share of samples whose thought was extended
    length_error: Estimate | None  # mean |thinking tokens - budget| / budget, for a length prompt


class CurveMetrics(Variant):
    """Control, Scaling and Performance of one curve of accuracy over budgets; see ``metrics.py``."""

    control: float
    scaling: Estimate | None
    performance: Estimate
    best_budget: int


class Votes(Record):
    """Parallel samples at one budget, as many as the tokens of one sample under the costliest setting buy."""

    model: str
    budget: int | None
    samples: int
    tokens: float  # of all these samples together
    majority_vote: Estimate
    most_likely: Estimate
    any_correct: Estimate


class LengthCounts(Record):
    """Counts (B,) of samples in each bin of thinking tokens."""

    correct: list[int]
    incorrect: list[int]


class LengthHistogram(Record):
    """Thinking tokens at the largest budget: ``edges`` (B + 1,) of the bins, counts by model."""

    edges: list[int]
    models: dict[str, LengthCounts]


class EvaluateResult(Result):
    """Scores at every budget, without one, and under every other setting; ``models`` in the order they were named."""

    verb: Literal["evaluate"] = "evaluate"
    seed: int
    task: TaskFacts
    chance: dict[str, float]
    models: list[str]
    problems: list[str]
    per_problem: dict[str, dict[str, list[float]]]  # accuracy of each problem, by model and setting
    budgets: list[BudgetScores]  # by growing budget
    unconstrained: dict[str, Scores]  # by model: its own prompt and stop, no budget
    settings: list[SettingScores]
    metrics: list[CurveMetrics]
    votes: list[Votes]
    lengths: LengthHistogram
