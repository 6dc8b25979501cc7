"""The record of a run while the run goes on: what it reads, counts, warns of and writes; saved as it changes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from rlready.core.distributed import from_rank0, rank, refuse_differences
from rlready.core.messages import unrecorded, warn
from rlready.core.result import RESULT, Result
from rlready.core.settings import Config
from rlready.core.text import in_one_line
from rlready.runs import provenance
from rlready.runs.checksums import changed, checksums, inside, refuse_changed
from rlready.runs.content import content_digest
from rlready.runs.energy import EnergyMeter
from rlready.runs.files import plain, write_json
from rlready.runs.invocation import Invocation
from rlready.runs.licences import Source, output_licence
from rlready.runs.lineage import base_folder
from rlready.runs.lock import refuse_moved
from rlready.runs.overwrite import Replaced
from rlready.runs.places import directory_of
from rlready.runs.record import (
    CODE_OF,
    DEFAULT,
    RUNNING,
    Attempt,
    DataNote,
    ModelNote,
    Note,
    Overlap,
    RunRecord,
)
from rlready.runs.seen import Seen, refuse_others
from rlready.runs.stated_licence import NOT_STATED, Stated, licence_of, licence_of_model, licence_on_hub

BASE = "base of the adapter"  # the role of a model
# roles of the inputs from which a run makes its models or data
MADE_FROM = ("base", "start", BASE, "reference", "sft", "rl", "worked rows")
SAVE_EVERY = 30.0  # seconds between saves of the counters
LONGEST_WARNING = 1000  # characters that are recorded
AnyNote = TypeVar("AnyNote", bound=Note)


class Recorder:
    """Keeps the ``record`` of a run in the folder ``out``; nothing is written before the run has claimed that.

    Of several processes of a run (torchrun), rank 0 alone hashes and writes.

    ``finished``: the folder holds the result of this very run.  ``_attempt`` is the last attempt of the record,
    ``_inside`` the run of which this one is a job, and ``_replaced`` what stood in the folder if it can be put back.
    """

    record: RunRecord
    finished = False
    _inside: Recorder | None = None
    _replaced: Replaced | None = None
    _claimed = False
    _attempt: Attempt
    _meter: EnergyMeter | None = None
    _clock: float  # when the attempt began, in seconds
    _cpu: float  # seconds that the process had used by then
    _saved = 0.0

    def __init__(self, out: Path, verb: str) -> None:
        self.out, self.verb = Path(out), verb
        self._counts: Counter[str] = Counter()

    def _begin(self, config: Config, called: Invocation, earlier: RunRecord | None) -> None:
        """Set up the record of a new attempt, after the ``earlier`` ones; it is written when the folder is claimed."""
        begun = provenance.now()
        attempts = earlier.attempts if earlier else []
        for attempt in attempts:
            attempt.status = "killed" if attempt.status == RUNNING else attempt.status
        self._clock, self._cpu = time.monotonic(), provenance.cpu_seconds()
        self._begun = time.time()
        self._attempt = Attempt(start=begun, command=called.command, revision=provenance.revision())
        settings: dict[str, JsonValue] = plain(config)
        given = {key: "caller" if key in config.model_fields_set else DEFAULT for key in settings}
        self.record = RunRecord(
            verb=self.verb,
            start=earlier.start if earlier else begun,
            part_of=called.part_of,
            command=called.command,
            revision=self._attempt.revision,
            config=settings,
            origins=dict(called.origins) if called.config is config else given,
            seeds={key: settings[key] for key in settings if key.rpartition("_")[2] in ("seed", "seeds")},
            software=provenance.software(),
            host=provenance.host(),
            data=earlier.data if earlier else [],
            models=earlier.models if earlier else [],
            warnings=earlier.warnings if earlier else [],
            folder=str(self.out),
            directory=directory_of(self.out),
            files=earlier.files if earlier else {},
            overwritten=earlier.overwritten if earlier else [],
            attempts=[*attempts, self._attempt],
        )

    def count(self, name: str, n: int) -> None:
        """Add to a counter, such as tokens "generated" or "trained"; work that a kill discarded is counted too."""
        self._counts[name] += n
        self.keep()

    def keep(self) -> None:
        """Save counters and time if that is long ago, so that a kill loses little of them."""
        if time.monotonic() - self._saved > SAVE_EVERY or self.record.kernels_build != provenance.kernels():
            self._save()  # with the kernels, once they are known: a kill may leave a state that they computed

    def warn(self, text: str) -> None:
        """Warn of something about the run's inputs or its outcome, and record it."""
        with unrecorded():
            warn(f"{self.verb}: warning: {text}")
        self._record_warning(text)

    def _note_warning(self, text: str) -> None:
        """Record what something else warns of while the run goes on."""
        if not self.finished:
            text = text.removeprefix(f"{self.verb}: ").removeprefix("warning: ")
            self._record_warning(text.replace(": warning: ", ": ", 1))

    def _record_warning(self, text: str) -> None:
        text = in_one_line(text)[:LONGEST_WARNING]
        if text not in self.record.warnings:
            self.record.warnings.append(text)
            self._save()

    def _note_code(self, setting: str, path: str, file: Path) -> None:
        """Record the code that a setting names, such as a verifier; if it changes, the run is refused as for data."""
        if not self.finished:
            self.note_data(id=path, role=f"{CODE_OF}{setting}", path=file)

    def note_data(
        self,
        *,
        id: str,
        role: str,
        path: Path | None = None,
        sha256: str | None = None,
        size: int | None = None,
        licence: str | None = None,
        seen: Seen | None = None,
    ) -> DataNote:
        """Record a data set, with the ``licence`` that its task knows, or else the one stated at ``path``.

        See ``note_model`` for ``path``.  UserError if a file there has changed since this attempt began, or others are
        there than were ``seen`` when they were read: what was read need not be what is hashed.
        """
        stated = Stated(licence.lower(), "task") if licence else licence_of(path) if path else NOT_STATED
        digest = sha256 or self._digest(path)
        refuse_others(self.verb, seen, None if sha256 else path, self._begun)
        licence, where = stated
        added = DataNote(
            id=id, role=role, path=_text(path), sha256=digest, licence=licence, licence_from=where, size=size
        )
        self._note(self.record.data, added)
        return added

    def note_model(
        self,
        *,
        id: str,
        role: str,
        path: Path | None = None,
        chat: dict[str, JsonValue] | None = None,
        learner: str | None = None,
        seen: Seen | None = None,
    ) -> None:
        """Record a model, which was ``seen`` before it was loaded.  With ``path`` the content is hashed, once in a run,
        and a later attempt that finds other content there is refused; the same holds for the base of an adapter.  One
        with the content of an earlier one in this role is warned of."""
        self._note_model(ModelNote(id=id, role=role, path=_text(path), sha256=None, chat=chat, learner=learner))
        contents = {each.id: each.sha256 for each in self.record.models if each.role == role and each.sha256}
        first = next((each for each, digest in contents.items() if digest == contents.get(id)), id)
        if first != id:
            self.warn(f"{id} has the same content as {first}: if one is a copy, leave it out")
        if path and (base := base_folder(path)):
            name = str(base)
            self._note_model(ModelNote(id=name, role=BASE, path=name, sha256=None, chat=None, learner=None))
        refuse_others(self.verb, seen)

    def _note_model(self, model: ModelNote) -> None:
        path = Path(model.path) if model.path else None
        licence, where = licence_of_model(path) if path else licence_on_hub(model.id, "model")
        found = {"sha256": self._digest(path), "licence": licence, "licence_from": where}
        self._note(self.record.models, model.model_copy(update=found))

    def note_output_licence(self, *more: str) -> None:
        """Record under which licence the run's output may be published, once its inputs are noted; warn if hardly.

        ``more`` are roles of inputs of which it is made besides those of `MADE_FROM`.
        """
        roles = (*MADE_FROM, *more)
        made_from = [Source(id=each.id, licence=each.licence) for each in self.record.notes if each.role in roles]
        self.record.output_licence = output_licence(made_from)
        if self.record.output_licence.flags:
            self.warn(f"licence: {'; '.join(self.record.output_licence.flags)}")

    def note_overlap(self, found: Overlap) -> None:
        """Record how training and evaluation data overlap, in place of what an earlier attempt found."""
        pair = (found.training, found.held)
        others = [each for each in self.record.overlaps if (each.training, each.held) != pair]
        self.record.overlaps = [*others, found]
        self._save()

    def note_overlaps_of(self, folders: Iterable[Path]) -> None:
        """Record the overlaps that the runs in these folders, which are parts of this one, have found."""
        found = [each for folder in folders for each in RunRecord.load(folder).overlaps]
        for each in {(each.training, each.held): each for each in found}.values():
            self.note_overlap(each)

    def _note(self, notes: list[AnyNote], added: AnyNote) -> None:
        """Add a note, or replace the one of the same input, which a resumed run notes again."""

        def input_of(each: Note) -> tuple[str, ...]:
            return (each.id, each.role, each.path or "", each.sha256 or "")

        known = [input_of(each) for each in notes]
        at = known.index(input_of(added)) if input_of(added) in known else len(notes)
        notes[at : at + 1] = [added]
        self._save()

    def _refuse_other_data(self) -> None:
        """UserError if a process has read other data than rank 0, as on a machine with another file at the path."""
        mine = {each.path: each.sha256 or content_digest(Path(each.path)) for each in self.record.data if each.path}
        needed = from_rank0(lambda: mine)
        same = {path: mine.get(path, digest) for path, digest in needed.items()}
        refuse_differences("has read other data (SHA-256)", same, "all need the same files")

    def _digest(self, path: Path | None) -> str | None:
        """SHA-256 of the content of ``path``, from the record if this run has hashed it before."""
        if path is None or rank():
            return None
        known = (each.sha256 for each in self.record.notes if each.path == str(path))
        return next(known, None) or content_digest(path)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Record checksums of the file or folder that the block writes, for `refuse_changed`."""
        assert self._claimed
        if rank():
            yield
            return
        refuse_moved(self.out)
        self.forget(path)
        yield
        self.record.files |= checksums(self.out, path)
        self._save()
        run: Recorder | None = self
        while run:  # and those that this one is a job of
            if run._replaced and run._replaced.settle():
                run._replaced = None
            run = run._inside

    def write_result(self, result: Result) -> None:
        """Store the verb's result; the folder must have been claimed."""
        with self.writing(self.out / RESULT):
            write_json(self.out / RESULT, result)

    def forget(self, path: Path) -> None:
        """Drop the checksums of a file or folder, before it is written anew or removed."""
        if rank():
            return
        kept = {name: sha for name, sha in self.record.files.items() if not inside(name, self.out, path)}
        if kept != self.record.files:
            self.record.files = kept
            self._save()

    def changed(self, path: Path) -> bool:
        """Whether a file or folder is not there any more, or not what this run has written there."""
        return changed(self.out, path, self.record.files) is not None

    def refuse_changed(self, path: Path, advice: str) -> None:
        """UserError with ``advice`` if a file, or one in a folder, is not what this run has written there."""
        if rank() == 0:
            refuse_changed(self.out, path, self.record.files, advice)

    def _save(self, status: str = RUNNING) -> None:
        """Write the record, once the folder is claimed."""
        self._saved = time.monotonic()
        if not self._claimed or rank():
            return
        refuse_moved(self.out)
        record, attempt = self.record, self._attempt
        record.status = attempt.status = status
        attempt.end = record.end
        attempt.seconds = round(time.monotonic() - self._clock, 3)
        attempt.cpu_seconds = round(provenance.cpu_seconds() - self._cpu, 3)
        attempt.counts = dict(self._counts)
        attempt.processes, attempt.gpus = record.processes, record.gpus_used
        attempt.energy = self._meter.energy if self._meter else None
        record.seconds = round(sum(each.seconds for each in record.attempts), 3)
        record.cpu_seconds = round(sum(each.cpu_seconds for each in record.attempts), 3)
        record.counts = dict(sum((Counter(each.counts) for each in record.attempts), Counter[str]()))
        record.peak_memory_bytes = provenance.peak_memory_bytes()
        self._note_machine()
        record.save(self.out)
        if self._inside:  # its time goes on, too
            self._inside._save()

    def _note_machine(self, load_kernels: bool = False) -> None:
        """Record what computes, as far as it is known by now."""
        record = self.record
        record.accelerators = provenance.accelerators()
        record.kernels_build = provenance.kernels(load_kernels)
        record.kernels = record.kernels_build != "none" if record.kernels_build else None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
