"""What may stand in place of a checkpoint: samples drawn elsewhere, in a table or as another tool wrote them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from rlready.core.cells import counted
from rlready.core.errors import UserError
from rlready.core.messages import remark, warn
from rlready.core.records import Problem
from rlready.interchange.formats import is_tool_source, parse_tool_source, recognise, refuse_mark
from rlready.models.hub import refuse_twice
from rlready.readiness.offline_reader import is_table, parse_table_source, read_samples
from rlready.readiness.offline_samples import Stored
from rlready.readiness.problem_match import (
    Prompts,
    matched,
    refuse_unlike_questions,
    with_doubted_ids,
    with_other_prompts,
)
from rlready.readiness.tool_samples import read_tool_samples
from rlready.runs.checkpoint_order import in_training_order, order_warnings
from rlready.runs.content import MODEL, content_digest
from rlready.runs.record import RECORD
from rlready.runs.seen import Seen
from rlready.tasks.files import TABLES


def is_stored(source: str) -> bool:
    """Whether a source names samples, not a model."""
    return is_tool_source(source) or is_table(source)


def verdict_of(source: str) -> str:
    """The column or score that says which samples are correct; empty if a source names none."""
    return (
        parse_tool_source(source)[1].options.score if is_tool_source(source) else parse_table_source(source)[1].correct
    )


def read_sources(checkpoints: Sequence[str], *, problems_named: bool) -> tuple[dict[str, str], dict[str, Stored]]:
    """(the source of each checkpoint by its name, in the order of training; the samples of those that are stored)."""
    names: dict[str, str] = {}
    tables: dict[str, Stored] = {}
    for source in in_training_order(checkpoints):
        found: dict[str, Stored | None] = {}
        if is_tool_source(source):
            found |= read_tool_samples(source, problems_named=problems_named)
        elif is_table(source):
            path, options = parse_table_source(source)
            if Path(path).suffix == ".json" and os.path.isfile(path):
                _refuse_tool(source, Path(path))
            found[options.name or path] = read_samples(source)
        else:
            _refuse_samples(source)
            found[source] = None
        for name, stored in found.items():
            if name in names:
                way = "samples of one path need name=" if is_stored(source) else "leave one out"
                raise UserError(f"named twice: {name}; {way}")
            names[name] = source
            if stored:
                tables[name] = replace(stored, seen=Seen.at(Path(stored.path)))
    refuse_twice(name for name in names if name not in tables)
    for doubt in order_warnings(names):
        warn(f"readiness: warning: {doubt}")
    if any(stored.apart for stored in tables.values()):
        tables = {name: stored.named_apart() for name, stored in tables.items()}
    return names, _with_copies(tables)


def _with_copies(tables: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tables, with a doubt of those whose responses are those of an earlier one, as a copy's are."""
    files = {stored.path for stored in tables.values() if os.path.isfile(stored.path)}
    sizes = Counter(map(os.path.getsize, files))
    first: dict[object, tuple[str, str]] = {}
    found = {}
    for name, stored in tables.items():
        key: object = stored.texts
        if not key and stored.path in files and sizes[os.path.getsize(stored.path)] > 1:
            key = content_digest(Path(stored.path)), replace(stored.options, name="", model="")
        other, path = first.setdefault(key, (name, stored.path)) if key else (name, "")
        same = other != name and (stored.texts or path != stored.path)  # one file may hold several checkpoints
        doubt = f"its responses are those of {other}: if one is a copy, leave it out" if same else ""
        found[name] = replace(stored, otherwise="; ".join(filter(None, [stored.otherwise, doubt])))
    return found


def _refuse_samples(source: str) -> None:
    """UserError for a path that holds no model but samples."""
    path = Path(source)
    if path.is_file():
        refuse_mark(source, source)
    model = any((path / name).exists() for name in MODEL)
    if path.exists() and not model:
        _refuse_tool(source, path)
    other = model or not path.is_dir() or (path / RECORD).exists()
    tables = [] if other else [f.name for f in path.iterdir() if is_table(f.name) and ".json" not in f.suffixes]
    if tables:
        join = "join those of one checkpoint into one file, and name that" if tables[1:] else "name it"
        raise UserError(f"{source}: no checkpoint, but {counted(len(tables), 'table')}, such as {min(tables)}: {join}")
    if path.is_file():
        raise UserError(f"{source}: a file, not a checkpoint folder; tables of samples end in {', '.join(TABLES)}")


