"""The engine: the same logits as the model, the same sample however it is drawn, and every budget from one trace."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core.errors import UserError
from rlready.core.records import Problem, Sample
from rlready.engine import graph
from rlready.engine import torch as torch_engine
from rlready.engine.budget import Budget
from rlready.engine.decoder import HFDecoder
from rlready.engine.graph import GraphDecoder
from rlready.engine.llama import LlamaDecoder, LlamaWeights
from rlready.engine.protocol import Request, budget_for, forcing_for, requests_for
from rlready.engine.rollout import Grader, answer_of
from rlready.engine.sampling import draw, stream_key, uniforms
from rlready.engine.torch import TorchEngine
from rlready.evaluate.budgets_from_trace import Sampling, draw_at_budgets
from rlready.models.checkpoint import load
from rlready.models.llama import packed_linear as product
from rlready.models.llama.kernels import loaded
from rlready.models.llama.support import supports
from rlready.models.lm import LM
from rlready.tasks import Task, Verdict
from tiny import full_logits, tiny_lm, tiny_model

LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
BASE = {"rope_theta": 10_000.0, "original_max_position_embeddings": 16}

FAST = {
    "Llama": ("Llama", {}),
    "Llama, tied, with biases": ("Llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "Llama, one key head, head_dim 10": ("Llama", {"num_key_value_heads": 1, "head_dim": 10}),
    "Llama, llama3 rope": ("Llama", {"rope_parameters": LLAMA3_ROPE | BASE}),
    "Llama, yarn rope": ("Llama", {"rope_parameters": {"rope_type": "yarn", "factor": 8.0} | BASE}),
    "Llama, linear rope": ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
    "Qwen2": ("Qwen2", {}),
    "Qwen2, tied": ("Qwen2", {"tie_word_embeddings": True}),
    "Qwen3, head_dim 10": ("Qwen3", {"head_dim": 10}),
    "Qwen3, tied, with biases": ("Qwen3", {"head_dim": 10, "attention_bias": True, "tie_word_embeddings": True}),
    "Mistral": ("Mistral", {"sliding_window": None}),
}
SLOW = {
    "Mistral, sliding": ("Mistral", {"sliding_window": 5}),
    "Qwen2, sliding": ("Qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "Gemma2, sliding": ("Gemma2", {"head_dim": 8, "sliding_window": 5}),
    "Llama, dynamic rope": ("Llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}}),
    "Llama, gelu": ("Llama", {"hidden_act": "gelu"}),
    "GPT2": ("GPT2", {}),
    "GPTNeoX": ("GPTNeoX", {}),
}

pytestmark = pytest.mark.usefixtures("one_thread")


class Rows:
    """A decoder beside the plain token lists it should stand for; every feeding compares the two."""

    def __init__(self, decoder: HFDecoder | LlamaDecoder, model: Any, prompts: Sequence[list[int]]) -> None:
        self.model, self.decoder = model, decoder
        self.rows: list[list[int]] = [[] for _ in prompts]
        self.worst = 0.0
        self.feed(prompts)

    def feed(self, parts: Sequence[list[int]]) -> None:
        width, device = max(map(len, parts)), self.model.device
        ids = torch.full((len(parts), width), 7, device=device)
        valid = torch.zeros(len(parts), width, dtype=torch.bool, device=device)
        for i, part in enumerate(parts):
            if part:
                ids[i, -len(part) :], valid[i, -len(part) :] = torch.tensor(part, device=device), True
            self.rows[i] += part
        with torch.no_grad():
            logits = self.decoder.extend(ids, valid)
        fed = [i for i, part in enumerate(parts) if part]
        difference = logits[fed] - full_logits(self.model, [self.rows[i] for i in fed])
        self.worst = max(self.worst, difference.abs().max().item())

    def branch(self, rows: list[int]) -> None:
        self.decoder.branch(torch.tensor(rows, device=self.model.device), 20)
        self.rows = [list(self.rows[i]) for i in rows]

    def select(self, rows: list[int]) -> None:
        self.decoder.select(torch.tensor(rows, device=self.model.device))
        self.rows = [list(self.rows[i]) for i in rows]

    def forget(self, row: int, count: int) -> None:
        self.decoder.forget(row, count)
        del self.rows[row][-count:]


def largest_difference(decoder: HFDecoder | LlamaDecoder, model: Any) -> float:
    """Prefill with left padding, copy, steps, tokens taken back, uneven beginnings, compaction, growth."""
    rng = random.Random(5)

    def tokens(*lengths: int) -> list[list[int]]:
        return [[rng.randrange(3, 50) for _ in range(n)] for n in lengths]

    rows = Rows(decoder, model, tokens(1, 7, 4))
    rows.branch([0, 1, 1, 2, 2, 0])
    rows.feed(tokens(1, 1, 1, 1, 1, 1))
    rows.feed(tokens(0, 3, 1, 2, 0, 5))
    for _ in range(3):
        rows.feed(tokens(1, 1, 1, 1, 1, 1))
    rows.forget(1, 2)
    rows.forget(5, 1)
    rows.feed(tokens(1, 1, 1, 1, 1, 1))
    rows.forget(1, 3)
    rows.feed(tokens(1, 1, 1, 1, 1, 1))
    rows.select([5, 2, 1, 0])
    rows.feed(tokens(35, 1, 2, 9))
    rows.feed(tokens(1, 1, 1, 1))
    rows.select([0, 3])  # the last rows of two prompts are gone
    rows.feed(tokens(1, 1))
    return rows.worst


@pytest.mark.parametrize("name", FAST)
def test_the_fast_decoder_equals_the_model(name: str) -> None:
    family, changes = FAST[name]
    model = tiny_model(family, 1, **changes)
    assert supports(model)
    with torch.no_grad():
        weights = LlamaWeights(model)
    assert largest_difference(LlamaDecoder(weights, 3), model) <= 1e-5


@pytest.mark.parametrize("width", [2, 128])
@pytest.mark.parametrize("name", FAST)
def test_the_decoder_of_fixed_size_equals_the_model(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is the one on a GPU, where its steps are captured; here also where the cache has to grow."""
    family, changes = FAST[name]
    model = tiny_model(family, 1, **changes)
    monkeypatch.setattr(graph, "WIDTH", width)
    with torch.no_grad():
        assert largest_difference(GraphDecoder(LlamaWeights(model), 3), model) <= 1e-5


