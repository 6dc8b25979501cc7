"""A task of lm-eval on a checkpoint that ``rlready sft`` has saved, and rlready's own greedy accuracies on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlready.core.config import EvaluateConfig, SFTConfig
from rlready.evaluate.stage import evaluate
from rlready.readiness.sources import read_sources
from rlready.tasks import open_task
from rlready.train.sft import sft

LONGEST = 60  # tokens
PROBLEMS = "dagmath?ops=5&n=8&seed=5&split=test"  # some are solved, some are not
LAST_VALUE = {"function": "regex", "regex_pattern": r"(\w+: \d+)\s*$"}  # such as s: 2


def trained(folder: Path) -> str:
    """The path of a checkpoint of a short run of SFT."""
    config = SFTConfig(rows="dagmath?ops=3&n=60&seed=1", heldout="dagmath?ops=3&n=4&seed=2", epochs=1, save_every=1.0)
    return sft(config, folder).checkpoints[-1].path


def write_problems(data: Path) -> None:
    rows = [{"prompt": p.prompt, "answer": p.answer, "wrong": "a: 0"} for p in open_task(PROBLEMS).problems()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))


def generation_task(data: Path) -> dict[str, object]:
    """Greedy responses, of which the last value is compared."""
    return {
        "task": "dag",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "generation_kwargs": {"until": ["<eos>"], "do_sample": False, "max_gen_toks": LONGEST},
        "metric_list": [{"metric": "exact_match"}],
        "filter_list": [{"name": "last", "filter": [LAST_VALUE, {"function": "take_first"}]}],
    }


def assert_as_rlready(checkpoint: str, data: Path, score: float, logged: Path, out: Path) -> None:
    """lm-eval's score, and the verdicts of the samples that it has logged, are those of ``rlready evaluate``."""
    greedy = EvaluateConfig(
        models=(checkpoint,), problems=str(data), unconstrained=True, temperature=0.0, samples=1,
        max_response_tokens=LONGEST,
    )  # fmt: skip
    accuracies = evaluate(greedy, out).per_problem[checkpoint]["unconstrained"]
    assert 0 < sum(accuracies) < len(accuracies)
    assert score == pytest.approx(sum(accuracies) / len(accuracies))
    (stored,) = read_sources([f"lm-eval:{logged}"], problems_named=False)[1].values()
    assert sorted(stored.draws.correct.tolist()) == sorted(bool(share) for share in accuracies)
