"""``make torture``: kills every verb at every change of a file, continues it, and compares it with an unbroken run.

A trial is one run with one fault, and often further ones while it is continued, by the command that the program names.
Each is a line of the journal, so that the whole continues after being stopped; a trial that found something is repeated
when the program is started again.  ``evidence/trust`` is written from the journal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))

import cases
from process import ALL, KINDS, Ended, Fault, Forks, restart_with_faults

SAYS = re.compile(r"to (?:continue|start again|write its page): (rlready .*)")
S = TypeVar("S")
FOLDERS = ("two processes", "moved", "copied", "half-copied")
MOST = 12  # attempts of two processes
FURTHER = 7  # faults of a trial after the first, at most
DAY = 86400
TORN = "SIGKILL in a write"
RANDOM = {"SIGKILL": 40, "SIGTERM": 20, "SIGINT": 20}  # trials of a verb at random moments
COMPOSED = {"sweep": 6, "demo": 10}  # verbs that call the others: so many times fewer trials
FEW = 20
STRIDES = {"SIGTERM": 3, "SIGINT": 3, "read-only": 3}  # every so many changes; of the other kinds, all


@dataclass
class Trial:
    """What happened in a trial; ``kills`` says where each attempt ended."""

    id: str
    kills: list[str] = field(default_factory=list)
    survived: int = 0  # faults in spite of which the run came to its end (a planted loss: found; the plan: trials)
    refused: int = 0  # runs that were refused because the folder was in use, or half of it missing
    files: int = 0
    half: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def found(self) -> list[str]:
        return [*self.half, *self.different, *self.problems]


class Torture:
    """The verbs, each with what an unbroken run leaves behind."""

    def __init__(self, scratch: Path, names: Sequence[str]) -> None:
        self.scratch, self.forks = scratch, Forks()
        cases.small_demo()
        self.inputs = scratch / "inputs"
        cases.make_inputs(self.forks, self.inputs)
        self.whole: dict[str, dict[str, object]] = {}
        self.sizes: dict[str, Ended] = {}
        for name in names:
            folders = [cases.new_folder(name, self.inputs, scratch / f"{name}-{i}") for i in (1, 2)]
            first = self.forks.run(cases.command(name), folders[0])
            second = self.forks.run(cases.command(name), folders[1], Fault("traced"))
            assert (first.code, second.code) == (0, 0), f"{name}: {first.said}"
            self.whole[name] = cases.content(folders[0] / cases.RUN)
            again = cases.differences(cases.content(folders[1] / cases.RUN), self.whole[name])
            assert not again, f"{name}: two unbroken runs differ: {again}"
            self.sizes[name] = second

    def plan(self, name: str) -> Iterator[tuple[str, list[Fault]]]:
        """The trials of a verb: ids, and the faults of its attempts, one after another."""
        size, draw, rarer = self.sizes[name], random.Random(name), COMPOSED.get(name, 1)
        windows = self.windows(name)
        for kind, (kinds, *_) in KINDS.items():
            at_these = windows[kinds][:: STRIDES.get(kind, 1) * (rarer if len(windows[kinds]) > FEW else 1)]
            for at in at_these if kind else []:
                yield f"{name}/{kind}/{at}", [Fault(kind, at), *self.further(windows, draw)]
        for kind, number in RANDOM.items():
            for at in range(number // rarer):
                moments = [draw.uniform(0.01, size.seconds) for _ in range(4)]
                faults = [Fault(kind, seconds=moment, every=draw.choice((0, 1, 2))) for moment in moments]
                yield f"{name}/{kind} at random/{at}", faults
        for at in range(30 // rarer if size.peak else 0):
            yield f"{name}/out of memory/{at}", [Fault("memory", memory=draw.randint(1, size.peak)) for _ in range(3)]
        for at in range(16 // rarer):
            jumps = [draw.choice((1, 3600, 40 * DAY, -DAY)) for _ in range(3)]
            yield f"{name}/clock jumps/{at}", [Fault("SIGKILL", draw.randint(1, size.count), jumps=j) for j in jumps]
        for kind in FOLDERS if name != "report" else FOLDERS[:1]:
            for at in range(16 // rarer):
                yield f"{name}/{kind}/{at}", [Fault("SIGKILL", draw.randint(1, size.count), every=1)]

    def further(self, windows: dict[int, list[int]], draw: random.Random) -> list[Fault]:
        """Faults while a run is continued: of any kind, more often early than late, with state that is saved less."""
        kinds = draw.choices([kind for kind in KINDS if kind], k=draw.randint(1, FURTHER))
        return [
            Fault(kind, round(windows[KINDS[kind][0]][-1] ** draw.random()), every=draw.choice((0, 1, 1, 2)))
            for kind in kinds
        ]

    def windows(self, name: str) -> dict[int, list[int]]:
        """By the kinds of changes that a fault may be at, the numbers of those that differ from the change before.

        Further writes to the same file are left out: a kill between them leaves the same file, half-written.
        """
        trace = (self.scratch / f"{name}-2/trace").read_text()
        changes = [line.partition(" ")[::2] for line in trace.splitlines()]
        found: dict[int, list[int]] = {}
        for kinds, *_ in KINDS.values():
            these = [change for change in changes if int(change[0]) & kinds]
            found[kinds] = [at for at, change in enumerate(these, start=1) if at == 1 or change != these[at - 2]]
        return found

    def trial(self, id: str, faults: Sequence[Fault]) -> Trial:
        """Do one trial in a new folder."""
        name, kind, _ = id.split("/")
        trial, draw = Trial(id), random.Random(id)
        folder = cases.new_folder(name, self.inputs, self.scratch / "trial")
        argv = cases.command(name)
        try:
            if kind == "two processes":
                self._two(trial, name, folder, draw)
            for fault in faults:
                ended = self.forks.run(argv, folder, fault)
                if kind == "clock jumps":
                    self._touch(folder / cases.RUN, draw)
                if self._judge(trial, name, folder, fault, ended):
                    break
                argv = self._next(argv, folder, ended)
            if kind in FOLDERS[1:]:
                self._elsewhere(trial, kind, folder, argv, draw)
            else:
                self._finish(trial, name, folder, argv)
        except TimeoutError as error:
            trial.problems.append(str(error))
        return trial

    def _judge(self, trial: Trial, name: str, folder: Path, fault: Fault, ended: Ended) -> bool:
        """Count what an attempt did, and look at what it left; whether it has come to its end."""
        if ended.code == 0:
            trial.survived += bool(ended.fired)
            return True
        out = folder / cases.RUN
        trial.kills.append(f"{fault.kind} {ended.where}".strip())
        trial.files += sum(1 for _ in cases.files(out))
        trial.half += cases.half_written(out, self.whole[name])
        if KINDS.get(fault.kind, (0, 0, 0))[2] and ended.code != 2:
            trial.problems.append(f"{fault.kind} {ended.where}: ended with {ended.code}, {ended.said}")
        if fault.kind == "memory" and ended.code == 1:
            trial.problems.append(f"out of memory: {ended.said}")
        if fault.kind in ("SIGTERM", "SIGINT") and ended.code != 130 and not ended.where.startswith("after"):
            trial.problems.append(f"{fault.kind} {ended.where}: ended with {ended.code}, {ended.said}")
        return False

    def _next(self, argv: list[str], folder: Path, ended: Ended) -> list[str]:
        """The command that the program names: in its last line, or if it had no time for one in the record."""
        if said := SAYS.search(ended.said):
            return shlex.split(said[1])[1:]
        if argv[0] == "report":  # whose record is that of the run that it shows
            return argv
        try:
            return shlex.split(json.loads((folder / cases.RUN / "record.json").read_text())["command"])[1:] or argv
        except (OSError, ValueError):
            return argv

    def _finish(self, trial: Trial, name: str, folder: Path, argv: list[str], was: str = "") -> None:
        """Continue to the end without faults, and compare with the unbroken run."""
        ended = self.forks.run(argv, folder)
        if ended.code:
            trial.problems.append(f"does not continue: {shlex.join(argv)}: {ended.code}, {ended.said}")
            return
        out = folder / (was or cases.RUN)
        trial.different += cases.differences(cases.content(out, was, cases.RUN), self.whole[name])

    def _touch(self, out: Path, draw: random.Random) -> None:
        """Give files times in any order, as a copy or a clock that jumps does."""
        for _, path in cases.files(out):
            moment = time.time() + draw.uniform(-40, 40) * DAY
            os.utime(path, (moment, moment))

    def _two(self, trial: Trial, name: str, folder: Path, draw: random.Random) -> None:
        """Two processes on one folder at a time, one of which is killed, until one of them has come to its end."""
        for _ in range(MOST):
            argv = cases.command(name)
            pids = [self.forks.start(argv, folder, said="said-1")]
            time.sleep(draw.choice((0.0, 0.02, 0.1)))
            pids.append(self.forks.start(argv, folder, said="said-2"))
            moment = draw.uniform(0.01, 2 * self.sizes[name].seconds)
            victim = draw.randint(0, 1)
            codes = [0, 0]
            codes[victim] = self.forks.wait(pids[victim], Fault("SIGKILL", seconds=moment))
            codes[1 - victim] = self.forks.wait(pids[1 - victim])
            for number, code in enumerate(codes, start=1):
                said = (folder / f"said-{number}").read_text().strip().splitlines() or [""]
                if code == 2 and "is in use by process" in said[-1]:
                    trial.refused += 1
                elif code == -9:
                    trial.kills.append("SIGKILL of one of two processes")
                elif code:
                    trial.problems.append(f"one of two processes ended with {code}: {said[-1]}")
            trial.half += cases.half_written(folder / cases.RUN, self.whole[name])
            if 0 in codes:
                return

    def _elsewhere(self, trial: Trial, kind: str, folder: Path, argv: list[str], draw: random.Random) -> None:
        """Continue the run where it has been moved or copied to; of a half-copied one the files that came last lack."""
        name = trial.id.split("/")[0]
        out, new = folder / cases.RUN, folder / "run-elsewhere"
        if not out.exists():  # killed before there was anything to move
            return self._finish(trial, name, folder, argv)
        if kind == "moved" and draw.random() < 0.5:  # with all that is around it
            there = folder.with_name("trial-moved")
            shutil.rmtree(there, ignore_errors=True)
            folder.rename(there)
            return self._finish(trial, name, there, argv)
        shutil.move(out, new) if kind == "moved" else shutil.copytree(out, new)
        if kind == "half-copied":
            self._cut(new, draw)
            if cases.is_finished(new):  # its verb only reads the result; test_tampered_runs has what other readers say
                trial.refused += 1
                return None
            ended = self.forks.run([new.name if word == cases.RUN else word for word in argv], folder)
            if ended.code == 2:
                trial.refused += 1
                return None
            if ended.code:
                trial.problems.append(f"half-copied: ended with {ended.code}, {ended.said}")
        if kind != "moved":
            self._finish(trial, name, folder, argv)
        return self._finish(trial, name, folder, [new.name if word == cases.RUN else word for word in argv], new.name)

    def _cut(self, folder: Path, draw: random.Random) -> None:
        """Leave the first files of a folder, in one of the orders in which programs copy, the last of them cut off."""
        listed = sorted(path for path in folder.rglob("*") if path.is_file())
        if draw.random() < 0.5:
            draw.shuffle(listed)
        if not listed:  # killed before its first file
            return
        kept = draw.randint(0, len(listed) - 1)
        for path in listed[kept + 1 :]:
            path.unlink()
        data = listed[kept].read_bytes()
        listed[kept].write_bytes(data[: draw.randint(0, max(0, len(data) - 1))])


def write_in_place(path: Path, fill: Callable[[Path], object]) -> None:
    """A write that is not atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fill(path)


