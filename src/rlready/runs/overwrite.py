"""What ``--overwrite`` deletes: all that the run in a folder has written, and nothing else.

It is moved aside first, and put back if the new run is refused for its inputs, some of which only show when a model is
loaded or the first response is verified.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os import rename
from pathlib import Path, PurePath

from rlready.core.errors import UserError
from rlready.core.result import RESULT
from rlready.core.settings import Config
from rlready.runs import lock
from rlready.runs.checksums import BASE, CARD, CHECKSUMS, LINE
from rlready.runs.files import LEFTOVER, os_errors_named, plain, remove
from rlready.runs.folders import START, folders_of_runs, nothing_done, own_entries, read_record
from rlready.runs.lineage import models_behind, models_of_runs
from rlready.runs.log import DRAWN, LOG
from rlready.runs.record import DONE, OVERWRITTEN, RECORD, Attempt, Note, RunRecord

# what the run of a verb writes into its folder, besides what every run does and what its record has checksums of
WRITES = {
    "demo": {"sft", "readiness", "rl", "evaluate", "greedy", *DRAWN},
    "evaluate": {"parts", "state", *DRAWN},
    "export": {
        *("README.md", "export.json", "settings.toml", "data", "code", "tokenizer", "model", "reward.py", "launch.sh"),
        *("train.py", "train.jsonl", "validation.jsonl", "train.parquet", "validation.parquet"),
        *("rl.toml", "rlready_taskset.py", "outcome.json"),
    },
    "inject": {"README.md", "croissant.json", "ro-crate-metadata.json", "rows.jsonl", "before.jsonl"},
    "readiness": {"parts", "state", "heldout.parquet"},
    "rl": {"checkpoints", "handover", "samples", "state", "trained_prompts.txt", LOG},
    "sft": {"checkpoints", "heldout.parquet", "state", "trained_prompts.txt", LOG},
    "sweep": {"sft", "readiness", "rl", "export", "evaluate", "logs", "runs.jsonl", "train.sh", LOG},
}
EVERY = START | {RESULT, "samples.html", "samples_files"}
DEPTH_OF_JOBS = {"demo": 1, "sweep": 2}  # of folders
DEEPEST = 3  # folders below an input in which links are looked for
ASIDE = "overwritten"  # begins the name of the folder to which a run is moved
SETTLED = 60.0  # seconds of work after which a refused run is not given up for the one that it overwrites
CHECKPOINT = re.compile(rf"step-\d+|{LEFTOVER.pattern}")


def attempts_of(out: Path, record: RunRecord) -> list[Attempt]:
    """All attempts of the run in a folder; of a sweep those of its jobs, whose records go with theirs."""
    found = (read_record(folder) for folder in folders_of_runs(out) if folder != out)
    jobs = [job for job in found if job and job.part_of == record.verb == "sweep"]
    return [*record.overwritten, *(a for job in jobs for a in job.all_attempts)] if jobs else record.all_attempts


class Replaced:
    """What the run in a folder has written, moved into a temporary folder there; its record says that first.

    A kill leaves no run that seems whole, and what was moved is deleted with other temporary files.
    """

    def __init__(self, out: Path, record: RunRecord) -> None:
        self._out, self._aside, self._since = out, out / f"{ASIDE}.tmp-{os.getpid()}", time.monotonic()
        remove(self._aside)
        with os_errors_named(out):
            self._aside.mkdir()
            shutil.copy2(out / RECORD, self._aside)
        record.status = OVERWRITTEN
        record.save(out)
        self._move(out, self._aside)

    def settle(self) -> bool:
        """Delete it if the new run has worked for long enough to be kept, whatever happens; whether it has."""
        settled = time.monotonic() - self._since >= SETTLED
        if settled:
            self.delete()
        return settled

    def delete(self) -> None:
        remove(self._aside)

    def put_back(self) -> None:
        """Delete what the new run has written, and make the folder what it was; the record comes last."""
        for path in self._out.iterdir():
            if path.name not in (lock.NAME, RECORD, self._aside.name):
                remove(path)
        self._move(self._aside, self._out)
        with os_errors_named(self._out):
            rename(self._aside / RECORD, self._out / RECORD)
        self.delete()

    def _move(self, source: Path, to: Path) -> None:
        with os_errors_named(to):
            for path in list(source.iterdir()):
                if path.name not in (lock.NAME, RECORD, self._aside.name):
                    rename(path, to / path.name)


def empty_folder(
    out: Path, configs: Sequence[Config], command: str = "", noted: Sequence[Note] = ()
) -> Replaced | None:
    """Empty a folder: what a run has done there is moved aside, and deleted where it has done nothing.

    UserError if an input that ``configs``, ``command`` or ``noted`` name would be deleted, a model that it was made
    from or that a run named there has read, or anything else that the run in the folder has not written.
    """
    held = next(
        (file.parent for file in out.rglob(lock.NAME) if file.parent != out and lock.is_locked(file.parent)), None
    )
    if held:
        raise UserError(f"{held} is in use: wait for it, or choose another --out")
    for what, place in _inputs(out.resolve(), configs, command, noted):
        if out.resolve() in (place, *place.parents):
            raise UserError(f"{out} cannot be overwritten: it holds {what}")
    old = read_record(out)
    if old:
        others = sorted(map(str, foreign_entries(out, old)))
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            raise UserError(
                f"{out} cannot be overwritten: it also holds {', '.join(others[:3])}{more}, not written by its run of "
                f"{old.verb}: move that elsewhere, or choose another --out"
            )
        if not nothing_done(out):
            return Replaced(out, old)
    own = _own(old) if old else EVERY
    for path in out.iterdir():
        if path.name not in (lock.NAME, RECORD) and _is_own(path, own):
            remove(path)
    return None


def _own(record: RunRecord) -> set[str]:
    """The names of what a run writes directly into its folder."""
    return EVERY | WRITES.get(record.verb, set()) | {name.partition("/")[0] for name in record.files}


def _is_own(path: Path, own: set[str]) -> bool:
    """Whether what is directly in a run folder was written by its run, or is what a kill has left of it."""
    left = LEFTOVER.fullmatch(path.name)
    return path.name in own or (left is not None and left[1] in (*own, ASIDE))


def leftovers(folder: Path, record: RunRecord) -> Iterator[Path]:
    """What killed writers may have left in a run folder; not what a user has given such a name beside or inside it."""
    own = _own(record)
    for path in own_entries(folder):
        if _is_own(folder / path.relative_to(folder).parts[0], own):
            yield path


def foreign_entries(folder: Path, record: RunRecord) -> Iterator[Path]:
    """What is in a run folder and was not written by its run: other files, and runs that are part of no other.

    Only names are compared, those of checkpoints with the checksums that the run has of them; so nothing that a user
    has edited is noticed, and in the folder of a job only runs are, and what another tool has trained from an export.
    """
    own = _own(record)
    for path in folder.iterdir():
        if not _is_own(path, own):
            yield path
        elif path.name == "checkpoints" and not path.is_symlink():
            for checkpoint in path.iterdir():
                yield from _foreign_in(checkpoint, record)
    if record.verb == "sweep":
        yield from folder.glob("export/*/outputs")
    for file in folder.glob(f"*/**/{RECORD}"):
        left = LEFTOVER.fullmatch(file.relative_to(folder).parts[0])  # of a run that was killed while it overwrote
        if not left and not _is_job(file.parent, folder, record.verb):
            yield file.parent


def _foreign_in(checkpoint: Path, record: RunRecord) -> Iterator[Path]:
    """The checkpoint if its run has not saved it, or else the files in it that the run has not saved.

    Before a run is done, its last checkpoint may be one of which the record does not know yet.
    """
    saved = {PurePath(name).parent.name for name in record.files if PurePath(name).name == CHECKSUMS}
    unknown = saved and record.status == DONE and checkpoint.name not in saved
    if not CHECKPOINT.fullmatch(checkpoint.name) or (unknown and not LEFTOVER.fullmatch(checkpoint.name)):
        yield checkpoint
        return
    listing = checkpoint / CHECKSUMS
    if not checkpoint.is_symlink() and listing.is_file():
        lines = map(LINE.fullmatch, listing.read_text(encoding="utf-8", errors="replace").splitlines())
        known = {CHECKSUMS, CARD, BASE, *(line[2] for line in lines if line)}
        yield from (each for each in checkpoint.iterdir() if each.name not in known)


def _is_job(inner: Path, outer: Path, verb: str) -> bool:
    """Whether a run is where the run of a verb has its jobs, and one of them as far as its record can be read."""
    if len(inner.relative_to(outer).parts) != DEPTH_OF_JOBS.get(verb):
        return False
    with suppress(UserError):
        return RunRecord.load(inner).part_of == verb
    return True


def _inputs(out: Path, configs: Sequence[Config], command: str, noted: Sequence[Note]) -> Iterator[tuple[str, Path]]:
    """What an input of a run is, in words, and an absolute path that it needs: of each input, its links, what it was
    made from, and the models of runs in it."""
    for path in _paths_in([plain(list(configs)), [each.path for each in noted]]):
        models = [model for start in (path, *models_of_runs(path)) for model in models_behind(start)]
        for model in models:
            made = "" if model == path.resolve() else f"{model}, from which an input of this run was made, {path}"
            for place in (each for way in (path, model) for each in _places(way, out)):
                yield made or f"an input of this run, {path}", place
    for path in _paths_in(shlex.split(command)):
        yield from ((f"an input of this run, {path}", each.parent) for each in _steps(path))  # one of them is --out


def _places(path: Path, out: Path) -> Iterator[Path]:
    """All places that a file or a folder needs to be read: its own, and those of the links in it."""
    yield from _steps(path)
    for link in _links_in(path, 0 if path.resolve() in out.parents else DEEPEST, out):
        yield from _steps(link)


def _links_in(folder: Path, depth: int, out: Path) -> Iterator[Path]:
    """The links in a folder and ``depth`` levels below, but for those in ``out``; without depth, only links to files,
    since a folder that holds many things is an input for its tables at most."""
    with suppress(OSError):  # a file, or a folder that cannot be read
        for path in folder.iterdir():
            if path.is_symlink() and (depth or path.is_file()):
                yield path
            elif depth and path.is_dir() and path.resolve() != out:
                yield from _links_in(path, depth - 1, out)


def _steps(path: Path) -> Iterator[Path]:
    """The absolute path, each one that its links lead to, and where it ends."""
    yield path.resolve()
    step = Path(os.path.abspath(path))
    for _ in range(40):  # as many as Linux follows
        yield from (step, step.parent.resolve() / step.name)
        if not step.is_symlink():
            return
        step = step.parent / os.readlink(step)


def _paths_in(value: object) -> Iterator[Path]:
    """The existing files and folders that settings or the words of a command name, also in task sources."""
    for word in dict.fromkeys(_texts_in(value)):
        for text in (word, word.partition("=")[2]):
            head, _, query = text.partition("?")
            options = [option.partition("=") for option in query.split("&")]
            # any other option without a slash is a label, such as name=x
            named = [value for key, _, value in options if os.sep in value or key in ("model", "verifier")]
            named = [text, head, head.partition(":")[2], *named]
            code = [each.rpartition(":")[0] for each in named if ":" in each]
            named += [each for each in code if each.endswith(".py")]
            named += [each.replace(".", os.sep) + end for each in code for end in (".py", "/__init__.py")]
            yield from (Path(each) for each in map(os.path.expanduser, named) if each and os.path.exists(each))


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts_in(each)
    elif isinstance(value, str):
        yield value
