"""Accuracy at every thinking budget: what a model can do with so many tokens, and what forcing, voting and RL add."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

if TYPE_CHECKING:
    from rlready.core.config import EvaluateConfig as EvaluateConfig
    from rlready.evaluate.stage import evaluate as evaluate

__getattr__ = lazy(__name__, {"EvaluateConfig": "rlready.core.config", "evaluate": "rlready.evaluate.stage"})
