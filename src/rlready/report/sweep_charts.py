"""What the page shows of ``rlready sweep``: accuracy after RL from every checkpoint."""

from __future__ import annotations

from itertools import groupby

from markupsafe import Markup

from rlready.report.figures import PERCENT, SECONDS
from rlready.report.plots import Point, Series, line_chart
from rlready.report.section import Column, Section, side_by_side, table
from rlready.sweep.result import StartingCheckpoint, SweepResult


def sweep_section(result: SweepResult) -> Section:
    """Accuracy after RL by starting checkpoint, best first: one chart per family."""
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
    charts = side_by_side(map(_chart, families))
    return Section("Accuracy after RL", [charts, table("Accuracy after RL", families, columns)])


def _chart(starts: list[StartingCheckpoint]) -> Markup:
    points = [
        Point.of(i, s.outcome, f"{s.checkpoint}, {s.outcome.n} {s.outcome.varies}", percent=True)
        for i, s in enumerate(starts, start=1)
    ]
    return line_chart(
        [Series("RL", points, 1, 0, joined=False)],
        title="Accuracy after RL" + (f": {starts[0].family}" if starts[0].family else ""),
        x_label="starting checkpoint, best first",
        y_label="accuracy after RL",
        percent=True,
        note="Bars are 95 % intervals over RL seeds, or over problems where there is one seed.",
    )
