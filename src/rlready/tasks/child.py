"""A child process that answers requests: what it does, and what it fails to do, cannot harm this process.

It has a session of its own, so that Ctrl-C does not reach it and whatever it starts is killed with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from rlready.core.messages import note_once
from rlready.core.stopping import heed_stop

T = TypeVar("T")
QUIET = 2.0  # seconds of waiting after which a progress line is printed
POLL = 0.2  # seconds of waiting after which a stop is heeded
PIECE = 1 << 16  # bytes


class Child:
    """One process; requests are bytes, replies are lines.  ``prints`` gets what it writes to standard error."""

    closed = False

    def __init__(self, command: Sequence[str], prints: Callable[[bytes], None] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if prints else subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._replies = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._input, False)
        self._lines: deque[bytes] = deque()
        self._rest, self._ended = b"", False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._replies, selectors.EVENT_READ)
        if prints and self.process.stderr:
            self._selector.register(self.process.stderr.fileno(), selectors.EVENT_READ, prints)

    def ask(self, request: bytes, seconds: float, doing: str) -> bytes:
        """Send a request and return the first line of the reply, empty if there is none; see `line`."""
        return self.line(seconds, doing) if self.send(request, seconds) else b""

    def send(self, request: bytes, seconds: float) -> bool:
        """Whether the process has taken the request; it need not have read all of it."""
        return self._closing_on_error(lambda: self._send(request, seconds))

    def _send(self, request: bytes, seconds: float) -> bool:
        rest, end = memoryview(request), time.monotonic() + seconds
        while rest and time.monotonic() < end:
            try:
                rest = rest[os.write(self._input, rest[:PIECE]) :]
            except BlockingIOError:  # it has not read the last piece yet
                self._read(0.001)
            except OSError:  # it died before it could read
                return False
        return not rest

    def line(self, seconds: float, doing: str) -> bytes:
        """The next line of a reply; empty if the process is lost or takes more than ``seconds`` of wall time.

        ``doing`` is what a progress line says that it is busy with.
        """
        return self._closing_on_error(lambda: self._line(seconds, doing))

    def _line(self, seconds: float, doing: str) -> bytes:
        began, said = time.monotonic(), False
        while not self._lines:
            waited = time.monotonic() - began
            gone = self.process.poll() is not None  # what it has forked may keep the pipe open
            self._read(0 if gone else min(POLL, QUIET, max(0, seconds - waited)))
            if not self._lines and (gone or self._ended or waited > seconds):
                return b""
            if waited >= QUIET and not said:
                note_once(f"verifier: still {doing} after {QUIET:.0f} s")
                said = True
        return self._lines.popleft()

    def _read(self, seconds: float) -> None:
        """Take what comes within the time."""
        heed_stop()
        for key, _ in self._selector.select(seconds):
            data = os.read(key.fd, PIECE)
            if not data:
                self._selector.unregister(key.fd)
                self._ended = self._ended or key.fd == self._replies
            elif key.data:
                key.data(data)
            else:
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._lines.extend(lines)

    def _closing_on_error(self, work: Callable[[], T]) -> T:
        """The result of the work; if it raises, the process is closed, whose reply would be taken for the next one."""
        try:
            return work()
        except BaseException:
            self.close()
            raise

    @property
    def lost(self) -> bool:
        """Whether it has ended, or closed the stream of its replies."""
        return self._ended or self.process.poll() is not None

    def close(self) -> None:
        """Kill it and whatever it has started."""
        if self.closed:
            return
        self.closed = True
        if self._ended:  # it is about to end by itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._selector.close()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
