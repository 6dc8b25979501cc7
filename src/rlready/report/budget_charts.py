"""What the page shows of thinking budgets: accuracy by tokens, other ways to spend them, and lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from markupsafe import Markup

from rlready.core.cells import decimals
from rlready.core.records import Estimate
from rlready.evaluate.metrics import PER
from rlready.evaluate.result import (
    CurveMetrics,
    EvaluateResult,
    LengthHistogram,
    Measures,
    Scores,
    SettingScores,
    Votes,
)
from rlready.report.bars import Layer, histogram
from rlready.report.demo_result import DemoResult
from rlready.report.figures import DIFFERENCE, PERCENT, TOKENS, WHOLE_PERCENT, Unit
from rlready.report.plots import MARKERS, NEUTRAL, Point, Series, line_chart
from rlready.report.section import Column, Section, side_by_side, table, titled_table
from rlready.report.text import number

TONES = {"base": (NEUTRAL, 5), "sft": (0, 1), "rl": (1, 0)}  # colour and shape; RL solid, it is the result
UNCONSTRAINED = "unconstrained"
DIAMOND = 3
MOST_LISTED = 8  # budgets
Evaluated = EvaluateResult | DemoResult
Names = Callable[[str], str]


def names_of(result: Evaluated) -> Names:
    """What models are called on the page."""
    short = result.short
    return lambda model: short.get(model, model)


def budget_section(result: Evaluated) -> Section:
    """Accuracy at each thinking budget, unconstrained, and under every other setting."""
    names, response = names_of(result), _by_response(result)
    evaluated = result if isinstance(result, EvaluateResult) else None
    charts = _lengths(result.lengths, names, response=response)
    charts += [_settings_chart(evaluated, model, names) for model in evaluated.models] if evaluated else []
    parts = [side_by_side(charts), _scores_table(result, names)]
    if evaluated and evaluated.metrics:
        parts += _setting_tables(evaluated, names)
    title = "Accuracy at each response limit" if response else "Accuracy at each thinking budget"
    told = (
        {"metrics": evaluated.metrics, "settings": evaluated.settings, "votes": evaluated.several} if evaluated else {}
    )
    return Section(title, parts, ["limit" if response else "budget", *(note for note, rows in told.items() if rows)])


def main_setting(result: EvaluateResult) -> str:
    """How the settings that others are compared with spend tokens, in words."""
    return result.metrics[0].description if result.metrics else "budget alone"


def accuracy_chart(result: Evaluated) -> Markup:
    """Accuracy against the mean thinking tokens used: one point per budget, and unconstrained models."""
    series, response, names = list[Series](), _by_response(result), names_of(result)
    kind = "response" if response else "thinking"
    models = list(dict.fromkeys(model for b in result.budgets for model in b.scores))
    styles = styles_of([names(model) for model in models])
    accuracy = {model: b.scores[model].accuracy.value for b in result.budgets for model in models if model in b.scores}
    best = max(accuracy, key=lambda model: accuracy[model], default="")  # at the largest budget
    for model, (tone, shape) in zip(models, styles, strict=True):
        points = [
            replace(
                _point(b.scores[model], f"{names(model)}, {_budget(b.budget, response=response)}", response=response),
                label=f"{b.budget:,}" if model == best and b.budget is not None else "",
            )
            for b in result.budgets
            if model in b.scores
        ]
        series.append(Series(names(model), sorted(points, key=lambda p: p.x), tone, shape, band=True))
    if with_budgets := any(b.budget is not None for b in result.budgets) and bool(result.unconstrained):
        tones = {s.name: s.tone for s in series}
        for model, s in result.unconstrained.items():
            point = _point(s, f"{names(model)}, {UNCONSTRAINED}", response=response)
            series.append(Series(UNCONSTRAINED, [point], tones.get(names(model), NEUTRAL), DIAMOND, joined=False))
    level = result.chance_level.get("pass@1")
    xs = [p.x for s in series for p in s.points if math.isfinite(p.x)]
    if level is not None and xs:
        room = 0.1 * min(xs) if min(xs) == max(xs) else 0.0
        ends = [Point(min(xs) - room, level), Point(max(xs) + room, level)]
        series.append(Series("chance level", ends, NEUTRAL, 6, markers=False))
    drawn = "Bands" if len(result.budgets) > 1 else "Bars"
    return line_chart(
        series,
        title=f"Accuracy against {kind} tokens",
        x_label=f"mean {kind} tokens per problem",
        y_label="accuracy",
        percent=True,
        note=f"One point per {'limit' if response else 'budget'}{_listed(result, names(best))}. "
        f"{drawn} are 95 % intervals. "
        + ("Unconstrained: each model's own prompt and stop, no budget. " if with_budgets else "")
        + ("Chance level: always giving the most common answer." if level is not None else ""),
    )


def _listed(result: Evaluated, model: str) -> str:
    """The budgets whose points a chart has, if they are few, and whose points they are written at, in brackets."""
    budgets = [f"{b.budget:,}" for b in result.budgets if b.budget is not None]
    listed = f"{', '.join(budgets[:-1])} and {budgets[-1]}, " if 1 < len(budgets) <= MOST_LISTED else ""
    return f" ({listed}written at the points of {model})" if budgets else ""


def _settings_chart(result: EvaluateResult, model: str, names: Names) -> Markup:
    """A model's budgets, and beside them waits, biases, length prompts and votes; empty without any of these."""
    curves: dict[str, list[Point]] = {}
    for s in result.settings:
        if s.model == model:
            name = s.description
            curves.setdefault(name, []).append(_point(s, f"{name}, {_budget(s.budget)}"))
    if not curves:
        return Markup("")
    main = {b.budget: b.scores[model] for b in result.budgets if model in b.scores}
    votes = [
        Point.of(v.samples * scores.thinking_tokens.value, v.majority_vote, f"vote of {v.samples}", percent=True)
        for v in result.votes
        if v.model == model and (scores := main.get(v.budget))
    ]
    plain = [_point(s, _budget(budget)) for budget, s in main.items()]
    named = {main_setting(result): plain, **curves, "majority vote": votes}
    return line_chart(
        [
            Series(name, sorted(points, key=lambda p: p.x), i % NEUTRAL, i % 8)
            for i, (name, points) in enumerate(named.items())
        ],
        title=f"{names(model)}: other ways to spend tokens",
        x_label="mean thinking tokens per problem",
        y_label="accuracy",
        percent=True,
        note="Bars are 95 % intervals, over the same problems in all. A vote counts the thinking of all its samples.",
    )


