"""The result of an evaluation: figures with intervals over problems, from the vectors of every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from rlready.core.cells import brief_percent
from rlready.core.config import EvaluateConfig
from rlready.core.records import Estimate, Problem
from rlready.core.result import TaskRecord
from rlready.core.stats import mean_estimate, paired_estimate
from rlready.evaluate.decision import closest, headline, next_action
from rlready.evaluate.measure import ModelMeasurements
from rlready.evaluate.metrics import curve
from rlready.evaluate.result import (
    BudgetScores,
    CurveMetrics,
    EvaluateResult,
    LengthCounts,
    LengthHistogram,
    Scores,
    SettingScores,
    Votes,
)
from rlready.evaluate.settings import Setting, Settings
from rlready.runs.checkpoint_order import staged_labels
from rlready.runs.lineage import stages_of
from rlready.tasks import Task

Measured = Sequence[ModelMeasurements]
SHARE = (0.0, 1.0)
BINS = 24  # of the histogram of lengths, at most

DRAWN = "Samples at temperature {:g}: greedy decoding, with temperature=0 samples=1, may be more accurate."


def summary(
    config: EvaluateConfig, settings: Settings, task: Task, problems: Sequence[Problem], measured: Measured
) -> EvaluateResult:
    """The result of the models ``measured``.

    Every model but the first has its ``gain`` over that one, every one of several its ``gain_over_previous`` over the
    model before it, and every budget but the largest its ``change`` from that one, all paired over problems.
    """
    budgets = [BudgetScores(budget=s.tokens, scores=_all_scores(measured, s, settings)) for s in settings.main]
    free = [settings.unconstrained] if settings.unconstrained else []
    unconstrained = _all_scores(measured, free[0], settings) if free else {}
    others = [*settings.others, *settings.length_prompted]
    kept, several = [*settings.main, *free], config.samples > 1
    short = staged_labels(stages_of(m.model for m in measured))
    pair = closest({m.model: m.vectors[settings.largest.name].accuracy for m in measured})
    return EvaluateResult(
        headline=headline(settings.largest, budgets[-1], pair, short),
        next_action=next_action(settings.largest, budgets, pair, short, {} if config.reference else unconstrained),
        notes=[*_notes(config, unconstrained, short), *_cut_off(measured, settings.largest, short)],
        seed=config.seed,
        task=TaskRecord(source=task.source, description=task.description),
        chance_level={f"pass@{k}": v for k, v in task.chance([1]).items()},
        models=[m.model for m in measured],
        names=short,
        problems=[p.id for p in problems],
        per_problem={m.model: {s.name: m.vectors[s.name].accuracy for s in kept} for m in measured},
        budgets=budgets,
        closest=pair,
        response_limits=settings.largest.limit is not None,
        unconstrained=unconstrained,
        settings=[_setting_scores(m, s, settings) for m in measured for s in others],
        metrics=[line for m in measured for line in _metrics(m, settings)] if settings.budgeted else [],
        votes=[_votes(m, s) for m in measured for s in settings.main] if settings.budgeted and several else [],
        lengths=_histogram(measured),
    )


def _notes(config: EvaluateConfig, unconstrained: dict[str, Scores], short: Mapping[str, str]) -> list[str]:
    """How responses were decoded, and what models do without a budget."""
    notes = [DRAWN.format(config.temperature) if config.temperature else "Greedy decoding, one response a problem."]
    if config.reference:
        alone = ", but for responses without a budget, which are of the models alone" if unconstrained else ""
        notes.append(f"Decoded away from {config.reference} (beta {config.beta:g}){alone}.")
    if unconstrained and not config.unconstrained:
        free = ", ".join(
            f"{short[model]} {brief_percent(s.accuracy)} %"
            + (f" ({s.unfinished.value:.0%} unfinished)" if s.unfinished.value else "")
            for model, s in unconstrained.items()
        )
        notes.append(f"Accuracy without a budget: {free}.")
    return notes


def _cut_off(measured: Measured, setting: Setting, short: Mapping[str, str]) -> list[str]:
    """Which share of each model's wrong responses under a setting reached a limit, if known; nothing if none did."""
    shares = {}
    for m in measured:
        vectors = m.vectors[setting.name]
        wrong = len(vectors.accuracy) - sum(vectors.accuracy)
        if wrong and vectors.cut_wrong:
            shares[short[m.model]] = sum(vectors.cut_wrong) / wrong
    if not any(shares.values()):
        return []
    said = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    return [f"Share of wrong responses {setting.where} that reached a limit: {said}."]


class Means(TypedDict):
    """The fields of `Measures`."""

    accuracy: Estimate
    thinking_tokens: Estimate
    answer_tokens: Estimate
    truncated: Estimate
    unfinished: Estimate
    undecided: float
    strict_accuracy: Estimate | None


