"""Read Parquet files with the values that were written: JSON inside them is decoded, and a 32-bit 0.1 is 0.1.

``datasets`` stores a column of mixed types as JSON text, which the Arrow type ``arrow.json`` or the metadata of
``datasets`` marks; values inside structs and lists may be stored in the same way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlready.core.errors import UserError
from rlready.runs.parquet import PER_ROW, BoundedParquet
from rlready.tasks.strictjson import Fields, Number, loads, refuse_unkeepable

if TYPE_CHECKING:
    import pyarrow as pa

JSON = "arrow.json"
Decoder = Callable[[Any], object]


class ParquetTable(BoundedParquet):
    """A file that is read in batches of rows; UserError if it cannot be read.

    ``columns`` are the names of its columns and of the fields of structs.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        if (twice := _named_twice(self.schema)) is not None:
            raise UserError(f"{file}: two columns are named {twice!r}; write it again with one name for each")
        features = _features(self.schema)
        self._decoders = {f.name: decode for f in self.schema if (decode := _decoder(f, features.get(f.name)))}
        self.columns = [f.name for f in self.schema]
        self.columns += [f"{f.name}.{part}" for f in self.schema for part in fields_of(f.type)]

    def find(self, name: str) -> list[str] | None:
        """The column ``name`` and, where dots lead inside it, the keys in it; None if there is no such column."""
        if name in self.schema.names:
            return [name]
        top, *keys = name.split(".")
        if not keys or top not in self.schema.names:
            return None
        kind = self.schema.field(top).type
        for key in keys if top not in self._decoders else ():  # the keys of JSON are known only from its rows
            if key not in fields_of(kind):
                return None
            kind = kind.field(key).type
        return [top, *keys]

    def complete(self, name: str) -> bool:
        """Whether the file's statistics say that a column has no null."""
        nulls = [c.statistics and c.statistics.null_count for c in self.chunks() if c.path_in_schema == name]
        return bool(nulls) and all(count == 0 for count in nulls)

    def has_texts(self, name: str) -> bool:
        """Whether a column holds plain texts."""
        import pyarrow as pa

        kind = self.schema.field(name).type if name in self.schema.names else None
        return kind in (pa.string(), pa.large_string()) and name not in self._decoders

    def batches(
        self, names: Sequence[str], per_row: int = 0
    ) -> Iterator[tuple[pa.RecordBatch, dict[str, list[object]]]]:
        """Batches of the columns ``names``, see `read`, and the decoded values of JSON columns.

        UserError with the row number for invalid JSON.
        """
        done = 0
        for name in names:
            if JSON in str(self.schema.field(name).type) and name not in self._decoders:
                kind = self.schema.field(name).type
                raise UserError(f"{self.file}: the column {name} holds JSON inside {kind}, which is not read")
        with self.refusing():
            for batch in self.read(names, per_row):
                widened = _usual_types(batch)
                decoded = {name: widened.column(name).to_pylist() for name in names if name in self._decoders}
                self._decode(decoded, done)
                yield widened, decoded
                done += batch.num_rows

    def rows(self) -> Iterator[Fields]:
        """All rows."""
        with self.refusing():
            for batch, decoded in self.batches(self.schema.names, PER_ROW):
                plain = self._plain(batch)
                for name, values in decoded.items():
                    for row, value in zip(plain, values, strict=True):
                        row[name] = value
                yield from plain

    def _plain(self, batch: pa.RecordBatch) -> list[Fields]:
        """The rows of a batch; UserError for a column with values that Python has not, such as the year 10000."""
        try:
            return [*batch.to_pylist()]
        except (ValueError, OverflowError):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                try:
                    column.to_pylist()
                except (ValueError, OverflowError) as error:
                    fix = "write it as text, or leave it out"
                    raise UserError(f"{self.file}: the column {name} cannot be read ({error}); {fix}") from None
            raise

    def _decode(self, decoded: dict[str, list[object]], done: int) -> None:
        for column, values in decoded.items():
            for at, value in enumerate(values):
                try:
                    values[at] = self._decoders[column](value)
                    refuse_unkeepable({column: values[at]})
                except (ValueError, RecursionError) as error:
                    row = f"{self.file} row {done + at + 1}"
                    raise UserError(f"{row}: the JSON of {column} cannot be kept: {error}") from None


