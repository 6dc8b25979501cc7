"""Runs inputs in forked children of one warm process, and judges each: accepted, refused, or a failure.

A failure is a traceback, a warning of a library on the terminal, an exit code other than 0, 2 and 130, ten seconds of
processor time before the first step, more memory than `MEMORY`, or an accepted input that does not mean what it says.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

SECONDS = 10.0  # of processor time of an input, up to its first step
WALL = 60.0  # of waiting, on a machine that may be busy
MEMORY = 3 << 30  # bytes of address space beyond those of the warm process
FIRST_STEP = 77  # exit code of a child that has reached its first step
FAILURES = ("traceback", "warning", "hang", "nonsense")
WARNING = re.compile(r"\b[A-Z]\w*Warning\b: .*")


class Nonsense(Exception):
    """An input was accepted that has no meaning, or was read as something else."""


@dataclass(frozen=True)
class Case:
    """An input: files in an empty folder, and the words that a reader of this ``kind`` gets.

    ``expected`` is what the reader must find, if it is known.
    """

    kind: str
    words: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    expected: Any = None

    def to_json(self) -> str:
        """The case as one line of the corpus."""
        files = {name: _as_text(content) for name, content in self.files.items()}
        return json.dumps({"kind": self.kind, "words": self.words, "files": files, "expected": self.expected})

    @classmethod
    def from_json(cls, line: str) -> Case:
        raw = json.loads(line)
        files = {name: b64decode(c[7:]) if c.startswith("base64:") else c.encode() for name, c in raw["files"].items()}
        return cls(raw["kind"], tuple(raw["words"]), files, raw["expected"])


@dataclass(frozen=True)
class Outcome:
    """``verdict`` is "accepted", "refused" or one of `FAILURES`; ``said`` is what was printed or raised last."""

    verdict: str
    said: str = ""


Reader = Callable[[Case], None]  # UserError refuses the input, and Nonsense says that it should have


def run_cases(cases: Sequence[Case], readers: Mapping[str, Reader]) -> list[Outcome]:
    """The outcome of every case; a child runs them in turn, and another goes on after one that ended the child."""
    outcomes: list[Outcome] = []
    base = Path(tempfile.mkdtemp(prefix="fuzz-"))
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        while len(outcomes) < len(cases):
            ours, theirs = os.pipe()
            child = os.fork()
            if not child:
                os.close(ours)
                _run_in_child(cases[len(outcomes) :], readers, base, theirs)
            os.close(theirs)
            outcomes += _outcomes_of(child, ours)
            status = os.waitpid(child, 0)[1]
            if len(outcomes) < len(cases):
                outcomes.append(_ended(status, (base / "said").read_text(errors="replace")))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return outcomes


def _outcomes_of(child: int, pipe: int) -> list[Outcome]:
    """What the child has judged before it ended; it is killed if it only waits."""
    found = b""
    while True:
        if not select.select([pipe], [], [], WALL)[0]:
            os.kill(child, signal.SIGKILL)
        some = os.read(pipe, 1 << 16)
        if not some:
            os.close(pipe)
            return [Outcome(*json.loads(line)) for line in found.splitlines()]
        found += some


def _ended(status: int, said: str) -> Outcome:
    """The outcome of a case during which its child ended."""
    last = "\n".join(said.splitlines()[-3:])
    if os.WIFSIGNALED(status):
        hang = os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGKILL)
        return Outcome("hang" if hang else "traceback", f"signal {os.WTERMSIG(status)}: {last}")
    if os.WEXITSTATUS(status) == FIRST_STEP:
        if found := WARNING.search(said):
            return Outcome("warning", found[0])
        return Outcome("nonsense" if said.startswith("nonsense") else "accepted", last)
    return Outcome("traceback", f"exit {os.WEXITSTATUS(status)}: {last}")


def _run_in_child(cases: Sequence[Case], readers: Mapping[str, Reader], base: Path, pipe: int) -> NoReturn:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
        os.fsync = lambda _: None  # type: ignore[assignment]  # nothing here has to outlast a crash of the machine
        warnings.resetwarnings()
        warnings.simplefilter("always")
        warnings.showwarning = _print_warning
        for quiet in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", quiet)
        for case in cases:
            outcome = _judge(case, readers[case.kind], base)
            os.write(pipe, json.dumps([outcome.verdict, outcome.said]).encode() + b"\n")
    finally:
        os._exit(0)


def _print_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))


def _judge(case: Case, reader: Reader, base: Path) -> Outcome:
    from rlready.core.errors import UserError

    folder = Path(tempfile.mkdtemp(dir=base))
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    os.chdir(folder)
    said = os.open(base / "said", os.O_CREAT | os.O_TRUNC | os.O_RDWR)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding="utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0, closefd=False), "utf-8", "backslashreplace", write_through=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    verdict, why = "accepted", ""
    try:
        reader(case)
    except UserError as error:
        verdict, why = "refused", str(error)
    except Nonsense as error:
        verdict, why = "nonsense", str(error)
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        verdict, why = "traceback", f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
    signal.setitimer(signal.ITIMER_PROF, 0)
    os.lseek(said, 0, os.SEEK_SET)
    printed = os.read(said, 1 << 20).decode(errors="replace")
    os.close(said)
    os.chdir(base)
    shutil.rmtree(folder, ignore_errors=True)
    if verdict in ("accepted", "refused") and (found := WARNING.search(printed)):
        return Outcome("warning", found[0])
    return Outcome(verdict, why[:500] or printed[-300:])


def _as_text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "base64:"
    return f"base64:{b64encode(content).decode()}" if text.startswith("base64:") else text
