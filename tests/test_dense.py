"""Dense credit: its identities, its optimum, what it refuses, and where it falls."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rlready.cli.main import main
from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.records import Group, Problem, Row, Sample
from rlready.credit import dense
from rlready.credit.assign import dense_credit
from rlready.credit.probe import NUMBER, plant, planted_error
from rlready.credit.reference import ReferencePair, load_pair
from rlready.credit.token_credit import TokenCredit, credit_of_inputs
from rlready.engine.budget import Budget
from rlready.engine.contrastive import Contrast
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.models.batch import supervised
from rlready.models.checkpoint import save
from rlready.models.frozen import frozen_logprobs
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.report.credit import level, page, terminal
from rlready.runs.files import read_json, read_table, write_json, write_table
from rlready.runs.log import append_line, read_log
from rlready.runs.pace import Pace
from rlready.tasks import open_task
from rlready.tasks.dagmath.vocabulary import build_tokenizer
from rlready.train import drift as drifting
from rlready.train.drift import Watched, drift
from rlready.train.learner import PlainLearner, StepStats
from rlready.train.log import RLStepLog, RolloutStats, UpdateStats
from rlready.train.loss import LossInputs, LossSettings, policy_loss
from rlready.train.reference_checkpoint import find_reference
from rlready.train.rl import rl
from rlready.train.rl_state import RLState, watch
from rlready.train.sft import reference_steps, sft
from tiny import full_logits, tiny_lm, tiny_model

CAP = 12


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def world(seed: int) -> LM:
    """A random model of the symbolic world."""
    tokenizer = build_tokenizer()
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "head_dim": 8, "max_position_embeddings": 256}
    return LM(tiny_model("Llama", seed, **sizes), tokenizer, f"tiny {seed}")


def drawn(lm: LM, groups: int = 3, size: int = 4, seed: int = 0) -> list[Group]:
    """Groups of random responses, some tokens forced, with the model's log-probabilities of the others."""
    rng = np.random.default_rng(seed)
    made = []
    for g in range(groups):
        prompt = [1, *rng.integers(6, 40, 5).tolist()]
        samples = []
        for i in range(size):
            tokens = rng.integers(6, 40, rng.integers(3, CAP)).astype(np.int32)
            mask = (rng.random(len(tokens)) > 0.2).astype(np.uint8)
            mask[-1] = 1
            row = replace(supervised(prompt, tokens.tolist()), mask=mask)
            logp = frozen_logprobs([lm.model], [row], max_tokens_per_microbatch=1000)[0][0]
            right = bool(rng.random() < 0.5)
            samples.append(Sample(f"p{g}", i, tokens, mask, logp, 3, 1, correct=right, reward=float(right)))
        made.append(Group(Problem(f"p{g}", "", ""), prompt, samples))
    return made


# --- identities -------------------------------------------------------------------------------------------------


def test_telescoping_and_shaping() -> None:
    """With Q = logits, V = logsumexp: Σ[Q − V(s')] − V(s_0) = Σ log π, and log π = r + V(s') − V(s) token by token."""
    lm = world(0)
    prompt, response = [1, 7, 9, 12], [8, 30, 11, 22, 3]
    logp = frozen_logprobs([lm.model], [supervised(prompt, response)], max_tokens_per_microbatch=100)[0][0]
    logits = full_logits(lm.model, [prompt + response[:t] for t in range(len(response))]).double()
    q = logits[range(len(response)), response].numpy()
    v = np.append(logits.logsumexp(-1).numpy(), 0.0)  # nothing is worth anything after the end
    reward = q - v[1:]
    assert reward.sum() - v[0] == pytest.approx(float(logp.sum()), abs=1e-4)
    np.testing.assert_allclose(reward + v[1:] - v[:-1], logp, atol=1e-4)
    assert np.abs(reward - logp).max() > 0.1  # the two are not the same reward


def test_potential_shaping_moves_returns_by_the_potential_alone() -> None:
    rng = np.random.default_rng(0)
    reward, potential = rng.normal(size=(4, 6)), rng.normal(size=(4, 7))
    potential[:, -1] = 0
    for gamma in (1.0, 0.95, 0.0):
        shaped = reward + gamma * potential[:, 1:] - potential[:, :-1]
        moved = dense.returns_of(shaped, gamma) - dense.returns_of(reward, gamma)
        np.testing.assert_allclose(moved, -potential[:, :-1], atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.95, 1.0])
def test_returns_are_what_the_formula_says(gamma: float) -> None:
    reward = np.random.default_rng(1).normal(size=(3, 5))
    brute = [[sum(gamma ** (k - t) * row[k] for k in range(t, 5)) for t in range(5)] for row in reward]
    np.testing.assert_allclose(dense.returns_of(reward, gamma), brute, atol=1e-12)
    whole = dense.returns_of(reward, gamma, full=True)
    np.testing.assert_allclose(whole, np.repeat(np.array(brute)[:, :1], 5, 1), atol=1e-12)
    if gamma == 0:
        np.testing.assert_array_equal(dense.returns_of(reward, 0.0), reward)


def test_scaling_clipping_uniform_returns_and_mixing() -> None:
    rng = np.random.default_rng(2)
    mask = rng.random((6, 9)) > 0.3
    reward = np.where(mask, rng.normal(0.7, 3, (6, 9)), 0.0)
    scaled, scale = dense.scaled(reward, mask, "std")
    assert scaled[mask].std() == pytest.approx(1)
    np.testing.assert_allclose(scaled * scale, reward)
    standard, _ = dense.scaled(reward, mask, "zscore")
    assert standard[mask].mean() == pytest.approx(0, abs=1e-12)
    assert not standard[~mask].any()
    clipped, _ = dense.scaled(reward, mask, "std", 0.5)
    assert np.abs(clipped).max() == 0.5
    np.testing.assert_array_equal(dense.scaled(reward, mask, "none")[0], reward)
    even = dense.uniform(reward, mask)
    np.testing.assert_allclose(even.sum(1), reward.sum(1))
    assert all(len(set(np.round(row[m], 9))) <= 1 for row, m in zip(even, mask, strict=True))
    outcome = np.array([1.0, -1, 0, 0, 1, -1])
    half = dense.mix_advantages(reward, outcome, mask, 0.5)
    rms = np.sqrt((reward[mask] ** 2).mean()), np.sqrt((np.broadcast_to(outcome[:, None], (6, 9))[mask] ** 2).mean())
    expected = 0.5 * reward / rms[0] + 0.5 * np.where(mask, outcome[:, None], 0) / rms[1]
    np.testing.assert_allclose(half, expected)
    assert dense.mix_advantages(reward, outcome, mask, 1.0) is reward