KERNEL = {"hidden_size": 32, "head_dim": 16}  # sizes that the kernels serve


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", FAST)
def test_the_kernel_equals_the_model(name: str) -> None:
    family, changes = FAST[name]
    model = tiny_model(family, 1, **changes | KERNEL)
    with torch.no_grad():
        decoder = LlamaDecoder(LlamaWeights(model), 3)
    assert decoder.by_column == (loaded() is not None)
    assert largest_difference(decoder, model) <= 1e-5


@pytest.mark.parametrize("name", FAST)
def test_weights_laid_out_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of larger models are."""
    family, changes = FAST[name]
    model = tiny_model(family, 1, **changes)
    monkeypatch.setattr(product, "LAID_OUT", 1)
    with torch.no_grad():
        weights = LlamaWeights(model)
    if torch.backends.mkldnn.is_available():
        assert weights.head.laid_out is not None
    assert largest_difference(LlamaDecoder(weights, 3), model) <= 1e-5


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("laid_out", [1, 1 << 60])
def test_products(laid_out: int, biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of rows, joined with what stands beside them; what is given stays as it was."""
    monkeypatch.setattr(product, "LAID_OUT", laid_out)
    rng = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(48, 33, generator=rng), torch.randn(48, generator=rng) if biased else None
    made, second = product.Product(weight, bias), torch.randn(48, 33, generator=rng)
    for rows in (1, 5, 64, 300):
        x, other = torch.randn(rows, 33, generator=rng), torch.randn(rows, 48, generator=rng)
        before = other.clone()
        plain = x.double() @ weight.double().T + (0 if bias is None else bias)
        gated = plain * torch.sigmoid(plain) * (x.double() @ second.double().T)
        pairs = [(made(x), plain), (made.gated(product.Product(second), x), gated)]
        for mine, theirs in [*pairs, (made.added(other, x), other + plain)]:
            torch.testing.assert_close(mine.double(), theirs, atol=1e-4, rtol=1e-5)
        assert torch.equal(other, before)


@pytest.mark.parametrize("name", ["Llama", "Qwen3, head_dim 10", *SLOW])
def test_the_hugging_face_decoder_equals_the_model(name: str) -> None:
    family, changes = (FAST | SLOW)[name]
    model = tiny_model(family, 1, **changes)
    assert supports(model) == (name in FAST)
    assert largest_difference(HFDecoder(model, 3), model) <= 1e-5


