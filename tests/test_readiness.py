"""Readiness from stored samples, beside models, along a run; and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlready.core.config import ReadinessConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate, Group, Sample
from rlready.core.result import TaskRecord
from rlready.core.stats import paired_estimate, simultaneous
from rlready.engine import torch as torch_engine
from rlready.engine.rollout import Grader
from rlready.models.checkpoint import load
from rlready.models.heldout_loss import HeldOut
from rlready.readiness.comparison import compare
from rlready.readiness.measure import Measurer
from rlready.readiness.overfitting import against_minimum
from rlready.readiness.part import ExampleLosses, Part, Sampled
from rlready.readiness.result import CheckpointReadiness, ProblemCounts, ReadinessResult, SampleStats
from rlready.readiness.sample_stats import Draws
from rlready.readiness.stage import readiness
from rlready.runs.files import read_table, write_table
from rlready.runs.pace import Pace
from tiny import tiny_model, tiny_tokenizer

HARD = "dagmath?ops=4-7&asked=2&split=all&n=8&seed=1"  # solved at once, late and never
DRAWN = ReadinessConfig(heldout=HARD, problems=HARD, samples=16, group_size=4, min_samples=4, sampling="adaptive")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReadinessResult, Path]:
    """The embedded model measured, and the table of its samples."""
    out = tmp_path_factory.mktemp("drawn")
    return readiness(DRAWN, out), out / "parts" / "0.parquet"


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def figures(row: CheckpointReadiness) -> dict[str, Any]:
    skipped = ("name", "chosen", "rank", "behind", "advice", "next", "why", "tokens", "loss_change", "overfitting")
    skipped += ("distinct_answers",)  # of samples drawn here alone
    return {k: v for k, v in row if k not in skipped}


def test_a_model_and_the_table_of_its_samples_give_equal_results(
    drawn: tuple[ReadinessResult, Path], tmp_path: Path
) -> None:
    """Mixed sources: our table with the loss of its model, one with text and other names, and one with tokens."""
    _, path = drawn
    rows = read_table(path)
    foreign = [
        {"pid": row["problem_id"], "output": row["text"].removesuffix("<eos>"), "wave": row["wave"], "planned": 16}
        | {"finish_reason": "length" if row["truncated"] else "stop"}
        for row in rows
    ]
    ids = [{k: row[k] for k in ("problem_id", "sample_id", "tokens", "mask", "wave", "planned")} for row in rows]
    text = jsonl(tmp_path / "text.jsonl", foreign) + "?problem=pid&text=output"
    tokens = jsonl(tmp_path / "tokens.jsonl", ids) + "?model=embedded&name=from-tokens"
    config = DRAWN.replace(checkpoints=("embedded", f"{path}?model=embedded", text, tokens))
    result = readiness(config, tmp_path / "mixed")
    model, table, by_text, by_tokens = result.checkpoints
    assert figures(table) == figures(model)
    assert by_tokens.name == "from-tokens"
    for row in (by_text, by_tokens):
        for key in ("pass_at_k", "unsolved", "partially_solved", "solved", "informative", "group_signal", "variance"):
            assert getattr(row, key) == getattr(model, key)
        assert (row.samples, result.per_problem[row.name]) == (model.samples, result.per_problem["embedded"])
    assert by_text.truncated == model.truncated
    assert by_text.heldout_loss is by_text.entropy is by_text.thinking_right is None
    assert by_tokens.heldout_loss == model.heldout_loss
    n = len(result.problems)
    assert result.headline == f"Start RL from embedded; {n} problems do not separate it from 3 others."
    assert [row.advice for row in result.checkpoints] == ["rl", "tie", "tie", "tie"]
    assert table.loss_change is None  # no names of one SFT run
    assert model.heldout_loss
    losses = read_table(tmp_path / "mixed" / "heldout.parquet")
    assert {row["checkpoint"] for row in losses} == {"embedded", str(path), "from-tokens"}
    assert sum(row["nll"] for row in losses[:8]) / sum(row["tokens"] for row in losses[:8]) == pytest.approx(
        model.heldout_loss.value
    )


def test_figures_are_those_of_the_first_draws(drawn: tuple[ReadinessResult, Path]) -> None:
    result, path = drawn
    row = result.checkpoints[0]
    assert row.length_right
    assert row.thinking_wrong
    assert row.truncated
    assert row.entropy
    head = [r for r in read_table(path) if r["wave"] == 0]
    assert len(head) == 8 * 4
    right, wrong = [r for r in head if r["correct"]], [r for r in head if not r["correct"]]
    assert row.length_right.value == pytest.approx(np.mean([len(r["tokens"]) for r in right]))
    assert row.thinking_wrong.value == pytest.approx(np.mean([r["thinking_tokens"] for r in wrong]))
    assert row.truncated.value == pytest.approx(np.mean([r["truncated"] for r in head]))
    chosen = sum(sum(r["mask"]) for r in head)
    assert row.entropy.value == pytest.approx(-sum(sum(r["logprobs"]) for r in head) / chosen)
    assert (result.group_size, result.informative_group_size) == (4, 4)
    assert row.counted_samples == 4
    correct = {r["problem_id"]: 0 for r in head}
    for r in head:
        correct[r["problem_id"]] += r["correct"]
    assert row.unsolved.value == sum(c == 0 for c in correct.values()) / 8
    assert row.solved.value == sum(c == 4 for c in correct.values()) / 8


def test_the_entropy_of_samples_is_that_of_the_policy() -> None:
    """The mean of -log π over a policy's own tokens against Σ π log π, at a z bound."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(12), 400)
    rows = [
        {"problem_id": str(i), "correct": False, "logprobs": np.log(p[i, rng.choice(12, 50, p=p[i])]).tolist()}
        for i in range(400)
    ]
    figure = Draws.of(rows, [str(i) for i in range(400)]).stats().entropy
    assert figure
    exact = -(p * np.log(p)).sum(1)
    noise = np.sqrt(((p * np.log(p) ** 2).sum(1) - exact**2).sum() / 50) / 400
    assert abs(figure.value - exact.mean()) < 4 * noise
    assert figure.low < exact.mean() < figure.high


