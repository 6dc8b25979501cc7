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

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.cells import counted
from rlready.core.records import Estimate
from rlready.core.stats import limited, paired_estimate, simultaneous, standard_error, units_to_decide
from rlready.readiness.passk import Floats, powers
from rlready.readiness.result import SOLVED, Advice, Overfitting, RankedCheckpoint
from rlready.readiness.units import in_units, lead_in_units, span_of
from rlready.runs.checkpoint_order import labels, listed, place_in_run, runs_of

LARGE = 64  # the paper's k
DIGITS = 12  # means that agree to so many digits differ by rounding only
HEADED = 2  # tied checkpoints listed in a headline

WORDS: dict[Advice, str] = {
    "rl": "RL first",
    "tie": "not significantly different",
    "drop": "drop",
    "unsolved": "nothing solved: RL has no signal",
}
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
    def rule(self) -> str:
        """The rule in a sentence, to be printed with the result."""
        bests = [f"of the best {name}" for name in dict.fromkeys((self.by, "pass@1"))]
        close = f"keep those within one standard error {', and of these '.join(bests)}; of these"
        worse = f"what ranks below it and is significantly worse in {' or '.join(dict.fromkeys((self.by, 'pass@1')))}"
        fewest = "take the fewest SFT steps, as a precaution against overfitting"
        return f"drop what is {ONSET}; {close} {fewest}; drop {worse}."

    def checkpoint(self, i: int, name: str) -> RankedCheckpoint:
        """The record of one checkpoint's rank."""
        advice, behind = self.advice(i), self.behind[i]
        return RankedCheckpoint(
            name=name,
            chosen=i == self.pick and not self.nothing_solved,
            rank=self.order.index(i) + 1,
            behind=behind and limited(behind, span_of(self.by)),
            more_problems=self._more(i),
            advice=advice,
            next=SOLVED
            if self.all_solved and self.pass_1[i] == 1
            else WORDS[advice] + (f": {self._drop_reason(i)}" if advice == "drop" else ""),
            why=self._why(i),
            overfitting=self.overfitting[i],
            decided=f"{self.reason()}{self._margin()}" if i == self.pick != self.order[0] else "",
        )

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

    def headline(self) -> str:
        """The decision in at most 15 words: where to start RL, and what is as good as far as is known."""
        name = self.labels[self.pick]
        tied = [self.labels[i] for i in self.order if self.advice(i) == "tie"]
        if self.nothing_solved:
            who = "no checkpoint solved any" if len(self.order) > 1 else f"{name} solved no"
            return f"Do not start RL: {who} problem."
        if self.all_solved:
            return f"Do not start RL on these problems: every sample of {name} is correct."
        if len(self.order) == 1:
            return f"{name}: {self.by} is {in_units(self.by, self.values[self.pick])}."
        if tied:
            n = next(counted(b.n, b.varies.removesuffix("s")) for b in self.behind if b)
            others = listed(tied) if len(tied) <= HEADED else f"{len(tied)} others"
            verb = "does" if n.startswith("1 ") else "do"
            return f"Start RL from {name}; {n} {verb} not separate it from {others}."
        others = self.labels[self.order[1]] if len(self.order) == 2 else "the others"
        ahead = f", significantly ahead of {others}" if all(b is None or b.low > 0 for b in self.behind) else ""
        return f"Start RL from {name}: {self._best()}{ahead}."

    def drops(self, tried: Collection[int] = ()) -> list[str]:
        """What to drop and why, in a sentence each, except those that RL was ``tried`` from."""
        others = [i for i in self.order if self.advice(i) == "drop" and i not in tried]
        why = {
            ONSET: f"{ONSET}, as held-out loss has risen, which pass@1 does not show",
            WORSE: f"{self.by} is significantly worse",
            WORSE_1: f"{self.by} is no better than {self.labels[self.pick]}'s and pass@1 significantly worse",
        }
        if leads := [lead_in_units("pass@1", self.dominated[i]) for i in others if self._drop_reason(i) == WORSE_1]:
            why[WORSE_1] += f", {listed(leads)} behind" if len(leads) <= HEADED else ""
        found = {reason: [self.labels[i] for i in others if self._drop_reason(i) == reason] for reason in why}
        said = [f"Drop {listed(names)}: {why[reason]}." for reason, names in found.items() if names]
        unsolved = [] if self.nothing_solved else [self.labels[i] for i in self.order if self.advice(i) == "unsolved"]
        if unsolved:
            said.append(f"Drop {listed(unsolved)}: no problem solved, so RL would have no signal.")
        return said

    def no_onset(self) -> list[str]:
        """A sentence if held-out loss is known along an SFT run, and no checkpoint is past overfitting onset."""
        known = [found for found in self.overfitting if found]
        if not known or any(map(self.dropped, self.order)):
            return []
        said = f"No checkpoint is {ONSET}, as far as held-out loss tells"
        if all(found.minimum == len(known) for found in known):  # of one run the last
            said += "; it is lowest at the last one, so that longer SFT may be better still"
        return [f"{said}."]

    def reason(self) -> str:
        """Why the pick is the one to start from, as what it does."""
        if self.pick == self.order[0]:
            return f"has {self._best()}"
        if self.pick != self.tie.start:
            return f"took the fewest steps within one standard error of {self.labels[self.tie.start]}"
        return "has the best pass@1 of these"

    def error(self) -> str:
        """How far the pick is behind the first and the standard error of that, by which the rule can be checked."""
        if (behind := self.behind[self.pick]) is None:
            return ""
        first, error = self.labels[self.order[0]], standard_error(behind, comparisons(len(self.order)))
        known = (
            f"standard error {lead_in_units(self.by, error)}" if behind.n > 1 else "of which one problem has no error"
        )
        return f"{lead_in_units(self.by, behind.value)} behind {first} in {self.by}, {known}"

    def _margin(self) -> str:
        """How far the pick is behind, and its standard error; "" if a single problem has none."""
        behind = self.behind[self.pick]
        if behind is None or behind.n < 2:
            return ""
        error = standard_error(behind, comparisons(len(self.order)))
        far = lead_in_units(self.by, error).removesuffix(" points")
        return f" ({lead_in_units(self.by, behind.value)} behind, standard error {far})"

    def _drop_reason(self, i: int) -> str:
        """Why a checkpoint is to be dropped, in brief."""
        return ONSET if self.dropped(i) else WORSE if self._below(i) else WORSE_1

    def _below(self, i: int) -> bool:
        """Whether a checkpoint is significantly worse than the first in the figure that ranks."""
        behind = self.behind[i]
        return behind is not None and behind.low > 0

    def _best(self) -> str:
        past = any(map(self.dropped, self.order)) and not self.dropped(self.pick)
        others = [i for i in self.order if not self.dropped(i) and self.pass_1[i] < self.pass_1[self.pick]]
        equal = any(round(self.values[i] - self.values[self.pick], DIGITS) == 0 for i in others) and self.by != "pass@1"
        best = f"pass@1 at equal {self.by}" if equal else self.by
        return f"the best {best}" + (" before overfitting onset" if past else "")

    def _more(self, i: int) -> int | None:
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
        return "drop" if self.dropped(i) or self._below(i) or i in self.dominated else "tie"

    def _why(self, i: int) -> str:
        behind, found, first = self.behind[i], self.overfitting[i], self.labels[self.order[0]]
        if not self.pass_1[i]:
            return "no sample is correct, so every group of RL would earn the same reward"
        if found is not None and found.onset:
            change = f"pass@1 {found.pass_1_change.value * 100:+.1f} points"
            return f"{ONSET}: held-out loss is {found.loss_rise} above its minimum, {change}"
        why = f"best {self.by}"
        if behind is not None:
            said, gap = "" if self._below(i) else "not ", lead_in_units(self.by, behind)
            why = f"{self.by} is {said}significantly worse than {first}'s: {gap} behind"
        if lead := self.dominated.get(i):
            pick = self.labels[self.pick]
            return f"{why}; pass@1 is significantly worse than {pick}'s: {lead_in_units('pass@1', lead)} behind"
        if below := self.tie.below.get(i):
            gap, best = lead_in_units("pass@1", below), self.labels[self.tie.best]
            return f"{why}; pass@1 is more than one standard error below {best}'s: {gap} behind"
        return f"{why}, but it {self.reason()} ({self.error()})" if i == self.pick != self.order[0] else why


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
