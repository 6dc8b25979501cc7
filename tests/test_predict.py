"""Predicting RL from simulated checkpoints whose truth is known, and one clear line for bad input."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import betaincinv
from scipy.stats import betabinom, kstest, spearmanr

from measured import Simulated, checkpoint, write_parts, write_readiness, write_record
from rlready.core.cells import fixed
from rlready.core.config import EvaluateConfig, ExportConfig, PredictConfig, ReadinessConfig, RLConfig
from rlready.core.errors import UserError
from rlready.core.options import fill_config, to_toml
from rlready.core.records import Estimate
from rlready.core.result import TaskRecord
from rlready.core.stats import with_ties
from rlready.core.tables import print_tables
from rlready.evaluate.conditions import conditions_of, unlike
from rlready.evaluate.result import BudgetScores, EvaluateResult, LengthHistogram, Scores
from rlready.models.checkpoint import load
from rlready.models.checksums import write_checksums
from rlready.models.heldout_loss import HeldOut
from rlready.predict import score as scoring
from rlready.predict.candidates import SAME, Candidate, distribution, read_candidates
from rlready.predict.cells import shown
from rlready.predict.comparable import doubts, refuse_unlike_content
from rlready.predict.early import extrapolated
from rlready.predict.family import Family
from rlready.predict.fit import (
    errors_left_out,
    few,
    halves,
    least_squares,
    predict_new_recipe,
    predict_with_interval,
    r2_of_halves,
)
from rlready.predict.meaning import UNSAID, Meaning, of_all
from rlready.predict.outcome import Outcome
from rlready.predict.outcome_table import read_outcomes
from rlready.predict.outcomes import find_runs
from rlready.predict.predictors import Predictor, predictors, standard
from rlready.predict.result import PredictResult
from rlready.predict.score import Score, permutation_p, regrets, score, spearman, weighted_spearman
from rlready.predict.stage import predict
from rlready.readiness.adaptive_sampling import Counts, draw_until_right, plan
from rlready.readiness.diversity import distinct_answers
from rlready.readiness.next_step import SHARED
from rlready.readiness.part import ExampleLosses, Part, Sampled
from rlready.readiness.passk import Floats, Ints
from rlready.readiness.ranking import gap_of_shares
from rlready.readiness.result import ProblemCounts, RankedCheckpoint, ReadinessResult, SampleStats
from rlready.report import page
from rlready.runs.checkpoint_order import in_training_order, labels, staged_labels
from rlready.runs.checksums import checksums
from rlready.runs.content import content_digest
from rlready.runs.files import plain, write_json
from rlready.runs.lineage import stages_of
from rlready.runs.record import CONFIG, ModelNote, RunRecord
from rlready.runs.results import load_result
from rlready.runs.run import Run
from rlready.sweep.grid import SHARED as SWEEP_SHARED
from rlready.train.result import BestCheckpoint, Evaluation, RLResult
from test_report import Strict

RUNS = 24


def table(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def disagreeing(folder: Path) -> list[Simulated]:
    """Checkpoints that trade reach for skill: the more often they are right, the fewer problems they ever solve."""
    mix = np.random.default_rng(1).permutation(np.linspace(0, 1, RUNS))
    return [
        checkpoint(str(folder / f"sft-{i:02d}/checkpoints/step-9"), reach=0.9 - 0.4 * m, skill=0.15 + 0.7 * m, seed=i)
        for i, m in enumerate(mix)
    ]


def after_rl(found: list[Simulated], seeds: int = 2) -> list[dict[str, Any]]:
    """RL makes of every problem that is solved at times one that is solved mostly."""
    rng = np.random.default_rng(2)
    return [
        {"checkpoint": c.name, "outcome": 0.1 + 0.8 * c.pass_64 + rng.normal(0, 0.01), "seed": s, "cost": 60 + s}
        for c in found
        for s in range(seeds)
    ]


def test_checkpoints_of_one_run_with_several_recipes_are_warned_of() -> None:
    """They would count as independent, and an order of them as significant."""
    found = {name: [Outcome(name, 0.5, None, where="here", recipe=name[-1])] for name in ("s/1", "s/2", "t/3")}
    (said,) = doubts([], found, {"s/1": "s", "s/2": "s", "t/3": "t"})
    assert said.startswith("s/1 and s/2 are of one SFT run, and not independent, but have the recipes 1 and 2")
    assert [*doubts([], found, {"s/1": "s", "s/2": "u", "t/3": None})] == []


def test_outcomes_of_unlike_seeds_are_warned_of() -> None:
    """In one family; all without a seed are alike."""

    def said(**seeds: tuple[str, ...]) -> str:
        return "; ".join(
            doubts(
                [],
                {n: [Outcome(n, 0.5, None, where="here", seed=each) for each in some] for n, some in seeds.items()},
                {},
            )
        )

    told = said(a=("0",), b=("0", "1"))
    assert told.startswith("the outcomes are of unlike RL seeds: a has seed 0, b seeds 0, 1;")
    assert "a has seed 0, b seed 3" in said(a=("0",), b=("3",))
    assert said(a=("0", "1"), b=("1", "0")) == said(a=("",), b=("",)) == ""


def test_outcomes_that_are_said_to_be_different_things_are_warned_of() -> None:
    """Two tables that say nothing are taken for alike; families are measured apart."""

    def said(*outcomes: tuple[str, str]) -> str:
        found = [
            Outcome("c", 0.5, None, where="here", family=family, meaning=Meaning(what)) for family, what in outcomes
        ]
        return "; ".join(doubts(found, {"c": found}, {}))

    assert said(("", "accuracy"), ("", "reward")).startswith("the outcomes are different things (accuracy; reward)")
    assert "the outcomes of b are different" in said(("a", "x"), ("b", "x"), ("b", "y"))
    both = said(("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"))
    assert "outcomes of a are different" in both
    assert "outcomes of b are different" in both
    assert said(("a", "accuracy"), ("b", "reward")) == said(("", "accuracy"), ("", "")) == ""
    assert said(("", f"{UNSAID}one.csv"), ("", f"{UNSAID}other.csv")) == ""
    assert "(column outcome of one.csv; accuracy)" in said(("", f"{UNSAID}one.csv"), ("", "accuracy"))


def test_predictors_of_several_values_or_units_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint has one value of a predictor that is known before RL; a constant one orders nothing."""
    found = disagreeing(tmp_path)
    ready = write_readiness(tmp_path / "ready", found)
    rows = after_rl(found)
    names = list(dict.fromkeys(row["checkpoint"] for row in rows))
    for row in rows:
        at = names.index(row["checkpoint"])
        row |= {"predictor:mine": 0.1 + 0.01 * at, "predictor:same": 1.5}

    def warned(name: str) -> PredictResult:
        return predict(PredictConfig(runs=(str(ready), table(tmp_path / f"{name}.jsonl", rows))), tmp_path / name)

    clean = warned("clean")
    assert not any("predictor:" in note for note in clean.notes)
    assert any("same is the same for all runs" in note for note in clean.notes)
    scored = [s.predictor for s in clean.families[0].scores]
    assert "mine" in scored
    assert "same" not in scored
    first = next(row for row in rows if row["checkpoint"] == names[0])
    first["predictor:mine"] = 0.5
    said = "Warning: predictor:mine has several values for 1 of"
    assert any(note.startswith(said) and "has 0.5 in" in note and "0.1 in" in note for note in warned("twice").notes)
    first["predictor:mine"] = 0.1
    assert "more is taken for better" not in capsys.readouterr().err
    for row in rows:
        row["predictor:val_loss"] = 1.0
    for row in rows:
        if row["checkpoint"] == names[1]:
            row["predictor:mine"] = 11
    assert any("values between 0 and 1 and 1 above 1, up to 11: if some are" in note for note in warned("units").notes)
    assert "of predictor:val_loss more is taken for better" in capsys.readouterr().err


def test_outcomes_far_from_0_are_fitted_and_shown_as_others(tmp_path: Path) -> None:
    """Their spread counts, not their size: R² stays, ties are exact, and no digit is made up."""
    found = disagreeing(tmp_path)
    ready, rows = write_readiness(tmp_path / "ready", found), after_rl(found)

    def at(offset: float) -> PredictResult:
        moved = [row | {"outcome": round(row["outcome"], 3) + offset} for row in rows]
        name = f"{offset:g}"
        return predict(PredictConfig(runs=(str(ready), table(tmp_path / f"{name}.jsonl", moved))), tmp_path / name)

    near, far = (at(offset).families[0] for offset in (2.0, 1e8))
    r2 = [next(s.r2.value for s in family.scores if s.predictor == "pass@64") for family in (near, far)]
    assert r2[1] == pytest.approx(r2[0], abs=1e-3)
    assert [fixed(each, 3) for each in (1e9 + 0.7, 0.0005, -2.5e6, 0.1235)] == [
        "1000000000.700",
        "0.001",
        "-2500000.000",
        "0.124",
    ]
    most = max(p.outcome.value for p in far.points)
    assert reached_of(at(1e8)) == [p.label for p in far.points if p.outcome.value == most]


def reached_of(result: PredictResult) -> list[str]:
    """The checkpoints that a headline names as best."""
    best = result.headline.partition(" most from ")[2].partition(";")[0]
    return [p.label for p in result.families[0].points if p.label in best]


