"""The page of what happens to runs that are killed, and of a run that goes on for long: `python evidence/trust/run.py`.

`make torture` and `make soak` measure, see tests/torture; this script sums their journals up in trials.json and writes
the page.  ``--page`` only writes the page again; ``--checkpoints`` tries damaged checkpoint folders first; ``--trials
JOURNAL`` replaces the trials alone by those of a journal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlready.report.claims import Claim, write_claims
from rlready.runs.files import read_json, write_json
from rlready.runs.provenance import revision

HERE = Path(__file__).parent
JOURNAL, SOAK = Path("runs/torture/journal.jsonl"), Path("runs/soak/lines.jsonl")
STORED = "trials.json"
FOLDERS = 2117  # damaged checkpoint folders: as many as before an endless chat template was found among them
FROM = 500  # step from which memory must not grow
COLUMNS = {
    "SIGKILL": ("SIGKILL",),
    "SIGTERM, SIGINT": ("SIGTERM", "SIGINT"),
    "disk full": ("disk full",),
    "read-only": ("read-only",),
    "a call fails": ("write fails", "rename fails", "fsync fails", "remove fails"),
    "no memory": ("memory",),
}


def trials_of(journal: Path) -> dict[str, Any]:
    """By verb, how often runs ended and how, and what was found; the planted losses."""
    trials = {trial["id"]: trial for trial in map(json.loads, journal.read_text().splitlines())}
    verbs: dict[str, Counter[str]] = {}
    kinds: Counter[str] = Counter()
    planted = {name.split("/")[1]: trial["survived"] for name, trial in trials.items() if name.startswith("planted/")}
    found = []
    for name, trial in trials.items():
        verb, kind, _ = name.split("/")
        if verb in ("planted", "planned"):
            continue
        counts = verbs.setdefault(verb, Counter())
        kinds[kind] += 1
        counts.update(trials=1, files=trial["files"], survived=trial["survived"], refused=trial["refused"])
        for kill in trial["kills"]:
            counts[next(column for column, starts in COLUMNS.items() if kill.startswith(starts))] += 1
        for what in ("half", "different", "problems"):
            counts[what] += len(trial[what])
            found += [f"{name}: {each}" for each in trial[what]]
    return {
        "verbs": verbs,
        "kinds": kinds,
        "planted": planted,
        "planned": sum(trial["survived"] for name, trial in trials.items() if name.startswith("planned/")),
        "found": found,
        "seconds": sum(trial["seconds"] for trial in trials.values()),
        "date": today(),
    }


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def damaged_folders() -> dict[str, Any]:
    """What became of damaged checkpoint folders; CalledProcessError if one is not refused or loaded as it should be."""
    at = revision()
    with TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        command = [sys.executable, "-m", "pytest", "-q", "tests/test_checkpoint_fuzz.py"]
        subprocess.run(command, env=os.environ | {"FUZZ_FOLDERS": str(FOLDERS), "FUZZ_OUT": str(counts)}, check=True)
        done = {"date": today(), "commit": at.commit[:7] if at else "unknown"}
        return dict(read_json(counts)) | done


def report(stored: dict[str, Any], seconds: float | None) -> None:
    """Write the page; ``seconds`` as in `write_claims`."""
    total: Counter[str] = Counter()
    for counts in stored["verbs"].values():
        total.update(counts)
    kills = sum(total[column] for column in COLUMNS)
    grown, steps = growth(stored["soak"]), stored["soak"][-1]["step"]
    files, found = total["files"], len(stored["planted"])
    inputs = stored["fuzz"]["total"]
    bad, folders = sum(inputs[kind] for kind in BAD), stored["checkpoints"]
    claims = [
        count(
            "strikes by a kill or a fault, after which a run was continued, went on or was refused",
            kills,
            kills,
            "strikes",
            ">= 1000",
        ),
        count("files that differ from those of an unbroken run", total["different"], total["trials"], "trials", "== 0"),
        count("half-written files under their final names", total["half"], files, "files", "== 0"),
        count("runs without a clear end, or that do not continue", total["problems"], kills, "strikes", "== 0"),
        count("planted losses that are found", sum(stored["planted"].values()), found, "losses", f"== {found}"),
        count(f"growth of memory from step {FROM} to step {steps} of RL", grown, steps, "steps", "< 0.01"),
        count("odd inputs that were tried", inputs["tried"], inputs["tried"], "inputs", ">= 10000"),
        count(
            "tracebacks, warnings of libraries, hangs or numbers without meaning",
            bad,
            inputs["tried"],
            "inputs",
            "== 0",
        ),
        count(
            "damaged checkpoint folders that load with other weights, or without one clear line hang or fail",
            folders["tried"] - folders["accepted"] - folders["refused"],
            folders["tried"],
            "folders",
            "== 0",
        ),
    ]
    write_claims(HERE, command="make torture soak fuzz", seconds=seconds, claims=claims, words=page(stored, total))


def count(claim: str, value: float, n: int, varies: str, target: str) -> Claim:
    return Claim.exact(claim, value, varies, target, n=n)


def growth(soak: list[dict[str, Any]], first: int = FROM) -> float:
    """The largest memory after step ``first`` over that at it, minus 1."""
    memory = [line["memory_bytes"] for line in soak if line["step"] >= first]
    return float(max(memory) / memory[0] - 1)


def page(stored: dict[str, Any], total: Counter[str]) -> str:
    head = ["verb", "trials", *COLUMNS, "went on", "refused", "files read", "half", "different", "other"]
    keys = ["trials", *COLUMNS, "survived", "refused", "files", "half", "different", "problems"]
    verbs = {**stored["verbs"], "all": total}
    rows = [[verb, *(f"{counts.get(key, 0):,}" for key in keys)] for verb, counts in verbs.items()]
    soak = [line for line in stored["soak"] if line["step"] in (100, FROM) or not line["step"] % 1000]
    kinds = {**stored["fuzz"]["kinds"], "all": stored["fuzz"]["total"]}
    fuzz = [[kind, *(f"{n[key]:,}" for key in ("tried", "accepted", "refused", *BAD))] for kind, n in kinds.items()]
    folders, strikes = stored["checkpoints"], sum(total.get(key, 0) for key in COLUMNS)
    clean = "In the trials of this table nothing was found."
    listed = "\n".join(f"- {line}" for line in stored["found"]) or clean
    return f"""# Runs that are killed, and runs that go on for long

