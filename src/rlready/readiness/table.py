"""Measure one checkpoint from its samples alone: counts and figures, without a model.

This file imports neither torch nor transformers, because that takes longer than reading a million stored samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.presets import EMBEDDED
from rlready.core.records import Problem
from rlready.readiness.offline_samples import Stored, verify_pending
from rlready.readiness.part import Sampled
from rlready.readiness.result import ProblemCounts
from rlready.readiness.sample_stats import Draws
from rlready.runs.run import Run
from rlready.tasks import Task

if TYPE_CHECKING:
    from rlready.models.lm import LM


def measure_table(
    config: ReadinessConfig,
    run: Run,
    stored: Stored,
    task: Task | None,
    problems: Sequence[Problem],
    ids: Sequence[str],
    lm: LM | None,
) -> Sampled:
    """Counts and figures of a table of samples; ``lm``, if given, is the model whose tokenizer reads its tokens.

    Raises UserError unless it has samples of the same problems as ``ids``, and as many as requested.
    """
    run.note_data(
        id=stored.path, path=Path(stored.path), seen=stored.seen, size=len(stored.draws.problem), role="samples"
    )
    if strange := set(stored.problem_ids) ^ set(ids):
        raise _other_problems(config, stored, ids, strange)
    undecided = verify_pending(stored, task, problems, lm)
    return measure_samples(config, stored.path, stored.draws.among(stored.problem_ids, ids), ids, undecided)


def measure_samples(
    config: ReadinessConfig, where: str, draws: Draws, ids: Sequence[str], undecided: int = 0
) -> Sampled:
    """Counts and figures of verified samples; UserError, beginning with ``where``, if fewer than requested."""
    counts = draws.counts(where)
    if counts.cap < config.samples:
        least = int(np.argmax(counts.drawn == counts.cap))
        raise UserError(
            f"{where}: problem {ids[least]} has n = {counts.cap} samples, fewer than the k = {config.samples} that "
            f"samples= asks pass@k for; set samples={counts.cap} or draw more"
        )
    tokens = draws.length.sum()  # nan unless every sample has its length
    return Sampled(
        counts=ProblemCounts.of(counts),
        stats=draws.stats(),
        samples=len(draws.problem),
        tokens=int(tokens) if np.isfinite(tokens) else None,
        undecided=undecided,
    )


def _other_problems(config: ReadinessConfig, stored: Stored, ids: Sequence[str], strange: set[str]) -> UserError:
    """The error for a table whose problems are not those of ``ids``; ``strange`` are only in one of the two."""
    missing = set(ids) - set(stored.problem_ids)
    what = f"has no sample of {len(missing)} of them" if missing else "has samples of others"
    named = config.problems != EMBEDDED["readiness"]["problems"]
    given = (config.problems or "") if named else ""
    foreign = strange - missing
    if given and missing and foreign:
        return UserError(
            f"{stored.path}: the ids of problems={given} are not those of this table: {min(missing)[:80]!r} is "
            f"one of the problems, {min(foreign)[:80]!r} one of the table; name columns that hold the same, by "
            "problem=COLUMN behind the table and id=COLUMN behind the problems (id=prompt: the prompt itself)"
        )
    bare = stored.first_unverified
    more = f"; {bare} is not verified yet: name its problems with problems=" if bare and not given else ""
    return UserError(
        f"{stored.path}: checkpoints are compared on the same {len(ids)} problems, but this table {what} "
        f"(first: {min(missing or strange)}); keep the same ones in all, such as the first with n={more}"
    )
