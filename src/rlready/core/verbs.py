"""The function of every verb, by name: it is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

FUNCTIONS = {
    "demo": "rlready.cli.demo:demo",
    "inject": "rlready.inject.stage:inject",
    "sft": "rlready.train.sft:sft",
    "rl": "rlready.train.rl:rl",
    "evaluate": "rlready.evaluate.stage:evaluate",
    "readiness": "rlready.readiness.stage:readiness",
    "predict": "rlready.predict.stage:predict",
    "sweep": "rlready.sweep.stage:sweep",
    "show": "rlready.cli.show:show_runs",
    "report": "rlready.report.page:write",
    "schema": "rlready.cli.schema:schema_of",
}


def function(verb: str) -> Any:
    """The function ``verb(config, out)``."""
    module, _, name = FUNCTIONS[verb].partition(":")
    return getattr(importlib.import_module(module), name)
