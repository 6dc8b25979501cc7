"""The optimiser by hand: AdamW's betas, decoupled weight decay, gradient clipping, every rate."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.records import Group, Problem, Sample
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.assign import credit
from rlready.models.batch import Batch, supervised
from rlready.runs.files import write_folder
from rlready.runs.log import read_log
from rlready.runs.pace import Pace
from rlready.train import checkpointer as checkpointer_module
from rlready.train.checkpointer import Checkpointer
from rlready.train.fast_learner import FastLearner, fed_tokens
from rlready.train.learner import OptimizerSettings, PlainLearner, StepStats, token_count
from rlready.train.log import RLStepLog
from rlready.train.loss import LossInputs, LossOutput, LossSettings, likelihood_loss, policy_loss
from rlready.train.rl import rl
from rlready.train.schedule import Schedule, learning_rate_factor, warmup
from rlready.train.sft import SFTState, checkpoint_steps, planned, reference_steps, sft, weighted
from rlready.train.trainer import Trainer
from test_loss import MIXED, rollouts, symbolic_lm

LR = 1e-2
Weights = dict[str, torch.Tensor]


def weights_of(model: Any) -> Weights:
    return {name: p.detach().double().clone() for name, p in model.named_parameters()}


def adamw(start: Weights, gradients: list[Weights], rates: list[float], decay: float, most: float) -> Weights:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2) with betas 0.9 and 0.95, gradient norm clipped."""
    found = {k: w.clone() for k, w in start.items()}
    first, second = ({k: torch.zeros_like(w) for k, w in start.items()} for _ in range(2))
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradient.values()))
        for k, w in found.items():
            g = gradient[k] * min(1.0, most / norm)
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.95 * second[k] + 0.05 * g**2
            mean, square = first[k] / (1 - 0.9**t), second[k] / (1 - 0.95**t)
            w -= rate * decay * w + rate * mean / (square.sqrt() + 1e-8)
    return found


@pytest.mark.parametrize("kind", [PlainLearner, FastLearner])
@pytest.mark.parametrize(("decay", "share_kept"), [(0.0, 10.0), (0.3, 0.5)])
def test_steps_are_adamw_with_its_betas_decay_and_clipping(
    decay: float, share_kept: float, kind: type[PlainLearner]
) -> None:
    """Three steps on weights times fixed numbers, so that every gradient is known; the norm said is that before."""
    lm = symbolic_lm()
    start = weights_of(lm.model)
    rng = torch.Generator().manual_seed(0)
    gradients = [{k: torch.randn(w.shape, generator=rng).double() * s for k, w in start.items()} for s in (1, 3, 0.2)]
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients[0].values()))
    learner = kind(lm, OptimizerSettings(LR, decay, share_kept * norm, 64))
    rates = [0.5, 1.0, 0.25]
    for gradient, rate in zip(gradients, rates, strict=True):
        wanted = [gradient[name].float() for name, _ in lm.model.named_parameters()]

        def loss_of(_: Any, logp_N: torch.Tensor, wanted: list[torch.Tensor] = wanted) -> LossOutput:
            pairs = zip(lm.model.parameters(), wanted, strict=True)
            return LossOutput(torch.stack([(p * g).sum() for p, g in pairs]).sum() + 0 * logp_N.sum())

        done = learner.step([supervised([1], [7, 8])], loss_of, rate=rate)
        size = math.sqrt(sum(float((g**2).sum()) for g in gradient.values()))
        assert done.grad_norm == pytest.approx(size, rel=1e-4)
    expected = adamw(start, gradients, [LR * r for r in rates], decay, share_kept * norm)
    for name, weight in weights_of(lm.model).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=2e-5)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", [PlainLearner, FastLearner])
def test_a_step_says_what_it_did(kind: type[PlainLearner]) -> None:
    """Loss and norm of the whole batch, entropy and clipped share per chosen token, tokens, and prompts fed once."""
    lm = symbolic_lm()
    rows = credit(rollouts(lm, MIXED), ALGORITHMS["grpo"], cap=20).examples
    chosen = sum(int(r.mask.sum()) for r in rows)

    def loss_of(_: Any, logp_N: torch.Tensor) -> LossOutput:
        return LossOutput(0 * logp_N.sum() + len(logp_N), 0.25)

    def step(micro_tokens: int) -> StepStats:
        learner = kind(symbolic_lm(), OptimizerSettings(LR, max_tokens_per_microbatch=micro_tokens))
        return learner.step(rows, loss_of, rate=1.0)

    done, cut = step(10**6), step(60)
    prompts = {tuple(r.prompt_ids) for r in rows}
    assert (done.tokens, done.loss, done.clip_ratio) == (cut.tokens, cut.loss, cut.clip_ratio) == (chosen, chosen, 0.25)
    assert fed_tokens(rows) == sum(map(len, prompts)) + sum(len(r.response_ids) for r in rows) < token_count(rows)
    assert token_count(rows) == sum(len(r.prompt_ids) + len(r.response_ids) for r in rows)
    if kind is FastLearner:
        assert fed_tokens(rows) == done.fed < cut.fed <= token_count(rows)
    else:
        assert done.fed == cut.fed == token_count(rows)
    assert done.entropy == pytest.approx(cut.entropy, rel=1e-5)
    assert 0 < done.entropy < math.log(len(lm.tokenizer))


