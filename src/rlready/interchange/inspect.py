"""Inspect's logs: ``.eval``, a zip archive with a file for each sample, and ``.json``, read without ``inspect_ai``.

A sample has ``id``, ``epoch``, ``input`` (what was asked), ``output`` (``choices`` with message and stop reason) and
``scores``, a value for each scorer: C, I, P or N, a number, or several by name.  Epochs are the samples of a problem.
``error`` and ``invalidation`` mark those that do not count.  Long texts may stand in ``attachments``.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import IO, Any, NamedTuple, cast

import numpy as np
from pydantic_core import from_json

from rlready.core.errors import UserError
from rlready.core.progress import note
from rlready.interchange.lines import LogReader
from rlready.interchange.rollouts import (
    FAILED,
    Format,
    Request,
    asked,
    choose_score,
    context,
    drawn_with,
    only_file,
    said,
    score_first,
)
from rlready.tasks.columns import Batch
from rlready.tasks.files import LEAST, TIMES
from rlready.tasks.table import Origin

ENDINGS = (".eval", ".json")
BEGINNING = ("version", "status", "eval")  # the first members of a log
GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # inspect_ai's CORRECT, INCORRECT, PARTIAL and NOANSWER
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
SOLVERS = ("system_message", "user_message", "prompt_template", "chain_of_thought", "multiple_choice")  # set the prompt
ATTACHED = "attachment://"
HEADER = "header.json"  # of an archive
ROWS, TOGETHER = 256, 1 << 25  # samples, or characters of them, at a time
LARGEST = 1 << 28  # bytes of one sample
NEEDED = {"id", "epoch", "target", "output", "scores"}
SMALL = 1 << 14  # characters of a sample that is read faster as a whole
ZSTD = 93  # the number of the compression in an archive
UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RecursionError, ValueError, OSError, zlib.error, StructError)
LOCAL_HEADER = Struct("<26xHH")  # the lengths of a name and of what follows it, before a member of an archive


def files_of(path: Path) -> list[Path]:
    """The log that is named, or those of a folder."""
    if path.is_file():
        return [path] if path.suffix in ENDINGS else []
    return sorted(file for ending in ENDINGS for file in path.glob(f"*{ending}") if file.is_file() and is_log(file))


def is_log(file: Path) -> bool:
    """Whether a file begins as a log of Inspect does, or is an archive of its name, which takes long to list."""
    if zipfile.is_zipfile(file):
        return file.suffix == ENDINGS[0]
    with file.open("rb") as content:
        head = content.read(1000)
    return head.lstrip().startswith(b"{") and all(b'"%s"' % name.encode() in head for name in BEGINNING)


def read(request: Request) -> Iterator[Batch]:
    file = only_file(request, files_of(request.path), "several logs")
    score, others, header, done = "", list[str](), dict[str, Any](), 0
    for some in _together(map(_row, _samples(file, header))):
        if not others and (others := list({name: 0 for row in some for name in row.scores})):
            score = choose_score(request, others)
        columns: dict[str, list[Any]] = {
            "problem_id": [row.problem_id for row in some],
            "prompt": [row.prompt for row in some],
            "context": [row.context for row in some],
            "truth": [row.truth for row in some],
            "text": [row.text for row in some],
            "score": [row.scores.get(score) for row in some],
            "finish_reason": [row.finish_reason for row in some],
            "unusable": [row.unusable for row in some],
            "settings": [_settings(header)] * len(some),
        }
        lines = np.arange(done + 1, done + len(some) + 1)
        done += len(some)
        yield Batch(Origin(str(file), "sample"), lines, columns, score_first(score, others))


class _Row(NamedTuple):
    """What is read of a sample, without its conversation."""

    problem_id: Any
    prompt: str | None
    context: str | None
    truth: Any
    text: str | None
    scores: dict[str, Any]
    finish_reason: Any
    unusable: str | None


def _row(sample: dict[str, Any]) -> _Row:
    output = sample.get("output") or {}
    choice = (output.get("choices") or [{}])[0]
    question = asked(sample.get("input"))
    prompt, text = _attached(question, sample), _text(choice, output, sample)
    unusable = FAILED if sample.get("error") else "are invalidated" if sample.get("invalidation") else None
    reason = _reason(choice.get("stop_reason"))
    asked_for = _whole(prompt), _whole(context(sample.get("input"), question)), str(sample.get("target") or "")
    return _Row(_whole(sample.get("id")), *asked_for, _whole(text), _scores(sample), reason, unusable)


def _together(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Rows in batches that are bounded in number and in characters."""
    some, held = list[_Row](), 0
    for row in rows:
        some.append(row)
        held += len(str(row.text))
        if len(some) == ROWS or held >= TOGETHER:
            yield some
            some, held = [], 0
    if some:
        yield some


