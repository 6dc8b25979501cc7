"""Reads tables of stored samples, written by this package or any other tool.

``TABLE.parquet``, ``.jsonl``, ``.json`` or ``.csv``, with options as in a task source, such as
``TABLE?problem=id&correct=passed``.
A row is a sample.  Its columns, unless options name others (with dots for nested columns), are:

    problem_id    the problem: its id or its prompt, also as a list of turns (then problems= needs ``id=prompt``)
    correct       true or false (1 or 0); if it is missing or null, the task verifies the sample from
    text          the response, also as a list of turns; a leading thought between ``<think>`` and ``</think>`` or
                  other delimiters (`chat.KNOWN`, and the model's) is not part of the answer; or from
    tokens        its token ids, read with the tokenizer of ``model=CHECKPOINT``
    sample_id     its number; optional
    wave          the wave it was drawn in, for samples that stop at a success (`adaptive_sampling.py`); optional;
                  ``planned`` is then the maximum number of samples of a problem, by default the largest number seen

``thinking`` (the thought, if ``text`` has none), ``thinking_tokens``, ``truncated`` or ``finish``, ``logprobs`` and
``mask`` are used if present.  The option ``model`` also gives the held-out loss, ``name`` names the table,
``thinking_budget`` keeps the rows of one budget, ``setting`` those of one setting of an evaluation (``64+1``: a budget
of 64 and one wait), ``filter`` those of one filter (or of one metric or scorer), ``n`` the first n problems.  Without
``wave`` the number of samples of a problem must not depend on their outcomes.

lm-eval's ``--log_samples`` names problem and text ``doc_id`` and ``resps``.  It writes all repeats of a problem in one
row, once for every filter: one filter must be chosen, and if there are repeats, the task verifies them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rlready.core.errors import UserError
from rlready.core.explain import misnamed
from rlready.core.messages import warn_once
from rlready.core.records import SampleRow
from rlready.interchange.formats import format_of
from rlready.readiness.offline_filters import FILTERS
from rlready.readiness.offline_prompts import PROMPTS
from rlready.readiness.offline_samples import Stored, TableOptions
from rlready.readiness.offline_table import DRAWN_WITH, NAMES, TableReader
from rlready.readiness.sample_stats import FACTS
from rlready.tasks.columns import Batch, read_batches
from rlready.tasks.files import TABLES
from rlready.tasks.parquet import ParquetTable
from rlready.tasks.source import Source, options_from, options_of

OF_PROBLEMS = {"verifier", "threshold", "prompt", "answer", "split", "config", "revision"}  # options of a task

RESPONSES = ("response", "responses", "output", "outputs", "completion", "completions", "generation", "generated_text")


def is_table(source: str) -> bool:
    """Whether a checkpoint's name is that of a table of samples."""
    return source.partition("?")[0].endswith(TABLES)


def parse_table_source(source: str) -> tuple[str, TableOptions]:
    """Path and options; UserError for an unknown option, such as one that problems have."""
    path, _, query = source.partition("?")
    given = options_of(source, query)
    if "threshold" in given and "correct" in given:
        raise UserError(f"{source}: a table has no threshold=; add a column of true and false, and name it as correct=")
    if OF_PROBLEMS & given.keys():
        raise UserError(f"{source}: is read as samples; if it holds problems, write problems={source}")
    return path, options_from(Source(source, "samples", path, given), TableOptions())


def read_samples(source: str) -> Stored:
    """Read a table; UserError names the line of a row that is not a sample or that repeats one."""
    path, given = parse_table_source(source)
    unread = given.text if _texts_unneeded(path, given) else ""
    reader = _read(path, given, unread)
    stored = reader.finish()
    drawn, right = (np.bincount(stored.draws.problem, w, len(reader.problems)) for w in (None, stored.draws.correct))
    if unread and not reader.varied and not stored.copied and ((right == 0) | (right == drawn)).all():
        return _read(path, given, "").finish()  # are all responses of each problem the same?
    return stored


def _read(path: str, given: TableOptions, unread: str) -> TableReader:
    """A reader that has read the whole table without its column ``unread``."""
    usual, found = TableOptions(), None
    names = {
        *(getattr(options, key) for options in (given, usual) for key in NAMES),
        "doc_id",
        "resps",
        "thinking",
        *PROMPTS,
        *FILTERS,
        *DRAWN_WITH,
    }
    for batch in read_batches(path, sorted({*names, *FACTS} - {unread})):
        if found is None:
            found = TableReader(path, _with_lm_eval_names(given, batch), {unread})
            if not format_of(batch.named):  # of which a reader says more
                _warn_of_misnamed(batch, {*names, *FACTS, *SampleRow.__annotations__}, found.options.text)
        found.add(batch)
    assert found  # an empty table is refused
    return found


def _warn_of_misnamed(batch: Batch, known: set[str], text: str) -> None:
    """Say which columns seem to be meant for one that is read; a tool's own may be called alike.

    ``text`` is the column of responses, which other names stand for if it is not there.
    """
    synonyms = {} if text in batch.named else dict.fromkeys(RESPONSES, text)
    known = known if "resps" in batch.named else known - {"resps"}  # which response would be meant for
    for column, meant in misnamed(batch.named, sorted(known), synonyms):
        warn_once(f"warning: {batch.origin.where}: column {column!r} is not read; if it is {meant}, rename it")


def _texts_unneeded(path: str, options: TableOptions) -> bool:
    """Whether a file's statistics show that every sample is verified and numbered, so that no response is needed."""
    if not path.endswith(".parquet") or not Path(path).is_file():
        return False
    table = ParquetTable(Path(path))
    return table.has_texts(options.text) and table.complete(options.correct) and table.find(options.sample) is not None


def _with_lm_eval_names(options: TableOptions, batch: Batch) -> TableOptions:
    """The options with lm-eval's column names if the usual columns are missing."""
    usual = TableOptions()
    if options.problem == usual.problem and usual.problem not in batch.columns and "doc_id" in batch.columns:
        options = replace(options, problem="doc_id")
    if options.text == usual.text and usual.text not in batch.columns and "resps" in batch.columns:
        options = replace(options, text="resps")
    return options
