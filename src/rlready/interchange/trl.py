"""TRL's completions: ``OUTPUT_DIR/completions/completions_00010.parquet``, written with ``log_completions=True``.

A row has ``step``, ``prompt`` and ``completion`` (texts or lists of turns), a column of numbers named after each
reward function, further columns, and ``advantage``.  It has no ids: the prompt is the problem, with the ground truth
where one of `TRUTHS` is logged, as problems about images may have the same text.  A file holds the last
batch that was generated when it was written, so that rows repeat in the next file where several steps learn from one
batch, and those files are left out.  An evaluation writes into the same files, behind rows of training if it is smaller
than a batch; ``trainer_state.json`` says at which steps there was one.  Equal rows in which no problem has two
different responses are kept, as evaluations of different policies that are sure of every answer coincide.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mode
from typing import TYPE_CHECKING

import numpy as np

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import remark
from rlready.interchange.rollouts import (
    STATED,
    Evaluated,
    Format,
    Request,
    choose_score,
    drawn_with,
    said,
    score_first,
    step_of,
)
from rlready.tasks.columns import Batch, Column
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.table import Origin

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("step", "prompt", "completion", "advantage")
TRUTHS = ("ground_truth", "solution", "answer")  # columns, of which the first that is there counts
STATE = "trainer_state.json"


def files_of(path: Path) -> list[Path]:
    """The files of an output folder, of its folder ``completions``, or the file that is named, by step."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    inside = path / "completions" if (path / "completions").is_dir() else path
    return sorted(inside.glob("completions_*.parquet"), key=lambda file: step_of(file) or 0)


def states_in(output: Path) -> list[Path]:
    """The logs of a trainer: that of its output folder, if it is there, then those of checkpoints, the newest first."""
    saved = sorted(output.glob(f"checkpoint-*/{STATE}"), key=lambda file: step_of(file.parent) or 0, reverse=True)
    return [file for file in (output / STATE, *saved) if file.is_file()]


def evaluated_steps(completions: Path) -> Evaluated:
    """What the newest log says of the trainer that wrote a file of completions; without a log, nothing is known."""
    output, found = completions.parent.parent, Evaluated()
    for file in states_in(output)[:2]:
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            log, until = state["log_history"], int(state["global_step"])
            ended = until == state.get("max_steps")
            steps = frozenset(int(line["step"]) for line in log if any(name.startswith("eval_") for name in line))
            rewards = {int(line["step"]): float(line[_reward_in(line)]) for line in log if "eval_reward" in line}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # the samples say what they can without it
        found = max(found, Evaluated(steps, until, ended, rewards), key=lambda each: each.until)
    return found


def _reward_in(line: Mapping[str, object]) -> str:
    """The name of the mean reward of an evaluation: that of the only reward function, which has no weight yet."""
    each = [name for name in line if name.startswith("eval_rewards/") and name.endswith("/mean")]
    return each[0] if len(each) == 1 else "eval_reward"


def read(request: Request) -> Iterator[Batch]:
    before: list[pa.RecordBatch] = []
    first: list[str] = []
    repeated, score = 0, ""
    files = [
        file for file in files_of(request.path) if file == request.path or request.options.wants(step_of(file) or 0)
    ]
    truth = _truth(files)
    for file in files:
        table = ParquetTable(file)
        if missing := {"prompt", "completion"} - {*table.schema.names}:
            raise UserError(f"{file}: no column {min(missing)!r}, which TRL writes")
        rewards = _rewards(table)
        first = first or rewards
        if rewards != first and not request.options.score and not request.verified:
            raise UserError(
                f"{file}: has the rewards {', '.join(rewards) or 'none'}, but files before it {', '.join(first)}; say "
                "which is the verdict with ?score=NAME"
            )
        score = score or choose_score(request, rewards)
        if score and score not in rewards and not request.verified:
            raise UserError(f"{file}: no reward {score!r}; {nearest(score, rewards)}")
        stated = [name for name in ("model", *STATED) if name in table.schema.names]
        names = [name for name in dict.fromkeys((*COLUMNS, score, truth, *stated)) if name in table.schema.names]
        rows = [batch for batch, _ in table.batches(names)]
        bare = [batch.drop_columns(["step"]) if "step" in names else batch for batch in rows]
        if len(bare) == len(before) and all(map(_equal, bare, before)) and _differ(bare):
            repeated += 1
            continue
        before, done = bare, 0
        for batch in rows:
            columns: dict[str, Column] = {"problem_id": batch.column("prompt"), "text": _texts(batch)}
            if "step" in names:
                columns["step"] = batch.column("step")
            if score in names:
                columns["score"] = batch.column(score)
            if truth in names:
                columns["variant"] = batch.column(truth)
            if "model" in stated:
                columns["model"] = batch.column("model")
            if settings := [name for name in stated if name != "model"]:
                columns["settings"] = list(map(drawn_with, batch.select(settings).to_pylist()))
            lines = np.arange(done + 1, done + len(batch) + 1)
            done += len(batch)
            yield Batch(Origin(str(file), "row"), lines, columns, score_first(score, rewards))
    if repeated:
        remark(f"{request.text}: {repeated} files repeat the rows of the one before and are left out")


