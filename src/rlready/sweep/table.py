"""The table of a sweep, ``runs.jsonl``, which ``predict`` reads: a line for each RL run that was evaluated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlready.core.records import Estimate
from rlready.evaluate.result import EvaluateResult
from rlready.predict.outcomes import RUNS, cost_of
from rlready.runs.files import plain, write_text
from rlready.runs.record import RunRecord
from rlready.runs.run import Run
from rlready.sweep.jobs import Chain


@dataclass(frozen=True)
class RunRow:
    """One RL run from one checkpoint.

    ``checkpoint`` is where RL started, ``outcome`` the accuracy at the largest budget with its interval (``low``,
    ``high``), ``cost`` the GPU seconds of RL, or CPU seconds without a GPU.  ``recipe`` is the name of the SFT run
    without its seed, ``seed`` that of RL; runs of one ``family`` are compared with each other.  ``sft`` and ``rl`` are
    names of runs; ``readiness``, ``run`` and ``evaluate`` are folders, relative to the table.
    """

    checkpoint: str
    outcome: float
    low: float
    high: float
    n: int
    varies: str
    cost: float
    seed: int
    recipe: str
    family: str
    sft: str
    rl: str
    readiness: str
    run: str
    evaluate: str

    @property
    def accuracy(self) -> Estimate:
        """The outcome with its interval over problems."""
        return Estimate(self.outcome, self.low, self.high, self.n, self.varies)


def write_runs(run: Run, chains: Sequence[Chain], done: set[str]) -> list[RunRow]:
    """Write and return the rows of the chains whose last job is done."""
    several = len({chain.rl.recipe for chain in chains}) > 1
    rows = [_row(run.out, chain, several) for chain in chains if {chain.evaluate, chain.readiness} <= done]
    with run.writing(run.out / RUNS):
        write_text(run.out / RUNS, "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows))
    return rows


def _row(out: Path, chain: Chain, several: bool) -> RunRow:
    record = RunRecord.load(out / chain.run)
    evaluated = EvaluateResult.load(out / chain.evaluate)
    accuracy = evaluated.budgets[-1].scores[evaluated.models[0]].accuracy
    return RunRow(
        checkpoint=str(record.config["model"]),
        outcome=accuracy.value,
        low=accuracy.low,
        high=accuracy.high,
        n=accuracy.n,
        varies=accuracy.varies,
        cost=cost_of(record),
        seed=chain.rl.config.seed,
        recipe=chain.sft.recipe,
        family=", ".join(filter(None, [chain.sft.family, chain.rl.recipe if several else ""])),
        sft=chain.sft.name,
        rl=chain.rl.name,
        readiness=chain.readiness,
        run=chain.run,
        evaluate=chain.evaluate,
    )