def test_the_baseline_is_the_others_at_that_position() -> None:
    """By hand: forced and ended responses do not count, but for a token that stands alone; groups do not mix."""
    value = np.array([[1.0, 2, 3], [5, 4, 0], [9, 0, 0], [10, 0, 0], [20, 6, 0], [7, 0, 0]])
    mask = np.array([[1, 1, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=bool)
    expected = [[-6, 0, 3], [0, 0, 0], [6, 0, 0], [-10, 0, 0], [10, 6, 0], [7, 0, 0]]
    np.testing.assert_allclose(dense.group_advantages(value, mask, [3, 2, 1]), expected)


@pytest.mark.parametrize("path", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_baseline_leaves_the_gradient_unbiased(size: int, path: bool) -> None:
    """Every group that a tiny policy can draw, by its chance: the expected gradient is that of the returns alone.

    With the mean of all responses as baseline it was 0.50 of it at the first token of a pair.
    """
    letters, longest, end = 3, 3, 2
    texts = [
        y
        for n in range(1, longest + 1)
        for y in product(range(letters), repeat=n)
        if end not in y[:-1] and (y[-1] == end or n == longest)
    ]
    states = {s: i for i, s in enumerate(sorted({y[:t] for y in texts for t in range(len(y))}))}
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(letters), len(states))
    grads = np.zeros((len(texts), longest, len(states), letters))  # of log π of each token, over all logits
    mask = np.zeros(grads.shape[:2], dtype=bool)
    chance = np.ones(len(texts))
    for i, y in enumerate(texts):
        for t, letter in enumerate(y):
            state = states[y[:t]]
            grads[i, t, state] = np.eye(letters)[letter] - policy[state]
            chance[i] *= policy[state, letter]
            mask[i, t] = y[:t] != (0,)  # what follows one of the letters is forced
    returns = dense.returns_of(np.where(mask, rng.normal(2, 1, mask.shape), 0.0), 0.9, full=path)
    groups = np.array(list(product(range(len(texts)), repeat=size)))
    rows = groups.ravel()
    advantage = dense.group_advantages(returns[rows], mask[rows], [size] * len(groups))
    weight = np.repeat(chance[groups].prod(1), size) / size
    assert chance.sum() == pytest.approx(1)
    found = np.einsum("r,rt,rtsl->tsl", weight, advantage, grads[rows])
    plain = np.einsum("r,rt,rtsl->tsl", chance, np.where(mask, returns, 0.0), grads)
    np.testing.assert_allclose(found, plain, atol=1e-12)
    assert all(np.abs(at_t).max() > 0.01 for at_t in plain)


def test_correlations_are_those_within_groups() -> None:
    """Easy prompts have lower sums, correct answers higher ones: pooled over prompts the sign is wrong."""
    rng = np.random.default_rng(0)
    sizes = [8] * 6 + [5, 4]
    of_8 = np.arange(8) < np.array([1, 6, 2, 7, 1, 7])[:, None]  # right in six groups; all and none in the last two
    right = np.concatenate([of_8.ravel(), np.ones(5), np.zeros(4)])
    prompt = np.repeat(np.arange(8), sizes)
    ease = np.bincount(prompt, right) / sizes
    total = right - 10 * ease[prompt] + rng.normal(0, 0.3, len(right))
    assert np.corrcoef(total, right)[0, 1] < -0.5
    found = dense.correlation(total, right, sizes)
    within = (total - (np.bincount(prompt, total) / sizes)[prompt])[:48], (right - ease[prompt])[:48]
    assert found == pytest.approx(np.corrcoef(*within)[0, 1])
    assert found > 0.7
    assert dense.correlation(total[48:], right[48:], [5, 4]) is None
    assert dense.correlation(np.full(4, 0.95), np.array([0.0, 1, 1, 0]), [4]) is None


def test_the_optimum_is_the_closed_form() -> None:
    """On all texts of at most 4 letters: our returns and our loss lead to π_SFT^{1+1/β} / π_ref^{1/β}."""
    letters, longest, beta, end = 3, 4, 1.0, 2
    texts = [
        y
        for n in range(1, longest + 1)
        for y in product(range(letters), repeat=n)
        if end not in y[:-1] and (y[-1] == end or n == longest)
    ]
    states = {s: i for i, s in enumerate(sorted({y[:t] for y in texts for t in range(len(y))}))}
    at = np.zeros((len(texts), longest), dtype=int)
    token, mask = np.zeros_like(at), np.zeros(at.shape, dtype=bool)
    for i, y in enumerate(texts):
        for t, letter in enumerate(y):
            at[i, t], token[i, t], mask[i, t] = states[y[:t]], letter, True
    rng = np.random.default_rng(0)

    def logprobs(logits: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(logits, -1)[at, token] * torch.tensor(mask)

    sft_logits = torch.tensor(rng.normal(size=(len(states), letters)))
    sft, ref = (logprobs(x).numpy() for x in (sft_logits, torch.tensor(rng.normal(size=sft_logits.shape))))
    best = np.exp((1 + 1 / beta) * sft.sum(1) - ref.sum(1) / beta)
    best /= best.sum()
    logits = sft_logits.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(600):
        logp = logprobs(logits)
        now = logp.detach().numpy()
        reward, _ = dense.scaled(sft - ref, mask, "none")
        returns = dense.returns_of(reward - beta * (now - sft), 1.0)
        chance = np.repeat(np.exp(now.sum(1))[:, None], longest, 1)  # all texts, each weighed as if it were drawn
        credit, weight = torch.tensor(returns[mask]), torch.tensor(chance[mask])
        ids = torch.zeros(len(credit), dtype=torch.long)
        given = LossInputs(logp[mask], logp[mask].detach(), None, credit, weight, ids)
        loss = policy_loss(given, LossSettings()).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = np.exp(logprobs(logits).detach().numpy().sum(1))
    assert np.abs(np.exp(sft.sum(1)) - best).max() > 0.1  # there was a way to go
    np.testing.assert_allclose(found, best, atol=2e-3)


# --- from groups to examples ------------------------------------------------------------------------------------


def test_frozen_log_probs_are_those_of_the_one_path() -> None:
    """Row by row and all at once, two models side by side, forced tokens 0, no gradient."""
    lms = [world(1), world(2)]
    rows = [replace(supervised(g.prompt_ids, s.tokens.tolist()), mask=s.mask) for g in drawn(lms[0]) for s in g.samples]
    together = frozen_logprobs([lm.model for lm in lms], rows, max_tokens_per_microbatch=60, temperature=0.7)
    for lm, found in zip(lms, together, strict=True):
        for row, logp in zip(rows, found, strict=True):
            with torch.no_grad():
                alone, _ = token_logprobs(lm.model, [row], 0.7)
            np.testing.assert_allclose(logp[row.mask > 0], alone.numpy(), atol=1e-5)
            assert not logp[row.mask == 0].any()
        assert all(p.grad is None for p in lm.model.parameters())


def test_dense_credit_by_hand() -> None:
    """Advantages are the formula's, forced tokens carry none, the weight is constant, the statistics are correct."""
    lm, pair = world(0), ReferencePair(world(2), world(3))
    groups = drawn(lm)
    shape = dense.DenseConfig(scale_rewards="none", beta=0.3, gamma=0.95)
    credited = dense_credit(groups, pair, shape, cap=CAP, max_tokens_per_microbatch=200)
    assert credited.informative == 3
    assert credited.dense is not None
    rows = credited.examples
    r_hat, sft = pair.score(rows, max_tokens_per_microbatch=10**6)
    for g in range(3):
        some = slice(4 * g, 4 * g + 4)
        reward = [(r - 0.3 * (e.old - s)) * e.mask for r, s, e in zip(r_hat[some], sft[some], rows[some], strict=True)]
        to_go = [[sum(0.95 ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(r))] for r in reward]
        for e, back in zip(rows[some], to_go, strict=True):
            for t in range(len(back)):
                there = [(b[t], o.mask[t]) for b, o in zip(to_go, rows[some], strict=True) if o is not e and t < len(b)]
                others = [b for b, on in there if on] or [b for b, _ in there] + [0.0] * (3 - len(there))
                expected = back[t] - np.mean(others) if e.mask[t] else 0.0
                assert e.advantage[t] == pytest.approx(expected, abs=1e-4)
            assert e.weight[0] == pytest.approx(1 / (12 * CAP))
    chosen = np.concatenate([r[e.mask > 0] for r, e in zip(r_hat, rows, strict=True)])
    assert credited.dense.dense_sum == pytest.approx(chosen.sum() / 12, abs=1e-4)
    assert credited.dense.kl == pytest.approx(
        np.concatenate([(e.old - s)[e.mask > 0] for e, s in zip(rows, sft, strict=True)]).mean(), abs=1e-5
    )


def test_no_reward_is_no_signal() -> None:
    """Two equal models give no example at all, as flat groups do elsewhere; the verifier's share still counts."""
    lm = world(0)
    groups = drawn(lm)
    same = ReferencePair(lm, lm)
    assert (
        dense_credit(groups, same, dense.DenseConfig(beta=0.0), cap=CAP, max_tokens_per_microbatch=200).informative == 0
    )
    half = dense_credit(
        groups, same, dense.DenseConfig(beta=0.0, dense_weight=0.5), cap=CAP, max_tokens_per_microbatch=200
    )
    assert half.informative == sum(0 < sum(bool(s.correct) for s in g.samples) < 4 for g in groups) > 0


def test_credit_of_one_response_is_a_signal() -> None:
    """Two responses that are equal but for a last token of one: only that token has credit."""
    lm = world(0)
    (group,) = drawn(lm, groups=1, size=2)
    tokens, ones = np.array([7, 8], dtype=np.int32), np.ones(2, dtype=np.uint8)
    samples = [
        replace(s, tokens=tokens[:n], mask=ones[:n], logprobs=np.zeros(n, dtype=np.float32))
        for n, s in zip((1, 2), group.samples, strict=True)
    ]
    shape = dense.DenseConfig(beta=0.0, gamma=0.0)
    pair = ReferencePair(world(2), world(3))
    credited = dense_credit([replace(group, samples=samples)], pair, shape, cap=CAP, max_tokens_per_microbatch=200)
    assert (credited.informative, credited.equal + credited.unsolved + credited.solved) == (1, 0)
    short, long = credited.examples
    assert (short.advantage[0], long.advantage[0]) == pytest.approx((0.0, 0.0), abs=1e-5)
    assert abs(long.advantage[1]) > 1e-3


@pytest.mark.parametrize("mix", [1.0, 0.5])
def test_rounding_differences_are_no_signal(mix: float) -> None:
    lm, rng = world(0), np.random.default_rng(0)
    groups = []
    for group in drawn(lm, groups=2, size=7):
        one = replace(group.samples[0], correct=True, reward=0.95)  # 7 times 0.95 over 7 is not 0.95
        noise = [1 + 1e-7 * rng.normal(size=len(one.tokens)).astype(np.float32) for _ in range(7)]
        groups.append(replace(group, samples=[replace(one, logprobs=one.logprobs * n) for n in noise]))
    credited = dense_credit(
        groups, ReferencePair(lm, world(1)), dense.DenseConfig(dense_weight=mix), cap=CAP, max_tokens_per_microbatch=200
    )
    assert (credited.informative, credited.solved, credited.examples) == (0, 2, [])


def test_without_a_reference_the_reward_is_the_likelihood() -> None:
    lm = world(0)
    rows = [supervised([1, 7, 8], [9, 10, 11])]
    reward, sft = ReferencePair(lm, None).score(rows, max_tokens_per_microbatch=100)
    np.testing.assert_array_equal(reward[0], sft[0])


# --- decoding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [True, False])
def test_contrastive_decoding_samples_from_the_joint_policy(fast: bool) -> None:
    """Log-probabilities are those of π^{1+w}/π_ref^w; w = 0 draws what the model alone draws."""
    lm, other = tiny_lm(seed=0), tiny_lm(seed=1)
    problems = [Problem(f"p{i}", "a + b" + "c" * i, "") for i in range(3)]
    forcing = forcing_for(lm)
    requests = requests_for(lm, problems, 2, Budget(10, 6))

    def draw(contrast: Contrast | None) -> list[Sample]:
        engine = TorchEngine(lm, forcing, fast=fast, contrast=contrast)
        return engine.sample(requests, temperature=1.0, seed=0)

    plain, none = draw(None), draw(Contrast(other, 0.0))
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(plain, none, strict=True))
    away = draw(Contrast(other, 0.7))
    assert any(not np.array_equal(a.tokens, b.tokens) for a, b in zip(plain, away, strict=True))
    for request, sample in zip(requests, away, strict=True):
        ids = sample.tokens.tolist()
        prefixes = [[*request.prompt_ids, *ids[:t]] for t in range(len(ids))]
        a, b = (torch.log_softmax(full_logits(m.model, prefixes), -1) for m in (lm, other))
        joint = torch.log_softmax(1.7 * a - 0.7 * b, -1)[range(len(ids)), ids].numpy()
        np.testing.assert_allclose(sample.logprobs[sample.mask > 0], joint[sample.mask > 0], atol=1e-4)


def test_contrastive_decoding_needs_one_tokenizer() -> None:
    lm = tiny_lm()
    forcing = forcing_for(lm)
    with pytest.raises(UserError, match="different tokenizers"):
        TorchEngine(lm, forcing, contrast=Contrast(world(0), 1.0))
    wide = replace(lm, model=tiny_model("Llama", 0, vocab_size=len(lm.tokenizer) + 2))
    with pytest.raises(UserError, match="logits"):
        TorchEngine(lm, forcing, contrast=Contrast(wide, 1.0))


# --- the runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished SFT run of a tiny model, its references at a quarter, a half and three quarters of the samples."""
    root = tmp_path_factory.mktemp("dense")
    save(world(0), _made(root / "base"), "")
    config = SFTConfig(
        model=str(root / "base"),
        rows="dagmath?ops=2&split=all&n=64&seed=1",
        heldout="dagmath?ops=2&split=all&n=8&seed=2",
        epochs=1,
        tokens_per_batch=100,
        learning_rate=1e-2,
        save_every=1,
        keep_at=(0.25, 0.5, 0.75),
    )
    sft(config, root / "sft")
    return root / "sft"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def run(tuned: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tuned, tmp_path / "sft"))


def last(run: Path) -> str:
    return read_json(run / "result.json")["checkpoints"][-1]["path"].replace(
        str(Path(read_json(run / "result.json")["checkpoints"][-1]["path"]).parents[1]), str(run)
    )


def rl_config(run: Path, **changes: Any) -> RLConfig:
    source = "dagmath?ops=2&split=all&n=12&seed=3"
    small: dict[str, Any] = {
        "steps": 3,
        "prompts_per_step": 3,
        "group_size": 4,
        "thinking_budget": 8,
        "max_answer_tokens": 3,
        "eval_every": 3,
    }
    small |= {"eval_samples": 2, "learning_rate": 1e-2, "problems": source, "validation": source, "algorithm": "dense"}
    return RLConfig(model=last(run), **(small | changes))


def test_sft_keeps_its_references(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoints say their share of the samples, and the nearest to a fraction is found, however named."""
    result = read_json(tuned / "result.json")
    shares = [c["samples"] for c in result["checkpoints"]]
    assert len(shares) == 4
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75, 1.0], atol=1 / result["steps"])
    for fraction, checkpoint in zip((0.25, 0.5, 0.75), result["checkpoints"], strict=False):
        assert find_reference(last(tuned), fraction).name == checkpoint["name"]
    with pytest.raises(UserError, match=r"no checkpoint was kept within three steps of 0\.02"):
        find_reference(last(tuned), 0.02)
    half = find_reference(last(tuned), 0.5)
    (tmp_path / "link").symlink_to(last(tuned))
    assert find_reference(str(tmp_path / "link"), 0.5) == half.resolve()
    for place, model in ((tuned, f"checkpoints/{Path(last(tuned)).name}"), (Path(last(tuned)), ".")):
        monkeypatch.chdir(place)
        found = find_reference(model, 0.5)
        assert not found.is_absolute()
        assert found.resolve() == half.resolve()


def test_every_reference_that_sft_keeps_is_found(run: Path) -> None:
    """Where a save is a step from a reference none is kept beside it, however unequal the steps."""
    result = read_json(run / "result.json")
    shares = np.cumsum([5, 5, 17, 5, 5, 5, 5, 5, 5, 5]) / 62  # samples; 0.3 is nearest to step 2, a save stands at 3
    saves = {3, 10}
    assert reference_steps(shares, saves, (0.26,)) == set()
    (tmp := run / "checkpoints" / "step-3").mkdir(exist_ok=True)
    (tmp / "config.json").touch()
    kept = [result["checkpoints"][0] | {"name": f"step-{s}", "samples": shares[s - 1]} for s in sorted(saves)]
    write_json(run / "result.json", result | {"steps": 10, "checkpoints": kept})
    assert find_reference(str(run / "checkpoints" / "step-10"), 0.26).name == "step-3"


def test_reference_steps() -> None:
    """The step nearest to the share; none where a checkpoint is kept at most a step away, or at the end."""
    shares = np.linspace(0.1, 1, 10)
    assert reference_steps(shares, {10}, (0.5, 0.26)) == {5, 3}
    assert reference_steps(shares, {4, 10}, (0.5,)) == set()
    assert reference_steps(shares, {10}, (0.9, 0.99)) == {9}
    with pytest.raises(UserError, match="keep_at must be below 1, got 1"):
        SFTConfig(keep_at=(1.0,))


CONTROLS: dict[str, dict[str, Any]] = {
    "default": {},
    "two updates": {"updates_per_batch": 2},
    "full return": {"return_type": "full_return"},
    "uniform return": {"return_type": "uniform"},
    "a token": {"gamma": 0.0},
    "no reference": {"reference": "none"},
    "early": {"reference_at": 0.25},
    "clipped": {"reward_clip": 1.0, "scale_rewards": "zscore"},
    "mixed": {"dense_weight": 0.5},
}


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_is_a_configuration(tuned: Path, tmp_path: Path, control: str) -> None:
    """Each takes steps with a gradient and logs how its rewards were made."""
    rl(rl_config(tuned, steps=1, **CONTROLS[control]), tmp_path / "rl")
    (line,) = [x for x in read_log(tmp_path / "rl" / "log.jsonl") if "reward" in x]
    assert line["grad_norm"] > 0
    assert line["dense_scale"] > 0
    assert abs(line["kl"]) < 1e-4  # the first step is the SFT model's own


def test_dense_resumed_equals_unbroken(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rl(rl_config(tuned), tmp_path / "whole")
    real, calls = PlainLearner.step, [0]

    def stop(self: PlainLearner, *args: Any, **kwargs: Any) -> StepStats:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Pace, "due", lambda self: True)
        patch.setattr(PlainLearner, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            rl(rl_config(tuned), tmp_path / "broken")
    assert rl(rl_config(tuned), tmp_path / "broken").evaluations == whole.evaluations


def test_drift_is_reported_and_stops_if_asked(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Watched(0.4, 40.0)
    assert drift(first, Watched(0.3, 45.0)) == {}
    assert "entropy collapsed from 0.400 to 0.050" in drift(first, Watched(0.05, 45.0))["entropy"]
    assert "length went from 40.0 to 60.0" in drift(first, Watched(0.3, 60.0))["length"]
    monkeypatch.setattr(drifting, "COLLAPSE", 2.0)  # everything is a collapse
    loose = rl(rl_config(tuned, beta=0.0), tmp_path / "loose")
    said = capsys.readouterr().err
    assert "beta=0 removes the KL penalty" in said
    drifts = loose.drift.split("; ")
    assert all(said.count(f"warning: {words}") == 1 for words in drifts)
    assert "at step 1" in loose.drift
    assert (loose.steps, loose.stopped) == (3, "")
    assert any(note.startswith("Warning: entropy collapsed") for note in loose.notes)
    strict = rl(rl_config(tuned, beta=0.0, stop_on_drift=True), tmp_path / "strict")
    assert strict.stopped == drifts[0]
    assert strict.steps == 1
    assert Path(strict.best.path).is_dir()
    assert "beta=0" not in capsys.readouterr().err


def test_every_kind_of_drift_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    state = RLState()
    for step, (entropy, thinking) in enumerate([(0.4, 40.0), (0.4, 58.0), (0.01, 60.0), (0.01, 61.0)], 1):
        state.step = step
        rollouts = RolloutStats(0.0, 0.0, thinking, None, None, 0.0, 0.0, 100)
        line = RLStepLog(step, rollouts, 1, 0, 0, 0, UpdateStats(0.0, 1.0, entropy, 0.0))
        watch(state, line, RLConfig(algorithm="dense"))
    said = capsys.readouterr().err
    assert said.count("length went from 40.0 to 58.0 tokens at step 2") == 1
    assert said.count("entropy collapsed from 0.400 to 0.010 nats per token at step 3") == 1
    assert said.count("warning") == 2


def test_bad_pairs_are_refused(run: Path, tmp_path: Path) -> None:
    """Each in a line that says how to fix it; force accepts what can be accepted."""
    model, half = last(run), find_reference(last(run), 0.5)
    with pytest.raises(UserError, match="equals"):
        load_pair(model, model)
    with pytest.raises(UserError, match="is a later checkpoint than"):
        load_pair(str(half), model)
    other_run = save_other(world(7), tmp_path / "other" / "step-1")
    with pytest.raises(UserError, match="from different SFT runs"):
        load_pair(model, other_run)
    assert load_pair(model, other_run, force=True).reference is not None
    foreign = save_other(tiny_lm(), run / "checkpoints" / "foreign")
    with pytest.raises(UserError, match="different tokenizers"):
        load_pair(model, foreign)
    with pytest.raises(UserError, match="too few tokens"):
        load_pair(model, foreign, force=True)
    with pytest.raises(UserError, match=r"not a checkpoint of a finished run.*reference=PATH"):
        find_reference(other_run, 0.5)
    shutil.rmtree(half)
    with pytest.raises(UserError, match=r"was deleted.*left: 0\.2"):
        find_reference(model, 0.5)
    result = read_json(run / "result.json")
    for checkpoint in result["checkpoints"]:
        del checkpoint["samples"]
    write_json(run / "result.json", result)
    with pytest.raises(UserError, match=r"checkpoints\.0\.samples: field required"):
        find_reference(model, 0.5)


@pytest.mark.parametrize("layout", ["checkpoint-{}", "global_step_{}/actor/huggingface"])
def test_the_order_of_another_trainers_checkpoints_is_in_their_names(layout: str, tmp_path: Path) -> None:
    """The final model lies beside them, or in the folder that holds them."""
    early, late = (save_other(world(i), tmp_path / "run" / layout.format(n)) for i, n in enumerate((900, 1000)))
    for final in (tmp_path / "run" / "final", tmp_path / "run"):
        assert load_pair(save_other(world(2), final), late).reference is not None
    assert load_pair(late, early).reference is not None
    with pytest.raises(UserError, match=r"1000\S* is a later checkpoint than"):
        load_pair(early, late)


def save_other(lm: LM, folder: Path) -> str:
    save(lm, _made(folder), "")
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": 1.5}, "gamma must be at most 1"),
        ({"gamma": 0.0, "return_type": "full_return"}, "credits only the first token of a response"),
        ({"dense_weight": -0.1}, "dense_weight must not be negative"),
        ({"beta": -1.0}, "beta must not be negative"),
        ({"kl_coef": 0.1}, "use beta"),
    ],
)
def test_bad_settings_are_one_line(tuned: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        rl(rl_config(tuned, **changes), tmp_path / "rl")


# --- where it falls -----------------------------------------------------------------------------------------------


def test_one_number_is_planted() -> None:
    rows = open_task("dagmath?ops=3&split=all&n=20&seed=1").rows()
    pool = [str(n) for n in range(23)]
    for row in rows:
        copy = plant(row, pool, random.Random(row.id))
        assert copy is not None
        assert copy.thinking is not None
        assert row.thinking is not None
        before, after = NUMBER.findall(row.thinking), NUMBER.findall(copy.thinking)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        assert NUMBER.sub("#", row.thinking) == NUMBER.sub("#", copy.thinking)
        assert copy.response == row.response
    assert plant(Row("x", "?", "no figures"), pool, random.Random(0)) is None


def test_the_probe_finds_planted_errors_in_given_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credit that punishes wrong numbers scores 1, its opposite 0, none at all 0.5."""
    lm = world(0)
    rows = open_task("dagmath?ops=3&split=all&n=12&seed=1").rows()
    sign = 1.0

    def score(self: ReferencePair, examples: Any, **_: Any) -> tuple[Any, Any]:
        n = len(examples) // 2
        found = [np.zeros(len(e.response_ids), dtype=np.float32) for e in examples]
        for i in range(n):
            ids = zip(examples[i].response_ids, examples[n + i].response_ids, strict=True)
            (place,) = [t for t, (a, b) in enumerate(ids) if a != b]
            found[n + i][place] = -sign
        return found, [f + 1 for f in found]

    monkeypatch.setattr(ReferencePair, "score", score)
    probe = planted_error(ReferencePair(lm, None), rows)
    assert (probe.auc.value, probe.top.value, probe.ranked.value) == (1, 1, 1)
    assert probe.auc.n == 12
    assert probe.auc.varies == "solutions"
    sign = -1.0
    probe = planted_error(ReferencePair(lm, None), rows)
    assert (probe.auc.value, probe.top.value, probe.ranked.value) == (0, 0, 0)
    sign = 0.0
    assert planted_error(ReferencePair(lm, None), rows).auc.value == 0.5


def test_a_copy_that_reads_the_same_is_left_out() -> None:
    """Numbers that the tokenizer does not know are one to the model."""
    lm = world(0)
    strange = [Row("x", "a: 5 ? a", "a: 901"), Row("y", "a: 5 ? a", "a: 902")]
    assert lm.encode("901") == lm.encode("902")
    with pytest.raises(UserError, match="nothing can be probed"):
        planted_error(ReferencePair(lm, None), strange)
    with pytest.raises(UserError, match="nothing can be probed"):
        planted_error(ReferencePair(lm, None), [Row("x", "a: 5 ? a", "a:")])
    probe = planted_error(ReferencePair(lm, None), [*strange, Row("z", "a: 5 ? a", "a: 5")])
    assert [row.id for row in probe.copies] == ["z"]
    assert probe.auc.n == len(probe.planted_at) == 1


HOSTILE = ["<script>alert(1)</script>", "\x1b[31m", "\u202e", '"', "&", "9"]


def test_model_text_is_escaped_wherever_it_is_shown() -> None:
    reading = TokenCredit("<b>", "<i>\x1b]0;x\x07", HOSTILE, np.array([-3, 2, 0.1, 0, 1, -1], dtype=np.float32))
    html = page([reading], "<about>")
    assert "<script" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;" in html
    plain = terminal([reading], colour=False)
    assert "\x1b" not in plain
    assert "[-3.0]" in plain
    coloured = terminal([reading], colour=True)
    assert "\x1b[31m" not in coloured
    assert "\x1b]" not in coloured
    assert "\x1b[30;48;5;" in coloured
    assert [level(v, 3.0) for v in (-9, -3, 0.1, 1.5, 3)] == [-4, -4, 0, 2, 4]
    assert level(1.0, 0.0) == 0


def test_show_credit_reads_texts_and_samples(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Samples of an RL run, worked rows and a text, each with the sum of its rewards; the page stands alone."""
    rl(rl_config(tuned, steps=1), tmp_path / "rl")
    samples = str(tmp_path / "rl" / "samples" / "step-00001.parquet")
    for row in read_table(Path(samples)):  # what the viewer colours
        advantages, forced = np.array(row["advantages"]), np.array(row["mask"]) == 0
        assert len(advantages) == len(row["tokens"])
        assert not advantages[forced].any()
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": "r1", "prompt": "a: 5 ? a", "thinking": "a: 5", "response": "a: 5"}))
    text = "a: 5 ? a<think>\na: 5\n</think>\na: 5<eos>"
    capsys.readouterr()
    code = main(["show", "--credit", str(tuned), samples, str(rows), text, "--json", "--out", str(tmp_path / "o")])
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    shown = json.loads(printed.out)
    assert [len(r["pieces"]) == len(r["dense"]) for r in shown["responses"]] == [True] * 14
    assert all(r["sum"] == pytest.approx(sum(r["dense"]), abs=1e-4) for r in shown["responses"])
    one, other = shown["responses"][-2:]
    assert one["sum"] == pytest.approx(other["sum"], abs=0.2)  # the same response, its end of sequence apart
    assert "://" not in Path(shown["page"]).read_text()
    assert main(["show", "--credit", str(tuned), text]) == 0
    assert "sum " in capsys.readouterr().out
    assert main(["show", "--credit", str(tuned), text, "--out", str(tmp_path / "o")]) == 0  # its own page is replaced
    capsys.readouterr()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/credit.html").write_text("my notes")
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe a")
    for words, message in (
        ([str(tuned)], "needs the folder"),
        ([str(tuned), "no thought here"], "PROMPT<think>RESPONSE"),
        ([str(tuned), str(tmp_path / "none.parquet")], "no such file"),
        ([str(tmp_path / "rl"), text], "not the folder of a finished run of rlready sft"),
        ([str(tuned), text, "reference_at=0.02"], "no checkpoint was kept"),
        ([str(tuned), str(binary)], "not UTF-8 text"),
        ([str(tuned), text, "--out", str(rows)], "this is a file"),
        ([str(tuned), text, "--out", str(tmp_path / "mine")], "is not a page of show --credit; choose another --out"),
        ([str(tuned), text, "--out", str(tmp_path / "rl")], "is the folder of a run"),
    ):
        assert main(["show", "--credit", *words]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "mine/credit.html").read_text() == "my notes"


def test_settings_of_dense_credit_are_refused_elsewhere(tmp_path: Path) -> None:
    """If they were ignored, they would seem to have been used."""
    for name, value in {"gamma": 0.5, "dense_weight": 0.5, "return_type": "full_return", "stop_on_drift": True}.items():
        with pytest.raises(UserError, match=f"{name} does not apply to algorithm=grpo; set algorithm=dense"):
            rl(RLConfig(algorithm="grpo", **{name: value}), tmp_path / name)


def test_show_credit_plants_errors(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In correct rows only; the copies are shown, with how well the credit finds what was changed."""
    good = {"id": "good", "prompt": "a: 5 ? a", "thinking": "a: 5", "response": "a: 5", "answer": "a: 5"}
    rows, wrong = tmp_path / "rows.jsonl", tmp_path / "wrong.jsonl"
    many = [good | {"id": f"good{i}", "thinking": f"a: {i}"} for i in range(2, 6)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in [*many, good | {"id": "bad", "response": "a: 6"}]))
    wrong.write_text(json.dumps(good | {"response": "a: 6"}))
    assert main(["show", "--credit", str(tuned), f"probe={rows}", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {r["name"].split(",")[0] for r in shown["responses"]} == {f"good{i}" for i in range(2, 6)}
    assert all("changed at token" in r["name"] for r in shown["responses"])
    assert shown["probe"]["auc"]["n"] == 4
    assert main(["show", "--credit", str(tuned), f"probe={rows}"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "other tokens with more credit (AUC)" in line]
    assert f"{shown['probe']['auc']['value']:.3f}" in line
    assert main(["show", "--credit", str(tuned), f"probe={wrong}"]) == 2
    assert "no row has a correct answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"tokens": 5}, "tokens must be a list of whole numbers"),
        ({"tokens": "56"}, "tokens must be"),
        ({"tokens": [7, -1]}, "token -1 is not in the model's vocabulary"),
        ({"tokens": [7, 10**6]}, "token 1000000 is not in the model's vocabulary"),
        *(({"tokens": [7, 8], "mask": m}, "mask must be") for m in (5, "10", ["a", "b"], [2, 0], [-1, 0], [[1], 0])),
        ({"tokens": [7, 8], "mask": [1]}, "2 tokens, but a mask of length 1"),
        ({"response": "a: 5", "thinking": 3}, "thinking must be text"),
        ({"response": 5}, "has none of the columns"),
        ({"pieces": 5}, "pieces must be"),
        ({"pieces": [["a: 5", 1]]}, "the tokenizer makes 2 tokens of 1 pieces"),
    ],
)
def test_a_row_that_cannot_be_read_is_one_line(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "a: 5 ? a"} | columns))
    with pytest.raises(UserError, match=f"rows.jsonl:1: {message}"):
        credit_of_inputs(ReferencePair(world(0), None), [str(rows)])


def test_prompt_and_response_fit_the_context_together(tmp_path: Path) -> None:
    lm, prompt = world(0), "a: 5 ? a"
    room = lm.context - len(lm.prompt_ids(prompt, think=False))
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": prompt, "tokens": [7] * room}))
    (found,) = credit_of_inputs(ReferencePair(lm, None), [str(rows)])
    assert len(found.dense) == room
    rows.write_text(json.dumps({"prompt": prompt, "tokens": [7] * (room + 1)}))
    with pytest.raises(UserError, match="longer than the context"):
        credit_of_inputs(ReferencePair(lm, None), [str(rows)])


# --- the evidence -------------------------------------------------------------------------------------------------


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The protocol of ``evidence/dense``, its runs and its page in a folder of their own."""
    spec = importlib.util.spec_from_file_location("dense_run", Path(__file__).parents[1] / "evidence/dense/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
    return module


def test_steps_saved_are_first_passage_against_first_passage(evidence: ModuleType) -> None:
    verifier = [(0, 0.3), (4, 0.4), (8, 0.6), (12, 0.5), (16, 0.6)]
    curves = {
        evidence.VERIFIER: verifier,
        "sooner": [(0, 0.3), (4, 0.6), (8, 0.1)],
        "later": [(0, 0.3), (4, 0.5), (12, 0.7)],
        "never": [(0, 0.3), (4, 0.59)],
    }
    assert [evidence.saved(curves, variant) for variant in curves] == [0, 0.5, -0.5, 1 - 52 / 8]
    curves[evidence.VERIFIER] = [(0, 0.6), *verifier[1:]]
    assert evidence.saved(curves, "sooner") is None


def test_entropy_and_divergence_are_those_at_the_budget(evidence: ModuleType, tmp_path: Path) -> None:
    lm = world(0)
    ids = lm.prompt_ids("a: 5 ? a", think=True)
    rows = []
    for setting, tokens in ((str(evidence.BUDGET), [8, 9, 10]), ("unconstrained", [11, 12, 13, 14])):
        logp = frozen_logprobs([lm.model], [supervised(ids, tokens)], max_tokens_per_microbatch=100)[0][0] + (
            setting == "unconstrained"
        )
        line = {"prompt": "a: 5 ? a", "tokens": tokens, "mask": [1] * len(tokens), "logprobs": logp.tolist()}
        rows.append({"setting": setting} | line)
    write_table(tmp_path / "both.parquet", rows)
    found = evidence.scored(lm, tmp_path / "both.parquet")
    assert found["kl"] == pytest.approx(0, abs=1e-6)
    assert found["entropy"] == pytest.approx(-np.mean(rows[0]["logprobs"]), abs=1e-6)


def test_logs_give_the_diagnosis(evidence: ModuleType, tmp_path: Path) -> None:
    """Correlations of the first and the last step."""
    run = tmp_path / "dense"
    run.mkdir()
    for step, right in ((1, 0.1), (2, 0.2), (3, None)):
        append_line(run / "log.jsonl", {"step": step - 1, "eval_accuracy": 0.3})
        line = {"step": step, "dense_scale": 0.25 * step, "dense_right": right, "dense_length": -0.5}
        append_line(run / "log.jsonl", line)
    assert evidence.diagnosed(tmp_path) == {"dense": {"dense_right": [0.1, None], "dense_length": [-0.5, -0.5]}}
    for name, seconds in (("dense", 1.5), ("sft", 2.0)):
        (tmp_path / name).mkdir(exist_ok=True)
        write_json(tmp_path / name / "record.json", {"cpu_seconds": seconds})
    assert evidence.seconds_of(tmp_path) == 3.5


def test_a_seed_of_another_protocol_is_refused(evidence: ModuleType) -> None:
    out = evidence.RUNS / "seed-0"
    out.mkdir(parents=True)
    own = {"measured.json": evidence.PROTOCOL, "usual.json": evidence.USUAL}
    for name, protocol in own.items():
        write_json(out / name, {"protocol": protocol, "variants": {}, "curves": {"dense": [[0, 0.5]]}})
    found = evidence.measured(0)
    assert (found["variants"], found["usual"]) == ({}, {"dense": [[0, 0.5]]})
    for name, protocol in own.items():
        for other in ({}, {"protocol": protocol | {"rates": [1e-3, 1.0]}}):
            write_json(out / name, other)
            with pytest.raises(UserError, match=rf"{name}: measured by another protocol"):
                evidence.measured(0)
        write_json(out / name, {"protocol": protocol, "curves": {}})


def test_the_page_says_what_was_measured(evidence: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The seed that starts at the goal is named and left out; a correlation that no seed has is left blank."""
    variants = ("SFT", "SFT continued", *evidence.DENSE, *evidence.VERIFIED, evidence.DECODED)

    def measured(seed: int) -> dict[str, Any]:
        start = 0.6 if seed == 3 else 0.2
        return {
            "variants": {
                v: dict.fromkeys(evidence.MEASURES, 0.1 * seed) | {"per_problem": [0.0, 1.0]} for v in variants
            },
            "probe": {
                str(f): dict.fromkeys(evidence.PROBED, 0.3 if f == evidence.KNOWN else 0.5)
                for f in (*evidence.FRACTIONS, evidence.KNOWN)
            },
            "curves": {variant: [(0, start), (24, 0.4), (48, 0.5)] for variant in evidence.VERIFIED},
            "usual": {variant: [(0, 0.3), (24, 0.5), (48, 0.5)] for variant in evidence.USUAL["verified"]},
            "diagnosed": {
                "dense": {"dense_right": [0.25, None], "dense_length": [0.75, 0.5]},
                "dense, no reference (log π_SFT)": {"dense_right": [0.4, 0.4], "dense_length": [None, None]},
            },
            "stopped": {"dense": "no gradient for 8 steps"} if seed == 1 else {},
            "cpu_seconds": 1.0,
        }

    was = [{v: {"accuracy": 0.05 * seed, "greedy": 0.1} for v in variants} for seed in range(5)]
    ends = {"verifier (Dr. GRPO)": 0.5, "dense + verifier": 0.4}
    runs = [{"until": day, "seeds": [{"variants": each, "usual": ends} for each in was]} for day in ("one", "two")]
    write_json(tmp_path / "earlier.json", runs)
    monkeypatch.setattr(evidence, "measured", measured)
    evidence.main(evidence.SEEDS)
    text = " ".join((tmp_path / "README.md").read_text().split())
    assert "are left out: seed 3 modulo 17, none modulo 13." in text
    assert "ended before their last step: dense in seed 1 (no gradient for 8 steps)." in text
    assert "correlates with correctness at 0.250 [0.250, 0.250], log π_SFT at 0.400 [0.400, 0.400]." in text
    assert "Modulo 13 the verifier takes accuracy from 0.300 [0.300, 0.300] to 0.500 [0.500, 0.500]" in text
    assert "| 50 %, modulo 13 | 0.300 [0.300, 0.300] |" in text
    assert "| dense | 0.250 [0.250, 0.250] | | 0.750 [0.750, 0.750] | 0.500 [0.500, 0.500] |" in text
    assert f"| dense |{5 * ' +0.0 [+0.0, +0.0] |'}" in text
    assert "modulo 13 | -10.0 [-10.0, -10.0] | -10.0 [-10.0, -10.0] | +0.0 [+0.0, +0.0] |" in text
    assert "differs between the last two by a standard deviation of 7.1 points, of which the evaluation" in text
    claims = {c["claim"]: c for c in read_json(tmp_path / "result.json")["claims"]}
    share = "steps that dense + verifier saves to the verifier's last accuracy, share"
    assert [claims[f"{world}: {share}"]["n"] for world in ("modulo 17", "modulo 13")] == [4, 5]
    assert all((tmp_path / f"{name}.svg").stat().st_size > 1000 for name in ("figure", "usual"))
