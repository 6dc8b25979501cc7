"""Verified samples of one checkpoint as columns, and what they say beside right and wrong.

The same for samples just drawn and for samples out of a table, whose rows may know less: what a row does not say is
not a number here, and what no row says is None.  Entropy, lengths and truncation are taken from the first draws of
every problem only (`sequential.py` says why).

- *Entropy per token*: mean of -log π(y_t | s_t) over chosen tokens, at the sampling temperature.  Its expectation over
  the policy's own samples is the mean entropy of the next-token distribution, so the log-probs that samples carry are
  enough (ours; a table without log-probs has none).
- *Length by right and wrong*: mean tokens over all right samples, and over all wrong ones.  A problem weighs as much
  as it has of them, so the two are of different problems; the interval is over problems.

Shapes: N = samples, P = problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.stats import mean_figure, ratio_figure
from rlready.readiness.adaptive_sampling import Counts
from rlready.readiness.passk import Floats, Ints

UNKNOWN = float("nan")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Draws:
    """All (N,).  ``problem`` is a place among P problems; floats are nan where unknown.

    ``planned`` is the most samples a problem could get, 0 if no row says so.  ``wave`` counts from 0; ``surprise`` is
    the sum of -log-prob in nats over ``chosen`` tokens; ``length`` counts all tokens of the response and ``thinking``
    those of its thought; ``truncated`` is 1 where it was cut.
    """

    problems: int
    planned: int
    problem: Ints
    wave: Ints
    correct: NDArray[np.bool_]
    surprise: Floats
    chosen: Floats
    thinking: Floats
    length: Floats
    truncated: Floats

    @staticmethod
    def of(rows: Sequence[Row], problem_ids: Sequence[str]) -> Draws:
        """Rows of a samples table, every one verified and of one of these problems."""
        place = {name: i for i, name in enumerate(problem_ids)}
        columns = np.array([_numbers(row) for row in rows], dtype=np.float64).reshape(len(rows), 5)
        return Draws(
            len(problem_ids),
            max((row.get("planned") or 0 for row in rows), default=0),
            np.array([place[row["problem_id"]] for row in rows], dtype=np.int64),
            np.array([row.get("wave") or 0 for row in rows], dtype=np.int64),
            np.array([row["correct"] for row in rows], dtype=bool),
            *columns.T,
        )

    def counts(self, where: str) -> Counts:
        """How often each problem was right, and after how many draws it was left.

        Every problem has a sample.  UserError, which begins with ``where``, for what is not a run that stops at
        successes: a problem without success that has fewer draws than another, or a success before its last wave.
        """
        last_P = np.zeros(self.problems, dtype=np.int64)
        np.maximum.at(last_P, self.problem, self.wave)
        before_N = self.wave < last_P[self.problem]
        drawn, since, correct, early, first = (
            np.bincount(self.problem, weights, self.problems).astype(np.int64)
            for weights in (None, before_N, self.correct, self.correct & before_N, self.wave == 0)
        )
        if not last_P.any() and not self.planned:
            return Counts(int(drawn.min()), int(drawn.min()), since, drawn, correct)
        cap = self.planned or int(drawn.max())
        bad = (early > 0) | ((correct == 0) & (drawn < cap)) | (first != first.max())
        if bad.any():
            raise UserError(
                f"{where}: column wave: {int(bad.sum())} of {self.problems} problems were not drawn as waves that stop "
                "after a success are (an early success, an early end, or another first wave)"
            )
        return Counts(int(first.max()), cap, since, drawn, correct)

    def figures(self) -> dict[str, Estimate | None]:
        """Entropy, truncation and lengths, from the first draws; None where no row knows."""
        head, right = self.wave == 0, self.correct
        return {
            "entropy": self._ratio(self.surprise, self.chosen, head),
            "truncated": self._share(self.truncated, head),
            "thinking_right": self._ratio(self.thinking, None, head & right),
            "thinking_wrong": self._ratio(self.thinking, None, head & ~right),
            "length_right": self._ratio(self.length, None, head & right),
            "length_wrong": self._ratio(self.length, None, head & ~right),
        }

    def _ratio(self, top_N: Floats, bottom_N: Floats | None, chosen_N: NDArray[np.bool_]) -> Estimate | None:
        """Σ top / Σ bottom (or the mean of top) over the samples chosen, those that know it; interval over problems."""
        bottom_N = np.ones_like(top_N) if bottom_N is None else bottom_N
        known = chosen_N & np.isfinite(top_N) & (bottom_N > 0)
        if not known.any():
            return None
        return ratio_figure(top_N[known], bottom_N[known], cluster=self.problem[known], varies="problems")

    def _share(self, values_N: Floats, chosen_N: NDArray[np.bool_]) -> Estimate | None:
        known = chosen_N & np.isfinite(values_N)
        if not known.any():
            return None
        return mean_figure(values_N[known], cluster=self.problem[known], bounds=(0.0, 1.0))


def _numbers(row: Row) -> tuple[float, float, float, float, float]:
    """Surprise, chosen tokens, thinking, length and truncation of one sample."""
    tokens, logprobs, mask = row.get("tokens"), row.get("logprobs"), row.get("mask")
    surprise = chosen = UNKNOWN
    if logprobs is not None and (mask is None or len(mask) == len(logprobs)):
        kept = logprobs if mask is None else [p for p, m in zip(logprobs, mask, strict=True) if m]
        surprise, chosen = -float(sum(kept)), float(len(kept))
    thinking, truncated = row.get("thinking"), row.get("truncated")
    if truncated is None:
        finish = row.get("finish", row.get("finish_reason"))
        truncated = None if finish is None else finish in ("length", "max_tokens")
    return (
        surprise,
        chosen,
        UNKNOWN if thinking is None else float(thinking),
        UNKNOWN if tokens is None else float(len(tokens)),
        UNKNOWN if truncated is None else float(truncated),
    )
