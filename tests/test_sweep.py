"""Sweeps of miniature runs: what they share runs once, what is done stays done, what fails fails alone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from measured import write_record
from rlready.cli.main import main
from rlready.core.config import PredictConfig, RLConfig, SFTConfig, SweepConfig
from rlready.core.errors import UserError
from rlready.core.records import Estimate
from rlready.core.result import Record
from rlready.evaluate.result import EvaluateResult
from rlready.predict.outcomes import find_runs
from rlready.predict.stage import predict
from rlready.runs import lock
from rlready.runs.content import content_digest
from rlready.runs.files import plain, read_json, write_json
from rlready.runs.invocation import Invocation, invocation
from rlready.runs.log import read_log
from rlready.runs.record import DataNote, ModelNote, RunRecord
from rlready.sweep import executors, processes, scheduler
from rlready.sweep import stage as sweep_module
from rlready.sweep.executors import JobResult, Submission
from rlready.sweep.few_steps import refuse_too_few_steps
from rlready.sweep.grid import read_sweep_file
from rlready.sweep.jobs import Job, chains_of, checkpoints_of, finished, jobs_of, refuse_mixed_inputs
from rlready.sweep.processes import LocalProcesses
from rlready.sweep.result import StartingCheckpoint, _headline, _over_seeds, _unmoved
from rlready.sweep.stage import sweep
from rlready.sweep.status import Status, duration, remaining
from rlready.train.result import BestCheckpoint, Checkpoint, Evaluation, GroupTotals, RLResult, SFTResult
from rlready.train.sft import sft as run_sft

FILE = """
checkpoints = "{checkpoints}"
[sft]
heldout = "dagmath?ops=2&split=all&n=4&seed=2"
save-every = 1
[[sft.recipes]]
name = "one"
family = "size"
rows = "dagmath?ops=2&split=all&n=6&seed={seed}"
learning_rate = {lr}
epochs = 2
[readiness]
problems = "dagmath?ops=2&split=all&n=3&seed=3"
samples = 4
[rl]
problems = {problems}
validation = "dagmath?ops=2&split=all&n=2&seed=5"
steps = 1
prompts_per_step = 2
group_size = 4
thinking_budget = 24
eval_every = 1
eval_samples = 1
seed = {rl_seed}
[evaluate]
problems = "dagmath?ops=2&split=all&n=4&seed=6"
samples = 2
"""
PROBLEMS = "dagmath?ops=2&split=all&n=4&seed=4"


def write(folder: Path, **changes: Any) -> str:
    """A sweep file; by default of one SFT run, one RL run."""
    settings = {"checkpoints": "last", "lr": [1e-3], "problems": [PROBLEMS], "rl_seed": [0]} | changes
    text = FILE
    for key, value in settings.items():
        text = text.replace(f"{{{key}}}", value if isinstance(value, str) else json.dumps(value))
    (folder / "sweep.toml").write_text(text)
    return str(folder / "sweep.toml")


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, stop_after: int = 10**9) -> Iterator[list[str]]:
    """Keys of the jobs that are run from now on; an interrupt comes inside the one after ``stop_after``."""
    ran: list[str] = []

    def run(job: Submission, real: Callable[[Submission], None] = executors.run_verb) -> None:
        ran.append(job.key)
        if len(ran) > stop_after:
            raise KeyboardInterrupt
        real(job)

    with monkeypatch.context() as patch:
        patch.setattr(executors, "run_verb", run)
        yield ran


def test_shared_prefixes_run_once_and_predict_reads_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SFT run serves its checkpoints, a readiness run all RL seeds; what a kill leaves, or a new seed, runs once."""
    out = tmp_path / "sweep"
    config = SweepConfig(file=write(tmp_path, checkpoints="all"), workers=0)
    with watched(monkeypatch, stop_after=3) as first, pytest.raises(KeyboardInterrupt):
        sweep(config, out)
    assert read_json(out / "record.json")["status"] == "interrupted"
    with watched(monkeypatch) as second:
        result = sweep(config, out)
    assert first[3] in second  # that one was interrupted
    assert not set(first[:3]) & set(second)
    assert result.jobs == {"sft": 1, "readiness": 2, "rl": 2, "evaluate": 2}
    assert sorted([*first[:3], *second]) == sorted(job.key for job in jobs_of(read_sweep_file(Path(config.file))))
    with watched(monkeypatch) as third:
        assert sweep(config, out) == result
    assert third == []
    shutil.rmtree(out / "evaluate/one-1-rl-s0")
    with watched(monkeypatch) as fourth:
        assert sweep(config, out).starts == result.starts
    assert fourth == ["evaluate/one-1-rl-s0"]
    (out / "rl/one-1-rl-s0/state").mkdir()  # as a kill leaves it that comes after the record is written
    with watched(monkeypatch) as fifth:
        assert sweep(config, out).starts == result.starts
    assert fifth == ["rl/one-1-rl-s0"]
    assert not (out / "rl/one-1-rl-s0/state").exists()

    config = SweepConfig(file=write(tmp_path, checkpoints="all", rl_seed=[0, 1]), workers=0)
    with watched(monkeypatch) as grown:
        assert sweep(config, out).runs == 4
    assert Counter(grown) == dict.fromkeys([f"{verb}/one-{i}-rl-s1" for verb in ("rl", "evaluate") for i in (1, 2)], 1)
    rows = read_log(out / "runs.jsonl")
    assert {(row["family"], row["recipe"], row["seed"]) for row in rows} == {("size", "one", 0), ("size", "one", 1)}
    assert len({row["checkpoint"] for row in rows}) == len({row["readiness"] for row in rows}) == 2
    for row in rows:
        evaluated = EvaluateResult.load(out / row["evaluate"])
        assert row["outcome"] == evaluated.budgets[-1].scores[evaluated.models[0]].accuracy.value
        assert read_json(out / row["run"] / "record.json")["config"]["model"] == row["checkpoint"]
    of_one = RunRecord.load(out / "sft/one").overlaps
    assert of_one
    assert all(each in RunRecord.load(out).overlaps for each in of_one)
    out.rename(tmp_path / "moved")
    ranked = predict(PredictConfig(runs=(str(tmp_path / "moved"),), splits=10, resamples=50), tmp_path / "predict")
    assert {row.name for row in ranked.checkpoints} == {row["checkpoint"] for row in rows}
    (family,) = ranked.families
    assert (family.runs, family.rl_runs, family.recipes) == (2, 4, 1)


