"""How an RL step on one problem changes the reward of the others: the influence of Cen et al. (arXiv 2505.18917).

Of N rollouts of a problem q a share α is correct; g = ∇ log π(o | q), with means ḡ⁺ and ḡ⁻ over correct and wrong ones.
With GRPO's advantages, on-policy and without KL, the group's gradient is

    u(q) = √(α(1−α)) (ḡ⁺(q) − ḡ⁻(q))

and a step η on q changes the standardised reward of the others (a reward less the problem's mean, over its deviation:
1/√(α(1−α)) times the reward itself), to first order, by (derived, METHODS section 3.1)

    ΔJ = η ⟨mean_q' u(q'), u(q)⟩ = η √(α(1−α)) (K⁺ − K⁻),    K± = ⟨mean_q' u(q'), ḡ±(q)⟩

so two mean gradients per problem are enough; pairs of rollouts are not needed.  Averaged over q it is the product of
two factors:

    ΔJ / η = group signal × co-influence,
    group signal = mean √(α(1−α)),    co-influence = K⁺ − K⁻ weighted by √(α(1−α))

**Choices of this package.**  Every problem serves as q and as q', but a pair q = q' is left out: influence of a problem
on itself is no evidence of learning.  A solved or unsolved problem has u = 0, counts in every mean over problems,
and has no K±.  Inner products grow with gradient norms and cannot be compared between checkpoints; the mean cosine of
two informative problems can.
Intervals are bootstrapped over problems, where a pair has the product of its problems' weights; they hold for other
problems of the same kind, each sampled once.  If gradients are projected, ``error`` is the root mean square error of a
cosine, from the difference of two independent projections.

With the sample standard deviation (N − 1) all values are √((N−1)/N) times as large; without division by the standard
deviation the weight is α(1−α).  g is the gradient of the sum over tokens, not of the mean.  How Cen et al. chose
parameters and problems is not public.

Shapes: P problems, M informative ones, C copies of a Gram matrix (`gram.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.stats import mean_estimate, weighted_estimate
from rlready.influence.gram import gram
from rlready.influence.result import InfluenceEstimates
from rlready.models.batch import Example, supervised

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of one problem: rows (N,) of one prompt, and which of them are correct."""

    rows: Sequence[Example]
    correct: NDArray[np.bool_]

    @property
    def informative(self) -> bool:
        """Whether some are correct and some wrong."""
        return bool(self.correct.any() and not self.correct.all())

    @property
    def group_signal(self) -> float:
        """√(α(1−α))"""
        share = float(self.correct.mean())
        return float(np.sqrt(share * (1 - share)))

    @staticmethod
    def of(
        prompt_ids: Sequence[int],
        responses: Sequence[tuple[Sequence[int], NDArray[np.uint8]]],
        correct: Sequence[bool],
    ) -> Rollouts:
        """From token ids and masks of the responses."""
        rows = [replace(supervised(prompt_ids, tokens), mask=mask) for tokens, mask in responses]
        return Rollouts(rows, np.array(correct, dtype=bool))

    def those(self, right: bool) -> list[Example]:
        """The correct rows, or the wrong ones."""
        return [row for row, c in zip(self.rows, self.correct, strict=True) if c == right]


@dataclass(frozen=True)
class Influence:
    """Inner products of the informative problems' gradients; ``place`` (M,) are their indices among all P problems.

    ``group_signal`` (P,) is that of all problems.

    ``right`` and ``wrong`` (C, M, M) hold ⟨u(q'), ḡ⁺(q)⟩ and ⟨u(q'), ḡ⁻(q)⟩ at [q', q].
    """

    group_signal: Floats
    place: NDArray[np.int64]
    right: Floats
    wrong: Floats

    @property
    def products(self) -> Floats:
        """(C, M, M) of ⟨u(q'), u(q)⟩"""
        return (self.right - self.wrong) * self.group_signal[self.place]

    @property
    def step(self) -> Floats:
        """(P,) ΔJ / η of a step on each problem, the mean over all others."""
        found = np.zeros(len(self.group_signal))
        products = self.products.mean(0)
        found[self.place] = (products.sum(0) - np.diagonal(products)) / (len(found) - 1)
        return found

    @property
    def cosines(self) -> Floats:
        """(C, M, M) of u(q') and u(q), with the norms of the mean of the copies."""
        size = np.sqrt(np.maximum(np.diagonal(self.products.mean(0)), 0))
        scale = np.outer(size, size)
        return np.divide(self.products, scale, out=np.zeros_like(self.products), where=scale > 0)

    @property
    def error(self) -> float:
        """Root mean square error of a cosine of two problems; 0 where exact.

        It is estimated as half the difference of two independent projections.
        """
        apart = self.cosines[0] - self.cosines[-1]
        others = apart[~np.eye(len(apart), dtype=bool)] / 2
        return float(np.sqrt(np.mean(others**2))) if len(others) else 0.0

    def estimates(self) -> InfluenceEstimates:
        """Means over problems with bootstrap intervals."""
        signal, place, size = self.group_signal, self.place, len(self.group_signal)
        some, enough = len(place) > 1, len(place) > 2
        right, wrong = (k.mean(0) * signal[place] for k in (self.right, self.wrong))

        def mean(pairs_MM: Floats, per: Floats | None = None) -> Estimate:
            return weighted_estimate(partial(_pair_mean, pairs_MM, place, per), size)

        among = partial(_pair_mean, self.cosines.mean(0), np.arange(len(place)), None)
        return InfluenceEstimates(
            step=mean(right - wrong) if some else None,
            group_signal=mean_estimate(signal, bounds=(0.0, 0.5)),
            k_right=mean(right, signal) if enough else None,
            k_wrong=mean(wrong, signal) if enough else None,
            co_influence=mean(right - wrong, signal) if enough else None,
            cosine=weighted_estimate(among, len(place)) if enough else None,
        )


def influence(
    model: Any,
    groups: Sequence[Rollouts],
    parameters: Sequence[Tensor],
    *,
    temperature: float = 1.0,
    rank: int = 0,
    seed: int = 0,
) -> Influence:
    """The influence of problems on each other, over these parameters; ``rank`` 0 is exact (`gram.py`).

    Raises UserError for fewer than two problems.
    """
    if len(groups) < 2:
        raise UserError(f"influence is measured between problems and needs at least 2, got {len(groups)}")
    signal = np.array([group.group_signal for group in groups])
    place = np.flatnonzero([group.informative for group in groups])
    many = len(place)
    if not many:
        return Influence(signal, place, np.zeros((1, 0, 0)), np.zeros((1, 0, 0)))
    sets = [groups[i].those(right) for right in (True, False) for i in place.tolist()]
    inner = gram(model, sets, parameters, temperature=temperature, rank=rank, seed=seed)
    of_u = signal[place][:, None] * (inner[:, :many] - inner[:, many:])
    return Influence(signal, place, of_u[..., :many], of_u[..., many:])


def _pair_mean(pairs_MM: Floats, place: NDArray[np.int64], per: Floats | None, weights_RP: Floats) -> Floats:
    """(R,) weighted means of a matrix over ordered pairs of different problems, of which only some are not 0.

    ``per`` (P,): divided by the weighted mean of these.
    """
    some = weights_RP[:, place]
    off = pairs_MM - np.diag(np.diagonal(pairs_MM))
    total = weights_RP.sum(1)
    mean: Floats = np.einsum("ri,ri->r", some @ off, some) / (total**2 - (weights_RP**2).sum(1))
    return mean if per is None else mean * total / (weights_RP @ per)
