"""What runs of RL have taken so far, as a measure of what the next one will."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rlready.core.cells import rough_time
from rlready.predict.outcome import Outcome
from rlready.runs.record import RunRecord


def run_cost(outcomes: Iterable[Outcome]) -> str:
    """``52 min to 1.5 h of CPU time and 630,000 generated tokens`` a run; "" where neither is known.

    Tokens, and whether the time is that of GPUs, are in the records of runs that are at hand.
    """
    some = list(outcomes)
    seconds = [outcome.cost for outcome in some if outcome.cost]
    records = [record for each in some for run in each.runs if (record := RunRecord.load(run)).verb == "rl"]
    tokens = [count for record in records if (count := record.counts.get("generated"))]
    kinds = {"GPU" if record.accelerators else "CPU" for record in records}
    kind = kinds.pop() if len(kinds) == 1 and len(records) == len(some) else "GPU or CPU"
    said = [f"{_span(seconds, rough_time)} of {kind} time"] if seconds else []
    return " and ".join([*said, *([f"{_span(tokens, _two_digits)} generated tokens"] if tokens else [])])


def _span(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """The least and the largest value, or one where they read the same."""
    return " to ".join(dict.fromkeys(map(shown, (min(values), max(values)))))


def _two_digits(count: float) -> str:
    return f"{float(f'{count:.2g}'):,.0f}"
