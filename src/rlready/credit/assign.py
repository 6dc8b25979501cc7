"""Credit assignment: groups of rewarded samples to the examples of an update.

A response's advantage and weight go to each of its tokens; forced tokens carry mask 0 and get neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rlready.core.config import Algorithm
from rlready.core.records import Group, Sample
from rlready.credit import dense
from rlready.credit.outcome import ADVANTAGES, centred, has_signal, token_weights
from rlready.credit.reference import ReferencePair
from rlready.models.batch import Example


@dataclass(frozen=True)
class Credited:
    """Examples with a gradient, how many groups had none and why, and what else the log should say."""

    examples: list[Example]
    used: int
    all_right: int
    all_wrong: int
    other: int  # equal rewards that are neither all right nor all wrong
    facts: dict[str, float | None] = field(default_factory=dict)


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
    return _counted(groups, flat, examples)


def dense_credit(
    groups: Sequence[Group],
    frozen: ReferencePair,
    shape: dense.DenseConfig,
    *,
    cap: int,
    micro_tokens: int,
    temperature: float = 1.0,
) -> Credited:
    """Examples with an advantage for every token, as ``credit/dense.py`` has it; the facts say how it was made.

    ``dense_scale`` is the deviation of r̂ that rewards were divided by, ``dense_sum`` the mean over responses of Σr̂,
    ``dense_right`` and ``dense_length`` its correlations with correctness and with length within groups, all in nats or
    without unit; ``kl`` the policy's mean log-ratio to π_SFT in nats per chosen token.
    """
    samples = [s for g in groups for s in g.samples]
    prompts = [g.prompt_ids for g in groups for _ in g.samples]
    zeros = [np.zeros(len(s.tokens), dtype=np.float32) for s in samples]
    rows = [
        Example(prompt, s.tokens.tolist(), s.mask, zero, zero, s.logprobs)
        for prompt, s, zero in zip(prompts, samples, zeros, strict=True)
    ]
    dense_R, sft_R = frozen.score(rows, micro_tokens=micro_tokens, temperature=temperature)
    mask_RT = dense.table([s.mask for s in samples]) > 0
    dense_RT = dense.table(dense_R)
    drift_RT = np.where(mask_RT, dense.table([s.logprobs for s in samples]) - dense.table(sft_R), 0.0)
    reward_RT, scale = dense.scaled(dense_RT, mask_RT, shape.scaling, shape.clip)
    if shape.return_type == "uniform":
        reward_RT = dense.spread(reward_RT, mask_RT)
    return_RT = dense.returns_of(
        reward_RT - shape.beta * drift_RT, shape.gamma, path=shape.return_type == "full_return"
    )
    sizes = [len(g.samples) for g in groups]
    advantage_RT = dense.against_group(return_RT, mask_RT, sizes)
    outcome_R = np.concatenate([centred(g.rewards) for g in groups])
    advantage_RT = dense.mixed(advantage_RT, outcome_R, mask_RT, shape.mix)
    owner = np.repeat(np.arange(len(groups)), sizes)
    used = np.bincount(owner, advantage_RT.any(1)) > 0
    weight = 1.0 / (len(samples) * cap)
    examples = [
        replace(
            row,
            advantage=advantage_RT[i, : len(row.response_ids)].astype(np.float32),
            weight=np.full(len(row.response_ids), weight, dtype=np.float32),
        )
        for i, row in enumerate(rows)
        if used[owner[i]]
    ]
    total_R = dense_RT.sum(1)
    facts = {
        "dense_scale": scale,
        "dense_sum": float(total_R.mean()),
        "dense_right": dense.correlation(total_R, np.array([float(bool(s.correct)) for s in samples]), sizes),
        "dense_length": dense.correlation(total_R, mask_RT.sum(1).astype(np.float64), sizes),
        "kl": float(drift_RT[mask_RT].mean()),
    }
    return replace(_counted(groups, [g for g, on in zip(groups, used, strict=True) if not on], examples), facts=facts)


def _counted(groups: Sequence[Group], flat: Sequence[Group], examples: list[Example]) -> Credited:
    right = sum(all(s.correct for s in g.samples) for g in flat)
    wrong = sum(not any(s.correct for s in g.samples) for g in flat)
    return Credited(examples, len(groups) - len(flat), right, wrong, len(flat) - right - wrong)
