"""What to run after readiness or predict: RL from the chosen checkpoint, with the settings that were measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pydantic import JsonValue

from rlready.core.config import ReadinessConfig
from rlready.core.options import DEFAULT
from rlready.readiness.part import Part
from rlready.runs.record import PRESET

SHARED = ("temperature", "thinking_budget", "max_answer_tokens", "delimiters", "answer_prefix", "group_size")
UNKNOWN_MODEL, UNKNOWN_PROBLEMS = "CHECKPOINT", "PROBLEMS"  # for the user to fill in


def rl_command(part: Part, config: Mapping[str, JsonValue], origins: Mapping[str, str]) -> str:
    """The command of RL from a measured checkpoint; what a preset chose is left to the preset.

    ``config`` and ``origins`` are those of the record of the run of readiness.  A table of samples does not say its
    model, which the user then has to fill in.
    """
    words = [f"model={part.model or UNKNOWN_MODEL}"]
    words.append(f"problems={config['problems'] or UNKNOWN_PROBLEMS}")
    for name in SHARED:
        value = config[name]
        if origins.get(name) not in (DEFAULT, PRESET) and value != _default(name):
            words.append(f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}")
    return shlex.join(["rlready", "rl", *words])


def _default(name: str) -> object:
    value: object = ReadinessConfig.model_fields[name].default
    return list(value) if isinstance(value, tuple) else value
