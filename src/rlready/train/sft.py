"""Supervised fine-tuning: response-only log-likelihood, checkpoints at fractions of an epoch.

Every optimiser step takes about ``batch_tokens`` tokens of shuffled rows; the loss is the mean over the step's
response tokens.  At every checkpoint the loss of each held-out example is stored, because that vector, paired,
is what readiness compares.  Left out: packing (rows are length-sorted within a step instead), sequence loss on
the prompt, and any validation-based stopping: which checkpoint to use is readiness's question.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlready.core.config import SFTConfig
from rlready.core.errors import UserError
from rlready.core.progress import Progress, note
from rlready.core.records import Row
from rlready.core.timing import Watch, gemm_peak, multiplied
from rlready.models.batch import Example, epoch_steps
from rlready.models.checkpoint import load, local_folder
from rlready.models.encode import encode
from rlready.models.heldout_loss import HeldOut, heldout_loss
from rlready.models.lm import with_thought
from rlready.runs.model_card import model_card
from rlready.runs.run import Run, append_line, read_log, truncate_log, write_table
from rlready.tasks import open_task
from rlready.train.loop import Checkpointer, Learner, check, token_count, warm
from rlready.train.loss import likelihood_loss


def sft(config: SFTConfig, out: Path) -> dict[str, Any]:
    """Fine-tune on the rows of a task source; returns the result, with the path of every checkpoint."""
    with Run(out, "sft", config) as run:
        if run.finished:
            return run.result
        check(config)
        task, held_task = open_task(config.rows), open_task(config.heldout)
        note(f"sft: loading {config.model}")
        lm = load(config.model, device=config.device, dtype=config.dtype)
        rows, held_rows = task.rows(), held_task.rows()
        if any(r.thinking is not None for r in rows):
            lm = with_thought(lm)
        examples, held = encode(lm, rows, config.rows), encode(lm, held_rows, config.heldout)
        note(f"sft: {lm.chat}")
        run.note_model(id=config.model, path=local_folder(config.model), role="base", chat=lm.chat.describe())
        run.note_data(id=task.source, path=task.path, licence=task.licence, size=len(rows), role="sft")
        size, role = len(held), "held-out loss"
        run.note_data(id=held_task.source, path=held_task.path, licence=held_task.licence, size=size, role=role)

        learner = Learner(
            lm,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            clip=config.max_grad_norm,
            micro_tokens=config.max_tokens_per_microbatch,
        )
        keeper = Checkpointer(out, learner)
        steps, per_epoch = plan(examples, config)
        shares = np.cumsum([len(step) for step in steps]) / sum(map(len, steps))
        saves = checkpoint_steps(len(steps), per_epoch, config.save_every)
        saves |= reference_steps(shares, saves, config.keep_at)
        facts = keeper.restore() or {"step": 0, "losses": {}}
        log = out / "log.jsonl"
        truncate_log(log, facts["step"])
        card = model_card("sft", config.model, [task.source], config)
        weights, peak = multiplied(lm.model), gemm_peak()
        with Progress("sft", total=len(steps), done=facts["step"], unit="steps") as progress:
            for at in range(facts["step"], len(steps)):
                watch, batch = Watch(), weighted([examples[i] for i in steps[at]])
                done = learner.step(
                    batch,
                    lambda b, logp: (likelihood_loss(logp, b.advantage_N, b.weight_N), 0.0),
                    rate=rate_at(at, len(steps), config),
                )
                run.count("trained", token_count(batch))
                step = at + 1
                line = {"step": step, "epoch": step / per_epoch, "loss": done.loss, "grad_norm": done.grad_norm}
                line |= {"tokens": done.tokens, "lr": config.learning_rate * rate_at(at, len(steps), config)}
                append_line(log, line | watch.read(weights, fed=done.fed) | {"gflops_peak": peak})
                progress.update(1, loss=done.loss)
                if step in saves:
                    loss = heldout_loss(lm, held, config.max_tokens_per_microbatch)
                    path = keeper.checkpoint(step, card)
                    facts["losses"][str(step)] = {"nll": loss.nll.tolist(), "tokens": loss.tokens.tolist()}
                    figure = loss.token_mean
                    append_line(
                        log,
                        {"step": step, "epoch": step / per_epoch, "heldout_loss": figure.value}
                        | {"heldout_low": figure.low, "heldout_high": figure.high, "checkpoint": path.name},
                    )
                facts["step"] = step
                keeper.keep(facts, now=step in saves)
        return run.write_result(_result(out, config, held_rows, facts, per_epoch, shares, read_log(log)))


def plan(examples: Sequence[Example], config: SFTConfig) -> tuple[list[list[int]], float]:
    """All optimiser steps as lists of row numbers, and the mean number of steps in one epoch."""
    if config.epochs <= 0:
        raise UserError(f"epochs must be above 0, got {config.epochs}")
    lengths = [len(e) for e in examples]
    epochs = [epoch_steps(lengths, config.tokens_per_batch, config.seed, e) for e in range(math.ceil(config.epochs))]
    steps = [step for epoch in epochs for step in epoch]
    per_epoch = len(steps) / len(epochs)
    return steps[: max(1, round(per_epoch * config.epochs))], per_epoch


def checkpoint_steps(steps: int, per_epoch: float, every: float) -> set[int]:
    """Steps after which a checkpoint is kept: every ``every`` epochs, and the last."""
    if every <= 0:
        raise UserError(f"save_every must be above 0, got {every}")
    marks = {round(per_epoch * every * i) for i in range(1, math.ceil(steps / (per_epoch * every)) + 1)}
    return {s for s in marks if 0 < s < steps} | {steps}


def reference_steps(shares: NDArray[np.float64], saves: set[int], fractions: Sequence[float]) -> set[int]:
    """Steps after which each fraction of the run's samples is seen, but where a save is at most a step away.

    ``shares`` (steps,) are the shares of the samples seen after every step.
    """
    found = set()
    for fraction in fractions:
        if not 0 < fraction < 1:
            raise UserError(f"references are shares of the samples between 0 and 1, got {fraction:g}")
        step = int(np.abs(shares - fraction).argmin()) + 1
        if not saves & {step - 1, step, step + 1} - {len(shares)}:
            found.add(step)
    return found - {len(shares)}


def weighted(examples: Sequence[Example]) -> list[Example]:
    """Examples whose token weights make the loss the mean over the step's response tokens."""
    total = sum(e.learned for e in examples)
    return [replace(e, weight=np.full(len(e.response_ids), 1 / total, dtype=np.float32)) for e in examples]


