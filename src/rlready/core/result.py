"""The base of typed results: records that a verb returns, writes as ``result.json``, and others read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from rlready.core.errors import UserError

RESULT = "result.json"


@dataclass(frozen=True)
class Table:
    """A table as it is printed: cells are text, one row as long as ``columns``."""

    columns: list[str]
    rows: list[list[str]]
    title: str = ""


class Record(BaseModel):
    """Base of all parts of results: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)

    @classmethod
    def from_file(cls, file: Path) -> Self:
        """Read a record from a JSON file; UserError says what is missing or wrong."""
        try:
            return cls.model_validate_json(file.read_bytes(), strict=True)
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}; name the folder of a finished run") from None
        except ValidationError as error:
            raise UserError(f"{file}: {first_error(error)}") from None


class TaskRecord(Record):
    """The problems that were used: their task ``source``, and a sentence that describes them."""

    source: str
    description: str


class Result(Record):
    """The result of one verb; ``headline`` states the outcome in a sentence."""

    verb: str
    headline: str
    name: ClassVar[str] = RESULT

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read ``path``, a result file or a run folder with one; UserError says what is missing or wrong."""
        path = Path(path)
        return cls.from_file(path / cls.name if path.is_dir() else path)

    def tables(self) -> list[Table]:
        """What the command line prints."""
        return []


def first_error(error: ValidationError) -> str:
    """The first validation error in one line: where, what was expected, what was found, and how many more there are."""
    first, *more = error.errors(include_url=False)
    where = ".".join(map(str, first["loc"])) or "the file"
    found = " ".join(repr(first["input"]).split())
    shown = "" if first["type"] == "missing" else f", not {found if len(found) <= 60 else found[:57] + '...'}"
    rest = f" ({len(more)} more)" if more else ""
    return f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}{rest}"
