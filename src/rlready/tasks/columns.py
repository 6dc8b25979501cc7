"""A table read by column in batches of rows, so that a million rows take little memory and few Python objects.

A column is an Arrow array, or a list if the file is JSON.  Conversions run once for each distinct value of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rlready.core.errors import UserError
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.strictjson import Fields, Refused
from rlready.tasks.table import Origin, column_names, has_column, open_rows, value_of

if TYPE_CHECKING:
    import pyarrow as pa

Column: TypeAlias = "pa.Array | list[Any]"
ROWS = 2048  # of JSON at a time: objects in Python
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """A batch of N rows: ``lines`` (N,) are their line or row numbers from 1.

    ``columns`` are the requested columns that exist, ``named`` the names of all columns of the table.
    """

    origin: Origin
    lines: Ints
    columns: Mapping[str, Column]
    named: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.lines)

    @staticmethod
    def of(origin: Origin, lines: Sequence[int], rows: Sequence[Fields], names: Sequence[str]) -> Batch:
        """The columns ``names`` of rows that are dictionaries."""
        there = set().union(*rows)
        columns = {}
        for name in names:
            if "." in name:
                if any(has_column(row, name) for row in rows):
                    columns[name] = [value_of(row, name) for row in rows]
            elif name in there:
                columns[name] = [row.get(name) for row in rows]
        return Batch(origin, np.array(lines, dtype=np.int64), columns, column_names(rows[0]) if rows else ())

    def take(self, index: Ints) -> Batch:
        """The rows at ``index``, in that order."""
        columns = {
            name: [column[i] for i in index] if isinstance(column, list) else column.take(index)
            for name, column in self.columns.items()
        }
        return replace(self, lines=self.lines[index], columns=columns)

    def has_texts(self, name: str) -> bool:
        """Whether a column holds only texts and nulls; True for a missing column."""
        import pyarrow as pa

        column = self.columns.get(name)
        if column is None or isinstance(column, list):
            return all(value is None or isinstance(value, str) for value in column or ())
        return column.type in (pa.string(), pa.large_string(), pa.null())

    def values(self, name: str, index: Ints) -> list[Any]:
        """The values of a column at some rows; None where there is no such column."""
        column = self.columns.get(name)
        if column is None:
            return [None] * len(index)
        return [column[i] for i in index] if isinstance(column, list) else column.take(index).to_pylist()

    def distinct(self, name: str) -> tuple[Ints, list[Any]]:
        """(codes (N,), values): each row has ``values[code]``; a missing column is null.

        Values are in the order of their first appearance; values that cannot be hashed are repeated for every row.
        """
        column = self.columns.get(name)
        if column is None:
            return np.zeros(len(self), dtype=np.int64), [None]
        return _distinct_values(column) if isinstance(column, list) else _distinct_array(column)

    def map(self, name: str, convert: Callable[[Any], Any], dtype: DTypeLike) -> NDArray[Any]:
        """(N,) values converted by ``convert``; UserError with the line number if it raises Refused, or for a number
        that is too large for ``dtype``."""
        codes, values = self.distinct(name)
        made = np.empty(len(values), dtype=dtype)
        for code, value in enumerate(values):
            try:
                made[code] = convert(value)
            except (Refused, OverflowError) as error:
                line = int(self.lines[np.argmax(codes == code)])
                why = error if isinstance(error, Refused) else f"{name} = {str(value)[:40]} is too large"
                raise UserError(f"{self.origin.place(line)}: {why}") from None
        return made[codes]

    def lists(self, name: str, kind: type[int] | type[float]) -> tuple[Ints, NDArray[Any]]:
        """(lengths (N,), all items (sum of lengths,)) of a column of lists of numbers; length -1 for null.

        UserError with the line number for a value that is not a list of whole numbers (int) or of numbers (float).
        """
        column = self.columns.get(name)
        if column is None:
            return np.full(len(self), -1, dtype=np.int64), np.empty(0)
        return _numbers_of(column, kind) or self._checked_lists(name, column, kind)

    def _checked_lists(self, name: str, column: Column, kind: type[int] | type[float]) -> tuple[Ints, NDArray[Any]]:
        allowed, what = (int, "whole numbers") if kind is int else ((int, float), "numbers")
        values = column if isinstance(column, list) else column.to_pylist()
        for line, value in zip(self.lines, values, strict=True):
            if value is not None and not (isinstance(value, list) and all(isinstance(item, allowed) for item in value)):
                place = self.origin.place(int(line))
                raise UserError(f"{place}: {name} must be a list of {what}, not {str(value)[:40]!r}")
        lengths = np.array([-1 if value is None else len(value) for value in values], dtype=np.int64)
        try:
            return lengths, np.array([float(item) for value in values if value for item in value])
        except OverflowError:
            raise UserError(f"{self.origin.where}: a number of {name} is too large") from None


def read_batches(path: str, names: Sequence[str]) -> Iterator[Batch]:
    """The columns ``names`` of a table, as `table.read_table` reads it: with the same formats and errors."""
    if Path(path).suffix == ".parquet" and Path(path).is_file():
        yield from _parquet_batches(ParquetTable(Path(path)), names)
        return
    origin, rows = open_rows(path)
    while some := list(islice(rows, ROWS)):
        lines, values = zip(*some, strict=True)
        yield Batch.of(origin, lines, values, names)


def _parquet_batches(table: ParquetTable, names: Sequence[str]) -> Iterator[Batch]:
    origin, done = Origin(str(table.file), "row"), 0
    where = {name: found for name in names if (found := table.find(name))}
    for batch, decoded in table.batches(sorted({top for top, *_ in where.values()})):
        columns: dict[str, Column] = {}
        for name, (top, *inside) in where.items():
            column = decoded[top] if top in decoded else batch.column(top)
            for key in inside:
                column = _field(column, key)
            columns[name] = column
        yield Batch(origin, np.arange(done + 1, done + batch.num_rows + 1), columns, table.columns)
        done += batch.num_rows
    if not done:
        raise UserError(f"{origin.where}: empty, it has no rows")


def _field(column: Column, key: str) -> Column:
    """The field ``key`` of a column of objects."""
    import pyarrow.compute as pc

    if isinstance(column, list):
        return [value.get(key) if isinstance(value, dict) else None for value in column]
    return pc.struct_field(column, [key])


def _distinct_array(column: pa.Array) -> tuple[Ints, list[Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    try:
        found = pc.dictionary_encode(column, null_encoding="encode")
    except pa.ArrowNotImplementedError:  # lists and structs
        return _distinct_values(column.to_pylist())
    return found.indices.to_numpy().astype(np.int64), found.dictionary.to_pylist()


def _distinct_values(values: list[Any]) -> tuple[Ints, list[Any]]:
    codes: dict[tuple[type, Any], int] = {}  # the type, as True == 1 == 1.0
    try:
        index = [codes.setdefault((value.__class__, value), len(codes)) for value in values]
    except TypeError:  # a list or an object among them
        return np.arange(len(values)), values
    return np.array(index, dtype=np.int64), [value for _, value in codes]


def _numbers_of(column: Column, kind: type[int] | type[float]) -> tuple[Ints, NDArray[Any]] | None:
    """As `Batch.lists` if the Arrow type guarantees that all items are such numbers; else None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        array = pa.array(column) if isinstance(column, list) else column
    except (pa.ArrowException, OverflowError):
        return None
    if not isinstance(array, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        return None
    items, inner = array.flatten(), array.type.value_type
    number = pa.types.is_integer(inner) or pa.types.is_boolean(inner)
    if items.null_count or not (number or (kind is float and pa.types.is_floating(inner))):
        return None
    lengths = pc.fill_null(pc.list_value_length(array), -1)
    return lengths.to_numpy().astype(np.int64), items.to_numpy(zero_copy_only=False)