def rate_at(step: int, steps: int, config: SFTConfig) -> float:
    share = step / max(steps, 1)
    decay = {"constant": 1.0, "linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share))}[
        config.lr_scheduler_type
    ]
    return warm(step, steps, config.warmup_ratio) * decay


def _result(
    out: Path,
    config: SFTConfig,
    held: Sequence[Row],
    facts: dict[str, Any],
    per_epoch: float,
    shares: NDArray[np.float64],
    log: list[dict[str, Any]],
) -> dict[str, Any]:
    losses = {int(s): HeldOut(np.array(v["nll"]), np.array(v["tokens"])) for s, v in facts["losses"].items()}
    write_table(
        out / "heldout.parquet",
        [
            {"checkpoint": f"step-{step}", "id": row.id, "nll": float(nll), "tokens": int(tokens)}
            for step, loss in losses.items()
            for row, nll, tokens in zip(held, loss.nll, loss.tokens, strict=True)
        ],
    )
    saves = checkpoint_steps(len(shares), per_epoch, config.save_every)
    checkpoints = [
        {
            "name": f"step-{step}",
            "path": str(out / "checkpoints" / f"step-{step}"),
            "step": step,
            "epoch": round(step / per_epoch, 4),
            "samples": round(float(shares[step - 1]), 4),
            "reference": step not in saves,
            "heldout_loss": loss.token_mean,
            "heldout_loss_examples": loss.example_mean,
        }
        for step, loss in losses.items()
    ]
    table = [["checkpoint", "epoch", "held-out loss (nats per token)"]]
    table += [[str(c["name"]), str(c["epoch"]), str(c["heldout_loss"])] for c in checkpoints]
    final = [line["loss"] for line in log if "loss" in line][-1]
    return {
        "verb": "sft",
        "verdict": f"{facts['step']} steps; held-out loss {checkpoints[-1]['heldout_loss']} nats per token.",
        "seed": config.seed,
        "steps": facts["step"],
        "final_loss": final,
        "checkpoints": checkpoints,
        "table": table,
    }
