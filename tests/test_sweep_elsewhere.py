"""Sweeps whose RL another tool trains: exports wait, and the outcomes that the tool has written are taken up."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rlready.cli.main import main
from rlready.core.config import ImportConfig, PredictConfig, SweepConfig
from rlready.core.errors import UserError
from rlready.export.outcome import import_outcome
from rlready.predict.stage import predict
from rlready.report.page import render
from rlready.runs.log import read_log
from rlready.runs.record import RunRecord
from rlready.sweep import stage
from rlready.sweep.result import SweepResult
from rlready.sweep.stage import sweep
from test_docs import commands, fenced, files, shrunk, small  # noqa: F401 (files is a fixture)
from test_export import save_thinking_model
from test_sweep import content_of, watched, write

STEPS = 1  # of the sweep file of test_sweep
SEEDS = "[0, 1]"
EXPORTS = [f"export/one-2-rl-s{seed}" for seed in (0, 1)]


def written(folder: Path, backend: str = "export:trl", **changes: Any) -> SweepConfig:
    """A sweep whose RL, of two seeds, another tool trains."""
    file = write(folder, rl_seed=f'{SEEDS}\nbackend = "{backend}"', **changes)
    return SweepConfig(file=file, workers=0)


def trained(export: Path, *accuracies: float, steps: int = STEPS) -> None:
    """What TRL's trainer leaves of an export: the state, with the accuracies that it has logged up to ``steps``."""
    every = steps / max(1, len(accuracies) - 1)
    history: list[dict[str, object]] = [
        {"epoch": 0.5, "eval_accuracy": value, "eval_reward": value / 2, "eval_runtime": 3.5, "step": round(n * every)}
        for n, value in enumerate(accuracies)
    ]
    history.insert(1, {"epoch": 0.5, "loss": 0.01, "reward": 0.4, "step": steps})
    state = {"epoch": 1.0, "global_step": steps, "is_world_process_zero": True, "log_history": history}
    (export / "outputs").mkdir(exist_ok=True)
    (export / "outputs/trainer_state.json").write_text(json.dumps(state))


def trained_by_verl(export: Path, *accuracies: float) -> None:
    """What verl's file logger leaves: a line for each step, with the accuracy of validation on some."""
    (export / "outputs").mkdir(exist_ok=True)
    name = "val-core/problems.jsonl/acc/mean@4"
    lines = [{"step": n, "data": {"training/epoch": 0, name: value}} for n, value in enumerate(accuracies)]
    lines[1:1] = [{"step": 1, "data": {"actor/pg_loss": 0.01, "training/global_step": 1}}]
    (export / "outputs/log-20260901-101500.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def trained_by_prime_rl(export: Path, *accuracies: float, run: str = "train--one--1a2b") -> None:
    """What prime-rl's monitor leaves: the evaluation before training is logged at step 1, and others by their steps."""
    folder = export / "outputs" / run
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, float]] = [{"step": 1, "time": 1.5, "loss/mean": 0.01}]
    for n, value in enumerate(accuracies):
        name = "eval/validation/effective/rlready"
        scores = {f"{name}/avg@4": value / 2, f"{name}/metrics/correct/mean": value}
        lines.append({"step": max(n, 1), "time": 2.5, **scores, "eval/validation/policy_version": n})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def spoil_verl(export: Path) -> None:
    """In place of TRL's state, a log of verl that is no text."""
    (export / "outputs/trainer_state.json").unlink()
    (export / "outputs/log-20260901-101500.jsonl").write_bytes(b"\xff\n")


def rows(out: Path) -> dict[str, dict[str, Any]]:
    return {row["run"]: row for row in read_log(out / "runs.jsonl")}


