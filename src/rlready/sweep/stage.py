"""``rlready sweep FILE.toml``: a grid of SFT recipes, their checkpoints, RL recipes and seeds, run as jobs.

Every job is one verb in one run folder.  After an interruption the same command continues, and finished jobs do not run
again.  If a job fails, the jobs that start from it are skipped and the others run; the command then ends with an error,
and the same command tries the failed jobs again.  Jobs that are added to the file later run in the same folder.

Where another tool trains by RL, the sweep ends with its exports, and every later call takes up the outcomes that are
there by then (`elsewhere.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlready.core.config import RLConfig, SweepConfig, Tool
from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.core.settings import Config, address_of, is_url
from rlready.export.noted import EXPORTS, NOTED
from rlready.predict.outcome_table import RUNS
from rlready.runs.files import write_text
from rlready.runs.folders import read_record
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.results import is_at
from rlready.runs.run import Run
from rlready.sweep.cluster import RayCluster, refuse_without_ray
from rlready.sweep.data import refuse_unreadable_data
from rlready.sweep.elsewhere import Elsewhere, keep_all, look, refuse_exports
from rlready.sweep.executors import Executor, InProcess
from rlready.sweep.few_steps import refuse_too_few_steps
from rlready.sweep.grid import VERBS, Grid, read_sweep_file
from rlready.sweep.jobs import Chain, Job, chains_of, finished, jobs_of, refuse_mixed_inputs
from rlready.sweep.result import SweepResult, summarise
from rlready.sweep.scheduler import Scheduler, complete_log
from rlready.sweep.status import Status, duration, remaining
from rlready.sweep.table import RunRow, as_text, lost, rows_of

WARNED = f"Warning: {EXPORTS}/"  # begins the remarks on exports, whose own notes may be warnings, too
MANY, LONG = 1000, 86400.0  # jobs and seconds from which a sweep must be confirmed


class SweepRun(Config):
    """The identity of a sweep: what stays the same if it is continued with more jobs or on other workers."""

    file: str


def sweep(config: SweepConfig, out: Path) -> SweepResult:
    """Run every job that is not yet done; the table of RL runs is ``runs.jsonl``.

    A finished sweep goes on if the file has changed since, if a job is no longer done, or if its folder has moved, as
    its runs name each other by their paths.  Raises UserError if the file is invalid or the folder holds another run,
    before anything is changed, and at the end if a job has failed.
    """
    if not config.file:
        raise UserError("name a sweep file: rlready sweep FILE.toml")
    file = Path(config.file)
    grid = read_sweep_file(file)
    jobs, chains = jobs_of(grid), chains_of(grid)
    plan = _digest(jobs, chains)
    if config.ray:
        refuse_without_ray(config.ray)
    with Run(out, "sweep", SweepRun(file=_known_as(out, file, jobs))) as run:
        seconds = finished(jobs, out) if run.continues else {}
        if run.finished and not any((out / job.key / RECORD).is_file() for job in jobs):
            raise UserError(
                f"{out} holds a finished sweep of another {config.file}, which shares no job with this one: "
                "choose another --out, or delete it"
            )
        complete = run.finished and len(seconds) == len(jobs) and not run.changed(out / RUNS)
        complete = complete and (not run.record.folder or is_at(run.record.folder, out))
        if complete and (stored := run.stored(SweepResult)).plan == plan and _is_up_to_date(stored, out, chains):
            return stored
        _ask(config, jobs, seconds, grid)
        if not config.ray:  # whose workers may have other files
            refuse_unreadable_data(jobs, seconds)
        refuse_too_few_steps(jobs, seconds)
        _refuse_shared_server(config, [job for job in jobs if job.key not in seconds])
        refuse_exports(file, grid, out)
        _say_left(out, config.file, jobs)
        run.claim([job.config for job in jobs])
        run.note_data(id=config.file, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), role="sweep file")
        status = Status(jobs, seconds, config.workers)
        problems = _run_all(run, config, jobs, status)
        done = {key for key, state in status.states.items() if state == "done"}
        refuse_mixed_inputs(out, {key: RunRecord.load(out / key) for key in done})
        rows, found = _write_table(run, grid.tool, chains, done)
        run.note_overlaps_of(out / key for key in sorted(done))
        if problems:
            key, why = next(iter(problems.items()))
            skipped = sum(state == "skipped" for state in status.states.values())
            raise UserError(
                f"{len(problems)} of {len(jobs)} jobs failed and {skipped} that start from them were skipped; first "
                f"{key}: {why}; the {len(rows)} runs that are done are in {out / RUNS}"
            )
        result = summarise(out, plan, jobs, rows, status.seconds, grid.tool, found)
        run.write_result(result)
        return result


def _known_as(out: Path, file: Path, jobs: Sequence[Job]) -> str:
    """The name that the file had when the sweep in ``out`` began, if it has a job of that: it was renamed since."""
    before = read_record(out)
    named = before.config.get("file") if before and before.verb == "sweep" else None
    return str(named) if named and any((out / job.key / RECORD).is_file() for job in jobs) else file.name


def _say_left(out: Path, file: str, jobs: Sequence[Job]) -> None:
    """Name runs of an earlier content of the file, which its table has no more."""
    keys = {job.key for job in jobs}
    there = (str(record.parent.relative_to(out)) for record in sorted(out.glob(f"*/*/{RECORD}")))
    if left := [key for key in there if key not in keys]:
        note(
            f"sweep: {len(left)} runs in {out} are not in {file} any more, first {left[0]}: they stay, and {RUNS} is "
            "without them"
        )


def _is_up_to_date(stored: SweepResult, out: Path, chains: Sequence[Chain]) -> bool:
    """Whether a finished sweep has the outcomes of another tool that there are now."""
    if not stored.tool:
        return True
    done = {key for chain in chains for key in (chain.readiness, chain.run)}
    found = look(out, chains, done)
    rows = as_text(rows_of(out, chains, done, found))
    same = stored.waiting == list(found.waiting) and {*found.notes} == {n for n in stored.notes if n.startswith(WARNED)}
    same = same and rows == (out / RUNS).read_text(encoding="utf-8")
    if same:
        found.say()
    return same


def _write_table(
    run: Run, tool: Tool | None, chains: Sequence[Chain], done: set[str]
) -> tuple[list[RunRow], Elsewhere]:
    """Write the outcomes that there are; those of another tool are kept in its exports, too."""
    table = run.out / RUNS
    found = look(run.out, chains, done) if tool else Elsewhere()
    rows = rows_of(run.out, chains, done, found)
    if tool:
        found.say()
        keep_all(run, tool, found)
    for key, outcome in lost(table, rows).items():
        gone = f"its recipe, its folder or its {NOTED} is gone"
        note(f"sweep: the outcome of {key}, {outcome}, is not in {RUNS} any more: {gone}")
    with run.writing(table):
        write_text(table, as_text(rows))
    return rows, found


def _digest(jobs: Sequence[Job], chains: Sequence[Chain]) -> str:
    """SHA-256 of what a sweep is; settings with their defaults have no part in it, as another version has others."""
    settings = [(job.key, job.start, job.place, job.config.model_dump(exclude_defaults=True)) for job in jobs]
    rows = [(each.evaluate, each.sft.recipe, each.sft.family, each.rl.recipe) for each in chains]
    return hashlib.sha256(repr((settings, rows)).encode()).hexdigest()


def _run_all(run: Run, config: SweepConfig, jobs: Sequence[Job], status: Status) -> dict[str, str]:
    """Run the jobs that are not done; returns the reasons of failed jobs, by key."""
    out = run.out
    complete_log(out, status.seconds)
    scheduler = Scheduler(out, jobs, status, config.threads)
    if all(state == "done" for state in status.states.values()):
        return {}
    executor = _executor(config, out, jobs)
    try:
        with status.bar:
            status.print_table()
            scheduler.run(executor, run.keep)
            status.print_table()
    finally:
        executor.close()
    return scheduler.problems


def _refuse_shared_server(config: SweepConfig, jobs: Sequence[Job]) -> None:
    """UserError if several runs of RL at a time would hand their weights to one server."""
    engines = (job.config.engine for job in jobs if job.verb == "rl" and isinstance(job.config, RLConfig))
    urls = Counter(address_of(url) for url in engines if is_url(url))
    if (config.workers > 1 or config.ray) and (shared := next((url for url, n in urls.items() if n > 1), "")):
        raise UserError(f"{config.file}: {shared} can have the weights of one run of RL at a time: set workers=1")


def _executor(config: SweepConfig, out: Path, jobs: Sequence[Job]) -> Executor:
    if config.ray:
        return RayCluster(config.ray, config.threads)
    if config.workers == 0:
        return InProcess()
    from rlready.sweep.processes import LocalProcesses, visible_gpus

    gpus = visible_gpus() if any(job.config.device != "cpu" for job in jobs) else []
    return LocalProcesses(config.workers, out / "logs", gpus)


def _ask(config: SweepConfig, jobs: Sequence[Job], seconds: Mapping[str, float], grid: Grid) -> None:
    """Print the size of the sweep; UserError if it is so large that the user must confirm it."""
    counts = Counter(job.verb for job in jobs)
    left = [job for job in jobs if job.key not in seconds]
    estimate = remaining(left, [(job, seconds[job.key]) for job in jobs if job.key in seconds], config.workers)
    guess = "" if seconds else " at the speed of the embedded model"
    words = ", ".join(f"{counts[verb]:,} {verb}" for verb in VERBS if counts[verb])
    said = f"{config.file} makes {len(jobs):,} jobs ({words}), of which {len(left):,} are to be run: "
    said += f"about {duration(estimate)} on {max(1, config.workers)} worker{'s' * (config.workers > 1)}{guess}"
    if (len(left) > MANY or estimate > LONG) and not config.yes:
        raise UserError(f"{said}; to start anyway, add --yes")
    if grid.tool:
        said += f"; RL is trained by {grid.tool}, in time of its own, and its validation there is the outcome, so that "
        said += "nothing is evaluated here"
    note(f"sweep: {said}")
