"""The kinds of inputs, each with what makes and what reads them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzz import commands, inputs
from fuzz.harness import Case, Reader

READERS: dict[str, Reader] = {
    "command": commands.run_command,
    "folder": commands.run_command,
    "table": inputs.read_problems,
    "source": inputs.read_source,
    "toml": inputs.read_toml_file,
    "sweep": inputs.read_sweep,
    "samples": inputs.read_sample_table,
    "log": inputs.read_sample_table,
    "output": inputs.read_sample_table,
    "gsm8k": inputs.read_gsm8k,
}


def kinds() -> list[str]:
    """All kinds, in the order of the report."""
    return [*RANDOM, "settings"]


QUICK = ("table", "source", "toml", "sweep")  # read in milliseconds
RANDOM = (*QUICK, "samples", "log", "outcomes", "gsm8k", "output", "folder", "words", "pairs")


def cases_of(kind: str, fixtures: Path, count: int, start: int = 0) -> list[Case]:
    """``count`` inputs of a quick kind, a third of that of another, and all of "settings"; the same for one seed."""
    READERS["outcomes"] = inputs.read_outcomes(fixtures)
    if kind == "settings":
        return list(commands.settings_cases(fixtures))
    made: dict[str, st.SearchStrategy[Case]] = {
        "table": inputs.tables(),
        "source": inputs.sources(),
        "toml": inputs.tomls(),
        "sweep": inputs.sweeps(),
        "samples": inputs.sample_tables(),
        "log": inputs.foreign_logs(),
        "outcomes": inputs.outcome_tables(),
        "gsm8k": inputs.gsm8k(),
        "output": inputs.outputs(),
        "folder": inputs.folders(fixtures),
        "words": commands.random_words(fixtures),
        "pairs": commands.pairs(fixtures),
    }
    found: list[Case] = []
    number = count if kind in QUICK else -(-count // 3)

    @seed(start)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(made[kind])
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def warm() -> None:
    """Import and load what every child needs, so that a fork has it."""
    import torch

    from rlready.models.checkpoint import load

    torch.set_num_threads(1)
    load("embedded")
