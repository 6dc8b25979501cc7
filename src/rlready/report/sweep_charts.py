"""What the page shows of ``rlready sweep``: accuracy after RL by checkpoint, and what waits for another tool."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rlready.report.figures import PERCENT, SECONDS
from rlready.report.section import Column, Section, bullets, table
from rlready.sweep.result import StartingCheckpoint, SweepResult


def sweep_sections(result: SweepResult) -> Iterator[Section]:
    """Accuracy after RL by starting checkpoint, best first in each family, and the exports that wait."""
    column = Column[StartingCheckpoint]
    columns = [
        column("checkpoint", lambda s: s.checkpoint, heads=True),
        column("family", lambda s: s.family or None),
        column("RL runs", lambda s: s.runs),
        column("accuracy after RL", lambda s: s.outcome, PERCENT),
        column("cost of a run", lambda s: s.cost, SECONDS),
    ]
    best_first = sorted(result.starts, key=lambda s: (s.family, -s.outcome.value))
    families = [list(mine) for _, mine in groupby(best_first, lambda s: s.family)]
    if families:
        yield Section("Accuracy after RL", [table("Accuracy after RL", families, columns)])
    if result.waiting:
        yield Section(f"To be trained by {result.tool}", [bullets(result.waiting, "files")])
