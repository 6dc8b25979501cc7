"""The results of SFT and of RL, as they are returned, written as ``result.json`` and read back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rlready.core.cells import decimal, percent
from rlready.core.records import Estimate, Real
from rlready.core.result import Record, Result, Table
from rlready.runs.checkpoint_order import listed
from rlready.train.log import RLStepLog


class Checkpoint(Record):
    """A checkpoint of an SFT run.

    ``samples`` is the share of the run's samples seen so far; ``reference`` says whether it was kept as the reference
    of dense rewards rather than by ``save_every``.  Losses are in nats per token; ``heldout_loss`` is the mean over
    tokens, ``heldout_loss_examples`` the mean over examples, ``behind`` how far the former is above the lowest of the
    run, paired over examples with a simultaneous interval for all pairs, None for the lowest.
    """

    name: str
    path: str
    step: int
    epoch: float
    samples: float
    reference: bool
    heldout_loss: Estimate
    heldout_loss_examples: Estimate
    behind: Estimate | None = None


class SFTResult(Result):
    """The result of an SFT run.

    ``final_loss`` is the training loss of the last step in nats per token, ``weights_changed`` the share of the weights
    that differ from the base model's, in the precision of the arithmetic (None: a run before this was measured).
    """

    verb: Literal["sft"] = "sft"
    seed: int
    steps: int
    final_loss: Real
    checkpoints: list[Checkpoint] = Field(min_length=1)
    weights_changed: float | None = None

    @property
    def saved(self) -> list[str]:
        return [c.path for c in self.checkpoints]

    def tables(self) -> list[Table]:
        """Held-out loss of every checkpoint."""
        rows = [[c.name, str(c.epoch), decimal(c.heldout_loss), decimal(c.behind)] for c in self.checkpoints]
        return [Table(["checkpoint", "epoch", "held-out loss (nats per token)", "above the lowest"], rows)]


class Evaluation(Record):
    """Accuracy on the validation problems after ``step`` optimiser batches; step 0 is the starting checkpoint.

    ``gain`` is the accuracy minus that of step 0, paired over problems, None for step 0 itself.  Tokens are means over
    the samples, ``response_tokens`` of the whole response; ``undecided`` is the share of samples that could not be
    verified, which count as incorrect.
    """

    step: int
    accuracy: Estimate
    gain: Estimate | None = None
    thinking_tokens: float
    response_tokens: float = 0.0
    undecided: float = 0.0


class BestCheckpoint(Record):
    """The checkpoint with the highest accuracy on the validation problems; the earliest if several are equal.

    Step 0 is the starting checkpoint, whose ``path`` is the model as the run named it.  ``gain`` is that over step 0,
    with an interval for all evaluations together, None for step 0.
    """

    step: int
    path: str
    accuracy: Estimate
    gain: Estimate | None = None


class GroupTotals(Record):
    """The groups of all steps by kind, and their responses.

    ``at_limit`` of them reached their limit of tokens, ``undecided`` could not be verified and count as incorrect.
    """

    informative: int = 0
    solved: int = 0
    unsolved: int = 0
    equal: int = 0
    responses: int = 0
    at_limit: int = 0
    undecided: int = 0

    def plus(self, line: RLStepLog, group_size: int) -> GroupTotals:
        """These and the groups of another step."""
        counts = (line.groups_informative, line.groups_solved, line.groups_unsolved, line.groups_equal)
        responses = sum(counts) * group_size
        shares = (line.rollouts.truncated, line.rollouts.undecided)
        added = (*counts, responses, *(round(share * responses) for share in shares))
        totals = zip(type(self).model_fields, added, strict=True)
        return GroupTotals(**{name: getattr(self, name) + more for name, more in totals})

    @property
    def kinds(self) -> str:
        """How many of the groups without a gradient were of which kind."""
        counts = {"all wrong": self.unsolved, "all correct": self.solved, "of equal rewards": self.equal}
        return f"Groups were {', '.join(f'{kind} ({count})' for kind, count in counts.items() if count)}"


class RLResult(Result):
    """The result of an RL run; ``stopped`` says why it ended early and ``drift`` what drifted, empty if nothing.

    ``per_problem`` has the accuracy of each of the validation ``problems``, (P,) by step of the evaluation.  ``groups``
    counts the groups of all steps, and ``weights_changed`` is the share of the weights that differ from the starting
    checkpoint's, in the precision of the arithmetic.  They are empty or None of a run before they were kept.
    """

    verb: Literal["rl"] = "rl"
    seed: int
    steps: int
    stopped: str
    drift: str
    best: BestCheckpoint
    evaluations: list[Evaluation] = Field(min_length=1)
    problems: list[str] = Field(default_factory=list)
    per_problem: dict[int, list[float]] = Field(default_factory=dict)
    groups: GroupTotals | None = None
    weights_changed: float | None = None

    @property
    def picked(self) -> str:
        return self.best.path

    @property
    def saved(self) -> list[str]:
        return [self.best.path] if self.best.step else []

    @property
    def equals(self) -> list[int]:
        """Later steps that are as accurate as the best."""
        best = self.best
        return [e.step for e in self.evaluations if e.accuracy.value == best.accuracy.value and e.step > best.step]

    def remarks(self) -> list[str]:
        """Which later steps equal the best, and how many responses were not verified."""
        equal = listed(list(map(str, self.equals))) if self.best.step and self.equals else ""
        tie = f"As accurate as step {self.best.step}: step {equal}; the earliest is taken."
        groups, share = self.groups or GroupTotals(), max(e.undecided for e in self.evaluations)
        rollouts = f"{groups.undecided} of {groups.responses} rollouts were not verified and count as incorrect."
        validation = f"Up to {share:.1%} of the validation responses were not verified and count as incorrect."
        said = {tie: equal, rollouts: groups.undecided, validation: share}
        return [sentence for sentence, holds in said.items() if holds]

    def tables(self) -> list[Table]:
        """Accuracy at every evaluation, with the tokens of thoughts, if there are any, and of responses."""
        columns, rows = (
            ["step", "validation accuracy (%)", "minus step 0 (points)"],
            [[str(e.step), percent(e.accuracy), percent(e.gain)] for e in self.evaluations],
        )
        for name, tokens in (
            ("thinking tokens", [e.thinking_tokens for e in self.evaluations]),
            ("response tokens", [e.response_tokens for e in self.evaluations]),
        ):
            if any(tokens):
                columns.append(name)
                rows = [[*row, decimal(n, 1)] for row, n in zip(rows, tokens, strict=True)]
        return [Table(columns, rows)]
