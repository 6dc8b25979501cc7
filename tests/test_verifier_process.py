"""A verifier of the user cannot hang, kill, fill or corrupt the run, whatever it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlready.core.errors import UserError
from rlready.core.import_path import load_object, on_load
from rlready.core.stopping import Stopped
from rlready.tasks import Task, open_task, verifier_process, verify_all
from rlready.tasks.verifier_process import BoundedVerifier

MODULE = """
import ctypes, os, sys, time
from pathlib import Path

def equal(problem, answer):
    return answer == problem.answer

def loops(problem, answer):
    while answer == "5":
        print("spam" * 100)
    return equal(problem, answer)

def exits(problem, answer):
    return os._exit(0) if answer == "5" else equal(problem, answer)

def exits_once(problem, answer):
    if answer == "5" and not Path("flag").exists():
        Path("flag").touch()
        os.kill(os.getpid(), 9)
    return answer == "5" or equal(problem, answer)

def leaks(problem, answer):
    kept = []
    while answer == "5":
        kept.append(bytearray(1 << 25))
    return equal(problem, answer)

def prints(problem, answer):
    os.write(1, b"x" * 2_000_000)
    os.system("echo y >&2")
    return equal(problem, answer)

def moves(problem, answer):
    os.chdir("/")
    return sys.stdin.read() == "" and equal(problem, answer)

def forks(problem, answer):
    os.fork()
    return equal(problem, answer)

def interrupts(problem, answer):
    if answer == "5":
        raise KeyboardInterrupt
    return equal(problem, answer)

def replies(problem, answer):
    for fd in range(3, 30) if answer == "5" else ():
        try:
            os.write(fd, b"no reply\\n")
        except OSError:
            pass
    return equal(problem, answer)

class Silent(Exception):
    def __str__(self):
        raise ValueError

def raises(problem, answer):
    if answer == "5":
        raise Silent
    return equal(problem, answer)

def draws(problem, answer):
    import random
    import numpy as np
    with open("drawn", "a") as file:
        print(random.random(), np.random.rand(), file=file)
    return equal(problem, answer)

def hangs(problem, answer):
    Path("pid").write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder, so that the tests share a process."""
    folder = tmp_path_factory.mktemp("nasty")
    (folder / "nasty.py").write_text(MODULE)
    (folder / "p.jsonl").write_text(
        '{"id": "a", "prompt": "?", "answer": "1"}\n{"id": "b", "prompt": "!", "answer": "2"}'
    )
    return folder


@pytest.fixture
def folder(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shared)
    monkeypatch.setattr(verifier_process, "SECONDS", 2.0)
    return shared


def verdicts(task: Task) -> list[bool | str]:
    """On two right answers with the answer 5 between them: whether they are right, or why this is undecided."""
    first, second = task.problems()
    asked = [(first, ("", "1")), (first, ("", "5")), (second, ("", "2"))]
    return [v.reason if v.undecided else v.correct for v in verify_all(task, asked)]


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("equal", False),
        ("loops", "it took more than 2 s"),
        ("exits", "its process ended with exit code 0"),
        ("exits_once", True),
        ("replies", "it writes to the pipe of the replies"),
        ("prints", False),
        ("moves", False),
        ("forks", False),
        ("raises", "it raised Silent"),
        ("interrupts", "it raised KeyboardInterrupt:"),
    ],
)
def test_what_a_verifier_does_stays_in_its_process(
    folder: Path, capfd: pytest.CaptureFixture[str], name: str, second: bool | str
) -> None:
    assert verdicts(open_task(f"p.jsonl?verifier=nasty:{name}")) == [True, second, True]
    assert Path.cwd() == folder
    out, error = capfd.readouterr()
    assert not out
    assert len(error) < 2 * verifier_process.PRINTED
    assert ("(problem a: it" in error) is isinstance(second, str)
    assert ("KeyboardInterrupt\n" in error) is (name == "interrupts")  # the traceback


def test_a_relative_file_is_one_of_the_directory_of_the_run(folder: Path) -> None:
    """Though another verifier of the same module has left it."""
    assert verdicts(open_task("p.jsonl?verifier=nasty.py:moves")) == [True, False, True]
    assert verdicts(open_task("p.jsonl?verifier=nasty.py:equal")) == [True, False, True]


def test_what_a_verifier_draws_at_random_depends_on_no_other_response(folder: Path) -> None:
    """Neither on the responses before it nor on the process."""
    for _ in range(2):
        assert verdicts(open_task("p.jsonl?verifier=nasty:draws")) == [True, False, True]
        verifier_process.close_all()
    lines = (folder / "drawn").read_text().splitlines()
    assert len(lines) > 3  # verdicts are remembered
    assert len({*lines}) == 1


def test_a_leak_ends_at_the_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_process, "SECONDS", 60.0)
    monkeypatch.setattr(verifier_process, "MEMORY", 1 << 29)
    verifier_process.close_all()
    assert verdicts(open_task("p.jsonl?verifier=nasty:leaks")) == [True, "it needed more than 0.5 GiB of memory", True]
    verifier_process.close_all()


def test_a_verifier_that_always_hangs_is_refused_before_any_sampling(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier_process, "SECONDS", 0.3)
    line = r"gave no verdict on 2 of the last 2 responses \(problem a: it took more than 0.3 s\); fix it"
    with pytest.raises(UserError, match=f"verifier=nasty:hangs: {line}"):
        open_task("p.jsonl?verifier=nasty:hangs").problems()


def test_one_that_hangs_later_stops_the_run_after_a_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = open_task("p.jsonl?verifier=nasty:loops")
    first = task.problems()[0]
    monkeypatch.setattr(verifier_process, "SECONDS", 0.2)
    with pytest.raises(UserError, match="gave no verdict on 5 of the last"):
        verify_all(task, [(first, ("", "5"))] * 100)


def test_an_interrupt_while_it_works_leaves_a_usable_verifier(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = open_task("p.jsonl?verifier=nasty:equal")
    first = task.problems()[0]
    verifier = task.verifier  # type: ignore[attr-defined]
    assert isinstance(verifier, BoundedVerifier)

    def stop() -> None:
        monkeypatch.undo()
        raise Stopped

    monkeypatch.setattr("rlready.tasks.child.heed_stop", stop)
    with pytest.raises(Stopped):
        verifier(first, "", "1")
    monkeypatch.chdir(folder)
    assert verifier(first, "", "1").correct


def test_code_that_changes_while_it_is_used_is_not_mixed(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process would run the new code: a run stops there, and a new task gets it at once."""
    (tmp_path / "nasty.py").write_text(MODULE)
    (tmp_path / "p.jsonl").write_bytes((folder / "p.jsonl").read_bytes())
    monkeypatch.chdir(tmp_path)
    task = open_task("p.jsonl?verifier=nasty:exits")
    first = task.problems()[0]
    (tmp_path / "nasty.py").write_text("def exits(problem, answer):\n    return True")
    assert not verify_all(task, [(first, ("", "2"))])[0].correct
    with pytest.raises(UserError, match="its code has changed while it was used; start the run again"):
        verify_all(task, [(first, ("", "5"))])
    assert verdicts(open_task("p.jsonl?verifier=nasty:exits")) == [True, True, True]


