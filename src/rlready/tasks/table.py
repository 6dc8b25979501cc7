"""Rows of JSONL, JSON and Parquet files, or of a data set on the hub, each with the line it stands on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlready.errors import UserError
from rlready.options import nearest

SHOWN = 5  # line numbers listed in an error


@dataclass(frozen=True)
class Table:
    """``rows`` are (line or row number from 1, values); ``unit`` says which."""

    where: str
    unit: str
    rows: list[tuple[int, dict[str, Any]]]

    def place(self, line: int) -> str:
        return f"{self.where}:{line}" if self.unit == "line" else f"{self.where} row {line}"

    def lines(self, numbers: Sequence[int]) -> str:
        """ "lines 2, 5, 9, 11, 14, …": the first few of many."""
        more = ", …" if len(numbers) > SHOWN else ""
        return f"{self.unit}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN]))}{more}"

    def text(self, line: int, row: dict[str, Any], column: str) -> str:
        """A value that must be text; UserError if it is missing or something else."""
        if column not in row:
            raise UserError(f"{self.place(line)}: no column {column!r}; {nearest(column, row)}")
        if not isinstance(row[column], str):
            raise UserError(f"{self.place(line)}: {column} must be text, not {type(row[column]).__name__}")
        return str(row[column])

    def refuse(self, lines: Sequence[int], what: str, mend: str) -> None:
        """UserError naming ``lines``, if there are any."""
        if lines:
            count = f"{len(lines)} of {len(self.rows)} rows" if len(lines) > 1 else "a row"
            raise UserError(f"{self.where}: {count} without {what} ({self.lines(lines)}); {mend}")


def read_table(path: str, *, name: str | None = None, split: str = "train") -> Table:
    """The table at ``path``; a path that does not exist but looks like owner/name is read from the hub."""
    file = Path(path)
    if file.is_dir():
        raise UserError(f"{path}: a folder; name a file in it")
    try:
        if not file.exists():
            table = _read_hub(path, name, split)
        elif file.suffix == ".parquet":
            table = _read_parquet(file)
        elif file.suffix == ".json":
            table = _read_json(file)
        else:
            table = _read_jsonl(file)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not table.rows:
        raise UserError(f"{path}: empty, there is no row in it")
    return table


def licence_beside(file: Path) -> str | None:
    """The first line of a LICENSE file in the folder of the data, else None."""
    folder = file.parent
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip("# ").strip() for line in lines if line.strip("# ").strip()), None)
    return None


def _objects(where: str, unit: str, values: Iterable[tuple[int, Any]]) -> Table:
    table = Table(where, unit, [])
    for line, value in values:
        if not isinstance(value, dict):
            raise UserError(f"{table.place(line)}: expected an object with named columns, not {type(value).__name__}")
        table.rows.append((line, value))
    return table


def _read_jsonl(file: Path) -> Table:
    rows = []
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                rows.append((number, _json(line, f"{file}:{number}", "each line must be one JSON object")))
    return _objects(str(file), "line", rows)


def _read_json(file: Path) -> Table:
    mend = "for one object a line, name the file .jsonl"
    value = _json(file.read_text(encoding="utf-8-sig") or "[]", str(file), mend)
    if not isinstance(value, list):
        raise UserError(f"{file}: expected a list of objects, not {type(value).__name__}; {mend}")
    return _objects(str(file), "row", enumerate(value, start=1))


def _json(text: str, where: str, mend: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg} at column {error.colno}); {mend}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or thousands of brackets
        raise UserError(f"{where}: not JSON that can be read; {mend}") from None


def _read_parquet(file: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values = pq.read_table(file).to_pylist()
    except pa.ArrowInvalid as error:
        raise UserError(f"{file}: not a Parquet file ({str(error).splitlines()[0][:100]})") from None
    return _objects(str(file), "row", enumerate(values, start=1))


def _read_hub(path: str, name: str | None, split: str) -> Table:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", path) or path.endswith((".jsonl", ".json", ".parquet")):
        raise UserError(f"{path}: no such file")
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{path}: no such file; to read a data set of that name from the hub: pip install 'rlready[hub]'"
        ) from None
    try:
        data = datasets.load_dataset(path, name, split=split)
    except Exception as error:  # the hub, the network and its libraries fail in many ways, all the user's to mend
        raise UserError(f"{path}: cannot be loaded from the hub: {' '.join(str(error).split())[:200]}") from None
    return _objects(path, "row", enumerate(data, start=1))
