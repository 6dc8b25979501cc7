"""What the first wrong steps of samples are, of tasks that check steps: a table whose cells lead to the samples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlencode

from markupsafe import Markup

from rlready.core.text import visible
from rlready.report.figures import WHOLE_PERCENT
from rlready.report.section import Column, Section, small, table
from rlready.report.stored_samples import Condition, StoredSamples
from rlready.report.text import safe

BUDGET = re.compile(r"budget (\d+)")  # a budget alone, without anything forced
NONE = "no wrong step"
NOTE = (
    "Samples by what is wrong in the first wrong step of the thought, whether their answer is correct or not; each "
    "number leads to its samples. A thought that is cut off, or lacks a step, has no wrong one for that alone."
)


def wrong_steps_section(stored: StoredSamples, viewer: str) -> Iterator[Section]:
    """A row for each checkpoint at its largest budget; none where no step is wrong, or none is checked.

    ``viewer`` is the address of the page of samples.
    """
    kinds = stored.kinds_of_wrong_steps
    shown = dict.fromkeys(_largest(stored))
    counts = {condition: Counter[str]() for condition in shown}
    for sample in stored.samples:
        if sample.condition in shown:
            counts[sample.condition][sample.wrong_step] += 1
    rows = [(condition, found) for condition, found in counts.items() if found.total()]
    if not kinds or not rows:
        return
    kept = len(stored.samples)
    thinned = f" Of {stored.total:,} samples these are the {kept:,} of the viewer." if kept < stored.total else ""
    column = Column[tuple[Condition, Counter[str]]]
    columns = [
        column("checkpoint", lambda row: " · ".join(filter(None, row[0])), heads=True),
        column("samples", lambda row: row[1].total()),
        column(NONE, partial(_share, "", viewer)),
        *(column(kind, partial(_share, kind, viewer)) for kind in kinds),
    ]
    yield Section("First wrong steps", [table("First wrong steps", [rows], columns), small(NOTE + thinned)])


def _largest(stored: StoredSamples) -> Iterator[Condition]:
    """Of each checkpoint the largest budget, or what it has without one."""
    by_checkpoint: dict[str, list[str]] = {}
    for checkpoint, budget in dict.fromkeys(sample.condition for sample in stored.samples):
        by_checkpoint.setdefault(checkpoint, []).append(budget)
    for checkpoint, budgets in by_checkpoint.items():
        limits = {int(found[1]): budget for budget in budgets if (found := BUDGET.fullmatch(budget))}
        yield checkpoint, limits[max(limits)] if limits else budgets[0]


def _share(kind: str, viewer: str, row: tuple[Condition, Counter[str]]) -> Markup:
    (checkpoint, budget), found = row
    per_cent = WHOLE_PERCENT.show(round(found[kind] / found.total(), 2))
    share = Markup("{} <small>{}</small>").format(f"{found[kind]:,}", safe(per_cent))
    if not (found[kind] and kind):
        return share
    values = {"step": kind, "checkpoint": checkpoint, "budget": budget}
    address = f"{viewer}#{urlencode({key: visible(value) for key, value in values.items() if value})}"
    return Markup('<a href="{}">{}</a>').format(address, share)
