"""The results of SFT and of RL, as they are returned, written as ``result.json`` and read back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rlready.core.records import Estimate, Real
from rlready.core.result import Record, Result, Table


class Checkpoint(Record):
    """A checkpoint of an SFT run.

    ``samples`` is the share of the run's samples seen so far; ``reference`` says whether it was kept as the reference
    of dense rewards rather than by ``save_every``.  Losses are in nats per token; ``heldout_loss`` is the mean over
    tokens, ``heldout_loss_examples`` the mean over examples.
    """

    name: str
    path: str
    step: int
    epoch: float
    samples: float
    reference: bool
    heldout_loss: Estimate
    heldout_loss_examples: Estimate


class SFTResult(Result):
    """The result of an SFT run; ``final_loss`` is the training loss of the last step in nats per token."""

    verb: Literal["sft"] = "sft"
    seed: int
    steps: int
    final_loss: Real
    checkpoints: list[Checkpoint] = Field(min_length=1)

    def tables(self) -> list[Table]:
        """Held-out loss of every checkpoint."""
        rows = [[c.name, str(c.epoch), str(c.heldout_loss)] for c in self.checkpoints]
        return [Table(["checkpoint", "epoch", "held-out loss (nats per token)"], rows)]


class Evaluation(Record):
    """Accuracy on the validation problems after ``step`` optimiser batches; step 0 is the starting checkpoint."""

    step: int
    accuracy: Estimate
    thinking_tokens: float


class BestCheckpoint(Record):
    """The RL checkpoint with the highest accuracy on the validation problems; the earliest if several are equal."""

    step: int
    path: str
    accuracy: Estimate


class RLResult(Result):
    """The result of an RL run; ``stopped`` says why it ended early and ``drift`` what drifted, empty if nothing."""

    verb: Literal["rl"] = "rl"
    seed: int
    steps: int
    stopped: str
    drift: str
    best: BestCheckpoint
    evaluations: list[Evaluation] = Field(min_length=1)

    def tables(self) -> list[Table]:
        """Accuracy and thinking tokens at every evaluation."""
        rows = [[str(e.step), str(e.accuracy), f"{e.thinking_tokens:.1f}"] for e in self.evaluations]
        return [Table(["step", "validation accuracy", "thinking tokens"], rows)]
