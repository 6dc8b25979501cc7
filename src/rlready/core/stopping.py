"""Stopping: Ctrl-C and SIGTERM end a run within two seconds, also while threads work.

A signal interrupts the main thread alone, and Python joins its other threads before it ends.  So work that may run in
threads calls ``heed_stop`` between its pieces: a decoded token, or an operation of the size of a layer.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")
STOPPED = 130  # exit code
POLL = 0.2  # seconds between two calls of ``meanwhile``
SAME = 0.5  # seconds in which signals are one request: `timeout` and `uv run` send what the terminal has sent, too

_thread = threading.local()
_received: list[float] = []  # when the first signal came


class Stopped(BaseException):
    """Ends work in a thread; the caller is interrupted, or another thread has failed."""


def heed_stop() -> None:
    """Raise Stopped if this thread works for ``in_threads`` and should end."""
    stop = getattr(_thread, "stop", None)
    if stop is not None and stop.is_set():
        raise Stopped


def stop_requested() -> bool:
    """Whether Ctrl-C or SIGTERM has come, also if a library has made another error of it, or none."""
    return bool(_received)


def expect_stop() -> None:
    """Do not let the signal interrupt that torchrun sends to the processes that are left when one has ended."""
    _received.append(time.monotonic())


def nothing() -> None:
    pass


def in_threads(pool: Executor, calls: Sequence[Callable[[], T]], meanwhile: Callable[[], None] = nothing) -> list[T]:
    """The results of the calls in their order, computed in the threads of a pool.

    Returns when all have ended.  When one fails, or an interrupt ends the waiting, the others are stopped.
    ``meanwhile`` is called now and then in the thread that waits.
    """
    stop = threading.Event()

    def work(call: Callable[[], T]) -> T:
        _thread.stop = stop
        heed_stop()
        return call()

    futures: list[Future[T]] = []
    try:
        futures.extend(pool.submit(work, call) for call in calls)
        running = set(futures)
        while running:
            ended, running = wait(running, POLL, FIRST_EXCEPTION)
            if any(future.exception() for future in ended):
                break
            meanwhile()
    finally:
        stop.set()
        wait(futures)
    for future in futures:
        error = future.exception()
        if error and not isinstance(error, Stopped):
            raise error
    return [future.result() for future in futures]


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt as Ctrl-C does, and a second signal of the two end the process at once.

    In the main thread only; a signal that is ignored, as Ctrl-C is in the background of a shell, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received.clear()

    def stop(number: int, frame: FrameType | None) -> None:
        if not _received:
            _received.append(time.monotonic())
            raise KeyboardInterrupt
        if time.monotonic() - _received[0] > SAME:
            os._exit(STOPPED)  # what is on disk is whole at any time

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        # a stopped process may take a moment to end, in which a second signal must not be a traceback
        if not _received:
            for number, handler in before.items():
                signal.signal(number, handler)


def exit_stopped() -> NoReturn:
    """End the process now; Python would first free a model piece by piece, for seconds."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(STOPPED)
