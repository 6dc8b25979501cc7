"""What runs of RL and of readiness have taken so far, as a measure of what the next one will."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rlready.core.cells import rough_time
from rlready.predict.outcome import Outcome
from rlready.runs.record import RunRecord


@dataclass(frozen=True)
class Effort:
    """What it has taken: ``seconds`` of GPUs or of CPUs, as ``processor`` says, and generated ``tokens``."""

    seconds: float
    tokens: float
    processor: str

    @staticmethod
    def of_each(record: RunRecord, n: int) -> Effort | None:
        """That of each of ``n`` equal parts of a run; None if the run itself has generated nothing."""
        tokens, seconds = record.counts.get("generated", 0), cost_of(record)
        return Effort(seconds / n, tokens / n, _processor(record)) if n and tokens and seconds else None


def effort_of(parts: Sequence[Effort | None], times: int) -> str:
    """What these parts take together, so many times, in words; "" if one is not known, or if they are not alike."""
    known = [part for part in parts if part]
    kinds = {part.processor for part in known}
    if len(known) < len(parts) or len(kinds) != 1:
        return ""
    seconds, tokens = (times * sum(getattr(part, name) for part in known) for name in ("seconds", "tokens"))
    return f"{rough_time(seconds)} of {kinds.pop()} time and {_two_digits(tokens)} generated tokens"


def cost_of(record: RunRecord) -> float:
    """GPU seconds if the run used a GPU, otherwise CPU seconds."""
    return record.seconds * record.gpus_used or record.cpu_seconds


def run_cost(outcomes: Iterable[Outcome]) -> str:
    """``52 min to 1.5 h of CPU time and 630,000 generated tokens`` a run; "" where neither is known.

    Tokens, and whether the time is that of GPUs, are in the records of runs that are at hand.
    """
    some = list(outcomes)
    seconds = [outcome.cost for outcome in some if outcome.cost]
    records = [record for each in some for run in each.runs if (record := RunRecord.load(run)).verb == "rl"]
    tokens = [count for record in records if (count := record.counts.get("generated"))]
    kinds = {_processor(record) for record in records}
    kind = kinds.pop() if len(kinds) == 1 and len(records) == len(some) else "GPU or CPU"
    said = [f"{_span(seconds, rough_time)} of {kind} time"] if seconds else []
    return " and ".join([*said, *([f"{_span(tokens, _two_digits)} generated tokens"] if tokens else [])])


def _processor(record: RunRecord) -> str:
    return "GPU" if record.gpus_used else "CPU"


def _span(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """The least and the largest value, or one where they read the same."""
    return " to ".join(dict.fromkeys(map(shown, (min(values), max(values)))))


def _two_digits(count: float) -> str:
    return f"{float(f'{count:.2g}'):,.0f}"
