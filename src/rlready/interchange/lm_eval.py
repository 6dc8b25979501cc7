"""lm-evaluation-harness's ``samples_TASK_DATE.jsonl``, written with ``--log_samples``.

A row is a document: ``doc_id``, ``resps`` ([[r1, ..., rN]] with ``repeats: N``), ``filter``, ``metrics`` (the names of
its metrics) and their values.  All responses are there once for each filter.  A metric is one number for all responses
of a document: where there are several, only a task can verify them (``problems=``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.messages import remark, warn_once
from rlready.interchange.chosen_files import read_tasks
from rlready.interchange.lines import files_named, read_objects
from rlready.interchange.rollouts import (
    Format,
    Request,
    asked,
    choose_score,
    context,
    drawn_with,
    numeric,
    refuse_several,
    score_first,
)
from rlready.tasks.columns import Batch
from rlready.tasks.table import Origin

NOT_METRICS = ("doc_id", "target")
NO_VERDICTS = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")  # metrics of likelihood alone
LIKELIHOOD = 2  # a log-likelihood, and whether it is that of the greedy continuation
COLUMNS = ("problem_id", "variant", "prompt", "context", "truth", "document", "settings", "text", "score")


def files_of(path: Path) -> list[Path]:
    """The file that is named, or those with samples in a folder."""
    if path.is_file():
        return [path] if ".jsonl" in path.suffixes else []
    return files_named(path, "**/samples_*")


def read(request: Request) -> Iterator[Batch]:
    return read_tasks(request, files_of(request.path), _samples)


def _samples(request: Request, file: Path, task: str) -> Iterator[Batch]:
    """The samples in the file of a task."""
    score, others, filters = "", list[str](), dict[str, None]()
    seen: dict[str, set[str]] = {}  # documents by filter
    before, settings = dict[str, Any](), drawn_with({})
    chosen, empty = request.options.filter, 0
    for lines, rows in read_objects(file):
        if "doc_id" not in rows[0] or "resps" not in rows[0]:
            raise UserError(f"{file}:{lines[0]}: no 'doc_id' and 'resps', which lm-eval writes")
        if not score:
            stated = rows[0].get("metrics")
            others = stated if isinstance(stated, list) else numeric(rows[0], NOT_METRICS)
            others = [name for name in others if name not in NO_VERDICTS]
        _refuse_again(file, lines, rows, seen)
        responses = [responses_of(row.get("resps")) for row in rows]
        if not request.verified:  # before a metric or a filter is asked for, which would not help
            _refuse_several(file, lines, responses, next(iter(others), "a metric"))
        score = score or choose_score(replace(request, text=str(file)), others)
        filters |= {str(row.get("filter")): None for row in rows}
        if request.verified:  # all filters have the same responses
            chosen = chosen or next(iter(filters))
        if len(filters) > 1 and not chosen:
            names = ", ".join(filters)
            raise UserError(
                f"{request.text}: every document is there for each filter ({names}); choose one, as in "
                f"?filter={next(iter(filters))}"
            )
        found, numbers = list[tuple[Any, ...]](), list[int]()
        for line, row, several in zip(lines, rows, responses, strict=True):
            if chosen and str(row.get("filter")) != chosen:
                continue
            prompt, around = _prompt_of(row)
            stated, judged = _settings_of(row), {} if request.verified else {"filter": row.get("filter")}
            if stated | judged != before:  # mostly those of the row before
                before = stated | judged
                settings = drawn_with(before)
                _say_unstated(request.text, stated)
            empty += several.count("")
            for response in several:
                about = row["doc_id"], task, prompt, around, str(row.get("target") or ""), row.get("doc_hash")
                found.append((*about, settings, response, row.get(score)))
                numbers.append(line)
        columns = {name: [row[at] for row in found] for at, name in enumerate(COLUMNS)}
        yield Batch(Origin(str(file), "line"), np.array(numbers, dtype=np.int64), columns, score_first(score, others))
    if empty and request.verified:
        remark(
            f"{request.text}: {empty} responses are empty or null, and so have no answer: servers give null for one "
            "that ended inside its thought"
        )
    if chosen and chosen not in filters:
        raise UserError(f"{request.text}: no row has filter = {chosen}; {nearest(chosen, list(filters))}")


def _refuse_again(file: Path, lines: list[int], rows: list[dict[str, Any]], seen: dict[str, set[str]]) -> None:
    """UserError for a document that was ``seen`` before with the same filter."""
    for line, row in zip(lines, rows, strict=True):
        document, same = str(row.get("doc_id")), seen.setdefault(str(row.get("filter")), set())
        if document in same:
            raise UserError(
                f"{file}:{line}: document {document[:80]} is there again, which lm-eval writes once: give the "
                "samples of each checkpoint a file of their own"
            )
        same.add(document)


def _refuse_several(file: Path, lines: list[int], responses: list[list[str | None]], score: str) -> None:
    """UserError for the first document with several responses."""
    for line, several in zip(lines, responses, strict=True):
        if len(several) > 1:
            refuse_several(f"{file}:{line}", len(several), score)


def _prompt_of(row: dict[str, Any]) -> tuple[str, str | None]:
    """What was asked, with its context: the prompt of the first request in ``arguments``, else the texts of ``doc``."""
    first = row.get("arguments")
    while isinstance(first, dict) or (isinstance(first, list) and first and not isinstance(first[0], dict)):
        first = next(iter(first.values() if isinstance(first, dict) else first), None)
    if first is not None and (prompt := asked(first)):
        return prompt, context(first, prompt)
    doc = row.get("doc")
    texts = doc.values() if isinstance(doc, dict) else [doc]
    return "\n".join(text for text in texts if isinstance(text, str)), None


def _settings_of(row: dict[str, Any]) -> dict[str, Any]:
    """How the response was drawn: the object of the first request in ``arguments``, behind its prompt."""
    if not (requests := row.get("arguments")):
        return {}
    first = next(iter(requests.values() if isinstance(requests, dict) else requests), None)
    parts = first.values() if isinstance(first, dict) else first if isinstance(first, list) else ()
    return next((part for part in parts if isinstance(part, dict)), {})


def _say_unstated(where: str, settings: dict[str, Any]) -> None:
    """Say once that the temperature is not known, as what it is without these settings depends on the backend."""
    if settings and all(settings.get(name) is None for name in ("do_sample", "temperature")):
        warn_once(
            f"{where}: warning: states neither do_sample nor temperature, so that lm-eval decoded greedily with "
            "transformers or a server, and with vLLM (since 0.4.10) at temperature 1: rank it only beside samples that "
            "were drawn in the same way"
        )


def responses_of(value: Any) -> list[str | None]:
    """The texts of ``resps``, which is [[r1, ..., rN]]; one None for what are no texts, as a log-likelihood.

    Null among them is an empty text: what a server gives for a response that ended inside its thought.
    """
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    items = value if isinstance(value, list) and value else [value]
    if not all(isinstance(item, str | None) for item in items) or _is_likelihood(items):
        return [None]
    return [item or "" for item in items]


def _is_likelihood(items: list[str | None]) -> bool:
    """Whether these are no two responses, but what a single request of a log-likelihood gives."""
    if len(items) != LIKELIHOOD or items[1] not in ("True", "False"):
        return False
    try:
        return float(items[0] or "") <= 0
    except ValueError:
        return False


LM_EVAL = Format(
    "lm-eval",
    "lm-eval",
    frozenset({"doc_id", "resps"}),
    files_of,
    read,
    "lm-eval writes samples_TASK_DATE.jsonl with --log_samples: name that file",
    "lm-eval logs neither tokens nor finish reasons",
    choices=frozenset({"filter", "task"}),
)
