"""Accuracy at every thinking budget, all budgets of a sample cut from one trace.

A sample is drawn once at the largest budget; for a smaller one its trace is replayed to where that budget ends,
closed, and only the answer is generated.  As a draw depends on its position alone, this equals a separate run at
every budget, and the budgets are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.config import EvaluateConfig
from rlready.engine.budget import Budget
from rlready.engine.contrast import Contrast
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.errors import UserError
from rlready.lm import LM, load, local_folder
from rlready.progress import Progress, note
from rlready.records import Figure, Group, Problem
from rlready.rollout import draw_groups, table_row
from rlready.stats import mean_figure, paired_figure
from rlready.store import Run, append_line, read_json, write_json, write_table
from rlready.tasks import Task, open_task

SHOWN = 12  # problems whose samples are kept for reading, one sample per model and budget shown


def evaluate(config: EvaluateConfig, out: Path) -> dict[str, Any]:
    """Every model at every budget on the same problems; returns figures, and paired differences to the first model."""
    with Run(out, "evaluate", config) as run:
        if run.finished:
            return run.result
        budgets = _budgets(config)
        if len(set(config.models)) != len(config.models):
            raise UserError("a model is named twice")
        contrast = _contrast(config)
        task = open_task(config.problems)
        problems = task.problems()
        run.note_data(id=task.source, path=task.path, licence=task.licence, size=len(problems), role="test")
        if contrast:
            run.note_model(id=config.reference, path=local_folder(config.reference), role="decoded away from")
        measured = []
        with Progress("evaluate", total=len(config.models) * len(problems) * config.samples, unit="samples") as bar:
            for number, source in enumerate(config.models):
                part = out / "parts" / f"{number}.json"
                if not part.exists():  # a part is one model, kept if the run is killed later
                    note(f"evaluate: {source}")
                    lm = load(source, device=config.device, dtype=config.dtype)
                    run.note_model(id=source, path=local_folder(source), role="evaluated")
                    engine = TorchEngine(
                        lm,
                        forcing_for(lm, config.extension if config.extensions else "", config.final),
                        contrast=contrast,
                    )
                    facts = _measure(config, budgets, engine, task, problems, out, number, bar)
                    write_json(part, {"name": source} | facts)
                else:
                    bar.update(len(problems) * config.samples)
                measured.append(read_json(part))
        (out / "examples.jsonl").unlink(missing_ok=True)
        for facts in measured:
            for line in facts["examples"]:
                append_line(out / "examples.jsonl", line)
        return run.write_result(_result(config, budgets, task, problems, measured))


def cut(
    engine: TorchEngine,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    budgets: Sequence[Budget],
    *,
    samples: int,
    temperature: float,
    seed: int,
) -> dict[Budget, list[Group]]:
    """Groups at every budget, the largest drawn and each smaller one cut from the next larger."""
    found: dict[Budget, list[Group]] = {}
    traces: dict[tuple[str, int], Any] = {}
    for budget in sorted(budgets, key=lambda b: -(b.thinking or 0)):
        requests = requests_for(lm, problems, samples, budget, engine.forcing.final_ids)
        requests = [replace(r, trace=traces.get((r.problem_id, r.sample_id))) for r in requests]
        groups = draw_groups(engine, lm, task, problems, requests, temperature=temperature, seed=seed)
        traces = {(s.problem_id, s.sample_id): s for g in groups for s in g.samples}
        found[budget] = groups
    return found


def _budgets(config: EvaluateConfig) -> list[Budget]:
    if config.natural:
        return [Budget(None, max(config.budgets) + config.answer_cap)]
    if not config.budgets:
        raise UserError("no budgets are given")
    if len(set(config.budgets)) != len(config.budgets):
        raise UserError(f"budgets repeat: {', '.join(map(str, config.budgets))}")
    return [Budget(b, config.answer_cap, config.extensions) for b in sorted(config.budgets)]


def _contrast(config: EvaluateConfig) -> Contrast | None:
    if not config.reference:
        return None
    if config.beta <= 0:
        raise UserError(f"beta must be above 0, got {config.beta:g}: at 0 only the reference's mistakes would count")
    return Contrast(load(config.reference, device=config.device, dtype=config.dtype), 1 / config.beta)


def _measure(
    config: EvaluateConfig,
    budgets: Sequence[Budget],
    engine: TorchEngine,
    task: Task,
    problems: Sequence[Problem],
    out: Path,
    number: int,
    bar: Progress,
) -> dict[str, Any]:
    """One model: per-problem vectors at every budget, all samples in a table, a few to read."""
    lm = engine.lm
    vectors: dict[str, dict[str, list[float]]] = {
        _name(b): {"accuracy": [], "strict": [], "thinking": [], "answer": [], "truncated": []} for b in budgets
    }
    rows: list[dict[str, Any]] = []
    examples: list[dict[str, Any]] = []
    chunk = max(1, engine.rows // config.samples)
    for at in range(0, len(problems), chunk):
        some = problems[at : at + chunk]
        by_budget = cut(
            engine, lm, task, some, budgets, samples=config.samples, temperature=config.temperature, seed=config.seed
        )
        for budget, groups in by_budget.items():
            into = vectors[_name(budget)]
            for group in groups:
                samples = group.samples
                into["accuracy"].append(float(np.mean([bool(s.correct) for s in samples])))
                into["strict"].append(float(np.mean([bool(s.strict) for s in samples])))
                into["thinking"].append(float(np.mean([s.thinking for s in samples])))
                into["answer"].append(float(np.mean([s.answer for s in samples])))
                into["truncated"].append(float(np.mean([s.truncated for s in samples])))
                rows += [table_row(s) | {"prompt": group.problem.prompt} for s in samples]
                if len(examples) < SHOWN * len(budgets):
                    examples.append(_example(lm, config.models[number], budget, group))
        bar.update(len(some) * config.samples)
    write_table(out / "parts" / f"{number}.parquet", rows)
    knows_steps = any(row["strict"] is not None for row in rows)
    return {"vectors": vectors, "examples": examples, "knows_steps": knows_steps}


def _name(budget: Budget) -> str:
    return "natural" if budget.thinking is None else str(budget.thinking)


def _example(lm: LM, model: str, budget: Budget, group: Group) -> dict[str, Any]:
    sample = group.samples[0]
    pieces = [list(pair) for pair in zip(lm.pieces(sample.tokens.tolist()), sample.mask.tolist(), strict=True)]
    return {
        "model": model,
        "problem_id": sample.problem_id,
        "prompt": group.problem.prompt,
        "answer": group.problem.answer,
        "correct": sample.correct,
        "strict": sample.strict,
        "finish": sample.finish,
        "truncated": sample.truncated,
        "budget": budget.thinking,
        "thinking": sample.thinking,
        "pieces": pieces,
    }


def _result(
    config: EvaluateConfig,
    budgets: Sequence[Budget],
    task: Task,
    problems: Sequence[Problem],
    measured: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    rows = []
    table = [["budget", "model", "accuracy", "thinking tokens", "truncated"]]
    for budget in budgets:
        row: dict[str, Any] = {"budget": budget.thinking}
        for facts in measured:
            vectors = facts["vectors"][_name(budget)]
            figures: dict[str, Figure] = {
                "accuracy": mean_figure(vectors["accuracy"], bounds=(0.0, 1.0)),
                "thinking_tokens": mean_figure(vectors["thinking"]),
                "answer_tokens": mean_figure(vectors["answer"]),
                "truncated": mean_figure(vectors["truncated"], bounds=(0.0, 1.0)),
            }
            if facts["knows_steps"]:
                figures["strict_accuracy"] = mean_figure(vectors["strict"], bounds=(0.0, 1.0))
            if facts is not measured[0]:
                base = measured[0]["vectors"][_name(budget)]["accuracy"]
                figures["gain"] = paired_figure(vectors["accuracy"], base, bounds=(0.0, 1.0))
            row[facts["name"]] = figures
            thinking, cut_off = figures["thinking_tokens"].value, figures["truncated"].value
            table.append(
                [_name(budget), Path(facts["name"]).name, str(figures["accuracy"]), f"{thinking:.1f}", f"{cut_off:.0%}"]
            )
        rows.append(row)
    last = rows[-1]
    words = [f"{Path(m['name']).name} {last[m['name']]['accuracy'].value:.1%}" for m in measured]
    return {
        "verb": "evaluate",
        "verdict": f"Accuracy at the largest budget: {', '.join(words)}.",
        "seed": config.seed,
        "task": {"source": task.source, "description": task.description},
        "chance": {f"pass@{k}": v for k, v in task.chance([1]).items()},
        "models": [m["name"] for m in measured],
        "problems": [p.id for p in problems],
        "per_problem": {m["name"]: {_name(b): m["vectors"][_name(b)]["accuracy"] for b in budgets} for m in measured},
        "budgets": rows,
        "table": table,
    }
