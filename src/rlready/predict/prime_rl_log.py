"""The validation accuracies that prime-rl (August 2026) has logged in ``RUN/metrics.jsonl``: a line for each event.

An evaluation is logged as ``eval/SOURCE/effective/AGENT/…``, of the responses without an error: the accuracy is
``metrics/correct/mean``, the verdict that an exported taskset reports, or else ``avg@N``, the mean reward.  The
evaluation before training is logged at step 1, with policy version 0; here it is at step 0.  At step N at most N-1
updates were made: the weights after the last one are never evaluated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.interchange.lines import first_object
from rlready.predict.cells import is_number, number_of
from rlready.predict.continued import continued
from rlready.predict.verl_log import INSTEAD, whole_lines
from rlready.runs.files import text_of

LOG = "metrics.jsonl"
VERDICT = re.compile(r"eval/.+/effective/[^/]+/metrics/correct/mean", re.DOTALL)
REWARD = re.compile(r"eval/.+/effective/[^/]+/avg@\d+", re.DOTALL)
AVERAGED = re.compile(r"@\d+$")


def is_log(file: Path) -> bool:
    """Whether a file begins as prime-rl's log of metrics, which may have any name."""
    first = first_object(file)
    return file.suffix == ".jsonl" and first.keys() >= {"step", "time"} and "outcome" not in first


def logs_in(folder: Path) -> list[Path]:
    """The logs in the folder of a run, or in a folder of runs."""
    return sorted(file for file in (*folder.glob(LOG), *folder.glob(f"*/{LOG}")) if is_log(file))


def curve(log: Path, metric: str) -> tuple[str, dict[float, float]]:
    """(the name of the accuracy without @N, or of another ``metric``, its values by step); those of a run that went on
    from an earlier step replace what had followed it.

    UserError for what is no such log, and for several evaluations unless ``metric`` is one of them.
    """
    lines = list(_lines(log))
    named_here = [re.compile(re.escape(metric))] if metric else []
    for wanted in (VERDICT, REWARD, *named_here):
        named: dict[str, list[tuple[float, float]]] = {}
        for place, line in lines:
            for name, value in line.items():
                if not wanted.fullmatch(name) or metric not in ("", name, AVERAGED.sub("", name)):
                    continue
                version = f"{name.partition('/effective/')[0]}/policy_version"
                before = _number(line.get(version, 1), version, place) == 0
                step = 0.0 if before else _number(line.get("step"), "step", place)
                named.setdefault(AVERAGED.sub("", name), []).append((step, _number(value, name, place)))
        if len(named) > 1:
            raise UserError(
                f"{log}: has {len(named)} validation accuracies; name one as the metric: {', '.join(named)}"
            )
        if named:
            name, points = named.popitem()
            return name, continued(points)[0]
    known = {name: None for _, line in lines for name in line if name.startswith("eval/")}
    said = f"; {nearest(metric, known)}" if metric and known else " (eval/…/effective/…/avg@N)"
    raise UserError(f"{log}: no {metric or 'evaluation'} was logged{said}; {INSTEAD}")


def _lines(log: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, line) of each line."""
    for number, line in enumerate(whole_lines(text_of(log)), start=1):
        place = f"{log}:{number}"
        try:
            yield place, dict(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            raise UserError(f"{place}: not a line of prime-rl's {LOG}; {INSTEAD}") from None


def _number(value: object, name: str, place: str) -> float:
    number = number_of(value)
    if not is_number(number):
        raise UserError(f"{place}: {name} is {str(value)[:40]!r}, no finite number; {INSTEAD}")
    return number