def _truth(files: Sequence[Path]) -> str:
    """The column with the ground truth of each problem, "" if there is none.

    A column of what was found in each completion is none: a prompt has several values somewhere, but not each of them
    in whole groups, as problems of one prompt have.  Nor is one of which no prompt has a group.
    """
    name, once, several = "", list[int](), list[int]()  # times that prompts with one value, or with several, have each
    for table in map(ParquetTable, files):
        name = name or next((each for each in TRUTHS if each in table.schema.names), "")
        if {name, "prompt"} <= {*table.schema.names}:
            pairs = _pairs(table, name)
            values = Counter(prompt for prompt, _ in pairs)
            for (prompt, _), times in pairs.items():
                (several if values[prompt] > 1 else once).append(times)
    whole = [times for times in once if times > 1]
    group = mode(whole) if whole else math.gcd(*several)  # some groups may be cut
    return name if group > 1 and not any(times % group for times in several) else ""


def _pairs(table: ParquetTable, name: str) -> Counter[tuple[str, str]]:
    """How often each prompt has each value of a column."""
    return Counter(
        (str(prompt), str(truth))
        for batch, _ in table.batches(["prompt", name])
        for prompt, truth in zip(batch.column("prompt").to_pylist(), batch.column(name).to_pylist(), strict=True)
    )


def _differ(rows: list[pa.RecordBatch]) -> bool:
    """Whether some problem has two different responses."""
    said: dict[str, object] = {}
    pairs = (pair for batch in rows for pair in zip(*map(batch.column, ("prompt", "completion")), strict=True))
    return any(said.setdefault(str(prompt), completion) != completion for prompt, completion in pairs)


def _equal(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    """Whether two batches hold the same, also where they hold no number."""
    if one.schema != other.schema or len(one) != len(other):
        return False
    pairs = zip(one.columns, other.columns, strict=True)
    return all(a.equals(b) or (_floats(a) and _same_floats(a, b)) for a, b in pairs)


def _floats(column: pa.Array) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(column.type))


def _same_floats(one: pa.Array, other: pa.Array) -> bool:
    return np.array_equal(one.to_numpy(zero_copy_only=False), other.to_numpy(zero_copy_only=False), equal_nan=True)


def _rewards(table: ParquetTable) -> list[str]:
    """The columns of rewards, which are floats; so may be those that the user logs."""
    import pyarrow as pa

    others = (*COLUMNS, *STATED)
    return [field.name for field in table.schema if pa.types.is_floating(field.type) and field.name not in others]


def _texts(batch: pa.RecordBatch) -> Column:
    import pyarrow as pa

    column = batch.column("completion")
    return column if column.type in (pa.string(), pa.large_string()) else list(map(said, column.to_pylist()))


TRL = Format(
    "trl",
    "TRL",
    frozenset({"prompt", "completion", "advantage"}),
    files_of,
    read,
    "TRL writes completions/completions_*.parquet with log_completions=True",
    "TRL logs neither tokens nor finish reasons, and its texts are without special tokens",
)
