"""Predictors of the outcome of RL: one number per checkpoint, and its bootstrap over problems or examples.

After Kang et al. (arXiv 2510.01624): post-SFT pass@1 is the *baseline*; generalisation loss (less is better) and pass@k
at large k are the better predictors.  The group signal E √(α(1-α)) is after Cen et al. (arXiv 2505.18917), entropy
after Aphale & Liu (2606.18487), distinct answers after AESL (`readiness/diversity.py`).  Cover@τ (2510.08325) is the
share of problems of which at least the share τ of samples is right, 0.2 for breadth and 0.8 for reliability; it counts
the samples as they are, so that few of them blur it.  The share of informative groups is this package's choice.

*combined* is defined here, as the paper does not say how it joined the two: least squares on (loss, pass@k), both
standardised over the checkpoints, with three parameters and with pass@k itself rather than its log-odds, as in the
paper's linear fits.  If nothing is fitted (ranking, Spearman), it is the mean of the two, which cannot overfit.

**Bootstrap.**  Bayesian, as in ``stats.py``: one set of weights over problems serves all checkpoints, which keeps them
paired.  Each checkpoint also gets half a pseudo-problem at either bound, so that a few problems with equal outcomes do
not make a draw certain.  Of entropy and of distinct answers only the interval is known: their draws are normal and not
paired.

Shapes: B = resamples, C = checkpoints, P = problems, E = held-out examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.records import Estimate
from rlready.core.stats import NORMAL_WIDTH, TAIL, simultaneous
from rlready.predict.candidates import Candidate
from rlready.readiness.group_signal import group_signal, informative
from rlready.readiness.passk import Floats, powers
from rlready.readiness.ranking import Gap, comparisons, gap_of_shares, large

COVER = (0.2, 0.8)  # shares of a problem's samples
BASELINE, LOSS, COMBINED = "pass@1", "loss", "combined"


@dataclass(frozen=True)
class Predictor:
    """``values`` (C,) and their resamples ``draws`` (B, C); ``sign`` is -1 if less is better.

    ``gap`` gives the lead of one checkpoint over another, with a simultaneous interval for all pairs.
    ``features`` (C, F) are the inputs of a fit: the values, or two columns for *combined*.
    """

    name: str
    values: Floats
    draws: Floats
    gap: Gap
    sign: int = 1
    features: Floats | None = None

    @property
    def score(self) -> Floats:
        """(C,) values with the sign for which more is better."""
        return self.sign * self.values

    @property
    def inputs(self) -> Floats:
        return self.values[:, None] if self.features is None else self.features

    def p_better(self) -> Floats:
        """(C, C) probability that the row's checkpoint is better than the column's; a tie counts as one half."""
        draws = self.sign * self.draws
        return np.array([(draws[:, i : i + 1] > draws).mean(0) + 0.5 * (draws[:, i : i + 1] == draws).mean(0)
                         for i in range(draws.shape[1])])  # fmt: skip

    def best(self) -> Floats:
        """(C,) probability of being the best of all, shared equally between ties."""
        draws = self.sign * self.draws
        top = draws == draws.max(1, keepdims=True)
        share: Floats = (top / top.sum(1, keepdims=True)).mean(0)
        return share


def predictors(
    candidates: Sequence[Candidate], *, most: int, group: int, compare_loss: bool, resamples: int, seed: int
) -> list[Predictor]:
    """All predictors that are known for every candidate; the baseline comes first, *combined* last.

    ``most`` is the largest k of pass@k; ``compare_loss`` says whether losses may be compared (same rows).
    """
    rng = np.random.default_rng([seed, 1])
    heads = [c.counts.head for c in candidates]
    group = min(group, *(int(n.min()) for n, _ in heads))
    weights_BP = rng.standard_exponential((resamples, len(candidates[0].counts.drawn)))
    ends_BC2 = rng.standard_gamma(0.5, (resamples, len(candidates), 2))

    fewest = min(c.counts.cap for c in candidates)

    def shares(name: str, estimates_CP: Floats, bound: float, step: float = 0.0) -> Predictor:
        top = weights_BP @ estimates_CP.T + bound * ends_BC2[:, :, 0]
        draws = top / (weights_BP.sum(1)[:, None] + ends_BC2.sum(2))
        return Predictor(name, estimates_CP.mean(1), draws, gap_of_shares(estimates_CP, bound, step))

    ks = powers(most)
    passes_CPK = np.array([c.counts.pass_at_k(ks) for c in candidates])
    found = [shares(f"pass@{k}", np.ascontiguousarray(passes_CPK[:, :, i]), 1.0, k / fewest) for i, k in enumerate(ks)]
    covered = {tau: np.array([c >= tau * n for n, c in heads], dtype=np.float64) for tau in COVER}
    found += [shares(f"cover@{tau}", estimates, 1.0) for tau, estimates in covered.items()]
    if group > 1:
        found.append(shares("group_signal", np.array([group_signal(n, c, group) for n, c in heads]), 0.5))
        found.append(shares("informative", np.array([informative(n, c, group) for n, c in heads]), 1.0))
    for name in ("entropy", "distinct_answers"):
        known = [each for c in candidates if (each := getattr(c, name)) is not None]
        if len(known) == len(candidates):
            values = np.array([each.value for each in known])
            noise = rng.standard_normal((resamples, len(values))) * [(e.high - e.low) / NORMAL_WIDTH for e in known]
            draws = values + noise
            found.append(Predictor(name, values, draws, _drawn_gap(values, draws, weights_BP.shape[1])))
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


def stated(name: str, values: Floats) -> Predictor:
    """A predictor that comes with the outcomes of RL; no uncertainty of its values is known, so that it cannot rank."""
    return Predictor(name, values, values[None], _drawn_gap(values, values[None], len(values)))


def combined(loss: Predictor, passes: Predictor, units: int) -> Predictor:
    """The mean of both, standardised over checkpoints, with the loss negated; both are features of a fit.

    ``units`` is the number of problems or of held-out examples, whichever is smaller.
    """
    values = (standard(passes.values) - standard(loss.values)) / 2
    draws = (standard(passes.draws) - standard(loss.draws)) / 2
    features = np.stack([loss.values, passes.values], axis=1)
    return Predictor(COMBINED, values, draws, _drawn_gap(values, draws, units), features=features)


def standard(values: Floats) -> Floats:
    """Values (..., C) standardised over checkpoints; zeros if all are equal."""
    deviation = values.std(-1, keepdims=True)
    standardised: Floats = (values - values.mean(-1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
    return standardised


def _drawn_gap(values_C: Floats, draws_BC: Floats, units: int) -> Gap:
    """Differences with intervals from the quantiles of draws, for values that are not means over problems."""
    pairs = comparisons(len(values_C))

    def gap(a: int, b: int) -> Estimate:
        low, high = (float(q) for q in np.quantile(draws_BC[:, a] - draws_BC[:, b], [TAIL, 1 - TAIL]))
        value = float(values_C[a] - values_C[b])
        return simultaneous(Estimate(value, min(low, value), max(high, value), units), pairs)

    return gap
