"""What ``rlready watch`` shows: how far runs are, their curves so far, and what looks wrong in them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from rlready.core.cells import DASH, decimal, percent
from rlready.core.result import Record, Result, Table
from rlready.sweep.status import duration

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 24  # characters of a drawn curve


class Curve(Record):
    """One quantity along the log: its means over the first and the last steps, and the whole of it as a drawing."""

    name: str
    unit: str  # as in the header of a column: "%", or "" for a plain number
    first: float
    last: float
    drawing: str


class WatchedRun(Record):
    """A run at this moment.

    ``done`` is the share of its steps that are done, and ``seconds_left`` how long the others take at the pace of the
    last ones; both are None where the length of the run is not known.  ``tokens_per_second`` counts the tokens that a
    step generates, or trains on.
    """

    folder: str
    verb: str
    status: str
    step: int | None = None
    done: float | None = None
    seconds_left: float | None = None
    tokens_per_second: float | None = None
    curves: Sequence[Curve] = ()
    alerts: Sequence[str] = ()


class WatchResult(Result):
    """Runs, at one moment."""

    verb: Literal["watch"] = "watch"
    runs: list[WatchedRun]

    @classmethod
    def of(cls, runs: Sequence[WatchedRun]) -> WatchResult:
        counts = Counter(run.status.partition(":")[0] for run in runs)
        found = ", ".join(f"{n} {status}" for status, n in counts.items())
        return cls(headline=f"{len(runs)} run{'s' * (len(runs) > 1)}: {found}.", runs=list(runs))

    def tables(self) -> list[Table]:
        columns = ["run", "verb", "status", "step", "done (%)", "time left", "tokens/s"]
        lines = [
            [
                run.folder,
                run.verb,
                run.status,
                DASH if run.step is None else str(run.step),
                percent(run.done),
                DASH if run.seconds_left is None else duration(run.seconds_left),
                decimal(run.tokens_per_second, 0),
            ]
            for run in self.runs
        ]
        return [Table(columns, lines), *(_curves(run) for run in self.runs if run.curves)]

    def remarks(self) -> list[str]:
        return [
            alert if alert.startswith(run.folder) else f"{run.folder}: {alert}"
            for run in self.runs
            for alert in run.alerts
        ]


def _curves(run: WatchedRun) -> Table:
    rows = []
    for curve in run.curves:
        show = percent if curve.unit == "%" else decimal
        name = f"{curve.name} ({curve.unit})" if curve.unit else curve.name
        rows.append([name, show(curve.first), show(curve.last), curve.drawing])
    return Table(["quantity", "first steps", "last steps", "course"], rows, run.folder)


def drawn(values: Sequence[float]) -> str:
    """A curve in characters: means of as many neighbours as fit, from the lowest to the highest value."""
    size = max(1, math.ceil(len(values) / WIDTH))
    means = [math.fsum(values[i : i + size]) / len(values[i : i + size]) for i in range(0, len(values), size)]
    low, high = min(means), max(means)
    step = (high - low) / (len(BARS) - 1)
    return "".join(BARS[round((mean - low) / step) if step else 0] for mean in means)
