"""Sweep: a grid of SFT recipes, checkpoints, RL recipes and seeds, as jobs that share what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

if TYPE_CHECKING:
    from rlready.core.config import SweepConfig as SweepConfig
    from rlready.sweep.stage import sweep as sweep

__getattr__ = lazy(__name__, {"SweepConfig": "rlready.core.config", "sweep": "rlready.sweep.stage"})
