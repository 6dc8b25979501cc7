"""Sweeps of miniature runs: what they share runs once, what is done stays done, what fails fails alone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlready.cli.main import main
from rlready.core.config import PredictConfig, SweepConfig
from rlready.core.errors import UserError
from rlready.predict.stage import predict
from rlready.runs.run import read_json, read_log
from rlready.sweep import executors as work
from rlready.sweep import grid
from rlready.sweep import stage as sweep_module
from rlready.sweep.jobs import Job, chains_of, jobs_of
from rlready.sweep.stage import sweep
from rlready.sweep.status import Board, duration, remaining
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

    def run(order: work.Order, real: Any = work._run) -> None:
        ran.append(order.key)
        if len(ran) > stop_after:
            raise KeyboardInterrupt
        real(order)

    with monkeypatch.context() as patch:
        patch.setattr(work, "_run", run)
        yield ran


def test_shared_prefixes_run_once_and_predict_reads_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SFT run serves its checkpoints, a readiness run all RL seeds; what a kill leaves, or a new seed, runs once."""
    out = tmp_path / "sweep"
    config = SweepConfig(write(tmp_path, checkpoints="all"), workers=0)
    with watched(monkeypatch, stop_after=3) as first, pytest.raises(KeyboardInterrupt):
        sweep(config, out)
    assert read_json(out / "record.json")["status"] == "interrupted"
    with watched(monkeypatch) as second:
        result = sweep(config, out)
    assert first[3] in second  # that one was cut off
    assert not set(first[:3]) & set(second)
    assert result["jobs"] == {"sft": 1, "readiness": 2, "rl": 2, "evaluate": 2}
    assert sorted([*first[:3], *second]) == sorted(job.key for job in jobs_of(grid.read(Path(config.file))))
    with watched(monkeypatch) as third:
        assert sweep(config, out) == result
    assert third == []
    shutil.rmtree(out / "evaluate/one-1-rl-s0")
    with watched(monkeypatch) as fourth:
        assert sweep(config, out)["starts"] == result["starts"]
    assert fourth == ["evaluate/one-1-rl-s0"]

    config = SweepConfig(write(tmp_path, checkpoints="all", rl_seed=[0, 1]), workers=0)
    with watched(monkeypatch) as grown:
        assert sweep(config, out)["runs"] == 4
    assert Counter(grown) == dict.fromkeys([f"{verb}/one-{i}-rl-s1" for verb in ("rl", "evaluate") for i in (1, 2)], 1)
    rows = read_log(out / "runs.jsonl")
    assert {(row["family"], row["recipe"], row["seed"]) for row in rows} == {("size", "one", 0), ("size", "one", 1)}
    assert len({row["checkpoint"] for row in rows}) == len({row["readiness"] for row in rows}) == 2
    for row in rows:
        evaluated = read_json(out / row["evaluate"] / "result.json")
        assert row["outcome"] == evaluated["budgets"][-1][evaluated["models"][0]]["accuracy"]["value"]
        assert read_json(out / row["run"] / "record.json")["config"]["model"] == row["checkpoint"]
    out.rename(tmp_path / "moved")
    ranked = predict(PredictConfig((str(tmp_path / "moved"),), splits=10, resamples=50), tmp_path / "predict")
    assert {row["name"] for row in ranked["checkpoints"]} == {row["checkpoint"] for row in rows}
    (family,) = ranked["families"]
    assert (family["runs"], family["trained"], family["recipes"]) == (2, 4, 1)


def test_a_failing_job_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """What starts from it is skipped, the rest runs on; mended, only what is missing runs."""
    missing, out = tmp_path / "later.jsonl", tmp_path / "sweep"
    config = SweepConfig(write(tmp_path, problems=[str(missing), PROBLEMS]), workers=0)
    with watched(monkeypatch) as first, pytest.raises(UserError) as caught:
        sweep(config, out)
    assert "1 of 7 jobs failed and 1 that start from them were skipped" in str(caught.value)
    assert "later.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [row["rl"] for row in read_log(out / "runs.jsonl")] == ["rl-problems2-s0"]
    assert "rl/one-2-rl-problems1-s0 failed: " in capfd.readouterr().err
    missing.write_text("".join(json.dumps({"prompt": f"a: {i} ? a", "answer": f"a: {i}"}) + "\n" for i in range(2)))
    with watched(monkeypatch) as second:
        result = sweep(config, out)
    assert (len(first), second) == (6, ["rl/one-2-rl-problems1-s0", "evaluate/one-2-rl-problems1-s0"])
    assert result["runs"] == 2