def test_a_failing_job_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """What starts from it is skipped, the rest continues; once fixed, only what is missing runs."""
    few, out = tmp_path / "few.jsonl", tmp_path / "sweep"
    lines = [json.dumps({"prompt": f"a: {i} ? a", "answer": f"a: {i}"}) + "\n" for i in range(2)]
    few.write_text(lines[0])
    config = SweepConfig(file=write(tmp_path, problems=[str(few), PROBLEMS]), workers=0)
    with watched(monkeypatch) as first, pytest.raises(UserError) as caught:
        sweep(config, out)
    assert "1 of 7 jobs failed and 1 that start from them were skipped" in str(caught.value)
    assert "few.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [row["rl"] for row in read_log(out / "runs.jsonl")] == ["rl-problems2-s0"]
    assert "rl/one-2-rl-problems1-s0 failed: " in capfd.readouterr().err
    few.write_text("".join(lines))
    with watched(monkeypatch) as second:
        result = sweep(config, out)
    assert (len(first), second) == (6, ["rl/one-2-rl-problems1-s0", "evaluate/one-2-rl-problems1-s0"])
    assert result.runs == 2


def test_data_that_cannot_be_read_is_refused_before_any_job(tmp_path: Path) -> None:
    """That of the last stage, too, and a task that yields nothing."""
    for bad in (str(tmp_path / "missing.jsonl"), "dagmath?ops=2&split=test&n=4"):
        with pytest.raises(UserError, match=r"^rl/one-2-rl-problems2-s0, problems: .*(no such file|none of 5000)"):
            sweep(SweepConfig(file=write(tmp_path, problems=[PROBLEMS, bad]), workers=0), tmp_path / "sweep")
        assert not (tmp_path / "sweep").exists()


def test_the_rows_of_a_sweep_are_not_overwritten(tmp_path: Path) -> None:
    """Neither is a file that the sweep file names with a seed in it."""
    write_record(tmp_path / "rows-7", "inject")
    (tmp_path / "rows-7/rows.jsonl").write_text(
        "".join(json.dumps({"prompt": f"a: {i} ? a", "response": f"a: {i}"}) + "\n" for i in range(6))
    )
    file = Path(write(tmp_path))
    rows = tmp_path / "rows-{seed}/rows.jsonl"
    file.write_text(
        file.read_text()
        .replace("dagmath?ops=2&split=all&n=6&seed={seed}", f"{rows}")
        .replace("save-", 'model = "embedded"\nseed = [7]\nsave-')
    )
    token = invocation.set(Invocation(overwrite=True))
    try:
        with pytest.raises(
            UserError, match=r"rows-7 cannot be overwritten: it holds an input of this run, .*rows.jsonl"
        ):
            sweep(SweepConfig(file=str(file), workers=0), tmp_path / "rows-7")
    finally:
        invocation.reset(token)
    assert (tmp_path / "rows-7/rows.jsonl").exists()


