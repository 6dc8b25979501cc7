"""A command that torchrun has started in several processes: one prints, and none outlives another that has failed."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from rlready.core.distributed import end_after_signal, join, leave, rank, speak_first
from rlready.core.errors import UserError


def in_processes(command: Callable[[], int]) -> int:
    """The exit code of ``command``, which all processes run; standard output is that of rank 0.

    A line about the end of the run is printed once, by the process that is the first to know of it.
    """
    try:
        join()
    except UserError as error:
        if speak_first():
            print(f"rlready: {error}", file=sys.stderr)
        return 2
    if rank():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    end_after_signal(lambda: speak_first() and print("rlready: stopped", file=sys.stderr, flush=True))
    try:
        code = command()
    except Exception:  # an internal error; after it, the others have nothing to say
        speak_first()
        traceback.print_exc()
        code = 1
    if code:  # the others wait for this process, so it cannot take its leave of them
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    leave()
    return code
