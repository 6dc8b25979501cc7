"""Reinforcement learning with verifiable rewards, or with dense ones from an SFT run, from any checkpoint.

A step: sample a group per problem, verify, credit, update.  One update per rollout batch by default, so that
the ratio is 1 and no second forward pass is needed.  Thinking is capped in rollouts by a masked close.  Forced
extensions are off: in a published replication they hurt (GSM8K, Qwen2.5-3B: 77.6 -> 67.9; 7B: 84.1 -> 39.8), as the
policy comes to expect them; extend at evaluation.  Checkpoints are chosen by the verifier on held-out problems, never
by the reward.  A target length may be stated in the prompt (``stating``), for thoughts as long as asked for; how well
that is kept is measured by ``rlready evaluate length_prompt=...`` at budgets that were no target here.

Left out of GRPO: the KL penalty by default (no second model in memory), value models, reward models, and
asynchronous rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.config import RLConfig
from rlready.core.errors import UserError
from rlready.core.progress import Progress, note, warn
from rlready.core.records import Estimate, Problem
from rlready.credit.reference import ReferencePair, load_frozen
from rlready.credit.reward import RewardFn
from rlready.models.checkpoint import load, local_folder
from rlready.models.lm import LM
from rlready.runs.model_card import model_card
from rlready.runs.run import Run, append_line, truncate_log
from rlready.tasks import length_prompt as stating
from rlready.tasks import open_task
from rlready.train.drift import WATCHED, drift
from rlready.train.loop import Checkpointer, Learner, check
from rlready.train.trainer import Trainer

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


def rl(config: RLConfig, out: Path) -> dict[str, Any]:
    """Learn from rollouts; returns the result, with the checkpoint that held-out problems chose."""
    with Run(out, "rl", config) as run:
        if run.finished:
            return run.result
        check(config)
        _check(config)
        task, held_task = open_task(config.problems), open_task(config.validation)
        problems, held = task.problems(), held_task.problems()
        if len(problems) < config.prompts_per_step:
            raise UserError(
                f"{config.problems}: {len(problems)} problems are fewer than prompts_per_step={config.prompts_per_step}"
            )
        note(f"rl: loading {config.model}")
        frozen = _frozen(config, run) if config.algorithm == "dense" else None
        lm = load(config.model, device=config.device, dtype=config.dtype, delimiters=config.delimiters)
        note(f"rl: {lm.chat}")
        _check_thought(config, lm)
        run.note_model(id=config.model, path=local_folder(config.model), role="start", chat=lm.chat.describe())
        run.note_data(id=task.source, path=task.path, licence=task.licence, size=len(problems), role="rl")
        size, role = len(held), "held-out problems"
        run.note_data(id=held_task.source, path=held_task.path, licence=held_task.licence, size=size, role=role)
        learner = Learner(
            lm,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            clip=config.max_grad_norm,
            micro_tokens=config.max_tokens_per_microbatch,
        )
        reference = load(config.model, device=config.device, dtype=config.dtype) if config.kl_coef > 0 else None
        keeper = Checkpointer(out, learner)
        facts = keeper.restore() or {"step": 0, "barren": 0, "stopped": "", "evaluations": [], "first": {}, "drift": {}}
        log = out / "log.jsonl"
        truncate_log(log, facts["step"] if facts["evaluations"] else -1)
        card = model_card("rl", config.model, [task.source], config)
        trainer = Trainer(config, learner, reference, out / "samples", frozen)

        def evaluate(step: int) -> None:
            figure, thinking = trainer.evaluate(held_task, held)
            facts["evaluations"].append({"step": step, "accuracy": figure.__dict__, "thinking": thinking})
            line = {"step": step, "eval_accuracy": figure.value, "eval_low": figure.low, "eval_high": figure.high}
            append_line(log, line | {"eval_thinking": thinking})

        with Progress("rl", total=config.steps, done=facts["step"], unit="steps") as progress:
            if not facts["evaluations"]:
                evaluate(0)
            while facts["step"] < config.steps and not facts["stopped"]:
                at = facts["step"]
                line = trainer.step(task, _choose(problems, config, at), at)
                run.count("generated", line.pop("generated"))
                run.count("trained", line.pop("trained"))
                append_line(log, {"step": at + 1} | line)
                progress.update(1, reward=line["reward"], thinking=line["thinking"])
                facts["step"] = at + 1
                _watch(facts, line, config)
                last = facts["step"] == config.steps or bool(facts["stopped"])
                if facts["step"] % config.eval_every == 0 or last:
                    keeper.checkpoint(facts["step"], card)
                    evaluate(facts["step"])
                    keeper.keep(facts, now=True)
                keeper.keep(facts)
        return run.write_result(_result(out, config, facts))


def _check(config: RLConfig) -> None:
    if config.group_size < 2:
        raise UserError(f"group_size must be at least 2 for group-relative credit, got {config.group_size}")
    if not config.kl_coef >= 0:
        raise UserError(f"kl_coef must not be negative, got {config.kl_coef:g}")
    RewardFn(config.reward, config.reward_coef)
    stating.check(config.length_prompt)
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
        raise UserError(f"{idle[0]} means nothing to algorithm={config.algorithm}; it is for algorithm=dense")


def _check_thought(config: RLConfig, lm: LM) -> None:
    """UserError for settings that count thinking tokens, of a model that does not think."""
    for name in ("reward", "length_targets", "length_prompt", "answer_prefix", "num_waits"):
        if not lm.thinks and getattr(config, name) != getattr(DEFAULTS, name):
            raise UserError(
                f"{name} is about the thought, but the chat template of {config.model} opens none; leave {name} out, "
                "or give delimiters=OPEN,CLOSE"
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
            "return_type=full_return with gamma=0 pays a response its first token only; choose return_type=reward_to_go"
        )
    if config.kl_coef:
        raise UserError("kl_coef is the penalty of the other algorithms; dense has its own inside the reward: use beta")
    if config.beta == 0 and not config.stop_on_drift:
        warn(
            "rl: warning: beta=0 has no leash, its optimum is the single response that the reference finds least "
            "likely; set beta above 0, or stop_on_drift=true"
        )


def _frozen(config: RLConfig, run: Run) -> ReferencePair:
    """The pair that dense credit is measured with, noted in the record."""
    frozen = load_frozen(
        config.model,
        config.reference,
        config.reference_at,
        force=config.force_reference,
        device=config.device,
        dtype=config.dtype,
    )
    if frozen.reference is not None:
        source = frozen.reference.source
        note(f"rl: dense rewards measured against {source}")
        run.note_model(id=source, path=local_folder(source), role="reference")
    return frozen


def _watch(facts: dict[str, Any], line: dict[str, Any], config: RLConfig) -> None:
    """Stop a run that learns nothing; say once that dense rewards make the policy drift, and stop that if asked."""
    facts["barren"] = 0 if line["groups_used"] else facts["barren"] + 1
    if facts["barren"] >= config.patience:
        facts["stopped"] = _why_barren(line, facts["barren"])
    if config.algorithm == "dense" and line["entropy"] is not None:
        facts["first"] = facts["first"] or {key: line[key] for key in WATCHED}
        for what, words in drift(facts["first"], line).items():
            if what not in facts["drift"]:
                facts["drift"][what] = f"{words} at step {facts['step']}"
                warn(f"rl: warning: {facts['drift'][what]}; raise beta or take fewer steps")
        if facts["drift"] and config.stop_on_drift:
            facts["stopped"] = facts["stopped"] or _drifted(facts)
    if facts["stopped"]:
        note(f"rl: stopped: {facts['stopped']}")


def _drifted(facts: dict[str, Any]) -> str:
    return "; ".join(facts["drift"].values())


def _choose(problems: Sequence[Problem], config: RLConfig, at: int) -> list[Problem]:
    """The problems of step ``at``: epochs of shuffled problems, cut into steps."""
    per_epoch = len(problems) // config.prompts_per_step
    order = np.random.default_rng([config.seed, 1, at // per_epoch]).permutation(len(problems))
    begin = (at % per_epoch) * config.prompts_per_step
    return [problems[i] for i in order[begin : begin + config.prompts_per_step]]


def _why_barren(line: dict[str, Any], steps: int) -> str:
    kinds = {
        "every group was all wrong": line["groups_all_wrong"],
        "every group was all right": line["groups_all_right"],
        "rewards were equal within every group": line["groups_equal"],
    }
    main = max(kinds, key=lambda k: kinds[k])
    cut = f", {line['truncated']:.0%} truncated" if line["truncated"] else ""
    return f"no gradient for {steps} steps: in the last one {main}{cut}"


def _result(out: Path, config: RLConfig, facts: dict[str, Any]) -> dict[str, Any]:
    evaluations = facts["evaluations"]
    kept = [e for e in evaluations if e["step"] > 0]
    best = max(kept, key=lambda e: (e["accuracy"]["value"], -e["step"]))
    start = evaluations[0]["accuracy"]
    rows = [["step", "held-out accuracy", "thinking tokens"]]
    rows += [[str(e["step"]), str(Estimate(**e["accuracy"])), f"{e['thinking']:.1f}"] for e in evaluations]
    verdict = (
        f"{config.algorithm}, {facts['step']} steps: held-out accuracy {start['value']:.1%} before, "
        f"{best['accuracy']['value']:.1%} at step {best['step']}, chosen by the verifier."
    )
    if facts["stopped"]:
        verdict += f" Stopped early: {facts['stopped']}."
    elif facts["drift"]:
        verdict += f" Warning: {_drifted(facts)}."
    return {
        "verb": "rl",
        "verdict": verdict,
        "seed": config.seed,
        "steps": facts["step"],
        "stopped": facts["stopped"],
        "drift": _drifted(facts),
        "best": {
            "step": best["step"],
            "path": str(out / "checkpoints" / f"step-{best['step']}"),
            "accuracy": best["accuracy"],
        },
        "evaluations": evaluations,
        "table": rows,
    }
