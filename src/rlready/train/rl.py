"""Reinforcement learning with verifiable rewards, or with dense ones from an SFT run, from any checkpoint.

``trainer.py`` has the step: sample a group per problem, verify, credit, update.  This file repeats it, logs, evaluates
and resumes.  Rollouts cap thinking by closing the thought with forced tokens, which get no gradient.  ``num_waits`` is
0 because forced waits in training hurt in a published replication (GSM8K, Qwen2.5-3B: 77.6 to 67.9; 7B: 84.1 to
39.8): the policy comes to expect them.  Use waits in evaluation instead.  The verifier chooses the checkpoint on
validation problems; the reward does not.  ``length_prompt`` can state a target length in the prompt; ``rlready evaluate
length_prompt=...`` measures how well the model follows other lengths.

Left out: value models, reward models, and asynchronous rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rlready.core.cells import percent
from rlready.core.config import RLConfig
from rlready.core.distributed import across_processes, from_rank0, local_device
from rlready.core.messages import note, warn
from rlready.core.progress import Progress
from rlready.core.records import Problem
from rlready.core.sampling_progress import say_most
from rlready.core.truncation import many_truncated
from rlready.credit.algorithms import algorithm_named
from rlready.credit.reference import ReferencePair, load_pair
from rlready.engine.factory import note_engine
from rlready.engine.precheck import check_sampling
from rlready.models.hub import local_folder
from rlready.models.lm import LM
from rlready.models.ordinary_stops import warn_of_ordinary_stops
from rlready.models.preset import resolve
from rlready.runs.model_card import Measurement, model_card
from rlready.runs.run import Run
from rlready.runs.seen import seen_at
from rlready.tasks.trained_prompts import write_trained
from rlready.train.checkpointer import Checkpointer
from rlready.train.data import Data, problems_of
from rlready.train.fast_learner import make_learner
from rlready.train.learner import OptimizerSettings
from rlready.train.log import EvaluationLog, RLStepLog
from rlready.train.loss import loss_named
from rlready.train.policy import load_policy, load_sampler, load_starting_policy
from rlready.train.reference_checkpoint import find_reference
from rlready.train.result import BestCheckpoint, Evaluation, RLResult
from rlready.train.rl_state import RLState, watch
from rlready.train.rl_summary import evaluation_command, gain_of, headline, next_action
from rlready.train.trackers import StepLog, named_trackers
from rlready.train.trainer import Trainer
from rlready.train.weight_change import WeightSample, with_change


def rl(config: RLConfig, out: Path) -> RLResult:
    """Train on rollouts and return the result, with the checkpoint of highest validation accuracy.

    Raises UserError for settings, models or problems that do not fit, and if training cannot go on.
    """
    algorithm_named(config.algorithm), loss_named(config.loss)  # refused before a model is loaded
    named_trackers()  # a wrong name is said before the folder is made
    with Run(out, "rl", config) as run:
        if run.finished:
            return run.stored(RLResult)
        config = resolve(config, [config.model], run)
        check_sampling(config, [config.model])
        if config.algorithm == "dense" and config.beta == 0 and not config.stop_on_drift:
            warn(
                "rl: warning: beta=0 removes the KL penalty, so the policy can collapse to one response; set beta > 0 "
                "or stop_on_drift=true"
            )
        _warn_unclipped(config)
        data = problems_of(config, run)
        trainer = _trainer(config, run)
        run.claim()
        write_trained(run, data.training)
        note_engine(config.engine, run)
        before = WeightSample(trainer.learner)
        checkpointer = Checkpointer(run, trainer.learner)
        state = checkpointer.restore(RLState(planned_steps=config.steps))
        trainer.planned_steps = state.planned_steps or config.steps
        trainer.update_engine()
        checkpointer.restore_log(state.step if state.evaluations else -1, _pending(state))
        trainer.samples.truncate(state.step)
        _say_most(config, len(data.held))
        steps = Progress("rl", total=config.steps, done=state.step, unit="steps")
        sealed = run.writing(trainer.samples.folder)  # with checksums once training has ended
        with sealed, StepLog(run, state.step) as log, steps as progress, trainer.engine:
            while (evaluating := is_due(state, config)) or (state.step < config.steps and not state.stopped):
                try:
                    if evaluating:
                        _evaluate(trainer, data, state, log, checkpointer, run)
                    else:
                        line = trainer.step(data.task, _choose(data.training, config, state.step), state.step)
                        run.count("generated", line.rollouts.generated_tokens)
                        run.count("trained", line.update.trained_tokens)
                        log.write(line)
                        state.groups = state.groups.plus(line, config.group_size)
                        state.step = line.step
                        watch(state, line, config)
                        trainer.updating = False
                        progress.update(1, **_shown(line, trainer.lm))
                    checkpointer.save_state(state)
                except KeyboardInterrupt:
                    if state.evaluations and not trainer.updating and trainer.engine.intact:
                        checkpointer.save_stopped(state, state.step, _pending(state))
                    raise
        at_limit = {"rollouts": state.groups.at_limit / max(1, state.groups.responses)}
        if warning := many_truncated(at_limit, config):
            run.warn(warning)
        result = with_change(from_rank0(lambda: _result(out, config, state, trainer, data.held, run)), before, run)
        run.write_result(result)
        return result


def _trainer(config: RLConfig, run: Run) -> Trainer:
    """The trainer with the models of the run, which are loaded and entered in the run's record."""
    path = local_folder(config.model)
    seen, lm = seen_at(path), load_policy(config, run)
    pair = _reference_pair(config, run, lm) if config.algorithm == "dense" else None
    settings = OptimizerSettings(
        config.learning_rate,
        config.weight_decay,
        config.max_grad_norm,
        config.max_tokens_per_microbatch,
        config.gradient_checkpointing,
    )
    learner = make_learner(lm, settings, bfloat16=config.dtype == "bfloat16")
    note(f"rl: {lm.chat}; training by {learner.about}{across_processes(config.distributed)}; {learner.sharing}")
    chat = lm.chat.describe()
    run.note_model(id=config.model, path=path, role="start", chat=chat, learner=learner.name, seen=seen)
    warn_of_ordinary_stops(run, lm)
    run.note_output_licence()
    reference = load_starting_policy(lm, config) if config.kl_coef > 0 else None
    return Trainer(config, learner, reference, run.out / "samples", pair, load_sampler(config))


