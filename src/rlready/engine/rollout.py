"""Rollouts: samples of an engine, verified and rewarded, in one group per problem.

The verifier and the reward are two objects.  The verifier decides whether a response is correct, and it chooses
checkpoints; the reward is what the policy maximises: correctness, less a length penalty if one is configured.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from rlready.core.messages import warn
from rlready.core.records import Group, Problem, Sample, SampleRow, Thought
from rlready.core.timing import span
from rlready.credit.reward import RewardFn
from rlready.engine.protocol import Engine, Request
from rlready.models.chat import CLOSE
from rlready.models.lm import LM
from rlready.tasks import Task, Verdict, verify_all
from rlready.tasks.answers.verify import marked
from rlready.tasks.verdicts import verdict_on


def split_text(text: str, close: str = CLOSE) -> tuple[str, str]:
    """(thinking, answer): the text before and after the end of the thought; without one, all is answer."""
    thinking, closed, answer = text.partition(close)
    return (thinking, answer) if closed else ("", text)


def answer_of(sample: Sample, lm: LM) -> tuple[str, str]:
    """(thinking, answer) of a sample as it is verified, without the token that ended it.

    A truncated response is verified too: it may contain an answer.  One that never closes the thought that its prompt
    opens has none.
    """
    text = lm.without_end(as_verified(sample, lm).text)
    unclosed = lm.chat.opened and sample.thinking_budget is None and lm.close not in text
    return Thought.cut((text, "") if unclosed else split_text(text, lm.close), text)


def as_verified(sample: Sample, lm: LM) -> Sample:
    """A sample with the text that is verified: without a thought that began after the answer, and without the answer
    prefix, unless a verifier finds the answer by that prefix, as by ``\\boxed{``."""
    text = sample.text
    if sample.finish == "reopened":
        text = text.rpartition(lm.open)[0]
    if sample.truncated:
        head = lm.decode(sample.tokens[: -sample.answer_tokens].tolist())
        final = head.rpartition(lm.close)[2].lstrip()
        if not finds_answers(final):
            text = head.removesuffix(final) + text[len(head) :]
    return replace(sample, text=text)


def finds_answers(prefix: str) -> bool:
    """Whether a verifier finds an answer by the text before it, as by ``\\boxed{``."""
    return marked(prefix + "0}") is not None  # with an answer and the closing brace


def sample_of(row: SampleRow) -> Sample:
    """The sample of a row."""
    fields: dict[str, Any] = {key: value for key, value in row.items() if key in Sample.__dataclass_fields__}
    tokens, mask = np.array(row["tokens"], dtype=np.int32), np.array(row["mask"], dtype=np.uint8)
    return Sample(**fields | {"tokens": tokens, "mask": mask, "logprobs": np.array(row["logprobs"], dtype=np.float32)})


def draw_groups(
    engine: Engine,
    lm: LM,
    task: Task,
    problems: Sequence[Problem],
    requests: Sequence[Request],
    *,
    temperature: float,
    seed: int,
) -> list[Group]:
    """Sample and verify; one group per problem, in their order.  The reward is 1 for a correct sample, otherwise 0."""
    samples = engine.sample(requests, temperature=temperature, seed=seed)
    return Grader(lm, task, problems, requests).groups(samples)


class Grader:
    """Verifies the samples of requests, each once; those given to ``verdict`` before all have ended, at that time."""

    def __init__(self, lm: LM, task: Task, problems: Sequence[Problem], requests: Sequence[Request]) -> None:
        self.lm, self.task = lm, task
        self.problems = {problem.id: problem for problem in problems}
        self.prompts = {r.problem_id: r.prompt_ids for r in requests}
        self._verdicts: dict[tuple[str, int], Verdict] = {}

    def verdict(self, sample: Sample) -> Verdict:
        """Whether one sample is correct; ``groups`` verifies it again, and counts it, if that is undecided."""
        verdict = verdict_on(self.task, self.problems[sample.problem_id], *answer_of(sample, self.lm))
        if not verdict.undecided:
            self._verdicts[sample.problem_id, sample.sample_id] = verdict
            self.task.tally.asked += 1
        return verdict

    def groups(self, samples: Sequence[Sample]) -> list[Group]:
        """One group per problem, in their order, of all samples."""
        new = [s for s in samples if (s.problem_id, s.sample_id) not in self._verdicts]
        with span("score"):
            asked = [(self.problems[s.problem_id], answer_of(s, self.lm)) for s in new]
            for s, verdict in zip(new, verify_all(self.task, asked), strict=True):
                self._verdicts[s.problem_id, s.sample_id] = verdict
        by_problem: dict[str, list[Sample]] = {name: [] for name in self.problems}
        for s in samples:
            v = self._verdicts[s.problem_id, s.sample_id]
            scored = s.scored(
                correct=v.correct, reward=float(v.correct), strict=v.strict, run_on=v.run_on, undecided=v.undecided
            )
            by_problem[s.problem_id].append(scored)
        return [Group(self.problems[name], self.prompts[name], group) for name, group in by_problem.items()]


def rewarded(groups: Sequence[Group], reward: RewardFn, targets: Sequence[int]) -> list[Group]:
    """The groups with the rewards of ``reward``; ``targets`` is a length for each group.

    Lengths are thinking tokens, or tokens of the response where the model does not think.
    """
    found = []
    for group, target in zip(groups, targets, strict=True):
        correct = np.array([bool(s.correct) for s in group.samples])
        lengths = np.array([s.length for s in group.samples])
        rewards = reward(correct, lengths, target).tolist()
        samples = [replace(s, reward=r) for s, r in zip(group.samples, rewards, strict=True)]
        found.append(replace(group, samples=samples))
    return found


def warn_run_ons(verb: str, model: str, rows: Sequence[SampleRow]) -> None:
    """Warn of samples that continue into another turn, which the model invents; ``verb`` drew them from ``model``.

    A sample counts once, under however many settings it was continued.
    """
    run_on = {(row["problem_id"], row["sample_id"]) for row in rows if row["run_on"]}
    if run_on:
        drawn = len({(row["problem_id"], row["sample_id"]) for row in rows})
        warn(
            f"{verb}: {model}: warning: {len(run_on)} of {drawn} responses continue into another turn that the model "
            "invents; only the text before it was verified. SFT rows have to end in the token that ends a turn; to "
            f"see it and a row with it: rlready show --template {shlex.quote(model)}"
        )


def sample_row(sample: Sample, problem: Problem) -> SampleRow:
    """A verified sample of a problem as a row of a table, without the columns that the stage adds."""
    row = vars(sample) | {key: getattr(sample, key).tolist() for key in ("tokens", "mask", "logprobs")}
    return cast("SampleRow", row | {"prompt": problem.prompt, "answer": problem.answer, "system": problem.system})
