"""Credit assignment: groups of rewarded samples to the examples of an update.

A response's advantage and weight go to each of its tokens; forced tokens carry mask 0 and get neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlready.core.records import Group, Sample
from rlready.credit import dense
from rlready.credit.algorithms import ALGORITHMS, Algorithm
from rlready.credit.outcome import has_signal
from rlready.credit.reference import ReferencePair
from rlready.models.batch import Example


@dataclass(frozen=True)
class DenseStats:
    """Statistics of the dense rewards of a batch, for the log.

    ``dense_scale`` is the standard deviation of r̂ that rewards were divided by, ``dense_sum`` the mean over responses
    of Σr̂ (nats); ``dense_right`` and ``dense_length`` are the correlations of Σr̂ with correctness and with length
    within groups; ``kl`` is the policy's mean log-ratio to π_SFT in nats per chosen token.
    """

    dense_scale: float
    dense_sum: float
    dense_right: float | None
    dense_length: float | None
    kl: float


@dataclass(frozen=True)
class Credited:
    """Examples with a gradient, and the number of groups with a signal (``informative``), and without: all correct
    (``solved``), all wrong (``unsolved``), or with other ``equal`` rewards.

    With dense rewards, ``token_advantages`` has those of the tokens (T,) of every sample, in the order of the groups.
    """

    examples: list[Example]
    informative: int
    solved: int
    unsolved: int
    equal: int
    dense: DenseStats | None = None
    token_advantages: Sequence[NDArray[np.float64]] = ()


def credit(groups: Sequence[Group], algorithm: Algorithm, *, cap: int, keep_all: bool = False) -> Credited:
    """Examples of the groups that have a signal; ``keep_all`` keeps the others too, for a KL penalty."""
    kept = [g for g in groups if keep_all or has_signal(g.rewards)]
    zero_signal = [g for g in groups if not has_signal(g.rewards)]
    rows: list[tuple[Group, Sample, float]] = []
    for group in kept:
        advantages = algorithm.advantages(group.rewards)
        rows += [(group, s, float(a)) for s, a in zip(group.samples, advantages, strict=True)]
    lengths = np.array([int(s.mask.sum()) for _, s, _ in rows], dtype=np.int64)
    weights = algorithm.weights(lengths, sum(len(g.samples) for g in groups), cap)
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
    return _counted(groups, zero_signal, examples)


def dense_credit(
    groups: Sequence[Group],
    pair: ReferencePair,
    config: dense.DenseConfig,
    *,
    cap: int,
    max_tokens_per_microbatch: int,
    temperature: float = 1.0,
) -> Credited:
    """Examples with an advantage for every token, as ``credit/dense.py`` defines it."""
    samples = [s for g in groups for s in g.samples]
    sizes = [len(g.samples) for g in groups]
    rows = _unweighted(groups)
    dense_R, sft_R = pair.score(rows, max_tokens_per_microbatch=max_tokens_per_microbatch, temperature=temperature)
    mask_RT = dense.table([s.mask for s in samples]) > 0
    dense_RT = dense.table(dense_R)
    log_ratio_RT = np.where(mask_RT, dense.table([s.logprobs for s in samples]) - dense.table(sft_R), 0.0)
    return_RT, scale = dense.returns(dense_RT, log_ratio_RT, mask_RT, config)
    algorithm = ALGORITHMS["dense"]
    outcome_R = np.concatenate([algorithm.advantages(g.rewards) for g in groups])
    advantage_RT = dense.group_advantages(return_RT, mask_RT, sizes)
    advantage_RT = dense.mix_advantages(advantage_RT, outcome_R, mask_RT, config.dense_weight)
    owner = np.repeat(np.arange(len(groups)), sizes)
    informative = np.bincount(owner, advantage_RT.any(1)) > 0
    weights = algorithm.weights(mask_RT.sum(1), len(samples), cap)
    examples = [
        replace(
            row,
            advantage=advantage_RT[i, : len(row.response_ids)].astype(np.float32),
            weight=np.full(len(row.response_ids), weights[i], dtype=np.float32),
        )
        for i, row in enumerate(rows)
        if informative[owner[i]]
    ]
    total_R = dense_RT.sum(1)
    correct_R = np.array([float(bool(s.correct)) for s in samples])
    stats = DenseStats(
        dense_scale=scale,
        dense_sum=float(total_R.mean()),
        dense_right=dense.correlation(total_R, correct_R, sizes),
        dense_length=dense.correlation(total_R, mask_RT.sum(1).astype(np.float64), sizes),
        kl=float(log_ratio_RT[mask_RT].mean()),
    )
    zero_signal = [g for g, on in zip(groups, informative, strict=True) if not on]
    advantages = [advantage_RT[i, : len(row.response_ids)] for i, row in enumerate(rows)]
    return replace(_counted(groups, zero_signal, examples), dense=stats, token_advantages=advantages)


def _unweighted(groups: Sequence[Group]) -> list[Example]:
    """All samples as examples without advantage or weight, to be scored by the frozen models."""
    zeros: list[NDArray[np.float32]] = [np.zeros(len(s.tokens), np.float32) for g in groups for s in g.samples]
    pairs = [(g, s) for g in groups for s in g.samples]
    return [
        Example(g.prompt_ids, s.tokens.tolist(), s.mask, zero, zero, s.logprobs)
        for (g, s), zero in zip(pairs, zeros, strict=True)
    ]


def _counted(groups: Sequence[Group], zero_signal: Sequence[Group], examples: list[Example]) -> Credited:
    solved = sum(all(s.correct for s in g.samples) for g in zero_signal)
    unsolved = sum(not any(s.correct for s in g.samples) for g in zero_signal)
    equal = len(zero_signal) - solved - unsolved
    return Credited(examples, len(groups) - len(zero_signal), solved, unsolved, equal)
