"""What a user can set: one frozen pydantic model per verb; the description of a field is its ``--help``.

Constraints stand at the field, those between fields in a validator of the model, so that a configuration that exists
is one that can be meant.  What depends on the model that is trained or measured is `Preset`: None until
``models/preset.py`` has looked at the model.  Free of heavy imports: ``rlready --help`` reads this file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from rlready.core.errors import UserError
from rlready.core.presets import DEMO_TASK

T = TypeVar("T")
ReturnType = Literal["reward_to_go", "full_return", "uniform"]
ScaleRewards = Literal["std", "zscore", "none"]
Reward = Literal["correctness", "arora_zanette", "grpo_lambda", "dapo_overlong", "lcpo_exact", "lcpo_max"]
Precision = Literal["float32", "bfloat16"]
Share = Annotated[float, Field(ge=0, le=1)]
InnerShare = Annotated[float, Field(gt=0, lt=1)]

LENGTH_PLACE = re.compile(r"\{N(?:/([1-9][0-9]{0,5}))?\}")  # where a length stands in a text
DENSE_ONLY = (
    *("reference", "reference_at", "force_reference", "return_type", "gamma", "scale_rewards", "reward_clip"),
    *("beta", "dense_weight", "stop_on_drift"),
)
BOUNDED_REWARDS = ("arora_zanette", "grpo_lambda", "dapo_overlong")  # a coefficient above 1 would favour wrong answers

if TYPE_CHECKING:
    Preset = Annotated[T, "None until resolved"]  # whoever computes with a configuration has a resolved one
else:
    Preset = Optional


def _tuple_of(kind: Callable[[str], Any]) -> BeforeValidator:
    """Lists become tuples; a text, as it stands on the command line, is split at its commas."""

    def convert(value: object) -> object:
        if isinstance(value, str):
            try:
                return tuple(kind(part.strip()) for part in value.split(",") if part.strip())
            except ValueError:
                return value
        return tuple(value) if isinstance(value, list) else value

    return BeforeValidator(convert)


Texts = Annotated[tuple[str, ...], _tuple_of(str)]
PositiveInts = Annotated[tuple[PositiveInt, ...], _tuple_of(int)]
NonNegativeInts = Annotated[tuple[NonNegativeInt, ...], _tuple_of(int)]
Floats = Annotated[tuple[float, ...], _tuple_of(float)]
InnerShares = Annotated[tuple[InnerShare, ...], _tuple_of(float)]


def check_delimiters(texts: tuple[str, ...]) -> tuple[str, ...]:
    """UserError unless there are none, or two different texts."""
    if texts and (len(texts) != 2 or not all(texts) or texts[0] == texts[1]):
        raise UserError(f"delimiters are two different texts, OPEN,CLOSE; got {', '.join(map(repr, texts))}")
    return texts


Delimiters = Annotated[Texts, AfterValidator(check_delimiters)]


def option(default: Any, text: str, **constraints: Any) -> Any:
    """A field with its help text; ``constraints`` are those of `pydantic.Field`."""
    return Field(default, description=text, **constraints)


class Config(BaseModel):
    """What all configurations share: frozen, no unknown settings, no conversion between types.

    Raises UserError, in one line, for settings that do not fit.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # help needs the fields only
    )

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            from rlready.core.options import explain  # which reads the fields of this class

            raise UserError(explain(error, type(self))) from None

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some settings, validated like a new one."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**given | changes)


DELIMITERS = (
    "Texts that open and close the thought, as OPEN,CLOSE. By default they are found in the chat template; give them "
    "where the template does not show them."
)
DEVICE = "Torch device, such as cpu, cuda or cuda:1. auto takes a GPU if there is one."
DTYPE = (
    "Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training, bfloat16 means "
    "float32 weights with bfloat16 arithmetic."
)
ANSWER_PREFIX = 'Text that is forced after a thought that was truncated at its budget, such as "Final Answer:".'
THINKING_BUDGET = (
    "Largest number of thinking tokens; the thought is closed there. By default chosen from the chat template and the "
    "context length."
)
MAX_ANSWER_TOKENS = (
    "Largest number of tokens after the thought. A model that does not think may use this and the thinking budget "
    "together. By default chosen with the thinking budget."
)
MICROBATCH = "Largest number of tokens in one forward pass, padding included; it bounds the memory needed."
SOURCE = "a file, a hub data set or a task such as gsm8k"


