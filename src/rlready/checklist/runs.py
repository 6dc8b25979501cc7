"""The runs in the folders that were named, with everything that bears on whether their records are evidence."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from urllib.parse import quote

from pydantic import JsonValue

from rlready.checklist.result import Evidence, Fact
from rlready.core.errors import UserError
from rlready.core.result import RESULT, Result
from rlready.runs.content import has_content
from rlready.runs.folders import folders_of_runs, status_of
from rlready.runs.provenance import package_version
from rlready.runs.record import DONE, EDITED, RECORD, SCHEMA, DataNote, ModelNote, Note, RunRecord, is_edited
from rlready.runs.results import load_result

SWEEP = "sweep"
# what a data set has, by its role
UNITS = {"sft": "rows", "worked rows": "rows", "held-out loss": "rows", "samples": "samples"}
BY_HAND = f"{RECORD} was edited by hand: its checksum does not match, and no item is answered from records"


@dataclass(frozen=True)
class Entry:
    """One run; ``status`` is "killed" where the process of an unfinished run has ended.

    ``part``: it is part of another run here.  ``counted``: no other run here has its seconds; the jobs of a sweep are
    counted, and not the sweep.
    """

    folder: Path
    record: RunRecord
    result: Result | None
    status: str
    part: bool = False
    counted: bool = True

    def of_record(self, key: str, value: object) -> Evidence:
        """Evidence in the record of the run."""
        return Evidence(file=str(self.folder / RECORD), key=key, value=str(value))

    def of_result(self, key: str, value: object) -> Evidence:
        """Evidence in the result of the run."""
        return Evidence(file=str(self.folder / RESULT), key=key, value=str(value))

    def setting(self, name: str) -> JsonValue:
        """A setting of the run; None if its verb has none of that name."""
        return self.record.config.get(name)


@dataclass(frozen=True)
class Told:
    """What only the author knows, from the answers file: texts by the name of a fact, and licences by asset."""

    file: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)

    def fact(self, name: str, title: str, missing: str) -> Fact:
        """A fact that is in no record."""
        text = self.facts.get(name, "")
        evidence = [Evidence(file=self.file, key=f"facts.{name}", value=text)] if text else []
        return Fact(name=title, text=text, evidence=evidence, missing="" if text else missing)


@dataclass(frozen=True)
class Runs:
    """All runs; ``notes`` say what is wrong with some, ``unread`` counts records and folders that cannot be read."""

    entries: list[Entry]
    notes: list[str]
    unread: int
    edited: bool
    told: Told = Told()

    @property
    def counted(self) -> list[Entry]:
        """The runs whose seconds add up to the total."""
        return [entry for entry in self.entries if entry.counted]

    @property
    def outermost(self) -> list[Entry]:
        """The runs that are part of no other."""
        return [entry for entry in self.entries if not entry.part]

    def data(self) -> Iterator[tuple[Entry, str, DataNote]]:
        """Every content of a data set once, with a run that has read it and its key in the record.

        Code of a setting is none.
        """
        seen = set[tuple[str, str, str | None]]()
        for entry in self.entries:
            for at, note in enumerate(entry.record.data):
                if (content := (note.id, note.role, note.sha256)) not in seen and not note.is_code:
                    seen.add(content)
                    yield entry, f"data[{at}]", note

    def models(self) -> Iterator[tuple[Entry, str, ModelNote]]:
        """Every content of a model once, by the first of its names, that none of these runs has made."""
        seen = set[str]()
        for entry in self.entries:
            for at, note in enumerate(entry.record.models):
                content = note.sha256 or note.id
                if content not in seen and not (note.path and self._made(entry, note.path, note.sha256)):
                    seen.add(content)
                    yield entry, f"models[{at}]", note

    def _made(self, reader: Entry, path: str, digest: str | None) -> bool:
        """Whether the model that a run has called ``path`` is in the folder of one of these runs.

        That is where it is now or, of a run that was copied with others, where these had it, with this content.
        """
        place = reader.record.located(reader.folder, path).resolve()
        if any(entry.folder.resolve() in place.parents for entry in self.entries):
            return True
        named = [(entry.folder, entry.record.folder) for entry in self.entries if entry.record.folder]
        there = (now / PurePath(path).relative_to(was) for now, was in named if PurePath(path).is_relative_to(was))
        return any(place.exists() and has_content(place, digest) for place in there)

    def readers(self, note: Note) -> str:
        """The runs that have read this content, in words, if others have read another by that name; "" otherwise."""
        read = defaultdict[str, dict[Path, None]](dict)
        for entry in self.entries:
            for each in entry.record.notes:
                if each.id == note.id and each.sha256:
                    read[each.sha256][entry.folder] = None
        return f", as read by {_listed([*read[note.sha256]])}" if note.sha256 and len(read) > 1 else ""


def collect(paths: Sequence[str], told: Told) -> Runs:
    """The runs in ``paths``, which are run folders or contain some, at any depth, also failed and unfinished ones.

    UserError for a path that does not exist or in which there is no run, and for a record that was named and cannot be
    read; one further inside is left out, and noted.
    """
    found, notes, unread, unlisted = dict[Path, Entry](), list[str](), list[Path](), list[str]()
    for path in map(Path, paths):
        for folder in folders_of_runs(path, unlisted.append):
            if folder.resolve() in found or folder in unread:
                continue
            try:
                found[folder.resolve()] = _entry(folder, notes)
            except UserError as error:
                if folder == path:
                    raise
                unread.append(folder)
                notes.append(f"{error}; the run is left out, so the total compute is incomplete")
    if not found:
        raise UserError(f"{paths[0]}: no record of a run in it can be read: {notes[0]}")
    entries = _without_copies(_without_doubles(list(found.values())), notes)
    notes += [f"{said}, so the total compute is incomplete" for said in unlisted]
    remarks = defaultdict[str, list[Path]](list)
    for entry in entries:
        for remark in _remarks(entry):
            remarks[remark].append(entry.folder)
    notes += [f"{_listed(folders)}: {remark}" for remark, folders in remarks.items()]
    return Runs(entries, notes, len(unread) + len(unlisted), BY_HAND in remarks, told)


def _listed(folders: list[Path]) -> str:
    """The folders, of which the first three by name."""
    more = f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return f"{', '.join(map(str, folders[:3]))}{more}"


def _entry(folder: Path, notes: list[str]) -> Entry:
    """A run; a result that cannot be read is noted, and left out."""
    record, result = RunRecord.load(folder), None
    status = status_of(folder, record).partition(":")[0]
    if status == DONE:
        try:
            result = load_result(folder)
        except UserError as error:
            notes.append(f"{error}; its figures are not used")
    return Entry(folder, record, result, status)


def _remarks(entry: Entry) -> Iterator[str]:
    """What the reader has to know of a run."""
    if entry.status != DONE:
        yield f"{entry.status}; counted in the compute, its figures are not used"
    if is_edited(entry.folder) or EDITED in entry.record.warnings:
        yield BY_HAND
    if entry.record.part_of and not entry.part:
        yield f"part of a {entry.record.part_of} that is not among these runs, whose other parts are not counted"
    if entry.record.schema_version < SCHEMA:
        yield "made by an earlier version, which did not record the runs that it replaced"
    elif entry.record.software.version != package_version("rlready"):
        yield f"made by rlready {entry.record.software.version}"


def _without_copies(entries: list[Entry], notes: list[str]) -> list[Entry]:
    """The entries without those that are copies of others, such as backups; the notes name each."""
    first = dict[str, Entry]()
    for entry in sorted(entries, key=lambda entry: not entry.part):  # a part stays in the run that contains it
        other = first.setdefault(entry.record.identity, entry)
        if other is not entry:
            notes.append(f"{entry.folder} is a copy of {other.folder}: the run is counted once")
    kept = {entry.folder for entry in first.values()}
    return [entry for entry in entries if entry.folder in kept]


def _without_doubles(entries: list[Entry]) -> list[Entry]:
    """The entries, of which those are not counted whose seconds others have.

    A run that is part of another is contained in that, except for a job of a sweep: jobs may have processes, nodes and
    devices of their own, of which the sweep, which waits for them, knows nothing.
    """
    at = {entry.folder.resolve(): entry for entry in entries}
    around = {entry.folder: [at[parent] for parent in place.parents if parent in at] for place, entry in at.items()}
    with_jobs = {o.folder for entry in entries if entry.record.part_of == SWEEP for o in around[entry.folder]}
    done = []
    for entry in entries:
        part = any(other.record.verb == entry.record.part_of for other in around[entry.folder])
        job = entry.record.part_of == SWEEP
        jobs = entry.record.verb == SWEEP and entry.folder in with_jobs
        done.append(replace(entry, part=part, counted=(job or not part) and not jobs))
    return done


def link_to(file: str, folder: Path) -> str:
    """The address of a file in a document in ``folder``: a relative path, so that both can be moved together."""
    return quote(os.fsencode(os.path.relpath(file, folder)))
