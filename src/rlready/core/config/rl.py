"""Settings of ``rlready rl``."""

from functools import partial
from typing import Literal, Self

from pydantic import model_validator

from rlready.core.config import texts
from rlready.core.config.checks import REFERENCE_AT, check_length_prompt, check_reference_at
from rlready.core.errors import UserError
from rlready.core.explain import similar
from rlready.core.settings import (
    Alpha,
    Coefficient,
    Config,
    Count,
    Delimiters,
    Device,
    Distributed,
    EngineName,
    GradNorm,
    LearningRate,
    Place,
    PositiveCoefficient,
    Precision,
    Preset,
    Rank,
    Samples,
    Seed,
    Share,
    Temperature,
    Texts,
    TokenCounts,
    Tokens,
    Waits,
    WeightDecay,
    option,
)

ReturnType = Literal["reward_to_go", "full_return", "uniform"]
ScaleRewards = Literal["std", "zscore", "none"]
Reward = Literal["correctness", "arora_zanette", "grpo_lambda", "dapo_overlong", "lcpo_exact", "lcpo_max"]
ImportanceCorrection = Literal["none", "token", "sequence"]
ALGORITHMS = ("grpo", "dr_grpo", "rloo", "dapo", "dense")
TARGETED = ("dapo_overlong", "lcpo_exact", "lcpo_max")  # rewards with a target length
BOUNDED_REWARDS = ("arora_zanette", "grpo_lambda", "dapo_overlong")  # a coefficient above 1 would favour wrong answers
dense_option = partial(option, applies_to={"algorithm": ("dense",)})


