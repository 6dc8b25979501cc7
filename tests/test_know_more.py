"""What it would cost to know more than these outcomes of RL tell: what a run took, and how many more recipes."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from measured import checkpoint, write_readiness
from rlready.core.cells import rough_time
from rlready.core.config import PredictConfig
from rlready.core.records import Estimate
from rlready.predict.advice import to_know_more
from rlready.predict.result import PredictResult
from rlready.predict.run_cost import Effort, cost_of, run_cost
from rlready.predict.score import _correlation, more_recipes, spearman, weighted_spearman
from rlready.predict.stage import predict
from rlready.report import page
from rlready.runs.record import Accelerator, RunRecord
from test_predict import rl_run, table
from test_report import Strict


def rho(value: float, low: float, n: int) -> Estimate:
    return Estimate(value, low, 1.0, n, "recipes")


def test_more_recipes_are_those_of_the_formula() -> None:
    """By hand: (1.96 + 0.8416)² = 7.849, and atanh 0.5 = 0.5493; none where 0 is excluded, no number below 0."""
    assert more_recipes(rho(0.5, -0.1, 8)) == math.ceil(3 + 1.125 * 7.849 / 0.5493**2) - 8 == 25
    assert more_recipes(rho(0.5, 0.1, 8)) == 0
    assert more_recipes(rho(0.0, -0.5, 8)) is None
    assert more_recipes(rho(-0.4, -0.9, 8)) is None
    assert more_recipes(rho(0.9, -0.1, 40)) == 1  # not fewer than there are
    assert more_recipes(rho(1.0, -1.0, 3)) == 11  # a perfect order of three counts as 0.75
    assert more_recipes(rho(1e-9, -0.1, 8)) > 10**8


@pytest.mark.parametrize("true", [0.43, 0.7])
def test_so_many_recipes_exclude_0_in_four_cases_of_five(true: float) -> None:
    """Simulated, by the interval that is printed: normal pairs of this rank correlation."""
    n = more_recipes(rho(true, -0.1, 3)) + 3
    rng = np.random.default_rng(0)
    r, found = 2 * math.sin(math.pi * true / 6), 0
    for _ in range(200):
        x, noise = rng.normal(size=(2, n))
        y = r * x + math.sqrt(1 - r * r) * noise
        draws = weighted_spearman(x, y, rng.standard_exponential((200, n)))
        found += _correlation(spearman(x, y), draws, n).low > 0
    assert 0.68 < found / 200 < 0.9


def outcomes(folder: Path, known: int, noise: float, **more: object) -> tuple[str, ...]:
    """Readiness of nine recipes, and a table of the first ``known`` with an outcome."""
    rng = np.random.default_rng(4)
    found = [
        checkpoint(str(folder / f"recipe-{i}/checkpoints/step-9"), reach=0.4 + 0.06 * i, skill=0.3, seed=i)
        for i in range(9)
    ]
    rows = [
        {"checkpoint": c.name, "outcome": 0.1 + 0.5 * c.pass_64 + rng.normal(0, noise), **more} for c in found[:known]
    ]
    return str(write_readiness(folder / "ready", found)), table(folder / "rl.jsonl", rows)


def predicted(folder: Path, runs: tuple[str, ...]) -> tuple[PredictResult, str]:
    """The result, and the text of its page."""
    result = predict(PredictConfig(runs=runs, resamples=200, splits=10), folder / "out")
    return result, re.sub(r"\s+", " ", Strict(page.write(folder / "out").read_text()).text)


def test_the_first_screen_says_what_it_would_cost_to_know_more(tmp_path: Path) -> None:
    """The cost stands with the next run, and beside the recipes where no run is next."""
    result, shown = predicted(tmp_path, outcomes(tmp_path, 8, 0.1, cost=5400))
    (family,) = result.families
    more = more_recipes(next(s.spearman for s in family.scores if s.predictor == "pass@64"))
    assert more
    said = f"To trust the rank correlation, add about {more} SFT recipes, each with an RL run"
    said += ": they would show that pass@64 orders outcomes"
    assert family.to_know_more == f"{said} (in 4 cases of 5, if the correlation is as measured)."
    assert f"n = 8 recipes {said}" in shown
    assert shown.count(said) == 1
    assert said in " ".join(result.remarks())
    assert "To look for a better start of RL, run it from recipe-8" in shown  # the other step, and for what
    assert "no outcome yet; an earlier run took 1.5 h of GPU or CPU time. The command" in shown

    result, shown = predicted(tmp_path / "few", outcomes(tmp_path / "few", 2, 0.1, cost=5400))
    assert "To learn how far pass@64 can be trusted takes at least 5 SFT recipes, each with an RL run." in shown
    result, _ = predicted(tmp_path / "all", outcomes(tmp_path / "all", 9, 0.1, cost=5400))
    assert "each with an RL run (one took 1.5 h of GPU or CPU time): they would show" in result.families[0].to_know_more
    weak = [replace(s, spearman=rho(0.2, -0.5, 9)) for s in result.families[0].scores]
    assert (
        to_know_more(9, weak, "pass@64", "")
        == "To show that pass@64 orders outcomes would take over 100 more SFT recipes."
    )
    one = next(e for r in range(50, 99) if more_recipes(e := rho(r / 100, -0.1, 9)) == 1)
    strong = [replace(s, spearman=one) for s in result.families[0].scores]
    assert "add about 1 SFT recipe, with an RL run: it would show" in to_know_more(9, strong, "pass@64", "")
    result, _ = predicted(tmp_path / "clear", outcomes(tmp_path / "clear", 8, 0.0))
    assert result.families[0].to_know_more == ""
    assert "that has no outcome yet. The command" in result.next_action


def test_a_correlation_that_is_not_above_0_gives_no_number(tmp_path: Path) -> None:
    ready, _ = outcomes(tmp_path, 0, 0.0)
    rows = [{"checkpoint": f"recipe-{i}/checkpoints/step-9", "outcome": 0.9 - 0.1 * i} for i in range(8)]
    result, shown = predicted(tmp_path, (ready, table(tmp_path / "falling.jsonl", rows)))
    said = "pass@64 does not order these outcomes: how many more SFT recipes would show that it does cannot be told."
    assert result.families[0].to_know_more == said
    assert said in shown


def test_more_problems_and_a_run_of_rl_stand_side_by_side_where_records_know_both(tmp_path: Path) -> None:
    """What a problem of each of the two took, times how many separate them; nothing where it is not recorded."""
    found = [
        checkpoint(str(tmp_path / f"r-{i}/checkpoints/step-9"), reach=0.5 + 0.04 * i, skill=0.3, seed=i)
        for i in range(3)
    ]
    ready = str(write_readiness(tmp_path / "ready", found))
    result, shown = predicted(tmp_path / "unknown", (ready,))
    assert "To separate" in shown
    assert "That takes" not in shown
    record = RunRecord.load(tmp_path / "ready")
    record.cpu_seconds, record.counts = 3 * 80 * 0.5, {"generated": 3 * 80 * 100}  # of each problem of each: 0.5 s, 100
    record.save(tmp_path / "ready")
    result, shown = predicted(tmp_path / "measuring", (ready,))
    (more,) = re.findall(r"measure about ([\d,]+) more problems", shown)
    n = int(more.replace(",", ""))
    takes = (
        f"That takes about {rough_time(2 * n * 0.5)} of CPU time and {float(f'{200 * n:.2g}'):,.0f} generated tokens"
    )
    assert f"(enough in 4 cases of 5, if the lead is as measured). {takes}." in shown
    rows = [{"checkpoint": found[0].name, "outcome": 0.5, "cost": 5400}]
    result, shown = predicted(tmp_path / "both", (ready, table(tmp_path / "one.jsonl", rows)))
    said = f"{takes}, where a run of RL took 1.5 h of GPU or CPU time."
    assert said in shown
    assert said in " ".join(result.remarks())


@pytest.mark.parametrize(
    ("device", "processes", "seconds", "processor"),
    [("cpu", 1, 700.0, "CPU"), ("cuda", 1, 100.0, "GPU"), ("cuda:1", 1, 100.0, "GPU"), ("cuda", 4, 400.0, "GPU")],
)
def test_the_cost_of_a_run_is_of_the_gpus_that_it_used(
    device: str, processes: int, seconds: float, processor: str, tmp_path: Path
) -> None:
    """Not of those that it saw, on a machine with eight."""
    rl_run(tmp_path, "sft/checkpoints/step-9", 0.5)
    record = RunRecord.load(tmp_path)
    record.accelerators = [Accelerator(model="a GPU", memory_bytes=1)] * 8
    record.config["device"], record.processes, record.counts = device, processes, {"generated": 5}
    record.seconds, record.cpu_seconds = 100.0, 700.0
    assert cost_of(record) == seconds
    effort = Effort.of_each(record, 1)
    assert effort
    assert (effort.seconds, effort.processor) == (seconds, processor)


def test_records_of_runs_tell_time_and_tokens(tmp_path: Path) -> None:
    """Of CPUs or of GPUs, as a span where runs differ; what is not recorded is not said."""
    ready, _ = outcomes(tmp_path, 0, 0.0)
    for i, (seconds, tokens) in enumerate(((1800.0, 612_345), (7200.0, 618_000))):
        rl_run(tmp_path / f"rl-{i}", str(tmp_path / f"recipe-{i}/checkpoints/step-9"), 0.4 + 0.1 * i)
        record = RunRecord.load(tmp_path / f"rl-{i}")
        record.cpu_seconds, record.counts = seconds, {"generated": tokens}
        record.save(tmp_path / f"rl-{i}")
    runs = (ready, str(tmp_path / "rl-0"), str(tmp_path / "rl-1"))
    result, _ = predicted(tmp_path, runs)
    cost = "an earlier run took 30 min to 2 h of CPU time and 610,000 to 620,000 generated tokens. "
    assert cost in result.next_action
    for i in range(2):
        record = RunRecord.load(tmp_path / f"rl-{i}")
        record.seconds, record.counts = 60.0, {}
        record.config["device"] = "cuda"
        record.save(tmp_path / f"rl-{i}")
    result, _ = predicted(tmp_path / "gpu", runs)
    assert "an earlier run took 60 s of GPU time. " in result.next_action
    rows = [{"checkpoint": "recipe-2/checkpoints/step-9", "outcome": 0.5, "cost": 60}]
    listed = table(tmp_path / "other.jsonl", rows)  # whose unit is not known
    result, _ = predicted(tmp_path / "mixed", (*runs, listed))
    assert "an earlier run took 60 s of GPU or CPU time. " in result.next_action
    assert run_cost([]) == ""
