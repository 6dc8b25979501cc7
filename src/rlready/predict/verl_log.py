"""The validation accuracies that verl 0.9.1 has logged by its file logger: a line of JSON for each step.

The logger begins its file anew, so that the folder of an export has one log for each attempt, in the order of the
numbers in their names.  An attempt goes on from a checkpoint, and what was logged before from its first step on is left
out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.messages import note
from rlready.interchange.lines import first_object
from rlready.predict.cells import is_number, number_of
from rlready.predict.continued import continued
from rlready.runs.files import text_of

LOGS = "log-*.jsonl"
DIGITS = re.compile(r"\d+")
AT_N = re.compile(r"@\d+\Z")
ACCURACY = re.compile(r"val-core/.*/(?:acc|reward)/mean@\d+", re.DOTALL)  # reward where a verifier gives no acc
TEXTS = ("", ".log", ".txt", ".out", ".err")
PRINTED = re.compile(
    r"(\(.{1,80}?\)\s*)?step:\d+ - "
)  # by the console logger, with Ray's name of the process before it
INSTEAD = "give a number instead"


def whole_lines(text: str) -> list[str]:
    """The lines of a log, without the last if a kill has left half of it."""
    *lines, last = text.split("\n")
    try:
        json.loads(last)
    except (ValueError, RecursionError):
        return lines
    return [*lines, last]


def logs_in(folder: Path) -> list[Path]:
    """The files of a folder that are named as its logs, in the order of the numbers in their names."""
    return sorted(folder.glob(LOGS), key=lambda file: (list(map(int, DIGITS.findall(file.name))), file.name))


def is_log(file: Path) -> bool:
    """Whether a file begins as one of verl's file logger, which may have any name."""
    return file.suffix == ".jsonl" and first_object(file).keys() == {"step", "data"}


def is_printed(file: Path) -> bool:
    """Whether a file has, among its first lines, what verl's console logger prints."""
    if file.suffix not in TEXTS:
        return False
    with file.open(encoding="utf-8", errors="replace") as content:
        return any(PRINTED.match(line) for line in islice(content, 1000))


def accuracies(logs: Sequence[Path], metric: str) -> tuple[str, dict[float, float]]:
    """(the name of the accuracy without @N, its values by step); a log begins anew at the first step that it has.

    UserError for what is no such log, and for accuracies of several names unless ``metric`` is one of them.
    """
    metric = AT_N.sub("", metric)
    points = list[tuple[float, float | None]]()
    names: dict[str, None] = {}
    for log in logs:
        lines = [(step, _by_name(found, metric)) for step, found in _lines(log)]
        mine = [(step, next(iter(found.values()), None)) for step, found in lines]
        before = {at: value for at, value in points if value is not None}
        unlike = any(value is not None and before.get(at, value) != value for at, value in mine)
        if unlike and mine[0][0] <= points[0][0]:
            note(
                f"{log}: begins anew at step {mine[0][0]:g}, so that earlier logs there are left out: if they are of "
                "another run, name one of the files"
            )
        points += mine
        names |= {name: None for _, found in lines for name in found}
    if not names:
        wanted = f"{metric}@N" if metric else "val-core/…/acc/mean@N, or reward in place of acc"
        raise UserError(f"{logs[0]}: no validation was logged ({wanted}); {INSTEAD}")
    if len(names) > 1:
        raise UserError(
            f"{logs[0]}: has {len(names)} validation accuracies; name one as the metric: {', '.join(names)}"
        )
    return next(iter(names)), continued(points)[0]


def _by_name(found: Mapping[str, float], metric: str) -> dict[str, float]:
    """The accuracies by their names without @N, those of the largest N, of the ``metric`` if there is one."""
    names = sorted(found, key=lambda name: int(name.rpartition("@")[2]))
    return {AT_N.sub("", name): found[name] for name in names if metric in ("", AT_N.sub("", name))}


def _lines(log: Path) -> Iterator[tuple[float, dict[str, float]]]:
    """(step, accuracies by name) of each line of a log, which has none where there was no validation."""
    for number, line in enumerate(whole_lines(text_of(log)), start=1):
        place = f"{log}:{number}"
        try:
            logged = json.loads(line)
            step = number_of(logged["step"])
            found = {name: number_of(value) for name, value in logged["data"].items() if ACCURACY.fullmatch(name)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"{place}: not a line of verl's log; {INSTEAD}") from None
        if not is_number(step):
            raise UserError(f"{place}: the step is {str(step)[:40]!r}, no number; {INSTEAD}")
        for value in found.values():
            if not is_number(value):
                raise UserError(f"{place}: the validation accuracy is {str(value)[:40]!r}, no finite number; {INSTEAD}")
        yield step, {name: value for name, value in found.items() if is_number(value)}