class RLConfig(Config):
    """Reinforcement learning with verifiable rewards. It starts from any checkpoint."""

    model: Place = option(
        "embedded",
        "Checkpoint to start from: embedded, a Hugging Face folder or a hub id. Required unless the data is DAG maths.",
    )
    problems: Preset[Place] = option(
        None, f"Problems to train on: {texts.SOURCE}. Required unless the model is embedded. {texts.VERIFIER}"
    )
    validation: Preset[str] = option(
        None,
        "Problems that are never trained on; the checkpoint with the highest accuracy on them is chosen. By default a "
        "tenth of problems (at least 16, at most 200 and a third) is held out.",
    )
    algorithm: str = option(
        "dr_grpo",
        f"Advantage, normaliser and clip range: {', '.join(ALGORITHMS)} (a reward for each token, from two "
        "checkpoints of an SFT run), or your own as pkg.module:NAME.",
    )
    loss: str = option("", "Your own loss as pkg.module:function. By default the clipped policy loss.")
    steps: Count = option(50, "Number of RL steps; each samples one batch of rollouts.")
    prompts_per_step: Count = option(16, "Number of problems in a batch of rollouts.")
    group_size: int = option(16, "Number of rollouts for each problem (num_generations in TRL).", ge=2, le=10_000)
    updates_per_batch: Samples = option(
        1, "Number of optimiser steps on each batch of rollouts. Above 1 the importance ratio is clipped."
    )
    learning_rate: Preset[LearningRate] = option(
        None, "Learning rate, constant after a short warm-up. By default chosen from the model's size."
    )
    weight_decay: WeightDecay = option(0.0, "Weight decay of AdamW.")
    lora_r: Rank = option(0, texts.LORA_R)
    lora_alpha: Alpha | None = option(None, texts.LORA_ALPHA, applies_to={"lora_r": ()})
    lora_target_modules: Texts = option((), texts.LORA_TARGET_MODULES, applies_to={"lora_r": ()})
    max_grad_norm: GradNorm = option(1.0, "Gradients with a larger norm are scaled down to this norm.")
    epsilon: Share | None = option(
        None,
        "The importance ratio is clipped from below at 1 - epsilon. By default the value of the algorithm, 0.2.",
    )
    epsilon_high: Coefficient | None = option(
        None,
        "The importance ratio is clipped from above at 1 + epsilon_high. By default 0.28 for dapo, otherwise 0.2.",
    )
    importance_correction: ImportanceCorrection = option(
        "token",
        "Corrects the policy gradient where the engine that sampled and the learner differ in rounding, by the ratio "
        "of their probabilities: of each token, or of the whole response (sequence). It is 1 where they agree.",
    )
    importance_cap: PositiveCoefficient = option(
        2.0,
        "Largest importance weight; a larger one is truncated to it.",
        applies_to={"importance_correction": ("token", "sequence")},
        ge=1,
    )
    kl_coef: Coefficient = option(
        0.0, "Weight of the KL penalty towards the starting checkpoint (beta in TRL). With 0 no second model is loaded."
    )
    reward: Reward = option(
        "correctness",
        "Reward of a response: correctness alone, or correctness with a length penalty that is named after its "
        "paper. No wrong answer ever gets a higher reward than a correct one of its group.",
    )
    reward_coef: PositiveCoefficient | None = option(
        None, "Coefficient of the length penalty. By default the value in its paper."
    )
    length_targets: TokenCounts = option(
        (),
        "Target lengths for dapo_overlong, lcpo_exact and lcpo_max, in thinking tokens, or in tokens of the response "
        "for a model that does not think; one is chosen at random for each problem. By default their limit.",
        applies_to={"reward": TARGETED, "length_prompt": ()},
    )
    length_prompt: str = option(
        "", "Text that is added to the prompt and states the target length, such as ' Use {N} tokens.' By default none."
    )
    reference: Place | None = dense_option(
        None,
        "Dense rewards: earlier checkpoint whose log-probabilities are subtracted; 'none' subtracts nothing. By "
        "default the one that the model's SFT run kept.",
    )
    reference_at: Share = dense_option(
        REFERENCE_AT, "Dense rewards: share of the SFT run's samples after which the reference was kept."
    )
    force_reference: bool = dense_option(
        False, "Dense rewards: accept a reference from another SFT run or with another tokenizer."
    )
    return_type: ReturnType = dense_option(
        "reward_to_go",
        "Dense rewards: the return of a token sums the rewards from that token to the end (reward_to_go) or of the "
        "whole response (full_return); uniform first distributes the rewards evenly over the tokens.",
    )
    gamma: Share = dense_option(
        1.0, "Dense rewards: discount factor per token. With 0 a token is credited with its immediate reward only."
    )
    scale_rewards: ScaleRewards = dense_option(
        "std",
        "Dense rewards: the rewards of a batch are divided by their standard deviation (std), standardised (zscore) "
        "or left as they are (none).",
    )
    reward_clip: Coefficient = dense_option(
        0.0, "Dense rewards: largest absolute value of a token's scaled reward. 0 means no clipping."
    )
    beta: Coefficient = dense_option(
        1.0, "Dense rewards: weight of the KL divergence from the starting checkpoint in the reward, after scaling."
    )
    dense_weight: Share = dense_option(
        1.0, "Dense rewards: their share of the advantage; the rest comes from the verifier's reward."
    )
    stop_on_drift: bool = dense_option(
        False, "Dense rewards: stop the run if entropy collapses or lengths drift, instead of only warning."
    )
    temperature: Temperature = option(1.0, "Sampling temperature of rollouts.")
    thinking_budget: Preset[Tokens] = option(None, texts.THINKING_BUDGET + " The closing tokens are not in the loss.")
    max_answer_tokens: Preset[Tokens] = option(None, texts.MAX_ANSWER_TOKENS)
    apply_chat_template: bool = option(True, texts.APPLY_CHAT_TEMPLATE)
    delimiters: Delimiters = option((), texts.DELIMITERS)
    answer_prefix: str = option("", texts.ANSWER_PREFIX)
    num_waits: Waits = option(
        0,
        "How many times an early end of the thought is replaced in rollouts. Leave it at 0: a published replication "
        "(GSM8K, Qwen2.5 3B and 7B) saw accuracy fall from 77.6 to 67.9 and from 84.1 to 39.8.",
    )
    wait_text: str = option(
        "Wait", "Text that replaces the end of the thought; it is not in the loss.", applies_to={"num_waits": ()}
    )
    max_tokens_per_microbatch: Tokens = option(16384, texts.MICROBATCH)
    gradient_checkpointing: bool = option(False, texts.CHECKPOINTING)
    eval_every: Count = option(10, "Number of steps between evaluations on the validation problems.")
    save_total_limit: Count | None = option(
        None,
        "Largest number of checkpoints that are kept: the best on the validation problems, then the newest. By default "
        "all; there is one for each evaluation.",
    )
    keep_samples: Count | None = option(
        None,
        "Number of the newest steps whose rollouts stay in samples/; files of a hundred older steps are deleted whole. "
        "By default all.",
    )
    eval_samples: Samples = option(4, "Number of samples for each validation problem.")
    patience: Count = option(
        8, "Stop after this many steps in a row in which no group was informative, so that there was no gradient."
    )
    seed: Seed = option(0, "Seed of the order of problems and of the rollouts.")
    engine: EngineName = option(
        "torch",
        texts.ENGINE + ", or http://HOST:PORT of a vLLM server that was started with VLLM_SERVER_DEV_MODE=1 and shares "
        "the disk of the run folder.",
    )
    device: Preset[Device] = option("auto", texts.DEVICE)
    dtype: Preset[Precision] = option(None, texts.DTYPE)
    distributed: Distributed = option("ddp", texts.DISTRIBUTED)
    several_processes = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.engine == "vllm-server":
            raise UserError(
                "engine=vllm-server: RL needs a server on GPUs of its own; start it, and give its address as engine="
            )
        check_reward_coef(self.reward, self.reward_coef)
        check_length_prompt(self.length_prompt)
        check_algorithm(self.algorithm)
        if self.loss and ":" not in self.loss:
            raise UserError(f"loss={self.loss}: write it as pkg.module:name")
        if self.algorithm != "dense":
            return self
        check_reference_at(self.reference, self.reference_at)
        if self.kl_coef:
            raise UserError(
                "kl_coef does not apply to algorithm=dense, which has a KL term inside its reward: use beta instead"
            )
        if self.dense_weight == 1 and self.reward != "correctness":
            raise UserError(f"reward={self.reward} does not apply to dense_weight=1; set dense_weight below 1")
        if self.return_type == "full_return" and self.gamma == 0:
            raise UserError(
                "return_type=full_return with gamma=0 credits only the first token of a response; "
                "use return_type=reward_to_go"
            )
        return self

    def extendable(self) -> tuple[str, ...]:
        """Steps: the warm-up stays that of the number of steps that the run began with."""
        return ("steps",)


def check_algorithm(name: str) -> None:
    """UserError unless it is the name of an algorithm or an import path."""
    if name not in ALGORITHMS and ":" not in name:
        hint = similar(name, ALGORITHMS) or "give your own algorithm as pkg.module:NAME"
        raise UserError(f"algorithm={name} is not one of {', '.join(ALGORITHMS)}; {hint}")


def check_reward_coef(reward: Reward, coef: float | None) -> None:
    """UserError for a coefficient without effect, or one that could let a wrong answer outrank a correct one."""
    if coef is not None and coef <= 0:
        raise UserError(f"reward_coef must be above 0, got {coef:g}")
    if coef is not None and reward == "correctness":
        raise UserError(
            f"reward_coef={coef:g} does not apply to reward=correctness; choose another reward, such as arora_zanette"
        )
    if coef is not None and reward in BOUNDED_REWARDS and coef > 1:
        raise UserError(
            f"reward_coef of reward={reward} must be at most 1, so that no wrong answer gets a higher reward than a "
            f"correct one; got {coef:g}"
        )
