"""What a user can set: one typed object per verb.  The text of a field is its ``--help``.

Free of heavy imports, so that ``rlready --help`` is instant.  ``options.py`` fills these from a TOML file
and ``key=value`` words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")
ReturnType = Literal["reward_to_go", "full_return", "uniform"]
ScaleRewards = Literal["std", "zscore", "none"]
Reward = Literal["correctness", "arora_zanette", "grpo_lambda", "dapo_overlong", "lcpo_exact", "lcpo_max"]

DEMO_TASK = "dagmath?ops=5&asked=3"


def option(default: T, text: str) -> T:
    """A configuration field with its documentation."""
    meta: dict[str, Any] = {"help": text}
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class SFTConfig:
    """Supervised fine-tuning on worked rows; loss on the response only."""

    model: str = option("embedded", "model to start from: embedded, a Hugging Face folder, or a hub id")
    rows: str = option(DEMO_TASK + "&split=train&n=2000&seed=1", "worked rows to train on (a task source)")
    heldout: str = option(
        DEMO_TASK + "&split=test&n=200&seed=2", "worked rows never trained on, for the loss at every checkpoint"
    )
    epochs: float = option(2.0, "passes over the rows")
    learning_rate: float = option(1e-3, "peak learning rate")
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = option("linear", "learning-rate decay after warm-up")
    warmup_ratio: float = option(0.05, "share of the steps spent warming up")
    weight_decay: float = option(0.0, "AdamW weight decay")
    max_grad_norm: float = option(1.0, "largest gradient norm")
    tokens_per_batch: int = option(2048, "tokens (prompt and response) per optimiser step")
    max_tokens_per_microbatch: int = option(16384, "tokens per forward pass, padding included; bounds memory")
    save_every: float = option(0.5, "epochs between checkpoints")
    keep_at: tuple[float, ...] = option(
        (0.5,), "also keep a checkpoint after these shares of all samples, to measure dense rewards against"
    )
    seed: int = option(0, "seed of the order of rows")
    device: str = option("cpu", "torch device")
    dtype: Literal["float32", "bfloat16"] = option(
        "float32", "bfloat16: forward and backward passes under autocast; the weights that learn are float32 either way"
    )


@dataclass(frozen=True)
class InjectConfig:
    """Worked rows made ready for RL: behaviours spliced in, or a baseline, every step verified."""

    rows: str = option("", "worked rows: DAG maths, GSM8K, or rows of your own with a dag column or annotations")
    method: Literal["behaviours", "vanilla", "premises", "chains"] = option(
        "behaviours",
        "vanilla: as they are; premises, chains: each row four times, premises or steps in another order (DAG maths)",
    )
    behaviours: tuple[str, ...] = option(
        ("explore", "analyse", "compute"), "which: exploration, analysis, sub-goal computation"
    )
    p: float = option(0.1, "probability, before a step, of trying another one first")
    tokenizer: str = option("", "checkpoint whose tokens the cost is counted in; empty: words between spaces")
    seed: int = option(0, "seed of where behaviours go, and of the orders")


@dataclass(frozen=True)
class RLConfig:
    """Reinforcement learning with verifiable rewards, from any checkpoint."""

    model: str = option("embedded", "checkpoint to start from: embedded, a Hugging Face folder, or a hub id")
    problems: str = option(DEMO_TASK + "&split=train&n=4000&seed=3", "problems to learn on (a task source)")
    validation: str = option(
        DEMO_TASK + "&split=test&n=100&seed=4", "problems that choose the checkpoint (a task source)"
    )
    algorithm: str = option(
        "dr_grpo",
        "advantage, normaliser and clip range: grpo, dr_grpo, rloo, dapo, dense (a reward for every token, from an SFT "
        "run), or one of your own as pkg.module:NAME",
    )
    loss: str = option("", "loss of your own as pkg.module:function; empty: the clipped policy loss")
    steps: int = option(50, "rollout batches to learn from")
    prompts_per_step: int = option(16, "problems per step")
    group_size: int = option(16, "rollouts per problem")
    updates_per_batch: int = option(1, "optimiser steps per rollout batch; above 1 the ratio is clipped")
    learning_rate: float = option(5e-4, "learning rate, constant after a short warm-up")
    weight_decay: float = option(0.0, "AdamW weight decay")
    max_grad_norm: float = option(1.0, "largest gradient norm")
    epsilon: float = option(0.0, "ratio clip below 1; 0 takes the algorithm's own, 0.2")
    epsilon_high: float = option(0.0, "ratio clip above 1; 0 takes the algorithm's own, 0.28 for dapo, else 0.2")
    kl_coef: float = option(0.0, "weight of the KL penalty to the starting checkpoint; 0 keeps no second model")
    reward: Reward = option(
        "correctness",
        "reward of a response: correctness alone, or with a length penalty, named after its paper; with none "
        "does a wrong answer earn more than a right one",
    )
    reward_coef: float = option(0.0, "the coefficient of that reward; 0 takes its source's own")
    length_targets: tuple[int, ...] = option(
        (),
        "target lengths of dapo_overlong, lcpo_exact and lcpo_max in thinking tokens, one drawn for each problem; "
        "empty: thinking_budget",
    )
    length_prompt: str = option("", "text at the end of the prompt that states the target, such as ' Use {N} tokens.'")
    reference: str = option(
        "", "dense: checkpoint to measure model against; none: against nothing; empty: found in model's SFT run"
    )
    reference_at: float = option(0.5, "dense: share of the SFT run's samples after which the reference is taken")
    force_reference: bool = option(
        False, "dense: take a reference of another run or with another tokenizer all the same"
    )
    return_type: ReturnType = option(
        "reward_to_go",
        "dense: the return of a token: the rewards from it on (reward_to_go), of the whole response (full_return), or "
        "from it on after the total was spread evenly over the tokens (uniform)",
    )
    gamma: float = option(1.0, "dense: discount a token; 0 pays a token its own reward only")
    scale_rewards: ScaleRewards = option(
        "std", "dense: rewards of a batch divided by their deviation, standardised, or as they are"
    )
    reward_clip: float = option(0.0, "dense: largest scaled reward of a token, either way; 0 does not clip")
    beta: float = option(1.0, "dense: weight of the KL divergence to model, inside the reward, after scaling")
    dense_weight: float = option(1.0, "dense: its share of the credit; the verifier has the rest")
    stop_on_drift: bool = option(False, "dense: end the run when entropy collapses or lengths drift, not only say so")
    temperature: float = option(1.0, "sampling temperature of rollouts")
    thinking_budget: int = option(64, "most thinking tokens in a rollout; the thought is closed there, unlearned")
    max_answer_tokens: int = option(
        16, "most tokens after the thought; a model that does not think has this and budget together"
    )
    delimiters: tuple[str, ...] = option(
        (), "what opens and what closes a thought, OPEN,CLOSE; empty: as the chat template has it"
    )
    answer_prefix: str = option("", "text forced after a thought that was cut, to elicit the answer")
    num_waits: int = option(
        0,
        "how often an early end of the thought is replaced in rollouts; leave it at 0: in a published replication "
        "(GSM8K, Qwen2.5 3B and 7B) it took accuracy from 77.6 to 67.9 and from 84.1 to 39.8",
    )
    wait_text: str = option("Wait", "what replaces it, unlearned")
    max_tokens_per_microbatch: int = option(16384, "tokens per forward pass, padding included; bounds memory")
    eval_every: int = option(10, "steps between evaluations on the held-out problems")
    eval_samples: int = option(4, "samples per held-out problem")
    patience: int = option(8, "stop after so many steps in a row without a gradient")
    seed: int = option(0, "seed of problem order and rollouts")
    device: str = option("cpu", "torch device")
    dtype: Literal["float32", "bfloat16"] = option(
        "float32",
        "bfloat16: forward and backward passes under autocast, and sampling with bfloat16 weights; the weights that "
        "learn are float32 either way",
    )


@dataclass(frozen=True)
class CreditConfig:
    """Where dense rewards fall: tokens coloured by them."""

    reference: str = option("", "checkpoint to measure against; none: against nothing; empty: found in the SFT run")
    reference_at: float = option(0.5, "share of the SFT run's samples after which the reference is taken")
    probe: str = option("", "worked rows: change a number in each and tell whether the least credit falls there")
    seed: int = option(0, "seed of what is changed")


@dataclass(frozen=True)
class TemplateConfig:
    """How a checkpoint's chat template is read."""

    delimiters: tuple[str, ...] = option(
        (), "what opens and what closes a thought, OPEN,CLOSE; empty: as the chat template has it"
    )