def test_a_changed_recipe_is_refused_with_what_starts_from_it(tmp_path: Path) -> None:
    """Other settings under an old name: nothing is overwritten, and no row stands on the old run."""
    out = tmp_path / "sweep"
    sweep(SweepConfig(write(tmp_path), workers=0), out)
    before = (out / "sft/one/record.json").read_text()
    with pytest.raises(UserError, match=r"sft/one: .* holds a run with lr = 0.001, not 0.002"):
        sweep(SweepConfig(write(tmp_path, lr=[2e-3]), workers=0), out)
    assert (out / "sft/one/record.json").read_text() == before
    assert (out / "runs.jsonl").read_text() == ""
    with pytest.raises(UserError, match="holds a run of sft, not sweep"):
        sweep(SweepConfig(write(tmp_path), workers=0), out / "sft/one")
    assert (out / "sft/one/result.json").exists()


def test_thousands_of_jobs_are_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """The line says how many and how long, and nothing was begun; a word lets it through."""
    file = write(tmp_path, rl_seed=list(range(2000)))
    assert main(["sweep", file, "--out", str(tmp_path / "sweep")]) == 2
    said = capfd.readouterr().err
    assert "4,003 jobs (1 sft, 2 readiness, 2,000 rl, 2,000 evaluate), of which 4,003 are to be run: about" in said
    assert "hours on 2 workers" in said
    assert "--yes" in said
    assert not (tmp_path / "sweep").exists()
    monkeypatch.setattr(sweep_module, "MANY", 4)
    config = SweepConfig(write(tmp_path, problems=["missing.jsonl"]), workers=0)
    with pytest.raises(UserError, match=r"makes 5 jobs .* to start all the same add --yes"):
        sweep(config, tmp_path / "sweep")
    with pytest.raises(UserError, match="1 of 5 jobs failed"):
        sweep(replace(config, yes=True), tmp_path / "sweep")


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
        ("epochs = 2", "epochs = []", "a list of nothing"),
        ("epochs = 2", "epochs = 0", "epochs must be above 0"),
        ("save-every = 1", "save-every = 0", "save_every must be above 0"),
        ("epochs = 2", "epochs = 2\ncheckpoints = [3]", r"checkpoints = \[3\], but one-s0 keeps 2"),
        ("epochs = 2", "epochs = 2\ncheckpoints = [-3]", r"checkpoints = \[-3\], but one-s0 keeps 2"),
        ("epochs = 2", 'epochs = 2\ncheckpoints = "first"', "'first' is not last or all or places"),
        ("epochs = 2", "epochs = 2\nmeasure = 3", "measure = 3 is not all or starts"),
        ("epochs = 2", "epochs = 2\n[[sft.recipes]]\nname = 'one'\nseed = [0]", "two runs of the name one-s0"),
        ("samples = 4", "checkpoints = ['x']", r"\[readiness\]: checkpoints is what the sweep fills in"),
        ("[readiness]", "[readiness", "cannot be read as TOML"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """In one line with the table and the key, before anything is made."""
    file = Path(write(tmp_path))
    file.write_text(file.read_text().replace("learning_rate = [0.001]", "seed = [0]").replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        sweep(SweepConfig(str(file), workers=0), tmp_path / "sweep")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sweep").exists()


def test_settings_that_must_agree_are_taken_over(tmp_path: Path) -> None:
    """Readiness and evaluation sample as RL does, and readiness measures on the held-out rows of SFT."""
    plan = grid.read(Path(write(tmp_path, checkpoints="all")))
    (tuned,) = plan.sft
    ready = plan.readiness_for(tuned)
    assert (ready.thinking_budget, ready.group_size, ready.samples, ready.heldout) == (24, 4, 4, tuned.config.heldout)
    assert plan.evaluate.thinking_budgets == (24,)
    warm = Path(write(tmp_path, rl_seed="[0]\ntemperature = 0.7"))
    assert (grid.read(warm).readiness["temperature"], grid.read(warm).evaluate.temperature) == (0.7, 0.7)
    warm.write_text(warm.read_text().replace("[evaluate]", "[evaluate]\ntemperature = 0.0"))
    assert grid.read(warm).evaluate.temperature == 0
    assert [v.config.rows[-6:] for v in grid.read(Path(write(tmp_path, lr="1e-3\nseed = [7, 8]"))).sft] == [
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
def test_the_last_checkpoint_is_the_last(
    tmp_path: Path, tokens: int, epochs: int, save_every: float, kept: int, reference: bool
) -> None:
    """Whether references are kept beside it, or the marks of an epoch of one step fall together."""
    file = Path(write(tmp_path))
    settings = f"epochs = {epochs}\nsave_every = {save_every}\nbatch_tokens = {tokens}"
    file.write_text(file.read_text().replace("epochs = 2", settings))
    tuned, *rest = jobs_of(grid.read(file))
    result = run_sft(tuned.config, tmp_path / tuned.key)
    checkpoints = result["checkpoints"]
    assert result["steps"] >= 6 or not reference
    assert [c["reference"] for c in checkpoints] == [reference, False][-kept:]
    (learned,) = (job for job in rest if job.verb == "rl")
    assert learned.key == f"rl/one-{int(epochs / save_every)}-rl-s0"
    assert learned.filled(tmp_path).model == checkpoints[-1]["path"]
    missing = [job for job in rest if job.verb == "readiness" and -job.place > kept]
    assert bool(missing) is not reference
    for job in missing:
        with pytest.raises(UserError, match=f"has too few steps .* and kept {kept}, none for {job.key}"):
            job.filled(tmp_path)


def test_the_board_counts_and_foretells() -> None:
    """Time left: the guessed work of what is left, scaled for each verb by what it was off, over the workers."""
    jobs = [Job(f"sft/{i}", "sft", None, 10.0) for i in range(3)] + [
        Job(f"rl/{i}", "rl", None, 100.0) for i in range(2)
    ]
    taken = {"sft/0": (jobs[0], 20.0)}
    assert remaining(jobs[1:], taken, beside=2) == pytest.approx((2 * 20 + 2 * 200) / 2)
    board = Board(jobs, {"sft/0": 20.0}, beside=2)
    board.change("sft/1", "running")
    board.change("sft/1", "done", seconds=40.0)
    board.change("rl/0", "failed", why="no reason")
    board.change("rl/1", "skipped", why="it starts from rl/0")
    assert board.left == pytest.approx(10 * 3 / 2)
    rows = [line.split() for line in board.text().splitlines()]
    assert rows[1] == ["sft", "2", "0", "1", "0", "0", "30"]
    assert rows[2] == ["rl", "0", "0", "0", "1", "1", "?"]
    assert rows[3] == ["about", "15", "s", "left"]
    assert [duration(s) for s in (40, 720, 3600 * 3.5, 86400 * 2.1)] == ["40 s", "12 min", "3.5 hours", "2.1 days"]


def test_ray_runs_the_same_sweep_here_and_on_a_second_node(tmp_path: Path) -> None:
    """Workers on this machine, then a cluster whose only processor belongs to its second node: the same outcomes."""
    pytest.importorskip("ray", exc_type=ImportError)
    from ray.cluster_utils import Cluster

    file = write(tmp_path, problems=[PROBLEMS, "missing.jsonl"])
    with pytest.raises(UserError, match="1 of 7 jobs failed and 1"):
        sweep(SweepConfig(file, workers=2), tmp_path / "local")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        with pytest.raises(UserError, match="threads=2 are more processors than any node"):
            sweep(SweepConfig(file, ray=cluster.address, threads=2), tmp_path / "wide")
        with pytest.raises(UserError, match="1 of 7 jobs failed and 1"):
            sweep(SweepConfig(file, ray=cluster.address), tmp_path / "remote")
    finally:
        cluster.shutdown()
    local, remote = (read_log(tmp_path / name / "runs.jsonl") for name in ("local", "remote"))
    assert len(local) == 1
    assert [row["outcome"] for row in local] == [row["outcome"] for row in remote]
