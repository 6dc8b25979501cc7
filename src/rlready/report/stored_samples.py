"""The samples of a run with what a reader looks for in them: what was forced, what flipped, which groups teach."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rlready.core.errors import UserError
from rlready.core.records import SampleRow
from rlready.core.result import Result
from rlready.credit.algorithms import ALGORITHMS
from rlready.credit.outcome import has_signal
from rlready.report.sample_tables import Outline, SampleTable, kept_problems, outline_of, rows_of, tables_of
from rlready.report.step_faults import first_fault, problems_with_steps
from rlready.report.token_texts import Piece, TokenTexts
from rlready.runs.record import RunRecord
from rlready.tasks.protocol import Fault
from rlready.train.result import RLResult

GREEDY = ", greedy"  # ends the budget of what was decoded greedily, beside samples
Condition: TypeAlias = tuple[str, str]  # checkpoint and budget, as they are named on the page


@dataclass
class StoredSample:
    """A sample; ``response`` is its text in pieces.

    ``informative``: the rewards of its group, the samples of a problem under one condition, differ.  ``flipped``: the
    sample of this number is correct at one budget of its checkpoint and wrong at another; of a run with one budget,
    correct under one checkpoint and wrong under another.  ``credit`` is the advantage of all
    tokens that the policy chose, where they share one; ``fault`` is the first wrong step, where the task checks steps.
    """

    problem: str
    condition: Condition
    row: SampleRow
    response: list[Piece]
    informative: bool = False
    flipped: bool = False
    credit: float | None = None
    fault: Fault | None = None

    @property
    def has_wrong_step(self) -> bool:
        """Whether a step of the thought is wrong, rather than missing or cut off."""
        found = self.fault
        return found is not None and found.begin < found.end and not (found.open and self.row["truncated"])

    @property
    def wrong_step(self) -> str:
        """What kind of fault the first wrong step has; "" without one."""
        return self.fault.kind if self.fault and self.has_wrong_step else ""


@dataclass(frozen=True)
class StoredSamples:
    """Samples by problem, condition and number; ``total`` are stored, ``unmarked`` names the models without whose
    tokenizer forced tokens are not known."""

    samples: list[StoredSample]
    total: int
    unmarked: list[str]

    @property
    def kinds_of_wrong_steps(self) -> list[str]:
        """What first wrong steps are, the most frequent first."""
        return [kind for kind, _ in Counter(s.wrong_step for s in self.samples).most_common() if kind]


def stored_samples(folder: Path, result: Result, algorithm: str, left_out: list[str]) -> StoredSamples:
    """The samples of a run; tables that cannot be read are named in ``left_out``.

    ``algorithm`` is that of RL, whose advantages are computed again from the rewards.
    """
    tables: dict[SampleTable, Outline] = {}
    for table in tables_of(folder, result):
        try:
            tables[table] = outline_of(table)
        except UserError as error:
            left_out.append(f"{table.path.relative_to(folder)}: {error}")
    problems, total = kept_problems(tables.values())
    samples, unmarked = list[StoredSample](), dict[str, None]()
    decoders: dict[str, TokenTexts] = {}
    task = getattr(result, "task", None)
    checked = problems_with_steps(task.source) if task else {}
    for table in tables:
        decoder = decoders.setdefault(table.model, TokenTexts(_located(folder, table.model)))
        for row in rows_of(table.path, problems):
            pieces = decoder.pieces(row)
            if pieces is None:
                unmarked[table.model] = None
            problem, _, at = row["problem_id"].rpartition("@")  # RL calls a problem of a step ID@STEP, from 0
            checkpoint = f"step {int(at) + 1}" if at.isdecimal() else ""
            if table.checkpoint or not checkpoint:
                problem, checkpoint = row["problem_id"], table.checkpoint
            condition = checkpoint, budget_name(row.get("setting") or "") + GREEDY * table.greedy
            fault = first_fault(row, checked, problem)
            samples.append(StoredSample(problem, condition, row, pieces or [Piece(row["text"])], fault=fault))
    _mark_groups(samples, algorithm)
    if not isinstance(result, RLResult):  # where every step has other random numbers
        _mark_flipped([sample for sample in samples if not sample.condition[1].endswith(GREEDY)])
    problem_order = {name: i for i, name in enumerate(dict.fromkeys(s.problem for s in samples))}
    checkpoints = {name: i for i, name in enumerate(dict.fromkeys(s.condition[0] for s in samples))}

    def place(sample: StoredSample) -> tuple[int, int, float, str, int]:
        checkpoint, budget = sample.condition
        number = re.search(r"\d+", budget)  # those without one last
        limit = int(number[0]) if number else math.inf
        return problem_order[sample.problem], checkpoints[checkpoint], limit, budget, sample.row["sample_id"]

    samples.sort(key=place)
    return StoredSamples(samples, total, list(unmarked))


def _located(folder: Path, model: str) -> str:
    """Where a model is now, by the record of the run that has called it so; its own name, if that knows no better."""
    with suppress(UserError):
        path = RunRecord.load(folder).located(folder, model)
        return str(path) if path.exists() else model
    return model


def budget_name(setting: str) -> str:
    """What the viewer calls a setting of an evaluation: "budget 64+1", or "unconstrained"."""
    return f"budget {setting}" if setting[:1].isdigit() else setting


def _mark_groups(samples: Sequence[StoredSample], algorithm: str) -> None:
    """Which groups are informative, and the advantages of outcome rewards."""
    groups = defaultdict[tuple[str, Condition], list[StoredSample]](list)
    for sample in samples:
        groups[sample.problem, sample.condition].append(sample)
    for group in groups.values():
        rewards = np.array([s.row["reward"] for s in group], dtype=np.float64)
        informative = has_signal(rewards)
        advantages = ALGORITHMS[algorithm].advantage(rewards).tolist() if algorithm in ALGORITHMS else []
        for at, sample in enumerate(group):
            sample.informative = informative
            if informative and advantages and sample.row.get("advantages") is None:
                sample.credit = advantages[at]


def _mark_flipped(samples: Sequence[StoredSample]) -> None:
    several = len({budget for _, budget in (sample.condition for sample in samples)}) > 1
    found = defaultdict[tuple[str, str, int], list[StoredSample]](list)  # samples that differ in budget or checkpoint
    for sample in samples:
        checkpoint = sample.condition[0] if several else ""
        found[sample.problem, checkpoint, sample.row["sample_id"]].append(sample)
    for alike in found.values():
        flipped = len({sample.row["correct"] for sample in alike}) == 2
        for sample in alike:
            sample.flipped = flipped
