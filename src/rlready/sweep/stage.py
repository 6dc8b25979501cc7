"""``rlready sweep FILE.toml``: a grid of SFT recipes, their checkpoints, RL recipes and seeds, run as jobs.

Every job is one of our verbs in its own run folder: killed anywhere, the same command continues, and nothing that is
done is done again.  A job that fails takes only those with it that start from it; the others run on, the command then
ends with an error, and given again tries the failed ones.  A file that has grown adds its new jobs to the same folder.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import SweepConfig
from rlready.core.errors import UserError
from rlready.core.progress import note
from rlready.core.records import Estimate
from rlready.core.stats import t_figure
from rlready.runs.checkpoint_order import labels
from rlready.runs.files import plain, read_json
from rlready.runs.log import append_line
from rlready.runs.run import RECORD, RESULT, Run
from rlready.sweep import grid
from rlready.sweep.executors import Executor, Here, Order
from rlready.sweep.jobs import VERBS, Chain, Job, chains_of, jobs_of
from rlready.sweep.status import Board, duration, remaining
from rlready.sweep.table import write_runs

MANY, LONG = 1000, 86400.0  # jobs and seconds from which a sweep must be asked for twice


@dataclass(frozen=True)
class SweepRun:
    """What stays the same of a sweep when it is continued: with more jobs, on other workers, or for longer."""

    file: str


def sweep(config: SweepConfig, out: Path) -> dict[str, Any]:
    """Run every job, or those that an earlier attempt left; returns the result, whose runs are in ``runs.jsonl``."""
    if not config.file:
        raise UserError("name a sweep file: rlready sweep FILE.toml")
    if config.threads < 1 or config.workers < 0:
        raise UserError(f"threads must be at least 1 and workers at least 0, got {config.threads} and {config.workers}")
    plan = grid.read(Path(config.file))
    jobs, chains = jobs_of(plan), chains_of(plan)
    digest = hashlib.sha256(json.dumps(plain([asdict(job) for job in jobs])).encode()).hexdigest()
    taken: dict[str, tuple[Job, float]] = {}
    for job in jobs:  # a job is done only if what it starts from is
        if (not job.start or job.start in taken) and job.done(out):
            taken[job.key] = (job, _seconds(out / job.key))
    _ask(config, jobs, taken)
    _drop_outgrown(out, digest, whole=len(taken) == len(jobs))
    with Run(out, "sweep", SweepRun(Path(config.file).name)) as run:
        if run.finished:
            return run.result
        run.note_data(
            id=config.file, sha256=hashlib.sha256(Path(config.file).read_bytes()).hexdigest(), role="sweep file"
        )
        board = Board(jobs, {key: seconds for key, (_, seconds) in taken.items()}, config.workers)
        problems = _run_all(config, out, jobs, board)
        done = {key for key, state in board.states.items() if state == "done"}
        rows = write_runs(out, chains, done)
        if problems:
            key, why = next(iter(problems.items()))
            skipped = sum(state == "skipped" for state in board.states.values())
            raise UserError(
                f"{len(problems)} of {len(jobs)} jobs failed and {skipped} that start from them were skipped; first "
                f"{key}: {why}; the {len(rows)} runs that are done are in {out / 'runs.jsonl'}, "
                "the same command tries again"
            )
        return run.write_result(_result(out, digest, jobs, chains, rows, board.taken))


def _run_all(config: SweepConfig, out: Path, jobs: Sequence[Job], board: Board) -> dict[str, str]:
    """Run what waits, later stages first so that whole chains end early; returns why jobs failed, by key."""
    if all(state == "done" for state in board.states.values()):
        return {}
    order = sorted(jobs, key=lambda job: -VERBS.index(job.verb))
    problems: dict[str, str] = {}
    executor = _executor(config)
    try:
        with board.bar:
            board.show()
            while any(state in ("waiting", "running") for state in board.states.values()):
                _begin(config, out, order, board, executor, problems)
                for report in executor.wait():
                    if report.problem:
                        problems[report.key] = report.problem
                    board.change(report.key, "failed" if report.problem else "done", report.seconds, report.problem)
                    append_line(out / "log.jsonl", asdict(report))
            board.show()
    finally:
        executor.close()
    return problems


def _begin(
    config: SweepConfig, out: Path, order: Sequence[Job], board: Board, executor: Executor, problems: dict[str, str]
) -> None:
    """Hand over as many jobs that can begin as there is room for; skip those whose start has failed."""
    for job in order:
        if board.states[job.key] != "waiting":
            continue
        before = board.states.get(job.start, "done")
        if before in ("failed", "skipped"):
            board.change(job.key, "skipped", why=f"it starts from {job.start}")
        elif before == "done" and executor.room():
            try:
                filled = job.filled(out)
            except UserError as error:
                problems[job.key] = str(error)
                board.change(job.key, "failed", why=str(error))
                continue
            board.change(job.key, "running")
            executor.begin(Order(job.key, job.verb, filled, str(out / job.key), config.threads, str(Path.cwd())))


def _executor(config: SweepConfig) -> Executor:
    if config.workers == 0 and not config.ray:
        return Here()
    from rlready.sweep.cluster import Cluster

    return Cluster(config.ray, config.workers, config.threads)


def _ask(config: SweepConfig, jobs: Sequence[Job], taken: Mapping[str, tuple[Job, float]]) -> None:
    """Say how much it is; UserError if that is so much that it may not be meant."""
    counts = Counter(job.verb for job in jobs)
    left = [job for job in jobs if job.key not in taken]
    seconds = remaining(left, taken, config.workers)
    guess = "" if taken else " at the speed of the embedded model"
    words = ", ".join(f"{counts[verb]:,} {verb}" for verb in VERBS if counts[verb])
    said = f"{config.file} makes {len(jobs):,} jobs ({words}), of which {len(left):,} are to be run: "
    said += f"about {duration(seconds)} on {max(1, config.workers)} worker{'s' * (config.workers > 1)}{guess}"
    if (len(left) > MANY or seconds > LONG) and not config.yes:
        raise UserError(f"{said}; to start all the same add --yes")
    note(f"sweep: {said}")


def _drop_outgrown(out: Path, digest: str, whole: bool) -> None:
    """Where the file has changed since, or a job is no longer done, a sweep's result is not of the whole."""
    if not ((out / RECORD).is_file() and (out / RESULT).is_file()):
        return
    if read_json(out / RECORD)["verb"] == "sweep" and not (whole and read_json(out / RESULT)["plan"] == digest):
        (out / RESULT).unlink()


