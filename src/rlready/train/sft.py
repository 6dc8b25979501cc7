"""Supervised fine-tuning: response-only log-likelihood, checkpoints at fractions of an epoch.

Every optimiser step takes about ``tokens_per_batch`` tokens of shuffled rows; the loss is the mean over the response
tokens of the step.  At every checkpoint the loss of each held-out example is stored, because readiness makes paired
comparisons of them.  Left out: sequence packing (rows are sorted by length within a step instead), loss on the prompt,
and early stopping by validation loss, because readiness selects the checkpoint.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from rlready.core.config import SFTConfig
from rlready.core.distributed import across_processes, from_rank0
from rlready.core.messages import note
from rlready.core.progress import Progress
from rlready.core.records import Estimate, Real, Row
from rlready.core.stats import simultaneous
from rlready.core.timing import Watch, multiplied
from rlready.models.batch import Batch, Example, epoch_steps
from rlready.models.encode import encode
from rlready.models.heldout_loss import HeldOut, heldout_loss
from rlready.models.hub import local_folder
from rlready.models.lm import with_thought
from rlready.models.preset import resolve
from rlready.readiness.ranking import comparisons
from rlready.runs.checkpoint_order import NAMED, listed
from rlready.runs.files import write_table
from rlready.runs.model_card import Measurement, model_card
from rlready.runs.run import Run
from rlready.runs.seen import seen_at
from rlready.tasks.trained_prompts import write_trained
from rlready.train.checkpointer import Checkpointer
from rlready.train.data import rows_of
from rlready.train.fast_learner import make_learner
from rlready.train.learner import Learner, OptimizerSettings, peak_of, token_count
from rlready.train.log import HeldoutLog, SFTStepLog
from rlready.train.loss import LossOutput, likelihood_loss
from rlready.train.policy import load_policy
from rlready.train.result import Checkpoint, SFTResult
from rlready.train.schedule import learning_rate_factor
from rlready.train.trackers import StepLog, named_trackers
from rlready.train.weight_change import WeightSample, with_change


class ExampleLosses(BaseModel):
    """Summed negative log-likelihood in nats, and number of response tokens, of every held-out example."""

    nll: list[float]
    tokens: list[int]

    @property
    def heldout(self) -> HeldOut:
        return HeldOut(np.array(self.nll), np.array(self.tokens))


DIVERGED = "earlier checkpoints are intact: lower learning_rate"


class SFTState(BaseModel):
    """The progress of a run; ``loss`` is that of the last step, and ``losses`` are by the step of the checkpoint."""

    step: int = 0
    loss: Real = math.nan
    losses: dict[int, ExampleLosses] = {}


@dataclass(frozen=True)
class Plan:
    """The optimiser steps of a run.

    ``steps`` are lists of row numbers, ``per_epoch`` is the mean number of steps in one epoch, and ``shares`` (steps,)
    the share of the samples seen after each step.  A checkpoint is kept after the steps ``saves`` and ``references``.
    """

    steps: list[list[int]]
    per_epoch: float
    shares: NDArray[np.float64]
    saves: set[int]
    references: set[int]


def sft(config: SFTConfig, out: Path) -> SFTResult:
    """Fine-tune on the rows of a task source and return the result, with the path of every checkpoint.

    Raises UserError for settings, rows or models that do not fit.
    """
    named_trackers()  # a wrong name is said before the folder is made
    with Run(out, "sft", config) as run:
        if run.finished:
            return run.stored(SFTResult)
        config = resolve(config, [config.model], run)
        data = rows_of(config, run)
        path = local_folder(config.model)
        seen, lm = seen_at(path), load_policy(config, run)
        if any(r.thinking is not None for r in data.training):
            lm = with_thought(lm)
        examples = encode(lm, data.training, config.rows, stops=True)
        held = encode(lm, data.held, config.heldout or config.rows)
        settings = OptimizerSettings(
            config.learning_rate,
            config.weight_decay,
            config.max_grad_norm,
            config.max_tokens_per_microbatch,
            config.gradient_checkpointing,
        )
        learner = make_learner(lm, settings, bfloat16=config.dtype == "bfloat16")
        note(f"sft: {lm.chat}; training by {learner.about}{across_processes(config.distributed)}")
        chat = lm.chat.describe()
        run.note_model(id=config.model, path=path, role="base", chat=chat, learner=learner.name, seen=seen)
        run.note_output_licence()
        plan, before = planned([len(e) for e in examples], config), WeightSample(learner)
        if round(config.epochs * plan.per_epoch) < 1:
            note(f"sft: epochs={config.epochs:g} is less than a step; one step is {1 / plan.per_epoch:.2g} epochs")
        run.claim()
        write_trained(run, data.training)
        checkpointer = Checkpointer(run, learner)
        state = checkpointer.restore(SFTState())
        checkpointer.restore_log(state.step)
        weights, peak = multiplied(lm.model), peak_of(learner)
        steps = Progress("sft", total=len(plan.steps), done=state.step, unit="steps")
        with StepLog(run, state.step) as log, steps as progress:
            for at in range(state.step, len(plan.steps)):
                watch = Watch()
                batch = weighted([examples[i] for i in plan.steps[at]])
                line, fed = train_step(learner, batch, config, plan, at)
                run.count("trained", token_count(batch))
                timing = watch.measure(weights, fed=fed) | {"gflops_peak": peak}
                log.write(replace(line, timing=timing))
                progress.update(1, loss=line.loss)
                if line.step in plan.saves | plan.references:
                    loss = heldout_loss(lm, held, config.max_tokens_per_microbatch, DIVERGED)
                    mean = loss.token_mean
                    path = checkpointer.save_checkpoint(line.step, _card(run, config, state, line.step, mean))
                    state.losses[line.step] = ExampleLosses(nll=loss.nll.tolist(), tokens=loss.tokens.tolist())
                    held_line = HeldoutLog(line.step, line.epoch, mean.value, mean.low, mean.high, path.name)
                    log.write(held_line)
                    run.draw_page()
                state.step, state.loss = line.step, line.loss
                checkpointer.save_state(state)
        _write_losses(out, data.held, state.losses)
        result = with_change(from_rank0(lambda: _result(run, config, plan, state)), before, run)
        run.write_result(result)
        return result


def train_step(
    learner: Learner, batch: Sequence[Example], config: SFTConfig, plan: Plan, at: int
) -> tuple[SFTStepLog, int]:
    """Take step ``at`` (from 0) of the plan; return its log line, without timing, and its forward pass's tokens."""

    def loss_of(batch: Batch, policy_logprobs: Tensor) -> LossOutput:
        return LossOutput(likelihood_loss(policy_logprobs, batch.advantage_N, batch.weight_N))

    factor = learning_rate_factor(at, len(plan.steps), config.warmup_ratio, config.lr_scheduler_type)
    done = learner.step(batch, loss_of, rate=factor)
    rate = config.learning_rate * factor
    return SFTStepLog(at + 1, (at + 1) / plan.per_epoch, done.loss, done.grad_norm, done.tokens, rate, {}), done.fed