def _features(schema: pa.Schema) -> Fields:
    """The features that ``datasets`` recorded for each column; empty if it did not write the file."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _decoder(field: pa.Field, feature: object) -> Decoder | None:
    """A function from the stored value of an Arrow field to the original one; None if they are the same."""
    import numpy as np
    import pyarrow as pa

    kind, noted = field.type, feature if isinstance(feature, dict) else {}
    named = getattr(kind, "extension_name", "") or (field.metadata or {}).get(b"ARROW:extension:name", b"").decode()
    if named == JSON or noted.get("_type") == "Json":
        return _unless_null(_value)
    if pa.types.is_float16(kind):
        return _unless_null(lambda value: Number(str(np.float16(value))))
    if pa.types.is_struct(kind):
        inner = {part.name: decode for part in kind if (decode := _decoder(part, noted.get(part.name)))}
        fields = _unless_null(lambda value: value | {key: decode(value[key]) for key, decode in inner.items()})
        return fields if inner else None
    if isinstance(kind, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        each = _decoder(kind.value_field, feature[0] if isinstance(feature, list) else noted.get("feature"))
        return _unless_null(lambda value: [each(item) for item in value]) if each else None
    return None


def _value(text: str) -> object:
    """Decode stored JSON; numbers and booleans stay text, because ``datasets`` writes "4" and 4 alike."""
    value = loads(text)
    return text if isinstance(value, (bool, int, float)) else value


def _unless_null(decode: Decoder) -> Decoder:
    return lambda value: None if value is None else decode(value)


def fields_of(kind: Any) -> list[str]:
    """The names of the fields of an Arrow struct; none for another type."""
    import pyarrow as pa

    return [part.name for part in kind] if pa.types.is_struct(kind) else []


def _named_twice(fields: Iterable[pa.Field]) -> str | None:
    """The first name that two of the fields have, or two inside one of them."""
    fields = list(fields)
    seen = Counter(field.name for field in fields)
    twice = (name for name, count in seen.items() if count > 1)
    return next(chain(twice, (name for each in fields if (name := _named_twice(_inner(each))) is not None)), None)


def _inner(field: pa.Field) -> list[pa.Field]:
    """The fields inside a field that is a struct, or a list or a map of them."""
    import pyarrow as pa

    kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
    if pa.types.is_map(kind):
        return [kind.item_field]
    return list(kind) if pa.types.is_struct(kind) else [kind.value_field] if hasattr(kind, "value_field") else []


def _usual_types(batch: pa.RecordBatch) -> pa.RecordBatch:
    """32-bit floats as 64-bit ones, converted through text (0.1, not 0.10000000149011612); views of texts as texts."""
    import pyarrow as pa

    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        text = _widened(field.type, pa.string())
        columns.append(column if text == field.type else column.cast(text).cast(_widened(field.type, pa.float64())))
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _widened(kind: Any, to: Any) -> Any:
    """An Arrow type with all 32-bit floats, also inside it, replaced by the type ``to``, views of texts by texts."""
    import pyarrow as pa

    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_float32(kind):
        return to
    if pa.types.is_struct(kind):
        return pa.struct([part.with_type(_widened(part.type, to)) for part in kind])
    if isinstance(kind, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        value = kind.value_field.with_type(_widened(kind.value_type, to))
        if isinstance(kind, pa.FixedSizeListType):
            return pa.list_(value, kind.list_size)
        return pa.large_list(value) if isinstance(kind, pa.LargeListType) else pa.list_(value)
    return kind
