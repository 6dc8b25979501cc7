"""``rlready inject``: worked rows with behaviours in them, or one of the baselines, verified and documented.

Writes the rows (JSONL, read by ``rlready sft rows=...``), ``before.jsonl`` with what they were, and a data-set card.
Rows that cannot be verified, or that cannot be written well, are left out and counted, the same rows by ``behaviours``
and ``vanilla``.  Nothing is written if a row contradicts its graph.
"""

from __future__ import annotations

import json
import random
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlready.core.config import InjectConfig
from rlready.core.errors import UserError
from rlready.core.explain import nearest
from rlready.core.progress import Progress
from rlready.core.stats import mean_estimate, paired_estimate
from rlready.inject.behaviours import inject as inject_row
from rlready.inject.card import data_card
from rlready.inject.diff import BEFORE
from rlready.inject.errors import Contradiction, Doubtful, Unfit
from rlready.inject.metadata import write_metadata
from rlready.inject.permute import chains, premises
from rlready.inject.result import BehaviourCount, InjectResult
from rlready.inject.splice import BEHAVIOURS, Behaviour, Splice
from rlready.inject.worked import Worked, lengths, worked
from rlready.runs.files import write_text
from rlready.runs.licences import UNKNOWN
from rlready.runs.run import Run
from rlready.tasks import Task, open_task
from rlready.tasks.dagmath.meta import from_meta, rendering_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = "rows.jsonl"
AGAIN = "to make it again, add --overwrite"


@dataclass(frozen=True)
class Rewrite:
    """A written row, the original row, and what was added (None if nothing was, or if the row is a permutation)."""

    before: Worked
    after: Worked
    splice: Splice | None = None


@dataclass
class Rewritten:
    """All rows in the order written, also as ``lines`` of the two files; ``unfit`` counts the others by reason."""

    rows_in: int
    rows: list[Rewrite] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)  # a row, and its original
    unfit: Counter[str] = field(default_factory=Counter)
    doubtful: list[str] = field(default_factory=list)


def inject(config: InjectConfig, out: Path) -> InjectResult:
    """Write the rows into ``out``, a folder or (named ``*.jsonl``) the file of rows in a folder of its own.

    Returns what was added, to how many rows, and how many words or tokens longer they are.  UserError for a row that
    contradicts its graph, and where no row at all is fit.
    """
    file = out if out.suffix == ".jsonl" else out / ROWS
    names = _behaviours(config)
    if file.name == BEFORE:
        raise UserError(f"{file}: {BEFORE} is where the rows as they were are kept; choose another name")
    if not config.rows:
        raise UserError("name the worked rows: rlready inject ROWS, for example gsm8k:train.jsonl")
    with Run(file.parent, "inject", config) as run:
        if run.finished:
            result = run.stored(InjectResult)
            if result.rows != file.name:
                raise UserError(f"{file.parent} holds {result.rows}, not {file.name}: choose another --out")
            for path in (file, file.parent / BEFORE):
                if not path.is_file():
                    raise UserError(f"{path}: missing, although the run is finished; {AGAIN}")
                run.refuse_changed(path, AGAIN)
            return result
        tokenizer = _tokenizer(config.tokenizer)
        task = open_task(config.rows)
        before = worked(task, config.rows)
        made = _rewrite(task, before, config, names)
        if made.unfit.total() == len(before):
            why, _ = made.unfit.most_common(1)[0]
            raise UserError(f"{task.source}: no row is fit: {made.doubtful[0] if made.doubtful else why}")
        rows = run.note_data(
            id=task.source, path=task.path, seen=task.seen, licence=task.licence, size=len(before), role="worked rows"
        )
        run.note_output_licence()
        licence = None if rows.licence == UNKNOWN else rows.licence
        result = _result(made, task, file, names if config.method == "behaviours" else (), tokenizer, licence)
        run.claim()
        for path, texts in zip((file, file.parent / BEFORE), zip(*made.lines, strict=True), strict=True):
            with run.writing(path):
                write_text(path, "".join(texts))
        write_text(file.parent / "README.md", data_card(config, result, run.record))
        write_metadata(file.parent, config, result, run.record, [row.after.columns() for row in made.rows])
        run.write_result(result)
        return result