class SFTConfig(Config):
    """Supervised fine-tuning on worked examples; only response tokens are in the loss."""

    model: str = option("embedded", "Model to start from: embedded, a Hugging Face folder or a hub id.")
    rows: Preset[str] = option(None, f"Worked examples to train on: {SOURCE}. Required, but for the embedded model.")
    heldout: Preset[str] = option(
        None,
        "Worked examples that are never trained on; their loss is measured at every checkpoint. Required, but for the "
        "embedded model.",
    )
    epochs: PositiveFloat = option(2.0, "Number of passes over the examples.")
    learning_rate: Preset[PositiveFloat] = option(None, "Peak learning rate. By default chosen from the model's size.")
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = option(
        "linear", "How the learning rate decays after the warm-up."
    )
    warmup_ratio: Share = option(0.05, "Share of the steps over which the learning rate rises from zero.")
    weight_decay: NonNegativeFloat = option(0.0, "Weight decay of AdamW.")
    max_grad_norm: PositiveFloat = option(1.0, "Norm to which larger gradients are scaled down.")
    tokens_per_batch: Preset[PositiveInt] = option(
        None, "Tokens, prompts included, in one optimiser step. By default chosen from the model's size."
    )
    max_tokens_per_microbatch: PositiveInt = option(16384, MICROBATCH)
    save_every: PositiveFloat = option(0.5, "Number of epochs between checkpoints.")
    keep_at: InnerShares = option(
        (0.5,),
        "Shares of all training samples after which a checkpoint is also kept, as a reference for dense rewards.",
    )
    seed: NonNegativeInt = option(0, "Seed of the order of the examples.")
    device: Preset[str] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)


class InjectConfig(Config):
    """Make worked examples ready for RL: insert behaviours or make a baseline, and verify every step."""

    rows: str = option(
        "",
        "Worked examples: DAG maths, GSM8K, or a file of your own with a dag column or calculator annotations. "
        "Required.",
    )
    method: Literal["behaviours", "vanilla", "premises", "chains"] = option(
        "behaviours",
        "behaviours inserts them. vanilla leaves the examples as they are. premises and chains write each example "
        "four times, with its premises or its steps in another order (DAG maths only).",
    )
    behaviours: Texts = option(
        ("explore", "analyse", "compute"),
        "Which behaviours to insert: explore (trial and error), analyse (what is known), compute (sub-goals).",
    )
    p: Share = option(0.1, "Probability of trying another step first, before each step.")
    tokenizer: str = option(
        "", "Checkpoint whose tokenizer counts the added length in tokens. Empty counts words between spaces."
    )
    seed: NonNegativeInt = option(0, "Seed of the places of behaviours and of the orders.")


