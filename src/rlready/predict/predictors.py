"""What may predict the outcome of RL: one number a checkpoint, and its bootstrap over problems or examples.

After Kang et al. (arXiv 2510.01624): post-SFT pass@1 is the *baseline*; generalisation loss (less is better) and pass@k
at large k are the better predictors.  The group signal E √(α(1-α)) is after Cen et al. (arXiv 2505.18917), entropy
after Aphale & Liu (2606.18487); the share of informative groups is ours.

*combined* is ours, as the paper does not say how it joined the two: least squares on (loss, pass@k), both standardised
over the checkpoints: three parameters, pass@k as it is rather than its log-odds, as in the paper's linear fits.  Where
nothing is fitted (ranking, Spearman) it is the mean of the two standardised, so that it cannot flatter itself.

**Bootstrap.**  Bayesian, as in ``stats.py``: one set of weights over problems for all checkpoints, which keeps them
paired, and at either bound half a pseudo-problem for each checkpoint apart, so that a draw is never certain because a
few problems fell one way.  Entropy is known by its interval only: normal, not paired.

Shapes: B = resamples, C = checkpoints, P = problems, E = held-out examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import TAIL, simultaneous
from rlready.predict.candidates import Candidate
from rlready.readiness.group_signal import group_signal, informative
from rlready.readiness.passk import Floats, powers
from rlready.readiness.ranking import Gap, comparisons, gap_of_shares, large

BASELINE, LOSS, COMBINED = "pass@1", "loss", "combined"
NORMAL = 2 * 1.959964  # standard deviations in a 95 % interval


@dataclass(frozen=True)
class Predictor:
    """``values`` (C,) and ``draws`` (B, C) of them; ``sign`` -1 where less is better.

    ``gap`` says how far one checkpoint is ahead of another, by an interval that holds for all pairs together.
    ``features`` (C, F) are what a fit gets: the values, or two columns for *combined*.
    """

    name: str
    values: Floats
    draws: Floats
    gap: Gap
    sign: int = 1
    features: Floats | None = None

    @property
    def score(self) -> Floats:
        """(C,) more is better."""
        return self.sign * self.values

    @property
    def inputs(self) -> Floats:
        return self.values[:, None] if self.features is None else self.features

    def p_better(self) -> Floats:
        """(C, C) probability that the row's checkpoint is better than the column's by this predictor; ties halve."""
        draws = self.sign * self.draws
        return np.array([(draws[:, i : i + 1] > draws).mean(0) + 0.5 * (draws[:, i : i + 1] == draws).mean(0)
                         for i in range(draws.shape[1])])  # fmt: skip

    def best(self) -> Floats:
        """(C,) probability of being the best of all; ties share it."""
        draws = self.sign * self.draws
        top = draws == draws.max(1, keepdims=True)
        share: Floats = (top / top.sum(1, keepdims=True)).mean(0)
        return share


def predictors(
    candidates: Sequence[Candidate], *, most: int, group: int, compare_loss: bool, resamples: int, seed: int
) -> list[Predictor]:
    """All that is known of every candidate; the baseline comes first, *combined* last.

    ``most`` is the largest k of pass@k.  ``compare_loss``: their losses are of the same rows and may be compared.
    """
    rng = np.random.default_rng([seed, 1])
    heads = [c.counts.head for c in candidates]
    group = min(group, *(int(n.min()) for n, _ in heads))
    weights_BP = rng.standard_exponential((resamples, len(candidates[0].counts.drawn)))
    ends_BC2 = rng.standard_gamma(0.5, (resamples, len(candidates), 2))

    def shares(name: str, estimates_CP: Floats, bound: float) -> Predictor:
        top = weights_BP @ estimates_CP.T + bound * ends_BC2[:, :, 0]
        draws = top / (weights_BP.sum(1)[:, None] + ends_BC2.sum(2))
        return Predictor(name, estimates_CP.mean(1), draws, gap_of_shares(estimates_CP, bound))

    ks = powers(most)
    passes_CPK = np.array([c.counts.pass_at_k(ks) for c in candidates])
    found = [shares(f"pass@{k}", np.ascontiguousarray(passes_CPK[:, :, i]), 1.0) for i, k in enumerate(ks)]
    if group > 1:
        found.append(shares("group_signal", np.array([group_signal(n, c, group) for n, c in heads]), 0.5))
        found.append(shares("informative", np.array([informative(n, c, group) for n, c in heads]), 1.0))
    entropies = [c.entropy for c in candidates if c.entropy is not None]
    if len(entropies) == len(candidates):
        values = np.array([e.value for e in entropies])
        noise = rng.standard_normal((resamples, len(values))) * [(e.high - e.low) / NORMAL for e in entropies]
        draws = values + noise
        found.append(Predictor("entropy", values, draws, _drawn_gap(values, draws, weights_BP.shape[1])))
    losses = [c.loss for c in candidates if c.loss is not None] if compare_loss else []
    if len(losses) == len(candidates):
        nll_CE, tokens_CE = np.array([x.nll for x in losses]), np.array([x.tokens for x in losses], dtype=np.float64)
        weights_BE = rng.standard_exponential((resamples, nll_CE.shape[1]))
        draws = (weights_BE @ nll_CE.T) / (weights_BE @ tokens_CE.T)
        pairs = comparisons(len(losses))

        def below(a: int, b: int) -> Estimate:
            return simultaneous(losses[b].minus(losses[a]), pairs)

        loss = Predictor(LOSS, nll_CE.sum(1) / tokens_CE.sum(1), draws, below, sign=-1)
        passes = next(p for p in found if p.name == f"pass@{large(most)}")
        found += [loss, combined(loss, passes, units=min(weights_BP.shape[1], weights_BE.shape[1]))]
    return found


def combined(loss: Predictor, passes: Predictor, units: int) -> Predictor:
    """The mean of both standardised over checkpoints, less loss being better; both as features of a fit.

    ``units``: problems or held-out examples, whichever are fewer.
    """
    values = (standard(passes.values) - standard(loss.values)) / 2
    draws = (standard(passes.draws) - standard(loss.draws)) / 2
    features = np.stack([loss.values, passes.values], axis=1)
    return Predictor(COMBINED, values, draws, _drawn_gap(values, draws, units), features=features)


def standard(values: Floats) -> Floats:
    """Values (..., C) less their mean over checkpoints, in standard deviations; zeros where all are equal."""
    deviation = values.std(-1, keepdims=True)
    standardised: Floats = (values - values.mean(-1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
    return standardised


def _drawn_gap(values_C: Floats, draws_BC: Floats, units: int) -> Gap:
    """Differences by the quantiles of their draws, of what is no mean over problems or examples."""
    pairs = comparisons(len(values_C))

    def gap(a: int, b: int) -> Estimate:
        low, high = (float(q) for q in np.quantile(draws_BC[:, a] - draws_BC[:, b], [TAIL, 1 - TAIL]))
        value = float(values_C[a] - values_C[b])
        return simultaneous(Estimate(value, min(low, value), max(high, value), units), pairs)

    return gap
