"""What makes a whole table of samples unusable, or seems to: samples twice, under two verdicts, or of several ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.core.messages import remark
from rlready.readiness.passk import Ints
from rlready.tasks.columns import read_batches
from rlready.tasks.table import Origin

# columns that tell rows of one sample of one problem apart, and what the rows of one value are called
APART = {"setting": "setting", "thinking_budget": "budget"}


def refuse_twice(
    origin: Origin,
    path: str,
    ids: Sequence[str],
    names: Sequence[str],
    samples: tuple[Ints, Ints, Ints],
    *,
    apart: str,
) -> None:
    """UserError if two rows have the same sample of the same problem.

    ``samples``: problem, line and code of the sample_id, whose ``names`` are known; ``apart``: the column that may tell
    the two apart, setting or thinking_budget, or "".
    """
    problem, lines, number = samples
    key = problem * len(names) + number
    if np.diff(np.sort(key)).all():
        return
    before, line, at = _first_unequal(key, lines, lines)
    if at < 0:  # responses of the same row
        return
    cell = _cell_at(path, apart, line) if apart else None
    fix = f"; ?{apart}={cell} behind the table keeps the rows of one {APART[apart]}" if cell is not None else ""
    name, both = names[number[at]], origin.lines([before, line])
    raise UserError(f"{path}: sample {name} of problem {ids[problem[at]]!r} is given twice ({both}){fix}")


def refuse_mixed(origin: Origin, drawn_with: Mapping[str, Collection[str]]) -> None:
    """UserError if samples were drawn in different ways, by column, which would be counted as those of one."""
    for column, found in drawn_with.items():
        if len(found) > 1:
            names = ", ".join(map(repr, found))[:200]
            way = f"with ?{column}={next(iter(found))}, or " if column in APART else ""
            raise UserError(
                f"{origin.where}: samples of different {column} ({names}) would be counted as samples of one; "
                f"keep the rows of one {way}in a table of its own"
            )


def refuse_judged_twice(origin: Origin, texts: Sequence[tuple[Ints, Ints, Ints]]) -> None:
    """UserError if a response is both right and wrong: the table then has several scores per sample.

    ``texts``: digests of (problem, response), verdicts and lines.
    """
    if not texts:
        return
    digest, verdict, lines = (np.concatenate(arrays) for arrays in zip(*texts, strict=True))
    before, line, at = _first_unequal(digest, verdict, lines)
    if at >= 0:
        raise UserError(
            f"{origin.where}: one response is both right and wrong ({origin.lines([before, line])}): "
            "these seem to be several verdicts of each sample; keep one of each, or number the samples in a column "
            "sample_id"
        )


def say_repeated(where: str, response_N: Ints, problems: int) -> None:
    """Say it if every response, by its digest with its problem, seems to be there several times.

    Where each problem has a single one, all its samples are equal, which is said elsewhere.
    """
    responses, times = np.unique(response_N, return_counts=True)
    often = int(np.gcd.reduce(times)) if len(times) else 1
    if often > 1 and len(responses) > problems:
        remark(
            f"{where}: every response is there {often} times, or a multiple of that: if rows are repeated, remove "
            "them, as each counts as a sample"
        )


def _first_unequal(key: Ints, value: Ints, lines: Ints) -> tuple[int, int, int]:
    """The first row whose value differs from that of the first row with the same key; all arrays are (N,).

    Returns the lines of the two rows and the index of the differing one, which is -1 if there is none.
    """
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    other = value != value[first][group]
    if not other.any():
        return -1, -1, -1
    at = int(np.argmax(other))
    return int(lines[first[group[at]]]), int(lines[at]), at


def _cell_at(path: str, column: str, line: int) -> Any:
    """The value of a column in one row, looked up for an error."""
    batch = next(batch for batch in read_batches(path, [column]) if line <= batch.lines[-1])
    return batch.values(column, np.flatnonzero(batch.lines == line))[0]