def test_what_the_fast_decoder_does_not_know_goes_to_the_other() -> None:
    lm = tiny_lm(family="Mistral", sliding_window=5)
    assert not TorchEngine(lm, forcing_for(lm)).fast
    adapted = tiny_lm()
    assert TorchEngine(adapted, forcing_for(adapted)).fast
    assert not TorchEngine(adapted, forcing_for(adapted), fast=False).fast
    adapted.model.model.layers[0].self_attn.q_proj = torch.nn.Sequential(adapted.model.model.layers[0].self_attn.q_proj)
    assert not supports(adapted.model)


# ----------------------------------------------------------------------------- one sample, however it is drawn


def problems(n: int) -> list[Problem]:
    rng = random.Random(2)
    return [Problem(f"p{i}", "".join(rng.choices("0123456789+ab", k=1 + i % 9)), "1") for i in range(n)]


def first_difference(a: Sample, b: Sample) -> int | None:
    if np.array_equal(a.tokens, b.tokens):
        return None
    both = min(len(a.tokens), len(b.tokens))
    return next((i for i in range(both) if a.tokens[i] != b.tokens[i]), both)


def boundary(lm: LM, request: Request, tokens: Sequence[int], temperature: float, seed: int) -> float:
    """How far the uniform number of the draw after ``tokens`` lies from the nearest boundary of the CDF."""
    logits = full_logits(lm.model, [[*request.prompt_ids, *tokens]])[0]
    cdf = torch.softmax(logits.double() / temperature, -1).cumsum(-1)
    key = np.array([stream_key(seed, request.problem_id, request.sample_id)], dtype=np.uint64)
    return float((cdf - uniforms(key, np.array([len(tokens)], dtype=np.uint64))[0]).abs().min())


def differing(
    lm: LM, requests: Sequence[Request], a: Sequence[Sample], b: Sequence[Sample], temperature: float, seed: int
) -> int:
    """How many samples differ; fails unless each differs for a draw on a boundary and all else agrees."""
    count = 0
    for request, one, other in zip(requests, a, b, strict=True):
        assert (one.problem_id, one.sample_id) == (other.problem_id, other.sample_id)
        at = first_difference(one, other)
        if at is not None:
            assert boundary(lm, request, one.tokens[:at].tolist(), temperature, seed) < 1e-5
            count += 1
            continue
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
        assert facts(one) == facts(other)
    return count


def facts(sample: Sample) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(sample).items() if k != "logprobs"}


def test_a_sample_is_the_same_however_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny_lm(seed=3)
    requests = requests_for(lm, problems(32), 8, Budget(30, 10))
    order = random.Random(0).sample(range(256), 256)

    def sample(some: Sequence[Request], **engine: Any) -> list[Sample]:
        return TorchEngine(lm, forcing_for(lm), **engine).sample(some, temperature=0.9, seed=11)

    together = sample(requests)
    assert len({len(s.tokens) for s in together}) > 20
    assert len({s.tokens.tobytes() for s in together}) > 250
    shuffled = sample([requests[i] for i in order])
    others = {
        "shuffled": [shuffled[order.index(i)] for i in range(256)],
        "batches of 7": sample(requests, batch_size=7),
        "Hugging Face decoder": sample(requests, fast=False),
    }
    monkeypatch.setattr(torch_engine, "KEEP", 0.0)
    others["without compaction"] = sample(requests)
    total, different = 0, 0
    for other in others.values():
        different += differing(lm, requests, together, other, 0.9, 11)
        total += 256
    few = range(0, 256, 16)
    alone = [sample([requests[i]])[0] for i in few]
    different += differing(lm, [requests[i] for i in few], [together[i] for i in few], alone, 0.9, 11)
    assert total > 1000
    assert different <= 0.001 * total


