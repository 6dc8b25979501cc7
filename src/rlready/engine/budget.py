"""Budget forcing as one state machine over one row, for any engine.

    think(budget) ── stop reached ───► waits left and room?  ── yes ─► drop the stop, append "Wait", think on
                                       └─ no ─► close
                  ── budget reached ─► close + answer prefix   (truncated)
    close: line break unless there is one, end of thinking, line break; answer(own limit), up to another thought

After s1 (Muennighoff et al., arXiv 2501.19393), with these differences: the budget counts all thinking tokens,
including inserted ones (s1 grants each round the whole budget); a stop may not be the first token after a wait; forced
tokens carry mask 0 from the moment they are made; the answer has its own limit, and ends where it begins another
thought, which would escape the budget.  A policy that ends its thought in its own words is left alone.  One that ends
the whole response inside the thought has its thought closed and is asked for an answer.

Besides forcing there is a training-free way to think less (or more): ``end_think_bias`` is added to the log-odds of the
end of the thought wherever the policy may end it.  It follows the stop decision's temperature of "Making Small Language
Models Efficient Reasoners" (arXiv 2505.07961), of which only the abstract was at hand; that the term is additive, and
where it applies, are choices of this package.

The state knows tokens only through ``Delimiter``, so delimiters of one token and of several are one case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rlready.core.errors import UserError
from rlready.core.records import Finish, Sample
from rlready.engine.delimiter import Delimiter


@dataclass(frozen=True)
class Budget:
    """The tokens that one response may spend on its thought and on its answer.

    ``thinking_budget`` None means unconstrained: nothing is forced, and ``max_answer_tokens`` limits the whole
    response.  ``end_think_bias`` is in nats.  Raises UserError for values out of range.
    """

    thinking_budget: int | None
    max_answer_tokens: int
    num_waits: int = 0
    end_think_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.thinking_budget is not None and self.thinking_budget < 1:
            raise UserError(f"thinking_budget must be at least 1 token, got {self.thinking_budget}")
        if self.max_answer_tokens < 1:
            raise UserError(f"max_answer_tokens must be at least 1 token, got {self.max_answer_tokens}")
        if self.num_waits < 0:
            raise UserError(f"num_waits must not be negative, got {self.num_waits}")
        if not math.isfinite(self.end_think_bias):
            raise UserError(f"end_think_bias must be finite, got {self.end_think_bias}")


@dataclass(frozen=True)
class Forcing:
    """The template's side of budget forcing: what ends a thought and what is put in its place.

    ``close_after_break_ids`` close a thought that ends in a line break, ``close_ids`` any other.  ``answer_prefix_ids``
    follow where the thought was truncated at its budget.  ``wait_ids`` replace an early end of the thought.  ``opener``
    would begin another thought.
    """

    delimiter: Delimiter
    close_ids: tuple[int, ...]
    close_after_break_ids: tuple[int, ...]
    answer_prefix_ids: tuple[int, ...]
    wait_ids: tuple[int, ...]
    stop_ids: frozenset[int]
    opener: Delimiter | None = None

    def max_tokens(self, budget: Budget) -> int:
        """Tokens of the longest response under a budget, forced ones included."""
        closing = max(len(self.close_ids), len(self.close_after_break_ids)) + len(self.answer_prefix_ids)
        return budget.max_answer_tokens + (0 if budget.thinking_budget is None else budget.thinking_budget + closing)


@dataclass
class BudgetState:
    """One row that is being decoded.

    Engines ask ``forced`` for the next token; where it gives none, they draw one and pass it to ``accept``.
    """

    budget: Budget
    forcing: Forcing
    tokens: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    thinking_tokens: int = 0
    answer_tokens: int = 0
    num_waits: int = 0
    phase: str = "think"
    forced_close: bool = False
    truncated: bool = False
    finish: Finish = "stop"
    after_wait: bool = False  # the last token was inserted: a stop may not follow at once
    _queue: list[int] = field(default_factory=list)
    _overrun: int = 0  # tokens beyond the budget that may still turn out to be the delimiter

    def __post_init__(self) -> None:
        if self.budget.thinking_budget is None:
            self.phase = "answer"
        if self.budget.num_waits and not self.forcing.wait_ids:
            raise UserError("num_waits needs a text to put in place of the stop, for example wait_text=Wait")
        if self.budget.end_think_bias and self.forcing.delimiter.single is None:
            raise UserError(
                "end_think_bias needs a thought that ends in one token, but in this vocabulary "
                f"{self.forcing.delimiter.text!r} is several; leave it out"
            )

    @property
    def done(self) -> bool:
        return self.phase == "done"

    @property
    def banned(self) -> frozenset[int]:
        """Tokens that may not be drawn now."""
        if self.phase == "think" and self.after_wait:
            return self.forcing.delimiter.opening | self.forcing.stop_ids
        return frozenset()

    @property
    def end_think_bias(self) -> float:
        """Nats to add to the log-odds of the token that ends the thought."""
        return self.budget.end_think_bias if self.phase == "think" and not self._queue else 0.0

    def forced(self) -> int | None:
        """The next token to append without asking the policy; None where the policy chooses."""
        if not self._queue:
            return None
        token = self._queue.pop(0)
        self._append(token, 0.0, chosen=False)
        return token

    def accept(self, token: int, logprob: float) -> None:
        """Take a token that the policy chose; ``tokens`` becomes shorter where something is taken back."""
        if self.phase == "think":
            self._think(token, logprob)
        else:
            self._answer(token, logprob)

    def _append(self, token: int, logprob: float, *, chosen: bool) -> None:
        self.tokens.append(token)
        self.mask.append(int(chosen))
        self.logprobs.append(logprob)

    def _drop(self, n: int) -> None:
        keep = len(self.tokens) - n
        del self.tokens[keep:], self.mask[keep:], self.logprobs[keep:]

    def _think(self, token: int, logprob: float) -> None:
        budget = self.budget.thinking_budget
        assert budget is not None
        self.after_wait = False
        if token in self.forcing.stop_ids and token != self.forcing.delimiter.single:
            if self._overrun:  # the end of the response inside the thought is never kept
                self._truncate()
            elif not self.insert_wait():
                self._close(truncated=False)
            return
        self._append(token, logprob, chosen=True)
        self.thinking_tokens += 1
        held = self.forcing.delimiter.length(self.tokens)
        if held and self.thinking_tokens - held <= budget:  # one that begins beyond the budget is too late
            self.thinking_tokens -= held
            self._overrun = 0
            if self.can_insert_wait():
                self._drop(held)
                self.insert_wait()
            else:
                self.phase = "answer"
        elif self.thinking_tokens >= budget:
            if self.forcing.delimiter.pending(self.tokens) and self._overrun < len(self.forcing.delimiter.text):
                self._overrun = self.thinking_tokens - budget + 1
            else:
                self._truncate()

    def _truncate(self) -> None:
        """The budget is reached: take back what went beyond it and close."""
        budget = self.budget.thinking_budget
        assert budget is not None
        self._drop(self.thinking_tokens - budget)
        self.thinking_tokens = budget
        self._close(truncated=True)

    def can_insert_wait(self) -> bool:
        budget = self.budget.thinking_budget
        room = budget is not None and self.thinking_tokens + len(self.forcing.wait_ids) < budget
        return self.phase == "think" and self.num_waits < self.budget.num_waits and room

    def insert_wait(self) -> bool:
        """Put the wait text in place of a stop, if there is one left and room for it; says whether it did."""
        if not self.can_insert_wait():
            return False
        self._queue = list(self.forcing.wait_ids)
        self.thinking_tokens += len(self._queue)
        self.num_waits += 1
        self.after_wait = True
        return True

    def _close(self, *, truncated: bool) -> None:
        self.forced_close = True
        self.truncated = truncated
        by = self.forcing
        broken = self.tokens and by.delimiter.decode(self.tokens[-1:]).endswith("\n")
        close = by.close_after_break_ids if broken else by.close_ids
        self._queue = [*close, *(by.answer_prefix_ids if truncated else ())]
        self._overrun = 0
        self.phase = "answer"

    def _answer(self, token: int, logprob: float) -> None:
        self._append(token, logprob, chosen=True)
        self.answer_tokens += 1
        opener = self.forcing.opener if self.budget.thinking_budget is not None else None
        if token in self.forcing.stop_ids:
            self.phase, self.finish = "done", "stop"
        elif opener and opener.length(self.tokens[-self.answer_tokens :]):
            self.phase, self.finish = "done", "reopened"
        elif self.answer_tokens >= self.budget.max_answer_tokens:
            self.phase, self.finish = "done", "length"

    def replay(self, trace: Sample) -> bool:
        """Follow a sample drawn under a budget at least as large, as far as this budget allows; True if to the end.

        The sample may also be an unconstrained one after the same prompt.  Because a draw depends on its position only,
        the tokens taken over are those that this state would have drawn: after False, decoding continues from
        ``tokens``.  Raises ValueError for a sample made with another template.
        """
        budget, larger = self.budget.thinking_budget, trace.thinking_budget
        if (budget is None and larger is not None) or (budget and larger and larger < budget):
            return False  # after another prompt, or closed too early
        if self.budget.end_think_bias != trace.end_think_bias:
            return False
        chosen, logprobs = trace.mask.tolist(), trace.logprobs.tolist()
        for at, token in enumerate(trace.tokens.tolist()):
            if self.done or len(self.tokens) < at:  # something that the trace kept was taken back
                break
            if chosen[at]:
                if self._queue:
                    return False
                self.accept(token, logprobs[at])
                continue
            if not self._queue and not self.insert_wait() and not self._ended(trace):
                return False
            if self._queue[0] != token:  # right where the two part, wrong where both were forced at one place
                waiting = self.phase == "think"
                if trace.num_waits >= self.num_waits if waiting else trace.thinking_tokens == self.thinking_tokens:
                    raise ValueError(f"trace {trace.problem_id}/{trace.sample_id} was not made with this template")
                return False
            self.forced()
        return self.done

    def _ended(self, trace: Sample) -> bool:
        """The trace was closed because the response ended inside the thought; so is this one."""
        if (
            self.phase != "think"
            or not trace.forced_close
            or trace.truncated
            or self.thinking_tokens != trace.thinking_tokens
        ):
            return False
        if self._overrun:
            self._truncate()
        else:
            self._close(truncated=False)
        return True

    def sample(self, problem_id: str, sample_id: int, text: str) -> Sample:
        return Sample(
            problem_id=problem_id,
            sample_id=sample_id,
            tokens=np.array(self.tokens, dtype=np.int32),
            mask=np.array(self.mask, dtype=np.uint8),
            logprobs=np.array(self.logprobs, dtype=np.float32),
            thinking_tokens=self.thinking_tokens,
            answer_tokens=self.answer_tokens,
            thinking_budget=self.budget.thinking_budget,
            num_waits=self.num_waits,
            end_think_bias=self.budget.end_think_bias,
            forced_close=self.forced_close,
            truncated=self.truncated,
            finish=self.finish,
            text=text,
        )