class RLConfig(Config):
    """Reinforcement learning with verifiable rewards, from any checkpoint."""

    model: str = option("embedded", "Checkpoint to start from: embedded, a Hugging Face folder or a hub id.")
    problems: Preset[str] = option(None, f"Problems to learn from: {SOURCE}. Required, but for the embedded model.")
    validation: Preset[str] = option(
        None,
        "Problems that are never trained on; accuracy on them chooses the checkpoint. Required, but for the embedded "
        "model.",
    )
    algorithm: str = option(
        "dr_grpo",
        "Advantage, normaliser and clip range: grpo, dr_grpo, rloo, dapo, dense (a reward for each token, from an SFT "
        "run), or one of your own as pkg.module:NAME.",
    )
    loss: str = option("", "A loss of your own as pkg.module:function. Empty is the clipped policy loss.")
    steps: PositiveInt = option(50, "Number of rollout batches to learn from.")
    prompts_per_step: PositiveInt = option(16, "Number of problems in a rollout batch.")
    group_size: int = option(16, "Number of rollouts of each problem.", ge=2)
    updates_per_batch: PositiveInt = option(
        1, "Optimiser steps on each rollout batch. Above 1 the importance ratio is clipped."
    )
    learning_rate: Preset[PositiveFloat] = option(
        None, "Learning rate, constant after a short warm-up. By default chosen from the model's size."
    )
    weight_decay: NonNegativeFloat = option(0.0, "Weight decay of AdamW.")
    max_grad_norm: PositiveFloat = option(1.0, "Norm to which larger gradients are scaled down.")
    epsilon: Share | None = option(
        None, "The importance ratio is clipped at 1 - epsilon from below. By default that of the algorithm, 0.2."
    )
    epsilon_high: NonNegativeFloat | None = option(
        None, "The importance ratio is clipped at 1 + epsilon_high from above. By default 0.28 for dapo, otherwise 0.2."
    )
    kl_coef: NonNegativeFloat = option(
        0.0, "Weight of the KL penalty towards the starting checkpoint. 0 holds no second model in memory."
    )
    reward: Reward = option(
        "correctness",
        "Reward of a response: its correctness alone, or with a length penalty named after its paper. In none of them "
        "does a wrong answer earn more than a right one.",
    )
    reward_coef: PositiveFloat | None = option(
        None, "Coefficient of the reward's length penalty. By default that of its paper."
    )
    length_targets: PositiveInts = option(
        (),
        "Target lengths in thinking tokens for dapo_overlong, lcpo_exact and lcpo_max; one is drawn for each problem. "
        "By default the thinking budget.",
    )
    length_prompt: str = option(
        "", "Text at the end of the prompt that states the target length, such as ' Use {N} tokens.' Empty adds none."
    )
    reference: str | None = option(
        None,
        "Dense rewards: checkpoint that the model is compared with; none compares with nothing. By default the one "
        "that the model's SFT run kept.",
    )
    reference_at: Share = option(
        0.5, "Dense rewards: share of the SFT run's samples after which the reference was kept."
    )
    force_reference: bool = option(
        False, "Dense rewards: accept a reference of another SFT run or with another tokenizer."
    )
    return_type: ReturnType = option(
        "reward_to_go",
        "Dense rewards: the return of a token is the sum of the rewards from it on (reward_to_go) or of the whole "
        "response (full_return), or the rewards are first spread evenly over the tokens (uniform).",
    )
    gamma: Share = option(
        1.0, "Dense rewards: discount factor for each token. 0 credits a token with its own reward only."
    )
    scale_rewards: ScaleRewards = option(
        "std",
        "Dense rewards: the rewards of a batch are divided by their standard deviation (std), standardised (zscore) "
        "or left as they are (none).",
    )
    reward_clip: NonNegativeFloat = option(
        0.0, "Dense rewards: largest absolute value of a token's scaled reward. 0 does not clip."
    )
    beta: NonNegativeFloat = option(
        1.0, "Dense rewards: weight of the KL divergence from the starting checkpoint in the reward, after scaling."
    )
    dense_weight: Share = option(
        1.0, "Dense rewards: their share of the credit; the verifier's reward has the remainder."
    )
    stop_on_drift: bool = option(
        False, "Dense rewards: stop the run when entropy collapses or lengths drift, instead of only warning."
    )
    temperature: PositiveFloat = option(1.0, "Sampling temperature of rollouts.")
    thinking_budget: Preset[PositiveInt] = option(
        None, THINKING_BUDGET + " The tokens that close it are not in the loss."
    )
    max_answer_tokens: Preset[PositiveInt] = option(None, MAX_ANSWER_TOKENS)
    delimiters: Delimiters = option((), DELIMITERS)
    answer_prefix: str = option("", ANSWER_PREFIX)
    num_waits: NonNegativeInt = option(
        0,
        "How many times an early end of the thought is replaced in rollouts. Leave it at 0: a published replication "
        "(GSM8K, Qwen2.5 3B and 7B) saw accuracy fall from 77.6 to 67.9 and from 84.1 to 39.8.",
    )
    wait_text: str = option("Wait", "Text that replaces the end of the thought; it is not in the loss.")
    max_tokens_per_microbatch: PositiveInt = option(16384, MICROBATCH)
    eval_every: PositiveInt = option(10, "Number of steps between evaluations on the validation problems.")
    eval_samples: PositiveInt = option(4, "Number of samples of each validation problem.")
    patience: PositiveInt = option(8, "Stop after this many steps in a row without a gradient.")
    seed: NonNegativeInt = option(0, "Seed of the order of problems and of the rollouts.")
    device: Preset[str] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _check_reward_coef(self.reward, self.reward_coef)
        check_length_prompt(self.length_prompt)
        if self.algorithm != "dense":
            for name in DENSE_ONLY:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise UserError(
                        f"{name} applies to algorithm=dense, not to algorithm={self.algorithm}; leave it out"
                    )
        elif self.kl_coef:
            raise UserError(
                "kl_coef does not apply to algorithm=dense, which has a KL term inside its reward: use beta instead"
            )
        elif self.return_type == "full_return" and self.gamma == 0:
            raise UserError(
                "return_type=full_return with gamma=0 credits only the first token of a response; "
                "use return_type=reward_to_go"
            )
        return self