def _lengths(lengths: LengthHistogram, names: Names, *, response: bool) -> list[Markup]:
    """A histogram per model, on one scale: tokens at the largest budget, of correct and of wrong responses."""
    tops = [
        max(map(sum, zip(found.right, found.wrong, strict=False)), default=0) / total
        for found in lengths.models.values()
        if (total := sum(found.right) + sum(found.wrong))
    ]
    return [
        histogram(
            lengths.edges,
            [Layer("correct", found.right, 2, "solid"), Layer("wrong", found.wrong, 3, "hollow")],
            top=max(tops, default=0.0),
            title=f"{names(model)}: length of {'responses' if response else 'thoughts'}",
            x_label=f"{'response' if response else 'thinking'} tokens",
            y_label="share of responses",
            note=f"At the largest {'limit' if response else 'budget'}; correct and wrong add up to all.",
        )
        for model, found in lengths.models.items()
    ]


@dataclass(frozen=True)
class BudgetRow:
    """One model at one budget; ``budget`` is empty below the first model."""

    budget: str
    model: str
    scores: Scores


def _scores_table(result: Evaluated, names: Names) -> Markup:
    by_budget = [("none" if b.budget is None else f"{b.budget:,}", b.scores) for b in result.budgets]
    if any(b.budget is not None for b in result.budgets) and result.unconstrained:
        by_budget.append((UNCONSTRAINED, result.unconstrained))
    bodies = [
        [BudgetRow("" if i else budget, names(model), s) for i, (model, s) in enumerate(scores.items())]
        for budget, scores in by_budget
    ]
    response, first = _by_response(result), next(iter(result.budgets[0].scores), "")
    thinking = Column[BudgetRow]("thinking tokens", lambda row: row.scores.thinking_tokens, TOKENS)
    unfinished = Column[BudgetRow]("unfinished", lambda row: row.scores.unfinished, PERCENT)
    gain = "minus the model before" if isinstance(result, DemoResult) else f"minus {names(first)}"
    largest = f"minus the largest {'limit' if response else 'budget'}"
    columns = [
        Column[BudgetRow]("response limit" if response else "budget", lambda row: row.budget, heads=True),
        Column[BudgetRow]("model", lambda row: row.model, heads=True),
        Column[BudgetRow]("accuracy", lambda row: row.scores.accuracy, PERCENT),
        *([] if response else [thinking]),
        Column[BudgetRow]("response tokens" if response else "answer tokens", _answer_tokens, TOKENS),
        Column[BudgetRow]("truncated", lambda row: row.scores.truncated, PERCENT),
        *([] if response else [unfinished]),
        Column[BudgetRow](gain, _over_previous if isinstance(result, DemoResult) else _over_first, DIFFERENCE),
        Column[BudgetRow](largest, lambda row: row.scores.change, DIFFERENCE),
    ]
    return table("Accuracy at each response limit" if response else "Accuracy at each thinking budget", bodies, columns)


