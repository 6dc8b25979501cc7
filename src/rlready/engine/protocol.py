"""What an engine is: requests in, samples out, in the same order.

Every engine draws with ``sampling``, limits thinking with ``budget``, and passes the tests of
``tests/test_engine_contract.py``; ``open_engine`` makes one.  ``requests_for`` builds the requests of a set of problems
from a model's template.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from rlready.core.errors import UserError
from rlready.core.messages import warn_once
from rlready.core.progress import counted
from rlready.core.records import Problem, Sample
from rlready.engine.budget import Budget, Forcing
from rlready.engine.delimiter import Delimiter
from rlready.models.lm import LM

Ended = Callable[[Sample], None]
NO_TOKEN = -1  # an id that no token has


@dataclass(frozen=True)
class Request:
    """One sample to draw.

    ``trace``, if given, is the same sample after the same prompt with a larger budget, or without one.  The sample then
    begins like the trace, and only what the smaller budget changes is decoded.
    """

    problem_id: str
    sample_id: int
    prompt_ids: tuple[int, ...]
    budget: Budget
    trace: Sample | None = None


class Engine(Protocol):
    """Samples from a model for as long as it is open; a context manager that closes itself.

    ``forcing`` are the forced strings of the model's template; ``batch_size`` is the largest number of requests that
    are decoded together, which callers that sample in chunks use as their size.  Not ``intact``: an interrupt has left
    the model with other weights than its own, which must not be saved.
    """

    forcing: Forcing
    batch_size: int
    intact: bool = True

    def sample(
        self, requests: Sequence[Request], *, temperature: float, seed: int, ended: Ended | None = None
    ) -> list[Sample]:
        """One sample per request, in their order.

        A sample depends on (weights, seed, problem id, sample id, budget, temperature) only, not on the batch.
        ``temperature`` 0 takes the most likely token.  ``ended`` is called in this thread with every sample, soon after
        its end, while others are decoded.  Raises RuntimeError if the engine is closed, or if the weights
        have changed since the last update.
        """

    def update_weights(self, lm: LM) -> None:
        """Sample from the weights that ``lm`` has now; it has the architecture and tokenizer of the model before."""

    def close(self) -> None:
        """Free the memory of the engine, which cannot sample any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def budget_for(lm: LM, thinking_budget: int | None, max_answer_tokens: int, num_waits: int = 0) -> Budget:
    """The budget of a response; for a model that does not think, one limit on the whole response."""
    if lm.thinks:
        return Budget(thinking_budget, max_answer_tokens, num_waits)
    return Budget(None, (thinking_budget or 0) + max_answer_tokens)


def forcing_for(lm: LM, wait_text: str = "", answer_prefix: str = "") -> Forcing:
    """The forced strings of a model's template, as tokens.

    ``wait_text`` replaces an early end of the thought; ``answer_prefix`` follows a thought that was truncated at its
    budget, to elicit the answer.  For a model that does not think, nothing is forced.

    UserError if a text or a delimiter cannot be written in the model's vocabulary, if the wait text closes the thought,
    if either text ends the response, or if decoding the closing delimiter's tokens does not give it back.
    """
    close = lm.close
    if not lm.thinks:
        never = Delimiter(close, [NO_TOKEN], lm.decode, [])
        return Forcing(never, (), (), (), (), lm.stop_ids, ending=_ending(lm))
    if close in wait_text or any(wait_text.endswith(close[:n]) for n in range(1, len(close))):
        raise UserError(f"wait_text={wait_text!r} contains or begins the thought delimiter {close!r}")
    if within := next((each for each in (close, lm.open) if each and each in answer_prefix), ""):
        raise UserError(f"answer_prefix={answer_prefix!r} contains the thought delimiter {within!r}: leave that out")
    ids, opener_ids = _forced_ids(lm, "delimiters", close), _forced_ids(lm, "delimiters", lm.open)
    closing = "a" + lm.closing(broken=False)
    pieces = _pieces(lm) if len(ids) > 1 or len(opener_ids) > 1 else []
    delimiter, close_ids = Delimiter(close, ids, lm.decode, pieces), _known(lm, lm.close_ids) or ids
    if not any(delimiter.length(close_ids[: at + 1]) for at in range(len(close_ids))):
        raise UserError(
            f"{lm.source}: its tokenizer does not decode the tokens of {close!r} to the same text, so the end of a "
            "thought cannot be recognised; choose other delimiters, or change the tokenizer's normaliser"
        )
    return Forcing(
        delimiter=delimiter,
        close_ids=close_ids,
        close_after_break_ids=_known(lm, lm.close_after_break_ids) or ids,
        answer_prefix_ids=_forced_ids(lm, "answer_prefix", answer_prefix, closing),
        wait_ids=_forced_ids(lm, "wait_text", wait_text),
        stop_ids=lm.stop_ids,
        opener=Delimiter(lm.open, opener_ids, lm.decode, pieces) if lm.open else None,
        ending=_ending(lm),
    )


