"""Standard output and error: the one place where text on its way to a terminal is made harmless.

While a command runs, both streams are `Neutral`: whatever is written, by this package, a library or a verifier, passes
``visible``, so that no file name, column or model output controls the terminal.  What the encoding of a stream cannot
write is replaced.  A stream that is closed, or whose reader has gone, is replaced by the null device.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast

from rlready.core.text import UNSEEN, visible

COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
PLAINER = {"–": "-", "−": "-", "→": "->", "…": "...", "⟨": "<", "⟩": ">", "±": "+-", "×": "x", "≥": ">=", "≤": "<="}
REPLACED = "rlready.plainer"  # the handler of characters that an encoding has not


class Neutral:
    """A stream that writes only text whose every character can be seen.

    ``heedless``: an error of writing is ignored, as on standard error, where there is no place left to report it.
    """

    def __init__(self, stream: TextIO, *, heedless: bool = False) -> None:
        self.stream, self.heedless = stream, heedless

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write the text neutralised; a line break without a line feed at its start stays, for bars of libraries."""
        start = "\r" if self.heedless and text.startswith("\r") and self.stream.isatty() else ""
        self.write_raw(start + visible(text[len(start) :]))
        return len(text)

    def write_raw(self, text: str) -> None:
        """Write text that has been neutralised before, with colours of this package."""
        self._attempt(lambda: self.stream.write(text))

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            with suppress(OSError, ValueError):  # a stream of a test has no number
                _redirect(self.stream.fileno())  # what is buffered must not fail again at exit
            if not self.heedless and not isinstance(error, BrokenPipeError):  # the reader has seen enough
                raise


def with_neutral_streams(command: Callable[[], int]) -> int:
    """The exit code of a command that runs with neutral streams; 1, with the traceback, for an internal error."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        neutral(_opened(stream, number), heedless=number == 2) for number, stream in enumerate(before, 1)
    )
    try:
        return command()
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def neutral(stream: TextIO, *, heedless: bool = False) -> TextIO:
    """The stream as a `Neutral` one that replaces what it cannot encode."""
    if isinstance(stream, Neutral):
        return stream
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors=REPLACED)
    return cast(TextIO, Neutral(stream, heedless=heedless))


def unwrapped(stream: TextIO) -> TextIO:
    """The stream below, for bars, whose texts have been neutralised and which move the cursor."""
    return stream.stream if isinstance(stream, Neutral) else stream


def print_coloured(text: str) -> None:
    """Print neutralised text on standard output but keep its colours; no other escape sequence passes."""
    pieces = COLOUR.split(text)
    pieces[::2] = map(visible, pieces[::2])
    if isinstance(sys.stdout, Neutral):
        sys.stdout.write_raw("".join(pieces))
    else:
        sys.stdout.write("".join(pieces))


def print_json(text: str) -> None:
    """Print JSON on standard output: characters that cannot be seen or encoded are written as JSON escapes."""
    text = UNSEEN.sub(_json_escape, text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = re.sub(r"[^\x00-\x7f]", _json_escape, text)
    print(text)


def has_colour() -> bool:
    """Whether standard output is a terminal that is to show colours; see https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _json_escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def _opened(stream: TextIO | None, number: int) -> TextIO:
    """The stream, or the null device in place of one that is closed, so that no file gets its number."""
    if stream is not None and not stream.closed:
        return stream
    _redirect(number)
    return open(number, "w", encoding="utf-8", closefd=False)


def _redirect(number: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAINER.get(c, "?") for c in error.object[error.start : error.end]), error.end


codecs.register_error(REPLACED, _plainer)
