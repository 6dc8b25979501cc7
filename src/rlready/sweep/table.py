"""The table of a sweep, ``runs.jsonl``, which ``predict`` reads: a line for each RL run whose outcome is known."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.evaluate.result import EvaluateResult
from rlready.export.noted import EXPORTS
from rlready.export.result import ExportResult
from rlready.predict.run_cost import cost_of
from rlready.runs.files import plain
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.sweep.elsewhere import Elsewhere
from rlready.sweep.jobs import Chain


@dataclass(frozen=True)
class RunRow:
    """One RL run from one checkpoint.

    ``checkpoint`` is where RL started, ``outcome`` the accuracy at the largest budget with its interval (``low``,
    ``high``), ``cost`` the GPU seconds of RL, or CPU seconds without a GPU.  ``recipe`` is the name of the SFT run
    without its seed, ``seed`` that of RL; runs of one ``family`` are compared with each other.  ``sft`` and ``rl`` are
    names of runs; ``readiness``, ``run`` and ``evaluate`` are folders, relative to the table.

    Where another tool has trained, ``run`` is the export, ``meaning`` says what the outcome is, and neither its
    interval nor its cost is known.
    """

    checkpoint: str
    outcome: float
    low: float
    high: float
    n: int
    varies: str
    cost: float | None
    seed: int
    recipe: str
    family: str
    sft: str
    rl: str
    readiness: str
    run: str
    evaluate: str
    meaning: str = ""

    @property
    def accuracy(self) -> Estimate:
        """The outcome with its interval over problems."""
        return Estimate(self.outcome, self.low, self.high, self.n, self.varies)


def rows_of(out: Path, chains: Sequence[Chain], done: set[str], elsewhere: Elsewhere) -> list[RunRow]:
    """The rows of the chains whose last job is done, and where another tool has trained, of those with an outcome."""
    several = len({chain.rl.recipe for chain in chains}) > 1
    kinds = {outcome.kind for outcome in elsewhere.outcomes.values()}
    rows = []
    for chain in chains:
        families = [chain.sft.family, chain.rl.recipe if several else ""]
        if {chain.evaluate, chain.readiness} <= done:
            rows.append(_row(out, chain, families))
        elif chain.readiness in done and chain.run in elsewhere.outcomes:
            kind = elsewhere.outcomes[chain.run].kind
            rows.append(_row_elsewhere(out, chain, [*families, kind if len(kinds) > 1 else ""], elsewhere))
    return rows


def as_text(rows: Sequence[RunRow]) -> str:
    """The content of the table."""
    return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)


def lost(table: Path, rows: Sequence[RunRow]) -> dict[str, object]:
    """The outcomes of other tools that a table has and the rows have not, by the key of their exports: they cannot be
    computed again."""
    before: list[dict[str, object]] = []
    with suppress(UserError):  # a damaged table is written anew
        before = read_log(table)
    kept = {row.run for row in rows}
    found = {str(row.get("run")): row.get("outcome") for row in before}
    return {key: outcome for key, outcome in found.items() if key.startswith(f"{EXPORTS}/") and key not in kept}


def _row(out: Path, chain: Chain, families: Sequence[str]) -> RunRow:
    record = RunRecord.load(out / chain.run)
    evaluated = EvaluateResult.load(out / chain.evaluate)
    accuracy = evaluated.budgets[-1].scores[evaluated.models[0]].accuracy
    return _of_chain(chain, families, record, accuracy, cost_of(record))


def _row_elsewhere(out: Path, chain: Chain, families: Sequence[str], elsewhere: Elsewhere) -> RunRow:
    record, exported = RunRecord.load(out / chain.run), ExportResult.load(out / chain.run)
    found = elsewhere.outcomes[chain.run]
    accuracy = Estimate(found.outcome, math.nan, math.nan, exported.validation_problems)
    row = _of_chain(chain, families, record, accuracy, None)
    return replace(row, meaning=f"{'' if found.curve else 'imported '}{found.kind} of {exported.tool}")


def _of_chain(
    chain: Chain, families: Sequence[str], record: RunRecord, outcome: Estimate, cost: float | None
) -> RunRow:
    return RunRow(
        checkpoint=str(record.config["model"]),
        outcome=outcome.value,
        low=outcome.low,
        high=outcome.high,
        n=outcome.n,
        varies=outcome.varies,
        cost=cost,
        seed=chain.rl.config.seed,
        recipe=chain.sft.recipe,
        family=", ".join(filter(None, families)),
        sft=chain.sft.name,
        rl=chain.rl.name,
        readiness=chain.readiness,
        run=chain.run,
        evaluate=chain.evaluate,
    )
