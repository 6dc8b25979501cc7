"""SFT on the embedded model against TRL's: `python bench/sft.py`.

Worked rows, 24 a step (about the 2048 tokens of `rlready sft`), the same rows in the same steps on both sides; loss on
the response only.  TRL runs with or without padding, whichever is faster; packing several rows into
one would change which rows a step has.  Work is counted in tokens of prompts and responses, padding left out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from common import LR, Duel, Goal, Lap, Row, at_peak, main, needs
from rlready.core.presets import DEMO_TASK
from rlready.core.timing import multiplied
from rlready.models.checkpoint import load
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.models.encode import encode
from rlready.tasks import open_task
from rlready.train.fast_learner import make_learner
from rlready.train.learner import OptimizerSettings, token_count
from rlready.train.loss import LossOutput, likelihood_loss
from rlready.train.sft import weighted

GOAL = Goal("SFT, embedded model: tokens per second over TRL's", ">= 3")
BATCH = 24


def run(quick: bool) -> list[Row]:
    needs("trl", "datasets")
    import trl_peer

    each, rounds = (2, 1) if quick else (20, 4)  # steps a round
    steps = each * (rounds + 1)
    source = f"{DEMO_TASK}&split=train&n={BATCH * steps}&seed=1&detours=0.5"
    lm = load("embedded")
    examples = encode(lm, open_task(source).rows(), source)
    batches = [examples[at : at + BATCH] for at in range(0, len(examples), BATCH)]
    table = {
        "input_ids": [[*e.prompt_ids, *e.response_ids] for e in examples],
        "labels": [[-100] * len(e.prompt_ids) + list(e.response_ids) for e in examples],
    }
    learner = make_learner(lm, OptimizerSettings(LR))
    duel, trial, seconds = Duel(), dict[bool, float](), list[float]()

    def ours(at: int) -> float:
        for batch in batches[at : at + each]:
            learner.step(
                weighted(batch),
                lambda b, logp: LossOutput(likelihood_loss(logp, b.advantage_N, b.weight_N)),
                rate=1.0,
            )
        return float(sum(map(token_count, batches[at : at + each])))

    def before(at: int) -> None:
        if at % each == 0:
            duel.run("ours", partial(ours, at))

    def after(spent: float) -> None:
        seconds.append(spent)
        if len(seconds) % each == 0:
            tokens = token_count(examples[(len(seconds) - each) * BATCH : len(seconds) * BATCH])
            duel.add("theirs", Lap(sum(seconds[-each:]), tokens))

    with TemporaryDirectory() as name:
        theirs = partial(trl_peer.sft, str(EMBEDDED_FOLDER), table, folder=Path(name), batch=BATCH)
        for free in (False, True):
            spent: list[float] = []
            theirs(padding_free=free, steps=min(each, 8), before=lambda _: None, after=spent.append)
            trial[free] = min(spent)
        free = trial[True] < trial[False]
        theirs(padding_free=free, steps=steps, before=before, after=after)
    ratios, found = duel.ratios(), duel.details()
    bound = at_peak(median(ratios), found["ours_seconds"], 6e-9 * multiplied(lm.model) * found["ours_tokens"])
    return [GOAL.row(ratios, **found, trl="padding-free" if free else "padded", at_peak=bound)]


if __name__ == "__main__":
    main([GOAL], run)
