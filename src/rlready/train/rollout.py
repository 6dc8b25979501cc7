"""From samples to what the update needs: verified, rewarded, credited.

The verifier and the reward are two objects: the verifier says what is right and chooses checkpoints, the
reward is what the policy is paid for (the verdict, less a little for length where brevity is asked for).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlready.config import Algorithm
from rlready.credit.outcome import ADVANTAGES, has_signal, token_weights
from rlready.credit.reward import brief
from rlready.engine.protocol import Engine, Request
from rlready.lm import CLOSE, LM
from rlready.records import Group, Problem, Sample
from rlready.tasks import Task, Verdict
from rlready.train.batch import Example


def split_text(text: str) -> tuple[str, str]:
    """(thinking, answer): what stands before and after the end of the thought; all is answer if it has none."""
    thinking, closed, answer = text.partition(CLOSE)
    return (thinking, answer) if closed else ("", text)


def judge(task: Task, problem: Problem, sample: Sample, stop_texts: Sequence[str]) -> Verdict:
    """The verifier's word on a sample.  A response that never ended is still read: its answer may be there."""
    text = sample.text
    for stop in stop_texts:
        text = text.removesuffix(stop)
    return task.verify(problem, *split_text(text))


def draw_groups(
    engine: Engine,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    requests: Sequence[Request],
    *,
    temperature: float,
    seed: int,
    brevity: float = 0.0,
    on_tokens: Callable[[int], None] | None = None,
) -> list[Group]:
    """Sample, verify and reward; one group per problem, in their order."""
    stops = [lm.decode([i]) for i in sorted(lm.stop_ids)]
    by_problem: dict[str, list[Sample]] = {p.id: [] for p in problems}
    prompts = {r.problem_id: r.prompt_ids for r in requests}
    for sample in engine.sample(requests, temperature=temperature, seed=seed, on_tokens=on_tokens):
        by_problem[sample.problem_id].append(sample)
    groups = []
    for problem in problems:
        samples = by_problem[problem.id]
        verdicts = [judge(task, problem, s, stops) for s in samples]
        correct = np.array([v.correct for v in verdicts])
        rewards = brief(correct, np.array([s.thinking for s in samples]), brevity).tolist()
        scored = [
            s.scored(correct=v.correct, reward=r, strict=v.strict)
            for s, v, r in zip(samples, verdicts, rewards, strict=True)
        ]
        groups.append(Group(problem, prompts[problem.id], scored))
    return groups


@dataclass(frozen=True)
class Credited:
    """Examples with a gradient, and how many groups had none and why."""

    examples: list[Example]
    used: int
    all_right: int
    all_wrong: int
    other: int  # equal rewards that are neither all right nor all wrong


def credit(groups: Sequence[Group], algorithm: Algorithm, *, cap: int, keep_all: bool = False) -> Credited:
    """Examples of the groups that can teach something; ``keep_all`` keeps the rest too, for a KL penalty."""
    kept = [g for g in groups if keep_all or has_signal(g.rewards)]
    flat = [g for g in groups if not has_signal(g.rewards)]
    rows: list[tuple[Group, Sample, float]] = []
    for group in kept:
        advantages = ADVANTAGES[algorithm](group.rewards)
        rows += [(group, s, float(a)) for s, a in zip(group.samples, advantages, strict=True)]
    weights = token_weights(
        algorithm,
        [int(s.mask.sum()) for _, s, _ in rows],
        responses=sum(len(g.samples) for g in groups),
        cap=cap,
    )
    examples = [
        Example(
            group.prompt_ids,
            sample.tokens.tolist(),
            sample.mask,
            np.full(len(sample.tokens), advantage, dtype=np.float32),
            np.full(len(sample.tokens), weight, dtype=np.float32),
            sample.logprobs,
        )
        for (group, sample, advantage), weight in zip(rows, weights, strict=True)
    ]
    right = sum(all(s.correct for s in g.samples) for g in flat)
    wrong = sum(not any(s.correct for s in g.samples) for g in flat)
    return Credited(examples, len(groups) - len(flat), right, wrong, len(flat) - right - wrong)


def table_row(sample: Sample) -> dict[str, Any]:
    """A sample as a row of samples.parquet."""
    row = vars(sample) | {key: getattr(sample, key).tolist() for key in ("tokens", "mask", "logprobs")}
    return dict(row)


def describe(groups: Sequence[Group]) -> dict[str, Any]:
    """Means over all samples of a step, for the log; None where there is nothing to average."""
    samples = [s for g in groups for s in g.samples]

    def mean(values: Sequence[float]) -> float | None:
        return float(np.mean(values)) if values else None

    return {
        "reward": mean([s.reward or 0.0 for s in samples]),
        "accuracy": mean([float(bool(s.correct)) for s in samples]),
        "thinking": mean([s.thinking for s in samples]),
        "thinking_right": mean([s.thinking for s in samples if s.correct]),
        "thinking_wrong": mean([s.thinking for s in samples if not s.correct]),
        "truncated": mean([float(s.truncated) for s in samples]),
    }
