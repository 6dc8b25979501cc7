"""The result of readiness, as it is returned, written as ``result.json`` and read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, TypeVar

import numpy as np
from pydantic import Field

from rlready.core.cells import DASH, decimal, percent
from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table, TaskRecord
from rlready.core.separation import separable
from rlready.influence.result import InfluenceResult
from rlready.readiness.adaptive_sampling import Counts
from rlready.runs.checkpoint_order import labels

Advice = Literal["rl", "tie", "drop", "unsolved"]
SOLVED = "all solved: RL has no signal"
Entry = TypeVar("Entry", bound="RankedCheckpoint")


class ProblemCounts(Record):
    """The samples of every problem for one checkpoint, each list in the order of the problems; see `Counts`."""

    first: int
    cap: int
    since: list[int]
    drawn: list[int]
    correct: list[int]

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """From arrays (P,)."""
        since, drawn, correct = (array.tolist() for array in (counts.since, counts.drawn, counts.correct))
        return cls(first=counts.first, cap=counts.cap, since=since, drawn=drawn, correct=correct)

    @property
    def counts(self) -> Counts:
        """As arrays (P,), to estimate from."""
        since, drawn, correct = (np.array(each, dtype=np.int64) for each in (self.since, self.drawn, self.correct))
        return Counts(self.first, self.cap, since, drawn, correct)


class SampleStats(Record):
    """Statistics of the first samples of every problem besides correctness; None if unknown.

    ``entropy`` is in nats per token.  ``distinct_answers`` is the expected number of different answers in a group of
    ``ReadinessResult.informative_group_size`` samples, and only known of samples that were drawn here.  ``truncated``
    is the share of samples whose thought reached its budget, or that reached their limit.  Lengths are mean tokens of
    the thought (``thinking``) and of the whole response (``length``), over right and over wrong samples.
    """

    entropy: Estimate | None = None
    distinct_answers: Estimate | None = None
    truncated: Estimate | None = None
    thinking_right: Estimate | None = None
    thinking_wrong: Estimate | None = None
    length_right: Estimate | None = None
    length_wrong: Estimate | None = None


class Overfitting(Record):
    """A checkpoint against the one of least held-out loss in its SFT run, which is at place ``minimum`` in that run.

    ``loss_rise`` is in nats per token, with a simultaneous interval for all pairs of checkpoints; ``pass_1_change`` is
    the paired difference of pass@1.  ``onset`` says whether the checkpoint is past overfitting onset.
    """

    minimum: int
    loss_rise: Estimate
    pass_1_change: Estimate
    onset: bool


class RankedCheckpoint(Record):
    """The place of a checkpoint among all: ``rank`` counts from 1, RL is to start from the ``chosen`` one.

    ``behind`` is the lead of the first checkpoint, with a simultaneous interval for all pairs, None for the first
    itself; ``more_problems`` is how many more would decide between the two if they are not significantly different,
    None if no number would.  ``advice``: start RL from it ("rl"), not significantly different from the first ("tie"),
    "drop" it, or "unsolved": no sample is correct, so that RL would have no signal; ``next`` says so in words and
    ``why`` gives the reason.  ``decided``: what it does for which RL is to start from it though another is the first,
    "" for the first and all others.  ``overfitting`` is None for the checkpoint of least loss, and where no loss or no
    SFT run is known.
    """

    name: str
    chosen: bool
    rank: int
    behind: Estimate | None
    more_problems: int | None
    advice: Advice
    next: str
    why: str
    overfitting: Overfitting | None
    decided: str = ""

    @property
    def next_in_brief(self) -> str:
        """The advice in a word or two, for a narrow column."""
        if self.advice == "drop" and self.past_onset:
            return "drop: past onset"
        if self.next == SOLVED:
            return "no signal"
        return {"rl": "RL first", "tie": "tie", "drop": "drop", "unsolved": "no signal"}[self.advice]

    @property
    def separable(self) -> int | None:
        """About how many more problems would separate it from the first at 80 % power, to two digits; None if no
        sensible number would."""
        return separable(self.more_problems)

    @property
    def past_onset(self) -> bool:
        """Whether it is past overfitting onset."""
        return self.overfitting is not None and self.overfitting.onset


def rival(checkpoints: Sequence[Entry]) -> Entry | None:
    """The checkpoint whose distance to the first shows how sure the decision is; None if there is only one.

    It is the pick if that is not the first, else the next that is not significantly different, else the next.
    """
    others = sorted((c for c in checkpoints if c.rank > 1), key=lambda c: c.rank)
    groups = ([c for c in others if c.chosen], [c for c in others if c.advice == "tie"], others)
    return next((group[0] for group in groups if group), None)


class HistogramBin(Record):
    """The share of ``problems`` for which about ``share_right`` of the samples is right."""

    share_right: float
    problems: Estimate


class CheckpointReadiness(RankedCheckpoint, SampleStats):
    """The measurements of one checkpoint.

    Losses are in nats per response token: ``heldout_loss`` the mean over tokens, ``heldout_loss_examples`` over
    examples, ``loss_change`` the paired difference to the checkpoint before it in its SFT run.  ``unsolved``,
    ``partially_solved`` and ``solved`` are shares of problems in ``counted_samples`` samples: as many as every problem
    has whatever their outcome (0 if an older version did not say how many).  ``informative`` (share of informative
    groups) and ``group_signal`` are those of groups of ``ReadinessResult.informative_group_size``; ``variance`` is the
    mean p(1 - p), None with one sample.  ``samples`` and ``tokens`` were drawn in all; ``undecided`` samples could not
    be verified and count as incorrect.
    """

    heldout_loss: Estimate | None
    heldout_loss_examples: Estimate | None
    loss_change: Estimate | None
    pass_at_k: dict[int, Estimate] = Field(min_length=1)
    counted_samples: int = 0
    unsolved: Estimate
    partially_solved: Estimate
    solved: Estimate
    informative: Estimate
    group_signal: Estimate
    variance: Estimate | None
    histogram: list[HistogramBin]
    influence: InfluenceResult | None
    samples: int
    tokens: int | None
    undecided: int = 0

    @property
    def counted(self) -> str:
        """Of how many samples ``unsolved`` and ``solved`` speak, to be said behind them."""
        return f" in {self.counted_samples}" if self.counted_samples else ""


class ReadinessResult(Result):
    """Checkpoints in the order of training, measured on the same ``problems`` (ids) and ranked.

    ``chance_level`` is the score of guessing, by "pass@k"; ``group_size`` is that planned for RL, but no larger than
    the samples of a problem; ``ranked_by`` is the pass@k of the ranking, ``rule`` the rule in words, ``reasons`` say
    what to drop and why, and what would separate a tie, ``chosen`` is the name of the checkpoint to start RL from.
    ``per_problem`` has the counts behind every pass@k by the name of the checkpoint.  ``conditions`` are, by column,
    those under which samples were drawn, as their tables say.
    """

    verb: Literal["readiness"] = "readiness"
    seed: int
    task: TaskRecord
    chance_level: dict[str, float]
    group_size: int
    informative_group_size: int
    ranked_by: str
    rule: str
    reasons: list[str]
    chosen: str
    checkpoints: list[CheckpointReadiness] = Field(min_length=1)
    problems: list[str]
    per_problem: dict[str, ProblemCounts]
    conditions: dict[str, str] = Field(default_factory=dict)

    @property
    def picked(self) -> str:
        return self.chosen

    def remarks(self) -> list[str]:
        """What to drop and why, how many samples were not verified, and the rule of the ranking, if it has decided."""
        drawn, undecided = sum(c.samples for c in self.checkpoints), sum(c.undecided for c in self.checkpoints)
        unverified = f"{undecided} of {drawn} samples were not verified and count as incorrect."
        decided = len(self.checkpoints) > 1 and any(c.chosen for c in self.checkpoints)
        rule = [f"Rule: {self.rule}"] if decided else []
        return [*self.reasons, *([unverified] if undecided else []), *rule]

    def tables(self) -> list[Table]:
        """A row for each checkpoint, in the order of training."""
        k, samples = int(self.ranked_by.removeprefix("pass@")), max(self.checkpoints[0].pass_at_k)
        ks, influenced = sorted({1, self.group_size, k, samples}), any(each.influence for each in self.checkpoints)
        names = labels(each.name for each in self.checkpoints)
        rows = [_cells(each, names[each.name], ks, influenced) for each in self.checkpoints]
        narrow = ["checkpoint", *dict.fromkeys(("pass@1 (%)", f"pass@{k} (%)")), "informative (%)"]
        narrow += [*(["held-out loss"] if any(each.heldout_loss for each in self.checkpoints) else []), "next"]
        return [Table(list(rows[0]), [list(row.values()) for row in rows], narrow=narrow)]


def _cells(row: CheckpointReadiness, label: str, ks: list[int], influenced: bool) -> dict[str, str]:
    """The cells of a checkpoint by column."""
    loss = row.heldout_loss
    cells = {"checkpoint": label}
    cells |= {f"pass@{k} (%)": percent(row.pass_at_k[k]) for k in ks}
    cells |= {"held-out loss": decimal(loss.value if loss else None), "loss, 95 % interval": _interval(loss)}
    shares = {f"unsolved{row.counted}": row.unsolved, "informative": row.informative, "truncated": row.truncated}
    cells |= {f"{name} (%)": percent(share.value if share else None) for name, share in shares.items()}
    figures = {"group signal": row.group_signal, "entropy": row.entropy}
    cells |= {name: decimal(figure.value if figure else None) for name, figure in figures.items()}
    cells["distinct answers"] = decimal(row.distinct_answers.value if row.distinct_answers else None, 1)
    lengths = {"tokens if correct": row.length_right, "tokens if wrong": row.length_wrong}
    cells |= {name: decimal(length.value if length else None, 0) for name, length in lengths.items()}
    if influenced:
        found = row.influence
        factors = (found.step, found.co_influence, found.cosine) if found else (None, None, None)
        for name, factor in zip(("ΔJ/η", "co-influence", "cosine"), factors, strict=True):
            cells[name] = f"{factor.value:.3g} [{factor.low:.3g}, {factor.high:.3g}]" if factor else DASH
    cells["not verified"] = str(row.undecided)
    more = "" if row.more_problems is None else f"{row.more_problems:,}"
    return cells | {"problems to decide": more, "why": row.why, "next": row.next_in_brief}


def _interval(estimate: Estimate | None) -> str:
    return DASH if estimate is None else f"[{estimate.low:.3f}, {estimate.high:.3f}]"
