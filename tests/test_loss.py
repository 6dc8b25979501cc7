"""One loss for every learner: what reaches it, what it weighs, and that layout and laziness change nothing."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core.records import Group, Problem, Sample
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.assign import credit
from rlready.credit.outcome import leave_one_out
from rlready.models import scoring
from rlready.models.batch import Batch, Example, micro_batches, supervised
from rlready.models.llama import attention
from rlready.models.llama import fused as elementwise
from rlready.models.llama import logprob as packed_logprob
from rlready.models.llama.forward import hidden_states
from rlready.models.llama.kernels import loaded
from rlready.models.llama.logprob import packed_logprobs
from rlready.models.llama.packing import Packed, pack
from rlready.models.llama.support import supports
from rlready.models.lm import LM
from rlready.models.logprob import padded, token_logprobs
from rlready.tasks.dagmath.vocabulary import build_tokenizer
from rlready.train.loss import LossInputs, LossSettings, kl_penalty, likelihood_loss, policy_loss
from rlready.train.sft import weighted
from tiny import tiny_model

CAP = 20  # most tokens of a response
ROUNDING = 5e-6  # relative, of float32 sums in another order
Gradients = dict[str, torch.Tensor]


def symbolic_lm(seed: int = 0, family: str = "Llama", **changes: Any) -> LM:
    """A random model with the tokenizer of the symbolic world, not so sharp that float32 shows."""
    tokenizer = build_tokenizer()
    model = tiny_model(family, seed, **{"vocab_size": len(tokenizer), "hidden_size": 32, "head_dim": 8} | changes)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5 if weight.dim() > 1 else 1.0)
    return LM(model, tokenizer, "tiny")


def rollouts(lm: LM, rewards: Sequence[Sequence[float]], *, temperature: float = 1.0, seed: int = 0) -> list[Group]:
    """Groups of random responses with random forced tokens, and the model's own log-probabilities of the rest."""
    rng = np.random.default_rng(seed)
    size = len(lm.tokenizer)
    groups = []
    for at, row_rewards in enumerate(rewards):
        prompt = [1, *rng.integers(6, size, rng.integers(3, 9)).tolist()]
        samples = []
        for i, reward in enumerate(row_rewards):
            tokens = rng.integers(6, size, rng.integers(4, CAP)).astype(np.int32)
            mask = (rng.random(len(tokens)) > 0.25).astype(np.uint8)
            mask[-1] = 1
            old = np.zeros(len(tokens), dtype=np.float32)
            row = Example(prompt, tokens.tolist(), mask, old, old)
            with torch.no_grad():
                old[mask.astype(bool)] = token_logprobs(lm.model, [row], temperature)[0].numpy()
            samples.append(Sample(f"p{at}", i, tokens, mask, old, 0, 0, correct=reward > 0, reward=reward))
        groups.append(Group(Problem(f"p{at}", "", ""), prompt, samples))
    return groups


def gradients(lm: LM) -> Gradients:
    """Take every parameter's gradient from the model."""
    found = {name: p.grad.clone() for name, p in lm.model.named_parameters() if p.grad is not None}
    lm.model.zero_grad(set_to_none=True)
    return found


def inputs(batch: Batch, logp: torch.Tensor, *, old: bool = False) -> LossInputs:
    sampler = batch.old_N if old else logp.detach()
    assert sampler is not None
    return LossInputs(logp, sampler, None, batch.advantage_N, batch.weight_N, batch.sequence_N)


def learn(
    lm: LM,
    examples: Sequence[Example],
    most_tokens: int = 96,
    *,
    old: bool = False,
    plain: bool = False,
    logprobs: Any = packed_logprobs,
) -> tuple[float, Gradients]:
    """Loss and gradient through the whole path, several micro-batches unless told otherwise."""
    total = 0.0
    for batch in micro_batches(examples, most_tokens, "cpu"):
        logp, _ = logprobs(lm.model, batch.rows)
        if plain:
            loss = likelihood_loss(logp, batch.advantage_N, batch.weight_N)
        else:
            loss = policy_loss(inputs(batch, logp, old=old), LossSettings()).loss
        loss.backward()
        total += loss.item()
    return total, gradients(lm)


def apart(a: Gradients, b: Gradients, least: float = 1e-3) -> float:
    """Largest difference of any parameter's gradient, against the largest value in it, which must not be tiny."""
    assert a.keys() == b.keys()
    sizes = {k: min(a[k].abs().max().item(), b[k].abs().max().item()) for k in a}
    assert min(sizes.values()) > least
    return max((a[k] - b[k]).abs().max().item() / max(sizes[k], 1e-3) for k in a)


