"""verl's rollouts: ``trainer.rollout_data_dir`` or ``validation_data_dir``, a file ``STEP.jsonl`` for each step.

A row has ``input``, ``output``, ``gts``, ``score``, ``step``, whatever the reward function returned besides (often
``acc``), and from verl 0.9 on ``uid``, which is ``{group}_{session}_{output}``.  The group is a random name that is new
in every step, so that it only says which rows are of one prompt: the problem is the input of the group's first row,
with ``gts``, as problems about images may have the same text.
Where a session has several outputs, as in an agent's loop, its last one is the response, and it has the score.  verl
sorts the rows of a step by length (``balance_batch``), so that those of a session need not stand together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.interchange.lines import files_named, read_objects
from rlready.interchange.rollouts import (
    STATED,
    Format,
    Request,
    choose_score,
    drawn_with,
    number,
    numeric,
    score_first,
    stated_settings,
    step_of,
)
from rlready.tasks.columns import Batch
from rlready.tasks.files import open_plain, stem_of
from rlready.tasks.table import Origin

UID = re.compile(rb'"uid"\s*:\s*"[^"\\]*_[^"_\\]*_(\d{1,9})"')  # of an output of a session


def files_of(path: Path) -> list[Path]:
    """The files of a folder that are named after steps, or the file that is named."""
    if path.is_file():
        return [path] if ".jsonl" in path.suffixes else []
    steps = [file for file in files_named(path, "*") if stem_of(file.name).isdecimal()]
    return sorted(steps, key=lambda file: int(stem_of(file.name)))


def read(request: Request) -> Iterator[Batch]:
    score, others = "", list[str]()
    files = files_of(request.path)
    for one, other in pairwise(files):
        if step_of(one) == step_of(other):
            raise UserError(f"{request.text}: {one.name} and {other.name} are both of step {step_of(one)}: remove one")
    for file in files:
        step = step_of(file) or 0
        if not request.options.wants(step) and file != request.path:
            continue
        problems, last = _sessions(file)
        uids = set[str]()
        for lines, rows in read_objects(file):
            if not score:
                score, others = _verdict_of(request, rows)
            for line, row in zip(lines, rows, strict=True):
                if file != request.path and row.get("step", step) != step:
                    raise UserError(
                        f"{file}:{line}: step {str(row['step'])[:20]}, in a file that verl names after its step: name "
                        "this file, which may have several steps, or divide it"
                    )
                if not isinstance(row.get("input"), str):
                    raise UserError(f"{file}:{line}: no text 'input', which verl writes")
                if row.get("uid") in uids:
                    raise UserError(f"{file}:{line}: uid {row['uid']!r} is given twice; each output has its own")
                uids |= {row["uid"]} if isinstance(row.get("uid"), str) else set()
                if problems.setdefault(_group(row), row["input"]) != row["input"] and _output(row) == 0:
                    raise UserError(f"{file}:{line}: another input than the first of its group, {_group(row)!r}")
            kept = [at for at, row in enumerate(rows) if _output(row) == last.get(_session(row) or "", _output(row))]
            columns: dict[str, list[Any]] = {
                "problem_id": [problems[_group(rows[at])] for at in kept],
                "variant": [rows[at].get("gts") for at in kept],
                "text": [rows[at].get("output") for at in kept],
                "step": [rows[at].get("step", step) for at in kept],
                "score": [number(rows[at].get(score)) for at in kept],
                "model": [rows[at].get("model") for at in kept],
                "settings": [drawn_with(stated_settings(rows[at])) for at in kept],
            }
            numbers = np.array([lines[at] for at in kept], dtype=np.int64)
            yield Batch(Origin(str(file), "line"), numbers, columns, score_first(score, others))


def _sessions(file: Path) -> tuple[dict[str, str], dict[str, int]]:
    """The problem of each group and the last output of each session; nothing unless a session has several outputs."""
    with open_plain(file) as content:
        if not any(int(m[1]) for line in content for m in UID.finditer(line)):
            return {}, {}
    first: dict[str, tuple[int, str]] = {}
    last: dict[str, int] = {}
    for _, rows in read_objects(file):
        for row in rows:
            output, session = _output(row), _session(row)
            if isinstance(given := row.get("input"), str):
                first[_group(row)] = min(first.get(_group(row), (output, given)), (output, given), key=itemgetter(0))
            if session is not None:
                last[session] = max(output, last.get(session, 0))
    return {group: given for group, (_, given) in first.items()}, last


def _verdict_of(request: Request, rows: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """The score that is the verdict, and all numbers of the rows; UserError if it must be guessed."""
    names = list(dict.fromkeys(name for row in rows for name in numeric(row, ("step", *STATED))))
    if any("score" in row for row in rows):
        names = list(dict.fromkeys(["score", *names]))
    elif not request.options.score and not request.verified:
        fix = (
            f"choose a number, as in ?score={names[0]} (there are {', '.join(names)})"
            if names
            else ("name the problems that verify its texts with problems=")
        )
        raise UserError(f"{request.text}: no 'score', which verl writes; {fix}")
    return choose_score(request, names, usual="score"), names


def _session(row: dict[str, Any]) -> str | None:
    """The session of an agent's loop, of which an output is one of several; None where rows have none."""
    uid = row.get("uid")
    return uid.rsplit("_", 1)[0] if isinstance(uid, str) and uid.count("_") > 1 else None


def _group(row: dict[str, Any]) -> str:
    uid = row.get("uid")
    return str(uid.rsplit("_", 2)[0]) if isinstance(uid, str) else str(row["input"])


def _output(row: dict[str, Any]) -> int:
    """Which output of its session a row is, from 0."""
    index = row["uid"].rsplit("_", 1)[1] if _session(row) is not None else ""
    return int(index) if index.isdecimal() and len(index) < 10 else 0


VERL = Format(
    "verl",
    "verl",
    frozenset({"input", "output", "score", "step"}),
    files_of,
    read,
    "verl writes STEP.jsonl to trainer.rollout_data_dir and trainer.validation_data_dir: name that folder",
    "verl logs neither tokens nor finish reasons, and its texts are without special tokens",
)
