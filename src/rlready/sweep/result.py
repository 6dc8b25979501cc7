"""What a sweep ends with: the accuracy that RL reached from every starting checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from rlready.core.records import Estimate
from rlready.core.stats import t_figure
from rlready.runs.checkpoint_order import labels
from rlready.sweep.grid import Verb
from rlready.sweep.jobs import Job
from rlready.sweep.table import RunRow


class StartingCheckpoint(BaseModel):
    """RL from one checkpoint: ``outcome`` is the accuracy over ``runs`` seeds, ``cost`` the mean seconds of a run."""

    model_config = ConfigDict(frozen=True)

    family: str
    checkpoint: str
    runs: int
    outcome: Estimate
    cost: float


class SweepResult(BaseModel):
    """``result.json`` of a sweep; ``plan`` is a digest of its settings, ``verdict`` the headline."""

    model_config = ConfigDict(frozen=True)

    verb: Literal["sweep"] = "sweep"
    verdict: str
    plan: str
    jobs: dict[Verb, int]
    seconds_of_jobs: float
    runs: int
    starts: list[StartingCheckpoint]
    table: list[list[str]]


def summarise(
    out: Path, plan: str, jobs: Sequence[Job], rows: Sequence[RunRow], seconds: Mapping[str, float]
) -> SweepResult:
    """The result of a sweep whose jobs are all done, each in so many ``seconds``."""
    short = labels([row.checkpoint for row in rows])
    groups: dict[tuple[str, str], list[RunRow]] = {}
    for row in rows:
        groups.setdefault((row.family, row.checkpoint), []).append(row)
    starts = [
        StartingCheckpoint(
            family=family,
            checkpoint=short[checkpoint],
            runs=len(group),
            outcome=_over_seeds(group),
            cost=float(np.mean([row.cost for row in group])),
        )
        for (family, checkpoint), group in groups.items()
    ]
    table = [["family", "checkpoint", "RL runs", "accuracy after RL", "seconds of RL"]]
    table += [[s.family, s.checkpoint, str(s.runs), str(s.outcome), f"{s.cost:.0f}"] for s in starts]
    best = max(starts, key=lambda s: s.outcome.value)
    counts = Counter(job.verb for job in jobs)
    return SweepResult(
        verdict=(
            f"{len(rows)} RL runs from {len(short)} checkpoints of {counts['sft']} SFT runs; the highest mean accuracy "
            f"is {best.outcome.value:.1%}, from {best.checkpoint}. Next: rlready predict {out}"
        ),
        plan=plan,
        jobs=dict(counts),
        seconds_of_jobs=sum(seconds.values()),
        runs=len(rows),
        starts=starts,
        table=table,
    )


def _over_seeds(rows: Sequence[RunRow]) -> Estimate:
    """Over seeds where there are several, else over problems."""
    return t_figure([row.outcome for row in rows]) if len(rows) > 1 else rows[0].accuracy
