"""The problems of an export as rows: the conversation that asks, and what the reward needs to find the problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rlready.core.config import RLConfig
from rlready.core.records import Problem
from rlready.engine.precheck import length_targets
from rlready.export.manifest import Split
from rlready.models.chat import Message, template_of
from rlready.models.lm import LM
from rlready.tasks.length_prompt import with_length_prompt

Content = str | list[dict[str, object]]  # of a file: a text, or the rows of a Parquet table
SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class Asked:
    """A problem of an export: ``messages`` ask for a response, whose target length is ``target`` tokens."""

    split: Split
    problem: Problem
    target: int
    messages: list[Message]


def asked_problems(config: RLConfig, lm: LM, split: Split, problems: Sequence[Problem]) -> list[Asked]:
    """The problems with their target lengths; of several, each problem has one, drawn by the seed."""
    targets = length_targets(config, lm)
    drawn = np.random.default_rng([config.seed, 2, SPLITS.index(split)]).choice(targets, len(problems)).tolist()
    stated = [with_length_prompt(p, config.length_prompt, n) for p, n in zip(problems, drawn, strict=True)]
    return [Asked(split, p, n, lm.chat.asked(p.prompt, p.system)) for p, n in zip(stated, drawn, strict=True)]


def has_template(lm: LM) -> bool:
    """Whether the tokenizer has a chat template, by which other tools write a conversation."""
    return bool(template_of(lm.tokenizer))


def as_text(asked: Asked, lm: LM) -> str:
    """The prompt of a model without a chat template, for a tool that adds the tokenizer's special tokens itself."""
    text = lm.chat.prompt(asked.problem.prompt, asked.problem.system, think=False)
    bare = text.removeprefix(str(lm.tokenizer.bos_token or ""))
    ids = lm.prompt_ids(asked.problem.prompt, asked.problem.system, think=False)
    same = list(lm.tokenizer.encode(bare)) == ids
    return bare if same else text


def longest_prompt(lm: LM, asked: Sequence[Asked]) -> int:
    """Tokens of the longest prompt."""
    return max(len(lm.prompt_ids(each.problem.prompt, each.problem.system, think=False)) for each in asked)


def opens_thought(lm: LM) -> bool:
    """Whether the prompt of ``rlready rl`` ends in an opened thought, and that of the chat template does not."""
    return lm.thinks and lm.chat.prompt("Why?", think=True) != lm.chat.prompt("Why?", think=False)
