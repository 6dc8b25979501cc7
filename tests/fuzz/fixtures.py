"""Small run folders and tables that commands under test read; made once by running the verbs."""

from __future__ import annotations

import json
import os
import random
import traceback
from pathlib import Path

SWEEP = """
[sft]
rows = "dagmath?ops=3&n=32"
heldout = "dagmath?ops=3&n=8&split=test"
[readiness]
problems = "dagmath?ops=3&n=8"
[rl]
problems = "dagmath?ops=3&n=32"
validation = "dagmath?ops=3&n=8&split=test"
[evaluate]
problems = "dagmath?ops=3&n=8"
"""


def make_tables(folder: Path) -> None:
    """Tables of samples and outcomes, files of settings, and runs of readiness, predict, inject and export."""
    rng = random.Random(0)
    for at in range(3):
        rows = [
            {"problem_id": f"p{i}", "sample_id": s, "correct": rng.random() < 0.2 + 0.2 * at}
            for i in range(8)
            for s in range(8)
        ]
        (folder / f"samples-{at}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcomes = [{"checkpoint": f"step-{at}", "outcome": 0.2 + 0.1 * at, "recipe": f"r{at}"} for at in range(3)]
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outcomes))
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "rl.toml").write_text('problems = "dagmath?ops=3&n=32"\nvalidation = "dagmath?ops=3&n=8&split=test"\n')
    tables = [f"{folder}/samples-{at}.jsonl?name=step-{at}" for at in range(3)]
    _run("readiness", *tables, "samples=8", "group_size=4", "--out", f"{folder}/ready")
    _run("predict", f"{folder}/ready", f"{folder}/outcomes.jsonl", "--out", f"{folder}/predict")
    _run("inject", "dagmath?ops=3&n=8", "--out", f"{folder}/inject")
    _run("export", f"{folder}/rl.toml", "--out", f"{folder}/export")


def make_runs(folder: Path) -> None:
    """Runs of a model: SFT, RL and evaluate, as small as can be; ``other`` is a checkpoint with other weights."""
    small = "dagmath?ops=3&n=16"
    _run("sft", f"rows={small}", f"heldout={small}&split=test", "epochs=1", "keep_at=", "--out", f"{folder}/sft")
    (folder / "other").symlink_to(next((folder / "sft" / "checkpoints").iterdir()))
    few = ("problems=dagmath?ops=3&n=8", "max_answer_tokens=8")
    rl = ("validation=dagmath?ops=3&n=4&split=test", "thinking_budget=8", "steps=1", "prompts_per_step=2")
    _run("rl", *few, *rl, "group_size=2", "eval_samples=1", "--out", f"{folder}/rl")
    unconstrained = ("thinking_budgets=4,8", "max_response_tokens=16", "samples=2")
    _run("evaluate", "embedded", *few, *unconstrained, "--out", f"{folder}/evaluate")


def _run(*words: str) -> None:
    from rlready.cli.main import main

    child = os.fork()
    if not child:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            code = main([*words, "--quiet"])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"rlready {' '.join(words)}: exit code {code}"
