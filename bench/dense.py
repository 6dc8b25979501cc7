"""The cost that dense credit adds to a GRPO step: `python bench/dense.py`.

Start, problems, rollouts and update are the same on both sides; before the update, dense credit also scores every
response with two frozen models.  Both sides learn from every response: GRPO's rewards are 1 and 0 in turn.
The value is the median of (dense seconds / GRPO seconds − 1) per token of the step, on the embedded model.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from common import Duel, Goal, Row, main
from grpo import Work, trainer
from rlready.core.presets import DEMO_TASK
from rlready.credit.reference import ReferencePair
from rlready.models.checkpoint import load
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.train.trainer import Trainer

GOAL = Goal("Dense credit's extra seconds over a GRPO step, embedded model, 16 x 16, as a share", "<= 0.35")


def pair_near(start: str) -> ReferencePair:
    """The start, and a reference with slightly different weights."""
    pair = ReferencePair(load(start), load(start))
    assert pair.reference is not None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in pair.reference.model.parameters():
            weight.add_(0.01 * weight.std() * torch.randn(weight.shape, generator=generator))
    return pair


def step(work: Work, learner: Trainer, at: int) -> float:
    line = learner.step(work.task, work.of_step(at), at)
    if line.groups_informative != work.prompts:
        raise RuntimeError("a group had no signal")
    return float(line.rollouts.generated_tokens)


def run(quick: bool) -> list[Row]:
    size, rounds = (4, 1) if quick else (16, 8)
    contest = Duel(tolerance=0.5 if quick else 0.1)
    with TemporaryDirectory() as folder:
        work = Work(str(EMBEDDED_FOLDER), f"{DEMO_TASK}&split=train&seed=3", rounds + 1, prompts=size, group=size)
        sides = {
            "theirs": trainer(work, Path(folder) / "dense", pair_near(work.start)),
            "ours": trainer(work, Path(folder) / "grpo"),
        }
        for at in range(rounds + 1):
            for side, learner in sides.items():
                contest.run(side, partial(step, work, learner, at))
    return [GOAL.row([ratio - 1 for ratio in contest.ratios()], **contest.details())]


if __name__ == "__main__":
    main([GOAL], run)
