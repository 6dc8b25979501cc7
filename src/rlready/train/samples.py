"""The samples of RL in ``samples/``: a Parquet table for each of the last steps, and one for every hundred before.

Tables that hold nothing of the newest ``keep`` steps are deleted, so that a long run does not fill the disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rlready.core.distributed import rank
from rlready.core.errors import UserError
from rlready.core.messages import unrecorded, warn
from rlready.core.records import SampleRow
from rlready.runs.files import merge_tables, remove, write_table

SHARD = 100  # steps in one file
NAME = re.compile(r"steps?-(\d+)(?:-(\d+))?\.parquet")


class SampleFiles:
    """The files in a folder, which rank 0 alone reads and writes."""

    def __init__(self, folder: Path, keep: int | None = None) -> None:
        self.folder, self.keep = folder, keep

    def paths(self) -> list[Path]:
        """The files, by step."""
        return list(self._files())

    def truncate(self, last_step: int) -> None:
        """Delete the samples of all steps after this one: they will run again."""
        for file, (first, last) in self._files().items() if rank() == 0 else ():
            if first > last_step:
                remove(file)
            elif last > last_step:
                merge_tables([file], self._path(first, last_step), last_step)
                remove(file)

    def write(self, step: int, rows: Sequence[SampleRow]) -> None:
        """The samples of a step, counted from 1."""
        if rank() or not self.folder.parent.is_dir():  # of a run that was moved, which its next checkpoint says
            return
        write_table(self._path(step, step), [{"step": step, **row} for row in rows])
        if step % SHARD == 0:
            self._merge(step - SHARD + 1, step)
            for file, (_, last) in self._files().items():
                if last <= step - (self.keep or step):
                    remove(file)

    def _merge(self, first: int, last: int) -> None:
        parts = sorted((span, file) for file, span in self._files().items() if first <= span[0] and span[1] <= last)
        try:
            merge_tables([file for _, file in parts], self._path(first, last), last)
        except UserError as error:  # training is worth more than a table of samples
            with unrecorded():
                warn(f"rl: warning: {error}; samples of the steps {first} to {last} stay in a file each")
            return
        for span, file in parts:
            if span != (first, last):
                remove(file)

    def _path(self, first: int, last: int) -> Path:
        name = f"step-{first:05d}" if first == last else f"steps-{first:05d}-{last:05d}"
        return self.folder / f"{name}.parquet"

    def _files(self) -> dict[Path, tuple[int, int]]:
        """The first and last step of every file, but of those that a merged file repeats: a kill has left them."""
        named = [(file, NAME.fullmatch(file.name)) for file in self.folder.glob("step*.parquet")]
        spans = {file: (int(found[1]), int(found[2] or found[1])) for file, found in named if found}
        kept: dict[Path, tuple[int, int]] = {}
        for file, (first, last) in sorted(spans.items(), key=lambda item: (item[1][0], -item[1][1])):
            if any(begin <= first and last <= end for begin, end in kept.values()):
                remove(file)
            else:
                kept[file] = (first, last)
        return kept
