"""Read Parquet files with the values that were written: JSON inside them is decoded, and a 32-bit 0.1 is 0.1.

``datasets`` stores a column of mixed types as JSON text, which the Arrow type ``arrow.json`` or the metadata of
``datasets`` marks; values inside structs and lists may be stored in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlready.core.errors import UserError
from rlready.tasks.strictjson import Fields, Number, loads, refuse_unkeepable

if TYPE_CHECKING:
    import pyarrow as pa

JSON = "arrow.json"
ROWS, BYTES = 1 << 17, 1 << 25  # read at a time: at most so many rows, and about so many bytes
AT_ONCE = 1 << 28  # bytes that a batch has at most, if each of its texts is as long as the longest in a dictionary
TIMES, LEAST = 100, 1 << 30  # a file may hold so many times its own size, or so many bytes
NESTED = 8  # times that limit is allowed if every text of a list is as long as the longest in a dictionary
PER_ROW = 400  # bytes of a row of Python objects without its values
Decoder = Callable[[Any], object]


class ParquetTable:
    """A file that is read in batches of rows; UserError if it cannot be read.

    ``columns`` are the names of its columns and of the fields of structs.
    """

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self.file = file
        with self._refusing():
            self._content = pq.ParquetFile(file)
            self._schema = self._content.schema_arrow
        features = _features(self._schema)
        self._decoders = {f.name: decode for f in self._schema if (decode := _decoder(f, features.get(f.name)))}
        self.columns = [f.name for f in self._schema]
        self.columns += [f"{f.name}.{part}" for f in self._schema for part in fields_of(f.type)]

    def find(self, name: str) -> list[str] | None:
        """The column ``name`` and, where dots lead inside it, the keys in it; None if there is no such column."""
        if name in self._schema.names:
            return [name]
        top, *keys = name.split(".")
        if not keys or top not in self._schema.names:
            return None
        kind = self._schema.field(top).type
        for key in keys if top not in self._decoders else ():  # the keys of JSON are known only from its rows
            if key not in fields_of(kind):
                return None
            kind = kind.field(key).type
        return [top, *keys]

    def complete(self, name: str) -> bool:
        """Whether the file's statistics say that a column has no null."""
        nulls = [c.statistics and c.statistics.null_count for c in self._chunks() if c.path_in_schema == name]
        return bool(nulls) and all(count == 0 for count in nulls)

    def has_texts(self, name: str) -> bool:
        """Whether a column holds plain texts."""
        import pyarrow as pa

        kind = self._schema.field(name).type if name in self._schema.names else None
        return kind in (pa.string(), pa.large_string()) and name not in self._decoders

    def batches(self, names: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, dict[str, list[object]]]]:
        """Batches of the columns ``names``, of about `BYTES` bytes, and the decoded values of JSON columns.

        UserError with the row number for invalid JSON.
        """
        done, left = 0, self._limit
        for name in names:
            if JSON in str(self._schema.field(name).type) and name not in self._decoders:
                kind = self._schema.field(name).type
                raise UserError(f"{self.file}: the column {name} holds JSON inside {kind}, which is not read")
        with self._refusing():
            for batch in self._content.iter_batches(self._size(names), columns=list(names)):
                left -= sum(map(_unfolded, batch.columns))
                self._refuse_too_large(left)
                widened = _without_float32(batch)
                decoded = {name: widened.column(name).to_pylist() for name in names if name in self._decoders}
                self._decode(decoded, done)
                yield widened, decoded
                done += batch.num_rows

    def rows(self) -> Iterator[Fields]:
        """All rows."""
        left = self._limit
        with self._refusing():
            for batch, decoded in self.batches(self._schema.names):
                left -= PER_ROW * batch.num_rows
                self._refuse_too_large(left)
                plain = batch.to_pylist()
                for name, values in decoded.items():
                    for row, value in zip(plain, values, strict=True):
                        row[name] = value
                yield from plain

    def _chunks(self) -> list[pa.ColumnChunkMetaData]:
        """The metadata of every column in every row group; a list of numbers counts as a column."""
        meta = self._content.metadata
        return [meta.row_group(i).column(j) for i in range(meta.num_row_groups) for j in range(meta.num_columns)]

    def _size(self, names: Sequence[str]) -> int:
        """How many rows to read at a time; UserError if the columns are too large for the file."""
        wanted = [c for c in self._chunks() if any(f"{c.path_in_schema}.".startswith(f"{name}.") for name in names)]
        size: int = sum(max(8 * c.num_values, c.total_uncompressed_size) for c in wanted)
        self._refuse_too_large(self._limit - size)
        rows: int = self._content.metadata.num_rows
        return min(ROWS, max(1, BYTES * rows // max(size, 1)), max(1, AT_ONCE // max(self._longest(names), 1)))

    def _longest(self, names: Sequence[str]) -> int:
        """Bytes of the longest texts in the dictionaries of the columns, which a row repeats for a few bits each."""
        import pyarrow.parquet as pq

        schema, meta = self._content.schema, self._content.metadata
        columns = [schema.column(i) for i in range(meta.num_columns)]
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        content = pq.ParquetFile(self.file, read_dictionary=texts)
        longest = max(
            (column.length for column in columns if column.physical_type == "FIXED_LEN_BYTE_ARRAY"), default=0
        )
        for group in range(meta.num_row_groups):
            for batch in islice(content.iter_batches(1, row_groups=[group], columns=list(names)), 1):
                longest = max(longest, sum(map(_longest_text, batch.columns)))
        if any(column.max_repetition_level for column in columns):  # one row may hold all values
            values = max((chunk.num_values for chunk in self._chunks()), default=0)
            self._refuse_too_large(NESTED * self._limit - values * longest)
        return longest

    @property
    def _limit(self) -> int:
        """How many bytes the rows may have."""
        return max(LEAST, TIMES * self.file.stat().st_size)

    def _refuse_too_large(self, left: int) -> None:
        if left < 0:
            raise UserError(
                f"{self.file}: its rows need more than {self._limit / 2**30:.1f} GiB, {TIMES} times its size or "
                "more; write it again with only the rows and columns that you need"
            )

    def _decode(self, decoded: dict[str, list[object]], done: int) -> None:
        for column, values in decoded.items():
            for at, value in enumerate(values):
                try:
                    values[at] = self._decoders[column](value)
                    refuse_unkeepable({column: values[at]})
                except (ValueError, RecursionError) as error:
                    row = f"{self.file} row {done + at + 1}"
                    raise UserError(f"{row}: the JSON of {column} cannot be kept: {error}") from None

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except UnicodeDecodeError:
            raise
        except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
            if getattr(error, "strerror", None):  # of the file system, not of what is in the file
                raise
            # OSError: thrift, inside a page; ValueError and OverflowError: dates outside Python's range
            raise UserError(f"{self.file}: not a Parquet file that can be read ({first_line(error)})") from None


def first_line(error: Exception) -> str:
    """The first line of a library's error message, at most 200 printable characters of it."""
    line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return "".join(c for c in line if c.isprintable())


def _parts(array: pa.Array) -> list[pa.Array]:
    """The arrays inside an array of structs, of lists or of an extension type; none for another type."""
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        return [array.storage]
    if isinstance(array, pa.StructArray):
        return list(array.flatten())
    return [array.flatten()] if isinstance(array, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)) else []


def _unfolded(array: pa.Array) -> int:
    """Bytes of the values of an array, those of a dictionary as often as they are used."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.DictionaryArray):
        dictionary = array.dictionary
        each = int(dictionary.nbytes) // max(len(dictionary), 1)
        if pa.types.is_primitive(dictionary.type):
            return each * len(array)
        return 8 * len(array) + int(pc.sum(pc.take(pc.binary_length(dictionary), array.indices)).as_py() or 0)
    return sum(map(_unfolded, _parts(array))) or int(array.nbytes)


def _longest_text(array: pa.Array) -> int:
    """Bytes of the longest values in the dictionaries of an array, one of each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.DictionaryArray) and not pa.types.is_primitive(array.dictionary.type):
        return int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0)
    return sum(map(_longest_text, _parts(array)))


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


def _without_float32(batch: pa.RecordBatch) -> pa.RecordBatch:
    """32-bit floats as 64-bit ones, converted through text: 0.1, not 0.10000000149011612."""
    import pyarrow as pa

    columns = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        text = _widened(field.type, pa.string())
        columns.append(column if text == field.type else column.cast(text).cast(_widened(field.type, pa.float64())))
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _widened(kind: Any, to: Any) -> Any:
    """An Arrow type with every 32-bit float, also inside it, replaced by the type ``to``."""
    import pyarrow as pa

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