## Killed runs

Every verb is run on the embedded model, with settings so small that a run takes a second. At a change of a file (a file
is opened, written, synced, renamed or removed; a folder is made) the process is killed, half a write is done, or the
disk fails: from then on it is full or read-only, or one call fails. Other trials kill it at a random moment, take its
memory away, let the clock jump by days, start two processes on one folder, or move, copy or half copy the folder. The
run is then continued with the command that it has printed or recorded, is mostly broken off again, several times, and
in the end compared with a run that nothing has disturbed: weights, tables, results, logs and pages must be the same,
byte for byte or, where a file holds times, but for these. After every kill each file under its final name is read:
it must be whole.

The changes are counted below Python, by a library that is loaded before the others, so that the writes of torch,
safetensors and Arrow count too. A kill is planned at each of them, save those that only write on in the same file, and
nine in ten of those of `sweep` and `demo`, which call the other verbs. Of {stored["planned"]:,} trials that are planned
{total["trials"]:,} were done, in random order, in {stored["seconds"] / 60:.0f} minutes, which is the time at
the end of this page; that of the long run and of the odd inputs below was not kept. On average a
run was struck {strikes / total["trials"]:.1f} times in a trial.

{table([head, *rows])}

*Went on*: the run came to its end in spite of a fault. *Refused*: the folder was in use, or half of it was missing,
and the run said so and changed nothing; or half of a finished run was copied, which is not continued. *Half*:
half-written files; *different*: files that differ from the unbroken run's; *other*: runs that did not continue, or
ended without a clear line.

{listed}

