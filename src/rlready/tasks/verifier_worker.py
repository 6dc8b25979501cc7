"""The program of a process in which verifiers of the user run, as `verifier_process.py` starts it.

Requests are pickled: a `Named` verifier to be imported, or a batch of responses for one.  Replies are lines of JSON,
one for each response when it is verified, and each ends with the files of the user's modules that have been imported
since the last.  The verifier sees neither stream: its standard input is empty, and what it prints goes to standard
error.  On Linux the process ends with its parent, even in an endless loop.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import random
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlready.core.errors import UserError
from rlready.core.import_path import files_of, is_of_user, on_load
from rlready.core.records import Problem
from rlready.tasks.verifier import Named, UserVerifier, load_function, undecided

OUT_OF_MEMORY = 77  # exit code
REASON = 1000  # characters of the reason that a verifier gives


@dataclass(frozen=True)
class Batch:
    """Responses, as (problem, thinking, answer), to be verified; the replies are numbered from ``first`` on."""

    named: Named
    asked: Sequence[tuple[Problem, str, str]]
    first: int


def serve() -> None:
    """Answer requests until there are no more."""
    me, requests, replies = os.getpid(), os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    _end_with_parent()
    memory: int = pickle.load(requests)
    with suppress(ValueError, OSError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    home = os.getcwd()
    loaded, known = dict[Named, UserVerifier](), set(sys.modules)
    while True:
        try:
            request: Named | Batch = pickle.load(requests)
        except EOFError:
            return
        for reply in [_load(request, loaded, home)] if isinstance(request, Named) else _verify(request, loaded):
            if os.getpid() != me:  # the verifier has forked, and this is the other one
                os._exit(0)
            reply.append(_new_code(known))
            replies.write(json.dumps(reply).encode() + b"\n")


def _load(named: Named, loaded: dict[Named, UserVerifier], home: str) -> list[object]:
    """``["", kind, needs, files]``, or ``[refusal]``; `serve` adds files.

    The import begins in the directory ``home``, which another verifier may have left.
    """
    files: list[str] = []
    before = os.getcwd()
    os.chdir(home)
    token = on_load.set(lambda setting, path, file: files.append(str(file)))
    try:
        verifier = loaded[named] = load_function(named)
    except UserError as error:
        return [str(error)]
    except BaseException as error:  # KeyboardInterrupt, which a module may raise while it is imported
        return [f"verifier={named.path}: cannot be imported: {type(error).__name__}: {error}"]
    finally:
        on_load.reset(token)
        os.chdir(before)
    return ["", verifier.kind, sorted(verifier.needs), files]


def _verify(batch: Batch, loaded: Mapping[Named, UserVerifier]) -> Iterator[list[object]]:
    """``[number, "", *fields of the verdict]`` for each response, up to one that is refused, ``[number, refusal]``;
    `serve` adds files."""
    verifier = loaded[batch.named]
    for number, (problem, thinking, answer) in enumerate(batch.asked, batch.first):
        _seed()
        try:
            found = verifier(problem, thinking, answer)
        except UserError as error:
            yield [number, str(error)]
            return
        except MemoryError:  # what it has leaked would stay
            os._exit(OUT_OF_MEMORY)
        except BaseException as error:
            found = undecided(error)
        strict = None if found.strict is None else bool(found.strict)
        reason = str(found.reason)[:REASON]
        yield [number, "", found.correct, strict, reason, bool(found.run_on), bool(found.undecided), found.traceback]


def _seed() -> None:
    """Seed the generators of the process, so that a verdict does not depend on the responses before this one."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def _new_code(known: set[str]) -> list[str]:
    """The files of the user's modules whose names are not ``known``; all names are, from then on."""
    new = set(sys.modules) - known
    known |= new
    return sorted(map(str, files_of(module for name in new if is_of_user(module := sys.modules[name]))))


def _end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, and choose it first when memory runs out."""
    parent = os.getppid()
    with suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:
        os._exit(0)
