"""JSON Lines and JSON logs of any size, a part at a time.

Scores and texts need no digits of numbers kept, unlike the tables of `tasks/jsonrows.py`, so that the parser of
pydantic can be used, which takes half the time of Python's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from rlready.core.errors import UserError
from rlready.core.messages import remark
from rlready.tasks.files import open_plain

BOM = b"\xef\xbb\xbf"  # with which PowerShell begins a text
BYTES = 1 << 17  # of lines at a time: the objects of more do not fit into a processor's cache
CHUNK = 1 << 20  # characters of a JSON log that are read at a time
MOST = 1 << 28  # characters of one value of a JSON log


def files_named(folder: Path, pattern: str) -> list[Path]:
    """The files of JSON Lines in a folder whose names without their format match, sorted; of a file and its compressed
    copy the file."""
    found = set(folder.glob(f"{pattern}.jsonl"))
    return sorted(found | {file for file in folder.glob(f"{pattern}.jsonl.gz") if file.with_suffix("") not in found})


def read_objects(file: Path) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Line numbers and objects; the last line is left out, with a note, if a crash has cut it.

    UserError for any other line that is not an object of JSON.
    """
    lines: list[int] = []
    rows: list[dict[str, Any]] = []
    size = 0
    with open_plain(file) as content:
        for line, raw in enumerate(content, start=1):
            raw = raw.removeprefix(BOM) if line == 1 else raw
            if not raw.strip():
                continue
            try:
                row = from_json(raw)
            except ValueError as error:
                if not raw.endswith(b"\n") and line > 1:
                    remark(f"{file}: its last line is incomplete, as a crash leaves it, and is left out")
                    continue
                fix = "each line must be one object"
                if raw.lstrip().startswith(b"["):
                    fix += "; write each object of its list on a line"
                elif "hex escape" in str(error):  # of half of a surrogate pair
                    fix = "remove the half of a character (\\ud8.. to \\udf..) from its text"
                raise UserError(f"{file}:{line}: not JSON ({str(error)[:100]}); {fix}") from None
            if not isinstance(row, dict):
                raise UserError(f"{file}:{line}: expected one JSON object on each line, not {type(row).__name__}")
            lines.append(line)
            rows.append(row)
            size += len(raw)
            if size >= BYTES:
                yield lines, rows
                lines, rows, size = [], [], 0
    if rows:
        yield lines, rows


def first_object(file: Path) -> dict[str, Any]:
    """The first object of a file of JSON Lines, or the first members of a JSON log; {} for any other file."""
    if not file.is_file():  # a named pipe would wait for a writer
        return {}
    try:
        with open_plain(file) as content:
            line = content.readline(MOST)
        found = from_json(line.removeprefix(BOM))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, UserError):
        return {}


class LogReader:
    """Reads the members of one large JSON object, of which one is a list that is read item by item."""

    def __init__(self, file: Path, content: IO[str]) -> None:
        self.file, self._content, self._decoder = file, content, json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False

    def members(self, listed: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """(key, value) of each member; those that are ``listed`` are given item by item; None items are left out."""
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            self._take(":")
            if key in listed and self._peek() == "[":
                self._take("[")
                while self._peek() != "]":
                    yield key, self._value()
                    self._skip(",")
                self._take("]")
            else:
                yield key, self._value()
            self._skip(",")
        self._take("}")
        if self._peek(ended=""):
            raise UserError(f"{self.file}: goes on after its end, as two logs in one file would")

    def _peek(self, ended: str | None = None) -> str:
        """The next mark, ``ended`` after the last one; UserError there unless ``ended`` is given."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                if ended is not None:
                    return ended
                raise UserError(f"{self.file}: ends in the middle of a value")

    def _skip(self, mark: str) -> None:
        if self._peek() == mark:
            self._at += 1

    def _take(self, mark: str) -> None:
        if (found := self._peek()) != mark:
            raise UserError(f"{self.file}: not a JSON log: {mark!r} expected, not {found!r}")
        self._at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # a number may go on
                    self._at = end
                    return value
            except (ValueError, RecursionError) as error:
                if self._ended or len(self._text) - self._at > MOST or isinstance(error, RecursionError):
                    raise UserError(f"{self.file}: not JSON that can be read ({str(error)[:100]})") from None
            self._more(len(self._text) - self._at)

    def _more(self, least: int = 0) -> bool:
        """Read on, at least as much as is there already, so that a long value is not parsed again too often."""
        try:
            read = self._content.read(max(CHUNK, least))
        except UnicodeDecodeError:
            raise UserError(f"{self.file}: not UTF-8 text") from None
        self._text, self._at = self._text[self._at :] + read, 0
        self._ended = not read
        return bool(read)
