"""What to do next, in words: which RL runs would calibrate the ranking, and how far predictors can be trusted.

After Kang et al. (arXiv 2510.01624): calibrate with three or four RL runs.  This package chooses them to cover the
predictor's range, which makes the fitted line most certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rlready.core.records import Estimate
from rlready.predict.predictors import BASELINE, COMBINED, LOSS
from rlready.predict.score import ENOUGH, LEAST, Family, Score
from rlready.readiness.ranking import NAMED, Ranking, listed

SKILL = 0.05  # p of the best of all predictors
CALIBRATE = 4


def calibrate(ranking: Ranking, labels: Sequence[str]) -> str:
    """Which RL runs would turn the ranking into predicted outcomes, if no RL has been run yet."""
    return (
        f"To predict outcomes in numbers, and to learn whether {ranking.by} can be trusted here, run RL from "
        f"{listed([labels[i] for i in _across(ranking)])}, which span its range, and name the results here."
    )


def trust(family: Family, scores: Sequence[Score], by: str) -> str:
    """How far the predictors of one family can be trusted."""
    runs = f"{len(family.outcome)} runs" + (f" of {family.name}" if family.name else "")
    if len(family.outcome) < LEAST:
        return f"{runs}: too few to score a predictor, which takes at least {LEAST}, and {ENOUGH} to be reliable."
    found = {s.predictor: s for s in scores}
    if float(np.ptp(family.outcome)) == 0:
        return f"{runs}: all outcomes are equal, there is nothing to predict."
    shown = [found[name] for name in dict.fromkeys((by, LOSS, COMBINED)) if name in found and name != BASELINE]
    words = [f"{s.predictor} {_rho(s.spearman)}" for s in shown]
    said = f"Over {runs}, rank correlation with the outcome of RL: post-SFT pass@1 {_rho(found[BASELINE].spearman)}"
    said += f"; {', '.join(words)}." if words else "."
    if min(s.p_any for s in scores) >= SKILL:
        return said + " No predictor is significantly better than a random order."
    clear = [s.predictor for s in shown if s.gain and s.gain.low > 0 and s.spearman.low > 0]
    said += f" Significantly better than pass@1: {' and '.join(clear) or 'none'}."
    if len(family.outcome) < ENOUGH:
        said += f" With fewer than {ENOUGH} runs a good order may arise by chance."
    return said


def distributions(trained: Mapping[str, int]) -> str:
    """A sentence that says why losses are not compared."""
    named = ", ".join(list(trained)[:NAMED]) + (", …" if len(trained) > NAMED else "")
    return (
        f"the checkpoints learned from {len(trained)} different distributions of rows ({named}), between which "
        "held-out losses are not comparable; force_loss=true compares them nevertheless"
    )


def _across(ranking: Ranking) -> list[int]:
    """The worst, the best and evenly spaced checkpoints between, by the predictor's value; best first."""
    values = ranking.values
    left = [i for i in range(len(values)) if not ranking.dropped(i)]
    targets, chosen = np.linspace(values[left].min(), values[left].max(), min(CALIBRATE, len(left))), list[int]()
    for target in targets[[0, -1, *range(1, len(targets) - 1)]] if len(targets) > 1 else targets:
        nearest = min(left, key=lambda i: abs(values[i] - target))
        left.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=ranking.order.index)


def _rho(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