def plant_write_in_place() -> None:
    from rlready.runs import files

    files._write_file = write_in_place


def plant_skipped_step() -> None:
    from rlready.train.checkpointer import Checkpointer

    def restore(self: Checkpointer, fresh: S, real: Callable[[Checkpointer, S], S] = Checkpointer.restore) -> S:
        state = real(self, fresh)
        state.step += state.step > 0  # type: ignore[attr-defined]
        return state

    Checkpointer.restore = restore  # type: ignore[method-assign, assignment]


def plant_lost_optimiser() -> None:
    import torch

    torch.optim.AdamW.load_state_dict = lambda self, state: None  # type: ignore[method-assign]


def plant_repeated_log() -> None:
    from rlready.train.checkpointer import Checkpointer

    Checkpointer.restore_log = lambda *_: None  # type: ignore[method-assign]


PLANTS = (plant_write_in_place, plant_skipped_step, plant_lost_optimiser, plant_repeated_log)


def check_plants(torture: Torture) -> Iterator[Trial]:
    """For every planted loss whether it is found; kills in the windows of an SFT run are tried until one finds it."""
    windows = torture.windows("sft")[ALL]
    half = len(windows) // 2
    for plant in PLANTS:
        torture.forks.plant = plant
        trials = (torture.trial(f"sft/{at}/0", [Fault(TORN, at)]) for at in [*windows[half::3], *windows[:half:3]])
        found = any(trial.found for trial in trials)
        yield Trial(f"planted/{plant.__name__.removeprefix('plant_')}/0", survived=int(found))
    torture.forks.plant = None


