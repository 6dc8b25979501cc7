"""The settings that an evaluation compares: budgets, waits, biases, and budgets that only the prompt requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlready.core.config import EvaluateConfig
from rlready.core.presets import parts_of
from rlready.engine.budget import Budget


@dataclass(frozen=True)
class Setting:
    """One way to spend tokens.

    ``prompted``: the thinking tokens that the prompt asks for, where nothing is forced; ``limit``: the tokens of a
    response, where no model thinks.
    """

    budget: Budget
    prompted: int | None = None
    limit: int | None = None

    @property
    def tokens(self) -> int | None:
        """The tokens that are allowed or asked for; None in the unconstrained setting."""
        return self.prompted or self.limit or self.budget.thinking_budget

    @property
    def where(self) -> str:
        """What limits its tokens, in words."""
        if self.tokens is None:
            return "without a budget"
        return f"within {self.limit:,} tokens" if self.limit else f"at budget {self.tokens:,}"

    @property
    def name(self) -> str:
        """Its name in results: "unconstrained", "64", "64+2~1" (2 waits, bias 1) or "length prompt 64"."""
        if self.tokens is None:
            return "unconstrained"
        if self.prompted:
            return f"length prompt {self.prompted}"
        waits = f"+{self.budget.num_waits}" if self.budget.num_waits else ""
        return f"{self.tokens}{waits}" + (f"~{self.budget.end_think_bias:g}" if self.budget.end_think_bias else "")


@dataclass(frozen=True)
class Settings:
    """All settings of an evaluation.

    ``main`` are the budgets, without waits or bias if the configuration has that combination; ``others`` and
    ``length_prompted`` are compared with the main setting of the same budget.
    """

    unconstrained: Setting | None  # None where no model thinks, unless it was asked for
    main: tuple[Setting, ...]  # in ascending order of budget; or the unconstrained setting alone
    others: tuple[Setting, ...]
    length_prompted: tuple[Setting, ...]

    @property
    def all(self) -> tuple[Setting, ...]:
        free = (self.unconstrained,) if self.unconstrained else ()
        return tuple(dict.fromkeys((*free, *self.main, *self.others, *self.length_prompted)))

    @property
    def largest(self) -> Setting:
        return self.main[-1]

    @property
    def budgeted(self) -> bool:
        """Whether thinking budgets are compared, rather than limits of the response or nothing."""
        return self.largest.budget.thinking_budget is not None

    @property
    def mean_limit(self) -> float:
        """Most tokens of a sample, the mean over all settings."""
        limits = [s.budget.max_answer_tokens + (s.budget.thinking_budget or 0) for s in self.all]
        return sum(limits) / len(limits)

    def main_for(self, setting: Setting) -> Setting:
        """The main setting of the same budget."""
        return next(s for s in self.main if s.tokens == setting.tokens)


def settings_of(config: EvaluateConfig, *, thinks: bool = True) -> Settings:
    """The settings that a configuration asks for; ``thinks``: whether any of the models does."""
    if not thinks:
        return _response_limits(config)
    sizes = sorted(config.thinking_budgets)
    grid = {
        (waits, bias): [Setting(Budget(b, config.max_answer_tokens, waits, bias)) for b in sizes]
        for waits in config.num_waits
        for bias in config.end_think_bias
    }
    unconstrained = Setting(Budget(None, free_limit(config.max_response_tokens, sizes, config.max_answer_tokens)))
    if config.unconstrained:
        return Settings(unconstrained, (unconstrained,), (), ())
    first, *others = (grid[key] for key in sorted(grid, key=any))  # nothing but the budget comes first
    prompted = [Setting(unconstrained.budget, b) for b in sizes] if config.length_prompt else []
    return Settings(unconstrained, tuple(first), tuple(s for each in others for s in each), tuple(prompted))


def free_limit(given: int | None, budgets: Sequence[int], answer: int) -> int:
    """The most tokens of a response without a budget: as ``given``, or four times what the largest budget allows, or
    the limit of an ``answer`` where there are no budgets."""
    return given or (4 * (max(budgets) + answer) if budgets else answer)


def _response_limits(config: EvaluateConfig) -> Settings:
    """Limits of the whole response, for models that do not think."""
    free = Setting(Budget(None, free_limit(config.max_response_tokens, (), config.max_answer_tokens)))
    if config.unconstrained:
        return Settings(free, (free,), (), ())
    main = tuple(Setting(Budget(None, n), limit=n) for n in parts_of(config.max_answer_tokens))
    return Settings(free if config.max_response_tokens else None, main, (), ())
