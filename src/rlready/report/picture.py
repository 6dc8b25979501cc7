"""The picture of the first screen: what the headline says, drawn."""

from __future__ import annotations

from dataclasses import replace

from markupsafe import Markup

from rlready.core.cells import decimals
from rlready.core.records import Estimate
from rlready.evaluate.result import EvaluateResult
from rlready.predict.result import PredictResult
from rlready.readiness.ranking import WORSE_1
from rlready.readiness.result import ReadinessResult
from rlready.readiness.units import is_share
from rlready.report.budget_charts import accuracy_chart
from rlready.report.demo_result import DemoResult
from rlready.report.figures import PERCENT, POINTS, THREE_DIGITS, Unit
from rlready.report.first_screen import Ranked, Row, checkpoint_names, shown_value
from rlready.report.folder import RunFolder
from rlready.report.forest import ForestRow, Kind, forest
from rlready.report.log_charts import reward_charts, sft_loss
from rlready.report.predict_charts import outcome_chart
from rlready.runs.checkpoint_order import listed
from rlready.sweep.result import SweepResult, best_starts
from rlready.train.result import RLResult, SFTResult

KINDS: dict[str, Kind] = {"rl": "chosen", "tie": "tie", "drop": "drop", "unsolved": "drop"}


def picture(run: RunFolder) -> Markup:
    """What the headline says, drawn; empty where there is nothing to draw."""
    drawn = Markup("")
    match result := run.result:
        case DemoResult() | EvaluateResult():
            drawn = accuracy_chart(result)
        case PredictResult() if result.families and (chart := outcome_chart(result)):
            drawn = chart
        case ReadinessResult() | PredictResult():
            drawn = _ranking(result)
        case RLResult():
            drawn = reward_charts(run.rl_log)[0]
        case SFTResult():
            drawn = sft_loss(run.sft_log)
        case SweepResult():
            drawn = _outcomes(result)
    return drawn


def _ranking(result: Ranked) -> Markup:
    """Every checkpoint by its distance to the first, best first."""
    by, short = result.ranked_by, checkpoint_names(result)
    ranked: list[Row] = sorted(result.checkpoints, key=lambda c: c.rank)
    if len(ranked) < 2 or not any(c.chosen for c in ranked):
        return Markup("")
    rows = []
    for c in ranked:
        behind = c.behind or Estimate(0.0, 0.0, 0.0, 0)
        place = {"at": -behind.value, "low": -behind.high, "high": -behind.low}
        said, why = _said(c, result)
        gap = "" if c.behind is None else _gap(c.behind, POINTS if is_share(by) else THREE_DIGITS)
        row = ForestRow(short[c.name], shown_value(c, by), **place, kind=KINDS[c.advice], said=said, why=why, gap=gap)
        rows.append(row)
    points = ", in points," if is_share(by) else ""
    note = (
        f"Dots: distance to {short[ranked[0].name]} (line){points} on the same problems. A bar that reaches the "
        f"line: not significantly different in {by}. Bars are 95 % intervals for all pairs together."
    )
    if by_pass_1 := [short[c.name] for c in ranked if c.next.endswith(WORSE_1)]:
        note += f" What drops {listed(by_pass_1)} is pass@1, which is not drawn."
    title = f"Checkpoints by {by}, best first" + ("; overfitted ones last" if any(c.past_onset for c in ranked) else "")
    columns = [by, f"minus {short[ranked[0].name]}" + " (points)" * is_share(by)]
    scale = POINTS.scale if is_share(by) else 1.0
    return forest(rows, title=title, columns=columns, scale=scale, unit="", note=note, line=0.0)


def _said(row: Row, result: Ranked) -> tuple[str, str]:
    """What a row means, and why: where RL has been run, what is next, else where to start it."""
    if isinstance(result, PredictResult) and result.families:
        return "RL next" if checkpoint_names(result)[row.name] == result.untried else row.next, ""
    if row.chosen:
        return "start RL here", row.decided
    return "the highest" if row.rank == 1 else row.next, ""


def _gap(behind: Estimate, unit: Unit) -> str:
    """The difference of a checkpoint to the first, with its interval: ``−6 [−14, 1]``, as it is drawn."""
    unit = replace(unit, digits=decimals(behind, unit.scale))
    return f"{unit.number(-behind.value)} [{unit.number(-behind.high)}, {unit.number(-behind.low)}]"


def _outcomes(result: SweepResult) -> Markup:
    """Accuracy after RL from the checkpoints of the first family, best first; families are not compared."""
    if not result.starts:
        return Markup("")
    family, best = next(iter(best_starts(result.starts).items()))
    ranked = sorted((s for s in result.starts if s.family == family), key=lambda s: -s.outcome.value)
    rows = [
        ForestRow(
            s.checkpoint,
            PERCENT.show(s.outcome.value),
            s.outcome.value,
            s.outcome.low,
            s.outcome.high,
            "chosen" if s in best else "tie",
        )
        for s in ranked
    ]
    note = "Bars are 95 % intervals over RL seeds, or over problems where there is one seed."
    title = "Accuracy after RL, by starting checkpoint" + (f": {family}" if family else "")
    return forest(rows, title=title, columns=["after RL"], scale=PERCENT.scale, unit=PERCENT.suffix, note=note)