class CreditConfig(Config):
    """Where dense rewards fall in a text: every token coloured by its reward."""

    reference: str | None = option(
        None, "Checkpoint to compare with; none compares with nothing. By default the one that the SFT run kept."
    )
    reference_at: Share = option(0.5, "Share of the SFT run's samples after which the reference was kept.")
    probe: str = option(
        "",
        "Worked examples: a number is changed in each, and the result says whether the lowest reward falls there. "
        "Empty skips it.",
    )
    seed: NonNegativeInt = option(0, "Seed of what is changed.")


class TemplateConfig(Config):
    """How a checkpoint's chat template is understood."""

    delimiters: Delimiters = option((), DELIMITERS)


class EvaluateConfig(Config):
    """Accuracy at every thinking budget, from one sampled trace per response."""

    models: Texts = option(("embedded",), "Checkpoints to compare.", min_length=1)
    problems: Preset[str] = option(None, f"Problems: {SOURCE}. Required, but for the embedded model.")
    thinking_budgets: Preset[PositiveInts] = option(
        None,
        "Thinking budgets in tokens. By default up to the budget that is chosen from the chat template and the context "
        "length.",
        min_length=1,
    )
    samples: PositiveInt = option(
        4, "Number of samples of each problem; majority vote and best-of-n choose among them."
    )
    temperature: NonNegativeFloat = option(1.0, "Sampling temperature. 0 is greedy decoding.")
    max_answer_tokens: Preset[PositiveInt] = option(None, MAX_ANSWER_TOKENS)
    answer_prefix: str = option("", ANSWER_PREFIX)
    num_waits: NonNegativeInts = option(
        (0,), "How many times an early end of the thought is replaced, such as 0,1,2,4.", min_length=1
    )
    wait_text: str = option("Wait", "Text that replaces the end of the thought.")
    end_think_bias: Floats = option(
        (0.0,),
        "Nats added to the log-odds of ending the thought, wherever the budget leaves that to the model, such as "
        "0,1,2.",
        min_length=1,
    )
    length_prompt: str = option(
        "",
        "Text at the end of the prompt that asks for every budget without enforcing it, such as "
        "' Think for at most {N} tokens.' Empty asks for none.",
    )
    delimiters: Delimiters = option((), DELIMITERS)
    unconstrained: bool = option(False, "Measure the models only with their own prompt and stop, without any budget.")
    max_response_tokens: PositiveInt | None = option(
        None,
        "Largest number of tokens of an unconstrained response. By default four times the largest budget and answer "
        "together, within the context.",
    )
    reference: str = option(
        "",
        "Contrastive decoding: checkpoint to decode away from, by sampling from model^(1+1/beta) / "
        "reference^(1/beta). Empty decodes normally.",
    )
    beta: PositiveFloat = option(
        1.0,
        "Contrastive decoding: its inverse strength. Logits are shifted by (1/beta) times the log-ratio of model and "
        "reference, so smaller is stronger. To match rl, use its beta times the dense_scale in its log.",
    )
    seed: NonNegativeInt = option(0, "Seed of the samples.")
    device: Preset[str] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("models", "thinking_budgets", "num_waits", "end_think_bias"):
            values = getattr(self, name) or ()
            if len(set(values)) != len(values):
                raise UserError(f"{name} repeat a value: {', '.join(map(str, values))}; name each once")
        check_length_prompt(self.length_prompt)
        if self.unconstrained and (any(self.num_waits) or any(self.end_think_bias) or self.length_prompt):
            raise UserError(
                "unconstrained=true measures models without a budget: leave out num_waits, end_think_bias and "
                "length_prompt"
            )
        if self.unconstrained and self.reference:
            raise UserError(
                "unconstrained=true measures models as they are, reference decodes away from another one: leave one out"
            )
        return self


