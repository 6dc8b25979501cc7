"""A sampler whose log-probabilities are not the learner's stops the run; rounding does not, and is logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlready.core.config import ImportanceCorrection, RLConfig
from rlready.core.errors import UserError
from rlready.credit.assign import credit
from rlready.models.lm import LM
from rlready.train import mismatch
from rlready.train.fast_learner import FastLearner
from rlready.train.learner import OptimizerSettings
from rlready.train.mismatch import ENOUGH, LIMIT, Mismatch, OldPolicy
from rlready.train.trainer import Trainer
from test_loss import MIXED, rollouts, symbolic_lm


def trainer_of(lm: LM, samples: Path, **settings: Any) -> Trainer:
    config = RLConfig(thinking_budget=16, max_answer_tokens=4, learning_rate=1e-3, **settings)
    return Trainer(config, FastLearner(lm, OptimizerSettings(1e-3)), None, samples)


def test_sums_are_those_of_all_tokens() -> None:
    """Mean and largest |Δ log p|, and the effective sample size, also over several micro-batches."""
    rng = np.random.default_rng(0)
    learner, sampler = rng.normal(-1, 0.5, 50), rng.normal(0, 0.02, 50)
    sampler += learner
    pieces = [slice(0, 7), slice(7, 50)]
    found = Mismatch.total(Mismatch.between(torch.tensor(learner[p]), torch.tensor(sampler[p])) for p in pieces)
    weight = np.exp(learner - sampler)
    assert found.tokens == 50
    assert found.mean == pytest.approx(np.abs(learner - sampler).mean())
    assert found.largest == pytest.approx(np.abs(learner - sampler).max())
    assert found.effective == pytest.approx(weight.sum() ** 2 / (50 * (weight**2).sum()))
    assert 0.9 < found.effective < 1


@pytest.mark.parametrize(("by", "stops"), [(0.9 * LIMIT, False), (1.1 * LIMIT, True), (-1.1 * LIMIT, True)])
def test_the_limit_is_of_the_mean(by: float, stops: bool) -> None:
    """A micro-batch of few tokens says too little to stop before its step."""
    sampler = torch.arange(ENOUGH) / -10
    found = Mismatch.between(sampler + by, sampler)
    assert found.mean == pytest.approx(abs(by), rel=1e-4)
    found.refuse_large(least=ENOUGH + 1)
    if not stops:
        found.refuse_large()
        return
    for least in (1, ENOUGH):
        with pytest.raises(UserError, match=r"different log-probabilities, by 0\.11 nats"):
            found.refuse_large(least=least)
    with pytest.raises(UserError, match=r"by 0\.11 nats"):
        OldPolicy.of(sampler + by, sampler, torch.zeros(ENOUGH), "token", 2.0)


@pytest.mark.parametrize(
    ("level", "weights", "truncated"),
    [
        ("none", [1.0, 1.0, 1.0, 1.0, 1.0], 0),
        ("token", [1.25, 0.7, 1.1, 1.2, 0.9], 1 / 5),
        ("sequence", [1.25, 0.77, 0.77, 1.25, 1.25], 3 / 5),  # 1.5 · 1.2 · 0.9 = 1.62 and 0.7 · 1.1
    ],
)
def test_importance_weights_by_hand(
    level: ImportanceCorrection, weights: list[float], truncated: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """π_old / π_sampler of a token, or its product over the response, truncated from above only."""
    sampler, ratio = torch.tensor([[0.5, 0.5, 0.4, 0.25, 0.8], [1.5, 0.7, 1.1, 1.2, 0.9]]).log()
    learner = (sampler + ratio).requires_grad_()
    found = OldPolicy.of(learner, sampler, torch.tensor([4, 2, 2, 4, 4]), level, 1.25)
    torch.testing.assert_close(found.weights, torch.tensor(weights))
    assert Mismatch.total([found.mismatch, found.mismatch]).truncated_ratio == pytest.approx(truncated)
    assert (found.logprobs == learner).all()
    assert not found.logprobs.requires_grad
    assert not found.weights.requires_grad


def test_the_correction_is_logged_and_can_be_left_out(tmp_path: Path) -> None:
    """A sampler that underrates every token by a twentieth: all weights are truncated at 1.04, or all are 1."""
    losses = {}
    for level, cap in (("none", {}), ("token", {"importance_cap": 1.04}), ("sequence", {"importance_cap": 1.04})):
        trainer = trainer_of(lm := symbolic_lm(), tmp_path, importance_correction=level, **cap)
        groups = [
            replace(g, samples=[replace(s, logprobs=s.logprobs - 0.05) for s in g.samples]) for g in rollouts(lm, MIXED)
        ]
        done = trainer.update(credit(groups, trainer.algorithm, cap=trainer.cap), 0)
        losses[level] = done.loss
        assert done.importance_truncated == (0.0 if level == "none" else 1.0)
        assert done.mismatch == pytest.approx(0.05, abs=1e-4)
    assert losses["token"] == pytest.approx(1.04 * losses["none"])
    assert losses["sequence"] == losses["token"]


def test_rounding_is_logged(tmp_path: Path) -> None:
    """The fast learner beside log-probabilities of the plain forward pass."""
    trainer = trainer_of(lm := symbolic_lm(), tmp_path)
    done = trainer.update(credit(rollouts(lm, MIXED), trainer.algorithm, cap=trainer.cap), 0)
    assert done.mismatch is not None
    assert done.mismatch_max is not None
    assert 0 < done.mismatch <= done.mismatch_max < 1e-4
    assert done.effective_samples == pytest.approx(1.0, abs=1e-6)


def test_samples_of_other_weights_stop_the_run_before_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the engine had missed an update of the weights."""
    monkeypatch.setattr(mismatch, "ENOUGH", 1)
    trainer = trainer_of(lm := symbolic_lm(), tmp_path)
    before = [p.detach().clone() for p in lm.model.parameters()]
    other = rollouts(symbolic_lm(1), MIXED)
    with pytest.raises(UserError, match="the engine and the learner give the same tokens different log-probabilities"):
        trainer.update(credit(other, trainer.algorithm, cap=trainer.cap), 0)
    assert all(torch.equal(p, q) for p, q in zip(lm.model.parameters(), before, strict=True))
