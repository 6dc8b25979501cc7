"""Many short thoughts instead of one long one: majority vote and best of n over the samples of a problem.

All at equal total tokens: with T tokens to spend and t for one response, n = T / t of them, at least one and at most as
many as were drawn.  After s1's comparison of sequential and parallel scaling (Muennighoff et al., arXiv 2501.19393);
different from it, the samples are split into consecutive blocks of n whose results are averaged, so that no sample is
used twice.

    majority_vote   the most common answer is correct (of equally common ones the first)
    most_likely     the response with the highest mean log-probability under the model is correct
    any_right       at least one is correct: what a perfect verifier could choose
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Sample


@dataclass(frozen=True)
class Ballot:
    """One response as a vote: its answer in the form in which answers are compared, and whether that is correct."""

    answer: str
    correct: bool
    likelihood: float  # mean log-probability of the tokens that the policy chose


@dataclass(frozen=True)
class BlockShares:
    """Shares of the blocks of one problem that are correct."""

    majority_vote: float
    most_likely: float
    any_right: float


def ballot(sample: Sample, answer: str) -> Ballot:
    chosen = sample.mask.astype(bool)
    return Ballot(answer, bool(sample.correct), float(sample.logprobs[chosen].mean()) if chosen.any() else -np.inf)


def affordable(total: float, one: float, drawn: int) -> int:
    """How many responses of ``one`` tokens each fit into ``total`` tokens: at least 1, at most ``drawn``."""
    return max(1, min(drawn, int(total / one + 1e-9) if one else drawn))


def shares(ballots: Sequence[Ballot], n: int) -> BlockShares:
    """Shares of the blocks of ``n`` ballots that are correct by vote, by likelihood and by at least one."""
    blocks = [ballots[at : at + n] for at in range(0, len(ballots) - n + 1, n)]
    return BlockShares(
        majority_vote=float(np.mean([_elected(block).correct for block in blocks])),
        most_likely=float(np.mean([max(block, key=lambda b: b.likelihood).correct for block in blocks])),
        any_right=float(np.mean([any(b.correct for b in block) for block in blocks])),
    )


def _elected(block: Sequence[Ballot]) -> Ballot:
    """The first ballot with the most common answer; empty answers count only if there are no others."""
    counts = Counter(b.answer for b in block if b.answer) or Counter(b.answer for b in block)
    winner = max(counts, key=lambda answer: counts[answer])
    return next(b for b in block if b.answer == winner)
