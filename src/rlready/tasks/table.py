"""Rows of JSONL, JSON and Parquet files, or of a data set on the hub, each with its line number.

A dot in the name of a column leads to a field inside a column: ``reward_model.ground_truth``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.tasks.parquet import ParquetTable, first_line
from rlready.tasks.strictjson import Fields, Refused, loads, may_be_unkeepable, refuse_unkeepable
from rlready.tasks.turns import chat_key

SHOWN = 5  # line numbers listed in an error
LIST, LINES = "for a list of objects, name the file .json", "for one object a line, name the file .jsonl"
RECORDS = 'to_json("rows.jsonl", orient="records", lines=True)'  # of a pandas.DataFrame
SEPARATED = re.compile(r"(?![\[{'#]).*[\t,;].*")  # a first line of CSV or TSV
NOT_TEXT = {  # the first bytes of files that are not UTF-8 text
    b"\x1f\x8b": "compressed with gzip; decompress it first (gunzip)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first (unzstd)",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"PAR1": "a Parquet file; name it .parquet",
    b"\xff\xfe": "UTF-16 or UTF-32 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


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
    when some are missing.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        return chat_key(value)
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise Refused(f"{column} must be text or a whole number, not {str(value)[:40]!r}")
    return str(int(value))


def has_column(row: Fields, column: str) -> bool:
    """Whether the row has the column, whose value may be null."""
    return column in row or _inside(row, column) is not None


def value_of(row: Fields, column: str) -> object:
    """The value of a column, or None if the row has no such column."""
    if column in row:
        return row[column]
    parent = _inside(row, column)
    return None if parent is None else parent[column.rpartition(".")[2]]


def read_table(path: str, *, name: str | None = None, split: str = "train") -> Table:
    """All rows of the table at ``path``; see `open_rows`."""
    origin, rows = open_rows(path, name=name, split=split)
    return Table(origin.where, origin.unit, list(rows))


def open_rows(
    path: str, *, name: str | None = None, split: str = "train"
) -> tuple[Origin, Iterator[tuple[int, Fields]]]:
    """The origin of the table at ``path``, and an iterator over its rows, each with its line or row number.

    A path that does not exist but looks like owner/name is read from the hub.  Raises UserError, with the line if there
    is one, for a file that is not a table and for values that cannot be represented: text that is not valid UTF-8, a
    key given twice, and deep nesting.
    """
    file = Path(path)
    by_line = file.is_file() and file.suffix not in (".parquet", ".json")
    origin = Origin(str(file) if file.exists() else path, "line" if by_line else "row")
    return origin, _rows(origin, file, name, split)


def _rows(origin: Origin, file: Path, name: str | None, split: str) -> Iterator[tuple[int, Fields]]:
    path, empty = origin.where, True
    try:
        if file.is_dir():
            raise UserError(f"{path}: a folder; name a file in it")
        if not file.exists():
            values: Iterable[tuple[int, object]] = enumerate(_read_hub(path, name, split), start=1)
        elif file.suffix == ".parquet":
            values = enumerate(ParquetTable(file).rows(), start=1)
        else:
            _refuse_binary(file)
            values = _read_json(file) if file.suffix == ".json" else _read_jsonl(file)
        for line, value in values:
            if not isinstance(value, dict):
                what = f"expected an object with named columns, not {type(value).__name__}"
                raise UserError(f"{origin.place(line)}: {what}{'; ' + LIST if origin.unit == 'line' else ''}")
            empty = False
            yield line, value
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or first_line(error)}") from None
    if empty:
        raise UserError(f"{path}: empty, there is no row in it")


def licence_beside(file: Path) -> str | None:
    """The first line of a LICENSE file in the folder of the data, else None."""
    folder = file.parent
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip("# ").strip() for line in lines if line.strip("# ").strip()), None)
    return None


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


def _refuse_binary(file: Path) -> None:
    with file.open("rb") as content:
        head = content.read(4)
    for start, what in NOT_TEXT.items():
        if head.startswith(start):
            raise UserError(f"{file}: {what}")


def _read_jsonl(file: Path) -> Iterator[tuple[int, object]]:
    """Line numbers and values; a single row is checked first, because it may be an object that holds all rows."""
    alone: tuple[int, object] | None = None
    count = 0
    with file.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            where = f"{file}:{number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise UserError(f"{where}: not UTF-8 text") from None
            if number == 1 and (file.suffix in (".csv", ".tsv") or SEPARATED.match(line)):
                how = "dtype=str, keep_default_na=False" + (r', sep="\t"' if "\t" in line else "")
                raise UserError(
                    f'{file}: looks like CSV or TSV; convert it: pandas.read_csv("{file}", {how}).{RECORDS}'
                )
            if line.strip():
                value = _json(line, where, f"each line must be one JSON object; {LIST}")
                if isinstance(value, dict) and may_be_unkeepable(line):
                    _examine(value, where)
                count += 1
                if count == 1:
                    alone = number, value
                    continue
                if alone:
                    yield alone
                    alone = None
                yield number, value
    if alone:
        value = alone[1]
        if isinstance(value, dict) and not any(isinstance(inner, str) for inner in value.values()):
            _refuse_wrapped(value, file)
        yield alone


def _read_json(file: Path) -> Iterator[tuple[int, object]]:
    text = file.read_text(encoding="utf-8-sig")
    rows = _json(text if text.strip() else "[]", str(file), LINES)
    _refuse_wrapped(rows, file)
    if not isinstance(rows, list):
        raise UserError(f"{file}: expected a list of objects, not {type(rows).__name__}; {LINES}")
    examined = may_be_unkeepable(text)
    for number, row in enumerate(rows, start=1):
        if examined and isinstance(row, dict):
            _examine(row, f"{file} row {number}")
        yield number, row


def _refuse_wrapped(value: object, file: Path) -> None:
    """UserError for an object that holds all rows, in a list or by column; it says how to unpack the object."""
    if not isinstance(value, dict) or not value:
        return
    held = list(value.values())
    by_index = [isinstance(column, dict) and column and all(key.isdecimal() for key in column) for column in held]
    texts = [isinstance(column, list) and len(column) > 1 and isinstance(column[0], str) for column in held]
    if all(by_index) or all(texts) or {"columns", "data"} <= value.keys():
        raise UserError(f"{file}: rows by column, as pandas writes them; write one a line instead: df.{RECORDS}")
    lists = [key for key in value if isinstance(value[key], list) and value[key]]
    if len(lists) == 1 and isinstance(first := value[lists[0]][0], dict) and not first.keys() & {"role", "from"}:
        take = f"jq -c {quote(f'.[{json.dumps(lists[0])}][]')} {quote(str(file))} > rows.jsonl"
        raise UserError(f"{file}: the rows are in the list {lists[0]!r}; take them out: {take}")


def _json(text: str, where: str, fix: str) -> Any:
    try:
        return loads(text)
    except json.JSONDecodeError as error:
        what = f"{error.msg.removesuffix(' at')} at column {error.colno}"
        raise UserError(f"{where}: not JSON ({what}); {fix}") from None
    except Refused as error:
        raise UserError(f"{where}: {error}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
        raise UserError(f"{where}: not JSON that can be read; {fix}") from None


def _examine(row: Fields, where: str) -> None:
    try:
        refuse_unkeepable(row)
    except Refused as error:
        raise UserError(f"{where}: {error}") from None


def _read_hub(path: str, name: str | None, split: str) -> Iterable[object]:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", path) or path.endswith((".jsonl", ".json", ".parquet")):
        raise UserError(f"{path}: no such file")
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{path}: no such file; to read a data set of that name from the hub: pip install 'rlready[hub]'"
        ) from None
    try:
        data: Iterable[object] = datasets.load_dataset(path, name, split=split)
    except Exception as error:  # the hub, the network and their libraries raise errors of many types
        raise UserError(f"{path}: cannot be loaded from the hub: {' '.join(str(error).split())[:200]}") from None
    return data
