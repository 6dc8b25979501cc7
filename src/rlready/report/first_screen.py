"""The three numbers of the first screen, by what a reader came for; `picture.py` draws what stands beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rlready.core.cells import brief_percent, counted, decimals, rough_time
from rlready.core.records import Estimate
from rlready.core.separation import MOST_PROBLEMS, separable
from rlready.evaluate.result import EvaluateResult
from rlready.inject.result import InjectResult
from rlready.predict.advice import FAMILIES
from rlready.predict.result import CheckpointPrediction, PredictResult
from rlready.predict.score import SIGNIFICANT
from rlready.readiness.result import CheckpointReadiness, ReadinessResult, rival
from rlready.readiness.units import is_share, meaning_of
from rlready.report.budget_charts import names_of
from rlready.report.demo_result import DemoResult
from rlready.report.figures import (
    COUNT,
    DIFFERENCE,
    PERCENT,
    POINTS,
    SECONDS,
    THREE_DIGITS,
    TOKENS,
    TWO_DIGITS,
    Unit,
)
from rlready.report.folder import RunFolder
from rlready.report.predict_charts import outcome_chart, unlike_outcomes
from rlready.runs.checkpoint_order import labels, listed
from rlready.sweep.result import SweepResult, best_starts
from rlready.train.result import RLResult, SFTResult

NUMBERS = 3
Row = CheckpointReadiness | CheckpointPrediction
Ranked = ReadinessResult | PredictResult


@dataclass(frozen=True)
class Number:
    """One number, with its interval and as many digits as that supports if it is an estimate; ``note`` qualifies it."""

    label: str
    unit: Unit
    value: Estimate | float | str
    note: str = ""

    @property
    def text(self) -> str:
        if isinstance(self.value, str):
            return self.value
        return self._unit.number(self.value.value if isinstance(self.value, Estimate) else self.value)

    @property
    def suffix(self) -> str:
        return "" if isinstance(self.value, str) else self.unit.suffix.strip()

    @property
    def interval(self) -> str:
        """``95 % interval 71 to 82``; empty for a number without an interval."""
        if not isinstance(self.value, Estimate) or not math.isfinite(self.value.high - self.value.low):
            return ""
        low, high = (self._unit.number(end) for end in (self.value.low, self.value.high))
        return f"95\u202f% interval {low} to {high}"

    @property
    def n(self) -> str:
        return f"n = {self.value.n:,} {self.value.varies}" if isinstance(self.value, Estimate) and self.value.n else ""

    @property
    def _unit(self) -> Unit:
        if not isinstance(self.value, Estimate):
            return self.unit
        return replace(self.unit, digits=decimals(self.value, self.unit.scale))


def numbers(run: RunFolder) -> list[Number]:
    """At most three: what was decided, how sure it is, and what it costs."""
    return list(islice(_numbers(run), NUMBERS))


def _numbers(run: RunFolder) -> Iterator[Number]:
    match result := run.result:
        case DemoResult():
            sft, rl = (result.short[model] for model in ("sft", "rl"))
            yield Number(f"Gain of {rl} over {sft}{_at_budget(result)}", DIFFERENCE, result.rl_minus_sft)
            if result.greedy_rl_minus_sft:
                yield Number(f"Greedy gain of {rl} over {sft}", DIFFERENCE, result.greedy_rl_minus_sft)
            before, after = result.sft.strict_accuracy, result.rl.strict_accuracy
            if before and after:
                note = f"{sft}: {brief_percent(before)} %"
                once = [model.greedy_strict_accuracy for model in (result.rl, result.sft)]
                if once[0] and once[1]:
                    note += f". Greedy: {rl} {brief_percent(once[0])} %, {sft} {brief_percent(once[1])} %"
                yield Number(f"Answer and every step correct, {rl}", PERCENT, after, note)
            tokens = TOKENS.show(result.sft.thinking_tokens.value)
            yield Number(f"Thinking tokens of {rl}", TOKENS, result.rl.thinking_tokens, f"{sft}: {tokens}")
        case PredictResult() if result.families:
            yield from _outcome_numbers(result)
        case ReadinessResult() | PredictResult():
            yield from _ranking_numbers(result, _seconds_each(run))
        case EvaluateResult():
            yield from _evaluate(result)
        case RLResult():
            yield from _rl(result)
        case SFTResult():
            yield from _sft(result)
        case SweepResult():
            for family, best in list(best_starts(result.starts).items())[:FAMILIES]:
                label = "Best accuracy after RL" + f", {family}" * bool(family)
                yield Number(label, PERCENT, best[0].outcome, listed([s.checkpoint for s in best]))
            waiting = f", {len(result.waiting):,} more wait" if result.waiting else ""
            yield Number("RL runs", COUNT, result.runs, f"from {len(result.starts):,} checkpoints{waiting}")
            yield Number("Time of all jobs", SECONDS, result.seconds_of_jobs)
        case InjectResult():
            yield Number("Rows written", COUNT, result.rows_out, f"from {result.rows_in:,}")
            yield Number(f"{result.unit.capitalize()} per row", TOKENS, result.length_after)
            yield Number(f"{result.unit.capitalize()} added per row", TOKENS, result.length_added)


def _rl(result: RLResult) -> Iterator[Number]:
    """Validation accuracy at its best, the gain over the start, and the tokens there."""
    start, step = result.evaluations[0], result.best.step
    best = next((e for e in result.evaluations if e.step == step), start)
    before = f"before RL: {brief_percent(start.accuracy)} %"
    yield Number(f"Validation accuracy, RL step-{step}", PERCENT, result.best.accuracy, before if step else "before RL")
    if result.best.gain:
        note = f"highest of {len(result.evaluations)} evaluations on them, so optimistic: test it on others"
        yield Number("Gain on the validation problems", DIFFERENCE, result.best.gain, note)
    there = f" tokens at RL step-{step}" if step else " tokens"
    if start.thinking_tokens:
        note = f"before RL: {TOKENS.show(start.thinking_tokens)}"
        yield Number(f"Thinking{there}", TOKENS, best.thinking_tokens, note)
    elif start.response_tokens:
        note = f"before RL: {TOKENS.show(start.response_tokens)}"
        yield Number(f"Response{there}", TOKENS, best.response_tokens, note)


def _sft(result: SFTResult) -> Iterator[Number]:
    """The lowest held-out loss, its distance to the next, and the last checkpoint, or the first if the last is best."""
    best = min(result.checkpoints, key=lambda c: c.heldout_loss.value)
    first, last = result.checkpoints[0], result.checkpoints[-1]
    yield Number(f"Lowest held-out loss, {best.name}", THREE_DIGITS, best.heldout_loss)
    others = [c for c in result.checkpoints if c.behind]
    for near in sorted(others, key=lambda c: c.heldout_loss.value)[:1]:
        label = f"Loss of {near.name} minus that of {best.name}"
        yield Number(label, THREE_DIGITS, near.behind or math.nan, "on the same examples")
    if best is not last:
        yield Number(f"Last checkpoint, {last.name}", THREE_DIGITS, last.heldout_loss)
    elif best is not first:
        yield Number(f"First checkpoint, {first.name}", THREE_DIGITS, first.heldout_loss)


def _seconds_each(run: RunFolder) -> float | None:
    """How long one problem took of one checkpoint, on average; None where the run itself drew no samples."""
    result, counts, seconds = run.result, run.record.get("counts"), run.record.get("seconds")
    drawn = isinstance(counts, dict) and counts.get("generated")
    if not isinstance(result, ReadinessResult) or not result.problems or not drawn:
        return None
    measured = len(result.problems) * len(result.checkpoints)
    return seconds / measured if isinstance(seconds, float) and 0 < seconds < math.inf else None


def _ranking_numbers(result: Ranked, seconds_each: float | None) -> Iterator[Number]:
    """The chosen checkpoint, its distance to what is closest, and what it would cost to separate the two."""
    by, short = result.ranked_by, checkpoint_names(result)
    rows: Sequence[Row] = result.checkpoints
    chosen = next((c for c in rows if c.chosen), None)
    if chosen is None:
        yield from _unsolved_numbers(result)
        return
    value = _pass_at(chosen).get(by)
    yield Number(f"{by} of {short[chosen.name]}", PERCENT, value or shown_value(chosen, by), meaning_of(by))
    other = rival(rows)
    if other and other.behind:
        first = min(rows, key=lambda c: c.rank)
        unit = POINTS if is_share(by) else THREE_DIGITS
        together = "for all pairs together" if len(rows) > 2 else ""
        yield Number(f"Lead of {short[first.name]} over {short[other.name]}", unit, other.behind, together)
        if other.advice == "tie" or other.chosen:
            yield _more_problems(other.behind.varies, other.separable, seconds_each)
    if isinstance(chosen, CheckpointReadiness):
        yield Number("Informative groups", PERCENT, chosen.informative, "some samples right, some wrong")
        yield Number("Truncated samples", PERCENT, chosen.truncated or math.nan)
    else:
        yield Number(f"Probability that its {by} is the best", PERCENT, chosen.p_best)


def _more_problems(varies: str, more: int | None, seconds_each: float | None = None) -> Number:
    """What it would cost to separate two that are not significantly different."""
    label = f"More {varies} to separate the two"
    if more is None:
        return Number(
            label, COUNT, f"over {MOST_PROBLEMS:,}", "too many to be worth it: as far as can be told, they are alike"
        )
    takes = (
        f"; about {rough_time(2 * more * seconds_each)} for these two at the pace of this run" if seconds_each else ""
    )
    return Number(label, COUNT, more, f"enough in 4 cases of 5, if the lead is as measured{takes}")


def _unsolved_numbers(result: Ranked) -> Iterator[Number]:
    """How rarely a problem can have been solved at most, from how many samples, and whether they had ended."""
    first = result.checkpoints[0]
    most = max(first.pass_at_k)
    yield Number(f"pass@{most} of every checkpoint", PERCENT, first.pass_at_k[most])
    yield Number(
        "Samples of each problem, all wrong", COUNT, most, f"by each of {len(result.checkpoints):,} checkpoints"
    )
    if isinstance(first, CheckpointReadiness) and first.truncated:
        yield Number("Truncated samples", PERCENT, first.truncated, "wrong if they end before an answer")


def _outcome_numbers(result: PredictResult) -> Iterator[Number]:
    """The best outcome of RL, what the predictor's top-1 would have lost, and how well it orders outcomes."""
    family = result.families[0]
    unit, points = (PERCENT, POINTS) if family.shares else (THREE_DIGITS, THREE_DIGITS)
    ranked = sorted(family.points, key=lambda p: -p.outcome.value)
    for best in ranked[:1]:
        yield Number(f"Outcome of RL from {best.label}", unit, best.outcome, _meaning(result, best.outcome))
    score = next((s for s in family.scores if s.predictor == result.ranked_by), None)
    tried = f"{counted(family.runs, 'checkpoint')} with an outcome"
    left = [c.label for c in result.checkpoints if c.after_rl(family.name) is None]
    tried += f"; leaves out {listed(left)}, untried" if left else ""
    if score is None:
        for worst in ranked[1:][-1:]:
            yield Number(f"Outcome of RL from {worst.label}, the least", unit, worst.outcome)
        more = f". {family.to_know_more}" if family.to_know_more else ""
        yield Number("RL runs", COUNT, family.rl_runs, f"from {tried}{more}")
        return
    by_seed = ", ".join(map(points.number, score.regret_by_sft_seed.values()))
    note = f"of {tried}" + (f"; by SFT seed: {by_seed}" if by_seed else "")
    picks = {c.label for c in result.checkpoints if c.chosen}
    for lost in (ranked[0].outcome.value - p.outcome.value for p in ranked if p.label in picks):
        note += f"; the pick by the rule below lost {points.number(lost)}"
    yield Number(f"Lost by the highest {result.ranked_by}", points, score.regret, note)
    if family.recipes < SIGNIFICANT:
        few = f"{SIGNIFICANT} are needed for an order that is significant. {family.to_know_more}".strip()
        yield Number("SFT recipes with an outcome of RL", COUNT, family.recipes, few)
        return
    label = f"Rank correlation of {result.ranked_by} with outcomes"
    yield Number(label, TWO_DIGITS, score.spearman, family.to_know_more)