@pytest.mark.usefixtures("one_thread")
def test_threads_beside_each_other_make_one_gradient() -> None:
    """Each has micro-batches of its own; a row alone is one thread's."""
    rows = credit(rollouts(symbolic_lm(), MIXED), ALGORITHMS["grpo"], cap=20).examples

    def gradient(threads: int, some: list[Any]) -> tuple[float, list[torch.Tensor]]:
        torch.set_num_threads(threads)
        learner = FastLearner(symbolic_lm(), OptimizerSettings(LR, max_tokens_per_microbatch=90))

        def loss_of(batch: Batch, logp_N: torch.Tensor) -> LossOutput:
            return LossOutput(likelihood_loss(logp_N, batch.advantage_N, batch.weight_N))

        sums = learner.backward(some, loss_of, temperature=1.0)
        return sums.loss, [p.grad for p in learner.parameters if p.grad is not None]

    for some in (rows, rows[:1]):
        loss, one = gradient(1, some)
        other_loss, other = gradient(2, some)
        assert other_loss == pytest.approx(loss, abs=1e-6)
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * a.abs().max().item())


def test_ratios_are_clipped_at_a_fifth_by_default() -> None:
    """To either side: 0.8 and 1.2."""
    ratio = torch.tensor([0.79, 0.81, 1.19, 1.21])
    for advantage, stopped in ((1.0, [False, False, False, True]), (-1.0, [True, False, False, False])):
        logp = ratio.log().requires_grad_()
        zeros, ones = torch.zeros(4), torch.ones(4)
        found = policy_loss(LossInputs(logp, zeros, None, advantage * ones, ones, zeros), LossSettings())
        (gradient,) = torch.autograd.grad(found.loss, logp)
        assert (gradient == 0).tolist() == stopped
        assert found.clip_ratio == 0.25


def test_no_step_is_taken_on_what_is_not_finite() -> None:
    """Neither weights nor optimiser move."""
    lm = symbolic_lm()
    start = weights_of(lm.model)
    learner = FastLearner(lm, OptimizerSettings(LR, 0.1, 1.0, 64))
    for bad in (math.inf, math.nan):
        with pytest.raises(UserError, match="not finite"):
            learner.step([supervised([1], [7])], lambda _, logp, bad=bad: LossOutput(logp.sum() * bad), rate=1.0)
    with pytest.raises(UserError, match="not finite"):  # a finite loss, whose gradient is not
        learner.step([supervised([1], [7])], lambda _, logp: LossOutput((logp - logp.detach()).sum().sqrt()), rate=1.0)
    assert all(torch.equal(w, start[k]) for k, w in weights_of(lm.model).items())
    assert all(p.grad is None for p in learner.parameters)
    assert not learner.optimizer.state_dict()["state"]


def test_warm_up_is_linear_over_its_share_of_the_steps() -> None:
    """40 steps, a tenth of them: 1/4, 2/4, 3/4, 1, 1, ...; at least one step, and that at the full rate."""
    assert [warmup(i, 40, 0.1) for i in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert [warmup(i, 40, 0.05) for i in range(3)] == [0.5, 1.0, 1.0]
    assert warmup(0, 40, 0.0) == warmup(39, 40, 0.0) == warmup(0, 1, 0.5) == 1.0
    assert warmup(0, 10, 1.0) == 0.1


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1 - 1 / 40, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, (1 + math.cos(math.pi / 40)) / 2, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
    ],
)
def test_schedules(schedule: Schedule, expected: list[float]) -> None:
    """At steps 0, 1, 10, 20 and 30 of 40, warming up over the default share of 1/20."""
    share = SFTConfig().warmup_ratio
    found = [learning_rate_factor(i, 40, share, schedule) for i in (0, 1, 10, 20, 30)]
    assert found == pytest.approx(expected)


