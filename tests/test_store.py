"""Run folders: never half written, never silently reused, continued after any kind of end."""

import errno
import gc
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from rlready.core.config import DemoConfig
from rlready.core.errors import UserError
from rlready.core.records import Real
from rlready.core.result import Result
from rlready.core.settings import Config as Settings
from rlready.runs import lock, provenance
from rlready.runs.files import merge_tables, read_json, read_table, write_folder, write_json, write_table, write_text
from rlready.runs.invocation import Invocation, invocation
from rlready.runs.log import append_line, log_digest, read_log, sync_log, truncate_log
from rlready.runs.parquet import BoundedParquet
from rlready.runs.record import Energy, RunRecord, is_edited, sealed
from rlready.runs.run import Run


class Config(Settings):
    lr: float = 0.1
    seed: int = 3


class Loss(Result):
    verb: str = "sft"
    headline: str = "Trained."
    loss: Real


def record(out: Path) -> dict:
    return read_json(out / "record.json")


def python(code: str, *words: object) -> subprocess.Popen:
    """A process of its own that says "ready" and waits, to be ended."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_inputs_of_a_run_with_an_absolute_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any directory, after it has moved, and without a name above the user's home in the record."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ("home/project", "shared/project", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "rows.jsonl").write_text(folder)

    def run_in(directory: str, out: str) -> Path:
        monkeypatch.chdir(tmp_path / directory)
        with Run(tmp_path / out, "sft", Config()) as run:
            run.claim()
        monkeypatch.chdir(tmp_path / "elsewhere")
        return tmp_path / out

    def found(folder: Path) -> str:
        return RunRecord.load(folder).located(folder, "rows.jsonl").read_text()

    below, apart = run_in("home/project", "home/project/runs/a"), run_in("home/project", "scratch/a")
    outside, hidden = run_in("shared/project", "shared/project/runs/a"), run_in("shared/project", "scratch/b")
    assert [RunRecord.load(each).directory for each in (below, apart, outside, hidden)] == [
        "../..",
        "~/project",
        "../..",
        "",
    ]
    assert [found(each) for each in (below, apart, outside)] == ["home/project", "home/project", "shared/project"]
    assert found(hidden) == "elsewhere"  # the working directory, as nothing is known
    (tmp_path / "shared").rename(tmp_path / "moved")  # with its inputs
    assert found(tmp_path / "moved/project/runs/a") == "shared/project"
    apart.rename(tmp_path / "alone")
    assert found(tmp_path / "alone") == "home/project"
    below.rename(tmp_path / "a")  # away from its inputs: what is in the working directory
    assert found(tmp_path / "a") == "elsewhere"
    (tmp_path / "elsewhere/rows.jsonl").unlink()
    assert not RunRecord.load(tmp_path / "a").located(tmp_path / "a", "rows.jsonl").exists()


def test_paths_inside_a_folder_of_runs_that_was_renamed_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a sweep, also beside the one that it was copied from."""
    monkeypatch.chdir(tmp_path)
    with Run(Path("sweep/readiness/a"), "readiness", Config()) as run:
        run.claim()
    Path("sweep/sft/b").mkdir(parents=True)
    shutil.copytree("sweep", "copy")
    Path("sweep").rename("renamed")
    for name in ("renamed", "copy"):
        folder = Path(name, "readiness/a")
        assert RunRecord.load(folder).located(folder, "sweep/sft/b") == tmp_path / name / "sft/b"
    assert not RunRecord.load(folder).located(folder, "sweep/sft/c").exists()


