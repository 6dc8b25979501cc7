"""A verifier of the user in a separate process, which bounds it: it cannot end, stall or fill the run.

A call may take `SECONDS` of wall time and half of the machine's memory.  If the process is lost, because the verifier
ended it or ran out of memory, the same response is verified once more in a new one.  A response on which the verifier
times out, or loses its process twice, is undecided, and nothing is remembered.  If that is so for most of the last
calls, the run stops.  All verifiers of a module share a process, which imports it once.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlready.core.errors import UserError
from rlready.core.import_path import note_code, on_load
from rlready.core.messages import note
from rlready.core.records import Problem
from rlready.runs.content import file_digest
from rlready.tasks.child import Child
from rlready.tasks.protocol import Asked, Verdict
from rlready.tasks.verifier import Kind, Named, UserVerifier, load_function
from rlready.tasks.verifier_worker import OUT_OF_MEMORY, Batch

SECONDS = 60.0  # of wall time for one response: a verifier may wait for another program
START = 300.0  # seconds of wall time to import the module, which may load a model
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # bytes
BATCH = 256  # responses in a request
RECENT, MANY = 32, 5  # calls looked back at, and how many of them must be lost at least for the run to stop
PRINTED = 10_000  # bytes that a verifier prints and that are shown
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from rlready.tasks.verifier_worker import serve; serve()"
)


@dataclass(frozen=True)
class BoundedVerifier:
    """The verifier at an import path, called in its process; see `UserVerifier`."""

    named: Named
    kind: Kind
    needs: frozenset[str]
    process: VerifierProcess

    def __call__(self, problem: Problem, thinking: str, answer: str) -> Verdict:
        return self.verify_batch([(problem, (thinking, answer))])[0]

    def verify_batch(self, asked: Asked) -> list[Verdict]:
        """The verdicts; UserError if the verifier returns what is no verdict, or is lost again and again."""
        return self.process.verify(self.named, [(problem, *response) for problem, response in asked])


def load_verifier(named: Named) -> UserVerifier | BoundedVerifier:
    """The verifier at an import path, in a process; UserError if it cannot be used.

    A function of a module that no other process could import, such as one defined in a notebook or in the script that
    runs (``__main__:verify``), is called in this process, where nothing bounds it.
    """
    module = named.path.rpartition(":")[0]
    here = sys.modules.get(module)
    if here and (module == "__main__" or here.__spec__ is None):
        return load_function(named)
    return _process_of(module).load(named)


class VerifierProcess:
    """The process in which a module's verifiers run; it is started when it is needed, and again when it was lost."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._child: Child | None = None
        self._imported: set[Named] = set()  # by this child
        self._code: dict[str, str] = {}  # files of the verifiers, and the digests of their content when imported
        self._observer = on_load.get()  # of the run that has loaded the last verifier
        self._recent: dict[Named, deque[bool]] = {}  # whether the last calls were lost
        self._next = self._printed = 0
        self._mixed = False  # whether the last line that came is no reply
        self._lock = threading.Lock()

    @property
    def changed(self) -> bool:
        """Whether the code is no longer that which was imported."""
        return any(_digest(file) != digest for file, digest in self._code.items())

    def load(self, named: Named) -> BoundedVerifier:
        """Import a verifier."""
        with self._lock:
            kind, needs, files = self._import(named)
        self._recent[named] = deque(maxlen=RECENT)
        self._observer = on_load.get()
        self._note(named, [*files, *self._code])
        return BoundedVerifier(named, kind, frozenset(needs), self)

    def verify(self, named: Named, asked: Sequence[tuple[Problem, str, str]]) -> list[Verdict]:
        """The verdicts on (problem, thinking, answer)."""
        with self._lock:
            try:
                return self._verify(named, asked)
            except BaseException:  # replies that are still to come would be taken for those to the next request
                self.close()
                raise

    def _note(self, named: Named, files: Sequence[str]) -> None:
        """Keep the digests of files that a verifier has imported, its module first, and tell the run of them."""
        self._code |= {file: _digest(file) for file in files if file not in self._code}
        note_code(self._observer, "verifier", named.path, list(map(Path, dict.fromkeys(files))))

    def _verify(self, named: Named, asked: Sequence[tuple[Problem, str, str]]) -> list[Verdict]:
        found: list[Verdict] = []
        tries = 0  # of the response that comes next
        while len(found) < len(asked):
            before, batch = len(found), asked[len(found) : len(found) + BATCH]
            for verdict in self._replies(named, batch):
                found.append(verdict)
                self._recent[named].append(False)
            if len(found) == before + len(batch):
                continue
            tries = tries + 1 if len(found) == before else 1
            why, ended = self._lose()
            if tries == 2 or not ended:
                found.append(Verdict(False, None, why, undecided=True))
                self._recent[named].append(True)
                self._stop_if_most_are_lost(named, asked[len(found) - 1][0], why)
                tries = 0
        return found

    def close(self) -> None:
        """End the process, if there is one."""
        if self._child:
            self._child.close()
        self._child = None

    def _replies(self, named: Named, batch: Sequence[tuple[Problem, str, str]]) -> Iterator[Verdict]:
        """The verdicts on a batch, up to the response at which the process is lost."""
        if self._child is None or self._child.closed or named not in self._imported:
            self._import(named)
            if self.changed:
                raise UserError(f"verifier={named.path}: its code has changed while it was used; start the run again")
        assert self._child is not None
        first, self._next = self._next, self._next + len(batch)
        if not self._child.send(pickle.dumps(Batch(named, batch, first)), SECONDS):
            return
        for number in range(first, self._next):
            line = self._child.line(SECONDS, f"waiting for {named.path}")
            reply = _parsed(line)
            self._mixed = bool(line)  # unless it is a reply
            if not reply or reply[0] != number:
                return
            if reply[1]:
                raise UserError(reply[1])
            if reply[-1]:
                self._note(named, [*self._code, *reply[-1]])
            yield Verdict(*reply[2:-1])

    def _import(self, named: Named) -> tuple[Kind, list[str], list[str]]:
        """The kind of a verifier, the columns that it needs, and its files; UserError if it cannot be used."""
        if self._child is None or self._child.closed:
            self._imported.clear()
            command = [sys.executable, "-P", "-c", PROGRAM, json.dumps(sys.path)]  # -P: not from the working directory
            self._child = Child(command, self._show)
            self._child.send(pickle.dumps(MEMORY), START)
        reply = _parsed(self._child.ask(pickle.dumps(named), START, f"importing {self.module}"))
        if not reply:
            raise UserError(f"verifier={named.path}: {self.module} cannot be imported: {self._lose(START)[0]}")
        if reply[0]:
            raise UserError(reply[0])
        self._imported.add(named)
        return reply[1], reply[2], [*reply[3], *reply[4]]

    def _lose(self, seconds: float | None = None) -> tuple[str, bool]:
        """Why the process gave no reply, and whether it has ended; it is closed."""
        assert self._child is not None
        child, ended = self._child, self._child.lost
        self.close()
        code = child.process.returncode
        if not ended and self._mixed:
            return "it writes to the pipe of the replies", ended
        if not ended:
            return f"it took more than {seconds or SECONDS:g} s", ended
        if code == OUT_OF_MEMORY:
            return f"it needed more than {MEMORY / 2**30:.1f} GiB of memory", ended
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"its process {how}", ended

    def _stop_if_most_are_lost(self, named: Named, problem: Problem, why: str) -> None:
        """UserError if most of the last calls were lost, or the first two, with which a run tries its verifier."""
        recent = self._recent[named]
        lost, calls = sum(recent), len(recent)
        if 2 * lost > calls and (lost >= MANY or calls == 2):
            recent.clear()
            raise UserError(
                f"verifier={named.path}: gave no verdict on {lost} of the last {calls} responses (problem "
                f"{problem.id}: {why}); fix it"
            )

    def _show(self, printed: bytes) -> None:
        """Show what a verifier prints, on standard error, up to a limit."""
        left, self._printed = PRINTED - self._printed, self._printed + len(printed)
        if left > 0:
            more = "\n(it prints more, which is not shown)" if len(printed) >= left else ""
            note(f"{self.module}: {printed[:left].decode(errors='replace').rstrip()}{more}")


_PROCESSES: dict[tuple[object, ...], VerifierProcess] = {}


def _process_of(module: str) -> VerifierProcess:
    """The process of a module as it would be imported here and now."""
    key = (os.getpid(), module, os.getcwd(), *sys.path)
    found = _PROCESSES.get(key)
    if found and found.changed:
        found.close()
        found = None
    if found is None:
        found = _PROCESSES[key] = VerifierProcess(module)
    return found


@atexit.register
def close_all() -> None:
    """End the processes that this one has started."""
    for (owner, *_), process in _PROCESSES.items():
        if owner == os.getpid():
            process.close()


def _parsed(line: bytes) -> list[Any]:
    """A reply; empty if the process is lost, or if what came is none."""
    try:
        reply = json.loads(line)
    except ValueError:
        return []
    return reply if isinstance(reply, list) else []


def _digest(file: str) -> str:
    """The digest of a file; empty if it is gone."""
    try:
        return file_digest(Path(file))
    except UserError:
        return ""
