"""The planted-error probe: is the dense reward lowest at the error?

In a correct solution one number is changed; the copy and the original are scored with the two checkpoints.  Li et al.
(arXiv 2510.02493) show one such pair in their figure 1; here the effect is measured over many solutions:

    auc      how often another token of the copy has a higher r̂ than the planted one (ties count one half)
    top      how often the planted one has the lowest r̂ in the copy
    ranked   how often Σr̂ of the original is above that of the copy

and the same for log π_SFT alone, which shows what the reference contributes.  The number is drawn uniformly from those
of the solution, its replacement from the other numbers that solutions contain.  The text after the planted number
is not changed, so it may contradict that number and lose credit too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlready.core.errors import UserError
from rlready.core.records import Estimate, Row
from rlready.core.stats import mean_estimate
from rlready.credit.reference import ReferencePair
from rlready.models.batch import Example
from rlready.models.encode import encode

NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Probe:
    """What the probe found, intervals over solutions; ``planted_at`` are the planted tokens of all copies."""

    auc: Estimate
    top: Estimate
    ranked: Estimate
    auc_sft: Estimate
    ranked_sft: Estimate
    copies: list[Row]
    planted_at: list[int]


def planted_error(
    pair: ReferencePair, rows: Sequence[Row], *, seed: int = 0, max_tokens_per_microbatch: int = 16384
) -> Probe:
    """Plant an error in each of the correct solutions and look for it; UserError if none can be planted.

    Rows without a number, or whose copy reads as the same tokens, are left out.
    """
    texts = [_text(row) for row in rows]
    pool = sorted({n for text in texts for n in NUMBER.findall(text)})
    copies = [plant(row, pool, random.Random(f"plant:{seed}:{row.id}")) or row for row in rows]
    right, wrong = (encode(pair.sft, side, "the solutions") for side in (rows, copies))
    planted = {i: at for i, at in enumerate(map(_first_difference, right, wrong)) if at is not None}
    if not planted:
        raise UserError(
            "no solution has a number that could be changed, so nothing can be probed; give rows that contain numbers"
        )
    dense, sft = pair.score(
        [side[i] for side in (right, wrong) for i in planted], max_tokens_per_microbatch=max_tokens_per_microbatch
    )
    n = len(planted)

    def estimates(scores: Sequence[NDArray[np.float32]]) -> tuple[Estimate, Estimate, Estimate]:
        found = [_standing(copy, at) for copy, at in zip(scores[n:], planted.values(), strict=True)]
        sums = np.array([s.sum(dtype=np.float64) for s in scores])
        ranked = (sums[:n] > sums[n:]).astype(np.float64)
        values = ([auc for auc, _ in found], [float(top) for _, top in found], ranked)
        auc, top, above = (mean_estimate(v, bounds=(0.0, 1.0), varies="solutions") for v in values)
        return auc, top, above

    auc, top, ranked = estimates(dense)
    auc_sft, _, ranked_sft = estimates(sft)
    return Probe(auc, top, ranked, auc_sft, ranked_sft, [copies[i] for i in planted], list(planted.values()))


def plant(row: Row, pool: Sequence[str], rng: random.Random) -> Row | None:
    """The row with one number of its thought (of its response, if it has none) replaced by another of the pool."""
    text = _text(row)
    numbers = list(NUMBER.finditer(text))
    if not numbers:
        return None
    chosen = rng.choice(numbers)
    others = [n for n in pool if n != chosen[0]]
    if not others:
        return None
    changed = text[: chosen.start()] + rng.choice(others) + text[chosen.end() :]
    return replace(row, response=changed) if row.thinking is None else replace(row, thinking=changed)


def _text(row: Row) -> str:
    return row.response if row.thinking is None else row.thinking


def _first_difference(right: Example, wrong: Example) -> int | None:
    """The first token of the planted number: the first response token in which the two differ; None if they do not."""
    pairs = zip(right.response_ids, wrong.response_ids, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), None)


def _standing(score: NDArray[np.float32], place: int) -> tuple[float, bool]:
    """(share of the other tokens above this one, whether none is below it)."""
    others = np.delete(score, place)
    if not len(others):
        return 0.5, True
    above = (others > score[place]).mean() + 0.5 * (others == score[place]).mean()
    return float(above), bool((others >= score[place]).all())