def _means(measured: ModelMeasurements, setting: Setting) -> Means:
    vectors = measured.vectors[setting.name]
    return {
        "accuracy": mean_estimate(vectors.accuracy, bounds=SHARE),
        "thinking_tokens": mean_estimate(vectors.thinking),
        "answer_tokens": mean_estimate(vectors.answer),
        "truncated": mean_estimate(vectors.truncated, bounds=SHARE),
        "unfinished": mean_estimate(vectors.unfinished, bounds=SHARE),
        "undecided": sum(vectors.undecided) / len(vectors.accuracy),
        "strict_accuracy": mean_estimate(vectors.strict, bounds=SHARE) if measured.knows_steps else None,
    }


def _all_scores(measured: Measured, setting: Setting, settings: Settings) -> dict[str, Scores]:
    """Figures by model, with the differences of accuracy to other models and to the largest budget."""

    def over(at: int, other: int) -> Estimate:
        one, two = (measured[i].vectors[setting.name].accuracy for i in (at, other))
        return paired_estimate(one, two, bounds=SHARE)

    found = {}
    for at, m in enumerate(measured):
        change, largest = None, m.vectors[settings.largest.name].accuracy
        if setting != settings.largest:
            change = paired_estimate(m.vectors[setting.name].accuracy, largest, bounds=SHARE)
        found[m.model] = Scores(
            **_means(m, setting),
            gain=over(at, 0) if at else None,
            gain_over_previous=over(at, at - 1) if at and len(measured) > 2 else None,
            change=change,
        )
    return found


def _setting_scores(measured: ModelMeasurements, setting: Setting, settings: Settings) -> SettingScores:
    """A setting compared with the main setting of its budget."""
    vectors, main = measured.vectors[setting.name], measured.vectors[settings.main_for(setting).name]
    return SettingScores(
        model=measured.model,
        num_waits=setting.budget.num_waits,
        end_think_bias=setting.budget.end_think_bias,
        length_prompted=setting.prompted is not None,
        setting=setting.name,
        budget=setting.tokens or 0,
        **_means(measured, setting),
        change=paired_estimate(vectors.accuracy, main.accuracy, bounds=SHARE),
        wrong_to_right=mean_estimate(vectors.wrong_to_right, bounds=SHARE),
        right_to_wrong=mean_estimate(vectors.right_to_wrong, bounds=SHARE),
        extended=mean_estimate(vectors.extended, bounds=SHARE),
        length_error=mean_estimate(vectors.length_error) if setting.prompted else None,
    )


def _metrics(measured: ModelMeasurements, settings: Settings) -> list[CurveMetrics]:
    """A line for each curve: the main settings, each number of waits and bias, and the length prompts."""
    curves: dict[tuple[int, float, bool], list[Setting]] = {}
    for s in (*settings.main, *settings.others, *settings.length_prompted):
        curves.setdefault((s.budget.num_waits, s.budget.end_think_bias, s.prompted is not None), []).append(s)
    lines = []
    for (waits, bias, prompted), along in curves.items():
        vectors = [measured.vectors[s.name] for s in along]
        tokens = [float(np.mean(v.thinking)) for v in vectors]
        found = curve([s.tokens or 0 for s in along], tokens, [v.accuracy for v in vectors])
        lines.append(
            CurveMetrics(
                model=measured.model,
                num_waits=waits,
                end_think_bias=bias,
                length_prompted=prompted,
                control=found.control,
                scaling=found.scaling,
                performance=found.performance,
                best_budget=found.best_budget,
            )
        )
    return lines


def _votes(measured: ModelMeasurements, setting: Setting) -> Votes:
    found = measured.votes[setting.name]
    return Votes(
        model=measured.model,
        budget=setting.tokens,
        samples=found.samples,
        tokens=found.tokens,
        majority_vote=mean_estimate(found.majority_vote, bounds=SHARE),
        most_likely=mean_estimate(found.most_likely, bounds=SHARE),
        any_right=mean_estimate(found.any_right, bounds=SHARE),
    )


def _histogram(measured: Measured) -> LengthHistogram:
    """Counts of samples by thinking tokens; the edges are the same for all models."""
    most = max((n for m in measured for n in (*m.lengths.right, *m.lengths.wrong)), default=0)
    width = max(1, -(-(most + 1) // BINS))
    edges = list(range(0, most + width + 1, width))

    def counts(lengths: Sequence[int]) -> list[int]:
        return [int(n) for n in np.histogram(lengths, bins=edges)[0]]

    models = {m.model: LengthCounts(right=counts(m.lengths.right), wrong=counts(m.lengths.wrong)) for m in measured}
    return LengthHistogram(edges=edges, models=models)