def _meaning(result: PredictResult, outcome: Estimate) -> str:
    """What an outcome of the first family is, and what it is not, unless the picture's note says so."""
    family = result.families[0]
    seeds = "one RL seed: the interval is over problems" if outcome.varies == "problems" else ""
    seeds = seeds if math.isfinite(outcome.low) else "one RL seed, and no interval over problems is known"
    apart = unlike_outcomes(result.ranked_by) if family.shares else ""
    said = [] if outcome_chart(result) else [family.meaning, apart]
    return "; ".join(filter(None, [family.name, *said, seeds]))


def _at_budget(result: EvaluateResult | DemoResult) -> str:
    """The largest budget, at which models are compared."""
    budget = result.budgets[-1].budget
    if budget is None:
        return ""
    return (
        f" within {budget:,} tokens"
        if isinstance(result, EvaluateResult) and result.response_limits
        else f" at a budget of {budget:,} thinking tokens"
    )


def _evaluate(result: EvaluateResult) -> Iterator[Number]:
    """The most accurate model, its lead over its closest rival, and what would separate the two or what it costs."""
    names, largest, pair = names_of(result), result.budgets[-1].scores, result.closest
    if not largest:
        return
    best = pair.best if pair and pair.best in largest else max(largest, key=lambda m: largest[m].accuracy.value)
    yield Number(f"Accuracy of {names(best)}{_at_budget(result)}", PERCENT, largest[best].accuracy)
    if pair:
        together = "for all pairs together" if len(largest) > 2 else ""
        yield Number(f"Lead of {names(best)} over {names(pair.rival)}", POINTS, pair.lead, together)
        if not pair.significant:
            yield _more_problems(pair.lead.varies, separable(pair.more_problems))
    if not result.response_limits:
        other = largest.get(pair.rival) if pair else None
        note = f"{names(pair.rival)}: {TOKENS.show(other.thinking_tokens.value)}" if pair and other else ""
        yield Number(f"Thinking tokens of {names(best)}", TOKENS, largest[best].thinking_tokens, note)
    yield Number("Truncated responses", PERCENT, largest[best].truncated)
    yield Number("Response tokens" if result.response_limits else "Answer tokens", TOKENS, largest[best].answer_tokens)


def shown_value(row: Row, by: str) -> str:
    """The value of the predictor that ranks, to as many digits as its interval supports, if it has one."""
    if figure := _pass_at(row).get(by):
        return replace(PERCENT, digits=decimals(figure, PERCENT.scale)).show(figure.value)
    value = row.values.get(by) if isinstance(row, CheckpointPrediction) else None
    return (PERCENT if is_share(by) else THREE_DIGITS).show(value)


def checkpoint_names(result: Ranked) -> dict[str, str]:
    """What checkpoints are called on the page."""
    if isinstance(result, PredictResult):
        return {c.name: c.label for c in result.checkpoints}
    return labels(c.name for c in result.checkpoints)


def _pass_at(row: Row) -> dict[str, Estimate]:
    return {f"pass@{k}": figure for k, figure in row.pass_at_k.items()}
