"""Lines for a person: notes, and warnings, which the run that is going on records.

They are printed above the bars of `core.progress`.  Text may come from a model or a file name: see `core.terminal`.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from rlready.core.progress import PAUSE, SCREEN
from rlready.core.text import in_one_line

_warned: set[str] = set()
on_warning: ContextVar[Callable[[str], None]] = ContextVar("on_warning", default=lambda _: None)


@contextmanager
def breaking_silence(text: str, after: float = PAUSE / 2) -> Iterator[None]:
    """Print a line if nothing else has been shown in the first seconds of the block, while libraries are imported."""

    done = threading.Event()

    def speak() -> None:
        if not done.wait(after) and SCREEN.silent:
            note(text)

    SCREEN.silent = True
    _thread.start_new_thread(speak, ())  # Thread.start waits for ever for a thread that lacks the memory to begin
    try:
        yield
    finally:
        done.set()


@contextmanager
def unrecorded() -> Iterator[None]:
    """Do not record the warnings of the block, which are of this attempt (a full disk), not of the run."""
    token = on_warning.set(lambda _: None)
    try:
        yield
    finally:
        on_warning.reset(token)


def note(text: str) -> None:
    """Print a line for a person without breaking the bar."""
    SCREEN.print(in_one_line(text))


@cache
def note_once(text: str) -> None:
    """`note`, but a second time in this process is silent."""
    note(text)


def remark(text: str) -> None:
    """`note` that the run which is going on records, as what a figure is of or leaves out."""
    note(text)
    on_warning.get()(text)


def warn(text: str) -> None:
    """Print a line that ``--quiet`` does not suppress; the run that is going on in this thread records it."""
    SCREEN.print(in_one_line(text), warning=True)
    on_warning.get()(text)


def warn_once(text: str) -> None:
    """`warn`, but a second time in this process is silent; every run records it."""
    with SCREEN.lock:
        known = text in _warned
        _warned.add(text)
    if known:
        on_warning.get()(text)
    else:
        warn(text)


@cache
def show_once(text: str) -> None:
    """Print text of several lines, such as a traceback, that ``--quiet`` does not suppress; once in this process."""
    SCREEN.print(text, warning=True)