def test_jobs_with_unlike_inputs_are_not_compared(tmp_path: Path) -> None:
    """A file that has changed between two jobs, or since a job that is done; what the sweep itself wrote may change."""
    table, out = tmp_path / "test.jsonl", tmp_path / "sweep"
    shas = {}
    for text in ("new", "old"):
        table.write_text(text)
        shas[text] = content_digest(table)
    records = {}
    for key, text in (("evaluate/a", "old"), ("evaluate/b", "new"), ("evaluate/c", "old")):
        write_record(out / key, "evaluate")
        record = records[key] = RunRecord.load(out / key)
        paths = {"test set": (table, shas[text]), "state": (out / "sft/a", text)}
        record.data = [
            DataNote(id="x", role=role, path=str(path), sha256=sha, size=1) for role, (path, sha) in paths.items()
        ]
    same = {key: records[key] for key in ("evaluate/a", "evaluate/c")}
    refuse_mixed_inputs(out, same, changed=True)
    with pytest.raises(UserError, match=r"test.jsonl has changed since evaluate/b read it: .* in .*, evaluate/b$"):
        refuse_mixed_inputs(out, records)
    table.write_text("new")
    refuse_mixed_inputs(out, same)
    with pytest.raises(UserError, match=r"since evaluate/a and evaluate/c read it: .*, evaluate/a evaluate/c$"):
        refuse_mixed_inputs(out, same, changed=True)
    write_record(out / "later", "evaluate")
    later = RunRecord.load(out / "later")
    later.data = [DataNote(id="x", role="test", path=str(out / "evaluate/a/rows.jsonl"), sha256="1", size=1)]
    with pytest.raises(UserError, match=r", evaluate/a evaluate/c later$"):  # and what has read from these
        refuse_mixed_inputs(out, same | {"later": later}, changed=True)
    table.unlink()
    refuse_mixed_inputs(out, same, changed=True)
    with pytest.raises(UserError, match=r"has changed since"):
        refuse_mixed_inputs(out, records)


