"""Sampling by a program that continues tokens, such as vLLM: the budget states decide what is kept of what it draws.

The program is asked for runs of tokens, which a row's budget state (``budget.py``) accepts one by one.  Where the state
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

import hashlib
import math
import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import numpy as np
import torch

from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.core.sampling_progress import decoded
from rlready.core.stopping import heed_stop
from rlready.core.timing import span
from rlready.engine.budget import BudgetState, Forcing
from rlready.engine.decoder import cache_bytes
from rlready.engine.protocol import Ended, Engine, Request
from rlready.engine.sampling import stream_key
from rlready.models.batch import Example
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.models.one_line import one_line

PROBES, PROBE_TOKENS = 4, 8  # prompts and drawn tokens on which the weights are compared
PROBE_TEMPERATURE = 1.5  # not 1, so that log-probabilities of another temperature show
BOUNDS = {"float32": 1e-3, "bfloat16": 0.05}  # nats: mean difference of log-probabilities that rounding may make
BANNED = -100.0  # the lowest bias of a logit that vLLM accepts
CACHE_BYTES = 4 << 30  # of keys and values on a CPU, at most
BLOCK = 32  # tokens of a block of them on a CPU, the fewest; each sample computes the last, partial block of its prompt
SHARE, SHARE_IN_TRAINING = 0.85, 0.4  # of a GPU's free memory
LEAST = -150.0  # nats; nothing draws a token that is less likely, as its probability in float32 is 0
LEAST_WATCHED = -1e6  # nats; of a token that is not drawn, more than logits in bfloat16 may differ by
POSITIVE = 0.01  # nats by which rounding may lift a log-probability above 0
LARGEST_BIAS = 700.0  # nats; e to the power of more overflows


@dataclass(frozen=True)
class Continuation:
    """Up to ``max_tokens`` tokens to draw after ``prompt_ids``; one of ``stop_ids`` is the last.

    ``banned`` tokens are not drawn.  ``watched`` is a token whose log-probability is returned at every position.
    """

    row: int
    prompt_ids: Sequence[int]
    max_tokens: int
    temperature: float
    stop_ids: frozenset[int] = frozenset()
    banned: frozenset[int] = frozenset()
    watched: int | None = None


@dataclass(frozen=True)
class Drawn:
    """The tokens of a continuation, their log-probabilities, and those of the watched token."""

    row: int
    tokens: Sequence[int]
    logprobs: Sequence[float]
    watched: Sequence[float] = ()


def what_is_odd(asked: Continuation, drawn: Drawn, vocabulary: int) -> str:
    """Why what was drawn cannot be an answer to what was asked, "" if it can; a log-probability of inf is missing.

    Token ids are below ``vocabulary``.
    """
    return next(_oddities(asked, drawn, vocabulary), "")


def _oddities(asked: Continuation, drawn: Drawn, vocabulary: int) -> Iterator[str]:
    """What is odd, of which the first is told: what comes later may follow from it."""
    if not 1 <= len(drawn.tokens) <= asked.max_tokens:
        yield f"{len(drawn.tokens)} tokens where 1 to {asked.max_tokens} were asked for"
    for token in drawn.tokens:
        if not 0 <= token < vocabulary:
            yield f"token {token}, but the model's vocabulary has {vocabulary}"
        if token in asked.banned:
            yield f"token {token}, which logit_bias forbids"
    for found in (drawn.logprobs, *([] if asked.watched is None else [drawn.watched])):
        if len(found) != len(drawn.tokens):
            yield f"{len(drawn.tokens)} tokens with {len(found)} log-probabilities"
        for logprob in found:
            if not -math.inf < logprob <= POSITIVE:
                yield f"a log-probability is {'missing' if logprob == math.inf else logprob}"
    if not asked.banned and min(drawn.logprobs) < LEAST:
        yield f"a token was drawn whose log-probability is {min(drawn.logprobs):.3g}"
    if drawn.watched and min(drawn.watched) < LEAST_WATCHED:
        yield f"the log-probability of a token is {min(drawn.watched):.3g}"


def unexpected(who: str, what: str) -> UserError:
    """The error for an answer of a program that is not what was asked for."""
    return UserError(f"{who} gave an unexpected answer ({one_line(what)}); use vLLM 0.30 to 0.33")


class Completer(Protocol):
    """The program: it is given continuations, works on all at once, and returns each when it has ended."""

    def submit(self, asked: Continuation) -> None: ...

    def drawn(self) -> tuple[list[Drawn], int]:
        """What has ended since the last call, and how many rows have got one token since; 0 if that is not known.

        Waits for a moment at most.
        """

    def abort(self) -> None:
        """Forget all that was submitted and has not ended."""


@dataclass
class _Row:
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


class CompletionEngine(Engine):
    """An engine over a completer, which is started with the first requests and given the weights when they change.

    After a start and after every change of the weights, the log-probabilities of a few drawn tokens are compared with
    the model's own.  What is drawn depends on the rest of the batch, so a sample is the same again only if the same
    requests are drawn together.
    """

    name = "vLLM"

    def __init__(self, lm: LM, forcing: Forcing, *, bfloat16: bool = False, training: bool = False) -> None:
        """``training``: the GPU also holds a model that learns."""
        self.forcing, self.closed, self.training = forcing, False, training
        self.dtype = "bfloat16" if bfloat16 or lm.model.dtype == torch.bfloat16 else "float32"
        self.batch_size = 1024 if lm.model.device.type == "cuda" else 256
        self.update_weights(lm)

    def update_weights(self, lm: LM) -> None:
        self.lm, self._versions, self._stale = lm, _versions(lm), True

    def close(self) -> None:
        self.closed = True

    def start_options(self, longest: int) -> dict[str, int | float]:
        """How much memory vLLM may use for sequences of ``longest`` tokens; on a CPU also the size of its blocks, and
        that it does not compile, which takes two minutes."""
        device = self.lm.model.device
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            return {"gpu_memory_utilization": (SHARE_IN_TRAINING if self.training else SHARE) * free / total}
        row = -(-longest // BLOCK) * BLOCK * cache_bytes(self.lm.model)
        cache = max(2 * row, min(self.batch_size * row, CACHE_BYTES))
        return {"kv_cache_memory_bytes": cache, "block_size": BLOCK, "enforce_eager": True}

    @abstractmethod
    def completer(self, longest: int, *, stale: bool) -> Completer:
        """The program, ready for prompts that have ``longest`` tokens with their response; ``stale``: and with the
        weights that the model has now."""

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Let the draws that follow depend on a seed, as far as the program allows."""

    def wrong_weights(self, difference: float, bound: float) -> UserError:
        """The error where the program's weights are not the model's."""
        return UserError(
            f"{self.lm.source}: the log-probabilities of {self.name} differ from the model's own by {difference:.2g} "
            f"nats on average (rounding stays below {bound}), so it samples from other weights; use engine=torch"
        )

    def sample(
        self, requests: Sequence[Request], *, temperature: float, seed: int, ended: Ended | None = None
    ) -> list[Sample]:
        """As the protocol says, except that a sample depends on the requests that are drawn with it.

        UserError if the program cannot be used, has other weights, or has stopped.
        """
        if self.closed or self._versions != _versions(self.lm):
            raise RuntimeError("the engine is closed" if self.closed else "the weights changed without update_weights")
        rows = []
        for r in requests:
            coin = random.Random(stream_key(seed, r.problem_id, r.sample_id))
            rows.append(_Row(r, BudgetState(r.budget, self.forcing), coin))
        samples: dict[int, Sample] = {}

        def finish(number: int) -> None:
            row = rows[number]
            text = self.lm.decode(row.state.tokens)
            samples[number] = row.state.sample(row.request.problem_id, row.request.sample_id, text)
            if ended:
                ended(samples[number])

        left = dict(enumerate(rows))
        for number, row in enumerate(rows):
            if row.request.trace is not None and row.state.replay(row.request.trace):
                finish(number)
                del left[number]
            while not row.state.done and row.state.forced() is not None:
                pass
        decoded(0, len(samples), 0)
        if left:
            completer = self._ready(list(left.values()))
            self.reseed(_seed_of(seed, [row.request for row in left.values()]))
            with span("decode"):
                for number in _run(completer, left, temperature):
                    finish(number)
        return [samples[number] for number in range(len(rows))]

    def _ready(self, rows: Sequence[_Row]) -> Completer:
        """The completer with the model's weights, which are compared if they are new."""
        each = [max(self.forcing.max_tokens(r.request.budget), PROBE_TOKENS) for r in rows]
        most = max(len(r.request.prompt_ids) + n for r, n in zip(rows, each, strict=True))
        completer = self.completer(min(self.lm.context, most), stale=self._stale)
        if self._stale:
            self._compare(completer, list(dict.fromkeys(r.request.prompt_ids for r in rows))[:PROBES])
            self._stale = False
        return completer

    @torch.no_grad()
    def _refuse_damaged(self, prompts: Sequence[tuple[int, ...]]) -> None:
        """UserError for weights that give NaN, for which a program would only send odd answers."""
        own = self._own([_example(ids, ids[-1:]) for ids in prompts[:1]], PROBE_TEMPERATURE)
        if not own.isfinite().all():
            raise UserError(
                f"{self.lm.source}: its logits are not finite, so its weights are damaged; use another checkpoint"
            )

    @torch.no_grad()
    def _compare(self, completer: Completer, prompts: Sequence[tuple[int, ...]]) -> None:
        """UserError unless the completer gives the tokens that it draws the log-probabilities that the model does."""
        self._refuse_damaged(prompts)
        self.reseed(0)
        for row, ids in enumerate(prompts):
            room = self.lm.context - len(ids)
            completer.submit(Continuation(row, ids, max(1, min(PROBE_TOKENS, room)), PROBE_TEMPERATURE))
        found: list[Drawn] = []
        while len(found) < len(prompts):
            found += completer.drawn()[0]
        examples = [_example(prompts[each.row], each.tokens) for each in found]
        theirs = torch.tensor([logprob for each in found for logprob in each.logprobs])
        bound = BOUNDS[self.dtype]
        difference = float((self._own(examples, PROBE_TEMPERATURE) - theirs).abs().mean())
        if difference <= bound:
            return
        if float((self._own(examples, 1.0) - theirs).abs().mean()) <= bound:
            raise UserError(
                f"{self.name} returns log-probabilities at temperature 1, not at that of sampling; start it with "
                "--logprobs-mode processed_logprobs"
            )
        raise self.wrong_weights(difference, bound)

    def _own(self, examples: Sequence[Example], temperature: float) -> torch.Tensor:
        """The model's own log-probabilities of the response tokens."""
        return token_logprobs(self.lm.model, examples, temperature)[0].float().cpu()


