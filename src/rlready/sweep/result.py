"""The result of a sweep: the accuracy that RL reached from every starting checkpoint."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rlready.core.cells import brief_percent, decimal, percent
from rlready.core.config import Tool
from rlready.core.records import Estimate
from rlready.core.result import Record, Result, Table
from rlready.core.stats import t_estimate
from rlready.export.result import ExportResult
from rlready.predict.advice import FAMILIES
from rlready.runs.checkpoint_order import labels, listed
from rlready.runs.record import RunRecord
from rlready.sweep.elsewhere import TRAIN, Elsewhere
from rlready.sweep.jobs import Job
from rlready.sweep.table import RunRow
from rlready.train.result import RLResult


class StartingCheckpoint(Record):
    """RL from one checkpoint: ``outcome`` is the accuracy over ``runs`` seeds, ``cost`` the mean seconds of a run, null
    if they are not known of all."""

    family: str
    checkpoint: str
    runs: int
    outcome: Estimate
    cost: float | None


class SweepResult(Result):
    """Outcomes by starting checkpoint; ``plan`` is a digest of the sweep's settings, ``jobs`` are counts by verb.

    ``tool`` trains in place of rlready, null if none does; ``waiting`` are the exports of which it has no outcome yet.
    ``readiness`` are the folders of readiness runs, relative to that of the sweep; empty if an older version wrote it.
    """

    verb: Literal["sweep"] = "sweep"
    plan: str
    jobs: dict[str, int]
    seconds_of_jobs: float
    runs: int
    starts: list[StartingCheckpoint]
    tool: Tool | None = None
    waiting: list[str] = Field(default_factory=list)
    readiness: list[str] = Field(default_factory=list)

    def tables(self) -> list[Table]:
        """A line for each starting checkpoint."""
        columns = ["family", "checkpoint", "RL runs", "accuracy after RL (%)", "seconds of RL"]
        rows = [[s.family, s.checkpoint, str(s.runs), _percent(s.outcome), decimal(s.cost, 0)] for s in self.starts]
        return [Table(columns, rows)] if rows else []


def summarise(
    out: Path,
    plan: str,
    jobs: Sequence[Job],
    rows: Sequence[RunRow],
    seconds: Mapping[str, float],
    tool: Tool | None,
    elsewhere: Elsewhere,
) -> SweepResult:
    """The result of a sweep whose jobs are all done; ``seconds`` are their times by key.

    ``tool`` is the one that trains in place of rlready, with what there is of its runs ``elsewhere``.
    """
    waiting, said = list(elsewhere.waiting), _waiting(len(elsewhere.waiting), tool)
    short = labels([*(row.checkpoint for row in rows), *(_start_of(out / key) for key in waiting)])
    groups: dict[tuple[str, str], list[RunRow]] = {}
    for row in rows:
        groups.setdefault((row.family, row.checkpoint), []).append(row)
    starts = [
        StartingCheckpoint(
            family=family,
            checkpoint=short[checkpoint],
            runs=len(group),
            outcome=_over_seeds(group),
            cost=_mean([row.cost for row in group]),
        )
        for (family, checkpoint), group in groups.items()
    ]
    so_far = [f"{said}; outcomes are there of {len(rows)}."] if waiting and rows else []
    exports = [*elsewhere.outcomes, *waiting]
    return SweepResult(
        headline=_headline(starts, so_far=bool(waiting)) if starts else f"{said}.",
        notes=[
            *so_far,
            *_unmoved([RLResult.load(out / row.run) for row in rows] if tool is None else []),
            *elsewhere.notes,
            *dict.fromkeys(line for key in exports for line in ExportResult.load(out / key).notes),
        ],
        next_action=f"{said}, here or where this folder is copied to; then run this command again" if waiting else "",
        next_command=shlex.join(["sh", str(out / TRAIN)] if waiting else ["rlready", "predict", str(out)]),
        plan=plan,
        jobs=Counter[str](job.verb for job in jobs),
        seconds_of_jobs=sum(seconds.values()),
        readiness=[job.key for job in jobs if job.verb == "readiness"],
        runs=len(rows),
        starts=starts,
        tool=tool,
        waiting=waiting,
    )


def _unmoved(runs: Sequence[RLResult]) -> list[str]:
    """Say how many RL runs ended with the checkpoint that they had started from, and how many had no gradient."""
    kept = sum(not run.best.step for run in runs)
    still = sum(run.groups is not None and not run.groups.informative for run in runs)
    if not kept:
        return []
    why = f" ({still} of them had no gradient)" if still else ""
    return [f"Warning: {kept} of {len(runs)} RL runs raised no validation accuracy{why}: their outcome is the start's."]


def _start_of(export: Path) -> str:
    """The checkpoint that an export starts from."""
    return str(RunRecord.load(export).config["model"])


def _waiting(exports: int, tool: Tool | None) -> str:
    return f"{exports:,} export{'s wait' if exports > 1 else ' waits'} to be trained by {tool}"


def best_starts(starts: Sequence[StartingCheckpoint]) -> dict[str, list[StartingCheckpoint]]:
    """By family, the starts from which RL reached its highest mean accuracy: several if they are equal."""
    families: dict[str, list[StartingCheckpoint]] = {}
    for start in starts:
        families.setdefault(start.family, []).append(start)
    return {
        name: [s for s in family if math.isclose(s.outcome.value, max(each.outcome.value for each in family))]
        for name, family in families.items()
    }


def _headline(starts: Sequence[StartingCheckpoint], *, so_far: bool) -> str:
    """Where RL reached most, in each of few families; ``so_far``: other runs have no outcome yet."""
    best = best_starts(starts)
    if so_far and len(starts) == 1:
        return f"So far only RL from {starts[0].checkpoint} has an outcome, {brief_percent(starts[0].outcome)} %."
    if len(best) > FAMILIES:
        return f"RL outcomes are of {len(best)} families, which are not compared with each other."
    found = []
    for name, family in best.items():
        reached = f"{brief_percent(family[0].outcome)} %" + " each" * (len(family) > 1)
        found.append((listed([s.checkpoint for s in family]), reached + f" in {name or 'unnamed'}" * (len(best) > 1)))
    if len(best) > 1:
        return f"RL reached most from {' and '.join(map(', '.join, found))}."
    who, reached = found[0]
    if 1 < len(starts) == len(best[starts[0].family]):
        return f"RL reached the same from all {len(starts)} checkpoints, {reached.removesuffix(' each')}."
    return f"{'So far RL' if so_far else 'RL'} reached most from {who}, {reached}."


def _mean(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return float(np.mean(known)) if len(known) == len(costs) else None


def _percent(outcome: Estimate) -> str:
    return percent(outcome if math.isfinite(outcome.low) else outcome.value)


def _over_seeds(rows: Sequence[RunRow]) -> Estimate:
    """The mean outcome, with an interval over seeds if there are several that differ, else over problems."""
    if len({row.outcome for row in rows}) == 1:  # whose interval over seeds would have no width
        return rows[0].accuracy
    found = t_estimate([row.outcome for row in rows])
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))
