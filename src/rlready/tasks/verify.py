"""Compare a final answer with the right one: exactly where both are plain numbers, else by math-verify.

Model text is untrusted: it is searched with linear patterns, never evaluated here.  math-verify hands it to
sympy, which will happily compute ``9^9^9``, and its own time limits are signals, which fail in threads and
cannot stop such a power.  So it runs in a process of its own (``mathworker.py``), started at the first
answer that needs it, killed when it takes too long, and asked about short texts only.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
import threading
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from rlready.errors import UserError

LONGEST = 300  # characters of an answer worth comparing
SECONDS, START_SECONDS = 5.0, 120.0

NUMBER = re.compile(r"(?:(?<![\w.,)])-)?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9])-?\.[0-9]+")
LONE = re.compile(rf"(?:[^\W\d]|[\s:])*(?:[$€£]\s?)?({NUMBER.pattern})(?![\w^*/+(])(?:[^\W\d]|[\s.,!%])*")
ANSWER_IS = re.compile(r"answer is", re.IGNORECASE)
SIGNS = str.maketrans({"−": "-", "\u00a0": " "})


def final_answer(text: str) -> str:
    """What a text marks as its answer, or the whole text if it marks nothing."""
    found = marked(text)
    return text.strip() if found is None else found


def voted(gold: str, text: str) -> str:
    """The answer of a text in a form in which equal answers are equal texts; empty if it gives none.

    Of ``gold`` only the form matters: where that is a number, the last number counts.
    """
    answer = final_answer(text)[:LONGEST]
    if exact_number(final_answer(gold)) is None:
        return " ".join(answer.split())
    found = numbers(answer)
    return str(found[-1]) if found and found[-1] is not None else ""


def marked(text: str) -> str | None:
    """The line after the last ``####``, else the last closed ``\\boxed{}``, else what follows "answer is"."""
    _, hashes, rest = text.rpartition("####")
    if hashes:
        line = rest.strip().partition("\n")[0]
        return _tidy(_boxed(line) or line)
    if (inner := _boxed(text)) is not None:
        return _tidy(inner)
    after = ANSWER_IS.split(text)[1:]
    return _tidy(after[-1].lstrip(" :\n").partition("\n")[0]) if after else None


def exact_number(text: str) -> Fraction | None:
    """A plain number, exactly: thousands separators, currency and per-cent signs and LaTeX's escapes are allowed."""
    if len(text) > LONGEST:
        return None
    plain = re.sub(r"\\text\{[^{}]*\}|\\!|[$€£%\\]", "", text.translate(SIGNS).replace("{,}", ","))
    plain = plain.strip().removeprefix("+").removesuffix(".")
    return Fraction(plain.replace(",", "")) if NUMBER.fullmatch(plain) else None


def numbers(text: str) -> list[Fraction | None]:
    """All numbers in a text, left to right; None for one too long to be meant."""
    return [exact_number(m[0]) for m in NUMBER.finditer(text.translate(SIGNS))]


def same_answer(gold: str, text: str) -> bool:
    """Whether ``text`` gives the answer ``gold``.

    Read is what ``text`` marks as its answer; without a mark its last number if ``gold`` is a number, else all
    of it.  A number may have words around it ("72 clips"), but no second number.
    """
    target = final_answer(gold)
    number = exact_number(target)
    answer = marked(text)
    if answer is None:
        found = [m[0] for m in NUMBER.finditer(text.translate(SIGNS))] if number is not None else [text.strip()]
        answer = found[-1] if found else ""
    if not answer or len(answer) > LONGEST:
        return False
    if answer.split() == target.split():
        return True
    if number is not None:
        value = exact_number(answer)
        if value is None and (lone := LONE.fullmatch(answer)):
            value = exact_number(lone[1])
        if value is not None:
            return value == number
    return len(target) <= LONGEST and _equal(target, answer)


def _boxed(text: str) -> str | None:
    """The inside of the last ``\\boxed{...}`` that is closed."""
    start = text.rfind("\\boxed{")
    depth = 0
    for at in range(start + 6, len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 7 : at]
    return None


def _tidy(answer: str) -> str:
    """Without the mark-up around it: emphasis, dollar signs on both sides, the full stop of a sentence."""
    answer = answer.strip().strip("*_`").strip().removesuffix(".")
    return answer[1:-1].strip() if len(answer) > 2 and answer[0] == answer[-1] == "$" else answer


class _MathWorker:
    """math-verify in a process of its own; one for each process that asks, restarted after a kill."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.owner = 0

    def equal(self, gold: str, answer: str) -> bool:
        """math-verify's verdict; False if it takes longer than ``SECONDS``."""
        with self.lock:
            reply = self._ask(self._running(), json.dumps([gold, answer]), SECONDS)
            if not reply:
                self.close()
            return reply == "true"

    def _running(self) -> subprocess.Popen[str]:
        if self.process and self.owner == os.getpid():  # not inherited from the process that forked this one
            return self.process
        script = Path(__file__).with_name("mathworker.py")
        process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        if self._ask(process, "", START_SECONDS) != "ready":
            raise UserError("math-verify did not start; check it with: python -c 'import math_verify'")
        self.process, self.owner = process, os.getpid()
        return process

    @staticmethod
    def _ask(process: subprocess.Popen[str], question: str, seconds: float) -> str:
        """One line there and one back; killing the process ends the wait, with an empty line."""
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()
        except OSError:  # it died before it could read
            return ""
        finally:
            timer.cancel()

    def close(self) -> None:
        if self.process and self.owner == os.getpid():
            self.process.kill()
            self.process.communicate()
            self.process = None


_WORKER = _MathWorker()
atexit.register(_WORKER.close)


@lru_cache(1 << 16)
def _equal(gold: str, answer: str) -> bool:
    """math-verify's verdict, asked for once: samples of one problem repeat each other's answers."""
    return _WORKER.equal(gold, answer)
