"""A sampler whose log-probabilities are not the learner's stops the run; rounding does not, and is logged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.credit.assign import credit
from rlready.models.lm import LM
from rlready.train.fast_learner import FastLearner
from rlready.train.learner import OptimizerSettings
from rlready.train.mismatch import LIMIT, Mismatch
from rlready.train.trainer import Trainer
from test_loss import MIXED, rollouts, symbolic_lm


def trainer_of(lm: LM, samples: Path) -> Trainer:
    config = RLConfig(thinking_budget=16, max_answer_tokens=4, learning_rate=1e-3)
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
    sampler = torch.tensor([-1.0, -2.0, -3.0])
    if not stops:
        assert Mismatch.between(sampler + by, sampler).mean == pytest.approx(abs(by))
        return
    with pytest.raises(UserError, match=r"different log-probabilities, by 0\.11 nats"):
        Mismatch.between(sampler + by, sampler)


def test_rounding_is_logged(tmp_path: Path) -> None:
    """The fast learner beside log-probabilities of the plain forward pass."""
    trainer = trainer_of(lm := symbolic_lm(), tmp_path)
    done = trainer.update(credit(rollouts(lm, MIXED), trainer.algorithm, cap=trainer.cap), 0)
    assert done.mismatch is not None
    assert done.mismatch_max is not None
    assert 0 < done.mismatch <= done.mismatch_max < 1e-4
    assert done.effective_samples == pytest.approx(1.0, abs=1e-6)


def test_samples_of_other_weights_stop_the_run_before_a_step(tmp_path: Path) -> None:
    """As if the engine had missed an update of the weights."""
    trainer = trainer_of(lm := symbolic_lm(), tmp_path)
    before = [p.detach().clone() for p in lm.model.parameters()]
    other = rollouts(symbolic_lm(1), MIXED)
    with pytest.raises(UserError, match="the engine and the learner give the same tokens different log-probabilities"):
        trainer.update(credit(other, trainer.algorithm, cap=trainer.cap), 0)
    assert all(torch.equal(p, q) for p, q in zip(lm.model.parameters(), before, strict=True))
