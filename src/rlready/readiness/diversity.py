"""Distinct answers: over how many different answers a group of samples of one problem spreads.

AESL (OpenReview yezWGJmODg) starts RL at the checkpoint of peak diversity, measured by entropy and self-BLEU.  This
package counts answers rather than n-grams, because a verifier sees only the answer; self-BLEU is left out.

The expected number of different answers among g of a problem's n samples, m of which give answer a, is

    Σ_a 1 - C(n - m_a, g)/C(n, g)        (Hurlbert 1971, Ecology 52:577)

which is unbiased for a group of g <= n fresh samples.  Answers are equal if they are the same text or the same number;
formulas that are equal but written differently count as two.  A response without an answer counts as the answer "".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate
from rlready.readiness.passk import Floats, refuse, within


def distinct_answers(answers: Iterable[Sequence[str]], group: int) -> Estimate:
    """Mean over problems of the expected number of different answers in a group; ``answers`` are those of each problem.

    UserError unless every problem has at least ``group`` answers.
    """
    return mean_estimate(np.array([_expected(each, group) for each in answers]), bounds=(1.0, float(group)))


def _expected(answers: Sequence[str], group: int) -> float:
    refuse([group], len(answers))
    times = np.array([*Counter(answers).values()])
    absent: Floats = within(len(answers) - times, np.full(len(times), len(answers)), group)[:, -1]
    return float((1.0 - absent).sum())
