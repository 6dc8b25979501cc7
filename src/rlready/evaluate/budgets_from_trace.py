"""The samples of every budget from one trace.

A sample is drawn once, at the largest budget.  For a smaller budget its trace is truncated there, the thought closed,
and only the answer is generated.  As a draw's random numbers depend on its position alone, this equals a separate run
at every budget, and the budgets are paired.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlready.core.records import Group, Problem
from rlready.engine.budget import Budget
from rlready.engine.protocol import Engine, requests_for
from rlready.engine.rollout import draw_groups
from rlready.models.lm import LM
from rlready.tasks import Task

GroupsByBudget = dict[Budget, list[Group]]


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn: ``samples`` per problem and budget."""

    samples: int
    temperature: float
    seed: int


def draw_at_budgets(
    engine: Engine, lm: LM, task: Task, problems: Sequence[Problem], budgets: Sequence[Budget], sampling: Sampling
) -> GroupsByBudget:
    """Groups at every budget: unconstrained ones first, then the largest, each smaller one from the next larger.

    A thought with waits begins like one with fewer waits, and like the unconstrained thought if the prompts are equal;
    a different bias gives a different trace.
    """
    found: GroupsByBudget = {}
    for budget in sorted(budgets, key=_order):
        requests = requests_for(lm, problems, sampling.samples, budget, engine.forcing.answer_prefix_ids)
        parent = _parent(budget, found)
        if parent:
            prompts = {g.problem.id: g.prompt_ids for g in found[parent]}
            traces = {(s.problem_id, s.sample_id): s for g in found[parent] for s in g.samples}
            requests = [
                replace(r, trace=traces[r.problem_id, r.sample_id]) if prompts[r.problem_id] == r.prompt_ids else r
                for r in requests
            ]
        found[budget] = draw_groups(
            engine, lm, task, problems, requests, temperature=sampling.temperature, seed=sampling.seed
        )
    return found


def _order(budget: Budget) -> tuple[bool, float, int, int, int]:
    limits = -(budget.thinking_budget or 0), -budget.max_answer_tokens
    return budget.thinking_budget is not None, budget.end_think_bias, budget.num_waits, *limits


def _parent(budget: Budget, found: GroupsByBudget) -> Budget | None:
    """The budget already drawn that shares the longest part of its traces with this one."""
    fits = [
        b
        for b in found
        if b.end_think_bias == budget.end_think_bias
        and b.num_waits <= budget.num_waits
        and (b.thinking_budget or math.inf) >= (budget.thinking_budget or math.inf)
    ]

    def reach(b: Budget) -> tuple[bool, int, int]:
        return b.thinking_budget is not None, b.num_waits, -(b.thinking_budget or 0)

    return max(fits, key=reach, default=None)
