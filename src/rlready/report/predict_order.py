"""How certain the order of checkpoints is by the predictor that ranks: what predict adds without outcomes of RL."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from rlready.predict.result import CheckpointPrediction, PredictResult
from rlready.report.checkpoint_charts import marked
from rlready.report.figures import WHOLE_PERCENT
from rlready.report.section import Column, Section, scrolling, small, table
from rlready.report.text import unbroken

P_BEST = (
    "{name} is how often a checkpoint is the best when problems are resampled; a lead is significant only if its "
    "interval, for all pairs together, excludes 0."
)


def certainty(rows: Sequence[CheckpointPrediction]) -> Section:
    """What is new of the checkpoints of one SFT run: the rest is on the page of readiness."""
    column = Column[CheckpointPrediction]
    columns = [
        column("checkpoint", lambda c: marked(c.label, c), heads=True),
        column("probability of being the best", lambda c: c.p_best, WHOLE_PERCENT),
    ]
    title = "How certain the order is"
    said = small(f"{P_BEST.format(name='The probability')}{_likelier(rows)}")
    rest = small("Losses, pass@k and all else that was measured of the checkpoints is on the page of readiness.")
    notes = ["onset"] if any(row.past_onset for row in rows) else []
    return Section(title, [table(title, [rows], columns, lambda c: c.chosen), said, rest], notes)


def _likelier(rows: Sequence[CheckpointPrediction]) -> str:
    """Why another checkpoint is more often the best than the pick, where one is."""
    pick = next((row for row in rows if row.chosen), None)
    best = max((row for row in rows if row.advice in ("rl", "tie")), key=lambda row: row.p_best, default=None)
    if pick is None or best is None or not pick.decided or best.p_best <= pick.p_best:
        return ""
    return (
        f" {best.label} is the likelier best, but within noise: {pick.label} {pick.decided}. To go by the predictor "
        f"alone, take {best.label}."
    )


def better_than(result: PredictResult, ranked: Sequence[CheckpointPrediction]) -> list[Section]:
    """How certain the order of the first few is: the probability that a row's checkpoint is better than a column's."""
    by = next((p for p in result.predictors if p.name == result.ranked_by), None)
    if by is None or not by.p_better:
        return []
    matrix, first = by.p_better, set(by.order[: len(by.p_better)])
    place = {row.label: i for i, row in enumerate(row for row in result.checkpoints if row.label in first)}
    names = [row.label for row in ranked if row.label in place]
    if len(names) != len(matrix) or any(len(line) != len(matrix) for line in matrix):
        return []
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(unbroken(name)) for name in names)
    lines = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>\n').format(
            unbroken(a), Markup("").join(_chance(None if a == b else matrix[place[a]][place[b]]) for b in names)
        )
        for a in names
    )
    whole = Markup('<table class="matrix">\n<thead><tr><th scope="col">P(better than)</th>{}</tr></thead>\n')
    title = f"Which is better, by {result.ranked_by}"
    shown = scrolling(title, whole.format(head) + Markup("<tbody>\n{}</tbody>\n</table>").format(lines))
    more = len(names) < len(ranked)
    note = small(f"The first {len(names)} of {len(ranked)}.") if more else Markup("")
    return [Section(title, [shown, note], ["better"])]


def _chance(p: float | None) -> Markup:
    shade = (
        f"background: color-mix(in srgb, var(--t0) {round(35 * p)}%, transparent)"
        if p is not None and 0 <= p <= 1
        else ""
    )
    return Markup('<td style="{}">{}</td>').format(shade, WHOLE_PERCENT.show(p))
