"""The readiness of checkpoints: held-out loss, pass@k, and the share of informative groups.

After Kang et al. (arXiv 2510.01624): post-SFT accuracy misleads; the loss on held-out SFT rows and pass@k at large k
predict better what RL will reach.  Checkpoints are taken in the order of training, each a model to draw samples from
or a table of samples drawn elsewhere, and measured on the same problems and rows: `measure.py` measures one of them,
`comparison.py` makes the result of all, `ranking.py` has the rule by which they are ranked, and `ranking_words.py` its
sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from rlready.core.config import ReadinessConfig
from rlready.core.distributed import from_rank0, wait_for_all
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.records import Problem, Row
from rlready.core.result import TaskRecord, with_warning
from rlready.core.sampling_progress import SamplingProgress, say_most
from rlready.core.truncation import many_truncated
from rlready.interchange.formats import is_tool_source
from rlready.models.preset import is_open, resolve
from rlready.readiness.comparison import compare
from rlready.readiness.conditions import drawn_alike, with_doubts
from rlready.readiness.next_step import SHARED, explained, rl_command
from rlready.readiness.offline_samples import Stored
from rlready.readiness.part import Part
from rlready.readiness.passk import powers
from rlready.readiness.result import SOLVED, ReadinessResult
from rlready.readiness.sources import on_shared_problems, read_sources
from rlready.readiness.table import measure_table
from rlready.runs.files import remove, write_json, write_table
from rlready.runs.run import STATE, Run
from rlready.tasks import Task, open_task
from rlready.tasks.contamination import DataSet
from rlready.tasks.overlap import warn_of_repeats
from rlready.tasks.trained_prompts import warn_of_trained

LEAST_MIXED = 8  # problems
ALL_MIXED = (
    "each of its {} problems has right and wrong samples: if groups that were all right or all wrong were left out, as "
    "by a trainer that keeps only what it learned from, pass@k and the share of informative groups are too high"
)
SAMPLING = (
    *("sampling", "min_samples", "temperature", "thinking_budget", "max_answer_tokens", "apply_chat_template"),
    *("delimiters", "answer_prefix", "seed", "influence"),
)
MEASURING = ("heldout", "device", "dtype")  # need a model, of which a table may name one
CHANCE_AT = 64  # the chance level is also given at the k that Kang et al. use


def readiness(config: ReadinessConfig, out: Path) -> ReadinessResult:
    """Measure every checkpoint on the same problems and rows, and rank them as starts for RL.

    Raises UserError for settings, tables or models that cannot be measured or compared.
    """
    with Run(out, "readiness", config) as run:
        if run.finished:
            return run.stored(ReadinessResult)
        names, tables = read_sources(config.checkpoints, problems_named=bool(config.problems))
        drawn_from = [source for name, source in names.items() if name not in tables]
        task, problems = _problems(config)  # refused before the files of a model are read
        config = _resolve(config, drawn_from, list(tables.values()), run)
        task, problems = (task, problems) if task else _problems(config)
        tables, problems = on_shared_problems(names, tables, problems)
        config = _decide_samples(config, tables, run)
        alike, tables = drawn_alike(config, drawn_from, tables), with_doubts(config, names, tables)
        ids = _ids_of(config, [p.id for p in problems] if task else next(iter(tables.values())).problem_ids)
        models = [*filter(None, (tables[n].options.model if n in tables else source for n, source in names.items()))]
        trained = _note_problems(run, task, problems, models)
        held = _held(config, run)
        # tables first: they are cheap, and an error in one should come before a model has drawn samples for hours
        order = sorted(enumerate(names.items()), key=lambda item: item[1][0] not in tables)
        files = [out / "parts" / f"{number}.json" for number in range(len(names))]
        total = len(ids) * config.samples * (len(names) - len(tables))
        each = (config.thinking_budget or 0) + (config.max_answer_tokens or 0)  # open settings if all are tables
        if total:
            _say_most(config, total, each)
        bar = SamplingProgress("readiness", total, each)
        with bar if total else nullcontext():  # which would say 0 samples where there are only stored ones
            if models:
                from rlready.readiness.measure import Measurer  # imports torch, which tables alone do not need

                measure = Measurer(config, run, out / "parts", task, problems, ids, held, bar)
                measure.check(models)
            run.claim()
            for number, (name, source) in order:
                if not from_rank0(files[number].exists):
                    note(f"readiness: {name}")
                    if name not in tables:
                        part = measure.model(number, name, source)
                    elif tables[name].options.model:
                        part = measure.table(name, tables[name])
                    else:
                        sampled = measure_table(config, run, tables[name], task, problems, ids, None)
                        part = Part(
                            name=name,
                            model=tables[name].saved,
                            problems=list(ids),
                            sampled=sampled,
                            prompts=tables[name].prompts,
                            truths=tables[name].truths,
                        )
                    part = _doubted(part, tables.get(name), run, trained=is_tool_source(source))
                    with run.writing(files[number]):
                        write_json(files[number], part)
                    run.forget(out / STATE)
                    remove(out / STATE)
                elif name not in tables:
                    bar.total = (bar.total or 0) - len(ids) * config.samples
        parts = _measured(files, run)
        _write_losses(out / "heldout.parquet", held, parts)
        result = _ranked(config, parts, task, tables, run).model_copy(update={"conditions": alike})
        for doubt in (*trained, *(part.doubt for part in parts)):
            result = with_warning(result, doubt)
        run.write_result(result)
        return result


def _say_most(config: ReadinessConfig, total: int, each: int) -> None:
    limit = "thinking_budget=" if config.thinking_budget else "max_answer_tokens="
    say_most("readiness", total, each, f"samples=, problems=...?n= and {limit}")


def _doubted(part: Part, table: Stored | None, run: Run, *, trained: bool) -> Part:
    """The part, with what is wrong with the samples of its table, which is also warned of.

    ``trained``: another tool wrote them, perhaps while it trained.
    """
    mixed = ALL_MIXED.format(len(part.problems)) if trained and _all_mixed(part) else ""
    found = "; ".join(filter(None, [table.doubt if table else "", mixed]))
    if not found:
        return part
    doubt = f"{part.name}: {found}"
    run.warn(doubt)
    return part.model_copy(update={"doubt": "; ".join(filter(None, [part.doubt, doubt]))})


def _all_mixed(part: Part) -> bool:
    """Whether every problem has right and wrong samples, and there are some."""
    counts = part.sampled.counts.counts
    mixed = (counts.correct > 0) & (counts.correct < counts.drawn)
    return len(mixed) >= LEAST_MIXED and bool(mixed.all())


def _measured(files: Sequence[Path], run: Run) -> list[Part]:
    """What was measured of the checkpoints; UserError if a file has changed since."""
    wait_for_all()  # rank 0 has written them
    for file in files:
        run.refuse_changed(file, "delete it to measure the checkpoint again")
    return [Part.from_file(file) for file in files]


def _ranked(
    config: ReadinessConfig, parts: Sequence[Part], task: Task | None, tables: Mapping[str, Stored], run: Run
) -> ReadinessResult:
    """The ranking of the measured checkpoints, with the command of RL from the first."""
    about = TaskRecord(
        source=task.source if task else next(iter(tables.values())).path,
        description=task.description if task else f"Offline samples of {len(parts[0].problems)} problems.",
    )
    compared = compare(config, parts, about, _chance_level(task, config.samples))
    chosen = [part for c, part in zip(compared.checkpoints, parts, strict=True) if c.chosen and c.next != SOLVED]
    command = "".join(rl_command(part, run.record.config, run.record.origins) for part in chosen)
    action = explained(compared.next_action, command)
    result = compared.model_copy(update={"next_action": action, "next_command": command})
    shares = {each.name: each.truncated.value for each in result.checkpoints if each.truncated}
    drawn, stored = ({n: share for n, share in shares.items() if (n in tables) is of} for of in (False, True))
    for warning in filter(None, (many_truncated(drawn, config), many_truncated(stored))):
        run.warn(warning)
    return result


def _problems(config: ReadinessConfig) -> tuple[Task | None, list[Problem]]:
    task = open_task(config.problems) if config.problems else None
    return task, task.problems() if task else []


def _note_problems(run: Run, task: Task | None, problems: Sequence[Problem], models: Sequence[str]) -> list[str]:
    """Enter the problems in the run's record; returns warnings of copies and of those that models were trained on."""
    if task is None:
        return []
    run.note_data(
        id=task.source, path=task.path, seen=task.seen, licence=task.licence, size=len(problems), role="readiness"
    )
    repeats = warn_of_repeats(run, "problems", problems)
    trained = warn_of_trained(run, "problems", DataSet(task.source, task, problems), models)
    return [repeats, trained]


