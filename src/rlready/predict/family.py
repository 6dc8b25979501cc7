"""Runs of RL that may be compared with each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rlready.core.cells import brief_percent, decimal
from rlready.core.records import Estimate
from rlready.core.stats import TAIL, t_quantile
from rlready.predict.candidates import Candidate
from rlready.predict.meaning import of_all
from rlready.predict.outcome import Outcome
from rlready.readiness.passk import Floats, Ints


@dataclass(frozen=True)
class Family:
    """Runs that may be compared: one scenario, one RL recipe.  ``place`` (M,) are indices of candidates.

    ``seeds`` (M,) is the number of RL runs that an outcome is the mean of.  ``cost`` is their sum, None if any is
    unknown; ``seed_sd`` is the pooled standard deviation between RL seeds, None if no checkpoint has two.
    ``sft_seed`` has the seed of every run's SFT, "" where it is unknown.  ``stated`` has the predictors by name, (M,)
    each, that come with the outcomes of all runs: means over RL seeds, like the outcomes.  ``meaning``
    says what those are; ``over_problems`` are the outcomes of single runs with their intervals over problems, if known.
    ``alone`` counts the checkpoints whose recipe is not known, each of which is taken for one of its own.
    """

    name: str
    place: Ints
    outcome: Floats
    cost: Floats | None
    recipe: Ints
    seeds: Ints
    seed_sd: float | None
    sft_seed: Sequence[str]
    stated: Mapping[str, Floats] = field(default_factory=dict)
    meaning: str = ""
    over_problems: Sequence[Estimate | None] = ()
    alone: int = 0

    @property
    def recipes(self) -> int:
        return int(self.recipe.max()) + 1

    @property
    def bounds(self) -> tuple[float, float] | None:
        """(0, 1) if outcomes look like accuracies, which limits every prediction of them; None if they do not."""
        return (0.0, 1.0) if ((self.outcome >= 0) & (self.outcome <= 1)).all() else None

    def shown(self, i: int) -> str:
        """The outcome of the i-th run as text, with a mark on one that no run has shown."""
        value = f"{brief_percent(self.estimates()[i])} %" if self.bounds else decimal(self.outcome[i])
        return f"{value} (asymptote)" if self.meaning.startswith("asymptote ") else value

    def limited(self, estimate: Estimate) -> Estimate:
        """An estimate of an outcome within what an outcome can be."""
        if self.bounds is None:
            return estimate
        value, low, high = (float(np.clip(x, *self.bounds)) for x in (estimate.value, estimate.low, estimate.high))
        return replace(estimate, value=value, low=low, high=high)

    def estimates(self) -> list[Estimate]:
        """Outcomes with Student's interval over seeds; if no checkpoint has two, with that over problems, or nan."""
        free = int((self.seeds - 1).sum())
        half = np.full(len(self.outcome), math.nan)
        if self.seed_sd is not None:
            half = t_quantile(1 - TAIL, free) * self.seed_sd / np.sqrt(self.seeds)
        rows = zip(self.outcome, half, self.seeds, strict=True)
        found = [self.limited(Estimate(float(y), float(y - h), float(y + h), int(n), "seeds")) for y, h, n in rows]
        if self.seed_sd is not None:
            return found
        known = self.over_problems or [None] * len(found)
        return [one or each for one, each in zip(known, found, strict=True)]


def families(outcomes: Mapping[str, Sequence[Outcome]], candidates: Sequence[Candidate]) -> list[Family]:
    """Runs by family, in the order of their first outcome; checkpoints in the order of the candidates.

    A checkpoint's recipe is the one that its outcomes name, else its SFT run, else the checkpoint itself; its SFT seed
    is the one that they name, else that of its SFT run.
    """
    names = [c.name for c in candidates]
    order = dict.fromkeys(o.family for name in names for o in outcomes.get(name, ()))
    found = []
    for family in order:
        mine = [(i, [o for o in outcomes.get(n, ()) if o.family == family]) for i, n in enumerate(names)]
        runs = [(i, some) for i, some in mine if some]
        _, recipe = np.unique(
            [some[0].recipe or candidates[i].run or names[i] for i, some in runs], return_inverse=True
        )
        costs = [[o.cost for o in some] for _, some in runs]
        values = [np.array([o.value for o in some]) for _, some in runs]
        free = sum(len(v) - 1 for v in values)
        within = sum(float(((v - v.mean()) ** 2).sum()) for v in values)
        found.append(
            Family(
                family,
                np.array([i for i, _ in runs]),
                np.array([v.mean() for v in values]),
                None
                if any(c is None for some in costs for c in some)
                else np.array([sum(map(float, c)) for c in costs]),  # type: ignore[arg-type]
                recipe,
                np.array([len(v) for v in values]),
                math.sqrt(within / free) if free else None,
                [next((o.sft_seed for o in some if o.sft_seed), candidates[i].sft_seed) for i, some in runs],
                _stated([some for _, some in runs]),
                of_all(o.meaning for _, some in runs for o in some),
                [some[0].over_problems if len(some) == 1 else None for _, some in runs],
                sum(not (some[0].recipe or candidates[i].run) for i, some in runs),
            )
        )
    return found


def _stated(runs: Sequence[Sequence[Outcome]]) -> dict[str, Floats]:
    """The predictors that all outcomes come with, each (M,)."""
    first, *others = (outcome.predictors for some in runs for outcome in some)
    return {
        name: np.array([np.mean([o.predictors[name] for o in some]) for some in runs])
        for name in first
        if all(name in other for other in others)
    }
