"""Settings of training that are refused before anything is loaded."""

from __future__ import annotations

import numpy as np

from rlready.core.config import RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.progress import warn
from rlready.credit.algorithms import algorithm_named
from rlready.credit.reward import RewardFn
from rlready.models.lm import LM
from rlready.tasks import length_prompt
from rlready.train.loss import loss_named

DEFAULTS = RLConfig()
DENSE_ONLY = (
    *(
        "reference",
        "reference_at",
        "force_reference",
        "return_type",
        "gamma",
        "scale_rewards",
        "reward_clip",
        "beta",
        "dense_weight",
    ),
    "stop_on_drift",
)


def check(config: SFTConfig | RLConfig) -> None:
    """UserError for settings of the optimiser and the seed that are out of range."""
    for name in ("learning_rate", "max_grad_norm"):
        if not getattr(config, name) > 0:
            raise UserError(f"{name} must be above 0, got {getattr(config, name):g}")
    for name in ("seed", "weight_decay"):
        if not getattr(config, name) >= 0:
            raise UserError(f"{name} must not be negative, got {getattr(config, name):g}")


def check_rl(config: RLConfig) -> None:
    if config.group_size < 2:
        raise UserError(f"group_size must be at least 2 for group-relative credit, got {config.group_size}")
    if not config.kl_coef >= 0:
        raise UserError(f"kl_coef must not be negative, got {config.kl_coef:g}")
    RewardFn(config.reward, config.reward_coef)
    algorithm_named(config.algorithm)
    loss_named(config.loss)
    length_prompt.refuse_without_placeholder(config.length_prompt)
    if any(target < 1 for target in config.length_targets):
        raise UserError(f"length_targets must be at least 1 token, got {', '.join(map(str, config.length_targets))}")
    if config.temperature <= 0:
        raise UserError(f"temperature must be above 0 for rollouts, got {config.temperature}")
    for name in ("steps", "prompts_per_step", "updates_per_batch", "eval_every", "eval_samples", "patience"):
        if getattr(config, name) < 1:
            raise UserError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.algorithm == "dense":
        _check_dense(config)
    elif idle := [name for name in DENSE_ONLY if getattr(config, name) != getattr(DEFAULTS, name)]:
        raise UserError(f"{idle[0]} has no effect with algorithm={config.algorithm}; it belongs to algorithm=dense")


def check_thought(config: RLConfig, lm: LM) -> None:
    """UserError for settings that count thinking tokens, by a model that does not think."""
    for name in ("reward", "length_targets", "length_prompt", "answer_prefix", "num_waits"):
        if not lm.thinks and getattr(config, name) != getattr(DEFAULTS, name):
            raise UserError(
                f"{name} needs a model that thinks, but the chat template of {config.model} opens no thought; leave "
                f"{name} out, or give delimiters=OPEN,CLOSE"
            )


def _check_dense(config: RLConfig) -> None:
    for name, high in (
        ("gamma", 1.0),
        ("dense_weight", 1.0),
        ("reference_at", 1.0),
        ("beta", np.inf),
        ("reward_clip", np.inf),
    ):
        if not 0 <= getattr(config, name) <= high:
            wanted = "not be negative" if high == np.inf else "lie in [0, 1]"
            raise UserError(f"{name} must {wanted}, got {getattr(config, name):g}")
    if config.return_type == "full_return" and config.gamma == 0:
        raise UserError(
            "return_type=full_return with gamma=0 rewards the first token of a response only; choose "
            "return_type=reward_to_go"
        )
    if config.kl_coef:
        raise UserError("kl_coef does not apply to algorithm=dense, whose KL penalty is inside the reward: use beta")
    if config.beta == 0 and not config.stop_on_drift:
        warn(
            "rl: warning: beta=0 removes the KL penalty, so the policy can collapse; set beta > 0 or stop_on_drift=true"
        )
