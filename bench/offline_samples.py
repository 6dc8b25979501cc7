"""Readiness from four tables of a million stored samples each: `python bench/offline_samples.py`.

A table has 1,000 samples of each of 1,000 problems, with their correctness, thought length and truncation, in Parquet.
The benchmark measures CPU seconds (user and system) and peak memory of the whole process, including imports and the
comparison of the checkpoints; and the same for one table of a million lines of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import Goal, Row, main

CPU = Goal("readiness from four tables of 1,000,000 stored samples each: CPU seconds of the process", "< 5")
MEMORY = Goal("the same: peak memory of the process, GiB", "< 1")
CODE = """
import json, resource, sys
from pathlib import Path
from rlready.core.config import ReadinessConfig
from rlready.readiness.stage import readiness
out, *tables = sys.argv[1:]
readiness(ReadinessConfig(checkpoints=tuple(tables), samples=64, group_size=8), Path(out))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20, "torch" in sys.modules]))
"""


def samples(problems: int, each: int, seed: int) -> pa.Table:
    """A table of samples of problems whose pass@1 follows Beta(1/2, 1)."""
    rng = np.random.default_rng(seed)
    problem = np.repeat(np.arange(problems), each)
    names = pa.array([f"problem-{i}" for i in range(problems)])
    return pa.table(
        {
            "problem_id": names.take(pa.array(problem)),
            "sample_id": np.tile(np.arange(each), problems),
            "correct": rng.random(len(problem)) < rng.beta(0.5, 1, problems)[problem],
            "thinking_tokens": rng.integers(20, 2000, len(problem)),
            "truncated": rng.random(len(problem)) < 0.1,
        }
    )


def measured(out: Path, tables: list[Path]) -> tuple[float, float]:
    """CPU seconds and peak GiB of a process that measures these tables; RuntimeError if it imports torch."""
    words = [sys.executable, "-c", CODE, str(out), *map(str, tables)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, memory, torch = json.loads(done.stdout.splitlines()[-1])
    if torch:
        raise RuntimeError("readiness from tables alone imports torch")
    return seconds, memory


def run(quick: bool) -> list[Row]:
    problems, each, rounds = (20, 100, 1) if quick else (1000, 1000, 3)
    with TemporaryDirectory() as name:
        folder = Path(name)
        tables = [folder / f"step-{i}.parquet" for i in range(4)]
        for seed, path in enumerate(tables):
            pq.write_table(samples(problems, each, seed), path, compression="zstd")
        lines = folder / "one.jsonl"
        with lines.open("w", encoding="utf-8") as file:
            for batch in samples(problems, each, 0).to_batches(max_chunksize=10_000):
                file.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
        found = [measured(folder / f"run-{i}", tables) for i in range(rounds)]
        seconds, memory = measured(folder / "run-jsonl", [lines])
    beside = {"samples": 4 * problems * each, "jsonl_of_one_cpu_seconds": seconds, "jsonl_of_one_gib": memory}
    return [
        CPU.row([cpu for cpu, _ in found], varies="runs", **beside),
        MEMORY.row([peak for _, peak in found], varies="runs"),
    ]


if __name__ == "__main__":
    main([CPU, MEMORY], run)