def _run(completer: Completer, rows: dict[int, _Row], temperature: float) -> Iterator[int]:
    """Draw rows to their ends; the number of each when it has ended."""
    try:
        for number, row in rows.items():
            completer.submit(row.next(number, temperature))
        step, left = 0, len(rows)
        while left:
            heed_stop()
            found, stepped = completer.drawn()
            done = []
            for drawn in found:
                row = rows[drawn.row]
                row.accept(drawn, temperature)
                if row.state.done:
                    done.append(drawn.row)
                else:
                    completer.submit(row.next(drawn.row, temperature))
            step, left = step + bool(stepped), left - len(done)
            decoded(stepped, len(done), step)
            yield from done
    except BaseException:
        completer.abort()
        raise


def _seed_of(seed: int, requests: Sequence[Request]) -> int:
    """A seed of 31 bits for these requests: another one for every other set of names and budgets."""
    names = "\0".join(f"{seed}/{r.problem_id}/{r.sample_id}/{r.budget}" for r in requests)
    return int.from_bytes(hashlib.blake2b(names.encode(), digest_size=4).digest(), "little") >> 1


def _versions(lm: LM) -> list[int]:
    """How often each weight was changed in place, as torch counts it."""
    return [p._version for p in lm.model.parameters()]


def _example(prompt: Sequence[int], response: Sequence[int]) -> Example:
    """A response all of whose tokens count."""
    ones = np.ones(len(response), dtype=np.float32)
    return Example(tuple(prompt), list(response), ones.astype(np.uint8), ones, ones)
