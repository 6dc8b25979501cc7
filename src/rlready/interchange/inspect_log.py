"""The samples of a log of Inspect, ``.eval`` or ``.json``, with what stands before them, one at a time.

Of a large sample the events, which are the bulk of it, are left out where nothing behind them is needed.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import IO, Any, cast

from pydantic_core import from_json

from rlready.core.errors import UserError
from rlready.core.messages import warn
from rlready.interchange.lines import LogReader
from rlready.tasks.files import LEAST, TIMES

ENDINGS = (".eval", ".json")
BEGINNING = ("version", "status", "eval")  # the first members of a log
ATTACHED = "attachment://"
HEADER, BEGUN = "header.json", "_journal/start.json"  # of an archive; a crash leaves the second alone
ARCHIVE = b"PK\x03\x04"  # with which one begins
LARGEST = 1 << 28  # bytes of one sample
NEEDED = {"id", "epoch", "target", "output", "scores"}
LIMIT = re.compile(r'"limit"\s*:\s*\{')  # one that was reached, which stands near the end
TAIL = 4000  # characters in which it stands
SMALL = 1 << 14  # characters of a sample that is read faster as a whole
ZSTD = 93  # the number of the compression in an archive
UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RecursionError, ValueError, OSError, zlib.error, StructError)
LOCAL_HEADER = Struct("<26xHH")  # the lengths of a name and of what follows it, before a member of an archive


def is_log(file: Path) -> bool:
    """Whether a file begins as a log of Inspect does, or is an archive of its name, which takes long to list."""
    if zipfile.is_zipfile(file):
        return file.suffix == ENDINGS[0]
    with file.open("rb") as content:
        head = content.read(1000)
    if head.startswith(ARCHIVE) and file.suffix == ENDINGS[0]:
        raise UserError(
            f"{file}: an archive that was cut, as a crash or a broken copy leaves it; copy it again, or try "
            "`inspect log recover`"
        )
    return head.lstrip().startswith(b"{") and all(b'"%s"' % name.encode() in head for name in BEGINNING)


def samples(file: Path, header: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The samples of a log; ``header`` gets what stands before them.  UserError for a file that is no such log."""
    found = _from_archive(file, header) if zipfile.is_zipfile(file) else _from_json(file, header)
    seen = set[tuple[str, str]]()
    for sample in found:
        if not isinstance(sample, dict) or "id" not in sample or "epoch" not in sample:
            raise UserError(f"{file}: a sample without id and epoch, which Inspect writes")
        key = str(sample["id"]), str(sample["epoch"])
        if key in seen:
            raise UserError(f"{file}: the sample of id {key[0][:80]!r} and epoch {key[1]} is given twice")
        seen.add(key)
        yield sample


def _say_unfinished(file: Path, status: object) -> None:
    """Say that an evaluation has not ended well, so that samples may be missing."""
    if status != "success":
        warn(f"{file}: warning: this evaluation ended with the status {status!r}, so that samples may be missing")


def _from_archive(file: Path, header: dict[str, Any]) -> Iterator[Any]:
    try:
        with file.open("rb") as content, zipfile.ZipFile(content) as archive:
            said = next((name for name in (HEADER, BEGUN) if name in archive.namelist()), "")
            header |= json.loads(_entry(content, archive.getinfo(said))) if said else {}
            _say_unfinished(file, header.get("status", "unfinished"))
            whole = bool(header.get("invalidated") or config_of(header).get("score_on_error"))
            left = max(LEAST, TIMES * file.stat().st_size)
            for entry in archive.infolist():
                if entry.filename.startswith("samples/") and entry.filename.endswith(".json"):
                    left -= entry.file_size
                    if left < 0:
                        raise UserError(
                            f"{file}: unfolds to more than {TIMES} times its size; if that is right, convert it to "
                            ".json with `inspect log convert`"
                        )
                    yield _beginning(file, _entry(content, entry), whole=whole)
    except UNREADABLE as error:
        raise UserError(f"{file}: not a log that can be read ({str(error)[:100]})") from None


def config_of(header: dict[str, Any], of: str = "eval", name: str = "config") -> dict[str, Any]:
    """Settings of an evaluation, without those that are null."""
    found = (header.get(of) or {}).get(name) or {}
    return {key: value for key, value in found.items() if value is not None}


def _entry(content: IO[bytes], entry: zipfile.ZipInfo) -> str:
    """The text of a member of an archive; UserError if it is too large.  Python's library takes three times as long for
    a small one, and reads the compression of inspect_ai from 3.14 on."""
    if max(entry.file_size, entry.compress_size) > LARGEST:
        raise UserError(f"{content.name}: {entry.filename} needs more than {LARGEST >> 20} MiB")
    content.seek(entry.header_offset)
    name, extra = LOCAL_HEADER.unpack(content.read(LOCAL_HEADER.size))
    content.seek(name + extra, os.SEEK_CUR)
    text = _unpacked(content.read(entry.compress_size), entry)
    if zlib.crc32(text) != entry.CRC:
        raise ValueError(f"{entry.filename} is damaged")
    return text.decode()


def _unpacked(packed: bytes, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type == zipfile.ZIP_STORED:
        return packed
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.file_size + 1)
    if entry.compress_type != ZSTD:
        raise NotImplementedError(f"{entry.filename} has the compression {entry.compress_type}")
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:  # of several frames, if it is large
        return bytes(stream.read(entry.file_size))


def _beginning(file: Path, text: str, *, whole: bool) -> dict[str, Any]:
    """The members of a sample up to those that are needed; events, which are the bulk of it, come later.

    Behind these stand errors, of samples without scores and, if ``whole``, of others, and a limit that was reached.
    """
    if len(text) < SMALL:
        with suppress(ValueError):  # the other parser accepts more, and says more of what it does not
            return cast("dict[str, Any]", from_json(text))
    found: dict[str, Any] = {}
    whole = whole or ATTACHED in text or bool(LIMIT.search(text, len(text) - TAIL))
    for key, value in LogReader(file, StringIO(text)).members(()):
        found[key] = value
        if found.keys() >= NEEDED and found["scores"] and not whole:
            break
    return found


def _from_json(file: Path, header: dict[str, Any]) -> Iterator[Any]:
    with file.open(encoding="utf-8") as content:
        for key, value in LogReader(file, content).members(["samples"]):
            if key == "samples":
                yield value
            elif key in ("eval", "plan"):
                header[key] = value
            elif key == "status":
                _say_unfinished(file, value)
