"""What every engine promises, whichever way it decodes; a new engine is one entry of ``ENGINES``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from operator import attrgetter

import numpy as np
import pytest
import torch

import tiny
from rlready.core.errors import UserError
from rlready.core.records import Problem, Sample
from rlready.engine.budget import Budget, Forcing
from rlready.engine.factory import open_engine
from rlready.engine.graph import GraphDecoder
from rlready.engine.llama import LlamaWeights
from rlready.engine.protocol import Engine, Request, forcing_for, requests_for
from rlready.engine.torch import MakeDecoder, TorchEngine
from rlready.models.batch import Example
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from tiny import favour, full_logits

Open = Callable[[LM, Forcing], Engine]


class GraphEngine(TorchEngine):
    """The engine with the decoder that it has on a GPU."""

    @staticmethod
    def _decoders(lm: LM, fast: bool) -> MakeDecoder:
        with torch.no_grad():
            return partial(GraphDecoder, LlamaWeights(lm.model))


ENGINES: dict[str, Open] = {
    "torch, Llama decoder": partial(open_engine, "torch"),
    "torch, Hugging Face decoder": partial(TorchEngine, fast=False),
    "torch, decoder for GPUs": GraphEngine,
}
BATCH_DEPENDENT: dict[str, Open] = {"vllm": partial(open_engine, "vllm")} if find_spec("vllm") else {}
BUDGETS = [Budget(12, 5), Budget(12, 5, 2), Budget(1, 1), Budget(None, 14)]

pytestmark = pytest.mark.usefixtures("one_thread")
tiny_lm = partial(tiny.tiny_lm, head_dim=32)  # the smallest head of vLLM on a CPU


@pytest.fixture(params=[*ENGINES, *BATCH_DEPENDENT])
def opened(request: pytest.FixtureRequest) -> Open:
    return (ENGINES | BATCH_DEPENDENT)[request.param]


@pytest.fixture(params=ENGINES)
def independent(request: pytest.FixtureRequest) -> Open:
    """An engine whose samples do not depend on the batch."""
    return ENGINES[request.param]


def problems(n: int) -> list[Problem]:
    return [Problem(f"p{i}", "0123456789+ab"[i % 5 : i % 5 + 1 + i], "1") for i in range(n)]


def drawn(
    opened: Open, lm: LM, budget: Budget, *, prefix: str = "", temperature: float = 1.1, seed: int = 0
) -> list[tuple[Request, Sample]]:
    """Requests and their samples, 8 of each of 8 problems."""
    forcing = forcing_for(lm, "Wait" if budget.num_waits else "", prefix)
    requests = requests_for(lm, problems(8), 8, budget, forcing.answer_prefix_ids)
    with opened(lm, forcing) as engine:
        return list(zip(requests, engine.sample(requests, temperature=temperature, seed=seed), strict=True))


def tokens(pairs: Sequence[tuple[Request, Sample]]) -> list[list[int]]:
    return [sample.tokens.tolist() for _, sample in pairs]


def shift_weights(lm: LM, by: float) -> None:
    with torch.no_grad():
        for i, parameter in enumerate(lm.model.parameters()):
            parameter.add_(by * (-1) ** i * parameter)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("one_token", [True, False])
def test_no_sample_exceeds_its_budget(opened: Open, one_token: bool, budget: Budget) -> None:
    """Counted from the tokens: thought, what closes it, answer."""
    lm = tiny_lm(one_token=one_token, seed=4)
    forcing = forcing_for(lm)
    samples = [s for _, s in drawn(opened, lm, budget)]
    for s in samples:
        assert len(s.tokens) == len(s.mask) == len(s.logprobs)
        assert s.text == lm.decode(s.tokens.tolist())
        assert s.thinking_budget == budget.thinking_budget
        assert s.num_waits <= budget.num_waits
        assert 1 <= s.answer_tokens <= budget.max_answer_tokens
        assert s.thinking_tokens <= (budget.thinking_budget or 0)
        assert len(s.tokens) <= forcing.max_tokens(budget)
        if budget.thinking_budget is not None:
            closing = lm.decode(s.tokens[s.thinking_tokens : len(s.tokens) - s.answer_tokens].tolist())
            assert closing.strip() == lm.close
    assert len({len(s.tokens) for s in samples}) > 1
    if budget.thinking_budget is not None:
        assert any(s.truncated for s in samples)
        assert all(s.thinking_tokens == budget.thinking_budget for s in samples if s.truncated)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_sample_is_reported_once_when_it_has_ended(opened: Open, threads: int) -> None:
    """In the thread that asked, before the others have ended; one that a trace completes is reported, too."""
    lm = tiny_lm(seed=4)
    forcing = forcing_for(lm)
    requests = requests_for(lm, problems(8), 4, Budget(30, 5))
    torch.set_num_threads(threads)
    with opened(lm, forcing) as engine:
        (trace,) = engine.sample(requests[:1], temperature=1.0, seed=0)
        requests[0] = replace(requests[0], trace=trace)
        reported: list[tuple[int, Sample]] = []
        samples = engine.sample(
            requests, temperature=1.0, seed=0, ended=lambda s: reported.append((threading.get_ident(), s))
        )
    torch.set_num_threads(1)
    assert {who for who, _ in reported} == {threading.get_ident()}
    key = attrgetter("problem_id", "sample_id")
    assert [(key(s), s.text) for s in sorted((s for _, s in reported), key=key)] == [(key(s), s.text) for s in samples]
    if threads == 1:
        assert np.corrcoef(range(len(reported)), [len(s.tokens) for _, s in reported])[0, 1] > 0.7


def test_forced_tokens_are_masked_and_have_no_log_probability(opened: Open) -> None:
    """Waits, the end of a truncated thought and the answer prefix, in the model's own tokens; nothing else."""
    lm = tiny_lm(seed=4)
    by = forcing_for(lm, "Wait", "so:")
    samples = [s for _, s in drawn(opened, lm, Budget(12, 5, 2), prefix="so:")]
    closings = set()
    for s in samples:
        begin, end = s.thinking_tokens, len(s.tokens) - s.answer_tokens
        assert not s.logprobs[s.mask == 0].any()
        assert s.mask[end:].all()
        assert s.mask[begin:end].any() != s.forced_close
        waits = np.flatnonzero(s.mask[:begin] == 0).reshape(s.num_waits, len(by.wait_ids))
        assert [s.tokens[place].tolist() for place in waits] == [list(by.wait_ids)] * s.num_waits
        if s.forced_close:
            broken = lm.decode(s.tokens[:begin].tolist()).endswith("\n")
            closings.add((broken, s.truncated, lm.decode(s.tokens[begin:end].tolist())))
    assert {s.num_waits for s in samples} == {0, 1, 2}
    ends = {(False, True, "\n</think>\nso:"), (True, True, "</think>\nso:"), (False, False, "\n</think>\n")}
    assert ends <= closings <= ends | {(True, False, "</think>\n")}