class Parity(Task):
    """A task that accepts answers of even length."""

    def __init__(self) -> None:
        self.source = "parity"

    def problems(self) -> list[Problem]:
        return []

    def verify(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        return Verdict(len(answer) % 2 == 0)


@pytest.mark.parametrize("num_waits", [0, 2])
@pytest.mark.parametrize("template", ["opens", "knows"])
@pytest.mark.parametrize("one_token", [True, False])
def test_every_budget_from_one_trace(one_token: bool, template: str, num_waits: int) -> None:
    """A truncated trace equals a separate run at every budget, whatever the delimiter and whoever opens the thought."""
    lm = tiny_lm(one_token=one_token, template=template, seed=4)
    some = problems(12)
    budgets = [Budget(cap, 5, num_waits) for cap in (3, 9, 17, 33)]
    engine = TorchEngine(lm, forcing_for(lm, "Wait" if num_waits else ""), batch_size=64)
    found = draw_at_budgets(engine, lm, Parity(), some, budgets, Sampling(5, 1.1, 1))  # type: ignore[arg-type]
    assert {s.thinking_budget for b in budgets for g in found[b] for s in g.samples} == {3, 9, 17, 33}
    kinds = set()
    for budget in budgets:
        requests = requests_for(lm, some, 5, budget)
        assert lm.decode(requests[0].prompt_ids).rstrip("\n").endswith("<think>")
        alone = engine.sample(requests, temperature=1.1, seed=1)
        truncated = [replace(s, correct=None, reward=None) for g in found[budget] for s in g.samples]
        assert differing(lm, requests, truncated, alone, 1.1, 1) <= 1
        kinds |= {(s.truncated, s.forced_close, s.num_waits > 0) for s in alone}
        for sample in alone:  # no stop is drawn right after a wait: neither a second one nor the end follows
            thought = "".join(map(str, sample.mask[: sample.thinking_tokens].tolist()))
            assert {len(forced) for forced in re.findall("0+", thought)} <= {len("Wait")}
            assert not thought.endswith("0")
    endings = {(True, True), (False, True), (False, False)}
    assert kinds >= {(*e, extended) for e in endings for extended in ((False, True) if num_waits else (False,))}


# ---------------------------------------------------------------------------------------------------- randomness


def test_draws_follow_the_softmax() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0, float("-inf"), 1.0, 0.5, -3.0, 0.0]])
    n = 40_000
    keys = np.array([stream_key(0, f"p{i // 200}", i % 200) for i in range(n)], dtype=np.uint64)
    by_key = uniforms(keys, np.full(n, 3, dtype=np.uint64))
    by_position = uniforms(np.repeat(keys[:1], n), np.arange(n, dtype=np.uint64))
    for temperature in (1.0, 0.6):
        expected = torch.softmax(logits[0].double() / temperature, -1)
        for u in (by_key, by_position):
            tokens, logprobs = draw(logits.expand(n, -1), temperature, u)
            counts = torch.bincount(tokens, minlength=8).double()
            possible = expected > 0
            chi2 = ((counts - n * expected)[possible] ** 2 / (n * expected[possible])).sum()
            assert chi2 < 22.5  # 99.9 % of 6 degrees of freedom
            assert counts[3] == 0
            torch.testing.assert_close(logprobs.double(), expected.log()[tokens], atol=1e-5, rtol=0)


def test_a_banned_token_is_never_drawn_and_its_share_goes_to_the_others() -> None:
    logits = torch.tensor([[1.0, 3.0, 0.0, 0.5], [1.0, 3.0, 0.0, 0.5]])
    n = 10_000
    u = uniforms(np.arange(2 * n, dtype=np.uint64) << np.uint64(7), np.zeros(2 * n, dtype=np.uint64))
    banned = dict.fromkeys(range(0, 2 * n, 2), frozenset({1}))
    tokens, logprobs = draw(logits.repeat(n, 1), 1.0, u, banned)
    assert not (tokens[::2] == 1).any()
    share = torch.bincount(tokens[::2], minlength=4) / n
    expected = torch.softmax(logits[0].masked_fill(torch.tensor([False, True, False, False]), -torch.inf), -1)
    torch.testing.assert_close(share, expected, atol=0.02, rtol=0)
    assert (torch.bincount(tokens[1::2], minlength=4) / n)[1] > 0.7
    torch.testing.assert_close(logprobs, torch.log_softmax(logits[0], -1)[tokens])  # the policy's own
    assert draw(logits, 0.0, u[:2], {0: {1}})[0].tolist() == [0, 1]