@dataclass(frozen=True)
class EvaluateConfig:
    """Accuracy at every thinking budget, each budget cut from one trace."""

    models: tuple[str, ...] = option(("embedded",), "checkpoints to compare")
    problems: str = option(DEMO_TASK + "&split=test&n=200&seed=5", "problems (a task source)")
    thinking_budgets: tuple[int, ...] = option((16, 28, 40, 52, 64), "thinking budgets in tokens")
    samples: int = option(4, "samples per problem; majority vote and best of n choose among them")
    temperature: float = option(1.0, "sampling temperature; 0 is greedy")
    max_answer_tokens: int = option(16, "most tokens after the thought")
    answer_prefix: str = option("", "text forced after a thought that was cut, to elicit the answer")
    num_waits: tuple[int, ...] = option((0,), "how often an early end of the thought is replaced: 0,1,2,4")
    wait_text: str = option("Wait", "what replaces it")
    end_think_bias: tuple[float, ...] = option(
        (0.0,), "nats added to the log-odds of ending the thought, where forcing leaves that to the model: 0,1,2"
    )
    length_prompt: str = option(
        "", "also ask for every budget in the prompt, unforced, such as ' Think for at most {N} tokens.'"
    )
    delimiters: tuple[str, ...] = option(
        (), "what opens and what closes a thought, OPEN,CLOSE; empty: as the chat template has it"
    )
    unconstrained: bool = option(False, "only the untouched model: its own prompt and stop, no budget")
    max_response_tokens: int = option(
        0, "most tokens of an untouched response; 0: four times the largest budget and answer, or the context"
    )
    reference: str = option("", "decode away from this checkpoint: from model^(1+1/beta) / reference^(1/beta)")
    beta: float = option(
        1.0,
        "how little: with a reference, the models' log-ratio counts 1/beta times; to match rl, its beta times the "
        "dense_scale of its log",
    )
    seed: int = option(0, "seed of the samples")
    device: str = option("cpu", "torch device")
    dtype: Literal["float32", "bfloat16"] = option("float32", "precision of the weights")


