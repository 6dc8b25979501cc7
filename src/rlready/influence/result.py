"""The influence of one checkpoint's problems on each other, as written to results."""

from __future__ import annotations

from rlready.core.records import Estimate
from rlready.core.result import Record


class InfluenceEstimates(Record):
    """Means over problems, some of them informative: with both correct and wrong rollouts.  Terms: see `influence.py`.

    ``step`` is ΔJ / η, the product of ``group_signal`` and ``co_influence``, which is ``k_right`` - ``k_wrong``;
    ``cosine`` is the mean over pairs of informative problems.  ``step`` is None with fewer than two informative
    problems, as there is no pair; ``k_right``, ``k_wrong``, ``co_influence`` and ``cosine`` with fewer than three, as
    one pair says nothing about others.
    """

    step: Estimate | None
    group_signal: Estimate
    k_right: Estimate | None
    k_wrong: Estimate | None
    co_influence: Estimate | None
    cosine: Estimate | None


class InfluenceResult(InfluenceEstimates):
    """The estimates, and what they were measured on.

    Of ``problems``, ``all_right`` had only correct and ``all_wrong`` only wrong rollouts.  ``parameters`` is how many
    weights the gradients cover.  ``error`` is the root mean square error that random projection adds to the cosine of
    two problems; 0 where gradients are stored whole.
    """

    problems: int
    all_right: int
    all_wrong: int
    parameters: int
    error: float