MIXED = ([1.0, 0.0, 0.0, 1.0], [0.3, 0.0, 1.0, 0.1], [0.0, 1.0, 0.0, 0.0])
FLAT = ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])


def test_forced_tokens_get_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that predicts a forced or prompt token has a gradient of exactly 0, any other has one."""
    lm = symbolic_lm()
    rows = credit(rollouts(lm, MIXED), ALGORITHMS["grpo"], cap=CAP).examples
    batch = next(micro_batches(rows, 10**6, "cpu"))
    kept: list[torch.Tensor] = []

    def keep(model: Any, packed: Packed) -> torch.Tensor:
        kept.append(hidden_states(model, packed))
        kept[-1].retain_grad()
        return kept[-1]

    monkeypatch.setattr(packed_logprob, "hidden_states", keep)
    logp, _ = packed_logprobs(lm.model, batch.rows)
    policy_loss(inputs(batch, logp), LossSettings()).loss.backward()
    packed = pack(batch.rows, "cpu")
    predicts = torch.zeros(len(packed.ids_N), dtype=torch.bool)
    predicts[packed.query_index[packed.context_index]] = True
    at = sum(len(g) for g in {tuple(r.prompt_ids) for r in batch.rows})
    for row in batch.rows:  # said once more, by hand: a response token predicts the next one
        mine = predicts[at : at + len(row.response_ids) - 1]
        assert (mine.numpy() == row.mask[1:].astype(bool)).all()
        at += len(mine)
    size = torch.zeros(len(packed.ids_N))  # what is not computed has no gradient
    size[packed.query_index] = kept[0].grad.abs().sum(-1)
    assert (size[~predicts] == 0).all()
    assert (size[predicts] > 0).all()


def test_a_shared_prompt_changes_nothing() -> None:
    """Encoded once or repeated by the model's own forward: the same loss and gradient, in every family."""
    for family, changes in (
        ("Llama", {}),
        ("Qwen2", {}),
        ("Qwen3", {"head_dim": 8}),
        ("Mistral", {"num_key_value_heads": 4, "sliding_window": None}),
    ):
        lm = symbolic_lm(family=family, **changes)
        rows = credit(rollouts(lm, MIXED), ALGORITHMS["grpo"], cap=CAP).examples
        assert len({tuple(r.prompt_ids) for r in rows}) == len(MIXED)
        assert supports(lm.model)
        loss, grads = learn(lm, rows, 10**6)
        one_by_one, alone = learn(lm, rows, 1)  # a row alone shares nothing
        plain, theirs = learn(lm, rows, 10**6, logprobs=token_logprobs)
        assert loss == pytest.approx(plain, abs=1e-6)
        assert one_by_one == pytest.approx(plain, abs=1e-6)
        # the bias of keys hardly matters to a softmax
        assert apart(grads, theirs, least=1e-4) < ROUNDING
        assert apart(alone, theirs, least=1e-4) < ROUNDING


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3"])
def test_the_kernels_change_nothing(family: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By kernels, by torch's operations and by the model's own forward: the same loss and gradient."""
    lm = symbolic_lm(family=family, head_dim=16, hidden_size=48, intermediate_size=64)
    rows = credit(rollouts(lm, MIXED), ALGORITHMS["grpo"], cap=CAP).examples
    rows = rows if shared else rows[:: len(MIXED[0])]
    assert (len({tuple(r.prompt_ids) for r in rows}) < len(rows)) == shared
    loss, grads = learn(lm, rows, 10**6)
    with monkeypatch.context() as patch:
        for module in (attention, elementwise):
            patch.setattr(module, "serves", lambda *_: False)
        by_torch, plain = learn(lm, rows, 10**6)
    theirs, own = learn(lm, rows, 10**6, logprobs=token_logprobs)
    assert loss == pytest.approx(theirs, abs=1e-6)
    assert by_torch == pytest.approx(theirs, abs=1e-6)
    assert apart(grads, own, least=1e-4) < ROUNDING
    assert apart(plain, own, least=1e-4) < ROUNDING
    if loaded() is not None:
        assert apart(grads, plain, least=1e-4) > 0  # two ways, not one


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kernels", [True, False])
def test_responses_of_one_token_may_share_a_prompt(kernels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No response token is fed then, by kernels and by torch's operations: loss and gradient are the plain ones."""
    lm = symbolic_lm(head_dim=16, hidden_size=48, intermediate_size=64)
    if not kernels:
        for module in (attention, elementwise):
            monkeypatch.setattr(module, "serves", lambda *_: False)
    for prompts in ([[1, 7], [1, 7]], [[1, 7, 9], [1, 7, 9], [1, 8]]):
        rows = [supervised(prompt, [20 + i]) for i, prompt in enumerate(prompts)]
        loss, grads = learn(lm, rows, 10**6, plain=True)
        theirs, own = learn(lm, rows, 10**6, plain=True, logprobs=token_logprobs)
        assert loss == pytest.approx(theirs, abs=1e-5)
        assert max((grads[k] - own[k]).abs().max().item() for k in own) < 1e-4


def test_nothing_about_a_forced_token_but_its_id_is_read() -> None:
    """NaN as advantage, weight and old log-probability of forced tokens changes no bit."""
    lm = symbolic_lm()
    examples = credit(rollouts(lm, MIXED), ALGORITHMS["dapo"], cap=CAP).examples
    poisoned = []
    for e in examples:
        hole = np.where(e.mask == 1, 0, np.nan).astype(np.float32)
        poisoned.append(
            Example(e.prompt_ids, e.response_ids, e.mask, e.advantage + hole, e.weight + hole, e.old + hole)
        )
    loss, grads = learn(lm, examples, old=True)
    again, same = learn(lm, poisoned, old=True)
    assert math.isfinite(loss)
    assert again == loss
    assert apart(grads, same) == 0


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "rloo", "dapo"])
def test_dropping_groups_without_signal(algorithm: str) -> None:
    """Dropping changes nothing, but for DAPO, whose normaliser then counts the kept tokens only."""
    lm = symbolic_lm()
    groups = rollouts(lm, [*MIXED[:2], *FLAT, MIXED[2]])
    dropped, all_of_them = (credit(groups, ALGORITHMS[algorithm], cap=CAP // 4, keep_all=k) for k in (False, True))
    assert (len(dropped.examples), len(all_of_them.examples)) == (12, 20)
    assert (dropped.informative, dropped.unsolved, dropped.solved, dropped.equal) == (3, 1, 1, 0)
    scale = 1.0
    if algorithm == "dapo":
        scale = sum(e.learned for e in dropped.examples) / sum(e.learned for e in all_of_them.examples)
        assert scale < 0.8
    loss, grads = learn(lm, dropped.examples, 1)  # row by row, so that both sum the same numbers
    full_loss, full_grads = learn(lm, all_of_them.examples, 1)
    assert full_loss == pytest.approx(loss * scale, abs=1e-7)
    assert apart({k: g * scale for k, g in grads.items()}, full_grads) < (ROUNDING if algorithm == "dapo" else 1e-7)


def test_micro_batches_change_nothing() -> None:
    """One row at a time, a few, or all at once: the same loss and gradient."""
    lm = symbolic_lm()
    examples = credit(rollouts(lm, MIXED), ALGORITHMS["dr_grpo"], cap=CAP).examples
    assert [len(list(micro_batches(examples, n, "cpu"))) for n in (1, 96, 10**6)] == [12, 4, 1]
    loss, grads = learn(lm, examples, 10**6)
    for most_tokens in (1, 96):
        part_loss, part_grads = learn(lm, examples, most_tokens)
        assert part_loss == pytest.approx(loss, abs=1e-6)
        assert apart(grads, part_grads) < ROUNDING


@pytest.mark.parametrize("sharers", [1, 2, 3])
def test_micro_batches_are_equal_shares(sharers: int) -> None:
    """Every row once, none above the limit when padded but a single row, and shares of tokens a row apart at most."""
    rng = np.random.default_rng(sharers)
    for _ in range(50):
        lengths = rng.integers(1, 60, rng.integers(1, 40)).tolist()
        examples = [supervised([i], [7] * n) for i, n in enumerate(lengths)]
        most = int(rng.integers(1, 600))
        batches = list(micro_batches(examples, most, "cpu", sharers))
        assert sorted(i for b in batches for i in b.index) == list(range(len(examples)))
        padded_sizes = [len(b.rows) * max(map(len, b.rows)) for b in batches]
        assert all(size <= most or len(b.rows) == 1 for b, size in zip(batches, padded_sizes, strict=True))
        if len(batches) == sharers:
            shares = [sum(map(len, b.rows)) for b in batches]
            assert max(shares) - min(shares) <= 2 * (max(lengths) + 1)
    assert not list(micro_batches([], 96, "cpu", sharers))


@pytest.mark.parametrize("chunk", [scoring.CHUNK_ELEMENTS, 7 * 138])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probs_are_the_plain_ones(chunk: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scored in chunks, whatever stands in the padding: log-softmax of the model's own padded, masked forward."""
    monkeypatch.setattr(scoring, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(scoring, "KEPT_ELEMENTS", chunk)
    lm = symbolic_lm()
    batch = next(micro_batches(credit(rollouts(lm, MIXED), ALGORITHMS["grpo"], cap=CAP).examples, 10**6, "cpu"))
    ids_BL, scored_BL = padded(batch.rows, "cpu")
    real = torch.zeros_like(scored_BL)
    for row in range(len(real)):
        real[row, : len(batch.rows[row])] = True
    assert not real.all()
    pull = torch.randn(int(scored_BL.sum()), generator=torch.Generator().manual_seed(0))
    logits = lm.model(input_ids=torch.where(real, ids_BL, 9), attention_mask=real.long()).logits[:, :-1] / temperature
    every = torch.log_softmax(logits, -1)[scored_BL[:, 1:]]
    plain = every.gather(-1, ids_BL[:, 1:][scored_BL[:, 1:]][:, None])[:, 0]
    (plain * pull).mean().backward()
    theirs = gradients(lm)
    for logprobs in (packed_logprobs, token_logprobs):
        logp, entropy = logprobs(lm.model, batch.rows, temperature)
        (logp * pull).mean().backward()
        torch.testing.assert_close(logp, plain, atol=1e-5, rtol=0)
        torch.testing.assert_close(entropy, -(every.exp() * every).sum(-1), atol=1e-5, rtol=0)
        assert apart(gradients(lm), theirs) < ROUNDING
        assert not entropy.requires_grad


@pytest.mark.parametrize(("chunk", "kept"), [(11 * 13, 11 * 13), (3 * 13, 11 * 13), (3 * 13, 11 * 13 - 1)])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_chosen_log_probs_and_their_gradient(
    chunk: int, kept: int, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, at once, in chunks and in recomputed ones: log-softmax, gather, and what autograd makes of that."""
    monkeypatch.setattr(scoring, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(scoring, "KEPT_ELEMENTS", kept)
    rng = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 5, generator=rng, dtype=torch.float64, requires_grad=True) for n in (11, 13))
    targets, pull = torch.randint(13, (11,), generator=rng), torch.randn(11, generator=rng, dtype=torch.float64)

    calls: list[int] = []

    def chosen(hidden: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def head(h: torch.Tensor) -> torch.Tensor:
            calls.append(len(h))
            return 2 * h @ weight.T

        return scoring.score(head, hidden, targets, temperature, 13)

    logp, entropy = chosen(hidden, weight)
    torch.autograd.grad(logp.sum(), hidden, retain_graph=True)
    assert max(calls) == chunk // 13
    assert sum(calls) == (11 if kept >= 11 * 13 else 22)
    every = torch.log_softmax(2 * hidden @ weight.T / temperature, -1)
    plain = every.gather(-1, targets[:, None])[:, 0]
    torch.testing.assert_close(logp, plain, atol=1e-12, rtol=0)
    torch.testing.assert_close(entropy, -(every.exp() * every).sum(-1), atol=1e-12, rtol=0)
    assert not entropy.requires_grad
    mine, theirs = (torch.autograd.grad((p * pull).sum(), (hidden, weight)) for p in (logp, plain))
    torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=0)
    assert torch.autograd.gradcheck(lambda *given: chosen(*given)[0], (hidden, weight))


@pytest.mark.parametrize("chunk", [scoring.CHUNK_ELEMENTS, 3 * 13])
def test_the_gradient_has_the_precision_of_the_logits(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits in bfloat16: log-softmax in float32 all the same, its gradient rounded once, at the end."""
    monkeypatch.setattr(scoring, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(scoring, "KEPT_ELEMENTS", chunk)
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(11, 13, generator=rng).bfloat16().requires_grad_()
    wide = logits.detach().float().requires_grad_()
    targets = torch.randint(13, (11,), generator=rng)
    logp, entropy = scoring.score(lambda x: x, logits, targets, 0.6, 13)
    plain = torch.log_softmax(wide / 0.6, -1).gather(-1, targets[:, None])[:, 0]
    assert logp.dtype == entropy.dtype == torch.float32
    torch.testing.assert_close(logp, plain, atol=1e-6, rtol=0)
    (mine,), (theirs,) = torch.autograd.grad(logp.sum(), logits), torch.autograd.grad(plain.sum(), wide)
    assert mine.dtype == torch.bfloat16
    torch.testing.assert_close(mine.float(), theirs, atol=1e-6, rtol=2**-8)


def test_a_token_without_context_is_refused() -> None:
    """The first token of a row has no probability."""
    with pytest.raises(ValueError, match="first token"):
        token_logprobs(symbolic_lm().model, [supervised([], [1, 2, 3])])


def test_leave_one_out_by_hand() -> None:
    """RLOO's baseline is the mean of the other rewards, one by one."""
    rewards = np.random.default_rng(0).normal(size=7)
    brute = [r - np.mean([*rewards[:i], *rewards[i + 1 :]]) for i, r in enumerate(rewards)]
    np.testing.assert_allclose(leave_one_out(rewards), brute, atol=1e-12)
    assert leave_one_out(np.ones(1)) == 0


def test_the_clip_stops_only_ratios_beyond_its_range() -> None:
    """The gradient is −w·A·ρ, and 0 where a good token is already too likely or a bad one too unlikely."""
    low, high = 0.2, 0.28
    ratio, advantage = torch.meshgrid(torch.linspace(0.41, 1.79, 36), torch.tensor([-2.0, 0.0, 0.5]), indexing="ij")
    ratio, advantage = ratio.reshape(-1), advantage.reshape(-1)
    weight = torch.rand(len(ratio), generator=torch.Generator().manual_seed(0)) + 0.1
    old = torch.full_like(ratio, -1.5)
    logp = (old + ratio.log()).requires_grad_()
    ids = torch.zeros(len(ratio), dtype=torch.long)
    output = policy_loss(LossInputs(logp, old, None, advantage, weight, ids), LossSettings(low, high))
    output.loss.backward()
    stopped = ((advantage > 0) & (ratio > 1 + high)) | ((advantage < 0) & (ratio < 1 - low))
    torch.testing.assert_close(logp.grad, torch.where(stopped, 0.0, -weight * advantage * ratio))
    assert output.clip_ratio == pytest.approx(stopped.float().mean().item())
    bound = torch.where(advantage > 0, ratio.clamp(max=1 + high), ratio.clamp(min=1 - low))
    assert output.loss.item() == pytest.approx(-(weight * bound * advantage).sum().item(), rel=1e-5)


def test_the_first_update_needs_no_old_log_probs() -> None:
    """On the policy's own samples: no ratio, a ratio to the exact old log-probs, and A log π, one gradient."""
    lm = symbolic_lm()
    examples = credit(rollouts(lm, MIXED), ALGORITHMS["grpo"], cap=CAP).examples
    loss, grads = learn(lm, examples)
    old_loss, old_grads = learn(lm, examples, old=True)
    assert old_loss == pytest.approx(loss, abs=1e-6)
    assert apart(grads, old_grads) < ROUNDING
    assert apart(grads, learn(lm, examples, plain=True)[1]) < ROUNDING


def test_sft_is_cross_entropy() -> None:
    """Advantage 1 and weight 1/tokens is torch's cross entropy on the response tokens."""
    lm = symbolic_lm()
    rng = np.random.default_rng(0)
    rows = [(rng.integers(6, 99, n).tolist(), rng.integers(6, 99, m).tolist()) for n, m in ((3, 9), (8, 2), (5, 17))]
    loss, grads = learn(lm, weighted([supervised(p, r) for p, r in rows]), 24, plain=True)
    width = max(len(p) + len(r) for p, r in rows)
    ids, labels = torch.zeros(len(rows), width, dtype=torch.long), torch.full((len(rows), width), -100)
    for i, (prompt, response) in enumerate(rows):
        ids[i, : len(prompt) + len(response)] = torch.tensor(prompt + response)
        labels[i, len(prompt) : len(prompt) + len(response)] = torch.tensor(response)
    logits = lm.model(input_ids=ids).logits
    plain = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    plain.backward()
    assert loss == pytest.approx(plain.item(), abs=1e-6)
    assert apart(grads, gradients(lm)) < ROUNDING


def test_kl_penalty_is_a_divergence() -> None:
    """k3 is never negative, 0 only at the reference, and its mean under the policy is the KL divergence."""
    policy, reference = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    assert kl_penalty(policy, policy, torch.ones(5)) == 0
    assert all(kl_penalty(policy[i : i + 1], reference[i : i + 1], torch.ones(1)) > 0 for i in range(5))
    exact = (policy.exp() * (policy - reference)).sum()
    torch.testing.assert_close(kl_penalty(policy, reference, policy.exp()), exact)
