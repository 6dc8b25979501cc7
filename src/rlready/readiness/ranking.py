"""The ranking: which checkpoint RL should start from, and which are not significantly different from it.

Readiness and predict rank by this rule, after Kang et al. (arXiv 2510.01624): checkpoints past overfitting onset are
dropped (`overfitting.py`), the others are ranked by pass@k at large k, 64 or as many samples as there are.
This package adds:

- *Equal values.*  If pass@k is equal, which is frequent if k is the number of samples, the higher pass@1 comes first,
  then the earlier checkpoint.
- *Not significantly different*: a simultaneous interval (Bonferroni over all pairs of checkpoints) of the paired
  difference to the first includes 0.  The first was chosen as the best on the same problems: among twelve equal
  checkpoints a plain 95 % interval calls another one worse nearly every time.
- *A tie within one standard error*: checkpoints at most one standard error of the paired difference behind the first
  (the one-standard-error rule of Breiman, Friedman, Olshen & Stone 1984, section 3.4.3) tie with it.  Being not
  significantly different is not enough: 24 problems made a checkpoint the pick that was 17 points worse (simulated:
  .30, .45, .52, .55; with one standard error 5, by the best value 2).
- *Pass@1 decides the tie first*: out of it is what is more than one standard error worse in pass@1 than its best.  The
  paper does not say what to do in a tie; in its tables pass@1 correlates with the outcome too (Spearman .69 to .78),
  and overfitting, which makes it mislead, is dropped before where held-out loss is known.  Pass@k also ties where k
  samples solve nearly every problem: SmolLM2 with 63 % and 73 % pass@1 had 92 % and 94 % pass@8 on 50 problems.
- *The cheaper decides it next*: RL starts from the checkpoint with the fewest SFT steps of those left in the SFT run of
  the first (if pass@1 put that out, of the best in pass@1): steps of two runs need not be of one size.
- *Dominated*: a checkpoint that ranks below the pick and is significantly worse than it in pass@1 (simultaneous
  interval of all pairs) is to be dropped, even if pass@k of so few problems does not separate the two.
- *Unsolved*: a checkpoint of which no sample is correct comes last, as RL would have no signal.
- *More problems* to decide a tie: `units_to_decide`.

Shapes: C = checkpoints, P = problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import paired_estimate, simultaneous, standard_error, units_to_decide
from rlready.readiness.passk import Floats, powers
from rlready.readiness.result import Advice, Overfitting
from rlready.runs.checkpoint_order import labels, place_in_run, runs_of

LARGE = 64  # the paper's k
DIGITS = 12  # means that agree to so many digits differ by rounding only
ONSET, WORSE, WORSE_1 = "past overfitting onset", "significantly worse", "pass@1 significantly worse"  # why to drop
Gap = Callable[[int, int], Estimate]  # lead of one checkpoint over another, as a simultaneous interval for all pairs


def large(most: int) -> int:
    """The k of "pass@k at large k": 64, or the number of samples ``most`` if that is smaller."""
    return max(k for k in powers(most) if k <= LARGE)


def comparisons(checkpoints: int) -> int:
    """How many pairs of checkpoints there are."""
    return checkpoints * (checkpoints - 1) // 2


def gap_of_shares(shares_CP: Floats, most: float = 1.0, step: float = 0.0) -> Gap:
    """Differences of means over the same problems, of values between 0 and ``most``; ``step`` as `paired_estimate`.

    Their intervals are not limited to what is possible, as standard errors are taken from them.
    """
    pairs = comparisons(len(shares_CP))

    def gap(a: int, b: int) -> Estimate:
        difference = paired_estimate(shares_CP[a], shares_CP[b], bounds=(0.0, most), step=step, limit=False)
        return simultaneous(difference, pairs)

    return gap


@dataclass(frozen=True)
class Tie:
    """What decides between the first and those within one standard error of it.

    ``best`` has the best pass@1 of them; its lead over those in ``below`` is above one standard error.  Of the others
    the ``pick`` has the fewest SFT steps in the SFT run of ``start``: the first, or ``best`` if the first is ``below``.
    """

    best: int
    below: dict[int, Estimate]
    start: int
    pick: int


@dataclass(frozen=True)
class Ranking:
    """Checkpoints as starts for RL: ``order`` has their indices, best first, those past overfitting onset last.

    ``pick`` is the index of the one to start from, by its ``tie``.  The other fields are in the order in which
    checkpoints were given: ``labels`` (short names), ``values`` (C,) of the quantity that they are ranked ``by``,
    ``pass_1`` (C,), the lead of the first over each (``behind``, None for the first), and their ``overfitting``.
    ``dominated`` has the lead of the pick in pass@1 over those that rank below it and are significantly worse in it.
    """

    by: str
    labels: Sequence[str]
    values: Floats
    pass_1: Floats
    order: list[int]
    tie: Tie
    behind: list[Estimate | None]
    overfitting: Sequence[Overfitting | None]
    dominated: dict[int, Estimate]

    @property
    def pick(self) -> int:
        return self.tie.pick

    def dropped(self, i: int) -> bool:
        """Whether a checkpoint is past overfitting onset."""
        return bool((found := self.overfitting[i]) and found.onset)

    @property
    def nothing_solved(self) -> bool:
        """Whether no sample of any checkpoint is correct."""
        return not self.pass_1.any()

    @property
    def all_solved(self) -> bool:
        """Whether every sample of the pick is correct."""
        return bool(self.pass_1[self.pick] == 1)

    @property
    def no_signal(self) -> bool:
        """Whether RL should not start on these problems: none is solved, or all are."""
        return self.nothing_solved or self.all_solved

    def drop_reason(self, i: int) -> str:
        """Why a checkpoint is to be dropped, in brief."""
        return ONSET if self.dropped(i) else WORSE if self.below(i) else WORSE_1

    def below(self, i: int) -> bool:
        """Whether a checkpoint is significantly worse than the first in the figure that ranks."""
        behind = self.behind[i]
        return behind is not None and behind.low > 0

    def more_problems(self, i: int) -> int | None:
        """How many more problems would decide between the first and this one; None if no number would."""
        behind = self.behind[i]
        if behind is None or self.advice(i) not in ("rl", "tie"):
            return None
        return units_to_decide(behind, comparisons(len(self.order)))

    def advice(self, i: int) -> Advice:
        if not self.pass_1[i]:
            return "unsolved"
        if i == self.pick:
            return "rl"
        return "drop" if self.dropped(i) or self.below(i) or i in self.dominated else "tie"


def rank(
    names: Sequence[str],
    by: str,
    values_C: Floats,
    gap: Gap,
    *,
    pass_1_CP: Floats,
    overfitting: Sequence[Overfitting | None],
    pass_1_step: float = 0.0,
    sign: int = 1,
    runs: Mapping[str, str | None] | None = None,
) -> Ranking:
    """Rank by the rule above, with pass@1 of every problem; ``sign`` is -1 if less is better.

    ``runs`` are the SFT runs of the checkpoints by name, None for those that are not known; by default names say it.

    ``pass_1_step`` is the most that one sample changes it.  One checkpoint at least must not be past overfitting onset.
    """
    pass_1_C = pass_1_CP.mean(1)
    score_C, equal_C = (np.round(v, DIGITS) for v in (sign * values_C, pass_1_C))
    last = [(not pass_1_C[i], found is not None and found.onset) for i, found in enumerate(overfitting)]
    order = sorted(range(len(values_C)), key=lambda i: (*last[i], -score_C[i], -equal_C[i]))
    first = order[0]
    behind = [None if i == first else gap(first, i) for i in range(len(order))]
    close = [i for i in order if last[i] == last[first] and _within_one_error(behind[i], len(order))]
    lead = gap_of_shares(pass_1_CP, step=pass_1_step)
    tie = _decide(names, runs or runs_of(names), close, pass_1_C, lead)
    below = order[order.index(tie.pick) + 1 :]
    dominated = {i: found for i in below if (found := lead(tie.pick, i)).low > 0}
    return Ranking(by, list(labels(names).values()), values_C, pass_1_C, order, tie, behind, overfitting, dominated)


def _within_one_error(behind: Estimate | None, checkpoints: int) -> bool:
    """Whether a checkpoint is at most one standard error behind the first, and so not significantly worse."""
    return behind is None or behind.value <= standard_error(behind, comparisons(checkpoints))


def _decide(
    names: Sequence[str], runs: Mapping[str, str | None], close: Sequence[int], pass_1_C: Floats, lead: Gap
) -> Tie:
    """Decide by the ``lead`` in pass@1 between those ``close`` to the first, which is the first of them."""
    best = max(close, key=lambda i: float(pass_1_C[i]))
    leads = {i: lead(best, i) for i in close if i != best}
    below = {i: each for i, each in leads.items() if not _within_one_error(each, len(pass_1_C))}
    start = best if close[0] in below else close[0]
    return Tie(best, below, start, _fewest_steps(names, runs, start, [i for i in close if i not in below]))


def _fewest_steps(names: Sequence[str], runs: Mapping[str, str | None], start: int, left: Sequence[int]) -> int:
    """The index of the earliest checkpoint in the SFT run of ``start`` among those that are ``left``."""
    run = runs[names[start]]
    return min((i for i in left if run and runs[names[i]] == run), key=lambda i: place_in_run(names[i]), default=start)