def test_exports_wait_until_their_outcomes_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """SFT and readiness run as usual, a kill included; outcomes are taken up one by one, and predict reads them."""
    out, config = tmp_path / "sweep", written(tmp_path)
    with watched(monkeypatch, stop_after=3), pytest.raises(KeyboardInterrupt):
        sweep(config, out)
    result = sweep(config, out)
    assert result.jobs == {"sft": 1, "readiness": 2, "export": 2}
    assert (result.waiting, result.starts, result.runs) == (EXPORTS, [], 0)
    assert result.headline == "2 exports wait to be trained by trl."
    assert "2 exports wait to be trained by trl" in result.next_action
    assert result.next_command == f"sh {out / 'train.sh'}"
    script = (out / "train.sh").read_text()
    assert [line for line in script.splitlines() if line.startswith("train ")] == [f"train {key}" for key in EXPORTS]
    assert "export/one-2-rl-s1" in re.sub("<[^>]*>", "", render(out))
    said = capfd.readouterr().err
    assert "makes 5 jobs (1 sft, 2 readiness, 2 export)" in said
    assert "RL is trained by trl" in said
    assert predict(PredictConfig(runs=(str(out),), splits=10, resamples=50), tmp_path / "before").families == []

    trained(out / EXPORTS[0], 0.2, 0.6)
    with watched(monkeypatch) as ran:
        result = sweep(config, out)
    assert (ran, result.waiting, result.runs) == ([], EXPORTS[1:], 1)
    assert result.headline.startswith("So far only RL from ")
    assert any(
        note.startswith("1 export waits to be trained by trl; outcomes are there of 1.") for note in result.notes
    )
    assert "one-2-rl-s0" not in (out / "train.sh").read_text()
    (row,) = rows(out).values()
    record = RunRecord.load(out / EXPORTS[0])
    assert (row["outcome"], row["seed"], row["recipe"], row["family"]) == (0.6, 0, "one", "size")
    assert (row["cost"], row["low"], row["evaluate"]) == (None, None, "")
    assert row["checkpoint"] == record.config["model"]
    assert "60" in render(out)

    trained(out / EXPORTS[1], 0.2, 0.4)
    result = sweep(config, out)
    assert (result.waiting, result.next_command) == ([], f"rlready predict {out}")
    assert (result.starts[0].outcome.value, result.starts[0].cost) == (0.5, None)
    assert not (out / "train.sh").exists()
    before = content_of(out)
    assert sweep(config, out) == result
    assert content_of(out) == before
    (family,) = predict(PredictConfig(runs=(str(out),), splits=10, resamples=50), tmp_path / "predict").families
    assert (family.rl_runs, family.meaning) == (2, "last eval_accuracy of trl")


