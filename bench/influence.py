"""Exact influence against a plain forward and backward over the same tokens: `python bench/influence.py`.

64 problems x 16 rollouts of the embedded model, every second rollout counted as correct, so that every group has a
signal.  The plain pass is that of the update: log-probabilities and their gradient over all rows, prompts encoded once,
in as many threads.  Influence also gives two gradients per group and all their inner products; it encodes a prompt
twice, once for the correct and once for the wrong rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common import Duel, Goal, Row, main
from rlready.core.presets import DEMO_TASK
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.influence.gram import parameters_of
from rlready.influence.influence import Rollouts, influence
from rlready.models.batch import Example
from rlready.models.checkpoint import load
from rlready.models.lm import LM
from rlready.tasks import open_task
from rlready.train.fast_learner import FastLearner
from rlready.train.learner import OptimizerSettings, token_count
from rlready.train.loss import LossOutput, likelihood_loss

GOAL = Goal("exact influence, embedded model, 64 x 16: seconds over those of a plain forward and backward", "<= 1.6")


def rollouts(lm: LM, problems: int, group: int) -> list[Rollouts]:
    """Groups of the model's own samples, half of each correct."""
    found = open_task(f"{DEMO_TASK}&split=train&n={problems}&seed=6").problems()
    requests = requests_for(lm, found, group, Budget(64, 16))
    samples = TorchEngine(lm, forcing_for(lm)).sample(requests, temperature=1.0, seed=0)
    prompts = {request.problem_id: request.prompt_ids for request in requests}
    return [
        Rollouts.of(
            prompts[problem.id],
            [(s.tokens.tolist(), s.mask) for s in samples if s.problem_id == problem.id],
            [i % 2 == 0 for i in range(group)],
        )
        for problem in found
    ]


def plain(learner: FastLearner, rows: Sequence[Example]) -> None:
    """What an optimiser step does before the optimiser."""
    learner.backward(
        rows, lambda batch, logp: LossOutput(likelihood_loss(logp, batch.advantage_N, batch.weight_N)), 1.0
    )


def run(quick: bool) -> list[Row]:
    lm = load("embedded")
    groups = rollouts(lm, *((8, 4) if quick else (64, 16)))
    rows = [row for group in groups for row in group.rows]
    learner = FastLearner(lm, OptimizerSettings(0.0))
    parameters = parameters_of(lm.model)
    contest = Duel(tolerance=0.0)

    def ours() -> float:
        found = influence(lm.model, groups, parameters)
        if not np.isfinite(found.step).all() or not found.step.all():
            raise RuntimeError("a group had no influence")
        return float(token_count(rows))

    def theirs() -> float:
        plain(learner, rows)
        return float(token_count(rows))

    for _ in range(2 if quick else 8):
        contest.run("ours", ours)
        contest.run("theirs", theirs)
    return [GOAL.row([1 / ratio for ratio in contest.ratios()], **contest.details())]


if __name__ == "__main__":
    main([GOAL], run)
