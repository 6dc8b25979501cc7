"""Inject: write behaviours into worked rows, after BRIDGE (Cen et al., arXiv 2505.18917), and its baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlready.core.lazy import lazy

if TYPE_CHECKING:
    from rlready.core.config import InjectConfig as InjectConfig
    from rlready.inject.stage import inject as inject

__getattr__ = lazy(__name__, {"InjectConfig": "rlready.core.config", "inject": "rlready.inject.stage"})
