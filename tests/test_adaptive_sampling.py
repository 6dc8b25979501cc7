"""Sampling that stops at a success: unbiased by enumeration and by simulation, cheaper, and the same draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.sampling_progress import SamplingProgress
from rlready.readiness import stage
from rlready.readiness.adaptive_sampling import Counts, draw_until_right, plan, waves
from rlready.readiness.group_signal import group_signal, informative, variance
from rlready.readiness.measure import Measurer
from rlready.readiness.passk import pass_at_k
from rlready.readiness.stage import readiness
from rlready.runs.files import read_table, write_table

HARD = "dagmath?ops=4-7&asked=2&split=all&n=8&seed=1"  # solved at once, late and never
PLANS = [waves(1, 4), waves(2, 7), waves(3, 6), [(0, 6)], [(0, 2), (2, 3), (3, 7)]]


def counted(right: NDArray[np.bool_], over: Sequence[tuple[int, int]]) -> Counts:
    """The adaptive run whose samples are the columns of ``right`` (P, cap), and nothing but those it asks for."""

    def draw(which: Sequence[int], begin: int, end: int) -> NDArray[np.bool_]:
        assert not right[np.array(which), :begin].any()  # only problems without a success are drawn again
        return right[np.array(which), begin:end]

    return draw_until_right(len(right), over, draw)


@pytest.mark.parametrize("over", PLANS)
@pytest.mark.parametrize("p", [0.0, 0.07, 0.5, 0.93, 1.0])
def test_estimates_are_exactly_unbiased(over: list[tuple[int, int]], p: float) -> None:
    """Every possible run of draws, weighed by its chance: the mean estimate is the truth, to rounding."""
    cap, first = over[-1][1], over[0][1]
    right = np.array(list(product([False, True], repeat=cap)))
    chance = np.prod(np.where(right, p, 1 - p), axis=1)
    counts = counted(right, over)
    ks = list(range(1, cap + 1))
    assert chance @ counts.pass_at_k(ks) == pytest.approx(1 - (1 - p) ** np.array(ks), abs=1e-12)
    n, c = counts.head
    assert (n == first).all()
    assert (c == right[:, :first].sum(1)).all()
    for g in range(1, first + 1):
        assert chance @ informative(n, c, g) == pytest.approx(1 - p**g - (1 - p) ** g, abs=1e-12)
    if first > 1:
        assert chance @ variance(n, c) == pytest.approx(p * (1 - p), abs=1e-12)
    if 0 < p < 0.9 and len(over) > 1:  # what must not be done
        assert chance @ (counts.correct / counts.drawn) > p + 1e-3


def test_estimates_are_the_indicator_averaged_over_the_order_within_waves() -> None:
    """Rao and Blackwell: the mean of "success within k" over all runs with the same counts, with no larger variance."""
    right = np.array(list(product([False, True], repeat=7)))
    counts = counted(right, waves(2, 7))
    ks = list(range(1, 8))
    table = counts.pass_at_k(ks)
    within = np.maximum.accumulate(right, axis=1).astype(float)
    kinds = np.stack([counts.since, counts.drawn, counts.correct], axis=1)
    for kind in np.unique(kinds, axis=0):
        same = (kinds == kind).all(1)
        assert table[same] == pytest.approx(np.broadcast_to(within[same].mean(0), table[same].shape), abs=1e-12)
    assert (np.diff(table, axis=1) >= -1e-12).all()


def test_simulated_against_brute_force() -> None:
    """20,000 problems, K = 64: the mean agrees with all draws and with the truth; the biased plug-in is caught."""
    rng = np.random.default_rng(5)
    p = rng.beta(0.3, 1.2, 20_000)
    right = rng.random((len(p), 64)) < p[:, None]
    ks = [1, 2, 4, 8, 12, 16, 32, 48, 64]
    counts = counted(right, plan(64, 8, "adaptive"))
    truth = 1 - (1 - p[:, None]) ** np.array(ks)

    def worst_z(estimates: NDArray[np.float64], goal: NDArray[np.float64]) -> float:
        """The largest mean error of any column, in standard errors."""
        error = estimates - goal
        spread = error.std(axis=0)
        return float(np.abs(error.mean(0) / np.maximum(spread / np.sqrt(len(p)), 1e-12)).max())

    brute = pass_at_k(64, right.sum(1), ks)
    assert worst_z(counts.pass_at_k(ks), truth) < 3.5  # 9 columns: a false alarm in one of 250 seeds
    assert worst_z(counts.pass_at_k(ks), brute) < 3.5
    n, c = counts.head
    weight = group_signal(n, c, 8)[:, None] - group_signal(64, right.sum(1), 8)[:, None]
    assert worst_z(weight, np.zeros_like(weight)) < 3.5
    biased = (counts.correct / counts.drawn)[:, None]
    assert worst_z(biased, p[:, None]) > 10
    assert counts.drawn.sum() < 0.5 * right.size
    assert (counts.drawn[right[:, :8].any(1)] == 8).all()
    assert (counts.drawn[~right.any(1)] == 64).all()


def test_intervals_cover_as_those_of_all_draws_do() -> None:
    """95 % intervals over problems at k inside and at the end of waves."""
    truth = {k: 1 - float(np.prod([(1.2 + i) / (1.5 + i) for i in range(k)])) for k in (1, 24, 64)}
    hits = dict.fromkeys(truth, 0)
    for i in range(400):
        rng = np.random.default_rng([3, i])
        right = rng.random((48, 64)) < rng.beta(0.3, 1.2, 48)[:, None]
        for k, figure in counted(right, waves(8, 64)).curve(list(truth)).items():
            hits[k] += figure.low <= truth[k] <= figure.high
    assert all(0.91 <= count / 400 <= 0.99 for count in hits.values()), hits


def test_plans() -> None:
    assert waves(8, 64) == [(0, 8), (8, 16), (16, 32), (32, 64)]
    assert waves(8, 50) == [(0, 8), (8, 16), (16, 32), (32, 50)]
    assert waves(16, 8) == [(0, 8)]
    assert plan(32, 16, "adaptive") == plan(32, 4, "full") == [(0, 32)]
    assert plan(33, 4, "adaptive")[0] == (0, 8)
    assert plan(64, 16, "adaptive")[0] == (0, 16)
    assert plan(32, 16, "adaptive", first=4)[0] == (0, 4)
    assert plan(256, 4, "full") == [(0, 256)]


def test_an_adaptive_run_draws_a_subset_of_the_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tokens, log-probabilities and correctness; a killed run reads its finished waves and ends the same.

    The total of the progress bar leaves out samples that were not needed and those of finished checkpoints.
    """
    bars: list[SamplingProgress] = []

    class Seen(SamplingProgress):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr(stage, "SamplingProgress", Seen)
    config = ReadinessConfig(heldout="", problems=HARD, samples=16, group_size=2, thinking_budget=64, sampling="full")
    readiness(config, tmp_path / "plain")
    stopped = config.replace(sampling="adaptive", min_samples=2)
    result = readiness(stopped, tmp_path / "first")
    key = ("problem_id", "sample_id")
    plain = {tuple(row[k] for k in key): row for row in read_table(tmp_path / "plain" / "parts" / "0.parquet")}
    rows = read_table(tmp_path / "first" / "parts" / "0.parquet")
    assert 8 * 2 < len(rows) < len(plain) == 8 * 16
    for row in rows:
        other = plain[tuple(row[k] for k in key)]
        assert row["tokens"] == other["tokens"]
        assert row["logprobs"] == pytest.approx(other["logprobs"], abs=1e-4)
        assert (row["correct"], row["text"]) == (other["correct"], other["text"])
    firsts = {
        name: min((s for (n, s), r in plain.items() if n == name and r["correct"]), default=None) for name, _ in plain
    }
    for name, drawn in zip(result.problems, result.per_problem["embedded"].drawn, strict=True):
        at = firsts[name]
        assert drawn == next(end for _, end in waves(2, 16) if end == 16 or (at is not None and at < end))
    assert result.checkpoints[0].samples == len(rows)

    killed = tmp_path / "killed"
    readiness(stopped, killed)
    record = json.loads((killed / "record.json").read_text())
    (killed / "record.json").write_text(json.dumps(record | {"status": "interrupted"}))
    (killed / "parts" / "0.json").unlink()
    (killed / "parts" / "0.parquet").rename(killed / "parts" / "all.parquet")
    (killed / "state").mkdir()
    write_table(killed / "state" / "0-0.parquet", [row for row in rows if row["wave"] == 0])
    assert readiness(stopped, killed) == result
    assert (killed / "parts" / "0.parquet").read_bytes() == (tmp_path / "first" / "parts" / "0.parquet").read_bytes()
    assert not (killed / "state").exists()
    (killed / "record.json").write_text(json.dumps(record | {"status": "interrupted"}))
    assert readiness(stopped, killed) == result
    assert [bar.total for bar in bars] == [len(plain), len(rows), len(rows), len(rows), 0]


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    for at, (change, message) in enumerate(
        (
            ({"min_samples": -1}, "min_samples must be at least 1"),
            ({"samples": 0}, "samples must be at least 1"),
            ({"temperature": 0.0}, "temperature must be above 0"),
            ({"checkpoints": ()}, "checkpoints is empty"),
        )
    ):
        with pytest.raises(UserError, match=message):
            readiness(ReadinessConfig(problems=HARD).replace(**change), tmp_path / str(at))  # type: ignore[arg-type]


def test_the_accuracy_so_far_names_its_checkpoint() -> None:
    sources = ("none/checkpoint-1", "none/checkpoint-2")
    bar, unused = SamplingProgress("readiness", 4, 8), cast(Any, None)
    measurer = Measurer(ReadinessConfig(checkpoints=sources), unused, unused, None, [], [], [], bar)
    for source in sources:
        with pytest.raises(UserError, match="no such folder"):
            measurer.model(0, source, source)
        measurer._show([True, False])
        assert [*bar.metrics] == [f"pass@1 of {source.removeprefix('none/')} so far"]
