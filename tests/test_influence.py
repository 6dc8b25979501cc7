"""Influence: the identities behind it, gradients by hooks and by a loop, projections, and a step that does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.credit.algorithms import ALGORITHMS
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.rollout import draw_groups
from rlready.engine.torch import TorchEngine
from rlready.influence.gram import collect, gram, parameters_of
from rlready.influence.influence import Influence, Rollouts, influence
from rlready.influence.sketch import Whole
from rlready.models import scoring
from rlready.models.batch import Example
from rlready.models.checkpoint import load
from rlready.models.frozen import logprobs_of
from rlready.readiness.stage import readiness
from rlready.report.page import render
from rlready.runs.files import read_table
from rlready.tasks import open_task
from tiny import tiny_model

Floats = NDArray[np.float64]
RIGHT = ([1, 0, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0], [1, 1], [0, 1])  # the third and fourth have no signal
PROBLEMS = "dagmath?ops=4-7&asked=2&split=all&n=6&seed=2"


def token_logprobs(model: Any, rows: Sequence[Example], temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """By the forward pass that influence takes too, which keeps float64 throughout."""
    return logprobs_of(model)(model, rows, temperature)


def rollouts(correct: Sequence[Sequence[int]], seed: int = 0, prompts: int = 99) -> list[Rollouts]:
    """Random responses with forced tokens to random prompts, some of which may be the same."""
    rng = np.random.default_rng(seed)
    known = [rng.integers(3, 50, rng.integers(2, 7)).tolist() for _ in range(prompts)]
    groups = []
    for at, of_group in enumerate(correct):
        rows = []
        for _ in of_group:
            size = int(rng.integers(3, 12))
            mask = (rng.random(size) > 0.3).astype(np.uint8)
            ones = np.ones(size, dtype=np.float32)
            rows.append(Example(known[at % prompts], rng.integers(3, 50, size).tolist(), mask, ones, ones))
        groups.append(Rollouts(rows, np.array(of_group, dtype=bool)))
    return groups


def gradient(model: Any, rows: Sequence[Example], weights: Sequence[float] | Floats) -> torch.Tensor:
    """(parameters,) of Σ w_i log π(o_i), a row at a time, prompts not shared."""
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for row, weight in zip(rows, np.asarray(weights).tolist(), strict=True):
        found = torch.autograd.grad(weight * token_logprobs(model, [row])[0].sum(), parameters)
        total = [a + b for a, b in zip(total, found, strict=True)]
    return torch.cat([t.flatten() for t in total])


def relative(found: Floats | torch.Tensor, wanted: Floats | torch.Tensor) -> float:
    found, wanted = np.asarray(found), np.asarray(wanted)
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model("Llama", tie_word_embeddings=True).double()


def test_a_group_is_one_gradient_whatever_divides_its_advantages(model: Any) -> None:
    """(1/N) Σ A g = √(α(1−α)) (ḡ⁺ − ḡ⁻) with σ; √((N−1)/N) of it with s, √(α(1−α)) of it without."""
    for group in rollouts([[1, 0, 0, 0, 0], [1, 1, 0, 1]]):
        n, rewards = len(group.rows), group.correct.astype(float)
        means = [
            gradient(model, some, np.full(len(some), 1 / len(some))) for some in (group.those(True), group.those(False))
        ]
        u = group.group_signal * (means[0] - means[1])
        by_population = gradient(model, group.rows, (rewards - rewards.mean()) / rewards.std() / n)
        assert relative(by_population, u) < 1e-10
        sample = (rewards - rewards.mean()) / rewards.std(ddof=1)
        assert relative(gradient(model, group.rows, sample / n), u * ((n - 1) / n) ** 0.5) < 1e-10
        assert relative(ALGORITHMS["grpo"].advantage(rewards), sample) < 1e-3  # it adds ε to s
        assert (
            relative(gradient(model, group.rows, ALGORITHMS["dr_grpo"].advantage(rewards) / n), u * group.group_signal)
            < 1e-10
        )


def test_influence_is_the_mean_over_all_pairs_of_rollouts(model: Any) -> None:
    """E over (q', o') of A (K⁺ − K⁻) times √(α(1−α)), from one gradient a rollout, against two a problem."""
    groups = rollouts(RIGHT)
    found = influence(model, groups, parameters_of(model))
    each = [torch.stack([gradient(model, [row], [1.0]) for row in group.rows]) for group in groups]
    step, right, wrong = np.zeros(len(groups)), np.zeros(len(groups)), np.zeros(len(groups))
    for q, group in enumerate(groups):
        for other, target in enumerate(groups):
            if other == q or not target.informative or not group.informative:
                continue
            share = target.correct.mean()
            advantage = (target.correct - share) / np.sqrt(share * (1 - share))
            k = (each[other] @ each[q].T).numpy()
            right[q] += (advantage @ k[:, group.correct]).mean() / len(advantage) / (len(groups) - 1)
            wrong[q] += (advantage @ k[:, ~group.correct]).mean() / len(advantage) / (len(groups) - 1)
        step[q] = group.group_signal * (right[q] - wrong[q])
    assert relative(found.step, step) < 1e-10
    figures = found.estimates()
    weight = found.group_signal / found.group_signal.sum()
    for key, wanted in (("step", step.mean()), ("k_right", weight @ right), ("k_wrong", weight @ wrong)):
        figure = getattr(figures, key)
        assert figure is not None
        assert figure.value == pytest.approx(wanted, rel=1e-10)
        assert figure.low < figure.value < figure.high
    signal, co, whole = figures.group_signal, figures.co_influence, figures.step
    assert signal
    assert co
    assert whole
    assert signal.value * co.value == pytest.approx(whole.value, rel=1e-10)
    u = [
        g.group_signal * (e[g.correct].mean(0) - e[~g.correct].mean(0))
        for g, e in zip(groups, each, strict=True)
        if g.informative
    ]
    unit = torch.stack([v / v.norm() for v in u])
    assert relative(found.cosines[0], unit @ unit.T) < 1e-10
    assert figures.cosine is not None
    assert figures.cosine.value == pytest.approx(float((unit @ unit.T)[~np.eye(len(u), dtype=bool)].mean()))
    assert found.error == 0


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("Llama", {"tie_word_embeddings": True}),
        ("Llama", {"tie_word_embeddings": False, "mlp_bias": True}),
        ("Qwen2", {}),
        ("Qwen3", {"head_dim": 8}),
        ("GPT2", {}),
        ("Gemma2", {"head_dim": 8, "final_logit_softcapping": 1.0}),
    ],
)
def test_hooks_and_a_loop_give_the_same_gradients(family: str, changes: dict[str, Any]) -> None:
    """Every parameter of every family; prompts shared, in two groups, and cut by micro-batches."""
    single = tiny_model(family, **changes)
    groups = rollouts(RIGHT, prompts=3)
    sets = [group.rows for group in groups]
    kept = Whole.of({p: slice(0, len(p)) for p in parameters_of(single)}, len(sets))
    collect(single, sets, kept, max_tokens_per_microbatch=40)
    loop = torch.stack([gradient(single, rows, np.full(len(rows), 1 / len(rows))) for rows in sets])
    for span in kept.span.values():
        assert float((kept.table[0, :, span] - loop[:, span]).norm() / loop[:, span].norm()) < 1e-6
    double = single.double()
    exact = torch.stack([gradient(double, rows, np.full(len(rows), 1 / len(rows))) for rows in sets])
    assert relative(gram(double, sets, parameters_of(double))[0], exact @ exact.T) < 1e-10


@pytest.mark.parametrize(("chunk", "temperature"), [(1 << 24, 0.7), (200, 1.0), (200, 1.6)])
def test_the_head_in_chunks_and_any_temperature(
    monkeypatch: pytest.MonkeyPatch, model: Any, chunk: int, temperature: float
) -> None:
    """A few tokens' logits at a time, worked out again on the way back; the gradient is of what was drawn from."""
    sets = [group.rows for group in rollouts(RIGHT)]
    parameters = [p.requires_grad_() for p in parameters_of(model)]
    each = []
    for rows in sets:
        logp, _ = token_logprobs(model, rows, temperature)
        each.append(torch.cat([g.flatten() for g in torch.autograd.grad(logp.sum() / len(rows), parameters)]))
    exact = torch.stack(each) @ torch.stack(each).T
    monkeypatch.setattr(scoring, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(scoring, "KEPT_ELEMENTS", chunk)
    assert relative(gram(model, sets, parameters, temperature=temperature)[0], exact) < 1e-10
    assert relative(gram(model, sets, parameters, temperature=1.1 * temperature)[0], exact) > 1e-2


def test_parameters_a_few_at_a_time_or_only_some(model: Any) -> None:
    """Layers add up to the whole; a name that is none is one line."""
    sets = [group.rows for group in rollouts(RIGHT)]
    whole = gram(model, sets, parameters_of(model))
    parts = [parameters_of(model, [name]) for name in ("embed_tokens", "layers.0", "layers.1", "model.norm")]
    assert sum(map(len, parts)) == len(parameters_of(model))
    assert relative(sum(gram(model, sets, part) for part in parts), whole) < 1e-10  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no parameter of LlamaForCausalLM is in a layer 'layer'; did you mean layers"):
        parameters_of(model, ["layer"])


@pytest.mark.parametrize("family", ["Llama", "GPT2"])
@pytest.mark.parametrize("memory", [5_000, 40_000])
def test_memory_is_kept_whatever_the_largest_matrix(monkeypatch: pytest.MonkeyPatch, family: str, memory: int) -> None:
    """Rows of a matrix at a time where all of them are too many; the sum is the same."""
    model = tiny_model(family, **({"tie_word_embeddings": True} if family == "Llama" else {})).double()
    sets = [group.rows for group in rollouts(RIGHT)]
    whole = gram(model, sets, parameters_of(model))
    held: list[int] = []
    plain = Whole.of

    def of(rows: Any, many: int) -> Whole:
        kept = plain(rows, many)
        held.append(kept.table.nbytes)
        return kept

    monkeypatch.setattr(Whole, "of", of)
    assert relative(gram(model, sets, parameters_of(model), memory=memory), whole) < 1e-10
    largest = max(p.numel() for p in parameters_of(model)) * len(sets) * 8
    assert max(held) <= memory < largest
    assert len(held) > 1


def test_projections_are_unbiased_and_estimate_their_error() -> None:
    """Many seeds average to the exact matrix, and the reported error of each is its actual error."""
    model = tiny_model("Llama").double()
    groups = rollouts([[1, 0, 1, 0]] * 6)
    parameters = parameters_of(model)
    exact = influence(model, groups, parameters)
    off = ~np.eye(len(groups), dtype=bool)
    products, told, made = [], [], []
    for seed in range(30):
        found = influence(model, groups, parameters, rank=8, seed=seed)
        products.append(found.products.mean(0))
        told.append(found.error)
        made.append(float(np.sqrt(np.mean((found.cosines.mean(0) - exact.cosines[0])[off] ** 2))))
    assert 0 < np.mean(made) < 0.2
    assert np.mean(told) == pytest.approx(np.mean(made), rel=0.3)
    noise = np.std(products, axis=0, ddof=1) / 30**0.5
    assert (np.abs(np.mean(products, axis=0) - exact.products[0]) < 5 * noise).all()
    assert relative(influence(model, groups, parameters, rank=999).right.mean(0), exact.right[0]) < 1e-10


def test_groups_without_signal_count_and_are_never_nan(model: Any) -> None:
    """All right or all wrong: 0, part of every mean, no factor of theirs."""
    none = influence(model, rollouts([[1, 1], [0, 0], [0, 0, 0]]), parameters_of(model))
    assert (none.step == 0).all()
    figures = none.estimates()
    assert figures.group_signal.value == 0 < figures.group_signal.high
    assert figures.step is figures.co_influence is figures.k_right is figures.cosine is None
    groups = rollouts(RIGHT)
    alone = influence(model, [g for g in groups if g.informative], parameters_of(model)).step
    among = influence(model, groups, parameters_of(model)).step
    assert relative(among[[0, 1, 4]], alone * 2 / 4) < 1e-10
    assert (among[[2, 3]] == 0).all()
    with pytest.raises(UserError, match="at least 2, got 1"):
        influence(model, groups[:1], parameters_of(model))


def test_two_problems_are_too_few_for_an_interval(model: Any) -> None:
    """One pair weighs the same under any weights: no factor of two mixed problems, and a step as wide as one value."""
    groups = rollouts(RIGHT)
    mixed = [g for g in groups if g.informative][:2]
    for some in (mixed, [*mixed, next(g for g in groups if not g.informative)]):
        figures = influence(model, some, parameters_of(model)).estimates()
        assert figures.co_influence is figures.k_right is figures.k_wrong is figures.cosine is None
        step = figures.step
        assert step is not None
        assert step.n == len(some)
        assert step.low < step.value < step.high
        if len(some) == 2:
            assert step.low < 0 < step.high


def test_intervals_have_about_their_nominal_coverage() -> None:
    """u(q) = common part + noise: the mean of products of two problems is known."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        u = np.array([0.5, 0.0, 0.0, 0.0]) + rng.normal(0, 1, (30, 4))
        right = 2 * (u @ u.T)[None]
        figure = Influence(np.full(30, 0.5), np.arange(30), right, np.zeros_like(right)).estimates().step
        assert figure is not None
        inside += figure.low < 0.25 < figure.high
    assert inside >= 88


def test_the_predicted_step_is_the_step() -> None:
    """A small SGD step on each problem in turn: what it does to the others' advantage-weighted log-probabilities."""
    lm = load("embedded")
    groups = drawn(lm)
    lm.model.double()
    parameters = parameters_of(lm.model)
    found = influence(lm.model, groups, parameters)
    live = [g for g in groups if g.informative]
    assert len(live) > 4
    start = [p.detach().clone() for p in parameters]

    def objective() -> Floats:
        """(M,) Σ A log π / N of each mixed problem"""
        values = []
        with torch.no_grad():
            for group in live:
                share = group.correct.mean()
                advantage = (group.correct - share) / np.sqrt(share * (1 - share))
                logp = token_logprobs(lm.model, group.rows)[0].double()
                of_row = [part.sum().item() for part in logp.split([row.learned for row in group.rows])]
                values.append(float(advantage @ np.array(of_row)) / len(advantage))
        return np.array(values)

    before, measured = objective(), []
    rate = 1e-4 / float(np.sqrt(found.products[0].diagonal().max()))
    for q, group in enumerate(live):
        lm.model.zero_grad()
        for right, sign in ((True, 1.0), (False, -1.0)):
            rows = group.those(right)
            (sign * group.group_signal * token_logprobs(lm.model, rows)[0].sum() / len(rows)).backward()
        with torch.no_grad():
            for p in parameters:
                p.add_(p.grad, alpha=rate)  # type: ignore[arg-type]
        change = objective() - before
        measured.append(np.delete(change, q).sum() / (len(groups) - 1))
        with torch.no_grad():
            for p, old in zip(parameters, start, strict=True):
                p.copy_(old)
    predicted = rate * found.step[found.place]
    assert np.corrcoef(predicted, measured)[0, 1] > 0.999
    assert relative(np.array(measured), predicted) < 0.02


def drawn(lm: Any) -> list[Rollouts]:
    """Rollouts of the model itself, verified."""
    task = open_task(PROBLEMS.replace("n=6", "n=16"))
    problems = task.problems()
    requests = requests_for(lm, problems, 8, Budget(64, 16))
    engine = TorchEngine(lm, forcing_for(lm))
    return [
        Rollouts.of(
            group.prompt_ids, [(s.tokens.tolist(), s.mask) for s in group.samples], (group.rewards > 0).tolist()
        )
        for group in draw_groups(engine, lm, task, problems, requests, temperature=1.0, seed=0)
    ]


def test_readiness_measures_influence_on_its_samples(tmp_path: Path) -> None:
    """In result, table and page; of the first group of every problem; dashes for a table of samples."""
    config = ReadinessConfig(heldout="", problems=PROBLEMS, samples=16, group_size=8, influence=True)
    readiness(config, tmp_path / "once")
    table = tmp_path / "once" / "parts" / "0.parquet"
    result = readiness(config.replace(checkpoints=("embedded", str(table))), tmp_path / "both")
    row, stored = result.checkpoints
    assert stored.influence is None
    assert stored.histogram == row.histogram
    assert sum(bar.problems.value for bar in row.histogram) == pytest.approx(1)
    lm = load("embedded")
    rows = [[r for r in read_table(table) if r["problem_id"] == p][:8] for p in result.problems]
    prompts = [lm.prompt_ids(p.prompt, think=True) for p in open_task(PROBLEMS).problems()]
    groups = [
        Rollouts.of(ids, [(r["tokens"], np.array(r["mask"])) for r in some], [r["correct"] for r in some])
        for ids, some in zip(prompts, rows, strict=True)
    ]
    wanted = influence(lm.model, groups, parameters_of(lm.model)).estimates()
    assert row.influence
    for key, figure in wanted:
        assert getattr(row.influence, key).value == pytest.approx(figure.value, rel=1e-4)
    assert row.influence.problems == 6
    assert row.influence.all_right + row.influence.all_wrong == sum(not g.informative for g in groups)
    (printed,) = result.tables()
    cells = dict(zip(printed.columns, printed.rows[1], strict=True))
    assert [cells[name] for name in ("ΔJ/η", "co-influence", "cosine")] == ["–"] * 3
    page = render(tmp_path / "both")
    for text in ("What a step on one problem does for the others", "Rollout accuracy of the problems", "K⁺"):
        assert text in page


def test_bad_settings_are_refused_before_sampling(tmp_path: Path) -> None:
    config = ReadinessConfig(heldout="", problems=PROBLEMS, samples=8, group_size=8, influence=True)
    for at, (changes, message) in enumerate(
        (
            ({"problems": PROBLEMS.replace("n=6", "n=1")}, "influence needs at least 2 problems, got 1"),
            ({"influence_layers": ("layers.99",)}, "no parameter of LlamaForCausalLM is in a layer 'layers.99'"),
            ({"influence_rank": -1}, "influence_rank must not be negative, got -1"),
        )
    ):
        with pytest.raises(UserError, match=message) as caught:
            readiness(config.replace(**changes), tmp_path / f"run-{at}")  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / f"run-{at}").rglob("*.parquet"))
