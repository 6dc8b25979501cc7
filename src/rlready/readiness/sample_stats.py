"""Verified samples of one checkpoint as columns, and their statistics besides correctness.

Samples just drawn and samples from a table are treated alike.  A value that a row lacks is nan, and a statistic that no
row has is None.  Entropy, lengths and truncation use the first draws of every problem only (`adaptive_sampling.py` says
why).

- *Entropy per token*: mean of -log π(y_t | s_t) over chosen tokens, at the sampling temperature.  Its expectation over
  the policy's own samples is the mean entropy of the next-token distribution, so the log-probs that samples carry are
  sufficient (a choice of this package; a table without log-probs has no entropy).
- *Length by right and wrong*: mean tokens over all right samples, and over all wrong ones.  A problem's weight is its
  number of such samples, so the two means weigh problems differently; the interval is over problems.

Shapes: N = samples, P = problems.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.records import Estimate, SampleRow
from rlready.core.stats import mean_estimate, ratio_estimate
from rlready.readiness.adaptive_sampling import Counts
from rlready.readiness.passk import Floats, Ints
from rlready.readiness.result import SampleStats
from rlready.tasks.columns import Batch
from rlready.tasks.strictjson import Refused
from rlready.tasks.table import Origin

UNKNOWN = float("nan")
MOST = 1e9  # tokens of a thought, and nats of a token
ROUNDING = 1e-2  # of a log-probability, in bfloat16
FINISH = ("finish", "finish_reason")
# words for how a response ended, in small letters: of this package, OpenAI's, Anthropic's and Gemini's interfaces, TGI
CUT = ("length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens")
ENDED = (
    *("stop", "eos", "eos_token", "stop_sequence", "end_turn", "reopened", "tool_calls", "tool_use", "function_call"),
    *("content_filter", "safety", "recitation", "refusal"),
)
NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
FACTS = (
    "wave",
    "planned",
    "tokens",
    "logprobs",
    "mask",
    "thinking_tokens",
    "truncated",
    *FINISH,
)  # the columns that are read


@dataclass(frozen=True)
class Draws:
    """Samples as arrays (N,).  ``problem`` is an index among P problems; unknown floats are nan.

    ``planned`` is the maximum number of samples of a problem, 0 if no row gives it.  ``wave`` counts from 0;
    ``surprise`` is the sum of -log-prob in nats over ``chosen`` tokens; ``length`` counts all tokens of the response
    and ``thinking`` those of its thought; ``truncated`` is 1 if the thought or the response reached its limit.
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
    def of(rows: Sequence[SampleRow], problem_ids: Sequence[str]) -> Draws:
        """From rows of a samples table, all of them verified and each of one of these problems."""
        place = {name: i for i, name in enumerate(problem_ids)}
        problem = np.array([place[row["problem_id"]] for row in rows], dtype=np.int64)
        correct = np.array([row["correct"] for row in rows], dtype=bool)
        batch = Batch.of(
            Origin("samples", "row"), range(1, len(rows) + 1), cast("list[dict[str, object]]", rows), FACTS
        )
        return Draws.of_batch(batch, len(problem_ids), problem, correct)

    @staticmethod
    def of_batch(batch: Batch, problems: int, problem: Ints, correct: NDArray[np.bool_]) -> Draws:
        """From rows with the columns `FACTS`; UserError names the line of an invalid value."""
        planned = batch.map("planned", partial(_whole, name="planned"), np.int64)
        length, _ = batch.lists("tokens", int)
        return Draws(
            problems,
            int(planned.max(initial=0)),
            problem,
            batch.map("wave", partial(_whole, name="wave"), np.int64),
            correct,
            *_surprise(batch),
            batch.map("thinking_tokens", _tokens, np.float64),
            np.where(length < 0, UNKNOWN, length),
            _truncated(batch),
        )

    @staticmethod
    def joined(parts: Sequence[Draws], problems: int) -> Draws:
        """Join parts of the draws of ``problems`` problems."""
        names = [field.name for field in fields(Draws)[2:]]
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return Draws(problems, max(part.planned for part in parts), *columns)

    def among(self, own_ids: Sequence[str], problem_ids: Sequence[str]) -> Draws:
        """The same draws, indexed by ``problem_ids`` instead of ``own_ids``, which are the same in another order."""
        place = {name: i for i, name in enumerate(problem_ids)}
        return replace(self, problem=np.array([place[name] for name in own_ids], dtype=np.int64)[self.problem])

    def take(self, rows: Ints) -> Draws:
        """Those at ``rows``, in that order, with the same problems."""
        columns = (getattr(self, field.name)[rows] for field in fields(Draws)[2:])
        return Draws(self.problems, self.planned, *columns)

    @property
    def most(self) -> int:
        """The largest number of samples that every problem has, or might have had if sampling stops at successes."""
        drawn = np.bincount(self.problem, minlength=self.problems)
        return self.planned or int(drawn.max() if self.wave.any() else drawn.min())

    def counts(self, where: str) -> Counts:
        """How often each problem was right, and after how many draws its sampling stopped.

        Every problem must have a sample.  Raises UserError, which begins with ``where``, if sampling did not stop at
        successes: a problem without success has fewer draws than another, or a success comes before its last wave.
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
        bad = (early > 0) | ((correct == 0) & (drawn < cap)) | (first < max(1, first.max()))
        if bad.any():
            raise UserError(
                f"{where}: column wave: {int(bad.sum())} of {self.problems} problems were not drawn as waves that stop "
                "after a success are (an early success, an early end, or another first wave)"
            )
        return Counts(int(first.max()), cap, since, drawn, correct)

    def stats(self) -> SampleStats:
        """Entropy, truncation and lengths, from the first draws; None if no row has the value."""
        head, right = self.wave == 0, self.correct
        return SampleStats(
            entropy=self._ratio(self.surprise, self.chosen, head),
            truncated=self._share(self.truncated, head),
            thinking_right=self._ratio(self.thinking, None, head & right),
            thinking_wrong=self._ratio(self.thinking, None, head & ~right),
            length_right=self._ratio(self.length, None, head & right),
            length_wrong=self._ratio(self.length, None, head & ~right),
        )

    def _ratio(self, top_N: Floats, bottom_N: Floats | None, chosen_N: NDArray[np.bool_]) -> Estimate | None:
        """Σ top / Σ bottom (or the mean of top) over chosen samples that have the value; interval over problems."""
        known = chosen_N & np.isfinite(top_N)
        if bottom_N is not None:
            known &= bottom_N > 0
        if not known.any():
            return None
        top_P, bottom_P = (
            np.bincount(self.problem[known], None if values is None else values[known], self.problems)
            for values in (top_N, bottom_N)
        )
        there = bottom_P > 0
        return ratio_estimate(top_P[there], bottom_P[there], varies="problems")

    def _share(self, values_N: Floats, chosen_N: NDArray[np.bool_]) -> Estimate | None:
        known = chosen_N & np.isfinite(values_N)
        if not known.any():
            return None
        return mean_estimate(values_N[known], cluster=self.problem[known], bounds=(0.0, 1.0))


def _surprise(batch: Batch) -> tuple[Floats, Floats]:
    """(-log-prob summed over chosen tokens, their number), both (N,); over all tokens if there is no mask."""
    lengths_N, logprobs = batch.lists("logprobs", float)
    if ((logprobs > ROUNDING) | ((logprobs < -MOST) & np.isfinite(logprobs))).any():
        raise UserError(f"{batch.origin.where}: logprobs are not log-probabilities, which are at most 0")
    masked_N, mask = batch.lists("mask", int)
    n = len(lengths_N)
    known_N = (lengths_N >= 0) & ((masked_N < 0) | (masked_N == lengths_N))
    if not known_N.any():
        return np.full(n, UNKNOWN), np.full(n, UNKNOWN)
    row, row_of_mask = (np.repeat(np.arange(n), np.maximum(lengths, 0)) for lengths in (lengths_N, masked_N))
    by_mask_N = known_N & (masked_N >= 0)
    chosen = np.ones(len(row), dtype=bool)
    chosen[by_mask_N[row]] = mask[by_mask_N[row_of_mask]] != 0
    surprise_N = -np.bincount(row[chosen], logprobs[chosen], n)
    chosen_N = np.bincount(row[chosen], minlength=n)
    return np.where(known_N, surprise_N, UNKNOWN), np.where(known_N, chosen_N, UNKNOWN)


def _truncated(batch: Batch) -> Floats:
    """(N,) 1 if ``truncated`` or the finish reason says that the thought or the response reached its limit."""
    found_N = batch.map("truncated", _flag, np.float64)
    for name in FINISH:
        found_N = np.fmax(found_N, batch.map(name, _by_length, np.float64))  # fmax ignores nan beside a number
    return found_N


def _by_length(finish: Any) -> float:
    """1 for a response that reached its limit, 0 for one that ended by itself; a word that is not known is unknown."""
    finish = finish.get("type") if isinstance(finish, dict) else finish  # SGLang's
    word = str(finish).lower().rpartition(".")[2]  # of an enumeration
    return 1.0 if word in CUT else 0.0 if word in ENDED else UNKNOWN


def _number(cell: Any) -> Any:
    """A number that is a text, as in CSV; any other cell as it is."""
    if isinstance(cell, str) and NUMBER.fullmatch(cell):
        return float(cell) if "." in cell else int(cell)
    return None if cell == "" else cell


def _tokens(value: Any) -> float:
    value = _number(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if not isinstance(value, int | float) or not 0 <= value < MOST:
        raise Refused(f"thinking_tokens must be a number of tokens, not {str(value)[:40]!r}")
    return float(value)


def _flag(value: Any) -> float:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower(), value)  # cells of CSV are texts
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if not isinstance(value, int | float) or value not in (0, 1):
        raise Refused(f"truncated must be true or false, not {str(value)[:40]!r}")
    return float(value)


def _whole(value: Any, name: str) -> int:
    value = _number(value)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**6:
        raise Refused(f"{name} must be a whole number from 0, not {str(value)[:40]!r}")
    return value
