"""Readiness run folders without a model: simulated checkpoints whose chances of success are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from rlready.core.config import ReadinessConfig
from rlready.core.result import TaskRecord
from rlready.readiness.comparison import compare
from rlready.readiness.part import ExampleLosses, Part, Sampled, Vocabulary
from rlready.readiness.result import ProblemCounts, SampleStats
from rlready.runs import provenance
from rlready.runs.files import plain, write_json
from rlready.runs.record import DONE, Attempt, RunRecord

HELDOUT = "dagmath?ops=5&split=test&seed=2"
PROBLEMS = "dagmath?ops=5&asked=3&split=train&n=24&seed=6"
STARTS = count()


@dataclass(frozen=True)
class Simulated:
    """A checkpoint: its chance on every problem (P,), its loss on every held-out example, the rows it learned from."""

    name: str
    chances: NDArray[np.float64]
    loss: NDArray[np.float64]
    rows: str = "dagmath?ops=5&seed=1"
    vocabulary: str = "one"

    @property
    def pass_64(self) -> float:
        return float((1 - (1 - self.chances) ** 64).mean())


def checkpoint(name: str, *, reach: float, skill: float, seed: int, loss: float = 0.5, problems: int = 80) -> Simulated:
    """``reach``: share of problems it can solve at all; ``skill``: how often it solves those."""
    rng = np.random.default_rng(seed)
    able = np.arange(problems) < reach * problems  # problems differ in difficulty: the easy ones come first
    chances = np.where(able, rng.beta(20 * skill, 20 * (1 - skill), problems), 0.0)
    noise = np.random.default_rng(9).normal(0, 0.1, 120)  # examples differ alike for all: losses are paired
    return Simulated(name, chances, np.maximum(0.01, loss + noise + rng.normal(0, 0.01, 120)))


def write_readiness(folder: Path, found: Sequence[Simulated], *, samples: int = 64, seed: int = 0) -> Path:
    """A finished run folder, as readiness leaves it, of samples drawn with these chances."""
    config = ReadinessConfig(
        checkpoints=tuple(c.name for c in found),
        problems=PROBLEMS,
        heldout=HELDOUT,
        samples=samples,
        sampling="full",
        thinking_budget=64,
        max_answer_tokens=16,
    )
    ids = [f"problem-{i}" for i in range(len(found[0].chances))]
    parts = []
    for i, each in enumerate(found):
        correct = np.random.default_rng([seed, i]).binomial(samples, each.chances)
        counts = ProblemCounts(
            first=samples, cap=samples, since=[0] * len(ids), drawn=[samples] * len(ids), correct=correct.tolist()
        )
        parts.append(
            Part(
                name=each.name,
                model=each.name,
                problems=ids,
                heldout=ExampleLosses(nll=(20 * each.loss).tolist(), tokens=[20] * len(each.loss)),
                vocabulary=Vocabulary(model=found[0].name, tokens=99, digest=each.vocabulary),
                sampled=Sampled(counts=counts, stats=SampleStats(), samples=samples * len(ids), tokens=None),
                influence=None,
            )
        )
        run = Path(each.name).parent.parent
        if run.name and not (run / "record.json").exists():
            run.mkdir(parents=True, exist_ok=True)
            write_record(run, "sft", config={"rows": each.rows})
    return write_parts(folder, config, parts)


def write_parts(folder: Path, config: ReadinessConfig, parts: Sequence[Part]) -> Path:
    """A finished run folder that measured these."""
    for i, part in enumerate(parts):
        write_json(folder / "parts" / f"{i}.json", part)
    write_record(folder, "readiness", config=plain(config))
    task = TaskRecord(source=config.problems, description="simulated")
    write_json(folder / "result.json", compare(config, parts, task, {}))
    return folder


def write_record(
    folder: Path, verb: str, status: str = DONE, config: dict[str, JsonValue] | None = None, cpu_seconds: float = 0.0
) -> None:
    """``record.json`` of a run in a folder."""
    start = f"2026-01-01T00:00:00.{next(STARTS):06}+00:00"  # no run begins when another does
    record = RunRecord(
        verb=verb,
        status=status,
        start=start,
        part_of=None,
        command="python API",
        revision=None,
        config=config or {},
        origins={},
        seeds={},
        software=provenance.software(),
        host=provenance.host(),
        data=[],
        models=[],
        attempts=[Attempt(start=start, command="python API", revision=None, status=status)],
        seconds=2 * cpu_seconds,
        cpu_seconds=cpu_seconds,
    )
    record.save(folder)
