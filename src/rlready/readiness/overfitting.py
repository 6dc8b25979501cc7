"""Overfitting onset: which checkpoints of an SFT run, in the order of training, have a clearly risen held-out loss.

After Kang et al. (arXiv 2510.01624): a checkpoint whose generalisation loss rises while its accuracy stays or rises is
past its best as a start for RL.  They give no threshold; this package uses two conditions:

- *loss above its minimum*: for a checkpoint after the one of least loss, the paired difference to it is above 0 by a
  simultaneous interval for all pairs of checkpoints (Bonferroni over C(C-1)/2).  The least of many noisy losses is
  biased low by selection, so that a plain 95 % interval would call a flat run overfitted far too often.
- *accuracy flat or rising*: pass@1 is not clearly below that at the minimum (the 95 % interval of the paired difference
  reaches 0).  If it is clearly below, accuracy and loss agree, and accuracy does not mislead: no onset.

Shapes: C = checkpoints, P = problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rlready.core.stats import paired_estimate, simultaneous
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.passk import Floats
from rlready.readiness.result import Overfitting
from rlready.runs.checkpoint_order import place_in_run, runs_of


def against_minimum(losses: Sequence[HeldOut], pass_1_CP: Sequence[Floats]) -> list[Overfitting | None]:
    """Each of C checkpoints of one run, in the order of training, against the one of least loss; None for that one.

    Raises UserError if losses cannot be compared (`HeldOut.minus`).
    """
    minimum = int(np.argmin([loss.nll.sum() / loss.tokens.sum() for loss in losses]))
    pairs = len(losses) * (len(losses) - 1) // 2
    found: list[Overfitting | None] = []
    for i, (loss, pass_1) in enumerate(zip(losses, pass_1_CP, strict=True)):
        if i == minimum:
            found.append(None)
            continue
        rise = simultaneous(loss.minus(losses[minimum]), pairs)
        change = paired_estimate(pass_1, pass_1_CP[minimum], bounds=(0.0, 1.0))
        onset = i > minimum and rise.low > 0 and change.high >= 0
        found.append(Overfitting(minimum=minimum, loss_rise=rise, pass_1_change=change, onset=onset))
    return found


def along_runs(
    names: Sequence[str],
    losses: Sequence[HeldOut | None],
    pass_1_CP: Sequence[Floats],
    runs: Mapping[str, str | None] | None = None,
) -> list[Overfitting | None]:
    """`against_minimum` for every checkpoint within its SFT run, in the order of steps in the names.

    ``runs`` are the runs by name; by default names say it.  None if the run is not known, or there is no loss.  Raises
    UserError if losses of a run cannot be compared.
    """
    found: list[Overfitting | None] = [None] * len(names)
    known = runs or runs_of(names)
    of = [known[name] for name in names]
    for run in dict.fromkeys(run for run in of if run is not None):
        mine = [(place_in_run(names[i]), i, loss) for i, loss in enumerate(losses) if of[i] == run and loss]
        mine.sort(key=lambda each: each[:2])
        if mine:
            each = against_minimum([loss for _, _, loss in mine], [pass_1_CP[i] for _, i, _ in mine])
            for (_, i, _), overfitting in zip(mine, each, strict=True):
                found[i] = overfitting
    return found