def seen_rates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, tuple[float, float], float]]:
    """Learning rate, weight decay, betas of every step that is taken, and the largest gradient norm."""
    seen: list[tuple[float, float, tuple[float, float], float]] = []
    step: Callable[..., StepStats] = PlainLearner.step

    def watched(self: PlainLearner, *args: Any, **kwargs: Any) -> StepStats:
        done = step(self, *args, **kwargs)
        (group,) = self.optimizer.param_groups
        seen.append((group["lr"], group["weight_decay"], group["betas"], self.settings.max_grad_norm))
        return done

    monkeypatch.setattr(PlainLearner, "step", watched)
    return seen


@pytest.fixture
def start(tmp_path: Path) -> str:
    lm = symbolic_lm()
    lm.model.save_pretrained(tmp_path / "start")
    lm.tokenizer.save_pretrained(tmp_path / "start")
    return str(tmp_path / "start")


def test_sft_trains_with_the_settings_given(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step's rate as scheduled and as logged; weight decay and gradient norm reach the optimiser."""
    seen = seen_rates(monkeypatch)
    rows = "dagmath?ops=2&split=all&n=40&seed=1"
    config = SFTConfig(
        model=start,
        rows=rows,
        heldout="dagmath?ops=2&split=all&n=4&seed=2",
        lr_scheduler_type="cosine",
        learning_rate=3e-3,
        weight_decay=0.2,
        max_grad_norm=0.7,
        warmup_ratio=0.4,
        tokens_per_batch=200,
        epochs=1.0,
    )
    result = sft(config, tmp_path / "run")
    steps = result.steps
    log = [line for line in read_log(tmp_path / "run" / "log.jsonl") if "loss" in line]
    assert len(seen) == len(log) == steps > 5
    ramp = round(0.4 * steps)
    rates = [3e-3 * min(1.0, (i + 1) / ramp) * (1 + math.cos(math.pi * i / steps)) / 2 for i in range(steps)]
    assert [s[0] for s in seen] == pytest.approx(rates)
    assert [line["learning_rate"] for line in log] == pytest.approx(rates)
    assert {s[1:] for s in seen} == {(0.2, (0.9, 0.95), 0.7)}
    assert [line["epoch"] for line in log] == pytest.approx([(i + 1) / steps for i in range(steps)])
    for checkpoint in result.checkpoints:
        assert checkpoint.epoch == round(checkpoint.step / steps, 4)
    assert result.checkpoints[-1].samples == 1.0
    assert result.final_loss == log[-1]["loss"]


def test_rl_trains_with_the_settings_given(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is constant after a warm-up over a twentieth of the steps, the same for all updates of a step."""
    seen = seen_rates(monkeypatch)
    problems = tmp_path / "problems.jsonl"
    lines = [{"id": f"p{i}", "prompt": f"a = {i} ? a", "answer": str(i)} for i in range(4)]
    problems.write_text("\n".join(map(json.dumps, lines)))
    source = f"rows:{problems}?verifier=verifiers:even"
    config = RLConfig(
        model=start,
        problems=source,
        validation=source,
        thinking_budget=6,
        max_answer_tokens=3,
        eval_samples=1,
        steps=40,
        prompts_per_step=2,
        group_size=4,
        updates_per_batch=2,
        learning_rate=4e-4,
        weight_decay=0.3,
        max_grad_norm=0.6,
        eval_every=100,
    )
    trained = [0]

    class Enough(Exception):
        pass

    step = Trainer.step

    def three(self: Trainer, *args: Any, **kwargs: Any) -> RLStepLog:
        if trained[0] == 3:
            raise Enough
        trained[0] += 1
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "step", three)
    with pytest.raises(Enough):
        rl(config, tmp_path / "run")
    log = [line for line in read_log(tmp_path / "run" / "log.jsonl") if "reward" in line]
    assert all(line["groups_informative"] for line in log)
    assert [s[0] for s in seen] == pytest.approx([2e-4, 2e-4, 4e-4, 4e-4, 4e-4, 4e-4])
    assert {s[1:] for s in seen} == {(0.3, (0.9, 0.95), 0.6)}


def test_what_cannot_train_is_refused_at_the_boundary() -> None:
    """0 is no learning rate and no gradient norm, but a seed and a weight decay."""
    for kind in (SFTConfig, RLConfig):
        kind(learning_rate=1e-12, max_grad_norm=1e-12, seed=0, weight_decay=0.0)
        for name, bad in (("learning_rate", 0.0), ("max_grad_norm", 0.0), ("seed", -1), ("weight_decay", -1e-12)):
            with pytest.raises(UserError, match=name):
                kind(**{name: bad})
        with pytest.raises(UserError, match="learning_rate"):
            kind(learning_rate=math.nan)


def test_epochs_are_cut_into_steps() -> None:
    """Ten rows of ten tokens, forty a step: three steps an epoch; every row once in each, in another order."""
    lengths = [10] * 10
    found = planned(lengths, SFTConfig(tokens_per_batch=40, epochs=2.0))
    steps, per_epoch = found.steps, found.per_epoch
    assert (len(steps), per_epoch) == (6, 3.0)
    assert all(sorted(i for s in steps[a : a + 3] for i in s) == list(range(10)) for a in (0, 3))
    assert steps[:3] != steps[3:]
    assert [len(planned(lengths, SFTConfig(tokens_per_batch=40, epochs=e)).steps) for e in (0.01, 0.5, 1.0, 1.4)] == [
        1,
        2,
        3,
        4,
    ]
    assert max(map(len, steps)) == 4
    for epochs in (0.0, -1.0):
        with pytest.raises(UserError, match="epochs"):
            SFTConfig(epochs=epochs)


def test_where_checkpoints_and_references_stand() -> None:
    """Half epochs and the end; references where their share is seen, unless a checkpoint is a step away."""
    assert checkpoint_steps(10, 10, 0.25) == {2, 5, 8, 10}
    assert checkpoint_steps(10, 4, 1.0) == {4, 8, 10}
    assert checkpoint_steps(4, 1, 0.5) == {1, 2, 3, 4}  # more often than there are steps
    with pytest.raises(UserError, match="save_every"):
        SFTConfig(save_every=0.0)
    shares = np.arange(1, 21) / 20
    assert reference_steps(shares, {20}, (0.25, 0.5)) == {5, 10}
    assert reference_steps(shares, {6, 20}, (0.25, 0.5)) == {10}
    assert reference_steps(shares, {4, 8, 20}, (0.25, 0.5)) == {10}
    assert reference_steps(shares, {20}, (0.95,)) == {19}  # beside the end, which is no reference
    assert reference_steps(shares, {20}, (0.99,)) == set()
    for bad in (0.0, 1.0):
        with pytest.raises(UserError, match="keep_at"):
            SFTConfig(keep_at=(bad,))


def test_sft_weighs_every_response_token_alike() -> None:
    """1 over the batch's chosen tokens, long responses and short ones."""
    short, long = supervised([1], [7]), supervised([1, 2], [7, 8, 9])
    long = replace(long, mask=np.array([1, 0, 1], dtype=np.uint8))
    for row in weighted([short, long]):
        np.testing.assert_allclose(row.weight, 1 / 3, rtol=1e-6)


def test_groups_of_one_learn_nothing() -> None:
    """Neither a mean nor a deviation of one reward says anything."""
    sample = Sample("p", 0, np.array([7, 8], dtype=np.int32), np.ones(2, np.uint8), np.zeros(2, np.float32), 0, 0)
    group = Group(Problem("p", "", ""), [1], [replace(sample, correct=True, reward=1.0)])
    assert not credit([group], ALGORITHMS["grpo"], cap=8).examples


def test_saving_the_state_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save of one second is due again after 30, one that takes no time after 10; there is one copy, the last."""
    clock, seconds = [0.0], [1.0, 1.0, 0.0, 0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def write(folder: Path, fill: Callable[[Path], None]) -> None:
        write_folder(folder, fill)
        saved.append(clock[0])
        clock[0] += seconds[len(saved) - 1]

    monkeypatch.setattr(checkpointer_module, "write_folder", write)
    run = SimpleNamespace(out=tmp_path, writing=lambda path: nullcontext(), refuse_changed=lambda *_: None)
    checkpointer = Checkpointer(run, FastLearner(symbolic_lm(), OptimizerSettings(LR)))  # type: ignore[arg-type]
    saved: list[float] = []
    assert checkpointer.restore(SFTState()) == SFTState()
    while len(saved) < len(seconds):
        clock[0] += 0.5
        checkpointer.save_state(SFTState(step=len(saved) + 1))
    assert saved == [10.0, 41.0, 72.0, 82.0]
    assert checkpointer.restore(SFTState()).step == 4
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_the_first_save_of_a_large_state_waits_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """1.6 GB, as of 135 million parameters, take about five seconds."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    pace = Pace(size=1_600_000_000)
    for clock[0], due in ((159.0, False), (161.0, True)):
        assert pace.due() is due
