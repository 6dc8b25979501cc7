"""Rows of JSONL, JSON, CSV and Parquet files, of a folder of them, or of a data set on the hub, each with its number.

A dot in the name of a column leads to a field inside a column: ``reward_model.ground_truth``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.runs.parquet import first_line
from rlready.tasks.csvrows import read_csv
from rlready.tasks.files import files_of, kind_of
from rlready.tasks.hub import read_hub
from rlready.tasks.jsonrows import LIST, read_json_rows, read_jsonl, refuse_binary
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.strictjson import Fields, Refused
from rlready.tasks.turns import chat_key

SHOWN = 5  # line numbers listed in an error


@dataclass(frozen=True)
class Origin:
    """Which table a row is from; ``unit`` says whether its rows are counted as lines or as rows."""

    where: str
    unit: str

    def place(self, line: int) -> str:
        return f"{self.where}:{line}" if self.unit == "line" else f"{self.where} row {line}"

    def lines(self, numbers: Sequence[int]) -> str:
        """ "lines 2, 5, 9, 11, 14, …": the first few of many."""
        more = ", …" if len(numbers) > SHOWN else ""
        return f"{self.unit}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN]))}{more}"

    def refuse_some(self, lines: Sequence[int], total: int, what: str, fix: str) -> None:
        """UserError naming ``lines`` of ``total``, if there are any."""
        if lines:
            count = f"{len(lines)} of {total} rows" if len(lines) > 1 else "a row"
            raise UserError(f"{self.where}: {count} without {what} ({self.lines(lines)}); {fix}")

    def no_column(self, column: str, names: Sequence[str]) -> UserError:
        """The error for a column that no row has; ``names`` are the columns that exist."""
        return UserError(f"{self.where}: no column {column!r}; {nearest(column, list(map(_shown, names)))}")


@dataclass(frozen=True)
class Table(Origin):
    """``rows`` are (line or row number from 1, values)."""

    rows: list[tuple[int, Fields]]

    def text(self, line: int, row: Fields, column: str) -> str:
        """A value that must be text; UserError if it is missing or of another type."""
        if not has_column(row, column):
            names = list(map(_shown, column_names(row)))
            raise UserError(f"{self.place(line)}: no column {column!r}; {nearest(column, names)}")
        value = value_of(row, column)
        if not isinstance(value, str):
            raise UserError(f"{self.place(line)}: {column} must be text, not {type(value).__name__}")
        return value

    def id(self, line: int, row: Fields, column: str) -> str | None:
        """An id, as `id_of` converts it; UserError for a value that cannot be an id."""
        try:
            return id_of(value_of(row, column), column)
        except Refused as error:
            raise UserError(f"{self.place(line)}: {error}") from None

    def need(self, column: str) -> None:
        """UserError if no row has the column."""
        if not any(has_column(row, column) for _, row in self.rows):
            raise self.no_column(column, column_names(self.rows[0][1]))

    def refuse(self, lines: Sequence[int], what: str, fix: str) -> None:
        """UserError naming ``lines``, if there are any."""
        self.refuse_some(lines, len(self.rows), what, fix)


def id_of(value: object, column: str) -> str | None:
    """An id as text: a text, a whole number in digits, or a list of turns by `chat_key`.

    None if it is null; Refused for anything else.  5.0 becomes "5", because tools turn a column of integers into floats
    when some are missing.  Spaces around a text do not count.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        return chat_key(value)
    if not isinstance(value, bool) and isinstance(value, int | float | Decimal) and value == value // 1:
        return str(int(value))
    raise Refused(f"{column} must be text or a whole number, not {str(value)[:40]!r}")


def has_column(row: Fields, column: str) -> bool:
    """Whether the row has the column, whose value may be null."""
    return column in row or _inside(row, column) is not None


def value_of(row: Fields, column: str) -> object:
    """The value of a column, or None if the row has no such column."""
    if column in row:
        return row[column]
    parent = _inside(row, column)
    return None if parent is None else parent[column.rpartition(".")[2]]


def read_table(path: str, *, config: str = "", split: str = "", revision: str = "") -> Table:
    """All rows of the table at ``path``; see `open_rows`."""
    origin, rows = open_rows(path, config=config, split=split, revision=revision)
    return Table(origin.where, origin.unit, list(rows))


def open_rows(
    path: str, *, config: str = "", split: str = "", revision: str = ""
) -> tuple[Origin, Iterator[tuple[int, Fields]]]:
    """The origin of the table at ``path``, and an iterator over its rows, each with its line or row number.

    A folder is a table in shards (`files_of`).  A path that does not exist but looks like owner/name is read from the
    hub: its configuration, split (by default train) and revision.  Raises UserError, with the line if there is one, for
    a file that is not a table and for values that cannot be represented: text that is not valid UTF-8, a key given
    twice, and deep nesting.
    """
    file = Path(path)
    by_line = file.is_file() and kind_of(file) not in (".parquet", ".json", ".csv", ".tsv")
    origin = Origin(str(file) if file.exists() else path, "line" if by_line else "row")
    if not file.exists():
        return origin, _rows(origin, enumerate(read_hub(path, config, split, revision), start=1))
    files = files_of(path, split)
    if special := next((each for each in files if not each.is_file()), None):
        raise UserError(f"{special}: not a file that can be read twice, such as a device or a pipe; save it as a file")
    if len(files) == 1:
        return origin, _rows(origin, _values(files[0]))
    return origin, _rows(origin, enumerate((value for each in files for _, value in _values(each)), start=1))


def _rows(origin: Origin, values: Iterable[tuple[int, object]]) -> Iterator[tuple[int, Fields]]:
    path, empty = origin.where, True
    try:
        for line, value in values:
            if not isinstance(value, dict):
                what = f"expected an object with named columns, not {type(value).__name__}"
                raise UserError(f"{origin.place(line)}: {what}{'; ' + LIST if origin.unit == 'line' else ''}")
            empty = False
            yield line, value
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or first_line(error)}") from None
    if empty:
        raise UserError(f"{path}: empty, it has no rows")


def _values(file: Path) -> Iterator[tuple[int, object]]:
    """The line or row number, from 1, and the value of every row of a file."""
    kind = kind_of(file)
    if kind == ".parquet":
        yield from enumerate(ParquetTable(file).rows(), start=1)
        return
    refuse_binary(file)
    yield from {".csv": read_csv, ".tsv": read_csv, ".json": read_json_rows}.get(kind, read_jsonl)(file)


def _inside(row: Fields, column: str) -> Fields | None:
    """The object that contains the last field of ``a.b.c``; None if there is none."""
    *path, last = column.split(".")
    value: object = row
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) and last in value else None


def column_names(row: Fields) -> list[str]:
    """Names of the columns and of the fields inside them."""
    return [*row, *(f"{column}.{key}" for column, value in row.items() if isinstance(value, dict) for key in value)]


def _shown(name: str) -> str:
    """The name of a column in a form that fits into one line of an error."""
    return name if name.isprintable() else repr(name)
