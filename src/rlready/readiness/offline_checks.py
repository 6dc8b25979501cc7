"""What makes a whole table of samples unusable: samples twice, under two verdicts, or drawn in different ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from rlready.core.errors import UserError
from rlready.readiness.passk import Ints
from rlready.tasks.columns import read_batches
from rlready.tasks.table import Origin


def refuse_twice(
    origin: Origin,
    path: str,
    ids: Sequence[str],
    names: Sequence[str],
    samples: tuple[Ints, Ints, Ints],
    *,
    budgets: bool,
) -> None:
    """UserError if two rows have the same sample of the same problem.

    ``samples``: problem, line and code of the sample_id, whose ``names`` are known; ``budgets``: there is a column
    thinking_budget.
    """
    problem, lines, number = samples
    key = problem * len(names) + number
    if np.diff(np.sort(key)).all():
        return
    before, line, at = _first_unequal(key, lines, lines)
    if at < 0:  # responses of the same row
        return
    budget = _budget_at(path, line) if budgets else None
    fix = f"; thinking_budget={budget} keeps the rows of one budget" if budget is not None else ""
    name, both = names[number[at]], origin.lines([before, line])
    raise UserError(f"{path}: sample {name} of problem {ids[problem[at]]!r} is given twice ({both}){fix}")


def refuse_mixed(origin: Origin, drawn_with: Mapping[str, Collection[str]]) -> None:
    """UserError if samples were drawn in different ways, by column, which would be counted as those of one."""
    for column, found in drawn_with.items():
        if len(found) > 1:
            names = ", ".join(map(repr, found))[:200]
            way = "with thinking_budget=N, or " if column == "thinking_budget" else ""
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


def _budget_at(path: str, line: int) -> Any:
    """The thinking budget of one row, looked up for an error."""
    batch = next(batch for batch in read_batches(path, ["thinking_budget"]) if line <= batch.lines[-1])
    return batch.values("thinking_budget", np.flatnonzero(batch.lines == line))[0]
