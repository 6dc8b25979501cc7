"""Folders and files that the user may not read: one line that names them, and nothing left out without a word."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from measured import checkpoint, write_readiness

WITHOUT_ROOTS_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two runs, of which the user may not enter the second."""
    monkeypatch.chdir(tmp_path)  # below which their SFT run is recorded
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root reads everything")
    found = [checkpoint(f"sft/checkpoints/step-{i}", reach=0.5, skill=0.3, seed=i, problems=8) for i in (1, 2)]
    for name, samples in (("mine", 64), ("private", 128)):
        write_readiness(tmp_path / "runs" / name, found, samples=samples)
    (tmp_path / "runs/private/s.jsonl").write_text("")
    yield tmp_path / "runs"
    for path in (tmp_path / "runs").rglob("*"):
        path.chmod(0o755)


def said(runs: Path, *words: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command without root's right to ignore permissions."""
    prefix = WITHOUT_ROOTS_RIGHTS if os.geteuid() == 0 else ()
    command = [*prefix, sys.executable, "-P", "-m", "rlready", *words]
    done = subprocess.run(command, cwd=runs.parent, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("mode", [0o000, 0o311])  # nothing, or entering without listing
def test_runs_that_cannot_be_listed_are_said_to_be_left_out(runs: Path, mode: int) -> None:
    (runs / "private").chmod(mode)
    code, _, warned = said(runs, "watch", "runs")
    assert (code, "runs/private: cannot be listed: Permission denied" in warned) == (0, True)
    code, form, _ = said(runs, "checklist", "runs")
    assert code == 0
    assert "runs/private: cannot be listed: Permission denied" in form
    assert "the total compute is incomplete" in form
    assert "1 records or folders cannot be read" in form


@pytest.mark.parametrize(
    "words",
    [
        ("show", "runs/private"),
        ("report", "runs/private"),
        ("watch", "runs/private"),
        ("predict", "runs/private", "runs/mine"),
        ("readiness", "runs/private/s.jsonl"),
        ("readiness", "embedded", "problems=runs/private"),
        ("readiness", "embedded", "--out", "runs/private/new"),
        ("checklist", "runs/mine", "--out", "runs/private/form.md"),
    ],
    ids=" ".join,
)
def test_a_folder_that_may_not_be_entered_is_named(runs: Path, words: tuple[str, ...]) -> None:
    (runs / "private").chmod(0o000)
    code, _, line = said(runs, *words, "--quiet")
    assert code == 2
    assert "runs/private" in line
    assert "Permission denied" in line


def test_a_page_does_not_leave_out_samples_without_a_word(runs: Path) -> None:
    (runs / "private/parts").chmod(0o000)
    code, _, line = said(runs, "report", "runs/private")
    assert (code, "runs/private/parts: cannot be listed: Permission denied" in line) == (2, True)


def test_a_record_that_may_not_be_read_is_not_called_missing(runs: Path) -> None:
    (runs / "private/record.json").chmod(0o000)
    code, _, line = said(runs, "show", "runs/private")
    assert (code, "Permission denied" in line) == (2, True)
