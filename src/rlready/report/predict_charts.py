"""What the page shows of ``rlready predict`` and ``rlready sweep``: predictors against outcomes of RL, SFT runs on
their way, and checkpoints in the order of the ranking.

Every function gives nothing where the result has no such data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.report.plots import NEUTRAL, Point, Series, line_chart
from rlready.report.text import number
from rlready.runs.checkpoint_order import labels

Rows = Sequence[Mapping[str, Any]]
MOST_NAMED_RUNS = 6
BAD = 3  # the colour of what is past overfitting onset
BASELINE, LOSS = "pass@1", "loss"


def outcomes(family: Mapping[str, Any], picked: str | None) -> list[Markup]:
    """A panel a predictor: outcome of RL against it, with the intervals of both and the fitted line."""
    points = [p for p in family["points"] if p["outcome"]]
    names = dict.fromkeys(name for p in points for name in p["predictors"])
    return [chart for name in names if (chart := _panel(name, points, family["lines"].get(name) or [], picked))]


def _panel(name: str, points: Rows, line: Sequence[Sequence[float]], picked: str | None) -> Markup:
    chosen: list[Point] = []
    others: list[Point] = []
    for point in points:
        if x := point["predictors"].get(name):
            y, label = point["outcome"], point["label"] or "a checkpoint"
            said = f"{label}: {name} {_interval(x)}, after RL {_interval(y)}"
            drawn = Point(x.value, y.value, y.low, y.high, said, x.low, x.high)
            (chosen if label == picked else others).append(drawn)
    ends = [Point(end[0], end[1]) for end in line if len(end) == 2 and None not in end]
    seeds = any(math.isfinite(p["outcome"].low) for p in points)
    return line_chart(
        [
            Series("least squares", ends, NEUTRAL, 1, markers=False),
            Series("RL runs", others, 0, 0, joined=False),
            Series("from the picked ★", chosen, 1, 3, joined=False),
        ]
        if chosen or others
        else [],
        title=f"Outcome of RL against {name}",
        x_label=f"{name} before RL" + (", nats per token: less is better" if name == LOSS else ""),
        y_label="after RL",
        note="Bars are 95 % intervals: across over problems or held-out examples"
        + (", upright over RL seeds." if seeds else "; no checkpoint has two RL seeds, so none upright."),
    )


def trajectories(checkpoints: Rows) -> list[Markup]:
    """Held-out loss and pass@1 along every SFT run of several checkpoints, those past overfitting onset marked."""
    runs = dict.fromkeys(c["sft"] for c in checkpoints if c["sft"])
    return [chart for key in ("heldout_loss", "pass@1") if (chart := _trajectory(key, checkpoints, list(runs)))]


def _trajectory(key: str, checkpoints: Rows, runs: Sequence[str]) -> Markup:
    lines: list[tuple[str, list[tuple[Point, bool]]]] = []
    for run in runs:
        found = [
            (Point(c["step"], f.value, f.low, f.high, f"{_name(c)}: {_interval(f)}"), _turned(c))
            for c in checkpoints
            if c["sft"] == run and c["step"] is not None and (f := c["heldout_loss"] if key != BASELINE else _pass_1(c))
        ]
        if len(found) > 1:
            lines.append((run, sorted(found, key=lambda pair: pair[0].x)))
    short = labels(run for run, _ in lines)
    many = len(lines) > MOST_NAMED_RUNS
    series = [
        Series(short[run], [p for p, _ in found], NEUTRAL if many else i, 0 if many else i, named=not many)
        for i, (run, found) in enumerate(lines)
    ]
    up = [p for _, found in lines for p, turned in found if turned]
    loss = key != BASELINE
    return line_chart(
        [*series, Series("past overfitting onset", up, BAD, 5, joined=False)] if series else [],
        title="Held-out loss along SFT" if loss else "pass@1 along SFT",
        x_label="SFT step",
        y_label="loss, nats per token" if loss else "problems solved by one sample",
        percent=not loss,
        note="Crosses: past overfitting onset: above the minimum by the paired difference, while pass@1 has not fallen."
        if up
        else "No checkpoint is past overfitting onset: none has a loss above the minimum by a paired interval while "
        "pass@1 has not fallen.",
    )


def starts(rows: Rows) -> list[Markup]:
    """Accuracy after RL by starting checkpoint, best first: a panel a family of a sweep."""
    found = []
    for family, mine in groupby(sorted(rows, key=lambda r: r["family"] or ""), lambda r: r["family"] or ""):
        known = sorted((r for r in mine if r["outcome"]), key=lambda r: -r["outcome"].value)
        points = [
            Point(i, f.value, f.low, f.high, f"{r['checkpoint']}: {_interval(f)} over {f.n} {f.varies}")
            for i, r in enumerate(known, start=1)
            if (f := r["outcome"])
        ]
        found.append(
            line_chart(
                [Series("RL", points, 1, 0, joined=False)],
                title="Accuracy after RL" + (f": {family}" if family else ""),
                x_label="starting checkpoint, best first",
                y_label="accuracy after RL",
                percent=True,
                note="Bars are 95 % intervals over RL seeds, or over problems where there is one seed.",
            )
        )
    return [chart for chart in found if chart]


def ranked(checkpoints: Rows) -> list[Mapping[str, Any]]:
    """Best first; last what has no rank."""
    return sorted(checkpoints, key=lambda row: row["rank"] or math.inf)


def beats(result: Mapping[str, Any]) -> tuple[list[str], list[list[float | None]]]:
    """Names of the first checkpoints of the ranking, and the chance that the row's is better than the column's."""
    by = [p for p in result["predictors"] if p["name"] == result["by"]]
    matrix, order = (by[0]["beats"], by[0]["order"]) if by else ([], [])
    some = [c for c in result["checkpoints"] if c["label"] in order[: len(matrix)]]
    if any(len(row) != len(some) for row in matrix) or len(matrix) != len(some):
        return [], []
    place = {id(c): i for i, c in enumerate(some)}
    first = ranked(some)
    rows = [[None if a is b else matrix[place[id(a)]][place[id(b)]] for b in first] for a in first]
    return [_name(c) for c in first], rows


def shares(family: Mapping[str, Any]) -> bool:
    """Whether outcomes look like shares, so that differences of them are points."""
    return all(0 <= p["outcome"].value <= 1 for p in family["points"] if p["outcome"])


def calibrations(family: Mapping[str, Any]) -> list[int]:
    """With how many runs predictors were calibrated."""
    return sorted({int(f["runs"]) for s in family["scores"] for f in s["few"] if f["runs"] is not None})


def headlines(result: Mapping[str, Any]) -> Iterator[tuple[str, str, float | None, Estimate | None, str]]:
    """(label, kind, value, figure, note) of the few numbers that a reader of a prediction came for."""
    for row in result["checkpoints"]:
        if row["picked"] and row["p_best"] is not None:
            yield f"Chance of the best {result['by']}", "pct", row["p_best"], None, _name(row)
    for family in result["families"][:1]:
        shown = [s for s in family["scores"] if s["predictor"] in (BASELINE, result["by"]) and s["spearman"]]
        for s in shown:
            where = f"over {number(family['runs'] or 0)} runs" + (f", {family['name']}" if family["name"] else "")
            yield f"Spearman, {s['predictor']}", "rho", s["spearman"].value, s["spearman"], where
        for s in shown:
            if s["regret"]:
                kind = "points" if shares(family) else "loss"
                yield f"Lost by the first choice of {s['predictor']}", kind, s["regret"].value, s["regret"], ""


def _pass_1(row: Mapping[str, Any]) -> Estimate | None:
    figure: Estimate | None = row["pass"].get(1)
    return figure


def _turned(row: Mapping[str, Any]) -> bool:
    return bool(row["turn_up"]["flagged"])


def _name(row: Mapping[str, Any]) -> str:
    return str(row["label"] or row["name"] or "a checkpoint")


def _interval(figure: Estimate) -> str:
    value, low, high = (number(float(f"{v:.3g}")) for v in (figure.value, figure.low, figure.high))
    return value if not math.isfinite(figure.low + figure.high) else f"{value} [{low}, {high}]"
