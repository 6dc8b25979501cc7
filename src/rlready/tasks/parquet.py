"""Parquet as the rows that were written: JSON inside it is decoded, and 0.1 of 32 bits is 0.1.

``datasets`` stores a column of mixed types as JSON text, of the Arrow type ``arrow.json`` or by its own metadata; so
may be what stands inside structs and lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlready.core.errors import UserError
from rlready.tasks.strictjson import Number, examine, loads

JSON = "arrow.json"
Decoder = Callable[[Any], Any]


def read_parquet(file: Path) -> list[dict[str, Any]]:
    """The rows of a file; UserError for one that cannot be read, by its row for JSON in it that is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
        features = _features(table.schema)
        decoders = {f.name: decode for f in table.schema if (decode := _decoder(f, features.get(f.name)))}
        for at, field in enumerate(table.schema):
            if JSON in str(field.type) and field.name not in decoders:
                raise UserError(f"{file}: the column {field.name} holds JSON inside {field.type}, which is not read")
            # from 32 bits by way of text: 0.1, not 0.10000000149011612
            if (text := _widened(field.type, pa.string())) != field.type:
                column = table.column(at).cast(text).cast(_widened(field.type, pa.float64()))
                table = table.set_column(at, field.name, column)
        rows: list[dict[str, Any]] = table.to_pylist()
    except UnicodeDecodeError:
        raise
    except (pa.ArrowException, ValueError, OverflowError) as error:  # the last two: dates that Python has not
        raise UserError(f"{file}: not a Parquet file that can be read ({first_line(error)})") from None
    for number, row in enumerate(rows if decoders else (), start=1):
        for column, decode in decoders.items():
            try:
                row[column] = decode(row[column])
                examine({column: row[column]})
            except (ValueError, RecursionError) as error:
                raise UserError(f"{file} row {number}: the JSON of {column} cannot be kept: {error}") from None
    return rows


def first_line(error: Exception) -> str:
    """What a library says, as far as it fits into a line of ours."""
    line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return "".join(c for c in line if c.isprintable())


def _features(schema: Any) -> dict[str, Any]:
    """What ``datasets`` noted of each column; nothing where it did not write the file."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _decoder(field: Any, feature: Any) -> Decoder | None:
    """What makes a value of an Arrow field the value that was meant; None where that is the value itself."""
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


def _value(text: str) -> Any:
    """What stored JSON says; a number, true and false stay text, as ``datasets`` writes the text "4" as it writes 4."""
    value = loads(text)
    return text if isinstance(value, (bool, int, float)) else value


def _unless_null(decode: Decoder) -> Decoder:
    return lambda value: None if value is None else decode(value)


def _widened(kind: Any, to: Any) -> Any:
    """An Arrow type with another in the place of numbers of 32 bits, also inside it."""
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
