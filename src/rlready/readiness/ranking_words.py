"""The ranking (`ranking.py`) in words: the decision, its reasons, and what to drop."""

from __future__ import annotations

from collections.abc import Collection

from rlready.core.cells import counted
from rlready.core.stats import limited, standard_error
from rlready.readiness.ranking import DIGITS, ONSET, WORSE, WORSE_1, Ranking, comparisons
from rlready.readiness.result import SOLVED, Advice, RankedCheckpoint
from rlready.readiness.units import in_units, lead_in_units, span_of
from rlready.runs.checkpoint_order import listed

HEADED = 2  # tied checkpoints listed in a headline

WORDS: dict[Advice, str] = {
    "rl": "RL first",
    "tie": "not significantly different",
    "drop": "drop",
    "unsolved": "nothing solved: RL has no signal",
}


def rule(ranking: Ranking) -> str:
    """The rule in a sentence, to be printed with the result."""
    bests = [f"of the best {name}" for name in dict.fromkeys((ranking.by, "pass@1"))]
    close = f"keep those within one standard error (of the paired difference) {', and of these '.join(bests)}; of these"
    worse = f"what ranks below it and is significantly worse in {' or '.join(dict.fromkeys((ranking.by, 'pass@1')))}"
    fewest = "take, in the SFT run of the best, the one with the fewest steps, as a precaution against overfitting"
    return f"drop what is {ONSET}; {close} {fewest}; drop {worse}."


def headline(ranking: Ranking) -> str:
    """The decision in at most 15 words: where to start RL, and what is as good as far as is known."""
    name = ranking.labels[ranking.pick]
    tied = [ranking.labels[i] for i in ranking.order if ranking.advice(i) == "tie"]
    if ranking.nothing_solved:
        who = "no checkpoint solved any" if len(ranking.order) > 1 else f"{name} solved no"
        return f"Do not start RL: {who} problem."
    if ranking.all_solved:
        return f"Do not start RL on these problems: every sample of {name} is correct."
    if len(ranking.order) == 1:
        return f"{name}: {ranking.by} is {in_units(ranking.by, ranking.values[ranking.pick])}."
    if tied:
        n = next(counted(b.n, b.varies.removesuffix("s")) for b in ranking.behind if b)
        others = listed(tied) if len(tied) <= HEADED else f"{len(tied)} others"
        verb = "does" if n.startswith("1 ") else "do"
        return f"Start RL from {name}; {n} {verb} not separate it from {others}."
    others = ranking.labels[ranking.order[1]] if len(ranking.order) == 2 else "the others"
    ahead = f", significantly ahead of {others}" if all(b is None or b.low > 0 for b in ranking.behind) else ""
    return f"Start RL from {name}: {_best(ranking)}{ahead}."


def drops(ranking: Ranking, tried: Collection[int] = ()) -> list[str]:
    """What to drop and why, in a sentence each, except those that RL was ``tried`` from."""
    others = [i for i in ranking.order if ranking.advice(i) == "drop" and i not in tried]
    why = {
        ONSET: f"{ONSET}, as held-out loss has risen, which pass@1 does not show",
        WORSE: f"{ranking.by} is significantly worse",
        WORSE_1: f"{ranking.by} is no better than {ranking.labels[ranking.pick]}'s and pass@1 significantly worse",
    }
    if leads := [lead_in_units("pass@1", ranking.dominated[i]) for i in others if ranking.drop_reason(i) == WORSE_1]:
        why[WORSE_1] += f", {listed(leads)} behind" if len(leads) <= HEADED else ""
    found = {reason: [ranking.labels[i] for i in others if ranking.drop_reason(i) == reason] for reason in why}
    said = [f"Drop {listed(names)}: {why[reason]}." for reason, names in found.items() if names]
    unsolved = [ranking.labels[i] for i in ranking.order if ranking.advice(i) == "unsolved"]
    if unsolved and not ranking.nothing_solved:
        said.append(f"Drop {listed(unsolved)}: no problem solved, so RL would have no signal.")
    return said


def no_onset(ranking: Ranking) -> list[str]:
    """A sentence if held-out loss is known along an SFT run, and no checkpoint is past overfitting onset."""
    known = [found for found in ranking.overfitting if found]
    if not known or any(map(ranking.dropped, ranking.order)):
        return []
    said = f"No checkpoint is {ONSET}, as far as held-out loss tells"
    if all(found.minimum == len(known) for found in known):  # of one run the last
        said += "; it is lowest at the last one, so that longer SFT may be better still"
    return [f"{said}."]


