"""How large the pages of a Parquet column are, by their headers: what Arrow allocates before anything of it is known.

A header is a struct in Thrift's compact protocol (PageHeader in ``parquet.thrift`` of Apache Parquet): it has the size
without (field 2) and with compression (3), and the header of a data page (5), or of one of version 2 (8), which begins
with the number of its values (1).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

Struct: TypeAlias = "dict[int, int | Struct]"
HEADERS = (1 << 12, 1 << 24)  # bytes in which a header usually ends, and in which Arrow reads one
DEPTH = 8  # structs in structs; headers have three


def page_sizes(file: Path, chunk: pa.ColumnChunkMetaData) -> Iterator[tuple[int, int]]:
    """(size, compressed size) in bytes of every page of a column in a row group; ValueError for a damaged header."""
    start = min(at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at is not None)
    end, left = start + chunk.total_compressed_size, chunk.num_values
    with file.open("rb") as content:
        while start < end and left > 0:
            header, length = _header(content, start)
            size, compressed = header.get(2), header.get(3)
            if not isinstance(size, int) or not isinstance(compressed, int) or min(size, compressed) < 0:
                raise ValueError(f"a page at byte {start} has no size")
            yield size, compressed
            values = [page.get(1) for kind in (5, 8) if isinstance(page := header.get(kind), dict)]
            left -= sum(n for n in values if isinstance(n, int))
            start += length + compressed


def _header(content: BinaryIO, start: int) -> tuple[Struct, int]:
    for most in HEADERS:
        content.seek(start)
        try:
            return _struct(content.read(most), 0)
        except IndexError:
            continue
    raise ValueError(f"the header of a page at byte {start} does not end")


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[Struct, int]:
    """The numbers and structs of a struct by their fields, and where it ends; IndexError if it does not."""
    found: Struct = {}
    field = 0
    if depth > DEPTH:
        raise ValueError("a damaged header of a page")
    while head := data[at]:
        at, kind = at + 1, head & 15
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(data, at)
        if kind in (4, 5, 6):
            found[field], at = _number(data, at)
        elif kind == 12:
            found[field], at = _struct(data, at, depth + 1)
        elif kind == 8:
            length, at = _varint(data, at)
            at += length
        elif kind not in (1, 2):  # the values of booleans; there are no lists
            raise ValueError("a damaged header of a page")
    return found, at + 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] > 127:
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
    return value | data[at] << shift, at + 1
