"""What the page shows of thinking budgets: accuracy for tokens, what other ways of spending them add, and lengths.

Every function gives nothing where the result has no such data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.report.charts import TONES, compared, label
from rlready.report.plots import NEUTRAL, Point, Series, line_chart
from rlready.report.text import number

Rows = Sequence[Mapping[str, Any]]


def accuracy(result: Mapping[str, Any]) -> Markup:
    """Accuracy against the mean thinking tokens that were really used: a point a budget, and the untouched models."""
    entries, chance = result["budgets"], result["chance"]
    series: list[Series] = []
    for i, model in enumerate(compared(entries)):
        points = [
            _point(f["thinking_tokens"], f["accuracy"], f"{label(model)}, {_budget(e['budget'])}")
            for e in entries
            if (f := e.get(model)) and f["accuracy"] and f["thinking_tokens"]
        ]
        tone, shape = TONES.get(model, (i % NEUTRAL, i % 8))
        series.append(Series(label(model), sorted(points, key=lambda p: p.x), tone, shape, band=True))
    free = [
        _point(f["thinking_tokens"], f["accuracy"], f"{label(model)}, untouched")
        for model, f in result["untouched"].items()
        if f["accuracy"] and f["thinking_tokens"]
    ]
    if any(e["budget"] is not None for e in entries):
        series.append(Series("untouched", free, NEUTRAL, 3, joined=False))
    guess = chance.get("majority", chance.get("pass@1"))
    xs = [p.x for s in series for p in s.points if math.isfinite(p.x)]
    if guess is not None and xs:
        room = 0.1 * min(xs) if min(xs) == max(xs) else 0.0
        ends = [Point(min(xs) - room, guess), Point(max(xs) + room, guess)]
        series.append(Series("chance", ends, NEUTRAL, 6, markers=False))
    return line_chart(
        series,
        title="Accuracy against thinking spent",
        x_label="mean thinking tokens per problem",
        y_label="accuracy",
        percent=True,
        note="One point per budget; bands are 95 % intervals. "
        + ("Untouched: each model's own prompt and stop, no budget. " if free else "")
        + ("Chance: always giving the most common answer." if guess is not None else ""),
    )


def other_ways(result: Mapping[str, Any]) -> list[Markup]:
    """A chart a model: its budgets, and beside them extensions, biases, stated lengths and votes."""
    return [chart for model in compared(result["budgets"]) if (chart := _ways(result, model))]


def way(line: Mapping[str, Any]) -> str:
    """How an arm or a curve spends its tokens, in words."""
    if line["stated"]:
        return "stated in the prompt"
    words = [f"{line['extensions']:g} extensions" if line["extensions"] else ""]
    words.append(f"bias {line['bias']:g}" if line["bias"] else "")
    return ", ".join(filter(None, words)) or "budget alone"


def main_way(result: Mapping[str, Any]) -> str:
    """How the arms that others are held against spend tokens: the first settings measured, or budgets alone."""
    return way(result["metrics"][0]) if result["metrics"] else "budget alone"


def _ways(result: Mapping[str, Any], model: str) -> Markup:
    curves: dict[str, list[Point]] = {}
    for arm in result["arms"]:
        if arm["model"] == model and arm["accuracy"] and arm["thinking_tokens"]:
            name = way(arm)
            said = f"{name}, {_budget(arm['budget'])}"
            curves.setdefault(name, []).append(_point(arm["thinking_tokens"], arm["accuracy"], said))
    spent = {e["budget"]: f for e in result["budgets"] if (f := e.get(model)) and f["thinking_tokens"]}
    votes = [
        Point(v["n"] * f["thinking_tokens"].value, vote.value, vote.low, vote.high, f"vote of {v['n']:g}")
        for v in result["votes"]
        if v["model"] == model and (vote := v["vote"]) and v["n"] and (f := spent.get(v["budget"]))
    ]
    if not curves:
        return Markup("")
    plain = [_point(f["thinking_tokens"], f["accuracy"], _budget(b)) for b, f in spent.items() if f["accuracy"]]
    named = {main_way(result): plain, **curves, "majority vote": votes}
    return line_chart(
        [
            Series(name, sorted(points, key=lambda p: p.x), i % NEUTRAL, i % 8)
            for i, (name, points) in enumerate(named.items())
        ],
        title=f"{label(model)}: other ways to spend tokens",
        x_label="mean thinking tokens per problem",
        y_label="accuracy",
        percent=True,
        note="Bars are 95 % intervals, over the same problems in all. A vote counts the thinking of all its samples.",
    )


def lengths(result: Mapping[str, Any]) -> list[Markup]:
    """A histogram a model: thinking tokens at the largest budget, of right and of wrong responses."""
    edges, models = result["lengths"]["edges"], result["lengths"]["models"]
    middles = [(low + high - 1) / 2 for low, high in pairwise(e or 0 for e in edges)]
    charts = []
    for model, found in models.items():
        counts = {kind: [n or 0 for n in found[kind]] for kind in found}
        total = sum(counts["right"]) + sum(counts["wrong"])
        series = [
            Series(kind, [Point(x, n / total) for x, n in zip(middles, counts[kind], strict=False)], tone, shape)
            for kind, tone, shape in (("right", 2, 0), ("wrong", 3, 1))
            if total
        ]
        charts.append(
            line_chart(
                series,
                title=f"{label(model)}: length of thoughts",
                x_label="thinking tokens",
                y_label="share of responses",
                percent=True,
                note="At the largest budget; right and wrong add up to all.",
            )
        )
    return [chart for chart in charts if chart]


def _budget(budget: float | None) -> str:
    return "no budget" if budget is None else f"budget {number(budget)}"


def _point(tokens: Estimate, figure: Estimate, note: str) -> Point:
    value, low, high = (number(round(v, 3), True) for v in (figure.value, figure.low, figure.high))
    where = f" at {number(round(tokens.value, 1))} tokens"
    return Point(tokens.value, figure.value, figure.low, figure.high, f"{note}: {value} [{low}, {high}]{where}")