def _rewrite(task: Task, before: Sequence[Worked], config: InjectConfig, names: tuple[Behaviour, ...]) -> Rewritten:
    """Every row; UserError names the first that contradicts its graph or that JSON cannot hold."""
    made = Rewritten(len(before))
    with Progress("inject", total=len(before), unit="rows") as progress:
        for row in before:
            place = task.place(row.problem.id)
            try:
                rewrites = _rewrites(row, config, names)
            except Unfit as reason:
                made.unfit[str(reason)] += 1
                if isinstance(reason, Doubtful):
                    made.doubtful.append(f"{place}, step {reason.step}: {reason}")
                rewrites = []
            except Contradiction as error:
                raise UserError(f"{place}: {error}; fix the row or remove it") from None
            try:
                made.lines += map(_lines, rewrites)
            except (TypeError, UnicodeEncodeError) as error:
                raise UserError(f"{place}: cannot be written as JSON: {error}; fix or remove the value") from None
            made.rows += rewrites
            progress.update()
    return made


def _behaviours(config: InjectConfig) -> tuple[Behaviour, ...]:
    for name in config.behaviours:
        if name not in BEHAVIOURS:
            raise UserError(f"behaviours: there is no behaviour {name!r}; {nearest(name, BEHAVIOURS)}")
    if not config.behaviours and config.method == "behaviours":
        raise UserError("behaviours is empty; for rows without any: method=vanilla")
    return tuple(b for b in BEHAVIOURS if b in config.behaviours)


def _rewrites(row: Worked, config: InjectConfig, names: tuple[Behaviour, ...]) -> list[Rewrite]:
    """The rows that are made of one, in the order written."""
    seed = f"inject:{config.seed}:{row.problem.id}"
    if row.graph is not None and row.problem.prompt != rendering_of(row.graph).prompt(*from_meta(row.graph)):
        raise Unfit("its prompt is not that of its graph")
    if config.method == "behaviours":
        return [Rewrite(row, *inject_row(row, names, config.p, seed))]
    if config.method == "vanilla":
        inject_row(row, (), 0.0, seed)
        return [Rewrite(row, row)]
    permuted = {"premises": premises, "chains": chains}[config.method](row, random.Random(seed))
    return [Rewrite(row, _copy(other, n)) for n, other in enumerate(permuted, start=1)]


def _tokenizer(source: str) -> PreTrainedTokenizerBase | None:
    if not source:
        return None
    from rlready.models.tokenizer import tokenizer_of  # imports torch, which nothing else here needs

    return tokenizer_of(source)


def _copy(row: Worked, n: int) -> Worked:
    return replace(row, problem=replace(row.problem, id=f"{row.problem.id}-{n}"))


def _result(
    made: Rewritten,
    task: Task,
    file: Path,
    names: Sequence[Behaviour],
    tokenizer: PreTrainedTokenizerBase | None,
    licence: str | None,
) -> InjectResult:
    """How often each behaviour was written, and the lengths before and after."""
    splices = [row.splice for row in made.rows if row.splice]
    counts = [row.splice.counts if row.splice else Counter[str]() for row in made.rows]
    behaviours = {}
    for name in names:
        having = [bool(count[name]) for count in counts]
        share = mean_estimate(having, bounds=(0.0, 1.0), varies="rows")
        behaviours[name] = BehaviourCount(times=sum(c[name] for c in counts), rows=sum(having), share=share)
    short, long = (lengths(rows, tokenizer) for rows in zip(*((r.before, r.after) for r in made.rows), strict=True))
    source = [row.before.problem.id for row in made.rows]  # whose copies are not independent
    before, after = (mean_estimate(n, cluster=source, varies="rows") for n in (short, long))
    added = paired_estimate(long, short, cluster=source, varies="rows")
    unit: Literal["words", "tokens"] = "tokens" if tokenizer else "words"
    return InjectResult(
        headline=f"{len(made.rows)} rows written, {added.value:+.1f} {unit} per row "
        f"({added.value / before.value:+.0%}); {made.unfit.total()} of {made.rows_in} left out.",
        next_command=shlex.join(["rlready", "sft", "model=MODEL", f"rows={file}"]),
        rows=file.name,
        source=task.source,
        description=task.description,
        licence=licence,
        rows_in=made.rows_in,
        rows_out=len(made.rows),
        unfit=dict(made.unfit.most_common()),
        doubtful=made.doubtful,
        behaviours=behaviours,
        failed_attempts=sum(splice.failed for splice in splices),
        solved_early=sum(splice.solved_early for splice in splices),
        unit=unit,
        length_before=before,
        length_after=after,
        length_added=added,
    )


def _lines(row: Rewrite) -> tuple[str, str]:
    """The lines of a row and of its original; TypeError or UnicodeEncodeError if JSON in UTF-8 cannot hold it."""
    earlier = {
        "id": row.after.problem.id,
        "prompt": row.before.problem.prompt,
        "thinking": row.before.thinking,
        "inserted": row.splice.spans if row.splice else [],
    }
    new, old = (json.dumps(columns, ensure_ascii=False) + "\n" for columns in (row.after.columns(), earlier))
    (new + old).encode()
    return new, old