def _decide_samples(config: ReadinessConfig, tables: Mapping[str, Stored], run: Run) -> ReadinessConfig:
    """With ``samples`` lowered to what stored samples allow, if it was not set."""
    if "samples" in config.model_fields_set or not tables:
        return config
    fewest = min(tables.values(), key=lambda table: table.draws.most)
    if (most := fewest.draws.most) >= config.samples:
        return config
    note(f"readiness: samples={most}, which is how many {fewest.whose_most}")
    return run.resolve(config, {"samples": most})


def _ids_of(config: ReadinessConfig, ids: Sequence[str]) -> Sequence[str]:
    """The ids of the problems; UserError for two that are the same, and for too few."""
    if len(set(ids)) < len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise UserError(f"{config.problems}: problem {twice!r} is given twice; ids must differ")
    if config.influence and len(ids) < 2:
        raise UserError(f"{config.problems}: influence needs at least 2 problems, got {len(ids)}")
    return ids


def _resolve(config: ReadinessConfig, models: Sequence[str], tables: Sequence[Stored], run: Run) -> ReadinessConfig:
    """Fill in the settings that depend on the models; tables of verified samples alone need no problems."""
    bare = next((table for table in tables if table.unverified), None)
    if bare and not config.problems and not models:
        raise UserError(f"{bare.path}: {bare.first_unverified} is not verified yet: name its problems with problems=")
    sources = [*models, *(table.options.model for table in tables if table.options.model)]
    if not models:
        _say_unused(config, SAMPLING if sources else (*SAMPLING, *MEASURING))
    leave = set() if models else {"problems"}
    resolved = resolve(config, sources, run, leave) if sources else config
    if is_open(config, "heldout") and config.problems and not resolved.heldout:
        note("readiness: no held-out loss; to measure it, set heldout=FILE")
    return resolved