def test_the_script_trains_all_it_can_and_names_those_that_failed(tmp_path: Path) -> None:
    """Run with a stand-in for Python, with which TRL's launcher trains: it fails in the first export."""
    out = tmp_path / "a sweep"
    sweep(written(tmp_path), out)
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\n[ "$FAILS" = "${PWD##*/}" ] && exit 3\nmkdir outputs\n')
    python.chmod(0o755)
    for fails, code, said in ((EXPORTS[0], 1, f"{EXPORTS[0]}: failed with exit code 3\n"), ("", 0, "")):
        env = {"PATH": f"{python.parent}:{os.environ['PATH']}", "FAILS": Path(fails).name}
        done = subprocess.run(["sh", out / "train.sh"], check=False, env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (code, said)
        assert [key for key in EXPORTS if (out / key / "outputs").exists()] == [key for key in EXPORTS if key != fails]
        shutil.rmtree(out / EXPORTS[1] / "outputs")


def test_an_outcome_stays_changes_or_goes_with_a_word(tmp_path: Path, capfd: Any) -> None:
    out, config = tmp_path / "sweep", written(tmp_path)
    sweep(config, out)
    for key, value in zip(EXPORTS, (0.6, 0.4), strict=True):
        trained(out / key, 0.2, value)
    sweep(config, out)
    trained(out / EXPORTS[0], 0.2, 0.7)
    shutil.rmtree(out / EXPORTS[1] / "outputs")
    capfd.readouterr()
    result = sweep(config, out)
    said = capfd.readouterr().err
    assert [row["outcome"] for row in rows(out).values()] == [0.7, 0.4]
    assert "export/one-2-rl-s0: its outcome was 0.6 and is now 0.7" in said
    assert "its outcome of before, 0.4, is kept" in said
    assert any("its outcome of before, 0.4, is kept" in note for note in result.notes)
    trained(out / EXPORTS[0], 0.2, 60)
    assert any("eval_accuracy is a share, from 0 to 1, not 60" in note for note in sweep(config, out).notes)
    trained(out / EXPORTS[0], 0.2, 0.7)
    shutil.copytree(out / EXPORTS[0] / "outputs", out / EXPORTS[1] / "outputs")
    assert any("has the same curve as export/one-2-rl-s0, to the byte" in note for note in sweep(config, out).notes)
    shutil.rmtree(out / EXPORTS[1] / "outputs")
    result = sweep(config, out)
    out = out.rename(tmp_path / "moved")
    assert sweep(config, out).starts[0].outcome == result.starts[0].outcome
    shutil.rmtree(out / EXPORTS[0])  # that job runs again
    assert sweep(config, out).waiting == EXPORTS[:1]
    assert "the outcome of export/one-2-rl-s0, 0.7, is not in runs.jsonl any more" in capfd.readouterr().err
    with pytest.raises(UserError, match=r"holds a run with to = 'trl', not 'verl'|special token"):
        sweep(written(tmp_path, "export:verl"), out)


def test_an_outcome_that_is_imported_while_the_sweep_reads_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, config = tmp_path / "sweep", written(tmp_path)
    sweep(config, out)
    for key in EXPORTS:
        trained(out / key, 0.2, 0.5)

    def import_late(*args: Any) -> None:
        import_outcome(ImportConfig(export=str(out / EXPORTS[0]), outcome="0.7"))
        keep_all(*args)

    keep_all = stage.keep_all
    with monkeypatch.context() as patched:
        patched.setattr(stage, "keep_all", import_late)
        sweep(config, out)
    assert [row["outcome"] for row in rows(out).values()] == [0.5, 0.5]
    sweep(config, out)
    assert [row["outcome"] for row in rows(out).values()] == [0.7, 0.5]


def test_what_has_not_been_trained_to_its_end_waits(tmp_path: Path, capfd: Any) -> None:
    """Each with its reason; what is imported by hand counts, whatever it is, and is compared with its own kind only."""
    out, config = tmp_path / "sweep", written(tmp_path)
    first, second = (out / key for key in EXPORTS)
    file = Path(config.file)
    file.write_text(file.read_text().replace("steps = 1", "steps = 2"))
    sweep(config, out)
    reasons = {
        "has only the evaluation before training": lambda: trained(first, 0.2),
        "eval_accuracy at step 1, the last, is 'nan', no finite number": lambda: trained(first, 0.2, math.nan),
        "not a trainer_state.json": lambda: (first / "outputs/trainer_state.json").write_bytes(b"\xff{"),
        "the curve ends at step 1 of 2": lambda: trained(first, 0.2, 0.5),
        "of several runs, trainer_state.json and log-20260901-101500.jsonl": lambda: trained_by_verl(first, 0.1, 0.5),
        "log-20260901-101500.jsonl:1: not a line of verl's log": lambda: spoil_verl(first),
        "holds no trainer_state.json": (first / "outputs/log-20260901-101500.jsonl").unlink,
    }
    for reason, cause in reasons.items():
        cause()
        capfd.readouterr()
        assert sweep(config, out).waiting == EXPORTS, reason
        assert f"{EXPORTS[0]} waits: " in (said := capfd.readouterr().err)
        assert reason in said
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"prompt": "1 + 1", "answer": "2"}\n')
    with pytest.raises(UserError, match=r"problems\.jsonl:1: not a row of a table of outcomes; choose another --out"):
        import_outcome(ImportConfig(export=str(first), outcome="0.61"), problems)
    imported = import_outcome(ImportConfig(export=str(first), outcome="0.61"))
    assert (imported.outcome, imported.text) == (0.61, str(first / "outcome.json"))
    trained(second, 0.1, 0.3, 0.2, steps=2)
    import_outcome(ImportConfig(export=str(second), value="best"))
    assert sweep(config, out).waiting == []
    assert {row["family"]: row["outcome"] for row in rows(out).values()} == {
        "size, number": 0.61,
        "size, best eval_accuracy": 0.3,
    }
    (second / "outcome.json").write_text('{"outcome": NaN, "kind": "number"}')
    with pytest.raises(UserError, match=r"outcome\.json: .*; delete that file, and import the outcome again"):
        sweep(config, out)