The trials of the table were done on the revisions of one day, {stored["date"]}. Earlier rounds had found, among
others: a job of a sweep kept its state if the last deletion had failed; a demo that was stopped after the result of
its RL run, and before its record, left a viewer of samples; half a copy of a folder went on beside a checkpoint
without its tokenizer; an export that was killed in a write, and then moved, did not go on; a finished run of `inject`
whose rows were cut was taken for whole; and a run without memory for a new thread waited for ever.

Losses that were planted to test the test, such as a write that is not atomic, a step that is skipped, an optimiser that
is not restored: {sum(stored["planted"].values())} of {len(stored["planted"])} are found.

What it does not show: a kill keeps what the operating system has taken, a power cut may not. That files are synced
before they are renamed is only tested by calls of fsync that fail.

## A long run

One process takes {stored["soak"][-1]["step"]:,} steps of RL with 2 groups of 2 responses of at most 4 tokens.

{table([SOAK_HEAD, *map(soak_row, soak)])}

Disk is that of the run folder: a checkpoint every 1,000 steps, and the rollouts. *Page* is the CPU time of the page of
the run so far, *log* the time of writing a line. Step {FROM}, from which growth
is counted, was chosen beforehand; it is a local peak, and from step {FROM + 100} memory grows by
{growth(stored["soak"], FROM + 100):.1%}, in steps of about 2 MB after each checkpoint. An earlier run of that day had
grown by 5 %, because what was read of
tables was only freed with Python's garbage.

## Odd inputs

Files, words of the command line and settings are made by hypothesis, from valid ones to nonsense, and given to the
commands in forked children with 10 s of CPU time and 3 GiB of memory each. An input is *refused* by one line and exit
code 2; what is *accepted* is compared with a plain reading of the same file. Kinds were run one after another while the
last faults were being fixed, each after the fixes of its own.

{table([["kind", "tried", "accepted", "refused", *BAD], *fuzz])}

## Damaged checkpoint folders

A file of a model, a model in shards or a LoRA adapter is cut, replaced, removed or changed at random: one bit of it,
one value of its JSON, or one tensor. Of {folders["tried"]:,} folders {folders["accepted"]:,} load with exactly the
weights that their files hold, and {folders["refused"]:,} are refused in one line that names them, each within 10
seconds ({folders["date"]}, at revision {folders["commit"]}, which was rewritten before it came here: `python
evidence/trust/run.py --checkpoints`).
"""


BAD = ["traceback", "warning", "hang", "nonsense"]


SOAK_HEAD = ["step", "memory (MB)", "open handles", "disk (MB)", "page (s)", "log (ms)", "step (ms)"]


def soak_row(line: dict[str, Any]) -> list[str]:
    memory, disk = line["memory_bytes"] / 1e6, line["disk_bytes"] / 1e6
    times = f"{line['page_seconds']:.2f}", f"{1e3 * line['log_seconds']:.2f}", f"{1e3 * line['step_seconds']:.0f}"
    return [f"{line['step']:,}", f"{memory:.1f}", f"{line['handles']}", f"{disk:.1f}", *times]


def table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main() -> None:
    if "--page" in sys.argv:
        return report(read_json(HERE / STORED), None)
    if "--checkpoints" in sys.argv:
        stored = read_json(HERE / STORED) | {"checkpoints": damaged_folders()}
        write_json(HERE / STORED, stored)
        return report(stored, None)
    if "--trials" in sys.argv:
        kept = {key: read_json(HERE / STORED)[key] for key in ("checkpoints", "fuzz", "soak")}
        stored = json.loads(json.dumps(kept | trials_of(Path(sys.argv[sys.argv.index("--trials") + 1]))))
        write_json(HERE / STORED, stored)
        return report(stored, stored["seconds"])
    stored = {"checkpoints": read_json(HERE / STORED)["checkpoints"], "fuzz": read_json(HERE / "fuzz.json")}
    stored |= trials_of(JOURNAL) | {"soak": [json.loads(line) for line in SOAK.read_text().splitlines()]}
    write_json(HERE / STORED, stored)
    return report(json.loads(json.dumps(stored)), stored["seconds"])


if __name__ == "__main__":
    main()