@dataclass(frozen=True)
class ReadinessConfig:
    """What a checkpoint is worth as a start for RL, without training anything."""

    checkpoints: tuple[str, ...] = option(
        ("embedded",),
        "in the order of training: Hugging Face folders, hub ids, or tables of samples drawn elsewhere, such as "
        "TABLE.parquet?problem=id&correct=passed",
    )
    heldout: str = option(
        DEMO_TASK + "&split=test&n=200&seed=2",
        "worked rows for the held-out loss; empty skips it, as does leaving it out with problems of your own",
    )
    problems: str = option(DEMO_TASK + "&split=train&n=64&seed=6", "problems to sample (a task source)")
    samples: int = option(64, "samples per problem at most; pass@k is estimated for every k up to it")
    sampling: Literal["adaptive", "full"] = option(
        "adaptive",
        "adaptive: after min_samples, draw on only where no sample was right yet (above 32 samples); full: draw all",
    )
    min_samples: int = option(0, "samples of every problem before one may stop; 0 takes group, and at least 8")
    temperature: float = option(1.0, "sampling temperature")
    thinking_budget: int = option(64, "most thinking tokens")
    max_answer_tokens: int = option(
        16, "most tokens after the thought; a model that does not think has this and budget together"
    )
    delimiters: tuple[str, ...] = option(
        (), "what opens and what closes a thought, OPEN,CLOSE; empty: as the chat template has it"
    )
    answer_prefix: str = option("", "text forced after a thought that was cut, to elicit the answer")
    group_size: int = option(16, "group size planned for RL: the share of informative groups is that at this size")
    influence: bool = option(False, "what a step on one problem does for the others, of checkpoints that draw samples")
    influence_layers: tuple[str, ...] = option(
        (), "parts of the model it is taken over, as layers.3 or mlp; empty: all"
    )
    influence_rank: int = option(
        0, "0: exact; else each matrix's gradient is projected to rank x rank, for large models"
    )
    seed: int = option(0, "seed of the samples")
    device: str = option("cpu", "torch device")
    dtype: Literal["float32", "bfloat16"] = option("float32", "precision of the weights")


@dataclass(frozen=True)
class PredictConfig:
    """Which checkpoint RL should start from, and how far each predictor of RL outcomes can be trusted."""

    runs: tuple[str, ...] = option(
        (),
        "run folders (readiness, rl, evaluate, sweep) and tables of RL outcomes: checkpoint, outcome, and if known "
        "cost, seed, recipe, family",
    )
    rank_by: str = option("", "predictor to rank by, such as pass@16, loss or combined; empty: pass@k, k up to 64")
    force_loss: bool = option(False, "compare held-out losses of checkpoints that learned from different data")
    splits: int = option(1000, "random halves for the out-of-sample fit")
    resamples: int = option(2000, "bootstrap resamples")
    seed: int = option(0, "seed of halves, resamples and permutations")


@dataclass(frozen=True)
class SweepConfig:
    """Many SFT recipes, their checkpoints, RL from each, and the table of outcomes that predict reads."""

    file: str = option("", "sweep file (TOML): settings of sft, readiness, rl and evaluate, and the recipes")
    workers: int = option(
        2,
        "jobs at a time on this machine, each in a process of its own, and on a GPU of its own where devices are "
        "GPUs; 0: one after another in this process",
    )
    threads: int = option(1, "processor threads of a job")
    ray: str = option("", "address of a Ray cluster, whose nodes share this disk; empty: this machine")
    yes: bool = option(False, "start even if it is a thousand jobs or more than a day")


@dataclass(frozen=True)
class DemoConfig:
    """The whole road on the embedded model: SFT, readiness, RL, evaluation at five budgets, report."""

    task: str = option(DEMO_TASK, "task of every stage (a task source without split, n and seed)")
    seed: int = option(0, "seed of everything")