def _pieces(lm: LM) -> list[str]:
    """The texts of all tokens."""
    return [lm.decode([i]) for i in range(min(len(lm.tokenizer), lm.vocabulary))]


def _ending(lm: LM) -> Delimiter | None:
    """The text that ends a turn where no token does, found by its text however it is tokenised."""
    return Delimiter(lm.chat.end_text, (), lm.decode, _pieces(lm)) if lm.chat.end_text else None


def _known(lm: LM, ids: Sequence[int]) -> tuple[int, ...]:
    """The ids; empty if one is the unknown token, as line breaks are in a vocabulary of words."""
    return () if lm.tokenizer.unk_token_id in ids else tuple(ids)


def _forced_ids(lm: LM, setting: str, text: str, behind: str = "a\n") -> tuple[int, ...]:
    ids = tuple(lm.encode_behind(behind, text)) if text else ()
    if text and (not ids or lm.tokenizer.unk_token_id in ids):
        raise UserError(
            f"{lm.source}: its vocabulary cannot encode the forced text {text!r} ({setting}); choose other texts, of "
            "tokens that it has, or leave the setting out"
        )
    if lm.stop_ids & set(ids) and text != lm.close:
        raise UserError(
            f"{lm.source}: the forced text {text!r} ({setting}) contains a token that ends the response; choose "
            "another text"
        )
    return ids


def requests_for(
    lm: LM, problems: Sequence[Problem], samples: int, budget: Budget, answer_prefix_ids: Sequence[int] = ()
) -> list[Request]:
    """``samples`` requests per problem, problem by problem; ``answer_prefix_ids`` as in the engine's ``Forcing``.

    Raises UserError if the template cannot delimit a thought, or a prompt and its budget exceed the context.
    """
    think = budget.thinking_budget is not None
    if think:
        lm.needs_thought("a thinking budget")
    requests = []
    for problem in counted("tokenising", problems, "prompts"):
        ids = tuple(lm.prompt_ids(problem.prompt, problem.system, think=think))
        refuse_beyond_context(lm, f"problem {problem.id}", len(ids), budget, len(answer_prefix_ids))
        if lm.tokenizer.unk_token_id in ids and lm.tokenizer.unk_token_id not in lm.stop_ids:
            warn_once(
                f"{lm.source}: warning: its vocabulary lacks words of the problems, which it reads as "
                f"{lm.tokenizer.unk_token}; are tokenizer and weights of one model?"
            )
        requests += [Request(problem.id, i, ids, budget) for i in range(samples)]
    return requests


def refuse_beyond_context(lm: LM, name: str, prompt: int, budget: Budget, answer_prefix: int) -> None:
    """UserError if a prompt of so many tokens and the longest response under a budget exceed the model's context."""
    think = budget.thinking_budget is not None
    forced = max(len(lm.close_ids), len(lm.close_after_break_ids)) + answer_prefix if think else 0
    most = prompt + (budget.thinking_budget or 0) + forced + budget.max_answer_tokens
    if most > lm.context:
        limits = "the thinking budget or max_answer_tokens" if think else "max_answer_tokens"
        raise UserError(
            f"{name}: its prompt of {prompt} tokens and the longest response together have {most} tokens, more than "
            f"the context of {lm.context} tokens of {lm.source}; lower {limits}"
        )
