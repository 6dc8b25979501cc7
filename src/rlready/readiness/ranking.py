"""The ranking: which checkpoint RL should start from, and which are not significantly different from it.

Readiness and predict rank by the same rule, after Kang et al. (arXiv 2510.01624): checkpoints past overfitting onset
are dropped (`overfitting.py`), the others are ranked by pass@k at large k, 64 or as many samples as there are.
This package adds:

- *Ties.*  If pass@k is equal, which is frequent if k is the number of samples, the higher pass@1 comes first, then the
  earlier checkpoint.
- *Not significantly different*: a simultaneous interval (Bonferroni over all pairs of checkpoints) of the paired
  difference to the first includes 0.  The first was chosen as the best on the same problems: among twelve equal
  checkpoints a plain 95 % interval calls another one worse nearly every time.

Shapes: C = checkpoints, P = problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import paired_estimate, simultaneous
from rlready.readiness.passk import Floats, powers
from rlready.readiness.result import Advice, Overfitting, RankedCheckpoint

LARGE = 64  # the paper's k
DIGITS = 12  # means that agree to so many digits differ by rounding only
NAMED = 4  # checkpoints listed in a sentence

WORDS: dict[Advice, str] = {"rl": "RL first", "tie": "not significantly different", "drop": "drop"}
ONSET = "past overfitting onset"
Gap = Callable[[int, int], Estimate]  # lead of one checkpoint over another, as a simultaneous interval for all pairs


def large(most: int) -> int:
    """The k of "pass@k at large k": 64, or the number of samples ``most`` if that is smaller."""
    return max(k for k in powers(most) if k <= LARGE)


def comparisons(checkpoints: int) -> int:
    """How many pairs of checkpoints there are."""
    return checkpoints * (checkpoints - 1) // 2


def gap_of_shares(shares_CP: Floats, most: float = 1.0) -> Gap:
    """Differences of means over the same problems, of values between 0 and ``most``."""
    pairs = comparisons(len(shares_CP))

    def gap(a: int, b: int) -> Estimate:
        return simultaneous(paired_estimate(shares_CP[a], shares_CP[b], bounds=(0.0, most)), pairs, span=most)

    return gap


@dataclass(frozen=True)
class Ranking:
    """Checkpoints as starts for RL: ``order`` has their indices, best first, those past overfitting onset last.

    The other fields are in the order in which checkpoints were given: ``values`` (C,) of the quantity that they are
    ranked ``by``, the lead of the first over each (``behind``, None for the first), and their ``overfitting``.
    """

    by: str
    values: Floats
    order: list[int]
    behind: list[Estimate | None]
    overfitting: Sequence[Overfitting | None]

    def dropped(self, i: int) -> bool:
        """Whether a checkpoint is past overfitting onset."""
        found = self.overfitting[i]
        return found is not None and found.onset

    def checkpoint(self, i: int, name: str, named: Sequence[str]) -> RankedCheckpoint:
        """The record of one checkpoint's rank; ``named`` are the labels of all checkpoints."""
        return RankedCheckpoint(
            name=name,
            chosen=i == self.order[0],
            rank=self.order.index(i) + 1,
            behind=self.behind[i],
            advice=self._advice(i),
            next=WORDS[self._advice(i)] + (f": {ONSET}" if self.dropped(i) else ""),
            why=self._why(i, named[self.order[0]]),
            overfitting=self.overfitting[i],
        )

    def sentences(self, named: Sequence[str]) -> list[str]:
        """Sentences: where to start RL, what is not significantly different, and what to drop and why."""
        first, *others = self.order
        past = [named[i] for i in others if self.dropped(i)]
        ties = [named[i] for i in others if self._advice(i) == "tie"]
        worse = [named[i] for i in others if self._advice(i) == "drop" and not self.dropped(i)]
        best = "the best of those before overfitting onset" if past else "the best"
        said = [f"Start RL from {named[first]}: its {self.by} is {best}, {self.values[first]:.3f}."]
        if ties:
            said.append(
                f"Not significantly different from it on these problems: {listed(ties)}. "
                "Measure more problems, or run RL from the first few."
            )
        if past:
            said.append(f"Drop {listed(past)}: {ONSET}, as held-out loss has risen while pass@1 has not fallen.")
        if worse:
            said.append(f"Drop {listed(worse)}: {self.by} is significantly worse.")
        return said

    def _advice(self, i: int) -> Advice:
        behind = self.behind[i]
        if behind is None:
            return "rl"
        return "drop" if self.dropped(i) or behind.low > 0 else "tie"

    def _why(self, i: int, first: str) -> str:
        behind, found = self.behind[i], self.overfitting[i]
        if found is not None and found.onset:
            change = f"pass@1 {found.pass_1_change.value * 100:+.1f} points"
            return f"{ONSET}: held-out loss is {found.loss_rise} above its minimum, {change}"
        if behind is None:
            return f"best {self.by}"
        return f"{self.by} is {'' if behind.low > 0 else 'not '}significantly worse than {first}'s: {behind} behind"


def rank(
    by: str,
    values_C: Floats,
    gap: Gap,
    *,
    pass_1_C: Floats,
    overfitting: Sequence[Overfitting | None],
    sign: int = 1,
) -> Ranking:
    """Rank by the rule above; ``sign`` is -1 if less is better.  One checkpoint at least must not be past onset."""
    score_C, tie_C = (np.round(v, DIGITS) for v in (sign * values_C, pass_1_C))
    dropped = [found is not None and found.onset for found in overfitting]
    order = sorted(range(len(values_C)), key=lambda i: (dropped[i], -score_C[i], -tie_C[i]))
    behind = [None if i == order[0] else gap(order[0], i) for i in range(len(order))]
    return Ranking(by, values_C, order, behind, overfitting)


def listed(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    shown, more = list(names[:NAMED]), len(names) - NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
