"""One RL run: the checkpoint that it starts from, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlready.core.records import Estimate
from rlready.predict.meaning import Meaning


@dataclass(frozen=True)
class Outcome:
    """One RL run: its starting checkpoint and its outcome.

    ``readiness`` is the run folder that measured the former, ``runs`` are those of RL and of the evaluation, if known;
    ``evaluated`` is the SHA-256, or else the name, of the model whose accuracy it is, where its run is not known.
    ``curve`` says which value of which curve the outcome is, empty for a number that was given, and ``curve_metric`` is
    the metric that was named; ``last_step`` is its last, and ``planned_steps`` are those that its run was to take, if
    it stopped before.  ``best_of`` is how many values it is the largest of, None where it is another.  ``predictors``
    are those that are known of the run besides readiness, by name; ``meaning`` says what the outcome is;
    ``over_problems`` has its interval over the problems that it was measured on, where that is known.
    """

    checkpoint: str
    value: float
    cost: float | None = None
    seed: str = ""
    recipe: str = ""
    family: str = ""
    readiness: str = ""
    sft_seed: str = ""
    where: str = ""
    curve: str = ""
    curve_files: tuple[Path, ...] = ()
    curve_metric: str = ""
    last_step: float | None = None
    planned_steps: float | None = None
    best_of: int | None = None
    runs: tuple[Path, ...] = ()
    evaluated: str = ""
    predictors: Mapping[str, float] = field(default_factory=dict)
    meaning: Meaning = Meaning()
    over_problems: Estimate | None = None
