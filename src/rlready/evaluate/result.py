"""What an evaluation returns: scores of every model under every setting, with intervals over problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from rlready.core.cells import decimal, percent, supported
from rlready.core.records import Estimate, Finish
from rlready.core.result import Record, Result, Table, TaskRecord
from rlready.core.text import with_system
from rlready.evaluate.metrics import PER
from rlready.runs.checkpoint_order import labels

FEW = 10  # tokens per which slopes are printed where no budget has `PER`


class Measures(Record):
    """One model under one setting.

    ``truncated``: share of responses whose thought reached its budget, or that reached their limit; ``unfinished``:
    share of responses that did not end by themselves; ``undecided``: share of responses that could not be verified,
    which count as incorrect.  ``strict_accuracy``: share of responses with every step correct, where the task can tell.
    """

    accuracy: Estimate
    thinking_tokens: Estimate
    answer_tokens: Estimate
    truncated: Estimate
    unfinished: Estimate
    undecided: float = 0.0
    strict_accuracy: Estimate | None = None


class Scores(Measures):
    """One model at one budget, or without any.

    ``gain_over_previous`` is its accuracy minus that of the model named before it, paired over problems; None for the
    first, and where there are only two.
    """

    gain: Estimate | None = None  # accuracy minus the first model's, paired over problems; None for the first model
    gain_over_previous: Estimate | None = None
    change: Estimate | None = None  # accuracy minus the model's own at the largest budget; None at that budget


class BudgetScores(Record):
    """Scores of every model at one thinking budget; ``budget`` is None in an unconstrained run."""

    budget: int | None
    scores: dict[str, Scores]


class Variant(Record):
    """Settings of decoding besides the budget."""

    model: str
    num_waits: int
    end_think_bias: float
    length_prompted: bool  # the budget is asked for in the prompt, and nothing is forced

    @property
    def description(self) -> str:
        """The variant in words: "2 waits, bias 1", "length prompt" or "budget alone"."""
        if self.length_prompted:
            return "length prompt"
        words = [f"{self.num_waits} wait{'s' * (self.num_waits > 1)}" if self.num_waits else ""]
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

    def cells(self, short: Mapping[str, str]) -> list[str]:
        """A row of the printed table; ``short`` are the names of models there."""
        shares = [percent(share.value) for share in (self.accuracy, self.wrong_to_right, self.right_to_wrong)]
        error = percent(self.length_error.value if self.length_error else None)
        tokens = decimal(self.thinking_tokens.value, 1)
        return [self.setting, short[self.model], shares[0], percent(self.change), *shares[1:], tokens, error]


class CurveMetrics(Variant):
    """Control, Scaling and Performance of one curve of accuracy over budgets; see ``metrics.py``."""

    control: float
    scaling: Estimate | None
    performance: Estimate
    best_budget: int

    def cells(self, short: Mapping[str, str], per: int) -> list[str]:
        """A row of the printed table, with ``scaling`` per so many tokens."""
        scaling = supported(self.scaling, per / PER)
        return [
            *(short[self.model], self.description, percent(self.control), scaling),
            *(percent(self.performance), str(self.best_budget)),
        ]


class Votes(Record):
    """Several samples of each problem at one budget, for the tokens of one sample under the most expensive setting.

    They are at least one and at most those drawn; ``budget`` is None for samples without a budget.  ``majority_vote``
    is the accuracy of the most frequent answer, ``most_likely`` that of the sample with the highest mean
    log-probability per token, and ``any_right`` the share of problems that at least one sample solves (pass@samples).
    """

    model: str
    budget: int | None
    samples: int
    tokens: float  # of all these samples together
    majority_vote: Estimate
    most_likely: Estimate
    any_right: Estimate

    def cells(self, short: Mapping[str, str]) -> list[str]:
        """A row of the printed table."""
        shares = [percent(share) for share in (self.majority_vote, self.most_likely, self.any_right)]
        return [str(self.budget or "none"), short[self.model], str(self.samples), *shares, f"{self.tokens:.0f}"]


class LengthCounts(Record):
    """Counts (B,) of samples in each bin of thinking tokens."""

    right: list[int]
    wrong: list[int]


class LengthHistogram(Record):
    """Thinking tokens at the largest budget: ``edges`` (B + 1,) of the bins, counts by model."""

    edges: list[int]
    models: dict[str, LengthCounts]


class Example(Record):
    """One sample to read, a line of ``examples.jsonl``; ``pieces``: the text of each token, 1 if the model chose it.

    ``system`` is that of `SampleRow`.
    """

    model: str
    problem_id: str
    prompt: str
    answer: str
    correct: bool
    strict: bool | None
    finish: Finish
    truncated: bool
    budget: int | None
    thinking_tokens: int
    pieces: list[tuple[str, int]]
    system: str | None = None

    @property
    def asked(self) -> str:
        """The prompt with its system turn."""
        return with_system(self.prompt, self.system)


class Closest(Record):
    """``best`` is the most accurate model at the largest budget, ``rival`` the next.

    The interval of the ``lead``, paired over problems, holds for all pairs of models together; ``more_problems`` is how
    many more would separate the two if they are not significantly different, None if no number would.
    """

    best: str
    rival: str
    lead: Estimate
    more_problems: int | None

    @property
    def significant(self) -> bool:
        return self.lead.low > 0


class EvaluateResult(Result):
    """Scores at every budget, without one, and under every other setting; ``models`` in the order they were named.

    With ``response_limits`` no model thinks: budgets and lengths are tokens of the whole response.  ``names`` are
    short ones of the models, with their stage where SFT and RL are compared; ``closest`` is None for a single model.
    """

    verb: Literal["evaluate"] = "evaluate"
    seed: int
    task: TaskRecord
    chance_level: dict[str, float]
    models: list[str]
    names: dict[str, str] = Field(default_factory=dict)
    problems: list[str]
    per_problem: dict[str, dict[str, list[float]]]  # accuracy of each problem, by model and setting
    budgets: list[BudgetScores] = Field(min_length=1)  # in ascending order of budget
    closest: Closest | None = None
    response_limits: bool = False
    unconstrained: dict[str, Scores]  # by model: its own prompt and stop, no budget
    settings: list[SettingScores]
    metrics: list[CurveMetrics]
    votes: list[Votes]
    lengths: LengthHistogram

    @property
    def short(self) -> dict[str, str]:
        """What models are called; results of older versions have no names."""
        return self.names or labels(self.models)

    @property
    def limit(self) -> str:
        """What limits the tokens of a sample."""
        return "response limit" if self.response_limits else "budget"

    @property
    def several(self) -> list[Votes]:
        """The votes of more than one sample; those of a single one repeat its accuracy."""
        return [v for v in self.votes if v.samples > 1]

    @property
    def slope_tokens(self) -> int:
        """The tokens per which ``scaling`` is printed: `PER`, or a few where all budgets are smaller."""
        return PER if any((row.budget or PER) >= PER for row in self.budgets) else FEW

    def remarks(self) -> list[str]:
        """How many responses of each model were not verified, under the setting with the most of them."""
        budgets = [*(row.scores for row in self.budgets), self.unconstrained]
        measures = [pair for scores in budgets for pair in scores.items()] + [(s.model, s) for s in self.settings]
        most = {
            model: max((m.undecided for name, m in measures if name == model), default=0.0) for model in self.models
        }
        return [
            f"{model}: up to {share:.1%} of the responses were not verified and count as incorrect."
            for model, share in most.items()
            if share
        ]

    def tables(self) -> list[Table]:
        """Accuracy by budget and model; then the other settings, the metrics of every curve and the votes, if any."""
        short = self.short
        found = [self._scores_table(short)]
        if self.settings:
            narrow = ["setting", "model", "accuracy (%)", "change (points)", "thinking tokens"]
            columns = [*narrow[:-1], "wrong→correct (%)", "correct→wrong (%)", narrow[-1], "length error (%)"]
            title = f"Compared with {self.metrics[0].description} at the same budget: +waits, ~bias, length prompt"
            rows = [s.cells(short) for s in self.settings]
            found.append(Table(columns, rows, title, narrow))
        if self.metrics:
            columns = ["model", "setting", "control (%)", "scaling", "performance (%)", "at budget"]
            unit = f"points per {self.slope_tokens:,} tokens"
            title = f"Control, scaling ({unit}) and performance (accuracy at the best one)"
            found.append(Table(columns, [m.cells(short, self.slope_tokens) for m in self.metrics], title))
        if self.several:
            columns = ["budget", "model", "samples", "majority vote (%)", "most likely (%)", "any correct (%)"]
            rows = [v.cells(short) for v in self.several]
            found.append(Table([*columns, "tokens"], rows, "Many samples at equal total tokens", columns))
        return found

    def _scores_table(self, short: Mapping[str, str]) -> Table:
        """``truncated``: the thought or the response reached its limit; ``unfinished``: the response did."""
        if self.response_limits:
            narrow = columns = [self.limit, "model", "accuracy (%)", "response tokens", "truncated (%)"]
        else:
            narrow = [self.limit, "model", "accuracy (%)", "thinking tokens", "truncated (%)"]
            columns = [*narrow[:4], "answer tokens", narrow[4], "unfinished (%)"]
        budgets = [(str(row.budget), row.scores) for row in self.budgets if row.budget is not None]
        differences = [("gain", f"minus {short[self.models[0]]} (points)")] if len(self.models) > 1 else []
        differences += [("change", f"minus {budgets[-1][0]} (points)")] if budgets else []
        rows = []
        for budget, scores in [*budgets, ("unconstrained", self.unconstrained)]:
            for model, s in scores.items():
                cells = [] if self.response_limits else [decimal(s.thinking_tokens.value, 1)]
                cells += [decimal(s.answer_tokens.value, 1), percent(s.truncated.value)]
                cells += [] if self.response_limits else [percent(s.unfinished.value)]
                cells += [percent(getattr(s, key)) for key, _ in differences]
                rows.append([budget, short[model], percent(s.accuracy), *cells])
        narrow = [*narrow, *(title for _, title in differences[:1])]
        return Table([*columns, *(title for _, title in differences)], rows, narrow=narrow)
