"""Measure one model under every setting: means over each problem's samples, as vectors over problems (N,)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import Field

from rlready.core.records import Group, Problem, Sample
from rlready.core.result import Record
from rlready.engine.repeats import repeats
from rlready.engine.rollout import answer_of, sample_of, sample_row, warn_run_ons
from rlready.evaluate.draw import Drawer
from rlready.evaluate.result import Example
from rlready.evaluate.settings import Setting
from rlready.evaluate.vote import Ballot, affordable, ballot, shares
from rlready.models.lm import LM
from rlready.runs.drawn import DrawnSamples
from rlready.runs.files import write_table
from rlready.tasks import Task
from rlready.tasks.answers.verify import ballots, voted

SHOWN = 12  # samples of a model that are kept for reading, times the main settings; of a problem the first sample


class Vectors(Record):
    """Means over the samples of each problem (N,), under one setting.

    ``wrong_to_right`` and ``right_to_wrong``: shares of samples whose correctness differs from that of the same sample
    under the main setting of the same budget.  ``cut_wrong``: share of samples that are wrong and reached their limit,
    empty in parts of older versions.  ``length_error``: mean |thinking tokens - asked| / asked, empty where the prompt
    asks for no length.
    """

    accuracy: list[float] = Field(default_factory=list)
    strict: list[float] = Field(default_factory=list)
    thinking: list[float] = Field(default_factory=list)
    answer: list[float] = Field(default_factory=list)
    truncated: list[float] = Field(default_factory=list)
    cut_wrong: list[float] = Field(default_factory=list)
    unfinished: list[float] = Field(default_factory=list)
    undecided: list[float] = Field(default_factory=list)
    extended: list[float] = Field(default_factory=list)
    wrong_to_right: list[float] = Field(default_factory=list)
    right_to_wrong: list[float] = Field(default_factory=list)
    length_error: list[float] = Field(default_factory=list)

    def add(self, setting: Setting, group: Group, main: Group) -> None:
        """The next problem; ``main`` is its group under the main setting."""
        for key, value_of in VALUES.items():
            getattr(self, key).append(float(np.mean([value_of(s) for s in group.samples])))
        pairs = [(bool(s.correct), bool(m.correct)) for s, m in zip(group.samples, main.samples, strict=True)]
        self.wrong_to_right.append(float(np.mean([now and not then for now, then in pairs])))
        self.right_to_wrong.append(float(np.mean([then and not now for now, then in pairs])))
        if asked := setting.prompted:
            self.length_error.append(float(np.mean([abs(s.thinking_tokens - asked) / asked for s in group.samples])))

    @property
    def tokens(self) -> float:
        """Mean tokens of a response."""
        return float(np.mean(self.thinking) + np.mean(self.answer))


VALUES: dict[str, Callable[[Sample], float]] = {
    "accuracy": lambda s: bool(s.correct),
    "strict": lambda s: bool(s.strict),
    "thinking": lambda s: s.thinking_tokens,
    "answer": lambda s: s.answer_tokens,
    "truncated": lambda s: s.reached_limit,
    "cut_wrong": lambda s: s.reached_limit and not s.correct,
    "unfinished": lambda s: s.finish == "length",
    "undecided": lambda s: s.undecided,
    "extended": lambda s: s.num_waits > 0,
}


class VoteShares(Record):
    """Votes of ``samples`` responses, which have ``tokens`` together: shares of the blocks of each problem (N,)."""

    samples: int
    tokens: float
    majority_vote: list[float]
    most_likely: list[float]
    any_right: list[float]


class ThoughtLengths(Record):
    """Thinking tokens of every sample at the largest budget, or tokens of the response if no model thinks."""

    right: list[int] = Field(default_factory=list)
    wrong: list[int] = Field(default_factory=list)


class ModelMeasurements(Record):
    """The measurements of one model: ``vectors`` by setting, ``votes`` by main setting."""

    model: str
    vectors: dict[str, Vectors]
    votes: dict[str, VoteShares]
    lengths: ThoughtLengths
    examples: list[Example]
    knows_steps: bool  # the task can tell whether every step is correct
    doubt: str = ""  # what is wrong with the samples


def measure(drawer: Drawer, problems: Sequence[Problem], kept: DrawnSamples, samples_to: Path) -> ModelMeasurements:
    """Draw and verify what is not ``kept`` of an earlier attempt; all samples go into the table ``samples_to``."""
    settings, lm = drawer.settings, drawer.lm
    vectors = {setting.name: Vectors() for setting in settings.all}
    voting = settings.main if settings.budgeted else ()
    ballots_of: dict[str, list[list[Ballot]]] = {setting.name: [] for setting in voting}
    read = (settings.largest,) if settings.largest.limit else settings.main  # smaller limits cut the same
    lengths, examples = ThoughtLengths(), list[Example]()
    for drawn in _problem_by_problem(drawer, problems, kept):
        for setting, group in drawn.items():
            main = group if setting == settings.unconstrained else drawn[settings.main_for(setting)]
            vectors[setting.name].add(setting, group, main)
            if setting in voting:
                ballots_of[setting.name].append(_ballots(lm, drawer.task, group))
            if setting in read and len(examples) < SHOWN * len(settings.main):
                examples.append(example(lm, setting, group))
            if setting == settings.largest:
                for s in group.samples:
                    length = len(s.tokens) if setting.limit else s.thinking_tokens
                    (lengths.right if s.correct else lengths.wrong).append(length)
    write_table(samples_to, kept.rows)
    warn_run_ons("evaluate", lm.source, kept.rows)
    return ModelMeasurements(
        model=lm.source,
        vectors=vectors,
        votes=_votes(vectors, ballots_of, [setting.name for setting in (*settings.main, *settings.others)]),
        lengths=lengths,
        examples=examples,
        knows_steps=any(row["strict"] is not None for row in kept.rows),
        doubt=repeats(kept.rows, drawer.config.temperature, drawer.config.engine),
    )


def _problem_by_problem(
    drawer: Drawer, problems: Sequence[Problem], kept: DrawnSamples
) -> Iterator[dict[Setting, Group]]:
    """The groups of every problem by setting: first those that are kept, then those drawn now, which are kept too."""
    settings, size = drawer.settings.all, drawer.config.samples
    done = len(kept.rows) // (size * len(settings))
    groups = iter(range(0, len(kept.rows), size))
    for problem in problems[:done]:
        samples = [[sample_of(row) for row in kept.rows[at : at + size]] for at in islice(groups, len(settings))]
        yield {setting: Group(problem, (), each) for setting, each in zip(settings, samples, strict=True)}
    chunk = max(1, drawer.engine.batch_size // size)
    for begin in range(done, len(problems), chunk):
        drawn = drawer.draw(problems[begin : begin + chunk])
        found = [dict(zip(settings, each, strict=True)) for each in zip(*(drawn[s] for s in settings), strict=True)]
        kept.add([
            {**sample_row(sample, group.problem), "setting": setting.name}
            for by_setting in found for setting, group in by_setting.items() for sample in group.samples
        ])  # fmt: skip
        yield from found


def _ballots(lm: LM, task: Task, group: Group) -> list[Ballot]:
    """A group's votes; equal answers, by the task's comparison if it has one, else by their text, are one."""
    answers = [voted(group.problem.answer, answer_of(sample, lm)[1]) for sample in group.samples]
    if task.compares(group.problem) is not None:
        answers = ballots(answers)
    return [ballot(s, answer) for s, answer in zip(group.samples, answers, strict=True)]


def _votes(
    vectors: Mapping[str, Vectors], ballots_of: Mapping[str, Sequence[Sequence[Ballot]]], settings: Sequence[str]
) -> dict[str, VoteShares]:
    """Vote shares by main setting, at the tokens of one response under the costliest of ``settings``."""
    total = max(vectors[name].tokens for name in settings)
    found = {}
    for name, by_problem in ballots_of.items():
        tokens = vectors[name].tokens
        n = affordable(total, tokens, len(by_problem[0]))
        each = [asdict(shares(votes, n)) for votes in by_problem]
        columns = {key: [share[key] for share in each] for key in each[0]}
        found[name] = VoteShares(samples=n, tokens=n * tokens, **columns)
    return found


def example(lm: LM, setting: Setting, group: Group) -> Example:
    """A group's first sample for reading: the text that each token adds, and whether the model chose it."""
    sample = group.samples[0]
    return Example(
        model=lm.source,
        problem_id=sample.problem_id,
        prompt=group.problem.prompt,
        answer=group.problem.answer,
        correct=bool(sample.correct),
        strict=sample.strict,
        finish=sample.finish,
        truncated=sample.reached_limit,
        budget=setting.tokens,
        thinking_tokens=sample.thinking_tokens,
        pieces=list(zip(lm.pieces(sample.tokens.tolist()), sample.mask.tolist(), strict=True)),
        system=group.problem.system,
    )