def test_tables_alone_need_no_task(tmp_path: Path) -> None:
    """Verdicts of anyone's problems; the better of two is significantly better."""
    rng = np.random.default_rng(1)
    sources = []
    for name, share in (("early", 0.1), ("late", 0.6)):
        rows = [{"id": i, "passed": int(rng.random() < share)} for i in range(60) for _ in range(8)]
        sources.append(jsonl(tmp_path / f"{name}.jsonl", rows) + "?problem=id&correct=passed")
    result = readiness(ReadinessConfig(checkpoints=tuple(sources), samples=8, group_size=4), tmp_path / "run")
    early, late = result.checkpoints
    assert late.chosen
    assert early.advice == "drop"
    assert early.behind
    assert early.behind.low > 0
    assert result.chance_level == {}
    assert result.task.description == "Offline samples of 60 problems."
    assert result.headline == "Start RL from late.jsonl: the best pass@8, significantly ahead of early.jsonl."
    assert result.reasons == ["Drop early.jsonl: pass@8 is significantly worse."]
    assert result.next_command == "rlready rl model=CHECKPOINT problems=TRAIN.jsonl group_size=4"
    assert result.next_action == "TRAIN.jsonl stands for problems to train on: others than were measured here."
    (printed,) = result.tables()
    assert [line[-1] for line in (printed.columns, *printed.rows)] == ["next", "drop", "RL first"]
    assert result.notes == []


@pytest.mark.parametrize(("each", "said"), [(1, "groups of one sample,"), (4, "groups of 4 samples,")])
def test_groups_that_are_smaller_than_those_of_rl_are_said(tmp_path: Path, each: int, said: str) -> None:
    rows = [{"id": i, "passed": (i + j) % 2} for i in range(6) for j in range(each)]
    source = jsonl(tmp_path / "samples.jsonl", rows) + "?problem=id&correct=passed"
    result = readiness(ReadinessConfig(checkpoints=(source,), samples=each), tmp_path / "run")
    (note,) = result.notes
    assert f"is measured for {said}" in note
    assert "of groups of 16 (group_size) more are" in note


