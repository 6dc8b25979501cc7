"""The run folder of a verb and its ``record.json``: started, continued, found finished, or refused.

``with Run(out, "sft", config) as run:`` locks the folder for one process.  The same configuration continues a run
that was interrupted and finds a finished one (``run.finished``); any other content of the folder is refused.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from rlready.core.errors import UserError
from rlready.core.import_path import OnLoad, on_load
from rlready.core.options import to_toml
from rlready.core.progress import note
from rlready.core.result import RESULT, Result
from rlready.core.settings import Config
from rlready.runs import lock, provenance
from rlready.runs.files import LEFTOVER, clear_leftovers, os_errors_named, plain, write_json, write_text
from rlready.runs.provenance import content_digest
from rlready.runs.record import DONE, PRESET, RECORD, RUNNING, Attempt, DataNote, ModelNote, Note, RunRecord

SAVE_EVERY = 30.0  # seconds between saves of the counters
OTHER_FOLDER = "choose another --out, or delete it"
AnyNote = TypeVar("AnyNote", bound=Note)
C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Invocation:
    """How the outermost verb was called; ``origins`` says where each value of ``config`` came from."""

    command: str = "python API"
    config: object = None
    origins: Mapping[str, str] = field(default_factory=dict)


invocation: ContextVar[Invocation] = ContextVar("invocation", default=Invocation())  # noqa: B039 (frozen)
_running: ContextVar[Run | None] = ContextVar("running", default=None)


class Run:
    """One verb in one folder, from entering to leaving the ``with`` block."""

    record: RunRecord  # once entered
    _attempt: Attempt  # the last of the record's
    _earlier: RunRecord | None = None  # of the attempts before

    def __init__(self, out: Path, verb: str, config: object) -> None:
        self.out, self.verb, self.config = Path(out), verb, config
        self.finished = False
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> Run:
        with os_errors_named(self.out):
            self._refuse_foreign_files()
            self.out.mkdir(parents=True, exist_ok=True)
            self._lock = lock.lock_folder(self.out)
        try:
            earlier = self._earlier = self._read_earlier()
            if earlier:
                self._refuse_other(earlier)
                clear_leftovers(self.out)
            self.finished = earlier is not None and earlier.status == DONE and (self.out / RESULT).exists()
            if earlier and self.finished:
                self.record = earlier
                other = "" if earlier.revision == provenance.revision() else ", by another revision of the code"
                note(f"{self.out}: finished {earlier.end}{other}; nothing computed again")
            else:
                self._begin(earlier)
        except BaseException:
            os.close(self._lock)
            raise
        self._outer: Token[Run | None] = _running.set(self)
        self._observer: Token[OnLoad] = on_load.set(self._note_code)
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        _running.reset(self._outer)
        on_load.reset(self._observer)
        try:
            if not self.finished:
                self._end(error)
        finally:
            os.close(self._lock)

    def write_result(self, result: Result) -> None:
        """Store the verb's result."""
        write_json(self.out / RESULT, result)

    def resolve(self, config: C, preset: Mapping[str, object]) -> C:
        """``config`` with its open settings taken from ``preset``, which is recorded as their origin.

        Raises UserError if the attempt that this one continues had other values, such as another device.
        """
        for key, value in preset.items():
            earlier = self._earlier
            if earlier and earlier.origins.get(key) == PRESET and earlier.config[key] != plain(value):
                before = earlier.config[key]
                raise UserError(
                    f"{self.out} holds a run with {key} = {before!r}: set {key}={before}, or {OTHER_FOLDER}"
                )
        resolved = config.replace(**preset)
        self.record.config = plain(resolved)
        self.record.origins |= dict.fromkeys(preset, PRESET)
        self._save()
        write_text(self.out / "config.toml", to_toml(resolved))
        return resolved

    def count(self, name: str, n: int) -> None:
        """Add to a counter, such as tokens "generated" or "trained"; work that a kill discarded is counted too."""
        self._counts[name] += n
        if time.monotonic() - self._saved > SAVE_EVERY:
            self._save()

    def note_data(
        self,
        *,
        id: str,
        role: str,
        path: Path | None = None,
        sha256: str | None = None,
        size: int | None = None,
        licence: str | None = None,
    ) -> None:
        """Record a data set.  See ``note_model`` for ``path``."""
        digest, stated = sha256 or self._digest(path), licence or "unknown"
        added = DataNote(id=id, role=role, path=_text(path), sha256=digest, licence=stated, size=size)
        self._note(self.record.data, added)

    def note_model(
        self,
        *,
        id: str,
        role: str,
        path: Path | None = None,
        chat: dict[str, JsonValue] | None = None,
        learner: str | None = None,
    ) -> None:
        """Record a model.  With ``path`` the content is hashed, once in a run, and a later attempt that finds other
        content there is refused."""
        digest = self._digest(path)
        added = ModelNote(id=id, role=role, path=_text(path), sha256=digest, chat=chat, learner=learner)
        self._note(self.record.models, added)

    def _note_code(self, setting: str, path: str, file: Path) -> None:
        """Record the code that a setting names, such as a verifier; if it changes, the run is refused as for data."""
        if not self.finished:
            self.note_data(id=path, role=f"code of {setting}", path=file)

    def _note(self, notes: list[AnyNote], added: AnyNote) -> None:
        if added not in notes:  # a resumed run adds the same note again
            notes.append(added)
        self._save()

    def _digest(self, path: Path | None) -> str | None:
        """SHA-256 of the content of ``path``, from the record if this run has hashed it before."""
        if path is None:
            return None
        known = (each.sha256 for each in self.record.notes if each.path == str(path))
        return next(known, None) or content_digest(path)

    def _refuse_foreign_files(self) -> None:
        """UserError for a folder that holds files but no record of a run."""
        if self.out.is_dir() and not (self.out / RECORD).exists():
            foreign = [p.name for p in self.out.iterdir() if p.name != lock.NAME and not LEFTOVER.fullmatch(p.name)]
            if foreign:
                raise UserError(f"{self.out} is not empty ({min(foreign)}) and not a run folder: choose another --out")

    def _read_earlier(self) -> RunRecord | None:
        """The record of earlier attempts, or None; UserError if the file is not a record."""
        if not (self.out / RECORD).exists():
            return None
        try:
            return RunRecord.load(self.out)
        except UserError as error:
            raise UserError(f"{error}; it is not the record of a run: choose another --out") from None

    def _refuse_other(self, earlier: RunRecord) -> None:
        """UserError if the run has another verb or other settings, or if one of its inputs has changed since."""
        if earlier.verb != self.verb:
            raise UserError(f"{self.out} holds a run of {earlier.verb}, not {self.verb}: {OTHER_FOLDER}")
        for key in earlier.differences(self.config):
            values = f"{key} = {earlier.config.get(key)!r}, not {plain(self.config).get(key)!r}"
            raise UserError(f"{self.out} holds a run with {values}: {OTHER_FOLDER}")
        for each in earlier.notes:
            path = Path(each.path or "")
            if each.path and path.exists() and content_digest(path) != each.sha256:
                raise UserError(f"{self.out} holds a run whose input {path} has changed since: {OTHER_FOLDER}")

    def _begin(self, earlier: RunRecord | None) -> None:
        called, outer, now = invocation.get(), _running.get(), _now()
        attempts = earlier.attempts if earlier else []
        for attempt in attempts:
            attempt.status = "killed" if attempt.status == RUNNING else attempt.status
        self._clock, self._cpu = time.monotonic(), provenance.cpu_seconds()
        self._attempt = Attempt(start=now, command=called.command, revision=provenance.revision())
        config: dict[str, JsonValue] = plain(self.config)
        self.record = RunRecord(
            verb=self.verb,
            start=earlier.start if earlier else now,
            part_of=outer.verb if outer else None,
            command=called.command,
            revision=self._attempt.revision,
            config=config,
            origins=dict(called.origins) if called.config is self.config else dict.fromkeys(config, "caller"),
            seeds={key: config[key] for key in config if key.rpartition("_")[2] in ("seed", "seeds")},
            software=provenance.software(),
            host=provenance.host(),
            data=earlier.data if earlier else [],
            models=earlier.models if earlier else [],
            attempts=[*attempts, self._attempt],
        )
        if attempts:
            note(f"{self.out}: continuing a run that was {attempts[-1].status.partition(':')[0]}")
        self._save()
        write_text(self.out / "config.toml", to_toml(self.config))

    def _end(self, error: BaseException | None) -> None:
        self.record.end = _now()
        if error is None:
            self._save(DONE)
        else:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            with suppress(UserError):  # a full disk: the error itself matters more
                self._save("interrupted" if isinstance(error, KeyboardInterrupt) else f"failed: {why[:300]}")

    def _save(self, status: str = RUNNING) -> None:
        self._saved = time.monotonic()
        record, attempt = self.record, self._attempt
        record.status = attempt.status = status
        attempt.end = record.end
        attempt.seconds = round(time.monotonic() - self._clock, 3)
        attempt.cpu_seconds = round(provenance.cpu_seconds() - self._cpu, 3)
        attempt.counts = dict(self._counts)
        record.seconds = round(sum(each.seconds for each in record.attempts), 3)
        record.cpu_seconds = round(sum(each.cpu_seconds for each in record.attempts), 3)
        record.counts = dict(sum((Counter(each.counts) for each in record.attempts), Counter[str]()))
        record.accelerators = provenance.accelerators()
        record.kernels = provenance.kernels()
        record.peak_memory_bytes = provenance.peak_memory_bytes()
        write_json(self.out / RECORD, record)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
