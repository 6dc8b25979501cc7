"""``record.json``: what ran, with what, from where, and for how long, over all attempts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from rlready.core.result import Record
from rlready.core.settings import Config
from rlready.runs.files import plain, read_json, to_json, write_json
from rlready.runs.licences import UNKNOWN, OutputLicence
from rlready.runs.places import located

RECORD = "record.json"
CONFIG = "config.toml"
DONE = "done"
RUNNING = "running"
OVERWRITTEN = "overwritten"
DEFAULT = "default"  # the origin of a setting that was not given
PRESET = "preset"  # the origin of a setting that was chosen for the model
EDITED = f"{RECORD} was edited before the run was continued"  # a warning
CODE_OF = "code of "  # begins the role of code that a setting names, such as a verifier
LEFT_OPEN = (None, "auto")
SCHEMA = 3  # of this file; raised when a version writes what earlier ones cannot read
SEALED = 3  # the first schema whose records all have a checksum
BY_HAND = f"{RECORD} was edited by hand, as its checksum says, so that no file here need be what the run has written"


def _readable(version: int) -> int:
    if version > SCHEMA:
        raise PydanticCustomError("schema", "A newer version of rlready wrote this; upgrade")
    return version


def sealed(content: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The content of a record with its checksum, by which an edit by hand is noticed; it is no protection."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return rest | {"sha256": hashlib.sha256(to_json(rest).encode()).hexdigest()}


def is_edited(folder: Path) -> bool:
    """Whether ``record.json`` is not as the run has written it; False for the record of a version without checksum."""
    content = read_json(folder / RECORD)
    unsealed = content.get("schema_version", 1) < SEALED and not content.get("sha256")
    return not unsealed and content != sealed(content)


class Revision(Record):
    """The commit of the package's checkout; ``dirty``: with uncommitted changes."""

    commit: str
    dirty: bool

    def __str__(self) -> str:
        return self.commit[:12] + " with uncommitted changes" * self.dirty


class Software(Record):
    """Versions of this package, of Python, and of the packages that results depend on; None if not installed."""

    version: str | None
    python: str
    packages: dict[str, str | None]


class Host(Record):
    """The class of machine, without its name and the name of the user."""

    cpu: str
    cores: int | None
    memory_bytes: int
    os: str
    machine: str


class Accelerator(Record):
    """A GPU; ``peak_allocated_bytes`` is the most of its memory that tensors of this process have taken."""

    model: str
    memory_bytes: int
    peak_allocated_bytes: int = 0


class Note(Record):
    """An input of the run: its role, and the SHA-256 of its content if it is on this machine.

    ``licence`` is an id of the Hugging Face hub or the name of a licence, or "unknown"; ``licence_from`` is where it is
    stated, such as "README.md".
    """

    id: str
    role: str
    path: str | None
    sha256: str | None
    licence: str = UNKNOWN
    licence_from: str = ""

    @property
    def is_code(self) -> bool:
        return self.role.startswith(CODE_OF)


class DataNote(Note):
    """A data set; ``size``: its rows or problems."""

    size: int | None


class ModelNote(Note):
    """A model; ``chat``: how its chat template was interpreted; ``learner``: which learner trained it."""

    chat: dict[str, JsonValue] | None
    learner: str | None


class Overlap(Record):
    """How many of ``n`` items that a model is measured on, ``held``, overlap with the ``n_training`` of ``training``.

    Both are ids of data.  Prompts are compared: ``exact`` counts those that are equal up to white space, ``near`` those
    that are near-duplicates, and ``shared_ngram`` those that share 13 words in a row with one that was trained on
    (`tasks/ngrams.py` has the definitions and sources); each count includes the exact ones.  ``same_template`` counts
    generated problems whose graph, without names and numbers, is that of a training problem.  None: not counted,
    because the training data are not at hand or too large, or not generated.
    """

    training: str
    held: str
    n_training: int
    n: int
    exact: int
    shared_ngram: int | None
    near: int | None
    same_template: int | None


class Energy(Record):
    """The energy of an attempt as ``tool`` has measured it, and its emissions by the power mix of ``country``."""

    kwh: float
    kg_co2e: float
    country: str
    tool: str


class Attempt(Record):
    """One execution of the command; see `RunRecord` for ``status`` and the units.

    ``processes`` and ``gpus`` are how many of each it computed on; None in records of earlier versions.
    """

    model_config = ConfigDict(frozen=False)

    start: str
    command: str
    revision: Revision | None
    end: str | None = None
    status: str = RUNNING
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    counts: dict[str, int] = Field(default_factory=dict)
    energy: Energy | None = None
    processes: int | None = None
    gpus: int | None = None


