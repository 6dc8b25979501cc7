"""The readiness of checkpoints: held-out loss, pass@k, and how many groups could teach RL anything.

After Kang et al. (arXiv 2510.01624): post-SFT accuracy misleads; the loss on held-out SFT rows and pass@k at large
k say more about what RL will reach.  First version: checkpoints are ranked by pass@k at the planned group size,
as RL can only turn what a group already contains into habit; where the first two cannot be told apart, it is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlready.config import ReadinessConfig
from rlready.encode import encode
from rlready.engine.budget import Budget
from rlready.engine.protocol import forcing_for, requests_for
from rlready.engine.torch import TorchEngine
from rlready.errors import UserError
from rlready.lm import LM, load, local_folder, same_vocabulary
from rlready.progress import Progress, note
from rlready.readiness.heldout import heldout_loss
from rlready.readiness.passk import curve, mixed_share, pass_at_k, solved_shares
from rlready.records import Figure, Problem
from rlready.rollout import draw_groups, table_row
from rlready.stats import mean_figure, paired_figure
from rlready.store import Run, read_json, write_json, write_table
from rlready.tasks import Task, open_task

MICRO_TOKENS = 16384


def readiness(config: ReadinessConfig, out: Path) -> dict[str, Any]:
    """Measure every checkpoint on the same problems and rows; returns the table and the preferred one."""
    with Run(out, "readiness", config) as run:
        if run.finished:
            return run.result
        if len(set(config.checkpoints)) != len(config.checkpoints):
            raise UserError("a checkpoint is named twice")
        task = open_task(config.problems)
        problems = task.problems()
        held_task = open_task(config.heldout) if config.heldout else None
        run.note_data(id=task.source, path=task.path, licence=task.licence, size=len(problems), role="readiness")
        if held_task is not None:
            role = "held-out loss"
            run.note_data(id=held_task.source, path=held_task.path, licence=held_task.licence, role=role)
        first: LM | None = None
        measured = []
        with Progress(
            "readiness", total=len(config.checkpoints) * len(problems) * config.samples, unit="samples"
        ) as bar:
            for number, source in enumerate(config.checkpoints):
                part = out / "parts" / f"{number}.json"
                if not part.exists():  # a part is one checkpoint, kept if the run is killed later
                    note(f"readiness: {source}")
                    lm = load(source, device=config.device, dtype=config.dtype)
                    run.note_model(id=source, path=local_folder(source), role="checkpoint")
                    if first is None:
                        first = lm
                    same_vocabulary(first, lm)
                    facts = _measure(config, lm, task, problems, held_task, out / "parts" / f"{number}.parquet", bar)
                    write_json(part, {"name": source} | facts)
                else:
                    bar.update(len(problems) * config.samples)
                measured.append(read_json(part))
        return run.write_result(_result(config, task, measured))


def _measure(
    config: ReadinessConfig,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    held_task: Task | None,
    samples: Path,
    bar: Progress,
) -> dict[str, Any]:
    """Everything about one checkpoint; per-problem and per-example vectors are kept for paired comparison."""
    facts: dict[str, Any] = {}
    if held_task is not None:
        rows = held_task.rows()
        loss = heldout_loss(lm, encode(lm, rows, config.heldout), MICRO_TOKENS)
        facts |= {"heldout_loss": loss.token_mean, "heldout_loss_examples": loss.example_mean}
        facts["nll"], facts["nll_tokens"] = loss.nll, loss.tokens
    engine = TorchEngine(lm, forcing_for(lm, final=config.final))
    budget = Budget(config.budget, config.answer_cap)
    right, rows_out = [], []
    lengths: dict[bool, list[int]] = {True: [], False: []}
    truncated = []
    chunk = max(1, engine.rows // config.samples)
    for at in range(0, len(problems), chunk):
        some = problems[at : at + chunk]
        requests = requests_for(lm, some, config.samples, budget, engine.forcing.final_ids)
        groups = draw_groups(engine, lm, task, some, requests, temperature=config.temperature, seed=config.seed)
        for group in groups:
            right.append(sum(bool(s.correct) for s in group.samples))
            for sample in group.samples:
                lengths[bool(sample.correct)].append(sample.thinking)
                truncated.append(float(sample.truncated))
                rows_out.append(table_row(sample))
        bar.update(len(requests))
    write_table(samples, rows_out)
    return facts | {
        "n": config.samples,
        "problems": [p.id for p in problems],
        "correct": right,
        "thinking_right": float(np.mean(lengths[True])) if lengths[True] else None,
        "thinking_wrong": float(np.mean(lengths[False])) if lengths[False] else None,
        "truncated": float(np.mean(truncated)),
    }


def powers(most: int) -> list[int]:
    """1, 2, 4, … up to and including ``most``."""
    ks = [1]
    while ks[-1] * 2 <= most:
        ks.append(ks[-1] * 2)
    return ks if ks[-1] == most else [*ks, most]


def _result(config: ReadinessConfig, task: Task, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ks = powers(config.samples)
    group = min(config.group, config.samples)
    n = np.full(len(measured[0]["correct"]), config.samples)
    rows, skill = [], []
    for facts in measured:
        c = np.array(facts["correct"])
        never, sometimes, always = solved_shares(n, c)
        row: dict[str, Any] = {key: facts.get(key) for key in ("name", "heldout_loss", "heldout_loss_examples")}
        row |= {key: facts[key] for key in ("truncated", "thinking_right", "thinking_wrong", "correct")}
        row["pass"] = {str(k): figure for k, figure in curve(n, c, ks).items()}
        row |= {"never": never, "sometimes": sometimes, "always": always, "mixed": mixed_share(n, c, group)}
        rows.append(row)
        skill.append(pass_at_k(n, c, [group])[:, 0])
    order = sorted(range(len(rows)), key=lambda i: -float(skill[i].mean()))
    best = order[0]
    for i, row in enumerate(rows):
        row["picked"] = i == best
        if i != best:
            row["behind"] = paired_figure(skill[best], skill[i], bounds=(0.0, 1.0))
    close = [rows[i]["name"] for i in order[1:] if rows[i]["behind"].low <= 0]
    verdict = f"Start RL from {_short(rows[best]['name'])}: its pass@{group} is the highest, {skill[best].mean():.1%}."
    if close:
        verdict += f" {len(close)} of {len(rows) - 1} others cannot be told apart from it on these problems."
    head = ["checkpoint", "held-out loss", "pass@1", f"pass@{group}", "never", "sometimes", "always", ""]
    table = [head]
    for row in rows:
        passes = row["pass"]
        loss = Figure(**row["heldout_loss"]) if row["heldout_loss"] else "–"
        table.append(
            [
                _short(row["name"]),
                str(loss),
                str(passes["1"]),
                str(passes.get(str(group), mean_figure(skill[rows.index(row)], bounds=(0.0, 1.0)))),
                *(f"{row[key].value:.2f}" for key in ("never", "sometimes", "always")),
                "← picked" if row["picked"] else "",
            ]
        )
    chance = {f"pass@{k}": v for k, v in task.chance([*ks, 64] if 64 not in ks else ks).items()}
    return {
        "verb": "readiness",
        "verdict": verdict,
        "seed": config.seed,
        "task": {"source": task.source, "description": task.description},
        "chance": chance,
        "group": group,
        "checkpoints": rows,
        "picked": rows[best]["name"],
        "table": table,
    }


def _short(name: str) -> str:
    return Path(name).name
