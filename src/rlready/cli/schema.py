"""``rlready schema NAME``: the JSON schema of a configuration or of a result, from the model that validates it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping

from pydantic import BaseModel

from rlready.core import config
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.settings import Config
from rlready.runs.results import RESULTS as TARGETS

CONFIGS: Mapping[str, type[Config]] = {
    "demo": config.DemoConfig,
    "inject": config.InjectConfig,
    "sft": config.SFTConfig,
    "rl": config.RLConfig,
    "evaluate": config.EvaluateConfig,
    "readiness": config.ReadinessConfig,
    "predict": config.PredictConfig,
    "sweep": config.SweepConfig,
    "doctor": config.DoctorConfig,
    "checklist": config.ChecklistConfig,
    "export": config.ExportConfig,
    "import": config.ImportConfig,
}
BY_NAME: Mapping[str, type[BaseModel]] = {**CONFIGS, **{cls.__name__: cls for cls in CONFIGS.values()}}
RESULTS = {name: module for module, _, name in (target.partition(":") for target in TARGETS.values())}
NAMES = (*BY_NAME, *RESULTS)


def schema_of(name: str) -> str:
    """The schema as JSON text; UserError for a name that is neither a verb, a configuration nor a result."""
    return json.dumps(model_of(name).model_json_schema(), indent=1, ensure_ascii=False)


def model_of(name: str) -> type[BaseModel]:
    """The model of a verb's configuration (``rl`` or ``RLConfig``) or of a result (``RLResult``)."""
    if name in BY_NAME:
        return BY_NAME[name]
    if name not in RESULTS:
        raise UserError(f"{name}: no such schema; {nearest(name, NAMES)}")
    found: type[BaseModel] = getattr(importlib.import_module(RESULTS[name]), name)
    return found
