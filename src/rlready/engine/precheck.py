"""What can be known about sampling before any weights are loaded.

Tokenizer, configuration and chat template tell whether a model thinks, and whether its vocabulary can write the texts
that a run inserts.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.core.config.format import format_of
from rlready.core.errors import UserError
from rlready.engine.available import check_engine
from rlready.engine.budget import Budget, BudgetState
from rlready.engine.protocol import forcing_for
from rlready.models.checkpoint import load_without_weights
from rlready.models.lm import LM
from rlready.tasks.length_prompt import refuse_unknown_words

SamplingConfig = RLConfig | ReadinessConfig | EvaluateConfig


def check_sampling(config: SamplingConfig, sources: Sequence[str]) -> bool:
    """Whether any of the models thinks.

    Raises UserError if the engine cannot be used here, if a setting needs a thought that a model does not have, and if
    a model's vocabulary cannot write a delimiter, an answer prefix, a wait or a length prompt.
    """
    check_engine(config.engine, config.device)
    models = [load_without_weights(source, **format_of(config)) for source in sources]
    for lm in models:
        if not lm.thinks:
            _refuse_settings_of_thoughts(config, lm)
        forcing = forcing_for(lm, wait_text_of(config), config.answer_prefix)
        if isinstance(config, EvaluateConfig):
            for bias in config.end_think_bias:
                BudgetState(Budget(1, 1, end_think_bias=bias), forcing)
            refuse_unknown_words(config.length_prompt, config.thinking_budgets or (), lm)
        elif isinstance(config, RLConfig):
            refuse_unknown_words(config.length_prompt, length_targets(config, lm), lm)
    return any(lm.thinks for lm in models)


def wait_text_of(config: SamplingConfig) -> str:
    """The text that replaces the end of a thought, empty where no setting asks for that."""
    if isinstance(config, ReadinessConfig):
        return ""
    waits = config.num_waits if isinstance(config, EvaluateConfig) else (config.num_waits,)
    return config.wait_text if any(waits) else ""


def length_targets(config: RLConfig, lm: LM) -> tuple[int, ...]:
    """The target lengths of RL: thinking tokens, or tokens of the response for a model that does not think."""
    limit = config.thinking_budget if lm.thinks else (config.thinking_budget or 0) + config.max_answer_tokens
    return config.length_targets or (limit,)


def _refuse_settings_of_thoughts(config: SamplingConfig, lm: LM) -> None:
    """Raise UserError if a setting is about the thought; a length prompt is, where it asks for thinking budgets."""
    names = ["answer_prefix", "num_waits", "end_think_bias"]
    names += ["length_prompt"] if isinstance(config, EvaluateConfig) else []
    for name in names:
        if name in type(config).model_fields and getattr(config, name) != type(config).model_fields[name].default:
            raise UserError(
                f"{name} needs a model that thinks, but the chat template of {lm.source} opens no thought; leave "
                f"{name} out, or give delimiters=OPEN,CLOSE"
            )
