"""The time that a sweep needs to plan before its first job begins: `python bench/sweep_plan.py`.

A file of 4,000 jobs: one SFT run, its last checkpoint's readiness, 1,999 RL runs and their evaluations.  The benchmark
measures CPU seconds from reading the file to the jobs that can begin: of a new sweep, and of one that was killed when
all jobs but the last evaluation were done, so that every run folder must be looked at.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from common import Goal, Row, main
from rlready.core.records import Estimate
from rlready.core.settings import Config
from rlready.runs.files import write_json
from rlready.runs.provenance import host, software
from rlready.runs.record import DONE, RunRecord
from rlready.sweep.grid import read_sweep_file
from rlready.sweep.jobs import Job, checkpoints_of, finished, jobs_of
from rlready.sweep.scheduler import Scheduler
from rlready.sweep.status import Status
from rlready.train.result import BestCheckpoint, Checkpoint, Evaluation, RLResult, SFTResult

NEW = Goal("planning a sweep of 4,000 jobs, CPU seconds", "< 1")
CONTINUED = Goal("the same, killed before its last job, CPU seconds", "< 1")
FILE = """
measure = "starts"
[sft]
epochs = 2
[rl]
seed = {seeds}
"""


def run(quick: bool) -> list[Row]:
    seeds = 20 if quick else 1999
    with TemporaryDirectory() as folder:
        file, out = Path(folder) / "sweep.toml", Path(folder) / "out"
        file.write_text(FILE.format(seeds=list(range(seeds))), encoding="utf-8")
        new = [planning(file, out) for _ in range(5)]
        jobs = jobs_of(read_sweep_file(file))
        pretend_done(out, jobs[:-1])
        continued = [planning(file, out) for _ in range(5)]
    details = {"jobs": len(jobs)}
    return [goal.row(found, varies="repeats", **details) for goal, found in ((NEW, new), (CONTINUED, continued))]


def planning(file: Path, out: Path) -> float:
    began = time.process_time()
    jobs = jobs_of(read_sweep_file(file))
    Scheduler(out, jobs, Status(jobs, finished(jobs, out), workers=2), threads=1)
    return time.process_time() - began


def pretend_done(out: Path, jobs: Sequence[Job]) -> None:
    """Write the folders of finished jobs, with records of a usual size."""
    for job in jobs:
        folder = out / job.key
        config = job.config_from(checkpoints_of(out / job.start)) if job.start else job.config
        write_json(folder / "result.json", sft_result(folder) if job.verb == "sft" else rl_result(folder))
        write_json(folder / "record.json", record(job.verb, config))


def sft_result(folder: Path) -> SFTResult:
    loss = Estimate(0.5, 0.4, 0.6, 200, "examples")
    checkpoints = [
        Checkpoint(
            name=f"step-{i}",
            path=f"{folder}/checkpoints/step-{i}",
            step=i,
            epoch=i / 2,
            samples=i / 4,
            reference=False,
            heldout_loss=loss,
            heldout_loss_examples=loss,
        )
        for i in range(1, 5)
    ]
    return SFTResult(headline="", seed=0, steps=4, final_loss=0.5, checkpoints=checkpoints)


def rl_result(folder: Path) -> RLResult:
    accuracy = Estimate(0.5, 0.4, 0.6, 100, "problems")
    best = BestCheckpoint(step=1, path=f"{folder}/checkpoints/step-1", accuracy=accuracy)
    evaluations = [Evaluation(step=1, accuracy=accuracy, thinking_tokens=40.0)]
    return RLResult(headline="", seed=0, steps=1, stopped="", drift="", best=best, evaluations=evaluations)


def record(verb: str, config: Config) -> RunRecord:
    return usual().model_copy(update={"verb": verb, "config": config.model_dump(mode="json")})


@cache
def usual() -> RunRecord:
    return RunRecord(
        verb="",
        status=DONE,
        start="2026-01-01T00:00:00+00:00",
        part_of=None,
        command="x" * 3000,
        revision=None,
        config={},
        origins={},
        seeds={},
        software=software(),
        host=host(),
        data=[],
        models=[],
        attempts=[],
        seconds=9.0,
    )


if __name__ == "__main__":
    main([NEW, CONTINUED], run)
