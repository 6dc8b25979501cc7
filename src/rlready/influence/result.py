"""The influence of one checkpoint's problems on each other, as it stands in results."""

from __future__ import annotations

from rlready.core.records import Estimate
from rlready.core.result import Record


class InfluenceResult(Record):
    """Means over problems; for the terms see `influence.py`.

    ``step`` is ΔJ / η, the product of ``group_signal`` and ``co_influence``, which is ``k_right`` - ``k_wrong``;
    ``cosine`` is the mean over pairs of informative problems.  ``step`` is None with fewer than two informative
    problems, the last four with fewer than three.  Of ``problems``, ``all_right`` had only right and ``all_wrong`` only
    wrong rollouts.  ``parameters`` is how many weights the gradients cover, ``error`` the root mean square error of the
    cosine of two problems, 0 where gradients are exact.
    """

    step: Estimate | None
    group_signal: Estimate
    k_right: Estimate | None
    k_wrong: Estimate | None
    co_influence: Estimate | None
    cosine: Estimate | None
    problems: int
    all_right: int
    all_wrong: int
    parameters: int
    error: float