def _seconds(folder: Path) -> float:
    return float(read_json(folder / RECORD)["seconds"])


def _result(
    out: Path,
    digest: str,
    jobs: Sequence[Job],
    chains: Sequence[Chain],
    rows: Sequence[Mapping[str, Any]],
    taken: Mapping[str, float],
) -> dict[str, Any]:
    short = labels([row["checkpoint"] for row in rows])
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["checkpoint"]), []).append(row)
    starts: list[dict[str, Any]] = [
        {"family": family, "checkpoint": short[checkpoint], "runs": len(mine), "outcome": _over_seeds(mine)}
        | {"cost": float(np.mean([row["cost"] for row in mine]))}
        for (family, checkpoint), mine in groups.items()
    ]
    table = [["family", "checkpoint", "RL runs", "accuracy after RL", "seconds of RL"]]
    table += [[s["family"], s["checkpoint"], str(s["runs"]), str(s["outcome"]), f"{s['cost']:.0f}"] for s in starts]
    best = max(starts, key=lambda s: s["outcome"].value)
    counts = Counter(job.verb for job in jobs)
    return {
        "verb": "sweep",
        "verdict": (
            f"{len(rows)} RL runs from {len(short)} checkpoints of {counts['sft']} SFT runs; "
            f"the highest mean accuracy, {best['outcome'].value:.1%}, "
            f"from {best['checkpoint']}. Next: rlready predict {out}"
        ),
        "plan": digest,
        "jobs": dict(counts),
        "seconds_of_jobs": sum(taken.values()),
        "runs": len(chains),
        "starts": starts,
        "table": table,
    }


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> Estimate:
    """Over seeds where there are several, else over problems."""
    if len(rows) > 1:
        return t_figure([row["outcome"] for row in rows])
    return Estimate(rows[0]["outcome"], *(rows[0][key] for key in ("low", "high", "n", "varies")))