def reason(ranking: Ranking) -> str:
    """Why the pick is the one to start from, as what it does."""
    if ranking.pick == ranking.order[0]:
        equal = [ranking.labels[i] for i in _equal(ranking)] if ranking.by != "pass@1" else []
        if equal:
            who = listed(equal) if len(equal) <= HEADED else f"{len(equal)} others"
            return f"has the best {ranking.by}, as {who} {'has' if len(equal) == 1 else 'have'}, and a higher pass@1"
        return f"has {_best(ranking)}"
    if ranking.pick != ranking.tie.start:
        return f"took the fewest steps within one standard error of {ranking.labels[ranking.tie.start]}"
    return "has the best pass@1 of these"


def error(ranking: Ranking) -> str:
    """How far the pick is behind the first and the standard error of that, by which the rule can be checked."""
    if (behind := ranking.behind[ranking.pick]) is None:
        return ""
    first = ranking.labels[ranking.order[0]]
    size = lead_in_units(ranking.by, standard_error(behind, comparisons(len(ranking.order))))
    known = f"standard error {size}" if behind.n > 1 else "of which one problem has no error"
    return f"{lead_in_units(ranking.by, behind.value)} behind {first} in {ranking.by}, {known}"


def _margin(ranking: Ranking) -> str:
    """How far the pick is behind, and its standard error; "" if a single problem has none."""
    behind = ranking.behind[ranking.pick]
    if behind is None or behind.n < 2:
        return ""
    size = lead_in_units(ranking.by, standard_error(behind, comparisons(len(ranking.order))))
    return f" ({lead_in_units(ranking.by, behind.value)} behind, standard error {size.removesuffix(' points')})"


def _best(ranking: Ranking) -> str:
    past = any(map(ranking.dropped, ranking.order)) and not ranking.dropped(ranking.pick)
    best = f"pass@1 at equal {ranking.by}" if _equal(ranking) and ranking.by != "pass@1" else ranking.by
    return f"the best {best}" + (" before overfitting onset" if past else "")


def _equal(ranking: Ranking) -> list[int]:
    """The checkpoints that equal the pick in what ranks, and are below it in pass@1."""
    others = [i for i in ranking.order if not ranking.dropped(i) and ranking.pass_1[i] < ranking.pass_1[ranking.pick]]
    return [i for i in others if round(ranking.values[i] - ranking.values[ranking.pick], DIGITS) == 0]


def ranked_checkpoint(ranking: Ranking, i: int, name: str) -> RankedCheckpoint:
    """The record of one checkpoint's rank."""
    advice, behind = ranking.advice(i), ranking.behind[i]
    return RankedCheckpoint(
        name=name,
        chosen=i == ranking.pick and not ranking.nothing_solved,
        rank=ranking.order.index(i) + 1,
        behind=behind and limited(behind, span_of(ranking.by)),
        more_problems=ranking.more_problems(i),
        advice=advice,
        next=SOLVED
        if ranking.all_solved and ranking.pass_1[i] == 1
        else WORDS[advice] + (f": {ranking.drop_reason(i)}" if advice == "drop" else ""),
        why=_why(ranking, i),
        overfitting=ranking.overfitting[i],
        decided=f"{reason(ranking)}{_margin(ranking)}" if i == ranking.pick != ranking.order[0] else "",
    )


def _why(ranking: Ranking, i: int) -> str:
    behind, found, first = ranking.behind[i], ranking.overfitting[i], ranking.labels[ranking.order[0]]
    if not ranking.pass_1[i]:
        return "no sample is correct, so every group of RL would earn the same reward"
    if found is not None and found.onset:
        change = f"pass@1 {found.pass_1_change.value * 100:+.1f} points"
        return f"{ONSET}: held-out loss is {found.loss_rise} above its minimum, {change}"
    why = f"best {ranking.by}"
    if behind is not None:
        said, gap = "" if ranking.below(i) else "not ", lead_in_units(ranking.by, behind)
        why = f"{ranking.by} is {said}significantly worse than {first}'s: {gap} behind"
    if lead := ranking.dominated.get(i):
        pick = ranking.labels[ranking.pick]
        return f"{why}; pass@1 is significantly worse than {pick}'s: {lead_in_units('pass@1', lead)} behind"
    if below := ranking.tie.below.get(i):
        gap, best = lead_in_units("pass@1", below), ranking.labels[ranking.tie.best]
        return f"{why}; pass@1 is more than one standard error below {best}'s: {gap} behind"
    return f"{why}, but it {reason(ranking)} ({error(ranking)})" if i == ranking.pick != ranking.order[0] else why
