"""The prompts that a run has trained on, as hashes in its folder, and a warning of problems that are among them.

They go with the run folder: the data may have moved or changed since, and nothing that a record names is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.records import Problem, Row
from rlready.runs.checksums import changed
from rlready.runs.files import write_text
from rlready.runs.lineage import models_behind, run_of
from rlready.runs.record import RunRecord
from rlready.runs.run import Run

PROMPTS = "trained_prompts.txt"


def write_trained(run: Run, items: Sequence[Problem | Row]) -> None:
    """Write the hashes of the prompts that ``run`` trains on."""
    with run.writing(run.out / PROMPTS):
        write_text(run.out / PROMPTS, "".join(f"{each}\n" for each in sorted(set(map(_hash, items)))))


def warn_of_trained(run: Run, what: str, problems: Sequence[Problem], models: Iterable[str]) -> str:
    """Warn of problems that the models were trained on, in any run that led to them; returns the warning, or "".

    ``what`` is how the problems are called.  Runs of earlier versions, and those of other programs, are not known.
    """
    found: list[str] = []
    hashes = [_hash(problem) for problem in problems]
    for folder, record in {folder: record for model in models for folder, record in _runs_behind(model)}.items():
        if PROMPTS not in record.files or not hashes:
            continue
        if changed(folder, folder / PROMPTS, record.files):
            found.append(f"{folder / PROMPTS} was changed or deleted, so it is not known which {what} are in it")
            continue
        trained = {*(folder / PROMPTS).read_text().split()}
        if shared := sum(each in trained for each in hashes):
            found.append(
                f"{shared} of {len(hashes)} {what} have a prompt that the {record.verb} run {folder} was trained on, "
                "so models trained there look better than they are; name others"
            )
    for text in found:
        run.warn(text)
    return "; ".join(found)


def _hash(item: Problem | Row) -> str:
    return blake2b(" ".join(item.prompt.split()).encode(errors="replace"), digest_size=8).hexdigest()


def _runs_behind(model: str) -> Iterator[tuple[Path, RunRecord]]:
    """The runs that trained a model, or one that it was made from, named from the working directory."""
    for path in models_behind(Path(model)):
        if run := run_of(path):
            with suppress(UserError):  # a record that cannot be read
                yield Path(os.path.relpath(run)) if run.is_relative_to(Path.cwd()) else run, RunRecord.load(run)
