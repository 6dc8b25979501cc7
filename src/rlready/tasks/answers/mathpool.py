"""A pool of processes that compare formulas with sympy (``mathworker.py``): one per core, started when needed.

A question may take two seconds of CPU time in two tries, the second in a fresh process; the limit is on CPU time so
that the load of the machine does not change the result, and is far above what an answer to a textbook question needs.
If a process is lost for another reason (killed, out of memory, stopped), the question is sent to a new process.  A
question that is answered in neither try is undecided: it counts as unequal, but that is not cached longer than for one
batch (``in_parallel``), in which it may stand often.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note, unrecorded, warn
from rlready.core.stopping import in_threads
from rlready.tasks.child import QUIET, Child

SECONDS = (0.3, 1.7)  # of CPU time for the first try and the second
PATIENCE = 60.0  # seconds of wall time after which the process counts as lost
START = 120.0
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Question = tuple[str, str, str, Fraction | None]  # kind, one text, another, one unit of the last digit


class Worker(Child):
    """One process that has sympy loaded; ``compare`` returns its answer, empty if the process is lost."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-P", str(Path(__file__).with_name("mathworker.py"))])
        if self.line(START, "starting sympy to compare formulas") != b"ready":
            self.close()
            raise UserError("sympy did not start; check it with: python -c 'import latex2sympy2_extended'")

    def compare(self, seconds: float, question: Question) -> str:
        kind, one, other, step = question
        line = json.dumps([seconds, kind, one, other, step and [step.numerator, step.denominator]])
        doing = f"comparing {other[:60]!r} with {one[:60]!r}"
        return self.ask(line.encode() + b"\n", PATIENCE, doing).decode()


class Pool:
    """Worker processes and cached results; a fork of this process starts without any."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.owner = os.getpid()
        self.idle: list[Worker] = []
        self.busy = threading.Semaphore(CORES)
        self.cache: dict[Question, bool] = {}
        self.open: set[Question] = set()  # asked in this batch, and undecided
        self.undecided = 0  # how often ``equal`` could not decide

    def equal(self, question: Question) -> bool:
        """Whether the two texts are equal; cached, because samples of one problem often give the same answer."""
        if self.owner != os.getpid():
            self._forget()
        if (known := self.cache.get(question)) is not None:
            return known
        if question in self.open:
            self.undecided += 1
            return False
        with self.busy:
            words: list[str] = []
            for seconds in SECONDS:
                words.append(self._ask(seconds, question, new=words == [""]))
                if words[-1] in ("true", "false"):
                    break
        if words[-1] in ("true", "false"):
            if len(self.cache) > 1 << 17:
                self.cache.clear()
            self.cache[question] = words[-1] == "true"
            return words[-1] == "true"
        self.undecided += 1
        if words[-1] != "slow":
            with unrecorded():
                warn(
                    f"verifier: lost the process that compared {question[2][:60]!r} twice; the answer counts as "
                    "incorrect this time"
                )
        return False

    def _ask(self, seconds: float, question: Question, new: bool) -> str:
        worker = self.idle.pop() if self.idle and not new else Worker()
        word = worker.compare(seconds, question)
        if word:
            self.idle.append(worker)
        else:
            worker.close()
        return word

    def close(self) -> None:
        if self.owner == os.getpid():
            while self.idle:
                self.idle.pop().close()


POOL = Pool()
atexit.register(POOL.close)


def in_parallel(questions: list[Question]) -> None:
    """Ask all new questions in parallel, one process per core; ``POOL`` then has the results in its cache."""
    POOL.open.clear()
    new = [q for q in dict.fromkeys(questions) if POOL.owner != os.getpid() or q not in POOL.cache]
    if not new:
        return
    began = said = time.monotonic()
    compared = count(1)

    def compare(question: Question) -> None:
        nonlocal said
        POOL.equal(question)
        done, now = next(compared), time.monotonic()
        if now - said > QUIET:
            said = now
            note(f"verifier: compared {done} of {len(new)} formulas in {now - began:.0f} s")

    with ThreadPoolExecutor(min(CORES, len(new))) as threads:
        in_threads(threads, [partial(compare, question) for question in new])
    POOL.open.update(q for q in new if q not in POOL.cache)
