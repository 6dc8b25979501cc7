"""A time limit for code that may never end, such as a chat template, in any thread and on any system."""

from __future__ import annotations

import _thread
import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

POLL = 0.1  # seconds


class OutOfTime(BaseException):
    """Not an Exception, so that no handler on its way takes it for an error of the code that was stopped."""


class Watch:
    """The blocks that are running, each with its thread and the time at which it must have ended.

    A thread looks at them as long as there are any: one for each block would cost ten times a short template.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.lock, self.running, self.watched = Lock(), dict[object, tuple[int, float]](), False

    def begin(self, block: object, seconds: float) -> None:
        with self.lock:
            self.running[block] = get_ident(), time.monotonic() + seconds
            if not self.watched:
                _thread.start_new_thread(self._look, ())
                self.watched = True

    def end(self, block: object) -> None:
        with self.lock:
            self.running.pop(block, None)

    def _look(self) -> None:
        going = True  # not `watched`: it is still False where this thread is faster than the one that starts it
        while going:
            time.sleep(POLL)
            with self.lock:
                late = [block for block, (_, end) in self.running.items() if time.monotonic() > end]
                for block in late:
                    thread, _ = self.running.pop(block)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))
                going = self.watched = bool(self.running)


WATCH = Watch()
os.register_at_fork(after_in_child=WATCH.clear)  # a child has no other threads


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime if the block takes longer: between two instructions of Python, not within a call in C."""
    block = object()
    try:
        WATCH.begin(block, seconds)
        yield
    finally:
        WATCH.end(block)  # a call, at which an exception that was set just before is raised at the latest
