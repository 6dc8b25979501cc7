"""The jobs of a sweep: each is one verb in one run folder, and jobs share the earlier stages.

    sft/A ──► readiness/A-1, readiness/A-2, ...
        └───► rl/A-2-R ──► evaluate/A-2-R        or, where another tool trains,  export/A-2-R

One SFT run serves all its checkpoints, and one readiness run all RL runs from a checkpoint.  A job begins when the job
that it starts from is done, because only then is the path of its checkpoint known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.core.errors import UserError
from rlready.core.presets import BUDGETS
from rlready.core.result import RESULT
from rlready.export.settings import ElsewhereConfig
from rlready.runs.checkpoint_order import listed
from rlready.runs.checksums import changed as changed_file
from rlready.runs.checksums import refuse_changed
from rlready.runs.content import has_content
from rlready.runs.continuing import compare
from rlready.runs.folders import nothing_done
from rlready.runs.moved import moved_path
from rlready.runs.record import DONE, RECORD, RunRecord
from rlready.runs.run import STATE
from rlready.sweep.grid import FILLED, Config, Grid, RLVariant, SFTVariant, Verb, size_of
from rlready.train.result import RLResult, SFTResult

# seconds of one row, sample or rollout of the embedded model on one core: the estimate before any job has run
COST: dict[Verb, float] = {"sft": 0.012, "readiness": 0.008, "rl": 0.016, "evaluate": 0.008}
FIXED = 6.0  # seconds to start a job: imports, loading, problems


@dataclass(frozen=True)
class Job:
    """A verb to run in the folder ``key`` of the sweep's folder.

    It takes the checkpoint of the job ``start`` at ``place``, where -1 is the last, of the ``planned`` ones.  ``work``
    is a rough estimate of its seconds, which serves to compare jobs of one verb.
    """

    key: str
    verb: Verb
    config: Config
    work: float
    start: str = ""
    place: int = -1
    planned: int = 1

    def refuse_missing(self, kept: int) -> None:
        """UserError if ``start`` keeps too few checkpoints for this job's to be the one that its key names.

        Only the last is certain then: any two of the others may have coincided.
        """
        if self.place < -1 and kept < self.planned:
            raise UserError(
                f"{self.start} has too few steps for a checkpoint every save_every epochs and keeps {kept} of "
                f"{self.planned}, so that it is not certain which one {self.key} means; raise save_every, or put "
                'measure = "starts", with checkpoints = "last", above [sft] in the sweep file'
            )

    def config_from(self, checkpoints: Sequence[str]) -> Config:
        """The configuration, with the checkpoint that ``start`` wrote; UserError if that checkpoint is missing."""
        self.refuse_missing(len(checkpoints))
        path = checkpoints[self.place]
        match self.config:
            case ReadinessConfig():
                return self.config.replace(checkpoints=(path,))
            case EvaluateConfig():
                return self.config.replace(models=(path,))
            case RLConfig():
                return self.config.replace(model=path)
            case _:
                return self.config


@dataclass(frozen=True)
class Chain:
    """One line of the table: RL from one checkpoint, with the folders of its jobs.

    Where another tool trains, ``run`` is the export, and ``evaluate`` is empty.
    """

    sft: SFTVariant
    rl: RLVariant
    readiness: str
    run: str
    evaluate: str


def jobs_of(grid: Grid) -> list[Job]:
    """All jobs, each after the one it starts from; UserError if two would share a folder."""
    jobs, keys = list(_jobs(grid)), set[str]()
    for job in jobs:
        if job.key in keys:
            raise UserError(f"two jobs would share the folder {job.key}; give recipes other names")
        keys.add(job.key)
    return jobs


def chains_of(grid: Grid) -> list[Chain]:
    """All lines of the table, in the order of the file."""
    return [
        Chain(
            tuned,
            learned,
            f"readiness/{tuned.name}-{i}",
            f"{'export' if grid.tool else 'rl'}/{name}",
            "" if grid.tool else f"evaluate/{name}",
        )
        for tuned in grid.sft
        for i in tuned.starts
        for learned in grid.rl
        for name in [f"{tuned.name}-{i}-{learned.name}"]
    ]


def checkpoints_of(folder: Path) -> list[str]:
    """The checkpoints of a finished SFT run, in the order of training; for an RL run, only the best one."""
    if folder.parent.name == "rl":
        return [RLResult.load(folder).best.path]
    return [each.path for each in SFTResult.load(folder).checkpoints if not each.reference]


def finished(jobs: Sequence[Job], out: Path) -> dict[str, float]:
    """Seconds that each finished job took, by key; every file is read once.

    A job is finished if its folder says so and the job that it starts from is finished.  Raises UserError if a folder
    holds a run with other settings, which the sweep would overwrite, or a record or result that cannot be read, or if
    an input has changed since.
    """
    seconds: dict[str, float] = {}
    records: dict[str, RunRecord] = {}
    left: dict[str, list[str]] = {}
    starts = {job.start for job in jobs}
    for job in jobs:
        folder = out / job.key
        if (job.start and job.start not in left) or not (folder / RECORD).is_file():
            continue
        again = f"delete {folder} to run that job again"
        try:
            record = RunRecord.load(folder)
        except UserError as error:
            raise UserError(f"{error}; {again}") from None
        refuse_changed(folder, folder / RESULT, record.files, again)
        config = job.config_from(left[job.start]) if job.start else job.config
        same = _same_settings(job, folder, record, config)
        if same and record.status == DONE and (folder / RESULT).is_file():
            records[job.key] = record
            if not (folder / STATE).exists():  # else it was killed before this was removed, which running it again does
                seconds[job.key] = record.seconds
            if job.key in starts:
                left[job.key] = checkpoints_of(folder)
    refuse_mixed_inputs(out, records, changed=True)
    return seconds


def refuse_mixed_inputs(out: Path, records: Mapping[str, RunRecord], *, changed: bool = False) -> None:
    """UserError if jobs, by key, have read different content at one path outside of the sweep's folder, or also, with
    ``changed``, if what is there now is not what they have read; and if a checkpoint in the folder of the job that
    wrote it was replaced."""
    for key, record in records.items():
        for checkpoint in sorted((out / key / "checkpoints").glob("step-*")):
            if changed_file(out / key, checkpoint, record.files):
                again = " ".join(_and_what_starts_from([key], out, records))
                refuse_changed(out / key, checkpoint, record.files, f"put it back, or delete, in {out}, {again}")
    readers: dict[Path, dict[str, list[str]]] = {}
    for key, record in records.items():
        for each in record.notes:
            path = _place_of(each.path, key, out, record) if each.path else out.resolve()
            if each.sha256 and not path.is_relative_to(out.resolve()):
                readers.setdefault(path, {}).setdefault(each.sha256, []).append(key)
    for path, by_content in readers.items():
        if path.exists() and (changed or len(by_content) > 1):
            by_content = {digest: keys for digest, keys in by_content.items() if not has_content(path, digest)}
        elif len(by_content) > 1:  # it is gone: those that read it first have the others against them
            by_content.popitem()
        else:
            continue
        keys = [key for keys in by_content.values() for key in dict.fromkeys(keys)]
        if keys:
            folders = " ".join(_and_what_starts_from(keys, out, records))
            raise UserError(
                f"{path} has changed since {listed(keys)} read it: restore it, choose another --out, or delete, in "
                f"{out}, {folders}"
            )


def _and_what_starts_from(keys: Sequence[str], out: Path, records: Mapping[str, RunRecord]) -> list[str]:
    """The jobs and those that have read something in their folders, or in those of the latter, also if it has moved."""
    found = list(keys)
    for first in found:  # which grows
        for key, record in records.items():
            read = (_place_of(note.path, key, out, record) for note in record.notes if note.path)
            inside = any(place.is_relative_to((out / first).resolve()) for place in read)
            found += [key] if inside and key not in found else []
    return found


def _place_of(path: str, key: str, out: Path, record: RunRecord) -> Path:
    """Where something is that a job has read: what was in the sweep's folder is in it, also if that has moved and
    another sweep is at its old place."""
    before = "." if record.folder == key else record.folder.removesuffix(f"/{key}") or str(out)
    return record.located(out / key, moved_path(path, before, out)).resolve()


def _same_settings(job: Job, folder: Path, record: RunRecord, config: Config) -> bool:
    """Whether a folder holds this very job; False only if it started from another checkpoint, or has done nothing."""
    differ = record.differences(config)
    if not differ:
        return True
    if differ == [FILLED.get(job.verb)] or nothing_done(folder):
        return False
    if refusal := compare(record, job.verb, config).refusal:
        raise UserError(
            f"{job.key}: {folder} holds {refusal}: give the recipe another name, choose another --out, or delete that "
            "folder"
        )
    return True


def _jobs(grid: Grid) -> Iterator[Job]:
    for tuned in grid.sft:
        sft, ready = tuned.config, grid.readiness_for(tuned)
        start = f"sft/{tuned.name}"
        yield Job(start, "sft", sft, FIXED + COST["sft"] * size_of(sft.rows, 2000) * sft.epochs)
        for i in sorted({*tuned.measured, *tuned.starts}):
            samples = size_of(ready.problems, 64) * ready.samples
            work = FIXED + COST["readiness"] * samples + COST["sft"] / 3 * size_of(ready.heldout, 200)
            yield Job(f"readiness/{tuned.name}-{i}", "readiness", ready, work, start, tuned.from_end(i), tuned.saved)
        for i in tuned.starts:
            for learned in grid.rl:
                yield from _rl_jobs(grid, tuned, i, learned)


def _rl_jobs(grid: Grid, tuned: SFTVariant, place: int, learned: RLVariant) -> Iterator[Job]:
    """RL from one checkpoint, and its evaluation; or its export, if another tool trains."""
    name, start, rl = f"{tuned.name}-{place}-{learned.name}", f"sft/{tuned.name}", learned.config
    if grid.tool:
        given = {key: getattr(rl, key) for key in rl.model_fields_set}
        config = ElsewhereConfig(**given, to=grid.tool)
        yield Job(f"export/{name}", "export", config, FIXED, start, tuned.from_end(place), tuned.saved)
        return
    tested = size_of(rl.validation, 100) * rl.eval_samples * (1 + rl.steps / rl.eval_every)
    work = FIXED + COST["rl"] * rl.steps * rl.prompts_per_step * rl.group_size + COST["evaluate"] * tested
    yield Job(f"rl/{name}", "rl", rl, work, start, tuned.from_end(place), tuned.saved)
    last = grid.evaluate
    budgets = len(last.thinking_budgets or BUDGETS)  # None: as many as every preset has
    work = FIXED + COST["evaluate"] * size_of(last.problems, 200) * last.samples * budgets
    yield Job(f"evaluate/{name}", "evaluate", last, work, f"rl/{name}")
