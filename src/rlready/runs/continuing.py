"""Whether an earlier run can be continued with the settings that are asked for: only edits that cannot matter are.

Two kinds of edits cannot matter.  A file or folder may stand elsewhere, if its content is what the run has read; a file
of rows must keep its name, from which the ids of its rows are made, and so must the checkpoints that are compared,
whose paths are their names in the result.  And a setting that only says how long the run goes on, `Config.extendable`,
may become larger, unless the run is finished: what it would go on from has been removed then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from rlready.core.settings import Config
from rlready.runs.content import content_files, has_content
from rlready.runs.files import plain
from rlready.runs.record import DONE, DataNote, Note, RunRecord

SOURCE = re.compile(r"(\w+:|)([^?]*)(\?.*|)", re.DOTALL)  # the kind, the path and the options of a task source


@dataclass(frozen=True)
class Comparison:
    """``refusal`` says in words why the run cannot be continued, empty if it can; ``moved`` are inputs that have a new
    path, and ``extended`` says in words which settings have become larger."""

    refusal: str = ""
    moved: list[Note] = field(default_factory=list)
    extended: list[str] = field(default_factory=list)


def compare(earlier: RunRecord, verb: str, config: Config) -> Comparison:
    """Compare the record of a run with what is asked for; the inputs that the run has read are hashed again."""
    if earlier.verb != verb:
        return Comparison(f"a run of {earlier.verb}, not {verb}")
    asked: dict[str, JsonValue] = plain(config)
    moved, extended = list[Note](), list[str]()
    for key in earlier.differences(config):
        before, now = earlier.config.get(key), asked.get(key)
        if at := _moved(earlier, before, now):
            moved.append(at)
        elif earlier.status != DONE and key in config.extendable() and _larger(now, before):
            extended.append(
                f"{key} was raised from {before} to {now} while the run was stopped; its schedule stays that of before"
            )
        else:
            return Comparison(_difference(key, earlier.config, asked))
    for each in earlier.notes:
        path = Path(each.path or "")
        if each.path and each not in moved and path.exists() and not has_content(path, each.sha256):
            last = max(content_files(path), key=lambda file: file.stat().st_mtime, default=path)
            where = "" if last == path else f" (its last written file: {last.relative_to(path)})"
            return Comparison(f"a run whose input {path} has changed since{where}")
    return Comparison(moved=moved, extended=extended)


def changes(before: RunRecord, now: RunRecord) -> list[str]:
    """In words, what exact numbers depend on and what has changed from one attempt to another.

    What is not known of both is left out, and what the device of the run does not use.
    """
    packages = now.software.packages.items()
    pairs: dict[str, tuple[object, object]] = {
        "rlready": (before.software.version, now.software.version),
        "revision": (before.revision, now.revision),
        "Python": (before.software.python, now.software.python),
        **{name: (before.software.packages.get(name), version) for name, version in packages},
        "processes": (before.processes, now.processes),
    }
    device = str(now.config.get("device"))
    if device == "cpu":
        pairs |= {
            "threads": (before.threads, now.threads),
            "kernels": (before.kernels_build, now.kernels_build),
            "processor": (before.host.cpu, now.host.cpu),
            "instruction set": (before.cpu_capability, now.cpu_capability),
            "operating system": (before.host.os, now.host.os),
        }
    elif device.startswith("cuda"):
        gpus = [" and ".join(sorted({gpu.model for gpu in each.accelerators})) for each in (before, now)]
        pairs["GPU"] = (gpus[0], gpus[1])
    return [f"{name} {b} (before: {a})" for name, (a, b) in pairs.items() if a and b and a != b]


def _difference(key: str, before: Mapping[str, JsonValue], asked: Mapping[str, JsonValue]) -> str:
    if key not in before:
        return f"a run of an earlier version, which did not have the setting {key} = {asked[key]!r}"
    if key not in asked:
        return f"a run of another version, with {key} = {before[key]!r}, a setting that this version does not have"
    return f"a run with {key} = {before[key]!r}, not {asked[key]!r}"


def _larger(now: JsonValue, before: JsonValue) -> bool:
    return isinstance(now, (int, float)) and isinstance(before, (int, float)) and now > before


def _moved(earlier: RunRecord, before: JsonValue, now: JsonValue) -> Note | None:
    """The input that a setting names, if it stands elsewhere now with the content that the run has read."""
    old = SOURCE.fullmatch(before) if isinstance(before, str) else None
    new = SOURCE.fullmatch(now) if isinstance(now, str) else None
    if not (old and new) or (old[1], old[3]) != (new[1], new[3]):
        return None
    for note in earlier.notes:
        if note.path and note.sha256 and Path(note.path).is_relative_to(old[2]):
            found = Path(new[2]) / Path(note.path).relative_to(old[2])
            renamed = isinstance(note, DataNote) and found.name != Path(note.path).name
            if found.exists() and not renamed and has_content(found, note.sha256):
                return note
    return None
