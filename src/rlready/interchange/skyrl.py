"""SkyRL's dumped evaluations, a file ``DATA_SOURCE.jsonl`` for each data set.

A row has ``input_prompt``, which is the problem, ``output_response``, ``score`` (a number, or one for each token, which
are added up), ``stop_reason``, ``env_class``, ``env_extras`` and ``data_source``.  Texts are decoded with their special
tokens; the one that ends the turn is no part of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.interchange.chosen_files import only_file
from rlready.interchange.lines import files_named, read_objects
from rlready.interchange.rollouts import Format, Request, choose_score, number, step_of
from rlready.tasks.answers.ownpart import LAST_TOKEN
from rlready.tasks.columns import Batch
from rlready.tasks.files import stem_of
from rlready.tasks.table import Origin

SUMMARY = "aggregated_results"


def files_of(path: Path) -> list[Path]:
    """The file that is named, or those of a folder."""
    if path.is_file():
        return [path] if ".jsonl" in path.suffixes else []
    return [file for file in files_named(path, "*") if stem_of(file.name) != SUMMARY]


def read(request: Request) -> Iterator[Batch]:
    file = only_file(request, files_of(request.path), "several data sets")
    score = choose_score(request, ["score"])
    step = step_of(Path(file.parent.name.removesuffix("_evals"))) or 0
    data_sources = set[str]()
    for lines, rows in read_objects(file):
        for line, row in zip(lines, rows, strict=True):
            if not isinstance(row.get("input_prompt"), str):
                raise UserError(f"{file}:{line}: no text 'input_prompt', which SkyRL writes")
            data_sources.add(str(row.get("data_source"))[:40])
            if len(data_sources) > 1:
                raise UserError(
                    f"{file}:{line}: a second data_source ({', '.join(sorted(map(repr, data_sources)))}), where SkyRL "
                    "writes a file for each: divide it, and name one of the parts"
                )
        columns: dict[str, list[Any]] = {
            "problem_id": [row["input_prompt"] for row in rows],
            "variant": [_ground_truth(row.get("env_extras")) for row in rows],
            "text": [_text(row.get("output_response")) for row in rows],
            "step": [step] * len(rows),
            "score": [number(row.get("score")) for row in rows],
            "finish_reason": [row.get("stop_reason") for row in rows],
        }
        yield Batch(Origin(str(file), "line"), np.array(lines, dtype=np.int64), columns, [score])


def _ground_truth(extras: Any) -> Any:
    """The ground truth of ``env_extras``, which tells problems of one prompt apart; None where there is none."""
    found = extras.get("reward_spec") if isinstance(extras, dict) else None
    return found.get("ground_truth") if isinstance(found, dict) else None


def _text(response: Any) -> str | None:
    return LAST_TOKEN.sub("", response) if isinstance(response, str) else None


SKYRL = Format(
    "skyrl",
    "SkyRL",
    frozenset({"input_prompt", "output_response"}),
    files_of,
    read,
    "SkyRL writes DATA_SOURCE.jsonl when it dumps evaluations: name that file",
    "SkyRL does not log the limit of a thought, only whether the response was cut",
)
