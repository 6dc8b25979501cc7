"""Whether the data of every job can be read: a source of the last stage is tried before the first one has run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rlready.core.errors import UserError
from rlready.sweep.jobs import Job
from rlready.tasks.readable import refuse_unreadable

ROWS = {"rows": True, "heldout": True, "problems": False, "validation": False}  # settings: whether rows are read


def refuse_unreadable_data(jobs: Sequence[Job], done: Collection[str]) -> None:
    """UserError with the key of the first job that is not ``done`` and names rows or problems that cannot be read."""
    tried = set[tuple[str, bool]]()
    for job in jobs:
        for setting, rows in ROWS.items():
            source = getattr(job.config, setting, "")
            if job.key in done or not source or (source, rows) in tried:
                continue
            tried.add((source, rows))
            try:
                refuse_unreadable(source, rows=rows)
            except UserError as error:
                raise UserError(f"{job.key}, {setting}: {error}") from None
