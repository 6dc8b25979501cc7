"""Facts on a data set that ``rlready inject`` has made: its rows are read once, and counted."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path

from rlready.checklist.result import Evidence, Fact
from rlready.checklist.runs import Entry, Runs
from rlready.core.errors import UserError
from rlready.inject.diff import BEFORE
from rlready.inject.result import InjectResult
from rlready.runs.licences import UNKNOWN
from rlready.runs.results import refuse_damaged, way_back

MEANING = {
    "id": "its id",
    "prompt": "the problem",
    "system": "the system message",
    "thinking": "the thought",
    "response": "what follows the thought",
    "answer": "the correct answer",
}
OTHER = "from the source"


def data_set(runs: Runs) -> tuple[Entry, InjectResult]:
    """The one run of inject; UserError unless there is exactly one finished."""
    found = [(entry, entry.result) for entry in runs.entries if isinstance(entry.result, InjectResult)]
    if len(found) != 1:
        named = ", ".join(str(entry.folder) for entry, _ in found)
        raise UserError(
            f"form=datasheet describes one data set that rlready inject has made; {len(found)} finished runs of inject "
            f"are among the runs{f': {named}; name one of them' if found else ''}"
        )
    return found[0]


def made_from(runs: Runs) -> list[Fact]:
    """What an instance is, and of what it was made."""
    entry, result = data_set(runs)
    text = f"An instance is a worked problem, made from {result.source}. {result.description}"
    evidence = [entry.of_result("source", result.source), entry.of_result("description", result.description)]
    return [Fact(name="Instances", text=text, evidence=evidence)]


def row_counts(runs: Runs) -> list[Fact]:
    """How many rows there are, of how many in the source."""
    entry, result = data_set(runs)
    text = f"{result.rows_out} rows, all of one kind, made from the {result.rows_in} rows of the source."
    evidence = [entry.of_result("rows_out", result.rows_out), entry.of_result("rows_in", result.rows_in)]
    return [Fact(name="Number of rows", text=text, evidence=evidence)]


def row_columns(runs: Runs) -> list[Fact]:
    """The columns and what they hold."""
    file, rows = _rows(runs)
    has = Counter(name for row in rows for name, value in row.items() if value is not None)
    text = f"{'; '.join(f'{name}: {MEANING.get(name, OTHER)}' for name in has)}."
    evidence = [Evidence(file=str(file), key=name, value=f"in {n} of {len(rows)} rows") for name, n in has.items()]
    return [Fact(name="Columns", text=text, evidence=evidence)]


def row_label(runs: Runs) -> list[Fact]:
    """The label, and in how many rows it is."""
    file, rows = _rows(runs)
    n = sum(row.get("answer") is not None for row in rows)
    text = f"The column answer holds the correct answer, in {n} of {len(rows)} rows."
    return [Fact(name="Label", text=text, evidence=[Evidence(file=str(file), key="answer", value=f"in {n} rows")])]


def missing_values(runs: Runs) -> list[Fact]:
    """The columns without a value in some rows."""
    file, rows = _rows(runs)
    columns = {name for row in rows for name in row}
    lacking = {name: sum(row.get(name) is None for row in rows) for name in sorted(columns)}
    found = [f"{name} in {n}" for name, n in lacking.items() if n]
    text = f"Values that are missing, in rows of {len(rows)}: {', '.join(found) or 'none'}."
    evidence = [Evidence(file=str(file), key=name, value=f"missing in {n}") for name, n in lacking.items()]
    return [Fact(name="Missing values", text=text, evidence=evidence)]


def left_out(runs: Runs) -> list[Fact]:
    """The rows of the source that are not there, by reason."""
    entry, result = data_set(runs)
    reasons = "; ".join(f"{count}: {reason}" for reason, count in result.unfit.items()) or "none"
    text = f"Rows of the source that were left out: {reasons}."
    return [Fact(name="Rows left out", text=text, evidence=[entry.of_result("unfit", sum(result.unfit.values()))])]


def row_relations(runs: Runs) -> list[Fact]:
    """How rows are related."""
    entry, _ = data_set(runs)
    method = entry.setting("method")
    permuted = "; the permutations of one source row share its id up to the last hyphen" * (
        method in ("premises", "chains")
    )
    text = f"Rows are independent, but for what the source relates{permuted}."
    return [Fact(name="Relations", text=text, evidence=[entry.of_record("config.method", method)])]


def row_splits(runs: Runs) -> list[Fact]:
    """Splits: there is one file."""
    entry, result = data_set(runs)
    text = f"One file, {result.rows}, without splits; what the source was is its split."
    return [Fact(name="Splits", text=text, evidence=[entry.of_result("rows", result.rows)])]


def duplicates(runs: Runs) -> list[Fact]:
    """How many rows are equal in problem, thought and response."""
    file, rows = _rows(runs)
    texts = Counter(json.dumps([row.get(name) for name in ("prompt", "thinking", "response")]) for row in rows)
    n = len(rows) - len(texts)
    text = f"{n} of {len(rows)} rows repeat an earlier one in problem, thought and response."
    return [Fact(name="Duplicates", text=text, evidence=[Evidence(file=str(file), key="", value=f"{n} duplicates")])]


def verified(runs: Runs) -> list[Fact]:
    """What was verified when the rows were written."""
    entry, result = data_set(runs)
    text = "Every row ends in the correct answer, and each step was verified when it was written."
    return [Fact(name="Validation", text=text, evidence=[entry.of_result("headline", result.headline)])]


def self_contained(runs: Runs) -> list[Fact]:
    """Whether rows refer to anything outside."""
    entry, result = data_set(runs)
    text = f"The rows are complete texts; {result.source} is not needed to use them."
    return [Fact(name="Self-contained", text=text, evidence=[entry.of_result("source", result.source)])]


def generator(runs: Runs) -> list[Fact]:
    """The program that made the rows, its command and its settings."""
    entry, _ = data_set(runs)
    version = entry.record.software.version
    text = f"Made by rlready {version} (Apache-2.0), `{entry.record.command or 'rlready.inject in Python'}`."
    evidence = [
        entry.of_record("software.version", version),
        entry.of_record("command", entry.record.command),
        entry.of_record("config", f"{len(entry.record.config)} settings"),
    ]
    return [Fact(name="Software", text=text, evidence=evidence)]


def sampling(runs: Runs) -> list[Fact]:
    """How rows were chosen from the source."""
    entry, result = data_set(runs)
    text = f"All {result.rows_in} rows of {result.source} in their order, without those left out."
    evidence = [entry.of_record("config.rows", entry.setting("rows")), entry.of_result("rows_in", result.rows_in)]
    return [Fact(name="Sampling", text=text, evidence=evidence)]


def time_frame(runs: Runs) -> list[Fact]:
    """When the rows were made."""
    entry, _ = data_set(runs)
    text = (
        f"Made from {entry.record.start} to {entry.record.end}; when the source was collected is in its documentation."
    )
    evidence = [entry.of_record("start", entry.record.start), entry.of_record("end", entry.record.end)]
    return [Fact(name="Time frame", text=text, evidence=evidence)]


def processing(runs: Runs) -> list[Fact]:
    """What was done to the rows, and how often."""
    entry, result = data_set(runs)
    counts = ", ".join(f"{name} {n.times} times in {n.rows} rows" for name, n in result.behaviours.items())
    change = f"{result.length_added.value:+.1f} {result.unit} a row (n = {result.length_added.n} rows)"
    text = f"Method {entry.setting('method')}: {counts or 'nothing was inserted'}; {change}."
    evidence = [entry.of_record("config.method", entry.setting("method"))]
    evidence += [entry.of_result(f"behaviours.{name}.times", n.times) for name, n in result.behaviours.items()]
    return [Fact(name="Processing", text=text, evidence=evidence)]


def raw_kept(runs: Runs) -> list[Fact]:
    """Whether the rows as they were are there."""
    entry, _ = data_set(runs)
    file = entry.folder / BEFORE
    if not file.is_file():
        return [Fact(name="Raw data", text="", evidence=[], missing=f"{file} is gone")]
    text = f"{BEFORE} holds each row as it was."
    return [
        Fact(name="Raw data", text=text, evidence=[entry.of_record(f'files."{BEFORE}"', entry.record.files[BEFORE])])
    ]


def used_by(runs: Runs) -> list[Fact]:
    """The runs, among those that were named, that have read the rows."""
    entry, result = data_set(runs)
    sha = entry.record.files.get(result.rows)
    found = [
        (other, at, note.role)
        for other in runs.entries
        for at, note in enumerate(other.record.data)
        if note.sha256 and note.sha256 == sha
    ]
    text = "Read by " + ", ".join(f"{other.folder} ({role})" for other, _, role in found) + "." if found else ""
    evidence = [other.of_record(f"data[{at}].sha256", sha) for other, at, _ in found]
    missing = "" if found else "none of the runs that were named has read it"
    return [Fact(name="Uses", text=text, evidence=evidence, missing=missing)]


def source_licence(runs: Runs) -> list[Fact]:
    """The licence of the source, which the rows inherit."""
    entry, result = data_set(runs)
    told = runs.told.licences.get(result.source)
    if result.licence or not told:
        evidence, text = [entry.of_result("licence", result.licence or UNKNOWN)], result.licence or ""
    else:
        evidence, text = [Evidence(file=runs.told.file, key=f'licences."{result.source}"', value=told)], told
    missing = "" if text else f"no licence stood beside {result.source}: look it up"
    said = f"The source is under {text}; the rows are a work derived from it." if text else ""
    return [Fact(name="Licence of the source", text=said, evidence=evidence, missing=missing)]


def version_hash(runs: Runs) -> list[Fact]:
    """What identifies this version."""
    entry, result = data_set(runs)
    sha = entry.record.files.get(result.rows, "")
    text = (
        f"This version is identified by the SHA-256 of {result.rows}, {sha}; the same command makes it again."
        if sha
        else ""
    )
    missing = "" if sha else "the record has no hash of the rows"
    return [Fact(name="Version", text=text, evidence=[entry.of_record(f'files."{result.rows}"', sha)], missing=missing)]


def _rows(runs: Runs) -> tuple[Path, list[dict[str, object]]]:
    """The file and its rows; UserError if it is not what the run has written."""
    entry, result = data_set(runs)
    file = entry.folder / result.rows
    if not file.is_file():
        raise UserError(f"{file}: missing; {way_back(entry.folder, file)}")
    return file, _read(entry.folder, file, file.stat().st_mtime_ns)


@lru_cache(maxsize=1)  # of the one data set that a form is about
def _read(folder: Path, file: Path, _modified_ns: int) -> list[dict[str, object]]:
    """The rows of a file, checked against the record of its run."""
    refuse_damaged(folder, file)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
