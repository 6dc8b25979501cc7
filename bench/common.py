"""Shared by the benchmarks: two sides timed in turn, the ratio with its range, one row per claim.

Every file here measures one claim and runs alone: ``python bench/NAME.py`` (``--quick`` only checks that it runs, with
tiny sizes).  A round runs rlready and its peer one right after the other and gives one ratio; a machine that is slow
for a while slows both.  A row's value is the median ratio of the rounds after warm-up, low and high are
the smallest and the largest.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rlready  # noqa: F401  before torch: it sets how idle threads wait
from rlready.report.claims import Claim

MODELS = Path("runs")
SMOLLM2 = MODELS / "smollm2"
LR = 1e-6  # so small that the policy, and with it the work of a step, does not change
Row = dict[str, Any]


class Missing(Exception):
    """Something a claim needs is not there; its row says what, and has no number."""


@dataclass(frozen=True)
class Goal:
    """A claim before it is measured; ``target`` as in ``Claim``."""

    claim: str
    target: str

    def row(self, values: Sequence[float], *, varies: str = "rounds", **details: Any) -> Row:
        """The median of the values, their range, and further details."""
        middle = statistics.median(values)
        claim = Claim(self.claim, middle, min(values), max(values), len(values), varies, self.target)
        return claim.stored() | {"details": details}

    def missing(self, why: str) -> Row:
        row: Row = dict.fromkeys(("value", "low", "high", "met", "verdict"))
        return {"claim": self.claim, **row, "n": 0, "varies": "", "target": self.target, "details": {"missing": why}}


@dataclass(frozen=True)
class Lap:
    """One side's part of a round; ``work`` in tokens."""

    seconds: float
    work: float


class Duel:
    """Two sides' laps, round by round; the first ``warm`` rounds do not count."""

    def __init__(self, *, warm: int = 1, tolerance: float = 0.02) -> None:
        self.warm, self.tolerance = warm, tolerance
        self._laps: dict[str, list[Lap]] = {"ours": [], "theirs": []}

    def run(self, side: str, call: Callable[[], float]) -> None:
        """Time a call that returns the work it did."""
        self.add(side, timed(call))

    def add(self, side: str, lap: Lap) -> None:
        self._laps[side].append(lap)
        print(f"  {side:6} {lap.seconds:8.2f} s, {lap.work:.0f} tokens", file=sys.stderr)

    def laps(self, side: str) -> list[Lap]:
        return self._laps[side][self.warm :]

    def ratios(self) -> list[float]:
        """Per round, the peer's seconds per token over rlready's; RuntimeError if their work differs too much."""
        done = [sum(lap.work for lap in self.laps(side)) for side in ("ours", "theirs")]
        if abs(done[0] / done[1] - 1) > self.tolerance:
            raise RuntimeError(f"not the same work: {done[0]:.0f} and {done[1]:.0f} tokens")
        pairs = zip(self.laps("ours"), self.laps("theirs"), strict=True)
        return [(b.seconds / b.work) / (a.seconds / a.work) for a, b in pairs]

    def details(self) -> dict[str, Any]:
        """Each side's median seconds and tokens of a round, and the ratio of the seconds alone."""
        pairs = zip(self.laps("ours"), self.laps("theirs"), strict=True)
        found: dict[str, Any] = {"ratio_of_seconds": statistics.median(b.seconds / a.seconds for a, b in pairs)}
        for side in ("ours", "theirs"):
            found[f"{side}_seconds"] = statistics.median(lap.seconds for lap in self.laps(side))
            found[f"{side}_tokens"] = statistics.median(lap.work for lap in self.laps(side))
        return found


def at_peak(ratio: float, seconds: float, gigaflop: float) -> float:
    """The ratio if rlready's side takes only its matrix products at the GEMM peak of torch, and no other time."""
    from rlready.core.timing import gemm_peak

    return ratio * seconds / (gigaflop / gemm_peak(2048))


def timed(call: Callable[[], float]) -> Lap:
    gc.collect()
    begun = time.perf_counter()
    work = call()
    return Lap(time.perf_counter() - begun, work)


def needs(*packages: str) -> None:
    """Missing unless the packages are installed."""
    absent = [p for p in packages if find_spec(p) is None]
    if absent:
        raise Missing(f"not installed: {', '.join(absent)} (pip install 'rlready[bench]')")


def smollm2() -> Path:
    """The folder that examples/smollm2.py makes."""
    if not (SMOLLM2 / "config.json").exists():
        raise Missing(f"{SMOLLM2} is missing: python examples/smollm2.py {SMOLLM2}")
    return SMOLLM2


def gsm8k() -> str:
    """GSM8K's training problems as a task source."""
    path = os.environ.get("RLREADY_GSM8K", "")
    if not path or not Path(path).exists():
        raise Missing("GSM8K is missing: name its file or folder in --gsm8k or RLREADY_GSM8K")
    return f"gsm8k:{path}?split=train" if Path(path).is_dir() else f"gsm8k:{path}"


def show(row: Row) -> str:
    if row["value"] is None:
        return f"{row['claim']}: {row['details']['missing']}"
    spread = f"{row['low']:.3g} to {row['high']:.3g}"
    return f"{row['claim']}: {row['value']:.3g} ({spread}), {row['target']}: {row['verdict']}"


def parse(description: str | None, names: Sequence[str] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    if names:
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run? its numbers mean nothing")
    parser.add_argument("--gsm8k", metavar="PATH", help="GSM8K's JSONL file or folder (also RLREADY_GSM8K)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the rows as JSON")
    words = parser.parse_args()
    if strange := [name for name in getattr(words, "names", []) if name not in names]:
        parser.error(f"no benchmark is called {strange[0]!r}; there are {', '.join(names)}")
    if words.gsm8k:
        os.environ["RLREADY_GSM8K"] = words.gsm8k
    return words


def main(goals: Sequence[Goal], run: Callable[[bool], list[Row]]) -> None:
    """The command line of one benchmark; exits with 1 if it fails, which its rows report."""
    words = parse(sys.modules["__main__"].__doc__)
    failed = False
    try:
        rows = run(words.quick)
    except Missing as why:
        rows = [goal.missing(str(why)) for goal in goals]
    except Exception as error:
        traceback.print_exc()
        failed, rows = True, [goal.missing(f"failed: {error}") for goal in goals]
    for row in rows:
        print(show(row), json.dumps(row["details"]))
    if words.out:
        words.out.write_text(json.dumps(rows), encoding="utf-8")
    sys.exit(failed)
