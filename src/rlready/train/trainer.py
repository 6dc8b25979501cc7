"""One step of RL: sample a group per problem, verify, credit, update; and one evaluation of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rlready.core.config import RLConfig
from rlready.core.records import Estimate, Group, Problem
from rlready.core.stats import mean_figure
from rlready.core.timing import Watch, gemm_peak, multiplied
from rlready.credit.assign import Credited, credit, dense_credit
from rlready.credit.dense import DenseConfig
from rlready.credit.reference import ReferencePair
from rlready.credit.reward import RewardFn
from rlready.engine.protocol import Request, budget_for, forcing_for, requests_for
from rlready.engine.rollout import describe, draw_groups, table_row
from rlready.engine.torch import TorchEngine
from rlready.models.batch import Batch
from rlready.models.lm import LM
from rlready.models.logprob import token_logprobs
from rlready.runs.run import write_table
from rlready.tasks import Task
from rlready.tasks import length_prompt as stating
from rlready.train.loop import Learner, token_count, warm
from rlready.train.loss import kl_penalty, policy_loss

WARM = 0.05  # share of the steps spent warming up


class Trainer:
    """One RL step and one evaluation, over a model that changes between them."""

    def __init__(
        self,
        config: RLConfig,
        learner: Learner,
        reference: LM | None,
        samples: Path,
        frozen: ReferencePair | None = None,
    ) -> None:
        self.config, self.learner, self.lm, self.reference = config, learner, learner.lm, reference
        self.samples, self.frozen = samples, frozen
        self.budget = budget_for(self.lm, config.thinking_budget, config.max_answer_tokens, config.num_waits)
        self.forcing = forcing_for(self.lm, config.wait_text if config.num_waits else "", config.answer_prefix)
        self.pay = RewardFn(config.reward, config.reward_coef)
        self.targets = config.length_targets or (config.thinking_budget,)
        stating.check_words(config.length_prompt, self.targets, self.lm)
        self.cap = config.thinking_budget + config.max_answer_tokens
        self.weights = multiplied(self.lm.model)
        self.peak = gemm_peak()

    def step(self, task: Task, problems: Sequence[Problem], at: int) -> dict[str, Any]:
        """Sample, verify, credit, update; returns the line of the log."""
        watch, config = Watch(), self.config
        chosen = np.random.default_rng([config.seed, 2, at]).choice(self.targets, len(problems)).tolist()
        problems = self._asked(problems, chosen)
        requests = requests_for(self.lm, problems, config.group_size, self.budget, self.forcing.final_ids)
        requests = [Request(f"{r.problem_id}@{at}", r.sample_id, r.prompt_ids, r.budget) for r in requests]
        here = [replace(p, id=f"{p.id}@{at}") for p in problems]
        engine = TorchEngine(self.lm, self.forcing)
        groups = draw_groups(
            engine,
            self.lm,
            task,
            here,
            requests,
            temperature=config.temperature,
            seed=config.seed,
            pay=self.pay,
            targets={p.id: target for p, target in zip(here, chosen, strict=True)},
        )
        credited = self._credit(groups)
        rows = [table_row(s) | {"prompt": g.problem.prompt} for g in groups for s in g.samples]
        write_table(self.samples / f"step-{at + 1:05d}.parquet", rows)
        line = describe(groups)
        line |= credited.facts | self.update(credited, at)
        line["generated"] = sum(len(s.tokens) for g in groups for s in g.samples)
        line |= watch.read(self.weights, generated=line["generated"], fed=line.pop("fed"))
        return line | {"gflops_peak": self.peak}

    def _credit(self, groups: Sequence[Group]) -> Credited:
        config = self.config
        if self.frozen is None:
            return credit(groups, config.algorithm, cap=self.cap, keep_all=self.reference is not None)
        return dense_credit(
            groups,
            self.frozen,
            DenseConfig(
                config.return_type,
                config.gamma,
                config.scale_rewards,
                config.reward_clip,
                config.beta,
                config.dense_weight,
            ),
            cap=self.cap,
            micro_tokens=config.max_tokens_per_microbatch,
            temperature=config.temperature,
        )

    def _asked(self, problems: Sequence[Problem], targets: Sequence[int]) -> list[Problem]:
        """The problems with their targets stated, where that is asked for."""
        pairs = zip(problems, targets, strict=True)
        return [stating.state(problem, self.config.length_prompt, target) for problem, target in pairs]

    def update(self, credited: Credited, at: int) -> dict[str, Any]:
        config = self.config
        line: dict[str, Any] = {
            "groups_used": credited.used,
            "groups_all_right": credited.all_right,
            "groups_all_wrong": credited.all_wrong,
            "groups_equal": credited.other,
            "trained": 0,
            "fed": 0,
        }
        if not credited.examples:
            return line | {"loss": None, "grad_norm": None, "entropy": None, "clipped": None}
        high = config.epsilon_high or (0.28 if config.algorithm == "dapo" else 0.2)

        def loss_of(batch: Batch, logp_N: torch.Tensor, *, first: bool) -> tuple[torch.Tensor, torch.Tensor]:
            loss, share = policy_loss(
                logp_N,
                batch.advantage_N,
                batch.weight_N,
                None if first else batch.old_N,
                clip_low=config.epsilon,
                clip_high=high,
            )
            if self.reference is not None:
                with torch.no_grad():
                    frozen_N, _ = token_logprobs(self.reference.model, batch.rows, config.temperature)
                loss = loss + config.kl_coef * kl_penalty(logp_N, frozen_N, batch.weight_N)
            return loss, share

        clipped = 0.0
        for update in range(config.updates_per_batch):
            done = self.learner.step(
                credited.examples,
                partial(loss_of, first=update == 0),
                rate=warm(at, config.steps, WARM),
                temperature=config.temperature or 1.0,
            )
            clipped += done.clipped / config.updates_per_batch
            line["trained"] += token_count(credited.examples)
            line["fed"] += done.fed
        return line | {
            "loss": done.loss,
            "grad_norm": done.grad_norm,
            "entropy": done.entropy,
            "clipped": clipped,
        }

    def evaluate(self, task: Task, problems: Sequence[Problem]) -> tuple[Estimate, float]:
        """Accuracy on held-out problems with its interval, and mean thinking tokens; the same draws every time."""
        problems = self._asked(problems, [self.targets[i % len(self.targets)] for i in range(len(problems))])
        requests = requests_for(self.lm, problems, self.config.eval_samples, self.budget, self.forcing.final_ids)
        engine = TorchEngine(self.lm, self.forcing)
        groups = draw_groups(
            engine, self.lm, task, problems, requests, temperature=self.config.temperature, seed=self.config.seed
        )
        right = np.array([np.mean([bool(s.correct) for s in g.samples]) for g in groups])
        return mean_figure(right, bounds=(0.0, 1.0)), float(np.mean([s.thinking for g in groups for s in g.samples]))
