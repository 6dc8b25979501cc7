"""A request while a program draws it: its budget state decides what is kept of what was drawn.

The program is asked for runs of tokens, which the budget state (``budget.py``) accepts one by one.  Where the state
forces or removes tokens, what was drawn after them is dropped, and *prompt + tokens so far* is the next prompt, which
prefix caching makes cheap; so forced tokens are never drawn, and many budgets continue one trace.  Two kinds of draws
are not from the policy's own distribution, and their log-probabilities are those of the policy all the same:

    banned tokens (after a wait)    draw; if a banned token comes, draw again without them and ask what that token's
                                    log-probability is with them
    end_think_bias b                p is the policy's probability of ending here, q = p·e^b / Z with Z = 1 + p(e^b - 1):
                                    with b > 0 another token is replaced by the end with probability (q - p)/(1 - p) =
                                    p(e^b - 1)/Z; with b < 0 the end is kept with probability q/p = e^b / Z
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import zip_longest

from rlready.engine.budget import BudgetState
from rlready.engine.completer import Continuation, Drawn
from rlready.engine.protocol import Request

LARGEST_BIAS = 700.0  # nats; e to the power of more overflows


@dataclass
class ContinuedRow:
    """A request while it is drawn.  ``coin`` decides about the bias of its ends of thought."""

    request: Request
    state: BudgetState
    coin: random.Random
    banned: frozenset[int] = frozenset()  # one of these was drawn where it may not be
    unscored: int | None = None  # the token drawn instead, of which the policy's log-probability is not known
    end_logprob: float = -math.inf  # of an end of thought that a bias has refused

    def next(self, number: int, temperature: float) -> Continuation:
        """What to draw next."""
        request, state = self.request, self.state
        ids = [*request.prompt_ids, *state.tokens]
        if self.unscored is not None:
            return Continuation(number, ids, 1, temperature, watched=self.unscored)
        if self.banned:
            return Continuation(number, ids, 1, temperature, banned=self.banned)
        stops, end, bias = state.forcing.stop_ids, state.forcing.delimiter.single, state.end_think_bias
        if state.phase != "think":
            return Continuation(number, ids, state.budget.max_answer_tokens - state.answer_tokens, temperature, stops)
        if end is not None and (bias or state.can_insert_wait()):
            stops |= {end}  # what would follow is likely to be dropped
        left = max(1, (state.budget.thinking_budget or 0) - state.thinking_tokens)
        return Continuation(number, ids, left, temperature, stops, watched=end if bias else None)

    def accept(self, drawn: Drawn, temperature: float) -> None:
        """Take what was drawn, up to where the state decides otherwise."""
        if self.unscored is not None:
            scored, logprob = self.unscored, drawn.watched[0]
            end, bias = self.state.forcing.delimiter.single, self.state.end_think_bias
            if temperature == 0 and end in self.banned and self.end_logprob + bias > logprob and end is not None:
                scored, logprob = end, self.end_logprob
            self.unscored, self.banned, self.end_logprob = None, frozenset(), -math.inf
            self._take(scored, logprob)
            return
        if self.banned:
            self.unscored = drawn.tokens[0]
            return
        for token, logprob, watched in zip_longest(drawn.tokens, drawn.logprobs, drawn.watched, fillvalue=0.0):
            if token in self.state.banned:
                self.banned = self.state.banned
                return
            chosen = self._steered(int(token), logprob, watched, temperature)
            if chosen is None or not self._take(*chosen) or chosen[0] != token:
                return

    def _take(self, token: int, logprob: float) -> bool:
        """Give a token to the state; whether the tokens drawn after it continue the row."""
        self.state.accept(token, logprob)
        forced = False
        while not self.state.done and self.state.forced() is not None:
            forced = True
        return not (forced or self.state.done)

    def _steered(self, token: int, logprob: float, watched: float, temperature: float) -> tuple[int, float] | None:
        """The token and its log-probability under the bias: itself, the end of the thought, or None to draw another."""
        end, bias = self.state.forcing.delimiter.single, min(self.state.end_think_bias, LARGEST_BIAS)
        if not bias or end is None or self.state.banned:
            return token, logprob
        growth = math.expm1(bias)
        norm = 1 + math.exp(watched) * growth
        if token == end:
            if bias > 0 or (temperature and self.coin.random() < (1 + growth) / norm):
                return token, logprob
            self.banned, self.end_logprob = frozenset({end}), logprob
            return None
        if temperature:
            ends = bias > 0 and self.coin.random() < math.exp(watched) * growth / norm
        else:
            ends = watched + bias > logprob
        return (end, watched) if ends else (token, logprob)