def test_every_draw_has_its_own_number() -> None:
    keys = {stream_key(seed, p, i) for seed in range(3) for p in ("a", "b", "a1") for i in range(40)}
    assert len(keys) == 360
    assert stream_key(1, "1", 11) != stream_key(1, "11", 1) != stream_key(11, "1", 1)
    array = np.array(sorted(keys), dtype=np.uint64)
    grid = np.stack([uniforms(array, np.full(360, t, dtype=np.uint64)) for t in range(100)])
    assert grid.min() >= 0
    assert grid.max() < 1
    assert len(np.unique(grid)) == grid.size
    centred = grid - 0.5
    for shift in ((1, 0), (0, 1), (1, 1)):  # neither neighbours in position nor in key go together
        other = np.roll(centred, shift, (0, 1))
        assert abs(float((centred * other).mean()) * 12) < 4 / grid.size**0.5
    top = np.array([np.iinfo(np.uint64).max], dtype=np.uint64)
    assert 0 <= uniforms(top, top)[0] < 1


# ------------------------------------------------------------------------------------------ requests and prompts


def test_a_prompt_is_encoded_once_per_group(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    class Spy(LlamaDecoder):
        def extend(self, ids_BM: torch.Tensor, valid_BM: torch.Tensor) -> torch.Tensor:
            calls.append(int(valid_BM.sum()))
            return super().extend(ids_BM, valid_BM)

    lm = tiny_lm()
    requests = requests_for(lm, problems(3), 8, Budget(6, 3))
    engine = TorchEngine(lm, forcing_for(lm))
    monkeypatch.setattr(torch_engine, "LlamaDecoder", Spy)
    samples = engine.sample(requests, temperature=1.0, seed=0)
    assert calls[0] == sum(len(r.prompt_ids) for r in requests[::8])
    assert max(calls[1:]) <= 24
    # finished rows are dropped, so little more is decoded than kept
    assert sum(calls[1:]) <= 1.25 * sum(len(s.tokens) for s in samples)


def test_words_that_a_vocabulary_lacks_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("known", "1", "1"), Problem("snowman", "☃", "1")]
    lm, said = load("embedded"), "its vocabulary lacks words of the problems, which it reads as <unk>"
    requests_for(lm, problems[:1], 1, Budget(5, 5))
    assert said not in capsys.readouterr().err
    requests_for(lm, problems * 2, 1, Budget(5, 5))
    assert capsys.readouterr().err.count(said) == 1


def test_what_exceeds_the_context_is_refused() -> None:
    lm = tiny_lm(max_position_embeddings=32)
    problem = [Problem("long", "1" * 8, "1")]
    room = 32 - len(lm.prompt_ids("1" * 8, think=True)) - len(lm.close_ids) - 4
    request = requests_for(lm, problem, 1, Budget(room, 4))[0]
    never = TorchEngine(lm, forcing_for(lm)).sample([request], temperature=0, seed=0)[0]
    assert len(request.prompt_ids) + len(never.tokens) <= 32
    with pytest.raises(UserError, match="more than the context of 32"):
        requests_for(lm, problem, 1, Budget(room + 1, 4))
    with pytest.raises(UserError, match="more than the context of 32"):
        requests_for(lm, problem, 1, Budget(room, 4), forcing_for(lm, answer_prefix="so:").answer_prefix_ids)


