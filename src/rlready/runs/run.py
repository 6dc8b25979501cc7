"""The run folder of a verb and its ``record.json``: started, continued, found finished, or refused.

``with Run(out, "sft", config) as run:`` locks the folder for one process.  The same configuration continues a run
that was interrupted and finds a finished one (``run.finished``); any other content of the folder is refused.  Nothing
is changed in the folder before `Run.claim`, which a verb calls once it has found its inputs to fit.

Of several processes that torchrun has started, rank 0 looks after the folder.  The others follow: they take over what
it has found there, and neither write nor hash anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rlready.core.distributed import (
    ProcessLost,
    from_rank0,
    is_launched,
    join,
    rank,
    refuse_differences,
    wait_for_all,
    why_lost,
    world_size,
)
from rlready.core.errors import UserError
from rlready.core.import_path import OnLoad, on_load
from rlready.core.messages import note, on_warning, unrecorded, warn
from rlready.core.options import to_toml
from rlready.core.result import RESULT, Result
from rlready.core.settings import Config
from rlready.core.stopping import expect_stop, stop_requested
from rlready.core.text import visible
from rlready.core.verbs import function
from rlready.runs import provenance
from rlready.runs.checksums import checksums, inside
from rlready.runs.continuing import changes, compare
from rlready.runs.energy import start_meter
from rlready.runs.files import clear_leftovers, os_errors_named, plain, remove, write_text
from rlready.runs.folders import PAGE, nothing_done, read_record, refuse_foreign_files, refuse_links
from rlready.runs.invocation import invocation
from rlready.runs.lock import held
from rlready.runs.log import DRAWN, LOG, sync_log
from rlready.runs.moved import rename_paths
from rlready.runs.overwrite import attempts_of, empty_folder, leftovers
from rlready.runs.record import CONFIG, DONE, EDITED, PRESET, RunRecord, is_edited
from rlready.runs.recorder import Recorder
from rlready.runs.results import checked, own_command

STATE = "state"  # what an unfinished run continues from, removed when it is done
C = TypeVar("C", bound=Config)
R = TypeVar("R", bound=Result)
_running: ContextVar[Run | None] = ContextVar("running", default=None)


class Run(Recorder):
    """One verb in one folder, from entering to leaving the ``with`` block."""

    _earlier: RunRecord | None = None  # of the attempts before
    _lengthened: Sequence[str] = ()  # settings with which it goes on for longer, in words

    def __init__(self, out: Path, verb: str, config: Config) -> None:
        super().__init__(out, verb)
        self.config = config

    def __enter__(self) -> Run:
        self._called, self._inside = invocation.get(), _running.get()
        if self._inside:
            self._called = replace(self._called, part_of=self._inside.verb)
        if is_launched() and not self.config.several_processes:
            raise UserError(f"rlready {self.verb} runs in one process: start it without torchrun")
        join()
        if rank() == 0:
            self._open()
        self.finished, self._earlier = from_rank0(lambda: (self.finished, self._earlier))
        if rank():
            self._follow()
        self._outer: Token[Run | None] = _running.set(self)
        self._observer: Token[OnLoad] = on_load.set(self._note_code)
        self._listener: Token[Callable[[str], None]] = on_warning.set(self._note_warning)
        return self

    def _open(self) -> None:
        """Lock the folder, and continue the run in it or set up a new one."""
        with os_errors_named(self.out):
            refuse_foreign_files(self.out)
            self._held = held(self.out)
        try:
            found = read_record(self.out)
            if found and not nothing_done(self.out) and not self._called.overwrite:
                self._earlier = self._accepted(found)
            if not self.finished:
                self._begin(self.config, self._called, self._earlier)
        except BaseException:
            self._leave_as_found()
            raise

    def _follow(self) -> None:
        """Take over the record that rank 0 has found; a new one is set up, but never written."""
        if self.finished and self._earlier:
            self.record = self._earlier
        else:
            self._begin(self.config, self._called, self._earlier)

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        _running.reset(self._outer)
        on_load.reset(self._observer)
        on_warning.reset(self._listener)
        known = error
        if isinstance(error, Exception) and stop_requested():  # a library has made an error of the interrupt
            known = KeyboardInterrupt()
        elif lost := why_lost(error):
            expect_stop()
            known = ProcessLost(lost)
        if rank() == 0:
            self._leave(known)
        elif self._claimed and isinstance(known, (UserError, KeyboardInterrupt)):
            self._say_how_to_continue(known)
        if error is None:
            wait_for_all()  # the folder is complete on all of them
        elif known is not error and known is not None:
            raise known from error

    def _leave(self, error: BaseException | None) -> None:
        if self._meter:
            self._meter.stop()
        if not self._claimed:
            self._leave_as_found()
            if self.finished and error is None:
                other = "" if self.record.revision == provenance.revision() else ", by another revision of the code"
                note(f"{self.out}: finished {self.record.end}{other}; nothing computed again")
            return
        try:
            if self._replaced and isinstance(error, UserError):
                self._replaced.put_back()
                note(f"{self.out}: the run that was there is left as it was")
                return
            self._end(error)
            if self._replaced:
                self._replaced.delete()
        finally:
            self._held.release()
        if isinstance(error, (UserError, KeyboardInterrupt)):
            self._say_how_to_continue(error)

    @property
    def continues(self) -> bool:
        """Whether the folder holds this run already, finished or not."""
        return self._earlier is not None

    def claim(self, jobs: Sequence[Config] = ()) -> None:
        """Take the folder for this run; call this once the inputs are found to fit, before anything is written.

        What is there of an earlier attempt stays, but for the result of a finished run; a run that is overwritten is
        deleted.  Raises UserError if an input of this run, or of its ``jobs``, would be deleted with it.
        """
        if stop_requested():  # and no interrupt has come through
            raise KeyboardInterrupt
        if world_size() > 1:
            self._refuse_other_data()
        if rank() == 0:
            self._claim(jobs)
        self._claimed, self.finished = True, False
        self.record = from_rank0(lambda: self.record)

    def _claim(self, jobs: Sequence[Config]) -> None:
        inside = self._inside and self._inside.verb != "sweep"  # of which the jobs are counted
        self._meter = None if inside else start_meter()
        edited = self._earlier is not None and is_edited(self.out)
        if self._earlier:
            refuse_links(self.out)
            clear_leftovers(leftovers(self.out, self._earlier))
            if self._earlier.folder not in ("", str(self.out)):
                rename_paths(self.out, self._earlier.folder)
            remove(self.out / RESULT)
            note(f"{self.out}: continuing a run that was {self._earlier.attempts[-1].status.partition(':')[0]}")
        else:
            old = read_record(self.out)
            if old and old.part_of and not self._called.part_of:
                raise UserError(f"{self.out} cannot be overwritten: it is part of a run of {old.part_of}")
            overwritten = attempts_of(self.out, old) if old else []
            self._replaced = empty_folder(self.out, (self.config, *jobs), self._called.command, self.record.notes)
            self.record.overwritten = overwritten
            if self._called.command and not self._inside:
                note(f"rlready {self.verb}: writing to {self.out}")
        if self.finished:
            self.finished = False
            self._begin(self.config, self._called, self._earlier)
        self._claimed = True
        for lengthened in self._lengthened:
            self.warn(lengthened)
        if edited:
            self.warn(EDITED)
        self.record.threads, self.record.cpu_capability = provenance.threads(), provenance.cpu_capability()
        self.record.processes = world_size()
        if self._earlier:
            self._note_machine(load_kernels=bool(self._earlier.kernels_build))
            changed = ", ".join(changes(self._earlier, self.record))
            if changed:  # recorded with what has changed
                self.warn(f"continuing with {changed}: results may differ from those of an unbroken run")
        self._save()
        write_text(self.out / CONFIG, to_toml(self.config))

    def stored(self, kind: type[R]) -> R:
        """The result of a finished run, which says so if its checkpoints are gone; UserError if it cannot be read."""
        try:
            result = kind.load(self.out)
        except UserError as error:
            raise UserError(f"{error}; {self._called.ways_on(self.out)}") from error
        return checked(result, self.out, self.record)

    def draw_page(self) -> None:
        """Draw the page of what is there so far; what keeps it from that is only warned of.

        It is removed when the run is done: the page of the result is drawn by the caller of the outermost run.
        """
        if rank():
            return
        with unrecorded():
            try:
                function("report")(self.out)
            except Exception as error:  # any: a page is not worth a run
                warn(f"{self.verb}: warning: the page of the run so far was not drawn: {type(error).__name__}: {error}")

    def resolve(self, config: C, preset: Mapping[str, object]) -> C:
        """``config`` with its open settings taken from ``preset``, which is recorded as their origin.

        Raises UserError if the attempt that this one continues had other values, such as another device, or another
        process has.
        """
        earlier = self._earlier
        for key, value in preset.items():
            if earlier and earlier.origins.get(key) == PRESET and (before := earlier.config[key]) != plain(value):
                ways = self._called.ways_on(self.out)
                raise UserError(f"{self.out} holds a run with {key} = {before!r}: set {key}={before}, or {ways}")
        self.config = resolved = config.replace(**preset)
        refuse_differences("has other presets", resolved.typed(), "all need the same model files and kind of device")
        self.record.config = plain(resolved)
        self.record.origins |= dict.fromkeys(preset, PRESET)
        return resolved

    def _accepted(self, earlier: RunRecord) -> RunRecord:
        """The record of a run that this one continues; UserError if it has another verb or settings, or if one of its
        inputs has changed since."""
        self.record, self.finished = earlier, earlier.status == DONE and os.path.lexists(self.out / RESULT)
        found = compare(earlier, self.verb, self.config)
        if found.refusal:
            same = earlier.command == self._called.command or not earlier.differences(self.config)  # refused as well
            command = "" if self.finished or same else own_command(self.out, earlier)
            goes_on = f"; to continue that run: {visible(command)}" if command else ""
            raise UserError(f"{self.out} holds {found.refusal}: {self._called.ways_on(self.out)}{goes_on}")
        if self.finished:
            self.refuse_changed(self.out / RESULT, self._called.ways_on(self.out))
        for each in found.moved:
            note(f"{self.out}: {each.path} has moved; its content is the same")
        self._lengthened = found.extended
        # what has moved is noted again, with its new path
        earlier.data = [each for each in earlier.data if each not in found.moved]
        earlier.models = [each for each in earlier.models if each not in found.moved]
        return earlier

    def _leave_as_found(self) -> None:
        if self.finished:  # and perhaps killed before this was removed
            remove(self.out / STATE)
        self._held.leave_as_found()

    def _say_how_to_continue(self, error: UserError | KeyboardInterrupt) -> None:
        """Raise the error again with the command that continues this run, unless it was called from Python or another
        run."""
        command = self._called.command
        if self._inside or not command:
            return
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"to continue: {command}") from None
        if not nothing_done(self.out):
            raise UserError(f"{error}; once this is fixed, to continue: {command}") from error

    def _end(self, error: BaseException | None) -> None:
        self.record.end = provenance.now()
        if error is None:
            sync_log(self.out / LOG)
            known, state = self.record.files, self.out / STATE
            self.record.files = {name: sha for name, sha in known.items() if not inside(name, self.out, state)}
            for name in DRAWN:
                self.record.files |= checksums(self.out, self.out / name)
            remove(self.out / PAGE)
            self._save(DONE)
            remove(self.out / STATE)
        else:
            why = " ".join(visible(f"{type(error).__name__}: {error}").split())  # it may quote what is no text
            with suppress(UserError):  # a full disk: the error itself matters more
                self._save("interrupted" if isinstance(error, KeyboardInterrupt) else f"failed: {why[:300]}")
            if (self.out / PAGE).exists() and not (self.out / RESULT).exists():  # whose page is not this one's to draw
                self.draw_page()