def test_a_table_of_a_run_that_would_fill_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder may come from another user."""
    rows = [{"step": n, "text": "x" * 1000} for n in range(5000)]
    write_table(tmp_path / "t.parquet", rows)
    assert read_table(tmp_path / "t.parquet") == rows
    monkeypatch.setattr("rlready.runs.parquet.LEAST", 1 << 22)
    with pytest.raises(UserError, match=r"t.parquet: its rows need more than 0.0 GiB, 100 times its size"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"t.parquet: its rows need more than 0.0 GiB, 100 times its size"):
        merge_tables([tmp_path / "t.parquet"], tmp_path / "merged.parquet", 9)


def test_json_holds_what_runs_produce(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(
        path, {"z": float("nan"), "a": np.float32(0.5), "n": np.int64(3), "x": np.array([1.0, np.inf]), "c": Config()}
    )
    expected = {"z": None, "a": 0.5, "n": 3, "x": [1.0, None], "c": {"lr": 0.1, "seed": 3}}
    assert path.read_text() == json.dumps(expected, indent=1) + "\n"


def test_tables_keep_keys_that_the_first_row_lacks(tmp_path: Path) -> None:
    rows = [{"id": "a", "tokens": np.array([1, 2], dtype=np.int32)}, {"id": "b", "tokens": (), "reward": 1.0}]
    write_table(tmp_path / "t.parquet", rows)
    assert read_table(tmp_path / "t.parquet") == [
        {"id": "a", "tokens": [1, 2], "reward": None},
        {"id": "b", "tokens": [], "reward": 1.0},
    ]
    write_table(tmp_path / "t.parquet", [])
    assert read_table(tmp_path / "t.parquet") == []


def test_a_log_that_cannot_be_synced_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_line(tmp_path / "log.jsonl", {"step": 1})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match=r"cannot write .*log\.jsonl: no space left on the disk"):
        sync_log(tmp_path / "log.jsonl")


WRITES = {
    "text": lambda path: write_text(path / "kept", "new"),
    "table": lambda path: write_table(path / "kept", [{"a": 1}]),
    "folder": lambda path: write_folder(path, lambda folder: write_text(folder / "kept", "new")),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_full_disk_is_one_line_and_keeps_the_version_before(write, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "here"
    write_folder(path, lambda folder: write_text(folder / "kept", "old"))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UserError, match=r"^cannot write .*: no space left on the disk$"):
        write(path)
    assert (path / "kept").read_text() == "old"
    assert list(tmp_path.rglob("*.tmp-*")) == []


def test_a_full_disk_behind_a_librarys_own_error(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        raise RuntimeError("could not serialise: No space left on device (os error 28)")

    with pytest.raises(UserError, match="no space left"):
        write_folder(tmp_path / "checkpoint", fill)


def test_a_bug_in_the_writer_is_not_reported_as_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "checkpoint", lambda folder: 1 / 0)
    with pytest.raises(FileNotFoundError):
        write_folder(tmp_path / "checkpoint", lambda folder: (tmp_path / "none").read_text())
    assert list(tmp_path.iterdir()) == []


WRITING = """
import sys, time
from pathlib import Path
from rlready.runs.files import write_folder
def fill(folder):
    (folder / "a").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
