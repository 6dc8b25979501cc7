"""What to do next, in words: which RL runs would calibrate the ranking, and how far predictors can be trusted.

After Kang et al. (arXiv 2510.01624): calibrate with three or four RL runs.  This package chooses them to cover the
predictor's range, which makes the fitted line most certain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from rlready.core.cells import counted, decimal
from rlready.core.separation import separable
from rlready.predict.candidates import UNKNOWN
from rlready.predict.family import Family
from rlready.predict.predictors import BASELINE, COMBINED, LOSS
from rlready.predict.run_cost import Effort, effort_of
from rlready.predict.score import LEAST, SIGNIFICANT, Score, more_recipes
from rlready.readiness.next_step import separation, tied
from rlready.readiness.passk import Ints
from rlready.readiness.ranking import ONSET, Ranking
from rlready.readiness.ranking_words import HEADED
from rlready.runs.checkpoint_order import NAMED, listed

SKILL = 0.05  # p of the best of all predictors
CALIBRATE, CALIBRATE_LEAST = 4, 2
MOST_RECIPES = 100  # a correlation that takes more of them to be shown is of no use
FAMILIES = 2  # whose best checkpoint the headline names


def calibrate(ranking: Ranking, one_run: bool) -> str:
    """Which RL runs would turn the ranking into predicted outcomes, if no RL has been run yet; "" if there are none."""
    across = _across(ranking)
    several, named = len(across) >= CALIBRATE_LEAST, listed([ranking.labels[i] for i in across])
    if one_run:
        within = f"RL from {named} shows how far to trust {ranking.by} within this run; to" if several else "To"
        return (
            "Only the certainty of the order is new here, beside readiness: no outcome of RL is named, and all "
            f"checkpoints are from one SFT run. {within} score predictors, name RL runs from at least {LEAST} SFT "
            "recipes."
        )
    if not several:
        return ""
    return (
        f"To predict outcomes in numbers, and to learn whether {ranking.by} can be trusted here, run RL from {named}, "
        "which span its range, and name the results here."
    )


def reached(ranking: Ranking, families: Sequence[Family], left: int | None) -> str:
    """The checkpoints from which RL reached most, in each family, and that of the ranking where it is another one.

    ``left`` is what `untried` has found.
    """
    if len(families) > FAMILIES:
        return f"RL outcomes are of {len(families)} families, which are not compared with each other."
    single = len(families) == 1
    tried = "" if left is None else f"; next to try is {ranking.labels[left]}"
    if single and len(families[0].outcome) == 1:
        return f"RL from {ranking.labels[int(families[0].place[0])]} reached {families[0].shown(0)}{tried}."
    found = []
    for family in families:
        best = np.flatnonzero(np.isclose(family.outcome, family.outcome.max(), rtol=1e-12, atol=0.0))
        places = sorted((int(place) for place in family.place[best]), key=ranking.order.index)
        if single and 1 < len(best) == len(family.outcome):
            return f"RL reached the same from all {len(best)} checkpoints, {family.shown(0)}."
        said = f"{listed([ranking.labels[place] for place in places])}, {family.shown(int(best[0]))}"
        said += " each" * (len(best) > 1) + ("" if single else f" in {family.name or 'unnamed'}")
        pick = np.flatnonzero(family.place == ranking.pick)
        near = _near(family, best)
        if single and len(pick) and ranking.pick not in places:
            there, name = int(pick[0]), ranking.labels[ranking.pick]
            if there in near:
                said += f"; the pick by {ranking.by}, {name}, may be as good"
            else:
                said += f"; {name}, the pick by {ranking.by}, reached {family.shown(there)}"
        elif single and near:
            others = [ranking.labels[int(family.place[i])] for i in near]
            said += f"; {listed(others) if len(others) <= HEADED else f'{len(others)} others'} may be as good"
        elif single and ranking.pick in places:
            said += tried
        found.append(said)
    return f"RL reached most from {' and '.join(found)}."


def _near(family: Family, best: Ints) -> list[int]:
    """The runs whose interval, over seeds or problems, reaches the best outcome."""
    estimates = family.estimates()
    return [i for i, each in enumerate(estimates) if i not in best and each.high >= estimates[int(best[0])].value]


def against(ranking: Ranking, families: Sequence[Family]) -> list[str]:
    """What speaks against the rule: RL from a checkpoint past overfitting onset that reached more than from others."""
    found = []
    for family in families:
        tried = [(int(place), at) for at, place in enumerate(family.place)]
        for i, at in tried:
            less = [ranking.labels[j] for j, other in tried if family.outcome[other] < family.outcome[at]]
            less = less if ranking.dropped(i) else []
            if less:
                said = f"{ranking.labels[i]} is {ONSET}, but RL from it reached {family.shown(at)}"
                found.append(f"{said}, more than from {listed(less)}.")
    return found


def untried(ranking: Ranking, families: Sequence[Family], besides: Collection[int] = ()) -> int | None:
    """The first checkpoint of the ranking that has no outcome yet, nor is one of ``besides``; None if all have that are
    not to be dropped."""
    tried = {*besides, *(int(i) for family in families for i in family.place)}
    first = [ranking.pick, *ranking.order]
    return next((i for i in first if i not in tried and ranking.advice(i) in ("rl", "tie")), None)


def trust(family: Family, scores: Sequence[Score], by: str) -> str:
    """How far the predictors of one family can be trusted, in one short sentence."""
    if not scores:
        return _unscored(family)
    if family.recipes < SIGNIFICANT:
        return f"With {family.recipes} SFT recipes no order can be significant; add recipes."
    if min(s.p_any for s in scores) >= SKILL:
        return "No predictor is significantly better than a random order."
    clear = [s.predictor for s in _main(scores, by) if s.gain and s.gain.low > 0 and s.spearman.low > 0]
    return f"Significantly better than pass@1: {' and '.join(clear) or 'none'}."


def separating(ranking: Ranking, efforts: Sequence[Effort | None], rl: str) -> list[str]:
    """In a tie, how many more problems would separate the first two and what they take, beside what a run of RL took.

    ``efforts`` are those of one problem of each checkpoint; ``rl`` is "" if it is unknown.
    """
    other = tied(ranking)
    more = separable(other.more_problems) if other else None
    if other is None or more is None:
        return separation(ranking)
    pair = [efforts[ranking.labels.index(other.name)], efforts[ranking.order[0]]]
    takes = effort_of(pair, more)
    beside = f", where a run of RL took {rl}" if rl else ""
    return [*separation(ranking), *([f"That takes about {takes}{beside}."] if takes else [])]


def to_know_more(recipes: int, scores: Sequence[Score], by: str, cost: str) -> str:
    """How many more than these ``recipes`` would show that the predictor that ranks orders outcomes; "" if these do, or
    if all outcomes are equal.

    ``cost`` is that of a run of RL, "" if it is unknown or said elsewhere.
    """
    each = "each with an RL run" + (f" (one took {cost})" if cost else "")
    if not scores:
        known = recipes >= LEAST  # and equal outcomes
        return (
            "" if known else f"To learn how far {by} can be trusted takes at least {SIGNIFICANT} SFT recipes, {each}."
        )
    more = next((more_recipes(s.spearman) for s in scores if s.predictor == by), 0)
    if more is None:
        return f"{by} does not order these outcomes: how many more SFT recipes would show that it does cannot be told."
    if more > MOST_RECIPES:
        return f"To show that {by} orders outcomes would take over {MOST_RECIPES} more SFT recipes."
    likely = "in 4 cases of 5, if the correlation is as measured"
    each, they = (each.removeprefix("each "), "it") if more == 1 else (each, "they")
    said = f"To trust the rank correlation, add about {counted(more, 'SFT recipe')}, {each}"
    return f"{said}: {they} would show that {by} orders outcomes ({likely})." if more else ""


def _unscored(family: Family) -> str:
    if len(family.outcome) == 1:
        return "Only one checkpoint has an outcome, so that no predictor can be scored yet."
    if family.recipes == 1:
        return "All from one SFT recipe: nothing to score yet; add recipes."
    if float(np.ptp(family.outcome)) == 0:
        return "All outcomes are equal: there is nothing to predict."
    return f"{family.recipes} SFT recipes are too few to score a predictor; add recipes."


def correlations(family: Family, scores: Sequence[Score], by: str) -> str:
    """Rank correlations of the main predictors; "" where there are none."""
    if not scores:
        return ""
    words = [f"{s.predictor} {decimal(s.spearman, 2)}" for s in _main(scores, by)]
    said = f"Over {family.recipes} SFT recipes{f' of {family.name}' if family.name else ''}, rank correlation with "
    said += f"the outcome of RL: post-SFT pass@1 {decimal(scores[0].spearman, 2)}; {', '.join(words)}"
    return said.removesuffix("; ") + "."


def _main(scores: Sequence[Score], by: str) -> list[Score]:
    """The scores of the predictor that ranks, of the loss and of both together, where they are known."""
    found = {s.predictor: s for s in scores}
    return [found[name] for name in dict.fromkeys((by, LOSS, COMBINED)) if name in found and name != BASELINE]


def distributions(trained: Sequence[str]) -> str:
    """A sentence that says why losses are not compared."""
    if UNKNOWN in trained:
        others = ", ".join([each for each in trained if each != UNKNOWN][:NAMED])
        return (
            "it is not known which rows some of the checkpoints learned from, as no SFT run is recorded where they are "
            f"or were; others learned from {others}. force_loss=true compares the losses nevertheless"
        )
    named = ", ".join(trained[:NAMED]) + (", …" if len(trained) > NAMED else "")
    return (
        f"the checkpoints learned from {len(trained)} different distributions of rows ({named}), between which "
        "held-out losses are not comparable; force_loss=true compares them nevertheless"
    )


def _across(ranking: Ranking) -> list[int]:
    """The worst, the best and evenly spaced checkpoints between, by the predictor's value, of those that solve a
    problem; best first."""
    values = ranking.values
    left = [i for i in range(len(values)) if not ranking.dropped(i) and ranking.advice(i) != "unsolved"]
    if len(left) < CALIBRATE_LEAST:
        return left
    targets, chosen = np.linspace(values[left].min(), values[left].max(), min(CALIBRATE, len(left))), list[int]()
    for target in targets[[0, -1, *range(1, len(targets) - 1)]]:
        nearest = min(left, key=lambda i: abs(values[i] - target))
        left.remove(nearest)
        chosen.append(nearest)
    return sorted(chosen, key=ranking.order.index)
