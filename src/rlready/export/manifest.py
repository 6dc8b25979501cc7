"""What an exported reward needs to know: the tasks, the delimiters of a thought, and the reward."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rlready.core.config import Reward
from rlready.core.records import Problem
from rlready.core.result import Record
from rlready.runs.provenance import package_version

MANIFEST = "export.json"
README = "README.md"
SETTINGS = "settings.toml"  # those of rlready rl, presets included
HERE = "{here}"  # stands for the export's folder in a source
CODE = "code"  # the folder of the user's modules
TOKENIZER = "tokenizer"
LAUNCHER = "launch.sh"  # which starts the training
IN_EXPORT = "model"  # the folder of a copy of the embedded model
Split = Literal["train", "validation"]


def is_relative(model: str) -> bool:
    """Whether a model is named by its path from the export's folder: the copy in it, or a checkpoint of its sweep."""
    return model == IN_EXPORT or model.startswith("../")


class Manifest(Record):
    """``sources`` are the task sources by split, with `HERE` in place of the folder.  ``problems`` are the digests of
    their problems, which ``makers`` have made.

    ``opener`` and ``closer`` delimit a thought, ``thinks`` says whether responses begin with one, ``opened`` whether
    the prompt opens it, ``stops`` are the texts that may end a response, and ``ending`` is one that no
    token writes, behind which a tool samples on.  ``reward`` with ``reward_coef`` is that of
    ``rlready rl``, for groups of ``group_size``, or of ``eval_samples`` in validation.  ``answer_prefix`` is forced
    after a thought that was truncated, where the tool has budgets.
    """

    sources: dict[Split, str]
    problems: dict[Split, str]
    makers: str
    thinks: bool
    opener: str
    closer: str
    stops: list[str]
    ending: str = ""
    reward: Reward
    reward_coef: float | None
    group_size: int
    eval_samples: int
    answer_prefix: str = ""
    opened: bool = False

    def source(self, split: Split, folder: Path) -> str:
        """The task source of a split, for an export that is in ``folder``."""
        return self.sources[split].replace(HERE, str(folder))

    def group(self, split: Split) -> int:
        """Responses to a problem."""
        return self.group_size if split == "train" else self.eval_samples


def digest_of(problems: Sequence[Problem]) -> str:
    """SHA-256 of what a response is to, and verified by: the ids, prompts and answers."""
    digest = hashlib.sha256()
    for each in problems:
        digest.update(json.dumps([each.id, each.system, each.prompt, each.answer]).encode())
    return digest.hexdigest()


def makers() -> str:
    """The installed versions of what generates problems."""
    packages = {name: package_version(name) for name in ("rlready", "reasoning-gym", "verifiers")}
    return " and ".join(f"{name} {version}" for name, version in packages.items() if version)