class ReadinessConfig(Config):
    """What a checkpoint is worth as a start for RL, without training anything."""

    checkpoints: Texts = option(
        ("embedded",),
        "Checkpoints in the order of training: Hugging Face folders, hub ids, or tables of samples drawn elsewhere, "
        "such as TABLE.parquet?problem=id&correct=passed.",
        min_length=1,
    )
    heldout: Preset[str] = option(
        None,
        "Worked examples for the held-out loss. Empty skips the held-out loss, which is also the default, but for the "
        "embedded model.",
    )
    problems: Preset[str] = option(
        None,
        f"Problems to sample: {SOURCE}. Required, but for the embedded model and for tables of samples with verdicts.",
    )
    samples: PositiveInt = option(
        64, "Largest number of samples of a problem; pass@k is estimated for every k up to it."
    )
    sampling: Literal["adaptive", "full"] = option(
        "adaptive",
        "adaptive stops sampling a problem after min_samples once one was right (for more than 32 samples); full draws "
        "all samples.",
    )
    min_samples: PositiveInt | None = option(
        None, "Samples of every problem before sampling may stop. By default group_size, and at least 8."
    )
    temperature: PositiveFloat = option(1.0, "Sampling temperature.")
    thinking_budget: Preset[PositiveInt] = option(None, THINKING_BUDGET)
    max_answer_tokens: Preset[PositiveInt] = option(None, MAX_ANSWER_TOKENS)
    delimiters: Delimiters = option((), DELIMITERS)
    answer_prefix: str = option("", ANSWER_PREFIX)
    group_size: PositiveInt = option(
        16, "Group size planned for RL: the share of informative groups is estimated for groups of this size."
    )
    influence: bool = option(
        False, "Also measure how a gradient step on one problem changes the others; tables of samples have none."
    )
    influence_layers: Texts = option(
        (), "Parts of the model whose gradients are compared, such as layers.3 or mlp. By default all of it."
    )
    influence_rank: NonNegativeInt = option(
        0, "Project each matrix's gradient to rank x rank, for large models. 0 keeps the exact gradients."
    )
    seed: NonNegativeInt = option(0, "Seed of the samples.")
    device: Preset[str] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.influence and min(self.samples, self.group_size, self.min_samples or self.group_size) < 2:
            raise UserError(
                "influence needs right and wrong samples of a problem: samples, group_size and min_samples must be at "
                "least 2"
            )
        return self


class PredictConfig(Config):
    """Which checkpoint RL should start from, and how far each predictor of RL outcomes can be trusted."""

    runs: Texts = option(
        (),
        "Run folders (readiness, rl, evaluate, sweep) and tables of RL outcomes with the columns checkpoint and "
        "outcome and, if known, cost, seed, recipe and family.",
    )
    rank_by: str | None = option(
        None, "Predictor to rank by, such as pass@16, loss or combined. By default pass@k at the largest k up to 64."
    )
    force_loss: bool = option(False, "Compare held-out losses even of checkpoints that were trained on different data.")
    splits: PositiveInt = option(1000, "Number of random halves for the out-of-sample fit.")
    resamples: PositiveInt = option(2000, "Number of bootstrap resamples.")
    seed: NonNegativeInt = option(0, "Seed of the halves, resamples and permutations.")


class SweepConfig(Config):
    """Many SFT recipes, RL from each of their checkpoints, and the table of outcomes that predict reads."""

    file: str = option("", "Sweep file (TOML): settings of sft, readiness, rl and evaluate, and the recipes. Required.")
    workers: NonNegativeInt = option(
        2,
        "Number of jobs at a time on this machine, each in a process of its own, and on a GPU of its own where devices "
        "are GPUs. 0 runs them one after another in this process.",
    )
    threads: PositiveInt = option(1, "Number of processor threads of a job.")
    ray: str = option("", "Address of a Ray cluster whose nodes share this disk. Empty uses this machine.")
    yes: bool = option(False, "Start even if it is more than a thousand jobs or takes more than a day.")


class DemoConfig(Config):
    """The whole SFT→RL pipeline on the embedded model: SFT, readiness, RL, evaluation at five budgets, report."""

    task: str = option(DEMO_TASK, "Task of every stage: a task source without split, n and seed.")
    seed: NonNegativeInt = option(0, "Seed of everything.")


def check_length_prompt(text: str) -> None:
    """UserError for a text that should state a length and has no place for one."""
    if text and not LENGTH_PLACE.search(text):
        raise UserError(f"length_prompt={text!r} states no length; write {{N}} where the tokens belong, or {{N/8}}")


def _check_reward_coef(reward: Reward, coef: float | None) -> None:
    if coef is not None and reward == "correctness":
        raise UserError(f"reward_coef={coef:g} does not apply to reward=correctness; choose reward=arora_zanette, say")
    if coef is not None and reward in BOUNDED_REWARDS and coef > 1:
        raise UserError(
            f"reward_coef of reward={reward} must be at most 1, so that no wrong answer outranks a right one, "
            f"got {coef:g}"
        )
