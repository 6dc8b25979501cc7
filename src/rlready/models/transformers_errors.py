"""What Transformers and other libraries say of a file: an error becomes a UserError of one line, a warning a note."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL, WARNING, Handler, LogRecord, getLogger
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import warn_once
from rlready.models.one_line import one_line

SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")
ADVICE = re.compile(r"\b\w+ ?= ?(True|False|None)\b")  # of a library, on arguments that no command has


@contextmanager
def refused(source: str, what: str = "cannot be loaded as a causal language model", to_do: str = "") -> Iterator[None]:
    """Turn errors of Transformers into a UserError of one line, and silence its warnings and progress bars."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()  # the progress lines of this package say more
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except UserError:
        raise
    except BaseException as error:  # any: a file's content decides what goes wrong where
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # one of Rust, in tokenizers
            raise
        if "trust_remote_code" in str(error):
            to_do = ""
        raise UserError(f"{source}: {what}: {line_of(error)}" + (f"; {to_do}" if to_do else "")) from error
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def warnings_noted(file: Path) -> Iterator[None]:
    """Pass on what Transformers warns of in a file, such as settings of rotary positions that it does not use."""

    class Note(Handler):
        def emit(self, record: LogRecord) -> None:
            warn_once(f"{file}: warning: {one_line(record.getMessage())}")

    logger = getLogger("transformers")
    handlers, level = logger.handlers, logger.level
    logger.handlers = [Note()]
    logger.setLevel(WARNING)
    try:
        yield
    finally:
        logger.handlers = handlers
        logger.setLevel(level)


def line_of(error: BaseException) -> str:
    """What a library says in an error, without its advice on arguments that no command has."""
    if "trust_remote_code" in str(error):
        return "it needs custom code (auto_map), which is never run"
    said = SENTENCE.split(" ".join(str(error)[:4000].split()))
    useful = [each for each in said if not ADVICE.search(each)] or said[:1]
    text = one_line(" ".join(useful), 300) or "no reason given"
    return text if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {text}"
