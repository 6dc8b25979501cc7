"""The samples of the checkpoint that readiness or evaluate is measuring, from which a killed run continues.

They are in ``state/NUMBER-PART.parquet``, in the order in which they are drawn, which is fixed: what is kept is the
beginning of what an unbroken run draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from rlready.core.records import SampleRow
from rlready.runs.files import read_table, write_table
from rlready.runs.pace import Pace


class DrawnSamples:
    """The samples of checkpoint ``number``, with those of earlier attempts, in the order in which they are drawn."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.rows: list[SampleRow] = []
        self._new: list[SampleRow] = []
        self._pace = Pace()
        self._parts = 0
        while (path := self._part(self._parts)).exists():
            self.rows += cast("list[SampleRow]", read_table(path))
            self._parts += 1

    def add(self, rows: list[SampleRow]) -> None:
        """Append newly drawn samples, and keep them on disk if it is time to."""
        self.rows += rows
        self._new += rows
        if self._pace.due():
            with self._pace.saving():
                write_table(self._part(self._parts), self._new)
            self._parts += 1
            self._new = []

    def _part(self, part: int) -> Path:
        return self.folder / f"{self.number}-{part}.parquet"
