"""The page for users of TRL: its Python and its commands run, with small settings, and its settings exist."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from rlready.cli.main import main
from rlready.core import config
from rlready.core.settings import Config
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.readiness.result import ReadinessResult
from rlready.sweep.result import SweepResult
from rlready.tasks import open_task
from test_docs import ROOT, TASK, commands, small, sweep_by

PAGE = "docs/coming-from/trl.md"
QUICK: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True}
SMALLER = {  # in the Python of the page
    "Qwen/Qwen3-0.6B": str(EMBEDDED_FOLDER),
    "save_steps=100": "save_steps=1, max_steps=2, **QUICK",
    "samples=16": "samples=4, group_size=2, thinking_budget=8, max_answer_tokens=4",
    "max_completion_length=1280": "max_completion_length=40, num_generations=2, num_train_epochs=2, **QUICK",
    "thinking_budget=1024, max_answer_tokens=256": "thinking_budget=32, max_answer_tokens=8",
}
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the data sets that the page names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    lines = []
    for row in open_task(f"{TASK}&n=12&seed=1").rows():
        asked = [{"role": "user", "content": row.prompt}]
        answered = [{"role": "assistant", "content": f"{row.thinking} </think> {row.response}"}]
        lines.append({"prompt": asked, "completion": answered, "answer": "5"})
    problems = [{key: line[key] for key in ("prompt", "answer")} for line in lines[:4]]
    for name, rows in {"rows": lines[:8], "heldout": lines[8:], "problems": problems, "test": problems}.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_the_page_runs(files: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for name, code in {"sft": blocks[0], "my_rewards": blocks[1], "grpo": blocks[2]}.items():
        if name == "my_rewards":
            assert code.startswith("# my_rewards.py\n")
            Path("my_rewards.py").write_text(code)
            continue
        for long, short in SMALLER.items():
            code = code.replace(long, short)
        exec(code, {"QUICK": QUICK})
        last = max(Path("outputs", name).glob("checkpoint-*"))
        shutil.copytree(last, f"outputs/{name}/checkpoint-{300 if name == 'sft' else 500}")
    Path("sweep.toml").write_text(sweep_by("trl", "outputs/sft/checkpoint-300"))
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    assert len(commands(PAGE)) == 9
    for words in commands(PAGE):
        assert main(small(words)) == 0, shlex.join(words)
        if os.path.exists("runs/sweep/train.sh"):
            subprocess.run(["sh", "runs/sweep/train.sh"], env=here, check=True, timeout=600)
    assert SweepResult.load(Path("runs/sweep")).runs == 2
    passes = ReadinessResult.load(Path("runs/grpo-ready")).checkpoints
    assert [each.name.rpartition("/")[2] for each in passes] == ["step-1", "step-2"]


def test_every_setting_of_the_table_exists() -> None:
    rows = re.findall(r"^\| (`.*) \| (`.*`) \|.*\|$", TEXT, re.MULTILINE)
    theirs = {*inspect.signature(GRPOConfig).parameters, *inspect.signature(SFTConfig).parameters}
    theirs |= {*inspect.signature(GRPOTrainer).parameters, *inspect.signature(SFTTrainer).parameters}
    configs: list[type[Config]] = [config.SFTConfig, config.RLConfig]
    mine = {name for each in configs for name in each.model_fields} | {"--out"}
    assert len(rows) >= 20
    for row in rows:
        for names, known in zip(row, (theirs, mine), strict=True):
            assert set(re.findall(r"`([^`]+)`", names)) <= known
    same = set(re.findall(r"`(\w+)`", TEXT.rpartition("\n\n")[2]))
    assert len(same) >= 8
    assert same <= theirs & mine