def _answer_tokens(row: BudgetRow) -> Estimate:
    return row.scores.answer_tokens


def _over_first(row: BudgetRow) -> Estimate | None:
    return row.scores.gain


def _over_previous(row: BudgetRow) -> Estimate | None:
    return row.scores.gain_over_previous


def _setting_tables(result: EvaluateResult, names: Names) -> list[Markup]:
    compared = f"Compared with {main_setting(result)} at the same budget"
    return [
        titled_table("Each curve in three numbers", result.metrics, _metric_columns(result, names)),
        titled_table(compared, result.settings, _setting_columns(names)),
        titled_table("Many samples at equal total tokens", result.several, _vote_columns(names)),
    ]


def _metric_columns(result: EvaluateResult, names: Names) -> list[Column[CurveMetrics]]:
    scale = result.slope_tokens / PER
    known = [decimals(m.scaling, scale) for m in result.metrics if m.scaling]
    slope = Unit(scale, min(known, default=0), signed=True)
    return [
        Column("model", lambda m: names(m.model), heads=True),
        Column("setting", lambda m: m.description),
        Column("control", lambda m: m.control, WHOLE_PERCENT),
        Column(f"scaling, points per {result.slope_tokens:,} tokens", lambda m: m.scaling, slope),
        Column("performance", lambda m: m.performance, PERCENT),
        Column("at budget", lambda m: m.best_budget),
    ]


def _setting_columns(names: Names) -> list[Column[SettingScores]]:
    return [
        Column("model", lambda s: names(s.model), heads=True),
        Column("setting", lambda s: s.description),
        Column("budget", lambda s: s.budget),
        Column("change of accuracy", lambda s: s.change, DIFFERENCE),
        Column("wrong → correct", lambda s: s.wrong_to_right, PERCENT),
        Column("correct → wrong", lambda s: s.right_to_wrong, PERCENT),
        Column("extended", lambda s: s.extended, PERCENT),
        Column("thinking tokens", lambda s: s.thinking_tokens, TOKENS),
        Column("length error", lambda s: s.length_error, PERCENT),
    ]


def _vote_columns(names: Names) -> list[Column[Votes]]:
    return [
        Column("model", lambda v: names(v.model), heads=True),
        Column("budget of each", lambda v: v.budget),
        Column("samples", lambda v: v.samples),
        Column("tokens in all", lambda v: v.tokens, TOKENS),
        Column("majority vote", lambda v: v.majority_vote, PERCENT),
        Column("most likely", lambda v: v.most_likely, PERCENT),
        Column("any correct", lambda v: v.any_right, PERCENT),
    ]


def _budget(budget: int | None, *, response: bool = False) -> str:
    return "no budget" if budget is None else f"{'limit' if response else 'budget'} {budget:,}"


def styles_of(names: Sequence[str]) -> list[tuple[int, int]]:
    """Colour and shape of each model: those of its stage, on every page, if no other model is of that stage."""
    stages = [name.partition(" ")[0].lower() for name in names]
    known = {stage: TONES[stage] for stage in stages if stage in TONES and stages.count(stage) == 1}
    taken = set(known.values())
    hues = cycle([hue for hue in range(NEUTRAL) if hue not in {each for each, _ in taken}])
    shapes = cycle([shape for shape in range(len(MARKERS)) if shape not in {each for _, each in taken}])
    return [known.get(stage) or (next(hues), next(shapes)) for stage in stages]


def _by_response(result: Evaluated) -> bool:
    """Whether budgets limit the whole response, because no model thinks."""
    return isinstance(result, EvaluateResult) and result.response_limits


def _point(measured: Measures, note: str, *, response: bool = False) -> Point:
    tokens = (measured.answer_tokens if response else measured.thinking_tokens).value
    said = f"{note}, {number(round(tokens, 1))} tokens"
    return Point.of(tokens, measured.accuracy, said, percent=True)
