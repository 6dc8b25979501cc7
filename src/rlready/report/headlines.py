"""The few large numbers at the top of the page, by what a reader of each verb's result came for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rlready.core.records import Estimate
from rlready.core.result import Result
from rlready.evaluate.result import EvaluateResult
from rlready.inject.result import InjectResult
from rlready.predict.advice import FAMILIES
from rlready.predict.predictors import BASELINE
from rlready.predict.result import PredictResult
from rlready.readiness.ranking import listed
from rlready.readiness.result import ReadinessResult
from rlready.report.budget_charts import STAGES, names_of
from rlready.report.checkpoint_charts import few_ks
from rlready.report.demo_result import DemoResult
from rlready.report.figures import COUNT, DIFFERENCE, PERCENT, POINTS, SECONDS, THREE_DIGITS, TOKENS, TWO_DIGITS, Unit
from rlready.runs.checkpoint_order import labels
from rlready.sweep.result import SweepResult, best_starts
from rlready.train.result import RLResult, SFTResult

MOST_MODELS = 4


@dataclass(frozen=True)
class Headline:
    """One number, with its interval if it is an estimate."""

    label: str
    unit: Unit
    value: Estimate | float
    note: str = ""

    @property
    def text(self) -> str:
        return self.unit.number(self.value.value if isinstance(self.value, Estimate) else self.value)

    @property
    def interval(self) -> str:
        return self.unit.interval(self.value) if isinstance(self.value, Estimate) else ""

    @property
    def n(self) -> str:
        return f"n = {self.value.n:,} {self.value.varies}" if isinstance(self.value, Estimate) and self.value.n else ""


def headlines(result: Result) -> Iterator[Headline]:
    """Few enough for one glance."""
    match result:
        case DemoResult():
            yield from _demo(result)
        case SFTResult():
            best = min(result.checkpoints, key=lambda c: c.heldout_loss.value)
            yield Headline("Lowest held-out loss", THREE_DIGITS, best.heldout_loss, best.name)
            yield Headline("Training loss, last step", THREE_DIGITS, result.final_loss, f"{result.steps:,} steps")
        case RLResult():
            start = result.evaluations[0]
            yield Headline("Validation, before RL", PERCENT, start.accuracy, f"step {start.step}")
            yield Headline("Validation, best of RL", PERCENT, result.best.accuracy, f"step {result.best.step}")
        case ReadinessResult():
            yield from _readiness(result)
        case EvaluateResult():
            yield from _evaluate(result)
        case PredictResult():
            yield from _predict(result)
        case SweepResult():
            for family, best_of in list(best_starts(result.starts).items())[:FAMILIES]:
                label = "Best accuracy after RL" + f", {family}" * bool(family)
                yield Headline(label, PERCENT, best_of[0].outcome, listed([s.checkpoint for s in best_of]))
            yield Headline("RL runs", COUNT, result.runs)
            yield Headline("Time of all jobs", SECONDS, result.seconds_of_jobs)
        case InjectResult():
            yield Headline("Rows written", COUNT, result.rows_out, f"from {result.rows_in:,}")
            yield Headline(f"{result.unit.capitalize()} per row", TOKENS, result.length_after)
            yield Headline(f"{result.unit.capitalize()} added per row", TOKENS, result.length_added)


def _demo(result: DemoResult) -> Iterator[Headline]:
    scores = {STAGES["base"]: result.base, STAGES["sft"]: result.sft, STAGES["rl"]: result.rl}
    for name, s in scores.items():
        yield Headline(f"{name} accuracy", PERCENT, s.accuracy)
    yield Headline("RL − SFT, paired", DIFFERENCE, result.rl_minus_sft)
    before = " · ".join(f"{name} {TOKENS.show(s.thinking_tokens.value)}" for name, s in list(scores.items())[:-1])
    yield Headline("Thinking tokens, RL", TOKENS, result.rl.thinking_tokens, before)
    yield from _chance(result.chance_level)


def _readiness(result: ReadinessResult) -> Iterator[Headline]:
    short = labels(c.name for c in result.checkpoints)
    for c in result.checkpoints:
        if c.chosen:
            for k in few_ks(c.pass_at_k, result.group_size):
                yield Headline(f"Chosen: pass@{k}", PERCENT, c.pass_at_k[k], short[c.name])
            yield Headline("Chosen: partially solved", PERCENT, c.partially_solved, short[c.name])
    losses = [(c.heldout_loss, short[c.name]) for c in result.checkpoints if c.heldout_loss]
    if losses:
        loss, name = min(losses, key=lambda pair: pair[0].value)
        yield Headline("Lowest held-out loss", THREE_DIGITS, loss, name)
    drawn = [f"pass@{k}" for c in result.checkpoints[:1] for k in sorted(c.pass_at_k)]
    yield from _chance({name: result.chance_level[name] for name in drawn if name in result.chance_level})


def _evaluate(result: EvaluateResult) -> Iterator[Headline]:
    names, largest = names_of(result), result.budgets[-1]
    kind = "limit" if result.response_limits else "budget"
    where = "Accuracy, no budget" if largest.budget is None else f"Accuracy at {kind} {largest.budget:,}"
    for model, s in list(largest.scores.items())[:MOST_MODELS]:
        yield Headline(where, PERCENT, s.accuracy, names(model))
        if s.gain:
            yield Headline("Paired difference", DIFFERENCE, s.gain, f"{names(model)} minus {names(result.models[0])}")
    yield from _chance(result.chance_level)


def _predict(result: PredictResult) -> Iterator[Headline]:
    for row in result.checkpoints:
        if row.chosen:
            yield Headline(f"P(best {result.ranked_by})", PERCENT, row.p_best, row.label)
    for family in result.families[:1]:
        shown = [s for s in family.scores if s.predictor in (BASELINE, result.ranked_by)]
        where = f"{family.runs:,} runs" + (f", {family.name}" if family.name else "")
        for s in shown:
            yield Headline(f"Spearman, {s.predictor}", TWO_DIGITS, s.spearman, where)
        for s in shown:
            unit = POINTS if family.shares else THREE_DIGITS
            yield Headline(f"Top-1 regret, {s.predictor}", unit, s.regret)


def _chance(level: dict[str, float]) -> Iterator[Headline]:
    if level:
        *_, (name, most) = level.items()
        note = f"{name}: {PERCENT.show(most)}" if name != BASELINE else ""
        yield Headline("Chance level", PERCENT, level.get(BASELINE, math.nan), note)
