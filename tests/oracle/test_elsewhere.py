"""A checkpoint that rlready has trained, in other tools: the same tokens by transformers and by lm-eval.

TRL continues from it in test_trl_rollout.py; in tests/with_vllm lm-eval scores one with vLLM, and a server serves it.
"""

from __future__ import annotations

import json
from pathlib import Path

import lm_eval
import pytest
import transformers

from lm_eval_case import LONGEST, PROBLEMS, assert_as_rlready, generation_task, trained, write_problems
from rlready.engine.budget import Budget
from rlready.engine.factory import open_engine
from rlready.engine.protocol import forcing_for, requests_for
from rlready.models.checkpoint import load
from rlready.tasks import open_task


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return trained(tmp_path_factory.mktemp("sft"))


def test_transformers_generates_the_same_tokens(checkpoint: str) -> None:
    lm, problems = load(checkpoint), open_task(PROBLEMS).problems()
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


def test_lm_eval_scores_it_and_its_samples_are_read(checkpoint: str, tmp_path: Path) -> None:
    write_problems(data := tmp_path / "sums.jsonl")
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": checkpoint, "dtype": "float32"},
        tasks=[generation_task(data)],
        device="cpu",
        batch_size=2,
        apply_chat_template=True,
        log_samples=True,
        bootstrap_iters=0,
    )
    logged = tmp_path / "samples_dag_1.jsonl"
    logged.write_text("".join(json.dumps(sample, default=str) + "\n" for sample in found["samples"]["dag"]))
    score = found["results"]["dag"]["exact_match,last"]
    assert_as_rlready(checkpoint, data, score, logged, tmp_path / "eval")
