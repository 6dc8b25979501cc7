"""Budget forcing as one state machine over one row, for any engine.

    think(budget) ── end of thought ─► waits left and room?  ── yes ─► replace it by "Wait", continue thinking
                                       └─ no ─► close
                  ── budget reached ─► close + answer prefix   (truncated)
    close: line break unless there is one, end of thinking, line break; answer(max_answer_tokens)

After s1 (Muennighoff et al., arXiv 2501.19393), with these differences: the budget counts all thinking tokens,
including inserted ones (s1 grants each round the whole budget); a thought may not end directly after a wait; forced
tokens have mask 0; the answer has a separate limit, and ends where it begins another thought, which would not count
towards the budget.  A thought that the policy ends itself is not changed.  If the policy ends the whole response inside
the thought, the thought is closed and the policy continues with an answer.

``end_think_bias`` makes thoughts shorter or longer without training: it is added to the log-odds of the
end of the thought wherever the policy may end it.  It follows the stop decision's temperature of "Making Small Language
Models Efficient Reasoners" (arXiv 2505.07961), of which only the abstract was at hand; that the term is additive, and
where it applies, are choices of this package.

The state recognises delimiters only through ``Delimiter``, so one token and several tokens are the same case.
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
    """Limits on the thought and on the answer of one response.

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
    """The tokens of a chat template that budget forcing needs.

    ``close_after_break_ids`` close a thought that ends in a line break, ``close_ids`` any other.  ``answer_prefix_ids``
    follow where the thought was truncated at its budget.  ``wait_ids`` replace an early end of the thought.  ``opener``
    begins another thought.  A response ends in one of ``stop_ids``, or in the text ``ending``, which is no token.
    """

    delimiter: Delimiter
    close_ids: tuple[int, ...]
    close_after_break_ids: tuple[int, ...]
    answer_prefix_ids: tuple[int, ...]
    wait_ids: tuple[int, ...]
    stop_ids: frozenset[int]
    opener: Delimiter | None = None
    ending: Delimiter | None = None

    def max_tokens(self, budget: Budget) -> int:
        """Tokens of the longest response under a budget, forced ones included."""
        closing = max(len(self.close_ids), len(self.close_after_break_ids)) + len(self.answer_prefix_ids)
        return budget.max_answer_tokens + (0 if budget.thinking_budget is None else budget.thinking_budget + closing)


@dataclass
class BudgetState:
    """One row that is being decoded.

    Engines ask ``forced`` for the next token; if it returns None, they draw a token and pass it to ``accept``.
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
    after_wait: bool = False  # the last token was inserted: the thought may not end here
    _queue: list[int] = field(default_factory=list)
    _overrun: int = 0  # tokens beyond the budget that may still become the delimiter

    def __post_init__(self) -> None:
        if self.budget.thinking_budget is None:
            self.phase = "answer"
        if self.budget.num_waits and not self.forcing.wait_ids:
            raise UserError("num_waits needs a text that replaces the end of the thought, such as wait_text=Wait")
        if self.budget.end_think_bias and self.forcing.delimiter.single is None:
            raise UserError(
                "end_think_bias needs a thought that ends with a single token, but in this vocabulary "
                f"{self.forcing.delimiter.text!r} is several tokens; leave end_think_bias out"
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
        """Append and return the next forced token; None if the policy chooses."""
        if not self._queue:
            return None
        token = self._queue.pop(0)
        self._append(token, 0.0, chosen=False)
        return token

    def accept(self, token: int, logprob: float) -> None:
        """Add a token that the policy chose; ``tokens`` gets shorter if tokens are removed."""
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
            self._end_inside()
            return
        self._append(token, logprob, chosen=True)
        self.thinking_tokens += 1
        if ended := self._completed(self.forcing.ending, self.thinking_tokens):
            self._drop(ended)
            self.thinking_tokens -= ended
            self._overrun = int(self.thinking_tokens >= budget)  # then the budget was reached before
            self._end_inside()
            return
        closed = self.forcing.delimiter.length(self.tokens)
        if closed and self.thinking_tokens - closed <= budget:  # one that begins beyond the budget is too late
            self.thinking_tokens -= closed
            self._overrun = 0
            if self.can_insert_wait():
                self._drop(closed)
                self.insert_wait()
            else:
                self.phase = "answer"
        elif self.thinking_tokens >= budget:
            texts = [each for each in (self.forcing.delimiter, self.forcing.ending) if each]
            if any(each.pending(self.tokens) and self._overrun < len(each.text) for each in texts):
                self._overrun = self.thinking_tokens - budget + 1
            else:
                self._truncate()

    def _completed(self, text: Delimiter | None, within: int) -> int:
        """How many of the last ``within`` tokens contain a text that the last one completes; 0 if none does."""
        return text.length(self.tokens[-min(within, 2 * len(text.text.encode())) :]) if text else 0

    def _end_inside(self) -> None:
        """The policy has ended the response inside the thought; its end is never kept."""
        if self._overrun:
            self._truncate()
        elif not self.insert_wait():
            self._close(truncated=False)

    def _truncate(self) -> None:
        """The budget is reached: remove the tokens beyond it and close the thought."""
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
        """Insert the wait text if a wait is left and fits in the budget; returns whether it was inserted."""
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
        if token in self.forcing.stop_ids or self._completed(self.forcing.ending, self.answer_tokens):
            self.phase, self.finish = "done", "stop"
        elif self._completed(opener, self.answer_tokens):
            self.phase, self.finish = "done", "reopened"
        elif self.answer_tokens >= self.budget.max_answer_tokens:
            self.phase, self.finish = "done", "length"

    def replay(self, trace: Sample) -> bool:
        """Replay a sample that was drawn with an equal or larger budget, as far as this budget allows; True if to the
        end.

        The sample may also be an unconstrained one after the same prompt.  As a draw depends on its position only, the
        replayed tokens are those that this state would have drawn: after False, decoding continues from ``tokens``.
        Raises ValueError for a sample made with another template.
        """
        budget, larger = self.budget.thinking_budget, trace.thinking_budget
        if (budget is None and larger is not None) or (budget and larger and larger < budget):
            return False  # another prompt, or closed too early
        if self.budget.end_think_bias != trace.end_think_bias:
            return False
        chosen, logprobs = trace.mask.tolist(), trace.logprobs.tolist()
        for at, token in enumerate(trace.tokens.tolist()):
            if self.done or len(self.tokens) < at:  # tokens that the trace kept were removed
                break
            if chosen[at]:
                if self._queue:
                    return False
                self.accept(token, logprobs[at])
                continue
            if not self._queue and not self.insert_wait() and not self._ended(trace):
                return False
            if self._queue[0] != token:  # expected where the two diverge; an error if both tokens were forced
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
