"""SFT steps in one process or several: `two_processes_child.py MODEL TOKENS STEPS`; prints the seconds of a step."""

from __future__ import annotations

import sys
import time

from common import LR
from rlready.core.distributed import join, leave, rank, wait_for_all
from rlready.models.batch import epoch_steps
from rlready.models.checkpoint import load
from rlready.models.encode import encode
from rlready.tasks import open_task
from rlready.train.fast_learner import make_learner
from rlready.train.learner import OptimizerSettings
from rlready.train.loss import LossOutput, likelihood_loss
from rlready.train.sft import weighted

SOURCE = "dagmath?ops=5&asked=3&rendering=words&split=train&n=200&seed=1"


def main(model: str, tokens: int, steps: int) -> None:
    join()
    lm = load(model)
    examples = encode(lm, open_task(SOURCE).rows(), SOURCE)
    batches = epoch_steps([len(e) for e in examples], tokens, seed=0, epoch=0)[: steps + 1]
    learner = make_learner(lm, OptimizerSettings(LR))
    for number, batch in enumerate(batches):
        if number == 1:  # after the warm-up
            wait_for_all()
            begun = time.perf_counter()
        learner.step(
            weighted([examples[i] for i in batch]),
            lambda b, logp: LossOutput(likelihood_loss(logp, b.advantage_N, b.weight_N)),
            rate=1.0,
        )
    if rank() == 0:
        print((time.perf_counter() - begun) / steps)
    leave()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
