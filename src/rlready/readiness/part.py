"""The measurements of one checkpoint, kept in ``parts/N.json`` for predict, and in case the run is killed later."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from rlready.core.result import Record
from rlready.influence.result import InfluenceResult
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.result import ProblemCounts, SampleStats


class ExampleLosses(Record):
    """Negative log-likelihood in nats and response tokens of every held-out example."""

    nll: list[float]
    tokens: list[int]

    @classmethod
    def of(cls, losses: HeldOut) -> Self:
        """From arrays (E,)."""
        return cls(nll=losses.nll.tolist(), tokens=losses.tokens.tolist())

    @property
    def heldout(self) -> HeldOut:
        """As arrays (E,), to estimate from."""
        return HeldOut(np.array(self.nll), np.array(self.tokens))


class Vocabulary(Record):
    """The vocabulary of ``model``: its size, and a SHA-256 of the texts and ids of all tokens."""

    model: str
    tokens: int
    digest: str


class Sampled(Record):
    """Counts and figures of a checkpoint's samples: ``samples`` in all, with ``tokens`` tokens (None if unknown).

    ``undecided`` is how many of them could not be verified, and count as incorrect.
    """

    counts: ProblemCounts
    stats: SampleStats
    samples: int
    tokens: int | None
    undecided: int = 0


class Part(Record):
    """The measurements of the checkpoint ``name`` on ``problems`` (ids).

    ``model`` is the folder or hub id of the checkpoint, empty for samples of which it is not known; ``heldout`` is
    None without held-out rows or a model, ``vocabulary`` without a model; ``strayed``: the run in whose folder it is
    has saved another one under its name, which tells neither its run nor its step then; ``doubt`` is what is wrong, and
    ``prompts`` and ``truths`` are digests of what was asked and of its answer, by problem, where another tool has
    stored that.
    """

    name: str
    model: str = ""
    problems: list[str]
    heldout: ExampleLosses | None = None
    vocabulary: Vocabulary | None = None
    sampled: Sampled
    influence: InfluenceResult | None = None
    doubt: str = ""
    strayed: bool = False
    prompts: dict[str, str] = Field(default_factory=dict)
    truths: dict[str, str] = Field(default_factory=dict)