def planned(lengths: Sequence[int], config: SFTConfig) -> Plan:
    """The plan of a run over examples of these lengths in tokens."""
    epochs = [epoch_steps(lengths, config.tokens_per_batch, config.seed, e) for e in range(math.ceil(config.epochs))]
    steps = [step for epoch in epochs for step in epoch]
    per_epoch = len(steps) / len(epochs)
    steps = steps[: max(1, round(per_epoch * config.epochs))]
    shares = np.cumsum([len(step) for step in steps]) / sum(map(len, steps))
    saves = checkpoint_steps(len(steps), per_epoch, config.save_every)
    return Plan(steps, per_epoch, shares, saves, reference_steps(shares, saves, config.keep_at))


def checkpoint_steps(steps: int, per_epoch: float, every: float) -> set[int]:
    """Steps after which a checkpoint is kept: every ``every`` epochs, and the last."""
    marks = {round(per_epoch * every * i) for i in range(1, math.ceil(steps / (per_epoch * every)) + 1)}
    return {s for s in marks if 0 < s < steps} | {steps}


def reference_steps(shares: NDArray[np.float64], saves: set[int], keep_at: Sequence[float]) -> set[int]:
    """Steps after which each share of the run's samples has been seen, unless a save is at most one step away.

    ``shares`` (steps,) are the shares of the samples seen after every step.
    """
    found = set()
    for share in keep_at:
        step = int(np.abs(shares - share).argmin()) + 1
        if not saves & {step - 1, step, step + 1} - {len(shares)}:
            found.add(step)
    return found - {len(shares)}


