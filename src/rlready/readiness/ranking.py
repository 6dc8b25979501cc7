"""The ranking: which checkpoint RL should start from, and which are not significantly different from it.

Readiness and predict rank by this rule, after Kang et al. (arXiv 2510.01624): checkpoints past overfitting onset are
dropped (`overfitting.py`), the others are ranked by pass@k at large k, 64 or as many samples as there are.
This package adds:

- *Equal values.*  If pass@k is equal, which is frequent if k is the number of samples, the higher pass@1 comes first,
  then the earlier checkpoint.
- *Not significantly different*: a simultaneous interval (Bonferroni over all pairs of checkpoints) of the paired
  difference to the first includes 0.  The first was chosen as the best on the same problems: among twelve equal
  checkpoints a plain 95 % interval calls another one worse nearly every time.
- *The cheaper of a tie*: RL starts from the checkpoint with the fewest SFT steps among those that are not significantly
  different from the first and at most one standard error of the paired difference behind it (the one-standard-error
  rule of Breiman, Friedman, Olshen & Stone 1984, section 3.4.3).  Without the second condition 24 problems made a
  checkpoint the pick that was 17 points worse (simulated: .30, .45, .52, .55; with it 5, by the best value 2).  Steps
  count within the SFT run of the first only: those of two runs need not be of one size.
- *More problems* to decide a tie: `units_to_decide`.

Shapes: C = checkpoints, P = problems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import paired_estimate, simultaneous, standard_error, units_to_decide
from rlready.readiness.passk import Floats, powers
from rlready.readiness.result import Advice, Overfitting, RankedCheckpoint
from rlready.runs.checkpoint_order import labels, place_in_run, runs_of

LARGE = 64  # the paper's k
DIGITS = 12  # means that agree to so many digits differ by rounding only
NAMED = 4  # checkpoints listed in a sentence

WORDS: dict[Advice, str] = {"rl": "RL first", "tie": "not significantly different", "drop": "drop"}
ONSET = "past overfitting onset"
MOST_PROBLEMS = 10_000  # more than this to decide a tie are not counted out
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

    ``pick`` is the index of the one to start from.  The other fields are in the order in which checkpoints were given:
    ``labels`` (short names), ``values`` (C,) of the quantity that they are ranked ``by``, the lead of the first over
    each (``behind``, None for the first), and their ``overfitting``.
    """

    by: str
    labels: Sequence[str]
    values: Floats
    order: list[int]
    pick: int
    behind: list[Estimate | None]
    overfitting: Sequence[Overfitting | None]

    def dropped(self, i: int) -> bool:
        """Whether a checkpoint is past overfitting onset."""
        found = self.overfitting[i]
        return found is not None and found.onset

    @property
    def rule(self) -> str:
        """The rule in a sentence, to be printed with the result."""
        return f"drop what is {ONSET}; rank by {self.by}; in a tie within one standard error, fewest SFT steps first."

    def checkpoint(self, i: int, name: str) -> RankedCheckpoint:
        """The record of one checkpoint's rank."""
        advice = self.advice(i)
        return RankedCheckpoint(
            name=name,
            chosen=i == self.pick,
            rank=self.order.index(i) + 1,
            behind=self.behind[i],
            more_problems=self._more(i),
            advice=advice,
            next=WORDS[advice] + (f": {ONSET}" if self.dropped(i) else ""),
            why=self._why(i),
            overfitting=self.overfitting[i],
        )

    @property
    def nothing_solved(self) -> bool:
        """Whether no sample of any checkpoint is correct, as far as the ranking knows."""
        return self.by.startswith("pass@") and not self.values.any()

    def headline(self) -> str:
        """The decision in at most two short sentences: a tie if there is one, and where to start RL."""
        name, value = self.labels[self.pick], in_units(self.by, self.values[self.pick])
        start, tied = f"Start RL from {name}", [i for i in self.order if self.advice(i) != "drop"]
        if self.nothing_solved:
            return "No checkpoint solved a problem: RL would earn no reward."
        if len(self.order) == 1:
            return f"{name}: {self.by} is {value}."
        if len(tied) > 1:
            pick = f"it took fewer SFT steps than {self.labels[tied[0]]}" if self.pick != tied[0] else self._best()
            return f"{self._tie(tied)} {start}: {pick}."
        return f"{start}: {self._best()}, {value}."

    def drops(self, tried: Collection[int] = ()) -> list[str]:
        """What to drop and why, in a sentence each, except those that RL was ``tried`` from."""
        others = [i for i in self.order if self.advice(i) == "drop" and i not in tried]
        past = [self.labels[i] for i in others if self.dropped(i)]
        worse = [self.labels[i] for i in others if not self.dropped(i)]
        said = []
        if past:
            said.append(f"Drop {listed(past)}: {ONSET}, as held-out loss has risen while pass@1 has not fallen.")
        if worse:
            said.append(f"Drop {listed(worse)}: {self.by} is significantly worse.")
        return said

    def _tie(self, tied: Sequence[int]) -> str:
        said = f"{listed([self.labels[i] for i in tied])} are not significantly different"
        found = [self._more(i) for i in tied[1:]]
        units = next((b.varies for b in (self.behind[i] for i in tied) if b), "problems")
        if not any(each is not None for each in found):
            return f"{said}."
        if None in found or max(filter(None, found), default=0) > MOST_PROBLEMS:
            return f"{said}; more than {MOST_PROBLEMS:,} more {units} would decide."
        return f"{said}; {max(filter(None, found)):,} more {units} would decide."

    def _best(self) -> str:
        past = any(map(self.dropped, self.order))
        return f"the best {self.by}" + (" before overfitting onset" if past else "")

    def _more(self, i: int) -> int | None:
        """How many more problems would decide between the first and this one; None if no number would."""
        behind = self.behind[i]
        if behind is None or self.advice(i) == "drop":
            return None
        return units_to_decide(behind, comparisons(len(self.order)))

    def advice(self, i: int) -> Advice:
        behind = self.behind[i]
        if i == self.pick:
            return "rl"
        return "drop" if self.dropped(i) or (behind is not None and behind.low > 0) else "tie"

    def _why(self, i: int) -> str:
        behind, found, first = self.behind[i], self.overfitting[i], self.labels[self.order[0]]
        if found is not None and found.onset:
            change = f"pass@1 {found.pass_1_change.value * 100:+.1f} points"
            return f"{ONSET}: held-out loss is {found.loss_rise} above its minimum, {change}"
        if behind is None:
            return f"best {self.by}"
        why = f"{self.by} is {'' if behind.low > 0 else 'not '}significantly worse than {first}'s: {behind} behind"
        return f"{why}, with fewer SFT steps" if i == self.pick else why


def rank(
    names: Sequence[str],
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
    first = order[0]
    behind = [None if i == first else gap(first, i) for i in range(len(order))]
    pick = _fewest_steps(names, first, [i for i in order if not dropped[i] and _close(behind[i], len(order))])
    return Ranking(by, list(labels(names).values()), values_C, order, pick, behind, overfitting)


def _close(behind: Estimate | None, checkpoints: int) -> bool:
    """Whether a checkpoint is neither significantly nor more than one standard error behind the first."""
    if behind is None:
        return True
    return behind.low <= 0 and behind.value <= standard_error(behind, comparisons(checkpoints))


def _fewest_steps(names: Sequence[str], first: int, close: Sequence[int]) -> int:
    """The index of the earliest checkpoint in the first's SFT run among those ``close`` to it."""
    runs = runs_of(names)
    run = runs[names[first]]
    return min((i for i in close if run and runs[names[i]] == run), key=lambda i: place_in_run(names[i]), default=first)


def in_units(by: str, value: float) -> str:
    """A value of a predictor as it is printed: shares in per cent."""
    return f"{100 * value:.1f} %" if by.startswith("pass@") or by == "informative" else f"{value:.3f}"


def listed(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    shown, more = list(names[:NAMED]), len(names) - NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
