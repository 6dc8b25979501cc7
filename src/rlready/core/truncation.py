"""A warning where many responses reached their limit."""

from __future__ import annotations

from collections.abc import Mapping

from rlready.core.config import ReadinessConfig, RLConfig
from rlready.core.progress import warn

MANY = 0.2  # share of truncated responses above which a run warns


def warn_truncated(verb: str, shares: Mapping[str, float], config: RLConfig | ReadinessConfig) -> None:
    """Warn if more than a fifth of the responses reached their limit; ``shares`` by what was sampled."""
    many = {name: share for name, share in shares.items() if share > MANY}
    if many:
        limits = "max_answer_tokens" if config.thinking_budget is None else "thinking_budget or max_answer_tokens"
        listed = ", ".join(f"{name} {share:.0%}" for name, share in many.items())
        warn(
            f"{verb}: warning: many responses were truncated at their limit ({listed}); with a larger {limits} more "
            "may be correct"
        )
