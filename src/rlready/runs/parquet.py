"""Read Parquet files of which nothing is known in little memory, and refuse those that would fill it.

A small file becomes a large table by compression, by a text in a dictionary that every row repeats, and by the objects
that hold its rows; an attacker can state any size for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlready.core.errors import UserError
from rlready.runs.parquet_pages import page_sizes

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, BYTES = 1 << 17, 1 << 25  # read at a time: at most so many rows, and about so many bytes
AT_ONCE = 1 << 28  # bytes that a batch has at most, if each of its texts is as long as the longest in a dictionary
TIMES, LEAST = 100, 1 << 29  # a file may hold so many times its own size, or so many bytes
NESTED = 8  # times that limit is allowed if every text of a list is as long as the longest in a dictionary
BUFFER = 1 << 20  # bytes of a column that are read from the file at a time: by default all of a row group
PER_ROW = 400  # bytes of a row of Python objects without its values
PAGE, PAGE_TIMES = 1 << 26, 30  # a page may have so many bytes, or so many times what it has compressed


class BoundedParquet:
    """A file that is read in batches of rows; UserError if it cannot be read, or would need too much memory.

    A page, which is usually 1 MB, may be decompressed to `PAGE` bytes or, as writers that make one page of a column
    need, to `PAGE_TIMES` its size in the file.  All rows may have `LEAST` bytes or `TIMES` the size of the file.
    """

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self.file = file
        with self.refusing():
            self._content = pq.ParquetFile(file, buffer_size=BUFFER)
            self.schema: pa.Schema = self._content.schema_arrow

    def chunks(self) -> list[pa.ColumnChunkMetaData]:
        """The metadata of every column in every row group; a list of numbers counts as a column."""
        meta = self._content.metadata
        return [meta.row_group(i).column(j) for i in range(meta.num_row_groups) for j in range(meta.num_columns)]

    def read(self, names: Sequence[str], per_row: int = 0) -> Iterator[pa.RecordBatch]:
        """Batches of the columns ``names``, of about `BYTES` bytes; ``per_row`` more bytes are counted for each row."""
        left = self._limit
        with self.refusing():
            for batch in self._content.iter_batches(self._size(names), columns=list(names)):
                left -= sum(map(_unfolded, batch.columns)) + per_row * batch.num_rows
                self._refuse_too_large(left)
                yield batch

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, as Arrow converts them."""
        for batch in self.read(self.schema.names, PER_ROW):
            yield from batch.to_pylist()

    def _size(self, names: Sequence[str]) -> int:
        """How many rows to read at a time; UserError if the columns are too large for the file."""
        chosen = {*names}
        wanted = [c for c in self.chunks() if any(above in chosen for above in _above(c.path_in_schema))]
        size: int = sum(max(8 * c.num_values, c.total_uncompressed_size) for c in wanted)
        self._refuse_too_large(self._limit - size)
        for chunk in wanted:
            for page, compressed in page_sizes(self.file, chunk):
                self._refuse_too_large(max(PAGE, PAGE_TIMES * compressed) - page)
        rows: int = self._content.metadata.num_rows
        return min(ROWS, max(1, BYTES * rows // max(size, 1)), max(1, AT_ONCE // max(self._longest(names), 1)))

    def _longest(self, names: Sequence[str]) -> int:
        """Bytes of the longest texts in the dictionaries of the columns, which a row repeats for a few bits each."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        # by their Arrow types: the metadata and its Parquet schema hold each other, until the garbage is collected
        leaves = [leaf for field in self.schema for leaf in _leaves(field.type)]
        texts = list({c.path_in_schema: None for c in self.chunks() if c.physical_type == "BYTE_ARRAY"})
        content = pq.ParquetFile(self.file, read_dictionary=texts, buffer_size=BUFFER)
        longest = max((kind.byte_width for kind, _ in leaves if pa.types.is_fixed_size_binary(kind)), default=0)
        for group in range(self._content.metadata.num_row_groups):
            for batch in islice(content.iter_batches(1, row_groups=[group], columns=list(names)), 1):
                longest = max(longest, sum(map(_longest_text, batch.columns)))
        if any(repeated for _, repeated in leaves):  # one row may hold all values
            values = max((chunk.num_values for chunk in self.chunks()), default=0)
            self._refuse_too_large(NESTED * self._limit - values * longest)
        return longest

    @property
    def _limit(self) -> int:
        """How many bytes the rows may have."""
        return most_bytes(self.file.stat().st_size)

    def _refuse_too_large(self, left: int) -> None:
        if left < 0:
            raise UserError(
                f"{self.file}: its rows need more than {self._limit / 2**30:.1f} GiB, {TIMES} times its size or "
                "more; write it again with only the rows and columns that you need"
            )

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Name the errors of Arrow and of values that Python has not."""
        import pyarrow as pa

        try:
            yield
        except UnicodeDecodeError:
            raise
        except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
            if getattr(error, "strerror", None):  # of the file system, not of what is in the file
                raise
            # OSError: thrift, inside a page; ValueError and OverflowError: dates outside Python's range
            raise UserError(
                f"{self.file}: not a Parquet file that can be read ({first_line(error)}); if it was cut, write or copy "
                "it again, or remove it"
            ) from None


def most_bytes(size: int) -> int:
    """How many bytes the rows of a table may have that was stored in ``size`` bytes."""
    return max(LEAST, TIMES * size)


def first_line(error: Exception) -> str:
    """The first line of a library's error message, at most 200 printable characters of it."""
    line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return "".join(c for c in line if c.isprintable())


def _above(path: str) -> Iterator[str]:
    """The names under which a column may be asked for: its path, and those of the fields that hold it."""
    return accumulate(path.split("."), "{}.{}".format)


def _leaves(kind: pa.DataType, repeated: bool = False) -> Iterator[tuple[pa.DataType, bool]]:
    """The types of the values inside a type, and whether a row may have several of them."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(kind.storage_type, repeated)
    elif pa.types.is_dictionary(kind):
        yield from _leaves(kind.value_type, repeated)
    elif kind.num_fields:
        repeated |= not pa.types.is_struct(kind)
        for inside in range(kind.num_fields):
            yield from _leaves(kind.field(inside).type, repeated)
    else:
        yield kind, repeated


def _parts(array: pa.Array) -> list[pa.Array]:
    """The arrays inside an array of structs, of lists, of maps or of an extension type; none for another type."""
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        return [array.storage]
    if isinstance(array, pa.StructArray):
        return list(array.flatten())
    if isinstance(array, pa.MapArray):
        return [array.keys, array.items]
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
