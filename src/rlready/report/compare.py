"""The page of several runs side by side (`comparison.py`): their settings, curves, and differences of accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup
from pydantic import JsonValue

from rlready.core.cells import DASH
from rlready.report.accuracies import CHOSEN, Compared
from rlready.report.comparison import CONTENT, ComparisonResult, Scored, compared
from rlready.report.figures import DIFFERENCE, PERCENT
from rlready.report.logs import Log, Value, along, smooth
from rlready.report.plots import NEUTRAL, Point, Series, line_chart
from rlready.report.section import Column, Section, bullets, side_by_side, small, table

CURVES: tuple[tuple[str, str, str, Value], ...] = (
    ("Validation accuracy", "RL step", "accuracy", lambda line: line.eval_accuracy),
    ("Reward", "RL step", "mean reward", lambda line: line.reward),
    ("Thinking tokens", "RL step", "mean thinking tokens", lambda line: line.thinking_tokens),
    ("Informative groups", "RL step", "share of groups", lambda line: line.informative),
    ("Entropy", "RL step", "nats per token", lambda line: line.entropy),
    ("Held-out loss", "step", "nats per token", lambda line: line.heldout_loss),
    ("Training loss of SFT", "step", "nats per token", lambda line: line.loss if line.epoch is not None else None),
)
DATA = ("problems", "validation", "rows", "heldout")  # settings that name what a curve is measured on
SHARES = ("accuracy", "share of groups")


def compare(folders: Sequence[Path]) -> tuple[ComparisonResult, list[Section]]:
    """The comparison and the sections of its page; UserError as `compared`."""
    result, runs = compared(folders)
    return result, [*_sections(runs, result)]


def _sections(runs: Sequence[Compared], result: ComparisonResult) -> Iterator[Section]:
    column = Column[Compared]
    columns = [
        column("run", lambda run: run.name, heads=True),
        column("verb", lambda run: run.folder.result.verb),
        column("result", lambda run: run.folder.result.headline, wide=True),
    ]
    unread = [f"{run.name}: {line}" for run in runs for line in run.folder.left_out]
    parts = [table("Runs", [list(runs)], columns)]
    yield Section("Runs", [*parts, *([bullets(unread, "warning")] if unread else [])])
    if result.scores:
        yield _scores(result)
    if charts := side_by_side(_curves(runs)):
        other = [key for key in result.settings if key in DATA or key.startswith(CONTENT)]
        said = f"The runs differ in {' and '.join(other)}: a curve is of each run's own data."
        yield Section("Curves", [charts, *([bullets([said], "warning")] if other else [])])
    if result.settings:
        yield _settings(result.runs, result.settings)


def _scores(result: ComparisonResult) -> Section:
    column = Column[Scored]
    columns = [
        column("run", lambda s: s.run, heads=True),
        column("model", lambda s: s.model),
        column("figure", lambda s: s.what),
        column("value", lambda s: s.accuracy, PERCENT),
        column("minus the first", lambda s: s.difference, DIFFERENCE),
    ]
    bodies: dict[int, list[Scored]] = {}
    for each in result.scores:
        bodies.setdefault(each.group, []).append(each)
    title = "Accuracy on the same problems" if len(bodies) == 1 else "Accuracy"
    parts = [table(title, [*bodies.values()], columns)]
    if result.notes:
        said = "The runs did not measure alike; a line separates those that are not compared with each other."
        parts.append(bullets([said], "warning"))
    if any(s.what == CHOSEN for s in result.scores):
        said = (
            f"The {CHOSEN} of a run is that of its best checkpoint, which was chosen on these problems: it is too high "
            "by a little, and by more the more often the run was evaluated."
        )
        parts.append(small(said))
    return Section(title, parts, ["simultaneous"])


def _settings(runs: Sequence[str], settings: dict[str, list[JsonValue]]) -> Section:
    columns = [Column[int]("run", lambda at: runs[at], heads=True)]
    columns += [Column[int](key, partial(_value, values)) for key, values in settings.items()]
    return Section("Settings that differ", [table("Settings that differ", [range(len(runs))], columns)])


def _value(values: list[JsonValue], at: int) -> str:
    value = values[at]
    return DASH if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _curves(runs: Sequence[Compared]) -> Iterator[Markup]:
    """A chart of each quantity that two runs at least have, a line a run."""
    for title, x_label, y_label, value in CURVES:
        evaluated = title in ("Validation accuracy", "Held-out loss")
        series = list[Series]()
        for run in runs:
            log = [*run.folder.sft_log, *run.folder.rl_log]
            points = _evaluations(log, value) if evaluated else smooth(log, value)
            at = len(series)
            series += [Series(run.name, points, at % NEUTRAL, at % NEUTRAL, markers=evaluated)] if points else []
        if len(series) > 1:
            bars = any(p.low is not None for s in series for p in s.points)
            note, percent = "Bars are 95 % intervals over problems." if bars else "", y_label in SHARES
            yield line_chart(series, title=title, x_label=x_label, y_label=y_label, percent=percent, note=note)


def _evaluations(log: Log, value: Value) -> list[Point]:
    """A point a checkpoint, with its interval where the log has one: of accuracy, not of held-out loss."""
    return [Point(line.step, y, line.eval_low, line.eval_high) for line, y in along(log, value)]
