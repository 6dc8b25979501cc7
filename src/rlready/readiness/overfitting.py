"""Has the held-out loss turned up?  Checkpoints of one SFT run, in the order of training.

After Kang et al. (arXiv 2510.01624): a checkpoint whose generalisation loss rises while its accuracy stays or rises is
past its best as a start for RL.  They give no threshold; ours:

- *loss above its minimum*: the paired difference to the checkpoint of least loss, for checkpoints after it, is above 0
  by an interval that holds for all pairs of checkpoints together (Bonferroni over C(C-1)/2).  The least of many noisy
  losses is too low by selection, so that a plain 95 % interval would flag a flat run far too often.
- *accuracy flat or rising*: pass@1 is not clearly below that at the minimum (the 95 % interval of the paired difference
  reaches 0).  Where it is, accuracy and loss say the same and nobody is misled: no flag.

Shapes: C = checkpoints, P = problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import paired_figure, simultaneous
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.passk import Floats
from rlready.runs.checkpoint_order import place_in_run, runs_of


@dataclass(frozen=True)
class TurnUp:
    """Against the checkpoint of least loss: ``loss`` in nats per token and ``pass_1`` minus its own."""

    least: int
    loss: Estimate
    pass_1: Estimate
    flagged: bool


def turn_up(losses: Sequence[HeldOut], pass_1_CP: Sequence[Floats]) -> list[TurnUp | None]:
    """A verdict for each of C checkpoints in order of training; None for the one of least loss.

    UserError where losses cannot be compared (`HeldOut.minus`).
    """
    least = int(np.argmin([loss.nll.sum() / loss.tokens.sum() for loss in losses]))
    pairs = len(losses) * (len(losses) - 1) // 2
    found: list[TurnUp | None] = []
    for i, (loss, pass_1) in enumerate(zip(losses, pass_1_CP, strict=True)):
        if i == least:
            found.append(None)
            continue
        above = simultaneous(loss.minus(losses[least]), pairs)
        gained = paired_figure(pass_1, pass_1_CP[least], bounds=(0.0, 1.0))
        found.append(TurnUp(least, above, gained, i > least and above.low > 0 and gained.high >= 0))
    return found


def along_runs(
    names: Sequence[str], losses: Sequence[HeldOut | None], pass_1_CP: Sequence[Floats]
) -> list[TurnUp | None]:
    """`turn_up` of every checkpoint among those of its SFT run, told by their names and put in the order of steps.

    None where the name tells no step, or there is no loss.  UserError where losses of a run cannot be compared.
    """
    found: list[TurnUp | None] = [None] * len(names)
    known = runs_of(names)
    runs = [known[name] for name in names]
    for run in dict.fromkeys(run for run in runs if run is not None):
        mine = [(place_in_run(names[i]), i, loss) for i, loss in enumerate(losses) if runs[i] == run and loss]
        mine.sort(key=lambda of: of[:2])
        if mine:
            turns = turn_up([loss for _, _, loss in mine], [pass_1_CP[i] for _, i, _ in mine])
            for (_, i, _), turn in zip(mine, turns, strict=True):
                found[i] = turn
    return found
