"""The result of an evaluation: figures with intervals over problems, from the vectors of every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlready.core.config import EvaluateConfig
from rlready.core.records import Estimate, Problem
from rlready.core.stats import mean_figure, paired_figure
from rlready.evaluate.metrics import curve
from rlready.evaluate.settings import Arm, Arms, way
from rlready.runs.checkpoint_order import labels
from rlready.tasks import Task

Measured = Mapping[str, Any]
SHARE = (0.0, 1.0)
BINS = 24  # of the histogram of lengths, at most


def summary(
    config: EvaluateConfig, arms: Arms, task: Task, problems: Sequence[Problem], measured: Sequence[Measured]
) -> dict[str, Any]:
    """``budgets``: the main arms, by budget and model; ``untouched`` by model; ``arms``: all others, held against them.

    Every model but the first has its ``gain`` over that one, and every budget but the largest its ``change`` from that
    one, both paired over problems.
    ``metrics``: Control, Scaling and Performance of every curve; ``votes``: parallel samples at equal total tokens;
    ``lengths``: a histogram of thinking tokens at the largest budget, right and wrong apart.
    """
    first = measured[0]
    budgets: list[dict[str, Any]] = [
        {"budget": arm.tokens} | {m["name"]: _against(m, first, arm, arms) for m in measured} for arm in arms.main
    ]
    untouched = {m["name"]: _against(m, first, arms.untouched, arms) for m in measured}
    others = [_other(m, arm, arms) for m in measured for arm in (*arms.others, *arms.stated)]
    metrics = [] if config.unconstrained else [line for m in measured for line in _metrics(m, arms)]
    votes = [] if config.samples == 1 else [_vote(m, arm) for m in measured for arm in arms.main]
    last = budgets[-1]
    short = labels([m["name"] for m in measured])
    words = [f"{short[m['name']]} {last[m['name']]['accuracy'].value:.1%}" for m in measured]
    free = [f"{short[name]} {figures['accuracy'].value:.1%}{_cut(figures)}" for name, figures in untouched.items()]
    where = "untouched" if config.unconstrained else "at the largest budget"
    if config.reference:
        where += f", decoded away from {config.reference} (beta {config.beta:g})"
    return {
        "verb": "evaluate",
        "verdict": f"Accuracy {where}: {', '.join(words)}"
        + ("." if config.unconstrained else f"; untouched, without a budget: {', '.join(free)}."),
        "seed": config.seed,
        "task": {"source": task.source, "description": task.description},
        "chance": {f"pass@{k}": v for k, v in task.chance([1]).items()},
        "models": [m["name"] for m in measured],
        "problems": [p.id for p in problems],
        "per_problem": {
            m["name"]: {arm.name: m["vectors"][arm.name]["accuracy"] for arm in (*arms.main, arms.untouched)}
            for m in measured
        },
        "budgets": budgets,
        "untouched": untouched,
        "arms": others,
        "metrics": metrics,
        "votes": votes,
        "lengths": _histogram(measured),
        "table": _table(arms, budgets, untouched, short),
        "tables": _tables(others, metrics, votes, short),
    }


def _figures(facts: Measured, arm: Arm) -> dict[str, Estimate]:
    vectors = facts["vectors"][arm.name]
    figures = {
        "accuracy": mean_figure(vectors["accuracy"], bounds=SHARE),
        "thinking_tokens": mean_figure(vectors["thinking"]),
        "answer_tokens": mean_figure(vectors["answer"]),
        "truncated": mean_figure(vectors["truncated"], bounds=SHARE),
        "unfinished": mean_figure(vectors["unfinished"], bounds=SHARE),
    }
    return figures | ({"strict_accuracy": mean_figure(vectors["strict"], bounds=SHARE)} if facts["knows_steps"] else {})


def _against(facts: Measured, first: Measured, arm: Arm, arms: Arms) -> dict[str, Estimate]:
    """A model's figures, with its accuracy less the first model's, and less its own at the largest budget."""
    figures, accuracy = _figures(facts, arm), facts["vectors"][arm.name]["accuracy"]
    if facts is not first:
        figures["gain"] = paired_figure(accuracy, first["vectors"][arm.name]["accuracy"], bounds=SHARE)
    if arm != arms.main[-1]:
        most = facts["vectors"][arms.main[-1].name]["accuracy"]
        figures["change"] = paired_figure(accuracy, most, bounds=SHARE)
    return figures


def _cut(figures: Mapping[str, Estimate]) -> str:
    """How many responses had no end, which an accuracy without a budget is nothing without."""
    share = figures["unfinished"].value
    return f" ({share:.0%} unfinished)" if share else ""


def _other(facts: Measured, arm: Arm, arms: Arms) -> dict[str, Any]:
    """An arm held against the main arm of its budget; ``off``: how far lengths are from what was asked for."""
    vectors, beside = facts["vectors"][arm.name], facts["vectors"][arms.beside(arm).name]
    return {
        "model": facts["name"],
        "arm": arm.name,
        "budget": arm.tokens,
        "extensions": arm.budget.extensions,
        "bias": arm.budget.bias,
        "stated": arm.stated is not None,
        **_figures(facts, arm),
        "change": paired_figure(vectors["accuracy"], beside["accuracy"], bounds=SHARE),
        "mended": mean_figure(vectors["mended"], bounds=SHARE),
        "broken": mean_figure(vectors["broken"], bounds=SHARE),
        "extended": mean_figure(vectors["extended"], bounds=SHARE),
        "off": mean_figure(vectors["off"]) if arm.stated else None,
    }


def _metrics(facts: Measured, arms: Arms) -> list[dict[str, Any]]:
    """A line for each curve: main arms, each extension and bias, stated budgets."""
    curves: dict[tuple[int, float, bool], list[Arm]] = {}
    for arm in (*arms.main, *arms.others, *arms.stated):
        curves.setdefault((arm.budget.extensions, arm.budget.bias, arm.stated is not None), []).append(arm)
    lines = []
    for (extensions, bias, stated), along in curves.items():
        vectors = [facts["vectors"][arm.name] for arm in along]
        tokens = [float(np.mean(v["thinking"])) for v in vectors]
        found = curve([arm.tokens or 0 for arm in along], tokens, [v["accuracy"] for v in vectors])
        which = {"model": facts["name"], "extensions": extensions, "bias": bias, "stated": stated}
        lines.append(which | vars(found))
    return lines


def _vote(facts: Measured, arm: Arm) -> dict[str, Any]:
    """Parallel samples of a budget, as many as the tokens of the costliest arm buy."""
    found = facts["votes"][arm.name]
    shares = {key: mean_figure(found[key], bounds=SHARE) for key in ("vote", "best", "any")}
    return {"model": facts["name"], "budget": arm.tokens, "n": found["n"], "tokens": found["tokens"]} | shares


def _histogram(measured: Sequence[Measured]) -> dict[str, Any]:
    """Counts (B,) of samples by thinking tokens, ``edges`` (B + 1,) the same for all models."""
    most = max((max(m["lengths"][kind], default=0) for m in measured for kind in ("right", "wrong")), default=0)
    width = max(1, -(-(most + 1) // BINS))
    edges = list(range(0, most + width + 1, width))
    counts = {
        m["name"]: {k: np.histogram(m["lengths"][k], bins=edges)[0].tolist() for k in ("right", "wrong")}
        for m in measured
    }
    return {"edges": edges, "models": counts}


def _table(
    arms: Arms, budgets: Sequence[Mapping[str, Any]], untouched: Mapping[str, Any], short: Mapping[str, str]
) -> list[list[str]]:
    """``truncated``: thoughts that were cut; ``unfinished``: responses that were."""
    table = [["budget", "model", "accuracy", "thinking tokens", "answer tokens", "truncated", "unfinished"]]
    beside = {"gain": f"minus {short[next(iter(untouched))]}"} if len(untouched) > 1 else {}
    beside |= {} if arms.main[0] == arms.untouched else {"change": f"minus {arms.main[-1].tokens}"}
    table[0] += beside.values()
    forced = [(str(row["budget"]), {k: v for k, v in row.items() if k != "budget"}) for row in budgets]
    for budget, models in [*(forced if arms.main[0] != arms.untouched else []), ("untouched", untouched)]:
        for name, figures in models.items():
            spent = [f"{figures[key].value:.1f}" for key in ("thinking_tokens", "answer_tokens")]
            cut_off = [f"{figures[key].value:.0%}" for key in ("truncated", "unfinished")]
            table.append([budget, short[name], str(figures["accuracy"]), *spent, *cut_off])
            table[-1] += [str(figures.get(key, "")) for key in beside]
    return table


def _tables(
    others: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Any]],
    votes: Sequence[Mapping[str, Any]],
    short: Mapping[str, str],
) -> dict[str, list[list[str]]]:
    """What else to print, title by title; nothing without rows."""
    tables = {}
    if others:
        rows = [["arm", "model", "accuracy", "change", "wrong→right", "right→wrong", "thinking tokens", "off by"]]
        tables[f"Against {way(metrics[0])} at the same budget: +extensions, ~bias, stated in the prompt"] = rows + [
            [
                *(o["arm"], short[o["model"]], f"{o['accuracy'].value:.3f}", str(o["change"])),
                *(f"{o['mended'].value:.1%}", f"{o['broken'].value:.1%}", f"{o['thinking_tokens'].value:.1f}"),
                f"{o['off'].value:.0%}" if o["off"] else "–",
            ]
            for o in others
        ]
    if metrics:
        rows = [["model", "arm", "control", "scaling (points per 1,000 tokens)", "performance", "at budget"]]
        tables["Control, scaling, performance"] = rows + [
            [
                *(short[m["model"]], way(m), f"{m['control']:.0%}"),
                *(str(m["scaling"] or "–"), str(m["performance"]), str(m["at"])),
            ]
            for m in metrics
        ]
    if votes:
        rows = [["budget", "model", "samples", "tokens", "majority vote", "most likely", "any right"]]
        tables["Many samples at equal total tokens"] = rows + [
            [
                *(str(v["budget"] or "none"), short[v["model"]], str(v["n"]), f"{v['tokens']:.0f}"),
                *(str(v[key]) for key in ("vote", "best", "any")),
            ]
            for v in votes
        ]
    return tables