def weighted(examples: Sequence[Example]) -> list[Example]:
    """The examples with token weights that make the loss the mean over the step's response tokens."""
    total = sum(e.learned for e in examples)
    return [replace(e, weight=np.full(len(e.response_ids), 1 / total, dtype=np.float32)) for e in examples]


def _card(run: Run, config: SFTConfig, state: SFTState, step: int, loss: Estimate) -> str:
    """The model card of a checkpoint, with its held-out loss."""
    before = [each.heldout.token_mean.value for each in state.losses.values()]
    lowest = f"The lowest before this step was {min(before):.3f}." if before else ""
    measured = Measurement("loss", "held-out loss (nats per token)", "held-out loss", loss, lowest)
    return model_card(run.record, config, f"step-{step}", measured)


def _write_losses(out: Path, held: Sequence[Row], losses: Mapping[int, ExampleLosses]) -> None:
    """``heldout.parquet``: the loss of every held-out example at every checkpoint."""
    write_table(
        out / "heldout.parquet",
        [
            {"checkpoint": f"step-{step}", "id": row.id, "nll": nll, "tokens": tokens}
            for step, loss in losses.items()
            for row, nll, tokens in zip(held, loss.nll, loss.tokens, strict=True)
        ],
    )


def _result(run: Run, config: SFTConfig, plan: Plan, state: SFTState) -> SFTResult:
    kept = {
        step: losses.heldout
        for step, losses in state.losses.items()
        if not run.changed(run.out / "checkpoints" / f"step-{step}")  # since the run had stopped
    }
    lowest = min(kept, key=lambda step: kept[step].token_mean.value)
    checkpoints = [
        Checkpoint(
            name=f"step-{step}",
            path=str(run.out / "checkpoints" / f"step-{step}"),
            step=step,
            epoch=round(step / plan.per_epoch, 4),
            samples=round(float(plan.shares[step - 1]), 4),
            reference=step in plan.references,
            heldout_loss=loss.token_mean,
            heldout_loss_examples=loss.example_mean,
            behind=None if step == lowest else simultaneous(loss.minus(kept[lowest]), comparisons(len(kept))),
        )
        for step, loss in kept.items()
    ]
    measured = [c.path for c in checkpoints if not c.reference] or [c.path for c in checkpoints if c.step == lowest]
    problems = [] if config.model == "embedded" else ["problems=PROBLEMS"]
    return SFTResult(
        headline=headline(checkpoints),
        next_action="Measure how good a start for RL each checkpoint is: held-out loss alone does not tell.",
        next_command=shlex.join(["rlready", "readiness", *measured, *problems]),
        seed=config.seed,
        steps=state.step,
        final_loss=state.loss,
        checkpoints=checkpoints,
    )


def headline(checkpoints: Sequence[Checkpoint]) -> str:
    """Which checkpoint has the lowest held-out loss, and which are not significantly different."""
    best = min(checkpoints, key=lambda c: c.heldout_loss.value)
    tied = [c.name for c in checkpoints if c.behind and c.behind.low <= 0]
    if tied:
        who = listed(tied) if len(tied) < NAMED else f"{len(tied)} others"
        verb = "is" if len(tied) == 1 else "are"
        return f"{best.name} has the lowest held-out loss; {who} {verb} not significantly different from it."
    among = f"the lowest held-out loss of {len(checkpoints)} checkpoints" if len(checkpoints) > 1 else "a held-out loss"
    return f"{best.name} has {among}: {best.heldout_loss.value:.3f} nats per token."