class RunRecord(Record):
    """The record of a run; it changes until the run ends.

    ``revision``, ``software``, ``host``, ``accelerators``, the number of ``processes`` (several under torchrun),
    torch's number of ``threads`` and instruction set ``cpu_capability``, and the compiler and digest of the kernels,
    ``kernels_build`` ("none" without kernels), are those of the last attempt; what had been another before,
    `continuing.changes`, stands in ``warnings``.

    ``status`` is "running", "done", "interrupted", "overwritten" while the folder is emptied for another run, or
    "failed: " with the reason; of an attempt also "killed".  ``command`` starts or continues the run.
    ``start`` and ``end`` are times in UTC; ``seconds``, ``cpu_seconds`` and ``counts``, such as tokens "generated" and
    "trained", are sums over ``attempts``.  ``part_of`` is the verb of which this is a job, None for none;
    ``origins`` says where the value of each setting came from; ``kernels`` is whether the package's compiled
    kernels were used, None if they were not needed; ``warnings`` are those about the run's data and outcome.
    ``folder`` is the run folder as it was named, with which paths in the run's files begin, and ``directory`` is the
    one from which it was named (`places.directory_of`); ``files`` are checksums of files that are read again
    (`runs/checksums.py`).  ``output_licence`` follows from the licences of the inputs; None if the run makes neither
    models nor data.  ``overlaps`` are those of training and evaluation data.  ``overwritten`` are the attempts of the
    runs that this one has replaced in its folder; no sum contains them.  ``sha256`` is that of the rest of the record.
    """

    model_config = ConfigDict(frozen=False)

    schema_version: Annotated[int, AfterValidator(_readable)] = SCHEMA
    verb: str
    status: str = RUNNING
    start: str
    end: str | None = None
    part_of: str | None
    command: str
    revision: Revision | None
    config: dict[str, JsonValue]
    origins: dict[str, str]
    seeds: dict[str, JsonValue]
    software: Software
    host: Host
    data: list[DataNote]
    models: list[ModelNote]
    attempts: list[Attempt]
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    counts: dict[str, int] = Field(default_factory=dict)
    accelerators: list[Accelerator] = Field(default_factory=list)
    processes: int = 1
    threads: int | None = None
    cpu_capability: str | None = None
    kernels: bool | None = None
    kernels_build: str | None = None
    warnings: list[str] = Field(default_factory=list)
    peak_memory_bytes: int = 0
    folder: str = ""
    directory: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    output_licence: OutputLicence | None = None
    overlaps: list[Overlap] = Field(default_factory=list)
    overwritten: list[Attempt] = Field(default_factory=list)
    sha256: str = ""

    def save(self, folder: Path) -> None:
        """Write the record into a run folder."""
        write_json(folder / RECORD, sealed(plain(self)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The record of a run folder; UserError where there is none, or it is not the record of a run."""
        return cls.from_file(folder / RECORD)

    @property
    def all_attempts(self) -> list[Attempt]:
        """Those of the runs that were replaced in the folder, then those of this run."""
        return [*self.overwritten, *self.attempts]

    @property
    def identity(self) -> str:
        """What two records share only if the folder of one is a copy of the other's: the times of all attempts.

        Settings may hold paths, which a copy that was continued under its own name has rewritten.
        """
        times: list[JsonValue] = [[each.start, each.end, each.seconds, each.cpu_seconds] for each in self.all_attempts]
        return to_json([self.verb, self.part_of, times or [self.start, self.config]])

    @property
    def shared_with_copies(self) -> list[str]:
        """What only a copy of the folder can have, too, also one that both went on from since: times of each attempt.

        Not those of a moment in records of versions whose clock had whole seconds.
        """
        precise = [each for each in self.all_attempts if "." in each.start or each.seconds >= 1]
        return [to_json([self.verb, each.start, each.end, each.seconds, each.cpu_seconds]) for each in precise]

    @property
    def notes(self) -> list[Note]:
        """What the run has read."""
        return [*self.models, *self.data]

    @property
    def short_status(self) -> str:
        """The status without the reason for it."""
        return self.status.partition(":")[0]

    @property
    def gpus_used(self) -> int:
        """How many GPUs the run computed on, one for each process; the ``accelerators`` are all that it could see."""
        return self.processes if str(self.config.get("device")).startswith("cuda") else 0

    def located(self, folder: Path, name: str) -> Path:
        """The path that this run, which now is in ``folder``, has called ``name``; see `places.py`."""
        return located(name, was=self.folder, directory=self.directory, now=folder)

    def differences(self, config: Config) -> list[str]:
        """The settings in which this run differs from ``config``; settings left open match what was chosen for them.

        A setting that is newer than the run had its default value, which is what runs did before there was the setting;
        one that there is no more makes no difference if it had its default value.
        """
        asked: dict[str, JsonValue] = plain(config)
        fields, given = type(config).model_fields, config.model_fields_set
        had = {name: plain(fields[name].default) for name in asked if not fields[name].is_required()} | self.config
        return [
            key
            for key in had
            if (had[key] != asked[key] if key in asked else self.origins.get(key) != DEFAULT)
            and not ((asked.get(key) in LEFT_OPEN or key not in given) and self.origins.get(key) == PRESET)
        ]
