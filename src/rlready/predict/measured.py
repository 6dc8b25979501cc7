"""A run folder of readiness, as predict reads it: what it measured, under which settings, and where its checkpoints
are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from rlready.core.errors import UserError
from rlready.core.result import RESULT, Record, first_error
from rlready.readiness.part import Part
from rlready.readiness.result import ReadinessResult
from rlready.runs.checksums import has_listed
from rlready.runs.record import RECORD, RunRecord
from rlready.runs.results import refuse_damaged, way_back


class Settings(Record, extra="ignore"):
    """The settings of readiness that determine its samples and losses; None: not needed, as all samples are stored."""

    problems: str | None
    temperature: float
    thinking_budget: int | None
    max_answer_tokens: int | None
    answer_prefix: str
    apply_chat_template: bool = True
    delimiters: tuple[str, ...] = ()
    heldout: str | None
    samples: int

    @staticmethod
    def of(record: RunRecord, folder: Path) -> Settings:
        """The settings in a record; UserError if it is not that of a readiness run."""
        try:
            return Settings.model_validate(record.config)
        except ValidationError as error:
            raise UserError(f"{folder / RECORD}: config.{first_error(error)}") from None


@dataclass(frozen=True)
class Measured:
    """A run folder of readiness: its record, settings and result, and the measurements of each checkpoint.

    ``measured_as`` is what the run called a checkpoint that has another name in ``parts`` (`named_apart`).
    """

    folder: Path
    record: RunRecord
    config: Settings
    result: ReadinessResult
    parts: list[Part]
    measured_as: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def load(folder: Path) -> Measured:
        """Load a run folder; UserError if its result or parts are missing or do not belong together."""
        refuse_damaged(folder, folder / RESULT)
        result = ReadinessResult.load(folder)
        files = [folder / "parts" / f"{i}.json" for i in range(len(result.checkpoints))]
        for file in files:
            if not file.exists():
                raise UserError(f"{file}: missing from a run that has finished: {way_back(folder, file)}")
            refuse_damaged(folder, file)
        parts = [Part.from_file(file) for file in files]
        if [part.name for part in parts] != [checkpoint.name for checkpoint in result.checkpoints]:
            raise UserError(f"{folder}: its parts do not belong to its result; measure readiness again")
        record = RunRecord.load(folder)
        return Measured(folder, record, Settings.of(record, folder), result, parts)

    def renamed(self, names: Mapping[str, str]) -> Measured:
        """This run with other names for some of its checkpoints."""
        parts = [part.model_copy(update={"name": names.get(part.name, part.name)}) for part in self.parts]
        return replace(self, parts=parts, measured_as={new: old for old, new in names.items()})

    def place(self, part: Part) -> tuple[str, RunRecord | None]:
        """Where a checkpoint is, which is the same however it was called, and the record of the SFT run that saved it.

        Without the record: its own name, if it is no folder, or one that no other run has, if another model has taken
        its place since it was measured.
        """
        name = self.measured_as.get(part.name, part.name)
        path = self.record.located(self.folder, name)
        run = path.parent.parent
        if path.is_file() or not (path.parent.is_dir() or (run / RECORD).is_file()):
            return part.name, None
        record = RunRecord.load(run) if (run / RECORD).is_file() else None
        same = has_listed(path, self.content(part)) if path.is_dir() else None
        later = record is not None and record.start > self.record.start
        if later if same is None else not same:
            return f"{self.folder.resolve()}:{name}", None
        return os.path.abspath(path), record if record and record.verb == "sft" else None

    def content(self, part: Part) -> str | None:
        """The SHA-256 of a checkpoint that was measured."""
        name = self.measured_as.get(part.name, part.name)
        return next((each.sha256 for each in self.record.models if each.id == name), None)

    def model(self, part: Part) -> str:
        """What a command names to start from a checkpoint: its path from here, or what it was called."""
        path = self.record.located(self.folder, part.model)
        return os.path.relpath(path) if part.model and path.exists() and not os.path.isabs(part.model) else part.model


def named_apart(runs: Sequence[Measured]) -> list[Measured]:
    """The runs, in which checkpoints that were called alike but are in different folders, as they are where each run
    was started in another directory, have the paths of these for names."""
    places: dict[str, list[str]] = {}
    for run in runs:
        for part in run.parts:
            places.setdefault(part.name, []).append(os.path.realpath(run.place(part)[0]))
    alike = {name for name, found in places.items() if 1 < len(found) == len(set(found))}
    return [
        run.renamed({part.name: os.path.relpath(run.place(part)[0]) for part in run.parts if part.name in alike})
        for run in runs
    ]
