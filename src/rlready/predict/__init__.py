"""Predict: rank checkpoints as starts for RL, from readiness and some RL outcomes, and say how certain that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

if TYPE_CHECKING:
    from rlready.core.config import PredictConfig as PredictConfig
    from rlready.predict.stage import predict as predict

__getattr__ = lazy(__name__, {"PredictConfig": "rlready.core.config", "predict": "rlready.predict.stage"})
