"""Dense credit: a reward for every token, from two frozen checkpoints of one SFT run, and no verifier.

    r̂_t = log π_SFT(y_t|s_t) − log π_ref(y_t|s_t)                        π_ref: an earlier checkpoint
    r_t = clip(r̂_t / σ) − β (log π_θ(y_t|s_t) − log π_SFT(y_t|s_t))      σ: standard deviation of r̂ over the batch
    G_t = Σ_{k≥t} γ^{k−t} r_k
    A_t = G_t − mean of G_t over the group's other responses, those that chose a token at t if any did

r̂ and the critic-free, undiscounted REINFORCE are those of Dense-Path REINFORCE (Li et al., arXiv 2510.02493, eq. 5),
where π_ref has seen half of the samples.  The paper does not publish the rest; choices of this package are the mean of
the other responses as baseline, σ, the clip, the KL term in the reward (so that the optimum is π_SFT^{1+1/βσ} /
π_ref^{1/βσ}), the constant normaliser, and the mixture with a verifier.  All log-probabilities are those at the
sampling temperature, the end of sequence included; forced tokens have no reward.  Left out: a learned value, several
references, rewards ignored where both models are unsure.

Shapes: R responses of at most T tokens, in one table; a response's group is its prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlready.core.config import ReturnType, ScaleRewards
from rlready.credit.outcome import centred, has_signal

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
ROUNDING = 1e-5  # of a group's largest return: float32 log-probabilities of equal responses differ by as much


@dataclass(frozen=True)
class DenseConfig:
    """How dense rewards become advantages; fields as in ``RLConfig``."""

    return_type: ReturnType = "reward_to_go"
    gamma: float = 1.0
    scale_rewards: ScaleRewards = "std"
    reward_clip: float = 0.0
    beta: float = 1.0
    dense_weight: float = 1.0


def returns(dense_RT: Floats, log_ratio_RT: Floats, mask_RT: Mask, config: DenseConfig) -> tuple[Floats, float]:
    """G_t of every token, and the standard deviation of r̂ that rewards were divided by.

    ``dense_RT`` is r̂, ``log_ratio_RT`` is log π_θ − log π_SFT, both in nats.
    """
    reward_RT, scale = scaled(dense_RT, mask_RT, config.scale_rewards, config.reward_clip)
    if config.return_type == "uniform":
        reward_RT = uniform(reward_RT, mask_RT)
    full = config.return_type == "full_return"
    return returns_of(reward_RT - config.beta * log_ratio_RT, config.gamma, full=full), scale


def table(rows: Sequence[NDArray[np.generic]]) -> Floats:
    """(R, T) rows padded with 0 on the right."""
    padded = np.zeros((len(rows), max(map(len, rows))))
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


def scaled(dense_RT: Floats, mask_RT: Mask, scaling: ScaleRewards, clip: float = 0.0) -> tuple[Floats, float]:
    """r̂ divided by its standard deviation over the chosen tokens of the batch, clipped; and that deviation."""
    chosen = dense_RT[mask_RT]
    scale = 1.0 if scaling == "none" else float(chosen.std())
    centre = chosen.mean() if scaling == "zscore" else 0.0
    reward_RT = np.where(mask_RT, (dense_RT - centre) / (scale or 1.0), 0.0)
    return (np.clip(reward_RT, -clip, clip) if clip else reward_RT), scale


def uniform(reward_RT: Floats, mask_RT: Mask) -> Floats:
    """The total reward of every response, distributed evenly over its chosen tokens."""
    share_R1 = reward_RT.sum(1, keepdims=True) / np.maximum(mask_RT.sum(1, keepdims=True), 1)
    return np.where(mask_RT, share_R1, 0.0)


def returns_of(reward_RT: Floats, gamma: float, *, full: bool = False) -> Floats:
    """Discounted rewards to go; or, with ``full``, the discounted sum of the whole response for each of its tokens."""
    to_go_RT = np.zeros_like(reward_RT)
    after_R = np.zeros(len(reward_RT))
    for t in reversed(range(reward_RT.shape[1])):
        to_go_RT[:, t] = after_R = reward_RT[:, t] + gamma * after_R
    return np.broadcast_to(to_go_RT[:, :1], to_go_RT.shape).copy() if full else to_go_RT


def group_advantages(return_RT: Floats, mask_RT: Mask, sizes: Sequence[int]) -> Floats:
    """Advantages: returns less the mean of the others of their group at the same position, 0 where nothing was chosen.

    ``sizes`` are the numbers of responses in each group, in the order of the rows.  Any baseline b that does not depend
    on the response itself leaves the policy gradient unbiased: given s_t, E[b ∇log π(y_t|s_t)] = b Σ_y ∇π(y|s_t) = 0.
    The mean of the others at t is such a b.  The mean of all n responses at t is not: it would shrink the advantage to
    1 − 1/n of its value, and most where few responses reach t.

    Where no other response chose a token, all others are the baseline: their returns there, 0 for rewards to go of a
    response that has ended, and 0 without others.  An advantage of 0 instead would be biased: it would drop the
    gradient at the ends of the longest responses.  A group whose returns differ by rounding alone has no advantage.
    """
    advantage_RT = np.zeros_like(return_RT)
    ends = np.cumsum(sizes)
    for begin, end in zip(ends - sizes, ends, strict=True):
        mask, value = mask_RT[begin:end], return_RT[begin:end]
        compared = mask | (mask.sum(0) == 1)
        total_T = np.where(compared, value, 0.0).sum(0)
        others_T = np.maximum(compared.sum(0) - 1, 1)
        advantage = np.where(mask, value - (total_T - value) / others_T, 0.0)
        if np.abs(advantage).max() > ROUNDING * np.abs(value).max():
            advantage_RT[begin:end] = advantage
    return advantage_RT


def mix_advantages(dense_RT: Floats, outcome_R: Floats, mask_RT: Mask, share: float) -> Floats:
    """share · dense + (1 − share) · outcome, each with a mean square of 1 over the chosen tokens of the batch."""
    if share == 1:
        return dense_RT
    outcome_RT = np.where(mask_RT, outcome_R[:, None], 0.0)
    return share * _unit(dense_RT, mask_RT) + (1 - share) * _unit(outcome_RT, mask_RT)


def _unit(advantage_RT: Floats, mask_RT: Mask) -> Floats:
    size = float(np.sqrt(np.square(advantage_RT[mask_RT]).mean()))
    return advantage_RT / size if size else advantage_RT


def correlation(a_R: Floats, b_R: Floats, sizes: Sequence[int]) -> float | None:
    """Pearson's correlation within groups, as advantages are relative to a group: deviations are from each group's
    mean.

    Pooling over prompts instead would also correlate differences between prompts, and may have the opposite sign.
    Groups in which b does not vary are left out; None where none remains, or a varies in none of them.
    """
    ends = np.cumsum(sizes)[:-1]
    pairs = zip(np.split(a_R, ends), np.split(b_R, ends), strict=True)
    centres = [(centred(a), centred(b)) for a, b in pairs if has_signal(b)]
    if not centres:
        return None
    a, b = (np.concatenate(side) for side in zip(*centres, strict=True))
    norm = math.sqrt((a @ a) * (b @ b))
    return float(a @ b) / norm if norm > 0 else None
