"""The table a sweep ends with, ``runs.jsonl``: a line for each RL run that was evaluated, as ``predict`` reads it.

checkpoint   where RL started           outcome, low, high, n   accuracy at the largest budget, interval over problems
recipe       SFT recipe without seed    cost                    seconds of RL: of GPU where there was one, else of CPU
family       runs to be compared        seed                    of RL
sft, rl      names of the runs          readiness, run, evaluate   folders beside the table
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlready.predict.outcomes import RUNS, cost_of
from rlready.runs.files import plain, read_json, write_text
from rlready.runs.run import RECORD, RESULT
from rlready.sweep.jobs import Chain


def write_runs(out: Path, chains: Sequence[Chain], done: set[str]) -> list[dict[str, Any]]:
    """Write and return the lines of the chains whose last job is done."""
    several = len({chain.rl.recipe for chain in chains}) > 1
    rows = [_row(out, chain, several) for chain in chains if {chain.evaluate, chain.readiness} <= done]
    write_text(out / RUNS, "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows))
    return rows


def _row(out: Path, chain: Chain, several: bool) -> dict[str, Any]:
    record = read_json(out / chain.run / RECORD)
    evaluated = read_json(out / chain.evaluate / RESULT)
    accuracy = evaluated["budgets"][-1][evaluated["models"][0]]["accuracy"]
    return {
        "checkpoint": record["config"]["model"],
        "outcome": accuracy["value"],
        **{key: accuracy[key] for key in ("low", "high", "n", "varies")},
        "cost": cost_of(record),
        "seed": record["config"]["seed"],
        "recipe": chain.sft.recipe,
        "family": ", ".join(filter(None, [chain.sft.family, chain.rl.recipe if several else ""])),
        "sft": chain.sft.name,
        "rl": chain.rl.name,
        "readiness": chain.readiness,
        "run": chain.run,
        "evaluate": chain.evaluate,
    }
