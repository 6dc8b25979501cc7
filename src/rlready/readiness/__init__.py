"""Readiness: how good a checkpoint is as a start for RL, measured without any training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

if TYPE_CHECKING:
    from rlready.core.config import ReadinessConfig as ReadinessConfig
    from rlready.readiness.stage import readiness as readiness

__getattr__ = lazy(__name__, {"ReadinessConfig": "rlready.core.config", "readiness": "rlready.readiness.stage"})
