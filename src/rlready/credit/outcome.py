"""Outcome credit: one advantage per response, from the rewards of its group.

    grpo     (R − mean R) / (std R + ε)     each response weighs 1/T, then the mean over responses
    dr_grpo  R − mean R                     every token weighs 1/(responses · cap)
    rloo     R − mean of the others' R      as dr_grpo
    dapo     as grpo                        every token weighs 1/(tokens of the batch)

GRPO is after Shao et al. (2402.03300) with the sample standard deviation and ε = 1e-4; Dr. GRPO 2503.20783; RLOO
2402.14740; DAPO 2503.14476 without dynamic sampling and without its overlong shaping (a reward, not a credit).

A group whose rewards are all equal has no signal.  It is dropped before the update, by exact equality, and
counted.  In all but DAPO the dropped responses still count in the normaliser, so dropping them saves time and does not
change the gradient.  DAPO's counts the kept responses only, as the paper does; the paper's dynamic sampling, which
replaces a dropped group by another, is left out.

Shapes: G responses of one group, R kept responses of a batch.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-4
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Normaliser(Protocol):
    """The weight (R,) of one token of each kept response.

    ``lengths`` (R,) are the numbers of their tokens in the loss, ``responses`` is the number of all responses of the
    batch, dropped ones included, and ``cap`` the largest number of tokens of a response.
    """

    def __call__(self, lengths: Ints, responses: int, cap: int) -> Floats: ...


def has_signal(rewards: Floats) -> bool:
    """Whether the rewards of a group are not all exactly equal."""
    return bool((rewards != rewards[0]).any())


def standardised(rewards: Floats) -> Floats:
    """Rewards (G,) to GRPO advantages (G,): minus the mean, over the sample standard deviation (ddof=1) plus 1e-4.

    Zeros for a group of one.
    """
    if len(rewards) < 2:
        return np.zeros_like(rewards)
    return np.asarray((rewards - rewards.mean()) / (rewards.std(ddof=1) + EPSILON))


def centred(rewards: Floats) -> Floats:
    """Rewards (G,) to Dr. GRPO advantages (G,): minus the mean; exactly 0 for equal rewards, whatever the rounding."""
    return np.asarray(rewards - rewards.mean()) if has_signal(rewards) else np.zeros_like(rewards)


def leave_one_out(rewards: Floats) -> Floats:
    """Rewards (G,) to RLOO advantages (G,): minus the mean of the other responses; zeros for a group of one."""
    if len(rewards) < 2:
        return np.zeros_like(rewards)
    return np.asarray((rewards - rewards.mean()) * (len(rewards) / (len(rewards) - 1)))


def per_response_token(lengths: Ints, responses: int, cap: int) -> Floats:
    """(R,) GRPO: every response weighs the same, whatever its length."""
    return 1.0 / (np.maximum(lengths, 1.0) * responses)


def per_batch_token(lengths: Ints, responses: int, cap: int) -> Floats:
    """(R,) DAPO: every token of the kept responses weighs the same, their weights sum to 1.

    For a KL penalty all responses are kept, and share these weights, as in TRL.
    """
    size = np.maximum(lengths, 1.0)
    return np.full(len(size), 1.0 / size.sum()) if len(size) else size


def per_token_of_cap(lengths: Ints, responses: int, cap: int) -> Floats:
    """(R,) Dr. GRPO: a constant that depends neither on the lengths nor on how many groups were dropped."""
    return np.full(len(lengths), 1.0 / (responses * cap))
