"""The jobs of a sweep: each is one verb in one run folder, and shares with others what comes before it.

    sft/A ──► readiness/A-1, readiness/A-2, ...
        └───► rl/A-2-R ──► evaluate/A-2-R

One SFT run serves all its checkpoints, one readiness run all RL runs from a checkpoint.  A job begins when the one
that it starts from is done; which checkpoint that left is only known then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlready.core.errors import UserError
from rlready.runs.files import plain, read_json
from rlready.runs.run import RECORD, RESULT
from rlready.sweep.grid import Grid, Variant, size_of

VERBS = ("sft", "readiness", "rl", "evaluate")
# seconds of one row, sample or rollout of the embedded model on one core: what is known before anything has run
COST = {"sft": 0.012, "readiness": 0.008, "rl": 0.016, "evaluate": 0.008}
FIXED = 6.0  # seconds to start a job: imports, loading, problems


@dataclass(frozen=True)
class Job:
    """``key`` is its folder in the sweep's; ``start`` the job whose checkpoint it takes, at ``place`` from the end, -1.

    ``work`` is a guess of its seconds, good for comparing jobs of one verb.
    """

    key: str
    verb: str
    config: Any
    work: float
    start: str = ""
    place: int = 0

    def filled(self, out: Path) -> Any:
        """Its configuration with the checkpoint it starts from; UserError where there is no such."""
        if not self.start:
            return self.config
        result = read_json(out / self.start / RESULT)
        if self.verb == "evaluate":
            return replace(self.config, models=(result["best"]["path"],))
        found = [each for each in result["checkpoints"] if not each.get("reference")]
        if -self.place > len(found):
            raise UserError(
                f"{self.start} has too few steps for a checkpoint every save_every epochs and kept {len(found)}, "
                f'none for {self.key}; raise save_every, or keep measure = "starts" and checkpoints = "last"'
            )
        path = found[self.place]["path"]
        return (
            replace(self.config, checkpoints=(path,)) if self.verb == "readiness" else replace(self.config, model=path)
        )

    def done(self, out: Path) -> bool:
        """Whether its folder holds it finished, with this very configuration."""
        folder = out / self.key
        if not (folder / RECORD).is_file() or not (folder / RESULT).is_file():
            return False
        record = read_json(folder / RECORD)
        return bool(record["status"] == "done" and record["config"] == plain(self.filled(out)))


@dataclass(frozen=True)
class Chain:
    """One line of the table: RL from one checkpoint, with the folders of what belongs to it."""

    sft: Variant
    rl: Variant
    readiness: str
    run: str
    evaluate: str


def jobs_of(grid: Grid) -> list[Job]:
    """All jobs, a job after the one it starts from; UserError where two would share a folder."""
    jobs, keys = list(_jobs(grid)), set[str]()
    for job in jobs:
        if job.key in keys:
            raise UserError(f"two jobs would share the folder {job.key}; give recipes other names")
        keys.add(job.key)
    return jobs


def chains_of(grid: Grid) -> list[Chain]:
    return [
        Chain(tuned, learned, f"readiness/{tuned.name}-{i}", f"rl/{name}", f"evaluate/{name}")
        for tuned in grid.sft
        for i in tuned.starts
        for learned in grid.rl
        for name in [f"{tuned.name}-{i}-{learned.name}"]
    ]


def _jobs(grid: Grid) -> Iterator[Job]:
    for tuned in grid.sft:
        sft, ready = tuned.config, grid.readiness_for(tuned)
        start = f"sft/{tuned.name}"
        yield Job(start, "sft", sft, FIXED + COST["sft"] * size_of(sft.rows, 2000) * sft.epochs)
        for i in sorted({*tuned.measured, *tuned.starts}):
            samples = size_of(ready.problems, 64) * ready.samples
            work = FIXED + COST["readiness"] * samples + COST["sft"] / 3 * size_of(ready.heldout, 200)
            yield Job(f"readiness/{tuned.name}-{i}", "readiness", ready, work, start, tuned.from_end(i))
        for i in tuned.starts:
            for learned in grid.rl:
                name, rl = f"{tuned.name}-{i}-{learned.name}", learned.config
                tested = size_of(rl.heldout, 100) * rl.eval_samples * (1 + rl.steps / rl.eval_every)
                work = FIXED + COST["rl"] * rl.steps * rl.prompts * rl.group + COST["evaluate"] * tested
                yield Job(f"rl/{name}", "rl", rl, work, start, tuned.from_end(i))
                last = grid.evaluate
                work = FIXED + COST["evaluate"] * size_of(last.problems, 200) * last.samples * len(
                    last.thinking_budgets
                )
                yield Job(f"evaluate/{name}", "evaluate", last, work, f"rl/{name}")
