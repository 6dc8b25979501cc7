"""A time limit for code that may never end, such as a chat template, in any thread and on any system."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Timer, get_ident


class OutOfTime(BaseException):
    """Not an Exception, so that no handler on its way takes it for an error of the code that was stopped."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime if the block takes longer: between two instructions of Python, not within a call in C."""
    thread, lock, ended = get_ident(), Lock(), False

    def stop() -> None:
        with lock:
            if not ended:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))

    timer = Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            ended = True
        timer.cancel()  # a call, at which an exception that was set just before is raised at the latest
