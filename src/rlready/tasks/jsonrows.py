"""Rows of JSONL and JSON files, each with its number, and the errors for files that are neither."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from rlready.core.errors import UserError
from rlready.tasks.files import open_plain
from rlready.tasks.strictjson import Fields, Refused, loads, may_be_unkeepable, refuse_unkeepable

LIST, LINES = "for a list of objects, name the file .json", "for one object a line, name the file .jsonl"
RECORDS = 'to_json("rows.jsonl", orient="records", lines=True)'  # of a pandas.DataFrame
SEPARATED = re.compile(r"(?![\[{'#]).*[\t,;].*")  # a first line of CSV or TSV
NOT_TEXT = {  # the first bytes of files that are not UTF-8 text
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first (unzstd)",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"PAR1": "a Parquet file; name it .parquet",
    b"\xff\xfe": "UTF-16 or UTF-32 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}


def refuse_binary(file: Path) -> None:
    """UserError for a file whose first bytes are those of another format than UTF-8 text."""
    with open_plain(file) as content:
        head = content.read(4)
    for start, what in NOT_TEXT.items():
        if head.startswith(start):
            raise UserError(f"{file}: {what}")


def read_jsonl(file: Path) -> Iterator[tuple[int, object]]:
    """Line numbers and values; UserError for a line that is not JSON.

    A single row is checked first, because it may be an object that holds all rows.
    """
    alone: tuple[int, object] | None = None
    count = 0
    with open_plain(file) as lines:
        for number, raw in enumerate(lines, start=1):
            where = f"{file}:{number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise UserError(f"{where}: not UTF-8 text") from None
            if number == 1 and SEPARATED.match(line):
                raise UserError(f"{file}: looks like CSV or TSV; name the file .csv")
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


def read_json_rows(file: Path) -> Iterator[tuple[int, object]]:
    """Row numbers, from 1, and the values of a JSON list, or of one object a line; UserError for any other content."""
    with open_plain(file) as content:
        if _is_object(content.readline()) and content.readline().strip():
            yield from read_jsonl(file)
            return
        content.seek(0)
        text = content.read().decode("utf-8-sig")
    rows = _json(text if text.strip() else "[]", str(file), LINES)
    _refuse_wrapped(rows, file)
    if not isinstance(rows, list):
        raise UserError(f"{file}: expected a list of objects, not {type(rows).__name__}; {LINES}")
    examined = may_be_unkeepable(text)
    for number, row in enumerate(rows, start=1):
        if examined and isinstance(row, dict):
            _examine(row, f"{file} row {number}")
        yield number, row


def _is_object(line: bytes) -> bool:
    """Whether a line is a whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _refuse_wrapped(value: object, file: Path) -> None:
    """UserError for an object that holds all rows, in a list or by column; it says how to unpack the object."""
    if not isinstance(value, dict) or not value:
        return
    held = list(value.values())
    by_index = [isinstance(column, dict) and column and all(key.isdecimal() for key in column) for column in held]
    texts = [isinstance(column, list) and len(column) > 1 and isinstance(column[0], str) for column in held]
    if all(by_index) or all(texts) or {"columns", "data"} <= value.keys():
        raise UserError(f"{file}: rows by column, as pandas writes them; write one row per line: df.{RECORDS}")
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
