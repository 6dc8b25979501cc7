"""Evaluate: accuracy at every thinking budget, and the effect of forcing, voting and RL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

if TYPE_CHECKING:
    from rlready.core.config import EvaluateConfig as EvaluateConfig
    from rlready.evaluate.stage import evaluate as evaluate

__getattr__ = lazy(__name__, {"EvaluateConfig": "rlready.core.config", "evaluate": "rlready.evaluate.stage"})