def test_columns_of_any_type_give_equal_results(tmp_path: Path) -> None:
    """Verdicts, names and numbers as whole numbers, floats, texts or mixed, in every format, over several batches."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for i in range(3000):
        tokens = int(rng.integers(0, 5))
        mask = [int(m) for m in rng.integers(0, 2, tokens + (i % 50 == 0))]  # now and then of another length
        finish = ["stop", "length", None][i % 3]
        row = {"problem_id": str(i % 30), "sample_id": i // 30, "correct": bool(rng.random() < 0.4), "finish": finish}
        rows.append(row | {"logprobs": (-rng.random(tokens)).tolist(), "mask": None if i % 7 == 0 else mask})
    mixed = [
        row
        | {"problem_id": int(row["problem_id"]), "correct": [bool, int, float][i % 3](row["correct"])}
        | {"sample_id": [str, int, float][i % 3](row["sample_id"])}
        for i, row in enumerate(rows)
    ]
    write_table(tmp_path / "plain.parquet", rows)
    write_table(tmp_path / "floats.parquet", [row | {"correct": float(row["correct"])} for row in rows])
    (tmp_path / "list.json").write_text(json.dumps(mixed))
    sources = [str(tmp_path / name) for name in ("plain.parquet", "floats.parquet", "list.json")]
    sources.append(jsonl(tmp_path / "lines.jsonl", mixed))
    result = readiness(ReadinessConfig(checkpoints=tuple(sources), samples=64), tmp_path / "run")
    first, *others = result.checkpoints
    for other in others:
        assert figures(other) == figures(first)
    known = [r for r in rows if r["mask"] is None or len(r["mask"]) == len(r["logprobs"])]
    kept = [p for r in known for p, m in zip(r["logprobs"], r["mask"] or [1] * len(r["logprobs"]), strict=True) if m]
    assert first.entropy
    assert first.entropy.value == pytest.approx(-np.mean(kept))
    assert first.truncated
    assert first.truncated.value == pytest.approx(0.5)
    assert result.per_problem[first.name].correct == [
        sum(r["correct"] for r in rows if r["problem_id"] == str(p)) for p in range(30)
    ]
    again = jsonl(tmp_path / "again.jsonl", [*mixed, mixed[0] | {"sample_id": "0"}])
    with pytest.raises(UserError, match=r"sample 0 of problem '0' is given twice \(lines 1, 3001\)"):
        readiness(ReadinessConfig(checkpoints=(again,), samples=64), tmp_path / "again")
    bad = jsonl(tmp_path / "bad.jsonl", [*mixed, mixed[0] | {"sample_id": 100, "mask": [0.5]}])
    with pytest.raises(UserError, match=r"bad\.jsonl:3001: mask must be a list of whole numbers, not '\[0\.5\]'"):
        readiness(ReadinessConfig(checkpoints=(bad,), samples=64), tmp_path / "bad")


def test_tables_do_not_import_torch(tmp_path: Path) -> None:
    table = jsonl(tmp_path / "x.jsonl", [{"problem_id": i % 4, "correct": i % 3 == 0} for i in range(16)])
    code = (
        "import sys; from pathlib import Path; from rlready.core.config import ReadinessConfig\n"
        "from rlready.readiness.stage import readiness\n"
        f"readiness(ReadinessConfig(checkpoints=({table!r},), samples=4), Path({str(tmp_path / 'run')!r}))\n"
        "print({'torch', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_refused_tables(drawn: tuple[ReadinessResult, Path], tmp_path: Path) -> None:
    """One line each that says what is wrong and where."""

    def samples(*of: tuple[str, Any], **more: Any) -> list[dict[str, Any]]:
        return [{"problem_id": name, "correct": right} | more for name, right in of]

    both = [("a", True), ("b", False)]
    cases: list[tuple[list[dict[str, Any]], str, str]] = [
        (samples(*both * 3), "", r"problem a has n = 3 samples, fewer than the k = 4 .* set samples=3"),
        (samples(*both * 4, ("b", False)), "?samle=x", "unknown key 'samle'; did you mean sample"),
        (samples(*both * 4, sample_id=0), "", r"sample 0 of problem 'a' is given twice \(lines 1, 3\)"),
        (
            samples(*both * 4, sample_id=0, thinking_budget=64),
            "",
            r"\?thinking_budget=64 behind the table keeps the rows of one budget",
        ),
        (
            samples(*both * 4, sample_id=0, thinking_budget=64, setting="64+1"),
            "",
            r"\?setting=64\+1 behind the table keeps the rows of one setting",
        ),
        (samples(*both * 4), "?problem=problem", "no column 'problem'; did you mean problem_id"),
        (samples(("a", 0.5)), "", "x.jsonl:1: correct must be true or false, 1 or 0, not '0.5'; write a column"),
        (samples((None, True)), "", "problem_id must be text or a whole number"),
        (samples(*both * 4, wave="x"), "", "wave must be a whole number"),
        (samples(*both * 4), "?thinking_budget=64", "no row has thinking_budget = 64"),
        (samples(*both * 4), "?setting=64", "no column 'setting'"),
        (samples(*both * 4, setting="64+1"), "?setting=64", "no row has setting = 64"),
        (samples(("a", None)), "?model=embedded", r"a row without a verdict, and without text to verify \(line 1\)"),
        ([*samples(("a", False)) * 2, *samples(("a", True)), *samples(("b", False)) * 5], "", "stopped at the first"),
        ([*samples(*both, wave=0), *samples(*both, wave=1)], "", "column wave: 1 of 2 problems"),
    ]
    for at, (rows, query, message) in enumerate(cases):
        source = jsonl(tmp_path / "x.jsonl", rows) + query
        with pytest.raises(UserError, match=message) as caught:
            readiness(ReadinessConfig(checkpoints=(source,), samples=4, group_size=2), tmp_path / f"run-{at}")
        assert "\n" not in str(caught.value)

    _, path = drawn
    bare = jsonl(tmp_path / "bare.jsonl", [{"problem_id": row["problem_id"]} for row in read_table(path)])
    other = jsonl(tmp_path / "other.jsonl", samples(*both * 8))
    some = jsonl(tmp_path / "some.jsonl", [row for row in read_table(path) if row["problem_id"][-1] in "01"])
    for name, table, message in (
        ("bare", bare, r"rows without a verdict, and without text to verify \(lines 1, 2, 3, 4, 5, …\)"),
        ("other", other, "'dag-all-1-000000' is one of the problems, 'a' one of the table; name columns"),
        ("some", some, "same 8 problems, but this table has no sample of 6 of them .* the first with n="),
    ):
        with pytest.raises(UserError, match=message):
            readiness(DRAWN.replace(heldout="", checkpoints=("embedded", table)), tmp_path / name)
        assert not (tmp_path / name / "parts").exists()  # refused before the model drew anything
    with pytest.raises(UserError, match=r"named twice: .*other\.jsonl; samples of one path need name="):
        readiness(DRAWN.replace(checkpoints=(other, other)), tmp_path / "twice")


def test_statistics_beyond_the_samples_are_left_out(drawn: tuple[ReadinessResult, Path], tmp_path: Path) -> None:
    """A stopped table answers up to its planned samples, and for a smaller k as a run for it would have."""
    result, path = drawn
    less = readiness(DRAWN.replace(heldout="", samples=8, checkpoints=(str(path),)), tmp_path / "less")
    assert less.checkpoints[0].pass_at_k == {k: v for k, v in result.checkpoints[0].pass_at_k.items() if k <= 8}
    solved = [row | {"problem_id": "p"} for row in read_table(path) if row["wave"] == 0][:4]
    write_table(
        tmp_path / "solved.parquet", [row | {"sample_id": i, "correct": i == 2} for i, row in enumerate(solved)]
    )
    one = readiness(ReadinessConfig(checkpoints=(str(tmp_path / "solved.parquet"),), samples=16), tmp_path / "one")
    assert one.checkpoints[0].pass_at_k[16].value == 1
    assert one.checkpoints[0].pass_at_k[1].value == 0.25
    with pytest.raises(UserError, match="n = 16 samples, fewer than the k = 32"):
        readiness(DRAWN.replace(heldout="", samples=32, checkpoints=(str(path),)), tmp_path / "more")


def run_of_losses(rng: np.random.Generator, rises: Sequence[float], examples: int = 200) -> list[HeldOut]:
    """Held-out losses of checkpoints: one difficulty per example, own noise per checkpoint, and a rise of all."""
    tokens = rng.integers(20, 60, examples)
    base = rng.gamma(4, 0.1, examples)
    return [HeldOut(tokens * (base + rise + rng.normal(0, 0.02, examples)), tokens) for rise in rises]


def test_onset_needs_a_clear_rise_and_an_accuracy_that_does_not_fall() -> None:
    rng = np.random.default_rng(0)
    losses = run_of_losses(rng, [0.05, 0.0, 0.003, 0.02])
    flat = [rng.binomial(8, 0.4, 100) / 8 for _ in range(4)]
    found = against_minimum(losses, flat)
    assert [bool(t and t.onset) for t in found] == [False, False, False, True]
    assert found[1] is None
    up, down = found[3], found[0]
    assert up
    assert down
    assert down.loss_rise.low > 0
    assert down.minimum == 1
    assert up.loss_rise.value == pytest.approx(0.02, abs=0.005)
    fallen = [*flat[:3], np.zeros(100)]
    assert [bool(t and t.onset) for t in against_minimum(losses, fallen)] == [False] * 4
    with pytest.raises(UserError, match="different numbers of tokens"):
        against_minimum([losses[0], HeldOut(losses[1].nll, losses[1].tokens + 1)], flat[:2])


def test_constant_runs_are_rarely_called_overfitted() -> None:
    """Eight checkpoints of equal loss: a plain interval against the least would find an onset in most runs."""
    flagged = plain = 0
    for seed in range(60):
        rng = np.random.default_rng([7, seed])
        losses = run_of_losses(rng, [0.0] * 8, examples=80)
        found = [t for t in against_minimum(losses, [np.full(4, 0.5)] * 8) if t]
        flagged += any(t.onset for t in found)
        least = losses[found[0].minimum]
        plain += any(loss.minus(least).low > 0 for loss in losses[found[0].minimum + 1 :])
    assert flagged <= 6
    assert plain >= 15


def test_the_best_of_many_is_not_significant_by_chance() -> None:
    """Twelve equal checkpoints: how often some other is called significantly worse than the one chosen."""
    alone = together = 0
    for seed in range(60):
        rng = np.random.default_rng([9, seed])
        skill = rng.binomial(1, 0.5, (12, 60)).astype(float)
        best = int(skill.mean(1).argmax())
        figures = [paired_estimate(skill[best], other, bounds=(0, 1)) for i, other in enumerate(skill) if i != best]
        alone += any(f.low > 0 for f in figures)
        together += any(simultaneous(f, 12 * 11 // 2, span=1.0).low > 0 for f in figures)
    assert together <= 6
    assert alone >= 20
    figure = Estimate(0.2, 0.1, 0.3, 50)
    assert simultaneous(figure, 1) == figure
    assert simultaneous(figure, 10).low < 0.1
    assert simultaneous(replace(figure, value=0.95, high=0.99), 10, span=1.0).high == 1.0


def simulated(name: str, rise: float) -> Part:
    """What was measured of a simulated checkpoint: eight problems half right, and a loss that is this much higher."""
    counts = ProblemCounts(first=16, cap=16, since=[0] * 8, drawn=[16] * 8, correct=[8] * 8)
    return Part(
        name=name,
        problems=[str(i) for i in range(8)],
        heldout=ExampleLosses(nll=[10 * (0.5 + rise)] * 50, tokens=[10] * 50),
        vocabulary=None,
        sampled=Sampled(counts=counts, stats=SampleStats(), samples=128, tokens=None),
        influence=None,
    )


def test_only_checkpoints_of_one_run_are_followed(tmp_path: Path) -> None:
    """Models of other names are of no run, so that none is past its onset; pass@group is there for any group."""
    config = ReadinessConfig(samples=16, group_size=6)
    for names, onset in ((("sft/step-1", "sft/step-2"), True), (("this/model", "that/model"), False)):
        parts = [simulated(name, rise) for name, rise in zip(names, (0.0, 0.2), strict=True)]
        result = compare(config, parts, TaskRecord(source="", description=""), {})
        assert [row.past_onset for row in result.checkpoints] == [False, onset]
        assert [row.loss_change is not None for row in result.checkpoints] == [False, onset]
        assert list(result.checkpoints[0].pass_at_k) == [1, 2, 4, 6, 8, 16]
        (printed,) = result.tables()
        assert "–" not in [line[printed.columns.index("pass@6 (%)")] for line in printed.rows]


def test_other_vocabularies_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path / "other")
    tiny_model("Llama", vocab_size=len(tokenizer)).save_pretrained(tmp_path / "other")
    config = DRAWN.replace(checkpoints=("embedded", str(tmp_path / "other")))
    with pytest.raises(UserError, match=r"embedded and .*other have different vocabularies"):
        readiness(config, tmp_path / "run")
    assert not (tmp_path / "run" / "parts").exists()


def test_rows_of_the_demo_are_no_held_out_rows_of_other_problems(tmp_path: Path, capfd: Any) -> None:
    kept = DRAWN.model_fields_set - {"heldout", "min_samples", "sampling"}
    config = ReadinessConfig(**{name: getattr(DRAWN, name) for name in kept}).replace(samples=4, sampling="full")
    result = readiness(config, tmp_path / "run")
    assert result.checkpoints[0].heldout_loss is None
    assert capfd.readouterr().err.count("no held-out loss; to measure it, set heldout=FILE") == 1


def test_templates_that_tokenise_rows_differently_are_refused(
    tmp_path: Path, drawn: tuple[ReadinessResult, Path]
) -> None:
    """One vocabulary, but not the same tokens of the same rows: nats per token do not compare."""
    lm = load("embedded")
    a = HeldOut(np.array([1.0, 2.0]), np.array([3, 4]))
    with pytest.raises(UserError, match="the same tokenizer and chat template"):
        a.minus(HeldOut(np.array([1.0, 2.0]), np.array([3, 5])))
    assert a.minus(HeldOut(np.array([1.5, 2.5]), np.array([3, 4]))).value == pytest.approx(-1 / 7)
    assert lm.thinks


def test_samples_are_kept_if_influence_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    easy = "dagmath?ops=3&split=all&n=4&seed=1"
    config = ReadinessConfig(
        checkpoints=("embedded",), heldout="", problems=easy, samples=4, group_size=4, sampling="full", influence=True
    )
    with monkeypatch.context() as patch:
        patch.setattr(Measurer, "_influence", broken)
        with pytest.raises(KeyboardInterrupt):
            readiness(config, tmp_path / "run")
    monkeypatch.setattr(sys.modules[Measurer.__module__], "Grader", broken)
    (row,) = readiness(config, tmp_path / "run").checkpoints
    assert row.samples == 16
    assert not (tmp_path / "run" / "state").exists()


@pytest.mark.parametrize("batches", [3, 9])
def test_a_killed_measurement_continues_within_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """What was drawn is not drawn again, in the first wave or a later one, and all is as if unbroken, to the byte."""
    drew: list[int] = []
    real = Grader.groups

    def stop(grader: Grader, samples: Sequence[Sample]) -> list[Group]:
        if len(drew) == batches:
            raise KeyboardInterrupt
        drew.append(len(samples))
        return real(grader, samples)

    monkeypatch.setattr(torch_engine, "BATCH_SIZE_OF_SMALL", 4)
    monkeypatch.setattr(Pace, "due", lambda self: True)
    whole = readiness(DRAWN, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(Grader, "groups", stop)
        with pytest.raises(KeyboardInterrupt):
            readiness(DRAWN, tmp_path / "run")
    before, drew[:] = sum(drew), []
    batches = -1  # as many as are left
    monkeypatch.setattr(Grader, "groups", stop)
    assert readiness(DRAWN, tmp_path / "run") == whole
    assert sum(drew) == whole.checkpoints[0].samples - before
    same = ("parts/0.parquet", "parts/0.json", "heldout.parquet", "result.json")
    assert all((tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in same)
    assert not (tmp_path / "run" / "state").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"seed": -1}, "seed must not be negative"), ({"influence": True, "group_size": 1}, "must be at least 2")],
)
def test_settings_without_influence_are_refused_before_sampling(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        readiness(ReadinessConfig(checkpoints=("embedded",)).replace(**changes), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"temperature": 0.5, "seed": 1}, "temperature, seed do not apply to tables of samples, from which nothing is "
         "drawn; the command for rl takes over those that it has"),
        ({"heldout": "dagmath?ops=2&n=2"}, "heldout does not apply to tables of samples, from which nothing is drawn, "
         "and heldout needs model= behind a table"),
        ({"influence": True}, "influence does not apply to tables of samples, from which nothing is drawn"),
        ({"heldout": "", "group_size": 2}, ""),
    ],
)  # fmt: skip
def test_settings_that_do_not_apply_to_tables_are_said(
    tmp_path: Path, changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"problem_id": f"p{i % 3}", "sample_id": i, "correct": i % 2 == 0} for i in range(12)]
    table = tmp_path / "samples.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    result = readiness(ReadinessConfig(checkpoints=(str(table),), samples=4, **changes), tmp_path / "run")
    assert result.checkpoints[0].pass_at_k[1].value == 0.5
    said = [line for line in capsys.readouterr().err.splitlines() if "apply" in line]
    assert said == [f"readiness: {says}"] * bool(says)
