"""Rows of CSV and TSV files with a header: every cell is text, character for character, an empty one is null, and
a row of such is none.

A first column without a name is the row names that pandas and R write by default, and is left out.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rlready.core.errors import UserError
from rlready.tasks.files import open_plain

SEPARATORS = (",", ";", "\t")  # the one that is most frequent in the header is meant
LONGEST = 1 << 30  # characters of a cell; by default 131,072


def read_csv(file: Path) -> Iterator[tuple[int, object]]:
    """Row numbers, from 1 after the header, and rows; UserError for a row that does not fit the header."""
    csv.field_size_limit(LONGEST)
    with io.TextIOWrapper(open_plain(file), encoding="utf-8-sig", newline="") as content:
        separator = max(SEPARATORS, key=content.readline().count)
        content.seek(0)
        rows = csv.reader(content, delimiter=separator, strict=True)
        try:
            header = next(rows, [])
            row_names = len(header) > 1 and not header[0]
            names = header[row_names:]
            twice = next((name for name, times in Counter(names).items() if not name or times > 1), None)
            if twice is not None:
                raise UserError(
                    f"{file}: its header names {twice!r} twice" if twice else f"{file}: a column has no name"
                )
            for number, cells in enumerate(filter(None, rows), start=1):
                if len(cells) != len(header):
                    fix = f"quote cells that hold {separator!r} or line breaks"
                    raise UserError(f"{file} row {number}: {len(cells)} cells for {len(header)} columns; {fix}")
                if any(cells[row_names:]):  # spreadsheets leave empty rows at the end
                    yield number, {name: cell or None for name, cell in zip(names, cells[row_names:], strict=True)}
        except csv.Error as error:
            raise UserError(f"{file}: not CSV near line {rows.line_num} ({error})") from None
