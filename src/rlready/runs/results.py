"""Loading the result of a run without knowing its verb."""

from __future__ import annotations

import importlib
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.result import RESULT, Result
from rlready.runs.files import read_json

# where each verb's result is defined; imported when one is read
RESULTS = {
    "demo": "rlready.report.demo_result:DemoResult",
    "evaluate": "rlready.evaluate.result:EvaluateResult",
    "inject": "rlready.inject.result:InjectResult",
    "predict": "rlready.predict.result:PredictResult",
    "readiness": "rlready.readiness.result:ReadinessResult",
    "rl": "rlready.train.result:RLResult",
    "sft": "rlready.train.result:SFTResult",
    "sweep": "rlready.sweep.result:SweepResult",
}


def result_type(verb: str) -> type[Result]:
    """The class of a verb's result."""
    module, _, name = RESULTS[verb].partition(":")
    found: type[Result] = getattr(importlib.import_module(module), name)
    return found


def load_result(folder: Path) -> Result:
    """The result of a finished run; UserError if there is none, or if its verb is unknown."""
    content = read_json(folder / RESULT)
    verb = content.get("verb") if isinstance(content, dict) else None
    if not isinstance(verb, str) or verb not in RESULTS:
        raise UserError(f"{folder / RESULT}: not the result of a verb of rlready (its verb is {verb!r})")
    return result_type(verb).load(folder)
