"""A checkpoint that rlready has trained, in other tools: the same tokens by transformers and by lm-eval.

TRL continues from it in test_trl_rollout.py, and vLLM's server serves it in tests/with_vllm.
"""

from __future__ import annotations

import json
from pathlib import Path

import lm_eval
import pytest
import transformers

from rlready.core.config import EvaluateConfig, SFTConfig
from rlready.engine.budget import Budget
from rlready.engine.factory import open_engine
from rlready.engine.protocol import forcing_for, requests_for
from rlready.evaluate.stage import evaluate
from rlready.models.checkpoint import load
from rlready.readiness.sources import read_sources
from rlready.tasks import open_task
from rlready.train.sft import sft

LONGEST = 60  # tokens
LAST_VALUE = {"function": "regex", "regex_pattern": r"(\w+: \d+)\s*$"}  # such as s: 2
PROBLEMS = "dagmath?ops=3&n=6&seed=5&split=test"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = SFTConfig(rows="dagmath?ops=3&n=60&seed=1", heldout="dagmath?ops=3&n=4&seed=2", epochs=1, save_every=1.0)
    return Path(sft(config, tmp_path_factory.mktemp("sft")).checkpoints[-1].path)


def test_transformers_generates_the_same_tokens(checkpoint: Path) -> None:
    lm, problems = load(str(checkpoint)), open_task(PROBLEMS).problems()
    requests = requests_for(lm, problems, 1, Budget(None, LONGEST))
    with open_engine("torch", lm, forcing_for(lm)) as engine:
        ours = engine.sample(requests, temperature=0.0, seed=0)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    for problem, sample in zip(problems, ours, strict=True):
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": problem.prompt}], add_generation_prompt=True, return_tensors="pt"
        )["input_ids"]
        drawn = model.generate(prompt, do_sample=False, max_new_tokens=LONGEST)[0, prompt.shape[1] :]
        assert drawn.tolist() == sample.tokens.tolist()


def test_lm_eval_scores_it_and_its_samples_are_read(checkpoint: Path, tmp_path: Path) -> None:
    problems = open_task(PROBLEMS).problems()
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(json.dumps({"prompt": p.prompt, "answer": p.answer}) + "\n" for p in problems))
    task = {
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
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(checkpoint), "dtype": "float32"},
        tasks=[task],
        device="cpu",
        batch_size=2,
        apply_chat_template=True,
        log_samples=True,
        bootstrap_iters=0,
    )
    greedy = EvaluateConfig(
        models=(str(checkpoint),),
        problems=str(data),
        unconstrained=True,
        temperature=0.0,
        samples=1,
        max_response_tokens=LONGEST,
    )
    accuracies = evaluate(greedy, tmp_path / "eval").per_problem[str(checkpoint)]["unconstrained"]
    assert found["results"]["dag"]["exact_match,last"] == pytest.approx(sum(accuracies) / len(accuracies))
    assert sum(accuracies) > 0
    logged = tmp_path / "samples_dag_1.jsonl"
    logged.write_text("".join(json.dumps(sample, default=str) + "\n" for sample in found["samples"]["dag"]))
    (stored,) = read_sources([f"lm-eval:{logged}"], problems_named=False)[1].values()
    assert sorted(stored.draws.correct.tolist()) == sorted(bool(share) for share in accuracies)
