"""A warning where many responses reached their limit."""

from __future__ import annotations

from collections.abc import Mapping

from rlready.core.config import ReadinessConfig, RLConfig

MANY = 0.2  # share of truncated responses above which a run warns


def many_truncated(shares: Mapping[str, float], config: RLConfig | ReadinessConfig | None = None) -> str:
    """A warning if more than a fifth of the responses reached their limit, else empty; ``shares`` by what was
    sampled, by ``config`` or, without it, before."""
    many = {name: share for name, share in shares.items() if share > MANY}
    if not many:
        return ""
    listed = ", ".join(f"{name} {share:.0%}" for name, share in many.items())
    if config is None:
        return f"many stored responses were truncated at a limit ({listed}); with a larger one more may be correct"
    limits = "max_answer_tokens" if config.thinking_budget is None else "thinking_budget or max_answer_tokens"
    return f"many responses were truncated at their limit ({listed}); with a larger {limits} more may be correct"
