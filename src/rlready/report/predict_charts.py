"""What the page shows of ``rlready predict``: checkpoints in the order of the ranking, SFT runs on their way, and
predictors against outcomes of RL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from rlready.core.cells import DASH, counted
from rlready.predict.fit import Few
from rlready.predict.predictors import LOSS
from rlready.predict.result import CheckpointPrediction, FamilyResult, PredictResult
from rlready.predict.score import ENOUGH, Score
from rlready.readiness.units import is_share
from rlready.report.checkpoint_charts import few_ks, marked, pass_at_k, pass_columns
from rlready.report.figures import (
    PERCENT,
    POINTS,
    RHO_GAIN,
    SECONDS,
    THREE_DIGITS,
    TWO_DIGITS,
    WHOLE_PERCENT,
    Unit,
)
from rlready.report.plots import NEUTRAL, Point, Series, in_brief, line_chart
from rlready.report.predict_order import P_BEST, better_than, certainty
from rlready.report.section import (
    Column,
    Section,
    bullets,
    paragraph,
    side_by_side,
    small,
    table,
    titled_table,
)
from rlready.runs.checkpoint_order import labels

MOST_NAMED_RUNS = 6
LEAST_POINTS = 3  # of a chart of outcomes
MOST_BARS = 20  # points of a chart that are drawn with their intervals
BAD = 3  # the colour of what is past overfitting onset


def predict_sections(result: PredictResult) -> list[Section]:
    """What to do, the ranking, how sure its order is, losses along SFT, and how well predictors did."""
    rows = sorted(result.checkpoints, key=lambda row: row.rank)
    to_do = [Section("What to do", [bullets(result.next_steps[1:], "steps")])] if result.next_steps[1:] else []
    if not result.families and len({row.sft or row.name for row in rows}) == 1:
        return [*to_do, certainty(rows), *better_than(result, rows)]
    names = {row.name: row.label for row in rows}
    charts = [*trajectories(result.checkpoints), pass_at_k(result.checkpoints, names, result.chance_level)]
    return [
        *to_do,
        Section(f"The ranking, by {result.ranked_by}", _ranking(rows, result), ["pass_at_k", "onset"]),
        *better_than(result, rows),
        Section("Along SFT", [side_by_side(charts)]),
        *(_family(family, result) for family in result.families),
    ]


def _ranking(rows: Sequence[CheckpointPrediction], result: PredictResult) -> list[Markup]:
    column = Column[CheckpointPrediction]
    unit = PERCENT if all(family.shares for family in result.families) else THREE_DIGITS
    columns = [
        column("checkpoint", lambda c: marked(c.label, c), heads=True),
        column("next", lambda c: _next(c, result)),
        column("P(best)", lambda c: c.p_best, WHOLE_PERCENT),
        *pass_columns(rows, few_ks(rows[0].pass_at_k)),
        column("held-out loss", lambda c: c.heldout_loss, THREE_DIGITS),
        *(_after_rl(family) for family in result.families),
        column("expected after RL", lambda c: c.expected, unit),
        column("why", lambda c: c.why, wide=True),
    ]
    shown = [table("The ranking", [rows], columns, lambda c: c.chosen), small(P_BEST.format(name="P(best)"))]
    shown += [small(f"Rule: {result.rule}")] if any(row.chosen for row in rows) else []
    if any(row.expected for row in rows):
        note = "Expected after RL: least squares on all runs; the 95 % prediction intervals take runs as independent."
        shown.append(small(note))
    return shown


def _next(row: CheckpointPrediction, result: PredictResult) -> str:
    """What to do with a checkpoint; that one is not significantly different from the first is said by its reason."""
    if row.advice == "tie" and not row.outcomes:
        return "RL next" if row.label == result.untried else DASH
    return row.next


def _after_rl(family: FamilyResult) -> Column[CheckpointPrediction]:
    header = f"after RL: {family.name}" if family.name else "after RL"
    reached = {p.label: p.outcome if math.isfinite(p.outcome.low) else p.outcome.value for p in family.points}
    return Column(header, lambda c: reached.get(c.label), PERCENT if family.shares else THREE_DIGITS)


def trajectories(checkpoints: Sequence[CheckpointPrediction]) -> list[Markup]:
    """Held-out loss and pass@1 along every SFT run of several checkpoints, those past overfitting onset marked."""
    runs = list(dict.fromkeys(c.sft for c in checkpoints if c.sft))
    return [_trajectory(checkpoints, runs, loss) for loss in (True, False)]


def _trajectory(checkpoints: Sequence[CheckpointPrediction], runs: Sequence[str], loss: bool) -> Markup:
    lines: list[tuple[str, list[tuple[Point, bool]]]] = []
    for run in runs:
        found = [
            (Point.of(c.step, figure, c.label, percent=not loss), c.past_onset)
            for c in checkpoints
            if c.sft == run and c.step is not None and (figure := c.heldout_loss if loss else c.pass_at_k.get(1))
        ]
        if len(found) > 1:
            lines.append((run, sorted(found, key=lambda pair: pair[0].x)))
    short, many = labels(run for run, _ in lines), len(lines) > MOST_NAMED_RUNS
    series = [
        Series(short[run], [p for p, _ in found], NEUTRAL if many else i, 0 if many else i, named=not many)
        for i, (run, found) in enumerate(lines)
    ]
    past = [p for _, found in lines for p, onset in found if onset]
    return line_chart(
        [*series, Series("past overfitting onset", past, BAD, 5, joined=False)] if series else [],
        title="Held-out loss along SFT" if loss else "pass@1 along SFT",
        x_label="SFT step",
        y_label="loss, nats per token" if loss else "problems solved by one sample",
        percent=not loss,
        note="Crosses: past overfitting onset: above the minimum by the paired difference, while pass@1 has not fallen."
        if past
        else "No checkpoint is past overfitting onset: a loss significantly above its run's minimum while pass@1 has "
        "not fallen.",
    )


def _family(family: FamilyResult, result: PredictResult) -> Section:
    """Predictors against what RL reached, over runs that may be compared."""
    unit, value = (POINTS, PERCENT) if family.shares else (THREE_DIGITS, THREE_DIGITS)
    said = (
        f"{counted(family.rl_runs, 'RL run')} from {counted(family.runs, 'checkpoint')} of "
        f"{counted(family.recipes, 'SFT recipe')}, on average {value.show(family.mean.value)} after RL"
    )
    if family.seed_sd is not None:
        said += f"; the standard deviation between RL seeds of one checkpoint is {unit.show(family.seed_sd)}"
    chosen = _chosen(result)
    first = family is result.families[0]  # whose outcomes by the predictor that ranks are the picture of the page
    charts = outcomes(family, chosen, besides=result.ranked_by if first else "")
    parts = [paragraph(f"{said}."), side_by_side(charts)]
    if family.scores:
        columns = _score_columns(unit, fitted=family.recipes >= ENOUGH)
        parts.append(table("Predictors", [family.scores], columns, lambda s: s.predictor == result.ranked_by))
        parts.append(small(f"Intervals of gains over pass@1 hold for all predictors but {result.ranked_by} together."))
        parts += _calibration(family, unit)
    else:
        parts.append(small("Too few SFT recipes, or all outcomes are equal: there is nothing to score."))
    title = "Predictors against what RL reached" + (f": {family.name}" if family.name else "")
    return Section(title, parts, ["predictors", "regret"] if family.scores else [])


def outcome_chart(result: PredictResult) -> Markup:
    """Outcome of RL against the predictor that ranks, in the first family; empty if that has too few points."""
    family, name = result.families[0], result.ranked_by
    if len(family.points) < LEAST_POINTS:
        return Markup("")
    return _panel(name, family, _chosen(result))


def unlike_outcomes(name: str) -> str:
    """What keeps the value of a predictor apart from an accuracy after RL: it is a share of problems, too."""
    k = name.removeprefix("pass@")
    return f"not comparable with {name}, for which one of {k} samples is enough" if k not in (name, "1") else ""


def outcomes(family: FamilyResult, chosen: str | None, besides: str = "") -> list[Markup]:
    """A panel for each predictor but ``besides``: outcome of RL, with the intervals of both and the fitted line."""
    if len(family.points) < LEAST_POINTS:
        return []
    names = dict.fromkeys(name for p in family.points for name in p.predictors if name != besides)
    return [_panel(name, family, chosen) for name in names]


def _chosen(result: PredictResult) -> str | None:
    """The label of the chosen checkpoint."""
    return next((c.label for c in result.checkpoints if c.chosen), None)


def _panel(name: str, family: FamilyResult, chosen: str | None) -> Markup:
    """Outcome of RL against one predictor; of many runs without their intervals, which would cover each other."""
    first, others, bars = list[Point](), list[Point](), len(family.points) <= MOST_BARS
    most = max(point.outcome.value for point in family.points)
    for point in family.points:
        if x := point.predictors.get(name):
            y = point.outcome
            said = f"{point.label}: {name} {in_brief(x)}, after RL {in_brief(y)}"
            drawn = Point(x.value, y.value, note=said)
            drawn = replace(drawn, low=y.low, high=y.high, left=x.low, right=x.high) if bars else drawn
            drawn = replace(drawn, label=point.label) if point.outcome.value == most else drawn
            (first if point.label == chosen else others).append(drawn)
    over = {p.outcome.varies for p in family.points if math.isfinite(p.outcome.low)}
    upright = "; no checkpoint has two RL seeds, so there is no vertical one."
    upright = ", vertical over problems, as each has one RL seed." if "problems" in over else upright
    upright = ", vertical over RL seeds." if "seeds" in over else upright
    note = f"Bars are 95 % intervals: horizontal over problems or held-out examples{upright}"
    note = note if bars else "A point for each checkpoint."
    if about := "; ".join(filter(None, [family.meaning, unlike_outcomes(name) if family.shares else ""])):
        note = f"{family.title}: {about}. {note}"
    line = family.lines.get(name) or []
    return line_chart(
        [
            Series(
                "least squares", [Point(end[0], end[1]) for end in line if len(end) == 2], NEUTRAL, 1, markers=False
            ),
            Series("RL runs", others, NEUTRAL, 0, joined=False),
            Series(f"RL from {chosen}, the pick", first, 0, 3, joined=False),
        ],
        title=f"Outcome of RL against {name}",
        x_label=f"{name} before RL" + (", nats per token: less is better" if name == LOSS else ""),
        y_label="outcome of RL",
        percent=family.shares,
        percent_x=is_share(name),
        note=note,
    )


def _score_columns(unit: Unit, *, fitted: bool) -> list[Column[Score]]:
    """The columns of scores; those that need a fit only where there are enough recipes for one."""
    column = Column[Score]
    fits = [
        column("minus that of pass@1", lambda s: s.gain, RHO_GAIN),
        column("out-of-sample R²", lambda s: s.r2, TWO_DIGITS),
        column("R² minus that of pass@1", lambda s: s.r2_gain, TWO_DIGITS),
        column("R² over halves", lambda s: s.r2_halves, TWO_DIGITS),
        column("± over halves", lambda s: s.r2_halves_sd, TWO_DIGITS),
        column("mean error", lambda s: s.mae, unit),
    ]
    return [
        column(
            "predictor", lambda s: f"{s.predictor} (less is better)" if s.predictor == LOSS else s.predictor, heads=True
        ),
        column("Spearman", lambda s: s.spearman, TWO_DIGITS),
        column("p", lambda s: s.p, THREE_DIGITS),
        column("p, best of all", lambda s: s.p_any, THREE_DIGITS),
        *(fits if fitted else []),
        column("top-1 regret", lambda s: s.regret, unit),
        column("regret by SFT seed", lambda s: ", ".join(map(unit.number, s.regret_by_sft_seed.values()))),
        column("cost before the best", lambda s: s.regret_cost, SECONDS),
    ]


def _calibration(family: FamilyResult, unit: Unit) -> list[Markup]:
    """Lines through a few runs, tested on all others; nothing where there were too few."""
    runs = sorted({few.runs for s in family.scores for few in s.few})
    if not runs or family.recipes < ENOUGH:
        return []
    columns = [Column[Score]("predictor", lambda s: s.predictor, heads=True)]
    for m in runs:
        columns += _calibration_columns(m, unit)
    note = (
        "A line through so few random runs, tested on all others: its mean error, the half-width of its 95 % "
        "prediction interval (median), and the share of outcomes within it."
    )
    scored = [s for s in family.scores if s.few]
    return [titled_table("Calibrated with a few runs", scored, columns), small(note)]


def _calibration_columns(runs: int, unit: Unit) -> list[Column[Score]]:
    def few(score: Score) -> Few | None:
        return next((few for few in score.few if few.runs == runs), None)

    return [
        Column(f"{runs} runs: mean error", lambda s: f.mae if (f := few(s)) else None, unit),
        Column("± of the interval", lambda s: f.half_width if (f := few(s)) else None, unit),
        Column("within the 95 % interval", lambda s: f.covered if (f := few(s)) else None, PERCENT),
    ]