write_folder(Path(sys.argv[1]), fill)
"""


def test_a_kill_while_writing_a_folder_keeps_the_previous_one(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Run(out, "sft", Config()) as run:
        run.claim()
        write_folder(out / "checkpoints", lambda folder: write_text(folder / "a", "whole"))
        set_aside = out / "state.tmp-1-before"  # as if killed between the two renames
        set_aside.mkdir()
    process = python(WRITING, out / "checkpoints")
    process.kill()
    process.wait()
    assert (out / "checkpoints" / "a").read_text() == "whole"
    assert len(list(out.glob("checkpoints.tmp-*"))) == 1
    with Run(out, "sft", Config()) as run:
        run.claim()
        assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["checkpoints", "state"]
        assert (out / "checkpoints" / "a").read_text() == "whole"


def test_an_incomplete_line_is_skipped_and_then_removed(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for step in range(4):
        append_line(log, {"step": step, "loss": np.float32(step)})
    with log.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in read_log(log)] == [0, 1, 2, 3]
    append_line(log, {"step": 4})
    assert [line["step"] for line in read_log(log)] == [0, 1, 2, 3, 4]
    truncate_log(log, 2)
    assert log.read_text() == "".join(f'{{"step": {step}, "loss": {step}.0}}\n' for step in range(3))
    log.write_text("not json\n{}\n")
    with pytest.raises(UserError, match="not a log"):
        read_log(log)


@pytest.mark.parametrize(
    ("steps", "message"), [("0134", "lacks step 2, but the state is that of step 4"), ("01223", "of step 2 twice")]
)
def test_a_log_with_steps_that_are_missing_or_doubled_is_not_continued(
    steps: str, message: str, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    for step in map(int, steps):
        append_line(log, {"step": step})
    with pytest.raises(UserError, match=message):
        truncate_log(log, max(map(int, steps)))


def test_a_log_that_was_edited_is_not_continued(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert log_digest(log) == hashlib.sha256().hexdigest()
    for step in (1, 2):
        append_line(log, {"step": step, "reward": 0.5, "said": "≥"})
    digest = log_digest(log)
    append_line(log, {"step": 2, "eval_accuracy": 0.5})
    append_line(log, {"step": 3})
    truncate_log(log, 2, "eval_accuracy", digest)
    assert log_digest(log) == digest
    log.write_text(log.read_text().replace("0.5", "0.6", 1))
    with pytest.raises(UserError, match="edited since the state of step 2 was saved; put the log back"):
        truncate_log(log, 2, "eval_accuracy", digest)


def test_a_huge_log_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "log.jsonl").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(UserError, match="too large for a log of a run"):
        read_log(tmp_path / "log.jsonl")


def test_a_run_records_what_it_did(tmp_path: Path) -> None:
    config = Config()
    token = invocation.set(Invocation("rlready demo seed=3", config, {"lr": "default", "seed": "command line"}))
    try:
        with Run(tmp_path / "demo", "demo", config) as demo:
            demo.claim()
            with Run(tmp_path / "demo" / "sft", "sft", Config(lr=0.2)) as run:
                run.claim()
                run.count("trained", 5)
                run.count("trained", 6)
                run.note_model(id="tiny", path=Path(__file__), role="start", learner="fast")
                run.note_data(id="dagmath?ops=8", role="rows", size=10)
                run.note_data(id="gsm8k", role="test", licence="MIT")
                run.write_result(Loss(loss=float("nan")))
            assert demo.record.status == "running"
    finally:
        invocation.reset(token)
    outer, inner = record(tmp_path / "demo"), record(tmp_path / "demo" / "sft")
    assert outer["origins"] == {"lr": "default", "seed": "command line"}
    assert inner["origins"] == {"lr": "caller", "seed": "default"}
    assert (outer["part_of"], inner["part_of"]) == (None, "demo")
    assert inner["status"] == "done"
    assert inner["command"] == "rlready demo seed=3"
    assert inner["config"] == {"lr": 0.2, "seed": 3}
    assert inner["seeds"] == {"seed": 3}
    assert inner["counts"] == {"trained": 11}
    assert len(inner["models"][0]["sha256"]) == 64
    assert [data["licence"] for data in inner["data"]] == ["unknown", "mit"]
    assert read_json(tmp_path / "demo" / "sft" / "result.json")["loss"] is None
    assert math.isnan(Loss.load(tmp_path / "demo" / "sft").loss)
    assert inner["software"]["packages"]["numpy"] == np.__version__
    assert inner["peak_memory_bytes"] > 1e6
    assert (tmp_path / "demo" / "sft" / "config.toml").read_text() == "lr = 0.2\nseed = 3\n"
    assert os.uname().nodename not in json.dumps(inner["host"])


def test_a_failed_run_is_continued_and_all_attempts_count(tmp_path: Path) -> None:
    def broken() -> None:
        with Run(tmp_path, "rl", Config()) as run:
            run.claim()
            append_line(tmp_path / "log.jsonl", {"step": 1})
            run.count("generated", 10)
            raise ZeroDivisionError("a fault")

    with pytest.raises(ZeroDivisionError):
        broken()
    assert record(tmp_path)["status"] == "failed: ZeroDivisionError: a fault"
    with suppress(ValueError), Run(tmp_path, "rl", Config()) as run:
        run.claim()
        raise ValueError("no \ud800 text")  # half a character, which no file can hold
    assert record(tmp_path)["status"].endswith(" text")
    with suppress(KeyboardInterrupt), Run(tmp_path, "rl", Config()) as run:
        run.claim()
        raise KeyboardInterrupt
    assert record(tmp_path)["status"] == "interrupted"
    with Run(tmp_path, "rl", Config()) as run:
        assert not run.finished
        run.claim()
        run.count("generated", 7)
        run.write_result(Loss(loss=1.0))
    done = record(tmp_path)
    assert [attempt["status"].split(":")[0] for attempt in done["attempts"]] == [
        "failed",
        "failed",
        "interrupted",
        "done",
    ]
    assert done["counts"] == {"generated": 17}
    assert done["seconds"] == pytest.approx(sum(attempt["seconds"] for attempt in done["attempts"]))


class OnDevice(Config):
    device: str = "cpu"


def attempt(out: Path, config: Settings) -> dict:
    with suppress(KeyboardInterrupt), Run(out, "rl", config) as run:
        run.claim()
        append_line(out / "log.jsonl", {"step": 1})
        run.count("generated", 1)
        raise KeyboardInterrupt
    return record(out)


def test_what_exact_numbers_depend_on_is_recorded_and_its_changes_are_said(tmp_path: Path, monkeypatch, capsys) -> None:
    """One warning on continuation, kept in the record, whose other fields are those of the last attempt."""

    def now(threads: int, kernels: str, torch: str) -> None:
        software = provenance.software()
        changed = software.model_copy(update={"packages": software.packages | {"torch": torch}})
        monkeypatch.setattr(provenance, "threads", lambda: threads)
        monkeypatch.setattr(provenance, "kernels", lambda load=False: kernels)
        monkeypatch.setattr(provenance, "software", lambda: changed)

    cpu, gpu = tmp_path / "cpu", tmp_path / "gpu"
    for _ in range(2):
        now(2, "cc 12.2.0 ab", "2.8.0")
        attempt(gpu, OnDevice(device="cuda:0"))
        assert attempt(cpu, OnDevice())["warnings"] == []
    now(1, "none", "2.9.0")
    assert attempt(cpu, OnDevice())["kernels"] is False
    attempt(gpu, OnDevice(device="cuda:0"))
    done = attempt(cpu, OnDevice())
    warning = (
        "continuing with torch 2.9.0 (before: 2.8.0), threads 1 (before: 2), kernels none (before: cc 12.2.0 ab): "
        "results may differ from those of an unbroken run"
    )
    assert done["warnings"] == [warning]
    assert (done["threads"], done["kernels_build"], done["software"]["packages"]["torch"]) == (1, "none", "2.9.0")
    said = capsys.readouterr().err
    assert said.count(f"rl: warning: {warning}\n") == 1
    assert said.count("warning: continuing with torch 2.9.0 (before: 2.8.0): results may differ") == 1  # on the GPU


def test_another_version_or_machine_is_said(tmp_path: Path) -> None:
    attempt(tmp_path, OnDevice())
    found = record(tmp_path)
    found["software"] |= {"version": "0.0.9", "python": "3.10.1"}
    found["revision"] = {"commit": "0123456789abcdef", "dirty": True}
    found["host"]["cpu"] = "a processor"
    write_json(tmp_path / "record.json", sealed(found))
    (warning,) = attempt(tmp_path, OnDevice())["warnings"]
    for before in ("(before: 0.0.9)", "(before: 3.10.1)", "(before: a processor)"):
        assert before in warning
    assert ("0123456789ab with uncommitted changes" in warning) == (provenance.revision() is not None)


def test_what_was_overwritten_stays_in_the_record(tmp_path: Path) -> None:
    attempt(tmp_path, Config())
    token = invocation.set(Invocation("rlready sft", overwrite=True))
    try:
        for lr in (0.2, 0.3):
            attempt(tmp_path, Config(lr=lr))
    finally:
        invocation.reset(token)
    kept = RunRecord.load(tmp_path)
    assert [each.status for each in kept.overwritten] == ["interrupted", "interrupted"]
    assert len(kept.attempts) == 1
    assert kept.all_attempts == [*kept.overwritten, *kept.attempts]
    assert kept.seconds == kept.attempts[0].seconds  # no sum contains them


def test_a_record_edited_by_hand_is_noticed_and_a_continuation_says_so(tmp_path: Path) -> None:
    attempt(tmp_path, Config())
    assert not is_edited(tmp_path)
    write_json(tmp_path / "record.json", record(tmp_path) | {"cpu_seconds": 1e-3})
    assert is_edited(tmp_path)
    without = {key: value for key, value in record(tmp_path).items() if key != "sha256"}
    write_json(tmp_path / "record.json", without)
    assert is_edited(tmp_path)  # every record of this schema has a checksum
    write_json(tmp_path / "record.json", without | {"schema_version": 2})
    assert not is_edited(tmp_path)
    write_json(tmp_path / "record.json", without)
    assert attempt(tmp_path, Config())["warnings"] == ["record.json was edited before the run was continued"]
    assert not is_edited(tmp_path)


class Meter:
    """Stands for codecarbon, which is not installed here."""

    energy = None

    def stop(self) -> None:
        self.energy = Energy(kwh=2.0, kg_co2e=0.5, country="DEU", tool="codecarbon 3")


def test_the_energy_of_an_attempt_is_that_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlready.runs.run.start_meter", Meter)
    attempt(tmp_path, Config())
    assert RunRecord.load(tmp_path).attempts[0].energy == Energy(
        kwh=2.0, kg_co2e=0.5, country="DEU", tool="codecarbon 3"
    )


def test_energy_without_codecarbon_is_one_line_and_nothing_is_lost(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RLREADY_CARBON", "DEU")
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(UserError, match=r"RLREADY_CARBON=DEU needs codecarbon: pip install 'rlready\[codecarbon\]'"):
        attempt(tmp_path / "run", Config())
    assert not (tmp_path / "run").exists()


def test_the_kernels_are_recorded_before_a_kill_can_leave_a_state(tmp_path: Path, monkeypatch) -> None:
    with Run(tmp_path, "rl", Config()) as run:
        run.claim()
        run.count("trained", 1)
        monkeypatch.setattr(provenance, "kernels", lambda load=False: "cc 12.2.0 ab")
        run.count("trained", 1)
        assert record(tmp_path)["kernels_build"] == "cc 12.2.0 ab"


@pytest.mark.parametrize(
    ("made", "out", "message"),
    [
        (
            ("model/config.json", "model/model.safetensors"),
            "model/eval",
            "inside the model .*model, which it would change",
        ),
        (
            ("a/adapter_config.json", "a/adapter_model.safetensors"),
            "a/b/c",
            "inside the model .*a, which it would change",
        ),
        (("run/record.json", "run/state/x"), "run/state/eval", "inside the state of a run, which may delete it"),
        (("run/record.json",), "run/checkpoints/eval", "inside the checkpoints of a run, which may delete it"),
    ],
)
def test_a_run_is_not_inside_a_model_or_what_another_run_deletes(
    made: tuple[str, ...], out: str, message: str, tmp_path: Path
) -> None:
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=message), Run(tmp_path / out, "rl", Config()):
        pass
    assert not (tmp_path / out).exists()


def test_files_that_are_named_like_temporary_ones_are_foreign_without_a_lock(tmp_path: Path) -> None:
    (tmp_path / "thesis.tmp-1").touch()
    with (
        pytest.raises(UserError, match=r"is not empty \(thesis\.tmp-1\) and not a run folder"),
        Run(tmp_path, "rl", Config()),
    ):
        pass
    (tmp_path / lock.NAME).touch()  # a run was killed here, before it wrote its record
    with Run(tmp_path, "rl", Config()) as run:
        run.claim()
    assert (tmp_path / "thesis.tmp-1").exists()  # not the name of what a run writes


def test_a_part_of_another_run_is_not_overwritten_alone(tmp_path: Path) -> None:
    def start(part_of: str | None, *, overwrite: bool) -> None:
        token = invocation.set(Invocation(part_of=part_of, overwrite=overwrite))
        try:
            with Run(tmp_path, "rl", Config()) as run:
                run.claim()
                append_line(tmp_path / "log.jsonl", {"step": 1})
        finally:
            invocation.reset(token)

    start("sweep", overwrite=False)
    with pytest.raises(UserError, match="cannot be overwritten: it is part of a run of sweep"):
        start(None, overwrite=True)
    assert (tmp_path / "log.jsonl").exists()
    start("sweep", overwrite=True)


def test_a_run_may_be_beside_a_config_of_another_tool(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with Run(tmp_path / "out", "rl", Config()):
        pass


def test_a_finished_run_is_found_and_any_other_is_refused(tmp_path: Path) -> None:
    out, model = tmp_path / "out", tmp_path / "model"
    write_text(model / "weights", "1")
    with Run(out, "sft", Config()) as run:
        run.claim()
        run.note_model(id="model", role="base", path=model)
        run.write_result(Loss(loss=1.5))
    before = (out / "record.json").read_bytes()
    with Run(out, "sft", Config()) as run:
        assert run.finished
        assert run.record == RunRecord.load(out)
    assert Loss.load(out).loss == 1.5
    assert (out / "record.json").read_bytes() == before
    with pytest.raises(UserError, match=r"with lr = 0.1, not 0.2: choose another folder, or delete it$"):
        Run(out, "sft", Config(lr=0.2)).__enter__()
    with pytest.raises(UserError, match=r"holds a run of sft, not rl"):
        Run(out, "rl", Config()).__enter__()
    write_text(model / ".git" / "index", "seen")
    with Run(out, "sft", Config()) as run:
        assert run.finished
    write_text(tmp_path / "adapter" / "adapter_config.json", '{"base_model_name_or_path": "../model"}')
    write_text(model / "config.json", "{}")
    with Run(tmp_path / "tuned", "sft", Config()) as run:
        run.claim()
        run.note_model(id="adapter", role="base", path=tmp_path / "adapter")
        run.write_result(Loss(loss=1.5))
    (model / "config.json").unlink()
    with pytest.raises(
        UserError, match=r"whose input .*adapter/../model has changed since .*written file: \S+\): choose"
    ):
        Run(tmp_path / "tuned", "sft", Config()).__enter__()
    write_text(model / "weights", "2")
    with pytest.raises(UserError, match=r"whose input .*model has changed since .*written file: \S+\): choose"):
        Run(out, "sft", Config()).__enter__()
    with pytest.raises(UserError, match=r"not empty \(\.git\) and not a run folder"):
        Run(model, "sft", Config()).__enter__()
    with pytest.raises(UserError, match=r"Not a directory|File exists"):
        Run(model / "weights", "sft", Config()).__enter__()
    assert sorted(p.name for p in model.iterdir()) == [".git", "weights"]


HOLDING = """
import sys, time
from pathlib import Path
from rlready.core.config import DemoConfig
from rlready.runs.log import append_line
from rlready.runs.run import Run
with Run(Path(sys.argv[1]), "sft", DemoConfig()) as run:
    run.claim()
    append_line(run.out / "log.jsonl", {"step": 1})
    print("ready", flush=True)
    time.sleep(60)
