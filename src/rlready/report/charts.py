"""Which curves a run has: from its figures and log lines to the charts of the page.

Every function gives the empty string where the run has no such data.  Step logs may hold nulls and, after
a resume, a step twice: null is left out, the later line wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from rlready.core.records import Estimate
from rlready.report.plots import NEUTRAL, Point, Series, line_chart
from rlready.report.text import number

Log = Sequence[Mapping[str, Any]]
STAGES = {"base": "Base", "sft": "SFT", "rl": "RL"}
TONES = {"base": (NEUTRAL, 2), "sft": (0, 1), "rl": (1, 0)}  # colour and shape; RL solid, it is the result
MOST_LINE_POINTS = 200
MOST_NAMED_CHECKPOINTS = 6


def compared(budgets: Sequence[Mapping[str, Any]]) -> list[str]:
    """The models that were given budgets, in the order of their first appearance."""
    return list(dict.fromkeys(k for entry in budgets for k in entry if k != "budget"))


def ks(checkpoints: Sequence[Mapping[str, Any]]) -> list[int]:
    return sorted({k for point in checkpoints for k in point["pass"]})


def label(model: str) -> str:
    return STAGES.get(model, model)


def pass_at_k(checkpoints: Sequence[Mapping[str, Any]], chance: Mapping[str, float | None]) -> Markup:
    """pass@k over k in doublings; with many checkpoints only first, last and picked stand out."""
    others, series = _apart(
        checkpoints,
        lambda name, entry: [_point(k, f, f"{name}, pass@{k}") for k, f in sorted(entry["pass"].items()) if f],
    )
    guesses = [Point(k, g) for k in ks(checkpoints) if (g := chance.get(f"pass@{k}")) is not None]
    lines = [*others, *series, Series("chance", guesses, NEUTRAL, 6, markers=False)]
    return line_chart(
        lines if others or series else [],
        title="pass@k of each checkpoint",
        x_label="samples per problem, k",
        y_label="problems solved at least once",
        percent=True,
        log2_x=True,
        note="Bands are 95 % intervals."
        + (" Chance: guessing the k most common answers." if guesses else "")
        + _apart_note(checkpoints, others),
    )


def histogram(checkpoints: Sequence[Mapping[str, Any]]) -> Markup:
    """How right rollouts are spread over problems: what lies between 0 and 1 is what RL can learn from."""

    def points(name: str, entry: Mapping[str, Any]) -> list[Point]:
        known = [(bar["right"], f) for bar in entry["histogram"] if bar["right"] is not None and (f := bar["problems"])]
        return [_point(x, f, f"{name}, about {number(x, True)} right") for x, f in known]

    others, series = _apart(checkpoints, points)
    return line_chart(
        [*others, *series],
        title="Rollout accuracy of the problems",
        x_label="share of a problem's rollouts that are right",
        y_label="problems",
        percent=True,
        note="Points: none right, fifths by their middle, all right. Bands are 95 % intervals."
        + _apart_note(checkpoints, others),
    )


def cosine(checkpoints: Sequence[Mapping[str, Any]]) -> Markup:
    """Whether problems pull the model one way."""
    return _along(
        [entry["influence"]["cosine"] for entry in checkpoints],
        checkpoints,
        "Do problems teach each other?",
        "cosine of the gradients of two problems",
        "Bars are 95 % intervals.",
    )


def _along(
    figures: Sequence[Estimate | None], checkpoints: Sequence[Mapping[str, Any]], title: str, y_label: str, note: str
) -> Markup:
    """A figure of every checkpoint in the order of training; none for a single checkpoint."""
    points = [
        Point(i + 1, f.value, f.low, f.high, f"{entry['name'] or f'checkpoint {i + 1}'}: {f}")
        for i, (f, entry) in enumerate(zip(figures, checkpoints, strict=True))
        if f
    ]
    return line_chart(
        [Series(title, points, 0, 0)] if len(points) > 1 else [],
        title=title,
        x_label="checkpoint, in order of training",
        y_label=y_label,
        note=note,
    )


def _apart(
    checkpoints: Sequence[Mapping[str, Any]], points: Callable[[str, Mapping[str, Any]], list[Point]]
) -> tuple[list[Series], list[Series]]:
    """A series a checkpoint, (background, named): with many only first, last and picked stand out."""
    many = len(checkpoints) > MOST_NAMED_CHECKPOINTS
    series: list[Series] = []
    others: list[Series] = []
    for i, entry in enumerate(checkpoints):
        name = (entry["name"] or f"checkpoint {i + 1}") + (" ★" if entry["picked"] else "")
        if many and not entry["picked"] and 0 < i < len(checkpoints) - 1:
            others.append(Series(name, points(name, entry), NEUTRAL, 0, markers=False, named=False))
        else:
            n = len(series)
            series.append(Series(name, points(name, entry), n % NEUTRAL, n % 8, band=True))
    return others, series


def _apart_note(checkpoints: Sequence[Mapping[str, Any]], others: Sequence[Series]) -> str:
    return (" ★ picked." if any(entry["picked"] for entry in checkpoints) else "") + (
        f" Thin grey: the {len(others)} checkpoints in between." if others else ""
    )


def heldout_loss(checkpoints: Sequence[Mapping[str, Any]]) -> Markup:
    """Held-out loss, for a run without a log of steps."""
    return _along(
        [entry["heldout_loss"] for entry in checkpoints],
        checkpoints,
        "Held-out loss",
        "loss, nats per token",
        "Bars are 95 % intervals over examples, which checkpoints share: differences are far surer.",
    )


def sft_loss(log: Log) -> Markup:
    heldout = [
        Point(step, row["heldout_loss"], _number(row, "heldout_low"), _number(row, "heldout_high"), _loss_note(row))
        for step, row in _steps(log, "heldout_loss")
    ]
    training, every = _line(log, "loss")
    return line_chart(
        [Series("training", training, NEUTRAL, 0, markers=False), Series("held-out", heldout, 0, 0)],
        title="SFT loss",
        x_label="step",
        y_label="loss, nats per token",
        note=_averaged(every) + ("Bars are 95 % intervals, a point per checkpoint." if heldout else ""),
    )


def rl(log: Log) -> list[Markup]:
    """What to look at when RL goes well or ill: reward, length by outcome, groups that teach, entropy."""
    reward, every = _line(log, "reward")
    accuracy, _ = _line(log, "accuracy")
    heldout = [
        Point(step, row["eval_accuracy"], _number(row, "eval_low"), _number(row, "eval_high"), _eval_note(row))
        for step, row in _steps(log, "eval_accuracy")
    ]
    rewards = [Series("reward", reward, 4, 1, markers=False)] if reward != accuracy else []
    correct = [Series("training", accuracy, NEUTRAL, 0, markers=False), Series("held-out", heldout, 1, 0)]
    shares = all(0 <= p.y <= 1 for p in reward)
    right, wrong = _line(log, "thinking_right")[0], _line(log, "thinking_wrong")[0]
    length = [Series("right", right, 2, 0, markers=False), Series("wrong", wrong, 3, 1, markers=False)]
    tested = [Point(step, row["eval_thinking"]) for step, row in _steps(log, "eval_thinking")]
    return [
        line_chart(
            [*rewards, *correct] if shares else correct,
            title="Reward and accuracy during RL" if shares and rewards else "Accuracy during RL",
            x_label="RL step",
            y_label="share of rollouts",
            percent=True,
            note=_averaged(every) + ("Held-out: bars are 95 % intervals." if heldout else ""),
        ),
        *([] if shares else [line_chart(rewards, title="Reward during RL", x_label="RL step", y_label="mean reward")]),
        line_chart(
            [*length, Series("held-out", tested, 1, 0)],
            title="Thinking length during RL",
            x_label="RL step",
            y_label="mean thinking tokens",
            note="Right and wrong rollouts apart: length that grows only where answers are wrong teaches nothing.",
        ),
        _groups(log),
        line_chart(
            [Series("entropy", _line(log, "entropy")[0], 5, 0, markers=False)],
            title="Entropy of the policy during RL",
            x_label="RL step",
            y_label="nats per token",
            note="A fall towards 0 means that rollouts no longer differ and there is nothing left to learn from.",
        ),
    ]


def _groups(log: Log) -> Markup:
    """Shares, whatever the log counts in: a group is mixed (it teaches), all right or all wrong."""
    kinds = {"groups_used": "mixed", "groups_all_right": "all right", "groups_all_wrong": "all wrong"}
    if any(_number(row, "groups_equal") for row in log):  # neither all right nor all wrong, yet no credit
        kinds["groups_equal"] = "equal rewards"
    rows = []
    for step, row in _steps(log, "groups_used"):
        counts = {k: _number(row, k) or 0.0 for k in kinds}
        total = sum(counts.values())
        if total > 0:
            rows.append({"step": step, **{k: v / total for k, v in counts.items()}})
    series = [
        Series(name, _line(rows, key)[0], tone, shape, markers=False)
        for (key, name), tone, shape in zip(kinds.items(), (1, 2, 3, 4), (0, 1, 2, 4), strict=False)
    ]
    cut = Series("truncated", _line(log, "truncated")[0], NEUTRAL, 3, markers=False)
    return line_chart(
        [*series, cut],
        title="Groups that teach",
        x_label="RL step",
        y_label="share of groups",
        percent=True,
        note="Only mixed groups have a gradient. Truncated: share of rollouts cut at the budget.",
    )


def _point(x: float, figure: Estimate, note: str) -> Point:
    value, low, high = (number(round(v, 3), True) for v in (figure.value, figure.low, figure.high))
    return Point(x, figure.value, figure.low, figure.high, f"{note}: {value} [{low}, {high}]")


def _steps(log: Log, key: str) -> list[tuple[float, Mapping[str, Any]]]:
    """The lines that hold a number under ``key``, by step; of two lines with one step the later."""
    found = {s: row for row in log if (s := _number(row, "step")) is not None and _number(row, key) is not None}
    return sorted(found.items(), key=lambda item: item[0])


def _line(log: Log, key: str) -> tuple[list[Point], int]:
    """A curve of at most 200 points, each the mean of ``every`` neighbouring lines."""
    raw = [(step, float(row[key])) for step, row in _steps(log, key)]
    every = max(1, math.ceil(len(raw) / MOST_LINE_POINTS))
    bins = [raw[i : i + every] for i in range(0, len(raw), every)]
    return [Point(b[len(b) // 2][0], math.fsum(v for _, v in b) / len(b)) for b in bins], every


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100
    return value if good else None


def _averaged(every: int) -> str:
    return f"Training: means over {every} steps. " if every > 1 else ""


def _loss_note(row: Mapping[str, Any]) -> str:
    epoch = _number(row, "epoch")
    where = f"epoch {number(round(epoch, 3))}, " if epoch is not None else ""
    return f"{where}step {number(row['step'])}: {row['heldout_loss']:.4f} nats per token"


def _eval_note(row: Mapping[str, Any]) -> str:
    return f"step {number(row['step'])}: {number(round(row['eval_accuracy'], 3), True)} of held-out problems right"