def test_a_sweep_that_has_moved_does_not_read_the_one_in_its_old_place(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    start = old / "sft/a/checkpoints/step-1"
    for out, text in ((new, "mine"), (old, "of another sweep")):
        (out / start.relative_to(old)).mkdir(parents=True)
        (out / start.relative_to(old) / "model.safetensors").write_text(text)
    write_record(new / "readiness/a-1", "readiness")
    record = RunRecord.load(new / "readiness/a-1").model_copy(update={"folder": str(old / "readiness/a-1")})
    mine = content_digest(new / start.relative_to(old))
    note = ModelNote(id=str(start), role="checkpoint", path=str(start), sha256=mine, chat=None, learner=None)
    record.models.append(note)
    refuse_mixed_inputs(new, {"readiness/a-1": record}, changed=True)
    (tmp_path / "base.bin").write_text("other")
    record.models.append(note.model_copy(update={"path": str(tmp_path / "base.bin")}))
    with pytest.raises(UserError, match=r"base.bin has changed since readiness/a-1 read it"):
        refuse_mixed_inputs(new, {"readiness/a-1": record}, changed=True)


def test_a_finished_sweep_that_has_moved_goes_on_once_to_name_todays_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SweepConfig(file=write(tmp_path), workers=0)
    with watched(monkeypatch) as ran:
        before = sweep(file, tmp_path / "old")
        assert sweep(file, tmp_path / "old") == before
        (tmp_path / "old").rename(tmp_path / "new")
        (tmp_path / "old").mkdir()
        ran.clear()
        after = sweep(file, tmp_path / "new")
    assert not ran
    assert str(tmp_path / "old") not in after.next_command + (tmp_path / "new/runs.jsonl").read_text()
    assert str(tmp_path / "new") in (tmp_path / "new/runs.jsonl").read_text()
    assert sweep(file, tmp_path / "new") == after


def test_equal_outcomes_have_no_winner_and_families_are_not_compared() -> None:
    def said(*outcomes: tuple[str, float], so_far: bool = False) -> str:
        starts = [
            StartingCheckpoint(family=f, checkpoint=f"c{i}", runs=1, outcome=Estimate(v, 0, 1, 4, "problems"), cost=1.0)
            for i, (f, v) in enumerate(outcomes)
        ]
        return _headline(starts, so_far=so_far)

    assert said(("", 0.2), ("", 0.3)) == "RL reached most from c1, 30 %."
    assert said(("", 0.0), ("", 0.0)) == "RL reached the same from all 2 checkpoints, 0 %."
    assert said(("", 0.3), ("", 0.1 + 0.2), ("", 0.1)) == "RL reached most from c0 and c1, 30 % each."
    assert said(("a", 0.2), ("b", 0.3), ("b", 0.1)) == "RL reached most from c0, 20 % in a and c1, 30 % in b."
    assert said(("", 0.3), so_far=True) == "So far only RL from c0 has an outcome, 30 %."
    assert said(("", 0.2), ("", 0.3), so_far=True) == "So far RL reached most from c1, 30 %."
    families = said(("a", 0.2), ("b", 0.3), ("c", 0.1))
    assert families == "RL outcomes are of 3 families, which are not compared with each other."


def test_another_sweep_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Other settings under an old name, or another file: nothing in a finished sweep's folder changes by a byte."""
    out = tmp_path / "sweep"
    sweep(SweepConfig(file=write(tmp_path), workers=0), out)
    before = content_of(out)
    assert {out / "result.json", out / "runs.jsonl", out / "sft/one/record.json"} <= before.keys()
    with pytest.raises(UserError, match=r"sft/one: .* holds a run with learning_rate = 0.001, not 0.002"):
        sweep(SweepConfig(file=write(tmp_path, lr=[2e-3]), workers=0), out)
    file = Path(write(tmp_path))
    other = tmp_path / "other.toml"
    other.write_text(file.read_text().replace('name = "one"', 'name = "two"'))
    with pytest.raises(UserError, match=r"holds a run with file = 'sweep.toml', not 'other.toml'"):
        sweep(SweepConfig(file=str(other), workers=0), out)
    sweep(SweepConfig(file=str(file.rename(tmp_path / "renamed.toml")), workers=0), out)
    assert content_of(out) == before
    other.replace(file)
    with pytest.raises(UserError, match=r"holds a finished sweep of another .*sweep.toml, which shares no job"):
        sweep(SweepConfig(file=str(file), workers=0), out)
    with pytest.raises(UserError, match="holds a run of sft, not sweep"):
        sweep(SweepConfig(file=write(tmp_path), workers=0), out / "sft/one")
    held = lock.lock_folder(out)
    with pytest.raises(UserError, match="is in use by process"):  # with more jobs, for which the result must go
        sweep(SweepConfig(file=write(tmp_path, rl_seed=[0, 1]), workers=0), out)
    lock.unlock(held)
    assert content_of(out) == before
    shutil.rmtree(out / "sft")  # as the line on a damaged job advises; the others are still this sweep's
    sweep(SweepConfig(file=write(tmp_path), workers=0), out)
    assert (out / "runs.jsonl").read_bytes() == before[out / "runs.jsonl"]


def content_of(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder but for locks, which name the process that holds them."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_runs_of_rl_at_a_time_do_not_share_a_server(tmp_path: Path) -> None:
    """Each would hand its weights to it."""
    name = write(tmp_path, rl_seed=[0, 1])
    text = Path(name).read_text().replace("[rl]", '[rl]\nengine = "http://127.0.0.1:9"')
    Path(name).write_text(text)
    with pytest.raises(UserError, match=r"127.0.0.1:9 can have the weights of one run of RL at a time: set workers=1"):
        sweep(SweepConfig(file=name, workers=2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_thousands_of_jobs_need_confirmation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """The line says how many and how long, and nothing was begun; a word lets it through."""
    file = write(tmp_path, rl_seed=list(range(2000)))
    assert main(["sweep", file, "--out", str(tmp_path / "sweep")]) == 2
    said = capfd.readouterr().err
    assert "4,003 jobs (1 sft, 2 readiness, 2,000 rl, 2,000 evaluate), of which 4,003 are to be run: about" in said
    assert "hours on 2 workers" in said
    assert "--yes" in said
    assert not (tmp_path / "sweep").exists()
    monkeypatch.setattr(sweep_module, "MANY", 4)
    config = SweepConfig(file=write(tmp_path, problems=["missing.jsonl"]), workers=0)
    with pytest.raises(UserError, match=r"makes 5 jobs .* to start anyway, add --yes"):
        sweep(config, tmp_path / "sweep")
    with pytest.raises(UserError, match=r"problems: missing\.jsonl: no such file"):
        sweep(config.replace(yes=True), tmp_path / "sweep")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[rl]", "[rll]", "unknown key 'rll'; did you mean rl"),
        (
            "prompts_per_step = 2",
            "prompts_per_stp = 2",
            r"\[rl\]: unknown key 'prompts_per_stp'; did you mean prompts_per_step",
        ),
        ("epochs = 2", 'epochs = "many"', r"recipes\]\] 1: epochs = 'many' is not a number"),
        ("epochs = 2", "epochs = []", "an empty list leaves nothing to run"),
        ("epochs = 2", "epochs = [1, 2, 1.0]", r"epochs has 1\.0 twice: each of its values is one run"),
        ("epochs = 2", "epochs = 0", "epochs must be above 0"),
        ("save-every = 1", "save-every = 0", "save_every must be above 0"),
        ("epochs = 2", "epochs = 2\ncheckpoints = [3]", r"checkpoints = \[3\], but one-s0 keeps 2"),
        ("epochs = 2", "epochs = 2\ncheckpoints = [-3]", r"checkpoints = \[-3\], but one-s0 keeps 2"),
        ("epochs = 2", 'epochs = 2\ncheckpoints = "first"', "'first' is not last or all or places"),
        ("epochs = 2", "epochs = 2\nmeasure = 3", "measure = 3 is not all or starts"),
        ("epochs = 2", "epochs = 2\n[[sft.recipes]]\nname = 'one'\nseed = [0]", "two runs would have the name one-s0"),
        (
            "epochs = 2",
            "epochs = 2\n[[sft.recipes]]\nname = 'two'\nepochs = 2\nseed = [0]\nfamily = 'size'\n"
            "rows = 'dagmath?ops=2&split=all&n=6&seed={seed}'",
            "two-s0 has the settings of one-s0, so that both would be one run",
        ),
        ('name = "one"', 'name = ".."', r"recipes\]\] 1: name = '\.\.' cannot be the name of a folder: use up to 100"),
        ('name = "one"', "name = '" + "n" * 99 + "'", r"name = 'n{40}' cannot be the name of a folder"),
        ("n=2&seed=5", "n=2&seed={sed}", r"\[rl\]: validation has \{sed\}, which is not replaced"),
        ("[readiness]", '[readiness]\nheldout = "x?seed={seed}"', r"\[readiness\]: heldout has \{seed\}, which is not"),
        ("samples = 4", "checkpoints = ['x']", r"\[readiness\]: checkpoints is what the sweep fills in"),
        ("[readiness]", "[readiness", "sweep.toml: not TOML: "),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """In one line with the table and the key, before anything is made."""
    file = Path(write(tmp_path))
    file.write_text(file.read_text().replace("learning_rate = [0.001]", "seed = [0]").replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        sweep(SweepConfig(file=str(file), workers=0), tmp_path / "sweep")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sweep").exists()


def test_shared_settings_are_copied_between_verbs(tmp_path: Path) -> None:
    """Readiness and evaluation sample as RL does, and readiness measures on the held-out rows of SFT."""
    plan = read_sweep_file(Path(write(tmp_path, checkpoints="all")))
    (tuned,) = plan.sft
    ready = plan.readiness_for(tuned)
    assert (ready.thinking_budget, ready.group_size, ready.samples, ready.heldout) == (24, 4, 4, tuned.config.heldout)
    assert plan.evaluate.thinking_budgets == (24,)
    own = tuned.config.replace(rows="rows.jsonl?n=8", heldout=None)
    assert plan.readiness_for(replace(tuned, config=own)).heldout == "rows.jsonl?n=8&held_out=1"  # what sft splits off
    default = tuned.config.replace(rows=None, heldout=None)
    assert plan.readiness_for(replace(tuned, config=default)).heldout is None  # so has the demo's data
    warm = Path(write(tmp_path, rl_seed="[0]\ntemperature = 0.7"))
    assert (read_sweep_file(warm).readiness.temperature, read_sweep_file(warm).evaluate.temperature) == (0.7, 0.7)
    warm.write_text(warm.read_text().replace("[evaluate]", "[evaluate]\ntemperature = 0.5"))
    assert read_sweep_file(warm).evaluate.temperature == 0.5
    assert [v.config.rows[-6:] for v in read_sweep_file(Path(write(tmp_path, lr="1e-3\nseed = [7, 8]"))).sft] == [
        "seed=7",
        "seed=8",
    ]
    keys = [job.key for job in jobs_of(plan)]
    assert keys[:3] == ["sft/one", "readiness/one-1", "readiness/one-2"]
    for chain in chains_of(plan):
        assert {chain.readiness, chain.run, chain.evaluate} <= set(keys)


@pytest.mark.parametrize(
    ("tokens", "epochs", "save_every", "kept", "reference"), [(60, 1, 1, 2, True), (10**6, 2, 0.25, 2, False)]
)
def test_the_last_checkpoint_can_be_chosen(
    tmp_path: Path, tokens: int, epochs: int, save_every: float, kept: int, reference: bool
) -> None:
    """Whether references are kept beside it, or the marks of an epoch of one step fall together."""
    file = Path(write(tmp_path))
    settings = f"epochs = {epochs}\nsave_every = {save_every}\ntokens_per_batch = {tokens}"
    file.write_text(file.read_text().replace("epochs = 2", settings))
    tuned, *rest = jobs_of(read_sweep_file(file))
    result = run_sft(tuned.config, tmp_path / tuned.key)
    checkpoints = result.checkpoints
    assert result.steps >= 6 or not reference
    assert [c.reference for c in checkpoints] == [reference, False][-kept:]
    (learned,) = (job for job in rest if job.verb == "rl")
    assert learned.key == f"rl/one-{int(epochs / save_every)}-rl-s0"
    left = checkpoints_of(tmp_path / tuned.key)
    started = learned.config_from(left)
    assert isinstance(started, RLConfig)
    assert started.model == checkpoints[-1].path
    missing = [job for job in rest if job.verb == "readiness" and job.place < -1]
    missing = missing if len(left) < learned.planned else []
    assert bool(missing) is not reference
    few = f"has too few steps .* and keeps {kept} of 8, so that it is not certain which one"
    for job in missing:
        with pytest.raises(UserError, match=f"{few} {job.key} means"):
            job.config_from(left)
    if missing:
        with pytest.raises(UserError, match=f"{few} readiness/one-1 means"):
            sweep(SweepConfig(file=str(file), workers=0), tmp_path / "sweep")
        assert not (tmp_path / "sweep").exists()
    else:
        refuse_too_few_steps([tuned, *rest], {})


@pytest.mark.parametrize("place", [2, 3, -2])
def test_a_place_among_fewer_checkpoints_than_planned_is_refused(tmp_path: Path, place: int) -> None:
    """Three steps an epoch: a mark at each quarter makes three checkpoints, so that the second from the end is not the
    third mark, and the third is not the second."""
    file = Path(write(tmp_path))
    text = file.read_text().replace("epochs = 2", "epochs = 1\nsave_every = 0.25")
    file.write_text(text.replace('"last"', f"[{place}]"))
    jobs = jobs_of(read_sweep_file(file))
    (learned,) = (job for job in jobs if job.verb == "rl")
    assert learned.planned == 4
    with pytest.raises(UserError, match=f"keeps 3 of 4, so that it is not certain which one {learned.key} means"):
        learned.config_from(["step-1", "step-2", "step-3"])
    assert isinstance(learned.config_from(["step-1", "step-2", "step-3", "step-4"]), RLConfig)


def test_the_status_counts_and_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    """Time left: the guessed work of what is left, scaled for each verb by what it was off, over the workers."""
    jobs = [Job(f"sft/{i}", "sft", SFTConfig(), 10.0) for i in range(3)]
    jobs += [Job(f"rl/{i}", "rl", RLConfig(), 100.0) for i in range(2)]
    assert remaining(jobs[1:], [(jobs[0], 20.0)], workers=2) == pytest.approx((2 * 20 + 2 * 200) / 2)
    status = Status(jobs, {"sft/0": 20.0}, workers=2)
    status.change("sft/1", "running")
    status.change("sft/1", "done", seconds=40.0)
    status.change("rl/0", "failed", why="no reason")
    status.change("rl/1", "skipped", why="it starts from rl/0")
    assert status.left == pytest.approx(10 * 3 / 2)
    capsys.readouterr()
    status.print_table()
    assert capsys.readouterr().err.splitlines() == [line.rstrip() for line in status.text().splitlines()]
    rows = [line.split() for line in status.text().splitlines()]
    assert rows[1] == ["sft", "2", "0", "1", "0", "0", "30"]
    assert rows[2] == ["rl", "0", "0", "0", "1", "1", "?"]
    assert rows[3] == ["about", "15", "s", "left"]
    assert [duration(s) for s in (40, 720, 3600 * 3.5, 86400 * 2.1)] == ["40 s", "12 min", "3.5 hours", "2.1 days"]


def pretend(out: Path, job: Job, left: str = "") -> None:
    """Write the folder of a job that is done, as far as a sweep reads it; ``left``: the job it starts from."""
    config = job.config_from(checkpoints_of(out / left)) if left else job.config
    folder, figure = out / job.key, Estimate(0.5, 0.4, 0.6, 9)
    kept = [
        Checkpoint(
            name=str(i),
            path=f"{folder}/{i}",
            step=i + 1,
            epoch=1.0,
            samples=1.0,
            reference=False,
            heldout_loss=figure,
            heldout_loss_examples=figure,
        )
        for i in range(2)
    ]
    best = BestCheckpoint(step=1, path=f"{folder}/best", accuracy=figure)
    evaluations = [Evaluation(step=1, accuracy=figure, thinking_tokens=5.0)]
    result = (
        RLResult(headline="", seed=0, steps=1, stopped="", drift="", best=best, evaluations=evaluations)
        if job.verb == "rl"
        else SFTResult(headline="", seed=0, steps=2, final_loss=0.5, checkpoints=kept)
    )
    write_json(folder / "result.json", result)
    write_record(folder, job.verb, config=plain(config))
    write_json(folder / "record.json", read_json(folder / "record.json") | {"seconds": 2.0})


def test_planning_reads_each_file_once_and_grows_with_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record a job, a result a job that others start from; eight times the jobs cost not much more than eight."""
    reads: Counter[Path] = Counter()

    from_file = Record.from_file.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Record], path: Path) -> Any:
        reads[path] += 1
        return from_file(cls, path)

    monkeypatch.setattr(Record, "from_file", classmethod(counted))
    jobs = jobs_of(read_sweep_file(Path(write(tmp_path, rl_seed=list(range(20))))))
    for job in jobs:
        pretend(tmp_path / "out", job, job.start)
    reads.clear()
    assert finished(jobs, tmp_path / "out") == {job.key: 2.0 for job in jobs}
    expected = [tmp_path / "out" / job.key / "record.json" for job in jobs]
    expected += [tmp_path / "out" / key / "result.json" for key in {job.start for job in jobs} - {""}]
    assert reads == Counter(expected)

    monkeypatch.setattr(scheduler, "checkpoints_of", lambda folder: ["a", "b"])
    monkeypatch.setattr(scheduler, "append_line", lambda path, content: None)
    monkeypatch.setattr("rlready.core.progress.SCREEN.quiet", True)
    seconds = {n: min(planned_and_scheduled(tmp_path, n) for _ in range(3)) for n in (500, 4000)}
    assert seconds[4000] < 24 * seconds[500]


def planned_and_scheduled(tmp_path: Path, n: int) -> float:
    """CPU seconds to plan so many jobs and to hand them to an executor on which each ends at once."""
    file = Path(write(tmp_path, rl_seed=list(range(n // 2))))
    began = time.process_time()
    jobs = jobs_of(read_sweep_file(file))
    assert finished(jobs, tmp_path / "nothing") == {}
    each = scheduler.Scheduler(tmp_path, jobs, status := Status(jobs, {}, 2), threads=1)
    each.run(Instant(), lambda: None)
    assert set(status.states.values()) == {"done"}
    return time.process_time() - began


class Instant:
    """An executor with two slots, whose jobs end at once."""

    def __init__(self) -> None:
        self.jobs: list[Submission] = []

    def free_slots(self) -> int:
        return 2 - len(self.jobs)

    def submit(self, job: Submission) -> None:
        self.jobs.append(job)

    def wait(self) -> list[JobResult]:
        return [JobResult(self.jobs.pop().key, "", 1.0)]

    def close(self) -> None: ...


def test_processes_run_the_same_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same rows as in this process; of two workers' jobs one is killed, and fails alone with what starts from it.

    The same command then runs only these.
    """
    out, file = tmp_path / "apart", write(tmp_path, problems=[PROBLEMS, PROBLEMS + "0"])
    sweep(SweepConfig(file=file, workers=0), tmp_path / "here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalProcesses, "submit", submit_and_kill("rl/one-2-rl-problems2-s0"))
        with pytest.raises(UserError, match=r"1 of 7 jobs failed and 1 .* killed by SIGKILL"):
            sweep(SweepConfig(file=file, workers=2), out)
    first = read_log(out / "log.jsonl")
    assert sweep(SweepConfig(file=file, workers=2), out).runs == 2
    again = {line["key"] for line in read_log(out / "log.jsonl")[len(first) :]}
    assert again == {"rl/one-2-rl-problems2-s0", "evaluate/one-2-rl-problems2-s0"}
    whole = [line["key"] for line in read_log(out / "log.jsonl") if not line["problem"]]
    (out / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in first[:2]))  # as a kill may leave it
    (out / "rl/one-2-rl-problems2-s0/result.json").unlink()
    sweep(SweepConfig(file=file, workers=0), out)
    assert sorted(line["key"] for line in read_log(out / "log.jsonl") if not line["problem"]) == sorted(whole)
    here, apart = (read_log(tmp_path / name / "runs.jsonl") for name in ("here", "apart"))
    assert [row["outcome"] for row in here] == [row["outcome"] for row in apart]
    assert (out / "logs/sft/one.log").stat().st_size
    capsys.readouterr()
    assert sweep(SweepConfig(file=write(tmp_path), workers=0), out).runs == 1
    assert "4 runs in " in (said := capsys.readouterr().err)
    assert "are not in " in said
    assert "any more, first evaluate/one-2-rl-problems1-s0: they stay" in said
    measured = find_runs([str(out)]).readiness
    assert [path.name for path in measured] == ["one-1", "one-2"]
    shutil.copytree(measured[0], out / "readiness/gone")  # as of a recipe that the file had
    assert find_runs([str(out)]).readiness == measured
    assert "readiness/gone is left out, which the file of " in capsys.readouterr().err


def submit_and_kill(key: str) -> Callable[[LocalProcesses, Submission], None]:
    """``LocalProcesses.submit``, but the process of one job is killed as by a machine out of memory."""
    submit = LocalProcesses.submit

    def replaced(self: LocalProcesses, job: Submission) -> None:
        submit(self, job)
        if job.key == key:
            self._running[-1].process.kill()

    return replaced


@contextmanager
def endless_sweep(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The command line's sweep, once its first job, SFT without end, runs in a process of its own."""
    file, out = Path(write(tmp_path)), tmp_path / "out"
    file.write_text(
        file.read_text()
        .replace("epochs = 2", "epochs = 1000\ntokens_per_batch = 8")
        .replace("save-every = 1", "save-every = 1000")
    )
    code = "import sys; from rlready.cli.main import main; sys.exit(main())"
    words = ["sweep", str(file), "--yes", "--out", str(out)]
    parent = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: (out / "sft/one/log.jsonl").exists() or parent.poll() is not None)
        assert parent.poll() is None, parent.stderr and parent.stderr.read()
        yield parent, out
    finally:
        parent.kill()
        parent.communicate()


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.05)


def test_a_killed_sweep_leaves_no_job_behind(tmp_path: Path) -> None:
    """kill -9 of the sweep ends its jobs, too; their folders can be continued at once."""
    with endless_sweep(tmp_path) as (parent, out):
        assert lock.is_locked(out / "sft/one")
        parent.kill()
        until(lambda: not lock.is_locked(out / "sft/one"), seconds=10)
        assert read_json(out / "sft/one/record.json")["status"] == "running"


def test_a_stopped_sweep_stops_its_jobs(tmp_path: Path) -> None:
    """On Ctrl-C, which only the sweep sees, its jobs note that they were interrupted before the command returns."""
    with endless_sweep(tmp_path) as (parent, out):
        parent.send_signal(signal.SIGINT)
        _, said = parent.communicate(timeout=60)
        assert parent.returncode == 130
        assert f"stopped; to continue: rlready sweep {tmp_path}" in said
        assert not lock.is_locked(out / "sft/one")
        assert read_json(out / "sft/one/record.json")["status"] == "interrupted"
        assert read_json(out / "record.json")["status"] == "interrupted"


def test_a_job_that_cannot_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends without a word, and one whose last words tell why."""
    job = Submission("sft/x", "sft", SFTConfig(), tmp_path / "x", threads=1, cwd=tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    local = LocalProcesses(1, tmp_path / "logs")
    local.submit(job)
    assert local.free_slots() == 0
    (result,) = until_ended(local)
    assert (result.key, local.free_slots()) == ("sft/x", 1)
    assert result.problem.startswith("its process ended with exit code 1; ")
    assert result.problem.endswith("sft/x.log is empty")


def test_a_job_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM first; what ignores it is killed, with the processes that it started."""
    script, beats = tmp_path / "python", tmp_path / "beats"
    child = f"while true; do echo beat >> {beats}; sleep 0.05; done"
    script.write_text(f"#!/bin/sh\ntrap 'echo asked' TERM\n({child}) &\nwhile true; do sleep 0.05; done\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(processes, "GRACE", 1.0)
    local = LocalProcesses(1, tmp_path / "logs")
    local.submit(Submission("x", "sft", SFTConfig(), tmp_path / "x", threads=1, cwd=tmp_path))
    process = local._running[0].process
    until(beats.exists)
    local.close()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "logs/x.log").read_text() == "asked\n"
    count = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == count


def until_ended(local: LocalProcesses) -> list[JobResult]:
    results: list[JobResult] = []
    until(lambda: bool(results.extend(local.wait()) or results))
    return results


def test_every_job_gets_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job sees one GPU, no two at a time the same; threads are what the sweep says."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\ncat > /dev/null &\necho $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS; exit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    local = LocalProcesses(3, tmp_path / "logs", gpus=["4", "GPU-b"])
    said = []
    for _ in range(2):
        assert local.free_slots() == 2
        for name in "xy":
            local.submit(Submission(name, "sft", SFTConfig(), tmp_path / name, threads=3, cwd=tmp_path))
        assert local.free_slots() == 0
        results = until_ended(local)
        while len(results) < 2:
            results += until_ended(local)
        said.append({result.problem for result in results})
    assert said == [{"4 3", "GPU-b 3"}] * 2


def test_ray_runs_the_same_sweep_on_a_second_node(tmp_path: Path) -> None:
    """On a cluster whose only processor belongs to its second node: the same outcomes as in this process."""
    pytest.importorskip("ray", exc_type=ImportError)
    from ray.cluster_utils import Cluster

    file = write(tmp_path, problems=[PROBLEMS, "missing.jsonl"])
    with pytest.raises(UserError, match="1 of 7 jobs failed and 1"):
        sweep(SweepConfig(file=file, workers=0), tmp_path / "local")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        with pytest.raises(UserError, match="threads=2: no node of"):
            sweep(SweepConfig(file=file, ray=cluster.address, threads=2), tmp_path / "wide")
        with pytest.raises(UserError, match="1 of 7 jobs failed and 1"):
            sweep(SweepConfig(file=file, ray=cluster.address), tmp_path / "remote")
    finally:
        cluster.shutdown()
    local, remote = (read_log(tmp_path / name / "runs.jsonl") for name in ("local", "remote"))
    assert len(local) == 1
    assert [row["outcome"] for row in local] == [row["outcome"] for row in remote]


def test_ray_is_only_for_an_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Ray a sweep's defaults work, as the tests above show, and an address says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"ray=head:6379 needs Ray: pip install 'rlready\[ray\]'"):
        sweep(SweepConfig(file=write(tmp_path), ray="head:6379"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_interval_over_seeds_is_of_a_share() -> None:
    """Within 0 and 1; of seeds with one value it is that of a run over problems, not of no width."""
    run = Estimate(1.0, 0.73, 1.0, 8)

    def row(outcome: float) -> Any:
        return SimpleNamespace(outcome=outcome, accuracy=run)

    assert _over_seeds([row(1.0), row(1.0)]) == run
    found = _over_seeds([row(1.0), row(0.9)])
    assert (found.value, found.high, found.varies) == (pytest.approx(0.95), 1.0, "seeds")
    assert found.low == pytest.approx(0.95 - 12.7062 * 0.05, abs=1e-3)


@pytest.mark.parametrize(
    ("steps", "informative", "said"),
    [
        ((4, 8), (1, 1), []),
        ((0, 8), (2, 1), ["Warning: 1 of 2 RL runs raised no validation accuracy: their outcome is the start's."]),
        (
            (0, 0),
            (0, 3),
            [
                "Warning: 2 of 2 RL runs raised no validation accuracy (1 of them had no gradient): their outcome is "
                "the start's."
            ],
        ),
    ],
)
def test_runs_of_rl_that_moved_nothing_are_said(steps: Any, informative: Any, said: list[str]) -> None:
    runs = [
        SimpleNamespace(best=SimpleNamespace(step=step), groups=GroupTotals(informative=count))
        for step, count in zip(steps, informative, strict=True)
    ]
    assert _unmoved(cast("Any", runs)) == said


def test_one_recipe_may_stand_in_two_families(tmp_path: Path) -> None:
    """As the baseline of each, in a design that varies one setting in a family."""
    file = Path(write(tmp_path))
    other = "epochs = 2\n[[sft.recipes]]\nname = 'two'\nepochs = 2\nfamily = 'rate'\nlearning_rate = [0.001]\n"
    other += "rows = 'dagmath?ops=2&split=all&n=6&seed={seed}'"
    file.write_text(file.read_text().replace("epochs = 2", other, 1))
    assert {each.family for each in read_sweep_file(file).sft} == {"size", "rate"}
