"""The long form, ``make fuzz``: thousands of inputs of every kind, counted by kind and outcome.

``python -m fuzz.run [--count N] [--kinds a,b] [--failures FILE] [--out FILE]``, with ``tests`` on the path.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}

from fuzz.fixtures import make_runs, make_tables
from fuzz.harness import FAILURES, run_cases
from fuzz.kinds import READERS, cases_of, kinds, warm

CHUNK = 200  # inputs between two writes of the failures


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz rlready.")
    parser.add_argument("--count", type=int, default=1000, help="inputs of each random kind")
    parser.add_argument("--kinds", default="", help="only these, separated by commas")
    parser.add_argument("--every", type=int, default=1, help="of the settings with nasty values, only one of so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--failures", type=Path, help="file that failing inputs are appended to, as the corpus has them"
    )
    parser.add_argument("--out", type=Path, help="file for the counts")
    given = parser.parse_args()
    warm()
    with tempfile.TemporaryDirectory(prefix="fuzz-fixtures-") as folder:
        make_tables(Path(folder))
        make_runs(Path(folder))
        counts = {}
        for kind in filter(None, given.kinds.split(",")) if given.kinds else kinds():
            begun = time.monotonic()
            cases = cases_of(kind, Path(folder), given.count, given.seed)
            cases = cases[:: given.every] if kind == "settings" else cases
            found = Counter[str]()
            for at in range(0, len(cases), CHUNK):
                some = cases[at : at + CHUNK]
                outcomes = run_cases(some, READERS)
                found.update(outcome.verdict for outcome in outcomes)
                for case, outcome in zip(some, outcomes, strict=True):
                    if outcome.verdict in FAILURES and given.failures:
                        with given.failures.open("a") as file:
                            file.write(json.dumps({"outcome": vars(outcome), "case": case.to_json()}) + "\n")
            counts[kind] = {"tried": len(cases)} | {v: found[v] for v in ("accepted", "refused", *FAILURES)}
            print(kind, counts[kind], f"{time.monotonic() - begun:.0f} s", flush=True)
            if given.out:
                _write(given.out, counts)


def _write(file: Path, counts: Mapping[str, Mapping[str, int]]) -> None:
    """The counts so far, beside those of other kinds that are in the file already."""
    kinds = (json.loads(file.read_text())["kinds"] if file.exists() else {}) | counts
    total = {key: sum(each[key] for each in kinds.values()) for key in next(iter(kinds.values()))}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"command": "make fuzz", "total": total, "kinds": kinds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
