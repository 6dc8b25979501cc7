"""The Parquet tables of samples in a run folder, where the verb has put them.

Readiness and evaluation have ``parts/N.parquet``, a table for each checkpoint, and RL those of ``samples/``.  Samples
that readiness was given as a table are not stored a second time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from rlready.core.errors import UserError
from rlready.core.records import SampleRow
from rlready.core.result import RESULT, Result
from rlready.evaluate.result import EvaluateResult
from rlready.readiness.result import ReadinessResult
from rlready.report.budget_charts import names_of
from rlready.report.demo_result import DemoResult
from rlready.runs.checkpoint_order import labels
from rlready.runs.checksums import changed
from rlready.runs.results import checksums_of
from rlready.train.result import RLResult
from rlready.train.samples import SampleFiles

if TYPE_CHECKING:
    from pyarrow import Table

MOST_SAMPLES, MOST_CHARACTERS = 50_000, 100_000_000  # beyond, whole problems are left out, evenly
# columns by the beginning of their type; tables of earlier versions, or of some verbs, lack the optional ones
REQUIRED = {
    **{"problem_id": "string", "sample_id": "int", "text": "string", "correct": "bool", "reward": "double"},
    **{"finish": "string", "truncated": "bool", "num_waits": "int", "thinking_tokens": "int", "answer_tokens": "int"},
}
OPTIONAL = {
    **{"prompt": "string", "answer": "string", "strict": "bool", "undecided": "bool", "run_on": "bool"},
    **{"setting": "string", "advantages": "list", "system": "string"},
}
TOKENS = {"tokens": "list", "mask": "list"}  # read where some were forced or have advantages of their own


@dataclass(frozen=True)
class SampleTable:
    """A table of samples; ``checkpoint`` is what the page calls the model whose folder or hub id is ``model``.

    Of RL it is empty: the id of a problem says the step of the policy.  ``greedy``: beside samples, one response to a
    problem without chance.
    """

    path: Path
    checkpoint: str
    model: str
    greedy: bool = False


def tables_of(folder: Path, result: Result) -> list[SampleTable]:
    """The tables of a run that are there."""
    return [table for table in _tables(folder, result) if table.path.is_file()]


def _tables(folder: Path, result: Result) -> Iterator[SampleTable]:
    parts = folder / "parts"
    match result:
        case DemoResult():
            name = names_of(result)
            for run, stages in (("evaluate", ("base", "sft", "rl")), ("greedy", ("sft", "rl"))):
                if (folder / run / RESULT).is_file():
                    models = EvaluateResult.load(folder / run).models
                    for at, (model, stage) in enumerate(zip(models, stages, strict=False)):
                        yield SampleTable(folder / run / "parts" / f"{at}.parquet", name(stage), model, run == "greedy")
        case EvaluateResult():
            name = names_of(result)
            for at, model in enumerate(result.models):
                yield SampleTable(parts / f"{at}.parquet", name(model), model)
        case ReadinessResult():
            short = labels(c.name for c in result.checkpoints)
            for at, checkpoint in enumerate(result.checkpoints):
                yield SampleTable(parts / f"{at}.parquet", short[checkpoint.name], checkpoint.name)
        case RLResult():
            saved = next((str(path) for path in sorted(folder.glob("checkpoints/step-*"))), result.best.path)
            for path in SampleFiles(folder / "samples").paths():
                yield SampleTable(path, "", saved)


@dataclass(frozen=True)
class Outline:
    """What must be known of a table before its rows are chosen: of each sample (N,) the problem, and the characters."""

    problems: list[str]
    lengths: list[int]


def outline_of(table: SampleTable) -> Outline:
    """The outline of a table; UserError says why it cannot be shown."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path, run = table.path, table.path.parent.parent
    if changed(run, path, checksums_of(run)):
        raise UserError("changed after the run had ended")
    try:
        kinds = {field.name: str(field.type) for field in pq.read_schema(path)}
        wrong = [name for name, kind in (REQUIRED | TOKENS).items() if not kinds.get(name, "").startswith(kind)]
        wrong += [name for name, kind in OPTIONAL.items() if not kinds.get(name, "null").startswith((kind, "null"))]
        content = pq.read_table(path, columns=[] if wrong else list(REQUIRED), partitioning=None)
    except (OSError, pa.ArrowException):
        raise UserError("damaged") from None
    wrong = wrong or [name for name in REQUIRED if content[name].null_count]
    if wrong:
        raise UserError(f"not a table of samples: see its column {wrong[0]}")
    return Outline(content["problem_id"].to_pylist(), pc.utf8_length(content["text"]).to_pylist())


def kept_problems(outlines: Iterable[Outline]) -> tuple[set[str], int]:
    """The ids of the problems of these tables that are shown, and how many samples there are of all problems."""
    samples, characters = Counter[str](), 0
    for outline in outlines:
        characters += sum(outline.lengths)
        samples.update(outline.problems)
    total = samples.total()
    every = max(1, math.ceil(total / MOST_SAMPLES), math.ceil(characters / MOST_CHARACTERS))
    return set(list(samples)[::every]), total


def rows_of(path: Path, problems: Collection[str]) -> list[SampleRow]:
    """The rows of these problems, with their tokens where some were forced or have advantages of their own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name in (*REQUIRED, *OPTIONAL, *TOKENS) if name in pq.read_schema(path).names]
    table = pq.read_table(path, columns=names, partitioning=None)
    table = table.filter(pa.array([name in problems for name in table["problem_id"].to_pylist()], pa.bool_()))
    rows = table.drop_columns(list(TOKENS)).to_pylist()
    wanted = [at for at, forced in enumerate(_forced(table)) if forced or rows[at].get("advantages")]
    for at, tokens in zip(
        wanted, table.select(list(TOKENS)).take(pa.array(wanted, pa.int64())).to_pylist(), strict=True
    ):
        rows[at] |= tokens
    return cast("list[SampleRow]", rows)


def _forced(table: Table) -> list[bool]:
    """(N,) whether a token of the sample was forced."""
    import pyarrow.compute as pc

    lengths = pc.list_value_length(table["mask"]).fill_null(0).to_numpy()
    ends = np.cumsum(lengths)
    chosen = np.concatenate([[0], np.cumsum(pc.list_flatten(table["mask"]).to_numpy())])
    forced: list[bool] = (chosen[ends] - chosen[ends - lengths] < lengths).tolist()
    return forced