@pytest.mark.parametrize("temperature", [0.8, 1.3])
@pytest.mark.parametrize("one_token", [True, False])
def test_log_probabilities_are_those_of_the_forward(opened: Open, one_token: bool, temperature: float) -> None:
    """At every token that the policy chose, also right after a wait, as training computes them."""
    lm = tiny_lm(one_token=one_token, family="Qwen3", seed=5)
    pairs = drawn(opened, lm, Budget(20, 6, 1), temperature=temperature)
    assert any(s.num_waits for _, s in pairs)
    assert any(s.forced_close for _, s in pairs)
    rows = [Example(r.prompt_ids, s.tokens.tolist(), s.mask, s.logprobs, s.logprobs) for r, s in pairs]
    with torch.no_grad():
        expected, _ = token_logprobs(lm.model, rows, temperature=temperature)
    np.testing.assert_allclose(np.concatenate([s.logprobs[s.mask == 1] for _, s in pairs]), expected.numpy(), atol=1e-4)


def test_temperature_zero_takes_the_most_likely_token(opened: Open) -> None:
    lm = tiny_lm(seed=6)
    for request, sample in drawn(opened, lm, Budget(12, 6), temperature=0.0)[::8]:
        row = list(request.prompt_ids)
        for token, chosen in zip(sample.tokens.tolist(), sample.mask.tolist(), strict=True):
            assert not chosen or token == full_logits(lm.model, [row])[0].argmax()
            row.append(token)


def test_every_response_says_how_it_ended(opened: Open) -> None:
    """By a stop token, at the limit of the answer, or where it begins another thought."""
    lm = tiny_lm(seed=4)
    (opener,), (line_break,) = lm.encode(lm.open), lm.encode("\n")
    favour(lm.model, {opener: {line_break: 4.0}})
    samples = [s for _, s in drawn(opened, lm, Budget(12, 5))]
    for s in samples:
        answer = s.tokens[len(s.tokens) - s.answer_tokens :].tolist()
        last = "stop" if answer[-1] in lm.stop_ids else "reopened" if answer[-1] == opener else "length"
        assert s.finish == last
        assert s.finish != "length" or s.answer_tokens == 5
        assert not {opener, *lm.stop_ids} & set(answer[:-1])
    assert {s.finish for s in samples} == {"stop", "length", "reopened"}


