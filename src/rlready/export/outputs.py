"""The outcome of an exported run: a number, or a value of the learning curve that the tool has written."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from rlready.core.config import ImportConfig
from rlready.core.errors import UserError
from rlready.export.manifest import LAUNCHER
from rlready.export.result import ExportResult
from rlready.interchange.trl import STATE
from rlready.predict import curves
from rlready.predict.cells import is_number
from rlready.predict.curves import read_curve
from rlready.tasks.files import TABLES

NUMERAL = re.compile(r"-?[\d.,]+\s*%?")  # what is meant as a number, such as 0,58 and 58 %
OUTPUTS = "outputs"  # where the exported scripts let the tool write
SHARE = re.compile(r"/acc/mean$|/correct/mean$")  # what verl and prime-rl call the accuracy of a verifier


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run; of a learning curve also its ``path``, the ``metric`` of TRL's, the last step, and what it
    is.

    Only outcomes of one ``kind`` may be compared.
    """

    value: float
    meaning: str = ""
    path: Path | None = None
    metric: str = ""
    last_step: float | None = None

    @property
    def kind(self) -> str:
        return self.meaning.partition(" of ")[0] or "number"

    @property
    def unit(self) -> str:
        """In words, that it is no share; empty if it is one."""
        if 0 <= self.value <= 1:
            return ""
        found = f"the outcome {self.value:.4g} is no share from 0 to 1: is it in percent?"
        return f"{found} All outcomes that are compared must have one unit"

    def unfinished(self, exported: ExportResult) -> str:
        """In words, that the curve ends before the exported run does; empty if it does not."""
        steps = _steps(exported)
        ends = self.last_step is not None and self.last_step < steps
        return f"the curve ends at step {self.last_step:g} of {steps}" if ends else ""

    def too_long(self, exported: ExportResult) -> str:
        """In words, that the curve goes on behind the end of the exported run; empty if it does not."""
        steps = _steps(exported)
        if self.last_step is None or not 0 < steps < self.last_step:
            return ""
        return (
            f"the curve goes to step {self.last_step:g}, but the export has {steps}: it seems to be that of another run"
        )


def _steps(exported: ExportResult) -> int:
    """The steps of the exported run in the tool; 0 if unknown."""
    steps = next((each.value for each in exported.translated if each.setting == "steps"), 0)
    return steps if isinstance(steps, int) else 0


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
        fix = "" if config.outcome else f"train first, sh {shlex.quote(str(folder / LAUNCHER))}, or "
        raise UserError(f"{path}: no such file or folder; {fix}name a number or a learning curve with outcome=")
    if not (path.is_dir() or path.name == STATE or path.name.endswith(TABLES)):
        raise UserError(
            f"{path}: not a learning curve; name an output folder of TRL or verl, {STATE}, a table or a number"
        )
    curve = read_curve(path, config.metric, "import")
    value = curve.outcome(config.value, "import")
    if (curve.metric == curves.USUAL[0] or SHARE.search(curve.metric)) and not 0 <= value <= 1:
        raise UserError(
            f"{curve.path}: {curve.metric} is a share, from 0 to 1, not {value:g}; name the outputs of this run"
        )
    return Outcome(
        value,
        curve.meaning(config.value),
        curve.path,
        curve.metric if curve.path.name == STATE else config.metric,
        float(curve.steps[-1]),
    )


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
