"""What luck alone achieves; to be printed beside every accuracy and every pass@k (METHODS 3.3).

Ours.  A guesser who never reads the prompt does best with the k most common answers.  Which answers these
are is learned on a reference sample and scored on other problems, so the figure is not flattered by the
problems it is measured on; with few reference problems it errs low, never high on average.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def majority(keys: Sequence[str]) -> tuple[str, float]:
    """The most common answer and its share: the accuracy of a model that always says the same."""
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
    """``guess_pass_at_k`` where no reference is at hand: either half of the problems guesses for the other.

    0 for a single problem, as there is nothing to learn from.
    """
    halves = keys[::2], keys[1::2]
    if not halves[1]:
        return dict.fromkeys(k_values, 0.0)
    return {k: sum(guess_pass_at_k(a, b, k) * len(b) for a, b in (halves, halves[::-1])) / len(keys) for k in k_values}