def test_reach_beats_accuracy_where_they_disagree(tmp_path: Path) -> None:
    """pass@64 ranks and fits the outcomes, pass@1 ranks them upside down, and both are said in words."""
    found = disagreeing(tmp_path)
    ready = write_readiness(tmp_path / "ready", found)
    outcomes = after_rl(found)
    result = predict(PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", outcomes))), tmp_path / "out")
    (family,) = result.families
    scores = {s.predictor: s for s in family.scores}
    assert (family.runs, family.rl_runs, family.recipes) == (RUNS, 2 * RUNS, RUNS)
    assert 0.005 < family.seed_sd < 0.015
    good, bad = scores["pass@64"], scores["pass@1"]
    assert good.spearman.value > 0.95
    assert good.spearman.low > 0.8
    assert bad.spearman.high < 0
    assert good.gain.low > 1
    assert good.p_any < 0.01
    assert good.r2.value > 0.9
    assert good.r2_halves > 0.9
    assert good.r2_gain.value == pytest.approx(good.r2.value - bad.r2.value)
    assert good.r2_gain.low > 0
    assert bad.r2_gain is None
    assert good.mae.value < 0.03
    assert good.regret < 0.03
    assert bad.regret > 0.2
    assert bad.regret_cost > 10 * 121
    assert all(f.covered > 0.85 for f in good.few)
    assert [f.runs for f in good.few] == [3, 4]
    assert scores["loss"].spearman.value < 0.6
    best = max(found, key=lambda c: c.pass_64)
    assert result.checkpoints[[c.name for c in found].index(result.chosen)].pass_at_k[64].value > 0.85
    assert best.pass_64 - next(c for c in found if c.name == result.chosen).pass_64 < 0.03
    expected = {row.name: row.expected for row in result.checkpoints if row.expected}
    assert len(expected) == RUNS
    truth = {c.name: 0.1 + 0.8 * c.pass_64 for c in found}
    assert np.mean([e.low <= truth[name] <= e.high for name, e in expected.items()]) > 0.9
    assert result.next_steps[1] == "Significantly better than pass@1: pass@64 and combined."
    ranking = next(p for p in result.predictors if p.name == "pass@64")
    matrix = np.array(ranking.p_better)
    assert matrix.shape == (12, 12)
    compared = [row.label for row in result.checkpoints if row.label in ranking.order[:12]]
    best, worst = (compared.index(ranking.order[i]) for i in (0, 11))
    assert matrix[best, worst] > 0.5
    assert matrix[best, worst] + matrix[worst, best] == pytest.approx(1, abs=1e-3)


def test_shuffled_outcomes_show_no_skill(tmp_path: Path) -> None:
    """The same outcomes in random order: no predictor is significantly better than chance, and the page says so."""
    found = disagreeing(tmp_path)
    ready = write_readiness(tmp_path / "ready", found)
    values = np.random.default_rng(3).permutation([c.pass_64 for c in found])
    rows = [{"checkpoint": c.name, "outcome": float(v)} for c, v in zip(found, values, strict=True)]
    result = predict(PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", rows))), tmp_path / "out")
    scores = result.families[0].scores
    assert min(s.p_any for s in scores) > 0.05
    assert all(s.r2 is not None and s.r2.value < 0.2 for s in scores)
    assert "No predictor is significantly better than a random order." in result.next_steps


def test_ranking_without_outcomes(tmp_path: Path) -> None:
    """Probabilities of being better follow the truth; equals tie; a checkpoint past overfitting onset is dropped."""
    run = tmp_path / "sft/checkpoints"
    found = [
        checkpoint(f"{run}/step-10", reach=0.8, skill=0.3, seed=1, loss=0.50),
        checkpoint(f"{run}/step-20", reach=0.8, skill=0.32, seed=2, loss=0.48),
        checkpoint(f"{run}/step-30", reach=0.8, skill=0.5, seed=3, loss=0.60),
        checkpoint(f"{tmp_path}/other/checkpoints/step-10", reach=0.3, skill=0.6, seed=4, loss=0.55),
    ]
    result = predict(PredictConfig(runs=(str(write_readiness(tmp_path / "ready", found)),)), tmp_path / "out")
    assert predict(PredictConfig(runs=(str(tmp_path / "ready"),)), tmp_path / "out") == result  # read back
    advice = {row.label: row.advice for row in result.checkpoints}
    assert advice["sft/step-30"] == "drop"
    assert "above its minimum" in result.checkpoints[2].why
    assert sorted([advice["sft/step-10"], advice["step-20"] if "step-20" in advice else advice["sft/step-20"]]) == [
        "rl",
        "tie",
    ]
    assert advice["other/step-10"] == "drop"
    by = {p.name: p for p in result.predictors}
    matrix = np.array(by["pass@64"].p_better)
    assert np.allclose(matrix + matrix.T, 1)
    assert 0.1 < matrix[0, 1] < 0.9
    assert matrix[0, 3] > 0.99
    assert np.array(by["loss"].p_better)[1, 2] > 0.99
    assert sum(by["pass@64"].p_best) == pytest.approx(1, abs=1e-3)
    assert by["pass@1"].order[0] == "sft/step-30"
    assert any("RL from" in step and "span its range" in step for step in result.next_steps)
    assert result.families == []
    for name in ("loss", "combined"):
        lead = predict(PredictConfig(runs=(str(tmp_path / "ready"),), rank_by=name), tmp_path / name)
        assert lead.chosen == found[1].name
        assert lead.checkpoints[3].next == "drop: significantly worse"
        assert lead.checkpoints[2].next == "drop: past overfitting onset"


def random_parts(rng: np.random.Generator, folder: Path, config: ReadinessConfig) -> list[Part]:
    """Checkpoints of two SFT runs and one of none, few problems so that equals are frequent, most with a loss."""
    problems, tokens = int(rng.integers(2, 12)), np.full(30, 20)
    names = [f"{folder}/{run}/checkpoints/step-{n}" for run in "ab" for n in (1, 2, 3)] + ["no/run"]
    waves = plan(config.samples, config.group_size, config.sampling, config.min_samples or 0)
    difficulty, noise = rng.beta(0.5, 0.5, problems), rng.normal(0, 0.1, 30)
    parts = []
    for name in rng.permutation(names)[: rng.integers(2, 8)]:
        skill = difficulty ** rng.uniform(0.5, 2)

        def draw(which: Sequence[int], begin: int, end: int, skill: np.ndarray = skill) -> np.ndarray:
            right: np.ndarray = rng.random((len(which), end - begin)) < skill[which, None]
            return right

        loss = 20 * (0.5 + noise + rng.choice([0.0, 0.1, 0.2]) + rng.normal(0, 0.01, 30))
        heldout = ExampleLosses(nll=loss.tolist(), tokens=tokens.tolist()) if rng.random() < 0.9 else None
        counts = ProblemCounts.of(draw_until_right(problems, waves, draw))
        parts.append(
            Part(
                name=str(name),
                problems=[f"p{i}" for i in range(problems)],
                heldout=heldout,
                vocabulary=None,
                sampled=Sampled(counts=counts, stats=SampleStats(), samples=0, tokens=None),
                influence=None,
            )
        )
    order = in_training_order([part.name for part in parts])
    return sorted(parts, key=lambda part: order.index(part.name))


def test_readiness_and_predict_rank_alike(tmp_path: Path) -> None:
    """Whatever was counted and lost: one order, one pick, the same words; by the rule, with no regard to either."""
    seen = {"past onset": 0, "past onset has the most": 0, "equal": 0, "tie": 0, "drop": 0}
    for seed in range(30):
        rng = np.random.default_rng([11, seed])
        samples = int(rng.choice([1, 3, 16, 48, 128]))
        config = ReadinessConfig(
            samples=samples,
            group_size=int(rng.choice([1, 4, 16])),
            problems="x",
            heldout="y",
            thinking_budget=64,
            max_answer_tokens=16,
        )
        parts = random_parts(rng, tmp_path / f"{seed}", config)
        folder = write_parts(tmp_path / f"ready-{seed}", config, parts)
        ready = ReadinessResult.load(folder)
        ranked = predict(PredictConfig(runs=(str(folder),), resamples=20, splits=2), tmp_path / f"out-{seed}")
        assert ready.chosen == ranked.chosen
        assert ready.ranked_by == ranked.ranked_by == f"pass@{min(64, samples)}"
        for key in RankedCheckpoint.model_fields:
            assert [getattr(r, key) for r in ready.checkpoints] == [getattr(r, key) for r in ranked.checkpoints], key
        assert (ready.headline, ready.rule, ready.next_command) == (ranked.headline, ranked.rule, "")
        assert [ready.headline, *ready.reasons] == ranked.next_steps[:-1]
        assert ranked.tables()[0].rows[0][0] == next(row.label for row in ranked.checkpoints if row.rank == 1)
        large_k = min(64, samples)
        rows = [
            (row.advice == "unsolved", row.past_onset, *(-round(row.pass_at_k[k].value, 9) for k in (large_k, 1)))
            for row in ready.checkpoints
        ]
        by_rank = sorted(zip((row.rank for row in ready.checkpoints), rows, strict=True))
        assert [row for _, row in by_rank] == sorted(rows)
        seen["past onset"] += any(turned for _, turned, _, _ in rows)
        seen["past onset has the most"] += min(rows, key=lambda row: row[2:])[1]
        seen["equal"] += len({skill for _, _, skill, _ in rows}) < len(rows)
        for advice in ("tie", "drop"):
            seen[advice] += any(row.advice == advice for row in ready.checkpoints)
    assert min(seen.values()) >= 3, seen


def test_a_run_folder_named_as_a_model_says_which_checkpoint_its_result_picks(tmp_path: Path) -> None:
    folder = write_readiness(tmp_path / "ready", disagreeing(tmp_path)[:2])
    picked = ReadinessResult.load(folder).chosen
    with pytest.raises(UserError, match=rf"config\.json is missing; the result of this run picks {picked}$"):
        load(str(folder))


def test_losses_across_distributions_are_refused_unless_forced(tmp_path: Path) -> None:
    """Within one distribution they are compared, whatever the number of rows."""
    found = [
        Simulated(**vars(c) | {"rows": rows})
        for c, rows in zip(
            disagreeing(tmp_path)[:3],
            ("dagmath?n=10", "dagmath?n=20&seed=4", "dagmath?n=5&select=shortest&of=20"),
            strict=True,
        )
    ]
    same = predict(PredictConfig(runs=(str(write_readiness(tmp_path / "a", found[:2])),)), tmp_path / "same")
    assert "loss" in [p.name for p in same.predictors]
    ready = str(write_readiness(tmp_path / "b", found))
    mixed = predict(PredictConfig(runs=(ready,)), tmp_path / "mixed")
    assert not {"loss", "combined"} & {p.name for p in mixed.predictors}
    assert "force_loss=true" in mixed.notes[0]
    forced = predict(PredictConfig(runs=(ready,), force_loss=True), tmp_path / "forced")
    assert {"loss", "combined"} <= {p.name for p in forced.predictors}
    with pytest.raises(UserError, match="rank_by=loss: not known"):
        predict(PredictConfig(runs=(ready,), rank_by="loss"), tmp_path / "by")


@pytest.mark.parametrize(
    ("rows", "contents", "compared"),
    [
        (("rows.jsonl", "rows.jsonl"), ("a", "b"), False),
        (("rows.jsonl", "rows.jsonl"), ("a", "a"), True),
        (("rows.jsonl", "moved.jsonl?n=9"), ("a", "a"), True),
        (("rows.jsonl", "rows.jsonl?response=other"), ("a", "a"), False),
        (("rows.jsonl", "rows.jsonl"), ("a", ""), True),  # the record of one has none
        (("rows.jsonl", "moved.jsonl"), ("", ""), False),
    ],
)
def test_rows_are_the_same_if_their_content_is(
    tmp_path: Path, rows: tuple[str, str], contents: tuple[str, str], compared: bool
) -> None:
    """A file that was written again under its name is another one, and one that was moved is not."""
    found = [Simulated(**vars(c) | {"rows": source}) for c, source in zip(disagreeing(tmp_path)[:2], rows, strict=True)]
    ready = write_readiness(tmp_path / "ready", found)
    for each, content in zip(found, contents, strict=True):
        digest = {"sha256": content * 64} if content else {}
        note(Path(each.name).parent.parent, "data", **{"role": "sft", "sha256": None, **digest})
    result = predict(PredictConfig(runs=(str(ready),), resamples=50), tmp_path / "out")
    assert ("loss" in [p.name for p in result.predictors]) == compared
    assert compared or "2 different distributions of rows" in result.notes[0]
    assert ("with SHA-256" in "".join(result.notes)) == (contents == ("a", "b"))


def test_families_and_recipes_are_kept_apart(tmp_path: Path) -> None:
    """Each family is scored alone; runs of one recipe count as one when intervals are made."""
    found = disagreeing(tmp_path)
    rows = [
        row | {"family": "early" if i < RUNS else "late", "recipe": f"r{i // 8}"}
        for i, row in enumerate(after_rl(found))
    ]
    ready = write_readiness(tmp_path / "ready", found)
    result = predict(
        PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", rows)), resamples=200), tmp_path / "out"
    )
    assert [(f.name, f.runs, f.recipes) for f in result.families] == [("early", 12, 3), ("late", 12, 3)]
    assert result.families[0].scores[0].r2 is None  # three recipes make no halves
    assert result.families[0].scores[0].spearman.n == 3


def test_a_letter_with_an_accent_is_one_however_it_is_written(tmp_path: Path) -> None:
    forms = ("caf\u00e9", "cafe\u0301")
    rows = [{"checkpoint": f"c{i}", "outcome": 0.5, "family": form, "recipe": form} for i, form in enumerate(forms)]
    found = read_outcomes(Path(table(tmp_path / "rl.jsonl", rows)))
    assert [(each.family, each.recipe) for each in found] == [(forms[0], forms[0])] * 2


def test_what_a_missing_evaluation_measured_is_not_taken_for_rls_own_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rl_run(tmp_path / "rl", "c0", 0.5)
    row = {"checkpoint": "c0", "outcome": 0.5, "run": "rl"}
    (own,) = read_outcomes(Path(table(tmp_path / "own.jsonl", [row])))
    (evaluated,) = read_outcomes(Path(table(tmp_path / "rl.jsonl", [row | {"evaluate": "gone"}])))
    assert own.meaning.what.startswith("validation accuracy")
    assert evaluated.meaning.what.startswith(UNSAID)
    assert "rl.jsonl:1: gone is not there, so that what was evaluated is not compared" in capsys.readouterr().err


def test_checkpoints_of_one_sft_run_are_one_recipe(tmp_path: Path) -> None:
    """Where no outcome names a recipe; with the values that each predictor gave the runs of a family."""
    found = [
        checkpoint(f"{tmp_path}/sft-{i % 2}/checkpoints/step-{i + 1}", reach=0.4 + 0.05 * i, skill=0.3, seed=i)
        for i in range(6)
    ]
    rows = [row for row in after_rl(found, seeds=1) if not row["checkpoint"].endswith("step-1")]
    ready = write_readiness(tmp_path / "ready", found)
    result = predict(
        PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", rows)), resamples=50), tmp_path / "out"
    )
    (family,) = result.families
    assert (family.runs, family.recipes) == (5, 2)
    values = family.values
    assert {"pass@1", "pass@64", "loss", "combined"} <= values.keys()
    assert values["pass@64"] == pytest.approx([c.values["pass@64"] for c in result.checkpoints[1:]])
    assert list(map(len, values.values())) == [5] * len(values)


def test_a_sweep_is_also_what_it_measured(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All its finished readiness, so that an onset can precede RL; an interrupted sweep is ranked with a warning."""
    sweep = tmp_path / "sweep"
    found = [
        checkpoint(f"{sweep}/sft/one/checkpoints/step-{i + 1}", reach=0.8, skill=0.3 + 0.05 * i, seed=i, loss=loss)
        for i, loss in enumerate((0.5, 0.6))
    ]
    for i, each in enumerate(found, start=1):
        write_readiness(sweep / f"readiness/one-{i}", [each])
    table(sweep / "runs.jsonl", [{"checkpoint": found[1].name, "outcome": 0.5, "readiness": "readiness/one-2"}])
    for status, said in (("done", False), ("failed: one job", True)):
        write_record(sweep, "sweep", status)
        result = predict(PredictConfig(runs=(str(sweep),), resamples=200), tmp_path / status[:4])
        assert [row.name for row in result.checkpoints] == [c.name for c in found]
        assert result.checkpoints[1].past_onset
        assert ("has not finished (failed): only what is done is ranked" in capfd.readouterr().err) is said


def test_an_outcome_that_speaks_against_the_rule_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # below which their SFT run is recorded
    found = [
        checkpoint(f"sft/checkpoints/step-{i + 1}", reach=0.8, skill=0.3 + 0.05 * i, seed=i, loss=loss)
        for i, loss in enumerate((0.5, 0.6))
    ]
    ready = write_readiness(tmp_path / "ready", found)
    for late, said in ((0.7, True), (0.4, False)):
        rows = [{"checkpoint": found[0].name, "outcome": 0.5}, {"checkpoint": found[1].name, "outcome": late}]
        path = table(tmp_path / f"{late}.jsonl", rows)
        steps = predict(PredictConfig(runs=(str(ready), path), resamples=200), tmp_path / str(late)).next_steps
        against = "step-2 is past overfitting onset, but RL from it reached 70.0 %, more than from step-1."
        assert (against in steps) is said


def test_few_runs_are_warned_about(tmp_path: Path) -> None:
    found = disagreeing(tmp_path)[:5]
    ready = write_readiness(tmp_path / "ready", found)
    rows = after_rl(found, seeds=1)
    result = predict(
        PredictConfig(runs=(str(ready), table(tmp_path / "five.jsonl", rows)), resamples=200), tmp_path / "5"
    )
    assert "5 SFT recipes are fewer than 8" in result.notes[0]
    two = table(tmp_path / "two.jsonl", rows[:2])
    result = predict(PredictConfig(runs=(str(ready), two), resamples=200), tmp_path / "2")
    assert "too few to score" in result.next_steps[1]
    assert result.families[0].scores == []


def rl_run(folder: Path, start: str, accuracy: float, **config: Any) -> Path:
    """A finished RL run folder as far as predict reads it."""
    figure, best = Estimate(accuracy, accuracy, accuracy, 9), folder / "checkpoints" / "step-1"
    write_record(folder, "rl", config={"model": start, "seed": 0} | config, cpu_seconds=5.0)
    chosen = BestCheckpoint(step=1, path=str(best), accuracy=figure)
    write_json(
        folder / "result.json",
        RLResult(
            headline="",
            seed=0,
            steps=1,
            stopped="",
            drift="",
            best=chosen,
            evaluations=[Evaluation(step=step, accuracy=figure, thinking_tokens=5.0) for step in (0, 1)],
        ),
    )
    return best


def evaluated(folder: Path, accuracies: dict[Path, float], **config: Any) -> None:
    """A finished evaluation with these accuracies at its one budget."""
    scores = {
        str(path): Scores(
            **dict.fromkeys(("accuracy", "thinking_tokens", "answer_tokens"), Estimate(value, 0, 1, 9)),
            **dict.fromkeys(("truncated", "unfinished"), Estimate(0, 0, 0, 9)),
        )
        for path, value in accuracies.items()
    }
    result = EvaluateResult(
        headline="",
        seed=0,
        task=TaskRecord(source="test", description=""),
        chance_level={},
        models=list(scores),
        problems=[],
        per_problem={},
        budgets=[BudgetScores(budget=8, scores=scores)],
        unconstrained={},
        settings=[],
        metrics=[],
        votes=[],
        lengths=LengthHistogram(edges=[], models={}),
    )
    write_json(folder / "result.json", result)
    write_record(folder, "evaluate", config=config)


def test_outcomes_out_of_run_folders(tmp_path: Path) -> None:
    """An RL run counts with its accuracy on the validation problems, or on those that it was evaluated on."""
    found = disagreeing(tmp_path)[:3]
    ready = write_readiness(tmp_path / "ready", found)
    best = [rl_run(tmp_path / f"rl-{i}", each.name, 0.1 * (i + 1), temperature=0.7) for i, each in enumerate(found)]
    runs = (str(ready), *(str(tmp_path / f"rl-{i}") for i in range(3)))
    result = predict(PredictConfig(runs=runs, resamples=50), tmp_path / "validation")
    assert [[(o.value, o.cost, o.family) for o in c.outcomes] for c in result.checkpoints] == [
        [(pytest.approx(0.1 * (i + 1)), 5.0, "")] for i in range(3)
    ]
    assert (result.families[0].runs, result.families[0].seed_sd) == (3, None)
    said = "validation accuracy, sampled at temperature 0.7, after RL step 1"
    assert result.families[0].meaning == said
    assert f"Outcome of RL: {said}." in result.remarks()

    shown = Strict(page.write(tmp_path / "validation").read_text()).text
    assert {(p.outcome.n, p.outcome.varies) for p in result.families[0].points} == {(9, "problems")}
    assert "one RL seed: the interval is over problems" in shown
    assert "vertical over problems, as each has one RL seed." in shown

    evaluated(tmp_path / "evaluate", {path: 0.9 - 0.1 * i for i, path in enumerate(best[:2])})
    result = predict(PredictConfig(runs=(*runs, str(tmp_path / "evaluate")), resamples=50), tmp_path / "evaluated")
    assert [[o.value for o in c.outcomes] for c in result.checkpoints] == [[0.9], [pytest.approx(0.8)], []]
    assert result.families[0].meaning == "accuracy on 9 problems at budget 8, sampled, after RL step 1"


def test_an_outcome_in_a_table_is_what_the_runs_hold_that_it_names(tmp_path: Path) -> None:
    """Or it is called by its column alone; one that its evaluation contradicts is refused."""
    found = disagreeing(tmp_path)[:3]
    ready = str(write_readiness(tmp_path / "ready", found))
    best = [rl_run(tmp_path / f"rl-{i}", each.name, 0.2, temperature=0.7) for i, each in enumerate(found)]
    evaluated(tmp_path / "eval", dict(zip(best[:2], (0.4, 0.625), strict=True)))

    evaluated(tmp_path / "low", dict.fromkeys(best[:2], 0.0))
    evaluated(tmp_path / "start", {Path(found[0].name): 0.325, best[0]: 0.25})
    shutil.copytree(tmp_path / "eval", tmp_path / "edited")
    record = RunRecord.load(tmp_path / "edited")
    record.model_copy(update={"files": checksums(tmp_path / "edited", tmp_path / "edited/result.json")}).save(
        tmp_path / "edited"
    )
    text = (tmp_path / "edited/result.json").read_text()
    (tmp_path / "edited/result.json").write_text(text.replace("0.4", "0.95"))

    def read(*rows: dict[str, Any]) -> list[str]:
        path = table(tmp_path / "rl.jsonl", [{"checkpoint": found[0].name, **row} for row in rows])
        config = PredictConfig(runs=(ready, path), resamples=50)
        result = predict(config, tmp_path / f"out-{len(list(tmp_path.iterdir()))}")
        return [family.meaning for family in result.families]

    said = ["accuracy on 9 problems at budget 8, sampled, after RL step 1"]
    for outcome in (0.4, 40, 0.401):
        assert read({"outcome": outcome, "run": "rl-0", "evaluate": "eval"}) == said
    assert read({"outcome": 0.4, "evaluate": "eval"}) == said
    (validation,) = read({"outcome": 0.2, "run": "rl-0"})
    assert validation.startswith("validation accuracy")
    unsaid = ["column outcome of rl.jsonl"]
    assert read({"outcome": 0.9, "run": "rl-0"}) == unsaid
    assert (
        read({"outcome": 0.2, "run": "rl-0"}, {"outcome": 0.9, "run": "rl-3", "seed": 1}) == unsaid
    )  # equal by chance
    assert read({"outcome": 0.9, "run": "rl-0", "evaluate": "eval", "meaning": "of mine"}) == ["of mine"]
    assert read({"outcome": 0.9, "run": "gone", "evaluate": None}) == unsaid
    stated = {"outcome": 0.2, "run": "rl-0", "meaning": "validation accuracy, as I say"}
    (both,) = read(stated, {"checkpoint": found[1].name, "outcome": 0.9})
    assert both == "validation accuracy, as I say or column outcome of rl.jsonl"
    bad: list[tuple[dict[str, Any], str]] = [
        ({"outcome": 0.625, "run": "rl-0", "evaluate": "eval"}, r"the outcome is 0.625, but .*eval has 0.4 for .*rl-0"),
        ({"outcome": 0.9, "evaluate": "eval"}, r"has 0.4 for .*rl-0.*, 0.625 for .*rl-1.*: correct one of them"),
        ({"outcome": 0.5, "run": "rl-0", "evaluate": "low"}, r"the outcome is 0.5, but .*low has 0 for"),  # no per cent
        ({"outcome": 0.325, "evaluate": "start"}, r"the outcome is 0.325, but .*start has 0.25 for .*rl-0"),
        ({"outcome": 0.4, "run": "rl-2", "evaluate": "eval"}, r"has evaluated .*rl-0.*, and nothing of .*rl-2"),
        ({"outcome": 0.95, "run": "rl-0", "evaluate": "edited"}, r"edited/result.json: damaged, or not the file"),
        ({"outcome": 0.4, "run": "ready"}, "run is ready, a run of readiness, not of rl"),
        ({"outcome": 0.4, "evaluate": "rl-0"}, "evaluate is rl-0, a run of rl, not of evaluate"),
        ({"outcome": 0.4, "run": 5}, "run must be the path of a run folder, not 5"),
        ({"outcome": 0.4, "evaluate": ["eval"]}, "evaluate must be the path of a run folder, not "),
    ]
    percent = {"outcome": 62.5, "run": "rl-1", "evaluate": "eval", "checkpoint": found[1].name}
    for other in ({"outcome": 0.4, "run": "rl-0"}, {"outcome": 0.4, "run": "rl-0", "meaning": "mine"}):
        with pytest.raises(UserError, match=r"rl.jsonl:2: the outcome, 62.5, is in per cent, .* of .*:1, 0.4, is a"):
            read(other | {"evaluate": "eval"}, percent)
    assert read({"outcome": 40, "run": "rl-0", "evaluate": "eval"}, percent) == said
    assert read({"outcome": 0, "run": "rl-0", "evaluate": "low"}, {"checkpoint": found[1].name, "outcome": 62.5})
    for row, why in bad:
        with pytest.raises(UserError, match=why):
            read(row)
    twice = {"outcome": 0.4, "run": "rl-0", "evaluate": "eval"}
    with pytest.raises(UserError, match=r"an outcome of .*rl-0, of which .*rl.jsonl:1 has one, too: name one"):
        read(twice, twice | {"seed": 1})


def test_outcomes_of_runs_that_were_renamed_are_known_by_content(tmp_path: Path) -> None:
    """Where their folders are gone by which the evaluation calls them."""
    found = disagreeing(tmp_path)[:2]
    ready = str(write_readiness(tmp_path / "ready", found))
    best = [rl_run(tmp_path / f"rl-{i}", each.name, 0.2) for i, each in enumerate(found)]
    for path, weights in zip(best, ("one", "two"), strict=True):
        saved(str(path), weights)
    evaluated(tmp_path / "eval", dict(zip(best, (0.4, 0.625), strict=True)))
    for path in best:
        note(tmp_path / "eval", "models", id=str(path), role="evaluated", sha256=content_digest(path))
    for i in range(2):
        (tmp_path / f"rl-{i}").rename(tmp_path / f"run-{i}")

    def outcome(value: float) -> PredictResult:
        row = {"checkpoint": found[0].name, "outcome": value, "run": "run-0", "evaluate": "eval"}
        rows = table(tmp_path / "rl.jsonl", [row])
        return predict(PredictConfig(runs=(ready, rows), resamples=50), tmp_path / f"out-{value}")

    assert outcome(0.4).families[0].meaning.startswith("accuracy on 9 problems")
    with pytest.raises(UserError, match=r"the outcome is 0.625, but .*eval has 0.4 for .*rl-0"):
        outcome(0.625)


def test_one_evaluated_model_is_the_outcome_of_one_run_of_rl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no folder shows which run it is of, and whatever the model is called; and it is not another start."""
    monkeypatch.chdir(tmp_path)
    low, high = (checkpoint(f"sft/checkpoints/step-{n}", reach=0.6, skill=0.5, seed=n) for n in (2, 4))
    ready = [measured_once(tmp_path / each.name[-1], each, saved(each.name, each.name)) for each in (low, high)]
    for folder, path in (("one", "models/v5"), ("two", "models/copy"), ("start", high.name)):
        evaluated(tmp_path / folder, {Path(path): 0.4})
        digest = saved(path, "made by RL") if folder != "start" else content_digest(Path(path))
        note(tmp_path / folder, "models", id=path, role="evaluated", sha256=digest)
    first = {"checkpoint": low.name, "outcome": 0.4, "evaluate": "one"}

    def read(*rows: dict[str, Any]) -> PredictResult:
        path = table(tmp_path / "rl.jsonl", rows)
        return predict(PredictConfig(runs=(*ready, path), resamples=50), tmp_path / f"out-{len(os.listdir())}")

    assert read(first).families[0].meaning.endswith("budget 8, sampled")
    for other in ({"checkpoint": high.name, "evaluate": "two"}, {"checkpoint": low.name, "seed": 1}):
        with pytest.raises(UserError, match=r"rl.jsonl:2: .*:1 gives the accuracy of the same model: name"):
            read(first, first | other)
    assert read(first, first | {"checkpoint": high.name, "evaluate": "two", "family": "other"})
    with pytest.raises(UserError, match=r"start has evaluated sft/.*step-4 as it was before RL, and not what RL .*-2"):
        read(first | {"evaluate": "start"})
    said = "start has evaluated sft/checkpoints/step-4 as it was before RL: if RL has not kept it, name"
    assert said in " ".join(read(first | {"checkpoint": high.name, "evaluate": "start"}).notes)


def test_the_step_of_an_outcome_is_that_of_the_checkpoint_of_rl(tmp_path: Path) -> None:
    """By content, whatever the copy of it is called that was evaluated."""
    found = disagreeing(tmp_path)[:2]
    ready = str(write_readiness(tmp_path / "ready", found))
    digest = saved(str(rl_run(tmp_path / "rl", found[0].name, 0.2)), "made by RL")
    evaluated(tmp_path / "eval", {tmp_path / "models/checkpoint-900": 0.4})
    note(tmp_path / "eval", "models", id=str(tmp_path / "models/checkpoint-900"), role="evaluated", sha256=digest)
    rows = [{"checkpoint": found[0].name, "outcome": 0.4, "run": "rl", "evaluate": "eval"}]
    config = PredictConfig(runs=(ready, table(tmp_path / "rl.jsonl", rows)), resamples=50)
    assert predict(config, tmp_path / "out").families[0].meaning.endswith("after RL step 1")


def test_labels_that_may_be_one_are_warned_of(tmp_path: Path) -> None:
    found = disagreeing(tmp_path)[:3]
    ready = str(write_readiness(tmp_path / "ready", found))
    rows = [{"checkpoint": each.name, "outcome": 0.5, "recipe": "Short"} for each in found]
    rows[0] |= {"recipe": "short", "seed": 0}
    config = PredictConfig(runs=(ready, table(tmp_path / "rl.jsonl", rows)), resamples=50)
    notes = " ".join(predict(config, tmp_path / "out").notes)
    assert re.search(r"the recipe is short in .*:1 and Short in .*:2, which count as two: if they are one", notes)
    assert "has an outcome with the seed" not in notes
    rows.append({**rows[0], "seed": None})
    config = PredictConfig(runs=(ready, table(tmp_path / "rl.jsonl", rows)), resamples=50)
    notes = " ".join(predict(config, tmp_path / "seeds").notes)
    assert re.search(rf"{found[0].name} has an outcome with the seed 0 in .*:1 and one without in .*:4, which", notes)


def test_a_cell_with_a_decimal_comma_is_shown_with_a_point() -> None:
    said = [shown(text).partition("(")[2] for text in ("0,612", "0,58", "1,234", "61.2%")]
    assert said == ["write 0.612)", "write 0.58)", "write 1234 if the comma groups thousands)", "write 0.612)"]


def test_an_outcome_of_a_start_that_rl_has_kept_is_of_step_0(tmp_path: Path) -> None:
    """Whatever number its SFT step has."""
    found = disagreeing(tmp_path)[:2]
    ready = str(write_readiness(tmp_path / "ready", found))
    rl_run(tmp_path / "rl", found[0].name, 0.2)
    digest = saved(found[0].name, "start")
    note(tmp_path / "rl", "models", id=found[0].name, role="start", sha256=digest)
    result = json.loads((tmp_path / "rl/result.json").read_text())
    result["best"]["step"] = 0
    (tmp_path / "rl/result.json").write_text(json.dumps(result))
    evaluated(tmp_path / "eval", {Path(found[0].name): 0.4})
    note(tmp_path / "eval", "models", id=found[0].name, role="evaluated", sha256=digest)
    rows = [{"checkpoint": found[0].name, "outcome": 0.4, "run": "rl", "evaluate": "eval"}]
    config = PredictConfig(runs=(ready, table(tmp_path / "rl.jsonl", rows)), resamples=50)
    (family,) = predict(config, tmp_path / "out").families
    assert "after RL step 0; 1 of 1 RL runs raised no validation accuracy" in family.meaning


def test_what_contradicts_the_runs_beside_a_meaning_is_warned_of(tmp_path: Path) -> None:
    found = disagreeing(tmp_path)[:2]
    ready = str(write_readiness(tmp_path / "ready", found))
    evaluated(tmp_path / "eval", {rl_run(tmp_path / "rl", found[0].name, 0.2): 0.4})
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "of mine": (
            {"evaluate": "eval"},
            "the outcome is 0.9, but .*eval has 0.4 for .*; by its column meaning it is ",
        ),
        "validation accuracy": ({}, "the outcome is not the validation accuracy of .*rl"),
    }
    for meaning, (row, why) in cases.items():
        rows = [{"checkpoint": found[0].name, "outcome": 0.9, "run": "rl", "meaning": meaning} | row]
        config = PredictConfig(runs=(ready, table(tmp_path / "rl.jsonl", rows)), resamples=50)
        assert predict(config, tmp_path / meaning).families[0].meaning == meaning
        assert any(re.search(why, text) for text in RunRecord.load(tmp_path / meaning).warnings)


def test_unlike_outcomes_of_one_checkpoint_are_not_averaged(tmp_path: Path) -> None:
    """As if they were of two seeds."""
    found = disagreeing(tmp_path)[:2]
    ready = str(write_readiness(tmp_path / "ready", found))
    rl_run(tmp_path / "rl", found[0].name, 0.2)
    row = {"checkpoint": found[0].name, "outcome": 0.9, "seed": 3}
    listed = table(tmp_path / "rl.jsonl", [row])
    with pytest.raises(
        UserError, match=r"is validation accuracy, sampled, but in .*rl.jsonl:1 column outcome of rl.jsonl: "
    ):
        predict(PredictConfig(runs=(ready, listed, str(tmp_path / "rl")), resamples=50), tmp_path / "out")
    apart = table(tmp_path / "apart.jsonl", [row | {"family": "mine"}])
    result = predict(PredictConfig(runs=(ready, apart, str(tmp_path / "rl")), resamples=50), tmp_path / "apart")
    assert [family.meaning for family in result.families] == [
        "column outcome of apart.jsonl",
        "validation accuracy, sampled, after RL step 1",
    ]
    (tmp_path / "b").mkdir()
    other = table(tmp_path / "b" / "rl.jsonl", [row | {"outcome": 0.7, "seed": 4}])  # as of another seed
    result = predict(PredictConfig(runs=(ready, listed, other), resamples=50), tmp_path / "tables")
    assert result.families[0].points[0].outcome.value == pytest.approx(0.8)


def test_rl_that_was_not_evaluated_as_the_others_is_evaluated_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than run again from the same checkpoint."""
    monkeypatch.chdir(tmp_path)
    found = disagreeing(tmp_path)[:3]
    ready = str(write_readiness(tmp_path / "ready", found))
    best = [rl_run(tmp_path / f"rl-{i}", each.name, 0.2) for i, each in enumerate(found)]
    evaluated(tmp_path / "eval", dict.fromkeys(best[:2], 0.4))
    (tmp_path / "eval" / CONFIG).write_text("")
    best[2].mkdir(parents=True)
    runs = (ready, "rl-0", "rl-1", "rl-2", "eval")
    result = predict(PredictConfig(runs=runs, resamples=50), tmp_path / "out")
    assert result.next_command == "rlready evaluate rl-2/checkpoints/step-1 --config eval/config.toml"
    assert result.next_action.startswith("Evaluate what rl-2 has chosen as in eval: ")
    assert result.untried == ""
    best[2].rmdir()
    assert predict(PredictConfig(runs=runs, resamples=50), tmp_path / "gone").next_command == ""


def test_the_next_run_of_rl_starts_from_a_checkpoint_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from one that is gone, as where its folder was renamed, which is said."""
    monkeypatch.chdir(tmp_path)
    found = [checkpoint(f"sft-{at}/checkpoints/step-9", reach=0.6 + at / 50, skill=0.5, seed=at) for at in range(3)]
    runs = [measured_once(tmp_path / f"ready-{at}", each, saved(each.name, str(at))) for at, each in enumerate(found)]
    rl_run(tmp_path / "rl", found[0].name, 0.9)
    config = PredictConfig(runs=(*runs, "rl"), resamples=50)
    result = predict(config, tmp_path / "all")
    assert (result.untried, result.notes) == (
        "sft-2/step-9",
        [note for note in result.notes if "not there" not in note],
    )
    Path("sft-2").rename("renamed")
    result = predict(config, tmp_path / "renamed-out")
    assert result.untried == "sft-1/step-9"
    assert sum(f"Warning: {found[2].name} is not there any more" in text for text in result.notes) == 1
    Path("sft-1").rename("renamed-1")
    result = predict(config, tmp_path / "none")
    assert (result.untried, result.next_command) == ("sft-2/step-9", "")


def test_checkpoints_that_were_called_alike_in_two_directories_are_named_by_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And RL that was started there is matched by what it has read."""
    ready = []
    for at, place in enumerate(("one", "two")):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        each = checkpoint("checkpoint-8", reach=0.6, skill=0.4 + at / 5, seed=at)
        digest = saved(each.name, place)
        ready.append(measured_once(tmp_path / place / "ready", each, digest))
        rl_run(tmp_path / place / "rl", each.name, 0.3 + at / 5)
        for folder in ("ready", "rl"):
            RunRecord.load(tmp_path / place / folder).model_copy(update={"folder": folder}).save(
                tmp_path / place / folder
            )
        note(tmp_path / place / "rl", "models", id=each.name, role="start", sha256=digest, path=each.name)
    monkeypatch.chdir(tmp_path)
    result = predict(PredictConfig(runs=(*ready, "one/rl", "two/rl"), resamples=50), tmp_path / "out")
    assert {c.name: [o.value for o in c.outcomes] for c in result.checkpoints} == {
        "one/checkpoint-8": [0.3],
        "two/checkpoint-8": [0.5],
    }


def test_what_outcomes_are_is_said_of_all_together(tmp_path: Path) -> None:
    """Steps as a range; a table says only which of its columns was read, unless it names runs."""
    some = [Meaning("accuracy", 48), Meaning("accuracy", 24), Meaning("validation accuracy"), Meaning("", 30)]
    assert of_all(some) == "accuracy or validation accuracy, after RL steps 24 to 48"
    still = "; 1 of 2 RL runs raised no validation accuracy, so that their outcome is the start's"
    assert of_all([Meaning("accuracy", 0), Meaning("accuracy", 9)]) == f"accuracy, after RL steps 0 to 9{still}"
    assert of_all([Meaning()]) == ""
    found = one_run(tmp_path)
    result = predicted(tmp_path, found, [{"checkpoint": found[1].name, "outcome": 0.5}])
    assert result.families[0].meaning == "column outcome of rl.jsonl"
    rl_run(tmp_path / "run", found[1].name, 0.5, temperature=1.0)
    rows = [{"checkpoint": found[1].name, "outcome": 0.5, "run": str(tmp_path / "run")}]
    linked = predicted(tmp_path / "linked", found, rows)
    assert linked.families[0].meaning == "validation accuracy, sampled at temperature 1, after RL step 1"
    html = page.write(tmp_path / "linked/out").read_text()
    shown = Strict(html).text
    assert "1 RL run from 1 checkpoint of 1 SFT recipe, on average 50.0\u202f% after RL" in shown
    assert "Outcome of RL against" not in html  # a chart needs three points
    assert linked.headline.startswith("RL from step-20 reached 50.0 %; ")
    assert "step-40 RL next" in re.sub(r"\s+", " ", shown)
    assert "not comparable with pass@64, for which one of 64 samples is enough; one RL seed" in shown
    assert "from 1 checkpoint with an outcome; leaves out step-10, step-30 and step-40, untried" in shown


def test_the_next_run_has_the_settings_of_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the model, so that the outcomes are of one family; a folder that is not at hand is not named."""
    monkeypatch.chdir(tmp_path)
    found = one_run(tmp_path)
    config = RLConfig(
        model=found[1].name, problems="dagmath?ops=5&seed=9", steps=7, reward="arora_zanette", algorithm="grpo", seed=3
    )
    best = rl_run(tmp_path / "rl", found[1].name, 0.5, **plain(config))
    (tmp_path / "rl" / CONFIG).write_text(to_toml(config))
    ready = str(write_readiness(tmp_path / "ready", found))
    result = predict(PredictConfig(runs=(ready, "rl"), resamples=50), tmp_path / "out")
    command, *words = shlex.split(result.next_command)
    assert (command, words[:3]) == ("rlready", ["rl", "--config", "rl/config.toml"])  # the folder as it was named
    (model,) = words[3:]
    assert fill_config(RLConfig, Path(words[2]), dict([model.split("=", 1)])).value == config.replace(
        model=found[3].name
    )
    assert result.next_action.endswith(" The same problems and settings as rl, so that the outcomes can be compared.")
    evaluated(tmp_path / "eval", {best: 0.9})
    result = predict(PredictConfig(runs=(ready, "eval"), resamples=50), tmp_path / "evaluated")
    assert result.next_action.endswith(" Then evaluate the checkpoint that it chooses as in eval.")
    assert result.next_command == f"rlready rl --config rl/config.toml model={found[3].name}"
    result = predict(PredictConfig(runs=(ready, str(tmp_path / "rl")), resamples=50), tmp_path / "absolute")
    assert result.next_command.startswith(f"rlready rl --config {tmp_path / 'rl' / CONFIG} ")


def test_where_another_trainer_has_run_there_is_no_command_of_rl(tmp_path: Path) -> None:
    """It would train with other settings; an export of the checkpoint, beside that of the outcome, is named."""
    found = one_run(tmp_path)
    (tmp_path / "curve.csv").write_text("step,outcome\n1,0.2\n2,0.5\n")
    row: dict[str, Any] = {"checkpoint": found[1].name, "curve": str(tmp_path / "curve.csv"), "outcome": "last"}
    result = predicted(tmp_path / "curve", found, [row])
    assert result.next_command == ""
    assert result.next_action.endswith(
        " Use the trainer and the settings of the earlier runs: outcomes of others cannot be compared."
    )
    for name, model in (("a", found[1].name), ("b", found[3].name)):
        with Run(tmp_path / "exports" / name, "export", ExportConfig(run="rl.toml")) as run:
            run.note_model(id=model, path=None, role="start")
            run.claim()
    rows = [{"checkpoint": found[1].name, "outcome": 0.5, "run": str(tmp_path / "exports" / "a")}]
    result = predicted(tmp_path / "exported", found, rows)
    assert result.next_command == ""
    assert result.next_action.endswith(
        f" It is exported to {tmp_path / 'exports' / 'b'}: train that, and run the command of the sweep again."
    )


def test_an_asymptote_is_not_said_to_be_reached(tmp_path: Path) -> None:
    found = one_run(tmp_path)
    values = (f"{t},{0.2 + 0.3 / (1 + (3 / t) ** 2)}" for t in range(1, 31))
    (tmp_path / "curve.csv").write_text("\n".join(["step,outcome", *values]))
    row: dict[str, Any] = {"checkpoint": found[1].name, "curve": str(tmp_path / "curve.csv"), "outcome": "asymptote"}
    assert predicted(tmp_path, found, [row]).headline.startswith("RL from step-20 reached 50.0 % (asymptote); ")


def test_an_evaluation_of_two_checkpoints_of_a_run_names_both(tmp_path: Path) -> None:
    """There is no other run to leave out; two evaluations of one checkpoint are."""
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    best = rl_run(tmp_path / "rl", found[0].name, 0.1)
    earlier = best.with_name("step-0")
    evaluated(tmp_path / "both", {best: 0.9, earlier: 0.8})
    said = f"both holds two checkpoints of one run of RL, {best} and {earlier}: evaluate without the one that is not"
    with pytest.raises(UserError, match=said):
        find_runs((str(ready), str(tmp_path / "both")))
    for name in ("one", "two"):
        evaluated(tmp_path / name, {best: 0.9})
    with pytest.raises(UserError, match=r"rl is evaluated twice, in .*one and .*two: name one of them"):
        find_runs((str(ready), str(tmp_path / "one"), str(tmp_path / "two")))


def test_the_beginning_of_rl_predicts_its_end(tmp_path: Path) -> None:
    """From the logs of RL folders, or of those that a table names."""
    found = disagreeing(tmp_path)[:4]
    ready = write_readiness(tmp_path / "ready", found)
    for i, each in enumerate(found):
        folder = tmp_path / f"rl-{i}"
        rl_run(folder, each.name, 0.1 * (i + 1))
        rewards = [0.1 + (0.1 * (i + 1)) / (1 + 20 / step) for step in range(1, 61)]
        lines = [json.dumps({"step": step, "reward": reward}) for step, reward in enumerate(rewards, start=1)]
        (folder / "log.jsonl").write_text("".join(f"{line}\n" for line in lines))
    rows = [{"checkpoint": each.name, "outcome": 0.1 * (i + 1), "run": f"rl-{i}"} for i, each in enumerate(found)]
    for named in ([str(tmp_path / f"rl-{i}") for i in range(4)], [table(tmp_path / "rl.jsonl", rows)]):
        result = predict(PredictConfig(runs=(str(ready), *named), splits=20), tmp_path / f"out-{len(named)}")
        values = result.families[0].values
        assert values["reward@5"] == pytest.approx([np.mean([0.1 + 0.1 * (i + 1) / (1 + 20 / t) for t in range(1, 6)])
                                                    for i in range(4)])  # fmt: skip
        assert values["reward@10"] > values["reward@5"]
        ends = [0.1 + 0.1 * (i + 1) / (1 + 20 / 60) for i in range(4)]
        assert values["extrapolated"] == pytest.approx(ends, abs=2e-3)


@pytest.mark.parametrize("reward", [0.3, 0.0, 1.0, 2.5, -1.0])
def test_curves_without_a_trend_end_where_they_began(reward: float) -> None:
    assert extrapolated(range(1, 13), [reward] * 12, 60) == pytest.approx(reward, abs=1e-6)


def test_distinct_answers_are_those_of_a_smaller_group() -> None:
    """The mean over all groups of 3 of 6 samples."""
    answers = ["1", "1", "1", "2", "", "7"]
    groups = [len({*group}) for group in combinations(answers, 3)]
    found = distinct_answers([answers, ["4"] * 6], 3)
    assert found.value == pytest.approx((np.mean(groups) + 1) / 2)
    with pytest.raises(UserError, match="k = 7"):
        distinct_answers([answers], 7)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"temperature": 1.9}, {"temperature": 0.2}, "different temperature: 1.9 and 0.2"),
        ({"max_answer_tokens": 2}, {"max_answer_tokens": 16}, "different max_answer_tokens: 2 and 16"),
        ({"num_waits": [0]}, {"num_waits": [1, 2]}, "different num_waits: 0 and 1"),
        ({"reference": "base"}, {"reference": ""}, "different reference: base and none"),
        ({"delimiters": ["ab", "ca"]}, {"delimiters": []}, "different delimiters: ab,ca and none"),
        ({"delimiters": []}, {}, ""),  # as in a record of an earlier version
        ({"samples": 1, "beta": 0.5, "num_waits": [0, 1]}, {"samples": 2, "beta": 1.0, "num_waits": [0]}, ""),
    ],
)
def test_outcomes_are_of_evaluations_with_the_same_settings(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], said: str
) -> None:
    """In run folders, and in those that the table of a sweep names; settings without effect may differ."""
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    rows = []
    for i, (each, config) in enumerate(zip(found, (one, other), strict=True)):
        best = rl_run(tmp_path / f"rl-{i}", each.name, 0.1)
        evaluated(tmp_path / f"eval-{i}", {best: 0.9}, **{"num_waits": [0], "end_think_bias": [0.0], **config})
        rows.append({"checkpoint": each.name, "outcome": 0.9, "run": f"rl-{i}", "evaluate": f"eval-{i}"})
    folders = (str(tmp_path / "eval-0"), str(tmp_path / "eval-1"))
    for runs in (folders, (table(tmp_path / "runs.jsonl", rows),)):
        with pytest.raises(UserError, match=f"eval-0 and .*eval-1 evaluated with {said}") if said else nullcontext():
            assert len(find_runs((str(ready), *runs)).outcomes) == 2
    if said:  # families are not compared with each other
        apart = [row | {"family": str(i)} for i, row in enumerate(rows)]
        assert len(find_runs((str(ready), table(tmp_path / "apart.jsonl", apart))).outcomes) == 2


