"""``rlready inject``: worked rows with behaviours in them, or one of the baselines, verified and documented.

Writes the rows (JSONL, read by ``rlready sft rows=...``), ``before.jsonl`` with what they were, and a data-set card.
Nothing is written for rows of which one contradicts itself.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlready.core.config import InjectConfig
from rlready.core.errors import UserError
from rlready.core.options import nearest
from rlready.core.progress import Progress
from rlready.core.records import Estimate
from rlready.core.stats import mean_figure, paired_figure
from rlready.inject.behaviours import inject as inject_row
from rlready.inject.card import data_card
from rlready.inject.diff import BEFORE
from rlready.inject.errors import Contradiction, Doubtful, Unfit
from rlready.inject.graph import steps_of
from rlready.inject.permute import chains, premises
from rlready.inject.prose import solution
from rlready.inject.splice import BEHAVIOURS, Behaviour, Splice
from rlready.inject.worked import Worked, lengths, worked
from rlready.runs.run import Run, write_text
from rlready.tasks import open_task
from rlready.tasks.answers.verify import exact_number, final_answer
from rlready.tasks.dagmath.meta import from_meta, rendering_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = "rows.jsonl"
KINDS = {"explore": "exploration", "analyse": "analysis", "compute": "sub-goal computation"}
Made = list[tuple[Worked, Splice | None]]


def inject(config: InjectConfig, out: Path) -> dict[str, Any]:
    """Write the rows into ``out``, a folder or (named ``*.jsonl``) the file of rows in a folder of its own.

    Returns what was added, to how many rows, at what cost in words or tokens.  UserError for a row that contradicts
    its own arithmetic or its graph, and where no row at all can be changed.
    """
    file = out if out.suffix == ".jsonl" else out / ROWS
    names = _behaviours(config)
    if file.name == BEFORE:
        raise UserError(f"{file}: {BEFORE} is where the rows as they were are kept; choose another name")
    if not 0 <= config.p <= 1:
        raise UserError(f"p is a probability, between 0 and 1, not {config.p}")
    if not config.rows:
        raise UserError("name the worked rows: rlready inject ROWS, for example gsm8k:train.jsonl")
    with Run(file.parent, "inject", config) as run:
        if run.finished:
            if run.result["rows"] != file.name:
                raise UserError(f"{file.parent} holds {run.result['rows']}, not {file.name}: choose another --out")
            return run.result
        tokenizer = _tokenizer(config.tokenizer)
        task = open_task(config.rows)
        before = worked(task, config.rows)
        made, unfit = list[tuple[Worked, Worked, Splice | None]](), Counter[str]()
        lines, doubtful = list[tuple[str, str]](), list[str]()
        with Progress("inject", total=len(before), unit="rows") as progress:
            for row in before:
                try:
                    of_row = [(row, *pair) for pair in _made(row, config, names)]
                except Unfit as reason:
                    unfit[str(reason)] += 1
                    if isinstance(reason, Doubtful):
                        doubtful.append(f"{task.place(row.problem.id)}, step {reason.step}: {reason}")
                    of_row = [(row, row, None)]
                except Contradiction as error:
                    raise UserError(f"{task.place(row.problem.id)}: {error}; mend the row or remove it") from None
                try:
                    lines += [_lines(*each) for each in of_row]
                except (TypeError, UnicodeEncodeError) as error:
                    place = task.place(row.problem.id)
                    raise UserError(f"{place}: not to be written as JSON: {error}; mend or remove the value") from None
                made += of_row
                progress.update()
        if unfit.total() == len(before):
            raise UserError(f"{task.source}: no row can be used: {unfit.most_common(1)[0][0]}")
        run.note_data(id=task.source, path=task.path, licence=task.licence or "unknown", size=len(before))
        facts = {
            "verb": "inject",
            "rows": file.name,
            "source": task.source,
            "description": task.description,
            "licence": task.licence,
            "rows_in": len(before),
            "rows_out": len(made),
            "unfit": dict(unfit.most_common()),
            "doubtful": doubtful,
        }
        facts |= _figures(made, names if config.method == "behaviours" else (), tokenizer)
        facts["verdict"] = _verdict(facts)
        for path, texts in zip((file, file.parent / BEFORE), zip(*lines, strict=True), strict=True):
            write_text(path, "".join(texts))
        write_text(file.parent / "README.md", data_card(config, file.name, facts))
        return run.write_result(facts)


def _behaviours(config: InjectConfig) -> tuple[Behaviour, ...]:
    for name in config.behaviours:
        if name not in BEHAVIOURS:
            raise UserError(f"behaviours: {name!r} is none; {nearest(name, BEHAVIOURS)}")
    if not config.behaviours and config.method == "behaviours":
        raise UserError("behaviours is empty; for rows without any: method=vanilla")
    return tuple(b for b in BEHAVIOURS if b in config.behaviours)


def _made(row: Worked, config: InjectConfig, names: tuple[Behaviour, ...]) -> Made:
    """The rows that come of one, in the order written."""
    seed = f"inject:{config.seed}:{row.problem.id}"
    if row.graph is not None and row.problem.prompt != rendering_of(row.graph).prompt(*from_meta(row.graph)):
        raise Unfit("its prompt is not that of its graph")
    if config.method == "behaviours":
        return [inject_row(row, names, config.p, seed)]
    if config.method == "vanilla":
        _examine(row)
        return [(row, None)]
    permuted = {"premises": premises, "chains": chains}[config.method](row, random.Random(seed))
    return [(_copy(other, n), None) for n, other in enumerate(permuted, start=1)]


def _tokenizer(source: str) -> PreTrainedTokenizerBase | None:
    if not source:
        return None
    from rlready.models.checkpoint import tokenizer_of  # imports torch, which nothing else here needs

    return tokenizer_of(source)


def _examine(row: Worked) -> None:
    if row.graph is not None:
        steps_of(row.solution, row.graph)
    else:
        solution(row.problem.prompt, row.solution, exact_number(final_answer(row.response)))


def _copy(row: Worked, n: int) -> Worked:
    return replace(row, problem=replace(row.problem, id=f"{row.problem.id}-{n}"))


def _figures(
    made: Sequence[tuple[Worked, Worked, Splice | None]],
    names: Sequence[Behaviour],
    tokenizer: PreTrainedTokenizerBase | None,
) -> dict[str, Any]:
    """How often each behaviour was written, and the lengths before and after."""
    splices = [splice for _, _, splice in made]
    counts = [splice.counts if splice else Counter[str]() for splice in splices]
    short, long = lengths([row for row, _, _ in made], tokenizer), lengths([row for _, row, _ in made], tokenizer)
    table = [["added", "times", "rows with it", "share of rows"]]
    behaviours: dict[str, Any] = {}
    for name in names:
        having = [bool(count[name]) for count in counts]
        share = mean_figure(having, bounds=(0.0, 1.0), varies="rows")
        behaviours[name] = {"times": sum(c[name] for c in counts), "rows": sum(having), "share": share}
        table.append([KINDS[name], str(behaviours[name]["times"]), str(sum(having)), str(share)])
    failed = sum(splice.failed for splice in splices if splice)
    lucky = sum(splice.lucky for splice in splices if splice)
    if "explore" in names:
        table += [["  failed attempts", str(failed), "", ""], ["  solved early", str(lucky), "", ""]]
    before, after = (mean_figure(n, varies="rows") for n in (short, long))
    cost, unit = paired_figure(long, short, varies="rows"), "tokens" if tokenizer else "words"
    table += [
        [f"{unit} a row, before", _number(before), "", ""],
        [f"{unit} a row, after", _number(after), "", ""],
    ]
    sizes = {"unit": unit, "length_before": before, "length_after": after, "length_added": cost}
    return {"behaviours": behaviours, "failed": failed, "lucky": lucky} | sizes | {"table": table}


def _number(figure: Estimate) -> str:
    return f"{figure.value:.1f} [{figure.low:.1f}, {figure.high:.1f}]"


def _verdict(facts: Mapping[str, Any]) -> str:
    used = facts["rows_in"] - sum(facts["unfit"].values())
    added, before = facts["length_added"].value, facts["length_before"].value
    return (
        f"{facts['rows_out']} rows from {facts['rows_in']}, {used} ({used / facts['rows_in']:.1%}) of them parsed and "
        f"verified; {added:+.1f} {facts['unit']} a row ({added / before:+.1%})."
    )


def _lines(before: Worked, after: Worked, splice: Splice | None) -> tuple[str, str]:
    """A row, and what it was; TypeError or UnicodeEncodeError for what JSON in UTF-8 does not hold."""
    earlier = {
        "id": after.problem.id,
        "prompt": before.problem.prompt,
        "thinking": before.thinking,
        "inserted": splice.spans if splice else [],
    }
    new, old = (json.dumps(columns, ensure_ascii=False) + "\n" for columns in (after.columns(), earlier))
    (new + old).encode()
    return new, old
