"""What a line of the log says of an RL step: means over its rollouts, sums over its optimiser steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlready.core.config import RLConfig
from rlready.core.records import Group, Problem, Sample
from rlready.credit.assign import DenseStats, credit
from rlready.train.fast_learner import FastLearner, fed_tokens
from rlready.train.learner import OptimizerSettings, token_count
from rlready.train.log import RLStepLog, RolloutStats, UpdateStats, log_line
from rlready.train.loss import LossInputs, LossOutput, LossSettings
from rlready.train.trainer import Trainer
from test_loss import FLAT, MIXED, rollouts, symbolic_lm


def sample(correct: bool, reward: float | None, thinking: int, tokens: int, **ending: Any) -> Sample:
    ids = np.full(tokens, 7, dtype=np.int32)
    ones, zeros = np.ones(tokens, dtype=np.uint8), np.zeros(tokens, dtype=np.float32)
    answer = tokens - thinking
    return Sample("p", 0, ids, ones, zeros, thinking, answer, correct=correct, reward=reward, **ending)


def test_rollouts_are_averaged_over_all_groups() -> None:
    """Every rollout weighs the same; thinking also by correct and wrong, None where there are none of a kind.

    A thought at its budget and a response at its limit are both truncated.
    """
    groups = [
        Group(Problem("a", "", ""), [1], [sample(True, 0.9, 4, 9), sample(False, 0.0, 10, 12, truncated=True)]),
        Group(Problem("b", "", ""), [1], [sample(True, 0.5, 6, 7), sample(True, None, 2, 4, finish="length")]),
    ]
    found = RolloutStats.of(groups)
    assert (found.reward, found.accuracy) == (pytest.approx(1.4 / 4), 0.75)
    assert (found.thinking_tokens, found.thinking_tokens_correct, found.thinking_tokens_wrong) == (5.5, 4.0, 10.0)
    assert (found.truncated, found.run_on, found.generated_tokens) == (0.5, 0.0, 32)
    assert RolloutStats.of(groups[1:]).thinking_tokens_wrong is None
    assert RolloutStats.of([Group(groups[0].problem, [1], groups[0].samples[1:])]).thinking_tokens_correct is None


@pytest.mark.usefixtures("one_thread")
def test_an_update_is_logged_over_all_its_steps(tmp_path: Path) -> None:
    """Loss, norm and entropy of the last one, the mean share of clipped tokens, and the tokens of all."""
    seen: list[tuple[LossInputs, LossSettings]] = []

    def loss(inputs: LossInputs, settings: LossSettings) -> LossOutput:
        seen.append((inputs, settings))
        return LossOutput(0 * inputs.policy_logprobs.sum() + len(seen), 0.25 * len(seen))

    lm = symbolic_lm()
    config = RLConfig(
        algorithm="dapo",
        updates_per_batch=3,
        thinking_budget=16,
        max_answer_tokens=4,
        epsilon=0.1,
        kl_coef=0.2,
        learning_rate=1e-3,
    )
    trainer = Trainer(config, FastLearner(lm, OptimizerSettings(1e-3)), symbolic_lm(1), tmp_path)
    trainer.loss = loss
    credited = credit(rollouts(lm, MIXED), trainer.algorithm, cap=trainer.cap)
    done = trainer.update(credited, 0)
    assert [settings for _, settings in seen] == [LossSettings(0.1, 0.28, 0.2)] * 3
    assert (done.loss, done.clip_ratio) == (3.0, pytest.approx((0.25 + 0.5 + 0.75) / 3))
    assert done.trained_tokens == 3 * token_count(credited.examples)
    assert done.forward_tokens == 3 * fed_tokens(credited.examples)
    first, second, _ = (inputs for inputs, _ in seen)
    assert (first.old_logprobs == first.policy_logprobs).all()
    assert not first.old_logprobs.requires_grad
    assert (second.old_logprobs == first.old_logprobs).all()
    assert second.reference_logprobs is not None
    assert not second.reference_logprobs.requires_grad
    assert (second.reference_logprobs - second.old_logprobs).abs().max() > 0.01
    lengths = [e.learned for e in credited.examples]
    assert np.bincount(second.sequence_ids.numpy()).tolist() == lengths


def test_no_update_without_a_signal(tmp_path: Path) -> None:
    lm = symbolic_lm()
    config = RLConfig(thinking_budget=16, max_answer_tokens=4, learning_rate=1e-3)
    trainer = Trainer(config, FastLearner(lm, OptimizerSettings(1e-3)), None, tmp_path)
    assert trainer.update(credit(rollouts(lm, FLAT), trainer.algorithm, cap=20), 0) == UpdateStats()


def test_a_line_is_flat_and_leaves_out_what_other_algorithms_have() -> None:
    rollout = RolloutStats(0.5, 0.25, 5.0, None, 6.0, truncated=0.0, run_on=0.0, generated_tokens=10)
    line = log_line(RLStepLog(3, rollout, 1, 2, 3, 4, UpdateStats(loss=1.5), timing={"seconds": 2.0}))
    assert (line["step"], line["accuracy"], line["thinking_tokens_wrong"], line["loss"]) == (3, 0.25, 6.0, 1.5)
    assert [line[f"groups_{kind}"] for kind in ("informative", "solved", "unsolved", "equal")] == [1, 2, 3, 4]
    assert line["seconds"] == 2.0
    assert not {"dense", "kl", "rollouts", "update", "timing"} & set(line)
    dense = DenseStats(0.5, 1.0, None, 0.1, kl=0.2)
    assert log_line(RLStepLog(3, rollout, 1, 2, 3, 4, UpdateStats(), dense))["kl"] == 0.2