DIFFERENT: dict[str, Any] = {  # values of the settings that decide what is sampled
    "problems": "dagmath?n=9",
    "temperature": 0.5,
    "thinking_budget": 7,
    "max_answer_tokens": 3,
    "answer_prefix": "=",
    "apply_chat_template": False,
    "delimiters": ["ab", "ca"],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_readiness_with_another_setting_that_decides_what_is_sampled_is_refused(tmp_path: Path, name: str) -> None:
    found = disagreeing(tmp_path)[:2]
    ready = [write_readiness(tmp_path / f"ready-{i}", [each]) for i, each in enumerate(found)]
    record = json.loads((ready[1] / "record.json").read_text())
    record["config"][name] = DIFFERENT[name]
    (ready[1] / "record.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=f"with different {name}: "):
        read_candidates(ready)


def test_every_setting_of_readiness_is_one_that_must_be_the_same_or_is_not() -> None:
    """A new setting is to be added to `SAME`, or here, with the reason."""
    of_numbers = {"samples", "sampling", "min_samples", "group_size"}  # estimates are unbiased at any
    by_themselves = {"heldout"}  # losses are compared within the same rows only
    of_influence = {"influence", "influence_layers", "influence_rank"}  # which ranks nothing
    of_the_machine = {"engine", "device", "dtype"}  # the same distribution but for rounding
    apart = {"checkpoints", "seed", *of_numbers, *by_themselves, *of_influence, *of_the_machine}
    assert not apart & {*SAME}
    assert {*SAME} == DIFFERENT.keys()
    assert apart | {*SAME} == ReadinessConfig.model_fields.keys()


def test_every_setting_of_evaluate_is_a_condition_of_the_accuracy_or_is_not(tmp_path: Path) -> None:
    """A new setting is to be added to `conditions_of`, or here, with the reason."""
    base: dict[str, Any] = {
        "num_waits": [1],
        "end_think_bias": [1.0],
        "reference": "m",
    }  # with which wait_text and beta have an effect
    base |= {"max_answer_tokens": 16}
    conditions = {key: DIFFERENT[key] for key in {*SAME} - {"problems", "thinking_budget"}}
    conditions |= {"num_waits": [2], "end_think_bias": [2.0], "wait_text": "Hm", "reference": "r", "beta": 0.5}
    of_the_result = {"problems", "thinking_budgets"}  # the content of the one, and the largest of the others
    without_budget: dict[str, Any] = {"unconstrained": True, "max_response_tokens": 9}
    apart = {"models", "samples", "seed", "engine", "device", "dtype"}
    apart |= {"length_prompt"}  # measured beside the budgets, with settings of their own
    assert conditions.keys() | of_the_result | without_budget.keys() | apart == EvaluateConfig.model_fields.keys()
    evaluated(tmp_path, {tmp_path / "m": 0.5}, **base)
    record, result = RunRecord.load(tmp_path), EvaluateResult.load(tmp_path)
    free = result.model_copy(update={"budgets": [result.budgets[0].model_copy(update={"budget": None})]})

    def differing(name: str, value: object, result: EvaluateResult) -> list[str]:
        other = record.model_copy(update={"config": record.config | {name: value}})
        return unlike(conditions_of(record, result), conditions_of(other, result))

    for name, value in conditions.items():
        assert [each.split(":")[0] for each in differing(name, value, result)] == [name]
    for name, value in without_budget.items():
        assert [each.split(":")[0] for each in differing(name, value, free)] == [name]
    assert differing("thinking_budgets", [9, 99], free) == ["max_response_tokens: 16 and 460"]  # of which it is made
    for name in (*of_the_result, *without_budget, *apart):
        assert not differing(name, "other", result)


def test_every_setting_of_rl_that_samples_is_shared_with_readiness_or_is_not() -> None:
    """The families of outcomes differ by every setting of rl but the model and the seed; the commands that readiness
    and a sweep write carry those that both verbs have."""
    sampling = {"temperature", "thinking_budget", "max_answer_tokens", "answer_prefix"}
    sampling |= {"apply_chat_template", "delimiters"}
    assert sampling == {*SAME} - {"problems"} == {*SWEEP_SHARED} == {*SHARED} - {"group_size"}
    both = {"problems", "group_size", "seed", "engine", "device", "dtype"}  # problems and seeds should be others
    assert both | sampling == ReadinessConfig.model_fields.keys() & RLConfig.model_fields.keys()


def test_runs_are_found_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths in an evaluation are those of the directory in which it ran; one that belongs to no run is said."""
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    found = [replace(each, name=f"sft-{i}/checkpoints/step-9") for i, each in enumerate(disagreeing(tmp_path)[:3])]
    write_readiness(Path("ready"), found)
    best = [rl_run(Path(f"rl-{i}"), each.name, 0.1 * (i + 1)) for i, each in enumerate(found)]
    evaluated(Path("evaluate"), {path: 0.9 - 0.1 * i for i, path in enumerate(best)})
    evaluated(Path("below"), {Path("..") / path: 0.9 - 0.1 * i for i, path in enumerate(best)})
    for name, folder in (("ready", "ready"), ("evaluate", "evaluate"), ("../below", "below")):
        record = json.loads(Path(folder, "record.json").read_text())
        Path(folder, "record.json").write_text(json.dumps(record | {"folder": name}))
    monkeypatch.chdir(tmp_path / "sub" / "deeper")
    for folder in ("evaluate", "below"):
        runs = tuple(f"../../{name}" for name in ("ready", "rl-0", "rl-1", "rl-2", folder))
        result = predict(PredictConfig(runs=runs, resamples=50), Path("out", folder))
        assert [[o.value for o in c.outcomes] for c in result.checkpoints] == [[0.9], [pytest.approx(0.8)], [0.7]]
        assert result.checkpoints[0].trained  # by the record of the SFT run
    assert "left out" not in capsys.readouterr().err
    evaluated(Path("elsewhere"), {Path("gone/checkpoints/step-1"): 0.5})
    result = predict(PredictConfig(runs=(*runs[:-1], "elsewhere"), resamples=50), Path("out", "elsewhere"))
    assert result.checkpoints[0].outcomes[0].value == pytest.approx(0.1)
    assert "elsewhere is left out: none of its models is a checkpoint of a run of rl" in capsys.readouterr().err


def saved(checkpoint: str, weights: str) -> str:
    """Save a checkpoint as SFT does; returns its SHA-256."""
    Path(checkpoint).mkdir(parents=True, exist_ok=True)
    Path(checkpoint, "model.safetensors").write_text(weights)
    Path(checkpoint, "config.json").write_text("{}")
    write_checksums(Path(checkpoint))
    return content_digest(Path(checkpoint))


def measured_once(folder: Path, found: Simulated, digest: str) -> str:
    """A run of readiness that has recorded the content of its checkpoint."""
    write_readiness(folder, [found])
    note(folder, "models", id=found.name, role="checkpoint", sha256=digest)
    return str(folder)


def test_a_checkpoint_that_was_replaced_belongs_to_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two SFT runs, one after the other in one folder: no loss of one is a rise over that of the other."""
    monkeypatch.chdir(tmp_path)
    names = [f"sft/checkpoints/step-{step}" for step in (2, 4)]
    low, high = (
        checkpoint(name, reach=0.6, skill=0.5 + at / 5, seed=at, loss=0.3 + at / 2) for at, name in enumerate(names)
    )
    first = measured_once(tmp_path / "first", low, saved(low.name, "one"))
    second = measured_once(tmp_path / "second", high, saved(high.name, "two"))
    config = PredictConfig(runs=(first, second), resamples=50)
    result = predict(config, tmp_path / "same")
    assert [c.sft for c in result.checkpoints] == ["sft", "sft"]
    assert any(c.why.startswith("past overfitting onset") for c in result.checkpoints)
    saved(low.name, "of another run")
    result = predict(config, tmp_path / "replaced")
    assert result.checkpoints[1].sft == "sft" != result.checkpoints[0].sft
    assert not any(c.why.startswith("past overfitting onset") for c in result.checkpoints)
    assert result.chosen == high.name
    assert not any("has changed since it was measured" in text for text in result.notes)
    assert any(text.startswith(f"Warning: {low.name} has changed since the measurement") for text in result.notes)
    saved(high.name, "of another run")
    notes = predict(config, tmp_path / "both").notes
    assert f"Warning: {high.name} has changed since it was measured" in " ".join(notes)


@pytest.mark.parametrize("how", ["deleted", "replaced", "light"])
def test_a_checkpoint_that_is_another_now_is_not_recommended_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """One of another trainer, which has no checksums of its own; nor by the result of readiness itself."""
    monkeypatch.chdir(tmp_path)
    found = [checkpoint(f"out/checkpoint-{n}", reach=0.3 + n / 40, skill=0.5, seed=n) for n in (10, 20)]
    digests = [saved(each.name, each.name) for each in found]
    write_readiness(tmp_path / "ready", found)
    for each, digest in zip(found, digests, strict=True):
        (Path(each.name) / "checksums.sha256").unlink()
        note(tmp_path / "ready", "models", id=each.name, role="checkpoint", path=each.name, sha256=digest)
    config = PredictConfig(runs=(str(tmp_path / "ready"),), resamples=50)
    whole, before = predict(config, tmp_path / "whole"), load_result(tmp_path / "ready")
    assert (whole.chosen, before.picked) == (found[1].name, found[1].name)
    assert found[1].name in whole.next_command
    assert not any("Warning" in text for text in [*whole.notes, *before.notes])
    weights = Path(found[1].name) / "model.safetensors"
    if how == "replaced":
        weights.write_text("other")
    elif how == "light":
        weights.unlink()
    else:
        shutil.rmtree(weights.parent)
    said = {"deleted": "is not there any more", "light": "has no weights any more", "replaced": "has changed since it"}
    result, after = predict(config, tmp_path / "now"), load_result(tmp_path / "ready")
    assert f"Warning: {found[1].name} {said[how]}" in " ".join(result.notes)
    assert result.next_command == after.next_command == ""
    assert result.next_action.startswith("checkpoint-20 is not there as it was measured: get it back, or measure")
    assert f"Warning: {found[1].name} is gone or has changed since this run read it" in after.notes[-1]


def test_of_a_model_that_is_not_a_folder_here_nothing_is_said(tmp_path: Path) -> None:
    """The embedded one, or one on the machine where the run was."""
    for name, path in (("embedded", str(tmp_path / "package/embedded")), ("/elsewhere/sft", "/elsewhere/sft")):
        ready = tmp_path / Path(name).name
        write_readiness(ready, [checkpoint(name, reach=0.6, skill=0.5, seed=1)])
        note(ready, "models", id=name, role="checkpoint", path=path, sha256="0" * 64)
        assert not any("Warning" in text for text in load_result(ready).notes)
        assert load_result(ready).picked == name


def test_a_best_checkpoint_of_rl_that_has_other_weights_is_said(tmp_path: Path) -> None:
    """Though the list of its checksums is as it was."""
    best = rl_run(tmp_path / "rl", "start", 0.2)
    saved(str(best), "made by RL")
    assert load_result(tmp_path / "rl").notes == []
    (best / "model.safetensors").write_text("other")
    assert load_result(tmp_path / "rl").notes == [f"Warning: deleted or replaced since the run has ended: {best}."]


def test_fewest_steps_are_counted_within_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tie with a checkpoint of another run of that name, or of one that began after the measurement, is no saving."""
    monkeypatch.chdir(tmp_path)
    names = [f"sft/checkpoints/step-{step}" for step in (2, 4)]
    low, high = (checkpoint(name, reach=0.6, skill=0.5, seed=3) for name in names)  # equal, so that the first leads
    runs = [measured_once(tmp_path / each.name[-1], each, saved(each.name, each.name)) for each in (high, low)]
    config = PredictConfig(runs=tuple(runs), resamples=50)
    assert predict(config, tmp_path / "one").chosen == low.name
    saved(low.name, "of another run")
    assert predict(config, tmp_path / "replaced").chosen == high.name
    (Path(low.name) / "model.safetensors").unlink()
    assert predict(config, tmp_path / "light").chosen == low.name  # weights that were deleted are not other weights
    shutil.rmtree(low.name)
    assert predict(config, tmp_path / "gone").chosen == low.name  # the run is older than the measurement
    record = json.loads(Path("sft/record.json").read_text())
    Path("sft/record.json").write_text(json.dumps(record | {"start": "2027-01-01T00:00:00+00:00"}))
    assert predict(config, tmp_path / "later").chosen == high.name


def test_one_checkpoint_under_two_names_is_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "sft/checkpoints/step-2"
    digest = saved(name, "one")
    runs = [
        measured_once(tmp_path / folder, checkpoint(spelt, reach=0.6, skill=0.5, seed=1), digest)
        for folder, spelt in (("a", name), ("b", str(tmp_path / name)))
    ]
    with pytest.raises(UserError, match=r"step-2 and .*step-2 are one checkpoint, which is measured twice"):
        predict(PredictConfig(runs=tuple(runs)), tmp_path / "out")
    copied = measured_once(tmp_path / "c", checkpoint("copy/checkpoints/step-2", reach=0.6, skill=0.5, seed=1), digest)
    notes = predict(PredictConfig(runs=(runs[0], copied)), tmp_path / "copied").notes
    assert any("copy/checkpoints/step-2 had the same content as sft/checkpoints/step-2" in text for text in notes)


def test_checkpoints_that_are_links_are_of_the_runs_that_hold_the_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the weights of all runs are in one store."""
    monkeypatch.chdir(tmp_path)
    found = []
    for at, (run, step) in enumerate((("a", 2), ("b", 4))):
        name = f"{run}/checkpoints/step-{step}"
        digest = saved(f"store/step-{step}", run)
        Path(name).parent.mkdir(parents=True)
        Path(name).symlink_to(tmp_path / f"store/step-{step}")
        each = checkpoint(name, reach=0.6, skill=0.5 + at / 5, seed=at, loss=0.3 + at / 2)
        found.append(measured_once(tmp_path / f"ready-{run}", each, digest))
    result = predict(PredictConfig(runs=tuple(found)), tmp_path / "out")
    assert sorted(c.sft or "" for c in result.checkpoints) == ["a", "b"]
    assert not any(c.why.startswith("past overfitting onset") for c in result.checkpoints)


def test_rl_from_another_model_of_that_name_is_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where two projects call their checkpoints alike; from folders and from a table."""
    monkeypatch.chdir(tmp_path)
    found = [checkpoint(f"sft/checkpoints/step-{at}", reach=0.6, skill=0.5, seed=at) for at in (2, 4)]
    ready = str(write_readiness(tmp_path / "ready", found))
    for each in found:
        note(tmp_path / "ready", "models", id=each.name, role="checkpoint", sha256="a" * 64)
    for folder, digest in (("same", "a"), ("other", "b")):
        rl_run(tmp_path / folder, "step-4", 0.9)  # in the folder of checkpoints of some project
        note(tmp_path / folder, "models", id="step-4", role="start", sha256=digest * 64, path=f"{digest}/step-4")
    result = predict(PredictConfig(runs=(ready, "same"), resamples=50), tmp_path / "out")
    assert result.checkpoints[1].outcomes[0].value == 0.9
    assert not any("RL began from" in text for text in result.notes)
    rows = table(tmp_path / "rl.jsonl", [{"checkpoint": found[1].name, "outcome": 0.9, "run": "other"}])
    for run, out in (("other", "folder"), (rows, "table")):
        notes = predict(PredictConfig(runs=(ready, run), resamples=50), tmp_path / out).notes
        assert any(
            "RL began from step-4, whose files are not those of sft/checkpoints/step-4" in text for text in notes
        )
    note(tmp_path / "other", "models", id=found[1].name, role="start", sha256="b" * 64, path=found[1].name)
    with pytest.raises(UserError, match=r"different content under one name, sft/checkpoints/step-4, which was changed"):
        predict(PredictConfig(runs=(ready, "other"), resamples=50), tmp_path / "refused")


def note(folder: Path, kind: str, **changes: str | None) -> None:
    """Have the record of a run name an input."""
    record = json.loads((folder / "record.json").read_text())
    about: dict[str, Any] = {"id": "problems.jsonl", "path": changes.get("id", ""), "licence": "unknown", **changes}
    about |= {"size": 9} if kind == "data" else {"chat": None, "learner": None}
    (folder / "record.json").write_text(json.dumps(record | {kind: [*record[kind], about]}))


@pytest.mark.parametrize(
    ("kind", "verbs", "role"),
    [
        ("models", ("readiness", "rl"), "start"),
        ("data", ("evaluate", "evaluate"), "test"),
        ("data", ("readiness", "readiness"), "held-out loss"),
        ("data", ("rl", "rl"), "code of problems"),
    ],
)
def test_different_content_under_one_name_is_refused(
    tmp_path: Path, kind: str, verbs: tuple[str, str], role: str
) -> None:
    """A checkpoint, problems, rows or a verifier that was overwritten between two runs; the same content is fine."""
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    folders = [tmp_path / f"{i}-{verb}" for i, verb in enumerate(verbs)]
    for folder, verb in zip(folders, verbs, strict=True):
        write_record(folder, verb)
    name = found[0].name if kind == "models" else "problems.jsonl"
    for digest in ("a", "a", "b"):
        note(folders[digest == "b"], kind, id=name, role=role, sha256=digest)
    with pytest.raises(
        UserError, match=f"0-{verbs[0]} and .*1-{verbs[1]} have read different content under one name, "
    ):
        refuse_unlike_content(folders)
    refuse_unlike_content([ready, folders[0]])


def test_a_checkpoint_whose_card_was_edited_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one whose digest an earlier version recorded, over its card and the state of its trainer, too."""
    monkeypatch.chdir(tmp_path)
    start = "sft/checkpoints/step-2"
    saved(start, "weights")
    Path(start, "config.json").write_text("{}")
    Path(start, "README.md").write_text("# As saved")
    content = content_digest(Path(start))
    Path(start, "README.md").write_text("# Edited")
    assert content_digest(Path(start)) == content
    files = [path for path in sorted(Path(start).iterdir()) if not path.name.startswith(".")]
    lines = [f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files]
    earlier = hashlib.sha256("".join(lines).encode()).hexdigest()
    folders = [tmp_path / name for name in ("readiness", "rl", "evaluate")]
    for folder, digest in zip(folders, (content, content, earlier), strict=True):
        write_record(folder, folder.name)
        note(folder, "models", id=start, role="start", sha256=digest, path=str(tmp_path / start))
    refuse_unlike_content(folders)
    saved(start, "others")
    with pytest.raises(UserError, match="have read different content under one name"):
        refuse_unlike_content(folders)


def test_an_evaluation_of_a_checkpoint_that_the_run_has_not_saved_is_refused(tmp_path: Path) -> None:
    """Its folder holds another run now, whose clock says nothing against it."""
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    best = rl_run(tmp_path / "rl", found[0].name, 0.5)
    evaluated(tmp_path / "evaluate", {best.with_name("step-3"): 0.9})
    with pytest.raises(UserError, match=r"rl was overwritten after .*evaluate had evaluated it, or is another"):
        find_runs((str(ready), str(tmp_path / "evaluate")))


def test_a_copy_is_no_second_run_and_an_edited_record_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy that went on under its own name has other paths in its settings."""
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    rl_run(tmp_path / "rl", found[0].name, 0.5)
    shutil.copytree(tmp_path / "rl", tmp_path / "copy")
    record = RunRecord.load(tmp_path / "copy")
    record.model_copy(update={"config": record.config | {"model": "elsewhere"}}).save(tmp_path / "copy")
    with pytest.raises(UserError, match=r"copy is a copy of \S*rl: leave one of them out"):
        find_runs((str(ready), str(tmp_path / "rl"), str(tmp_path / "copy")))
    went_on = record.attempts[0].model_copy(update={"start": "2026-02-01T00:00:00.000+00:00"})
    record.model_copy(update={"attempts": [*record.attempts, went_on]}).save(tmp_path / "copy")
    with pytest.raises(UserError, match=r"copy is a copy of \S*rl: leave one of them out"):
        find_runs((str(ready), str(tmp_path / "rl"), str(tmp_path / "copy")))
    find_runs((str(ready), str(tmp_path / "rl")))
    assert "edited" not in capsys.readouterr().err
    edited = (tmp_path / "rl" / "record.json").read_text().replace('"seed": 0', '"seed": 7')
    (tmp_path / "rl" / "record.json").write_text(edited)
    find_runs((str(ready), str(tmp_path / "rl")))
    assert "rl/record.json was edited by hand: its checksum does not match" in capsys.readouterr().err


def test_of_an_outcome_of_which_less_is_better_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for meaning, said in (
        ("validation perplexity", True),
        ("accuracy", False),
        ("negative loss", False),
        ("1 - error rate", False),
    ):
        read_outcomes(Path(table(tmp_path / "a.jsonl", [{"checkpoint": "a", "outcome": 2.0, "meaning": meaning}])))
        assert ("less is better" in capsys.readouterr().err) is said


def test_an_evaluation_of_a_run_that_was_overwritten_is_refused(tmp_path: Path) -> None:
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    best = rl_run(tmp_path / "rl", found[0].name, 0.5)
    evaluated(tmp_path / "evaluate", {best: 0.9})
    runs = (str(ready), str(tmp_path / "evaluate"))
    assert predict(PredictConfig(runs=runs, resamples=50), tmp_path / "a").checkpoints[0].outcomes
    for folder, key, time in (("evaluate", "end", "T10"), ("rl", "start", "T11")):
        path = tmp_path / folder / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: f"2026-01-01{time}:00:00+00:00"}))
    with pytest.raises(
        UserError,
        match=r"rl was overwritten after .*evaluate had evaluated it, or is another run now: evaluate .* again",
    ):
        predict(PredictConfig(runs=runs, resamples=50), tmp_path / "b")
    best.mkdir(parents=True)  # the clock of another machine says nothing against the content
    (best / "model.safetensors").write_bytes(b"1")
    note(tmp_path / "evaluate", "models", id=str(best), role="evaluated", sha256=content_digest(best))
    assert predict(PredictConfig(runs=runs, resamples=50), tmp_path / "c").checkpoints[0].outcomes
    (best / "model.safetensors").write_bytes(b"2")
    with pytest.raises(UserError, match="was overwritten after"):
        predict(PredictConfig(runs=runs, resamples=50), tmp_path / "d")


BAD: list[tuple[list[dict[str, Any]], str]] = [
    ([{"checkpoint": "sft-99/step-9", "outcome": 0.5}], "whose readiness was not measured"),
    ([{"checkpoint": "step-9", "outcome": 0.5}], "may be any of 24"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": float("nan")}], ":1: outcome must be a finite number"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": None}], "not None"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": "half"}], "finite number"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "accuracy": 0.5}], "no column 'outcome'"),
    ([{"outcome": 0.5}], "no column 'checkpoint'"),
    ([{"checkpoint": "a", "outcome": 1, "Seed": 1}, {"checkpoint": "a", "outcome": 1}], ":1: .*'Seed' .* mean seed[?]"),
    ([{"checkpoint": "a", "outcome": 1, "seed": 0, "SFT-Seed": 1}], "'SFT-Seed' is not read; did you mean sft_seed[?]"),
    ([{"checkpoint": "a", "outcome": 1}, {"checkpoint": "a", "outcome": 1, "familly": 1}], ":2: .* mean family[?]"),
    ([{"checkpoint": "a", "outcome": 1, "seed": 0, "Seed": 1}], "'Seed' is not read"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "cost": -1}], "cost must be seconds"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "seed": 1}] * 2, "given twice"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": "1_0"}], "must be a finite number.* not '1_0'"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": "0,5"}], r"not '0,5' [(]write 0\.5[)]"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": "\u0663"}], "must be a finite number"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "cost": "1_0"}], "cost must be seconds, not '1_0'"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 1e-300}], "0 or 1e-12 to 1e[+]12 in size, not 1e-300"),
    ([{"checkpoint": "a\0b", "outcome": 0.5}], ":1: checkpoint must be a name of one line"),
    ([{"checkpoint": "a", "outcome": 0.5, "Predictor:x": 1}], "'Predictor:x' is not read; did you mean predictor:NAME"),
    ([{"checkpoint": "a", "outcome": 0.5, "predictor:": 1}], "'predictor:': give the predictor a name"),
    ([{"checkpoint": "a", "outcome": 0.5, "predictor:x ": 1}], "'predictor:x ': give the predictor a name"),
    ([{"checkpoint": "a", "outcome": 0.5, "predictor_x": 1}], "'predictor_x' is not read; did you mean predictor:NAME"),
    (
        [{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "predictor:mine": "high"}],
        "predictor:mine must be a finite number, .* not 'high'; leave the cell empty where it is not known",
    ),
    (
        [{"checkpoint": f"sft-0{i}/checkpoints/step-9", "outcome": 0.1 * i, "predictor:pass@1": i} for i in range(4)],
        "predictor:pass@1 has the name of a predictor of rlready",
    ),
    (
        [{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "predictor:loss": 1}],
        ":1: predictor:loss has the name of a predictor of rlready",
    ),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "seed": s} for s in ("0", "0 ")], "given twice"),
    ([{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "seed": s} for s in ("1", "1.0")], "given twice"),
    *[
        (
            [{"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, key: "x\nStart RL from EVIL."}],
            f":1: {key} must be",
        )
        for key in ("family", "recipe", "seed")
    ],
    (
        [
            {"checkpoint": f"{way}00/checkpoints/step-9", "outcome": 0.5, "seed": seed, "recipe": recipe}
            for seed, (way, recipe) in enumerate((("sft-", "a"), ("sft-", ""), ("sft-", "b")))
        ],
        ":3: sft-00/checkpoints/step-9 is of the SFT recipe 'b', but in .*:1 of 'a'",
    ),
    (
        [
            {"checkpoint": "sft-00/checkpoints/step-9", "outcome": 0.5, "seed": seed, "sft_seed": of}
            for seed, of in enumerate(("", 0, 1))
        ],
        ":3: sft-00/checkpoints/step-9 has the SFT seed '1', but in .*:2 '0'; a checkpoint has one",
    ),
]


@pytest.mark.parametrize(("rows", "message"), BAD)
def test_bad_outcomes_are_one_clear_line(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    ready = write_readiness(tmp_path / "ready", disagreeing(tmp_path))
    with pytest.raises(UserError, match=message) as caught:
        predict(PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", rows))), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_predictors_of_the_users_own_are_scored_too(tmp_path: Path) -> None:
    """Means over RL seeds; one that some outcomes lack is left out."""
    found = disagreeing(tmp_path)
    ready, rows = write_readiness(tmp_path / "ready", found), after_rl(found)
    for i, row in enumerate(rows):
        row |= {
            "predictor:mine": row["outcome"] + (0.2 if row["seed"] else -0.2),
            "predictor:of some": i or None,
            "predictor:of none": None,
        }
    result = predict(PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", rows)), splits=20), tmp_path / "out")
    (family,) = result.families
    mine = next(s for s in family.scores if s.predictor == "mine")
    assert (mine.spearman.value, mine.regret) == (pytest.approx(1.0), 0.0)
    assert family.values["mine"] == pytest.approx([point.outcome.value for point in family.points])
    assert "of some" not in family.values
    assert "The predictor of some is left out: 1 of 48 outcomes have none." in result.notes
    assert "mine" not in {p.name for p in result.predictors}  # without readiness it cannot rank


def test_outcomes_may_be_decimals_of_parquet(tmp_path: Path) -> None:
    found = one_run(tmp_path)
    ready, file = write_readiness(tmp_path / "ready", found), tmp_path / "rl.parquet"
    pq.write_table(pa.Table.from_pylist([{"checkpoint": c.name, "outcome": Decimal("0.25")} for c in found]), file)
    result = predict(PredictConfig(runs=(str(ready), str(file)), splits=20), tmp_path / "out")
    assert [c.outcomes[0].value for c in result.checkpoints] == [0.25] * len(found)


def test_columns_that_are_not_read_may_be_there(tmp_path: Path) -> None:
    """Also beside one of nearly the same name."""
    found = one_run(tmp_path)
    rows = [{"checkpoint": c.name, "outcome": 0.5, "outcome_std": 0.1, "notes": "fine"} for c in found]
    assert [c.outcomes[0].value for c in predicted(tmp_path, found, rows).checkpoints] == [0.5] * len(found)


def test_a_recipe_that_one_row_names_is_that_of_its_checkpoint(tmp_path: Path) -> None:
    """In whatever order the rows are."""
    found = one_run(tmp_path)
    rows = [
        {"checkpoint": c.name, "outcome": 0.2 + 0.1 * i, "seed": seed} | ({"recipe": f"r{i}"} if seed == i % 2 else {})
        for i, c in enumerate(found)
        for seed in (0, 1)
    ]
    assert predicted(tmp_path, found, rows).families[0].recipes == 4


@pytest.mark.parametrize(
    ("outcomes", "doubtful"),
    [
        ((0.9, 45, 0.7, 80), "2 outcomes are between 0 and 1 and 2 above 1, up to 80: if some are fractions"),
        ((0.9, 0.45, 0.7, 1), ""),
        ((90, 45, 1, 0), ""),
        ((1, 62, 58, 71), "1 outcome is between 0 and 1 and 3 above 1, up to 71: if some are fractions"),
        ((1, 3, 62, 71), ""),  # counts
        ((0.5, 450, 3, 2), ""),  # no accuracies
        ((0.5, -1, 3, 2), ""),
    ],
)
def test_fractions_beside_per_cent_are_warned_of(
    tmp_path: Path, outcomes: Sequence[float], doubtful: str | bool
) -> None:
    """In the notes and in the record."""
    found = one_run(tmp_path)
    rows = [{"checkpoint": c.name, "outcome": value} for c, value in zip(found, outcomes, strict=True)]
    result = predicted(tmp_path, found, rows)
    assert (f"Warning: {doubtful}" in " ".join(result.notes)) == bool(doubtful)
    assert len(RunRecord.load(tmp_path / "out").warnings) == bool(doubtful)


def test_bad_measurements_are_one_clear_line(tmp_path: Path) -> None:
    found = disagreeing(tmp_path)
    alone = write_readiness(tmp_path / "alone", found[:1])
    other = write_readiness(tmp_path / "other", found[1:2])
    again = write_readiness(tmp_path / "again", found[:2])
    unlike = write_readiness(tmp_path / "unlike", found[2:3])
    record = json.loads((unlike / "record.json").read_text())
    record["config"]["temperature"] = 0.7
    (unlike / "record.json").write_text(json.dumps(record))
    foreign = write_readiness(tmp_path / "foreign", [replace(found[5], vocabulary="two")])
    running = write_readiness(tmp_path / "running", found[3:5])
    record = json.loads((running / "record.json").read_text())
    (running / "record.json").write_text(json.dumps(record | {"status": "running"}))
    (running / "result.json").unlink()
    cut = write_readiness(tmp_path / "cut", found[3:5])
    (cut / "result.json").unlink()
    shorter = write_readiness(tmp_path / "shorter", found[6:7])
    record = json.loads((shorter / "record.json").read_text())
    record["config"]["thinking_budget"] = 7
    (shorter / "record.json").write_text(json.dumps(record))
    torn = write_readiness(tmp_path / "torn", found[7:9])
    result = json.loads((torn / "result.json").read_text())
    result["checkpoints"][1]["pass_at_k"]["8"]["value"] = "much"
    (torn / "result.json").write_text(json.dumps(result))
    cases: list[tuple[list[Path], str]] = [
        ([], "name run folders"),
        ([alone, shorter], "different thinking_budget: 64 and 7"),
        ([torn], r"torn/result.json: checkpoints.1.pass_at_k.8.value: input should be a valid number, not 'much'"),
        ([alone], "one checkpoint only"),
        ([alone, again], "measured twice"),
        ([alone, unlike], "different temperature: 1.0 and 0.7"),
        ([alone, foreign], "sft-00.* and .*sft-05.* read text with different tokenizers, one and two"),
        ([running], "running: the run has not finished; continue it with its own command"),
        ([cut], "cut: the run has not finished"),
        ([tmp_path / "none"], "no such folder or file; measure checkpoints first, rlready readiness "),
        ([tmp_path], r"not a run folder, record\.json is missing; measure checkpoints first, rlready readiness "),
        ([alone, tmp_path / "alone/parts/0.json", tmp_path / "measured.txt"], "no such folder or file"),
    ]
    for i, (runs, message) in enumerate(cases):
        with pytest.raises(UserError, match=message):
            predict(PredictConfig(runs=tuple(map(str, runs))), tmp_path / f"out-{i}")
    assert len(predict(PredictConfig(runs=(str(alone), str(other))), tmp_path / "two").checkpoints) == 2


# ------------------------------------------------------------------------------------------ arithmetic


def test_draws_of_predictors_cover() -> None:
    """Their quantiles, of problems with p ~ Beta(a, b) and losses whose examples differ alike for all checkpoints."""
    ab, losses, j = np.array([[0.3, 1.2], [0.5, 1.5], [1.0, 1.5]]), np.array([0.9, 0.8, 0.7]), np.arange(9)
    right_of_8 = np.array([betabinom.pmf(j, 8, a, b) for a, b in ab])
    truth = {"pass@1": right_of_8 @ j / 8, "pass@8": 1 - right_of_8[:, 0], "loss": losses}
    truth |= {"group_signal": right_of_8 @ np.sqrt(j / 8 * (1 - j / 8)), "informative": right_of_8[:, 1:8].sum(1)}
    truth |= {"cover@0.2": right_of_8[:, 2:].sum(1), "cover@0.8": right_of_8[:, 7:].sum(1)}
    truth["combined"] = (standard(truth["pass@8"]) - standard(losses)) / 2
    hits: dict[str, list[Any]] = {name: [] for name in truth}
    for i in range(300):
        rng = np.random.default_rng([5, i])
        problem, tokens, noise = rng.random(60), rng.integers(10, 200, 120), rng.gamma(4, 0.25, 120)
        found = []
        for (a, b), loss in zip(ab, losses, strict=True):
            right = rng.binomial(8, betaincinv(a, b, problem))
            counts = Counts(8, 8, np.zeros(60, dtype=int), np.full(60, 8), right)
            heldout = HeldOut(tokens * loss * noise * rng.gamma(20, 0.05, 120), tokens)
            found.append(Candidate("", counts, heldout, None, None, "", None, None, None))
        for each in predictors(found, most=8, group=8, compare_loss=True, resamples=300, seed=i):
            if each.name in truth:
                low, high = np.quantile(each.draws, [0.025, 0.975], axis=0)
                hits[each.name].append((low <= truth[each.name]) & (truth[each.name] <= high))
    assert all(0.92 <= np.mean(hit) <= 0.985 for hit in hits.values()), {k: np.mean(v) for k, v in hits.items()}


def test_weighted_spearman_is_that_of_repeated_runs() -> None:
    """Whole-number weights are repetitions; equal values share their ranks; constants correlate with nothing."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, 12).astype(float), rng.normal(size=12)
    weights = rng.integers(1, 4, 12)
    repeated = np.repeat(np.arange(12), weights)
    assert spearman(x, y) == spearmanr(x, y).statistic
    assert weighted_spearman(x, y, weights[None].astype(float))[0] == pytest.approx(spearman(x[repeated], y[repeated]))
    assert weighted_spearman(y, y**3, np.ones((1, 12)))[0] == pytest.approx(1)
    assert weighted_spearman(np.zeros(12), y, np.ones((1, 12)))[0] == spearman(np.zeros(12), y) == 0


def test_fits_are_those_of_least_squares() -> None:
    """Predictions, halves and intervals against numpy's own solution; an exact line is found and covered."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 2))
    y = 1 + x @ [2.0, -1.0] + rng.normal(0, 0.1, 10)
    half = halves(np.arange(10), 50, rng)
    assert (half.sum(1) == 5).all()
    design = np.column_stack([np.ones(10), x])
    fits = least_squares(x, y, half.astype(float))
    for row, mask in zip(fits, half, strict=True):
        assert row == pytest.approx(design @ np.linalg.lstsq(design[mask], y[mask], rcond=None)[0], abs=1e-4)
    r2 = r2_of_halves(x, y, half)
    rest = ~half[0]
    assert r2[0] == pytest.approx(1 - ((y - fits[0])[rest] ** 2).sum() / ((y[rest] - y[rest].mean()) ** 2).sum())
    assert np.isnan(r2_of_halves(x, np.where(rest, 1.0, y), half[:1])).all()
    recipe = np.repeat(np.arange(5), 2)
    errors, plain = errors_left_out(x, y, recipe), errors_left_out(x[:, :0], y, recipe)
    for g in range(5):
        others, own = recipe != g, recipe == g
        line = np.linalg.lstsq(design[others], y[others], rcond=None)[0]
        assert errors[own] == pytest.approx(y[own] - design[own] @ line, abs=1e-4)
        assert plain[own] == pytest.approx(y[own] - y[others].mean(), abs=1e-4)
    grouped = halves(np.array([0, 0, 1, 1, 2, 2, 3, 3]), 50, rng)
    assert (grouped[:, ::2] == grouped[:, 1::2]).all()
    (guess,), (width,) = predict_with_interval(x[None], 3 + x[None] @ [1.0, 1.0], x)
    assert guess == pytest.approx(3 + x.sum(1))
    assert width == pytest.approx(0, abs=1e-6)


def test_few_run_intervals_cover() -> None:
    """95 % prediction intervals from three and four runs cover 95 % of the others."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(60):
        x = rng.normal(size=(12, 1))
        y = x[:, 0] + rng.normal(0, 0.3, 12)
        covered.append([few(x, y, np.arange(12), m, 50, rng).covered for m in (3, 4)])  # type: ignore[union-attr]
    assert np.mean(covered, axis=0) == pytest.approx(0.95, abs=0.03)
    assert few(x[:4], y[:4], np.arange(4), 3, 50, rng) is None
    assert few(np.ones((8, 1)), y[:8], np.arange(8), 3, 50, rng) is None


@pytest.mark.parametrize("recipes", [4, 10])
@pytest.mark.parametrize(
    ("apart", "spread"),  # of outcomes within a recipe, in units of that between recipes; of the predictor
    [(0.1, 0.0), (0.3, 0.5), (1.0, 1.0)],
)
def test_intervals_for_new_recipes_cover(recipes: int, apart: float, spread: float) -> None:
    """With six runs a recipe; intervals for independent runs covered 65 to 93 % of these."""
    rng = np.random.default_rng(0)

    def draw(recipe: Ints) -> tuple[Floats, Floats]:
        x, error = rng.normal(size=(2, recipe.max() + 1))[:, recipe]
        x = x + spread * rng.normal(size=len(recipe))
        return x[:, None], x + error + apart * rng.normal(size=len(recipe))

    recipe, inside, independent = np.repeat(np.arange(recipes), 6), [], []
    for _ in range(300):
        (x, y), (new_x, new_y) = draw(recipe), draw(np.arange(5))
        guess, half = predict_new_recipe(x, y, recipe, new_x)
        inside.append(np.abs(new_y - guess) <= half)
        (guess,), (half,) = predict_with_interval(x[None], y[None], new_x)
        independent.append(np.abs(new_y - guess) <= half)
    assert np.mean(inside) >= 0.93
    assert np.mean(independent) < 0.94


def test_intervals_for_new_recipes_are_the_papers_where_each_has_one_run() -> None:
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(7, 2)), rng.normal(size=7), rng.normal(size=(3, 2))
    for ours, (theirs,) in zip(
        predict_new_recipe(x, y, np.arange(7), new), predict_with_interval(x[None], y[None], new), strict=True
    ):
        assert ours == pytest.approx(theirs)
    twice = np.tile(np.arange(7), 2)
    line, half = predict_new_recipe(np.tile(x, (2, 1)), np.tile(y, 2), twice, new)  # runs that repeat tell nothing new
    assert line == pytest.approx(predict_new_recipe(x, y, np.arange(7), new)[0])
    assert half == pytest.approx(predict_new_recipe(x, y, np.arange(7), new)[1], rel=0.2)
    assert np.isnan(predict_new_recipe(np.ones((14, 1)), np.tile(y, 2), twice, np.ones((1, 1)))[1]).all()


def test_few_runs_are_judged_on_other_recipes() -> None:
    """Runs of a recipe share what the predictor does not know: judged on each other they would look exact."""
    rng = np.random.default_rng(0)
    recipe = np.repeat(np.arange(4), 4)
    x = rng.normal(size=(16, 1))
    y = x[:, 0] + 10.0 * recipe
    found = few(x, y, recipe, 4, 200, rng)
    assert found is not None
    assert found.mae == pytest.approx(np.mean([10, 20, 30, 10, 20, 10]), rel=0.15)
    assert found.covered == 0
    assert few(x[:8], y[:8], np.zeros(8, dtype=int), 3, 50, rng) is None


def test_regret_counts_outcome_and_cost() -> None:
    y, cost = np.array([0.5, 0.9, 0.7]), np.array([10.0, 20.0, 40.0])
    assert regrets(np.array([1.0, 2, 3]), y, cost) == (pytest.approx(0.2), 40)
    assert regrets(np.array([1.0, 3, 2]), y, cost) == (0, 0)
    assert regrets(np.array([3.0, 1, 3]), y, None) == (pytest.approx(0.9 - 0.6), None)


def test_regret_is_shown_for_every_seed_of_sft(tmp_path: Path) -> None:
    """A start for each of two seeds: the predictor's first among those of seed 1 is the best, of seed 2 the worst."""
    found = disagreeing(tmp_path)[:8]
    order = np.argsort([-c.pass_64 for c in found])
    rows = [
        {"checkpoint": found[i].name, "outcome": 0.5 - 0.01 * place if place % 2 else 0.3 + 0.02 * place}
        | {"sft_seed": 1 + (place + 1) % 2}
        for place, i in enumerate(order)
    ]
    ready = write_readiness(tmp_path / "ready", found)
    result = predict(PredictConfig(runs=(str(ready), table(tmp_path / "rl.jsonl", rows))), tmp_path / "out")
    score = next(s for s in result.families[0].scores if s.predictor == "pass@64")
    assert score.regret_by_sft_seed == {"1": pytest.approx(0), "2": pytest.approx(0.12)}
    assert score.regret == pytest.approx(0.49 - 0.3)
    assert "0.0, 12.0" in [row[-1] for row in result.tables()[1].rows]
    html = page.write(tmp_path / "out").read_text()
    assert "by SFT seed: 0.0, 12.0" in html


def test_permutation_p_is_uniform_without_skill() -> None:
    rng = np.random.default_rng(0)
    found = [permutation_p(rng.normal(size=(5, 8)), rng.normal(size=8), np.arange(8), rng) for _ in range(200)]
    single, largest = np.array([p[0] for p, _ in found]), np.array([p_any.min() for _, p_any in found])
    assert kstest(single, "uniform").pvalue > 0.01
    assert kstest(largest, "uniform").pvalue > 0.01
    assert all((p_any >= p).all() for p, p_any in found)


def test_permutation_p_of_few_recipes_is_exact() -> None:
    """Every order of five recipes of two runs, with equal outcomes and a constant predictor; and of one recipe."""
    recipe, rng = np.repeat(np.arange(5), 2), np.random.default_rng(0)
    y = np.repeat([0.1, 0.2, 0.2, 0.4, 0.5], 2) + np.tile([0.01, -0.01], 5)
    x = np.array([y, np.repeat([3.0, 1.0, 5.0, 4.0, 2.0], 2), np.zeros(10)])
    p, p_any = permutation_p(x, y, recipe, rng)
    orders = [[abs(spearman(v[::2], np.array(o))) for v in x] for o in permutations(y.reshape(5, 2).mean(1).round(9))]
    chance = np.array(orders).round(9)
    seen = np.abs([spearman(v[::2], y[::2]) for v in x]).round(9)
    assert p == pytest.approx((chance >= seen).mean(0))
    assert p_any == pytest.approx((chance.max(1)[:, None] >= seen).mean(0))
    assert p[0] == pytest.approx(2 / 120)  # the order itself, and with its equals exchanged
    assert p[2] == p_any[2] == 1
    assert [float(each[0]) for each in permutation_p(x[:1], y, np.zeros(10, dtype=int), rng)] == [1, 1]


def simulated_scores(sets: int, recipes: int = 12, skills: tuple[float, float] = (0.6, 0.8)) -> list[Score]:
    """Of the second of two predictors that correlate with the outcome by ``skills``, all of them normal."""
    scores, place = [], np.arange(recipes)
    for i in range(sets):
        rng = np.random.default_rng([2, i])
        y = rng.normal(size=recipes)
        x = [r * y + np.sqrt(1 - r * r) * rng.normal(size=recipes) for r in skills]
        found = [Predictor(f"{r}", v, v[None], gap_of_shares(v[None])) for r, v in zip(skills, x, strict=True)]
        family = Family("", place, y, np.ones(recipes), place, np.ones(recipes, dtype=int), None, [""] * recipes)
        scores.append(score(found, family, primary=found[1].name, splits=30, resamples=300, seed=i)[1])
    return scores


def covers(scores: Sequence[Score], name: str, truth: float | None = None) -> float:
    """How often the interval of one of a score's figures covers the truth, else the mean of the figure."""
    figures = [getattr(each, name) for each in scores]
    truth = float(np.mean([f.value for f in figures])) if truth is None else truth
    return float(np.mean([f.low <= truth <= f.high for f in figures]))


def test_intervals_of_scores_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spearman's ρ of normal variables with correlation r is 6/π asin(r/2); other truths are means over many sets."""
    for name, value in {"PERMUTATIONS": 9, "SPLITTABLE": 99, "FEW": ()}.items():  # what takes time is not asked for
        monkeypatch.setattr(scoring, name, value)
    scores = simulated_scores(500)
    rho = 6 / np.pi * np.arcsin(np.array([0.6, 0.8]) / 2)
    assert covers(scores, "spearman", rho[1]) >= 0.95
    assert 0.925 <= covers(scores, "gain", rho[1] - rho[0]) <= 0.985
    assert np.mean([each.spearman.low > 0 for each in scores]) > 0.6  # though wide, they find what is there


def test_intervals_of_fits_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """R², its gain and the mean error."""
    for name, value in {"PERMUTATIONS": 9, "FEW": ()}.items():
        monkeypatch.setattr(scoring, name, value)
    scores = simulated_scores(300)
    for name in ("r2", "r2_gain", "mae"):
        assert covers(scores, name) >= 0.9, name
    assert np.mean([each.mae.high < 1.2 for each in scores if each.mae]) > 0.8


@pytest.mark.parametrize("skill", [0.6, 0.9])
def test_of_two_equally_good_predictors_neither_is_found_better(monkeypatch: pytest.MonkeyPatch, skill: float) -> None:
    """2.5 % of sets a side are expected; with reweighted halves it was 10 % upwards and 11 % downwards."""
    for name, value in {"PERMUTATIONS": 9, "FEW": ()}.items():
        monkeypatch.setattr(scoring, name, value)
    gains = [each.r2_gain for each in simulated_scores(600, skills=(skill, skill))]
    assert np.mean([g.low > 0 for g in gains if g]) <= 0.045
    assert np.mean([g.high < 0 for g in gains if g]) <= 0.045
    assert np.mean([g.low > 0 or g.high < 0 for g in gains if g]) >= 0.015  # and not because they are endless


def test_of_many_useless_predictors_none_is_found_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven and a baseline, none related to the outcome: their intervals hold together."""
    for name, value in {"PERMUTATIONS": 9, "FEW": ()}.items():
        monkeypatch.setattr(scoring, name, value)
    found, place = [], np.arange(9)
    for i in range(200):
        rng = np.random.default_rng([7, i])
        x = rng.normal(size=(12, 9))
        predictors = [Predictor(str(k), v, v[None], gap_of_shares(v[None])) for k, v in enumerate(x)]
        ones = np.ones(9, dtype=int)
        family = Family("", place, rng.normal(size=9), None, place, ones, None, [""] * 9)
        scores = score(predictors, family, primary="1", splits=9, resamples=300, seed=i)
        found.append([any(getattr(s, gain).low > 0 for s in scores[1:]) for gain in ("gain", "r2_gain")])
    by_rank, by_r2 = np.mean(found, axis=0)
    assert by_rank <= 0.1
    assert by_r2 <= 0.1


def test_checkpoints_of_sft_and_rl_are_named_by_their_stage(tmp_path: Path) -> None:
    """By the records of the runs that saved them; where all are of one stage, or it is not known, names say no more."""
    for name, verb in (("one", "sft"), ("two", "rl"), ("three", "rl")):
        (tmp_path / name / "checkpoints/step-9").mkdir(parents=True)
        write_record(tmp_path / name, verb, config={"model": "embedded" if verb == "sft" else "one"})
    sft, rl, other = (str(tmp_path / name / "checkpoints/step-9") for name in ("one", "two", "three"))
    stages = stages_of(("embedded", sft, rl, other, str(tmp_path / "none/step-9")))
    assert list(stages.values()) == ["Base", "SFT", "RL", "RL", ""]
    names = ["Base embedded", "SFT step-9", "RL two/step-9", "RL three/step-9", "step-9"]
    assert list(staged_labels(stages).values()) == names
    assert stages_of((str(tmp_path / "none/step-9"), rl)) == {str(tmp_path / "none/step-9"): "", rl: "RL"}


def test_names() -> None:
    assert labels(["a/sft-1/checkpoints/step-2", "a/sft-2/checkpoints/step-2"]) == {
        "a/sft-1/checkpoints/step-2": "sft-1/step-2",
        "a/sft-2/checkpoints/step-2": "sft-2/step-2",
    }
    assert in_training_order(["a/step-100", "x", "a/step-40", "b/checkpoint-9", "b/checkpoint-10"]) == [
        *("a/step-40", "x", "a/step-100", "b/checkpoint-9", "b/checkpoint-10")
    ]
    one = distribution("dagmath?ops=5&n=100&seed=3&split=train")
    assert one == distribution("dagmath?seed=4&ops=5&n=50&select=random&of=80")
    assert one != distribution("dagmath?ops=5&n=50&select=shortest&of=80")
    assert distribution("rows.jsonl?n=5") == distribution("rows:rows.jsonl")
    assert distribution("somebody's data") == "somebody's data"


# ------------------------------------------------------------------------------------------ what is said of outcomes


def one_run(folder: Path, losses: Sequence[float] = (0.5, 0.5, 0.5, 0.5)) -> list[Simulated]:
    """Four checkpoints of one SFT run, each better than the one before."""
    return [
        checkpoint(f"{folder}/sft/checkpoints/step-{10 * (i + 1)}", reach=0.3 + 0.15 * i, skill=0.3, seed=i, loss=loss)
        for i, loss in enumerate(losses)
    ]


def predicted(folder: Path, found: list[Simulated], rows: list[dict[str, Any]], **settings: Any) -> PredictResult:
    ready = write_readiness(folder / "ready", found)
    runs = (str(ready), table(folder / "rl.jsonl", rows)) if rows else (str(ready),)
    return predict(PredictConfig(**{"runs": runs, "resamples": 200, "splits": 20} | settings), folder / "out")


def test_one_sft_run_is_not_scored(tmp_path: Path) -> None:
    """Its checkpoints are one recipe, in perfect order or not: no Spearman, no line and no expected outcome."""
    found = one_run(tmp_path)
    rows = [{"checkpoint": c.name, "outcome": 0.2 + 0.1 * i} for i, c in enumerate(found)]
    result = predicted(tmp_path, found, rows)
    assert result.headline == "RL reached most from step-40, 50.0 %."
    assert result.next_steps[1] == "All from one SFT recipe: nothing to score yet; add recipes."
    assert result.next_command == ""  # all have been tried
    assert result.families[0].scores == []
    assert set(result.families[0].lines.values()) == {None}
    assert {row.expected for row in result.checkpoints} == {None}
    (shown,) = result.tables()
    assert shown.narrowed().columns == [
        "checkpoint",
        "pass@1 (%)",
        "pass@64 (%)",
        "held-out loss",
        "after RL (%)",
        "next",
    ]
    assert {row[-1] for row in shown.rows} == {"RL done"}
    assert predicted(tmp_path / "bare", found, []).next_steps[-1].endswith("from at least 3 SFT recipes.")


def test_advice_uses_outcomes(tmp_path: Path) -> None:
    """The best outcome comes first, beside that of the pick; what to run next is what has no outcome yet."""
    found = one_run(tmp_path)
    rows = [{"checkpoint": c.name, "outcome": v} for c, v in zip(found[1:], (0.5, 0.6, 0.4), strict=True)]
    result = predicted(tmp_path, found, rows)
    assert result.chosen == found[3].name
    assert result.headline == "RL reached most from step-30, 60.0 %; step-40, the pick by pass@64, reached 40.0 %."
    assert result.next_command == ""  # step-10 is significantly worse, and dropped
    result = predicted(tmp_path / "more", found, rows[:1])
    assert (
        result.next_command
        == f"rlready rl model={found[3].name} 'problems=dagmath?ops=5&asked=3&split=train&n=1000&seed=7' "
        "thinking_budget=64 max_answer_tokens=16"
    )
    assert result.next_action.endswith(" The command trains on new problems.")
    assert "First by pass@64 of those without an outcome: step-40." in result.next_steps
    assert result.next_action.startswith(
        "To look for a better start of RL, run it from step-40, the first by pass@64 that has no outcome yet. "
    )
    assert f"</code>\n<span>{result.next_action}</span>" in page.write(tmp_path / "more/out").read_text()
    tie = [rows[1], {"checkpoint": found[3].name, "outcome": 0.7}]
    tied = predicted(tmp_path / "tie", [*found[2:], replace(found[3], name=found[3].name + "0")], tie)
    assert tied.headline == "RL reached most from step-40, 70.0 %; next to try is step-400."
    assert "Only one checkpoint has an outcome" in result.next_steps[1]


def test_equal_outcomes_have_no_winner(tmp_path: Path) -> None:
    found = one_run(tmp_path)
    for outcomes, says in (
        ((0.5, 0.5, 0.5), "RL reached the same from all 3 checkpoints, 50.0 %."),
        ((0.0, 0.0), "RL reached the same from all 2 checkpoints, 0.0 %."),
        ((0.5, 0.4, 0.1 + 0.2 + 0.2), "RL reached most from step-40 and step-20, 50.0 % each."),
        (
            (0.5, 0.5, 0.4),
            "RL reached most from step-30 and step-20, 50.0 % each; step-40, the pick by pass",
        ),
    ):
        rows = [{"checkpoint": c.name, "outcome": v} for c, v in zip(found[1:], outcomes, strict=False)]
        assert predicted(tmp_path / str(outcomes), found, rows).headline.startswith(says)


def test_families_are_never_averaged(tmp_path: Path) -> None:
    """Each family has a column of its own, and each its own best checkpoint; seeds of one family are averaged."""
    found = one_run(tmp_path)
    outcomes = [("a", 0.2, 0), ("a", 0.4, 1), ("b", 0.9, 0)]
    rows = [{"checkpoint": found[1].name, "outcome": v, "family": f, "seed": s} for f, v, s in outcomes]
    rows.append({"checkpoint": found[2].name, "outcome": 0.8, "family": "b"})
    result = predicted(tmp_path, found, rows)
    shown = result.tables()[0]
    columns = ["after RL (%): a", "after RL (%): b"]
    cells = {row[0]: [row[shown.columns.index(name)] for name in columns] for row in shown.rows}
    assert cells == {
        "step-10": ["–", "–"],
        "step-20": ["30.0", "90.0"],
        "step-30": ["–", "80.0"],
        "step-40": ["–", "–"],
    }
    assert result.headline == "RL reached most from step-20, 30 % in a and step-20, 90.0 % in b."
    assert shown.narrowed().columns[-3:] == [*columns, "next"]
    many = [{"checkpoint": found[1].name, "outcome": 0.5, "family": f} for f in "abc"]
    assert predicted(tmp_path / "c", found, many).headline.startswith("RL outcomes are of 3 families, which are not")


def test_an_accuracy_stays_within_0_and_100_percent(tmp_path: Path) -> None:
    """Predictions far beyond the calibrated range, and intervals over few runs; other outcomes are not limited."""
    found = disagreeing(tmp_path)[:12]
    order = sorted(found, key=lambda c: c.pass_64)
    steep = {c.name: v for c, v in zip(order[3:9], (0.02, 0.1, 0.3, 0.7, 0.9, 0.98), strict=True)}
    rows = [{"checkpoint": name, "outcome": v} for name, v in steep.items()]
    result = predicted(tmp_path, found, rows)
    expected = [row.expected for row in result.checkpoints if row.expected]
    assert len(expected) == 12
    assert all(0 <= e.low <= e.value <= e.high <= 1 for e in expected)
    assert {e.value for e in expected} & {0.0, 1.0}
    (family,) = result.families
    assert 0 <= family.mean.low <= family.mean.high <= 1
    hundred = predicted(tmp_path / "points", found, [r | {"outcome": 100 * r["outcome"]} for r in rows])
    assert max(row.expected.high for row in hundred.checkpoints if row.expected) > 100
    assert "after RL" in hundred.tables()[0].columns


def test_few_recipes_show_less(tmp_path: Path) -> None:
    """Below 8 recipes no fit is printed, below 5 no order can be significant, below 3 nothing is scored."""
    found = disagreeing(tmp_path)[:8]
    rows = after_rl(found, seeds=1)
    tables = {}
    for recipes, said in ((2, "too few to score"), (4, "no order can be significant"), (8, "random order|than pass@1")):
        result = predicted(tmp_path / f"{recipes}", found, rows[:recipes])
        assert re.search(said, result.next_steps[1])
        tables[recipes] = [t.narrowed().columns for t in result.tables()[1:]]
    assert tables == {
        2: [],
        4: [["predictor", "Spearman", "p, corrected", "regret (points)"]],
        8: [["predictor", "Spearman", "minus pass@1's", "p, corrected", "held-out R²", "regret (points)"]],
    }


def test_narrow_tables_fit_100_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At most six columns, whatever was measured; the headline has at most 15 words."""
    found = disagreeing(tmp_path)
    for name, some in (("all", after_rl(found)), ("none", []), ("few", after_rl(found[:4], seeds=1))):
        result = predicted(tmp_path / name, found, some)
        print_tables(result.tables())
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 100
        assert all(len(t.narrowed().columns) <= 6 for t in result.tables())
        assert len(result.headline.replace(" %", "%").split()) <= 15
    print_tables(result.tables(), wide=True)
    assert "problems to decide" in capsys.readouterr().out


def test_a_learning_curve_alone_is_no_outcome(tmp_path: Path) -> None:
    """It does not say from which checkpoint the run started; a table does."""
    state = tmp_path / "trl" / "checkpoint-9" / "trainer_state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"log_history": []}')
    for path in (state, tmp_path / "trl"):
        with pytest.raises(UserError, match=r'does not say where it started: name a table, .* "curve": '):
            find_runs([str(path)])
    table = tmp_path / "table.csv"
    table.write_text("checkpoint,outcome\na,31%\n")
    with pytest.raises(UserError, match=r"not '31%' \(write 0\.31\); leave out"):
        find_runs([str(table)])


def test_a_recipe_that_is_left_out_has_no_part_in_its_prediction() -> None:
    """Nor where all the others have one value, so that the fit to them is their mean."""
    x, y, recipe = np.array([[0.5], [1.0], [1.0], [1.0]]), np.array([0.9, 0.3, 0.4, 0.5]), np.arange(4)
    for own in (0.9, 0.1, 1e6):
        y[0] = own
        assert y[0] - errors_left_out(x, y, recipe)[0] == pytest.approx(0.4)
    half = np.array([[False, True, True, False]])
    assert least_squares(x, y, half.astype(float))[0] == pytest.approx(0.35)
    wide = np.random.default_rng(0).normal(size=(6, 2))
    y = wide @ [2.0, -1.0] + 3.0
    weights = np.array([[1.0, 2.0, 1.0, 0.5, 0.0, 0.0]])
    assert least_squares(wide, y, weights)[0] == pytest.approx(y, abs=1e-6)


def test_half_of_a_tie_comes_before_the_best() -> None:
    outcome, cost = np.array([0.3, 0.4, 0.5, 0.9, 0.6]), np.full(5, 100.0)
    assert regrets(np.ones(5), outcome, cost) == (pytest.approx(0.36), 200.0)
    assert regrets(np.array([2.0, 1, 1, 1, 0]), outcome, cost)[1] == 200.0  # the first, and one of two
    assert regrets(np.array([1.0, 1, 0, 1, 0]), np.array([0.9, 0.1, 0.1, 0.9, 0.1]), cost)[1] == pytest.approx(100 / 3)


def test_a_checkpoint_that_was_deleted_since_is_said(tmp_path: Path) -> None:
    """As a trainer does that keeps the last alone; of a name whose folder is elsewhere, and which was not hashed when
    it was measured, nothing is known."""
    names = [f"{tmp_path}/trl/checkpoint-{step}" for step in (50, 100)]
    found = [checkpoint(name, reach=0.9, skill=0.4 * n, seed=n) for n, name in enumerate(names, start=1)]
    ready = write_readiness(tmp_path / "ready", found)
    config = PredictConfig(runs=(str(ready),), resamples=50)
    gone = f"Warning: {predict(config, tmp_path / 'none').chosen} is not there any more"
    assert not any("not there" in note for note in predict(config, tmp_path / "none").notes)
    Path(names[0]).parent.mkdir()
    assert any(note.startswith(gone) for note in predict(config, tmp_path / "gone").notes)
    for name in names:
        Path(name).mkdir()
    assert not any("not there" in note for note in predict(config, tmp_path / "there").notes)


def test_a_checkpoint_that_was_hashed_and_is_gone_with_its_folder_is_said(tmp_path: Path) -> None:
    names = [f"{tmp_path}/trl/checkpoint-{step}" for step in (50, 100)]
    found = [checkpoint(name, reach=0.9, skill=0.4 * n, seed=n) for n, name in enumerate(names, start=1)]
    ready = write_readiness(tmp_path / "ready", found)
    record = RunRecord.load(ready)
    for name in names:
        record.models.append(
            ModelNote(id=name, role="checkpoint", path=name, sha256=name[-3:], chat=None, learner=None)
        )
    record.save(ready)
    result = predict(PredictConfig(runs=(str(ready),), resamples=50), tmp_path / "none")
    assert any(note.startswith(f"Warning: {result.chosen} is not there any more") for note in result.notes)


def test_equal_means_tie_whatever_the_rounding_of_their_sums() -> None:
    """Seven problems of ten samples each, 37 of them correct, summed in two orders; three seeds beside their mean."""
    right = [6, 6, 0, 4, 8, 7, 6]
    equal = [np.mean([n / 10 for n in order]) for order in (right, right[::-1])]
    assert equal[0] != equal[1]
    scores = np.array([*equal, 0.51, 0.5, 0.49, 0.48])
    exact = np.array([37, 37, 36, 35, 34, 33], dtype=np.float64)
    outcomes = np.array([0.9, 0.1, 0.5, 0.45, 0.4, 0.35])
    assert spearman(scores, outcomes) == spearman(exact, outcomes)
    assert regrets(scores, outcomes, None)[0] == pytest.approx(0.4)
    weights = np.ones((1, 6))
    assert weighted_spearman(scores, outcomes, weights) == pytest.approx(spearman(exact, outcomes))
    seeds = np.array([np.mean([0.1, 0.2, 0.3]), 0.2, 0.2, 0.4])
    assert seeds[0] != seeds[1]
    predictor = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(predictor, seeds) == spearman(predictor, np.array([1.0, 1.0, 1.0, 2.0]))
    recipe, rng = np.arange(4), np.random.default_rng(0)
    assert permutation_p(predictor[None], seeds, recipe, rng)[0] == pytest.approx(
        permutation_p(predictor[None], np.array([1.0, 1.0, 1.0, 2.0]), recipe, np.random.default_rng(0))[0]
    )
    assert with_ties(np.array([1e9 + 0.7, 1e9 + 0.7 + 1e-7])).tolist() == [1e9 + 0.7] * 2
    apart = [-5.2, -5.1, -2e11, 0.0, 3e-9, 4e-9, 1e-300]  # however large one of them is
    assert with_ties(np.array(apart)).tolist() == apart
    odd = with_ties(np.array([np.nan, 1.0, np.inf, -np.inf]))
    assert np.isnan(odd[0])
    assert odd[1:].tolist() == [1.0, np.inf, -np.inf]


def test_an_outcome_is_matched_by_place_and_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RL that was started in another directory, or from a copy, names the checkpoint otherwise."""
    monkeypatch.chdir(tmp_path)
    steps = [f"a/checkpoints/step-{step}" for step in (2, 4)]
    runs = []
    for at, name in enumerate(steps):
        digest = saved(name, name)
        each = checkpoint(name, reach=0.6, skill=0.4 + at / 4, seed=at)
        runs.append(measured_once(tmp_path / f"ready-{at}", each, digest))
    (tmp_path / "else").mkdir()
    starts = {"absolute": str(tmp_path / steps[1]), "below": f"../{steps[1]}", "copy": "best"}
    for folder, start in starts.items():
        rl_run(tmp_path / folder, start, 0.9)
        path = {"below": "else/rl"}.get(folder, folder)
        record = RunRecord.load(tmp_path / folder)
        if folder == "below":
            (tmp_path / "below").rename(tmp_path / path)
            record = record.model_copy(update={"folder": "rl"})
            record.save(tmp_path / path)
        note(tmp_path / path, "models", id=start, role="start", sha256=content_digest(tmp_path / steps[1]), path=start)
        monkeypatch.chdir(tmp_path / "else")
        where = tuple(os.path.relpath(tmp_path / each) for each in (*runs, path))
        result = predict(PredictConfig(runs=where, resamples=50), tmp_path / f"out-{folder}")
        assert [[o.value for o in c.outcomes] for c in result.checkpoints] == [[], [0.9]], folder
        monkeypatch.chdir(tmp_path)
    wrong = table(tmp_path / "rl.jsonl", [{"checkpoint": "a/checkpoints/step-7", "outcome": 0.9, "run": "copy"}])
    with pytest.raises(UserError, match=r"an outcome of 'a/checkpoints/step-7', whose readiness was not measured"):
        predict(PredictConfig(runs=(*runs, wrong), resamples=50), tmp_path / "wrong")


def test_rl_from_an_adapter_of_another_base_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two bases at one relative path, as two projects have them; the adapters are the same."""
    monkeypatch.chdir(tmp_path)
    found = [checkpoint(f"sft/checkpoints/step-{at}", reach=0.6, skill=0.5, seed=at) for at in (2, 4)]
    ready = write_readiness(tmp_path / "ready", found)
    note(ready, "models", id="base", role="base of the adapter", sha256="a" * 64, path="a")
    for folder, digest in (("same", "a"), ("other", "b")):
        rl_run(tmp_path / folder, found[1].name, 0.9)
        note(tmp_path / folder, "models", id=found[1].name, role="start", sha256="c" * 64)
        note(tmp_path / folder, "models", id="base", role="base of the adapter", sha256=digest * 64, path=digest)
        notes = predict(PredictConfig(runs=(str(ready), str(tmp_path / folder))), tmp_path / f"{folder}-out").notes
        assert any("with the base base, whose files are not those of the base" in n for n in notes) is (digest == "b")


def test_samples_of_one_checkpoint_under_two_names_are_said(tmp_path: Path) -> None:
    """Whatever their format; a few problems may be equal by chance, and models of near steps may draw alike."""
    for problems, copied in ((80, True), (8, False)):
        runs = []
        for name in ("one", "two"):
            each = checkpoint(f"{name}.csv", reach=0.9, skill=0.5, seed=3, problems=problems)
            runs.append(str(write_readiness(tmp_path / f"{name}-{problems}", [each])))
        notes = predict(PredictConfig(runs=tuple(runs), resamples=50), tmp_path / f"out-{problems}").notes
        assert any("as many samples right of every problem as one.csv" in text for text in notes) is copied
        for name, run in zip(("one", "two"), runs, strict=True):
            note(Path(run), "models", id=f"{name}.csv", role="checkpoint", sha256=name * 8, path=f"{name}.csv")
        notes = predict(PredictConfig(runs=tuple(runs), resamples=50), tmp_path / f"near-{problems}").notes
        assert not any("as many samples right" in text for text in notes)


def test_an_evaluation_whose_checkpoint_is_gone_and_whose_run_was_renamed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two runs that have changed names would give each other's outcomes."""
    found = disagreeing(tmp_path)[:2]
    ready = write_readiness(tmp_path / "ready", found)
    best = rl_run(tmp_path / "rl", found[0].name, 0.5)
    evaluated(tmp_path / "evaluate", {best: 0.9})
    find_runs((str(ready), str(tmp_path / "evaluate")))
    assert "is gone" not in capsys.readouterr().err
    record = RunRecord.load(tmp_path / "rl")
    record.model_copy(update={"folder": str(tmp_path / "rl-of-b")}).save(tmp_path / "rl")
    find_runs((str(ready), str(tmp_path / "evaluate")))
    assert "rl was called" in capsys.readouterr().err
