"""Whether an engine draws the samples of a prompt independently of each other, as every figure of several supposes.

A server behind a cache gives a prompt one response again and again, and one that ignores the temperature gives the most
likely one.  Each sample carries its probability, so it is known how often one of the earlier samples of its problem
would be repeated by chance: with probability q, the sum over the different ones.  The likelihood ratio of an engine
that, at a rate r, repeats instead of drawing is (q + (1 − q) r) / q for a repetition and 1 − r for a new sample.  Its
product over all samples is above x with probability 1/x at most if they are independent, also where sampling stops at
successes (Ville's inequality); the mean of the products at several rates has the same bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, log1p

from rlready.core.records import SampleRow

RATES = (0.1, 0.5)
CERTAIN = log(1e4)  # of the likelihood ratio


def repeats(rows: Sequence[SampleRow], temperature: float, engine: str) -> str:
    """A sentence if samples repeat each other far more often than by chance, else ""; ``engine`` has drawn them.

    ``rows`` are those of one model, in the order of drawing; samples under different settings are compared apart.
    """
    if temperature == 0:
        return ""
    by_setting: dict[str, list[SampleRow]] = {}
    for row in rows:
        by_setting.setdefault(row.get("setting", ""), []).append(row)
    for some in by_setting.values():
        repeated, expected, ratio = _count(some)
        if ratio > CERTAIN:
            return (
                f"{repeated} of {len(some)} samples repeat an earlier one of their problem, where about {expected:.0f} "
                f"would by chance: engine={engine} caches responses or ignores temperature={temperature:g}, so figures "
                "of several samples, such as pass@k, are wrong"
            )
    return ""


def _count(rows: Sequence[SampleRow]) -> tuple[int, float, float]:
    """(repetitions, their expected number, log of the likelihood ratio)."""
    drawn: dict[str, dict[tuple[int, ...], float]] = {}  # probabilities of a problem's samples so far
    repeated, expected, ratios = 0, 0.0, [0.0] * len(RATES)
    for row in rows:
        earlier, tokens = drawn.setdefault(row["problem_id"], {}), tuple(row["tokens"])
        q = min(1.0, sum(earlier.values()))
        if earlier:
            expected += q
            repeated += tokens in earlier
            for i, rate in enumerate(RATES):
                again = log(q + (1 - q) * rate) - log(max(q, 1e-300))
                ratios[i] += again if tokens in earlier else log1p(-rate)
        earlier.setdefault(tokens, exp(min(0.0, sum(row["logprobs"]))))
    most = max(ratios)
    return repeated, expected, most + log(sum(exp(each - most) for each in ratios) / len(RATES))