def _reference_pair(config: RLConfig, run: Run, lm: LM) -> ReferencePair:
    """The two checkpoints that dense rewards compare, entered in the run's record."""
    pair = load_pair(
        config.model,
        config.reference or str(find_reference(config.model, config.reference_at)),
        force=config.force_reference,
        device=local_device(config.device),
        dtype=config.dtype,
        sft=load_starting_policy(lm, config) if config.lora_r else None,
    )
    if pair.reference is not None:
        source = pair.reference.source
        note(f"rl: dense rewards measured against {source}")
        run.note_model(id=source, path=local_folder(source), role="reference")
    return pair


def _say_most(config: RLConfig, validation: int) -> None:
    each = (config.thinking_budget or 0) + config.max_answer_tokens
    rollouts, held = config.prompts_per_step * config.group_size, validation * config.eval_samples
    limit = "thinking_budget=" if config.thinking_budget else "max_answer_tokens="
    say_most(f"rl: each of {config.steps} steps", rollouts, each, f"steps=, prompts_per_step=, group_size= and {limit}")
    say_most("rl: a validation", held, each, f"validation=...?n=, eval_samples= and {limit}")


def _shown(line: RLStepLog, lm: LM) -> dict[str, object]:
    """What the progress line shows of a step."""
    groups = line.groups_informative + line.groups_solved + line.groups_unsolved + line.groups_equal
    rollouts = line.rollouts
    length = {"thinking": rollouts.thinking_tokens} if lm.thinks else {"response": rollouts.response_tokens}
    return {"reward": rollouts.reward, "informative groups": f"{line.groups_informative}/{groups}", **length}


def is_due(state: RLState, config: RLConfig) -> bool:
    """Whether the weights are to be evaluated and saved before the next step."""
    if not state.evaluations:
        return True
    there = state.step % config.eval_every == 0 or state.step >= config.steps or bool(state.stopped)
    return there and state.evaluations[-1].step < state.step


def _pending(state: RLState) -> str:
    """The key of a line of this step in the log that the state does not have; empty if there can be none."""
    return "eval_accuracy" if state.evaluations and state.evaluations[-1].step < state.step else ""


def _evaluate(
    trainer: Trainer, data: Data[Problem], state: RLState, log: StepLog, checkpointer: Checkpointer, run: Run
) -> None:
    """Evaluate the weights and save them; the state says so last, so that a run that is stopped here does it again."""
    config = trainer.config
    found, each = trainer.evaluate(data.held_task, data.held, state.step, state.before)
    run.count("generated", round(found.response_tokens * len(data.held) * config.eval_samples))
    if state.step:
        checkpointer.save_checkpoint(state.step, _card(run, config, state.evaluations, found))
    line = EvaluationLog(
        found.step,
        found.accuracy.value,
        found.accuracy.low,
        found.accuracy.high,
        found.thinking_tokens,
        found.response_tokens,
        found.undecided,
    )
    log.write(line)
    if state.step:
        state.after[state.step] = each
    else:
        state.before = each
    state.evaluations.append(found)
    checkpointer.delete(superfluous(state.evaluations, config.save_total_limit))
    run.draw_page()