def _samples(file: Path, header: dict[str, Any]) -> Iterator[dict[str, Any]]:
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
        note(f"{file}: this evaluation ended with the status {status!r}, so that samples may be missing")


def _from_archive(file: Path, header: dict[str, Any]) -> Iterator[Any]:
    try:
        with file.open("rb") as content, zipfile.ZipFile(content) as archive:
            headed = HEADER in archive.namelist()  # a crash leaves none
            header |= json.loads(_entry(content, archive.getinfo(HEADER))) if headed else {}
            _say_unfinished(file, header.get("status", "unfinished"))
            whole = bool(header.get("invalidated") or _config(header).get("score_on_error"))
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


def _config(header: dict[str, Any], of: str = "eval", name: str = "config") -> dict[str, Any]:
    """Settings of an evaluation, without those that are null."""
    found = (header.get(of) or {}).get(name) or {}
    return {key: value for key, value in found.items() if value is not None}


def _settings(header: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """How the responses were drawn: as the model was set, unless the task's plan says otherwise."""
    steps = (step for step in (header.get("plan") or {}).get("steps") or () if isinstance(step, dict))
    names = [(str(step.get("solver")).rpartition("/")[2], step.get("params")) for step in steps]
    solvers = [f"{name}({params or ''})" for name, params in names if name in SOLVERS]
    settings = _config(header, name="model_generate_config") | _config(header, of="plan")
    return drawn_with(settings | {"solvers": ", ".join(solvers)})


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

    Behind these stand errors, of samples without scores and, if ``whole``, of others.
    """
    if len(text) < SMALL:
        with suppress(ValueError):  # the other parser accepts more, and says more of what it does not
            return cast("dict[str, Any]", from_json(text))
    found: dict[str, Any] = {}
    for key, value in LogReader(file, StringIO(text)).members(()):
        found[key] = value
        if found.keys() >= NEEDED and found["scores"] and not whole and ATTACHED not in text:
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


def _scores(sample: dict[str, Any]) -> dict[str, Any]:
    """The values of all scorers; those that one scorer gives by name as ``scorer/name``."""
    found: dict[str, Any] = {}
    for scorer, score in (sample.get("scores") or {}).items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            found |= {f"{scorer}/{name}": _number(inner) for name, inner in value.items()}
        else:
            found[scorer] = _number(value)
    return found


def _number(value: Any) -> Any:
    """A value as inspect_ai's metrics take it: a grade or a word as a number."""
    if not isinstance(value, str):
        return value
    if value in GRADES or value.lower() in WORDS:
        return GRADES.get(value, WORDS.get(value.lower()))
    try:
        return float(value)
    except ValueError:
        return value


def _text(choice: dict[str, Any], output: dict[str, Any], sample: dict[str, Any]) -> str | None:
    """The response, with its thought before it."""
    message, completion = choice.get("message"), output.get("completion")
    if isinstance(message, dict) and isinstance(message.get("content"), list):
        parts = message["content"]
        thought = "".join(str(part.get("reasoning") or "") for part in parts if part.get("type") == "reasoning")
        message = message | {"reasoning": thought}
    if isinstance(message, dict) and isinstance(completion, str) and completion.strip():
        message = message | {"content": completion}  # which scorers read, as what an agent has submitted
    text = said([message]) if message else completion
    return _attached(text, sample)


def _attached(text: str | None, sample: dict[str, Any]) -> str | None:
    """A text, or the attachment for which it stands."""
    if isinstance(text, str) and text.startswith(ATTACHED):
        text = (sample.get("attachments") or {}).get(text.removeprefix(ATTACHED), text)
    return text


def _whole(value: Any) -> Any:
    """A text in which a question mark stands for half of a surrogate pair, as where a model's output was cut."""
    whole = not isinstance(value, str) or value.isascii()
    return value if whole else value.encode("utf-8", "replace").decode()


def _reason(stop: Any) -> Any:
    return "length" if stop in ("max_tokens", "model_length") else stop


INSPECT = Format(
    "inspect",
    "Inspect",
    frozenset(BEGINNING),
    files_of,
    read,
    "Inspect writes a log that ends in .eval or .json: name that file",
    "Inspect does not log the limit of a thought, only whether the response was cut",
)