def read_journal(path: Path) -> dict[str, Trial]:
    """The last line of every trial."""
    lines = path.read_text().splitlines() if path.exists() else []
    trials = [Trial(**json.loads(line)) for line in lines if line.endswith("}")]
    return {trial.id: trial for trial in trials}


def fairly(trials: Sequence[tuple[str, list[Fault]]]) -> Iterator[tuple[str, list[Fault]]]:
    """The trials in an order in which every verb gets the same time, as long as it has any left."""
    spent: dict[str, float] = {}
    waiting: dict[str, list[tuple[str, list[Fault]]]] = {}
    for trial in reversed(trials):
        waiting.setdefault(trial[0].partition("/")[0], []).append(trial)
    while waiting:
        name = min(waiting, key=lambda name: spent.get(name, 0.0))
        began = time.monotonic()
        yield waiting[name].pop()
        spent[name] = spent.get(name, 0.0) + time.monotonic() - began
        if not waiting[name]:
            del waiting[name]


def main() -> int:
    """Returns the exit code: 1 if a trial has found something, or a planted loss is not found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--journal", type=Path, default=Path("runs/torture/journal.jsonl"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", default="", help="a pattern that the ids of the trials match")
    parser.add_argument("--most", type=int, help="how many trials, in an order that does not depend on their time")
    options = parser.parse_args()
    began = time.monotonic()
    options.journal = options.journal.absolute()  # trials change the working folder
    options.journal.parent.mkdir(parents=True, exist_ok=True)
    verb = options.only.partition("/")[0]
    names = [name for name in cases.CASES if re.search(verb, name)]
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        torture = Torture(Path(scratch), names)
        trials = [trial for name in names for trial in torture.plan(name) if re.search(options.only, trial[0])]
        random.Random(0).shuffle(trials)
        done = read_journal(options.journal)
        left = [trial for trial in trials if trial[0] not in done or done[trial[0]].found]
        print(f"{len(trials)} trials, {len(left)} to do; began after {time.monotonic() - began:.0f} s", flush=True)
        with options.journal.open("a") as journal:
            planned = re.sub(r"\W", "", verb) or "all"
            journal.write(json.dumps(asdict(Trial(f"planned/{planned}/0", survived=len(trials)))) + "\n")
            for planted in check_plants(torture) if "sft" in names else []:
                if not planted.survived:
                    print(f"{planted.id}: not found", flush=True)
                    return 1
                journal.write(json.dumps(asdict(planted)) + "\n")
            for id, faults in left[: options.most] if options.most else fairly(left):
                at = time.monotonic()
                if at - began > 60 * options.minutes:
                    break
                trial = torture.trial(id, faults)
                trial.seconds = time.monotonic() - at
                journal.write(json.dumps(asdict(trial)) + "\n")
                journal.flush()
                for line in trial.found[:4]:
                    print(f"{id}: {line}", flush=True)
    return int(any(trial.found for trial in read_journal(options.journal).values()))


if __name__ == "__main__":
    folder = restart_with_faults(sys.argv)
    try:
        sys.exit(main())
    finally:
        shutil.rmtree(folder)