def _card(run: Run, config: RLConfig, before: Sequence[Evaluation], now: Evaluation) -> str:
    """The model card of a checkpoint that has just been measured."""
    start, best = (percent(value) for value in (before[0].accuracy.value, max(e.accuracy.value for e in before)))
    remark = f"It was {start} % before RL; the highest before this step was {best} %."
    measured = Measurement("accuracy", "validation accuracy", "validation problems", now.accuracy, remark)
    return model_card(run.record, config, f"step-{now.step}", measured)


def _choose(problems: Sequence[Problem], config: RLConfig, at: int) -> list[Problem]:
    """The problems of step ``at``: epochs of shuffled problems, divided into steps."""
    per_epoch = len(problems) // config.prompts_per_step
    order = np.random.default_rng([config.seed, 1, at // per_epoch]).permutation(len(problems))
    begin = (at % per_epoch) * config.prompts_per_step
    return [problems[i] for i in order[begin : begin + config.prompts_per_step]]


def superfluous(evaluations: Sequence[Evaluation], limit: int | None) -> list[int]:
    """The steps of the checkpoints beyond ``limit``: all but the best and the newest."""
    best = _best(evaluations).step
    saved = sorted((e.step for e in evaluations if e.step), key=lambda step: (step != best, -step))
    return saved[limit:] if limit else []


def _best(evaluations: Sequence[Evaluation]) -> Evaluation:
    """That of the highest accuracy, to twelve digits, which sums of equal ones agree in; of equal ones the first."""
    return max(evaluations, key=lambda e: (round(e.accuracy.value, 12), -e.step))


def _limit(trainer: Trainer) -> str:
    """What a response that is cut off has reached."""
    if trainer.lm.thinks:
        return f"the thinking budget of {trainer.config.thinking_budget} tokens or the limit of {trainer.cap} tokens"
    return f"the limit of {trainer.cap} tokens"


def _warn_unclipped(config: RLConfig) -> None:
    """Say that a clip range was set where nothing is clipped."""
    given = [name for name in ("epsilon", "epsilon_high") if getattr(config, name) is not None]
    if given and config.updates_per_batch == 1 and not config.loss:
        warn(
            f"rl: warning: {' and '.join(given)} {'does' if len(given) == 1 else 'do'} nothing at updates_per_batch=1, "
            "where the importance ratio is 1; set updates_per_batch above 1, or leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )


def _notes(state: RLState, limit: str) -> list[str]:
    """Why the run did nothing, ended early, or is to be doubted."""
    groups, notes = state.groups, list[str]()
    if not groups.informative:
        notes.append(f"{groups.kinds}; {groups.at_limit} of {groups.responses} responses reached {limit}.")
    if state.stopped:
        notes.append(f"Stopped early: {state.stopped}.")
    elif state.drift:
        notes.append(f"Warning: {state.drifted}.")
    return notes


def _result(
    out: Path, config: RLConfig, state: RLState, trainer: Trainer, validation: Sequence[Problem], run: Run
) -> RLResult:
    best = _best(state.evaluations)
    there = [e for e in state.evaluations if not e.step or not run.changed(out / "checkpoints" / f"step-{e.step}")]
    notes, gain = _notes(state, _limit(trainer)), gain_of(best, state.evaluations)
    said = headline(best, gain, state.evaluations, state.groups)
    if best not in there:
        deleted, best = best, _best(there)
        gain = gain_of(best, state.evaluations)
        said = f"The best checkpoint, RL step-{deleted.step}, is gone; the best one left is RL step-{best.step}."
        run.warn(said)
    path = str(out / "checkpoints" / f"step-{best.step}") if best.step else config.model
    limit = None if trainer.lm.thinks else trainer.cap
    return RLResult(
        headline=said,
        notes=notes,
        next_action=next_action(best, state.evaluations, state.groups),
        next_command=evaluation_command(config, run.record, path, limit) if best.step else "",
        seed=config.seed,
        steps=state.step,
        stopped=state.stopped,
        drift=state.drifted,
        best=BestCheckpoint(step=best.step, path=path, accuracy=best.accuracy, gain=gain),
        evaluations=state.evaluations,
        problems=[problem.id for problem in validation],
        per_problem={0: state.before} | state.after,
        groups=state.groups,
    )
