"""The short form of ``make torture``: planted losses are found, and runs that are killed end as if they were not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parent / "torture" / "torture.py"
VERBS = "^(sft|rl|inject|predict|report)/"


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler")
def test_killed_runs_end_as_if_they_were_not(tmp_path: Path) -> None:
    words = ["--journal", str(tmp_path / "journal.jsonl"), "--only", VERBS, "--most", "10"]
    ended = subprocess.run([sys.executable, str(TORTURE), *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
