"""What an evaluation decides: which model is the most accurate, how far ahead of its closest rival, and what to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rlready.core.cells import brief_percent, decimal, decimals
from rlready.core.records import Estimate
from rlready.core.separation import to_separate
from rlready.core.stats import limited, standard_error, units_to_decide
from rlready.evaluate.result import BudgetScores, Closest, Scores
from rlready.evaluate.settings import Setting
from rlready.readiness.next_step import MOSTLY
from rlready.readiness.ranking import comparisons, gap_of_shares

LONGER = "Allow longer responses (thinking_budgets, max_answer_tokens): most were cut off, and none was correct."
EASIER = "Measure easier problems, or check that answers are read as they are meant: no response was correct."


def closest(accuracy: Mapping[str, Sequence[float]]) -> Closest | None:
    """The two most accurate models, by the accuracy of every problem; None if there is only one.

    The interval of the lead holds for all pairs together, as the two are chosen on these problems.
    """
    if len(accuracy) < 2:
        return None
    names, shares_CP = list(accuracy), np.array(list(accuracy.values()))
    best, rival = np.argsort(-shares_CP.mean(1).round(12), kind="stable")[:2].tolist()
    lead, pairs = gap_of_shares(shares_CP)(best, rival), comparisons(len(names))
    more = units_to_decide(lead, pairs) if lead.low <= 0 else None
    return Closest(best=names[best], rival=names[rival], lead=limited(lead, 1.0), more_problems=more)


def headline(setting: Setting, largest: BudgetScores, pair: Closest | None, short: Mapping[str, str]) -> str:
    """Which model is the most accurate at the largest budget, or without one, and whether significantly."""
    where = setting.where
    if pair is None:
        ((model, scores),) = largest.scores.items()
        return f"{short[model]} solves {brief_percent(scores.accuracy)} % of {scores.accuracy.n:,} problems {where}."
    best, rival, accuracies = short[pair.best], short[pair.rival], [s.accuracy.value for s in largest.scores.values()]
    number = decimal(100 * pair.lead.value, decimals(pair.lead, 100))
    points = f"{number} point{'s' * (number != '1')}"
    if (n := len(accuracies)) > 2:
        all_equal = np.ptp(np.round(accuracies, 12)) == 0
        ahead = f"{points} above {rival}" if pair.significant else f"but not significantly above {rival}"
        said = f"{best} is {'best' if pair.significant else 'highest'} of {n} {where}, {ahead}."
        equal = f"All {n} models" if all_equal else f"Of {n} models {best} and {rival}, the best,"
    else:
        said = f"{best} is {points} more accurate than {rival} {where}."
        if not pair.significant:
            said = f"{best} and {rival} are not significantly different {where} ({points})."
        equal = f"{best} and {rival}"
    return f"{equal} are equally accurate {where}." if pair.lead.value == 0 else said


def next_action(
    setting: Setting,
    budgets: Sequence[BudgetScores],
    pair: Closest | None,
    short: Mapping[str, str],
    unconstrained: Mapping[str, Scores],
) -> str:
    """Which model to use at which budget, and what it would cost to know more; "" without a choice."""
    model = pair.best if pair else next(iter(budgets[-1].scores))
    change, enough = _enough(budgets, model)
    free = unconstrained.get(model)
    everywhere = [row.scores[model] for row in budgets] + ([free] if free else [])
    if not any(scores.accuracy.value for scores in everywhere):
        return LONGER if min(scores.truncated.value for scores in everywhere) > MOSTLY else EASIER
    if pair is None and len(budgets) == 1:
        return ""
    limit, largest = "a limit" if setting.limit else "a budget", budgets[-1].budget
    said = f"Use {short[model]}" + ("" if enough is None else f" with {limit} of {enough:,} tokens")
    if enough != largest:
        how = "more accurate than" if change and _moved(change) == 1 else "about as accurate as"
        cut = next(row.scores[model].truncated for row in budgets if row.budget == enough)
        said += f", where it is {how} with {largest:,} ({brief_percent(cut)} % of its responses are cut off)"
    if enough is not None and free and free.change:
        if _moved(free.change) == 1:
            points = decimal(100 * free.change.value, decimals(free.change, 100))
            said = (
                f"Use {short[model]} without {limit}: it is {points} points more accurate than with {largest:,} tokens"
            )
            freest = max(unconstrained, key=lambda name: unconstrained[name].accuracy.value)
            if unconstrained[freest].accuracy.value > free.accuracy.value:
                shares = [brief_percent(each.accuracy) for each in (unconstrained[freest], free)]
                said = (
                    f"Compare {short[freest]} with {short[model]} without {limit}: there {short[freest]} has "
                    f"{shares[0]} %, {short[model]} {shares[1]} %, {points} points more than with {largest:,} tokens"
                )
        elif _moved(free.change) == 0:
            said += f"; it is about as accurate without {limit}"
    if pair is None or pair.significant:
        return f"{said}."
    return f"{said}. {to_separate(short[pair.best], short[pair.rival], pair.lead, pair.more_problems)}"


def _enough(budgets: Sequence[BudgetScores], model: str) -> tuple[Estimate | None, int | None]:
    """The smallest budget at which a model is at most one standard error less accurate than at the largest.

    Before it stands the change of accuracy there, None at the largest.
    """
    changes = ((row.scores[model].change, row.budget) for row in budgets)
    return next(
        (found for found in changes if found[0] is None or _moved(found[0]) in (0, 1)), (None, budgets[-1].budget)
    )


def _moved(change: Estimate) -> int | None:
    """The sign of a change of accuracy, 0 for one of at most one standard error.

    None if that is not known: the interval is `limited`, as with few problems.
    """
    loss = Estimate(-change.value, -change.high, -change.low, change.n)
    rise = loss if change.value < 0 else change
    if rise.value and rise.low <= -1:
        return None
    return 0 if rise.value <= standard_error(rise, 1) else 1 if rise is change else -1