"""


def test_one_process_holds_a_folder_until_it_ends(tmp_path: Path) -> None:
    process = python(HOLDING, tmp_path)
    with pytest.raises(UserError, match=f"is in use by process {process.pid}: wait"):
        Run(tmp_path, "sft", DemoConfig()).__enter__()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Run(tmp_path, "sft", DemoConfig()) as run:
        assert [attempt.status for attempt in run.record.attempts] == ["killed", "running"]


def test_a_process_that_was_forked_does_not_keep_the_lock(tmp_path: Path) -> None:
    """As workers of a data loader do, which may live longer than the run."""
    held = lock.HeldFolder(tmp_path)
    child = os.fork()
    if not child:
        held.release()  # as it would be where an error unwinds the stack
        time.sleep(60)
        os._exit(0)
    try:
        assert lock.is_locked(tmp_path)
        held.release()
        assert not lock.is_locked(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lock_that_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """What it points to would be overwritten."""
    (tmp_path / "precious").write_text("content")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / lock.NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=r"\.lock is a symbolic link: remove it, or choose another --out$"):
        Run(tmp_path / "run", "sft", Config()).__enter__()
    assert (tmp_path / "precious").read_text() == "content"


def test_an_invalid_record_is_refused_in_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"verb": "sft"})
    with pytest.raises(UserError, match=r"record.json: start: field required \(\d+ more\); it is not the record"):
        Run(tmp_path, "sft", Config()).__enter__()


def test_a_table_that_was_read_leaves_no_garbage(tmp_path: Path) -> None:
    """Metadata that hold each other are freed when garbage is collected: in a long run after thousands of steps."""
    write_table(tmp_path / "t.parquet", [{"step": 1, "text": "a", "tokens": [1, 2]}])
    list(BoundedParquet(tmp_path / "t.parquet").rows())
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            list(BoundedParquet(tmp_path / "t.parquet").rows())
        assert gc.collect() < 20
    finally:
        gc.enable()
