"""The reward of an exported run: the verdict of the task's verifier, with the length reward if one is set.

``reward.py`` of an export calls it in the trainer's process.  The task is opened from the files in the export, so that
problems, verifier and verdicts are those of ``rlready rl``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from rlready.core.errors import UserError
from rlready.core.records import Problem, Thought
from rlready.credit.reward import RewardFn
from rlready.engine.rollout import finds_answers, split_text
from rlready.export.manifest import CODE, MANIFEST, TOKENIZER, Manifest, Split, digest_of, makers
from rlready.tasks import Task, open_task, verify_all

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Response:
    """A response to a problem; ``tokens`` are its token ids if the trainer gives them, ``target`` its target length,
    ``truncated`` whether its thought was closed at its budget."""

    split: Split
    problem_id: str
    target: int
    text: str = ""
    tokens: Sequence[int] | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Scored:
    """What a response is worth."""

    text: str
    correct: bool
    reward: float


class ExportedReward:
    """The reward of the export in ``folder``; UserError if its files are damaged, or make other problems."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, Manifest.from_file(folder / MANIFEST)
        self.reward = RewardFn(self.manifest.reward, self.manifest.reward_coef)
        self._lock = Lock()
        self._tasks: dict[Split, tuple[Task, dict[str, Problem]]] = {}

    def score(self, responses: Sequence[Response]) -> list[Scored]:
        """Verdicts and rewards, in the order given; the responses of a group stand together.

        UserError if the verifier raises on most responses, or returns what is no verdict.
        """
        with self._lock:  # verl asks from several threads
            runs = [(split, [*rows]) for split, rows in groupby(responses, lambda response: response.split)]
            return [scored for split, rows in runs for scored in self._of(split, rows)]

    def _of(self, split: Split, rows: Sequence[Response]) -> Iterator[Scored]:
        task, problems = self._opened(split)
        texts = [row.text if row.tokens is None else self._decoded(row.tokens) for row in rows]
        parts = [self.parts(text, truncated=row.truncated) for row, text in zip(rows, texts, strict=True)]
        asked = [(problems[row.problem_id], part) for row, part in zip(rows, parts, strict=True)]
        correct = np.array([verdict.correct for verdict in verify_all(task, asked)])
        lengths = np.zeros(len(rows), dtype=np.int64)
        if self.manifest.reward != "correctness":
            lengths[:] = [self._length(*each) for each in zip(rows, texts, parts, strict=True)]
        for group in groups_of([row.problem_id for row in rows], self.manifest.group(split)):
            rewards = self.reward(correct[group], lengths[group], rows[group.start].target)
            for text, right, reward in zip(texts[group], correct[group], rewards, strict=True):
                yield Scored(text, bool(right), float(reward))

    def parts(self, text: str, *, truncated: bool = False) -> tuple[str, str]:
        """(thinking, answer) of a response, without its delimiters, its end, a thought after the answer, and what was
        forced before it, unless a verifier finds the answer by that."""
        m = self.manifest
        for stop in m.stops:
            text = text.removesuffix(stop)
        text = text.partition(m.ending)[0] if m.ending else text
        whole, opened = text, m.opened
        if m.opener and text.lstrip().startswith(m.opener):
            text, opened = text.lstrip().removeprefix(m.opener), True
        thinking, answer = split_text(text, m.closer)
        if opened and m.closer not in text:
            thinking, answer = text, ""
        elif m.opener and m.closer in text:
            answer = answer.partition(m.opener)[0]
        if truncated and not finds_answers(prefix := m.answer_prefix.strip()):
            answer = answer.lstrip().removeprefix(prefix)
        return Thought.cut((thinking, answer), whole)

    def _length(self, row: Response, text: str, parts: tuple[str, str]) -> int:
        """Tokens of the thought, or of the response if the model does not think or never closed its thought."""
        closed = self.manifest.thinks and self.manifest.closer in text
        if row.tokens is not None and not closed:
            return len(row.tokens)
        return len(self._tokenizer.encode(parts[0] if closed else text, add_special_tokens=False))

    def _decoded(self, tokens: Sequence[int]) -> str:
        """The text of tokens, the special ones included: the delimiters of a thought may be among them."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _opened(self, split: Split) -> tuple[Task, dict[str, Problem]]:
        if split not in self._tasks:
            code = str(self.folder / CODE)
            if code not in sys.path:
                sys.path.insert(0, code)
            task = open_task(self.manifest.source(split, self.folder))
            self._refuse_others(split, task)
            self._tasks[split] = task, {problem.id: problem for problem in task.problems()}
        return self._tasks[split]

    def _refuse_others(self, split: Split, task: Task) -> None:
        """UserError if the problems are not those of the export, as those of another version's generator may not be."""
        if digest_of(task.problems()) != self.manifest.problems[split]:
            raise UserError(
                f"{self.folder}: the problems of {task.source} are not those of the export, which "
                f"{self.manifest.makers} made; here is {makers()}: install the versions of the export, or export again"
            )

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from rlready.models.tokenizer import tokenizer_of

        return tokenizer_of(str(self.folder / TOKENIZER))


def groups_of(ids: Sequence[str], size: int) -> Iterator[slice]:
    """Where the groups are in a batch: runs of one problem, of at most ``size`` responses."""
    start = 0
    for _, run in groupby(ids):
        end = start + len([*run])
        for at in range(start, end, size):
            yield slice(at, min(at + size, end))
        start = end