def test_import_knows_the_exports_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    assert main(["sweep", "sweep.toml", "workers=0", "--out", "runs/s"]) == 0
    assert "Run: sh runs/s/train.sh" in capfd.readouterr().out
    assert main(["import", f"runs/s/{EXPORTS[0]}", "outcome=0.5"]) == 0
    assert "Next: rlready sweep sweep.toml workers=0 --out runs/s" in capfd.readouterr().err
    assert not Path("runs/s/export/outcomes.jsonl").exists()
    for words, said in (
        (
            ["runs/s"],
            "runs/s: a sweep, which reads what its exports have in outputs/ by its own command, rlready sweep",
        ),
        ([f"runs/s/{EXPORTS[0]}", "recipe=x"], "the sweep knows the recipes of its exports"),
        ([f"runs/s/{EXPORTS[1]}"], "outputs: no such file or folder"),
    ):
        assert main(["import", *words]) == 2
        assert said in capfd.readouterr().err
    shutil.copytree(f"runs/s/{EXPORTS[0]}", "elsewhere")  # out of its sweep it is an export like others
    assert main(["import", "elsewhere", "outcome=0.5", "recipe=x"]) == 0
    assert read_log(Path("outcomes.jsonl"))[0]["export"] == "elsewhere"
    trained(Path("runs/s", EXPORTS[0]), 0.1, 0.2)
    assert main(["sweep", "sweep.toml", "workers=0", "--out", "runs/s", "--overwrite"]) == 2
    assert f"it also holds runs/s/{EXPORTS[0]}/outputs" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("backend", "old", "new", "message"),
    [
        ("export:torch", "", "", r"\[rl\]: backend = 'export:torch' is not one of rlready, export:trl, export:verl"),
        ("trl", "", "", r"\[rl\]: backend = 'trl' is not one of rlready, export:trl"),
        ("export:trl", '"export:trl"', "[1]", r"\[rl\]: backend = \[1\] is not one of"),
        ("export:trl", "[evaluate]", "[[rl.recipes]]\nbackend = 'x'\n[evaluate]", "backend is one for all recipes"),
        ("export:trl", "steps = 1", "steps = 1\nalgorithm = 'dense'", r"\[rl\]: algorithm=dense has no counterpart in"),
        ("export:trl", "save-every = 1", "save-every = 1\nlora_r = 4", r"\[sft\]: lora_r=4: trl cannot start from an"),
        ("export:verl", "", "", r"\[rl\]: embedded: </think> is a special token"),
        ("export:trl", "[evaluate]\n", "[evaluate]\nsample = 1\n", r"\[evaluate\]: unknown key 'sample'"),
    ],
)
def test_what_cannot_be_handed_over_is_refused_before_any_job(
    tmp_path: Path, backend: str, old: str, new: str, message: str
) -> None:
    config = written(tmp_path, backend)
    file = Path(config.file)
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        sweep(config, tmp_path / "sweep")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sweep").exists()


def test_the_commands_of_the_page(files: Path) -> None:  # noqa: F811
    """Those of the section on other tools, with what TRL leaves in place of its training."""
    text = shrunk(fenced("docs/verbs/sweep.md", "toml")).replace("[rl]\n", '[rl]\nbackend = "export:trl"\n')
    Path("sweep-trl.toml").write_text(text)
    mine = [words for words in commands("docs/verbs/sweep.md") if any("sweep-trl" in word for word in words)]
    assert [words[0] for words in mine] == ["sweep", "sweep", "predict"]
    for words in mine:
        assert main(small(words)) == 0
        for n, export in enumerate(sorted(Path("runs/sweep-trl/export").iterdir())):
            trained(export, 0.1, 0.1 * n)
    assert SweepResult.load(Path("runs/sweep-trl")).runs == 4


def test_a_sweep_for_verl_names_its_checkpoints_by_paths_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_thinking_model("model")
    lines = [{"prompt": f"{n} + 1?", "response": str(n + 1), "answer": str(n + 1)} for n in range(4)]
    Path("rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("sweep.toml").write_text(
        'measure = "starts"\n[sft]\nmodel = "model"\nrows = "rows.jsonl"\nheldout = "rows.jsonl"\nepochs = 1\n'
        '[readiness]\nproblems = "rows.jsonl"\nsamples = 4\nthinking_budget = 4\nmax_answer_tokens = 4\n'
        '[rl]\nbackend = "export:verl"\nproblems = "rows.jsonl"\nvalidation = "rows.jsonl"\nsteps = 1\n'
        "prompts_per_step = 2\ngroup_size = 2\nthinking_budget = 4\nmax_answer_tokens = 4\n"
    )
    config = SweepConfig(file="sweep.toml", workers=0)
    result = sweep(config, Path("runs/s"))
    (key,) = result.waiting
    assert any(note.startswith("Not in verl: thinking_budget=4") for note in result.notes)
    Path("runs/s").rename("copy")
    (model,) = [
        line.partition("=")[2]
        for line in Path("copy", key, "launch.sh").read_text().splitlines()
        if "model.path=" in line
    ]
    (inside,) = shlex.split(model.removesuffix(" \\"))  # in Hydra's quotes, from the folder of the export
    assert inside.startswith("'$QUOTED/")
    assert (Path("copy", key) / inside.removeprefix("'$QUOTED/").removesuffix("'") / "model.safetensors").is_file()
    trained_by_verl(Path("copy", key), 0.2, 0.7)
    Path("copy").rename("runs/s")
    assert sweep(config, Path("runs/s")).starts[0].outcome.value == 0.7
    assert rows(Path("runs/s"))[key]["meaning"] == "last val-core/problems.jsonl/acc/mean of verl"
