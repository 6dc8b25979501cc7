"""One model's samples under every setting of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlready.core.config import EvaluateConfig
from rlready.core.errors import UserError
from rlready.core.progress import counted
from rlready.core.records import Group, Problem
from rlready.engine.budget import Budget, Forcing
from rlready.engine.contrastive import Contrast
from rlready.engine.factory import open_engine
from rlready.engine.precheck import wait_text_of
from rlready.engine.protocol import Engine, budget_for, forcing_for, requests_for
from rlready.evaluate.budgets_from_trace import Sampling, draw_at_budgets
from rlready.evaluate.settings import Setting, Settings
from rlready.models.lm import LM
from rlready.tasks import Task
from rlready.tasks.length_prompt import with_length_prompt


@dataclass(frozen=True)
class Drawer:
    """Draws a model's samples; ``plain`` is the engine of the model alone, ``engine`` may decode contrastively.

    ``max_response`` is the maximum number of tokens of an unconstrained response.
    """

    config: EvaluateConfig
    settings: Settings
    lm: LM
    task: Task
    plain: Engine
    engine: Engine
    max_response: int

    def draw(self, problems: Sequence[Problem]) -> dict[Setting, list[Group]]:
        """The groups under every setting; the unconstrained ones are of the model alone."""
        settings, lm = self.settings, self.lm
        budgets = {setting: self._budget(setting) for setting in settings.all}
        sampling = Sampling(self.config.samples, self.config.temperature, self.config.seed)
        forced = [s for s in settings.all if s.prompted is None]
        # a contrastive policy cannot continue a trace of the model alone
        apart = (settings.unconstrained,) if settings.unconstrained and self.engine is not self.plain else ()
        alone = draw_at_budgets(self.plain, lm, self.task, problems, [budgets[s] for s in apart], sampling)
        rest = [budgets[s] for s in forced if s not in apart]
        found = draw_at_budgets(self.engine, lm, self.task, problems, rest, sampling)
        drawn = {setting: (alone if setting in apart else found)[budgets[setting]] for setting in forced}
        for setting in settings.length_prompted:
            asked = [with_length_prompt(p, self.config.length_prompt, setting.prompted or 0) for p in problems]
            budget = budgets[setting]
            drawn[setting] = draw_at_budgets(self.engine, lm, self.task, asked, [budget], sampling)[budget]
        for setting, groups in drawn.items():
            if budgets[setting].thinking_budget is None:
                drawn[setting] = [self._counted(group) for group in groups]
        return drawn

    def _budget(self, setting: Setting) -> Budget:
        """The budget of a setting; for a model without thoughts, thinking budget and answer share one response cap."""
        budget = setting.budget
        if setting.limit:
            return budget
        if budget.thinking_budget is None:
            return replace(budget, max_answer_tokens=self.max_response)
        return budget if self.lm.thinks else budget_for(self.lm, budget.thinking_budget, budget.max_answer_tokens)

    def _counted(self, group: Group) -> Group:
        """A group of unforced samples with the tokens inside and outside of thoughts counted apart."""
        opened = self.lm.thinks and self.lm.decode(group.prompt_ids).rstrip().endswith(self.lm.open)
        samples = []
        for s in group.samples:
            thinking, answer = unforced_lengths(s.tokens.tolist(), self.engine.forcing, opened)
            samples.append(replace(s, thinking_tokens=thinking, answer_tokens=answer))
        return replace(group, samples=samples)


def drawer_for(
    config: EvaluateConfig,
    settings: Settings,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    contrast: Contrast | None = None,
) -> Drawer:
    """Check everything before the first draw, and return the drawer.

    Raises UserError if no wait fits in the budgets, or if the context is too short.
    """
    asked = problems
    if settings.length_prompted:
        asked = [with_length_prompt(p, config.length_prompt, settings.largest.tokens or 0) for p in problems]
    max_response = _within_context(settings, lm, asked)
    forcing = forcing_for(lm, wait_text_of(config), config.answer_prefix)
    if len(forcing.wait_ids) >= (settings.largest.tokens or math.inf):
        raise UserError(
            f"wait_text={config.wait_text!r} has {len(forcing.wait_ids)} tokens, which is no fewer than the "
            "largest budget: no wait would ever fit; choose a shorter text or a larger budget"
        )
    plain = open_engine(config.engine, lm, forcing)
    engine = open_engine(config.engine, lm, forcing, contrast=contrast) if contrast else plain
    drawer = Drawer(config, settings, lm, task, plain, engine, max_response)
    if not config.unconstrained:  # every prompt leaves room for the largest budget
        requests_for(lm, problems, 1, drawer._budget(settings.largest), forcing.answer_prefix_ids)
    return drawer


def unforced_lengths(tokens: Sequence[int], forcing: Forcing, opened: bool) -> tuple[int, int]:
    """(thinking, answer) tokens of a response without forced tokens, over all its thoughts.

    Delimiters count as neither.  ``opened`` says whether the prompt opens a thought.
    """
    counts, inside, begin = {True: 0, False: 0}, opened, 0
    for at, token in enumerate(tokens):
        turn = forcing.delimiter if inside else forcing.opener
        if turn and token in turn.completing and (held := turn.length(tokens[begin : at + 1])):
            counts[inside] += at + 1 - held - begin
            inside, begin = not inside, at + 1
    counts[inside] += len(tokens) - begin
    return counts[True], counts[False]


def _within_context(settings: Settings, lm: LM, problems: Sequence[Problem]) -> int:
    """The maximum number of tokens of an unconstrained response that fit in the context after any of the prompts."""
    prompts = counted("tokenising", problems, "prompts")
    most, where = max((len(lm.prompt_ids(p.prompt, p.system, think=False)), p.id) for p in prompts)
    room = lm.context - most
    if room < 1:
        raise UserError(f"problem {where}: a prompt of {most} tokens fills the context of {lm.source}")
    return min((settings.unconstrained or settings.largest).budget.max_answer_tokens, room)
