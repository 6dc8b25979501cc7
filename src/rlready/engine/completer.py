"""What a program that continues tokens, such as vLLM, is asked for, and what it may answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlready.core.errors import UserError
from rlready.models.one_line import one_line

BANNED = -100.0  # the lowest bias of a logit that vLLM accepts
LEAST = -150.0  # nats; nothing draws a token that is less likely, as its probability in float32 is 0
LEAST_WATCHED = -1e6  # nats; of a token that is not drawn, more than logits in bfloat16 may differ by
POSITIVE = 0.01  # nats by which rounding may lift a log-probability above 0


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


class Completer(Protocol):
    """The program: it is given continuations, works on all at once, and returns each when it has ended."""

    def submit(self, asked: Continuation) -> None: ...

    def drawn(self) -> tuple[list[Drawn], int]:
        """What has ended since the last call, and how many rows have got one token since; 0 if that is not known.

        Waits for a moment at most.
        """

    def abort(self) -> None:
        """Forget all that was submitted and has not ended."""


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
