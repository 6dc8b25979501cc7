"""The readiness of checkpoints: held-out loss, pass@k, and how many groups could teach RL anything.

After Kang et al. (arXiv 2510.01624): post-SFT accuracy misleads; the loss on held-out SFT rows and pass@k at large k
say more about what RL will reach.  Checkpoints are taken in the order of training, each a model to draw samples from
or a table of samples drawn elsewhere, and measured on the same problems and rows:

    heldout.py      generalisation loss          passk.py        pass@k from counts, also from stopped ones
    measure.py      one checkpoint               sequential.py   which draws to make, and what they may be used for
    table.py        one known by its samples     stored.py       samples out of a table
    draws.py        entropy, lengths, truncation
    turnup.py       has the loss turned up?      spread.py       mixed groups, credit
    gram.py         inner products of gradients  sketch.py       how gradients are kept: whole, or projected
    influence.py    what a step on one problem does for the others
    naming.py       of which run, at which step
    verdict.py      which one, and how surely
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlready.core.config import DEMO_TASK, ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.progress import Progress, note
from rlready.core.records import Row
from rlready.readiness import offline_samples as stored
from rlready.readiness.passk import powers
from rlready.readiness.ranking import compare
from rlready.readiness.table import measure_table
from rlready.runs.checkpoint_order import doubts, in_training_order
from rlready.runs.run import Run, read_json, write_json, write_table
from rlready.tasks import Task, open_task

DEFAULTS = {f.name: f.default for f in fields(ReadinessConfig)}
CHANCE_AT = 64  # luck is also told at the k that Kang et al. use


def readiness(config: ReadinessConfig, out: Path) -> dict[str, Any]:
    """Measure every checkpoint on the same problems and rows; returns the table and the preferred one."""
    with Run(out, "readiness", config) as run:
        if run.finished:
            return run.result
        names = _check(config)
        for doubt in doubts(names):
            note(f"readiness: {doubt}")
        tables = {name: stored.read(s) for name, s in names.items() if stored.is_table(s)}
        task = _task(config, list(tables.values()), models=len(names) > len(tables))
        problems = task.problems() if task else []
        ids = [p.id for p in problems] if task else next(iter(tables.values())).problem_ids
        _check_ids(config, ids)
        if task:
            run.note_data(id=task.source, path=task.path, licence=task.licence, size=len(ids), role="readiness")
        held = _held(config, run)
        # tables first: they cost little, and what is refused should be before a model has drawn for hours
        order = sorted(enumerate(names.items()), key=lambda item: item[1][0] not in tables)
        parts = [out / "parts" / f"{number}.json" for number in range(len(names))]
        total = len(ids) * config.samples * (len(names) - len(tables))
        with Progress("readiness", total=total, unit="samples") as bar:
            models = [tables[name].options.model if name in tables else source for _, (name, source) in order]
            if any(models):
                from rlready.readiness.measure import Measurer  # imports torch, which tables alone do not need

                measure = Measurer(config, run, out / "parts", task, problems, ids, held, bar)
                measure.compare_vocabularies(filter(None, models))
            for number, (name, source) in order:
                if not parts[number].exists():  # a part is one checkpoint, kept if the run is killed later
                    note(f"readiness: {source}")
                    if name not in tables:
                        facts = measure.model(number, source)
                    elif tables[name].options.model:
                        facts = measure.table(tables[name])
                    else:
                        facts = measure_table(config, run, tables[name], task, problems, ids, None)
                    write_json(parts[number], {"name": name, "problems": ids} | facts)
                    if name not in tables:
                        measure.forget_waves(number)
                elif name not in tables:
                    bar.total = (bar.total or 0) - len(ids) * config.samples
        measured = [read_json(part) for part in parts]
        _write_losses(out / "heldout.parquet", held, measured)
        return run.write_result(_result(config, task, list(tables.values()), ids, measured))


def _check(config: ReadinessConfig) -> dict[str, str]:
    """What each checkpoint is called, and its source; refuses settings that cannot be meant."""
    for name in ("samples", "group_size", "thinking_budget", "max_answer_tokens"):
        if getattr(config, name) < 1:
            raise UserError(f"{name} must be at least 1, got {getattr(config, name)}")
    for name in ("min_samples", "influence_rank", "seed"):
        if getattr(config, name) < 0:
            raise UserError(f"{name} must not be negative, got {getattr(config, name)}")
    if config.temperature <= 0:
        raise UserError(f"temperature must be above 0, got {config.temperature}: greedy samples are all the same")
    if config.influence and min(config.samples, config.group_size, config.min_samples or config.group_size) < 2:
        raise UserError(
            "influence needs right and wrong samples of a problem: samples, group_size and min_samples of 2 or more"
        )
    if not config.checkpoints:
        raise UserError("no checkpoint is named")
    names: dict[str, str] = {}
    for source in in_training_order(config.checkpoints):
        name = source
        if stored.is_table(source):
            path, options = stored.parse(source)
            name = options.name or path
        if name in names:
            raise UserError(f"a checkpoint is named twice: {name}; tables of one path need name=")
        names[name] = source
    return names


def _check_ids(config: ReadinessConfig, ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise UserError(f"{config.problems}: problem {twice!r} is given twice; ids must differ")
    if config.influence and len(ids) < 2:
        raise UserError(f"{config.problems}: influence needs at least 2 problems, got {len(ids)}")


def _task(config: ReadinessConfig, tables: Sequence[stored.Stored], models: bool) -> Task | None:
    """The task of the problems; None where nothing needs it: only tables with verdicts, and no problems asked for."""
    needed = models or any(table.unverified for table in tables)
    return open_task(config.problems) if needed or config.problems != DEFAULTS["problems"] else None


def _held(config: ReadinessConfig, run: Run) -> Sequence[Row]:
    """Rows for the held-out loss; none where it is not asked for, or by nobody and the problems are of another task."""
    if not config.heldout:
        return []
    if config.heldout == DEFAULTS["heldout"] and not config.problems.startswith(DEMO_TASK):
        note(f"readiness: no held-out loss: the demo's rows are not like {config.problems}; name rows with heldout=")
        return []
    task = open_task(config.heldout)
    rows = task.rows()
    run.note_data(id=task.source, path=task.path, licence=task.licence, size=len(rows), role="held-out loss")
    return rows


def _write_losses(path: Path, held: Sequence[Row], measured: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        {"checkpoint": facts["name"], "id": row.id, "nll": nll, "tokens": tokens}
        for facts in measured
        if facts["heldout"]
        for row, nll, tokens in zip(held, facts["heldout"]["nll"], facts["heldout"]["tokens"], strict=True)
    ]
    if rows:
        write_table(path, rows)


def _result(
    config: ReadinessConfig,
    task: Task | None,
    tables: Sequence[stored.Stored],
    ids: Sequence[str],
    measured: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """``per_problem`` holds the counts behind every pass@k, for whoever fits something to them."""
    ks = powers(config.samples)
    chance: dict[str, float] = {}
    if task:
        with suppress(UserError):  # stored verdicts of problems without answers: nothing to guess
            chance = {f"pass@{k}": v for k, v in task.chance(ks if CHANCE_AT in ks else [*ks, CHANCE_AT]).items()}
    source, about = tables[0].path if tables else "", f"Stored samples of {len(ids)} problems."
    return {
        "verb": "readiness",
        "seed": config.seed,
        "task": {"source": task.source if task else source, "description": task.description if task else about},
        "chance": chance,
        **compare(config, measured),
        "problems": ids,
        "per_problem": {
            facts["name"]: {key: facts["counts"][key] for key in ("first", "cap", "since", "drawn", "correct")}
            for facts in measured
        },
    }
