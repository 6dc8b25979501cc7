"""The outcome of an exported run: a number, or a value of the learning curve that the tool has written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlready.core.config import ImportConfig
from rlready.core.errors import UserError
from rlready.export import verl
from rlready.export.result import ExportResult
from rlready.predict.cells import is_number
from rlready.predict.curves import STATE, curve_file, read_curve
from rlready.runs.files import os_errors_named, write_text
from rlready.tasks.files import TABLES

NUMERAL = re.compile(r"-?[\d.,]+\s*%?")  # what is meant as a number, such as 0,58 and 58 %
OUTPUTS = "outputs"  # where the exported scripts let the tool write
ACCURACY = "eval_accuracy"  # of validation, as the exported reward logs it


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run; of a learning curve also its ``file``, the ``metric`` there, the last step, and what it is.

    Only outcomes of one ``kind`` may be compared.
    """

    value: float
    meaning: str = ""
    file: Path | None = None
    metric: str = ""
    last_step: float = math.inf

    @property
    def kind(self) -> str:
        return self.meaning.partition(" of ")[0] or "number"

    def unfinished(self, exported: ExportResult) -> str:
        """In words, that the curve ends before the exported run does; empty if it does not."""
        steps = next((each.value for each in exported.translated if each.setting == "steps"), 0)
        if not isinstance(steps, int) or self.last_step >= steps:
            return ""
        return f"the curve ends at step {self.last_step:g} of {steps}"


def read_outcome(config: ImportConfig, folder: Path) -> Outcome:
    """The outcome of the export in ``folder``; UserError if there is none, or if it is no finite number.

    A curve is read now, so that one without a value after training is refused.
    """
    number = _number(config.outcome)
    if number is not None:
        if config.metric or config.value != "last":
            raise UserError(f"outcome={config.outcome} is a number; value and metric apply to a curve: leave them out")
        return Outcome(number)
    path = Path(config.outcome) if config.outcome else folder / OUTPUTS
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name a number or a learning curve with outcome=")
    if logs := sorted(path.glob(verl.LOGS)):
        if (path / STATE).exists():
            raise UserError(f"{path}: has {STATE} of TRL and {logs[0].name} of verl; name one of them with outcome=")
        path = _curve_of_verl(logs)
    if not (path.is_dir() or path.name == STATE or path.name.endswith(TABLES)):
        raise UserError(f"{path}: not a learning curve; name an output folder of TRL, {STATE}, a table or a number")
    file = curve_file(path, "import")
    if config.metric and file.name != STATE:
        raise UserError(f"metric={config.metric} applies to {STATE}, but the curve is {file}; leave it out")
    metric = config.metric or (ACCURACY if file.name == STATE and _logs_accuracy(file) else "")
    curve = read_curve(file, metric, "import")
    last_step = float(curve.steps[-1])
    if last_step <= 0:
        raise UserError(f"{file}: has only the evaluation before training, at step {last_step:g}; train first")
    return Outcome(curve.outcome(config.value, "import"), curve.meaning(config.value), file, metric, last_step)


def text_of(file: Path, errors: Literal["replace", "strict"] = "replace") -> str:
    """The text of a file; UserError for what is none, such as a named pipe, which would be waited for without end."""
    if not file.is_file():
        raise UserError(f"{file}: not a file")
    try:
        with os_errors_named(file, "read"):
            return file.read_text(encoding="utf-8", errors=errors)
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text") from None


def _logs_accuracy(file: Path) -> bool:
    return f'"{ACCURACY}"' in text_of(file)


def _curve_of_verl(logs: Sequence[Path]) -> Path:
    """The accuracies that verl 0.9.1 has logged in validation, as a table of steps and outcomes beside its logs.

    There is one log for each attempt; of a step that several have logged, the last counts.
    """
    points = {step: value for log in logs for step, value in _validations(log)}
    if not points:
        raise UserError(f"{logs[0]}: no validation was logged (val-core/…/acc/mean@N); name a number with outcome=")
    table = logs[0].with_name("accuracy.jsonl")
    rows = ({"step": step, "outcome": value} for step, value in points.items())
    write_text(table, "".join(json.dumps(row) + "\n" for row in rows))
    return table


def _validations(log: Path) -> Iterator[tuple[int, object]]:
    """(step, accuracy) of each validation in a log of verl."""
    *lines, _ = text_of(log).split("\n")  # a kill may leave half of the last
    for number, line in enumerate(lines, start=1):
        try:
            logged = json.loads(line)
            found = [(int(logged["step"]), v) for name, v in logged["data"].items() if verl.ACCURACY.fullmatch(name)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            raise UserError(f"{log}:{number}: not a line of verl's log; name a number with outcome=") from None
        if len(found) > 1:
            raise UserError(f"{log}:{number}: has {len(found)} validation accuracies; name a number with outcome=")
        yield from found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        if not NUMERAL.fullmatch(text) or Path(text).exists():
            return None
        value = math.nan
    if not (is_number(value) and 0 <= value <= 1):
        raise UserError(f"outcome={text}: a number must be a share, from 0 to 1: 58 % is 0.58")
    return value
