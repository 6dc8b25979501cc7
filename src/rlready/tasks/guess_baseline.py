"""The chance level: pass@k of guessing without reading the prompt, to be printed beside every pass@k.

This estimator is a choice of this package.  Without reading the prompt, the best k guesses are the k most common
answers.  They are found on a reference sample and scored on other problems, so that the estimate is not biased upwards
by the problems it is measured on; with few reference problems it is too low on average, never too high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def majority(keys: Sequence[str]) -> tuple[str, float]:
    """The most common answer and its share: the accuracy of a model that always gives the same answer."""
    if not keys:
        raise ValueError("no answers")
    ((answer, times),) = Counter(keys).most_common(1)
    return answer, times / len(keys)


def guess_pass_at_k(reference: Sequence[str], keys: Sequence[str], k: int) -> float:
    """Share of ``keys`` among the ``k`` most common of ``reference``; ties go to the first seen."""
    if not keys:
        raise ValueError("no answers")
    guesses = {answer for answer, _ in Counter(reference).most_common(k)}
    return sum(key in guesses for key in keys) / len(keys)


def two_fold(keys: Sequence[str], k_values: Sequence[int]) -> dict[int, float]:
    """``guess_pass_at_k`` without a reference sample: each half of the problems is the reference of the other.

    It is 0 for a single problem, for which there is no reference.
    """
    halves = keys[::2], keys[1::2]
    if not halves[1]:
        return dict.fromkeys(k_values, 0.0)
    return {k: sum(guess_pass_at_k(a, b, k) * len(b) for a, b in (halves, halves[::-1])) / len(keys) for k in k_values}