def test_all_code_of_a_verifier_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what its module imports, from wherever, or only when it is called; and a change of it is noticed."""
    (tmp_path / "own/pack").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    for name, text in {
        "own/judge.py": "import elsewhere\nfrom pack.inner import DIGITS\ndef f(problem, answer):\n"
        "    import late\n    return late.same(problem.answer, answer)",
        "own/pack/inner.py": "DIGITS = 3",
        "own/late.py": "def same(one, other):\n    return one == other",
        "lib/elsewhere.py": "",
        "own/p.jsonl": '{"prompt": "?", "answer": "5"}',
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    noted: dict[str, str] = {}
    token = on_load.set(lambda setting, path, file: noted.update({path: file.name}))
    try:
        for _ in range(2):  # the second run has the process of the first
            noted.clear()
            source = f"{tmp_path}/own/p.jsonl?verifier={tmp_path}/own/judge.py:f"
            task = open_task(source)
            assert verify_all(task, [(task.problems()[0], ("", "5"))])[0].correct
            path = f"{tmp_path}/own/judge.py:f"
            assert noted == {
                path: "judge.py",
                f"{path} with pack/inner.py": "inner.py",
                f"{path} with late.py": "late.py",
                f"{path} with ../lib/elsewhere.py": "elsewhere.py",
            }
    finally:
        on_load.reset(token)
    (tmp_path / "own/late.py").write_text("def same(one, other):\n    return False")
    task = open_task(source)
    assert not verify_all(task, [(task.problems()[0], ("", "5"))])[0].correct


def test_the_code_of_a_loss_has_its_imports(tmp_path: Path) -> None:
    (tmp_path / "formula.py").write_text("import math, torch\ndef weight(x):\n    return math.exp(x)")
    (tmp_path / "mine.py").write_text("from formula import weight\ndef loss(x):\n    return weight(x)")
    noted: list[str] = []
    token = on_load.set(lambda setting, path, file: noted.append(f"{path} {file.name}"))
    try:
        load_object("loss", f"{tmp_path}/mine.py:loss")
    finally:
        on_load.reset(token)
    assert noted == [f"{tmp_path}/mine.py:loss mine.py", f"{tmp_path}/mine.py:loss with formula.py formula.py"]


def test_a_verifier_ends_with_a_run_that_is_killed(folder: Path) -> None:
    """Also in an endless call."""
    code = "from rlready.tasks import open_task\nopen_task('p.jsonl?verifier=nasty:hangs').problems()"
    run = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not (folder / "pid").exists() and run.poll() is None:
            time.sleep(0.05)
    finally:
        run.kill()
        run.wait()
    pid, end = int((folder / "pid").read_text()), time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_a_function_of_the_running_script_is_called_in_its_process(folder: Path) -> None:
    """It can be imported nowhere else."""
    code = (
        "import os\nfrom rlready.tasks import open_task\n"
        "def here(problem, answer): return answer == str(os.getpid())\n"
        "task = open_task('p.jsonl?verifier=__main__:here')\n"
        "assert task.verify(task.problems()[0], '', str(os.getpid())).correct\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
