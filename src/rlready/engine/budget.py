"""Budget forcing as one state machine over one row, for any engine.

    think(cap) ── stop reached ──► extensions left and room?  ── yes ─► drop stop, append "Wait", think on
                                   └─ no ─► close
               ── cap reached ───► close + final-answer string   (truncated)
    close: line break unless there is one, end of thinking, line break; answer(own cap), up to another thought

After s1 (Muennighoff et al., arXiv 2501.19393), with these differences of ours: the cap is over all thinking
tokens, injected ones included (s1 grants each round the whole cap); a stop may not be the first token of a
continuation; forced tokens carry mask 0 from the moment they are made; the answer has its own cap, and ends where it
begins another thought, which would escape the cap.  A policy that ends its thought in its own words is left alone, and
one that ends the whole response inside the thought is closed and asked for an answer.

Beside forcing, a training-free way to think less (or more): ``bias`` is added to the log-odds of the end of the thought
wherever the policy may end it.  After the stop decision's temperature of "Making Small Language Models Efficient
Reasoners" (arXiv 2505.07961), of which only the abstract was at hand; an additive term and its place are ours.

The machine knows tokens only through ``Delimiter``, so one-token and many-token delimiters are one case.
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
    """What one response may spend.  ``thinking`` None means natural: nothing is forced, one cap for all."""

    thinking: int | None
    answer: int
    extensions: int = 0
    bias: float = 0.0

    def __post_init__(self) -> None:
        if self.thinking is not None and self.thinking < 1:
            raise UserError(f"a thinking budget must be at least 1 token, got {self.thinking}")
        if self.answer < 1:
            raise UserError(f"the answer cap must be at least 1 token, got {self.answer}")
        if self.extensions < 0:
            raise UserError(f"extensions must not be negative, got {self.extensions}")
        if not math.isfinite(self.bias):
            raise UserError(f"the bias on the end of the thought must be finite, got {self.bias}")


@dataclass(frozen=True)
class Forcing:
    """The template's side of budget forcing: what ends a thought and what is put in its place.

    ``close_after_break_ids`` close a thought that ends in a line break, ``close_ids`` any other; ``final_ids``
    follow where it was cut.  ``opener``: what would begin another thought.
    """

    delimiter: Delimiter
    close_ids: tuple[int, ...]
    close_after_break_ids: tuple[int, ...]
    final_ids: tuple[int, ...]
    extension_ids: tuple[int, ...]
    stop_ids: frozenset[int]
    opener: Delimiter | None = None

    def most(self, budget: Budget) -> int:
        """Tokens of the longest response under a budget, forced ones included."""
        closing = max(len(self.close_ids), len(self.close_after_break_ids)) + len(self.final_ids)
        return budget.answer + (0 if budget.thinking is None else budget.thinking + closing)


@dataclass
class BudgetState:
    """One row being decoded.  Engines ask ``forced`` for a token to append, else draw one and ``accept`` it."""

    budget: Budget
    forcing: Forcing
    tokens: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    thinking: int = 0
    answer: int = 0
    extensions: int = 0
    phase: str = "think"
    forced_close: bool = False
    truncated: bool = False
    finish: Finish = "stop"
    fresh: bool = False  # the last token was injected: a stop may not follow at once
    _queue: list[int] = field(default_factory=list)
    _overrun: int = 0  # tokens beyond the cap that may still turn out to be the delimiter

    def __post_init__(self) -> None:
        if self.budget.thinking is None:
            self.phase = "answer"
        if self.budget.extensions and not self.forcing.extension_ids:
            raise UserError("extensions need a string to put in place of the stop, for example wait_text=Wait")
        if self.budget.bias and self.forcing.delimiter.single is None:
            raise UserError(
                f"a bias needs the thought to end in one token, but {self.forcing.delimiter.text!r} is several"
            )

    @property
    def done(self) -> bool:
        return self.phase == "done"

    @property
    def banned(self) -> frozenset[int]:
        """Tokens that may not be drawn now."""
        if self.phase == "think" and self.fresh:
            return self.forcing.delimiter.opening | self.forcing.stop_ids
        return frozenset()

    @property
    def bias(self) -> float:
        """Nats to add to the log-odds of the token that ends the thought."""
        return self.budget.bias if self.phase == "think" and not self._queue else 0.0

    def forced(self) -> int | None:
        """The next token to append without asking the policy; None where the policy chooses."""
        if not self._queue:
            return None
        token = self._queue.pop(0)
        self._append(token, 0.0, chosen=False)
        return token

    def accept(self, token: int, logprob: float) -> None:
        """Take a token the policy chose and move on; ``tokens`` may become shorter when something is taken back."""
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
        cap = self.budget.thinking
        assert cap is not None
        self.fresh = False
        if token in self.forcing.stop_ids and token != self.forcing.delimiter.single:
            if self._overrun:  # the end of the response inside the thought is never kept
                self._cut()
            elif not self.extend():
                self._close(truncated=False)
            return
        self._append(token, logprob, chosen=True)
        self.thinking += 1
        held = self.forcing.delimiter.length(self.tokens)
        if held and self.thinking - held <= cap:  # one that begins beyond the cap is too late
            self.thinking -= held
            self._overrun = 0
            if self.can_extend():
                self._drop(held)
                self.extend()
            else:
                self.phase = "answer"
        elif self.thinking >= cap:
            if self.forcing.delimiter.pending(self.tokens) and self._overrun < len(self.forcing.delimiter.text):
                self._overrun = self.thinking - cap + 1
            else:
                self._cut()

    def _cut(self) -> None:
        """The cap is reached: take back what went beyond it and close."""
        cap = self.budget.thinking
        assert cap is not None
        self._drop(self.thinking - cap)
        self.thinking = cap
        self._close(truncated=True)

    def can_extend(self) -> bool:
        cap = self.budget.thinking
        room = cap is not None and self.thinking + len(self.forcing.extension_ids) < cap
        return self.phase == "think" and self.extensions < self.budget.extensions and room

    def extend(self) -> bool:
        """Put the extension in place of a stop, if there is one left and room for it."""
        if not self.can_extend():
            return False
        self._queue = list(self.forcing.extension_ids)
        self.thinking += len(self._queue)
        self.extensions += 1
        self.fresh = True
        return True

    def _close(self, *, truncated: bool) -> None:
        self.forced_close = True
        self.truncated = truncated
        by = self.forcing
        broken = self.tokens and by.delimiter.decode(self.tokens[-1:]).endswith("\n")
        close = by.close_after_break_ids if broken else by.close_ids
        self._queue = [*close, *(by.final_ids if truncated else ())]
        self._overrun = 0
        self.phase = "answer"

    def _answer(self, token: int, logprob: float) -> None:
        self._append(token, logprob, chosen=True)
        self.answer += 1
        opener = self.forcing.opener if self.budget.thinking is not None else None
        if token in self.forcing.stop_ids:
            self.phase, self.finish = "done", "stop"
        elif opener and opener.length(self.tokens[-self.answer :]):
            self.phase, self.finish = "done", "reopened"
        elif self.answer >= self.budget.answer:
            self.phase, self.finish = "done", "length"

    def replay(self, trace: Sample) -> bool:
        """Follow a sample drawn under a cap at least as large, as far as this budget allows; True if to the end.

        The sample may also be a natural one after the same prompt.  Because a draw depends on its position only, what
        this machine does not reach here is what it would have drawn itself: after False, decoding continues from
        ``tokens``.
        """
        cap, larger = self.budget.thinking, trace.cap
        if (cap is None and larger is not None) or (cap and larger and larger < cap) or self.budget.bias != trace.bias:
            return False  # after another prompt, closed too early, or from other odds
        chosen, logprobs = trace.mask.tolist(), trace.logprobs.tolist()
        for at, token in enumerate(trace.tokens.tolist()):
            if self.done or len(self.tokens) < at:  # something that the trace kept was taken back
                break
            if chosen[at]:
                if self._queue:
                    return False
                self.accept(token, logprobs[at])
                continue
            if not self._queue and not self.extend() and not self._ended(trace):
                return False
            if self._queue[0] != token:  # right where the two part, wrong where both were forced at one place
                extending = self.phase == "think"
                if trace.extensions >= self.extensions if extending else trace.thinking == self.thinking:
                    raise ValueError(f"trace {trace.problem_id}/{trace.sample_id} was not made with this template")
                return False
            self.forced()
        return self.done

    def _ended(self, trace: Sample) -> bool:
        """The trace was closed because the response ended inside the thought; so is this one."""
        if self.phase != "think" or not trace.forced_close or trace.truncated or self.thinking != trace.thinking:
            return False
        if self._overrun:
            self._cut()
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
            thinking=self.thinking,
            answer=self.answer,
            cap=self.budget.thinking,
            extensions=self.extensions,
            bias=self.budget.bias,
            forced_close=self.forced_close,
            truncated=self.truncated,
            finish=self.finish,
            text=text,
        )
