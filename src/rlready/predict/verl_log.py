"""The validation accuracies, or another metric, that verl 0.9.1 has logged by its file logger: a line of JSON a step.

The logger begins its file anew, so that the folder of an export has one log for each attempt, in the order of the
numbers in their names.  An attempt goes on from a checkpoint, and what was logged before from its first step on is left
out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import note
from rlready.interchange.lines import first_object
from rlready.predict.cells import is_number, number_of
from rlready.predict.continued import continued
from rlready.runs.files import text_of

LOGS = "log-*.jsonl"
DIGITS = re.compile(r"\d+")
AT_N = re.compile(r"@\d+\Z")
ACCURACY = re.compile(r"val-core/.*/(?:acc|reward)/mean(?:@\d+)?", re.DOTALL)  # reward where a verifier gives no acc
USUAL = "val-core/…/acc/mean@N, or reward in place of acc"
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


def curve(logs: Sequence[Path], metric: str) -> tuple[str, dict[float, float]]:
    """(the name of an accuracy without @N, or of the ``metric``, its values by step); a log begins anew at the first
    step that it has.

    ``metric`` is the name of an accuracy, with or without @N, or of anything else that verl logs, such as
    ``val-core/gsm8k/acc/best@8/mean``.  UserError for what is no such log, and for accuracies of several names or N
    unless ``metric`` is one of them.
    """
    read = {log: list(_lines(log)) for log in logs}
    points = list[tuple[float, float | None]]()
    names: dict[str, None] = {}
    for log, lines in read.items():
        mine = list[tuple[float, float | None]]()
        for step, logged, place in lines:
            found = _chosen(logged, metric, place)
            names |= dict.fromkeys(found)
            mine.append((step, next(iter(found.values()), None)))
        before = {at: value for at, value in points if value is not None}
        unlike = any(value is not None and before.get(at, value) != value for at, value in mine)
        if unlike and mine[0][0] <= points[0][0]:
            note(
                f"{log}: begins anew at step {mine[0][0]:g}, so that earlier logs there are left out: if they are of "
                "another run, name one of the files"
            )
        points += mine
    if not names:
        others = {name: None for lines in read.values() for _, logged, _ in lines for name in logged}
        validated = [name for name in others if name.startswith("val-")]
        known = f"; {nearest(metric, validated)}" if metric and validated else f" ({USUAL})"
        raise UserError(f"{logs[0]}: no {metric or 'validation'} was logged{known}; {INSTEAD}")
    if len(names) > 1:
        raise UserError(
            f"{logs[0]}: has {len(names)} validation accuracies; name one as the metric: {', '.join(names)}"
        )
    return next(iter(names)), continued(points)[0]


def _chosen(logged: Mapping[str, object], metric: str, place: str) -> dict[str, float]:
    """The ``metric`` of a line, or all accuracies, these by their names without @N; UserError for one of several N."""
    several: dict[str, list[str]] = {}
    for name in logged:
        plain = _plain(name)
        if metric in (name, plain) or (not metric and ACCURACY.fullmatch(name)):
            several.setdefault(plain, []).append(name)
    found = dict[str, float]()
    for plain, names in several.items():
        if len(names) > 1:
            raise UserError(f"{place}: problems have unlike numbers of samples; name one metric: {', '.join(names)}")
        value = number_of(logged[names[0]])
        if isinstance(value, float) and math.isnan(value):  # as of a step without such samples
            continue
        if not is_number(value):
            raise UserError(f"{place}: {plain} is {str(value)[:40]!r}, no finite number; {INSTEAD}")
        found[plain] = value
    return found


def _plain(name: str) -> str:
    """The name of an accuracy without its @N; another name as it is."""
    return AT_N.sub("", name) if ACCURACY.fullmatch(name) else name


def _lines(log: Path) -> Iterator[tuple[float, Mapping[str, object], str]]:
    """(step, what was logged, the line's place) of each line of a log."""
    for number, line in enumerate(whole_lines(text_of(log)), start=1):
        place = f"{log}:{number}"
        try:
            content = json.loads(line)
            step, logged = number_of(content["step"]), content["data"]
        except (ValueError, KeyError, TypeError, RecursionError):
            logged = None
        if not isinstance(logged, dict):
            raise UserError(f"{place}: not a line of verl's log; {INSTEAD}")
        if not is_number(step):
            raise UserError(f"{place}: the step is {str(step)[:40]!r}, no number; {INSTEAD}")
        yield step, logged, place
