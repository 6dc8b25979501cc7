"""The budget state machine without a model: never over budget, and a truncated trace equals a separate run.

A fake policy, a deterministic function of everything before the draw, is driven through it as an
engine does it.  It closes thoughts early, late, never, twice and by halves, in every tokenization.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.engine.budget import Budget, BudgetState, Forcing
from rlready.engine.delimiter import Delimiter

CLOSE = "</think>"
PIECES = (
    *("<eos>", "<|end|>", "a", " b", "\n", "x", "Wait", "so"),
    *("<", "</", "think", ">", ">\n", "/", "thi", "nk>", "x<", "/think>", "<<", "</think>", ">."),
)
STOPS = frozenset({0, 1})


def decode(ids: Sequence[int]) -> str:
    return "".join(PIECES[i] for i in ids)


def ids_of(*pieces: str) -> tuple[int, ...]:
    return tuple(PIECES.index(p) for p in pieces)


PLAIN, BEGIN = ids_of("a", " b", "\n", "\n", "x"), ids_of("<", "</", "x<", "<<", "</think>")
WAIT = ids_of("Wait")
# by how much of the delimiter stands already: the tokens that go on with it
GOING_ON = [
    [i for i, p in enumerate(PIECES) if p[: len(r)] == r[: len(p)]] for r in (CLOSE[n:] for n in range(len(CLOSE)))
]


def forcing(
    one_token: bool = False,
    wait_ids: tuple[int, ...] = WAIT,
    answer_prefix: tuple[int, ...] = (),
    opener: Delimiter | None = None,
) -> Forcing:
    """Delimiters of one token, or of several whose last one may also hold what follows."""
    if one_token:
        delimiter = Delimiter(CLOSE, ids_of(CLOSE), decode, [])
        return Forcing(
            delimiter, ids_of("\n", CLOSE, "\n"), ids_of(CLOSE, "\n"), answer_prefix, wait_ids, STOPS, opener
        )
    delimiter = Delimiter(CLOSE, ids_of("</", "think", ">"), decode, PIECES)
    close = ids_of("</", "think", ">\n")
    return Forcing(delimiter, (*ids_of("\n"), *close), close, answer_prefix, wait_ids, STOPS, opener)


@dataclass(frozen=True)
class Policy:
    """A deterministic policy: the chances of ending the response, beginning a delimiter, and going on with one."""

    seed: int
    end: float
    begin: float
    go_on: float

    def __call__(self, history: Sequence[int], banned: frozenset[int]) -> tuple[int, float]:
        """The token drawn after this history, and its log-probability, which is never 0."""
        state = hash((self.seed, *history))  # a hash of integers is the same in every process
        for attempt in range(4):
            token = self._draw(history, *(((hash((state, attempt, i)) >> 9) % 4093) / 4093 for i in range(3)))
            if token not in banned:
                return token, -0.125 - state % 997 / 997
        return PLAIN[0], -0.125

    def _draw(self, history: Sequence[int], kind: float, which: float, on: float) -> int:
        text = decode(history[-8:])
        begun = next((n for n in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:n])), 0)
        if kind < self.end:
            choice: Sequence[int] = sorted(STOPS)
        elif begun and on < self.go_on:
            choice = GOING_ON[begun]
        else:
            choice = BEGIN if kind < self.end + self.begin else PLAIN
        return choice[int(which * len(choice))]


def finish(state: BudgetState, policy: Policy) -> int:
    """Decode to the end, as an engine does; returns the number of draws."""
    draws = 0
    while not state.done:
        if state.forced() is None:
            state.accept(*policy(state.tokens, state.banned))
            draws += 1
            assert draws < 1000, "the row does not end"
    return draws


def run(budget: Budget, by: Forcing, policy: Policy) -> Sample:
    state = BudgetState(budget, by)
    finish(state, policy)
    return state.sample("p", 0, decode(state.tokens))


def replayed(budget: Budget, by: Forcing, policy: Policy, trace: Sample) -> Sample:
    """The sample by replaying a trace and going on where it leaves off."""
    state = BudgetState(budget, by)
    done = state.replay(trace)
    assert done == state.done
    finish(state, policy)
    return state.sample("p", 0, decode(state.tokens))


def facts(sample: Sample) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(sample).items()}


OPENER = Delimiter("ax", ids_of("a", "x"), decode, PIECES)  # what policies say often
FORCINGS = st.builds(
    forcing,
    one_token=st.booleans(),
    wait_ids=st.sampled_from([WAIT, ids_of("\n", "Wait"), ids_of("Wait", "so", "a")]),
    answer_prefix=st.sampled_from([(), ids_of("so", "a")]),
    opener=st.sampled_from([None, OPENER]),
)
SHARES = st.sampled_from([0.0, 0.02, 0.1, 0.3, 1.0])
POLICIES = st.builds(Policy, st.integers(0, 2**32), SHARES, SHARES, st.sampled_from([0.0, 0.5, 0.9, 1.0]))
LARGE = st.builds(
    Budget, thinking_budget=st.integers(10, 24), max_answer_tokens=st.integers(1, 6), num_waits=st.integers(0, 3)
)
BUDGETS = st.builds(
    Budget, thinking_budget=st.integers(1, 24), max_answer_tokens=st.integers(1, 6), num_waits=st.integers(0, 3)
)


def check(sample: Sample, budget: Budget, by: Forcing, policy: Policy) -> None:
    """Everything a sample promises, read from its tokens alone."""
    tokens, mask, logprobs = sample.tokens.tolist(), sample.mask.tolist(), sample.logprobs.tolist()
    assert len(tokens) == len(mask) == len(logprobs)
    # the caps
    assert sample.thinking_tokens <= (budget.thinking_budget or 0)
    assert 1 <= sample.answer_tokens <= budget.max_answer_tokens
    assert sample.num_waits <= budget.num_waits
    # the accounts: thought, what closes it, answer
    begin, end = sample.thinking_tokens, len(tokens) - sample.answer_tokens
    thought, closing = tokens[:begin], tokens[begin:end]
    if sample.forced_close:
        close = by.close_after_break_ids if decode(thought).endswith("\n") else by.close_ids
        assert closing == [*close, *(by.answer_prefix_ids if sample.truncated else ())]
        assert not any(mask[begin:end])
    else:  # the delimiter, nothing but the delimiter, completed by its last token
        assert CLOSE in decode(closing)
        assert CLOSE not in decode(closing[1:])
        assert CLOSE not in decode(closing[:-1])
    assert not set(thought) & (STOPS | by.delimiter.completing if by.delimiter.single is not None else STOPS)
    assert by.delimiter.single is not None or CLOSE not in decode(thought)
    assert not sample.truncated or (sample.thinking_tokens == budget.thinking_budget and sample.forced_close)
    assert all(mask[end:])
    # the injected tokens
    injected = [i for i in range(begin) if not mask[i]]
    size = len(by.wait_ids)
    assert len(injected) == sample.num_waits * size
    resumed = {injected[k] + 1 for k in range(size - 1, len(injected), size)}  # first position after each wait
    assert all(tuple(tokens[i - size : i]) == by.wait_ids for i in resumed)
    assert sample.forced_close or begin not in resumed or not decode(closing).lstrip().startswith(CLOSE)
    assert not (sample.forced_close and begin in resumed)
    # at every position what the policy says after that history, or a forced token without a log-probability
    for i, (token, chosen) in enumerate(zip(tokens, mask, strict=True)):
        banned = by.delimiter.opening | STOPS if i in resumed else frozenset()
        said, logprob = policy(tokens[:i], banned) if chosen else (token, 0.0)
        assert (token, logprobs[i]) == (said, np.float32(logprob))
    # how it ended
    assert not STOPS & set(tokens[:-1])
    assert (sample.finish == "stop") == (tokens[-1] in STOPS)
    assert sample.finish != "length" or sample.answer_tokens == budget.max_answer_tokens
    # no thought after the thought
    assert (sample.finish == "reopened") == (by.opener is not None and "ax" in decode(tokens[end:]))
    assert by.opener is None or "ax" not in decode(tokens[end:-1])


def test_every_sample_keeps_its_budget_and_counts() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=1600)
    @given(BUDGETS, FORCINGS, POLICIES)
    def holds(budget: Budget, by: Forcing, policy: Policy) -> None:
        state = BudgetState(budget, by)
        draws = finish(state, policy)
        sample = state.sample("p", 0, decode(state.tokens))
        check(sample, budget, by, policy)
        assert draws <= ((budget.thinking_budget or 0) + len(CLOSE)) * (sample.num_waits + 1) + budget.max_answer_tokens
        seen[_kind(sample)] += 1

    holds()
    assert len(seen) == 10, seen
    assert min(seen.values()) > 10, seen


def _kind(sample: Sample) -> str:
    ending = "truncated" if sample.truncated else "forced to close" if sample.forced_close else "closed by itself"
    broken = sample.forced_close and decode(sample.tokens[: sample.thinking_tokens].tolist()).endswith("\n")
    return ending + (" after a line break" if broken else "") + (", extended" if sample.num_waits else "")


def test_a_truncated_trace_equals_a_separate_run() -> None:
    """At every smaller cap: tokens, mask, log-probabilities, counters and flags; at the same cap the same sample."""
    cases: Counter[str] = Counter()

    @settings(max_examples=800)
    @given(LARGE, FORCINGS, POLICIES)
    def holds(largest: Budget, by: Forcing, policy: Policy) -> None:
        trace = run(largest, by, policy)
        assert facts(replayed(largest, by, policy, trace)) == facts(trace)
        for cap in range((largest.thinking_budget or 0) - 1, 0, -1):
            budget = replace(largest, thinking_budget=cap)
            alone = run(budget, by, policy)
            assert facts(replayed(budget, by, policy, trace)) == facts(alone)
            check(alone, budget, by, policy)
            cases[_kind(alone)] += 1
            trace = alone if policy.seed % 2 else trace  # replayed from the largest, or each from the next larger

    holds()
    assert sum(cases.values()) >= 10_000, cases
    assert min(cases.values()) > 50, cases


@settings(max_examples=600)
@given(
    BUDGETS | st.builds(Budget, thinking_budget=st.none(), max_answer_tokens=st.integers(1, 20)),
    BUDGETS,
    FORCINGS,
    POLICIES,
)
def test_any_trace_can_be_replayed(one: Budget, other: Budget, by: Forcing, policy: Policy) -> None:
    """Other answer limits, more waits, a larger cap, no cap: what the trace does not show is drawn again."""
    assert facts(replayed(other, by, policy, run(one, by, policy))) == facts(run(other, by, policy))
    assert facts(replayed(one, by, policy, run(other, by, policy))) == facts(run(one, by, policy))


def test_an_unconstrained_run_is_not_changed() -> None:
    by, policy = forcing(), Policy(seed=1, end=0.0, begin=0.3, go_on=0.9)
    sample = run(Budget(None, 12), by, policy)
    assert (sample.thinking_tokens, sample.answer_tokens, sample.finish) == (0, 12, "length")
    assert not sample.forced_close
    assert all(sample.mask)
    # it can begin a run with a budget (after the same prompt), but what was forced cannot begin an unconstrained one
    assert facts(replayed(Budget(5, 5), by, policy, sample)) == facts(run(Budget(5, 5), by, policy))
    state = BudgetState(Budget(None, 5), by)
    assert not state.replay(run(Budget(5, 5), by, policy))
    assert not state.tokens


def test_a_trace_with_another_bias_is_not_reused() -> None:
    by, policy = forcing(one_token=True), Policy(seed=1, end=0.0, begin=0.3, go_on=0.9)
    state = BudgetState(Budget(5, 5, end_think_bias=1.0), by)
    assert not state.replay(run(Budget(5, 5), by, policy))
    assert not state.tokens
    with pytest.raises(UserError, match="a single token"):
        BudgetState(Budget(5, 5, end_think_bias=1.0), forcing(one_token=False))


@dataclass
class Script:
    """A policy that says these pieces in this order, whatever was kept of them, then "a" for ever."""

    pieces: list[str]

    def __call__(self, history: Sequence[int], banned: frozenset[int]) -> tuple[int, float]:
        return (ids_of(self.pieces.pop(0))[0] if self.pieces else PLAIN[0]), -1.0


@pytest.mark.parametrize(
    ("said", "budget", "expected", "marks"),
    [
        # closed at the cap
        ("a a a a", Budget(3, 2), "aaa\n</think>\naa", "111000011"),
        # ... without a second line break, also where the response ended
        ("a > \n a a", Budget(3, 2), "a>\n</think>\naa", "11100011"),
        ("a >\n <eos> x <eos>", Budget(5, 3), "a>\n</think>\nx<eos>", "1100011"),
        # the end of the response inside a thought is dropped and closed
        ("a <eos> x <eos>", Budget(5, 3), "a\n</think>\nx<eos>", "1000011"),
        # ... or extended
        ("a <eos> x </think> x <eos>", Budget(5, 3, 1), "aWaitx</think>x<eos>", "101111"),
        # no room for the wait text and a token after it
        ("a a <|end|> x x x", Budget(3, 2, 1), "aa\n</think>\nxx", "11000011"),
        # a delimiter begun at the cap is waited for
        ("a a </ think >. <eos>", Budget(3, 2), "aa</think>.<eos>", "111111"),
        ("a a < /think> <eos>", Budget(3, 2), "aa</think><eos>", "11111"),
        ("a a </ x <eos>", Budget(3, 2), "aa</\n</think>\n<eos>", "11100001"),
        ("a a </ <eos> <eos>", Budget(3, 2), "aa</\n</think>\n<eos>", "11100001"),
        # ... also one that begins exactly at the cap
        ("a a < < /think> <eos>", Budget(3, 2), "aa<</think><eos>", "111111"),
        # ... but one that begins beyond the cap is too late
        ("a a < < < /think> <eos>", Budget(3, 2), "aa<\n</think>\n<eos>", "11100001"),
        # a delimiter of several tokens is removed for a wait, also when it ends beyond the cap
        ("a </ think > x <eos> <eos>", Budget(4, 2, 1), "aWaitx\n</think>\n<eos>", "10100001"),
        ("a < / think > x x <eos>", Budget(4, 2, 1), "aWaitxx\n</think>\n<eos>", "101100001"),
        # the second of two delimiters belongs to the answer
        ("a </ think > </ think >\n a", Budget(9, 4), "a</think></think>\na", "11111111"),
    ],
)
def test_scripts(said: str, budget: Budget, expected: str, marks: str) -> None:
    script = Script([p for p in said.replace(">\n", "NL").split(" ") if p])
    script.pieces = [p.replace("NL", ">\n") for p in script.pieces]
    state = BudgetState(budget, forcing())
    while not state.done:
        if state.forced() is None:
            state.accept(*script(state.tokens, state.banned))
    assert decode(state.tokens) == expected
    assert "".join(map(str, state.mask)) == marks


def test_the_answer_prefix_follows_only_a_truncated_thought() -> None:
    by = forcing(answer_prefix=ids_of("so"))
    never = Policy(seed=0, end=0.0, begin=0.0, go_on=0.0)
    assert decode(run(Budget(2, 1), by, never).tokens[2:-1]) == "\n</think>\nso"
    ends = Policy(seed=0, end=1.0, begin=0.0, go_on=0.0)
    assert decode(run(Budget(2, 1), by, ends).tokens[:-1]) == "\n</think>\n"


def test_a_stop_token_is_a_stop_also_where_it_could_complete_the_delimiter() -> None:
    """``<eos>`` ends with the same character as ``</think>``."""
    sample = run(Budget(9, 2), forcing(), Policy(seed=3, end=1.0, begin=0.0, go_on=0.0))
    assert sample.thinking_tokens == 0
    assert sample.forced_close


@pytest.mark.parametrize("bad", [(0, 5), (-3, 5), (5, 0), (5, -1), (None, 0), (5, 5, -1)])
def test_bad_budgets_are_refused(bad: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="must"):
        Budget(*bad)


def test_waits_need_a_wait_text() -> None:
    with pytest.raises(UserError, match="num_waits needs"):
        BudgetState(Budget(5, 5, 1), forcing(wait_ids=()))


def test_a_trace_of_another_template_is_refused() -> None:
    never = Policy(seed=0, end=0.0, begin=0.0, go_on=0.0)
    trace = run(Budget(4, 2), forcing(one_token=True), never)
    with pytest.raises(ValueError, match="template"):
        BudgetState(Budget(4, 2), forcing(one_token=False)).replay(trace)


def test_a_delimiter_that_no_token_can_complete_is_refused() -> None:
    with pytest.raises(UserError, match="complete"):
        Delimiter(CLOSE, (2, 4), decode, ["a", "b"])
