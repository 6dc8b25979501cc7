"""The samples of the checkpoint that readiness or evaluate is measuring, from which a killed run continues.

They are in ``state/NUMBER-PART.parquet``, in the order in which they are drawn, which is fixed: what is kept is the
beginning of what an unbroken run draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self, cast

from rlready.core.errors import UserError
from rlready.core.records import SampleRow
from rlready.runs.files import read_table, write_table
from rlready.runs.pace import Pace
from rlready.runs.run import STATE, Run


class DrawnSamples:
    """The samples of checkpoint ``number``, with those of earlier attempts, in the order in which they are drawn.

    As a context manager it keeps all of them when a UserError ends the run, such as that of a server that has stopped.
    """

    def __init__(self, run: Run, number: int) -> None:
        """UserError for samples that are damaged."""
        self.run, self.folder, self.number = run, run.out / STATE, number
        self.rows: list[SampleRow] = []
        self._new: list[SampleRow] = []
        self._pace = Pace()
        self._parts = 0
        if not self.folder.exists():  # deleted, as advised
            run.forget(self.folder)
        run.refuse_changed(self.folder, f"delete {self.folder} to draw them again")
        while (path := self._part(self._parts)).exists():
            self.rows += cast("list[SampleRow]", read_table(path))
            self._parts += 1

    def add(self, rows: list[SampleRow]) -> None:
        """Append newly drawn samples, and keep them on disk if it is time to."""
        self.rows += rows
        self._new += rows
        if self._pace.due():
            self._save()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if isinstance(error, UserError) and self._new:
            self._save()

    def _save(self) -> None:
        path = self._part(self._parts)
        with self._pace.saving(), self.run.writing(path):
            write_table(path, self._new)
        self._parts += 1
        self._new = []

    def _part(self, part: int) -> Path:
        return self.folder / f"{self.number}-{part}.parquet"
