"""Links from the page of a run to those of runs that belong to it: the one around it, those in it, and those it read.

Only pages that are there are linked, and only those in the folder of this run or beside it, which are moved together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from rlready.core.errors import UserError
from rlready.core.text import visible
from rlready.runs.folders import PAGE
from rlready.runs.lineage import run_of
from rlready.runs.record import RECORD, RunRecord


def neighbours(folder: Path) -> list[tuple[str, str]]:
    """The name of each such run, and the address of its page."""
    here = folder.resolve()
    runs = dict.fromkeys(run for run in _runs(here) if run != here and run.is_relative_to(here.parent))
    return [(visible(run.name), quote(os.path.relpath(run / PAGE, here))) for run in runs if (run / PAGE).is_file()]


def _runs(folder: Path) -> Iterator[Path]:
    if (folder.parent / RECORD).is_file():
        yield folder.parent
    with suppress(UserError):  # the page itself says what of its record cannot be read
        record = RunRecord.load(folder)
        for model in record.models:
            if run := run_of(record.located(folder, model.path or model.id)):
                yield run
        for read in (record.located(folder, each.path).resolve().parent for each in record.data if each.path):
            if (read / RECORD).is_file():
                yield read
    yield from sorted(file.parent for file in folder.glob(f"*/{RECORD}"))
