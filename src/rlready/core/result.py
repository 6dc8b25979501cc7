"""The base of typed results: records that a verb returns, writes as ``result.json``, and others read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rlready.core.errors import UserError
from rlready.core.regular import read_whole

RESULT = "result.json"
WARNING = "Warning: "  # begins a note that warns
R = TypeVar("R", bound="Result")


@dataclass(frozen=True)
class Table:
    """A table as it is printed: cells are text, one row as long as ``columns``.

    ``narrow`` names the columns, at most six, that are printed unless all are asked for; None for all.
    """

    columns: list[str]
    rows: list[list[str]]
    title: str = ""
    narrow: Sequence[str] | None = None

    def narrowed(self) -> Table:
        """The table with its narrow columns only."""
        if self.narrow is None:
            return self
        places = [self.columns.index(name) for name in self.narrow]
        rows = [[row[i] for i in places] for row in self.rows]
        return Table([self.columns[i] for i in places], rows, self.title)


class Record(BaseModel):
    """Base of all parts of results: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    @classmethod
    def from_file(cls, file: Path) -> Self:
        """Read a record from a JSON file; UserError says what is missing or wrong."""
        try:
            return cls.model_validate_json(read_whole(file), strict=True)
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}; name the folder of a finished run") from None
        except ValidationError as error:
            raise UserError(f"{file}: {first_error(error)}") from None


class TaskRecord(Record):
    """The problems that were used: their task ``source``, and a sentence that describes them."""

    source: str
    description: str


class Result(Record):
    """The result of one verb: ``headline`` is the outcome in at most 15 words, ``next_command`` is what to run next.

    ``next_action`` says in sentences what to do next, and why, where the command alone does not; ``notes`` are the
    sentences without which the headline would mislead: warnings, and what limits it.
    """

    verb: str
    headline: str
    notes: list[str] = []
    next_action: str = ""
    next_command: str = ""
    name: ClassVar[str] = RESULT

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read ``path``, a result file or a run folder with one; UserError says what is missing or wrong."""
        path = Path(path)
        return cls.from_file(path / cls.name if path.is_dir() else path)

    @property
    def picked(self) -> str:
        """The path of the checkpoint to go on from, as the result says; "" if it picks none."""
        return ""

    @property
    def saved(self) -> list[str]:
        """The paths of the checkpoints that the run has saved and the result tells to go on from."""
        return []

    def tables(self) -> list[Table]:
        """What the command line prints below the headline."""
        return []

    def remarks(self) -> list[str]:
        """Sentences that the command line prints below the tables."""
        return []


def with_warning(result: R, text: str) -> R:
    """The result with one more note, which warns; as it is without a text."""
    return result.model_copy(update={"notes": [*result.notes, f"{WARNING}{text}."]}) if text else result


def warnings_of(result: Result) -> list[str]:
    """The texts that `with_warning` has added to a result."""
    return [note.removeprefix(WARNING).removesuffix(".") for note in result.notes if note.startswith(WARNING)]


def first_error(error: ValidationError) -> str:
    """The first validation error in one line: where, what was expected, what was found, and how many more there are."""
    first, *more = error.errors(include_url=False)
    where = ".".join(map(str, first["loc"])) or "the file"
    found = " ".join(repr(first["input"]).split())
    said = first["type"] in ("missing", "schema") or isinstance(first["input"], bytes)  # without what was found
    shown = "" if said else f", not {found if len(found) <= 60 else found[:57] + '...'}"
    rest = f" ({len(more)} more)" if more else ""
    return f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}{rest}"
