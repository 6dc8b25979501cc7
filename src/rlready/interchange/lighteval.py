"""lighteval's details, ``details/MODEL/DATE/details_TASK_DATE.parquet``.

A row is a document: ``doc`` (with ``id``, ``query``, ``choices`` and ``gold_index``, the place of the right one among
these), ``model_response`` (``text``, a list of responses, ``output_tokens``, and ``input``, the whole prompt) and
``metric``, a number for each metric.  As a metric is one number for all responses of a document, several responses need
``problems=``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.interchange.chosen_files import read_tasks
from rlready.interchange.rollouts import Format, Request, choose_score, context, refuse_several, score_first
from rlready.tasks.columns import Batch, read_batches
from rlready.tasks.parquet import ParquetTable

ROWS = 4096  # at a time
CHOICES, GOLD = "doc.choices", "doc.gold_index"
ID, QUERY, METRIC = "doc.id", "doc.query", "metric"
TEXT, TOKENS, INPUT = "model_response.text", "model_response.output_tokens", "model_response.input"


def files_of(path: Path) -> list[Path]:
    """The file that is named, or those of a folder."""
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    return sorted(path.rglob("details_*.parquet"))


def read(request: Request) -> Iterator[Batch]:
    return read_tasks(request, files_of(request.path), _samples)


def _samples(request: Request, file: Path, task: str) -> Iterator[Batch]:
    """The samples in the file of a task."""
    table = ParquetTable(file)
    metrics = [name.removeprefix("metric.") for name in table.columns if name.startswith("metric.")]
    if not {"doc", "model_response", METRIC} <= {*table.schema.names}:
        raise UserError(f"{file}: no columns doc, model_response and metric, which lighteval writes")
    score, seen = choose_score(replace(request, text=str(file)), metrics), set[Any]()
    wanted = [ID, QUERY, TEXT, TOKENS, f"{METRIC}.{score}", CHOICES, GOLD, INPUT]
    for batch in (part for whole in read_batches(str(file), wanted) for part in _parts(whole)):
        every = np.arange(len(batch))
        ids, queries, texts, tokens, scores, choices, gold, inputs = (batch.values(name, every) for name in wanted)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("problem_id", "variant", "prompt", "context", "truth", "text", "tokens", "score")
        }
        numbers = []
        for at, line in enumerate(batch.lines.tolist()):
            document = queries[at] if ids[at] in (None, "") else ids[at]
            if document in seen:
                raise UserError(
                    f"{file} row {line}: document {str(document)[:80]!r} is there again, which lighteval writes once: "
                    "give the samples of each checkpoint a file of their own"
                )
            seen.add(document)
            responses = texts[at] if isinstance(texts[at], list) and texts[at] else [texts[at]]
            if len(responses) > 1 and not request.verified:
                refuse_several(f"{file} row {line}", len(responses), score)
            drawn = tokens[at] if isinstance(tokens[at], list) and len(tokens[at]) == len(responses) else None
            for number, response in enumerate(responses):
                columns["problem_id"].append(document)
                columns["variant"].append(task)
                columns["prompt"].append(queries[at])
                columns["context"].append(context(inputs[at], None))
                columns["truth"].append(_truth(choices[at], gold[at]))
                columns["text"].append(response if isinstance(response, str) else None)
                columns["tokens"].append(drawn[number] if drawn else None)
                columns["score"].append(scores[at])
                numbers.append(line)
        if all(each is None for each in columns["tokens"]):
            del columns["tokens"]
        others = [name for name in metrics if name != score]
        yield Batch(batch.origin, np.array(numbers, dtype=np.int64), columns, score_first(score, others))


def _truth(choices: object, gold: object) -> str | None:
    """The right answer or answers of a document, None where they are not known."""
    places: list[Any] = gold if isinstance(gold, list) else [gold]
    if not isinstance(choices, list) or not all(isinstance(at, int) and 0 <= at < len(choices) for at in places):
        return None
    return " or ".join(str(choices[at]) for at in places) or None


def _parts(batch: Batch) -> Iterator[Batch]:
    """The batch in parts of `ROWS`, as lists of tokens take many times as much memory in Python."""
    for begin in range(0, len(batch), ROWS):
        yield batch.take(np.arange(begin, min(begin + ROWS, len(batch))))


LIGHTEVAL = Format(
    "lighteval",
    "lighteval",
    frozenset({"doc", "model_response", "metric"}),
    files_of,
    read,
    "lighteval writes details_TASK_DATE.parquet with --save-details: name that file",
    "lighteval does not log the limit of a thought",
    choices=frozenset({"task"}),
)
