"""Credit assignment: groups of rewarded samples to the examples of an update.

A response's advantage and weight go to each of its tokens; forced tokens carry mask 0 and get neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.batch import Example
from rlready.config import Algorithm
from rlready.credit.outcome import ADVANTAGES, has_signal, token_weights
from rlready.records import Group, Sample


@dataclass(frozen=True)
class Credited:
    """Examples with a gradient, and how many groups had none and why."""

    examples: list[Example]
    used: int
    all_right: int
    all_wrong: int
    other: int  # equal rewards that are neither all right nor all wrong


def credit(groups: Sequence[Group], algorithm: Algorithm, *, cap: int, keep_all: bool = False) -> Credited:
    """Examples of the groups that can teach something; ``keep_all`` keeps the rest too, for a KL penalty."""
    kept = [g for g in groups if keep_all or has_signal(g.rewards)]
    flat = [g for g in groups if not has_signal(g.rewards)]
    rows: list[tuple[Group, Sample, float]] = []
    for group in kept:
        advantages = ADVANTAGES[algorithm](group.rewards)
        rows += [(group, s, float(a)) for s, a in zip(group.samples, advantages, strict=True)]
    weights = token_weights(
        algorithm,
        [int(s.mask.sum()) for _, s, _ in rows],
        responses=sum(len(g.samples) for g in groups),
        cap=cap,
    )
    examples = [
        Example(
            group.prompt_ids,
            sample.tokens.tolist(),
            sample.mask,
            np.full(len(sample.tokens), advantage, dtype=np.float32),
            np.full(len(sample.tokens), weight, dtype=np.float32),
            sample.logprobs,
        )
        for (group, sample, advantage), weight in zip(rows, weights, strict=True)
    ]
    right = sum(all(s.correct for s in g.samples) for g in flat)
    wrong = sum(not any(s.correct for s in g.samples) for g in flat)
    return Credited(examples, len(groups) - len(flat), right, wrong, len(flat) - right - wrong)