def _refuse_tool(source: str, path: Path) -> None:
    """UserError for the samples of a tool, which are named with its prefix."""
    if known := recognise(path):
        raise UserError(f"{source}: no checkpoint, but samples of {known.tool}; read them with {known.kind}:{source}")


def on_shared_problems(
    names: Mapping[str, str], tables: Mapping[str, Stored], problems: Sequence[Problem]
) -> tuple[dict[str, Stored], list[Problem]]:
    """Tables and problems, reduced to the problems that all of them have, if any samples are of another tool or no
    problems are named.

    Samples of a tool have the problems that happened to be drawn, which get the ids of the named problems
    (`problem_match.py`).  UserError if none is shared.
    """
    tools = [name for name in tables if is_tool_source(names[name])]
    prompts = Prompts(problems)
    tables = {name: stored if name in tools else with_doubted_ids(stored, prompts) for name, stored in tables.items()}
    if not tools:
        shared_tables = tables if problems or not tables else _on_shared_ids(tables)
        return with_other_prompts(shared_tables), list(problems)
    found = {
        name: matched(names[name].partition("?")[0], stored, prompts) if name in tools else stored
        for name, stored in tables.items()
    }
    named = {problem.id for problem in problems}
    there = [named] if problems else []
    there += [{*stored.problem_ids} for stored in found.values()]
    shared = set.intersection(*there)
    if not shared:
        others = "the other checkpoints"
        fix = "compare samples of the same problems, or name these with problems=, which finds them in other prompts"
        culprit = next((name for name in tools if problems and named.isdisjoint(found[name].problem_ids)), "")
        first = culprit or tools[0]
        mine, *rest = (found[name].problem_ids[0] for name in sorted(found, key=lambda name: name != first))
        if culprit:
            others, fix = "the named problems", "give these the ids of the samples, or the prompts that were asked"
        theirs = problems[0].prompt if culprit else rest[0]
        raise UserError(
            f"{names[first].partition('?')[0]}: no problem has the id or the prompt of one of {others}: "
            f"the first is {mine[:80]!r} here, {theirs[:80]!r} there; {fix}"
        )
    for name, stored in found.items() if problems else ():
        if lack := len({*stored.problem_ids} - named):
            remark(f"{name}: {lack} of {len(stored.problem_ids)} problems are none of the named ones and are left out")
    _say_shared(len(shared), max(map(len, there)))
    kept = [problem for problem in problems if problem.id in shared]
    found = {name: stored.only(shared) for name, stored in found.items()}
    if not problems:
        refuse_unlike_questions(found)
    return with_other_prompts(found), kept


def _on_shared_ids(tables: Mapping[str, Stored]) -> dict[str, Stored]:
    """Tables alone, reduced to the problems that all of them have.

    UserError for tables without such, and where all ids may just count the rows of files, which other ones also have.
    """
    there = {name: {*stored.problem_ids} for name, stored in tables.items()}
    every, shared = set.union(*there.values()), set.intersection(*there.values())
    if len(shared) == len(every):
        return dict(tables)
    if not shared or all(map(_counts, there.values())):
        first, other = next((a, b) for a, b in pairwise(there) if there[a] != there[b])
        few, many = sorted((first, other), key=lambda name: len(there[name]))
        alone = next(name for name in tables[many].problem_ids if name not in there[few])
        fix = "name columns that hold the same ids with problem=COLUMN behind each table"
        if shared:
            fix = "ids that count rows may be of other problems: keep the same ones in each, as with n= the first"
        raise UserError(
            f"{few} and {many} have {len(there[few] & there[many])} of {len(there[few])} and {len(there[many])} "
            f"problems in common: the first is {tables[few].problem_ids[0][:80]!r} in {few}, and {alone[:80]!r} is in "
            f"{many} alone; {fix}"
        )
    _say_shared(len(shared), max(map(len, there.values())))
    return {name: stored.only(shared) for name, stored in tables.items()}


def _counts(ids: Collection[str]) -> bool:
    """Whether ids are whole numbers without a gap."""
    numbers = [int(name) for name in ids if name.isdecimal()]
    return bool(ids) and len(numbers) == len(ids) == max(numbers) - min(numbers) + 1


def _say_shared(shared: int, most: int) -> None:
    if shared < most:
        remark(f"readiness: measured on the {counted(shared, 'problem')} that all have, of up to {most}")
