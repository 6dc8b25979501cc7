"""Facts on results: what they claim, their intervals, what varies, and how far they reach."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection

from rlready.checklist.figures import PAIRED, figures, kind_of
from rlready.checklist.result import Evidence, Fact
from rlready.checklist.runs import Runs
from rlready.checklist.setting import first, repetitions
from rlready.core.cells import counted
from rlready.core.result import TaskRecord


def headlines(runs: Runs) -> list[Fact]:
    """What each finished run says."""
    found = [(entry, entry.result.headline) for entry in runs.entries if entry.result]
    missing = "" if found else "no run has finished"
    text = "Each claim of the paper needs one of these results. " if found else ""
    text += " ".join(first([f"{entry.folder}: {headline}" for entry, headline in found]))
    evidence = [entry.of_result("headline", "") for entry, _ in found]
    return [Fact(name="Results", text=text, evidence=evidence, missing=missing)]


def intervals(runs: Runs) -> list[Fact]:
    """The kind of the intervals, their n and what varies, for each finished run; a result without any is named."""
    facts = list[Fact]()
    for entry in runs.entries:
        if entry.result is None:
            continue
        found, name = list(figures(entry.result)), f"Intervals of {entry.folder}"
        if not found:
            facts.append(Fact(name=name, text="", evidence=[], missing="its result has no figure with an interval"))
            continue
        tests = sum(key.rpartition(".")[2] in PAIRED for key, _ in found)
        paired = f", {counted(tests, 'paired difference')} among them" * bool(tests)
        kinds = [(kind_of(entry.result, key, figure), figure.varies) for key, figure in found]
        counts = defaultdict[tuple[str, str], set[int]](set)
        for kind, (_, figure) in zip(kinds, found, strict=True):
            counts[kind].add(figure.n)
        evidence = [
            entry.of_result(key, figure).model_copy(update={"group": f"{kind[0]} over {_span(counts[kind])} {kind[1]}"})
            for kind, (key, figure) in zip(kinds, found, strict=True)
        ]
        facts.append(Fact(name=name, text=f"{counted(len(found), 'figure')}{paired}.", evidence=evidence))
    none = Fact(name="Intervals", text="", evidence=[], missing="no run has finished")
    return facts or [none]


def _span(counts: Collection[int]) -> str:
    return " to ".join(dict.fromkeys((f"{min(counts):,}", f"{max(counts):,}")))


def variability(runs: Runs) -> list[Fact]:
    """Which sources of variation the intervals contain, and over how many seeds training was repeated."""
    varies = {figure.varies for entry in runs.entries if entry.result for _, figure in figures(entry.result)}
    if not varies:
        return [Fact(name="What varies", text="", evidence=[], missing="no figure has an interval")]
    times = repetitions(runs)
    text = f"The intervals are over {', '.join(sorted(varies))}. "
    text += "One that is not called simultaneous holds for its figure alone. "
    if times:
        text += f"Training recipes: {len(times)}, each run with {_range(times.values())}."
        if min(times.values()) == 1:
            text += " An interval over problems does not contain the variation between training runs of other seeds."
    evidence = [
        entry.of_record("seeds", json.dumps(entry.record.seeds)) for entry in runs.entries if entry.record.seeds
    ]
    return [Fact(name="What varies", text=text.strip(), evidence=evidence)]


def scope(runs: Runs) -> list[Fact]:
    """How much was run, as far as it bounds the claims."""
    tasks, models = {(note.id, note.sha256) for _, _, note in runs.data()}, [note for _, _, note in runs.models()]
    status = Counter(entry.status for entry in runs.entries)
    times = repetitions(runs)
    ran, sets = len(runs.entries), len(tasks)
    text = (
        f"{ran} run folder{'s' * (ran != 1)} ({', '.join(f'{n} {name}' for name, n in status.items())}), {sets} source"
        f"{'s' * (sets != 1)} of data, and {len(models)} model{'s' * (len(models) != 1)} that the runs did not make: "
        f"{', '.join(sorted({note.id for note in models}))}."
        + (f" Each training recipe was run with {_range(times.values())}." if times else "")
    )
    evidence = [entry.of_record("status", entry.status) for entry in runs.entries]
    return [Fact(name="Scope of the runs", text=text, evidence=evidence)]


def warnings(runs: Runs) -> list[Fact]:
    """The warnings that the runs have recorded."""
    found = [(entry, text) for entry in runs.entries for text in entry.record.warnings]
    text = (
        " ".join(first([f"{entry.folder}: {each}" for entry, each in found]))
        or "No run has recorded one, which does not mean that there is nothing to warn of."
    )
    evidence = [entry.of_record("warnings", len(entry.record.warnings)) for entry in runs.entries]
    return [Fact(name="Warnings of the runs", text=text, evidence=evidence)]


def limits(runs: Runs) -> list[Fact]:
    """What bounds the claims beyond the counts, which only the author can say."""
    missing = "records hold counts and warnings; assumptions, scale and failed attempts are for you to discuss"
    return [Fact(name="Limits", text="", evidence=[], missing=missing)]


def tasks(runs: Runs) -> list[Fact]:
    """The tasks in a sentence each, as far as results describe them."""
    described = dict[str, Evidence]()
    for entry in runs.entries:
        task = getattr(entry.result, "task", None)
        if isinstance(task, TaskRecord):
            described.setdefault(task.description, entry.of_result("task.description", task.description))
    missing = "" if described else "no result describes its task"
    return [Fact(name="Tasks", text=" ".join(described), evidence=list(described.values()), missing=missing)]


def _range(times: Collection[int]) -> str:
    counts = sorted(set(times))
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{seeds} seed{'s' * (seeds != '1')}"
