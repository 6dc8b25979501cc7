"""The pages for users of other tools: their commands of rlready run; that of TRL is in tests/oracle."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlready.cli.main import main
from rlready.core.config import EvaluateConfig, ReadinessConfig, RLConfig
from rlready.models.checkpoint_files import EMBEDDED_FOLDER
from rlready.runs.log import read_log
from rlready.tasks import open_task
from test_docs import ROOT, TASK, commands, run_all, small, sweep_by, write
from test_export import save_thinking_model
from test_sweep_elsewhere import trained_by_prime_rl, trained_by_verl

DATA = Path(__file__).parent / "data" / "interchange"
PROBLEMS = [{"id": f"p{n}", "prompt": f"{n} + 1?", "answer": str(n + 1)} for n in range(4)]
NAMES = {
    *RLConfig.model_fields,
    *ReadinessConfig.model_fields,
    *EvaluateConfig.model_fields,
    *("OPEN", "CLOSE", "FILE", "MODULE", "FUNCTION", "verifier", "unconstrained", "true", "n"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the files that the pages name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    shutil.copytree(EMBEDDED_FOLDER, "CKPT")
    problems = [{"id": p.id, "prompt": p.prompt, "answer": p.answer} for p in open_task(f"{TASK}&n=4").problems()]
    for name in ("problems", "train", "dev", "test"):
        write(f"{name}.jsonl", problems)
    return tmp_path


def prepare_sums() -> None:
    """Models that think, problems and rows that they can read."""
    for name in ("SFT", "CKPT"):
        shutil.rmtree(name, ignore_errors=True)
        save_thinking_model(name)
    for name in ("problems", "test"):
        write(f"{name}.jsonl", PROBLEMS)
    write("rows.jsonl", [each | {"response": each["answer"]} for each in PROBLEMS])


def test_the_page_of_verl(here: Path) -> None:
    prepare_sums()
    for run in ("sft-1", "sft-2"):
        Path("val", run).mkdir(parents=True)
        rows = [{"input": p, "output": "1", "score": -1.0, "acc": n % 2, "step": 1} for p in "ab" for n in range(4)]
        write(f"val/{run}/1.jsonl", rows)
    rows = [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": each["prompt"]}],
            "reward_model": {"style": "rule", "ground_truth": each["answer"]},
            "extra_info": {"split": "train", "index": n},
        }
        for n, each in enumerate(PROBLEMS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), "train.parquet")
    page = (ROOT / "docs/coming-from/verl.md").read_text(encoding="utf-8")
    code = re.search(r"^```python\n# my_score\.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert code
    Path("my_score.py").write_text(code[1])
    Path("rl.toml").write_text(
        'model = "SFT"\nproblems = "problems.jsonl"\nvalidation = "test.jsonl"\nprompts_per_step = 2\n'
    )
    Path("sweep.toml").write_text(sweep_by("verl", "SFT"))
    for words in commands("docs/coming-from/verl.md"):
        assert main(small(words)) == 0, words
        for n, export in enumerate(sorted(Path("runs/sweep/export").glob("*"))):
            trained_by_verl(export, 0.2, 0.4 + 0.1 * n)
    assert [row["outcome"] for row in read_log(Path("runs/sweep/runs.jsonl"))] == [0.4, 0.5]
    (row,) = map(json.loads, Path("runs/outcomes.jsonl").read_text().splitlines())
    assert row["outcome"] == 0.61


def test_the_page_of_prime_rl(here: Path) -> None:
    prepare_sums()
    rollouts = DATA / "prime-rl/rollouts/step_1/train/all"
    for run in ("sft-1", "sft-2", "grpo/rollouts/step_1/eval/all", "grpo/rollouts/step_9/eval/all"):
        shutil.copytree(rollouts, f"outputs/{run}")  # of an evaluation by verifiers, and of prime-rl's
    Path("rl.toml").write_text(
        'model = "SFT"\nproblems = "problems.jsonl"\nvalidation = "test.jsonl"\nprompts_per_step = 2\nsteps = 2\n'
        "eval_every = 2\n"
    )
    Path("sweep.toml").write_text(sweep_by("prime-rl", "SFT"))
    for words in commands("docs/coming-from/prime-rl.md"):
        assert main(small(words)) == 0, words
        if Path("runs/prime/rl.toml").exists():
            trained_by_prime_rl(Path("runs/prime"), 0.9, 0.2, 0.4)
        for n, export in enumerate(sorted(Path("runs/sweep/export").glob("*"))):
            trained_by_prime_rl(export, 0.2, 0.4 + 0.1 * n)
    assert [row["outcome"] for row in read_log(Path("runs/sweep/runs.jsonl"))] == [0.4, 0.5]
    (row,) = map(json.loads, Path("runs/outcomes.jsonl").read_text().splitlines())
    assert row["curve"] == "prime/outputs"


def test_the_page_of_lm_eval(here: Path) -> None:
    ids = [json.loads(line)["id"] for line in Path("problems.jsonl").read_text().splitlines()]
    rows = [{"doc_id": id, "resps": [["4", "5"]], "filter": "none", "exact_match": 0.0} for id in ids]
    write("samples_gsm8k_2026.jsonl", rows)
    run_all("docs/coming-from/lm-eval.md")


def test_the_page_of_s1(here: Path) -> None:
    *first, last = commands("docs/coming-from/s1.md")
    for words in first:
        assert main(small(words)) == 0
    shutil.copytree("runs/rl/checkpoints/step-1", "runs/rl/checkpoints/step-50")
    assert main(small(last)) == 0


@pytest.mark.parametrize("page", ["verl", "prime-rl", "s1", "lm-eval"])
def test_settings_that_the_tables_name_exist(page: str) -> None:
    text = (ROOT / f"docs/coming-from/{page}.md").read_text(encoding="utf-8")
    mine = re.findall(r"^\|[^|]*(?:\\\|[^|]*)*\| (.*) \|$", text, re.MULTILINE)
    words = {word for cell in mine for code in re.findall(r"`([^`]*)`", cell) for word in re.findall(r"\w+", code)}
    assert words
    assert not words - NAMES
