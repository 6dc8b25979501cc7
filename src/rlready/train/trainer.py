"""One step of RL, as the paper has it: sample, verify, credit, loss, step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlready.core.config import RLConfig
from rlready.core.distributed import gathered, share, united
from rlready.core.records import Group, Problem, SampleRow
from rlready.core.sampling_progress import SamplingProgress
from rlready.core.stats import mean_estimate, paired_estimate
from rlready.core.timing import Watch, multiplied
from rlready.credit.algorithms import algorithm_named
from rlready.credit.assign import Credited, credit, dense_credit
from rlready.credit.dense import DenseConfig
from rlready.credit.reference import ReferencePair
from rlready.credit.reward import RewardFn
from rlready.engine.factory import open_engine
from rlready.engine.precheck import length_targets, wait_text_of
from rlready.engine.protocol import budget_for, forcing_for, requests_for
from rlready.engine.rollout import draw_groups, rewarded, sample_row
from rlready.models.batch import Batch
from rlready.models.fsdp import copy_whole_weights
from rlready.models.lm import LM
from rlready.tasks import Task
from rlready.tasks.length_prompt import with_length_prompt
from rlready.train.generators import seed_generators
from rlready.train.learner import Learner, peak_of, token_count
from rlready.train.log import RLStepLog, RolloutStats, UpdateStats
from rlready.train.loss import LossInputs, LossOutput, LossSettings, loss_named
from rlready.train.mismatch import Mismatch, OldPolicy
from rlready.train.result import Evaluation
from rlready.train.samples import SampleFiles
from rlready.train.schedule import WARMUP_RATIO, warmup


class Trainer:
    """RL steps and evaluations over a model that changes between them.

    This is GRPO (Shao et al., arXiv 2402.03300) with these parts deleted: the value model (as in GRPO), the reward
    model (a verifier takes its place), and, unless set, the KL penalty to a reference (``kl_coef``), the division by
    the group's standard deviation (``algorithm=dr_grpo``) and further updates on the same rollouts
    (``updates_per_batch=1``: the ratio is 1 and no token is clipped).  Groups whose rewards are all equal have no
    gradient and are not fed to the model.

    π_old is the learner's, as it computes it in the first update, and the importance weights of
    ``importance_correction`` account for how the engine that sampled differs from it.  They are on by default, since
    for an engine that does not differ they are 1 up to rounding.  How much it differs is logged, and a difference
    beyond rounding stops the run.
    """

    def __init__(
        self,
        config: RLConfig,
        learner: Learner,
        reference: LM | None,
        samples: Path,
        pair: ReferencePair | None = None,
        sampler: LM | None = None,
    ) -> None:
        """``reference`` is the model of the KL penalty; ``pair`` measures dense rewards; ``samples`` is a folder.

        ``sampler`` gets a copy of the weights to sample from, where the learner has only shards of them.
        """
        self.sampler = sampler or learner.lm
        self.config, self.learner, self.lm, self.reference = config, learner, learner.lm, reference
        self.samples, self.pair = SampleFiles(samples, config.keep_samples), pair
        self.planned_steps = config.steps  # of which a share is the warm-up
        self.updating = False  # whether this step may have changed the weights
        self.budget = budget_for(self.lm, config.thinking_budget, config.max_answer_tokens, config.num_waits)
        self.forcing = forcing_for(self.lm, wait_text_of(config), config.answer_prefix)
        handover = samples.with_name("handover")
        rounded = config.dtype == "bfloat16" and sampler is None
        self.engine = open_engine(config.engine, self.sampler, self.forcing, bfloat16=rounded, handover=handover)
        self.algorithm = algorithm_named(config.algorithm)
        self.reward = RewardFn(config.reward, config.reward_coef)
        self.loss = loss_named(config.loss)
        self.loss_settings = LossSettings(
            self.algorithm.epsilon if config.epsilon is None else config.epsilon,
            self.algorithm.epsilon_high if config.epsilon_high is None else config.epsilon_high,
            config.kl_coef,
        )
        self.cap = (config.thinking_budget or 0) + config.max_answer_tokens
        self.targets = length_targets(config, self.lm)
        self.multiplied, self.gemm_peak = multiplied(self.lm.model), peak_of(learner)

    def step(self, task: Task, problems: Sequence[Problem], at: int) -> RLStepLog:
        """Step ``at``, the first is 0: sample, verify, credit, loss, optimiser step."""
        watch, self.updating = Watch(), False
        seed_generators(self.config.seed, at)
        groups = self.sample(task, problems, at)  # a group of responses per problem, verified and rewarded
        credited = self.credit(groups)  # the advantage and the weight of every token that the policy chose
        self.samples.write(at + 1, _rows(groups, credited.token_advantages))
        self.updating = True
        update = self.update(credited, at)  # gradient steps on the loss
        rollouts = RolloutStats.of(groups)
        timing = watch.measure(self.multiplied, generated=rollouts.generated_tokens, fed=update.forward_tokens)
        return RLStepLog(
            at + 1,
            rollouts,
            credited.informative,
            credited.solved,
            credited.unsolved,
            credited.equal,
            update,
            credited.dense,
            timing | {"gflops_peak": self.gemm_peak},
        )

    def sample(self, task: Task, problems: Sequence[Problem], at: int) -> list[Group]:
        """``group_size`` responses to every problem, verified and rewarded."""
        targets = np.random.default_rng([self.config.seed, 2, at]).choice(self.targets, len(problems)).tolist()
        stated = self._stated(problems, targets)
        fresh = [replace(problem, id=f"{problem.id}@{at}") for problem in stated]  # other draws in every step
        return rewarded(self._draw("rollouts", task, fresh, self.config.group_size), self.reward, targets)

    def credit(self, groups: Sequence[Group]) -> Credited:
        config = self.config
        if self.pair is None:
            return credit(groups, self.algorithm, cap=self.cap, keep_all=self.reference is not None)
        dense = DenseConfig(
            config.return_type,
            config.gamma,
            config.scale_rewards,
            config.reward_clip,
            config.beta,
            config.dense_weight,
        )
        return dense_credit(
            groups,
            self.pair,
            dense,
            cap=self.cap,
            max_tokens_per_microbatch=config.max_tokens_per_microbatch,
            temperature=config.temperature,
        )

    def update(self, credited: Credited, at: int) -> UpdateStats:
        """Take ``updates_per_batch`` optimiser steps, each on all examples."""
        config, steps = self.config, []
        old: dict[tuple[int, ...], OldPolicy] = {}
        if not credited.examples:
            return UpdateStats()
        loss, rate = partial(self.batch_loss, old=old), warmup(at, self.planned_steps, WARMUP_RATIO)
        for _ in range(config.updates_per_batch):
            steps.append(self.learner.step(credited.examples, loss, rate=rate, temperature=config.temperature))
        parts = [old[index].mismatch for index in sorted(old)]  # threads fill it in any order
        mismatch = Mismatch.total(chain(*gathered(parts)))
        mismatch.refuse_large()
        self.update_engine()
        return UpdateStats(
            steps[-1].loss,
            steps[-1].grad_norm,
            steps[-1].entropy,
            sum(step.clip_ratio / len(steps) for step in steps),
            len(steps) * token_count(credited.examples),
            sum(step.fed for step in steps),
            mismatch.mean,
            mismatch.largest,
            mismatch.effective,
            mismatch.truncated_ratio,
        )

    def update_engine(self) -> None:
        """Have the engine sample from the weights of the learner."""
        if self.sampler is not self.lm:
            copy_whole_weights(self.lm.model, self.sampler.model)
        self.engine.update_weights(self.sampler)

    def batch_loss(self, batch: Batch, policy_logprobs: Tensor, *, old: dict[tuple[int, ...], OldPolicy]) -> LossOutput:
        """The loss of a micro-batch; ``old`` is the policy before the first update, which that update fills in."""
        if batch.old_N is None:
            raise ValueError("the examples lack the log-probabilities of the sampler")
        if batch.index not in old:
            level, cap = self.config.importance_correction, self.config.importance_cap
            old[batch.index] = OldPolicy.of(policy_logprobs, batch.old_N, batch.sequence_N, level, cap)
        before = old[batch.index]
        reference_logprobs = None
        if self.reference is not None:
            with torch.no_grad(), self.reference.active():
                model, temperature = self.reference.model, self.config.temperature
                reference_logprobs, _ = self.learner.logprobs(model, batch.rows, temperature)
        inputs = LossInputs(
            policy_logprobs,
            before.logprobs,
            reference_logprobs,
            before.weights * batch.advantage_N,
            batch.weight_N,
            batch.sequence_N,
        )
        return self.loss(inputs, self.loss_settings)

    def evaluate(
        self, task: Task, problems: Sequence[Problem], step: int, before: Sequence[float]
    ) -> tuple[Evaluation, list[float]]:
        """Accuracy on validation problems after ``step`` steps, and that of each; the draws are the same every time.

        ``before`` is that of each at step 0.
        """
        seed_generators(self.config.seed, step)
        stated = self._stated(problems, [self.targets[i % len(self.targets)] for i in range(len(problems))])
        groups = self._draw("validation", task, stated, self.config.eval_samples)
        correct = np.array([np.mean([bool(s.correct) for s in g.samples]) for g in groups])
        each = [(s.thinking_tokens, len(s.tokens), s.undecided) for g in groups for s in g.samples]
        thinking, response, undecided = np.mean(each, axis=0).tolist()
        evaluation = Evaluation(
            step=step,
            accuracy=mean_estimate(correct, bounds=(0.0, 1.0)),
            gain=paired_estimate(correct, before, bounds=(0.0, 1.0)) if step and before else None,
            thinking_tokens=thinking,
            response_tokens=response,
            undecided=undecided,
        )
        return evaluation, correct.tolist()

    def _draw(self, name: str, task: Task, problems: Sequence[Problem], samples: int) -> list[Group]:
        """A group for each problem, in their order; of several processes each draws and verifies its share."""
        mine = share(problems)
        requests = requests_for(self.lm, mine, samples, self.budget, self.forcing.answer_prefix_ids)
        temperature, seed = self.config.temperature, self.config.seed
        with SamplingProgress(name, len(requests), self.cap):
            groups = draw_groups(self.engine, self.lm, task, mine, requests, temperature=temperature, seed=seed)
        return united(groups)

    def _stated(self, problems: Sequence[Problem], targets: Sequence[int]) -> list[Problem]:
        """The problems with their target lengths in the prompt, where ``length_prompt`` says so."""
        pairs = zip(problems, targets, strict=True)
        return [with_length_prompt(problem, self.config.length_prompt, target) for problem, target in pairs]


def _rows(groups: Sequence[Group], token_advantages: Sequence[NDArray[np.float64]]) -> list[SampleRow]:
    """The samples as rows of a table, with the advantages of the tokens, if each has its own, to four decimals."""
    rows = [sample_row(s, g.problem) for g in groups for s in g.samples]
    for row, advantages in zip(rows, token_advantages, strict=False):
        row["advantages"] = advantages.round(4).tolist()
    return rows
