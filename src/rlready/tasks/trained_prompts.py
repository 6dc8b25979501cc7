"""The prompts that a run has trained on, as hashes in its folder, and a warning of problems that are among them.

Problems that chose the checkpoint of a run of RL are warned of, too: measured on them it looks better than it is.

They go with the run folder, because the data may have moved or changed since.  If a table of data is still what the
record says, by its checksum, n-grams and near-duplicates are counted, too; no code that a record names is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.progress import only_warnings
from rlready.core.records import Problem, Row
from rlready.runs.checksums import changed
from rlready.runs.content import has_content
from rlready.runs.files import write_text
from rlready.runs.lineage import lost_starts, models_behind, run_of
from rlready.runs.record import DataNote, Overlap, RunRecord
from rlready.runs.run import Run
from rlready.tasks import open_task
from rlready.tasks.contamination import DataSet, apart, overlap_of, warn_of_near
from rlready.tasks.source import Source, names_code, parse_source

PROMPTS = "trained_prompts.txt"
VALIDATION = "validation problems"  # in a record, the role of those that chose a checkpoint of RL
MOST_BYTES = 200_000_000  # of a table that is read again


def write_trained(run: Run, items: Sequence[Problem | Row]) -> None:
    """Write the hashes of the prompts that ``run`` trains on."""
    with run.writing(run.out / PROMPTS):
        write_text(run.out / PROMPTS, "".join(f"{each}\n" for each in sorted(set(map(_hash, items)))))


def warn_of_trained(run: Run, what: str, held: DataSet, models: Iterable[str]) -> str:
    """Warn of problems that the models were trained on, or chosen by, in any run that led to them, and record how many.

    ``what`` is how the problems are called.  Returns the warning, or "".  Runs of earlier versions, and those of other
    programs, are not known; of a run that is gone it is said.
    """
    found, measured = list[str](), set[str]()
    hashes = [_hash(problem) for problem in held.items]
    for folder, record in {folder: record for model in models for folder, record in _runs_behind(model)}.items():
        for note in record.data if what != VALIDATION else ():
            if _chose(note, held.id, run):
                found.append(
                    f"these {what} chose the checkpoint of the {record.verb} run {folder}, so its accuracy on them is "
                    "optimistic; name others"
                )
            elif note.role == VALIDATION and (chosen_on := _generated(note) or _at_hand(folder, record, note)):
                overlap = overlap_of(chosen_on, held)
                run.note_overlap(overlap)
                if overlap.exact:
                    found.append(
                        f"{overlap.exact} of {overlap.n} {what} were among those that chose the checkpoint of the "
                        f"{record.verb} run {folder}, so its accuracy is optimistic; name others"
                    )
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
        data = next((each for each in record.data if each.role == record.verb), None)
        if data and record.files[PROMPTS] not in measured:  # other runs on the same prompts add nothing
            measured.add(record.files[PROMPTS])
            overlap = _overlap(folder, record, data, trained, held, shared)
            run.note_overlap(overlap)
            warn_of_near(run, what, overlap)
    for child, lost in {pair: None for model in models for pair in lost_starts(Path(model))}:
        found.append(
            f"{_named(lost)} was moved, deleted or overwritten since the run {_named(child)} has started from it, so "
            f"it is not known which {what} it was trained on"
        )
    for text in found:
        run.warn(text)
    return "; ".join(found)


def _chose(note: DataNote, id: str, run: Run) -> bool:
    """Whether the data of ``note`` are validation problems and the same that ``run`` has noted by ``id``.

    A table may have moved; problems that are only some of the same table are not known.
    """
    mine = next((each for each in run.record.data if each.id == id), None)
    if mine is None or note.role != VALIDATION or (note.sha256, note.size) != (mine.sha256, mine.size):
        return False
    moved = note.sha256 is not None and note.id.partition("?")[2] == id.partition("?")[2]
    return note.id == id or moved


def _overlap(folder: Path, record: RunRecord, data: DataNote, trained: set[str], held: DataSet, shared: int) -> Overlap:
    """The overlap with what a run was trained on: in full if the data are at hand, else the ``shared`` prompts."""
    if there := _at_hand(folder, record, data):
        return overlap_of(replace(there, items=[item for item in there.items if _hash(item) in trained]), held)
    generated = _generated_apart(data.id, held)
    return Overlap(
        training=data.id,
        held=held.id,
        n_training=len(trained),
        n=len(held.items),
        exact=shared,
        shared_ngram=None,
        near=None,
        same_template=0 if generated else None,
    )


def _generated_apart(id: str, held: DataSet) -> bool:
    """Whether training data were generated from another split; False for a source that this version cannot open."""
    source = _parsed(id)
    with suppress(UserError):
        return source is not None and source.kind == "dagmath" and apart(open_task(id), held.task)
    return False


def _generated(data: DataNote) -> DataSet | None:
    """Problems of the built-in generator, made again; None for others."""
    source = _parsed(data.id)
    with suppress(UserError):
        if source is not None and source.kind == "dagmath":
            task = open_task(data.id)
            return DataSet(data.id, task, task.problems()[: data.size])
    return None


def _at_hand(folder: Path, record: RunRecord, data: DataNote) -> DataSet | None:
    """What a run has read, if it is a table that is there, unchanged, and no code has to be loaded for it."""
    path, source = record.located(folder, data.path) if data.path else None, _parsed(data.id)
    if path is None or source is None or names_code(data.id):
        return None
    if os.path.normpath(source.path) != str(data.path) or "?" in str(path):
        return None  # a folder of the record could be named like options
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return None
    with suppress(UserError), only_warnings():  # that run has said which columns are read
        if has_content(path, data.sha256):
            _, joint, options = data.id.partition("?")
            task = open_task(f"{source.kind}:{path}{joint}{options}")
            return DataSet(data.id, task, task.rows() if record.verb == "sft" else task.problems())
    return None


def _parsed(text: str) -> Source | None:
    """A source as a record has it; None if it is none."""
    with suppress(UserError):
        return parse_source(text)
    return None


def _hash(item: Problem | Row) -> str:
    return blake2b(" ".join(item.prompt.split()).encode(errors="replace"), digest_size=8).hexdigest()


def _runs_behind(model: str) -> Iterator[tuple[Path, RunRecord]]:
    """The runs that trained a model, or one that it was made from, named from the working directory."""
    for path in models_behind(Path(model)):
        if run := run_of(path):
            with suppress(UserError):  # a record that cannot be read
                yield _named(run), RunRecord.load(run)


def _named(run: Path) -> Path:
    """A run's folder from the working directory, if it is below it."""
    return Path(os.path.relpath(run)) if run.is_relative_to(Path.cwd()) else run
