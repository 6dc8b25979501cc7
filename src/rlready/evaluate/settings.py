"""Which settings an evaluation compares: budgets, extensions, biases, and budgets that are only asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlready.core.config import EvaluateConfig
from rlready.core.errors import UserError
from rlready.engine.budget import Budget
from rlready.tasks import length_prompt as stating


@dataclass(frozen=True)
class Arm:
    """One setting; ``stated``: the tokens asked for in the prompt, where nothing is forced."""

    budget: Budget
    stated: int | None = None

    @property
    def tokens(self) -> int | None:
        """The thinking tokens that are allowed or asked for; None in the untouched arm."""
        return self.stated or self.budget.thinking

    @property
    def name(self) -> str:
        if self.tokens is None:
            return "natural"
        more = f"+{self.budget.extensions}" if self.budget.extensions else ""
        more += f"~{self.budget.bias:g}" if self.budget.bias else ""
        return f"stated {self.stated}" if self.stated else f"{self.tokens}{more}"


@dataclass(frozen=True)
class Arms:
    """All settings of an evaluation; the others are held against the main arms: budgets alone, or the first setting."""

    untouched: Arm
    main: tuple[Arm, ...]  # by growing budget; the untouched arm alone in a natural run
    others: tuple[Arm, ...]
    stated: tuple[Arm, ...]

    @property
    def all(self) -> tuple[Arm, ...]:
        return tuple(dict.fromkeys((self.untouched, *self.main, *self.others, *self.stated)))

    def beside(self, arm: Arm) -> Arm:
        """The main arm of the same budget."""
        return next(a for a in self.main if a.tokens == arm.tokens)


def arms_of(config: EvaluateConfig) -> Arms:
    """The settings a configuration asks for; UserError for budgets, extensions or biases that make no sense."""
    if not config.thinking_budgets:
        raise UserError("no budgets are given")
    for name in ("thinking_budgets", "num_waits", "end_think_bias"):
        values = getattr(config, name)
        if not values or len(set(values)) != len(values):
            raise UserError(f"{name} repeat: {', '.join(map(str, values))}" if values else f"no {name} are given")
    stating.check(config.length_prompt)
    if config.unconstrained and (any(config.num_waits) or any(config.end_think_bias) or config.length_prompt):
        raise UserError(
            "unconstrained=true measures models untouched: leave out num_waits, end_think_bias and length_prompt"
        )
    if config.max_response_tokens < 0:
        raise UserError(f"max_response_tokens must not be negative, got {config.max_response_tokens}")
    sizes = sorted(config.thinking_budgets)
    grid = {
        (e, bias): [Arm(Budget(b, config.max_answer_tokens, e, bias)) for b in sizes]
        for e in config.num_waits
        for bias in config.end_think_bias
    }
    untouched = Arm(Budget(None, config.max_response_tokens or 4 * (sizes[-1] + config.max_answer_tokens)))
    if config.unconstrained:
        return Arms(untouched, (untouched,), (), ())
    first, *others = (grid[setting] for setting in sorted(grid, key=any))  # nothing but the budget comes first
    stated = [Arm(untouched.budget, b) for b in sizes] if config.length_prompt else []
    return Arms(untouched, tuple(first), tuple(a for each in others for a in each), tuple(stated))


def way(line: Mapping[str, Any]) -> str:
    """How an arm or a curve spends its tokens, in words."""
    if line["stated"]:
        return "stated in the prompt"
    words = [f"{line['extensions']:g} extensions" if line["extensions"] else ""]
    words.append(f"bias {line['bias']:g}" if line["bias"] else "")
    return ", ".join(filter(None, words)) or "budget alone"
