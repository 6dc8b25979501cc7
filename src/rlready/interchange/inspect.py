"""Inspect's logs: ``.eval``, a zip archive with a file for each sample, and ``.json``, read without ``inspect_ai``.

A sample has ``id``, ``epoch``, ``input`` (what was asked), ``output`` (``choices`` with message and stop reason) and
``scores``, a value for each scorer: C, I, P or N, a number, or several by name.  Epochs are the samples of a problem.
``error`` and ``invalidation`` mark those that do not count, ``limit`` one that was cut by a limit on the whole sample.
Long texts may stand in ``attachments``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlready.interchange.chosen_files import only_file
from rlready.interchange.inspect_log import ATTACHED, BEGINNING, ENDINGS, config_of, is_log, samples
from rlready.interchange.rollouts import (
    FAILED,
    Format,
    Request,
    asked,
    choose_score,
    context,
    drawn_with,
    said,
    score_first,
)
from rlready.tasks.columns import Batch
from rlready.tasks.table import Origin

GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # inspect_ai's CORRECT, INCORRECT, PARTIAL and NOANSWER
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
SOLVERS = ("system_message", "user_message", "prompt_template", "chain_of_thought", "multiple_choice")  # set the prompt
LIMITS = ("context", "time", "working", "message", "token", "turn", "cost")  # of a sample, that cut it
ROWS, TOGETHER = 256, 1 << 25  # samples, or characters of them, at a time


def files_of(path: Path) -> list[Path]:
    """The log that is named, or those of a folder."""
    if path.is_file():
        return [path] if path.suffix in ENDINGS else []
    return sorted(file for ending in ENDINGS for file in path.glob(f"*{ending}") if file.is_file() and is_log(file))


def read(request: Request) -> Iterator[Batch]:
    file = only_file(request, files_of(request.path), "several logs")
    score, others, header, done = "", list[str](), dict[str, Any](), 0
    for some in _together(map(_row, samples(file, header))):
        if not others and (others := list({name: 0 for row in some for name in row.scores})):
            score = choose_score(request, others)
        columns: dict[str, list[Any]] = {
            "problem_id": [row.problem_id for row in some],
            "prompt": [row.prompt for row in some],
            "context": [row.context for row in some],
            "truth": [row.truth for row in some],
            "text": [row.text for row in some],
            "score": [row.scores.get(score) for row in some],
            "finish_reason": [row.finish_reason for row in some],
            "unusable": [row.unusable for row in some],
            "settings": [_settings(header)] * len(some),
        }
        lines = np.arange(done + 1, done + len(some) + 1)
        done += len(some)
        yield Batch(Origin(str(file), "sample"), lines, columns, score_first(score, others))


class _Row(NamedTuple):
    """What is read of a sample, without its conversation."""

    problem_id: Any
    prompt: str | None
    context: str | None
    truth: Any
    text: str | None
    scores: dict[str, Any]
    finish_reason: Any
    unusable: str | None


def _row(sample: dict[str, Any]) -> _Row:
    output = sample.get("output") or {}
    choice = (output.get("choices") or [{}])[0]
    question = asked(sample.get("input"))
    prompt, text = _attached(question, sample), _text(choice, output, sample)
    unusable = FAILED if sample.get("error") else "are invalidated" if sample.get("invalidation") else None
    reason = _reason(choice.get("stop_reason"), sample.get("limit"))
    asked_for = _whole(prompt), _whole(context(sample.get("input"), question)), str(sample.get("target") or "")
    return _Row(_whole(sample.get("id")), *asked_for, _whole(text), _scores(sample), reason, unusable)


def _together(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Rows in batches that are bounded in number and in characters."""
    some, held = list[_Row](), 0
    for row in rows:
        some.append(row)
        held += len(str(row.text))
        if len(some) == ROWS or held >= TOGETHER:
            yield some
            some, held = [], 0
    if some:
        yield some


def _settings(header: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """How the responses were drawn: as the model was set, unless the task's plan says otherwise."""
    steps = (step for step in (header.get("plan") or {}).get("steps") or () if isinstance(step, dict))
    names = [(str(step.get("solver")).rpartition("/")[2], step.get("params")) for step in steps]
    solvers = [f"{name}({params or ''})" for name, params in names if name in SOLVERS]
    settings = config_of(header, name="model_generate_config") | config_of(header, of="plan")
    return drawn_with(settings | {"solvers": ", ".join(solvers) or ("none" if names else None)})


def _scores(sample: dict[str, Any]) -> dict[str, Any]:
    """The values of all scorers; those that one scorer gives by name as ``scorer/name``."""
    found: dict[str, Any] = {}
    for scorer, score in (sample.get("scores") or {}).items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            found |= {f"{scorer}/{name}": _number(inner) for name, inner in value.items()}
        else:
            found[scorer] = _number(value)
    return found


def _number(value: Any) -> Any:
    """A value as inspect_ai's metrics take it: a grade or a word as a number."""
    if not isinstance(value, str):
        return value
    if value in GRADES or value.lower() in WORDS:
        return GRADES.get(value, WORDS.get(value.lower()))
    try:
        return float(value)
    except ValueError:
        return value


def _text(choice: dict[str, Any], output: dict[str, Any], sample: dict[str, Any]) -> str | None:
    """The response, with its thought before it."""
    message, completion = choice.get("message"), output.get("completion")
    if isinstance(message, dict) and isinstance(message.get("content"), list):
        parts = message["content"]
        thought = "".join(str(part.get("reasoning") or "") for part in parts if part.get("type") == "reasoning")
        message = message | {"reasoning": thought}
    if isinstance(message, dict) and isinstance(completion, str) and completion.strip():
        message = message | {"content": completion}  # which scorers read, as what an agent has submitted
    text = said([message]) if message else completion
    return _attached(text, sample)


def _attached(text: str | None, sample: dict[str, Any]) -> str | None:
    """A text, or the attachment for which it stands."""
    if isinstance(text, str) and text.startswith(ATTACHED):
        text = (sample.get("attachments") or {}).get(text.removeprefix(ATTACHED), text)
    return text


def _whole(value: Any) -> Any:
    """A text in which a question mark stands for half of a surrogate pair, as where a model's output was cut."""
    whole = not isinstance(value, str) or value.isascii()
    return value if whole else value.encode("utf-8", "replace").decode()


def _reason(stop: Any, limit: Any) -> Any:
    """Why a response ended: by its stop reason, or by a limit of the sample."""
    cut = stop in ("max_tokens", "model_length") or (isinstance(limit, dict) and limit.get("type") in LIMITS)
    return "length" if cut else stop


INSPECT = Format(
    "inspect",
    "Inspect",
    frozenset(BEGINNING),
    files_of,
    read,
    "Inspect writes a log that ends in .eval or .json: name that file",
    "Inspect does not log the limit of a thought, only whether the response was cut",
)
