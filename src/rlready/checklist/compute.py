"""Facts on machines, memory, time and energy: over every attempt of every run, whatever became of it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rlready.checklist.result import Evidence, Fact
from rlready.checklist.runs import SWEEP, Entry, Runs
from rlready.core.cells import counted
from rlready.runs.record import OVERWRITTEN, RUNNING, SCHEMA, Attempt

GIB = 1 << 30
UNITS = {"s": "seconds", "min": "minutes", "h": "hours"}


def machine(runs: Runs) -> list[Fact]:
    """The classes of machine."""
    texts = dict[str, list[Evidence]]()
    for entry in runs.counted:
        host, gpus = entry.record.host, Counter(gpu.model for gpu in entry.record.accelerators)
        named = [f"{n} x {gpu}" for gpu, n in gpus.items()]
        text = f"{host.cores} cores of {host.cpu} ({host.machine}), {host.os}"
        text += f"; GPUs of the machine: {', '.join(named)}" if named else ", no GPU"
        texts.setdefault(text, []).append(entry.of_record("host.cpu", host.cpu))
        texts[text] += [entry.of_record("accelerators", ", ".join(named))] if named else []
    return [Fact(name="Machine", text=text, evidence=evidence) for text, evidence in texts.items()]


def memory(runs: Runs) -> list[Fact]:
    """The memory of machines and GPUs, and the most that each run's process has used by its end.

    A run inside another, in whose process it runs, counts what that one used before.
    """
    most = max(runs.counted, key=lambda entry: entry.record.peak_memory_bytes)
    hosts = {entry.record.host.memory_bytes: entry for entry in runs.counted}
    gpus = {gpu.memory_bytes for entry in runs.counted for gpu in entry.record.accelerators}
    used = [
        (gpu.peak_allocated_bytes, entry, f"accelerators[{at}].peak_allocated_bytes")
        for entry in runs.counted
        for at, gpu in enumerate(entry.record.accelerators)
    ]
    peak, allocating, place = max(used, key=lambda each: each[0], default=(0, most, ""))
    sizes = " and ".join(map(_gib, sorted(hosts)))
    text = f"Machines of {sizes}" if len(hosts) > 1 else f"{sizes} of memory"
    text += f", of which a process used at most {_gib(most.record.peak_memory_bytes)}"
    text += f"; GPUs of {' and '.join(map(_gib, sorted(gpus)))}" if gpus else ""
    text += f", of which PyTorch allocated at most {_gib(peak)} on one GPU in the first process of a run" * bool(peak)
    evidence = [entry.of_record("host.memory_bytes", size) for size, entry in sorted(hosts.items(), key=lambda e: e[0])]
    evidence += [entry.of_record("peak_memory_bytes", entry.record.peak_memory_bytes) for entry in runs.entries]
    evidence += [allocating.of_record(place, peak)] if peak else []
    return [Fact(name="Memory", text=f"{text}.", evidence=evidence)]


def time_per_run(runs: Runs) -> list[Fact]:
    """How long each run has taken, by verb; parts of a run stand beside it."""
    verbs = defaultdict[str, list[Entry]](list)
    for entry in runs.entries:
        verbs[entry.record.verb].append(entry)
    parts = []
    for verb, entries in verbs.items():
        taken = sorted(entry.record.seconds for entry in entries)
        each = duration(taken[0]) if len(taken) == 1 else f"{duration(taken[0])} to {duration(taken[-1])} each"
        parts.append(f"{len(taken)} of {verb}: {each}")
    evidence = [entry.of_record("seconds", entry.record.seconds) for entry in runs.entries]
    return [Fact(name="Time of each run", text=f"Wall time of the runs: {'; '.join(parts)}.", evidence=evidence)]


def total_compute(runs: Runs) -> list[Fact]:
    """Wall, CPU and GPU time of all attempts, also of those that failed, were stopped, or were overwritten."""
    rows = [*_rows(runs)]
    by_status = defaultdict[str, list[float]](list)
    for _, attempt, status in rows:
        by_status[status].append(attempt.seconds)
    gpu = sum(a.seconds * (entry.record.gpus_used if a.gpus is None else a.gpus) for entry, a, _ in rows)
    wall, cpu = (sum(getattr(each, name) for _, each, _ in rows) for name in ("seconds", "cpu_seconds"))
    left_out = Counter(entry.record.verb == SWEEP for entry in runs.entries if not entry.counted)
    inside = f", with {left_out[False]} more inside" * bool(left_out[False])
    inside += f", started by {counted(left_out[True], 'sweep')}" * bool(left_out[True])
    text = (
        f"Runs: {len(runs.counted)}{inside}, attempts: {len(rows)}. They took {duration(wall)} of wall time, "
        f"{_of_each(cpu, 'core')} of CPU and {_of_each(gpu, 'GPU') if gpu else 'no GPU time'}. Attempts: "
        + "; ".join(f"{len(taken)} {status}, {duration(sum(taken))}" for status, taken in by_status.items())
        + "."
    )
    if any((attempt.processes or entry.record.processes) > 1 for entry, attempt, _ in rows):
        text += " Of runs in several processes, the CPU time is that of the first."
    evidence = [entry.of_record("seconds", entry.record.seconds) for entry in runs.counted]
    replaced = ((entry, len(entry.record.overwritten)) for entry in runs.entries)
    evidence += [entry.of_record("overwritten", f"{n} attempts") for entry, n in replaced if n]
    return [Fact(name="Total compute", text=text, evidence=evidence, missing="; ".join(_not_counted(runs)))]


def other_runs(runs: Runs) -> list[Fact]:
    """What was run and is not in these folders, which only the author knows."""
    missing = (
        "whether there were runs elsewhere, or deleted ones, such as preliminary or failed ones, and what they took"
    )
    return [runs.told.fact("other_runs", "Compute of other runs", missing)]


def _not_counted(runs: Runs) -> Iterator[str]:
    """In words, what is not in the total."""
    if runs.unread:
        yield f"{runs.unread} records or folders cannot be read"
    if any(entry.record.schema_version < SCHEMA for entry in runs.counted):
        yield "an earlier version did not record runs that were overwritten"
    servers = {str(url) for entry in runs.counted if str(url := entry.setting("engine")).startswith("http")}
    if servers:
        yield f"the compute of the server at {', '.join(sorted(servers))}"


def energy(runs: Runs) -> list[Fact]:
    """Energy and emissions, as far as codecarbon has measured them."""
    attempts = [(entry, attempt) for entry, attempt, _ in _rows(runs)]
    measured = [(entry, attempt.energy) for entry, attempt in attempts if attempt.energy]
    text, missing = "", "not measured; RLREADY_CARBON=DEU before a command measures it (extra codecarbon)"
    if measured:
        kwh, kg = sum(used.kwh for _, used in measured), sum(used.kg_co2e for _, used in measured)
        tools = {f"{used.tool}, power mix of {used.country}" for _, used in measured}
        text = f"{kwh:.3g} kWh, {kg:.3g} kg CO2e ({'; '.join(sorted(tools))})."
        left = len(attempts) - len(measured)
        missing = f"{left} of {len(attempts)} attempts were not measured" if left else ""
    evidence = [entry.of_record("attempts.energy.kwh", used.kwh) for entry, used in measured]
    return [Fact(name="Energy and emissions", text=text, evidence=evidence, missing=missing)]


def storage(runs: Runs) -> list[Fact]:
    """What the run folders take on the disk."""
    places = {entry.folder.resolve(): entry.folder for entry in runs.entries}
    sizes = {folder: _size(folder) for place, folder in places.items() if not places.keys() & {*place.parents}}
    evidence = [Evidence(file=str(folder), key="", value=_gib(size)) for folder, size in sizes.items()]
    text = f"The run folders take {_gib(sum(sizes.values()))}."
    return [Fact(name="Storage", text=text, evidence=evidence)]


def provider(runs: Runs) -> list[Fact]:
    """Whether the machines are a cluster of the author's or a cloud's."""
    return [runs.told.fact("provider", "Provider", "whose machines these are: an internal cluster, or which cloud")]


def _rows(runs: Runs) -> Iterator[tuple[Entry, Attempt, str]]:
    """Every attempt that counts, with its run and what became of it.

    One counts once, also where a run was copied and both went on.  Of a sweep its jobs are counted, and those that
    were overwritten with it.
    """
    first = dict[tuple[str, str], Path]()
    for entry in runs.entries:
        keeps = entry.counted or (entry.record.verb == SWEEP and not entry.part)
        known = [(attempt, OVERWRITTEN) for attempt in entry.record.overwritten if keeps]
        for attempt in entry.record.attempts if entry.counted else ():
            status = attempt.status.partition(":")[0]
            known.append((attempt, entry.status if status == RUNNING else status))
        for attempt, status in known:
            run = first.setdefault((entry.record.verb, attempt.model_dump_json()), entry.folder)
            if run == entry.folder or not attempt.seconds:
                yield entry, attempt, status


def duration(seconds: float) -> str:
    """A time in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _of_each(seconds: float, unit: str) -> str:
    """ "2 core-minutes": a time that counts for each of several units."""
    number, _, of = duration(seconds).partition(" ")
    return f"{number} {unit}-{UNITS[of]}"


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; those that vanish meanwhile, as a living run's do, are not counted."""
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(root, name)).st_size
    return size


def _gib(size: int) -> str:
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / (1 << 20):.3g} MiB"