def test_rows_that_are_done_take_no_positions() -> None:
    """A model with learned positions has none beyond its context, which a batch's longest rows may fill."""
    lm = tiny_lm(family="GPT2")
    some = [Problem(f"p{i}", f"a+{i}", "1") for i in range(4)]
    budgets = [Budget(111, 8), Budget(111, 8, 1)]
    engine = TorchEngine(lm, forcing_for(lm, "Wait"))
    found = draw_at_budgets(engine, lm, Parity(), some, budgets, Sampling(16, 1.0, 0))  # type: ignore[arg-type]
    assert max(len(g.prompt_ids) + len(s.tokens) for b in budgets for g in found[b] for s in g.samples) <= lm.context


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_batch_of_a_thread_is_above_the_bound(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where prompts are fewer than threads, or do not share out evenly."""
    monkeypatch.setattr(torch_engine, "workers", lambda model, most: 4)
    monkeypatch.setattr(torch_engine, "run_parallel", lambda calls, *_: [call() for call in calls])
    sizes: list[int] = []
    run = TorchEngine._run

    def spy(engine: TorchEngine, make_decoder: Any, batch: Any) -> None:
        sizes.append(len(batch.requests))
        run(engine, make_decoder, batch)

    monkeypatch.setattr(TorchEngine, "_run", spy)
    lm = tiny_lm()
    requests = requests_for(lm, problems(count), 80 // count, Budget(4, 2))
    engine = TorchEngine(lm, forcing_for(lm), batch_size=40)
    engine.sample(requests, temperature=1.0, seed=0)
    assert max(sizes) <= 40
    assert sum(sizes) == len(requests)
    longest = max(len(r.prompt_ids) + engine.forcing.max_tokens(r.budget) for r in requests)
    decoder = engine.decoders()(1)
    decoder.extend(torch.zeros(1, longest, dtype=torch.long), torch.ones(1, longest, dtype=torch.bool))
    assert isinstance(decoder, LlamaDecoder)
    row = sum(t.nbytes for t in (*decoder.keys, *decoder.values))
    for room, most in ((7.5, 7), (0.5, 1)):  # rows of four batches at once that memory has room for
        sizes.clear()
        monkeypatch.setattr(torch_engine, "CACHE_BYTES", int(4 * room * row))
        engine.sample(requests, temperature=1.0, seed=0)
        assert max(sizes) == most
        assert sum(sizes) == len(requests)


def test_a_budget_needs_delimiters() -> None:
    lm = tiny_lm(template="plain")
    with pytest.raises(UserError, match="opens no thought"):
        requests_for(lm, problems(1), 1, Budget(5, 5))
    assert budget_for(lm, 3, 2) == Budget(None, 5)  # one cap for the whole response
    assert budget_for(tiny_lm(), 3, 2, 1) == Budget(3, 2, 1)
    unconstrained = requests_for(lm, problems(1), 1, Budget(None, 5))
    assert TorchEngine(lm, forcing_for(lm)).sample(unconstrained, temperature=1.0, seed=0)[0].answer_tokens <= 5


@pytest.mark.parametrize("wait_text", ["Wait</think>", "Wait <", "so</thi"])
def test_the_wait_text_must_not_close_the_thought(wait_text: str) -> None:
    with pytest.raises(UserError, match="delimiter"):
        forcing_for(tiny_lm(), wait_text)
    if "</think>" in wait_text:
        with pytest.raises(UserError, match="contains the thought delimiter '</think>'"):
            forcing_for(tiny_lm(), "", wait_text)


@pytest.mark.parametrize("texts", [("§", ""), ("", "§")])
def test_forced_text_that_the_vocabulary_lacks_is_refused(texts: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="cannot encode the forced text '§'"):
        forcing_for(tiny_lm(), *texts)
    with pytest.raises(UserError, match="cannot encode"):
        forcing_for(load("embedded"), *texts)


@pytest.mark.parametrize(("template", "opened"), [("opens", True), ("closes", False)])
def test_a_thought_that_the_prompt_opens_and_nothing_closes_has_no_answer(template: str, opened: bool) -> None:
    """Where no budget closes it, as in a response without one."""
    lm = tiny_lm(template=template)
    assert lm.chat.opened is opened
    tokens = np.array([5], dtype=np.int32)
    free = Sample("a", 0, tokens, np.ones(1, dtype=np.uint8), np.zeros(1, dtype=np.float32), 0, 1, text="it is 2")
    assert answer_of(free, lm) == (("it is 2", "") if opened else ("", "it is 2"))
    assert answer_of(replace(free, thinking_budget=8), lm) == ("", "it is 2")
    assert answer_of(replace(free, text=f"so{lm.close}2"), lm) == ("so", "2")


def test_a_verdict_given_early_is_not_asked_for_again() -> None:
    """Unless it is undecided: one response without a verdict must not look like a verifier that never gives one."""
    lm, asked = tiny_lm(seed=3), list[str]()

    class Picky(Parity):
        def verify(self, problem: Problem, thinking: str, answer: str) -> Any:
            asked.append(answer)
            if len(asked) == 1:
                raise IndexError(answer)
            return super().verify(problem, thinking, answer)

    task, some = Picky(), problems(2)
    requests = requests_for(lm, some, 4, Budget(12, 5))
    grader = Grader(lm, task, some, requests)
    samples = TorchEngine(lm, forcing_for(lm)).sample(requests, temperature=1.0, seed=0)
    assert [grader.verdict(s).undecided for s in samples[:3]] == [True, False, False]
    groups = grader.groups(samples)
    assert [s.sample_id for g in groups for s in g.samples] == [*range(4), *range(4)]
    assert not any(s.undecided for g in groups for s in g.samples)
    assert len(asked) == 9
    assert (task.tally.asked, task.tally.undecided) == (8, 0)