def test_a_bias_shortens_thoughts_and_leaves_the_log_probabilities(opened: Open) -> None:
    lm = tiny_lm(seed=4)
    biased = [drawn(opened, lm, Budget(12, 5, end_think_bias=bias)) for bias in (-9.0, 0.0, 60.0)]
    longest, plain, none = (np.mean([s.thinking_tokens for _, s in pairs]) for pairs in biased)
    assert longest > plain > none == 0
    for request, sample in biased[2][::8]:
        logits = full_logits(lm.model, [list(request.prompt_ids)])[0] / 1.1
        assert sample.logprobs[0] == pytest.approx(logits.log_softmax(-1)[sample.tokens[0]].item(), abs=1e-4)


def test_a_sample_depends_on_its_seed_and_names_only(independent: Open) -> None:
    """Not on the order of the requests or on what else is in the batch."""
    lm = tiny_lm(seed=4)
    pairs = drawn(independent, lm, Budget(12, 5))
    assert tokens(drawn(independent, lm, Budget(12, 5))) == tokens(pairs)
    assert tokens(drawn(independent, lm, Budget(12, 5), seed=1)) != tokens(pairs)
    assert all(len({s.tokens.tobytes() for _, s in pairs[at : at + 8]}) > 4 for at in range(0, 64, 8))
    requests, samples = zip(*pairs, strict=True)
    with independent(lm, forcing_for(lm)) as engine:
        backwards = engine.sample(requests[::-3], temperature=1.1, seed=0)
        assert [s.tokens.tolist() for s in backwards] == [s.tokens.tolist() for s in samples[::-3]]
        assert [(s.problem_id, s.sample_id) for s in backwards] == [(r.problem_id, r.sample_id) for r in requests[::-3]]
        renamed = engine.sample([replace(r, problem_id=f"{r.problem_id}@1") for r in requests], temperature=1.1, seed=0)
        assert [s.tokens.tolist() for s in renamed] != [s.tokens.tolist() for s in samples]
        assert engine.sample([], temperature=1.1, seed=0) == []
        assert engine.batch_size >= 1


@pytest.mark.parametrize("waits", [0, 2])
def test_smaller_budgets_from_one_trace(independent: Open, waits: int) -> None:
    """A request with the trace of a larger budget gives the sample that it gives without."""
    lm = tiny_lm(seed=4)
    traces = [s for _, s in drawn(independent, lm, Budget(20, 5, waits))]
    with independent(lm, forcing_for(lm, "Wait")) as engine:
        for thinking_budget in (3, 9):
            alone = drawn(independent, lm, Budget(thinking_budget, 5, waits))
            requests = [replace(r, trace=trace) for (r, _), trace in zip(alone, traces, strict=True)]
            cut = engine.sample(requests, temperature=1.1, seed=0)
            for (_, one), other in zip(alone, cut, strict=True):
                np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
                for name in ("tokens", "mask", "thinking_tokens", "num_waits", "truncated", "finish"):
                    assert np.array_equal(getattr(one, name), getattr(other, name))


def test_updated_weights_are_those_of_a_new_engine(opened: Open) -> None:
    """Also those of another model; without the update the engine refuses to sample."""
    lm, budget = tiny_lm(seed=4), Budget(12, 5)
    requests = requests_for(lm, problems(8), 8, budget)
    with opened(lm, forcing_for(lm)) as engine:
        before = [s.tokens.tolist() for s in engine.sample(requests, temperature=1.1, seed=0)]
        shift_weights(lm, 0.2)
        with pytest.raises(RuntimeError, match="without update_weights"):
            engine.sample(requests, temperature=1.1, seed=0)
        for model in (lm, tiny_lm(seed=7)):
            engine.update_weights(model)
            samples = engine.sample(requests, temperature=1.1, seed=0)
            after = [s.tokens.tolist() for s in samples]
            assert after == tokens(drawn(opened, model, budget))
            assert after != before
            before = after


def test_a_closed_engine_does_not_sample(opened: Open) -> None:
    lm = tiny_lm()
    with opened(lm, forcing_for(lm)) as engine:
        engine.sample(requests_for(lm, problems(1), 1, Budget(3, 2)), temperature=1.0, seed=0)
    engine.close()  # closing twice is no error
    with pytest.raises(RuntimeError, match="closed"):
        engine.sample(requests_for(lm, problems(1), 1, Budget(3, 2)), temperature=1.0, seed=0)


def test_weights_that_are_not_finite_stop_the_run(opened: Open) -> None:
    lm = tiny_lm()
    with torch.no_grad():
        lm.model.model.norm.weight[0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        drawn(opened, lm, Budget(5, 5))