def _say_unused(config: ReadinessConfig, unused: Collection[str]) -> None:
    """Tell which settings were set but do not apply, as no sample is drawn."""
    given = [name for name in unused if name in config.model_fields_set and getattr(config, name)]
    if given:
        kept = "; the command for rl takes over those that it has" if any(name in SHARED for name in given) else ""
        names = f"{', '.join(given)} {'does' if len(given) == 1 else 'do'}"
        needs = ", and heldout needs model= behind a table" if "heldout" in given else ""
        note(f"readiness: {names} not apply to tables of samples, from which nothing is drawn{needs}{kept}")


def _held(config: ReadinessConfig, run: Run) -> Sequence[Row]:
    """Worked examples for the held-out loss; empty if it is not requested."""
    if not config.heldout:
        return []
    task = open_task(config.heldout)
    rows = task.rows()
    run.note_data(
        id=task.source, path=task.path, seen=task.seen, licence=task.licence, size=len(rows), role="held-out loss"
    )
    return rows


def _write_losses(path: Path, held: Sequence[Row], parts: Sequence[Part]) -> None:
    rows = [
        {"checkpoint": part.name, "id": row.id, "nll": nll, "tokens": tokens}
        for part in parts
        if part.heldout
        for row, nll, tokens in zip(held, part.heldout.nll, part.heldout.tokens, strict=True)
    ]
    if rows:
        write_table(path, rows)


def _chance_level(task: Task | None, samples: int) -> dict[str, float]:
    """pass@k of guessing for every k; empty if the answers to the problems of stored samples are unknown."""
    ks = powers(samples)
    with suppress(UserError):
        if task:
            return {f"pass@{k}": v for k, v in task.chance(ks if CHANCE_AT in ks else [*ks, CHANCE_AT]).items()}
    return {}
