"""What to do next, in words: from which checkpoint to run RL, which to drop, and why.

After Kang et al. (arXiv 2510.01624): drop a checkpoint whose held-out loss rises while its accuracy stays or rises,
rank the rest by pass@k at large k, and calibrate with three or four RL runs.  Ours: "cannot be told apart" is said
unless one of two is the better with a probability of 97.5 %, and the runs to calibrate with are spread over the
predictor's range, which is where a line is known best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rlready.predict.predictors import BASELINE, COMBINED, LOSS, Predictor
from rlready.predict.score import ENOUGH, LEAST, Family, Score
from rlready.readiness.turnup import TurnUp
from rlready.records import Figure

SURE = 0.975
SKILL = 0.05  # p of the best of all predictors
CALIBRATE = 4
NAMED = 4  # checkpoints listed in a sentence


@dataclass(frozen=True)
class Advice:
    """What to do with one checkpoint; ``tie``: it cannot be told apart from the one to start with."""

    what: Literal["rl", "tie", "drop"]
    why: str


def advise(by: Predictor, turned: Sequence[TurnUp | None], labels: Sequence[str]) -> list[Advice]:
    """A word on every checkpoint, in order."""
    flagged = np.array([t is not None and t.flagged for t in turned])
    lead = int(np.argmax(np.where(flagged, -np.inf, by.score)))
    ahead = by.beats()[lead]
    found = []
    for i, turn in enumerate(turned):
        if turn is not None and turn.flagged:
            found.append(Advice("drop", _turned(turn)))
        elif i == lead:
            found.append(Advice("rl", f"{'lowest' if by.sign < 0 else 'highest'} {by.name}"))
        elif ahead[i] >= SURE:
            gap = abs(by.values[lead] - by.values[i])
            found.append(Advice("drop", f"{by.name} is worse than that of {labels[lead]} by {gap:.3f}"))
        else:
            found.append(
                Advice("tie", f"cannot be told apart from {labels[lead]} ({ahead[i]:.0%} to {1 - ahead[i]:.0%})")
            )
    return found


def next_steps(by: Predictor, advice: Sequence[Advice], labels: Sequence[str], done: Sequence[bool]) -> list[str]:
    """Sentences; the first says where to start, the last how to put numbers on it where no RL has been run."""
    lead = next(i for i, a in enumerate(advice) if a.what == "rl")
    ties = [i for i, a in enumerate(advice) if a.what == "tie"]
    turned = [i for i, a in enumerate(advice) if a.what == "drop" and a.why.startswith("held-out")]
    behind = [i for i, a in enumerate(advice) if a.what == "drop" and i not in turned]
    said = [f"RL from {labels[lead]}: its {by.name} is the best of all that are worth it, {by.values[lead]:.3f}."]
    if ties:
        ties.sort(key=lambda i: -by.score[i])
        verb = "cannot be told apart from it on these problems"
        said.append(f"{_listed(ties, labels)} {verb}: measure more problems, or run RL from the first few.")
    if turned:
        said.append(f"Drop {_listed(turned, labels)}: held-out loss has turned up while pass@1 has not fallen.")
    if behind:
        said.append(f"Drop {_listed(behind, labels)}: {by.name} is clearly worse.")
    if not any(done):
        kept = [i for i in range(len(advice)) if i not in turned]
        spread = _spread(kept, by)
        said.append(
            f"To foretell outcomes in numbers, and to learn whether {by.name} can be trusted here, run RL from "
            f"{_listed(spread, labels)}, which span its range, and name the results here."
        )
    return said


def trust(family: Family, scores: Sequence[Score], by: str) -> str:
    """How far the predictors of one family can be trusted."""
    runs = f"{len(family.outcome)} runs" + (f" of {family.name}" if family.name else "")
    if len(family.outcome) < LEAST:
        return f"{runs}: too few to score a predictor, which takes {LEAST}, and {ENOUGH} to mean much."
    found = {s.predictor: s for s in scores}
    if float(np.ptp(family.outcome)) == 0:
        return f"{runs}: all outcomes are equal, there is nothing to foretell."
    shown = [found[name] for name in dict.fromkeys((by, LOSS, COMBINED)) if name in found and name != BASELINE]
    words = [f"{s.predictor} {_rho(s.spearman)}" for s in shown]
    said = f"Over {runs}, rank correlation with the outcome of RL: post-SFT pass@1 {_rho(found[BASELINE].spearman)}"
    said += f"; {', '.join(words)}." if words else "."
    if min(s.p_any for s in scores) >= SKILL:
        return said + " No predictor has shown skill: as good an order comes by chance."
    clear = [s.predictor for s in shown if s.gain and s.gain.low > 0 and s.spearman.low > 0]
    said += f" Clearly better than pass@1: {' and '.join(clear) or 'none'}."
    if len(family.outcome) < ENOUGH:
        said += f" With fewer than {ENOUGH} runs a good order may be luck."
    return said


def distributions(trained: Mapping[str, int]) -> str:
    """Why losses are not compared."""
    named = ", ".join(list(trained)[:NAMED]) + (", …" if len(trained) > NAMED else "")
    return (
        f"the checkpoints learned from {len(trained)} different distributions of rows ({named}), and a held-out loss "
        "says nothing across them; force_loss=true compares all the same"
    )


def _turned(turn: TurnUp) -> str:
    loss, gain = turn.loss, turn.pass_1
    return (
        f"held-out loss is {loss.value:.3f} [{loss.low:.3f}, {loss.high:.3f}] above its minimum, "
        f"pass@1 {gain.value * 100:+.1f} points: it looks better and will learn less"
    )


def _spread(kept: Sequence[int], by: Predictor) -> list[int]:
    """The worst, the best and evenly placed ones between, by the predictor's value."""
    targets = np.linspace(by.values[kept].min(), by.values[kept].max(), min(CALIBRATE, len(kept)))
    left, chosen = list(kept), []
    for target in targets[[0, -1, *range(1, len(targets) - 1)]] if len(targets) > 1 else targets:
        nearest = min(left, key=lambda i: abs(by.values[i] - target))
        left.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=lambda i: -by.score[i])


def _listed(places: Sequence[int], labels: Sequence[str]) -> str:
    names = [labels[i] for i in places[:NAMED]]
    more = len(places) - len(names)
    if more:
        return f"{', '.join(names)} and {more} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _rho(figure: Figure) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
