"""What the paths of checkpoints say: the SFT run, the step, the order of training, and short names.

A shell lists step-100 before step-40, so the order on the command line is not the order of training.  Numbers that
count different things, such as epochs and steps in one folder, belong to different runs.  A folder that is named and
also holds numbered checkpoints is where a trainer (TRL) saves the final model; so is a folder next to them whose name
says "final".  The final model is the last of its run.  Bare numbers are steps if every checkpoint that is named in a
folder has one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from rlready.runs.checkpoint_names import PARENT, STEP, Numbered, numbered, run_of_final

NAMED = 4  # checkpoints listed in a sentence
# lm-eval's samples_TASK_DATE.jsonl, lighteval's DATE/details_TASK_DATE.parquet and Inspect's DATE_TASK_ID.eval
DATED = re.compile(r"(?:(?:samples|details)_.+_)?\d{4}-\d\d-\d\dT\d\d[-:]\d\d.*")


def step_of(name: str) -> int | None:
    """The number in a checkpoint's path; None where it has none."""
    found = numbered(name, bare=True)
    return found.number if found else None


def _numbers(names: Iterable[str]) -> dict[str, Numbered | None]:
    """The number of each name, or None; a bare number counts if all names in its folder are bare numbers."""
    names = list(names)
    siblings: dict[str, set[str]] = {}
    for name in names:
        found = numbered(name, bare=True)
        if found or not run_of_final(name):
            path = PurePath(found.folder if found else name)
            siblings.setdefault(str(path.parent), set()).add(path.name)
    bare = {run for run, inside in siblings.items() if len(inside) > 1 and all(each.isdecimal() for each in inside)}
    found_bare = {name: numbered(name, bare=True) for name in names}
    return {name: each if each and each.run in bare else numbered(name) for name, each in found_bare.items()}


def runs_of(names: Iterable[str]) -> dict[str, str | None]:
    """The run of each checkpoint, as the folder that holds it; None for a name that does not show its run.

    Where the numbers of one folder count different things, a run is named by the folder and what is counted.
    """
    found = _numbers(names)
    units: dict[str, set[str]] = {}
    for each in filter(None, found.values()):
        units.setdefault(each.run, set()).add(each.unit)
    runs: dict[str, str | None] = {}
    for name, its in found.items():
        if its:
            runs[name] = its.run if len(units[its.run]) == 1 else f"{its.run}/{its.unit or 'number'}"
        else:
            folders = (str(PurePath(name)), run_of_final(name))
            runs[name] = next((folder for folder in folders if folder and len(units.get(folder, ())) == 1), None)
    return runs


def in_training_order(names: Sequence[str]) -> list[str]:
    """The names, with those of each run sorted by step, the final model last; every run keeps its positions."""
    runs = runs_of(names)
    siblings: dict[str | None, list[str]] = {}
    for name in names:
        siblings.setdefault(runs[name], []).append(name)
    queues = {run: iter(mine if run is None else sorted(mine, key=place_in_run)) for run, mine in siblings.items()}
    return [next(queues[runs[name]]) for name in names]


def place_in_run(name: str) -> float:
    """The number in a checkpoint's name; the final model, which has none, comes last."""
    step = step_of(name)
    return math.inf if step is None else step


def order_warnings(names: Iterable[str]) -> list[str]:
    """A sentence for each folder whose names do not show the order of training."""
    numbers_of: dict[str, list[tuple[str, int]]] = {}
    alike: dict[tuple[str, str], list[str]] = {}
    for name, each in _numbers(names).items():
        last = PurePath(name).name
        if each:
            numbers_of.setdefault(each.run, []).append((each.unit, each.number))
        elif STEP.search(last) and any(map(str.isdigit, last)):
            alike.setdefault((str(PurePath(name).parent), re.sub(r"\d+", "0", last)), []).append(last)
    found = [
        f"{folder}: {listed(several)}: run and step cannot be read from such names, so each is taken for a run of its "
        "own, in the order given; name them step-N"
        for (folder, _), several in alike.items()
        if len(several) > 1 or folder in numbers_of
    ]
    for run, numbers in numbers_of.items():
        units = sorted({unit or "number" for unit, _ in numbers})
        if len(units) > 1:
            found.append(f"{run}: {' and '.join(units)} count different things, so the order of training is not known")
        elif len(set(numbers)) < len(numbers):
            twice = min(number for unit, number in numbers if numbers.count((unit, number)) > 1)
            found.append(f"{run}: several checkpoints have the number {twice}; they are taken in the order given")
    return found


def labels(names: Iterable[str]) -> dict[str, str]:
    """Short names: as many last parts of the paths as make them differ, without a folder called "checkpoints".

    Where checkpoints of several runs are named, their names say the run, too: step-66 alone would not. A name that an
    evaluation gave to its file, which says a task and a date, is left out where the folder differs.
    """
    names = list(names)
    folders = {name: _numbered_folder(_folder_of_dated(name)) for name in names}
    times = Counter(folders.values())
    folders = {name: each if times[each] == 1 else name.rstrip("/") for name, each in folders.items()}
    paths = {name: [p for p in each.split("/") if p != PARENT] or [name] for name, each in folders.items()}
    runs = {tuple(paths[name][:-1]) for name, each in _numbers(names).items() if each}
    for size in range(1, 1 + max(map(len, paths.values()), default=0)):
        short = {name: "/".join(parts[-size:]) for name, parts in paths.items()}
        shown = {run[max(0, len(run) + 1 - size) :] for run in runs}
        if len(set(short.values())) == len(short) and len(shown) == len(runs):
            return short
    return {name: name for name in paths}


def staged_labels(stages: Mapping[str, str]) -> dict[str, str]:
    """Short names that begin with the stage, as in "SFT step-20" and "RL step-20", where checkpoints of two are named.

    ``stages`` has that of every checkpoint, "" where it is not known.
    """
    if len(set(stages.values()) - {""}) < 2:
        return labels(stages)
    short: dict[str, str] = {}
    for stage in set(stages.values()):
        mine = labels(name for name, its in stages.items() if its == stage)
        short |= {name: f"{stage} {label}".lstrip() for name, label in mine.items()}
    return {name: short[name] for name in stages}


def _folder_of_dated(name: str) -> str:
    """The folder of a file or folder that is named by an evaluation and its date; any other name as it is."""
    path = PurePath(name)
    while DATED.fullmatch(path.name) and path.parent.name:
        path = path.parent
    return str(path) if path != PurePath(name) else name


def _numbered_folder(name: str) -> str:
    found = numbered(name)
    return found.folder if found else name.rstrip("/")


def listed(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    if len(names) > NAMED:
        return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} more"
    shown = list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
