"""The records that stages read and write.

All are frozen; arrays are numpy, never torch, so that this file is fast to import and a record can be written to
Parquet or JSON without conversion.  Shapes: T = tokens of one response.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

# a number that is null in JSON if it is not finite
Real = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
Finish = Literal["stop", "length", "reopened"]  # reopened: the answer began another thought


@dataclass(frozen=True)
class Problem:
    """One question with a verifiable answer.

    ``meta`` holds what a task needs to verify more than the answer, for DAG maths the graph; ``system`` is the text of
    a system turn before the prompt, empty for none.
    """

    id: str
    prompt: str
    answer: str
    meta: Mapping[str, object] = field(default_factory=dict)
    system: str = ""


@dataclass(frozen=True)
class Row:
    """One worked example for SFT: a prompt, an optional thought and the response that follows it.

    ``turn`` is the whole assistant turn as it was written, if thought and response came in one text; it keeps the line
    breaks around the delimiters.  ``system`` is the text of a system turn before the prompt.
    """

    id: str
    prompt: str
    response: str
    thinking: str | None = None
    system: str = ""
    turn: str = ""


@dataclass(frozen=True)
class Sample:
    """One rollout of one problem.

    ``tokens`` (T,) int32 are the token ids of the response, forced ones included; ``mask`` (T,) is 1 where the
    policy chose the token and 0 where the engine forced it; ``logprobs`` (T,) float32 are natural-log
    probabilities at the sampling temperature (0 where forced).  ``thinking_tokens`` and ``answer_tokens`` count the
    tokens inside and after the thought; the tokens that close the thought are in neither.  ``num_waits`` is how often
    the thought was extended, ``truncated`` whether it was closed at its budget.
    """

    problem_id: str
    sample_id: int
    tokens: NDArray[np.int32]
    mask: NDArray[np.uint8]
    logprobs: NDArray[np.float32]
    thinking_tokens: int
    answer_tokens: int
    thinking_budget: int | None = None
    num_waits: int = 0
    end_think_bias: float = 0.0  # nats added to the log-odds of ending the thought
    forced_close: bool = False
    truncated: bool = False
    finish: Finish = "stop"
    text: str = ""
    correct: bool | None = None
    strict: bool | None = None  # whether every step is right, if the task can verify steps
    reward: float | None = None
    run_on: bool = False  # continues into another turn, which the model invented and which is not verified
    undecided: bool = False  # the verifier raised or ran out of time, so that it counts as incorrect

    @property
    def reached_limit(self) -> bool:
        """Whether the thought reached its budget or the response its limit (TRL's ``clipped_ratio`` is their share)."""
        return self.truncated or self.finish == "length"

    @property
    def length(self) -> int:
        """Tokens of the thought, or of the whole response if it has no thinking budget."""
        return len(self.tokens) if self.thinking_budget is None else self.thinking_tokens

    def scored(
        self, *, correct: bool, reward: float, strict: bool | None, run_on: bool = False, undecided: bool = False
    ) -> Sample:
        return replace(self, correct=correct, reward=reward, strict=strict, run_on=run_on, undecided=undecided)


class SampleRow(TypedDict, total=False):
    """A row of a table of samples: the fields of `Sample`, arrays as lists, ``prompt``, ``answer`` and ``system`` of
    its problem, and what the stage adds.

    ``system`` is empty for a problem without a system turn, and missing or None in tables of versions that did not
    store it.

    RL adds the ``step``, with dense rewards also the ``advantages`` of the tokens, and evaluation ``setting``.
    Readiness adds ``wave``, that in which a sample was drawn, and ``planned``, the largest number of samples that the
    problem could get.
    """

    problem_id: str
    sample_id: int
    tokens: list[int]
    mask: list[int]
    logprobs: list[float]
    thinking_tokens: int
    answer_tokens: int
    thinking_budget: int | None
    num_waits: int
    end_think_bias: float
    forced_close: bool
    truncated: bool
    finish: Finish
    text: str
    correct: bool
    strict: bool | None
    reward: float
    run_on: bool
    undecided: bool
    prompt: str
    answer: str
    system: str | None
    step: int
    advantages: list[float]
    setting: str
    wave: int
    planned: int


@dataclass(frozen=True)
class Group:
    """All rollouts of one problem in one RL step: the unit of group-relative credit."""

    problem: Problem
    prompt_ids: Sequence[int]
    samples: Sequence[Sample]

    @property
    def rewards(self) -> NDArray[np.float64]:
        """(G,) rewards; raises ValueError if a sample was never scored (unscored is not 0)."""
        if any(s.reward is None for s in self.samples):
            raise ValueError(f"group {self.problem.id}: a sample has no reward; score it first")
        return np.array([s.reward for s in self.samples], dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval: 95 % unless said otherwise, ``n`` independent units of ``varies``."""

    value: Real
    low: Real
    high: Real
    n: int
    varies: str = "problems"

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Thought(str):
    """A thought with the ``whole`` response that it was cut from, which reward functions of trainers are given."""

    whole: str

    @staticmethod
    def cut(parts: tuple[str, str], whole: str) -> tuple[Thought, str]:
        """(thinking, answer) with the response that they are parts of."""
        thought = Thought(parts[0])
        thought.whole = whole
        return thought, parts[1]
